//! Interactions: what happened between us and a contact.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::field::{Fault, Faults, FieldErrors};
use crate::permission::Resource;
use crate::record::{Meta, Record};
use crate::text::{Line, Prose};
use crate::user::closed_set;

closed_set! {
    /// What kind of interaction it was.
    Kind {
        /// A telephone call.
        Call = "call",
        /// An e-mail.
        Email = "email",
        /// A meeting.
        Meeting = "meeting",
        /// A chat.
        Chat = "chat",
        /// A note to ourselves.
        Note = "note",
    }
}

closed_set! {
    /// Who began it.
    Direction {
        /// The contact.
        Inbound = "inbound",
        /// We.
        Outbound = "outbound",
        /// Nobody outside.
        Internal = "internal",
    }
}

/// An interaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interaction {
    /// Identity and history.
    pub meta: Meta,
    /// What happened.
    pub details: InteractionDetails,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InteractionDetails {
    /// With whom.
    pub contact_id: Uuid,
    /// What kind.
    pub kind: Kind,
    /// Who began it.
    pub direction: Direction,
    /// When.
    pub occurred_at: OffsetDateTime,
    /// What it was about, in a line.
    pub subject: Line,
    /// What was said.
    pub body: Option<Prose>,
}

/// The same, not yet validated.
#[derive(Clone)]
pub struct InteractionInput {
    /// With whom.
    pub contact_id: Uuid,
    /// What kind.
    pub kind: Kind,
    /// Who began it.
    pub direction: Direction,
    /// When.
    pub occurred_at: OffsetDateTime,
    /// What it was about.
    pub subject: String,
    /// What was said.
    pub body: Option<String>,
}

/// How far ahead of ours a client's clock may be.
const CLOCK_SKEW: Duration = Duration::minutes(5);

impl InteractionInput {
    /// Checks every field; what happened lies between 1900 and now.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self, now: OffsetDateTime) -> Result<InteractionDetails, FieldErrors> {
        let mut faults = Faults::default();
        let subject = faults.take("subject", Line::parse(&self.subject));
        let body = faults.optional("body", self.body.as_deref(), Prose::parse);
        if self.occurred_at > now + CLOCK_SKEW {
            faults.note("occurred_at", Fault::InTheFuture);
        }
        if self.occurred_at.year() < 1900 {
            faults.note("occurred_at", Fault::TooEarly);
        }
        faults.finish(subject.map(|subject| InteractionDetails {
            contact_id: self.contact_id,
            kind: self.kind,
            direction: self.direction,
            occurred_at: self.occurred_at,
            subject,
            body,
        }))
    }
}

impl From<InteractionDetails> for InteractionInput {
    fn from(details: InteractionDetails) -> Self {
        Self {
            contact_id: details.contact_id,
            kind: details.kind,
            direction: details.direction,
            occurred_at: details.occurred_at,
            subject: details.subject.as_str().to_owned(),
            body: details.body.as_ref().map(|body| body.as_str().to_owned()),
        }
    }
}

impl Record for Interaction {
    const RESOURCE: Resource = Resource::Interaction;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interaction_cannot_lie_in_the_future_but_for_a_little_clock_skew() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let at = |occurred_at| InteractionInput {
            contact_id: Uuid::nil(),
            kind: Kind::Call,
            direction: Direction::Inbound,
            occurred_at,
            subject: "Point".to_owned(),
            body: None,
        };
        assert!(at(now + Duration::minutes(4)).validate(now).is_ok());
        assert_eq!(at(now + Duration::minutes(6)).validate(now).unwrap_err()[0].fault, Fault::InTheFuture);
        let early = OffsetDateTime::UNIX_EPOCH - Duration::days(30_000);
        assert_eq!(at(early).validate(now).unwrap_err()[0].fault, Fault::TooEarly);
    }
}
