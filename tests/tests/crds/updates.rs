//! Two states of an object in; whether the second may follow the first, according to the API server and to the checks
//! without one.

use futures::StreamExt;
use novacrm_crds::{CompliancePolicy, CrmTenant};
use novacrm_engine_core::policy::{check_tenant_update, check_update};
use novacrm_tests::cluster::Cluster;
use serde_json::Value;

use crate::cases::{fixture, set};
use crate::judge::{collection, send};

/// In ascending order by semver 2.0.0, item 11; the middle ones are that item's own example.
const VERSIONS: &[&str] = &[
    "0.0.0-0",
    "0.0.0",
    "0.9.10",
    "0.10.9",
    "1.0.0-0.3.7",
    "1.0.0--",
    "1.0.0-1-0",
    "1.0.0-A",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-beta.11a",
    "1.0.0-beta-2",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1-0",
    "1.0.1",
    "1.9.0",
    "1.10.0",
    "2.0.0",
    "10.0.0",
    "999999999999999999.0.0",
    "999999999999999999.0.999999999999999999",
];

fn policy(version: &str, changelog: &str) -> Value {
    let mut object = fixture("policy");
    set(&mut object, "/spec/version", version.into());
    set(&mut object, "/spec/changelog", changelog.into());
    object
}

#[test]
fn the_checks_without_a_server_let_a_version_only_grow() {
    for (older, old) in VERSIONS.iter().enumerate() {
        for (newer, new) in VERSIONS.iter().enumerate() {
            let spec = |object| serde_json::from_value::<CompliancePolicy>(object).unwrap().spec;
            let outcome = check_update(&spec(policy(old, "Old.")), &spec(policy(new, "New.")));
            assert_eq!(outcome.is_ok(), older < newer, "from {old} to {new}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn the_server_lets_a_version_only_grow() {
    let cluster = Cluster::connect().await.unwrap();
    cluster.apply_crds().await.unwrap();
    let namespace = cluster.namespace("versions").await.unwrap();
    let client = cluster.client().unwrap();
    for (older, old) in VERSIONS.iter().enumerate() {
        let (path, mut object) = collection(&policy(old, "Old."), namespace.name());
        set(&mut object, "/metadata/name", format!("from-{older}").into());
        let stored = send(&client, http::Method::POST, &path, &object, false).await.unwrap();
        let path = format!("{path}/from-{older}");
        let updates = futures::stream::iter(VERSIONS.iter().enumerate()).map(|(newer, new)| {
            let (client, path, mut object) = (&client, &path, stored.clone());
            set(&mut object, "/spec/version", (*new).into());
            set(&mut object, "/spec/changelog", "New.".into());
            async move {
                let outcome = send(client, http::Method::PUT, path, &object, true).await;
                match outcome {
                    Ok(_) => assert!(older < newer, "from {old} to {new} was accepted"),
                    Err(said) => {
                        assert!(older >= newer, "from {old} to {new}: {said:?}");
                        assert_eq!(said[0].path, "spec.version");
                        assert!(said[0].message.contains("spec.version must grow"), "{said:?}");
                    }
                }
            }
        });
        updates.buffer_unordered(16).collect::<Vec<()>>().await;
    }
}

/// Each field that says nothing, and what it says then.
const SILENT: &[(&str, &str)] = &[
    ("/spec/surfaces", "[]"),
    ("/spec/customDetectors", "[]"),
    ("/spec/enforcement", r#"{"mode": "enforce", "failureMode": "block", "maxStalenessSeconds": 3600}"#),
    ("/spec/detectors/0/minScore", "0.5"),
    ("/spec/tenantSelector/matchLabels", "{}"),
    ("/spec/rules/0/when/any/0/all/0/not", "false"),
    ("/spec/rules/0/when/any/0/all/0/finding/atLeast", "1"),
    ("/spec/rules/0/when/any/0/all/0/finding/minScore", "0"),
    ("/spec/rules/1/when/any/0/all/0/useCase/provisions", "[]"),
    ("/spec/tests/0/given/surface", r#""prompt.input""#),
    ("/spec/tests/1/expect/rules", "[]"),
    ("/spec/tests/2/given/useCase/provisions", "[]"),
];

#[tokio::test]
async fn a_default_that_is_written_out_needs_no_new_version() {
    let cluster = Cluster::connect().await.unwrap();
    cluster.apply_crds().await.unwrap();
    let namespace = cluster.namespace("defaults").await.unwrap();
    let client = cluster.client().unwrap();
    for (index, (pointer, default)) in SILENT.iter().enumerate() {
        let name = format!("silent-{index}");
        let (path, mut object) = collection(&fixture("policy"), namespace.name());
        set(&mut object, "/metadata/name", name.clone().into());
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).and_then(Value::as_object_mut).unwrap().remove(field);
        let mut stored = send(&client, http::Method::POST, &path, &object, false).await.unwrap();
        set(&mut stored, pointer, serde_json::from_str(default).unwrap());
        let outcome = send(&client, http::Method::PUT, &format!("{path}/{name}"), &stored, true).await;
        assert!(outcome.is_ok(), "{pointer}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_is_no_change_of_the_spec_needs_no_new_version() {
    let cluster = Cluster::connect().await.unwrap();
    cluster.apply_crds().await.unwrap();
    let namespace = cluster.namespace("unchanged").await.unwrap();
    let client = cluster.client().unwrap();
    let (path, object) = collection(&fixture("policy"), namespace.name());
    let mut stored = send(&client, http::Method::POST, &path, &object, false).await.unwrap();
    let path = format!("{path}/sound");
    set(&mut stored, "/metadata/labels", serde_json::json!({ "team": "compliance" }));
    send(&client, http::Method::PUT, &path, &stored, true).await.unwrap();
    set(&mut stored, "/spec/owner/team", "Legal".into());
    send(&client, http::Method::PUT, &path, &stored, true).await.unwrap_err();
}

/// What becomes of a tenant: its fixture before, its fixture after, a field that is set in it, and why it may not be.
const TENANTS: &[(&str, &str, &str, &str, Option<&str>)] = &[
    ("tenant", "tenant", "/spec/displayName", r#""ACME SA""#, None),
    ("tenant", "tenant", "/spec/database/managed/rotateAfterDays", "7", None),
    (
        "tenant",
        "tenant",
        "/spec/database/managed/serverRef/name",
        r#""other""#,
        Some("the server of a tenant's databases cannot change"),
    ),
    (
        "tenant",
        "tenant-cloud-native-pg",
        "/spec/displayName",
        r#""ACME""#,
        Some("the type of a tenant's database cannot change"),
    ),
    (
        "tenant-existing",
        "tenant",
        "/spec/displayName",
        r#""ACME""#,
        Some("the type of a tenant's database cannot change"),
    ),
    ("tenant-cloud-native-pg", "tenant-cloud-native-pg", "/spec/database/cloudNativePg/instances", "1", None),
    ("tenant-existing", "tenant-existing", "/spec/database/existing/port", "5433", None),
];

#[tokio::test]
async fn a_tenant_keeps_the_databases_it_began_with() {
    let cluster = Cluster::connect().await.unwrap();
    cluster.apply_crds().await.unwrap();
    let namespace = cluster.namespace("tenants").await.unwrap();
    let client = cluster.client().unwrap();
    for (index, (before, after, pointer, value, refusal)) in TENANTS.iter().enumerate() {
        let name = format!("tenant-{index}");
        let (path, mut before) = collection(&fixture(before), namespace.name());
        set(&mut before, "/metadata/name", name.clone().into());
        let (_, mut after) = collection(&fixture(after), namespace.name());
        set(&mut after, pointer, serde_json::from_str(value).unwrap());

        let spec = |object: &Value| serde_json::from_value::<CrmTenant>(object.clone()).unwrap().spec;
        let checked = check_tenant_update(&spec(&before), &spec(&after)).err();
        assert_eq!(checked.as_ref().map(|problem| problem.message.as_str()), *refusal, "{pointer} = {value}");

        let stored = send(&client, http::Method::POST, &path, &before, false).await.unwrap();
        after["metadata"] = stored["metadata"].clone();
        let said = send(&client, http::Method::PUT, &format!("{path}/{name}"), &after, true).await.err();
        match (said.unwrap_or_default().as_slice(), refusal) {
            ([], None) => {}
            ([one], Some(refusal)) => {
                let (path, problem) = (one.path.clone(), checked.unwrap());
                assert!(one.message.contains(refusal), "{one:?}");
                assert!(problem.path.starts_with(&path), "{path} is not above {}", problem.path);
            }
            (said, _) => panic!("{pointer} = {value}: wanted {refusal:?}, got {said:?}"),
        }
    }
}
