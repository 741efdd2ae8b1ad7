//! Contacts.

use novacrm_api_domain::contact::{Contact, ContactInput};
use novacrm_api_domain::field::Fault;
use novacrm_api_domain::organisation::Organisation;
use novacrm_api_domain::permission::{Resource, Verb};
use novacrm_api_domain::record::Meta;
use novacrm_api_domain::text::fold;
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
pub struct ContactFilter {
    /// Part of the name.
    pub q: Option<String>,
    /// Where they work.
    pub organisation_id: Option<Uuid>,
    /// Owner.
    pub owner_id: Option<Uuid>,
    /// Exact address.
    pub email: Option<String>,
    /// Whether they want to be left alone.
    pub do_not_contact: Option<bool>,
    /// Changed after.
    pub updated_after: Option<OffsetDateTime>,
}

impl Listed for Contact {
    type Filter = ContactFilter;
    const SORTS: &'static [(&'static str, SortField)] = &[
        ("updated_at", SortField::UpdatedAt),
        ("created_at", SortField::CreatedAt),
        ("last_name", SortField::Name),
    ];
    const DEFAULT_SORT: Sort = Sort { field: SortField::UpdatedAt, descending: true };

    fn key(&self, field: SortField) -> Key {
        match field {
            SortField::Name => Key::Text(sort_name(self)),
            SortField::CreatedAt => Key::time(self.meta.created_at),
            SortField::UpdatedAt | SortField::OccurredAt => Key::time(self.meta.updated_at),
        }
    }
}

/// What contacts are sorted by: "last first", folded.
#[must_use]
pub fn sort_name(contact: &Contact) -> String {
    fold(&format!("{} {}", contact.details.last_name.as_str(), contact.details.first_name.as_str()))
}

impl Stored for Contact {
    fn table(services: &Services) -> &dyn Records<Self> {
        services.contacts.as_ref()
    }

    fn shows(&self) -> Vec<Uuid> {
        // The name of the organisation stands in it.
        [self.meta.id].into_iter().chain(self.details.organisation_id).collect()
    }
}

/// What may be changed.
pub type Change = Box<dyn FnOnce(&mut ContactInput) + Send>;

/// Makes a contact.
///
/// # Errors
/// When the caller may not, or fields are not valid.
pub async fn create(
    services: &Services,
    caller: &Caller,
    input: ContactInput,
    owner_id: Option<Uuid>,
    key: Option<&OnceKey>,
    render: Render<Contact>,
) -> Result<Answer, ServiceError> {
    records::allowed(caller, Resource::Contact, Verb::Create)?;
    if let Some(answer) = once::replay(services, key).await? {
        return Ok(answer);
    }
    let owner = records::new_owner(caller, Resource::Contact, owner_id)?;
    let details = input.validate()?;
    let organisation_name = organisation_name(services, caller, details.organisation_id).await?;
    let meta = Meta::new(Uuid::now_v7(), owner, caller.user, services.clock.now());
    records::store_new(services, &Contact { meta, details, organisation_name }, key, render).await
}

/// Changes a contact.
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
) -> Result<Contact, ServiceError> {
    let mut record: Contact =
        records::to_change(services, caller, id, Verb::Update, expected, owner_id).await?;
    let before = record.details.organisation_id;
    let mut input = ContactInput::from(record.details);
    change(&mut input);
    record.details = input.validate()?;
    if record.details.organisation_id != before {
        record.organisation_name =
            organisation_name(services, caller, record.details.organisation_id).await?;
    }
    records::store_change(services, caller, &mut record).await?;
    Ok(record)
}

/// The name of the organisation a contact is said to work for; it must be visible to the caller.
async fn organisation_name(
    services: &Services,
    caller: &Caller,
    id: Option<Uuid>,
) -> Result<Option<String>, ServiceError> {
    let Some(id) = id else { return Ok(None) };
    match records::read::<Organisation>(services, caller, id).await {
        Ok(organisation) => Ok(Some(organisation.details.name.as_str().to_owned())),
        Err(ServiceError::NotFound) => Err(ServiceError::field("organisation_id", Fault::UnknownReference)),
        Err(other) => Err(other),
    }
}
