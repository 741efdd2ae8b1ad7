//! From an empty cluster to the quickstart, as a person does it.

use std::process::Command;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::discovery::pinned_kind;
use kube::{Api, ResourceExt};
use novacrm_crds::{CompliancePolicy, CrmTenant};
use novacrm_tests::cluster::{ControlPlane, PATIENCE, eventually};
use novacrm_tests::system::{programs, repository};
use serde::Deserialize as _;

use crate::stage::{Stage, message, of};

/// What the operator would make of the quickstart, by kind and name.
fn rendered() -> Vec<DynamicObject> {
    let output = Command::new(programs().join("novacrm-operator"))
        .args(["render", "-f"])
        .arg(repository().join("examples/quickstart"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_yaml::Deserializer::from_slice(&output.stdout)
        .map(|document| DynamicObject::deserialize(document).unwrap())
        .collect()
}

#[tokio::test]
async fn the_quickstart_becomes_a_running_tenant_once_the_kinds_are_installed() {
    let plane = ControlPlane::start().await.unwrap();
    let cluster = plane.cluster().await.unwrap();
    let stage = Stage::private(cluster, "novacrm-system", "novacrm-policies", vec!["acme".to_owned()]).await;
    stage.run_engines("acme");

    // Alive, not ready, and it says what is missing.
    let operator = stage.start("operator-0");
    operator.metric("novacrm_operator_crd_missing{crd=\"crmtenants.novacrm.io\"} 1").await;
    operator.metric("novacrm_operator_crd_missing{crd=\"compliancepolicies.novacrm.io\"} 1").await;
    let (status, text) = operator.ask("/readyz").await.unwrap();
    assert_eq!(status, 503);
    assert!(
        text.contains("crmtenants.novacrm.io") && text.contains("compliancepolicies.novacrm.io"),
        "{text}"
    );
    assert_eq!(operator.ask("/healthz").await.unwrap().0, 200);
    stage.cluster.apply_crds().await.unwrap();
    operator.ready().await;
    operator.metric("novacrm_operator_crd_missing{crd=\"crmtenants.novacrm.io\"} 0").await;

    let applied = Command::new(plane.kubectl())
        .args(["apply", "--server-side", "--recursive", "-f"])
        .arg(repository().join("examples/quickstart"))
        .env("KUBECONFIG", plane.kubeconfig())
        .output()
        .unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));

    // The Jobs are done and no engine is there yet.
    let status =
        stage.tenant("acme", |status| of(&status.conditions, "Migrations") == ("True", "Available")).await;
    assert_eq!(of(&status.conditions, "Ready"), ("False", "Progressing"));
    assert_eq!(of(&status.conditions, "Reconciling").0, "True");
    for (namespace, name) in [("novacrm-policies", "organisation-baseline"), ("acme", "acme-customer-data")] {
        let status = stage
            .policy(namespace, name, |status| {
                of(&status.conditions, "Ready") == ("False", "Propagating")
                    && status.engines.as_ref().is_some_and(|counts| counts.behind.len() == 1)
            })
            .await;
        assert_eq!(of(&status.conditions, "Validated"), ("True", "Valid"));
        let counts = status.engines.unwrap();
        assert_eq!((counts.summary.as_str(), counts.behind[0].namespace.as_str()), ("0/0", "acme"));
        assert_eq!(counts.behind[0].reason, "no engine of this tenant is Ready");
    }

    // Everything that `render` promises is there.
    for wanted in rendered() {
        let types = wanted.types.clone().unwrap();
        let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
        let kind = GroupVersionKind::gvk(group, version, &types.kind);
        let (resource, _): (ApiResource, _) = pinned_kind(&stage.client, &kind).await.unwrap();
        let api: Api<DynamicObject> = Api::namespaced_with(stage.client.clone(), "acme", &resource);
        let name = wanted.name_any();
        let live = eventually(PATIENCE, || api.get(&name)).await.unwrap();
        let kept = types.kind == "Secret";
        assert_eq!(live.owner_references().is_empty(), kept, "{} {}", types.kind, live.name_any());
    }
    let passwords: Api<Secret> = stage.api("acme");
    let password = passwords.get("acme-admin").await.unwrap().data.unwrap();
    assert!(password["password"].0.len() >= 16);

    // Pods that nobody can ask are Ready: the tenant runs, and its policies are not proven.
    stage.pretend_engines("acme");
    let ready = stage.tenant_is_ready("acme").await;
    let tenant = stage.api::<CrmTenant>("acme").get("acme").await.unwrap();
    assert_eq!(Some(ready.observed_generation), tenant.metadata.generation);
    assert_eq!(of(&ready.conditions, "Reconciling").0, "False");
    assert_eq!(of(&ready.conditions, "Stalled").0, "False");
    assert_eq!(
        ready.bundle.map(|bundle| bundle.sequence),
        stage.bundle("acme").await.map(|one| one.sequence)
    );
    let status = stage
        .policy("acme", "acme-customer-data", |status| {
            status.engines.as_ref().is_some_and(|counts| counts.summary == "0/1")
        })
        .await;
    assert_eq!(of(&status.conditions, "Ready"), ("False", "Propagating"));
    let policy = stage.api::<CompliancePolicy>("acme").get("acme-customer-data").await.unwrap();
    assert_eq!(Some(status.observed_generation), policy.metadata.generation);

    let available = stage.event("acme", "acme", "Available").await;
    assert_eq!(available.message.as_deref(), Some(message(&ready.conditions, "Ready")));
    let propagating = stage.event("acme", "acme-customer-data", "Propagating").await;
    assert_eq!(propagating.type_.as_deref(), Some("Normal"));
    stage.nothing_was_forbidden();
}
