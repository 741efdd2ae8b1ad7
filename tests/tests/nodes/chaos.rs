//! What breaks, broken while people work: what they were told is held against what is there.

use std::time::{Duration, Instant};

use novacrm_tests::cluster::eventually;
use novacrm_tests::system::Api;
use reqwest::StatusCode;
use serde_json::json;

use crate::helm::{NAMESPACE, RELEASE};
use crate::load::{Load, PROMPT, Told};
use crate::machine::{kill_pod, signal_api_server, volume};
use crate::site::{DATABASES, PATIENCE, POLICY, Site, TENANT};

/// People who work while something breaks.
const WORKERS: usize = 4;
/// How long they work before and after.
const CALM: Duration = Duration::from_secs(5);
/// Size of a data folder that is filled to the last byte.
const SMALL_VOLUME: &str = "300Mi";
/// The shortest staleness that a policy may set, in seconds.
const STALENESS: u64 = 300;

/// Waits until verdicts are answered again: ten in a row.
async fn answers_again(api: &Api) {
    let answered = eventually(PATIENCE, || async {
        for _ in 0..10 {
            let (status, body) = api.assess(PROMPT).await.map_err(|error| error.to_string())?;
            if status != StatusCode::CREATED {
                return Err(format!("{status}: {body}"));
            }
        }
        Ok(())
    });
    answered.await.unwrap();
}

/// Breaks something under load. Out: what people were told, and how long after it the last of them was refused.
async fn under_load(api: &Api, what: &str, breaks: impl FnOnce()) -> Told {
    let load = Load::start(api, WORKERS);
    tokio::time::sleep(CALM).await;
    let broken = Instant::now();
    tokio::task::block_in_place(breaks);
    answers_again(api).await;
    tokio::time::sleep(CALM).await;
    let told = load.stop().await;
    let last = told.failed.iter().map(|(at, _)| at.saturating_duration_since(broken)).max();
    println!(
        "{what}: {} answers, {} failures, the last {:.1} s afterwards",
        told.succeeded,
        told.failed.len(),
        last.unwrap_or_default().as_secs_f64()
    );
    told
}

/// What was acknowledged is there, and the audit log is whole.
async fn nothing_is_lost(site: &Site, api: &Api, told: &Told) {
    told.assert_kept(api).await;
    told.assert_recorded(&site.audit_log(TENANT)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and a node of its own"]
async fn a_killed_part_loses_nothing_that_was_acknowledged() {
    let site = Site::install(2).await;
    site.quickstart(2).await;
    let api = site.log_in(TENANT).await;
    let first = |namespace, part| site.pods_of(namespace, part).swap_remove(0);

    let operators = site.pods_of(NAMESPACE, RELEASE);
    let told = under_load(&api, "operators killed", || {
        for pod in &operators {
            kill_pod(&site, NAMESPACE, pod);
        }
    })
    .await;
    told.assert_no_failure();
    nothing_is_lost(&site, &api, &told).await;
    site.rolled_out(NAMESPACE, RELEASE);

    for part in ["novacrm-engine", "novacrm-api"] {
        let pod = first(TENANT, part);
        let told =
            under_load(&api, &format!("one of two {part} killed"), || kill_pod(&site, TENANT, &pod)).await;
        nothing_is_lost(&site, &api, &told).await;
        site.rolled_out(TENANT, part);
    }

    let database = site.kubectl.names(&["pods", "--namespace", DATABASES, "--selector=app=postgres"]);
    let database = database[0].trim_start_matches("pod/").to_owned();
    let told = under_load(&api, "PostgreSQL killed", || kill_pod(&site, DATABASES, &database)).await;
    nothing_is_lost(&site, &api, &told).await;

    // Asked to leave, a pod costs nobody anything.
    for part in ["novacrm-engine", "novacrm-api"] {
        let pod = first(TENANT, part);
        let told = under_load(&api, &format!("one of two {part} evicted"), || evict(&site, &pod)).await;
        told.assert_no_failure();
        nothing_is_lost(&site, &api, &told).await;
        site.rolled_out(TENANT, part);
    }
    site.audit_log_verifies(TENANT).await;
}

fn evict(site: &Site, pod: &str) {
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod, "namespace": TENANT },
    });
    let path = format!("/api/v1/namespaces/{TENANT}/pods/{pod}/eviction");
    site.kubectl.ok_with(&["create", "--raw", &path, "--filename", "-"], &eviction.to_string());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and a node of its own"]
async fn with_a_full_disk_under_the_audit_log_nothing_is_answered_unrecorded() {
    let site = Site::install_on(1, &format!("{{medium: Memory, sizeLimit: {SMALL_VOLUME}}}")).await;
    site.quickstart(1).await;
    let api = site.log_in(TENANT).await;
    let database = site.kubectl.names(&["pods", "--namespace", DATABASES, "--selector=app=postgres"]);
    let filler = volume(&site, DATABASES, database[0].trim_start_matches("pod/"), "data").join("filler");

    let load = Load::start(&api, WORKERS);
    tokio::time::sleep(CALM).await;
    fill(&filler);
    let refused = eventually(PATIENCE, || async {
        match api.assess(PROMPT).await {
            Ok((StatusCode::CREATED, _)) => Err("it is still answered".to_owned()),
            Ok((status, body)) => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{}", body["title"]);
                Ok(format!("{status}: {}", body["title"]))
            }
            Err(error) => Ok(error.to_string()),
        }
    });
    println!("with a full disk: {}", refused.await.unwrap());
    tokio::time::sleep(CALM).await;
    std::fs::remove_file(&filler).unwrap();
    answers_again(&api).await;
    tokio::time::sleep(CALM).await;
    let told = load.stop().await;
    println!("full disk: {} answers, {} failures", told.succeeded, told.failed.len());
    assert!(!told.failed.is_empty(), "the disk was never full");
    nothing_is_lost(&site, &api, &told).await;
    site.audit_log_verifies(TENANT).await;
}

/// Writes until nothing fits any more.
fn fill(path: &std::path::Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        let block = vec![0_u8; size];
        while file.write_all(&block).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and a node of its own"]
async fn without_an_api_server_decisions_go_on_until_the_rules_are_stale() {
    let site = Site::install(1).await;
    site.quickstart(1).await;
    let api = site.log_in(TENANT).await;
    let mut policy = site.policy();
    policy["spec"]["version"] = json!("1.1.0");
    policy["spec"]["enforcement"]["maxStalenessSeconds"] = json!(STALENESS);
    site.apply(&policy);
    site.policy_is_ready();

    let load = Load::start(&api, WORKERS);
    tokio::time::sleep(CALM).await;
    let stopped = Instant::now();
    signal_api_server(true);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let told = load.stop().await;
    println!("a minute without an API server: {} answers", told.succeeded);
    told.assert_no_failure();

    let stale = eventually(Duration::from_secs(STALENESS + 15), || async {
        let (status, body) = api.assess(PROMPT).await.map_err(|error| error.to_string())?;
        let blocked = body["action"] == "block" || !status.is_success();
        if blocked { Ok(body) } else { Err("it is still answered".to_owned()) }
    });
    let body = stale.await.unwrap();
    let after = stopped.elapsed();
    println!("stale after {:.0} s: {}", after.as_secs_f64(), body["action"]);
    assert!(after >= Duration::from_secs(STALENESS - 30), "too early: {after:?}");
    signal_api_server(false);
    let back = Instant::now();
    let fresh = eventually(PATIENCE, || async {
        let (_, body) = api.assess(PROMPT).await.map_err(|error| error.to_string())?;
        if body["action"] == "mask" { Ok(()) } else { Err(body.to_string()) }
    });
    fresh.await.unwrap();
    println!("fresh {:.1} s after the API server went on", back.elapsed().as_secs_f64());
    nothing_is_lost(&site, &api, &told).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and a node of its own"]
async fn an_exception_expires_while_no_operator_runs() {
    let site = Site::install(1).await;
    site.quickstart(1).await;
    let api = site.log_in(TENANT).await;
    let mut policy = site.policy();
    policy["spec"]["version"] = json!("1.1.0");
    let expires = time::OffsetDateTime::now_utc() + Duration::from_secs(60);
    policy["spec"]["exceptions"] = json!([{
        "id": "one-minute", "rules": ["ACME-BANK"], "reason": "A minute, to see it end.", "ticket": "COMP-1",
        "requestedBy": "Direction commerciale", "approvedBy": "Délégué à la protection des données",
        "expiresAt": expires.format(&time::format_description::well_known::Rfc3339).unwrap(),
    }]);
    site.apply(&policy);
    site.policy_is_ready();
    let (_, verdict) = api.assess(PROMPT).await.unwrap();
    assert_ne!(verdict["action"], "mask", "the exception does not act: {verdict}");
    site.kubectl.ok(&["scale", "--namespace", NAMESPACE, &format!("deployment/{RELEASE}"), "--replicas=0"]);
    site.kubectl.ok(&[
        "wait",
        "--for=delete",
        "--timeout=60s",
        "--namespace",
        NAMESPACE,
        "pod",
        "--selector=app.kubernetes.io/name=novacrm-operator",
    ]);
    let masked = eventually(PATIENCE, || async {
        let (_, verdict) = api.assess(PROMPT).await.map_err(|error| error.to_string())?;
        if verdict["action"] == "mask" { Ok(()) } else { Err(verdict["action"].to_string()) }
    });
    masked.await.unwrap();
    let now = time::OffsetDateTime::now_utc();
    println!("{POLICY}: the rule acts {:.1} s after the exception's end", (now - expires).as_seconds_f64());
    assert!(now >= expires, "before its end");
}
