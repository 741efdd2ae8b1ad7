//! Who may depend on whom. The list is the design's; a new arrow is a decision and belongs here first.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

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
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().unwrap();
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let names: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    for (crate_name, forbidden) in FORBIDDEN_BELOW {
        let root = metadata.packages.iter().find(|package| package.name.as_str() == *crate_name).unwrap();
        let mut seen = BTreeSet::new();
        let mut open = vec![&root.id];
        while let Some(id) = open.pop() {
            for dependency in &nodes[id].deps {
                let normal = dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
                if normal && seen.insert(&dependency.pkg) {
                    open.push(&dependency.pkg);
                }
            }
        }
        let below: BTreeSet<_> = seen.iter().map(|id| names[*id]).collect();
        for name in *forbidden {
            assert!(!below.contains(name), "{crate_name} has {name} below it");
        }
    }
}
