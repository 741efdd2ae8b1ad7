//! Runs every built-in detector over JSON Lines: `{"id", "text"}` on standard input, `{"id", "findings"}` on standard
//! output. An optional argument is the least score that is reported (default 0.5); further ones are the detectors
//! or families, such as `secret.*`.
//!
//! ```sh
//! echo '{"id":"1","text":"IBAN FR76 3000 6000 0112 3456 7890 189"}' |
//!   cargo run --release --package novacrm-engine-core --example detect
//! ```

use std::error::Error;
use std::io::{BufRead, BufWriter, Write, stdin, stdout};

use novacrm_engine_core::FingerprintKey;
use novacrm_engine_core::detectors::{DetectorSet, catalogue};
use novacrm_engine_core::text::Readings;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let least: f64 = arguments.next().map_or(Ok(0.5), |score| score.parse())?;
    let mut wanted: Vec<String> = arguments.collect();
    if wanted.is_empty() {
        wanted = catalogue().iter().map(|entry| entry.id.to_string()).collect();
    }
    let set = DetectorSet::compile(wanted.iter().map(String::as_str), &[])?;
    let key = FingerprintKey::new([0; 32]);
    let mut out = BufWriter::new(stdout().lock());
    for line in stdin().lock().lines() {
        let record: Value = serde_json::from_str(&line?)?;
        let text = record.get("text").and_then(Value::as_str).unwrap_or_default();
        let findings: Vec<Value> = set
            .scan(&Readings::new(text), &key)
            .iter()
            .filter(|finding| finding.score >= least)
            .map(|finding| {
                json!({
                    "type": &*finding.kind, "detector": &*finding.detector, "score": finding.score,
                    "start": finding.span.start, "end": finding.span.end,
                })
            })
            .collect();
        writeln!(out, "{}", json!({ "id": record.get("id"), "findings": findings }))?;
    }
    out.flush()?;
    Ok(())
}
