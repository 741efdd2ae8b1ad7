//! What a node has left on the machine in, nothing of it out.
//!
//! A process of its own does it, which outlives the one it serves: it sweeps what a former node has left, says so, and
//! sweeps again when the other has closed the pipe between them, which its death does too. It holds the lock that lets
//! one node after the other work on a machine.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

use super::machine::{ABSENT, FORWARD, FORWARD_SETTING, TABLES, TABLES_MADE, cgroup_roots, run, words};
use super::{BRIDGE, CGROUP, FOLDER};
use crate::cluster::ControlPlaneError;
use crate::cluster::control_plane::io;
use crate::system::programs;

/// The word on the command line of `novacrm-test-cluster` that makes it a sweeper.
pub const SWEEP: &str = "__sweep";
/// One node at a time.
const LOCK: &str = "/run/novacrm-test-node.lock";
/// Network plugins note here what they made, where no other folder was named.
const NETWORK_RESULTS: &str = "/var/lib/cni/results";
/// How long processes that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// The process that sweeps. Dropping this has it sweep, and waits for it.
#[derive(Debug)]
pub struct Sweeper {
    child: Child,
}

impl Sweeper {
    /// Starts it; the machine is free of former nodes then. Waits for another node to end.
    ///
    /// # Errors
    /// When it cannot be started or ends.
    pub fn start() -> Result<Self, ControlPlaneError> {
        let program = programs().join("novacrm-test-cluster");
        let child = Command::new(program)
            .arg(SWEEP)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What ends the group of the one it serves must not end it.
            .process_group(0)
            .spawn()
            .map_err(io("cannot start the sweeper"))?;
        let mut sweeper = Self { child };
        let mut line = String::new();
        if let Some(said) = sweeper.child.stdout.as_mut() {
            BufReader::new(said).read_line(&mut line).map_err(io("the sweeper says nothing"))?;
        }
        match line.as_str() {
            "clean\n" => Ok(sweeper),
            _ => Err(ControlPlaneError::Machine("what a former node left cannot be taken away".to_owned())),
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Is the sweeper: returns when it is done.
///
/// # Errors
/// When the machine cannot be locked or what a former node left cannot be taken away.
pub fn sweep() -> Result<(), ControlPlaneError> {
    let lock = File::options().create(true).truncate(false).write(true).open(LOCK);
    let lock = lock.map_err(io("cannot open the lock of the node"))?;
    flock(&lock, FlockOperation::LockExclusive)
        .map_err(|error| io("cannot lock the machine")(error.into()))?;
    clean();
    if Path::new(FOLDER).exists() {
        return Err(ControlPlaneError::Machine(format!("{FOLDER} cannot be removed")));
    }
    let mut out = std::io::stdout();
    out.write_all(b"clean\n").and_then(|()| out.flush()).map_err(io("cannot say that it is clean"))?;
    // The end of the one it serves, however it comes.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    clean();
    // The file of the lock stays: whoever waits for it holds it open.
    Ok(())
}

/// Every step is tried, whatever became of the others.
fn clean() {
    let folder = Path::new(FOLDER);
    // Those that start others first.
    kill_all(names_folder);
    for root in cgroup_roots() {
        remove_cgroup(&root.join(CGROUP));
    }
    for mount in mounts_below(folder).into_iter().rev() {
        let _ = unmount(mount, UnmountFlags::DETACH);
    }
    // With the last process and mount of a network namespace it is gone, and its end of the bridge.
    let _ = run("ip", &["link", "delete", BRIDGE]);
    if let Ok(before) = fs::read_to_string(folder.join(TABLES)) {
        for table in TABLES_MADE.iter().filter(|table| !before.lines().any(|line| line == **table)) {
            // It fails only when it was never made.
            let _ = run("nft", &words(&format!("delete table {table}")));
        }
    }
    if let Ok(forward) = fs::read(folder.join(FORWARD)) {
        let _ = fs::write(FORWARD_SETTING, forward);
    }
    for entry in fs::read_dir(NETWORK_RESULTS).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(CGROUP) {
            let _ = fs::remove_file(entry.path());
        }
    }
    for path in fs::read_to_string(folder.join(ABSENT)).unwrap_or_default().lines() {
        let _ = fs::remove_dir_all(path);
    }
    let _ = fs::remove_dir_all(folder);
}

/// Kills processes until there are none, or patience ends.
fn kill_all(ours: impl Fn(&Path) -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while std::time::Instant::now() < end {
        let found: Vec<i32> =
            processes().into_iter().filter(|(_, path)| ours(path)).map(|(id, _)| id).collect();
        if found.is_empty() {
            return;
        }
        kill(&found);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn kill(ids: &[i32]) {
    for id in ids.iter().filter_map(|&id| Pid::from_raw(id)) {
        // It fails only when it is gone.
        let _ = kill_process(id, Signal::KILL);
    }
}

fn processes() -> Vec<(i32, PathBuf)> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|&(id, _)| id != own)
        .collect()
}

/// containerd, its shims, kubelet, kube-proxy and CoreDNS are started with files of the folder.
fn names_folder(process: &Path) -> bool {
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let program = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let known = ["containerd", "containerd-shim-runc-v2", "kubelet", "kube-proxy", "coredns"];
    let name = Path::new(std::ffi::OsStr::new(std::str::from_utf8(program).unwrap_or_default()));
    name.file_name().is_some_and(|name| known.iter().any(|known| name == *known))
        && line.windows(FOLDER.len()).any(|window| window == FOLDER.as_bytes())
}

/// Kills what is in a cgroup and those below it, and removes them.
fn remove_cgroup(group: &Path) {
    let end = std::time::Instant::now() + PATIENCE;
    while group.exists() && std::time::Instant::now() < end {
        for entry in fs::read_dir(group).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_cgroup(&entry.path());
            }
        }
        let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        let ids: Vec<i32> = list.lines().filter_map(|line| line.parse().ok()).collect();
        kill(&ids);
        if fs::remove_dir(group).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Mounts below a folder, as they were made.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let list = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    list.lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(path.replace("\\040", " ")))
        .filter(|path| path.starts_with(folder))
        .collect()
}
