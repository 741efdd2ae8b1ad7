//! Rules change under load, and bad ones change nothing.

use novacrm_engine::audit::MIGRATIONS;
use novacrm_engine::bundle::BUNDLE_KEY;
use novacrm_engine_core::bundle::signed::sign;
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{Running, Tenant, bundle, bundle_key, canary, until};

async fn last_error(engine: &Running) -> Option<String> {
    let (_, status) = engine.get(&engine.operator, "/v1/bundle").await;
    status["last_error"]["message"].as_str().map(str::to_owned)
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_request_is_decided_by_one_bundle_while_bundles_change_under_load(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let action = |sequence: u64| if sequence.is_multiple_of(2) { "block" } else { "redact" };
    let make = |sequence: u64| bundle(sequence, action(sequence), &format!("{sequence}.0.0"));
    let engine = tenant.ready_engine(&make(1)).await;
    let text = canary();
    let mut seen = std::collections::BTreeSet::new();
    for sequence in 2..12 {
        tenant.publish(&make(sequence).encode().unwrap());
        let request = json!({"text": text});
        let load = futures::future::join_all((0..8).map(|_| engine.analyze(&request))).await;
        for (status, answer) in load {
            assert_eq!(status, 200);
            let decided_by = answer["bundle"]["sequence"].as_u64().unwrap();
            assert_eq!(answer["bundle"]["digest"], make(decided_by).digest());
            assert_eq!(answer["action"], action(decided_by));
            assert_eq!(answer["rules"][0]["policy"]["version"], format!("{decided_by}.0.0"));
            seen.insert(decided_by);
        }
        let not = make(sequence - 1).digest();
        let (_, status) = engine.get(&engine.operator, &format!("/v1/bundle?not={not}")).await;
        assert_eq!(
            status["bundle"]["digest"],
            make(sequence).digest(),
            "the long poll answers with the new bundle"
        );
    }
    assert!(seen.len() > 1, "the load saw more than one bundle");
    let (_, policies) = engine.get(&engine.api, "/v1/policies").await;
    assert_eq!(policies["policies"][0]["rules"][0]["id"], "TEST-1");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_bundle_that_cannot_be_used_leaves_the_last_good_one_and_says_why(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(5, "redact", "1.0.0")).await;
    let mut broken = bundle(6, "redact", "1.1.0");
    broken.policies[0].custom_detectors[0].pattern = "(".to_owned();
    let mut foreign = bundle(7, "redact", "1.1.0");
    foreign.tenant = "other".to_owned();
    let cases = [
        (b"no bundle".to_vec(), "decompressed"),
        (broken.encode().unwrap(), "acme/test: "),
        (foreign.encode().unwrap(), "another tenant"),
        (bundle(4, "block", "0.9.0").encode().unwrap(), "its sequence 4"),
        (bundle(5, "block", "0.9.0").encode().unwrap(), "its sequence 5"),
    ];
    for (bytes, why) in cases {
        tenant.publish(&bytes);
        until(why, async || last_error(&engine).await.is_some_and(|error| error.contains(why))).await;
        let (status, answer) = engine.analyze(&json!({"text": canary()})).await;
        assert_eq!((status, answer["bundle"]["sequence"].as_u64()), (200, Some(5)), "{why}");
        assert_eq!(engine.probe("/readyz").await.0, 200, "{why}");
    }
    tenant.publish(&bundle(8, "block", "2.0.0").encode().unwrap());
    until("the good one is in force", async || last_error(&engine).await.is_none()).await;
    assert_eq!(engine.analyze(&json!({"text": canary()})).await.1["action"], "block");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn forged_rules_are_refused_over_http_and_the_right_ones_are_taken_after_them(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(5, "block", "1.0.0")).await;
    // What finds nothing, under the largest number there is.
    let mut forged = bundle(novacrm_engine_core::bundle::MAX_SEQUENCE, "block", "1.0.0");
    forged.policies.clear();
    let forged = forged.encode().unwrap();
    let stranger = sign(&forged, &[bundle_key()]).unwrap();
    let mut changed = tenant.sign(&bundle(6, "redact", "1.0.0").encode().unwrap());
    *changed.last_mut().unwrap() ^= 1;
    for (bytes, reason, why) in [
        (forged, "unsigned", "the bundle is not signed"),
        (stranger, "signature", "not signed by a key that is trusted"),
        (changed, "signature", "changed after it was signed"),
    ] {
        tenant.replace(&bytes);
        until(why, async || last_error(&engine).await.is_some_and(|error| error.contains(why))).await;
        let (status, answer) = engine.analyze(&json!({"text": canary()})).await;
        assert_eq!((status, answer["action"].as_str()), (200, Some("block")), "{why}");
        assert_eq!(answer["bundle"]["sequence"], 5, "{why}");
        let metrics = engine.probe("/metrics").await.1;
        let counted = format!("engine_bundles_refused_total{{reason=\"{reason}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&counted)).unwrap();
        assert_ne!(count, "0", "{why}");
    }
    tenant.publish(&bundle(6, "redact", "2.0.0").encode().unwrap());
    until("the right one is in force", async || last_error(&engine).await.is_none()).await;
    assert_eq!(engine.analyze(&json!({"text": canary()})).await.1["action"], "redact");
    // A formerly right one is not taken again.
    tenant.publish(&bundle(5, "block", "1.0.0").encode().unwrap());
    until("it is refused", async || {
        last_error(&engine).await.is_some_and(|error| error.contains("sequence 5"))
    })
    .await;
    assert_eq!(engine.analyze(&json!({"text": canary()})).await.1["action"], "redact");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_refusal_between_two_polls_is_told_by_the_next(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let good = bundle(1, "redact", "1.0.0");
    let engine = tenant.ready_engine(&good).await;
    let publish_broken = |pattern: &str| {
        let mut broken = bundle(2, "redact", "1.1.0");
        broken.policies[0].custom_detectors[0].pattern = pattern.to_owned();
        tenant.publish(&broken.encode().unwrap());
        broken.digest()
    };
    let first = publish_broken("(");
    until("it is refused", async || last_error(&engine).await.is_some()).await;
    let poll = |refused: &str| format!("/v1/bundle?not={}&refused={refused}", good.digest());
    let asked = std::time::Instant::now();
    let (_, told) = engine.get(&engine.operator, &poll("")).await;
    assert_eq!(told["last_error"]["digest"], first);
    assert!(asked.elapsed() < std::time::Duration::from_secs(20), "it waited for nothing");
    // Who knows it waits for the next.
    let next = poll(&first);
    let waiting = engine.get(&engine.operator, &next);
    let publish = async { publish_broken("[") };
    let ((_, told), second) = tokio::join!(waiting, publish);
    assert_eq!(told["last_error"]["digest"], second);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_fresh_engine_uses_the_bundle_before_when_the_newest_is_broken(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let before = tenant.sign(&bundle(3, "redact", "1.0.0").encode().unwrap());
    std::fs::write(tenant.previous.path().join(BUNDLE_KEY), before).unwrap();
    tenant.publish(b"broken");
    let engine = tenant.engine().await;
    engine.until_ready().await;
    let (_, answer) = engine.analyze(&json!({"text": canary()})).await;
    assert_eq!(answer["bundle"]["sequence"], 3);
    assert!(last_error(&engine).await.is_some());
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn without_rules_nothing_is_decided_and_rules_to_come_can_be_demanded(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.engine().await;
    let (status, problem) = engine.analyze(&json!({"text": "x"})).await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("no_bundle")));
    assert_eq!(engine.probe("/readyz").await.0, 503);
    tenant.publish(&bundle(1, "redact", "1.0.0").encode().unwrap());
    engine.until_ready().await;
    let (status, problem) = engine.analyze(&json!({"text": "x", "minimum_sequence": 2})).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("bundle_behind")));
    assert_eq!(engine.analyze(&json!({"text": "x", "minimum_sequence": 1})).await.0, 200);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_bundle_behind_a_swapped_symlink_is_seen(pool: PgPool) {
    let tenant = Tenant::new(pool);
    // As the kubelet does it: the file is a link through a folder that is replaced.
    let dir = tenant.bundles.path();
    let version = |name: &str, bundle: Vec<u8>| {
        std::fs::create_dir(dir.join(name)).unwrap();
        std::fs::write(dir.join(name).join(BUNDLE_KEY), tenant.sign(&bundle)).unwrap();
        std::os::unix::fs::symlink(name, dir.join("..tmp")).unwrap();
        std::fs::rename(dir.join("..tmp"), dir.join("..data")).unwrap();
    };
    version("..1", bundle(1, "redact", "1.0.0").encode().unwrap());
    std::os::unix::fs::symlink(format!("..data/{BUNDLE_KEY}"), dir.join(BUNDLE_KEY)).unwrap();
    let engine = tenant.engine().await;
    engine.until_ready().await;
    version("..2", bundle(2, "redact", "2.0.0").encode().unwrap());
    until("the second is in force", async || {
        engine.get(&engine.operator, "/v1/bundle").await.1["bundle"]["sequence"] == 2
    })
    .await;
}
