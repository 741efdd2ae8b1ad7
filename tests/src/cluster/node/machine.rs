//! What a node asks of the machine, and changes on it before anything runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ADDRESS, BRIDGE, CGROUP, FOLDER};
use crate::cluster::ControlPlaneError;
use crate::cluster::control_plane::io;

/// What others than us may make as well: what of it was not there is taken away at the end.
const SHARED: [&str; 6] = [
    "/run/containerd",
    "/run/runc",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];
/// The file that lists it.
pub(super) const ABSENT: &str = "absent";
/// The file that lists the tables of packet rules that were there.
pub(super) const TABLES: &str = "tables";
/// Those that kubelet and kube-proxy make.
pub(super) const TABLES_MADE: [&str; 8] = [
    "ip kube-proxy",
    "ip6 kube-proxy",
    "ip mangle",
    "ip6 mangle",
    "ip nat",
    "ip6 nat",
    "ip filter",
    "ip6 filter",
];
/// The file that keeps whether the machine forwarded packets.
pub(super) const FORWARD: &str = "ip_forward";
pub(super) const FORWARD_SETTING: &str = "/proc/sys/net/ipv4/ip_forward";

/// The program, on the path or as named.
pub(super) fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| PathBuf::from(program))
}

/// Says which package brings a program that is missing.
pub(super) fn needs(program: &str, package: &str) -> Result<(), ControlPlaneError> {
    if find(program).is_file() {
        return Ok(());
    }
    Err(ControlPlaneError::Machine(format!(
        "there is no {program}: install it (Debian: apt-get install {package})"
    )))
}

/// Makes the bridge and the cgroups, and lets the machine forward packets.
pub(super) fn prepare() -> Result<(), ControlPlaneError> {
    if table_exists() {
        let said = "kube-proxy of another node works here; the two would write the same rules";
        return Err(ControlPlaneError::Machine(said.to_owned()));
    }
    let folder = Path::new(FOLDER);
    fs::create_dir_all(folder).map_err(io("cannot make the folder of the node"))?;
    let absent: String =
        SHARED.iter().filter(|path| !Path::new(path).exists()).map(|path| format!("{path}\n")).collect();
    fs::write(folder.join(ABSENT), absent).map_err(io("cannot write a file of the node"))?;
    let tables: String = TABLES_MADE
        .iter()
        .filter(|table| run("nft", &words(&format!("list table {table}"))).is_ok())
        .map(|table| format!("{table}\n"))
        .collect();
    fs::write(folder.join(TABLES), tables).map_err(io("cannot write a file of the node"))?;
    let forward = fs::read_to_string(FORWARD_SETTING).map_err(io("cannot read a setting of the kernel"))?;
    fs::write(folder.join(FORWARD), forward).map_err(io("cannot write a file of the node"))?;
    fs::write(FORWARD_SETTING, "1").map_err(io("cannot change a setting of the kernel"))?;
    for arguments in [
        vec!["link", "add", BRIDGE, "type", "bridge"],
        vec!["addr", "add", &format!("{ADDRESS}/24"), "dev", BRIDGE],
        vec!["link", "set", BRIDGE, "up"],
    ] {
        run("ip", &arguments)?;
    }
    for root in cgroup_roots() {
        let group = root.join(CGROUP);
        fs::create_dir_all(&group).map_err(io("cannot make a cgroup"))?;
        // A group of version 1 begins without processors and memory.
        for name in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read_to_string(root.join(name)) {
                fs::write(group.join(name), value).map_err(io("cannot set up a cgroup"))?;
            }
        }
    }
    Ok(())
}

/// The hierarchies of cgroups that hold controllers: one of version 2, or each of version 1.
pub(super) fn cgroup_roots() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.join("cgroup.procs").exists()).collect()
}

/// Whether a kube-proxy has written its rules.
pub(super) fn table_exists() -> bool {
    run("nft", &["list", "table", "ip", "kube-proxy"]).is_ok()
}

pub(super) fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

pub(super) fn run(program: &str, arguments: &[&str]) -> Result<(), ControlPlaneError> {
    let output =
        Command::new(find(program)).args(arguments).output().map_err(io("cannot start a program"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(ControlPlaneError::Machine(format!("{program} {}: {}", arguments.join(" "), said.trim_end())))
}
