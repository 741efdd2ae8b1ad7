//! In: JSON Lines, each with an id and a text. Out: for each line, in the same order and as soon as it is done, one
//! with the id and what was found.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hits::{Hit, Scanner};
use super::window::{CUT, Chunker, Origin};
use super::work::{self, Consumer, Stopped};

/// Longest line.
const MAX_LINE: usize = 64 << 20;

/// Why lines cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinesError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("line {line} is longer than {MAX_LINE} bytes")]
    TooLong { line: u64 },
    #[error("line {line} is no JSON object with an `id` and a `text`: {reason}")]
    Form { line: u64, reason: String },
    #[error("the result cannot be written: {0}")]
    Write(#[from] io::Error),
    #[error("stopped")]
    Stopped,
}

impl From<Stopped> for LinesError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// What else a line holds is of no interest here.
#[derive(Deserialize)]
struct Question {
    id: Value,
    text: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a Value,
    findings: Vec<Found<'a>>,
}

/// Spans count Unicode code points of the text, the end exclusive.
#[derive(Serialize)]
struct Found<'a> {
    r#type: &'a str,
    start: u64,
    end: u64,
    score: f64,
    detector: &'a str,
    line: u64,
    column: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<&'a str>,
}

/// Runs the filter over the files, or over standard input when there is none.
pub(super) fn run(
    scanner: &Scanner,
    paths: &[PathBuf],
    threads: usize,
    out: impl Write,
) -> Result<(), LinesError> {
    let stdin = [PathBuf::from("-")];
    let paths = if paths.is_empty() { &stdin } else { paths };
    let produce = |send: &mut dyn FnMut((u64, Vec<u8>)) -> Result<(), Stopped>| {
        let mut number = 0;
        for path in paths {
            if path.as_os_str() == "-" {
                lines(io::stdin().lock(), path, &mut number, send)?;
            } else {
                let failed = |source| LinesError::Read { path: path.clone(), source };
                lines(BufReader::new(File::open(path).map_err(failed)?), path, &mut number, send)?;
            }
        }
        Ok(())
    };
    let work = |(number, line): (u64, Vec<u8>)| answer(scanner, number, &line);
    let mut written = Written(BufWriter::new(out));
    let outcome = work::in_order(threads, produce, work, &mut written);
    // What was answered before something failed is worth as much.
    written.0.flush()?;
    outcome
}

/// Sends the lines that hold something.
fn lines(
    mut from: impl BufRead,
    path: &Path,
    number: &mut u64,
    send: &mut dyn FnMut((u64, Vec<u8>)) -> Result<(), Stopped>,
) -> Result<(), LinesError> {
    loop {
        let mut line = Vec::new();
        let limit = MAX_LINE as u64 + 1;
        let read = (&mut from).take(limit).read_until(b'\n', &mut line);
        let length = read.map_err(|source| LinesError::Read { path: path.to_owned(), source })?;
        if length == 0 {
            return Ok(());
        }
        *number += 1;
        if length > MAX_LINE {
            return Err(LinesError::TooLong { line: *number });
        }
        if !line.trim_ascii().is_empty() {
            send((*number, line))?;
        }
    }
}

fn answer(scanner: &Scanner, number: u64, line: &[u8]) -> Result<Vec<u8>, LinesError> {
    // The parser's message may hold a piece of the line; the place is enough.
    let form = |error: &serde_json::Error| LinesError::Form {
        line: number,
        reason: format!("{} at column {}", told(error), error.column()),
    };
    let question: Question = serde_json::from_slice(line).map_err(|error| form(&error))?;
    let origin = Origin { path: String::new(), commit: None, is_whole: true };
    let mut chunker = Chunker::new(CUT, origin, 1);
    let mut hits: Vec<Hit> = Vec::new();
    // In pieces, since what is held is moved once for each window.
    for piece in question.text.as_bytes().chunks(CUT.core) {
        for window in chunker.push(piece) {
            hits.extend(scanner.scan(&window));
        }
    }
    if let Some(window) = chunker.finish() {
        hits.extend(scanner.scan(&window));
    }
    let found = hits.iter().map(|hit| Found {
        r#type: &hit.finding.kind,
        start: hit.start.code_point,
        end: hit.end.code_point,
        score: hit.finding.score,
        detector: &hit.finding.detector,
        line: hit.start.line,
        column: hit.start.column,
        path: hit.finding.path.as_deref(),
        preview: hit.preview.as_deref(),
    });
    let answer = Answer { id: &question.id, findings: found.collect() };
    let mut out = serde_json::to_vec(&answer).map_err(|error| form(&error))?;
    out.push(b'\n');
    Ok(out)
}

fn told(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "it cannot be read",
        serde_json::error::Category::Syntax => "it is not JSON",
        serde_json::error::Category::Data => "a field is missing, twice there or of another type",
        serde_json::error::Category::Eof => "it ends too early",
    }
}

struct Written<W: Write>(BufWriter<W>);

impl<W: Write> Consumer<Result<Vec<u8>, LinesError>, LinesError> for Written<W> {
    fn take(&mut self, answer: Result<Vec<u8>, LinesError>) -> Result<(), LinesError> {
        Ok(self.0.write_all(&answer?)?)
    }

    fn idle(&mut self) -> Result<(), LinesError> {
        Ok(self.0.flush()?)
    }
}
