//! The NovaCRM operator: manifests in, Kubernetes objects or running processes out.
//!
//! Each kind is handled in named steps: `dereference → validate → build → status`. Validate and build are pure;
//! `render` prints what they build and `up` (feature `local`) runs it on this machine.

pub mod admission;
pub mod cli;
pub mod cluster;
pub mod compliance_policy;
pub mod condition;
pub mod crm_tenant;
#[cfg(feature = "local")]
pub mod local;
pub mod manifests;
pub mod pki;
pub mod render;
pub mod signing;
pub mod turns;
mod weight;
pub mod world;

use novacrm_crds::compliance_policy::PolicyProblem;

/// A problem that no file is known of: field path, what is wrong, how to mend it.
pub(crate) fn problem(path: &str, message: &str, hint: &str) -> PolicyProblem {
    PolicyProblem {
        path: path.to_owned(),
        message: message.to_owned(),
        hint: hint.to_owned(),
        file: None,
        line: None,
        column: None,
    }
}

/// `policies/a.yaml:3:5: spec.rules[0].action: message (hint)`
#[must_use]
pub fn in_words(problem: &PolicyProblem) -> String {
    let mut place = problem.file.clone().unwrap_or_default();
    for number in [problem.line, problem.column].into_iter().flatten() {
        place.push_str(&format!(":{number}"));
    }
    let path = if problem.path.is_empty() { String::new() } else { format!("{}: ", problem.path) };
    let place = if place.is_empty() { place } else { format!("{place}: ") };
    format!("{place}{path}{}\n  → {}", problem.message, problem.hint)
}
