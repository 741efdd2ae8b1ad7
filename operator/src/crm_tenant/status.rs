//! What became of a tenant in, its status out. Pure.

use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_crds::conditions::{
    READY, REASON_AUTHENTIC, REASON_AVAILABLE, REASON_FAILED, REASON_FOREIGN_BUNDLE, REASON_INVALID,
    REASON_PROGRESSING, REASON_SUSPENDED, REASON_VALID, RECONCILING, RULES_AUTHENTIC, STALLED,
};
use novacrm_crds::crm_tenant::{BundleReference, CrmTenantStatus, DumpReference, Migrated};
use time::OffsetDateTime;

use crate::condition::Conditions;

/// How far a part of a tenant is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It serves.
    Available,
    /// It serves, and the text says what somebody should know of it.
    AvailableWith(String),
    /// It is on its way; the text says what it waits for.
    Progressing(String),
    /// It failed and is tried again; the text says why.
    Failed(String),
    /// It cannot go on for a reason with a name of its own; the text says why and what mends it.
    Blocked(&'static str, String),
}

/// How long the status reports rules that somebody else wrote, after they were replaced.
pub const FOREIGN_IS_TOLD_FOR: time::Duration = time::Duration::minutes(10);

/// Whether the rules that were found where engines take them from were the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authenticity {
    /// This process has not looked yet; the condition stays as it is.
    Unknown,
    /// They were.
    Authentic,
    /// They were not; the text says what was found.
    Foreign(String),
}

impl Progress {
    /// Whether it serves.
    #[must_use]
    pub fn is_available(&self) -> bool {
        matches!(self, Self::Available | Self::AvailableWith(_))
    }
}

/// What is known of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// `metadata.generation` of the object that was looked at.
    pub generation: i64,
    /// The bundle its engines are given.
    pub bundle: Option<BundleReference>,
    /// What its databases were migrated to.
    pub migrated: Option<Migrated>,
    /// Where its last dump is, once that is whole.
    pub final_dump: Option<DumpReference>,
    /// The host names that it holds.
    pub hostnames: Vec<String>,
    /// Why the spec was refused; empty when it was not.
    pub problems: Vec<PolicyProblem>,
    /// Whether it is suspended, and nothing of it runs any more.
    pub suspended: bool,
    /// Whether the rules that its engines are given were the operator's.
    pub rules: Authenticity,
    /// `Database`, `Engine`, `Api`, and how far each is.
    pub parts: Vec<(&'static str, Progress)>,
}

impl Observation {
    /// What is known of a tenant before anything is looked at: what its status told.
    #[must_use]
    pub fn of(generation: i64, before: Option<&CrmTenantStatus>) -> Self {
        Self {
            generation,
            bundle: before.and_then(|before| before.bundle.clone()),
            migrated: before.and_then(|before| before.migrated.clone()),
            final_dump: before.and_then(|before| before.final_dump.clone()),
            hostnames: before.map(|before| before.hostnames.clone()).unwrap_or_default(),
            problems: Vec::new(),
            suspended: false,
            rules: Authenticity::Unknown,
            parts: Vec::new(),
        }
    }
}

/// The status of a tenant.
#[must_use]
pub fn status(
    observed: &Observation,
    before: Option<&CrmTenantStatus>,
    now: OffsetDateTime,
) -> CrmTenantStatus {
    let empty = Vec::new();
    let mut conditions =
        Conditions::new(before.map_or(&empty, |before| &before.conditions), observed.generation, now);
    let mut waiting = Vec::new();
    let mut failed = Vec::new();
    for (part, progress) in &observed.parts {
        match progress {
            Progress::Available => conditions.set(part, true, REASON_AVAILABLE, "It serves."),
            Progress::AvailableWith(note) => conditions.set(part, true, REASON_AVAILABLE, note),
            Progress::Progressing(what) => {
                conditions.set(part, false, REASON_PROGRESSING, what);
                waiting.push(format!("{part}: {what}"));
            }
            Progress::Failed(why) => {
                conditions.set(part, false, REASON_FAILED, why);
                failed.push((REASON_FAILED, format!("{part}: {why}")));
            }
            Progress::Blocked(reason, why) => {
                conditions.set(part, false, reason, why);
                failed.push((reason, format!("{part}: {why}")));
            }
        }
    }
    tell_authenticity(&mut conditions, &observed.rules, before, now);
    let invalid = observed.problems.first().map(|first| {
        format!("The spec was refused: {}: {}. What ran before goes on.", first.path, first.message)
    });
    let accepted = "The spec is accepted.";
    match &invalid {
        Some(why) => conditions.set(STALLED, true, REASON_INVALID, why),
        None => conditions.set(STALLED, false, REASON_VALID, accepted),
    }
    let worst = failed.first().map(|(reason, _)| *reason);
    let unfinished: Vec<String> = failed.into_iter().map(|(_, why)| why).chain(waiting).collect();
    let unfinished = unfinished.join("; ");
    if let Some(why) = &invalid {
        conditions.set(READY, false, REASON_INVALID, why);
        conditions.set(RECONCILING, false, REASON_INVALID, "Waiting for a change of the spec.");
    } else if !unfinished.is_empty() {
        let reason = worst.unwrap_or(REASON_PROGRESSING);
        conditions.set(READY, false, reason, &unfinished);
        conditions.set(RECONCILING, true, reason, &unfinished);
    } else {
        // Suspended is what was asked for; were it not ready, whoever waits for it would wait for ever.
        let (reason, message) = if observed.suspended {
            (REASON_SUSPENDED, "The tenant is suspended: nothing runs, its data is kept.")
        } else {
            (REASON_AVAILABLE, "All parts of the tenant are available.")
        };
        conditions.set(READY, true, reason, message);
        conditions.set(RECONCILING, false, reason, message);
    }
    CrmTenantStatus {
        observed_generation: observed.generation,
        bundle: observed.bundle.clone(),
        migrated: observed.migrated.clone(),
        final_dump: observed.final_dump.clone(),
        hostnames: observed.hostnames.clone(),
        conditions: conditions.finish(),
    }
}

/// Sets the condition about foreign bundles. It stays `False` for [`FOREIGN_IS_TOLD_FOR`] after one was replaced, so that
/// people see it.
fn tell_authenticity(
    conditions: &mut Conditions<'_>,
    rules: &Authenticity,
    before: Option<&CrmTenantStatus>,
    now: OffsetDateTime,
) {
    let before = before
        .and_then(|before| before.conditions.iter().find(|condition| condition.type_ == RULES_AUTHENTIC));
    let is_recent = |condition: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        let since = now.unix_timestamp().saturating_sub(condition.last_transition_time.0.as_second());
        condition.status == "False" && since < FOREIGN_IS_TOLD_FOR.whole_seconds()
    };
    match (rules, before) {
        (Authenticity::Foreign(what), _) => {
            conditions.set(RULES_AUTHENTIC, false, REASON_FOREIGN_BUNDLE, what);
        }
        (Authenticity::Authentic, before) => match before.filter(is_recent) {
            Some(before) => conditions.set(RULES_AUTHENTIC, false, &before.reason, &before.message),
            None => conditions.set(
                RULES_AUTHENTIC,
                true,
                REASON_AUTHENTIC,
                "The engines are given rules that the operator signed.",
            ),
        },
        (Authenticity::Unknown, Some(before)) => {
            conditions.set(RULES_AUTHENTIC, before.status == "True", &before.reason, &before.message);
        }
        (Authenticity::Unknown, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn ready(parts: Vec<(&'static str, Progress)>, problems: Vec<PolicyProblem>) -> (String, String, String) {
        let observed = Observation { problems, parts, ..Observation::of(1, None) };
        let status = status(&observed, None, NOW);
        let of = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        (of(READY).status.clone(), of(READY).reason.clone(), of(READY).message.clone())
    }

    #[test]
    fn ready_follows_the_least_ready_part() {
        let up = ("Engine", Progress::Available);
        let (status, reason, _) = ready(vec![up.clone(), ("Api", Progress::Available)], vec![]);
        assert_eq!((status.as_str(), reason.as_str()), ("True", "Available"));
        let starting = ("Api", Progress::Progressing("starting".into()));
        let (status, reason, message) = ready(vec![up.clone(), starting.clone()], vec![]);
        assert_eq!(
            (status.as_str(), reason.as_str(), message.as_str()),
            ("False", "Progressing", "Api: starting")
        );
        let broken = ("Engine", Progress::Failed("it ended with status 1".into()));
        let (status, reason, message) = ready(vec![broken, starting], vec![]);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "Failed"));
        assert_eq!(message, "Engine: it ended with status 1; Api: starting");
    }

    #[test]
    fn a_blocked_part_names_its_reason() {
        let blocked = ("Database", Progress::Blocked("ForeignData", "they are another tenant's".into()));
        let (status, reason, message) = ready(vec![("Engine", Progress::Available), blocked], vec![]);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "ForeignData"));
        assert_eq!(message, "Database: they are another tenant's");
    }

    #[test]
    fn a_suspended_tenant_is_ready_and_says_so() {
        let observed = Observation { suspended: true, ..Observation::of(1, None) };
        let status = status(&observed, None, NOW);
        let ready = status.conditions.iter().find(|condition| condition.type_ == READY).unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "Suspended"));
    }

    #[test]
    fn foreign_rules_are_told_for_a_while_and_change_nothing_of_ready() {
        let of = |rules: Authenticity, before: Option<&CrmTenantStatus>, now: OffsetDateTime| {
            let status = status(&Observation { rules, ..Observation::of(1, before) }, before, now);
            let found =
                status.conditions.iter().find(|condition| condition.type_ == RULES_AUTHENTIC).cloned();
            assert!(status.conditions.iter().any(|one| one.type_ == READY && one.status == "True"));
            (status, found.map(|condition| (condition.status, condition.reason)))
        };
        let told = |status: &str, reason: &str| Some((status.to_owned(), reason.to_owned()));
        let (nothing, condition) = of(Authenticity::Unknown, None, NOW);
        assert_eq!(condition, None);
        let (well, condition) = of(Authenticity::Authentic, Some(&nothing), NOW);
        assert_eq!(condition, told("True", "Authentic"));
        let (foreign, condition) =
            of(Authenticity::Foreign("it was not signed".to_owned()), Some(&well), NOW);
        assert_eq!(condition, told("False", "ForeignBundle"));
        // Also by a process that knows of it from the status alone.
        for rules in [Authenticity::Unknown, Authenticity::Authentic] {
            let (soon, condition) = of(rules, Some(&foreign), NOW + time::Duration::minutes(9));
            assert_eq!(condition, told("False", "ForeignBundle"));
            assert!(soon.conditions.iter().any(|one| one.message == "it was not signed"));
        }
        let (_, condition) = of(Authenticity::Authentic, Some(&foreign), NOW + FOREIGN_IS_TOLD_FOR);
        assert_eq!(condition, told("True", "Authentic"));
    }

    #[test]
    fn a_refused_spec_is_stalled_and_says_where() {
        let problem = crate::problem("spec.database", "is missing", "Add it.");
        let (status, reason, message) = ready(vec![("Engine", Progress::Available)], vec![problem]);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "Invalid"));
        assert!(message.contains("spec.database"), "{message}");
    }
}
