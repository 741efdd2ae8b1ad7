//! A command in, its exit code out, with nothing of it left behind: it runs in a process group of its own, which
//! ends when it ends, and when this process is asked to end.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// How long a command may take to end by itself; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Exit code of a command that was ended by a signal.
const INTERRUPTED: u8 = 1;

/// Why a command did not run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No command was given.
    #[error("no command was given")]
    Empty,
    /// It could not be started, or was lost.
    #[error("{}: {source}", program.display())]
    Start {
        /// The program.
        program: OsString,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Runs a command to its end, with variables added to its environment. On SIGTERM and SIGINT it is asked to end and,
/// when it does not, killed.
///
/// # Errors
/// When it cannot be started.
pub async fn run(words: &[OsString], variables: &[(&str, OsString)]) -> Result<u8, CommandError> {
    let (program, arguments) = words.split_first().ok_or(CommandError::Empty)?;
    let failed = |source| CommandError::Start { program: program.clone(), source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::inherit())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let tell = |signal| {
        if let Some(group) = group {
            // It fails only when the group is gone.
            let _ = kill_process_group(group, signal);
        }
    };
    let ended = tokio::select! {
        status = child.wait() => Some(status),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    let code = match ended {
        Some(status) => status.map_err(failed)?.code().and_then(|code| u8::try_from(code).ok()),
        None => {
            tell(Signal::TERM);
            let _ = tokio::time::timeout(STOP_TIMEOUT, child.wait()).await;
            None
        }
    };
    // What the command started and did not end.
    tell(Signal::KILL);
    let _ = child.wait().await;
    Ok(code.unwrap_or(INTERRUPTED))
}
