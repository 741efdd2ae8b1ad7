//! What the API server's clients see.

use std::sync::atomic::Ordering;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::response::Status;
use novacrm_crds::conditions::FINALIZER;
use novacrm_crds::{CompliancePolicy, CrmTenant};
use novacrm_operator::admission::{CA_FIELD_MANAGER, ClientAuthorities, Lives, PATH};
use novacrm_tests::cluster::{PATIENCE, eventually};
use prometheus_client::encoding::text::encode;
use serde_json::{Value, json};

use super::webhook::{Bench, sound};

fn policy(value: &Value) -> CompliancePolicy {
    serde_json::from_value(value.clone()).unwrap()
}

fn refusal(outcome: Result<CompliancePolicy, kube::Error>) -> Status {
    match outcome {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("not refused: {other:?}"),
    }
}

/// Waits until the API server reaches the webhook.
async fn asked(policies: &Api<CompliancePolicy>, sound: &Value) {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let mut sample = sound.clone();
    sample["metadata"]["name"] = "sample".into();
    let mut refused = sample.clone();
    refused["spec"]["rules"][0]["references"][0]["ref"] = "0".into();
    let (sample, refused) = (policy(&sample), policy(&refused));
    eventually(PATIENCE, || async {
        policies.create(&dry_run, &sample).await.map_err(|error| error.to_string())?;
        match policies.create(&dry_run, &refused).await {
            Err(_) => Ok(()),
            Ok(_) => Err("nobody judges".to_owned()),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_refusal_names_field_problem_and_mend_and_no_object_is_trapped() {
    let bench = Bench::new("admission").await;
    let namespace = bench.namespace.name();
    let policies: Api<CompliancePolicy> = Api::namespaced(bench.client.clone(), namespace);
    let create = PostParams::default();

    // It was there before anybody judged it.
    let mut old = sound(namespace);
    old["metadata"]["name"] = "old".into();
    old["metadata"]["finalizers"] = json!(["novacrm.io/test"]);
    old["spec"]["rules"][0]["references"][0]["ref"] = "0".into();
    policies.create(&create, &policy(&old)).await.unwrap();

    let replica = bench.replica(true, Lives::default());
    // Without a configuration there is nobody to be trusted by, and no reason to fail.
    replica.ready().await;
    bench.ask(&[&replica]).await;
    asked(&policies, &sound(namespace)).await;

    let created = policies.create(&create, &policy(&sound(namespace))).await.unwrap();
    assert_eq!(created.metadata.generation, Some(1));

    let mut broken = sound(namespace);
    broken["metadata"]["name"] = "broken".into();
    broken["spec"]["rules"][0]["references"][0]["law"] = "gpdr".into();
    broken["spec"]["detectors"][0]["id"] = "pii.ibann".into();
    let status = refusal(policies.create(&create, &policy(&broken)).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert_eq!(
        status.message,
        "admission webhook \"replica-0.webhook.novacrm.io\" denied the request: spec.detectors[0].id: there is no \
         detector `pii.ibann`. Did you mean `pii.iban`?\nspec.rules[0].references[0]: the law catalogue holds no \
         law `gpdr`. Did you mean `gdpr`?"
    );
    let details = status.details.unwrap();
    assert_eq!((details.name.as_str(), details.kind.as_str()), ("broken", "CompliancePolicy"));
    let fields: Vec<&str> = details.causes.iter().map(|cause| cause.field.as_str()).collect();
    assert_eq!(fields, ["spec.detectors[0].id", "spec.rules[0].references[0]"]);

    // The schema wants another version, the webhook a higher one.
    let change = |version: &str| {
        Patch::Merge(json!({ "spec": { "version": version, "changelog": "Second version." } }))
    };
    let lower = policies.patch("codes", &PatchParams::default(), &change("1.1.0")).await;
    let status = refusal(lower);
    assert_eq!(status.code, 422);
    assert!(status.message.contains("spec.version"), "{}", status.message);
    policies.patch("codes", &PatchParams::default(), &change("1.3.0")).await.unwrap();

    // The old one may be labelled, left as it is, and go; it may not change and stay broken.
    let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
    policies.patch("old", &PatchParams::default(), &label).await.unwrap();
    let status = refusal(policies.patch("old", &PatchParams::default(), &change("1.3.0")).await);
    assert!(status.message.contains("spec.rules[0].references[0]"), "{}", status.message);
    policies.delete("old", &DeleteParams::default()).await.unwrap();
    let release = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    policies.patch("old", &PatchParams::default(), &release).await.unwrap();
    assert!(policies.get_opt("old").await.unwrap().is_none());

    let mut metrics = String::new();
    encode(&mut metrics, &replica.metrics).unwrap();
    for wanted in [
        "novacrm_operator_webhook_admissions_total{kind=\"CompliancePolicy\",operation=\"update\",verdict=\"refused\"}",
        "novacrm_operator_webhook_certificate_expiration_timestamp_seconds 1",
        "novacrm_operator_webhook_ca_bundle_applied 1",
    ] {
        assert!(metrics.contains(wanted), "{wanted} in {metrics}");
    }
    bench.end(vec![replica]).await;
}

fn tenant(namespace: &str, server: &str) -> Value {
    json!({
        "apiVersion": "novacrm.io/v1alpha1",
        "kind": "CrmTenant",
        "metadata": { "name": "acme", "namespace": namespace },
        "spec": {
            "displayName": "ACME",
            "database": { "type": "managed", "managed": { "serverRef": { "name": server } } },
            "auth": { "bootstrapAdmin": {
                "email": "admin@acme.example",
                "displayName": "Admin",
                "passwordSecretRef": { "name": "acme-admin", "key": "password" },
            } },
        },
    })
}

#[tokio::test]
async fn what_depends_on_other_objects_is_a_warning_and_never_a_refusal() {
    let bench = Bench::new("admission-tenant").await;
    let namespace = bench.namespace.name();
    let replica = bench.replica(true, Lives::default());
    bench.ask(&[&replica]).await;
    let policies: Api<CompliancePolicy> = Api::namespaced(bench.client.clone(), namespace);
    asked(&policies, &sound(namespace)).await;

    bench.known.other_tenant.store(true, Ordering::Relaxed);
    let uri = format!("/apis/novacrm.io/v1alpha1/namespaces/{namespace}/crmtenants?dryRun=All");
    let request = http::Request::post(&uri).header("content-type", "application/json");
    let body = tenant(namespace, "elsewhere").to_string().into_bytes();
    let answer = bench.client.send(request.body(body.into()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 201);
    let warnings: Vec<&str> =
        answer.headers().get_all("warning").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(warnings.iter().any(|one| one.contains("serverRef")), "{warnings:?}");
    assert!(warnings.iter().any(|one| one.contains("another CrmTenant")), "{warnings:?}");

    let tenants: Api<CrmTenant> = Api::namespaced(bench.client.clone(), namespace);
    let mut broken = tenant(namespace, "default");
    broken["spec"]["auth"]["bootstrapAdmin"]["passwordSecretRef"]["name"] = "novacrm-ca".into();
    let broken: CrmTenant = serde_json::from_value(broken).unwrap();
    let refused = tenants.create(&PostParams::default(), &broken).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert!(
        status.message.contains("spec.auth.bootstrapAdmin.passwordSecretRef.name: this Secret holds"),
        "{}",
        status.message
    );

    let mut shadow = sound(namespace);
    shadow["spec"]["enforcement"]["mode"] = "shadow".into();
    let uri = format!("/apis/novacrm.io/v1alpha1/namespaces/{namespace}/compliancepolicies?dryRun=All");
    let request = http::Request::post(&uri).header("content-type", "application/json");
    let answer =
        bench.client.send(request.body(shadow.to_string().into_bytes().into()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 201);
    assert!(answer.headers()["warning"].to_str().unwrap().contains("nothing is enforced"));
    bench.end(vec![replica]).await;
}

/// An authority, and the certificate and key of a client that it issued, as PEM.
fn client_of_an_authority(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["kube-apiserver".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    (authority, format!("{certificate}{}", key.serialize_pem()))
}

#[tokio::test]
async fn with_authorities_of_clients_only_callers_with_their_certificates_are_heard() {
    novacrm_service::tls::install_provider();
    let mut bench = Bench::new("admission-clients").await;
    let (authority, known) = client_of_an_authority("known");
    let (_, stranger) = client_of_an_authority("stranger");
    bench.clients = Some(ClientAuthorities::new(&authority).unwrap());
    let replica = bench.replica(true, Lives::default());
    replica.ready().await;
    let trusted = bench.secret("ca.crt").await;
    let url = format!("https://127.0.0.1:{}{PATH}", replica.port);
    let post = async |identity: Option<&str>| {
        let roots = reqwest::Certificate::from_pem_bundle(trusted.as_bytes()).unwrap();
        let mut client = reqwest::Client::builder().no_proxy().tls_certs_only(roots);
        if let Some(identity) = identity {
            client = client.identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap());
        }
        client.build().unwrap().post(&url).body("{}").send().await.map(|answer| answer.status().as_u16())
    };
    assert_eq!(post(Some(&known)).await.unwrap(), 400, "it is heard, and says nothing of use");
    assert!(post(None).await.is_err());
    assert!(post(Some(&stranger)).await.is_err());
    // The API server of this control plane was given no certificate.
    bench.ask(&[&replica]).await;
    let policies: Api<CompliancePolicy> = Api::namespaced(bench.client.clone(), bench.namespace.name());
    eventually(PATIENCE, || async {
        let refused = policies.create(&PostParams::default(), &policy(&sound(bench.namespace.name()))).await;
        match refused {
            Err(error) if error.to_string().contains("certificate required") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    bench.end(vec![replica]).await;
}

#[tokio::test]
async fn with_nobody_to_answer_only_our_kinds_are_refused() {
    let bench = Bench::new("admission-dead").await;
    let namespace = bench.namespace.name();
    let replica = bench.replica(true, Lives::default());
    bench.ask(&[&replica]).await;
    let policies: Api<CompliancePolicy> = Api::namespaced(bench.client.clone(), namespace);
    asked(&policies, &sound(namespace)).await;
    let create = PostParams::default();
    policies.create(&create, &policy(&sound(namespace))).await.unwrap();
    let tenants: Api<CrmTenant> = Api::namespaced(bench.client.clone(), namespace);
    let mut held = tenant(namespace, "default");
    held["metadata"]["finalizers"] = json!([FINALIZER]);
    held["spec"]["deletionPolicy"] = "Delete".into();
    let held: CrmTenant = serde_json::from_value(held).unwrap();
    let name = tenants.create(&create, &held).await.unwrap().metadata.name.unwrap();
    replica.stop().await;

    let mut another = sound(namespace);
    another["metadata"]["name"] = "another".into();
    let refused = policies.create(&create, &policy(&another)).await.unwrap_err().to_string();
    assert!(refused.contains("failed calling webhook"), "{refused}");

    let object = |kind: &str, spec: Value| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": "bystander" }, "spec": spec });
    let maps: Api<ConfigMap> = Api::namespaced(bench.client.clone(), namespace);
    maps.create(&create, &serde_json::from_value(object("ConfigMap", Value::Null)).unwrap()).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(bench.client.clone(), namespace);
    secrets.create(&create, &serde_json::from_value(object("Secret", Value::Null)).unwrap()).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(bench.client.clone(), namespace);
    let spec = json!({ "serviceAccountName": "default", "automountServiceAccountToken": false,
                       "containers": [{ "name": "a", "image": "localhost/none:1" }] });
    let pod: Pod = serde_json::from_value(object("Pod", spec)).unwrap();
    // The namespace's account is made by a controller, which takes a moment.
    eventually(PATIENCE, || pods.create(&create, &pod)).await.unwrap();

    // Reading, status and deletion of our kinds go on, too.
    policies.get("codes").await.unwrap();
    let status = Patch::Merge(json!({ "status": { "observedGeneration": 1 } }));
    policies.patch_status("codes", &PatchParams::default(), &status).await.unwrap();
    policies.delete("codes", &DeleteParams::default()).await.unwrap();
    // A spec may not change past the webhook, and a tenant whose deletion waits for the operator can be let go.
    let change = Patch::Merge(json!({ "spec": { "displayName": "Another" } }));
    let refused = tenants.patch(&name, &PatchParams::default(), &change).await.unwrap_err().to_string();
    assert!(refused.contains("failed calling webhook"), "{refused}");
    let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
    tenants.patch(&name, &PatchParams::default(), &label).await.unwrap();
    tenants.delete(&name, &DeleteParams::default()).await.unwrap();
    let release = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    tenants.patch(&name, &PatchParams::default(), &release).await.unwrap();
    assert!(tenants.get_opt(&name).await.unwrap().is_none());
    bench.end(Vec::new()).await;
}

#[tokio::test]
async fn the_ca_bundle_has_an_owner_of_its_own_and_comes_back() {
    let bench = Bench::new("admission-ca").await;
    let replica = bench.replica(true, Lives::default());
    bench.ask(&[&replica]).await;
    let bundle = eventually(PATIENCE, || bench.trusted()).await.unwrap();
    assert_eq!(bundle, bench.secret("ca.crt").await);
    let configuration = bench.configuration().await;
    let managers = configuration.metadata.managed_fields.unwrap();
    let ours = managers.iter().find(|entry| entry.manager.as_deref() == Some(CA_FIELD_MANAGER)).unwrap();
    assert_eq!(ours.operation.as_deref(), Some("Apply"));
    assert_eq!(
        serde_json::to_value(&ours.fields_v1).unwrap(),
        json!({ "f:webhooks": { "k:{\"name\":\"replica-0.webhook.novacrm.io\"}": {
            ".": {}, "f:clientConfig": { "f:caBundle": {} }, "f:name": {},
        } } })
    );

    let name = configuration.metadata.name.unwrap();
    let wipe = json!([{ "op": "remove", "path": "/webhooks/0/clientConfig/caBundle" }]);
    let wipe: Patch<()> = Patch::Json(serde_json::from_value(wipe).unwrap());
    bench.configurations().patch(&name, &PatchParams::default(), &wipe).await.unwrap();
    assert_eq!(eventually(PATIENCE, || bench.trusted()).await.unwrap(), bundle);
    bench.end(vec![replica]).await;
}
