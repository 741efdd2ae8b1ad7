//! A policy's exceptions in; which of its rules are waived for a request at a moment, or every problem, out.
//!
//! The moment is handed in with the request, so an exception ends in every engine by that engine's clock and nobody
//! has to touch the object. One that has ended is no problem: the policy may keep it.

use std::collections::HashSet;
use std::sync::Arc;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::problem::{PolicyProblem, named, nearest, problem};
use crate::bundle::BundledPolicy;

/// A waiver of rules of one policy, ready to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionInfo {
    /// Identifier within the policy.
    pub id: String,
    /// The rules it waives, by id.
    pub rules: Vec<String>,
    /// Registered uses of AI it is for; all requests when empty.
    pub use_cases: Vec<String>,
    /// Roles it is for; all when empty.
    pub roles: Vec<String>,
    /// Where the decision is documented.
    pub ticket: String,
    /// When it ends, in UTC.
    pub expires_at: OffsetDateTime,
}

impl ExceptionInfo {
    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_active(&self, now: OffsetDateTime) -> bool {
        now < self.expires_at
    }

    /// Whether it is for requests of a registered use of AI and a role.
    pub(crate) fn is_for(&self, use_case: Option<&str>, role: Option<&str>) -> bool {
        let fits = |wanted: &[String], given: Option<&str>| {
            wanted.is_empty() || given.is_some_and(|given| wanted.iter().any(|one| one == given))
        };
        fits(&self.use_cases, use_case) && fits(&self.roles, role)
    }
}

/// Reads `expiresAt`: an RFC 3339 date and time, as UTC.
#[must_use]
pub fn expiry(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)
}

/// The problem of a `date-time` that is none, in the words that schema and engine share.
pub(super) fn no_moment(path: &str) -> PolicyProblem {
    problem(
        path,
        "this is not a date and time",
        "Use RFC 3339 with a zone, such as `2027-06-30T22:00:00Z` or `2027-07-01T00:00:00+02:00`.",
    )
}

/// What decides of a policy's exceptions.
pub(super) fn compile(policy: &BundledPolicy, problems: &mut Vec<PolicyProblem>) -> Vec<Arc<ExceptionInfo>> {
    let rules: Vec<&str> = policy.rules.iter().map(|rule| rule.id.as_str()).collect();
    let mut ids = HashSet::new();
    let mut compiled = Vec::with_capacity(policy.exceptions.len());
    for (index, exception) in policy.exceptions.iter().enumerate() {
        let path = format!("spec.exceptions[{index}]");
        if !ids.insert(exception.id.as_str()) {
            problems.push(problem(
                format!("{path}.id"),
                format!("another exception of this policy has the id `{}`", named(&exception.id)),
                "Give each exception an id of its own; records refer to exceptions by it.",
            ));
        }
        let mut listed = HashSet::new();
        for (position, id) in exception.rules.iter().enumerate() {
            let path = format!("{path}.rules[{position}]");
            if !rules.contains(&id.as_str()) {
                let hint = match nearest(id, rules.iter().copied()) {
                    Some(near) => format!("Did you mean `{near}`?"),
                    None => "Name rules of this policy by their id; those of other policies cannot be waived here."
                        .to_owned(),
                };
                problems.push(problem(path, format!("the policy has no rule `{}`", named(id)), hint));
            } else if !listed.insert(id.as_str()) {
                problems.push(problem(path, "the rule is named twice", "Keep one of the two."));
            }
        }
        let Some(expires_at) = expiry(&exception.expires_at) else {
            problems.push(no_moment(&format!("{path}.expiresAt")));
            continue;
        };
        compiled.push(Arc::new(ExceptionInfo {
            id: exception.id.clone(),
            rules: exception.rules.clone(),
            use_cases: exception.use_cases.clone(),
            roles: exception.roles.clone(),
            ticket: exception.ticket.clone(),
            expires_at,
        }));
    }
    compiled
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_expiry_is_a_moment_whatever_its_zone() {
        let moment = datetime!(2027-06-30 22:00 UTC);
        for text in ["2027-06-30T22:00:00Z", "2027-07-01T00:00:00+02:00", "2027-06-30T22:00:00.000Z"] {
            assert_eq!(expiry(text), Some(moment), "{text}");
        }
    }

    #[test]
    fn what_has_no_zone_or_is_no_date_is_no_expiry() {
        for text in [
            "",
            "tomorrow",
            "2027-06-30",
            "2027-06-30T22:00:00",
            "2027-02-30T22:00:00Z",
            "2027-06-30T25:00:00Z",
            // Beyond the calendar in UTC.
            "9999-12-31T23:59:59-01:00",
        ] {
            assert_eq!(expiry(text), None, "{text}");
        }
    }
}
