//! The command line: what it says when something is in the way, and with which exit code.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

const TENANT: &str = include_str!("tenant.yaml");

/// The operator in a folder of its own, beside programs that are there and do nothing.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(programs: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Copied by another process: a file that this one has open for writing cannot be run, and a test in
        // another thread may start a child at that very moment, which inherits the file.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_novacrm-operator"))
            .arg(folder.path().join("novacrm-operator"))
            .status()
            .unwrap();
        assert!(copied.success());
        for program in programs {
            let path = folder.path().join(program);
            fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir(folder.path().join("manifests")).unwrap();
        fs::write(folder.path().join("manifests/tenant.yaml"), TENANT).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(self.path("novacrm-operator"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .output()
            .unwrap()
    }
}

fn said(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const BOTH: [&str; 2] = ["novacrm-engine", "novacrm-api-server"];

#[test]
fn a_port_in_use_is_named_with_the_option_that_names_another() {
    let bench = Bench::new(&BOTH);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, text) = said(&bench.run(&["up", "-f", "manifests", "--port", &port]));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains(&format!("port {port} is in use")) && text.contains("--port"), "{text}");
}

#[test]
fn a_missing_program_is_named() {
    let bench = Bench::new(&BOTH[..1]);
    let (code, text) = said(&bench.run(&["up", "-f", "manifests"]));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("novacrm-api-server") && text.contains("cargo build"), "{text}");
}

#[test]
fn a_front_end_that_was_not_built_is_named() {
    let bench = Bench::new(&BOTH);
    let (code, text) = said(&bench.run(&["up", "-f", "manifests", "--static-dir", "out"]));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("./task frontend:build"), "{text}");
}

#[test]
fn a_damaged_data_folder_is_named_and_left_alone() {
    let bench = Bench::new(&BOTH);
    let data = bench.path("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("novacrm-data"), "NovaCRM data, layout 1\n").unwrap();
    fs::write(data.join("memory.json"), "{ half").unwrap();
    let port = free_port();
    let (code, text) = said(&bench.run(&["up", "-f", "manifests", "--data-dir", "data", "--port", &port]));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("memory.json is damaged"), "{text}");
    assert_eq!(fs::read_to_string(data.join("memory.json")).unwrap(), "{ half");
}

#[test]
fn a_data_folder_of_somebody_else_is_neither_used_nor_deleted() {
    let bench = Bench::new(&BOTH);
    fs::create_dir(bench.path("letters")).unwrap();
    fs::write(bench.path("letters/dear.txt"), "dear").unwrap();
    for arguments in [
        ["up", "-f", "manifests", "--data-dir", "letters"].as_slice(),
        &["reset", "--yes", "--data-dir", "letters"],
    ] {
        let (code, text) = said(&bench.run(arguments));
        assert_eq!(code, 4, "{text}");
        assert!(text.contains("is no data folder of NovaCRM"), "{text}");
    }
    assert!(bench.path("letters/dear.txt").exists());
}

#[test]
fn reset_asks_and_deletes_and_refuses_while_the_folder_is_in_use() {
    let bench = Bench::new(&BOTH);
    let data = bench.path("data");
    let held = novacrm_operator::local::data_dir::DataDir::open(&data).unwrap();
    let (code, text) = said(&bench.run(&["reset", "--yes", "--data-dir", "data"]));
    assert_eq!(code, 4);
    assert!(text.contains("another `up` is using"), "{text}");
    drop(held);
    let (code, text) = said(&bench.run(&["reset", "--data-dir", "data"]));
    assert_eq!(code, 2, "nobody can be asked without a terminal: {text}");
    assert!(data.exists());
    assert_eq!(bench.run(&["reset", "--yes", "--data-dir", "data"]).status.code(), Some(0));
    assert!(!data.exists());
}

#[test]
fn refused_manifests_have_a_code_of_their_own_and_say_where() {
    let bench = Bench::new(&[]);
    fs::write(bench.path("manifests/tenant.yaml"), TENANT.replace("locale: fr", "locale: de")).unwrap();
    let (code, text) = said(&bench.run(&["render", "-f", "manifests"]));
    assert_eq!(code, 3);
    assert!(text.contains("manifests/tenant.yaml:") && text.contains("spec.locale"), "{text}");
}

#[test]
fn render_prints_objects_that_can_be_read_again() {
    let bench = Bench::new(&[]);
    let output = bench.run(&["render", "-f", "manifests"]);
    assert_eq!(output.status.code(), Some(0));
    let kinds = kinds_in(&output.stdout);
    for kind in ["ServiceAccount", "NetworkPolicy", "ConfigMap", "Job", "Service", "Deployment"] {
        assert!(kinds.iter().any(|found| found == kind), "no {kind} among {kinds:?}");
    }
}

#[test]
fn crds_prints_both_definitions_or_writes_their_files() {
    let bench = Bench::new(&[]);
    assert_eq!(
        kinds_in(&bench.run(&["crds"]).stdout),
        ["CustomResourceDefinition", "CustomResourceDefinition"]
    );
    fs::create_dir(bench.path("yaml")).unwrap();
    assert_eq!(bench.run(&["crds", "--output-dir", "yaml"]).status.code(), Some(0));
    assert!(bench.path("yaml/novacrm.io_crmtenants.yaml").exists());
}

#[test]
fn status_without_a_run_says_so_and_a_wrong_option_is_a_usage_error() {
    let bench = Bench::new(&[]);
    let (code, text) = said(&bench.run(&["status", "--data-dir", "data"]));
    assert_eq!(code, 4);
    assert!(text.contains("nothing was run yet"), "{text}");
    assert_eq!(bench.run(&["up", "--colour"]).status.code(), Some(2));
    assert_eq!(bench.run(&["--help"]).status.code(), Some(0));
}

fn kinds_in(yaml: &[u8]) -> Vec<String> {
    use serde::Deserialize as _;
    serde_yaml::Deserializer::from_slice(yaml)
        .map(|document| serde_yaml::Value::deserialize(document).unwrap())
        .filter_map(|document| document.get("kind").and_then(|kind| kind.as_str()).map(str::to_owned))
        .collect()
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}
