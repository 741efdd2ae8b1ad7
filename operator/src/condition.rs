//! Conditions as kstatus and people read them: facts in, a sorted list out whose times move only on a flip.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longest message that a Condition may have.
const MAX_MESSAGE: usize = 32 * 1024;

/// The conditions of one object under construction.
#[derive(Debug)]
pub struct Conditions<'a> {
    before: &'a [Condition],
    generation: i64,
    now: Time,
    made: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// Begins with the conditions before, for their times.
    #[must_use]
    pub fn new(before: &'a [Condition], generation: i64, now: OffsetDateTime) -> Self {
        Self { before, generation, now: time_of(now), made: Vec::new() }
    }

    /// States a condition.
    pub fn set(&mut self, kind: &str, status: bool, reason: &str, message: &str) {
        let status = if status { "True" } else { "False" };
        let before = self.before.iter().find(|condition| condition.type_ == kind);
        let last_transition_time = before
            .filter(|condition| condition.status == status)
            .map_or_else(|| self.now.clone(), |condition| condition.last_transition_time.clone());
        self.made.push(Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.chars().take(MAX_MESSAGE / 4).collect(),
            observed_generation: Some(self.generation),
            last_transition_time,
        });
    }

    /// The conditions, by type.
    #[must_use]
    pub fn finish(mut self) -> Vec<Condition> {
        self.made.sort_by(|a, b| a.type_.cmp(&b.type_));
        self.made
    }
}

/// RFC 3339 in UTC, to the second.
#[must_use]
pub fn rfc3339(at: OffsetDateTime) -> Option<String> {
    at.to_offset(time::UtcOffset::UTC).replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
}

fn time_of(at: OffsetDateTime) -> Time {
    let at = k8s_openapi::jiff::Timestamp::from_second(at.unix_timestamp());
    Time(at.unwrap_or(k8s_openapi::jiff::Timestamp::UNIX_EPOCH))
}
