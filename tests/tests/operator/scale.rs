//! How many pods run, and who says so.

use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use novacrm_crds::CrmTenant;
use novacrm_crds::crm_tenant::Autoscaling;
use novacrm_operator::crm_tenant::names;
use novacrm_tests::cluster::{PATIENCE, eventually};
use serde_json::json;
use std::sync::{Arc, Mutex};

use crate::stage::{Stage, of};

/// Every number of replicas that a Deployment was ever asked for from now on.
fn record(deployments: &Api<Deployment>, name: &str) -> (Arc<Mutex<Vec<i32>>>, tokio::task::JoinHandle<()>) {
    let seen: Arc<Mutex<Vec<i32>>> = Arc::default();
    let into = seen.clone();
    let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let events = watcher(deployments.clone(), one).default_backoff().applied_objects();
    let task = tokio::spawn(async move {
        let recorded = events.try_for_each(|deployment| {
            into.lock().unwrap().push(deployment.spec.unwrap().replicas.unwrap());
            std::future::ready(Ok(()))
        });
        recorded.await.unwrap();
    });
    (seen, task)
}

/// Waits until a tenant says something of its present generation.
async fn settled(stage: &Stage, namespace: &str, reason: &str) {
    let generation = stage.api::<CrmTenant>(namespace).get("acme").await.unwrap().metadata.generation;
    stage
        .tenant(namespace, |status| {
            Some(status.observed_generation) == generation
                && of(&status.conditions, "Ready") == ("True", reason)
        })
        .await;
}

async fn pods(stage: &Stage, namespace: &str, part: &str) -> usize {
    let selection = ListParams::default().labels(&format!("app.kubernetes.io/name={part}"));
    stage.api::<Pod>(namespace).list(&selection).await.unwrap().items.len()
}

async fn replicas(deployments: &Api<Deployment>, name: &str) -> i32 {
    deployments.get(name).await.unwrap().spec.unwrap().replicas.unwrap()
}

#[tokio::test]
async fn a_suspended_tenant_runs_nothing_keeps_everything_and_comes_back() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    let _operator = stage.operator("operator-0").await;
    stage.apply(&stage.tenant_policy(&namespace)).await;
    let mut tenant = stage.quickstart_tenant(&namespace);
    tenant.spec.api.replicas = 2;
    stage.apply(&tenant).await;
    settled(&stage, &namespace, "Available").await;
    let (everything, keys) =
        (stage.on_server(&namespace).await, stage.secret(&namespace, names::ENGINE_KEYS).await);
    let addresses = stage.secret(&namespace, names::DATABASE).await;

    tenant.spec.suspend = true;
    stage.apply(&tenant).await;
    settled(&stage, &namespace, "Suspended").await;
    for part in [names::ENGINE, names::API] {
        assert_eq!(pods(&stage, &namespace, part).await, 0, "{part}");
    }
    assert_eq!(stage.on_server(&namespace).await, everything);
    assert_eq!(stage.secret(&namespace, names::ENGINE_KEYS).await, keys);
    // Rules go on being combined for the day it comes back.
    let policy = crate::stage::version(stage.tenant_policy(&namespace), "1.4.0");
    stage.apply(&policy).await;
    stage.bundle_holds(&namespace, &[("acme-customer-data", "1.4.0")]).await;

    tenant.spec.suspend = false;
    stage.apply(&tenant).await;
    settled(&stage, &namespace, "Available").await;
    assert_eq!(pods(&stage, &namespace, names::API).await, 2);
    assert_eq!(stage.secret(&namespace, names::DATABASE).await, addresses);
    stage.nothing_was_forbidden();
}

#[tokio::test]
async fn replicas_are_handed_over_to_an_autoscaler_and_back_without_a_fight() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    let _operator = stage.operator("operator-0").await;
    stage.apply(&stage.tenant_policy(&namespace)).await;
    let mut tenant = stage.quickstart_tenant(&namespace);
    tenant.spec.api.replicas = 3;
    stage.apply(&tenant).await;
    settled(&stage, &namespace, "Available").await;
    let deployments = stage.api::<Deployment>(&namespace);
    let autoscalers = stage.api::<HorizontalPodAutoscaler>(&namespace);
    let (seen, recorder) = record(&deployments, names::API);
    eventually(PATIENCE, || async { seen.lock().unwrap().first().copied().ok_or("nothing was seen") })
        .await
        .unwrap();

    tenant.spec.api.autoscaling =
        Some(Autoscaling { min_replicas: 2, max_replicas: 5, target_cpu_percent: 70 });
    stage.apply(&tenant).await;
    eventually(PATIENCE, || autoscalers.get(names::API)).await.unwrap();
    settled(&stage, &namespace, "Available").await;
    assert_eq!(replicas(&deployments, names::API).await, 3, "it begins where it was");

    // The autoscaler decides; a later change of the tenant leaves that alone.
    let scale = Patch::Merge(json!({ "spec": { "replicas": 5 } }));
    deployments.patch_scale(names::API, &PatchParams::default(), &scale).await.unwrap();
    tenant.spec.display_name = "ACME & fils".to_owned();
    stage.apply(&tenant).await;
    settled(&stage, &namespace, "Available").await;
    stage
        .merge::<Deployment>(
            &namespace,
            names::API,
            json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": "else" } } }),
        )
        .await;
    eventually(PATIENCE, || async {
        let deployment = deployments.get(names::API).await.map_err(|error| error.to_string())?;
        let labels = deployment.metadata.labels.unwrap();
        if labels["app.kubernetes.io/part-of"] == "novacrm" {
            Ok(())
        } else {
            Err("it is not put back".to_owned())
        }
    })
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(replicas(&deployments, names::API).await, 5);
    let seen_now = seen.lock().unwrap().clone();
    assert!(seen_now.iter().all(|count| [3, 5].contains(count)), "{seen_now:?}");
    let changes = seen_now.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, 1, "from 3 to 5, once: {seen_now:?}");

    // Back: the spec says how many, and nobody else does.
    tenant.spec.api.autoscaling = None;
    tenant.spec.api.replicas = 2;
    stage.apply(&tenant).await;
    settled(&stage, &namespace, "Available").await;
    eventually(PATIENCE, || async {
        let found = autoscalers.get_opt(names::API).await.map_err(|error| error.to_string())?;
        found.map_or(Ok(()), |_| Err("the autoscaler is still there".to_owned()))
    })
    .await
    .unwrap();
    assert_eq!(replicas(&deployments, names::API).await, 2);
    recorder.abort();
    let seen = seen.lock().unwrap().clone();
    assert!(!seen.contains(&1), "never one pod in between: {seen:?}");
    stage.nothing_was_forbidden();
}
