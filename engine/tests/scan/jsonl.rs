//! The JSON Lines filter.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::fixture::{EMAIL, Folder, IBAN};

fn answers(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_line_has_its_answer_in_order_and_findings_are_no_failure() {
    let folder = Folder::new();
    let mut lines = String::new();
    for index in 0..300 {
        let text =
            format!("é {}{EMAIL} {}", "x ".repeat(index % 50 * 40), if index % 2 == 0 { IBAN } else { "" });
        lines.push_str(&json!({ "id": index, "text": text, "other": [1] }).to_string());
        lines.push('\n');
    }
    let answer = folder.scan_stdin(&["--jsonl", "--threads", "4"], lines.as_bytes());
    assert_eq!(answer.code, 0, "{}", answer.err);
    let answers = answers(&answer.out);
    assert_eq!(answers.len(), 300);
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer["id"], index);
        let findings = answer["findings"].as_array().unwrap();
        assert_eq!(findings.len(), if index % 2 == 0 { 2 } else { 1 });
        let start = 2 + index % 50 * 80;
        assert_eq!(findings[0]["type"], "EMAIL");
        assert_eq!(findings[0]["detector"], "pii.email");
        assert_eq!(
            (&findings[0]["start"], &findings[0]["end"]),
            (&start.into(), &(start + EMAIL.len()).into())
        );
        assert!(findings[0]["score"].as_f64().unwrap() >= 0.5);
    }
}

#[test]
fn a_finding_in_a_structure_names_its_path() {
    let folder = Folder::new();
    let text = json!({ "client": { "tel": "+33 1 99 00 12 34" } }).to_string();
    let line = json!({ "id": 1, "text": text }).to_string();
    let answer = folder.scan_stdin(&["--jsonl"], line.as_bytes());
    assert_eq!(answers(&answer.out)[0]["findings"][0]["path"], "$.client.tel");
    let line = json!({ "id": 1, "text": EMAIL }).to_string();
    let answer = folder.scan_stdin(&["--jsonl"], line.as_bytes());
    assert!(answers(&answer.out)[0]["findings"][0].get("path").is_none());
}

#[test]
fn ids_of_any_kind_come_back_as_they_are() {
    let folder = Folder::new();
    let lines = "{\"id\":\"a\\u00e9\",\"text\":\"\"}\n\n{\"text\":\"x\",\"id\":{\"n\":[1,null]}}\r\n{\"id\":-1.5,\"text\":\"y\"}";
    let answer = folder.scan_stdin(&["--jsonl"], lines.as_bytes());
    let ids: Vec<Value> = answers(&answer.out).iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [json!("aé"), json!({"n": [1, null]}), json!(-1.5)]);
}

#[test]
fn a_line_that_is_none_ends_the_filter_and_is_named_without_its_text() {
    let folder = Folder::new();
    for bad in [
        &format!("{{\"id\":3,\"text\":\"{EMAIL}\""),
        "[]",
        "{\"id\":1}",
        &format!("{{\"text\":\"{EMAIL}\"}}"),
    ] {
        let lines = format!("{{\"id\":1,\"text\":\"a\"}}\n{bad}\n{{\"id\":2,\"text\":\"b\"}}\n");
        let answer = folder.scan_stdin(&["--jsonl", "--threads", "1"], lines.as_bytes());
        assert_eq!(answer.code, 2, "{bad}");
        assert!(answer.err.contains("line 2 is no JSON object"), "{}", answer.err);
        assert!(!answer.err.contains("jean"), "{}", answer.err);
        assert_eq!(answers(&answer.out)[0]["id"], 1);
    }
}

#[test]
fn files_of_lines_are_read_one_after_the_other() {
    let folder = Folder::new();
    folder.write("a.jsonl", "{\"id\":1,\"text\":\"\"}\n");
    folder.write("b.jsonl", "{\"id\":2,\"text\":\"\"}");
    let answer = folder.scan(&["--jsonl", "a.jsonl", "b.jsonl"]);
    assert_eq!(answers(&answer.out).len(), 2);
    assert_eq!(folder.scan(&["--jsonl", "c.jsonl"]).code, 2);
}

#[test]
fn an_answer_comes_before_the_next_question() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_novacrm-engine"))
        .args(["scan", "--jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut questions = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for id in 0..3 {
        writeln!(questions, "{}", json!({ "id": id, "text": EMAIL })).unwrap();
        let answer: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["id"], id);
    }
    drop(questions);
    assert!(child.wait().unwrap().success());
}

/// Longer than a window, with a value across each place where one could be cut.
#[test]
fn a_long_text_has_all_its_findings() {
    let folder = Folder::new();
    let one = format!("IBAN {IBAN} et voilà ; ");
    let count = (3 << 20) / one.len();
    let line = json!({ "id": 1, "text": one.repeat(count) }).to_string();
    let answer = folder.scan_stdin(&["--jsonl", "--detectors", "pii.iban"], line.as_bytes());
    let found = &answers(&answer.out)[0]["findings"];
    let starts: Vec<u64> =
        found.as_array().unwrap().iter().map(|one| one["start"].as_u64().unwrap()).collect();
    let length = one.chars().count() as u64;
    assert_eq!(starts, (0..count as u64).map(|index| index * length + 5).collect::<Vec<_>>());
}
