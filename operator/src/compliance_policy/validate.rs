//! A policy and what it refers to in, a checked policy (or every problem) out. Pure; the checks are those of the
//! command line and of the engine, since they are the same code.

use novacrm_crds::CompliancePolicy;
use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_engine_core::policy::{CheckedPolicy, check, check_update};

use crate::compliance_policy::dereference::Dereferenced;
use crate::crm_tenant::validate::{is_label, is_subdomain};
use crate::problem;

/// Judges a policy: its names, its content, its own tests, and that its version grew with its content.
///
/// # Errors
/// Every problem, with field paths and without values.
pub fn validate(
    policy: &CompliancePolicy,
    dereferenced: &Dereferenced,
) -> Result<CheckedPolicy, Vec<PolicyProblem>> {
    let mut problems = Vec::new();
    if !is_label(policy.metadata.namespace.as_deref().unwrap_or_default()) {
        problems.push(problem(
            "metadata.namespace",
            "a policy needs a namespace",
            "Add `namespace` under `metadata`: that of a tenant, or that of the organisation's policies.",
        ));
    }
    if !is_subdomain(policy.metadata.name.as_deref().unwrap_or_default()) {
        problems.push(problem(
            "metadata.name",
            "this is not a name of an object",
            "Use lower-case letters, digits, hyphens and dots, and begin and end with a letter or digit.",
        ));
    }
    if let Some(accepted) = &dereferenced.accepted {
        problems.extend(check_update(accepted, &policy.spec).err());
    }
    match check(policy, dereferenced.scope) {
        Ok(checked) if problems.is_empty() => Ok(checked),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}
