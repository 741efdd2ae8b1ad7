//! Which policies hold for which tenant, and since and until when.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use novacrm_crds::CompliancePolicy;
use novacrm_tests::cluster::{PATIENCE, eventually};
use serde_json::json;

use crate::stage::{Stage, of, version};

const ORGANISATION: &str = "organisation-baseline";
const POLICY: &str = "acme-customer-data";

async fn label(stage: &Stage, namespace: &str, tier: Option<&str>) {
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    let change = Patch::Merge(json!({ "metadata": { "labels": { "tier": tier } } }));
    namespaces.patch(namespace, &PatchParams::default(), &change).await.unwrap();
}

#[tokio::test]
async fn a_policy_of_the_organisation_holds_where_labels_say_so_and_until_the_object_is_gone() {
    let stage = Stage::shared(2).await;
    let [gold, plain] = stage.tenants.as_slice() else { unreachable!("two were asked for") };
    let operator = stage.operator("operator-0").await;
    let mut organisation = stage.organisation_policy();
    organisation.spec.tenant_selector =
        Some(serde_json::from_value(json!({ "matchLabels": { "tier": "gold" } })).unwrap());
    stage.apply(&organisation).await;
    for namespace in [gold, plain] {
        stage.apply(&stage.quickstart_tenant(namespace)).await;
        stage.bundle_holds(namespace, &[]).await;
    }
    let unselected = |status: &novacrm_crds::compliance_policy::CompliancePolicyStatus| {
        of(&status.conditions, "Ready") == ("True", "NoTenantSelected")
    };
    stage.policy(&stage.organisation, ORGANISATION, unselected).await;

    // In and out by the labels of the namespace.
    label(&stage, gold, Some("gold")).await;
    let with = stage.bundle_holds(gold, &[(ORGANISATION, "1.0.0")]).await;
    stage.policy(&stage.organisation, ORGANISATION, |status| !unselected(status)).await;
    label(&stage, gold, Some("silver")).await;
    let without = stage.bundle_holds(gold, &[]).await;
    assert!(without.sequence > with.sequence);
    stage.policy(&stage.organisation, ORGANISATION, unselected).await;
    label(&stage, gold, Some("gold")).await;
    stage.bundle_holds(gold, &[(ORGANISATION, "1.0.0")]).await;

    // A tenant's own policy is added to it, and holds nowhere else.
    stage.apply(&stage.tenant_policy(gold)).await;
    stage.bundle_holds(gold, &[(ORGANISATION, "1.0.0"), (POLICY, "1.0.0")]).await;
    stage.bundle_holds(plain, &[]).await;

    // One that is to be deleted holds as long as something keeps it, whatever else happens.
    let finalizers = json!({ "metadata": { "finalizers": ["example.com/hold"] } });
    stage.merge::<CompliancePolicy>(&stage.organisation, ORGANISATION, finalizers).await;
    let policies = stage.api::<CompliancePolicy>(&stage.organisation);
    let deletion = policies.delete(ORGANISATION, &DeleteParams::default()).await.unwrap();
    assert!(deletion.left().unwrap().metadata.deletion_timestamp.is_some());
    stage.apply(&version(stage.tenant_policy(gold), "1.1.0")).await;
    stage.bundle_holds(gold, &[(ORGANISATION, "1.0.0"), (POLICY, "1.1.0")]).await;
    operator.kill();
    let _operator = stage.operator("operator-0").await;
    stage.apply(&version(stage.tenant_policy(gold), "1.2.0")).await;
    stage.bundle_holds(gold, &[(ORGANISATION, "1.0.0"), (POLICY, "1.2.0")]).await;
    let finalizers = json!({ "metadata": { "finalizers": null } });
    stage.merge::<CompliancePolicy>(&stage.organisation, ORGANISATION, finalizers).await;
    stage.bundle_holds(gold, &[(POLICY, "1.2.0")]).await;
    assert!(policies.get_opt(ORGANISATION).await.unwrap().is_none());

    // Made anew with the same content, it has a history of its own.
    organisation.metadata.resource_version = None;
    let uid = stage.apply(&organisation).await.uid();
    stage.bundle_holds(gold, &[(ORGANISATION, "1.0.0"), (POLICY, "1.2.0")]).await;
    let revisions = stage.api::<k8s_openapi::api::apps::v1::ControllerRevision>(&stage.organisation);
    eventually(PATIENCE, || async {
        let all = revisions.list(&Default::default()).await.map_err(|error| error.to_string())?;
        let owners: Vec<_> =
            all.iter().flat_map(|one| one.owner_references()).map(|owner| Some(owner.uid.clone())).collect();
        if owners == [uid.clone()] { Ok(()) } else { Err(format!("{owners:?}, not {uid:?}")) }
    })
    .await
    .unwrap();
    stage.nothing_was_forbidden();
}
