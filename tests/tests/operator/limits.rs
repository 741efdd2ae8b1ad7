//! What a tenant's manifest reaches, and what it does not, because the organisation or another tenant stands before it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::Ingress;
use novacrm_crds::CrmTenant;
use novacrm_crds::crm_tenant::CrmTenantStatus;
use novacrm_operator::crm_tenant::names;
use serde_json::json;

use crate::stage::{Stage, message, of};

fn refused(status: &CrmTenantStatus, path: &str) -> bool {
    of(&status.conditions, "Ready") == ("False", "Invalid")
        && message(&status.conditions, "Ready").contains(path)
}

fn with(tenant: &CrmTenant, change: serde_json::Value) -> CrmTenant {
    let mut value = serde_json::to_value(tenant).unwrap();
    let (Some(spec), Some(change)) = (value["spec"].as_object_mut(), change.as_object()) else {
        unreachable!("both are objects")
    };
    spec.extend(change.clone());
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn a_host_name_stays_with_the_tenant_that_had_it_first() {
    let stage = Stage::shared(2).await;
    let [older, younger] = stage.tenants.as_slice() else { unreachable!("two were asked for") };
    let _operator = stage.operator("operator-0").await;
    let exposed = |namespace: &str, hosts: &[&str]| {
        let exposure = json!({ "hostnames": hosts, "exposure": { "type": "ingress", "ingress": {} } });
        with(&stage.quickstart_tenant(namespace), exposure)
    };
    let hosts = [format!("a.{older}.example"), format!("b.{older}.example"), format!("*.{older}.example")];
    let [a, b, all] = hosts.each_ref().map(String::as_str);
    stage.apply(&exposed(older, &[a])).await;
    stage.tenant(older, |status| status.hostnames == [a]).await;
    stage.apply(&exposed(younger, &[b])).await;
    stage.tenant(younger, |status| status.hostnames == [b]).await;

    // Neither takes the other's, by its name or by a wildcard, whoever is older.
    for (namespace, wanted) in [(younger, a), (younger, all), (older, b), (older, all)] {
        stage.apply(&exposed(namespace, &[wanted])).await;
        let status = stage.tenant(namespace, |status| refused(status, "spec.hostnames[0]")).await;
        let held = if namespace == older { a } else { b };
        assert_eq!(status.hostnames, [held], "what it held it holds");
        stage.apply(&exposed(namespace, &[held])).await;
        stage.tenant(namespace, |status| of(&status.conditions, "Ready").1 != "Invalid").await;
    }
    // What one gives up is free for the other.
    stage.apply(&exposed(older, &["c.example"])).await;
    stage.tenant(older, |status| status.hostnames == ["c.example"]).await;
    stage.apply(&exposed(younger, &[a])).await;
    stage.tenant(younger, |status| status.hostnames == [a]).await;
    let ingresses = stage.api::<Ingress>(older).list(&Default::default()).await.unwrap();
    assert!(!serde_json::to_string(&ingresses.items).unwrap().contains(b));
    stage.nothing_was_forbidden();
}

#[tokio::test]
async fn a_database_server_serves_the_namespaces_that_its_secret_names() {
    let stage = Stage::shared(2).await;
    let [one, other] = stage.tenants.as_slice() else { unreachable!("two were asked for") };
    let _operator = stage.operator("operator-0").await;
    let allow =
        |list: &str| json!({ "metadata": { "annotations": { "novacrm.io/allowed-namespaces": list } } });
    stage.merge::<Secret>(&stage.home, "default", allow(&format!("{one}, nobody-*"))).await;
    for namespace in [one, other] {
        stage.apply(&stage.quickstart_tenant(namespace)).await;
    }
    stage.tenant(other, |status| refused(status, "spec.database.managed.serverRef.name")).await;
    stage.tenant(one, |status| of(&status.conditions, "Database").0 == "True").await;
    assert!(stage.on_server(other).await.is_empty(), "nothing was made for a namespace that is not named");
    stage.merge::<Secret>(&stage.home, "default", allow("*")).await;
    stage.tenant(other, |status| of(&status.conditions, "Database").0 == "True").await;
}

#[tokio::test]
async fn a_secret_is_sent_to_a_recogniser_only_where_it_says_so() {
    let stage = Stage::shared(1).await;
    let [namespace] = stage.tenants.as_slice() else { unreachable!("one was asked for") };
    let _operator = stage.operator("operator-0").await;
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": "payments", "namespace": namespace },
        "stringData": { "token": "not for recognisers" },
    }))
    .unwrap();
    stage.apply(&secret).await;
    let recogniser = json!({ "recogniser": {
        "url": "http://collector:3000/",
        "keySecretRef": { "name": "payments", "key": "token" },
    }});
    stage.apply(&with(&stage.quickstart_tenant(namespace), recogniser)).await;
    let path = "spec.recogniser.keySecretRef.name";
    let status = stage.tenant(namespace, |status| refused(status, path)).await;
    assert!(!message(&status.conditions, "Ready").contains("not for recognisers"));
    let deployments = stage.api::<Deployment>(namespace).list(&Default::default()).await.unwrap();
    assert!(deployments.items.is_empty(), "nothing runs that would send it");
    // Its owner agrees.
    let label = json!({ "metadata": { "labels": { "novacrm.io/send-to": "recogniser" } } });
    stage.merge::<Secret>(namespace, "payments", label).await;
    stage.tenant_is_ready(namespace).await;
    let engine = stage.api::<Deployment>(namespace).get(names::ENGINE).await.unwrap();
    let engine = serde_json::to_string(&engine.spec).unwrap();
    assert!(engine.contains("NOVACRM_RECOGNISER_KEY_FILE") && !engine.contains("secretKeyRef"), "{engine}");
}

#[tokio::test]
async fn what_the_organisation_does_not_allow_changes_nothing_that_runs() {
    let stage = Stage::shared(1).await;
    let [namespace] = stage.tenants.as_slice() else { unreachable!("one was asked for") };
    let _operator = stage.operator("operator-0").await;
    stage.apply(&stage.quickstart_tenant(namespace)).await;
    stage.tenant_is_ready(namespace).await;
    let before = stage.api::<Deployment>(namespace).get(names::ENGINE).await.unwrap();
    for (change, path) in [
        (json!({ "recogniser": { "url": "http://collector.evil.example/" } }), "spec.recogniser.url"),
        (json!({ "recogniser": { "url": "https://169.254.169.254/" } }), "spec.recogniser.url"),
        (json!({ "engine": { "replicas": 100 } }), "spec.engine.replicas"),
    ] {
        stage.apply(&with(&stage.quickstart_tenant(namespace), change)).await;
        stage.tenant(namespace, |status| refused(status, path)).await;
        let now = stage.api::<Deployment>(namespace).get(names::ENGINE).await.unwrap();
        assert_eq!(now.spec, before.spec, "{path}");
    }
}
