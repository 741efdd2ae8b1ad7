//! The schemas and sound objects in; for every bound of every field an object just within and one just beyond it out.

use novacrm_crds::schema::definitions;
use serde_json::{Map, Value, json};

use crate::cases::fixture;
use crate::judge::{Complaint, Row, before_the_checks, before_the_server};

const FIXTURES: &[&str] = &["policy", "tenant", "tenant-cloud-native-pg", "tenant-existing"];

/// Subtrees of Kubernetes' own, which are not ours to bound.
const FOREIGN: &[&str] = &["resources"];

/// One step from the root of an object towards a field.
#[derive(Clone, Debug)]
enum Step {
    Field(String),
    /// Any item of a list.
    Item,
    /// Any value of a map.
    Value,
}

/// A field of a fixture: as a JSON pointer, and as Kubernetes writes it.
#[derive(Clone)]
struct Place {
    fixture: usize,
    pointer: String,
    path: String,
}

impl Place {
    fn child(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { pointer: format!("{}/{name}", self.pointer), path, ..self.clone() }
    }

    fn item(&self, index: usize) -> Self {
        Self {
            pointer: format!("{}/{index}", self.pointer),
            path: format!("{}[{index}]", self.path),
            ..self.clone()
        }
    }
}

pub fn fixtures() -> Vec<Value> {
    FIXTURES.iter().map(|name| fixture(name)).collect()
}

/// Every field of a schema with the steps to it.
fn walk(schema: &Value, steps: &[Step], visit: &mut dyn FnMut(&[Step], &Value)) {
    visit(steps, schema);
    let below = |step: Step| steps.iter().cloned().chain([step]).collect::<Vec<_>>();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if !FOREIGN.contains(&name.as_str()) {
            walk(field, &below(Step::Field(name.clone())), visit);
        }
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &below(Step::Item), visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(&schema["additionalProperties"], &below(Step::Value), visit);
    }
}

/// The first place in the object that the steps lead to.
fn find(place: &Place, object: &Value, steps: &[Step]) -> Option<Place> {
    let Some((step, rest)) = steps.split_first() else { return Some(place.clone()) };
    match (step, object) {
        (Step::Field(name), Value::Object(fields)) => find(&place.child(name), fields.get(name)?, rest),
        (Step::Item, Value::Array(items)) => {
            items.iter().enumerate().find_map(|(index, item)| find(&place.item(index), item, rest))
        }
        (Step::Value, Value::Object(fields)) => {
            fields.iter().find_map(|(name, value)| find(&place.child(name), value, rest))
        }
        _ => None,
    }
}

/// Every field of both specs and where the fixtures have it.
fn each_place(mut visit: impl FnMut(&Place, &Value)) {
    let fixtures = fixtures();
    let mut absent = Vec::new();
    for definition in definitions() {
        let kind = &definition.spec.names.kind;
        let version = serde_json::to_value(&definition.spec.versions[0]).unwrap();
        let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
        walk(spec, &[Step::Field("spec".to_owned())], &mut |steps, schema| {
            let of_kind = fixtures.iter().enumerate().filter(|(_, object)| object["kind"] == **kind);
            let found = of_kind
                .filter_map(|(fixture, object)| {
                    find(&Place { fixture, pointer: String::new(), path: String::new() }, object, steps)
                })
                .next();
            match found {
                Some(place) => visit(&place, schema),
                None => absent.push(format!("{kind} {steps:?}")),
            }
        });
    }
    assert!(absent.is_empty(), "no fixture has these fields, so nothing tests their bounds: {absent:#?}");
}

fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

/// The values beyond a field's own bounds, and what the API server says about each.
fn beyond(schema: &Value, value: &Value) -> Vec<(&'static str, Value, String)> {
    let count = |name: &str| schema[name].as_u64().and_then(|count| usize::try_from(count).ok());
    let kind = schema["type"].as_str().unwrap_or_default();
    let mut rows = Vec::new();
    let other_type = if kind == "string" { json!(7) } else { json!("seven") };
    rows.push(("of another type", other_type, "must be of type".to_owned()));
    if schema["enum"].is_array() {
        rows.push(("none of the enum", json!("no-such-value"), "supported values".to_owned()));
        return rows;
    }
    if let Some(least) = count("minLength").filter(|&least| least > 0) {
        let message = format!("should be at least {least} chars long");
        rows.push(("shorter than minLength", json!("a".repeat(least - 1)), message));
    }
    if let Some(most) = count("maxLength") {
        // The schema counts characters, whatever their bytes.
        let message = format!("may not be more than {most} bytes");
        rows.push(("longer than maxLength", json!("a".repeat(most + 1)), message));
    }
    if schema["pattern"].is_string() {
        // No pattern of ours admits a space.
        let text = " ".repeat(count("minLength").unwrap_or(1).max(1));
        rows.push(("against the pattern", json!(text), "should match".to_owned()));
    }
    if schema["format"] == "date-time" {
        let message = "must be of type date-time".to_owned();
        rows.push(("no date and time", json!("2027-06-30 at noon"), message));
    }
    for (bound, step, message) in [
        ("minimum", -1.0, "should be greater than or equal to"),
        ("maximum", 1.0, "should be less than or equal to"),
    ] {
        if let Some(limit) = schema[bound].as_f64() {
            let value =
                if kind == "integer" { json!((limit + step) as i64) } else { json!(limit + step / 10.0) };
            let name = if step < 0.0 { "below the minimum" } else { "above the maximum" };
            rows.push((name, value, message.to_owned()));
        }
    }
    if let Some(least) = count("minItems").filter(|&least| least > 0) {
        let items: Vec<_> = value.as_array().unwrap().iter().take(least - 1).cloned().collect();
        rows.push(("fewer than minItems", json!(items), format!("should have at least {least} items")));
    }
    if let Some(most) = count("maxItems") {
        let items = vec![value[0].clone(); most + 1];
        rows.push(("more than maxItems", json!(items), format!("must have at most {most} items")));
    }
    if let Some(most) = count("maxProperties") {
        let sample = value.as_object().unwrap().values().next().unwrap();
        let fields: Map<_, _> = (0..=most).map(|index| (format!("key-{index}"), sample.clone())).collect();
        rows.push(("more than maxProperties", fields.into(), format!("must have at most {most}")));
    }
    rows
}

fn refused() -> Vec<Row> {
    let fixtures = fixtures();
    let mut rows = Vec::new();
    each_place(|place, schema| {
        let object = &fixtures[place.fixture];
        let value = object.pointer(&place.pointer).unwrap();
        let mut refuse = |what: &str, object: Value, path: &str, message: &str| {
            let complaint = Complaint { path: path.to_owned(), message: message.to_owned() };
            let kind = object["kind"].as_str().unwrap();
            let name = format!("{kind} {}: {what}", place.path);
            rows.push(Row { name, object, complaint: Some(complaint) });
        };
        for (what, value, message) in beyond(schema, value) {
            refuse(what, with(object, &place.pointer, value), &place.path, &message);
        }
        if let Value::Object(fields) = value {
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let mut fields = fields.clone();
                fields.remove(name);
                let object = with(object, &place.pointer, fields.into());
                refuse(&format!("without {name}"), object, &place.child(name).path, "Required value");
            }
            if schema["properties"].is_object() {
                let mut fields = fields.clone();
                fields.insert("unheardOf".to_owned(), json!(1));
                let object = with(object, &place.pointer, fields.into());
                refuse("with an unknown field", object, &place.child("unheardOf").path, "unknown field");
            }
        }
        if let (Value::Array(items), "map" | "set") =
            (value, schema["x-kubernetes-list-type"].as_str().unwrap_or_default())
        {
            let mut items = items.clone();
            items.push(items[0].clone());
            let path = place.item(items.len() - 1).path;
            refuse(
                "with an item twice",
                with(object, &place.pointer, items.into()),
                &path,
                "Duplicate value",
            );
        }
    });
    rows
}

/// At the bounds, where no pattern, format, enum or rule across fields says what else must hold.
fn accepted() -> Vec<Row> {
    let fixtures = fixtures();
    let mut rows = Vec::new();
    each_place(|place, schema| {
        let object = &fixtures[place.fixture];
        let mut accept = |what: &str, value: Value| {
            let kind = object["kind"].as_str().unwrap();
            let name = format!("{kind} {}: {what}", place.path);
            rows.push(Row { name, object: with(object, &place.pointer, value), complaint: None });
        };
        let free = schema["pattern"].is_null() && schema["enum"].is_null() && schema["format"] != "date-time";
        for bound in ["minLength", "maxLength"] {
            if let Some(length) = schema[bound].as_u64().filter(|_| free) {
                // Two bytes each: the schema counts characters.
                accept(bound, json!("é".repeat(usize::try_from(length).unwrap())));
            }
        }
        for bound in ["minimum", "maximum"] {
            if let Some(limit) = schema[bound].as_f64() {
                let integer = schema["type"] == "integer";
                accept(bound, if integer { json!(limit as i64) } else { json!(limit) });
            }
        }
        if let Some(most) = schema["maxItems"].as_u64().filter(|_| schema["x-kubernetes-list-type"].is_null())
        {
            let sample = object.pointer(&place.pointer).unwrap()[0].clone();
            accept("maxItems", json!(vec![sample; usize::try_from(most).unwrap()]));
        }
    });
    rows
}

#[tokio::test]
async fn the_server_refuses_what_is_beyond_each_bound_of_each_field() {
    before_the_server(&refused()).await;
}

#[tokio::test]
async fn the_server_accepts_what_is_at_the_bounds() {
    before_the_server(&accepted()).await;
}

#[test]
fn the_checks_without_a_server_refuse_what_is_beyond_each_bound_at_the_same_field() {
    before_the_checks(&refused());
}

#[test]
fn the_fixtures_are_sound() {
    let sound = |(index, object)| Row { name: format!("fixture {index}"), object, complaint: None };
    before_the_checks(&fixtures().into_iter().enumerate().map(sound).collect::<Vec<_>>());
}

#[test]
fn there_are_hundreds_of_rows() {
    // A walk that no longer reaches the fields would find nothing wrong.
    let (refused, accepted) = (refused().len(), accepted().len());
    assert!(refused > 300 && accepted > 80, "{refused} refused, {accepted} accepted");
}
