//! A value and the schema of its kind in; every difference, with its field path and a mend, out.
//!
//! The schema is the one that the API server is given ([`novacrm_crds::schema::definitions`]), so a file is judged
//! here as it would be there, and unknown fields, which the server would drop, are refused. Its rules across
//! fields (CEL there) are mirrored in [`RULES`]; a test compares their messages with the schema's.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use novacrm_crds::schema::definitions;
use regex::Regex;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::exception::{expiry, no_moment};
use super::problem::{PolicyProblem, named, nearest, problem};
use super::source::{child, item};

/// The schema of each kind, by its name.
static SCHEMAS: LazyLock<HashMap<String, Schema>> = LazyLock::new(|| {
    definitions()
        .into_iter()
        .filter_map(|definition| {
            let version = definition.spec.versions.into_iter().next()?;
            let root = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
            let mut patterns = HashMap::new();
            collect_patterns(&root, &mut patterns);
            Some((definition.spec.names.kind, Schema { root, patterns }))
        })
        .collect()
});

struct Schema {
    root: Value,
    patterns: HashMap<String, Regex>,
}

fn collect_patterns(schema: &Value, patterns: &mut HashMap<String, Regex>) {
    match schema {
        Value::Object(fields) => {
            if let Some(pattern) = fields.get("pattern").and_then(Value::as_str)
                && let Ok(regex) = Regex::new(pattern)
            {
                patterns.insert(pattern.to_owned(), regex);
            }
            fields.values().for_each(|value| collect_patterns(value, patterns));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_patterns(value, patterns)),
        _ => {}
    }
}

/// Mirrors of the schema's rules across fields: message, field, hint, and whether an object keeps the rule.
struct Rule {
    /// As in the schema.
    message: &'static str,
    /// Where the problem is shown, below the object.
    field: Option<&'static str>,
    hint: &'static str,
    keeps: fn(&Map<String, Value>) -> bool,
}

/// The rules that look at one state of an object; those that compare two are in [`super::check_update`] and
/// [`super::check_tenant_update`].
const RULES: [Rule; 16] = [
    Rule {
        message: "exactly one of finding, field and useCase must be set",
        field: None,
        hint: "Write each test as an item of its own under `all`.",
        keeps: |leaf| ["finding", "field", "useCase"].iter().filter(|name| has(leaf, name)).count() == 1,
    },
    Rule {
        message: "keepLast belongs to an action of type mask",
        field: Some("keepLast"),
        hint: "Remove keepLast, or set the type to mask.",
        keeps: |action| !has(action, "keepLast") || is(action, "type", "mask"),
    },
    Rule {
        message: "form, scope and preserveFormat belong to an action of type tokenize",
        field: Some("form"),
        hint: "Remove them, or set the type to tokenize.",
        keeps: |action| {
            is(action, "type", "tokenize")
                || !["form", "scope", "preserveFormat"].iter().any(|name| has(action, name))
        },
    },
    Rule {
        message: "only a token can keep the format of what it stands for",
        field: Some("preserveFormat"),
        hint: "Remove preserveFormat, or set the form to token.",
        keeps: |action| {
            action.get("preserveFormat") != Some(&Value::Bool(true))
                || !has(action, "form")
                || is(action, "form", "token")
        },
    },
    Rule {
        message: "approvers belong to an action of type requireApproval, which needs them",
        field: Some("approvers"),
        hint: "Name the roles that may release the text under approvers, and only with requireApproval.",
        keeps: |action| has(action, "approvers") == is(action, "type", "requireApproval"),
    },
    Rule {
        // The API server folds ASCII letters alone, this one all: a file is refused no later than there.
        message: "an exception must be approved by somebody else than who asked for it",
        field: Some("approvedBy"),
        hint: "Have a second person approve it, and name both.",
        keeps: |exception| {
            let name = |field: &str| {
                exception.get(field).and_then(Value::as_str).map(|name| name.trim().to_lowercase())
            };
            name("requestedBy").is_none() || name("requestedBy") != name("approvedBy")
        },
    },
    Rule {
        message: "a high-risk or prohibited use needs at least one provision",
        field: Some("provisions"),
        hint: "Cite the provision the class rests on, such as {law: eu-ai-act, ref: \"annex-iii:4(a)\"}.",
        keeps: |entry| {
            !(is(entry, "class", "highRisk") || is(entry, "class", "prohibited"))
                || entry.get("provisions").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
        },
    },
    Rule {
        message: "managed must be set exactly when type is managed",
        field: Some("managed"),
        hint: "Set managed.serverRef.name to the server the platform team named.",
        keeps: |database| is(database, "type", "managed") == has(database, "managed"),
    },
    Rule {
        message: "cloudNativePg must be set exactly when type is cloudNativePg",
        field: Some("cloudNativePg"),
        hint: "Set cloudNativePg.storage.size to the size of each server's volume.",
        keeps: |database| is(database, "type", "cloudNativePg") == has(database, "cloudNativePg"),
    },
    Rule {
        message: "existing must be set exactly when type is existing",
        field: Some("existing"),
        hint: "Name the Secrets with the addresses of both databases under existing.crm and existing.audit.",
        keeps: |database| is(database, "type", "existing") == has(database, "existing"),
    },
    Rule {
        message: "model must be set exactly when api is chat",
        field: Some("model"),
        hint: "Name the model that the endpoint is to use, or remove it where the service speaks as Presidio does.",
        keeps: |recogniser| is(recogniser, "api", "chat") == has(recogniser, "model"),
    },
    Rule {
        message: "an exposed CRM needs at least one hostname",
        field: Some("hostnames"),
        hint: "Name the hosts that browsers reach the CRM under, or remove exposure.",
        keeps: |spec| {
            !has(spec, "exposure")
                || spec.get("hostnames").and_then(Value::as_array).is_some_and(|names| !names.is_empty())
        },
    },
    Rule {
        message: "ingress must be set exactly when type is ingress",
        field: Some("ingress"),
        hint: "Write `ingress: {}` for the cluster's default class, or name a class and a certificate in it.",
        keeps: |exposure| is(exposure, "type", "ingress") == has(exposure, "ingress"),
    },
    Rule {
        message: "gateway must be set exactly when type is gateway",
        field: Some("gateway"),
        hint: "Name the Gateway under gateway.parentRef.",
        keeps: |exposure| is(exposure, "type", "gateway") == has(exposure, "gateway"),
    },
    Rule {
        message: "name a claim or describe one to be made, not both",
        field: Some("claimName"),
        hint: "Remove storage to use the claim that is there, or claimName to have one made.",
        keeps: |dump| !(has(dump, "claimName") && has(dump, "storage")),
    },
    Rule {
        message: "minReplicas must not be above maxReplicas",
        field: Some("minReplicas"),
        hint: "Lower minReplicas, or raise maxReplicas.",
        keeps: |scaling| {
            let count = |name: &str| scaling.get(name).and_then(Value::as_i64);
            // Absent means one, which no maximum is below.
            count("minReplicas").is_none_or(|least| count("maxReplicas").is_none_or(|most| least <= most))
        },
    },
];

fn has(object: &Map<String, Value>, field: &str) -> bool {
    object.get(field).is_some_and(|value| !value.is_null())
}

fn is(object: &Map<String, Value>, field: &str, value: &str) -> bool {
    object.get(field).and_then(Value::as_str) == Some(value)
}

/// Fields of `metadata` that people and the API server write.
const METADATA: [&str; 14] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "generateName",
    "finalizers",
    "ownerReferences",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
];

/// RFC 1123 label, as Kubernetes wants it of namespaces.
fn is_label(name: &str) -> bool {
    name.len() <= 63 && !name.contains('.') && is_subdomain(name)
}

/// RFC 1123 subdomain, as Kubernetes wants it of most names.
fn is_subdomain(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

/// Compares what a person wrote with the schema of the kind: name, namespace and spec. What the API server or a
/// controller adds to an object is theirs to judge, and may be of a version we do not know.
pub(crate) fn validate_written(
    kind: &str,
    name: Option<&str>,
    namespace: Option<&str>,
    spec: &impl Serialize,
) -> Vec<PolicyProblem> {
    match serde_json::to_value(spec) {
        Ok(spec) => {
            let metadata = json!({ "name": name, "namespace": namespace });
            validate(kind, &json!({ "metadata": metadata, "spec": spec }))
        }
        Err(_) => vec![problem("spec", "the spec cannot be written as JSON", "Use finite numbers only.")],
    }
}

/// Compares a whole object with the schema of its kind. A kind that is not ours has no problems.
pub(crate) fn validate(kind: &str, object: &Value) -> Vec<PolicyProblem> {
    let mut walk = Walk { problems: Vec::new(), patterns: None };
    let Some(schema) = SCHEMAS.get(kind) else { return walk.problems };
    walk.patterns = Some(&schema.patterns);
    let Value::Object(fields) = object else { return walk.problems };
    let mut fields = fields.clone();
    for envelope in ["apiVersion", "kind"] {
        fields.remove(envelope);
    }
    walk.metadata(fields.remove("metadata").as_ref());
    walk.value(&schema.root, &Value::Object(fields), "");
    walk.problems
}

struct Walk<'s> {
    problems: Vec<PolicyProblem>,
    patterns: Option<&'s HashMap<String, Regex>>,
}

impl Walk<'_> {
    fn report(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        // Enough to mend a file by hand; a list of thousands is none.
        if self.problems.len() < 200 {
            self.problems.push(problem(path, message, hint));
        }
    }

    fn metadata(&mut self, metadata: Option<&Value>) {
        let Some(Value::Object(metadata)) = metadata else {
            return self.report("metadata", "the object has no metadata", "Give it at least metadata.name.");
        };
        for key in metadata.keys().filter(|key| !METADATA.contains(&key.as_str())) {
            self.unknown("metadata", key, METADATA);
        }
        let hint =
            "Use at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends.";
        match metadata.get("name") {
            None | Some(Value::Null) => self.report("metadata.name", "the object has no name", hint),
            Some(Value::String(value)) if is_subdomain(value) => {}
            Some(_) => self.report("metadata.name", "this is not a name Kubernetes accepts", hint),
        }
        match metadata.get("namespace") {
            None | Some(Value::Null) => {}
            Some(Value::String(value)) if is_label(value) => {}
            Some(_) => self.report(
                "metadata.namespace",
                "this is not a name Kubernetes accepts",
                "Use at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends.",
            ),
        }
        for field in ["labels", "annotations"] {
            match metadata.get(field) {
                None | Some(Value::Null) => {}
                Some(Value::Object(pairs)) => {
                    for (key, _) in pairs.iter().filter(|(_, value)| !value.is_string()) {
                        let path = child(&format!("metadata.{field}"), key);
                        self.report(&path, "the value must be a string", "Put the value in quotes.");
                    }
                }
                Some(_) => self.report(
                    &format!("metadata.{field}"),
                    "must be a mapping",
                    "Write `key: value` pairs.",
                ),
            }
        }
    }

    fn unknown<'a>(&mut self, path: &str, key: &str, known: impl IntoIterator<Item = &'a str> + Clone) {
        let hint = match nearest(key, known.clone()) {
            Some(near) => format!("Did you mean `{near}`?"),
            None => {
                let known: Vec<&str> = known.into_iter().collect();
                format!("The fields here are: {}.", known.join(", "))
            }
        };
        self.report(&child(path, key), format!("there is no field `{}`", named(key)), hint);
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        if value.is_null() {
            if schema.get("nullable") != Some(&Value::Bool(true)) {
                self.report(path, "the field has no value", "Give it a value or remove the field.");
            }
            return;
        }
        if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            if !(value.is_string() || value.is_i64() || value.is_u64()) {
                self.report(
                    path,
                    "must be an integer or a string",
                    "Write a quantity such as 2 or \"500m\".",
                );
            }
            return;
        }
        let wanted = schema.get("type").and_then(Value::as_str).unwrap_or("object");
        let fits = match wanted {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            _ => true,
        };
        if !fits {
            let (wanted, hint) = match wanted {
                "object" => ("a mapping", "Write `field: value` pairs, indented below."),
                "array" => ("a list", "Write items that start with `- `, or `[a, b]`."),
                "string" => ("a string", "Put the value in quotes."),
                "boolean" => ("true or false", "Write true or false, without quotes."),
                "integer" => ("a whole number", "Write a whole number without quotes."),
                _ => ("a number", "Write a number without quotes."),
            };
            return self.report(path, format!("must be {wanted}, not {}", kind_of(value)), hint);
        }
        match value {
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Array(items) => self.list(schema, items, path),
            Value::String(text) => self.string(schema, text, path),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or(f64::NAN), path),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, path: &str) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let rest = schema.get("additionalProperties");
        for (key, value) in fields {
            if let Some(property) = properties.and_then(|known| known.get(key)) {
                self.value(property, value, &child(path, key));
            } else if let Some(rest) = rest {
                self.value(rest, value, &child(path, key));
            } else if let Some(known) = properties {
                self.unknown(path, key, known.keys().map(String::as_str));
            }
        }
        for name in
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !fields.contains_key(name) {
                let description = properties
                    .and_then(|known| known.get(name))
                    .and_then(|property| property.get("description"))
                    .and_then(Value::as_str)
                    .and_then(|text| text.lines().next())
                    .unwrap_or("Add it.");
                self.report(&child(path, name), format!("the field `{name}` is missing"), description);
            }
        }
        let most = schema.get("maxProperties").and_then(Value::as_u64);
        if most.is_some_and(|most| fields.len() as u64 > most) {
            let most = most.unwrap_or_default();
            self.report(path, format!("has more than {most} entries"), "Remove some.");
        }
        for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
            let message = rule.get("message").and_then(Value::as_str).unwrap_or_default();
            if let Some(mirror) = RULES.iter().find(|mirror| mirror.message == message)
                && !(mirror.keeps)(fields)
            {
                let path = mirror.field.map_or_else(|| path.to_owned(), |field| child(path, field));
                self.report(&path, mirror.message, mirror.hint);
            }
        }
    }

    fn list(&mut self, schema: &Value, items: &[Value], path: &str) {
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        let length = items.len() as u64;
        if let Some(least) = bound("minItems").filter(|least| length < *least) {
            self.report(path, format!("needs at least {least} item{}", plural(least)), "Add one.");
        }
        if let Some(most) = bound("maxItems").filter(|most| length > *most) {
            self.report(
                path,
                format!("has {length} items and may have {most}"),
                "Remove some, or split the object.",
            );
            return;
        }
        if let Some(of_item) = schema.get("items") {
            for (index, value) in items.iter().enumerate() {
                self.value(of_item, value, &item(path, index));
            }
        }
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
        for key in keys.into_iter().flatten().filter_map(Value::as_str) {
            let mut seen = HashSet::new();
            for (index, value) in items.iter().enumerate() {
                if let Some(held) = value.get(key).and_then(Value::as_str)
                    && !seen.insert(held)
                {
                    let path = child(&item(path, index), key);
                    self.report(&path, format!("another item has this {key}"), "Keep one of the two.");
                }
            }
        }
        if schema.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("set") {
            let mut seen = HashSet::new();
            for (index, value) in items.iter().enumerate() {
                if !seen.insert(value) {
                    self.report(&item(path, index), "another item is the same", "Keep one of the two.");
                }
            }
        }
    }

    fn string(&mut self, schema: &Value, text: &str, path: &str) {
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
            let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            if !allowed.contains(&text) {
                let near = nearest(text, allowed.iter().copied());
                let hint = match near {
                    Some(near) => format!("Did you mean `{near}`? Allowed are: {}.", allowed.join(", ")),
                    None => format!("Allowed are: {}.", allowed.join(", ")),
                };
                self.report(path, "this value is not one of those allowed", hint);
            }
            return;
        }
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        let length = text.chars().count() as u64;
        if let Some(least) = bound("minLength").filter(|least| length < *least) {
            let message = if length == 0 {
                "is empty".to_owned()
            } else {
                format!("needs at least {least} characters")
            };
            return self.report(path, message, "Write it out.");
        }
        if let Some(most) = bound("maxLength").filter(|most| length > *most) {
            let message = format!("has {length} characters and may have {most}");
            return self.report(path, message, "Shorten it.");
        }
        if schema.get("format").and_then(Value::as_str) == Some("date-time") && expiry(text).is_none() {
            let PolicyProblem { message, hint, .. } = no_moment(path);
            self.report(path, message, hint);
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && self
                .patterns
                .and_then(|patterns| patterns.get(pattern))
                .is_some_and(|regex| !regex.is_match(text))
        {
            self.report(path, "has not the form that this field needs", form(pattern));
        }
    }

    fn number(&mut self, schema: &Value, number: f64, path: &str) {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let (least, most) = (bound("minimum"), bound("maximum"));
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let hint = match (least, most) {
                (Some(least), Some(most)) => format!("Give a number from {least} to {most}."),
                (Some(least), None) => format!("Give a number from {least} on."),
                (_, most) => format!("Give a number up to {}.", most.unwrap_or_default()),
            };
            self.report(path, "the number is out of range", hint);
        }
    }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// What the patterns of our schemas ask for, in words.
fn form(pattern: &str) -> String {
    let words = match pattern {
        r"^[A-Z0-9]+(-[A-Z0-9]+)*$" => "Use capital letters, digits and single hyphens, such as `PII-001`.",
        r"^[a-z0-9]+(-[a-z0-9]+)*$" => {
            "Use lower-case letters, digits and single hyphens, such as `data-leak`."
        }
        r"^[a-z0-9][a-z0-9-]*$" => "Use lower-case letters, digits and hyphens, such as `eu-ai-act`.",
        r"^[a-z0-9][a-z0-9._-]*$" => "Use lower-case letters, digits, `-`, `_` and `.`, such as `sales`.",
        r"^[A-Z][A-Z0-9_]*$" => "Use capital letters, digits and `_`, such as `PROJECT_CODE`.",
        r"^[a-z0-9]+([.-][a-z0-9]+)*(\.\*)?$" => "Use an id such as `pii.iban`, or a family such as `pii.*`.",
        r"^custom\.[a-z0-9]+([.-][a-z0-9]+)*$" => "Use an id such as `custom.project-code`.",
        r"^external\.[a-z0-9]+(-[a-z0-9]+)*\.[a-z0-9]+(-[a-z0-9]+)*$" => {
            "Use an id such as `external.presidio.person`."
        }
        r"^https?://[^\s@]+$" => "Use an address with its path, such as `http://presidio:3000/analyze`.",
        r"^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*(=[A-Z][A-Z0-9]*(_[A-Z0-9]+)*)?$" => {
            "Use capital letters, digits and single `_`, such as `PERSON` or `GPE=LOCATION`."
        }
        r"^[^@\s]+@[^@\s]+$" => "Use an e-mail address.",
        r"^[1-9][0-9]*(Mi|Gi|Ti)$" => "Use a whole number with Mi, Gi or Ti, such as `10Gi`.",
        r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" => "Use the id that the refusal named.",
        r"^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$" => {
            "Use a host name in lower case, such as `crm.acme.example`."
        }
        _ if pattern.starts_with(r"^(0|[1-9]") => {
            "Use a semantic version such as `1.2.0`, in quotes if it could be read as a number."
        }
        other => return format!("It must match `{other}`."),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keywords(schema: &Value, found: &mut HashSet<String>, messages: &mut HashSet<String>) {
        let Some(fields) = schema.as_object() else { return };
        found.extend(fields.keys().cloned());
        for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
            messages.insert(rule["message"].as_str().unwrap().to_owned());
        }
        for property in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
            keywords(property.1, found, messages);
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(inner) = fields.get(inner) {
                keywords(inner, found, messages);
            }
        }
    }

    fn all() -> (HashSet<String>, HashSet<String>) {
        let (mut found, mut messages) = (HashSet::new(), HashSet::new());
        for schema in SCHEMAS.values() {
            keywords(&schema.root, &mut found, &mut messages);
        }
        (found, messages)
    }

    #[test]
    fn every_keyword_of_the_generated_schemas_is_honoured() {
        let honoured = [
            "type",
            "nullable",
            "properties",
            "additionalProperties",
            "required",
            "maxProperties",
            "items",
            "minItems",
            "maxItems",
            "enum",
            "minLength",
            "maxLength",
            "pattern",
            "minimum",
            "maximum",
            "x-kubernetes-validations",
            "x-kubernetes-list-type",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-int-or-string",
        ];
        // They describe, fill in, or (format, but for `date-time`, which is honoured) repeat minimum and maximum and
        // the width of the Rust type.
        let descriptive = ["description", "title", "default", "format"];
        let (found, _) = all();
        let forgotten: Vec<_> = found
            .iter()
            .filter(|key| !honoured.contains(&key.as_str()) && !descriptive.contains(&key.as_str()))
            .collect();
        assert!(forgotten.is_empty(), "{forgotten:?}");
    }

    #[test]
    fn every_rule_across_fields_is_mirrored_with_the_same_message() {
        let (_, messages) = all();
        let mut mirrored: HashSet<String> = RULES.iter().map(|rule| rule.message.to_owned()).collect();
        use super::super::check::{MUST_GROW, SERVER_STAYS, TYPE_STAYS};
        mirrored.extend([MUST_GROW, SERVER_STAYS, TYPE_STAYS].map(str::to_owned));
        assert_eq!(messages, mirrored);
    }

    #[test]
    fn every_pattern_of_the_schemas_is_put_into_words() {
        for schema in SCHEMAS.values() {
            for pattern in schema.patterns.keys() {
                assert!(!form(pattern).starts_with("It must match"), "{pattern}");
            }
        }
    }
}
