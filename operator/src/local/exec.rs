//! A program and its arguments in, that program out, bound to die with the process that started it.
//!
//! `up` starts everything through `novacrm-operator __exec <signal> <parent> -- <program> <arguments…>`, because
//! a process can ask for a signal at its parent's death only for itself, before it becomes the program. The
//! request survives `execve(2)` (see prctl(2), `PR_SET_PDEATHSIG`).

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The signal that asks a process to end once its parent is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathSignal {
    /// `SIGTERM`: our own servers finish what they are doing.
    Terminate,
    /// `SIGINT`: PostgreSQL's fast shutdown, which does not wait for its clients.
    Interrupt,
    /// `SIGKILL`: what keeps nothing that is worth finishing, such as the control plane of the tests.
    Kill,
}

impl DeathSignal {
    /// The word for it on the command line of `__exec`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Kill => "KILL",
        }
    }

    /// The signal itself.
    #[must_use]
    pub fn signal(self) -> Signal {
        match self {
            Self::Terminate => Signal::TERM,
            Self::Interrupt => Signal::INT,
            Self::Kill => Signal::KILL,
        }
    }
}

impl std::str::FromStr for DeathSignal {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "TERM" => Ok(Self::Terminate),
            "INT" => Ok(Self::Interrupt),
            "KILL" => Ok(Self::Kill),
            other => Err(format!("unknown signal {other}: use TERM, INT or KILL")),
        }
    }
}

/// Becomes the program. Returns only when that failed.
///
/// `parent` is the process that must be alive: when it has gone before the signal was asked for, nobody would
/// send it, so the program is not started at all.
pub fn become_program(signal: DeathSignal, parent: i32, program: &[OsString]) -> io::Error {
    let Some((name, arguments)) = program.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program was given");
    };
    if let Err(error) = set_parent_process_death_signal(Some(signal.signal())) {
        return error.into();
    }
    if getppid().map(Pid::as_raw_pid) != Some(parent) {
        return io::Error::other("the process that asked for this program has ended");
    }
    Command::new(name).args(arguments).exec()
}
