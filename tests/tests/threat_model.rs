//! `docs/security/threat-model.md` names a test for each control, and a residual risk where there is none. Every test that it
//! names exists, every threat is on a data flow of the page, and every residual risk it points to is described.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/security/threat-model.md";
/// What attackers do to a data flow, by the method's own letters.
const STRIDE: [&str; 6] = ["S", "T", "R", "I", "D", "E"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The cells of the rows of all tables whose header begins with this word, without header and rule.
fn rows(page: &str, first: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        let Some(row) = line.trim().strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
            is_inside = false;
            continue;
        };
        let cells: Vec<String> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
        let head = cells.first().cloned().unwrap_or_default();
        if head == first {
            is_inside = true;
        } else if is_inside && !head.starts_with("---") {
            found.push(cells);
        }
    }
    found
}

/// The code spans of a text.
fn spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Whether a reference `path::name` names a test that is there, or why not.
fn missing(reference: &str, sources: &mut BTreeMap<String, String>) -> Option<String> {
    let Some((path, name)) = reference.split_once("::") else {
        return Some(format!("{reference} is not `path::test`"));
    };
    let source = sources
        .entry(path.to_owned())
        .or_insert_with(|| std::fs::read_to_string(repository().join(path)).unwrap_or_default());
    if source.is_empty() {
        return Some(format!("{path} does not exist"));
    }
    let is_there = if path.ends_with(".rs") {
        is_rust_test(source, name)
    } else {
        ["test", "it"].iter().any(|call| {
            ['"', '\'', '`'].iter().any(|quote| source.contains(&format!("{call}({quote}{name}{quote}")))
        })
    };
    (!is_there).then(|| format!("{path} has no test {name}"))
}

/// Whether a source holds a function of this name with a test attribute above it (or in a `proptest!` block).
fn is_rust_test(source: &str, name: &str) -> bool {
    let Some(at) = source.find(&format!("fn {name}(")) else { return false };
    let before = source.get(..at).unwrap_or_default();
    let above = before.rsplit_once('\n').map_or("", |(above, _)| above);
    let mut attributes = above.lines().rev().map(str::trim).take_while(|line| {
        line.starts_with("#[")
            || line.starts_with("//")
            || line.starts_with(')')
            || !line.ends_with([';', '}', '{'])
    });
    // `#[test]`, `#[tokio::test(…)]`, `#[sqlx::test(…)]`.
    attributes.any(|line| {
        let path = line.strip_prefix("#[").and_then(|rest| rest.split(['(', ']']).next()).unwrap_or_default();
        path.rsplit("::").next() == Some("test")
    })
}

#[test]
fn every_control_of_the_threat_model_names_a_test_that_exists() {
    let page = std::fs::read_to_string(repository().join(PAGE)).unwrap();
    let threats = rows(&page, "Threat");
    assert!(threats.len() >= 40, "only {} threats are read from {PAGE}", threats.len());
    let flows: BTreeSet<String> =
        rows(&page, "Flow").into_iter().filter_map(|row| row.first().cloned()).collect();
    let residual: BTreeSet<String> =
        rows(&page, "Risk").into_iter().filter_map(|row| row.first().cloned()).collect();
    let mut sources = BTreeMap::new();
    let mut problems = Vec::new();
    let (mut seen, mut pointed, mut covered) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for row in &threats {
        let [id, flow, kinds, _, control, proof] = row.as_slice() else {
            problems.push(format!("a threat has {} cells: {row:?}", row.len()));
            continue;
        };
        if !seen.insert(id.clone()) {
            problems.push(format!("{id} stands twice"));
        }
        for flow in flow.split(", ") {
            covered.insert(flow.to_owned());
            if !flows.contains(flow) {
                problems.push(format!("{id}: flow {flow} is not described"));
            }
        }
        if kinds.split(", ").any(|kind| !STRIDE.contains(&kind)) {
            problems.push(format!("{id}: {kinds} are not letters of STRIDE"));
        }
        let tests = spans(proof);
        let risks: Vec<&str> = proof.split([' ', ',', ';']).filter(|word| word.starts_with("R-")).collect();
        if tests.is_empty() && risks.is_empty() {
            problems.push(format!("{id}: neither a test nor a residual risk"));
        }
        if tests.is_empty() != control.is_empty() {
            problems.push(format!("{id}: a control needs a test, and a test a control"));
        }
        problems.extend(
            tests.iter().filter_map(|test| missing(test, &mut sources)).map(|why| format!("{id}: {why}")),
        );
        for risk in risks {
            pointed.insert(risk.to_owned());
            if !residual.contains(risk) {
                problems.push(format!("{id}: {risk} is not described"));
            }
        }
    }
    problems.extend(residual.difference(&pointed).map(|risk| format!("{risk} belongs to no threat")));
    problems.extend(flows.difference(&covered).map(|flow| format!("no threat is on flow {flow}")));
    assert!(problems.is_empty(), "{PAGE}:\n{}", problems.join("\n"));
}

#[test]
fn a_reference_to_a_test_that_is_gone_is_noticed() {
    let sources = &mut BTreeMap::new();
    let this = "tests/tests/threat_model.rs";
    assert_eq!(missing(&format!("{this}::a_reference_to_a_test_that_is_gone_is_noticed"), sources), None);
    for gone in [
        format!("{this}::never_written"),
        // A function, and no test.
        format!("{this}::missing"),
        format!("{this}::a_reference"),
        "tests/tests/never_written.rs::a_test".to_owned(),
        this.to_owned(),
    ] {
        assert!(missing(&gone, sources).is_some(), "{gone}");
    }
}
