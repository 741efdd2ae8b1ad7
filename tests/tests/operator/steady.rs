//! What the operator does when nothing is to be done.

use std::time::Duration;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::jiff::Timestamp;
use novacrm_tests::cluster::{AuditEvent, PATIENCE, eventually};
use serde_json::json;

use crate::stage::Stage;

/// How long nothing may be written.
const WINDOW: Duration = Duration::from_secs(60);
/// What has been quiet for so long is steady.
const QUIET: Duration = Duration::from_secs(5);

fn is_lease(event: &AuditEvent) -> bool {
    event.object_ref.as_ref().is_some_and(|object| object.resource == "leases")
}

fn since(event: &AuditEvent, now: Timestamp) -> f64 {
    now.duration_since(event.request_received_timestamp.0).as_secs_f64()
}

#[tokio::test]
async fn a_steady_state_writes_nothing_but_the_lease() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    stage.run_engines(&namespace);
    let operator = stage.operator("operator-0").await;
    stage.apply(&stage.organisation_policy()).await;
    stage.apply(&stage.tenant_policy(&namespace)).await;
    let mut tenant = stage.quickstart_tenant(&namespace);
    // The API server writes these in another way than they are given.
    let resources: ResourceRequirements =
        serde_json::from_value(json!({ "requests": { "cpu": "1000m", "memory": "1024Mi" } })).unwrap();
    tenant.spec.engine.resources = Some(resources);
    stage.apply(&tenant).await;
    let _engine = stage.engine(&namespace).await;
    stage.tenant_is_ready(&namespace).await;
    stage.policy_is_enforced(&stage.organisation, "organisation-baseline", "1.0.0", "1/1").await;
    stage.policy_is_enforced(&namespace, "acme-customer-data", "1.0.0", "1/1").await;
    let writes = || stage.requests().into_iter().filter(|event| event.is_write() && !is_lease(event));
    eventually(PATIENCE, || async {
        let now = Timestamp::now();
        let last = writes().next_back().filter(|event| since(event, now) < QUIET.as_secs_f64());
        last.map_or(Ok(()), |event| Err(format!("{} {}", event.verb, event.request_uri)))
    })
    .await
    .unwrap();

    let begin = Timestamp::now();
    tokio::time::sleep(WINDOW).await;
    let within = |event: &AuditEvent| event.request_received_timestamp.0 >= begin;
    let written: Vec<String> =
        writes().filter(within).map(|event| format!("{} {}", event.verb, event.request_uri)).collect();
    assert!(written.is_empty(), "{written:#?}");
    let renewals = stage.requests().iter().filter(|event| within(event) && is_lease(event)).count();
    assert!(renewals >= 20, "{renewals} renewals");
    drop(operator);
    stage.nothing_was_forbidden();
}
