//! What the organisation does not allow is refused alike by the API server, the operator's check and the command line.

use std::process::Command;

use kube::api::PostParams;
use kube::{Api, Error};
use novacrm_crds::CrmTenant;
use novacrm_operator::admission::Lives;
use novacrm_operator::crm_tenant::limits;
use novacrm_operator::crm_tenant::validate::validate_alone;
use novacrm_tests::cluster::{PATIENCE, eventually};
use novacrm_tests::system::programs;
use serde_json::{Value, json};

use super::webhook::Bench;

fn tenant(namespace: &str, change: &Value) -> Value {
    let text = include_str!("../../../operator/tests/tenant.yaml");
    let mut tenant: Value = serde_yaml::from_str(text).unwrap();
    tenant["metadata"]["namespace"] = json!(namespace);
    if let (Some(spec), Some(change)) = (tenant["spec"].as_object_mut(), change.as_object()) {
        spec.extend(change.clone());
    }
    tenant
}

#[tokio::test]
async fn an_excess_is_refused_alike_by_webhook_operator_and_command_line() {
    let bench = Bench::new("limits").await;
    let namespace = bench.namespace.name().to_owned();
    let replica = bench.replica(true, Lives::default());
    bench.ask(&[&replica]).await;
    replica.ready().await;
    eventually(PATIENCE, || async { bench.trusted().await }).await.unwrap();
    let tenants: Api<CrmTenant> = Api::namespaced(bench.client.clone(), &namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let postgresql = |fields: Value| {
        let mut cluster = json!({ "storage": { "size": "10Gi" } });
        cluster.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({ "database": { "type": "cloudNativePg", "cloudNativePg": cluster } })
    };
    for (change, path) in [
        (json!({ "recogniser": { "url": "http://anywhere.example/" } }), "spec.recogniser.url"),
        (json!({ "recogniser": { "url": "https://169.254.169.254/" } }), "spec.recogniser.url"),
        (json!({ "recogniser": { "url": "http://presidio.other.svc/" } }), "spec.recogniser.url"),
        (postgresql(json!({ "imageName": "evil.example/pg:17" })), "spec.database.cloudNativePg.imageName"),
        (postgresql(json!({ "instances": 9 })), "spec.database.cloudNativePg.instances"),
        (json!({ "engine": { "replicas": 100 } }), "spec.engine.replicas"),
        (
            json!({ "engine": { "resources": { "limits": { "memory": "1Ti" } } } }),
            "spec.engine.resources.limits.memory",
        ),
    ] {
        let object = tenant(&namespace, &change);
        let parsed: CrmTenant = serde_json::from_value(object.clone()).unwrap();
        let problems = validate_alone(&parsed, "novacrm-policies", limits::defaults());
        let [problem] = problems.as_slice() else { panic!("{path}: {problems:?}") };
        assert_eq!(problem.path, path);

        // The API server takes a moment to know the webhook.
        let refusal = eventually(PATIENCE, || async {
            match tenants.create(&dry, &parsed).await {
                Err(Error::Api(status)) => Ok(status.message.clone()),
                other => Err(format!("{path}: {other:?}")),
            }
        });
        let refusal = refusal.await.unwrap();
        assert!(refusal.contains(path) && refusal.contains(&problem.message), "{refusal}");

        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tenant.yaml"), serde_yaml::to_string(&object).unwrap()).unwrap();
        let ran = Command::new(programs().join("novacrm-operator"))
            .args(["render", "-f"])
            .arg(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(3), "{said}");
        assert!(said.contains(path) && said.contains(&problem.message), "{said}");
    }
    let allowed = tenant(&namespace, &json!({ "recogniser": { "url": "http://presidio:3000/analyze" } }));
    tenants.create(&dry, &serde_json::from_value(allowed).unwrap()).await.unwrap();
    bench.end(vec![replica]).await;
}
