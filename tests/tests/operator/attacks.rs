//! What whoever may write to a namespace, or reach the operator's port, does to the operator of all tenants. It runs with
//! the chart's limit of memory, at which the kernel would end it, and serves the others.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::Api;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use novacrm_crds::CompliancePolicy;
use novacrm_operator::cluster::POLICIES_OF_A_TENANT;
use novacrm_operator::cluster::policy::REASON_TOO_MANY_POLICIES;
use novacrm_operator::crm_tenant::{ENGINE_PORT, names};
use novacrm_tests::cluster::{ControlPlane, PATIENCE, eventually};
use reqwest::StatusCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::stage::{Operator, Stage, free_address, message, of, version};

const POLICY: &str = "acme-customer-data";
const MANAGED: [(&str, &str); 1] = [("app.kubernetes.io/managed-by", "novacrm-operator")];

fn labels() -> Option<BTreeMap<String, String>> {
    Some(MANAGED.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
}

/// A client that trusts the webhook, from a loopback address of its own.
async fn caller(stage: &Stage, source: &str) -> reqwest::Client {
    let secret = stage.secret(&stage.home, "novacrm-webhook-tls").await;
    let authorities = reqwest::Certificate::from_pem_bundle(secret["ca.crt"].as_bytes()).unwrap();
    let source: std::net::IpAddr = source.parse().unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only(authorities).local_address(source).build().unwrap()
}

fn review(namespace: &str, object: &Value) -> Value {
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "kind": { "group": "novacrm.io", "version": "v1alpha1", "kind": "CompliancePolicy" },
        "resource": { "group": "novacrm.io", "version": "v1alpha1", "resource": "compliancepolicies" },
        "name": "codes", "namespace": namespace, "operation": "CREATE", "userInfo": {}, "object": object,
    }})
}

/// Has a sound policy judged, and demands that it is admitted.
async fn is_served(stage: &Stage, operator: &Operator) {
    let mut policy = serde_json::to_value(stage.tenant_policy("quiet")).unwrap();
    policy["apiVersion"] = "novacrm.io/v1alpha1".into();
    policy["kind"] = "CompliancePolicy".into();
    let caller = caller(stage, "127.0.0.1").await;
    let body = review("quiet", &policy).to_string();
    // As the API server does, whose clients try again.
    eventually(PATIENCE, || async {
        let answer = caller.post(&operator.webhook).body(body.clone()).send().await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        let review: Value = answer.json().await.map_err(|error| format!("{error:?}"))?;
        if review["response"]["allowed"] == true { Ok(()) } else { Err(review.to_string()) }
    })
    .await
    .unwrap();
}

/// A review of which the spec is a list of so many bytes.
fn list_of(bytes: usize) -> String {
    let zeros = vec!["0"; bytes / 2].join(",");
    review("loud", &json!({ "spec": "HERE" })).to_string().replace("\"HERE\"", &format!("[{zeros}]"))
}

/// Posts a body so many times at once; what came of each, where it was answered before the connection went.
async fn flood(stage: &Stage, operator: &Operator, body: &str, times: usize) -> Vec<Option<StatusCode>> {
    let caller = caller(stage, "127.0.0.2").await;
    let post = || async {
        let answer = caller.post(&operator.webhook).body(body.to_owned()).send().await.ok()?;
        let status = answer.status();
        if status.is_success() {
            let review: Value = answer.json().await.ok()?;
            assert_eq!(review["response"]["allowed"], false, "{review}");
        }
        Some(status)
    };
    join_all((0..times).map(|_| post())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_multiply_in_memory_or_never_end_are_refused_and_others_are_served() {
    let stage = Stage::shared(1).await;
    let mut operator = stage.contained_operator("operator-0").await;
    is_served(&stage, &operator).await;
    let larger = list_of(8 * 1024 * 1024);
    for times in [1, 3, 30] {
        let answers = flood(&stage, &operator, &larger, times).await;
        let refused = |one: &Option<StatusCode>| one.is_none_or(|code| code == StatusCode::PAYLOAD_TOO_LARGE);
        assert!(answers.iter().all(refused), "{answers:?}");
        operator.is_within_its_limit();
    }
    // As large as a body may be.
    let largest = list_of(3 * 1024 * 1024);
    eventually(PATIENCE, || async {
        let answers = flood(&stage, &operator, &largest, 1).await;
        if answers == [Some(StatusCode::OK)] { Ok(()) } else { Err(format!("it is not judged: {answers:?}")) }
    })
    .await
    .unwrap();
    for times in [3, 30] {
        let (answers, ()) =
            futures::join!(flood(&stage, &operator, &largest, times), is_served(&stage, &operator));
        let refused = |one: &Option<StatusCode>| {
            // With a verdict, which is a refusal; or before it was read.
            one.is_none_or(|code| {
                [StatusCode::OK, StatusCode::REQUEST_TIMEOUT, StatusCode::SERVICE_UNAVAILABLE].contains(&code)
            })
        };
        assert!(answers.iter().all(refused), "{answers:?}");
        operator.is_within_its_limit();
    }

    let slow = caller(&stage, "127.0.0.2").await;
    let dripping = || async {
        let drops = futures::stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(&[b' '; 100])))
        });
        let request = slow.post(&operator.webhook).header("content-length", 3 * 1024 * 1024);
        request.body(reqwest::Body::wrap(StreamBody::new(drops))).send().await.map(|answer| answer.status())
    };
    let (ended, ()) = futures::join!(join_all((0..30).map(|_| dripping())), is_served(&stage, &operator));
    let refused =
        |status: &StatusCode| [StatusCode::REQUEST_TIMEOUT, StatusCode::SERVICE_UNAVAILABLE].contains(status);
    assert!(ended.iter().flatten().all(refused), "{ended:?}");
    assert!(ended.iter().flatten().count() > 0, "{ended:?}");
    operator.is_within_its_limit();
    is_served(&stage, &operator).await;
}

/// Labelled ConfigMaps of a megabyte.
async fn labelled_config_maps(stage: &Stage, namespace: &str, count: usize) {
    let maps: Api<ConfigMap> = stage.api(namespace);
    let text = "<".repeat(1_000_000);
    let create = |index: usize| {
        let (maps, text) = (maps.clone(), text.clone());
        async move {
            let map = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(format!("novacrm-{index}")),
                    labels: labels(),
                    ..ObjectMeta::default()
                },
                data: Some([("text".to_owned(), text)].into()),
                ..ConfigMap::default()
            };
            maps.create(&PostParams::default(), &map).await.unwrap();
        }
    };
    futures::stream::iter((0..count).map(create)).for_each_concurrent(4, |done| done).await;
}

/// Labelled Deployments of no pods, of which each is some megabytes of JSON.
async fn labelled_deployments(stage: &Stage, namespace: &str, count: usize) {
    let deployments: Api<Deployment> = stage.api(namespace);
    for index in 0..count {
        let name = format!("novacrm-large-{index}");
        let object: Deployment = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": labels() },
            "spec": {
                "replicas": 0,
                "paused": true,
                "selector": { "matchLabels": { "a": name } },
                "template": {
                    "metadata": { "labels": { "a": name } },
                    "spec": { "containers": [{
                        "name": "a", "image": "localhost/none:1",
                        "env": [{ "name": "A", "value": "<".repeat(700_000) }],
                    }]},
                },
            },
        }))
        .unwrap();
        deployments.create(&PostParams::default(), &object).await.unwrap();
    }
}

#[tokio::test]
async fn labelled_objects_of_others_take_no_memory_with_or_without_a_tenant_beside_them() {
    let plane = ControlPlane::start().await.unwrap();
    let cluster = plane.cluster().await.unwrap();
    cluster.apply_crds().await.unwrap();
    let namespaces = ["empty", "beside", "served"].map(str::to_owned).to_vec();
    let stage = Stage::private(cluster, "novacrm-system", "novacrm-policies", namespaces).await;
    let mut operator = stage.contained_operator("operator-0").await;
    for namespace in ["beside", "served"] {
        stage.apply(&stage.tenant_policy(namespace)).await;
        stage.apply(&stage.quickstart_tenant(namespace)).await;
        stage.tenant_is_ready(namespace).await;
    }
    labelled_config_maps(&stage, "empty", 210).await;
    operator.is_within_its_limit();
    labelled_config_maps(&stage, "beside", 40).await;
    labelled_deployments(&stage, "empty", 8).await;
    labelled_deployments(&stage, "beside", 8).await;
    stage.apply(&version(stage.tenant_policy("served"), "1.1.0")).await;
    stage.bundle_holds("served", &[(POLICY, "1.1.0")]).await;
    operator.is_within_its_limit();
    operator.kill();

    // A start lists all of it.
    let mut operator = stage.contained_operator("operator-0").await;
    operator.leads().await;
    for namespace in ["beside", "served"] {
        stage.apply(&version(stage.tenant_policy(namespace), "1.2.0")).await;
        stage.bundle_holds(namespace, &[(POLICY, "1.2.0")]).await;
        stage.tenant_is_ready(namespace).await;
    }
    operator.is_within_its_limit();
    stage.nothing_was_forbidden();
}

/// Answers every request as an engine would, with far more than any engine says.
struct Endless {
    address: String,
    connections: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Endless {
    /// With the certificate that the operator made for a tenant's engines, which whoever may read Secrets there has.
    async fn start(stage: &Stage, namespace: &str, bytes: u64) -> Self {
        let secret = stage.secret(namespace, names::ENGINE_TLS).await;
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(secret["tls.crt"].as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(secret["tls.key"].as_bytes()).unwrap();
        let config =
            rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let address = free_address();
        let listener = TcpListener::bind(format!("{address}:{ENGINE_PORT}")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (connections, sent) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (counted, total) = (connections.clone(), sent.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (acceptor, total) = (acceptor.clone(), total.clone());
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.ok()?);
                    }
                    let start =
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[";
                    stream.write_all(start.as_bytes()).await.ok()?;
                    let part = b"0,".repeat(64 * 1024);
                    let mut left = bytes;
                    while left > 0 {
                        stream.write_all(&part).await.ok()?;
                        let length = part.len() as u64;
                        total.fetch_add(length, Ordering::Relaxed);
                        left = left.saturating_sub(length);
                    }
                    stream.shutdown().await.ok()
                });
            }
        });
        Self { address, connections, sent, task }
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end_is_cut_off_and_pods_of_others_are_not_asked() {
    let stage = Stage::shared(2).await;
    let [attacked, served] = stage.tenants.as_slice() else { unreachable!("two were asked for") };
    stage.run_engines(attacked);
    stage.run_engines(served);
    let mut operator = stage.contained_operator("operator-0").await;
    for namespace in [attacked, served] {
        stage.apply(&stage.tenant_policy(namespace)).await;
        stage.apply(&stage.quickstart_tenant(namespace)).await;
    }
    let secrets: Api<Secret> = stage.api(attacked);
    eventually(PATIENCE, || secrets.get(names::ENGINE_TLS)).await.unwrap();
    let of_others = Endless::start(&stage, attacked, 400 * 1024 * 1024).await;
    let inside = Endless::start(&stage, attacked, 400 * 1024 * 1024).await;
    // A pod that somebody made, with the labels of an engine and Ready.
    let pods: Api<Pod> = stage.api(attacked);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": "not-an-engine", "labels": {
            "app.kubernetes.io/part-of": "novacrm", "app.kubernetes.io/name": names::ENGINE,
        }},
        "spec": { "automountServiceAccountToken": false, "containers": [{ "name": "a", "image": "localhost/none:1" }] },
    }))
    .unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let ready = json!({ "status": {
        "phase": "Running", "podIP": of_others.address, "podIPs": [{ "ip": of_others.address }],
        "conditions": [{ "type": "Ready", "status": "True" }],
    }});
    pods.patch_status("not-an-engine", &PatchParams::default(), &Patch::Merge(&ready)).await.unwrap();
    // And one of the tenant's own, in which somebody else's program runs.
    stage.engine_at(attacked, &inside.address);
    let status = stage
        .policy(attacked, POLICY, |status| {
            let counts = status.engines.clone().unwrap_or_default();
            counts.behind.iter().any(|one| one.reason.contains("longer than"))
        })
        .await;
    assert_eq!(of(&status.conditions, "Ready").0, "False");
    assert_eq!(status.engines.unwrap().ready, 1, "the pod that somebody made is none of the engines");
    let asked = inside.connections.load(Ordering::Relaxed);
    assert!(asked > 0);
    // What lies in buffers between is not read.
    assert!(inside.sent.load(Ordering::Relaxed) < asked * 64 * 1024 * 1024);
    assert_eq!(of_others.connections.load(Ordering::Relaxed), 0);
    operator.is_within_its_limit();

    let _engine = stage.engine(served).await;
    stage.policy_is_enforced(served, POLICY, "1.0.0", "1/1").await;
    operator.is_within_its_limit();
    stage.nothing_was_forbidden();
}

/// A policy with tests of its own that take longer than a judgement may.
fn slow(stage: &Stage, namespace: &str, index: usize) -> CompliancePolicy {
    let mut policy = serde_json::to_value(stage.tenant_policy(namespace)).unwrap();
    policy["metadata"]["name"] = format!("slow-{index}").into();
    let detector = |index: usize| {
        json!({ "id": format!("custom.slow-{index}"), "type": "SLOW", "description": { "fr": "a", "en": "b" },
                "pattern": r"\b(\w+[-é])+\d{9}\b", "score": 0.9 })
    };
    policy["spec"]["customDetectors"].as_array_mut().unwrap().extend((0..60).map(detector));
    let text = "évé-né-".repeat(580);
    let test = |index: usize| json!({ "name": format!("long {index}"), "given": { "text": text }, "expect": { "action": "allow" } });
    policy["spec"]["tests"] = (0..50).map(test).collect::<Vec<_>>().into();
    serde_json::from_value(policy).unwrap()
}

#[tokio::test]
async fn policies_of_one_tenant_that_wait_to_be_judged_keep_no_other_waiting() {
    let stage = Stage::shared(2).await;
    let [loud, quiet] = stage.tenants.as_slice() else { unreachable!("two were asked for") };
    let operator = stage.operator("operator-0").await;
    stage.apply(&stage.tenant_policy(quiet)).await;
    stage.apply(&stage.quickstart_tenant(quiet)).await;
    stage.apply(&stage.quickstart_tenant(loud)).await;
    stage.bundle_holds(quiet, &[(POLICY, "1.0.0")]).await;
    // So that all of them wait at once, and the loud ones first.
    operator.kill();
    join_all((0..20).map(|index| {
        let policy = slow(&stage, loud, index);
        let stage = &stage;
        async move { drop(stage.apply(&policy).await) }
    }))
    .await;
    stage.apply(&version(stage.tenant_policy(quiet), "1.1.0")).await;
    stage.apply(&stage.organisation_policy()).await;
    let _operator = stage.operator("operator-0").await;
    stage.bundle_holds(quiet, &[(POLICY, "1.1.0"), ("organisation-baseline", "1.0.0")]).await;
    let waiting = stage.api::<CompliancePolicy>(loud).list(&ListParams::default()).await.unwrap();
    let reasons: Vec<String> = waiting
        .items
        .iter()
        .map(|policy| {
            let conditions = policy.status.as_ref().map(|status| status.conditions.as_slice());
            of(conditions.unwrap_or_default(), "Ready").1.to_owned()
        })
        .collect();
    assert!(
        reasons.iter().any(String::is_empty),
        "the others were judged by then, which proves nothing: {reasons:?}"
    );
    stage.nothing_was_forbidden();
}

#[tokio::test]
async fn a_namespace_with_too_many_policies_is_told_so_and_the_oldest_are_in_force() {
    const MORE: usize = 3;
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    let most = POLICIES_OF_A_TENANT.objects;
    let named = |index: usize| {
        let mut policy = stage.tenant_policy(&namespace);
        policy.metadata.name = Some(format!("policy-{index:03}"));
        policy
    };
    let operator = stage.operator("operator-0").await;
    stage.apply(&stage.quickstart_tenant(&namespace)).await;
    for index in 0..most + MORE {
        stage.apply(&named(index)).await;
    }
    let crowded = |status: &novacrm_crds::compliance_policy::CompliancePolicyStatus| {
        of(&status.conditions, "Ready") == ("False", REASON_TOO_MANY_POLICIES)
    };
    for index in most..most + MORE {
        let status = stage.policy(&namespace, &format!("policy-{index:03}"), crowded).await;
        assert!(!message(&status.conditions, "Ready").is_empty());
        assert_eq!(status.problems[0].path, "metadata.namespace");
    }
    let held = |without: &'static [usize], more: &'static [usize]| {
        let stage = &stage;
        let namespace = namespace.clone();
        async move {
            let indices = (0..most).filter(|index| !without.contains(index)).chain(more.iter().copied());
            let names: Vec<String> = indices.map(|index| format!("policy-{index:03}")).collect();
            let wanted: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1.0.0")).collect();
            drop(stage.bundle_holds(&namespace, &wanted).await);
        }
    };
    held(&[], &[]).await;
    // Who goes makes room for the next one, and a start finds the same.
    stage.api::<CompliancePolicy>(&namespace).delete("policy-000", &Default::default()).await.unwrap();
    held(&[0], &[64]).await;
    operator.kill();
    let _operator = stage.operator("operator-0").await;
    stage.api::<CompliancePolicy>(&namespace).delete("policy-001", &Default::default()).await.unwrap();
    held(&[0, 1], &[64, 65]).await;
    stage.policy(&namespace, "policy-066", crowded).await;
    stage.nothing_was_forbidden();
}
