//! In: findings as they come, and what was seen at the end. Out: a report for people, for programs or in SARIF.

use std::io::{self, Write};

use novacrm_engine_core::detectors::Category;
use serde::Serialize;

use super::hits::Hit;
use super::sarif;

/// How many findings a report that is written at the end lists; the others are counted.
const MAX_LISTED: usize = 100_000;

/// What was seen and found, in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Summary {
    /// Files scanned, or files in commits.
    pub(super) files: u64,
    pub(super) bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commits: Option<u64>,
    /// Files without text, left out.
    pub(super) binary_files: u64,
    /// Files beyond the size limit, left out.
    pub(super) too_large_files: u64,
    /// Symbolic links in folders, not followed.
    pub(super) links: u64,
    /// Files and folders that could not be read.
    pub(super) unreadable: u64,
    /// Findings that count.
    pub(super) findings: u64,
    /// Findings that the baseline knows.
    pub(super) known_findings: u64,
    /// Findings that count and are not listed.
    pub(super) unlisted_findings: u64,
}

/// A finding with what it is known by.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) hit: Hit,
    /// Present when there is a baseline to compare it with.
    pub(super) print: Option<String>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people: one line per finding, as it comes
    Table,
    /// For programs: one JSON object
    Json,
    /// For code scanning: SARIF 2.1.0
    Sarif,
}

/// A report being written.
pub(super) struct Report<W> {
    out: W,
    output: Output,
    listed: Vec<Told>,
    unlisted: u64,
}

impl<W: Write> Report<W> {
    pub(super) fn new(output: Output, out: W) -> Self {
        Self { out, output, listed: Vec::new(), unlisted: 0 }
    }

    pub(super) fn add(&mut self, told: Told) -> io::Result<()> {
        match self.output {
            Output::Table => row(&told, &mut self.out),
            _ if self.listed.len() < MAX_LISTED => {
                self.listed.push(told);
                Ok(())
            }
            _ => {
                self.unlisted += 1;
                Ok(())
            }
        }
    }

    /// Shows what was written so far.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes the end.
    pub(super) fn finish(mut self, mut summary: Summary) -> io::Result<()> {
        summary.unlisted_findings = self.unlisted;
        match self.output {
            Output::Table => writeln!(self.out, "{}", sentence(&summary))?,
            Output::Json => {
                let findings = self.listed.iter().map(Row::of).collect();
                json(&Json { findings, summary }, &mut self.out)?;
            }
            Output::Sarif => json(&sarif::log(&self.listed, &summary), &mut self.out)?,
        }
        self.out.flush()
    }
}

fn json(value: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

#[derive(Serialize)]
struct Json<'a> {
    findings: Vec<Row<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct Row<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'a str>,
    r#type: &'a str,
    detector: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<Category>,
    score: f64,
    line: u64,
    column: u64,
    end_line: u64,
    end_column: u64,
    /// Offsets over the file, the end exclusive; absent for lines of a commit.
    #[serde(flatten)]
    offsets: Option<Offsets>,
    /// Where it lies in the structure of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<&'a str>,
}

#[derive(Serialize)]
struct Offsets {
    /// Code points.
    start: u64,
    end: u64,
    byte_start: u64,
    byte_end: u64,
}

impl<'a> Row<'a> {
    fn of(Told { hit, print }: &'a Told) -> Self {
        let (start, end) = (hit.start, hit.end);
        Self {
            file: &hit.origin.path,
            commit: hit.origin.commit.as_ref().map(|commit| commit.id.as_str()),
            r#type: &hit.finding.kind,
            detector: &hit.finding.detector,
            category: hit.category,
            score: hit.finding.score,
            line: start.line,
            column: start.column,
            end_line: end.line,
            end_column: end.column,
            offsets: hit.origin.is_whole.then_some(Offsets {
                start: start.code_point,
                end: end.code_point,
                byte_start: start.byte,
                byte_end: end.byte,
            }),
            path: hit.finding.path.as_deref(),
            fingerprint: print.as_deref(),
            preview: hit.preview.as_deref(),
        }
    }
}

fn row(Told { hit, .. }: &Told, out: &mut impl Write) -> io::Result<()> {
    let (file, at) = (printable(&hit.origin.path), hit.start);
    write!(
        out,
        "{file}:{}:{}: {} ({}, {:.2})",
        at.line, at.column, hit.finding.kind, hit.finding.detector, hit.finding.score
    )?;
    if let Some(path) = &hit.finding.path {
        write!(out, " at {path}")?;
    }
    if let Some(commit) = &hit.origin.commit {
        let short: String = commit.id.chars().take(12).collect();
        write!(out, " in {short} of {}", commit.date.split('T').next().unwrap_or_default())?;
    }
    if let Some(preview) = &hit.preview {
        write!(out, "  {preview}")?;
    }
    writeln!(out)
}

/// A path that changes nothing on the terminal it is shown on.
fn printable(path: &str) -> String {
    path.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// What was seen, in one sentence.
fn sentence(summary: &Summary) -> String {
    let of = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let mut parts = vec![of(summary.files, "file", "files")];
    if let Some(commits) = summary.commits {
        parts.push(format!("in {}", of(commits, "commit", "commits")));
    }
    let mut text = format!("{}, {} scanned", parts.join(" "), size(summary.bytes));
    for (count, what) in [
        (summary.binary_files, "without text"),
        (summary.too_large_files, "too large"),
        (summary.links, if summary.links == 1 { "link not followed" } else { "links not followed" }),
        (summary.unreadable, "unreadable"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text.push_str(&format!(": {}", of(summary.findings, "finding", "findings")));
    if summary.known_findings > 0 {
        text.push_str(&format!(", {} more known", summary.known_findings));
    }
    text
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_what_was_left_out() {
        let mut summary = Summary { files: 1, bytes: 1_234, findings: 2, ..Summary::default() };
        assert_eq!(sentence(&summary), "1 file, 1.2 kB scanned: 2 findings");
        summary =
            Summary { files: 3, binary_files: 1, too_large_files: 2, links: 1, unreadable: 4, ..summary };
        summary = Summary { commits: Some(9), findings: 1, known_findings: 5, ..summary };
        assert_eq!(
            sentence(&summary),
            "3 files in 9 commits, 1.2 kB scanned, 1 without text, 2 too large, 1 link not followed, 4 unreadable: \
             1 finding, 5 more known"
        );
    }
}
