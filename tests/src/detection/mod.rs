//! How well detectors find what is there: texts made up from a seed with what is in them, and the figures of a
//! detector on them.
//!
//! The makers know checksums and layouts, and nothing of the detectors: their names, streets and sentences are
//! written apart from the catalogue's, so that a figure says how the detectors do on texts they were not built from.

pub mod make;
pub mod numbers;
pub mod peers;
pub mod report;
pub mod score;
pub mod transform;

use serde::{Deserialize, Serialize};

/// A text and what is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Name of the record within its set.
    pub id: String,
    /// The text.
    pub text: String,
    /// What must be found.
    #[serde(default)]
    pub spans: Vec<Labelled>,
    /// What looks like it and must not be found.
    #[serde(default, rename = "neg_spans")]
    pub not: Vec<Labelled>,
    /// How the value is disguised, where it is.
    #[serde(default, rename = "obf", skip_serializing_if = "Option::is_none")]
    pub transform: Option<String>,
    /// Nothing in the text must be found.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub negative: bool,
}

/// A stretch of a text, in code points, the end exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labelled {
    /// First code point.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The set of JSON Lines in a text; `#` at the start of a line makes it a comment.
///
/// # Errors
/// When a line is no record.
pub fn read(lines: &str) -> Result<Vec<Record>, serde_json::Error> {
    lines
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(serde_json::from_str)
        .collect()
}
