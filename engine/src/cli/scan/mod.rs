//! `novacrm-engine scan`: files, folders, a git history or standard input in; what the detectors find in them, with
//! its places and never its value, out.
//!
//! A source cuts documents into windows of bounded length ([`window`]), several threads scan them ([`work`],
//! [`hits`]), and the findings come out in the order of the source, whatever thread was faster. Memory does not
//! grow with the length of a document.

mod baseline;
mod git;
mod hits;
mod lines;
mod patch;
mod report;
mod sarif;
mod select;
mod text;
mod walk;
mod window;
mod work;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use novacrm_crds::DEFAULT_POLICY_NAMESPACE;
use novacrm_engine_core::FingerprintKey;

use super::Failure;
use crate::keys;
use baseline::Baseline;
use git::{Repository, Wanted};
use hits::{Hit, Scanner};
use report::{Output, Report, Summary, Told, size};
use select::Selection;
use walk::Paths;
use window::Window;
use work::{Consumer, Stopped};

/// Score from which a finding counts, unless something else is asked for.
const MIN_SCORE: f64 = 0.5;

/// How many unreadable files are named, at most.
const NAMED: u64 = 20;

/// How often progress is shown: on a terminal, and elsewhere.
const PROGRESS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// Finds personal data and secrets.
#[derive(Debug, Args)]
#[command(after_help = "\
Findings tell what was found and where, never the value. Folders are searched with their hidden files; what their \
.gitignore files name, files that hold no text and links are left out. Of a git history, the lines that each commit \
added are scanned.

Examples:
  novacrm-engine scan .
  novacrm-engine scan --detectors 'secret.*' --output sarif src > novacrm.sarif
  novacrm-engine scan --policy examples/quickstart/policies exports/
  novacrm-engine scan --staged
  novacrm-engine scan --git main..HEAD
  novacrm-engine scan --write-baseline .novacrm-baseline.json .
  novacrm-engine scan --baseline .novacrm-baseline.json .
  pg_dump crm | novacrm-engine scan -
  novacrm-engine scan --jsonl < texts.jsonl > findings.jsonl

Exit codes: 0 nothing found (with --jsonl or --write-baseline: done), 1 findings, 2 wrong usage, or something could \
not be read or written")]
pub(super) struct ScanArgs {
    /// Files and folders, `-` for standard input; with --git the repository [default: .]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Scan what the commits of a range added, such as main..HEAD; all commits of all branches without a range
    #[arg(long, value_name = "RANGE", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["staged", "jsonl"])]
    git: Option<String>,
    /// Scan what the next commit would add, as a pre-commit hook does
    #[arg(long, conflicts_with_all = ["jsonl", "paths"])]
    staged: bool,
    /// Filter JSON Lines: {"id", "text"} in, {"id", "findings"} out, from the files or standard input
    #[arg(long, conflicts_with_all = ["output", "baseline", "write_baseline", "exclude", "no_ignore"])]
    jsonl: bool,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Detectors or families to use, such as pii.iban or 'secret.*' [default: all but tone.*]
    #[arg(long, value_name = "ID,…", value_delimiter = ',', conflicts_with = "policy")]
    detectors: Vec<String>,
    /// Use the detectors and thresholds of policies, their own detectors included
    #[arg(long, value_name = "FILE|DIR")]
    policy: Vec<PathBuf>,
    /// Namespace whose policies apply to the whole organisation
    #[arg(long, value_name = "NAMESPACE", default_value = DEFAULT_POLICY_NAMESPACE)]
    policy_namespace: String,
    /// Score from which a finding counts, 0 to 1 [default: 0.5; with --policy as the policies say]
    #[arg(long, value_name = "SCORE", value_parser = score)]
    min_score: Option<f64>,
    /// Leave out what this file knows
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write what is found to a file of keyed hashes, and take it as known
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
    /// File with the baseline's key (32 bytes in base64), so that its hashes cannot be tried out
    #[arg(long, value_name = "FILE")]
    baseline_key: Option<PathBuf>,
    /// Show each value masked: `**** **** **89`
    #[arg(long)]
    preview: bool,
    /// Scan what .gitignore names, too
    #[arg(long)]
    no_ignore: bool,
    /// Leave out of folders what matches, written as in .gitignore; may be given more than once
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Leave out longer files; 0 for no limit
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    max_size_mib: u64,
    /// How many texts are scanned at the same time [default: one per processor]
    #[arg(long, value_name = "COUNT")]
    threads: Option<std::num::NonZeroU16>,
}

fn score(text: &str) -> Result<f64, String> {
    let score: f64 = text.parse().map_err(|_| "a number is expected".to_owned())?;
    if (0.0..=1.0).contains(&score) { Ok(score) } else { Err("a number from 0 to 1 is expected".to_owned()) }
}

/// Where windows go.
type Send<'s> = dyn FnMut(Window) -> Result<(), Stopped> + 's;

/// What windows come from.
trait Source: Sync {
    /// Sends the windows of every document, in a fixed order.
    fn produce(&self, seen: &Seen, send: &mut Send<'_>) -> Result<(), SourceError>;
}

/// Why a source cannot be scanned, or not to its end.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error("{}: {error}", path.display())]
    Path { path: PathBuf, error: io::Error },
    #[error("--exclude {glob}: {error}")]
    Exclude { glob: String, error: ignore::Error },
    #[error("git cannot be run: {0}")]
    Git(io::Error),
    #[error("git failed ({0}); what it said stands above")]
    GitStatus(ExitStatus),
    #[error("the result cannot be written: {0}")]
    Write(io::Error),
    #[error("stopped")]
    Stopped,
}

impl From<Stopped> for SourceError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// A number that several threads count up.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, more: u64) -> u64 {
        self.0.fetch_add(more, Ordering::Relaxed)
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a source has seen so far.
#[derive(Debug, Default)]
struct Seen {
    files: Counter,
    commits: Counter,
    binary: Counter,
    too_large: Counter,
    links: Counter,
    unreadable: Counter,
}

impl Seen {
    /// Counts something that cannot be read, and says so.
    fn unreadable(&self, what: &dyn Display) {
        let before = self.unreadable.add(1);
        if before < NAMED {
            warn(&what.to_string());
        } else if before == NAMED {
            warn("more cannot be read; they are counted");
        }
    }
}

/// Says something on standard error; where it is closed there is nobody to tell.
fn warn(text: &str) {
    let _ = writeln!(io::stderr().lock(), "novacrm-engine: {text}");
}

/// Runs the command.
pub(super) fn run(args: &ScanArgs) -> Result<ExitCode, Failure> {
    let selection = if args.policy.is_empty() {
        Selection::of_detectors(&args.detectors, args.min_score.unwrap_or(MIN_SCORE))?
    } else {
        Selection::of_policies(&args.policy, &args.policy_namespace, args.min_score.unwrap_or(0.0))?
    };
    let threads = match args.threads {
        Some(threads) => usize::from(threads.get()),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    if args.jsonl {
        let key = FingerprintKey::new([0; 32]);
        let scanner = Scanner { selection, key, preview: args.preview };
        lines::run(&scanner, &args.paths, threads, io::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    }
    let known = known(args)?;
    let key = match &known {
        Some(known) => known.key().clone(),
        // Without a baseline nothing is compared, and no fingerprint is shown.
        None => FingerprintKey::new([0; 32]),
    };
    let scanner = Scanner { selection, key, preview: args.preview };
    scan(args, &scanner, known, threads)
}

/// The baseline to compare with: the one to read, or a fresh one of the same salt as the one to write over.
fn known(args: &ScanArgs) -> Result<Option<Baseline>, Failure> {
    let key = args.baseline_key.as_deref().map(keys::read_symmetric).transpose()?;
    let key = key.as_deref();
    Ok(match (&args.baseline, &args.write_baseline) {
        (Some(read), _) => Some(Baseline::read(read, key)?),
        (None, Some(write)) if write.exists() => {
            let mut known = Baseline::read(write, key)?;
            known.forget();
            Some(known)
        }
        (None, Some(_)) => Some(Baseline::empty(key)),
        (None, None) => None,
    })
}

fn source(args: &ScanArgs) -> Result<Box<dyn Source>, Failure> {
    if args.staged {
        return Ok(Box::new(Repository { folder: None, wanted: Wanted::Staged }));
    }
    if let Some(range) = &args.git {
        // No revision is written like this, so it is meant as the repository.
        let is_path = [".", ".."].contains(&range.as_str())
            || ["/", "./", "../"].iter().any(|start| range.starts_with(start));
        let mut folders = args.paths.clone();
        if is_path {
            folders.insert(0, range.into());
        }
        if folders.len() > 1 {
            return Err("--git takes one repository".into());
        }
        let range = Some(range.clone()).filter(|range| !is_path && !range.is_empty());
        return Ok(Box::new(Repository { folder: folders.pop(), wanted: Wanted::History(range) }));
    }
    let paths = if args.paths.is_empty() { vec![PathBuf::from(".")] } else { args.paths.clone() };
    let max_bytes = match args.max_size_mib {
        0 => u64::MAX,
        mib => mib.saturating_mul(1 << 20),
    };
    let own = args.baseline.iter().chain(&args.write_baseline).cloned().collect();
    let exclude = args.exclude.clone();
    Ok(Box::new(Paths { paths, no_ignore: args.no_ignore, exclude, own, max_bytes }))
}

fn scan(
    args: &ScanArgs,
    scanner: &Scanner,
    mut known: Option<Baseline>,
    threads: usize,
) -> Result<ExitCode, Failure> {
    let source = source(args)?;
    let seen = Seen::default();
    let mut written = args.write_baseline.as_ref().map(|_| Vec::new());
    let mut collector = Collector {
        report: Report::new(args.output, io::BufWriter::new(io::stdout().lock())),
        known: known.as_ref(),
        written: written.as_mut(),
        seen: &seen,
        bytes: 0,
        findings: 0,
        known_findings: 0,
        progress: Progress::new(args.output),
    };
    let produce = |send: &mut Send<'_>| source.produce(&seen, send);
    let work = |window: Window| (window.bytes(), scanner.scan(&window));
    let outcome = work::in_order(threads, produce, work, &mut collector);
    collector.progress.clear();
    let summary = Summary {
        files: seen.files.get(),
        bytes: collector.bytes,
        commits: args.git.is_some().then(|| seen.commits.get()),
        binary_files: seen.binary.get(),
        too_large_files: seen.too_large.get(),
        links: seen.links.get(),
        unreadable: seen.unreadable.get(),
        findings: collector.findings,
        known_findings: collector.known_findings,
        unlisted_findings: 0,
    };
    let report = collector.report;
    // Half a report would look like a whole one.
    outcome?;
    report.finish(summary.clone()).map_err(SourceError::Write)?;
    if summary.unreadable > 0 {
        // Something was not looked at, so nobody can say that there is nothing in it.
        return Ok(ExitCode::from(super::FAILED));
    }
    if let (Some(path), Some(prints), Some(known)) = (&args.write_baseline, written, known.as_mut()) {
        known.forget();
        prints.into_iter().for_each(|print| known.add(print));
        let count = known.write(path)?;
        warn(&format!("{}: {count} findings are known from now on", path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if summary.findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Takes the findings of all windows.
struct Collector<'a, W> {
    report: Report<W>,
    known: Option<&'a Baseline>,
    /// What a baseline to write will hold.
    written: Option<&'a mut Vec<String>>,
    seen: &'a Seen,
    bytes: u64,
    findings: u64,
    known_findings: u64,
    progress: Progress,
}

impl<W: Write> Consumer<(u64, Vec<Hit>), SourceError> for Collector<'_, W> {
    fn take(&mut self, (bytes, hits): (u64, Vec<Hit>)) -> Result<(), SourceError> {
        self.bytes += bytes;
        for hit in hits {
            let print = self.known.map(|known| known.print(&hit.origin.path, &hit.finding));
            if let (Some(written), Some(print)) = (&mut self.written, &print) {
                written.push(print.clone());
            }
            if let (Some(known), Some(print)) = (self.known, &print)
                && known.knows(print)
            {
                self.known_findings += 1;
                continue;
            }
            self.findings += 1;
            self.report.add(Told { hit, print }).map_err(SourceError::Write)?;
        }
        self.progress.show(self.seen, self.bytes, self.findings);
        Ok(())
    }

    fn idle(&mut self) -> Result<(), SourceError> {
        self.report.flush().map_err(SourceError::Write)
    }
}

/// Progress on standard error: a line that rewrites itself for people who watch, now and then a line elsewhere.
struct Progress {
    rewrites: bool,
    every: Duration,
    last: Instant,
    is_shown: bool,
}

impl Progress {
    fn new(output: Output) -> Self {
        // A table on the same terminal is progress enough.
        let rewrites = io::stderr().is_terminal();
        let is_busy = rewrites && output == Output::Table && io::stdout().is_terminal();
        let every = if rewrites && !is_busy { PROGRESS.0 } else { PROGRESS.1 };
        Self { rewrites: rewrites && !is_busy, every, last: Instant::now(), is_shown: false }
    }

    fn show(&mut self, seen: &Seen, bytes: u64, findings: u64) {
        if self.last.elapsed() < self.every {
            return;
        }
        self.last = Instant::now();
        let text = format!("{} files, {} scanned, {findings} findings so far", seen.files.get(), size(bytes));
        if self.rewrites {
            self.is_shown = true;
            // Progress that cannot be shown changes nothing.
            let _ = write!(io::stderr().lock(), "\r{text}\x1b[K");
        } else {
            warn(&text);
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
