//! A program in, that program running out: in a process group of its own, with its output in a file, bound to the life
//! of the process that started it, so that nothing stays behind, however this one ends.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use std::os::unix::process::CommandExt;

use rustix::process::{Pid, Signal, kill_process_group};

use super::ControlPlaneError;
use super::control_plane::io;
use crate::system::programs;

/// What the log of a process that ended is quoted with, at most.
const LAST_LINES: usize = 8;

/// Running programs. They end, the last started first, when this is dropped.
#[derive(Debug)]
pub struct Processes {
    /// From the last started to the first, which is the order in which they end.
    running: Vec<Running>,
    /// Where they run and their logs are.
    folder: PathBuf,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    child: Child,
}

impl Processes {
    /// None yet; they will run, and write their logs, in a folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { running: Vec::new(), folder: folder.to_owned() }
    }

    /// Starts a program under a name, which no other that runs has.
    ///
    /// # Errors
    /// When it is not there or cannot be started.
    pub fn start(
        &mut self,
        name: &'static str,
        program: &Path,
        arguments: &[OsString],
        variables: &[(&str, &OsStr)],
    ) -> Result<(), ControlPlaneError> {
        let guardian = programs().join("novacrm-test-cluster");
        for (program, hint) in [
            (
                program,
                "KUBEBUILDER_ASSETS names a folder with the programs of Kubernetes; without it they are built",
            ),
            (&guardian, "build it with `cargo build -p novacrm-tests`"),
        ] {
            if !program.is_file() {
                return Err(ControlPlaneError::Missing { program: program.to_owned(), hint });
            }
        }
        let log = File::options().create(true).append(true).open(self.log(name));
        let log = log.map_err(io("cannot write a log"))?;
        let child = Command::new(guardian)
            .args(["__exec", &std::process::id().to_string(), "--"])
            .arg(program)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(io("cannot write a log"))?)
            .stderr(log)
            .current_dir(&self.folder)
            // Ctrl-C in the terminal reaches the one who started it, who ends the others in order.
            .process_group(0)
            .spawn()
            .map_err(io("cannot start a program"))?;
        self.running.insert(0, Running { name, child });
        Ok(())
    }

    /// The first that has ended by itself, with its last words.
    pub fn ended(&mut self) -> Option<ControlPlaneError> {
        let found = self.running.iter_mut().find_map(|running| match running.child.try_wait() {
            Ok(Some(status)) => Some((running.name, status)),
            _ => None,
        });
        found.map(|(name, status)| self.error(name, status))
    }

    fn error(&self, name: &'static str, status: ExitStatus) -> ControlPlaneError {
        ControlPlaneError::Ended { name, status, said: self.last_words(name) }
    }

    /// Kills one, as a broken machine would, when it runs.
    pub fn kill(&mut self, name: &str) {
        self.running.retain_mut(|running| {
            let keep = running.name != name;
            if !keep {
                running.kill();
            }
            keep
        });
    }

    /// Sends one a signal, when it runs.
    pub fn signal(&self, name: &str, signal: Signal) {
        for running in self.running.iter().filter(|running| running.name == name) {
            running.signal(signal);
        }
    }

    /// The last lines that one has written.
    #[must_use]
    pub fn last_words(&self, name: &str) -> String {
        let text = fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut lines: Vec<&str> = text.lines().rev().take(LAST_LINES).collect();
        lines.reverse();
        lines.join("\n")
    }

    /// The log of one.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // Nothing of it is kept, so nothing need be put in order.
        for running in &mut self.running {
            running.kill();
        }
    }
}

impl Running {
    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It fails only when the group is gone.
            let _ = kill_process_group(group, signal);
        }
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}
