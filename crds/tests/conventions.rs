//! Both definitions keep the conventions of the project's kinds, and the committed YAML is what the types say.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

/// Types of Kubernetes' own, whose schemas are not ours to bound.
const FOREIGN: [&str; 3] = ["status.conditions[]", "spec.api.resources", "spec.engine.resources"];

fn definitions() -> Vec<CustomResourceDefinition> {
    novacrm_crds::schema::definitions()
}

/// Calls `visit` with the path and the schema of every field.
fn walk(path: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    if FOREIGN.contains(&path) {
        return;
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let child = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        walk(&child, field, visit);
    }
    if schema["items"].is_object() {
        walk(&format!("{path}[]"), &schema["items"], visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(&format!("{path}{{}}"), &schema["additionalProperties"], visit);
    }
}

fn each_field(mut visit: impl FnMut(&str, &str, &Value)) {
    for definition in definitions() {
        let kind = definition.spec.names.kind.clone();
        for version in &definition.spec.versions {
            let schema = serde_json::to_value(version.schema.as_ref().unwrap()).unwrap();
            walk("", &schema["openAPIV3Schema"], &mut |path, field| {
                if path.starts_with("spec") || path.starts_with("status") {
                    visit(&kind, path, field);
                }
            });
        }
    }
}

#[test]
fn every_string_list_and_map_is_bounded() {
    let mut unbounded = Vec::new();
    each_field(|kind, path, field| {
        let has = |name: &str| !field[name].is_null();
        let open = match field["type"].as_str() {
            _ if FOREIGN.contains(&path) => false,
            Some("string") => !has("maxLength") && !has("enum"),
            Some("array") => !has("maxItems"),
            Some("object") => has("additionalProperties") && !has("maxProperties"),
            _ => false,
        };
        // Kubernetes' own quantities, within the types above.
        if open {
            unbounded.push(format!("{kind} {path}"));
        }
    });
    assert!(unbounded.is_empty(), "without maxLength, maxItems or maxProperties: {unbounded:#?}");
}

#[test]
fn every_field_is_documented() {
    let mut silent = Vec::new();
    each_field(|kind, path, field| {
        let is_element = path.ends_with("[]") || path.ends_with("{}");
        if !is_element && field["description"].as_str().is_none_or(str::is_empty) {
            silent.push(format!("{kind} {path}"));
        }
    });
    assert!(silent.is_empty(), "without a description: {silent:#?}");
}

#[test]
fn durations_are_whole_numbers_with_their_unit_in_the_name() {
    let mut wrong = Vec::new();
    each_field(|kind, path, field| {
        let name = path.rsplit('.').next().unwrap_or_default();
        let lower = name.to_lowercase();
        let is_duration =
            ["timeout", "interval", "duration", "staleness", "period", "ttl", "delay", "retention"]
                .iter()
                .any(|word| lower.contains(word));
        let has_unit =
            ["Milliseconds", "Seconds", "Minutes", "Hours", "Days"].iter().any(|unit| name.ends_with(unit));
        if is_duration && field["type"] != "object" && !(has_unit && field["type"] == "integer") {
            wrong.push(format!("{kind} {path}"));
        }
    });
    assert!(wrong.is_empty(), "durations without a unit or of another type: {wrong:#?}");
}

#[test]
fn conditions_are_a_map_by_type() {
    let mut seen = 0;
    each_field(|_, path, field| {
        if path == "status.conditions" {
            assert_eq!(field["x-kubernetes-list-type"], "map");
            assert_eq!(field["x-kubernetes-list-map-keys"], serde_json::json!(["type"]));
            seen += 1;
        }
    });
    assert_eq!(seen, 2);
}

#[test]
fn a_status_is_unobserved_until_a_controller_has_looked() {
    let mut seen = 0;
    each_field(|_, path, field| {
        if path == "status" {
            assert_eq!(field["default"], serde_json::json!({ "observedGeneration": -1 }));
            seen += 1;
        }
    });
    assert_eq!(seen, 2);
}

#[test]
fn kinds_are_namespaced_listed_together_and_show_whether_they_are_ready() {
    for definition in definitions() {
        let names = &definition.spec.names;
        assert_eq!(definition.spec.scope, "Namespaced", "{}", names.kind);
        assert_eq!(names.categories, Some(vec!["novacrm".to_owned()]), "{}", names.kind);
        assert!(names.short_names.as_ref().is_some_and(|names| !names.is_empty()), "{}", names.kind);
        for version in &definition.spec.versions {
            let columns: Vec<&str> = version
                .additional_printer_columns
                .iter()
                .flatten()
                .map(|column| column.name.as_str())
                .collect();
            for needed in ["Ready", "Reason", "Age"] {
                assert!(columns.contains(&needed), "{} has no column {needed}: {columns:?}", names.kind);
            }
            assert!(version.subresources.as_ref().is_some_and(|sub| sub.status.is_some()), "{}", names.kind);
        }
    }
}

#[test]
fn every_rule_says_what_it_asks_for() {
    let mut rules = Vec::new();
    each_field(|kind, path, field| {
        for rule in field["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default().to_owned();
            assert!(!message.is_empty(), "{kind} {path} has a rule without a message");
            rules.push(format!("{path}: {message}"));
        }
    });
    // A rule that vanished from the schema would vanish in silence.
    for needed in [
        "spec: spec.version must grow whenever the spec changes; to go back, apply the old content as a new, higher version",
        "spec.exceptions[]: an exception must be approved by somebody else than who asked for it",
        "spec.rules[].action: keepLast belongs to an action of type mask",
        "spec.rules[].action: form, scope and preserveFormat belong to an action of type tokenize",
        "spec.rules[].action: only a token can keep the format of what it stands for",
        "spec.rules[].when.any[].all[]: exactly one of finding, field and useCase must be set",
        "spec.database: managed must be set exactly when type is managed",
        "spec.database: cloudNativePg must be set exactly when type is cloudNativePg",
        "spec.database: existing must be set exactly when type is existing",
        "spec.database: the type of a tenant's database cannot change",
        "spec.database: the server of a tenant's databases cannot change",
        "spec: an exposed CRM needs at least one hostname",
        "spec.exposure: ingress must be set exactly when type is ingress",
        "spec.exposure: gateway must be set exactly when type is gateway",
        "spec.api.autoscaling: minReplicas must not be above maxReplicas",
        "spec.aiUseCases[]: a high-risk or prohibited use needs at least one provision",
    ] {
        assert!(rules.iter().any(|rule| rule == needed), "{needed} is not among {rules:#?}");
    }
}

#[test]
fn the_committed_yaml_is_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let definitions = definitions();
    for definition in &definitions {
        let path = folder.join(novacrm_crds::schema::file_name(definition));
        let committed = fs::read_to_string(&path).unwrap_or_default();
        let generated = serde_yaml::to_string(definition).unwrap();
        assert!(
            committed == generated,
            "{} is out of date: run `novacrm-operator crds --output-dir crds/yaml`",
            path.display()
        );
        assert!(generated.len() < 250_000, "{} has {} bytes", path.display(), generated.len());
    }
    let files = fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, definitions.len(), "a file in {} belongs to no kind", folder.display());
}
