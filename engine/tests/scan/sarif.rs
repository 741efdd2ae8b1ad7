//! SARIF, as OASIS wrote it and code scanning reads it.

use serde_json::Value;

use crate::fixture::{EMAIL, Folder, IBAN, token};

fn log(folder: &Folder, arguments: &[&str]) -> Value {
    let log = folder.scan(&[&["--output", "sarif"], arguments].concat()).json();
    check(&log);
    log
}

/// What the schema and the text of the standard ask of a log like ours.
fn check(log: &Value) {
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().ends_with("sarif-schema-2.1.0.json"));
    let run = &log["runs"][0];
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    assert!(run["tool"]["driver"]["name"].is_string());
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let mut ids: Vec<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), rules.len(), "each rule once");
    for rule in rules {
        assert!(
            ["error", "warning", "note"].contains(&rule["defaultConfiguration"]["level"].as_str().unwrap())
        );
        assert!(!rule["shortDescription"]["text"].as_str().unwrap().is_empty());
        assert!(rule["helpUri"].as_str().unwrap().starts_with("https://"));
    }
    for result in run["results"].as_array().unwrap() {
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(result["ruleId"], rules[index]["id"]);
        assert_eq!(result["level"], rules[index]["defaultConfiguration"]["level"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        assert!((0.0..=100.0).contains(&result["rank"].as_f64().unwrap()));
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(!uri.contains([' ', ':', '"', '\\']) && uri.is_ascii(), "{uri}");
        let region = &place["region"];
        let number = |name: &str| region[name].as_u64().unwrap();
        assert!(number("startLine") >= 1 && number("startColumn") >= 1);
        assert!((number("endLine"), number("endColumn")) > (number("startLine"), number("startColumn")));
    }
}

#[test]
fn a_log_names_rules_places_and_levels() {
    let folder = Folder::new();
    folder.write("à b/c:d.txt", format!("é\n{EMAIL} {}\n", token()));
    folder.write("e.txt", format!("IBAN {IBAN} {EMAIL}\n"));
    let log = log(&folder, &["."]);
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    let told = |result: &Value| {
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap().to_owned();
        let region = &place["region"];
        (
            uri,
            region["startLine"].as_u64().unwrap(),
            region["startColumn"].as_u64().unwrap(),
            result["level"].as_str().unwrap().to_owned(),
        )
    };
    let warning = "warning".to_owned();
    assert_eq!(told(&results[0]), ("e.txt".to_owned(), 1, 6, warning.clone()));
    let encoded = "%C3%A0%20b/c%3Ad.txt".to_owned();
    assert!(results.iter().any(|result| told(result) == (encoded.clone(), 2, 1, warning.clone())));
    assert!(results.iter().any(|result| told(result) == (encoded.clone(), 2, 26, "error".to_owned())));
    assert_eq!(results.len(), 4);
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
}

#[test]
fn a_place_in_a_structure_is_a_logical_location() {
    let folder = Folder::new();
    folder.write("a.json", format!("{{\"client\": {{\"iban\": \"{IBAN}\"}}}}\n"));
    folder.write("b.txt", format!("IBAN {IBAN}\n"));
    let log = log(&folder, &["--detectors", "pii.iban", "."]);
    let location = |result: usize| &log["runs"][0]["results"][result]["locations"][0];
    assert_eq!(location(0)["logicalLocations"][0]["fullyQualifiedName"], "$.client.iban");
    assert!(location(1).get("logicalLocations").is_none());
}

#[test]
fn with_a_baseline_results_have_fingerprints_that_stay() {
    let folder = Folder::new();
    folder.write("a.txt", EMAIL);
    assert!(log(&folder, &["a.txt"])["runs"][0]["results"][0].get("partialFingerprints").is_none());
    folder.write("empty.txt", "");
    folder.scan(&["--write-baseline", "known.json", "empty.txt"]);
    let print = || {
        log(&folder, &["--baseline", "known.json", "a.txt"])["runs"][0]["results"][0]["partialFingerprints"]
            .clone()
    };
    let first = print();
    assert_eq!(first["novacrmFinding/v1"].as_str().unwrap().len(), 32);
    folder.write("a.txt", format!("\n\n{EMAIL}"));
    assert_eq!(print(), first);
}

#[test]
fn nothing_found_is_a_log_too_and_a_commit_is_named() {
    let folder = Folder::new();
    folder.write("a.txt", "rien");
    assert_eq!(log(&folder, &["a.txt"])["runs"][0]["results"], Value::Array(Vec::new()));
    folder.git(&["init", "--quiet", "."]);
    folder.write("a.txt", EMAIL);
    let commit = folder.commit("one");
    let log = log(&folder, &["--git"]);
    let result = &log["runs"][0]["results"][0];
    assert_eq!(result["properties"]["commit"], commit);
    assert!(result["locations"][0]["physicalLocation"]["region"].get("byteOffset").is_none());
}
