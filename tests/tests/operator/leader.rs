//! Of all replicas one writes.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use novacrm_tests::cluster::PATIENCE;
use serde_json::json;

use crate::stage::{Operator, Stage};

async fn holder(stage: &Stage) -> Option<String> {
    let leases: Api<Lease> = stage.api(&stage.home);
    leases.get(&stage.home).await.unwrap().spec.unwrap().holder_identity
}

async fn takes_over(stage: &Stage, next: &Operator, name: &str) -> Duration {
    let began = Instant::now();
    tokio::time::timeout(PATIENCE, next.leads()).await.unwrap();
    assert_eq!(holder(stage).await.as_deref(), Some(name));
    began.elapsed()
}

#[tokio::test]
async fn a_killed_leader_is_followed_soon_one_that_stops_at_once_and_one_that_is_robbed_ends() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    let first = stage.operator("operator-0").await;
    first.leads().await;
    let second = stage.operator("operator-1").await;
    second.metric("novacrm_operator_leading 0").await;
    assert_eq!(holder(&stage).await.as_deref(), Some("operator-0"));

    first.kill();
    let took = takes_over(&stage, &second, "operator-1").await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    stage.apply(&stage.quickstart_tenant(&namespace)).await;
    stage.bundle_holds(&namespace, &[]).await;

    let third = stage.operator("operator-2").await;
    assert!(second.stop().await.success());
    let took = takes_over(&stage, &third, "operator-2").await;
    // Candidates look every two seconds.
    assert!(took < Duration::from_secs(8), "{took:?}");

    let robbed = json!({ "spec": { "holderIdentity": "somebody-else" } });
    stage.merge::<Lease>(&stage.home, &stage.home, robbed).await;
    let (status, said) = third.ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("another process holds it"), "{said}");
    assert_eq!(holder(&stage).await.as_deref(), Some("somebody-else"));
    stage.nothing_was_forbidden();
}
