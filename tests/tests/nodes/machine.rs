//! The node of `novacrm-test-cluster --node` in; what happens to machines done to it, and what its pods take read off it.

use std::fs;
use std::path::{Path, PathBuf};

use novacrm_tests::cluster::NODE;
use rustix::process::{Pid, Signal, kill_process};

use crate::site::Site;

/// The folder of the node. Only on a node of our own may a test do this.
fn folder() -> PathBuf {
    let named = std::env::var_os(NODE).filter(|value| !value.is_empty()).map(PathBuf::from);
    named.unwrap_or_else(|| panic!("{NODE} names no node: run it under `novacrm-test-cluster --node`"))
}

fn uid(site: &Site, namespace: &str, pod: &str) -> String {
    let pod = site.kubectl.get(&["pod", pod, "--namespace", namespace]);
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// Kills what runs in a pod, as the kernel would when it is out of memory.
pub fn kill_pod(site: &Site, namespace: &str, pod: &str) {
    signal(&in_pod(site, namespace, pod), Signal::KILL);
}

/// Stops what runs in a pod without ending it, or lets it go on.
pub fn signal_pod(site: &Site, namespace: &str, pod: &str, stopped: bool) {
    signal(&in_pod(site, namespace, pod), if stopped { Signal::STOP } else { Signal::CONT });
}

fn in_pod(site: &Site, namespace: &str, pod: &str) -> Vec<i32> {
    let group = format!("pod{}", uid(site, namespace, pod));
    let ids = processes(|process| {
        fs::read_to_string(process.join("cgroup")).is_ok_and(|groups| groups.contains(&group))
            && program(process).is_some_and(|name| name != "pause")
    });
    assert!(!ids.is_empty(), "nothing runs in {pod}");
    ids
}

/// Stops the API server without ending it, as one that hangs, or lets it go on.
pub fn signal_api_server(stopped: bool) {
    let folder = folder();
    let own = fs::read_to_string(folder.join("kubelet.yaml")).unwrap();
    // The API server of this node, should there be others: its files are where kubelet's are.
    let certificates =
        own.split("\"tlsCertFile\":\"").nth(1).unwrap().split("/kubelet.crt").next().unwrap().to_owned();
    let ids = processes(|process| {
        program(process).is_some_and(|name| name == "kube-apiserver")
            && fs::read(process.join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&certificates))
    });
    assert!(!ids.is_empty(), "no API server runs");
    signal(&ids, if stopped { Signal::STOP } else { Signal::CONT });
}

/// A volume of a pod, as the node has it.
pub fn volume(site: &Site, namespace: &str, pod: &str, name: &str) -> PathBuf {
    folder()
        .join("kubelet/pods")
        .join(uid(site, namespace, pod))
        .join("volumes/kubernetes.io~empty-dir")
        .join(name)
}

/// Bytes of memory that a pod takes and that the kernel could not take back: what kubelet calls its working set.
pub fn working_set(site: &Site, namespace: &str, pod: &str) -> u64 {
    let name = format!("pod{}", uid(site, namespace, pod));
    let (usage, statistics, inactive) = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        ("memory.current", "memory.stat", "inactive_file ")
    } else {
        ("memory.usage_in_bytes", "memory.stat", "total_inactive_file ")
    };
    let roots = [Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup")];
    let group = roots.iter().find_map(|root| find(&root.join("novacrm-test-node"), &name)).unwrap();
    let read = |file: &str| fs::read_to_string(group.join(file)).unwrap();
    let used: u64 = read(usage).trim().parse().unwrap();
    let statistics = read(statistics);
    let inactive = statistics.lines().find_map(|line| line.strip_prefix(inactive)).unwrap();
    used.saturating_sub(inactive.trim().parse().unwrap())
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    let found = folders.iter().find(|path| path.file_name().is_some_and(|found| found == name)).cloned();
    found.or_else(|| folders.iter().find_map(|path| find(path, name)))
}

fn program(process: &Path) -> Option<String> {
    let line = fs::read(process.join("cmdline")).ok()?;
    let first = String::from_utf8(line.split(|&byte| byte == 0).next()?.to_vec()).ok()?;
    Some(first.rsplit('/').next()?.to_owned()).filter(|name| !name.is_empty())
}

fn processes(wanted: impl Fn(&Path) -> bool) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    ids.filter(|(_, path)| wanted(path)).map(|(id, _)| id).collect()
}

fn signal(ids: &[i32], signal: Signal) {
    for id in ids.iter().filter_map(|&id| Pid::from_raw(id)) {
        // It fails only when it is gone.
        let _ = kill_process(id, signal);
    }
}
