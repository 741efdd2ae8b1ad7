//! Arguments of kubectl in, what it said out.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use novacrm_tests::cluster::{ControlPlane, KUBECONFIG, KUBECTL};
use novacrm_tests::system::repository;
use serde_json::Value;

/// A kubectl that acts as whoever its kubeconfig names.
pub struct Kubectl {
    pub program: PathBuf,
    pub kubeconfig: PathBuf,
}

impl Kubectl {
    /// As the administrator of a control plane.
    pub fn of(plane: &ControlPlane) -> Self {
        Self { program: plane.kubectl(), kubeconfig: plane.kubeconfig() }
    }

    /// As the administrator of the cluster that the environment names; `kubectl` of the path where none is named.
    pub fn of_environment() -> Self {
        let named =
            |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        let kubeconfig = named(KUBECONFIG).unwrap_or_else(|| panic!("{KUBECONFIG} names no cluster"));
        Self { program: named(KUBECTL).unwrap_or_else(|| PathBuf::from("kubectl")), kubeconfig }
    }

    /// Runs it, with a text on standard input.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .current_dir(repository())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs it and returns what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, "")
    }

    /// The same, with a text on standard input.
    pub fn ok_with(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(
            output.status.success(),
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it and returns why it was refused.
    pub fn refused(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(!output.status.success(), "kubectl {} went well", arguments.join(" "));
        String::from_utf8(output.stderr).unwrap()
    }

    /// An object, or a list of objects.
    pub fn get(&self, what: &[&str]) -> Value {
        let text = self.ok(&[&["get", "--output", "json"], what].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// The names of objects, as `<kind>/<name>`.
    pub fn names(&self, what: &[&str]) -> Vec<String> {
        let text = self.ok(&[&["get", "--output", "name"], what].concat());
        text.lines().map(str::to_owned).collect()
    }
}
