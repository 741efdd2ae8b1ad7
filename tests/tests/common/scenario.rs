//! What the quickstart's user does, wherever the system runs.

use serde_json::{Value, json};

/// The version that [`tighten`] gives the policy.
pub const TIGHTENED: &str = "99.0.0";

/// The ids of the rules that a verdict names.
pub fn rules(verdict: &Value) -> Vec<&str> {
    verdict["rules"].as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap()).collect()
}

/// The policy with an IBAN rule that redacts instead of masking, with the tests to match, in a higher version.
pub fn tighten(policy: &Value) -> Value {
    let mut value = policy.clone();
    value["spec"]["version"] = json!(TIGHTENED);
    let mut changed = Vec::new();
    for rule in value["spec"]["rules"].as_array_mut().unwrap() {
        if rule["when"].to_string().contains("pii.iban") {
            rule["action"] = json!({ "type": "redact" });
            changed.push(rule["id"].clone());
        }
    }
    assert!(!changed.is_empty(), "no rule masks IBANs");
    for test in value["spec"]["tests"].as_array_mut().unwrap() {
        let named = test["expect"]["rules"]
            .as_array()
            .is_some_and(|rules| rules.iter().any(|id| changed.contains(id)));
        if named && test["expect"]["action"] == "mask" {
            test["expect"]["action"] = json!("redact");
            test["expect"].as_object_mut().unwrap().remove("output");
        } else if named {
            test["expect"].as_object_mut().unwrap().remove("output");
        }
    }
    value
}
