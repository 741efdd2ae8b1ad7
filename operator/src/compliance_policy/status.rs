//! What became of a policy in, its status out. Pure: the time is handed in, and the status before, since a
//! condition's time moves only when its status flips.

use novacrm_crds::compliance_policy::{
    ActiveRevision, CompliancePolicyStatus, EngineBehind, EngineCounts, PolicyProblem,
};
use novacrm_crds::conditions::{
    BREAK_GLASS, READY, REASON_BREAK_GLASS, REASON_ENFORCED, REASON_INVALID, REASON_NO_TENANT,
    REASON_PROPAGATING, REASON_VALID, RECONCILING, STALLED, VALIDATED,
};
use novacrm_engine_core::policy::CheckedPolicy;
use novacrm_engine_wire::BundleStatus;
use time::OffsetDateTime;

use crate::condition::{Conditions, rfc3339};

/// Most problems that a status lists.
const MAX_PROBLEMS: usize = 50;
/// Most engines that a status names.
const MAX_BEHIND: usize = 20;
/// Longest reason for one of them, in characters.
const MAX_REASON: usize = 500;

/// What is known of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// `metadata.generation` of the object that was looked at.
    pub generation: i64,
    /// The revision that is in force, or would be if a tenant were selected.
    pub active: Option<ActiveRevision>,
    /// Why the spec was refused; empty when it was not.
    pub problems: Vec<PolicyProblem>,
    /// Whether the present version was applied past git.
    pub break_glass: bool,
    /// How many tenants the active revision applies to.
    pub tenants: usize,
    /// One per Ready engine of those tenants.
    pub engines: Vec<EngineView>,
    /// Those of the tenants that should have an engine and have no Ready one.
    pub silent: Vec<String>,
}

/// What one engine says of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineView {
    /// Namespace of its tenant.
    pub namespace: String,
    /// Its pod.
    pub pod: String,
    /// Whether it serves the revision.
    pub serving: Serving,
}

/// Whether an engine serves a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// It does.
    Since(OffsetDateTime),
    /// It does not.
    Behind {
        /// The version of the policy that it serves instead.
        version: Option<String>,
        /// Why.
        reason: String,
    },
}

/// Whether an engine that says this of itself serves the active revision of a policy. `away` is why it cannot be
/// asked, when it cannot.
#[must_use]
pub fn serving(active: &CheckedPolicy, reported: Option<&BundleStatus>, away: Option<&str>) -> Serving {
    let bundle = reported.and_then(|status| status.bundle.as_ref());
    let version = bundle
        .and_then(|bundle| {
            bundle
                .policies
                .iter()
                .find(|one| one.namespace == active.namespace() && one.name == active.name())
        })
        .map(|policy| policy.version.clone());
    let since = reported.and_then(|status| status.since);
    if let (true, Some(since)) = (version.as_deref() == Some(&active.spec().version), since) {
        return Serving::Since(since);
    }
    let refused = reported.and_then(|status| status.last_error.as_ref());
    let reason = match (away, refused) {
        (Some(why), _) => why.to_owned(),
        (None, Some(error)) => format!("it refused bundle {}: {}", error.digest, error.message),
        (None, None) if reported.is_none() => "it has not answered yet".to_owned(),
        (None, None) => "it has not taken the bundle over yet".to_owned(),
    };
    Serving::Behind { version, reason }
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
    let since: Vec<OffsetDateTime> = observed
        .engines
        .iter()
        .filter_map(|engine| match engine.serving {
            Serving::Since(since) => Some(since),
            Serving::Behind { .. } => None,
        })
        .collect();
    let (serving, engines) = (since.len(), observed.engines.len());
    let propagated = serving == engines && (engines > 0 || observed.tenants == 0);

    if valid {
        conditions.set(VALIDATED, true, REASON_VALID, "The policy compiles and its tests pass.");
    } else {
        conditions.set(VALIDATED, false, REASON_INVALID, &summary(&observed.problems));
    }
    if observed.break_glass {
        let message = "This version was applied past git, which holds another one.";
        conditions.set(BREAK_GLASS, true, REASON_BREAK_GLASS, message);
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

    // Pods come and go, and a pod counts from its newest bundle; the revision is in force since all had it first.
    let known = before
        .filter(|before| before.active == observed.active)
        .and_then(|before| before.engines.as_ref()?.since.clone());
    let since = (propagated && engines > 0)
        .then(|| known.or_else(|| since.iter().max().copied().and_then(rfc3339)))
        .flatten();
    let (behind, oldest) = behind(observed);
    CompliancePolicyStatus {
        observed_generation: observed.generation,
        active: observed.active.clone(),
        engines: Some(EngineCounts {
            ready: u32::try_from(engines).unwrap_or(u32::MAX),
            serving: u32::try_from(serving).unwrap_or(u32::MAX),
            summary: format!("{serving}/{engines}"),
            since,
            oldest,
            behind,
        }),
        problems: observed.problems.iter().take(MAX_PROBLEMS).cloned().collect(),
        conditions: conditions.finish(),
    }
}

/// The engines that do not serve the revision, and the oldest version among them.
fn behind(observed: &Observation) -> (Vec<EngineBehind>, Option<String>) {
    let mut oldest: Option<&str> = None;
    let mut found: Vec<EngineBehind> = observed
        .silent
        .iter()
        .map(|namespace| EngineBehind {
            namespace: namespace.clone(),
            pod: None,
            reason: "no engine of this tenant is Ready".to_owned(),
        })
        .collect();
    for engine in &observed.engines {
        let Serving::Behind { version, reason } = &engine.serving else { continue };
        if let Some(version) = version.as_deref()
            && oldest.is_none_or(|oldest| semver(version) < semver(oldest))
        {
            oldest = Some(version);
        }
        found.push(EngineBehind {
            namespace: engine.namespace.clone(),
            pod: Some(engine.pod.clone()),
            reason: reason.chars().take(MAX_REASON).collect(),
        });
    }
    found.sort();
    found.truncate(MAX_BEHIND);
    (found, oldest.map(str::to_owned))
}

/// Orders versions; what is none comes first.
fn semver(version: &str) -> Option<semver::Version> {
    version.parse().ok()
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
            break_glass: false,
            tenants: 1,
            engines: vec![engine(Serving::Since(NOW))],
            silent: Vec::new(),
        }
    }

    fn engine(serving: Serving) -> EngineView {
        EngineView { namespace: "acme".into(), pod: "engine-0".into(), serving }
    }

    fn old(version: &str) -> EngineView {
        engine(Serving::Behind { version: Some(version.into()), reason: "it refuses the bundle".into() })
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
        propagating.engines.push(old("1.1.0"));
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
    fn engines_that_do_not_serve_the_revision_are_named_and_hide_no_others() {
        let mut mixed = observed();
        mixed.engines.extend([old("1.10.0"), old("1.9.0")]);
        mixed.silent.push("broken".into());
        let engines = status(&mixed, None, NOW).engines.unwrap();
        assert_eq!((engines.summary.as_str(), engines.oldest.as_deref()), ("1/3", Some("1.9.0")));
        assert_eq!(engines.since, None);
        let named: Vec<_> =
            engines.behind.iter().map(|one| (one.namespace.as_str(), one.pod.as_deref())).collect();
        assert_eq!(named, [("acme", Some("engine-0")), ("acme", Some("engine-0")), ("broken", None)]);
        let mut silent = observed();
        silent.silent.push("broken".into());
        let status = status(&silent, None, NOW);
        assert_eq!(condition(&status, "Ready"), ("True", "Enforced"));
        assert_eq!(status.engines.unwrap().behind.len(), 1);
    }

    #[test]
    fn a_pod_that_comes_later_does_not_move_since_when_the_revision_is_in_force() {
        let first = status(&observed(), None, NOW);
        let later = Observation { engines: vec![engine(Serving::Since(LATER))], ..observed() };
        let second = status(&later, Some(&first), LATER);
        assert_eq!(second.engines.unwrap().since.as_deref(), Some("2026-11-22T12:00:00Z"));
    }

    #[test]
    fn since_is_told_once_all_engines_serve() {
        let status_now = status(&observed(), None, LATER);
        assert_eq!(status_now.engines.unwrap().since.as_deref(), Some("2026-11-22T12:00:00Z"));
    }
}
