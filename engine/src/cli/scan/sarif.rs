//! In: findings. Out: a log in SARIF 2.1.0 (OASIS Standard, Static Analysis Results Interchange Format), as code
//! scanning services read it.

use std::collections::BTreeMap;

use novacrm_engine_core::detectors::{Category, catalogue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use super::report::{Summary, Told};

/// Where the schema of the log stands.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// What may not stand in the path of a URI as it is (RFC 3986, section 3.3).
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b':')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The whole log.
pub(super) fn log(findings: &[Told], summary: &Summary) -> Value {
    let mut rules: BTreeMap<&str, &Told> = BTreeMap::new();
    for told in findings {
        rules.entry(&told.hit.finding.detector).or_insert(told);
    }
    let indexes: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(index, id)| (*id, index)).collect();
    let results: Vec<Value> = findings.iter().map(|told| result(told, &indexes)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "novacrm-engine",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.values().map(|told| rule(told)).collect::<Vec<_>>(),
            } },
            "invocations": [{ "executionSuccessful": summary.unreadable == 0 }],
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": { "summary": summary },
        }],
    })
}

fn level(category: Option<Category>) -> &'static str {
    match category {
        Some(Category::Secret) => "error",
        Some(Category::Tone) => "note",
        _ => "warning",
    }
}

fn rule(Told { hit, .. }: &Told) -> Value {
    let id = &*hit.finding.detector;
    let mut rule = json!({
        "id": id,
        "name": &*hit.finding.kind,
        "defaultConfiguration": { "level": level(hit.category) },
    });
    if let (Some(entry), Some(fields)) = (catalogue().get(id), rule.as_object_mut()) {
        fields.insert("shortDescription".to_owned(), json!({ "text": entry.description.en }));
        fields.insert("helpUri".to_owned(), json!(entry.source.url));
        let help = format!("{}\n\n{}\n\n{}", entry.description.fr, entry.description.en, entry.source.title);
        fields.insert("help".to_owned(), json!({ "text": help }));
        fields.insert(
            "properties".to_owned(),
            json!({ "tags": entry.risks_covered, "version": entry.version }),
        );
    }
    rule
}

fn result(Told { hit, print }: &Told, indexes: &BTreeMap<&str, usize>) -> Value {
    let detector = &*hit.finding.detector;
    let kind = &*hit.finding.kind;
    let (start, end) = (hit.start, hit.end);
    let mut region = json!({
        "startLine": start.line, "startColumn": start.column, "endLine": end.line, "endColumn": end.column,
    });
    if let (true, Some(fields)) = (hit.origin.is_whole, region.as_object_mut()) {
        fields.insert("charOffset".to_owned(), json!(start.code_point));
        fields.insert("charLength".to_owned(), json!(end.code_point - start.code_point));
        fields.insert("byteOffset".to_owned(), json!(start.byte));
        fields.insert("byteLength".to_owned(), json!(end.byte - start.byte));
    }
    let mut message = format!("{kind} found by {detector} (score {:.2})", hit.finding.score);
    let mut properties = json!({ "type": kind, "score": hit.finding.score });
    if let (Some(commit), Some(fields)) = (&hit.origin.commit, properties.as_object_mut()) {
        message.push_str(&format!(" in commit {}", commit.id));
        fields.insert("commit".to_owned(), json!(commit.id));
        fields.insert("commitDate".to_owned(), json!(commit.date));
    }
    if let Some(preview) = &hit.preview {
        message.push_str(&format!(": {preview}"));
    }
    let mut location = json!({ "physicalLocation": {
        "artifactLocation": { "uri": utf8_percent_encode(&hit.origin.path, IN_PATH).to_string() },
        "region": region,
    } });
    if let (Some(path), Some(fields)) = (&hit.finding.path, location.as_object_mut()) {
        fields.insert("logicalLocations".to_owned(), json!([{ "fullyQualifiedName": &**path }]));
    }
    let mut result = json!({
        "ruleId": detector,
        "ruleIndex": indexes.get(detector),
        "level": level(hit.category),
        "message": { "text": message },
        "locations": [location],
        "rank": (hit.finding.score * 100.0).clamp(0.0, 100.0),
        "properties": properties,
    });
    if let (Some(print), Some(fields)) = (print, result.as_object_mut()) {
        fields.insert("partialFingerprints".to_owned(), json!({ "novacrmFinding/v1": print }));
    }
    result
}
