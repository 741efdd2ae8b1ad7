//! Processes as `up` keeps them: started again when they end, ended with whoever started them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use novacrm_operator::local::process::{Place, State, Supervised, run_job};
use novacrm_operator::local::rewrite::Process;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn place(folder: &Path) -> Place {
    Place {
        name: "acme/sh".to_owned(),
        log: folder.join("sh.log"),
        folder: folder.to_owned(),
        guardian: PathBuf::from(env!("CARGO_BIN_EXE_novacrm-operator")),
    }
}

fn shell(script: &str) -> Process {
    Process {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        env: BTreeMap::from([("GIVEN".to_owned(), "value".to_owned())]),
        readiness: None,
    }
}

fn is_alive(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // A zombie is dead, and only waits for somebody to take notice.
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_process_that_ends_is_started_again_and_its_environment_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (events, mut seen) = mpsc::unbounded_channel();
    let script = "echo given=$GIVEN home=$HOME; exit 3";
    let process = Supervised::start(place(folder.path()), shell(script), events);
    let mut failures = 0;
    while failures < 3 {
        if let State::Failed(why) = seen.recv().await.unwrap().state {
            assert!(why.starts_with("ended with status 3"), "{why}");
            assert!(why.contains("given=value"), "{why}");
            failures += 1;
        }
    }
    process.stop().await;
    let log = fs::read_to_string(folder.path().join("sh.log")).unwrap();
    assert!(log.lines().all(|line| line == "given=value home="), "{log}");
}

#[tokio::test]
async fn stopping_ends_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let (events, _seen) = mpsc::unbounded_channel();
    let script = "sleep 1000 & echo $! > child; mv child children; wait";
    let process = Supervised::start(place(folder.path()), shell(script), events);
    let children = folder.path().join("children");
    let appears = async {
        while !children.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), appears).await.expect("the process did not start");
    let child = fs::read_to_string(children).unwrap().trim().to_owned();
    assert!(is_alive(&child));
    process.stop().await;
    wait_until("the child of the process goes on", || !is_alive(&child));
}

#[tokio::test]
async fn a_job_says_how_it_failed_and_a_missing_program_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    run_job(&place(folder.path()), &shell("exit 0"), &stop).await.unwrap();
    let error = run_job(&place(folder.path()), &shell("echo no database; exit 7"), &stop).await.unwrap_err();
    assert!(error.to_string().contains("ended with status 7"), "{error}");
    assert!(error.to_string().ends_with("and ends with: no database"), "{error}");
    let missing = Process { program: "/nowhere/novacrm-engine".into(), ..shell("") };
    let error = run_job(&place(folder.path()), &missing, &stop).await.unwrap_err();
    assert!(error.to_string().contains("there is no program /nowhere/novacrm-engine"), "{error}");
}

#[test]
fn a_process_ends_when_whoever_started_it_is_killed() {
    let operator = env!("CARGO_BIN_EXE_novacrm-operator");
    let script = format!("'{operator}' __exec TERM $$ -- /bin/sleep 1000 & echo $!; wait");
    let mut parent = Command::new("/bin/sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let child = line.trim().to_owned();
    wait_until("the program was not started", || {
        fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "sleep")
    });
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("the program goes on after its parent was killed", || !is_alive(&child));
}
