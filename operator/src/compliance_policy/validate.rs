//! A policy and what it refers to in, a checked policy (or every problem) out. Pure; the checks are those of the
//! command line and of the engine, since they are the same code.

use novacrm_crds::CompliancePolicy;
use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_engine_core::policy::{CheckedPolicy, JUDGING_LIMIT, check_update, check_within, warm_up};
use novacrm_service::effort::Effort;

use crate::compliance_policy::dereference::Dereferenced;
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
    // The API server gives every policy a namespace; a file need not name one.
    if policy.metadata.namespace.is_none() {
        problems.push(problem(
            "metadata.namespace",
            "a policy needs a namespace",
            "Add `namespace` under `metadata`: that of a tenant, or that of the organisation's policies.",
        ));
    }
    // What was accepted once is in force, however long it takes.
    let is_new = dereferenced.accepted.as_ref() != Some(&policy.spec);
    warm_up();
    let effort = Effort::begin(JUDGING_LIMIT);
    let checked = check_within(policy, dereferenced.scope, &|| !is_new || !effort.is_spent());
    problems.extend(checked.as_ref().err().into_iter().flatten().cloned());
    if let Some(accepted) = &dereferenced.accepted
        && let Err(problem) = check_update(accepted, &policy.spec)
        && !problems.contains(&problem)
    {
        problems.push(problem);
    }
    match checked {
        Ok(checked) if problems.is_empty() => Ok(checked),
        _ => Err(problems),
    }
}
