//! In: a program that reads JSON Lines `{"id", "text"}` and writes `{"id", "findings": [{"type", "start", "end"}]}`.
//! Out: what it found, and how long it took.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Labelled;

/// Another detector.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name and version.
    pub name: String,
    /// The program that speaks for it, and its arguments.
    pub command: Vec<String>,
}

/// Why a peer said nothing.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It could not be run, or broke off.
    #[error("{name}: {source}")]
    Run {
        /// The peer.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended with an error, or its answer is not in the form above.
    #[error("{name}: {reason}")]
    Answer {
        /// The peer.
        name: String,
        /// What was wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    id: String,
    findings: Vec<Labelled>,
}

impl Peer {
    /// What the peer finds in each text, in their order, and how long it took, its start included.
    ///
    /// # Errors
    /// When it cannot be run, fails, or leaves a text out.
    pub fn find(&self, texts: &[&str]) -> Result<(Vec<Vec<Labelled>>, Duration), PeerError> {
        let run = |source| PeerError::Run { name: self.name.clone(), source };
        let wrong = |reason: String| PeerError::Answer { name: self.name.clone(), reason };
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| wrong("it has no command".to_owned()))?;
        let mut input = Vec::new();
        for (place, text) in texts.iter().enumerate() {
            let line = serde_json::json!({ "id": place.to_string(), "text": text });
            input.extend(line.to_string().into_bytes());
            input.push(b'\n');
        }
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(run)?;
        let mut stdin = child.stdin.take();
        // A thread of its own: a peer may answer before it has read everything.
        let writer =
            std::thread::spawn(move || stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(&input)));
        let output = child.wait_with_output().map_err(run)?;
        let took = started.elapsed();
        if let Ok(written) = writer.join() {
            written.map_err(run)?;
        }
        if !output.status.success() {
            return Err(wrong(format!("it ended with {}", output.status)));
        }
        let mut answers: HashMap<String, Vec<Labelled>> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).map(|answer: Answer| (answer.id, answer.findings)))
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(error.to_string()))?;
        let found = (0..texts.len())
            .map(|place| {
                answers.remove(&place.to_string()).ok_or_else(|| wrong(format!("no answer to text {place}")))
            })
            .collect::<Result<_, _>>()?;
        Ok((found, took))
    }
}

/// The peers that `scripts/peers install` has put into a folder: one program each, named as the peer.
#[must_use]
pub fn installed(folder: &std::path::Path) -> Vec<Peer> {
    let mut programs: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    programs.sort();
    programs
        .into_iter()
        .filter(|program| program.is_file())
        .map(|program| Peer {
            name: program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            command: vec![program.to_string_lossy().into_owned()],
        })
        .collect()
}
