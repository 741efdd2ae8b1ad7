//! Interactions with contacts.

use novacrm_api_domain::contact::Contact;
use novacrm_api_domain::field::Fault;
use novacrm_api_domain::interaction::{Interaction, InteractionInput, Kind};
use novacrm_api_domain::permission::{Resource, Verb};
use novacrm_api_domain::record::Meta;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::list::{Key, Listed, Sort, SortField};
use super::once::{self, Answer, OnceKey};
use super::ports::Records;
use super::records::{self, Render, Stored};
use super::tokens::Caller;
use super::{ServiceError, Services};

/// Filters of the list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InteractionFilter {
    /// Part of the subject.
    pub q: Option<String>,
    /// With whom.
    pub contact_id: Option<Uuid>,
    /// Owner.
    pub owner_id: Option<Uuid>,
    /// What kind.
    pub kind: Option<Kind>,
    /// Happened after.
    pub occurred_after: Option<OffsetDateTime>,
    /// Happened before.
    pub occurred_before: Option<OffsetDateTime>,
}

impl Listed for Interaction {
    type Filter = InteractionFilter;
    const SORTS: &'static [(&'static str, SortField)] =
        &[("occurred_at", SortField::OccurredAt), ("created_at", SortField::CreatedAt)];
    const DEFAULT_SORT: Sort = Sort { field: SortField::OccurredAt, descending: true };

    fn key(&self, field: SortField) -> Key {
        match field {
            SortField::CreatedAt => Key::time(self.meta.created_at),
            _ => Key::time(self.details.occurred_at),
        }
    }
}

impl Stored for Interaction {
    fn table(services: &Services) -> &dyn Records<Self> {
        services.interactions.as_ref()
    }

    fn shows(&self) -> Vec<Uuid> {
        vec![self.meta.id, self.details.contact_id]
    }
}

/// What may be changed.
pub type Change = Box<dyn FnOnce(&mut InteractionInput) + Send>;

/// Notes an interaction with a contact the caller can see.
///
/// # Errors
/// When the caller may not, or fields are not valid.
pub async fn create(
    services: &Services,
    caller: &Caller,
    input: InteractionInput,
    owner_id: Option<Uuid>,
    key: Option<&OnceKey>,
    render: Render<Interaction>,
) -> Result<Answer, ServiceError> {
    records::allowed(caller, Resource::Interaction, Verb::Create)?;
    if let Some(answer) = once::replay(services, key).await? {
        return Ok(answer);
    }
    let owner = records::new_owner(caller, Resource::Interaction, owner_id)?;
    let now = services.clock.now();
    let details = input.validate(now)?;
    match records::read::<Contact>(services, caller, details.contact_id).await {
        Ok(_) => {}
        Err(ServiceError::NotFound) => {
            return Err(ServiceError::field("contact_id", Fault::UnknownReference));
        }
        Err(other) => return Err(other),
    }
    let meta = Meta::new(Uuid::now_v7(), owner, caller.user, now);
    records::store_new(services, &Interaction { meta, details }, key, render).await
}

/// Changes an interaction. It stays with its contact.
///
/// # Errors
/// When the caller may not, it changed since they read it, or fields are not valid.
pub async fn change(
    services: &Services,
    caller: &Caller,
    id: Uuid,
    expected: &[i64],
    change: Change,
    owner_id: Option<Uuid>,
) -> Result<Interaction, ServiceError> {
    let mut record: Interaction =
        records::to_change(services, caller, id, Verb::Update, expected, owner_id).await?;
    let mut input = InteractionInput::from(record.details);
    change(&mut input);
    record.details = input.validate(services.clock.now())?;
    records::store_change(services, caller, &mut record).await?;
    Ok(record)
}
