//! Tenants that are deleted: what of them stays, what goes, and when.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PropagationPolicy};
use kube::{Api, ResourceExt};
use novacrm_crds::CrmTenant;
use novacrm_crds::conditions::{CONFIRM_DELETION_ANNOTATION, FINALIZER};
use novacrm_crds::crm_tenant::DeletionPolicy;
use novacrm_operator::cluster::MANAGED;
use novacrm_operator::crm_tenant::database::Databases;
use novacrm_operator::crm_tenant::{ADOPT_ANNOTATION, names};
use novacrm_tests::cluster::{ControlPlane, PATIENCE, eventually};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::stage::{Stage, message, of, program};

/// A tenant whose data goes with it.
fn to_be_deleted(stage: &Stage, namespace: &str) -> CrmTenant {
    let mut tenant = stage.quickstart_tenant(namespace);
    tenant.spec.deletion_policy = DeletionPolicy::Delete;
    tenant
}

async fn confirm(stage: &Stage, namespace: &str, id: &str) {
    let change = json!({ "metadata": { "annotations": { CONFIRM_DELETION_ANNOTATION: id } } });
    stage.merge::<CrmTenant>(namespace, "acme", change).await;
}

async fn is_gone(stage: &Stage, namespace: &str) {
    let tenants = stage.api::<CrmTenant>(namespace);
    eventually(PATIENCE * 2, || async {
        let found = tenants.get_opt("acme").await.map_err(|error| error.to_string())?;
        found.map_or(Ok(()), |tenant| Err(format!("{:#?}", tenant.status)))
    })
    .await
    .unwrap();
}

/// Nothing of the tenant is left but its dump.
async fn nothing_is_left(stage: &Stage, namespace: &str) {
    assert_eq!(stage.on_server(namespace).await, Vec::<String>::new());
    let secrets = stage.api::<Secret>(namespace);
    eventually(PATIENCE, || async {
        let list = secrets.list(&ListParams::default().labels(MANAGED)).await;
        let left: Vec<_> =
            list.map_err(|error| error.to_string())?.iter().map(ResourceExt::name_any).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await
    .unwrap();
}

/// Writes so many records into the audit log as an engine that is killed leaves them: without a place.
async fn record(stage: &Stage, namespace: &str, count: usize) {
    let mut audit = stage.administrator(&Databases::of(namespace).audit.name).await;
    for number in 0..count {
        let id = uuid();
        let body = json!({ "id": id, "request": {}, "number": number }).to_string();
        let leaf = Sha256::new().chain_update([0]).chain_update(&body).finalize();
        sqlx::query("INSERT INTO audit_record (id, leaf_hash, body) VALUES ($1::uuid, $2, $3)")
            .bind(id)
            .bind(leaf.to_vec())
            .bind(body.as_bytes())
            .execute(&mut audit)
            .await
            .unwrap();
    }
    audit.close().await.unwrap();
}

fn uuid() -> String {
    let hex = hex::encode(rand::random::<[u8; 16]>());
    let (first, rest) = hex.split_at(8);
    let (second, rest) = rest.split_at(4);
    let (third, rest) = rest.split_at(4);
    let (fourth, fifth) = rest.split_at(4);
    [first, second, third, fourth, fifth].join("-")
}

async fn contacts(stage: &Stage, database: &str) -> i64 {
    let mut crm = stage.administrator(database).await;
    let count = sqlx::query_scalar("SELECT count(*) FROM contacts").fetch_one(&mut crm).await.unwrap();
    crm.close().await.unwrap();
    count
}

/// Runs a program of ours to its end.
async fn run(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = program(name, arguments, log.path());
    command.envs(variables.iter().copied());
    let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
    let said = std::fs::read_to_string(log.path()).unwrap();
    assert!(status.success(), "{name} {arguments:?}: {said}");
    said
}

#[tokio::test]
async fn data_goes_only_after_a_confirmed_and_whole_dump_which_can_be_restored() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    // Pods that do not meet the restricted standard, that of the last dump too, are refused here.
    let restricted =
        json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces.patch(&namespace, &PatchParams::default(), &Patch::Merge(restricted)).await.unwrap();
    stage.run_jobs(&namespace);
    let _operator = stage.operator("operator-0").await;
    stage.apply(&stage.tenant_policy(&namespace)).await;
    stage.apply(&to_be_deleted(&stage, &namespace)).await;
    stage.tenant_is_ready(&namespace).await;
    let tenants = stage.api::<CrmTenant>(&namespace);
    let tenant = tenants.get("acme").await.unwrap();
    assert_eq!(tenant.finalizers(), [FINALIZER]);
    let id = tenant.uid().unwrap();
    record(&stage, &namespace, 3).await;
    let databases = Databases::of(&namespace);
    let count = contacts(&stage, &databases.crm.name).await;
    assert!(count > 10, "the demonstration has contacts");
    let everything = stage.on_server(&namespace).await;

    // Nobody confirmed it: everything runs on, and status and Event say what is asked.
    tenants.delete("acme", &DeleteParams::default()).await.unwrap();
    let unconfirmed = |message: &str| message.contains(&id) && message.contains("Retain");
    let status = stage
        .tenant(&namespace, |status| of(&status.conditions, "Deletion") == ("False", "DeletionUnconfirmed"))
        .await;
    assert!(unconfirmed(message(&status.conditions, "Ready")), "{status:#?}");
    let event = stage.event(&namespace, "acme", "DeletionUnconfirmed").await;
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert!(unconfirmed(event.message.as_deref().unwrap()), "{event:?}");
    confirm(&stage, &namespace, &namespace).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let deployments = stage.api::<k8s_openapi::api::apps::v1::Deployment>(&namespace);
    assert_eq!(deployments.get(names::API).await.unwrap().spec.unwrap().replicas, Some(1));

    // The volume fails: nothing is deleted, and status and Event say so.
    let volume = stage.volume(&namespace, names::DUMP);
    std::fs::create_dir_all(volume.parent().unwrap()).unwrap();
    std::fs::write(&volume, "a disk that cannot be written to").unwrap();
    confirm(&stage, &namespace, &id).await;
    let status = stage
        .tenant(&namespace, |status| of(&status.conditions, "Deletion") == ("False", "DumpFailed"))
        .await;
    let job = format!("{}-{id}", names::DUMP);
    assert!(message(&status.conditions, "Ready").contains(&job), "{status:#?}");
    assert_eq!(status.final_dump, None);
    assert_eq!(stage.event(&namespace, "acme", "DumpFailed").await.type_.as_deref(), Some("Warning"));
    assert_eq!(stage.on_server(&namespace).await, everything);
    assert!(stage.secret(&namespace, names::ENGINE_KEYS).await.contains_key("audit-signing.key"));
    assert_eq!(deployments.get(names::API).await.unwrap().spec.unwrap().replicas, Some(0));

    // It is mended, and tried again as the message says.
    std::fs::remove_file(&volume).unwrap();
    let jobs = stage.api::<Job>(&namespace);
    jobs.delete(&job, &DeleteParams::background()).await.unwrap();
    is_gone(&stage, &namespace).await;
    nothing_is_left(&stage, &namespace).await;
    let claim = stage.api::<PersistentVolumeClaim>(&namespace).get(names::DUMP).await.unwrap();
    assert!(claim.owner_references().is_empty() && claim.metadata.deletion_timestamp.is_none());
    let deleted = stage.event(&namespace, "acme", "Deleting").await.message.unwrap();
    assert!(deleted.contains(&format!("folder novacrm-{id}")), "{deleted}");

    // What the dump holds is everything that was there.
    let folder = volume.join(format!("novacrm-{id}"));
    let log = folder.join("audit/log");
    let key = folder.join("audit/audit-public.key");
    let verify = ["audit", "verify", "--from", log.to_str().unwrap(), "--public-key", key.to_str().unwrap()];
    let said = run("novacrm-engine", &verify, &[]).await;
    assert!(said.contains("Intact: 3 records, 3 covered"), "{said}");
    let mut server = stage.administrator("postgres").await;
    let restored = format!("{}_restored", databases.crm.name);
    server.execute(AssertSqlSafe(format!("CREATE DATABASE {restored}"))).await.unwrap();
    let mut url = url::Url::parse(&std::env::var("DATABASE_URL").unwrap()).unwrap();
    url.set_path(&restored);
    let variables = [("NOVACRM_MIGRATION_DATABASE_URL", url.as_str())];
    run("novacrm-api-server", &["migrate"], &variables).await;
    let from = folder.join("crm");
    run("novacrm-api-server", &["restore", "--from", from.to_str().unwrap()], &variables).await;
    assert_eq!(contacts(&stage, &restored).await, count);
    server.execute(AssertSqlSafe(format!("DROP DATABASE {restored}"))).await.unwrap();
    server.close().await.unwrap();
    stage.nothing_was_forbidden();
}

#[tokio::test]
async fn whoever_changes_their_mind_keeps_everything_and_may_take_it_over() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    stage.run_jobs(&namespace);
    let _operator = stage.operator("operator-0").await;
    stage.apply(&stage.tenant_policy(&namespace)).await;
    stage.apply(&to_be_deleted(&stage, &namespace)).await;
    stage.tenant_is_ready(&namespace).await;
    let tenants = stage.api::<CrmTenant>(&namespace);
    let former = tenants.get("acme").await.unwrap().uid().unwrap();
    let databases = Databases::of(&namespace);
    let mut crm = stage.administrator(&databases.crm.name).await;
    crm.execute("UPDATE contacts SET job_title = 'of the former tenant'").await.unwrap();
    crm.close().await.unwrap();
    let keys = stage.secret(&namespace, names::ENGINE_KEYS).await;
    let everything = stage.on_server(&namespace).await;

    tenants.delete("acme", &DeleteParams::default()).await.unwrap();
    stage
        .tenant(&namespace, |status| of(&status.conditions, "Deletion") == ("False", "DeletionUnconfirmed"))
        .await;
    let keep = json!({ "spec": { "deletionPolicy": "Retain" } });
    stage.merge::<CrmTenant>(&namespace, "acme", keep).await;
    is_gone(&stage, &namespace).await;
    assert_eq!(stage.on_server(&namespace).await, everything);
    assert_eq!(stage.secret(&namespace, names::ENGINE_KEYS).await, keys);
    let claims = stage.api::<PersistentVolumeClaim>(&namespace).list(&ListParams::default()).await.unwrap();
    assert!(claims.items.is_empty(), "no dump was asked for");

    // A new tenant of the namespace is refused them, and changes nothing.
    stage.apply(&stage.quickstart_tenant(&namespace)).await;
    let foreign = ("False", "ForeignData");
    let status = stage.tenant(&namespace, |status| of(&status.conditions, "Ready") == foreign).await;
    assert!(message(&status.conditions, "Ready").contains(&former), "{status:#?}");
    assert_eq!(stage.secret(&namespace, names::ENGINE_KEYS).await, keys);
    let mut tenant = stage.quickstart_tenant(&namespace);
    tenant.spec.adopt_tenant_id = Some(uuid());
    stage.apply(&tenant).await;
    let generation = tenants.get("acme").await.unwrap().metadata.generation;
    stage
        .tenant(&namespace, |status| {
            of(&status.conditions, "Ready") == foreign && Some(status.observed_generation) == generation
        })
        .await;
    // Named by its id, it is taken over with everything in it.
    tenant.spec.adopt_tenant_id = Some(former.clone());
    stage.apply(&tenant).await;
    // The tenant's word alone opens nothing, nor does another id on the Namespace.
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    for confirmed in [None, Some(uuid())] {
        let patch = json!({ "metadata": { "annotations": { ADOPT_ANNOTATION: confirmed } } });
        namespaces.patch(&namespace, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        let generation = tenants.get("acme").await.unwrap().metadata.generation;
        stage
            .tenant(&namespace, |status| {
                of(&status.conditions, "Ready") == foreign && Some(status.observed_generation) == generation
            })
            .await;
        assert_eq!(stage.secret(&namespace, names::ENGINE_KEYS).await, keys);
    }
    let patch = json!({ "metadata": { "annotations": { ADOPT_ANNOTATION: former } } });
    namespaces.patch(&namespace, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    stage.tenant_is_ready(&namespace).await;
    let mine = tenants.get("acme").await.unwrap().uid().unwrap();
    let now = stage.secret(&namespace, names::ENGINE_KEYS).await;
    assert_eq!(
        (now["tenant-id"].as_str(), &now["audit-signing.key"]),
        (mine.as_str(), &keys["audit-signing.key"])
    );
    let mut crm = stage.administrator(&databases.crm.name).await;
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM contacts WHERE job_title = 'of the former tenant'")
            .fetch_one(&mut crm)
            .await
            .unwrap();
    let owner: String =
        sqlx::query_scalar("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1")
            .bind(&databases.crm.owner)
            .fetch_one(&mut crm)
            .await
            .unwrap();
    crm.close().await.unwrap();
    assert!(kept > 10, "{kept}");
    assert_eq!(owner, format!("novacrm.io/tenant {mine}"));
    // From then on they are its own, whatever the spec says.
    stage.apply(&stage.quickstart_tenant(&namespace)).await;
    stage.tenant_is_ready(&namespace).await;
    stage.nothing_was_forbidden();
}

#[tokio::test]
async fn a_deletion_ends_the_same_though_the_operator_is_killed_at_any_point() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    stage.run_jobs(&namespace);
    let operator = stage.operator("operator-0").await;
    stage.apply(&stage.tenant_policy(&namespace)).await;
    stage.apply(&to_be_deleted(&stage, &namespace)).await;
    stage.tenant_is_ready(&namespace).await;
    let tenants = stage.api::<CrmTenant>(&namespace);
    let id = tenants.get("acme").await.unwrap().uid().unwrap();
    operator.kill();
    confirm(&stage, &namespace, &id).await;
    // Dependents are collected while the owner waits: what the dump needs must not be among them.
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    tenants.delete("acme", &foreground).await.unwrap();
    let mut kills = 0;
    while tenants.get_opt("acme").await.unwrap().is_some() {
        assert!(kills < 300, "{:#?}", tenants.get_opt("acme").await);
        let operator = stage.start("operator-0");
        operator.says("the stores are filled").await;
        let chance: f64 = rand::random();
        tokio::time::sleep(Duration::from_millis(1200).mul_f64(chance * chance)).await;
        operator.kill();
        kills += 1;
    }
    nothing_is_left(&stage, &namespace).await;
    let folder = stage.volume(&namespace, names::DUMP).join(format!("novacrm-{id}"));
    assert!(folder.join("crm/manifest.json").exists() && folder.join("audit/audit-public.key").exists());
    stage.nothing_was_forbidden();
}

#[tokio::test]
async fn in_a_namespace_that_is_deleted_too_no_dump_is_made_and_the_way_out_is_told() {
    // On a control plane of its own the operator looks at everything; rights in the namespace alone would go with it.
    let plane = ControlPlane::start().await.unwrap();
    let cluster = plane.cluster().await.unwrap();
    cluster.apply_crds().await.unwrap();
    let namespace = format!("leaving-{}", hex::encode(rand::random::<[u8; 4]>()));
    let stage = Stage::private(cluster, "novacrm-system", "novacrm-policies", vec![namespace.clone()]).await;
    let _operator = stage.operator("operator-0").await;
    stage.apply(&stage.tenant_policy(&namespace)).await;
    stage.apply(&to_be_deleted(&stage, &namespace)).await;
    stage.tenant_is_ready(&namespace).await;
    let everything = stage.on_server(&namespace).await;
    let id = stage.api::<CrmTenant>(&namespace).get("acme").await.unwrap().uid().unwrap();
    confirm(&stage, &namespace, &id).await;
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
    // Keys go with the namespace, at once or a moment later: either says that nothing was deleted, and what to do.
    let status = stage
        .tenant(&namespace, |status| {
            matches!(of(&status.conditions, "Deletion"), ("False", "NamespaceTerminating" | "LostKey"))
        })
        .await;
    assert!(message(&status.conditions, "Ready").contains("spec.deletionPolicy to Retain"), "{status:#?}");
    assert_eq!(stage.on_server(&namespace).await, everything);
    let keep = json!({ "spec": { "deletionPolicy": "Retain" } });
    stage.merge::<CrmTenant>(&namespace, "acme", keep).await;
    eventually(PATIENCE, || async {
        let found = namespaces.get_opt(&namespace).await.map_err(|error| error.to_string())?;
        found.map_or(Ok(()), |found| Err(format!("{:#?}", found.status)))
    })
    .await
    .unwrap();
    assert_eq!(stage.on_server(&namespace).await, everything);
}
