//! What others change, add or delete, and what the operator makes of it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Resource, ResourceExt};
use novacrm_crds::CrmTenant;
use novacrm_operator::crm_tenant::names;
use novacrm_tests::cluster::{PATIENCE, eventually};
use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn what_is_ours_is_put_back_and_what_is_not_is_left_alone() {
    let stage = Stage::shared(1).await;
    let namespace = stage.tenants[0].clone();
    let _operator = stage.operator("operator-0").await;
    stage.apply(&stage.tenant_policy(&namespace)).await;
    stage.apply(&stage.quickstart_tenant(&namespace)).await;
    stage.tenant_is_ready(&namespace).await;
    let services = stage.api::<Service>(&namespace);
    let deployments = stage.api::<Deployment>(&namespace);

    // Changed fields come back; what somebody added stays.
    let before = services.get(names::ENGINE).await.unwrap().spec.unwrap();
    let change = json!({
        "metadata": { "annotations": { "example.com/note": "kept" } },
        "spec": { "selector": { "app.kubernetes.io/name": "elsewhere" } },
    });
    stage.merge::<Service>(&namespace, names::ENGINE, change).await;
    let image = |deployment: &Deployment| {
        deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].image.clone().unwrap()
    };
    let wanted = image(&deployments.get(names::API).await.unwrap());
    let change =
        json!([{ "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil" }]);
    let patch = kube::api::Patch::Json::<()>(serde_json::from_value(change).unwrap());
    deployments.patch(names::API, &Default::default(), &patch).await.unwrap();
    eventually(PATIENCE, || async {
        let service = services.get(names::ENGINE).await.map_err(|error| error.to_string())?;
        let deployment = deployments.get(names::API).await.map_err(|error| error.to_string())?;
        assert_eq!(service.annotations().get("example.com/note").map(String::as_str), Some("kept"));
        let selector = service.spec.unwrap().selector;
        if selector != before.selector {
            return Err(format!("{selector:?}"));
        }
        if image(&deployment) == wanted { Ok(()) } else { Err(image(&deployment)) }
    })
    .await
    .unwrap();

    // What was deleted comes back.
    let policies = stage.api::<NetworkPolicy>(&namespace);
    let uid = policies.get(names::ENGINE).await.unwrap().uid();
    policies.delete(names::ENGINE, &DeleteParams::default()).await.unwrap();
    eventually(PATIENCE, || async {
        let found = policies.get_opt(names::ENGINE).await.map_err(|error| error.to_string())?;
        found.filter(|found| found.uid() != uid).ok_or("it is not there".to_owned())
    })
    .await
    .unwrap();

    // What has our label and our owner and is not wanted goes; without the owner it is somebody else's.
    let tenant = stage.api::<CrmTenant>(&namespace).get("acme").await.unwrap();
    let orphan = |name: &str, owned: bool| Service {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "novacrm-operator".to_owned())].into()),
            owner_references: owned.then(|| vec![tenant.controller_owner_ref(&()).unwrap()]),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            ports: Some(vec![ServicePort { port: 80, ..ServicePort::default() }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    };
    services.create(&PostParams::default(), &orphan("not-ours", false)).await.unwrap();
    services.create(&PostParams::default(), &orphan("novacrm-former", true)).await.unwrap();
    eventually(PATIENCE, || async {
        let found = services.get_opt("novacrm-former").await.map_err(|error| error.to_string())?;
        if found.is_none() { Ok(()) } else { Err("it is there".to_owned()) }
    })
    .await
    .unwrap();
    assert!(services.get_opt("not-ours").await.unwrap().is_some());

    // Rules that were lost come back under a number that was never used.
    let before = stage.bundle(&namespace).await.unwrap();
    let maps = stage.api::<ConfigMap>(&namespace);
    let previous = maps.delete(names::BUNDLE_PREVIOUS, &DeleteParams::default()).await;
    assert!(previous.is_ok() || stage.bundle(&namespace).await.is_some());
    maps.delete(names::BUNDLE, &DeleteParams::default()).await.unwrap();
    eventually(PATIENCE, || async {
        let bundle = stage.bundle(&namespace).await.ok_or("there is no bundle")?;
        assert_eq!(bundle.policies, before.policies);
        if bundle.sequence > before.sequence { Ok(()) } else { Err("an old number") }
    })
    .await
    .unwrap();

    // A change of what the Jobs are told, whose templates cannot be changed.
    let change = json!({ "spec": { "demoData": false, "locale": "en" } });
    stage.merge::<CrmTenant>(&namespace, "acme", change).await;
    stage.tenant_is_ready(&namespace).await;
    stage.nothing_was_forbidden();
}
