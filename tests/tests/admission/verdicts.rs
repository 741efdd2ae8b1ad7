//! One verdict everywhere: the same broken policies (`engine/core/testdata/policies/broken.yaml`) before the check, the
//! command line, the reconciler, the webhook and the API server in front of it. What an engine says of those that a
//! bundle can hold is compared beside the check itself, in `engine/core`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use kube::Api;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use novacrm_crds::CompliancePolicy;
use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_engine_core::policy::check;
use novacrm_operator::admission::{Lives, PATH};
use novacrm_operator::compliance_policy::dereference::{Dereferenced, scope};
use novacrm_operator::compliance_policy::validate::validate;
use novacrm_tests::cluster::{PATIENCE, eventually};
use novacrm_tests::system::programs;
use serde::Deserialize;
use serde_json::{Value, json};

use super::webhook::{Bench, sound};

const SOUND: &str = include_str!("../../../engine/core/testdata/policies/sound.yaml");
const BROKEN: &str = include_str!("../../../engine/core/testdata/policies/broken.yaml");
const POLICY_NAMESPACE: &str = "novacrm-policies";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Row {
    replace: String,
    by: String,
    path: String,
    message: String,
    held_by: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Place {
    File,
    Request,
    Object,
    Bundle,
}

/// Field path, message and mend, as a webhook writes them.
type Said = BTreeSet<(String, String)>;

fn said(problems: &[PolicyProblem]) -> Said {
    problems.iter().map(|one| (one.path.clone(), format!("{}. {}", one.message, one.hint))).collect()
}

fn causes(status: &Value) -> Said {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
    causes.iter().map(|cause| (text(&cause["field"]), text(&cause["message"]))).collect()
}

/// What `novacrm-engine policy lint` says of each file, by its number.
fn lint(sources: &[String]) -> BTreeMap<usize, Vec<PolicyProblem>> {
    let folder = tempfile::tempdir().unwrap();
    for (index, source) in sources.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{index}.yaml")), source).unwrap();
    }
    let program = programs().join("novacrm-engine");
    let ran = Command::new(program)
        .args(["policy", "lint", "--output", "json", "."])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stderr));
    let result: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let problems: Vec<PolicyProblem> = serde_json::from_value(result["problems"].clone()).unwrap();
    let mut found: BTreeMap<usize, Vec<PolicyProblem>> = BTreeMap::new();
    for problem in problems {
        let file = problem.file.as_deref().unwrap();
        let number = file.trim_start_matches("./").trim_end_matches(".yaml").parse().unwrap();
        assert!(problem.line.is_some() && problem.column.is_some(), "{problem:?}");
        found.entry(number).or_default().push(problem);
    }
    found
}

fn review(object: &Value, namespace: &str) -> Value {
    let kind = json!({ "group": "novacrm.io", "version": "v1alpha1", "kind": "CompliancePolicy" });
    let resource = json!({ "group": "novacrm.io", "version": "v1alpha1", "resource": "compliancepolicies" });
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "0c9a8d74-9cb7-44dd-b98e-09fd62def2f4",
            "kind": kind, "resource": resource, "name": "codes", "namespace": namespace,
            "operation": "CREATE", "userInfo": {}, "object": object, "dryRun": true,
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_policy_is_refused_with_the_same_words_wherever_it_is_judged() {
    let rows: Vec<Row> = serde_yaml::from_str(BROKEN).unwrap();
    let sources: Vec<String> = rows.iter().map(|row| SOUND.replacen(&row.replace, &row.by, 1)).collect();
    let lint = lint(&sources);

    let bench = Bench::new("admission-verdicts").await;
    let replica = bench.replica(true, Lives::default());
    bench.ask(&[&replica]).await;
    replica.ready().await;
    let authorities = reqwest::Certificate::from_pem_bundle(bench.secret("ca.crt").await.as_bytes()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only(authorities).build().unwrap();
    let url = format!("https://127.0.0.1:{}{PATH}", replica.port);
    let namespace = bench.namespace.name();
    let kind = GroupVersionKind::gvk("novacrm.io", "v1alpha1", "CompliancePolicy");
    let resource = ApiResource::from_gvk_with_plural(&kind, "compliancepolicies");
    let policies: Api<DynamicObject> = Api::namespaced_with(bench.client.clone(), namespace, &resource);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let good: DynamicObject = serde_json::from_value(sound(namespace)).unwrap();
    eventually(PATIENCE, || policies.create(&dry_run, &good)).await.unwrap();

    let mut failures = Vec::new();
    let (mut objects, mut by_the_api_server) = (0, 0);
    for (index, row) in rows.iter().enumerate() {
        let by_file = lint.get(&index).map(Vec::as_slice).unwrap_or_default();
        let wanted = said(by_file);
        if !by_file.iter().any(|one| one.path == row.path && one.message.contains(&row.message)) {
            failures.push(format!("command line, {}: {wanted:#?}", row.by));
        }
        if row.held_by == Place::File {
            continue;
        }
        let object: Value = serde_yaml::from_str(&sources[index]).unwrap();
        let answer = http.post(&url).json(&review(&object, namespace)).send().await.unwrap();
        // Metadata of the wrong shape is no object at all, and the API server never sends it.
        let metadata = row.path.starts_with("metadata") || row.path == "apiVersion" || row.path == "kind";
        if !metadata {
            let answer: Value = answer.json().await.unwrap();
            let status = &answer["response"]["status"];
            if answer["response"]["allowed"] != false || status["code"] != 422 || causes(status) != wanted {
                failures.push(format!("webhook, {}: wanted {wanted:#?}, got {answer:#}", row.by));
            }
        }
        let Ok(policy) = serde_json::from_value::<CompliancePolicy>(object.clone()) else { continue };
        objects += 1;
        let own = policy.metadata.namespace.clone().unwrap_or_default();
        let dereferenced =
            Dereferenced { scope: scope(&own, POLICY_NAMESPACE), tenants: Vec::new(), accepted: None };
        let checked = said(&check(&policy, dereferenced.scope).err().unwrap_or_default());
        let reconciled = said(&validate(&policy, &dereferenced).err().unwrap_or_default());
        // Fields that the kind does not have never reach an object.
        let schema_only = row.held_by == Place::Request;
        if checked != reconciled || !(checked == wanted || (schema_only && checked.is_subset(&wanted))) {
            failures.push(format!("check or reconciler, {}: {checked:#?}, {reconciled:#?}", row.by));
        }
        if row.held_by >= Place::Object && own == "acme" {
            let mut object: DynamicObject = serde_json::from_value(object).unwrap();
            object.metadata.namespace = Some(namespace.to_owned());
            match policies.create(&dry_run, &object).await {
                Err(kube::Error::Api(status)) => {
                    by_the_api_server += 1;
                    let status = serde_json::to_value(&status).unwrap();
                    if status["code"] != 422 || causes(&status) != wanted {
                        failures.push(format!("API server, {}: wanted {wanted:#?}, got {status:#}", row.by));
                    }
                }
                other => failures.push(format!("API server, {}: {other:?}", row.by)),
            }
        }
    }
    bench.end(vec![replica]).await;
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), rows.len(), failures.join("\n"));
    assert!(objects >= 160 && by_the_api_server >= 150, "{objects}, {by_the_api_server}");
}
