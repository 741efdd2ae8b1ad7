//! A node leaves the machine as it found it, also when who started it was killed. Takes root and images, as
//! `./task test:cluster` has them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use novacrm_tests::cluster::FOLDER;
use novacrm_tests::system::programs;
use rustix::process::{Pid, Signal, kill_process};

/// How long a node may take to come and to go.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a node could leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    links: BTreeSet<String>,
    tables: BTreeSet<String>,
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<String>,
    processes: BTreeSet<String>,
    folders: BTreeSet<String>,
    forwards: String,
}

impl Machine {
    fn look() -> Self {
        let said = |program: &str, arguments: &[&str]| -> BTreeSet<String> {
            let output = Command::new(program).args(arguments).output().unwrap();
            assert!(output.status.success(), "{program}");
            String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
        };
        let links = said("ip", &["-brief", "link"]);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let places = ["/var/lib", "/var/log", "/run"].map(|folder| {
            let entries = fs::read_dir(folder).unwrap().flatten();
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            folders.map(|entry| entry.path().display().to_string()).collect::<Vec<_>>()
        });
        Self {
            links: links.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect(),
            tables: said("nft", &["list", "tables"]),
            mounts: mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect(),
            cgroups: said("find", &["/sys/fs/cgroup", "-maxdepth", "2", "-type", "d"]),
            processes: ["containerd", "containerd-shim", "kubelet", "kube-proxy", "coredns", "pause"]
                .into_iter()
                .filter(|name| running(name))
                .map(str::to_owned)
                .collect(),
            folders: places.into_iter().flatten().collect(),
            forwards: fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(),
        }
    }
}

fn running(name: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter_map(|line| String::from_utf8(line.split(|&byte| byte == 0).next()?.to_vec()).ok())
        .any(|program| program.rsplit('/').next().is_some_and(|program| program.starts_with(name)))
}

/// A node, with a command that says on its output that it is there and then waits.
fn start() -> Child {
    let mut child = Command::new(programs().join("novacrm-test-cluster"))
        .args(["--node", "--", "sh", "-c", "\"$NOVACRM_TEST_KUBECTL\" --kubeconfig \"$NOVACRM_TEST_KUBECONFIG\" \
              run held --image=localhost/pause:1 --image-pull-policy=Never && \"$NOVACRM_TEST_KUBECTL\" --kubeconfig \
              \"$NOVACRM_TEST_KUBECONFIG\" wait --for=condition=Ready --timeout=120s pod/held && exec sleep 600"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("condition met") {
        line.clear();
        let read = std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        assert!(read > 0, "the node ended before its pod ran");
    }
    child
}

fn until_it_is(before: &Machine) {
    let begun = Instant::now();
    loop {
        let now = Machine::look();
        if now == *before && !Path::new(FOLDER).exists() {
            return;
        }
        if begun.elapsed() > PATIENCE {
            panic!("before: {before:#?}\nnow: {now:#?}");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
#[ignore = "takes root and images"]
fn a_node_leaves_the_machine_as_it_was_however_it_ends() {
    let before = Machine::look();
    for signal in [Signal::KILL, Signal::TERM] {
        let mut node = start();
        assert_ne!(Machine::look(), before, "there is no node");
        kill_process(Pid::from_child(&node), signal).unwrap();
        node.wait().unwrap();
        until_it_is(&before);
    }
}
