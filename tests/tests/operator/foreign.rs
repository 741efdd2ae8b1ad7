//! Rules that somebody with rights in the tenant's namespace forges or brings back, where nothing keeps them from writing:
//! what the signatures alone do.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use novacrm_crds::CrmTenant;
use novacrm_engine_core::bundle::signed::TrustedKeys;
use novacrm_engine_core::bundle::{Bundle, MAX_SEQUENCE, Received};
use novacrm_operator::crm_tenant::{generate, names};
use novacrm_operator::signing::{self, SigningKeys};
use novacrm_tests::cluster::{PATIENCE, eventually};
use serde_json::json;

use crate::kubectl::Kubectl;
use crate::stage::{Engine, Operator, Stage, message, of, version};

const POLICY: &str = "acme-customer-data";
/// What the tenant's policy redacts.
const IBAN: &str = "IBAN FR76 3000 6000 0112 3456 7890 189";
const UNSIGNED: &str = "engine_bundles_refused_total{reason=\"unsigned\"}";
const SEQUENCE: &str = "engine_bundle_sequence";

/// A tenant that is ready, with its engine.
async fn ready_tenant(stage: &Stage, namespace: &str) -> (Operator, Engine) {
    stage.run_engines(namespace);
    let operator = stage.operator("operator-0").await;
    stage.apply(&stage.organisation_policy()).await;
    stage.apply(&stage.tenant_policy(namespace)).await;
    stage.apply(&stage.quickstart_tenant(namespace)).await;
    let engine = stage.engine(namespace).await;
    stage.tenant_is_ready(namespace).await;
    (operator, engine)
}

/// A tenant with an engine that enforces its policy, and somebody who may edit what is in its namespace.
async fn tenant(stage: &Stage) -> (Operator, Engine, Kubectl) {
    let namespace = stage.tenants[0].clone();
    let (operator, engine) = ready_tenant(stage, &namespace).await;
    stage.policy_is_enforced(&namespace, POLICY, "1.0.0", "1/1").await;
    let editor = stage.kubectl(&namespace, "edit").await;
    (operator, engine, editor)
}

/// Writes bytes in place of a bundle, with what a former release took for the highest number there was.
fn write(editor: &Kubectl, map: &str, bytes: &[u8]) {
    let change = json!({
        "metadata": { "annotations": { "novacrm.io/highest-sequence": u64::MAX.to_string() } },
        "binaryData": { names::BUNDLE_KEY: BASE64_STANDARD.encode(bytes) },
    });
    editor.ok(&["patch", "configmap", map, "--type=merge", "--patch", &change.to_string()]);
}

async fn held(stage: &Stage, namespace: &str, map: &str) -> Option<Vec<u8>> {
    let found = stage.api::<ConfigMap>(namespace).get_opt(map).await.unwrap()?;
    let ByteString(bytes) = found.binary_data?.remove(names::BUNDLE_KEY)?;
    Some(bytes)
}

/// Waits until a ConfigMap holds a bundle of the operator for the tenant again.
async fn is_replaced(stage: &Stage, namespace: &str, map: &str, after: u64) -> Bundle {
    let keys = stage.signing_keys().await;
    let found = eventually(PATIENCE, || async {
        let bytes = held(stage, namespace, map).await.ok_or("there is no bundle".to_owned())?;
        let received = Received::verify(&bytes, keys.trusted()).map_err(|error| error.to_string())?;
        let bundle = received.bundle().clone();
        match (bundle.tenant == namespace, bundle.sequence > after) {
            (true, true) => Ok(bundle),
            _ => Err(format!("bundle {} of {}", bundle.sequence, bundle.tenant)),
        }
    });
    found.await.unwrap()
}

async fn is_told(stage: &Stage, operator: &Operator, namespace: &str, reason: &str, count: u64) {
    let status = stage
        .tenant(namespace, |status| {
            of(&status.conditions, "RulesAuthentic") == ("False", "ForeignBundle")
                && of(&status.conditions, "Ready").0 == "True"
        })
        .await;
    assert!(message(&status.conditions, "RulesAuthentic").contains("The operator did not write that"));
    let event = stage.event(namespace, "acme", "ForeignBundle").await;
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    operator.metric(&format!("novacrm_operator_foreign_bundles_total{{reason=\"{reason}\"}} {count}")).await;
}

#[tokio::test]
async fn forged_rules_reach_no_engine_and_are_replaced_and_told() {
    let stage = Stage::unprotected(1).await;
    let namespace = stage.tenants[0].clone();
    let (operator, engine, editor) = tenant(&stage).await;
    let good = stage.bundle(&namespace).await.unwrap();
    let status =
        stage.tenant(&namespace, |status| of(&status.conditions, "RulesAuthentic").0 == "True").await;
    assert_eq!(of(&status.conditions, "RulesAuthentic"), ("True", "Authentic"));
    let decided = engine.analyze(&stage, &namespace, IBAN).await;
    assert_ne!(decided["action"], "allow", "{decided}");

    // While no operator is there to replace them: the engine alone stands against rules that forbid nothing.
    operator.kill();
    let mut forged = good.clone();
    forged.policies.clear();
    forged.sequence = MAX_SEQUENCE;
    let forged = forged.encode().unwrap();
    write(&editor, names::BUNDLE, &forged);
    engine.until(UNSIGNED, |count| count >= 1).await;
    assert_eq!(engine.metric(SEQUENCE).await, good.sequence);
    let still = engine.analyze(&stage, &namespace, IBAN).await;
    assert_eq!((&still["action"], &still["output"]), (&decided["action"], &decided["output"]));
    // Nor does an engine that starts now take them: it takes those before.
    let fresh = stage.engine(&namespace).await;
    assert_ne!(fresh.analyze(&stage, &namespace, IBAN).await["action"], "allow");

    let operator = stage.operator("operator-1").await;
    let replaced = is_replaced(&stage, &namespace, names::BUNDLE, good.sequence).await;
    assert_eq!(replaced.policies, good.policies);
    // The forged number and the annotation are believed by nobody.
    assert!(replaced.sequence < MAX_SEQUENCE / 1000, "{}", replaced.sequence);
    is_told(&stage, &operator, &namespace, "unsigned", 1).await;
    for engine in [&engine, &fresh] {
        engine.until(SEQUENCE, |sequence| sequence == replaced.sequence).await;
        assert_eq!(engine.analyze(&stage, &namespace, IBAN).await["action"], decided["action"]);
    }
    // What comes next is taken as ever.
    stage.apply(&version(stage.tenant_policy(&namespace), "1.1.0")).await;
    stage.bundle_holds(&namespace, &[("organisation-baseline", "1.0.0"), (POLICY, "1.1.0")]).await;
    let newest = stage.bundle(&namespace).await.unwrap().sequence;
    engine.until(SEQUENCE, |sequence| sequence == newest).await;
    stage.nothing_was_forbidden();
}

#[tokio::test]
async fn whatever_an_editor_puts_in_place_of_the_rules_is_replaced() {
    let stage = Stage::unprotected(2).await;
    let [namespace, other] = [stage.tenants[0].clone(), stage.tenants[1].clone()];
    let (operator, engine, editor) = tenant(&stage).await;
    stage.apply(&stage.tenant_policy(&other)).await;
    stage.apply(&stage.quickstart_tenant(&other)).await;
    let first = held(&stage, &namespace, names::BUNDLE).await.unwrap();
    stage.apply(&version(stage.tenant_policy(&namespace), "1.1.0")).await;
    stage.policy_is_enforced(&namespace, POLICY, "1.1.0", "1/1").await;
    stage.tenant_is_ready(&namespace).await;
    stage.tenant(&other, |status| status.bundle.is_some()).await;
    let mut good = stage.bundle(&namespace).await.unwrap();

    let mut forged = good.clone();
    forged.policies.clear();
    forged.sequence = MAX_SEQUENCE;
    let stranger = SigningKeys::generate(time::OffsetDateTime::now_utc(), &mut rand::rng()).unwrap();
    let stranger = SigningKeys::read(&stranger).unwrap();
    let forged = stranger.sign(&forged.encode().unwrap()).unwrap();
    let others = held(&stage, &other, names::BUNDLE).await.unwrap();
    for (bytes, reason) in [
        (forged.clone(), "signature"),
        (others, "tenant"),
        (first.clone(), "older"),
        (b"nothing".to_vec(), "unsigned"),
    ] {
        write(&editor, names::BUNDLE, &bytes);
        let replaced = is_replaced(&stage, &namespace, names::BUNDLE, good.sequence).await;
        assert_eq!(replaced.policies, good.policies, "{reason}");
        is_told(&stage, &operator, &namespace, reason, 1).await;
        engine.until(SEQUENCE, |sequence| sequence == replaced.sequence).await;
        good = replaced;
    }

    // The rules before are replaced too, and those in force stay as they are.
    write(&editor, names::BUNDLE_PREVIOUS, &forged);
    is_replaced(&stage, &namespace, names::BUNDLE_PREVIOUS, 0).await;
    operator.metric("novacrm_operator_foreign_bundles_total{reason=\"signature\"} 2").await;
    assert_eq!(stage.bundle(&namespace).await.unwrap().sequence, good.sequence);

    // A ConfigMap that cannot be changed any more is made anew.
    let change = json!({
        "immutable": true, "binaryData": { names::BUNDLE_KEY: BASE64_STANDARD.encode(&forged) },
    });
    editor.ok(&["patch", "configmap", names::BUNDLE, "--type=merge", "--patch", &change.to_string()]);
    let replaced = is_replaced(&stage, &namespace, names::BUNDLE, good.sequence).await;
    engine.until(SEQUENCE, |sequence| sequence == replaced.sequence).await;

    // Annotations and labels are put back; nobody reads a number from them.
    let number = ["annotate", "configmap", names::BUNDLE, "novacrm.io/bundle-sequence=18446744073709551615"];
    editor.ok(&[number.as_slice(), &["--overwrite"]].concat());
    eventually(PATIENCE, || async {
        let map = stage.api::<ConfigMap>(&namespace).get(names::BUNDLE).await.unwrap();
        let told = map.annotations().get("novacrm.io/bundle-sequence").cloned();
        if told == Some(replaced.sequence.to_string()) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await
    .unwrap();

    // Both at once are lost: what is given next is newer than what engines have.
    editor.ok(&["delete", "configmap", names::BUNDLE, names::BUNDLE_PREVIOUS]);
    let again = is_replaced(&stage, &namespace, names::BUNDLE, replaced.sequence).await;
    engine.until(SEQUENCE, |sequence| sequence == again.sequence).await;
    stage.policy_is_enforced(&namespace, POLICY, "1.1.0", "1/1").await;
    stage.nothing_was_forbidden();
}

#[tokio::test]
async fn a_key_is_replaced_in_two_steps_and_rules_change_at_every_moment() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    let (_operator, engine, _) = tenant(&stage).await;
    let secrets = stage.api::<Secret>(&stage.home);
    let former = stage.signing_keys().await;

    let mut made = SigningKeys::generate(time::OffsetDateTime::now_utc(), &mut rand::rng()).unwrap();
    let (_, pem) = made.pop_first().unwrap();
    stage
        .merge::<Secret>(&stage.home, signing::SECRET, json!({ "stringData": { "next.key": pem.as_str() } }))
        .await;
    let both = SigningKeys::read(&generate::content(&secrets.get(signing::SECRET).await.unwrap())).unwrap();
    assert_eq!(both.public_lines().split(',').count(), 2);
    // The pods are to run with both; the engine that runs with the former one goes on to take new rules.
    eventually(PATIENCE, || async {
        let told = stage.public_keys(&namespace).await;
        if told == both.public_lines() { Ok(()) } else { Err(told) }
    })
    .await
    .unwrap();
    let before = stage.bundle(&namespace).await.unwrap();
    stage.apply(&version(stage.tenant_policy(&namespace), "1.1.0")).await;
    let during =
        stage.bundle_holds(&namespace, &[("organisation-baseline", "1.0.0"), (POLICY, "1.1.0")]).await;
    assert!(during.sequence > before.sequence);
    engine.until(SEQUENCE, |sequence| sequence == during.sequence).await;
    let next = stage.engine(&namespace).await;

    let entries = generate::content(&secrets.get(signing::SECRET).await.unwrap());
    let old = entries.keys().find(|entry| *entry != "next.key").unwrap();
    stage.merge::<Secret>(&stage.home, signing::SECRET, json!({ "data": { old: null } })).await;
    let keys = stage.signing_keys().await;
    eventually(PATIENCE, || async {
        let bytes = held(&stage, &namespace, names::BUNDLE).await.ok_or("there is no bundle")?;
        assert!(Received::verify(&bytes, keys.trusted()).is_ok());
        if Received::verify(&bytes, former.trusted()).is_err() { Ok(()) } else { Err("the former key signs") }
    })
    .await
    .unwrap();
    stage.apply(&version(stage.tenant_policy(&namespace), "1.2.0")).await;
    let after =
        stage.bundle_holds(&namespace, &[("organisation-baseline", "1.0.0"), (POLICY, "1.2.0")]).await;
    next.until(SEQUENCE, |sequence| sequence == after.sequence).await;
    // An engine that never learnt of the new key keeps the rules it has.
    assert_eq!(engine.metric(SEQUENCE).await, during.sequence);
    // Nothing of it counts as foreign.
    let status = stage.tenant(&namespace, |status| status.bundle.is_some()).await;
    assert_eq!(of(&status.conditions, "RulesAuthentic"), ("True", "Authentic"));
    assert!(TrustedKeys::parse(&stage.public_keys(&namespace).await).is_ok());
}

#[tokio::test]
async fn the_key_is_made_once_for_all_replicas_and_kept() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    let first = stage.start("operator-0");
    let second = stage.start("operator-1");
    let keys = stage.signing_keys().await;
    stage.apply(&stage.tenant_policy(&namespace)).await;
    stage.apply(&stage.quickstart_tenant(&namespace)).await;
    stage.tenant_is_ready(&namespace).await;
    first.kill();
    second.kill();
    let operator = stage.operator("operator-2").await;
    operator.leads().await;
    stage.apply(&version(stage.tenant_policy(&namespace), "1.1.0")).await;
    stage.bundle_holds(&namespace, &[(POLICY, "1.1.0")]).await;
    assert_eq!(stage.signing_keys().await, keys);
    let bytes = held(&stage, &namespace, names::BUNDLE).await.unwrap();
    assert!(Received::verify(&bytes, keys.trusted()).is_ok());
    // It is where nobody reads who works in the tenant's namespace.
    let editor = stage.kubectl(&namespace, "admin").await;
    let said = editor.refused(&["get", "secret", signing::SECRET, "--namespace", &stage.home], "");
    assert!(said.contains("forbidden"), "{said}");
    stage.nothing_was_forbidden();
}

#[tokio::test]
async fn rules_of_a_release_that_did_not_sign_are_signed_and_not_taken_for_forged() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    let (operator, engine) = ready_tenant(&stage, &namespace).await;
    operator.kill();

    // As such a release left it: unsigned, with the highest number in an annotation, and no word of it in the status.
    let former = stage.bundle(&namespace).await.unwrap();
    for map in [names::BUNDLE_PREVIOUS, names::BUNDLE] {
        let change = json!({
            "metadata": { "annotations": { "novacrm.io/highest-sequence": former.sequence.to_string() } },
            "binaryData": { names::BUNDLE_KEY: BASE64_STANDARD.encode(former.encode().unwrap()) },
        });
        stage.merge::<ConfigMap>(&namespace, map, change).await;
    }
    let tenants = stage.api::<CrmTenant>(&namespace);
    let mut tenant = tenants.get("acme").await.unwrap();
    let status = tenant.status.as_mut().unwrap();
    status.conditions.retain(|condition| condition.type_ != "RulesAuthentic");
    let status = json!({ "status": { "conditions": status.conditions } });
    let patch = kube::api::Patch::Merge(status);
    tenants.patch_status("acme", &Default::default(), &patch).await.unwrap();

    let operator = stage.operator("operator-1").await;
    let signed = is_replaced(&stage, &namespace, names::BUNDLE, former.sequence).await;
    assert_eq!(signed.policies, former.policies);
    engine.until(SEQUENCE, |sequence| sequence == signed.sequence).await;
    let status =
        stage.tenant(&namespace, |status| !of(&status.conditions, "RulesAuthentic").0.is_empty()).await;
    assert_eq!(of(&status.conditions, "RulesAuthentic"), ("True", "Authentic"));
    operator.metric("novacrm_operator_foreign_bundles_total{reason=\"unsigned\"} 0").await;
    stage.nothing_was_forbidden();
}
