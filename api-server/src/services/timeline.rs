//! A contact's timeline: interactions and verdicts, newest first.

use std::cmp::Reverse;

use novacrm_api_domain::contact::Contact;
use novacrm_api_domain::interaction::Interaction;
use novacrm_api_domain::permission::{Resource, Verb};
use time::OffsetDateTime;
use uuid::Uuid;

use super::assessments::Assessment;
use super::interactions::InteractionFilter;
use super::list::{Key, ListQuery, Listed, Listing, Position};
use super::records::{self};
use super::tokens::Caller;
use super::{ServiceError, Services};

/// An entry of a timeline.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Something that happened.
    Interaction(Box<Interaction>),
    /// A verdict of the engine.
    Assessment(Box<Assessment>),
}

impl Entry {
    /// When it happened.
    #[must_use]
    pub fn at(&self) -> OffsetDateTime {
        match self {
            Self::Interaction(interaction) => interaction.details.occurred_at,
            Self::Assessment(assessment) => assessment.created_at,
        }
    }

    fn id(&self) -> Uuid {
        match self {
            Self::Interaction(interaction) => interaction.meta.id,
            Self::Assessment(assessment) => assessment.id,
        }
    }
}

/// A page of a contact's timeline, with what the caller may read of it.
///
/// # Errors
/// When the contact is not visible to the caller, or the cursor is not one of this timeline.
pub async fn read(
    services: &Services,
    caller: &Caller,
    contact: Uuid,
    after: Option<&str>,
    limit: u32,
) -> Result<Listing<Entry>, ServiceError> {
    records::read::<Contact>(services, caller, contact).await?;
    let binding = [b"timeline".as_slice(), contact.as_bytes()].concat();
    let after: Option<Position> = after.map(|cursor| services.cursors.open(&binding, cursor)).transpose()?;
    let mut entries = Vec::new();
    if let Ok(visible) = records::sight(caller, Resource::Interaction, Verb::Read) {
        let filter = InteractionFilter { contact_id: Some(contact), ..InteractionFilter::default() };
        let query = ListQuery {
            filter: &filter,
            visible,
            sort: Interaction::DEFAULT_SORT,
            after: after.clone(),
            limit,
            count: false,
        };
        let page = services.interactions.list(&query).await?;
        entries.extend(page.records.into_iter().map(|found| Entry::Interaction(Box::new(found))));
    }
    if let Ok(visible) = records::allowed(caller, Resource::Assessment, Verb::Read) {
        let before = after.as_ref().map(place).transpose()?;
        let found = services.assessments.of_contact(contact, visible, before, limit).await?;
        entries.extend(found.into_iter().map(|found| Entry::Assessment(Box::new(found))));
    }
    entries.sort_by_key(|entry| Reverse((entry.at(), entry.id())));
    let limit = limit as usize;
    let next = if entries.len() > limit {
        entries.truncate(limit);
        entries
            .last()
            .map(|last| Position { key: Key::time(last.at()), id: last.id() })
            .map(|position| services.cursors.seal(&binding, &position))
            .transpose()?
    } else {
        None
    };
    Ok(Listing { records: entries, next, count: None })
}

fn place(position: &Position) -> Result<(OffsetDateTime, Uuid), ServiceError> {
    match position.key {
        Key::Micros(micros) => OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
            .map(|at| (at, position.id))
            .map_err(|_| ServiceError::CursorInvalid),
        Key::Text(_) => Err(ServiceError::CursorInvalid),
    }
}
