//! What somebody with the built-in roles `edit` and `admin` in a tenant's namespace may not do where the chart's protection
//! is in force, and that everybody who must goes on to work.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use novacrm_crds::CrmTenant;
use novacrm_operator::crm_tenant::names;
use novacrm_tests::cluster::{PATIENCE, eventually};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::stage::{Stage, version};

const POLICY: &str = "acme-customer-data";

/// A tenant that runs; its pods are played.
async fn running(stage: &Stage) -> String {
    let namespace = stage.tenants[0].clone();
    stage.apply(&stage.tenant_policy(&namespace)).await;
    stage.apply(&stage.quickstart_tenant(&namespace)).await;
    stage.tenant_is_ready(&namespace).await;
    namespace
}

/// Every attempt is refused, in words that say by whom and why.
fn all_refused(somebody: &Kubectl, attempts: &[(Vec<&str>, Value)]) {
    for (arguments, input) in attempts {
        let said = somebody.refused(arguments, &input.to_string());
        assert!(
            said.contains("NovaCRM operator") && said.contains("orbidden"),
            "kubectl {}: {said}",
            arguments.join(" ")
        );
    }
}

fn words(line: &str) -> (Vec<&str>, Value) {
    (line.split(' ').collect(), Value::Null)
}

fn create<'a>(object: Value) -> (Vec<&'a str>, Value) {
    (vec!["create", "--filename", "-"], object)
}

fn pod(name: &str, labels: Value, spec: Value) -> Value {
    let mut spec = spec;
    spec["containers"] = match spec.get("containers") {
        Some(containers) => containers.clone(),
        None => json!([{ "name": "a", "image": "a" }]),
    };
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": labels }, "spec": spec })
}

fn ours() -> Value {
    json!({ "app.kubernetes.io/name": names::ENGINE })
}

/// Pods, and what makes pods, that pass themselves off as the operator's or use what is theirs.
fn impostors() -> Vec<Value> {
    let template = |labels: Value, spec: Value| {
        let made = pod("", labels, spec);
        json!({ "metadata": { "labels": made["metadata"]["labels"] }, "spec": made["spec"] })
    };
    let workload = |api_version: &str, kind: &str, spec: Value| {
        let name = format!("mine-{}", kind.to_lowercase());
        json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name }, "spec": spec })
    };
    let selected = |more: Value| {
        let mut spec = json!({
            "selector": { "matchLabels": ours() }, "template": template(ours(), json!({})),
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let reads = |source: Value| json!({ "containers": [{ "name": "a", "image": "a", "env": [source] }] });
    let key = json!({ "secretKeyRef": { "name": names::DATABASE, "key": "audit-migration-url" } });
    let all = json!({ "containers": [{
        "name": "a", "image": "a", "envFrom": [{ "secretRef": { "name": names::DATABASE } }],
    }] });
    let first = json!({ "initContainers": [{
        "name": "b", "image": "b", "env": [{ "name": "A", "valueFrom": key.clone() }],
    }] });
    let volume = |source: Value| {
        let mut volume = json!({ "name": "a" });
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        json!({ "volumes": [volume] })
    };
    let mounted = volume(json!({ "secret": { "secretName": names::ENGINE_KEYS } }));
    let projected =
        volume(json!({ "projected": { "sources": [{ "secret": { "name": names::ENGINE_KEYS } }] } }));
    let never = json!({ "restartPolicy": "Never", "serviceAccountName": names::API });
    let mut mounts = mounted.clone();
    mounts["restartPolicy"] = json!("Never");
    vec![
        pod("mine-1", ours(), json!({})),
        pod("mine-2", json!({ "app.kubernetes.io/name": names::API_MIGRATE }), json!({})),
        pod("mine-3", json!({}), json!({ "serviceAccountName": names::ENGINE })),
        pod("mine-4", json!({}), mounted),
        pod("mine-5", json!({}), projected),
        pod("mine-6", json!({}), reads(json!({ "name": "A", "valueFrom": key }))),
        pod("mine-7", json!({}), all),
        pod("mine-8", json!({}), first),
        workload("apps/v1", "Deployment", selected(json!({}))),
        workload("apps/v1", "ReplicaSet", selected(json!({}))),
        workload("apps/v1", "DaemonSet", selected(json!({}))),
        workload("apps/v1", "StatefulSet", selected(json!({ "serviceName": "mine" }))),
        workload(
            "v1",
            "ReplicationController",
            json!({ "selector": ours(), "template": template(ours(), json!({})) }),
        ),
        workload("batch/v1", "Job", json!({ "template": template(json!({}), mounts) })),
        workload(
            "batch/v1",
            "CronJob",
            json!({
                "schedule": "* * * * *",
                "jobTemplate": { "spec": { "template": template(json!({}), never) } },
            }),
        ),
    ]
}

#[tokio::test]
async fn whoever_edits_a_namespace_changes_nothing_of_the_operator_s_in_it() {
    let stage = Stage::shared(1).await;
    let _operator = stage.operator("operator-0").await;
    let namespace = running(&stage).await;
    let pods = stage.api::<Pod>(&namespace);
    let selector = ListParams::default().labels("app.kubernetes.io/name=novacrm-engine");
    let engine = pods.list(&selector).await.unwrap().items.remove(0).name_any();
    let before = stage.bundle(&namespace).await.unwrap();

    for role in ["edit", "admin"] {
        let somebody = stage.kubectl(&namespace, role).await;
        let lines = [
            "annotate configmap novacrm-policy-bundle novacrm.io/highest-sequence=9 --overwrite".to_owned(),
            "label configmap novacrm-policy-bundle app.kubernetes.io/managed-by-".to_owned(),
            "delete configmap novacrm-policy-bundle".to_owned(),
            "delete configmap novacrm-policy-bundle-previous".to_owned(),
            r#"patch configmap novacrm-policy-bundle --patch {"immutable":true}"#.to_owned(),
            "delete secret novacrm-engine-keys".to_owned(),
            r#"patch secret novacrm-ca --patch {"stringData":{"ca.crt":"fake"}}"#.to_owned(),
            "label secret novacrm-database app.kubernetes.io/managed-by-".to_owned(),
            "scale deployment novacrm-engine --replicas=0".to_owned(),
            "set image deployment/novacrm-engine novacrm-engine=evil".to_owned(),
            "set env deployment/novacrm-engine NOVACRM_BUNDLE_PUBLIC_KEYS=x".to_owned(),
            "rollout restart deployment/novacrm-api".to_owned(),
            "delete deployment novacrm-engine".to_owned(),
            "delete replicaset --all".to_owned(),
            r#"patch service novacrm-api --patch {"spec":{"selector":{"app":"mine"}}}"#.to_owned(),
            "delete networkpolicy novacrm-default-deny".to_owned(),
            "delete serviceaccount novacrm-engine".to_owned(),
            format!("label pod {engine} app.kubernetes.io/name-"),
            format!("annotate pod {engine} x=y"),
            format!("set image pod/{engine} novacrm-engine=evil"),
            format!("exec {engine} -- sh"),
            format!("attach {engine}"),
            format!("get --raw /api/v1/namespaces/{namespace}/pods/{engine}:9090/proxy/metrics"),
            format!("get --raw /api/v1/namespaces/{namespace}/services/https:novacrm-engine:8443/proxy/"),
            "create token novacrm-engine".to_owned(),
        ];
        let mut attempts: Vec<(Vec<&str>, Value)> = lines.iter().map(|line| words(line)).collect();
        attempts.extend(impostors().into_iter().map(create));
        attempts.extend(
            [
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {
                    "name": "mine", "labels": { "app.kubernetes.io/managed-by": "novacrm-operator" },
                } }),
                json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "novacrm-database-administrator" } }),
                json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": {
                    "name": "mine", "annotations": { "kubernetes.io/service-account.name": names::ENGINE },
                } }),
                json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "novacrm-api-migrate-mine" },
                    "spec": { "template": { "spec": {
                        "restartPolicy": "Never", "containers": [{ "name": "a", "image": "a" }],
                    } } } }),
                json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "mine" },
                    "spec": { "minReplicas": 50, "maxReplicas": 100, "scaleTargetRef": {
                        "apiVersion": "apps/v1", "kind": "Deployment", "name": names::ENGINE,
                    } } }),
            ]
            .map(create),
        );
        if role == "admin" {
            attempts.push(words("delete role novacrm-engine"));
            attempts.push(words("delete rolebinding novacrm-engine"));
            attempts.push(words("create role novacrm-api --verb=get --resource=configmaps"));
        }
        all_refused(&somebody, &attempts);

        // The right to pass by cannot be given away by who has not got it.
        if role == "admin" {
            let given = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "mine" },
                "rules": [{
                    "apiGroups": ["novacrm.io"], "resources": ["crmtenants"], "verbs": ["bypass-protection"],
                }],
            });
            let said = somebody.refused(&["create", "--filename", "-"], &given.to_string());
            assert!(said.contains("attempting to grant RBAC permissions not currently held"), "{said}");
        }

        // What is their own is theirs.
        for object in [
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "own" } }),
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "own" } }),
            pod(
                "own",
                json!({ "app": "own" }),
                json!({ "volumes": [{ "name": "a", "secret": { "secretName": "own" } }] }),
            ),
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "own" }, "spec": {
                "selector": { "matchLabels": { "app": "own" } },
                "template": { "metadata": { "labels": { "app": "own" } }, "spec": {
                    "containers": [{ "name": "a", "image": "a" }],
                } },
            } }),
        ] {
            somebody.ok_with(&["create", "--filename", "-"], &object.to_string());
        }
        somebody.ok(&["scale", "deployment", "own", "--replicas=2"]);
        somebody.ok(&["delete", "deployment,pod,secret,configmap", "own", "--wait=false"]);
        let own_label = json!({ "metadata": { "labels": { "app.kubernetes.io/name": names::API } } });
        somebody.ok_with(
            &["create", "--filename", "-"],
            &pod("plain", json!({ "app": "own" }), json!({})).to_string(),
        );
        let said = somebody.refused(&["patch", "pod", "plain", "--patch", &own_label.to_string()], "");
        assert!(said.contains("NovaCRM operator"), "{said}");
        somebody.ok(&["delete", "pod", "plain", "--wait=false"]);
    }
    assert_eq!(stage.bundle(&namespace).await.unwrap(), before);
    let maps = stage.api::<ConfigMap>(&namespace);
    assert!(
        !maps.get(names::BUNDLE).await.unwrap().annotations().contains_key("novacrm.io/highest-sequence")
    );
    stage.tenant_is_ready(&namespace).await;
    stage.nothing_was_forbidden();
}

#[tokio::test]
async fn the_operator_and_the_controllers_of_kubernetes_work_under_protection() {
    let stage = Stage::shared(1).await;
    let _operator = stage.operator("operator-0").await;
    let namespace = running(&stage).await;
    let deployments = stage.api::<Deployment>(&namespace);

    // A rollout: the Deployment's controller makes and scales ReplicaSets, theirs makes and deletes pods.
    let change = json!({ "spec": { "engine": { "replicas": 2, "resources": {
        "requests": { "cpu": "150m", "memory": "64Mi" }, "limits": { "memory": "256Mi" },
    } } } });
    stage.merge::<CrmTenant>(&namespace, "acme", change).await;
    stage.tenant_is_ready(&namespace).await;
    let replica_sets = stage.api::<ReplicaSet>(&namespace);
    eventually(PATIENCE, || async {
        let all = replica_sets.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let engines = all.items.iter().filter(|one| one.name_any().starts_with("novacrm-engine-"));
        let mut replicas: Vec<i32> =
            engines.map(|one| one.spec.as_ref().unwrap().replicas.unwrap()).collect();
        replicas.sort_unstable();
        if replicas == [0, 2] { Ok(()) } else { Err(format!("{replicas:?}")) }
    })
    .await
    .unwrap();

    // The autoscaler scales: there are fewer pods than it was told to have at least.
    let scaling = |least: i32| {
        json!({ "spec": { "engine": { "autoscaling": {
            "minReplicas": least, "maxReplicas": 4, "targetCpuPercent": 70,
        } } } })
    };
    stage.merge::<CrmTenant>(&namespace, "acme", scaling(2)).await;
    stage.tenant_is_ready(&namespace).await;
    stage.merge::<CrmTenant>(&namespace, "acme", scaling(3)).await;
    eventually(PATIENCE * 2, || async {
        let engine = deployments.get(names::ENGINE).await.map_err(|error| error.to_string())?;
        let replicas = engine.spec.unwrap().replicas;
        if replicas == Some(3) { Ok(()) } else { Err(format!("{replicas:?}")) }
    })
    .await
    .unwrap();
    stage.tenant_is_ready(&namespace).await;

    // Rules change.
    stage.apply(&version(stage.tenant_policy(&namespace), "1.1.0")).await;
    stage.bundle_holds(&namespace, &[(POLICY, "1.1.0")]).await;

    // What an administrator of the cluster must mend is open to them, though they are in no exempt group.
    let alice = stage.cluster.client_as("alice", &["system:authenticated"]).unwrap();
    let as_alice: kube::Api<ConfigMap> = kube::Api::namespaced(alice, &namespace);
    assert!(as_alice.delete(names::BUNDLE, &DeleteParams::default()).await.is_err(), "she has no rights");
    stage.cluster_administrator("alice").await;
    eventually(PATIENCE, || async {
        as_alice
            .delete(names::BUNDLE, &DeleteParams::default())
            .await
            .map(|_| ())
            .map_err(|error| error.to_string())
    })
    .await
    .unwrap();
    stage.bundle_holds(&namespace, &[(POLICY, "1.1.0")]).await;

    // The garbage collector removes what a tenant owned when it goes.
    stage.api::<CrmTenant>(&namespace).delete("acme", &DeleteParams::default()).await.unwrap();
    eventually(PATIENCE * 2, || async {
        let left = deployments.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let pods = stage.api::<Pod>(&namespace).list(&ListParams::default()).await.unwrap();
        let maps = stage.api::<ConfigMap>(&namespace).get_opt(names::BUNDLE).await.unwrap();
        match left.items.is_empty() && pods.items.is_empty() && maps.is_none() {
            true => Ok(()),
            false => Err(format!("{} Deployments, {} pods", left.items.len(), pods.items.len())),
        }
    })
    .await
    .unwrap();
    // Keys outlive it.
    assert!(stage.api::<Secret>(&namespace).get_opt(names::ENGINE_KEYS).await.unwrap().is_some());
    stage.nothing_was_forbidden();
}
