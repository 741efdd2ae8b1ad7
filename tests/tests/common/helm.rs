//! Arguments of Helm in, what it said and rendered out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use novacrm_tests::system::repository;
use novacrm_tests::tools::go_tool;
use serde::Deserialize;
use serde_json::Value;

/// A release that the charts are rendered for when nothing else is meant.
pub const RELEASE: &str = "novacrm-operator";
/// Its namespace.
pub const NAMESPACE: &str = "novacrm-system";

/// Both generations of Helm: command-line users have the fourth, Terraform's provider embeds the third.
pub const GENERATIONS: [&str; 2] = ["helm", "helm3"];

/// A Helm, without the configuration of whoever runs the tests.
#[derive(Clone)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
}

impl Helm {
    /// `helm` (4) or `helm3`.
    pub fn new(generation: &str) -> Self {
        Self { program: go_tool(generation).unwrap(), kubeconfig: None }
    }

    /// The same, for a cluster.
    pub fn on(mut self, kubeconfig: &Path) -> Self {
        self.kubeconfig = Some(kubeconfig.to_owned());
        self
    }

    /// Runs it.
    pub fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Output {
        let home = tempfile::tempdir().unwrap();
        let none = home.path().join("no-cluster");
        Command::new(&self.program)
            .args(arguments.iter().map(AsRef::as_ref))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("KUBECONFIG", self.kubeconfig.as_ref().unwrap_or(&none))
            .current_dir(repository())
            .output()
            .unwrap()
    }

    /// Runs it and returns what it printed.
    pub fn ok<S: AsRef<str>>(&self, arguments: &[S]) -> String {
        let output = self.run(arguments);
        let words: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
        assert!(output.status.success(), "{}: {}", words.join(" "), said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it and returns why it refused.
    pub fn refused<S: AsRef<str>>(&self, arguments: &[S]) -> String {
        let output = self.run(arguments);
        let words: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
        assert!(!output.status.success(), "{} went well", words.join(" "));
        said(&output)
    }

    /// What a chart renders, as text.
    pub fn render(&self, chart: &str, arguments: &[&str]) -> String {
        // A Helm built from source knows no Kubernetes version by itself.
        let fixed = ["template", RELEASE, chart, "--namespace", NAMESPACE, "--kube-version", "1.36.0"];
        self.ok(&[fixed.as_slice(), arguments].concat())
    }

    /// What a chart renders.
    pub fn objects(&self, chart: &str, arguments: &[&str]) -> Vec<Value> {
        documents(&self.render(chart, arguments))
    }
}

/// The documents of a YAML text.
pub fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|document| !document.is_null())
        .collect()
}

/// The object of this kind and name.
pub fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

/// What a role grants, as `group/resource verb`.
pub fn grants(role: &Value) -> BTreeSet<String> {
    let list = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in list(&rule["apiGroups"]) {
            for resource in list(&rule["resources"]) {
                granted.extend(list(&rule["verbs"]).iter().map(|verb| format!("{group}/{resource} {verb}")));
            }
        }
    }
    granted
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
