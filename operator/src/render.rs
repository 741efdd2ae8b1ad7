//! What `build` made in, YAML documents out, in the order in which they are applied. Secrets are named and never
//! shown.

use std::fmt::Write as _;

use serde::Serialize;

use crate::crm_tenant::build::{Resources, SecretReference};

/// Why objects could not be written.
#[derive(Debug, thiserror::Error)]
#[error("an object cannot be written as YAML: {0}")]
pub struct RenderError(#[from] serde_yaml::Error);

/// Writes the objects of one tenant.
///
/// # Errors
/// When an object has no YAML, which objects of ours always have.
pub fn render(namespace: &str, resources: &Resources) -> Result<String, RenderError> {
    // Taken apart without `..`, so that a kind that was forgotten does not compile.
    let Resources {
        secrets,
        config_maps,
        service_accounts,
        roles,
        role_bindings,
        postgresql_clusters,
        jobs,
        deployments,
        horizontal_pod_autoscalers,
        services,
        ingresses,
        http_routes,
        service_monitors,
        network_policies,
        pod_disruption_budgets,
    } = resources;
    let mut out = String::new();
    let _ = writeln!(out, "# Tenant {namespace}. Secrets are made when absent and are never shown:");
    for SecretReference { name, keys } in secrets {
        let _ = writeln!(out, "#   Secret {namespace}/{name}: {}", keys.join(", "));
    }
    documents(&mut out, service_accounts)?;
    documents(&mut out, roles)?;
    documents(&mut out, role_bindings)?;
    documents(&mut out, network_policies)?;
    documents(&mut out, config_maps)?;
    documents(&mut out, postgresql_clusters)?;
    documents(&mut out, jobs)?;
    documents(&mut out, services)?;
    documents(&mut out, deployments)?;
    documents(&mut out, horizontal_pod_autoscalers)?;
    documents(&mut out, pod_disruption_budgets)?;
    documents(&mut out, ingresses)?;
    documents(&mut out, http_routes)?;
    documents(&mut out, service_monitors)?;
    Ok(out)
}

fn documents<T: Serialize>(out: &mut String, objects: &[T]) -> Result<(), RenderError> {
    for object in objects {
        out.push_str("---\n");
        out.push_str(&serde_yaml::to_string(object)?);
    }
    Ok(())
}
