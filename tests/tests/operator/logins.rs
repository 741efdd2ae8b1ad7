//! Logins that grow old, and Secrets of the platform team's that change.

use std::str::FromStr as _;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use novacrm_crds::SecretKeyReference;
use novacrm_crds::crm_tenant::{Database, DatabaseType, ExistingDatabase, ExistingUrls};
use novacrm_operator::crm_tenant::build::SECRETS_DIGEST;
use novacrm_operator::crm_tenant::database::Databases;
use novacrm_operator::crm_tenant::names;
use novacrm_tests::cluster::{PATIENCE, eventually};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, of};

/// Makes the logins of a tenant older than they are.
async fn age(stage: &Stage, namespace: &str, by: SignedDuration) {
    let since = Timestamp::now().checked_sub(by).unwrap();
    let change = json!({ "stringData": { "logins-since": format!("{since:.0}") } });
    stage.merge::<Secret>(namespace, names::DATABASE, change).await;
}

async fn digest(deployments: &Api<Deployment>, name: &str) -> String {
    let template = deployments.get(name).await.unwrap().spec.unwrap().template;
    template.metadata.unwrap().annotations.unwrap()[SECRETS_DIGEST].clone()
}

/// Keeps asking with kept and with new connections until it is told to stop; everything that went wrong.
fn ask(url: &str, stop: CancellationToken) -> tokio::task::JoinHandle<(u64, Vec<String>)> {
    let options = PgConnectOptions::from_str(url).unwrap().disable_statement_logging();
    tokio::spawn(async move {
        let (mut asked, mut failed) = (0, Vec::new());
        let mut kept = options.connect().await.unwrap();
        while !stop.is_cancelled() {
            for outcome in [
                kept.execute("SELECT count(*) FROM contacts").await.map(|_| ()),
                async { options.connect().await?.close().await }.await,
            ] {
                asked += 1;
                failed.extend(outcome.err().map(|error| error.to_string()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (asked, failed)
    })
}

#[tokio::test]
async fn old_logins_are_changed_while_the_former_ones_serve_and_then_locked() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    stage.run_jobs(&namespace);
    let _operator = stage.operator("operator-0").await;
    stage.apply(&stage.tenant_policy(&namespace)).await;
    stage.apply(&stage.quickstart_tenant(&namespace)).await;
    stage.tenant_is_ready(&namespace).await;
    let deployments = stage.api::<Deployment>(&namespace);
    let first = stage.secret(&namespace, names::DATABASE).await;
    let before = digest(&deployments, names::API).await;
    assert!(first[names::API_URL].contains("_app_a:"), "the first pair");
    let stop = CancellationToken::new();
    let former_pod = ask(&first[names::API_URL], stop.clone());

    // A month later: the other pair, with other passwords, and pods that are given them.
    age(&stage, &namespace, SignedDuration::from_hours(24 * 31)).await;
    let second = eventually(PATIENCE, || async {
        let now = stage.secret(&namespace, names::DATABASE).await;
        if now[names::API_URL].contains("_app_b:") { Ok(now) } else { Err("the logins are the former ones") }
    })
    .await
    .unwrap();
    for key in [names::API_URL, names::API_MIGRATION_URL, names::AUDIT_URL, names::AUDIT_MIGRATION_URL] {
        assert_ne!(first[key], second[key], "{key}");
        let options = PgConnectOptions::from_str(&second[key]).unwrap();
        options.connect().await.unwrap().close().await.unwrap();
    }
    eventually(PATIENCE, || async {
        let (engine, api) =
            tokio::join!(digest(&deployments, names::ENGINE), digest(&deployments, names::API));
        if api != before && engine != before { Ok(()) } else { Err("pods have the former logins") }
    })
    .await
    .unwrap();
    stage.tenant_is_ready(&namespace).await;
    let new_pod = ask(&second[names::API_URL], stop.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        stage.secret(&namespace, names::DATABASE).await,
        second,
        "nothing more while pods may still end"
    );
    stop.cancel();
    for pod in [former_pod, new_pod] {
        let (asked, failed) = pod.await.unwrap();
        assert!(asked > 3 && failed.is_empty(), "{asked} requests, failed: {failed:?}");
    }

    // All pods have rolled, and the time for those that end is over.
    age(&stage, &namespace, SignedDuration::from_mins(6)).await;
    eventually(PATIENCE, || async {
        let former = PgConnectOptions::from_str(&first[names::API_URL]).unwrap().disable_statement_logging();
        if former.connect().await.is_err() { Ok(()) } else { Err("the former login still works") }
    })
    .await
    .unwrap();
    eventually(PATIENCE, || async {
        let now = stage.secret(&namespace, names::DATABASE).await;
        assert_eq!(now[names::API_URL], second[names::API_URL]);
        if now["former-logins"] == "locked" { Ok(()) } else { Err(now["former-logins"].clone()) }
    })
    .await
    .unwrap();
    PgConnectOptions::from_str(&second[names::API_URL])
        .unwrap()
        .connect()
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    stage.nothing_was_forbidden();
}

#[tokio::test]
async fn a_changed_secret_of_the_platform_team_s_rolls_what_uses_it_at_once() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    // Databases that somebody made: here those that a managed tenant would have.
    let Databases { crm, audit } = Databases::of(&namespace);
    let mut server = stage.administrator("postgres").await;
    for name in [&crm.name, &audit.name] {
        server.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    }
    server.close().await.unwrap();
    let at = |database: &str| {
        let mut url = url::Url::parse(&std::env::var("DATABASE_URL").unwrap()).unwrap();
        url.set_path(database);
        url.to_string()
    };
    let metadata = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let mut secret = Secret { metadata: metadata("given"), ..Secret::default() };
    let urls = [("crm", at(&crm.name)), ("audit", at(&audit.name)), ("ca", "a certificate".to_owned())];
    secret.string_data = Some(urls.map(|(key, value)| (key.to_owned(), value)).into());
    let key = |key: &str| SecretKeyReference { name: "given".to_owned(), key: key.to_owned() };
    let both = |name: &str| ExistingUrls { url_secret_ref: key(name), migration_url_secret_ref: key(name) };
    let existing = ExistingDatabase {
        port: 5432,
        crm: both("crm"),
        audit: both("audit"),
        root_certificate_secret_ref: Some(key("ca")),
    };
    let mut tenant = stage.quickstart_tenant(&namespace);
    tenant.spec.database = Database {
        r#type: DatabaseType::Existing,
        managed: None,
        cloud_native_pg: None,
        existing: Some(existing),
    };
    let _operator = stage.operator("operator-0").await;
    stage.apply(&stage.tenant_policy(&namespace)).await;
    stage.apply(&tenant).await;
    stage.tenant(&namespace, |status| of(&status.conditions, "Database") == ("False", "Progressing")).await;

    // It is looked at when the Secret comes, long before everything is looked at again.
    let secrets = stage.api::<Secret>(&namespace);
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    stage.tenant_is_ready(&namespace).await;
    let deployments = stage.api::<Deployment>(&namespace);
    let before = digest(&deployments, names::API).await;
    let pod = deployments.get(names::API).await.unwrap().spec.unwrap().template.spec.unwrap();
    let env = pod.containers[0].env.clone().unwrap();
    let roots = env.iter().find(|variable| variable.name == "PGSSLROOTCERT").unwrap();
    assert_eq!(roots.value.as_deref(), Some("/etc/novacrm/database/ca.crt"));
    // What nobody reads rolls nothing.
    stage.merge::<Secret>(&namespace, "given", json!({ "stringData": { "other": "x" } })).await;
    let changed = format!("{}?application_name=changed", at(&crm.name));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(digest(&deployments, names::API).await, before);
    stage.merge::<Secret>(&namespace, "given", json!({ "stringData": { "crm": changed } })).await;
    let engine = digest(&deployments, names::ENGINE).await;
    eventually(Duration::from_secs(20), || async {
        let now = digest(&deployments, names::API).await;
        if now == before { Err("the pods have the former address") } else { Ok(()) }
    })
    .await
    .unwrap();
    assert_eq!(digest(&deployments, names::ENGINE).await, engine, "the engine does not read it");
    stage.nothing_was_forbidden();
}
