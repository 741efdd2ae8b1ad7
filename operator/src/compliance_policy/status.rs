//! What became of a policy in, its status out. Pure: the time is handed in, and the status before, since a
//! condition's time moves only when its status flips.

use novacrm_crds::compliance_policy::{ActiveRevision, CompliancePolicyStatus, EngineCounts, PolicyProblem};
use novacrm_crds::conditions::{
    READY, REASON_ENFORCED, REASON_INVALID, REASON_NO_TENANT, REASON_PROPAGATING, REASON_VALID, RECONCILING,
    STALLED, VALIDATED,
};
use time::OffsetDateTime;

use crate::condition::{Conditions, rfc3339};

/// Most problems that a status lists.
const MAX_PROBLEMS: usize = 50;

/// What is known of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// `metadata.generation` of the object that was looked at.
    pub generation: i64,
    /// The revision that is in force, or would be if a tenant were selected.
    pub active: Option<ActiveRevision>,
    /// Why the spec was refused; empty when it was not.
    pub problems: Vec<PolicyProblem>,
    /// How many tenants the active revision applies to.
    pub tenants: usize,
    /// One per engine of those tenants.
    pub engines: Vec<EngineView>,
}

/// What one engine says of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineView {
    /// It serves the tenant's newest bundle, which holds the active revision; and since when.
    pub serving_since: Option<OffsetDateTime>,
}

/// The status of a policy.
#[must_use]
pub fn status(
    observed: &Observation,
    before: Option<&CompliancePolicyStatus>,
    now: OffsetDateTime,
) -> CompliancePolicyStatus {
    let empty = Vec::new();
    let mut conditions =
        Conditions::new(before.map_or(&empty, |before| &before.conditions), observed.generation, now);
    let valid = observed.problems.is_empty();
    let serving = observed.engines.iter().filter(|engine| engine.serving_since.is_some()).count();
    let engines = observed.engines.len();
    let propagated = serving == engines && (engines > 0 || observed.tenants == 0);

    if valid {
        conditions.set(VALIDATED, true, REASON_VALID, "The policy compiles and its tests pass.");
    } else {
        conditions.set(VALIDATED, false, REASON_INVALID, &summary(&observed.problems));
    }
    let version = observed.active.as_ref().map_or("", |active| active.version.as_str());
    if !valid {
        let kept = if version.is_empty() {
            "No revision is in force.".to_owned()
        } else {
            format!("Version {version} stays in force.")
        };
        conditions.set(READY, false, REASON_INVALID, &format!("The spec was refused. {kept}"));
        conditions.set(RECONCILING, false, REASON_INVALID, "Waiting for a change of the spec.");
        conditions.set(STALLED, true, REASON_INVALID, &summary(&observed.problems));
    } else if observed.tenants == 0 {
        let message = "The policy is valid and applies to no tenant.";
        conditions.set(READY, true, REASON_NO_TENANT, message);
        conditions.set(RECONCILING, false, REASON_NO_TENANT, message);
        conditions.set(STALLED, false, REASON_VALID, "The spec is accepted.");
    } else if propagated {
        let message = format!("Version {version} is enforced by {serving} of {engines} engines.");
        conditions.set(READY, true, REASON_ENFORCED, &message);
        conditions.set(RECONCILING, false, REASON_ENFORCED, &message);
        conditions.set(STALLED, false, REASON_VALID, "The spec is accepted.");
    } else {
        let message = format!("Version {version} is enforced by {serving} of {engines} engines.");
        conditions.set(READY, false, REASON_PROPAGATING, &message);
        conditions.set(RECONCILING, true, REASON_PROPAGATING, &message);
        conditions.set(STALLED, false, REASON_VALID, "The spec is accepted.");
    }

    let since = (serving == engines)
        .then(|| observed.engines.iter().filter_map(|engine| engine.serving_since).max().and_then(rfc3339));
    CompliancePolicyStatus {
        observed_generation: observed.generation,
        active: observed.active.clone(),
        engines: Some(EngineCounts {
            ready: u32::try_from(engines).unwrap_or(u32::MAX),
            serving: u32::try_from(serving).unwrap_or(u32::MAX),
            summary: format!("{serving}/{engines}"),
            since: since.flatten(),
        }),
        problems: observed.problems.iter().take(MAX_PROBLEMS).cloned().collect(),
        conditions: conditions.finish(),
    }
}

fn summary(problems: &[PolicyProblem]) -> String {
    let first = problems.first().map_or(String::new(), |first| format!("{}: {}", first.path, first.message));
    match problems.len() {
        0 | 1 => first,
        more => format!("{first} (and {} more)", more - 1),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const LATER: OffsetDateTime = datetime!(2026-11-22 13:00 UTC);

    fn observed() -> Observation {
        Observation {
            generation: 2,
            active: Some(ActiveRevision { version: "1.2.0".into(), digest: "sha256:00".into() }),
            problems: Vec::new(),
            tenants: 1,
            engines: vec![EngineView { serving_since: Some(NOW) }],
        }
    }

    fn broken() -> PolicyProblem {
        PolicyProblem {
            path: "spec.rules[0].action".into(),
            message: "is missing".into(),
            hint: "Add it.".into(),
            file: None,
            line: None,
            column: None,
        }
    }

    fn condition<'a>(status: &'a CompliancePolicyStatus, kind: &str) -> (&'a str, &'a str) {
        let found = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        (found.status.as_str(), found.reason.as_str())
    }

    #[test]
    fn each_situation_has_its_conditions() {
        let mut propagating = observed();
        propagating.engines.push(EngineView { serving_since: None });
        let starting = Observation { engines: Vec::new(), ..observed() };
        let unselected = Observation { tenants: 0, engines: Vec::new(), ..observed() };
        let invalid = Observation { problems: vec![broken()], ..observed() };
        // Observation → Ready, Reconciling, Stalled, Validated
        for (name, observation, ready, reconciling, stalled, validated) in [
            ("enforced", observed(), ("True", "Enforced"), "False", "False", "True"),
            ("propagating", propagating, ("False", "Propagating"), "True", "False", "True"),
            ("starting", starting, ("False", "Propagating"), "True", "False", "True"),
            ("unselected", unselected, ("True", "NoTenantSelected"), "False", "False", "True"),
            ("invalid", invalid, ("False", "Invalid"), "False", "True", "False"),
        ] {
            let status = status(&observation, None, NOW);
            assert_eq!(condition(&status, "Ready"), ready, "{name}");
            assert_eq!(condition(&status, "Reconciling").0, reconciling, "{name}");
            assert_eq!(condition(&status, "Stalled").0, stalled, "{name}");
            assert_eq!(condition(&status, "Validated").0, validated, "{name}");
            assert_eq!(status.observed_generation, 2, "{name}");
        }
    }

    #[test]
    fn a_refused_spec_says_where_and_keeps_the_former_revision() {
        let invalid = Observation { problems: vec![broken(), broken()], ..observed() };
        let status = status(&invalid, None, NOW);
        assert_eq!(status.problems.len(), 2);
        assert_eq!(status.active.as_ref().unwrap().version, "1.2.0");
        let stalled = status.conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap();
        assert_eq!(stalled.message, "spec.rules[0].action: is missing (and 1 more)");
    }

    #[test]
    fn a_transition_time_moves_only_when_the_status_flips() {
        let first = status(&observed(), None, NOW);
        let same = status(&observed(), Some(&first), LATER);
        assert_eq!(first.conditions, same.conditions);
        let broken = status(&Observation { problems: vec![broken()], ..observed() }, Some(&same), LATER);
        let time = |status: &CompliancePolicyStatus, kind: &str| {
            let found = status.conditions.iter().find(|condition| condition.type_ == kind);
            found.unwrap().last_transition_time.clone()
        };
        assert_ne!(time(&broken, "Ready"), time(&same, "Ready"));
        // `Reconciling` was `False` and stays it.
        assert_eq!(time(&broken, "Reconciling"), time(&same, "Reconciling"));
    }

    #[test]
    fn since_is_told_once_all_engines_serve() {
        let status_now = status(&observed(), None, LATER);
        assert_eq!(status_now.engines.unwrap().since.as_deref(), Some("2026-11-22T12:00:00Z"));
    }
}
