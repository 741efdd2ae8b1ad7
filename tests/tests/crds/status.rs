//! What the kinds promise about status: unobserved at first, conditions that several writers share, printer columns.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use novacrm_tests::cluster::{Cluster, TestNamespace};
use serde_json::{Value, json};

use crate::cases::fixture;
use crate::judge::{collection, send};

async fn stored(name: &str) -> (Client, TestNamespace, Value) {
    let cluster = Cluster::connect().await.unwrap();
    cluster.apply_crds().await.unwrap();
    let namespace = cluster.namespace("status").await.unwrap();
    let client = cluster.client().unwrap();
    let (path, object) = collection(&fixture(name), namespace.name());
    let stored = send(&client, http::Method::POST, &path, &object, false).await.unwrap();
    (client, namespace, stored)
}

/// A condition of the first generation.
pub fn condition(kind: &str, status: &str, reason: &str) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: "All is well.".to_owned(),
        observed_generation: Some(1),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}

async fn write_status(client: &Client, namespace: &str, manager: &str, object: &Value) -> Value {
    let kind = GroupVersionKind::gvk("novacrm.io", "v1alpha1", object["kind"].as_str().unwrap());
    let objects: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind));
    let written =
        objects.patch_status("sound", &PatchParams::apply(manager), &Patch::Apply(object)).await.unwrap();
    written.data
}

fn of(object: &Value, status: Value) -> Value {
    json!({ "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": { "name": "sound" }, "status": status })
}

#[tokio::test]
async fn an_object_is_unobserved_until_a_controller_has_looked() {
    for name in ["policy", "tenant"] {
        let (_client, _namespace, stored) = stored(name).await;
        assert_eq!(stored["status"], json!({ "observedGeneration": -1 }), "{name}");
    }
}

#[tokio::test]
async fn a_user_cannot_write_the_status_with_the_spec() {
    let (client, namespace, stored) = stored("policy").await;
    let (path, mut object) = collection(&stored, namespace.name());
    object["status"] = json!({ "observedGeneration": 7 });
    let written = send(&client, http::Method::PUT, &format!("{path}/sound"), &object, false).await.unwrap();
    assert_eq!(written["status"], json!({ "observedGeneration": -1 }));
}

#[tokio::test]
async fn two_writers_keep_their_conditions_apart() {
    for name in ["policy", "tenant"] {
        let (client, namespace, object) = stored(name).await;
        for (manager, kind) in [("first", "Ready"), ("second", "Reconciling")] {
            let status = of(&object, json!({ "conditions": [condition(kind, "True", "Reason")] }));
            write_status(&client, namespace.name(), manager, &status).await;
        }
        let status = of(&object, json!({ "conditions": [condition("Ready", "False", "Other")] }));
        let written = write_status(&client, namespace.name(), "first", &status).await;
        let conditions = written["status"]["conditions"].as_array().unwrap();
        let brief: Vec<_> = conditions.iter().map(|one| (&one["type"], &one["status"])).collect();
        assert_eq!(
            brief,
            [(&json!("Ready"), &json!("False")), (&json!("Reconciling"), &json!("True"))],
            "{name}"
        );
    }
}

/// What `kubectl get` prints: column and cell.
async fn table(client: &Client, path: &str) -> Vec<(String, Value)> {
    let request = http::Request::get(path)
        .header("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
        .body(Vec::new())
        .unwrap();
    let table: Value = client.request(request).await.unwrap();
    let columns = table["columnDefinitions"].as_array().unwrap();
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    let named = columns.iter().map(|column| column["name"].as_str().unwrap().to_owned());
    named.zip(cells.iter().cloned()).collect()
}

#[tokio::test]
async fn a_listing_of_policies_shows_what_is_in_force() {
    let (client, namespace, object) = stored("policy").await;
    let status = of(
        &object,
        json!({
            "observedGeneration": 1,
            "conditions": [condition("Validated", "True", "Valid"), condition("Ready", "True", "Enforced")],
            "engines": { "ready": 3, "serving": 3, "summary": "3/3" },
        }),
    );
    write_status(&client, namespace.name(), "writer", &status).await;
    let (path, _) = collection(&object, namespace.name());
    let table = table(&client, &path).await;
    for (column, wanted) in [
        ("Name", "sound"),
        ("Version", "1.2.0"),
        ("Mode", "enforce"),
        ("Ready", "True"),
        ("Reason", "Enforced"),
        ("Engines", "3/3"),
    ] {
        assert!(table.contains(&(column.to_owned(), json!(wanted))), "{column} in {table:?}");
    }
}

#[tokio::test]
async fn a_listing_of_tenants_shows_whether_they_are_ready() {
    let (client, namespace, object) = stored("tenant").await;
    let status = of(
        &object,
        json!({
            "observedGeneration": 1,
            "conditions": [condition("Ready", "False", "Progressing")],
            "bundle": { "digest": format!("sha256:{}", "0".repeat(64)), "sequence": 7 },
        }),
    );
    write_status(&client, namespace.name(), "writer", &status).await;
    let (path, _) = collection(&object, namespace.name());
    let table = table(&client, &path).await;
    for (column, wanted) in [
        ("Name", json!("sound")),
        ("Display name", json!("ACME")),
        ("Ready", json!("False")),
        ("Reason", json!("Progressing")),
        ("Bundle", json!(7)),
    ] {
        assert!(table.contains(&(column.to_owned(), wanted)), "{column} in {table:?}");
    }
}
