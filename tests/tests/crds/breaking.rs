//! The gate before a release of the kinds: what would break objects or clients is refused, what would not passes.

use std::path::Path;
use std::process::{Command, Output};

use novacrm_tests::system::repository;

/// A line of an enum.
const SHADOW: &str = "                    - shadow\n";

/// Compares the baseline with the present kinds, in which `from` is replaced by `to`.
fn compare(from: &str, to: &str) -> Output {
    let present = tempfile::tempdir().unwrap();
    let mut replaced = false;
    for entry in std::fs::read_dir(repository().join("crds/baseline")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if !name.to_string_lossy().contains('_') {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        replaced |= text.contains(from);
        std::fs::write(present.path().join(name), text.replace(from, to)).unwrap();
    }
    assert!(replaced, "the kinds do not contain {from}");
    run(present.path())
}

fn run(present: &Path) -> Output {
    let script = repository().join("scripts/compare-crds");
    Command::new(script).arg("crds/baseline").arg(present).output().unwrap()
}

fn assert_refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(why), "{said}");
}

#[test]
fn the_present_kinds_break_nothing_that_the_baseline_allows() {
    let output = run(&repository().join("crds/yaml"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_bound_that_gets_tighter_is_refused() {
    let from = "maximum: 604800.0";
    assert_refused(&compare(from, "maximum: 600.0"), "maximum decreased");
}

#[test]
fn a_value_that_is_no_longer_admitted_is_refused() {
    assert_refused(&compare(SHADOW, ""), "enum");
}

#[test]
fn a_field_that_becomes_required_is_refused() {
    let from = "            required:\n            - auth\n";
    assert_refused(&compare(from, &format!("{from}            - hostnames\n")), "required");
}

#[test]
fn a_field_that_goes_is_refused() {
    assert_refused(&compare("              demoData:\n", "              sampleData:\n"), "removed field");
}

#[test]
fn a_kind_that_goes_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    assert_refused(&run(empty.path()), "is gone");
}

#[test]
fn a_value_that_is_newly_admitted_passes() {
    let output = compare(SHADOW, &format!("{SHADOW}{}", SHADOW.replace("shadow", "observe")));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
