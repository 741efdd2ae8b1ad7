//! Objects that the operator cannot read, as another release may have stored them.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use novacrm_crds::{CompliancePolicy, CrmTenant};
use novacrm_tests::cluster::{ControlPlane, PATIENCE, eventually};
use serde_json::{Value, json};

use crate::stage::{Stage, version};

const ORGANISATION: &str = "organisation-baseline";
const POLICY: &str = "acme-customer-data";

/// Has the API server admit any spec.
async fn loosen(stage: &Stage) {
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.client.clone());
    for name in ["compliancepolicies.novacrm.io", "crmtenants.novacrm.io"] {
        let anything = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        let change = json!([{
            "op": "replace",
            "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
            "value": anything,
        }]);
        let patch = Patch::Json::<()>(serde_json::from_value(change).unwrap());
        definitions.patch(name, &PatchParams::default(), &patch).await.unwrap();
    }
}

fn any<K: Resource<DynamicType = ()>>(stage: &Stage, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(stage.client.clone(), namespace, &ApiResource::erase::<K>(&()))
}

async fn store<K: Resource<DynamicType = ()>>(stage: &Stage, namespace: &str, name: &str, spec: Value) {
    let mut object = DynamicObject::new(name, &ApiResource::erase::<K>(&())).within(namespace);
    object.data = json!({ "spec": spec });
    let api = any::<K>(stage, namespace);
    // A moment passes until the looser schema is in force.
    let params = PostParams::default();
    eventually(PATIENCE, || api.create(&params, &object)).await.unwrap();
}

/// Waits until the status says that nobody can read the spec.
async fn is_stalled<K: Resource<DynamicType = ()>>(stage: &Stage, namespace: &str, name: &str) {
    let api = any::<K>(stage, namespace);
    eventually(PATIENCE, || async {
        let object = api.get(name).await.map_err(|error| error.to_string())?;
        let status = object.data.get("status").cloned().unwrap_or_default();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let stalled = conditions.iter().any(|one| one["type"] == "Stalled" && one["status"] == "True");
        let observed = status["observedGeneration"].as_i64() == object.metadata.generation;
        if stalled && observed { Ok(()) } else { Err(status.to_string()) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_object_that_cannot_be_read_says_so_and_stops_nothing_else() {
    let plane = ControlPlane::start().await.unwrap();
    let cluster = plane.cluster().await.unwrap();
    cluster.apply_crds().await.unwrap();
    let names = vec!["acme".to_owned(), "globex".to_owned()];
    let stage = Stage::private(cluster, "novacrm-system", "novacrm-policies", names).await;
    let operator = stage.operator("operator-0").await;
    stage.apply(&stage.organisation_policy()).await;
    stage.apply(&stage.tenant_policy("acme")).await;
    stage.apply(&stage.quickstart_tenant("acme")).await;
    stage.bundle_holds("acme", &[(ORGANISATION, "1.0.0"), (POLICY, "1.0.0")]).await;

    loosen(&stage).await;
    store::<CompliancePolicy>(&stage, "novacrm-policies", "unreadable", json!({ "version": ["none"] })).await;
    store::<CrmTenant>(&stage, "globex", "globex", json!({ "displayName": 7 })).await;
    let change = Patch::Merge(json!({ "spec": { "rules": "none" } }));
    any::<CompliancePolicy>(&stage, "acme").patch(POLICY, &PatchParams::default(), &change).await.unwrap();
    is_stalled::<CompliancePolicy>(&stage, "novacrm-policies", "unreadable").await;
    is_stalled::<CompliancePolicy>(&stage, "acme", POLICY).await;
    is_stalled::<CrmTenant>(&stage, "globex", "globex").await;

    // The others go on, and of the one that was readable once the last good revision holds.
    stage.apply(&version(stage.organisation_policy(), "1.1.0")).await;
    stage.bundle_holds("acme", &[(ORGANISATION, "1.1.0"), (POLICY, "1.0.0")]).await;
    operator.kill();
    let _operator = stage.operator("operator-0").await;
    stage.apply(&version(stage.organisation_policy(), "1.2.0")).await;
    stage.bundle_holds("acme", &[(ORGANISATION, "1.2.0"), (POLICY, "1.0.0")]).await;

    // It is said once.
    let quiet = Duration::from_secs(3).as_secs_f64();
    eventually(PATIENCE, || async {
        let now = Timestamp::now();
        let last = stage.requests().into_iter().rfind(|event| {
            let object = event.object_ref.clone().unwrap_or_default();
            event.is_write() && ["unreadable", "globex", POLICY].contains(&object.name.as_str())
        });
        let since = last.as_ref().map(|event| now.duration_since(event.request_received_timestamp.0));
        let is_quiet = since.is_none_or(|since| since.as_secs_f64() > quiet);
        if is_quiet { Ok(()) } else { Err(last.map(|event| event.request_uri).unwrap_or_default()) }
    })
    .await
    .unwrap();
    let mended = version(stage.tenant_policy("acme"), "1.3.0");
    assert_eq!(stage.apply(&mended).await.name_any(), POLICY);
    stage.bundle_holds("acme", &[(ORGANISATION, "1.2.0"), (POLICY, "1.3.0")]).await;
    stage.nothing_was_forbidden();
}
