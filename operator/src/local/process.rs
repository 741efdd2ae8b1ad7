//! A process in; it runs, is started again when it ends, and every change of its state comes out as an event.

use std::convert::Infallible;
use std::fs;
use std::io::{self, BufRead};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::local::exec::DeathSignal;
use crate::local::rewrite::Process;

/// How long a process may take to end by itself; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a preparation may take.
const JOB_TIMEOUT: Duration = Duration::from_secs(300);
/// First wait before a process that ended is started again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A process that was ready for this long begins with the first wait again.
const STEADY: Duration = Duration::from_secs(30);
/// How often readiness is asked for, before and after it was reached.
const PROBE_STARTING: Duration = Duration::from_millis(50);
const PROBE_READY: Duration = Duration::from_secs(2);
/// A log longer than this is put aside when its process starts.
const LOG_LIMIT: u64 = 16 * 1024 * 1024;

/// Where a process runs and what it is called.
#[derive(Clone)]
pub struct Place {
    /// Name in messages, such as `acme/novacrm-engine`.
    pub name: String,
    /// Where its output goes.
    pub log: PathBuf,
    /// Its working folder.
    pub folder: PathBuf,
    /// The `novacrm-operator` binary, which starts it so that it ends with us.
    pub guardian: PathBuf,
}

/// What happened to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs and is not ready; the text says what it waits for.
    Starting(String),
    /// It is ready.
    Ready,
    /// It ended or could not be started, and will be started again.
    Failed(String),
}

/// A process and its new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Name of the process.
    pub name: String,
    /// Its state.
    pub state: State,
}

/// Why a preparation did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// It could not be started.
    #[error("{name} could not be started: {reason}")]
    Start {
        /// The job.
        name: String,
        /// What went wrong.
        reason: String,
    },
    /// It ended badly or not at all.
    #[error("{name} {how}; its log is {}{}", log.display(), last_words(log))]
    Failed {
        /// The job.
        name: String,
        /// How it ended.
        how: String,
        /// Its log.
        log: PathBuf,
    },
}

/// A process that is kept running.
#[derive(Debug)]
pub struct Supervised {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Supervised {
    /// Starts a process and keeps it running.
    #[must_use]
    pub fn start(place: Place, process: Process, events: mpsc::UnboundedSender<Event>) -> Self {
        // The client that asks for readiness wants a provider, even for plain HTTP.
        novacrm_service::tls::install_provider();
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep_running(place, process, events, stop.clone()));
        Self { stop, task }
    }

    /// Ends the process: asked first, killed when it does not.
    pub async fn stop(self) {
        self.stop.cancel();
        // The task ends by itself; were it to panic, its process is killed with it.
        let _ = self.task.await;
    }
}

/// Runs a preparation to its end.
///
/// # Errors
/// When it cannot be started, fails, or takes too long.
pub async fn run_job(place: &Place, process: &Process, stop: &CancellationToken) -> Result<(), JobError> {
    let mut child = spawn(place, process)
        .map_err(|error| JobError::Start { name: place.name.clone(), reason: error.to_string() })?;
    let failed = |how: String| JobError::Failed { name: place.name.clone(), how, log: place.log.clone() };
    let outcome = tokio::select! {
        outcome = timeout(JOB_TIMEOUT, child.wait()) => outcome,
        () = stop.cancelled() => {
            end(&mut child).await;
            return Err(failed("was stopped".to_owned()));
        }
    };
    match outcome {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(in_words(status))),
        Ok(Err(error)) => Err(failed(format!("was lost ({error})"))),
        Err(_) => {
            end(&mut child).await;
            Err(failed(format!("took longer than {} s", JOB_TIMEOUT.as_secs())))
        }
    }
}

async fn keep_running(
    place: Place,
    process: Process,
    events: mpsc::UnboundedSender<Event>,
    stop: CancellationToken,
) {
    let tell = |state| {
        // Nobody listens any more when everything is being stopped.
        let _ = events.send(Event { name: place.name.clone(), state });
    };
    let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build();
    let mut pause = FIRST_PAUSE;
    loop {
        tell(State::Starting("starting".to_owned()));
        let why = match (spawn(&place, &process), &client) {
            (Err(error), _) => error.to_string(),
            (_, Err(error)) => error.to_string(),
            (Ok(mut child), Ok(client)) => {
                let mut ready_since = None;
                let status = tokio::select! {
                    status = child.wait() => status,
                    never = watch(&process, client, &mut ready_since, &tell) => match never {},
                    () = stop.cancelled() => {
                        end(&mut child).await;
                        return;
                    }
                };
                if ready_since.is_some_and(|since: Instant| since.elapsed() >= STEADY) {
                    pause = FIRST_PAUSE;
                }
                status.map_or_else(|error| error.to_string(), in_words)
            }
        };
        tell(State::Failed(format!("{why}; its log is {}{}", place.log.display(), last_words(&place.log))));
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Asks for readiness until it is dropped, and tells each change.
async fn watch(
    process: &Process,
    client: &reqwest::Client,
    ready_since: &mut Option<Instant>,
    tell: &impl Fn(State),
) -> Infallible {
    let Some((port, path)) = &process.readiness else {
        *ready_since = Some(Instant::now());
        tell(State::Ready);
        return std::future::pending().await;
    };
    let url = format!("http://127.0.0.1:{port}{path}");
    let mut last = None;
    loop {
        let state = match client.get(&url).send().await {
            Ok(answer) if answer.status().is_success() => State::Ready,
            Ok(answer) => State::Starting(reason(&answer.text().await.unwrap_or_default())),
            Err(_) => State::Starting("it does not answer yet".to_owned()),
        };
        match state {
            State::Ready => _ = ready_since.get_or_insert_with(Instant::now),
            _ => *ready_since = None,
        }
        if last.as_ref() != Some(&state) {
            tell(state.clone());
            last = Some(state);
        }
        sleep(if ready_since.is_some() { PROBE_READY } else { PROBE_STARTING }).await;
    }
}

/// `{"missing":{"database":"connection refused"}}` → `database: connection refused`.
fn reason(body: &str) -> String {
    #[derive(serde::Deserialize)]
    struct NotReady {
        missing: std::collections::BTreeMap<String, String>,
    }
    match serde_json::from_str::<NotReady>(body) {
        Ok(NotReady { missing }) if !missing.is_empty() => {
            missing.iter().map(|(part, reason)| format!("{part}: {reason}")).collect::<Vec<_>>().join(", ")
        }
        _ => "it is not ready yet".to_owned(),
    }
}

fn spawn(place: &Place, process: &Process) -> io::Result<Child> {
    if !process.program.is_file() {
        let message = format!("there is no program {}: build it first", process.program.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    if fs::metadata(&place.log).is_ok_and(|log| log.len() > LOG_LIMIT) {
        fs::rename(&place.log, place.log.with_extension("log.1"))?;
    }
    let output = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&place.log)?;
    let errors = output.try_clone()?;
    let mut command = Command::new(&place.guardian);
    command
        .args(["__exec", DeathSignal::Terminate.as_str(), &std::process::id().to_string(), "--"])
        .arg(&process.program)
        .args(&process.arguments)
        .env_clear()
        .envs(&process.env)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .current_dir(&place.folder)
        // Ctrl-C in the terminal reaches `up` alone, which ends the others in order.
        .process_group(0)
        .kill_on_drop(true);
    for passed_on in ["NOVACRM_LOG", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
        if let Some(value) = std::env::var_os(passed_on)
            && !process.env.contains_key(passed_on)
        {
            command.env(passed_on, value);
        }
    }
    command.spawn()
}

async fn end(child: &mut Child) {
    signal(child, Signal::TERM);
    if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        signal(child, Signal::KILL);
        // It is dead or about to be.
        let _ = child.wait().await;
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // It fails only when the group is gone.
        let _ = kill_process_group(pid, signal);
    }
}

fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The last line of a log, for a message: its `message` and `error` where it is JSON.
fn last_words(log: &Path) -> String {
    let Ok(file) = fs::File::open(log) else { return String::new() };
    let lines = io::BufReader::new(file).lines().map_while(Result::ok);
    let Some(line) = lines.filter(|line| !line.trim().is_empty()).last() else { return String::new() };
    let text = match serde_json::from_str::<serde_json::Value>(&line) {
        Ok(json) => ["message", "error", "reason"]
            .iter()
            .filter_map(|field| json.get(field).and_then(serde_json::Value::as_str))
            .collect::<Vec<_>>()
            .join(": "),
        Err(_) => line,
    };
    let text: String = text.chars().take(300).collect();
    if text.is_empty() { text } else { format!(" and ends with: {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_ends_with_its_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        assert_eq!(last_words(&log), "");
        fs::write(&log, "first\n{\"message\":\"stopping\",\"error\":\"no database\"}\n\n").unwrap();
        assert_eq!(last_words(&log), " and ends with: stopping: no database");
    }

    #[test]
    fn a_probe_says_what_is_missing() {
        assert_eq!(reason(r#"{"ready":false,"missing":{"database":"away"}}"#), "database: away");
        assert_eq!(reason("oops"), "it is not ready yet");
    }
}
