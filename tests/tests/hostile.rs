//! Texts that are made to cost much cost as their length does: twice the text, twice the instructions. Instructions
//! are counted by callgrind, so the test says the same on a busy machine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use novacrm_tests::system::programs;

/// Bytes of the shorter of the two texts.
const SIZE: usize = 4 << 10;
/// How much more the longer text may cost. Tables and vectors grow by steps, so a little more than twice.
const MOST: f64 = 2.4;
/// Instructions that a text may cost whatever its length, and that say nothing about its growth.
const FLOOR: f64 = 400_000.0;

#[test]
fn hostile_texts_cost_in_proportion_to_their_length() {
    let folder = tempfile::tempdir().unwrap();
    let program = programs().join("examples/hostile");
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-jumps=no", "--dump-instr=no"])
        .args(["--zero-before=*measured", "--dump-after=*measured"])
        .arg(format!("--callgrind-out-file={}", folder.path().join("out").display()))
        .arg(&program)
        .arg(SIZE.to_string())
        .output()
        .unwrap_or_else(|error| panic!("valgrind cannot be run (Debian: apt-get install valgrind): {error}"));
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let said = String::from_utf8(run.stdout).unwrap();
    let texts: Vec<&str> = said.lines().collect();
    let costs = costs(folder.path());
    assert_eq!(costs.len(), texts.len(), "one count for each text");
    assert!(texts.len() >= 200, "a hundred texts at two sizes");

    let mut worse = Vec::new();
    for (pair, names) in costs.chunks(2).zip(texts.chunks(2)) {
        let growth = (pair[1] - FLOOR).max(0.0) / pair[0].max(1.0);
        if growth > MOST {
            worse.push(format!(
                "{}: {:.0} then {:.0} instructions ({growth:.2} times)",
                names[0], pair[0], pair[1]
            ));
        }
    }
    assert!(worse.is_empty(), "these cost more than in proportion:\n{}", worse.join("\n"));
}

/// The instructions of each call, in order: callgrind writes one numbered file for each dump.
fn costs(folder: &Path) -> Vec<f64> {
    let mut by_number = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let Some(number) = path.extension().and_then(|number| number.to_str()?.parse::<u32>().ok()) else {
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        let of_call = text.lines().any(|line| line.contains("Trigger: ") && line.contains("measured"));
        let total = text.lines().find_map(|line| line.strip_prefix("summary: "));
        if let (true, Some(total)) = (of_call, total) {
            by_number.insert(number, total.trim().parse().unwrap());
        }
    }
    by_number.into_values().collect()
}
