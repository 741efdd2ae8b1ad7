//! Organisations.

use novacrm_api_domain::organisation::{Organisation, OrganisationInput};
use novacrm_api_domain::permission::{Resource, Verb};
use novacrm_api_domain::record::Meta;
use novacrm_api_domain::text::fold;
use serde::Serialize;
use uuid::Uuid;

use super::list::{Key, Listed, Sort, SortField};
use super::once::{self, Answer, OnceKey};
use super::ports::Records;
use super::records::{self, Render, Stored};
use super::tokens::Caller;
use super::{ServiceError, Services};

/// Filters of the list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OrganisationFilter {
    /// Part of the name.
    pub q: Option<String>,
    /// Owner.
    pub owner_id: Option<Uuid>,
}

impl Listed for Organisation {
    type Filter = OrganisationFilter;
    const SORTS: &'static [(&'static str, SortField)] = &[
        ("updated_at", SortField::UpdatedAt),
        ("created_at", SortField::CreatedAt),
        ("name", SortField::Name),
    ];
    const DEFAULT_SORT: Sort = Sort { field: SortField::UpdatedAt, descending: true };

    fn key(&self, field: SortField) -> Key {
        match field {
            SortField::Name => Key::Text(fold(self.details.name.as_str())),
            SortField::CreatedAt => Key::time(self.meta.created_at),
            SortField::UpdatedAt | SortField::OccurredAt => Key::time(self.meta.updated_at),
        }
    }
}

impl Stored for Organisation {
    fn table(services: &Services) -> &dyn Records<Self> {
        services.organisations.as_ref()
    }
}

/// What may be changed; what is absent stays. The owner stands apart, since it is not a detail.
pub type Change = Box<dyn FnOnce(&mut OrganisationInput) + Send>;

/// Makes an organisation.
///
/// # Errors
/// When the caller may not, or fields are not valid.
pub async fn create(
    services: &Services,
    caller: &Caller,
    input: OrganisationInput,
    owner_id: Option<Uuid>,
    key: Option<&OnceKey>,
    render: Render<Organisation>,
) -> Result<Answer, ServiceError> {
    records::allowed(caller, Resource::Organisation, Verb::Create)?;
    if let Some(answer) = once::replay(services, key).await? {
        return Ok(answer);
    }
    let owner = records::new_owner(caller, Resource::Organisation, owner_id)?;
    let details = input.validate()?;
    let meta = Meta::new(Uuid::now_v7(), owner, caller.user, services.clock.now());
    records::store_new(services, &Organisation { meta, details }, key, render).await
}

/// Changes an organisation.
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
) -> Result<Organisation, ServiceError> {
    let mut record: Organisation =
        records::to_change(services, caller, id, Verb::Update, expected, owner_id).await?;
    let mut input = OrganisationInput::from(record.details);
    change(&mut input);
    record.details = input.validate()?;
    records::store_change(services, caller, &mut record).await?;
    Ok(record)
}
