//! Policies on their way to real engines: enforced, refused by the operator, refused by an engine.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::stage::{Engine, Stage, broken, message, of, version};

const ORGANISATION: &str = "organisation-baseline";
const POLICY: &str = "acme-customer-data";

#[tokio::test]
async fn a_broken_version_leaves_the_last_good_one_in_force_also_over_a_restart() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    stage.run_engines(&namespace);
    let operator = stage.operator("operator-0").await;
    stage.apply(&stage.organisation_policy()).await;
    let policy = stage.tenant_policy(&namespace);
    stage.apply(&policy).await;
    stage.apply(&stage.quickstart_tenant(&namespace)).await;
    let _engine = stage.engine(&namespace).await;
    stage.tenant_is_ready(&namespace).await;
    stage.policy_is_enforced(&stage.organisation, ORGANISATION, "1.0.0", "1/1").await;
    stage.policy_is_enforced(&namespace, POLICY, "1.0.0", "1/1").await;

    stage.apply(&version(policy.clone(), "1.1.0")).await;
    stage.policy_is_enforced(&namespace, POLICY, "1.1.0", "1/1").await;
    operator.metric("novacrm_operator_policy_propagation_seconds_count 1").await;

    let refused = stage.apply(&broken(version(policy.clone(), "1.2.0"))).await;
    let observed = refused.metadata.generation.unwrap();
    let status = stage
        .policy(&namespace, POLICY, |status| {
            status.observed_generation == observed && of(&status.conditions, "Stalled") == ("True", "Invalid")
        })
        .await;
    assert_eq!(of(&status.conditions, "Ready"), ("False", "Invalid"));
    assert_eq!(of(&status.conditions, "Validated"), ("False", "Invalid"));
    assert!(message(&status.conditions, "Ready").contains("Version 1.1.0 stays in force"));
    assert_eq!(status.active.as_ref().unwrap().version, "1.1.0");
    assert_eq!(status.engines.as_ref().unwrap().summary, "1/1");
    let paths: Vec<&str> = status.problems.iter().map(|problem| problem.path.as_str()).collect();
    assert!(paths.contains(&"spec.customDetectors[0].pattern"), "{paths:?}");
    let event = stage.event(&namespace, POLICY, "Invalid").await;
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert!(event.message.unwrap().contains("spec.customDetectors[0].pattern"));
    let kept = stage.bundle_holds(&namespace, &[(ORGANISATION, "1.0.0"), (POLICY, "1.1.0")]).await;

    // The history knows the last good one when the process does not.
    operator.kill();
    let operator = stage.operator("operator-0").await;
    operator.leads().await;
    stage.apply(&version(stage.organisation_policy(), "1.1.0")).await;
    stage.policy_is_enforced(&stage.organisation, ORGANISATION, "1.1.0", "1/1").await;
    let bundle = stage.bundle_holds(&namespace, &[(ORGANISATION, "1.1.0"), (POLICY, "1.1.0")]).await;
    assert!(bundle.sequence > kept.sequence);

    stage.apply(&version(policy, "1.3.0")).await;
    let status = stage.policy_is_enforced(&namespace, POLICY, "1.3.0", "1/1").await;
    assert_eq!(of(&status.conditions, "Stalled").0, "False");
    assert!(status.problems.is_empty());
    stage.nothing_was_forbidden();
}

async fn pod_of(stage: &Stage, namespace: &str, engine: &Engine) -> String {
    let pods = stage.api::<Pod>(namespace).list(&ListParams::default()).await.unwrap();
    let address = Some(engine.address.clone());
    let found =
        pods.iter().find(|pod| pod.status.as_ref().and_then(|status| status.pod_ip.clone()) == address);
    found.unwrap().name_any()
}

#[tokio::test]
async fn an_engine_that_refuses_a_bundle_is_named_with_its_reason_and_the_others_count() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    stage.run_engines(&namespace);
    let _operator = stage.operator("operator-0").await;
    let policy = stage.tenant_policy(&namespace);
    stage.apply(&policy).await;
    let mut tenant = stage.quickstart_tenant(&namespace);
    tenant.spec.engine.replicas = 2;
    stage.apply(&tenant).await;
    let _good = stage.engine(&namespace).await;
    let mut bad = stage.engine(&namespace).await;
    stage.policy_is_enforced(&namespace, POLICY, "1.0.0", "2/2").await;

    // What the operator's compiler admits and an engine's (of another release, say) does not.
    let mut other = stage.bundle(&namespace).await.unwrap();
    other.sequence += 100;
    other.policies[0].version = "1.1.0".to_owned();
    other.policies[0].custom_detectors[0].pattern = "(".to_owned();
    bad.give(&stage.sign(&other).await);
    stage.apply(&version(policy, "1.1.0")).await;
    let pod = pod_of(&stage, &namespace, &bad).await;
    let status = stage
        .policy(&namespace, POLICY, |status| {
            let counts = status.engines.clone().unwrap_or_default();
            counts.summary == "1/2" && counts.behind.iter().any(|one| one.reason.contains("refused bundle"))
        })
        .await;
    assert_eq!(of(&status.conditions, "Ready"), ("False", "Propagating"));
    let counts = status.engines.unwrap();
    assert_eq!(counts.oldest.as_deref(), Some("1.0.0"));
    assert_eq!(counts.behind.len(), 1);
    assert_eq!(counts.behind[0].pod.as_ref(), Some(&pod));
    assert!(counts.behind[0].reason.contains(&other.digest()), "{}", counts.behind[0].reason);
    assert!(counts.behind[0].reason.contains("customDetectors"), "{}", counts.behind[0].reason);

    bad.resume();
    stage.policy_is_enforced(&namespace, POLICY, "1.1.0", "2/2").await;
    stage.nothing_was_forbidden();
}
