//! The table of [`cases.yaml`](cases.yaml), used twice: against the API server and against the checks without one.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::judge::{Complaint, Row, before_the_checks, before_the_server};

const CASES: &str = include_str!("cases.yaml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    fixture: String,
    #[serde(default)]
    set: BTreeMap<String, Value>,
    #[serde(default)]
    remove: Vec<String>,
    refused: Option<Refusal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    pub path: String,
    pub message: String,
}

impl From<Refusal> for Complaint {
    fn from(refusal: Refusal) -> Self {
        Self { path: refusal.path, message: refusal.message }
    }
}

/// A fixture by the name of its file.
pub fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/crds/fixtures/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Sets a field of an object that has its parent.
pub fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(parent).unwrap_or_else(|| panic!("the fixture has no {parent}")) {
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        fields => fields[name] = value,
    }
}

/// Removes a field that an object has.
pub fn remove(object: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let fields = object.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
    fields.remove(name).unwrap_or_else(|| panic!("the fixture has no {pointer}"));
}

fn rows() -> Vec<Row> {
    let cases: Vec<Case> = serde_yaml::from_str(CASES).unwrap();
    let row = |case: Case| {
        let mut object = fixture(&case.fixture);
        case.remove.iter().for_each(|pointer| remove(&mut object, pointer));
        case.set.into_iter().for_each(|(pointer, value)| set(&mut object, &pointer, value));
        Row { name: case.name, object, complaint: case.refused.map(Complaint::from) }
    };
    cases.into_iter().map(row).collect()
}

#[tokio::test]
async fn the_server_judges_as_the_table_says() {
    before_the_server(&rows()).await;
}

#[test]
fn the_checks_without_a_server_judge_as_the_table_says() {
    before_the_checks(&rows());
}

#[test]
fn every_rule_and_every_pattern_of_the_schemas_is_in_the_table() {
    let rows = rows();
    let refusals: Vec<&Complaint> = rows.iter().filter_map(|row| row.complaint.as_ref()).collect();
    let mut missing = Vec::new();
    let (mut patterns, mut broken) = (BTreeSet::new(), BTreeSet::new());
    for definition in novacrm_crds::schema::definitions() {
        let schema = json!(definition.spec.versions[0].schema);
        each(&schema["openAPIV3Schema"]["properties"]["spec"], "spec", &mut |path, field| {
            for rule in field["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let compares_two_states = rule["rule"].as_str().unwrap().contains("oldSelf");
                let message = rule["message"].as_str().unwrap();
                if !compares_two_states && !refusals.iter().any(|refusal| refusal.message == message) {
                    missing.push(format!("{path}: {message}"));
                }
            }
            let covered =
                |refusal: &&Complaint| refusal.message == "should match" && any_item(&refusal.path) == path;
            if refusals.iter().any(covered) {
                broken.insert(field["pattern"].to_string());
            }
            if field["pattern"].is_string() {
                patterns.insert(field["pattern"].to_string());
            }
        });
    }
    // One field of each pattern is enough; the boundary rows break it at every other.
    missing.extend(patterns.difference(&broken).cloned());
    assert!(missing.is_empty(), "no row is refused for these: {missing:#?}");
}

/// `spec.rules[3].id` → `spec.rules[].id`.
fn any_item(path: &str) -> String {
    path.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Every field with its path, in which `[]` is any item.
fn each(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        each(field, &format!("{path}.{name}"), visit);
    }
    if schema["items"].is_object() {
        each(&schema["items"], &format!("{path}[]"), visit);
    }
}
