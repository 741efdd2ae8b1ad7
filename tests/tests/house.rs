//! Who may depend on whom. The list is the design's; a new arrow is a decision and belongs here first.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{Metadata, MetadataCommand};

/// What each crate may use of ours.
const ALLOWED: &[(&str, &[&str])] = &[
    ("novacrm-crds", &[]),
    ("novacrm-engine-wire", &[]),
    ("novacrm-api-domain", &[]),
    ("novacrm-service", &[]),
    ("novacrm-engine-core", &["novacrm-crds"]),
    ("novacrm-engine", &["novacrm-engine-core", "novacrm-engine-wire", "novacrm-crds", "novacrm-service"]),
    ("novacrm-operator", &["novacrm-crds", "novacrm-engine-core", "novacrm-engine-wire", "novacrm-service"]),
    ("novacrm-api-server", &["novacrm-api-domain", "novacrm-engine-wire", "novacrm-service"]),
];

/// What a crate must not have anywhere below it: it would no longer be what the design says it is.
const FORBIDDEN_BELOW: &[(&str, &[&str])] = &[
    ("novacrm-crds", &["tokio", "hyper", "tower", "kube-client", "kube-runtime"]),
    ("novacrm-engine-wire", &["tokio", "axum", "kube", "sqlx"]),
    ("novacrm-engine-core", &["tokio", "axum", "hyper", "kube-client", "sqlx", "reqwest"]),
    ("novacrm-api-domain", &["tokio", "axum", "hyper", "kube", "sqlx", "reqwest"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .exec()
        .unwrap()
}

#[test]
fn crates_of_ours_depend_only_on_those_the_design_allows() {
    let metadata = metadata();
    let ours: BTreeSet<_> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    for package in metadata.workspace_packages() {
        if package.name.as_str() == "novacrm-tests" {
            continue;
        }
        let allowed = allowed
            .get(package.name.as_str())
            .unwrap_or_else(|| panic!("{} is not in the list", package.name));
        for dependency in package.dependencies.iter().filter(|dependency| ours.contains(&dependency.name)) {
            assert!(
                allowed.contains(&dependency.name.as_str()),
                "{} must not depend on {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn the_inner_crates_have_no_runtime_and_no_framework_below_them() {
    for (crate_name, forbidden) in FORBIDDEN_BELOW {
        // The tree of the crate alone: with the whole workspace, features that others ask for would count.
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "--locked",
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--format",
                "{lib}",
            ])
            .args(["--package", crate_name])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8(output.stdout).unwrap();
        let below: BTreeSet<&str> = tree.lines().map(str::trim).collect();
        assert!(below.len() > 3, "{crate_name} has a tree: {tree}");
        for name in *forbidden {
            assert!(!below.contains(name.replace('-', "_").as_str()), "{crate_name} has {name} below it");
        }
    }
}
