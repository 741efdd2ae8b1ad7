//! A hard limit on the memory of running processes, as a container has one.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The limit of a container of the operator by the chart, and of a tenant by the operator, where nothing else is said (256Mi), in
/// bytes.
pub const DEFAULT_LIMIT: u64 = 256 * 1024 * 1024;

/// Processes that may use so much memory and no more; the kernel kills one that would. Where no control group can be made
/// (not root, or no memory controller), only the peak is measured, and [`Limited::breached`] compares it.
#[derive(Debug)]
pub struct Limited {
    pid: i32,
    limit: u64,
    group: Option<PathBuf>,
}

impl Limited {
    /// Limits a process from now on. What it uses already counts.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn process(pid: i32, limit: u64) -> io::Result<Self> {
        let used = status(pid, "VmRSS")?;
        let group = Self::group(pid, limit.saturating_sub(used)).ok();
        Ok(Self { pid, limit, group })
    }

    /// Whether the kernel enforces the limit.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.group.is_some()
    }

    /// Most memory that the process has had resident, in bytes.
    ///
    /// # Errors
    /// When the process is gone, which is how the kernel enforces the limit.
    pub fn peak(&self) -> io::Result<u64> {
        status(self.pid, "VmHWM")
    }

    /// Whether the process was killed, or used more than the limit.
    #[must_use]
    pub fn breached(&self) -> bool {
        self.peak().map_or(true, |peak| peak > self.limit)
    }

    /// A control group of version 1 or 2, with the process in it. Memory that was charged before stays where it was charged,
    /// so the group gets what is left.
    fn group(pid: i32, left: u64) -> io::Result<PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let (parent, file) = if root.join("cgroup.controllers").exists() {
            (root.to_owned(), "memory.max")
        } else {
            (root.join("memory"), "memory.limit_in_bytes")
        };
        let group = parent.join(format!("novacrm-test-{}-{pid}", std::process::id()));
        std::fs::create_dir(&group)?;
        let enter = || {
            std::fs::write(group.join(file), left.to_string())?;
            std::fs::write(group.join("cgroup.procs"), pid.to_string())
        };
        enter().inspect_err(|_| drop(std::fs::remove_dir(&group)))?;
        Ok(group)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let Some(group) = &self.group else { return };
        // A group goes when it is empty: the process returns to where it can live on.
        let parent = group.parent().unwrap_or(Path::new("/"));
        let _ = std::fs::write(parent.join("cgroup.procs"), self.pid.to_string());
        // The kernel takes a moment to note that a process has ended.
        for _ in 0..100 {
            if std::fs::remove_dir(group).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = writeln!(std::io::stderr().lock(), "{} is left", group.display());
    }
}

/// A field of `/proc/<pid>/status` that is given in kB, such as `VmRSS` (now) and `VmHWM` (at most so far), in bytes.
///
/// # Errors
/// When the process has ended, or the kernel gives no such field.
pub fn status(pid: i32, field: &str) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.trim().strip_suffix("kB"));
    let kib = value.and_then(|value| value.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the process has ended"))
}
