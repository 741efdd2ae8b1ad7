//! The operator is killed again and again wherever it happens to be, and the cluster ends as if it never had been.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::{WatchStreamExt as _, watcher};
use novacrm_crds::CrmTenant;
use novacrm_engine_core::bundle::Bundle;
use novacrm_operator::crm_tenant::build::SECRETS_DIGEST;
use novacrm_operator::crm_tenant::names;
use serde_json::Value;

use crate::stage::{Stage, of, version};

/// How often it is killed.
const KILLS: u64 = 130;
/// One in so many kills comes while it starts.
const STARTS: u64 = 4;
/// How long it lives at most after it knows the cluster and begins to reconcile, whatever the machine.
const LONGEST_LIFE: Duration = Duration::from_secs(2);
const ORGANISATION: &str = "organisation-baseline";
const POLICY: &str = "acme-customer-data";

/// Sequence and digest of every bundle that a tenant's engines could see, in order.
type Seen = Arc<Mutex<Vec<(u64, String)>>>;

async fn record(stage: &Stage, namespace: &str) -> (Seen, tokio::task::JoinHandle<()>) {
    let seen = Seen::default();
    let into = seen.clone();
    let maps = stage.api::<ConfigMap>(namespace);
    let bundle = watcher::Config::default().fields(&format!("metadata.name={}", names::BUNDLE));
    let events = watcher(maps, bundle).default_backoff().applied_objects();
    let task = tokio::spawn(async move {
        let recorded = events.try_for_each(|map| {
            let bytes = map.binary_data.unwrap_or_default().remove(names::BUNDLE_KEY);
            if let Some(ByteString(bytes)) = bytes {
                let bundle = Bundle::decode(&bytes).unwrap();
                into.lock().unwrap().push((bundle.sequence, bundle.digest()));
            }
            std::future::ready(Ok(()))
        });
        recorded.await.unwrap();
    });
    (seen, task)
}

/// One of the things that happen to a tenant.
async fn disturb(stage: &Stage, namespace: &str, turn: u64) {
    let gone = DeleteParams::default();
    match turn % 7 {
        0 => drop(stage.apply(&version(stage.tenant_policy(namespace), &format!("1.1.{turn}"))).await),
        1 => drop(stage.apply(&version(stage.organisation_policy(), &format!("1.1.{turn}"))).await),
        2 => {
            let mut tenant = stage.quickstart_tenant(namespace);
            tenant.spec.display_name = format!("ACME {turn}");
            tenant.spec.engine.replicas = 1 + i32::try_from(turn % 2).unwrap();
            stage.apply(&tenant).await;
        }
        // What the operator did not get to make yet cannot be deleted.
        3 => drop(stage.api::<Service>(namespace).delete(names::API, &gone).await),
        4 => drop(stage.api::<Deployment>(namespace).delete(names::ENGINE, &gone).await),
        5 => drop(stage.api::<ConfigMap>(namespace).delete(names::BUNDLE, &gone).await),
        _ => drop(stage.api::<NetworkPolicy>(namespace).delete(names::ENGINE, &gone).await),
    }
}

/// The last word on a tenant.
async fn settle(stage: &Stage, namespace: &str) {
    stage.apply(&version(stage.tenant_policy(namespace), "2.0.0")).await;
    stage.apply(&version(stage.organisation_policy(), "2.0.0")).await;
    let mut tenant = stage.quickstart_tenant(namespace);
    tenant.spec.engine.replicas = 2;
    stage.apply(&tenant).await;
    stage.bundle_holds(namespace, &[(ORGANISATION, "2.0.0"), (POLICY, "2.0.0")]).await;
    stage.tenant_is_ready(namespace).await;
}

/// Takes away what the server, its controllers or chance decide.
fn plain(value: &mut Value) {
    let chance = |key: &str| {
        matches!(key, "clusterIP" | "clusterIPs" | "uid" | "resourceVersion" | "creationTimestamp" | "generation")
            || key.contains("controller-uid")
            || key.starts_with("deployment.kubernetes.io/")
            || key == "novacrm.io/applied"
            || key == "batch.kubernetes.io/job-name"
            || key == "job-name"
            // Keys and passwords differ from tenant to tenant.
            || key == SECRETS_DIGEST
    };
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !chance(key));
            fields.values_mut().for_each(plain);
        }
        Value::Array(list) => list.iter_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Labels, owners' names and content of everything of a kind, by kind and name.
async fn kind<K>(stage: &Stage, namespace: &str, into: &mut BTreeMap<String, Value>)
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    for object in stage.api::<K>(namespace).list(&ListParams::default()).await.unwrap() {
        let owners: Vec<String> = object.owner_references().iter().map(|owner| owner.name.clone()).collect();
        let mut value = serde_json::to_value(&object).unwrap();
        let metadata = serde_json::json!({
            "labels": object.labels(), "annotations": object.annotations(), "owners": owners,
        });
        let fields = value.as_object_mut().unwrap();
        fields.remove("status");
        fields.insert("metadata".to_owned(), metadata);
        plain(&mut value);
        let text = value.to_string().replace(namespace, "NAMESPACE");
        let value = serde_json::from_str(&text).unwrap();
        let kind = K::kind(&());
        let mut name = object.name_any();
        if kind == "Job" {
            // It ends in a digest of its content, and so of its namespace.
            name.truncate(name.rfind('-').unwrap_or(name.len()));
        }
        let former = into.insert(format!("{kind} {name}"), value);
        assert!(former.is_none(), "two of {kind} {name}");
    }
}

/// What is there for a tenant.
async fn everything(stage: &Stage, namespace: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    kind::<Deployment>(stage, namespace, &mut found).await;
    kind::<Job>(stage, namespace, &mut found).await;
    kind::<Service>(stage, namespace, &mut found).await;
    kind::<ServiceAccount>(stage, namespace, &mut found).await;
    kind::<Role>(stage, namespace, &mut found).await;
    kind::<RoleBinding>(stage, namespace, &mut found).await;
    kind::<NetworkPolicy>(stage, namespace, &mut found).await;
    kind::<PodDisruptionBudget>(stage, namespace, &mut found).await;
    for secret in stage.api::<Secret>(namespace).list(&ListParams::default()).await.unwrap() {
        let keys: Vec<&String> = secret.data.iter().flatten().map(|(key, _)| key).collect();
        found.insert(format!("Secret {}", secret.name_any()), serde_json::to_value(keys).unwrap());
    }
    for map in stage.api::<ConfigMap>(namespace).list(&ListParams::default()).await.unwrap() {
        let keys: Vec<&String> = map.binary_data.iter().flatten().map(|(key, _)| key).collect();
        found.insert(format!("ConfigMap {}", map.name_any()), serde_json::to_value(keys).unwrap());
    }
    let bundle = stage.bundle(namespace).await.unwrap();
    let content = serde_json::json!([bundle.policies, bundle.use_cases]).to_string();
    let content = content.replace(namespace, "NAMESPACE");
    found.insert("the rules".to_owned(), serde_json::from_str(&content).unwrap());
    found
}

#[tokio::test]
async fn it_converges_though_it_is_killed_at_any_point() {
    let stage = Stage::shared(2).await;
    let [disturbed, undisturbed] = stage.tenants.as_slice() else { unreachable!("two were asked for") };
    stage.apply(&stage.tenant_policy(disturbed)).await;
    stage.apply(&stage.quickstart_tenant(disturbed)).await;
    let (seen, recorder) = record(&stage, disturbed).await;
    // What a tenant takes on this machine: the lives are of that order, most of them far shorter.
    let began = Instant::now();
    let operator = stage.start("operator-0");
    operator.says("the stores are filled").await;
    let start = began.elapsed();
    let began = Instant::now();
    stage.tenant(disturbed, |status| !of(&status.conditions, "Migrations").0.is_empty()).await;
    let longest = began.elapsed().min(LONGEST_LIFE);
    operator.kill();
    // A container that is started again in its pod keeps its name, and so its Lease.
    for turn in 0..KILLS {
        let began = Instant::now();
        let operator = stage.start("operator-0");
        disturb(&stage, disturbed, turn).await;
        // The start itself: before it leads, while it lists, before it knows everything.
        if turn % STARTS == 0 {
            let chance: f64 = rand::random();
            tokio::time::sleep((start.mul_f64(chance)).saturating_sub(began.elapsed())).await;
            operator.kill();
            continue;
        }
        operator.says("the stores are filled").await;
        let chance: f64 = rand::random();
        tokio::time::sleep(longest.mul_f64(chance * chance)).await;
        operator.kill();
    }
    let operator = stage.operator("operator-0").await;
    settle(&stage, disturbed).await;
    settle(&stage, undisturbed).await;

    let seen = seen.lock().unwrap().clone();
    recorder.abort();
    assert!(seen.len() > 2, "the kills left time for work: {seen:?}");
    for pair in seen.windows(2) {
        let [(before, known), (after, digest)] = pair else { continue };
        assert!(before < after || (before == after && known == digest), "{seen:?}");
    }
    let (there, wanted) = (everything(&stage, disturbed).await, everything(&stage, undisturbed).await);
    let names = |all: &BTreeMap<String, Value>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&there), names(&wanted));
    for (name, value) in &wanted {
        assert_eq!(&there[name], value, "{name}");
    }
    // One revision of each policy is the last that was accepted, and each belongs to a policy that is there.
    for namespace in [disturbed, &stage.organisation] {
        let revisions =
            stage.api::<ControllerRevision>(namespace).list(&ListParams::default()).await.unwrap();
        let last = revisions.items.iter().max_by_key(|revision| revision.revision).unwrap();
        let spec = &last.data.as_ref().unwrap().0["spec"];
        assert_eq!(spec["version"], "2.0.0");
    }
    let tenants = stage.api::<CrmTenant>(disturbed).list(&ListParams::default()).await.unwrap();
    assert_eq!(tenants.items.len(), 1);
    drop(operator);
    stage.nothing_was_forbidden();
}
