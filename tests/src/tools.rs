//! The name of a tool in, the path of its program out; built first where this machine has none yet.
//!
//! The versions stand in `scripts/go-tool` and `tests/cluster/*/go.mod`; the programs in the user's cache folder.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::system::repository;

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The script that builds it could not be started.
    #[error("scripts/{script} could not be started: {source}")]
    Start {
        /// Which script.
        script: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The script failed; it said why on standard error.
    #[error("scripts/{script} {} failed ({status}): see what it said above", arguments.join(" "))]
    Failed {
        /// Which script.
        script: &'static str,
        /// With what.
        arguments: Vec<String>,
        /// How it ended.
        status: std::process::ExitStatus,
    },
}

/// A program that is written in Go and not ours: `helm` (4), `helm3`, `kubeconform`, `coredns`, `crdify`.
///
/// # Errors
/// When it cannot be built.
pub fn go_tool(name: &str) -> Result<PathBuf, ToolError> {
    run("go-tool", &[name])
}

/// The folder of a Kubernetes control plane's programs: that named in `KUBEBUILDER_ASSETS`, else that of the Go
/// module in `tests/cluster/<release>`.
///
/// # Errors
/// When it cannot be built.
pub fn kubernetes(release: &str) -> Result<PathBuf, ToolError> {
    match std::env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()) {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => run("kubernetes", &[&format!("tests/cluster/{release}")]),
    }
}

/// The folder of the programs of a control plane and of a node, of the newest release that the tests know.
///
/// # Errors
/// When they cannot be built.
pub fn kubernetes_with_node() -> Result<PathBuf, ToolError> {
    run("kubernetes", &["--node"])
}

/// Runs a script of ours, which prints a path; what it builds shows its progress.
fn run(script: &'static str, arguments: &[&str]) -> Result<PathBuf, ToolError> {
    let output = Command::new(repository().join("scripts").join(script))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| ToolError::Start { script, source })?;
    if !output.status.success() {
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        return Err(ToolError::Failed { script, arguments, status: output.status });
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
}
