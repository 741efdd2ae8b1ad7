//! Many tenants at once: all are reconciled, and what one costs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use futures::future::join_all;
use kube::Api;
use kube::api::ListParams;
use novacrm_crds::CrmTenant;
use novacrm_tests::cluster::{AuditEvent, ControlPlane, PATIENCE, eventually};

use crate::stage::{Stage, of};

const TENANTS: usize = 50;
/// What the chart lets a pod of the operator take.
const MEMORY_KIB: u64 = 256 * 1024;

/// Requests by verb and resource, without what every start costs.
fn counts(requests: &[AuditEvent]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in requests.iter().filter(|event| event.stage == "ResponseComplete" && event.verb != "watch") {
        let Some(object) = &event.object_ref else { continue };
        if object.resource == "leases" {
            continue;
        }
        let slash = if object.subresource.is_empty() { "" } else { "/" };
        let what = format!("{} {}{slash}{}", event.verb, object.resource, object.subresource);
        *counts.entry(what).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn fifty_tenants_that_come_at_once_all_become_ready() {
    let plane = ControlPlane::start().await.unwrap();
    let cluster = plane.cluster().await.unwrap();
    cluster.apply_crds().await.unwrap();
    let namespaces = (0..TENANTS).map(|number| format!("many-{number:02}")).collect();
    let stage = Stage::private(cluster, "novacrm-system", "novacrm-policies", namespaces).await;
    let operator = stage.operator("operator-0").await;
    stage.apply(&stage.organisation_policy()).await;
    operator.leads().await;
    let idle = operator.memory("VmRSS");

    let began = Instant::now();
    join_all(stage.tenants.iter().map(|namespace| async {
        stage.apply(&stage.quickstart_tenant(namespace)).await;
    }))
    .await;
    let all: Api<CrmTenant> = Api::all(stage.client.clone());
    eventually(PATIENCE * 3, || async {
        let tenants = all.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let ready = tenants.iter().filter(|tenant| {
            tenant.status.as_ref().is_some_and(|status| of(&status.conditions, "Ready").0 == "True")
        });
        let ready = ready.count();
        if ready == TENANTS { Ok(()) } else { Err(format!("{ready} of {TENANTS} are Ready")) }
    })
    .await
    .unwrap();
    let took: Duration = began.elapsed();
    let counts = counts(&stage.requests());
    let mut out = std::io::stdout().lock();
    let total: usize = counts.values().sum();
    writeln!(out, "{TENANTS} tenants Ready after {:.1} s", took.as_secs_f64()).unwrap();
    writeln!(
        out,
        "operator: {} KiB before, {} KiB now, {} KiB at most",
        idle,
        operator.memory("VmRSS"),
        operator.memory("VmHWM")
    )
    .unwrap();
    writeln!(out, "requests per tenant: {:.1}", total as f64 / TENANTS as f64).unwrap();
    for (what, count) in &counts {
        writeln!(out, "  {:6.1} {what}", *count as f64 / TENANTS as f64).unwrap();
    }
    assert!(operator.memory("VmHWM") < MEMORY_KIB, "the operator would have been ended");
    stage.nothing_was_forbidden();
}
