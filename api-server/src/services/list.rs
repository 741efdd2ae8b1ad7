//! Lists: typed filters, a whitelisted sort and a place to go on from, in; a page out.

use novacrm_api_domain::permission::Visibility;
use novacrm_api_domain::record::Record;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{ServiceError, Services};

/// Most records of a page.
pub const LIMIT_MAX: u32 = 200;
/// Records of a page when nothing is said.
pub const LIMIT_DEFAULT: u32 = 50;

/// What a list may be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortField {
    /// The folded name.
    Name,
    /// When it was made.
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
    /// When it happened.
    OccurredAt,
}

/// A sort; records with equal keys are sorted by identifier in the same direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub field: SortField,
    /// Greatest first.
    pub descending: bool,
}

/// The sort key of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    /// Folded text.
    #[serde(rename = "t")]
    Text(String),
    /// A time, in microseconds since 1970.
    #[serde(rename = "u")]
    Micros(i64),
}

impl Key {
    /// The key of a time.
    #[must_use]
    pub fn time(at: OffsetDateTime) -> Self {
        // Microseconds of all years that are accepted fit; the bounds are never met.
        Self::Micros(i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX))
    }
}

/// A place in a list: behind the record with this key and identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its sort key.
    #[serde(rename = "k")]
    pub key: Key,
    /// Its identifier.
    #[serde(rename = "i")]
    pub id: Uuid,
}

/// A kind of record that can be listed.
pub trait Listed: Record {
    /// Its filters.
    type Filter: Serialize + Send + Sync;
    /// The names of its sort fields.
    const SORTS: &'static [(&'static str, SortField)];
    /// The sort when none is asked for.
    const DEFAULT_SORT: Sort;
    /// The key that a record is sorted by.
    fn key(&self, field: SortField) -> Key;
}

/// What a caller asks of a list.
#[derive(Clone, Debug)]
pub struct ListRequest<F> {
    /// The filters.
    pub filter: F,
    /// The sort, as `field` or `-field`.
    pub sort: Option<String>,
    /// Where to go on, as the page before said.
    pub after: Option<String>,
    /// Most records.
    pub limit: u32,
    /// Whether to count all records that match.
    pub count: bool,
}

/// Which records a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Whose records.
    pub records: Visibility,
    /// Of records that belong to a contact: whose contacts. What belongs to a deleted contact is never seen.
    pub contacts: Visibility,
}

impl From<Visibility> for Sight {
    /// Sees the records of all contacts.
    fn from(records: Visibility) -> Self {
        Self { records, contacts: Visibility::All }
    }
}

/// What a repository is asked.
#[derive(Clone, Debug)]
pub struct ListQuery<'a, F> {
    /// The filters.
    pub filter: &'a F,
    /// Which records are seen.
    pub visible: Sight,
    /// The sort.
    pub sort: Sort,
    /// Behind which record.
    pub after: Option<Position>,
    /// Most records.
    pub limit: u32,
    /// Whether to count.
    pub count: bool,
}

/// What a repository answers: up to one record more than asked for, which tells that there is a next page.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The records.
    pub records: Vec<T>,
    /// How many match, when asked.
    pub count: Option<i64>,
}

/// What a caller gets.
#[derive(Clone, Debug)]
pub struct Listing<T> {
    /// The records.
    pub records: Vec<T>,
    /// Where to go on; absent on the last page.
    pub next: Option<String>,
    /// How many match, when asked.
    pub count: Option<i64>,
}

/// Reads a sort as it was asked for.
pub(super) fn sort<T: Listed>(text: Option<&str>) -> Result<Sort, ServiceError> {
    let Some(text) = text else { return Ok(T::DEFAULT_SORT) };
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let known = || T::SORTS.iter().map(|(name, _)| *name).collect();
    let (_, field) = T::SORTS
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| ServiceError::SortUnknown { known: known() })?;
    Ok(Sort { field: *field, descending })
}

/// Turns a request into a query: checks the sort and the cursor.
pub(super) fn query<'a, T: Listed>(
    services: &Services,
    request: &'a ListRequest<T::Filter>,
    visible: Sight,
) -> Result<ListQuery<'a, T::Filter>, ServiceError> {
    let sort = sort::<T>(request.sort.as_deref())?;
    let after = match &request.after {
        Some(cursor) => Some(services.cursors.open(&binding::<T>(sort, &request.filter)?, cursor)?),
        None => None,
    };
    Ok(ListQuery {
        filter: &request.filter,
        visible,
        sort,
        after,
        limit: request.limit,
        count: request.count,
    })
}

/// Turns what the repository answered into a page with a cursor.
pub(super) fn listing<T: Listed>(
    services: &Services,
    request: &ListRequest<T::Filter>,
    sort: Sort,
    page: Page<T>,
) -> Result<Listing<T>, ServiceError> {
    let Page { mut records, count } = page;
    let limit = request.limit as usize;
    let next = if records.len() > limit {
        records.truncate(limit);
        let binding = binding::<T>(sort, &request.filter)?;
        records
            .last()
            .map(|last| Position { key: last.key(sort.field), id: last.meta().id })
            .map(|position| services.cursors.seal(&binding, &position))
            .transpose()?
    } else {
        None
    };
    Ok(Listing { records, next, count })
}

/// What a cursor is bound to: the list, its sort and its filters.
fn binding<T: Listed>(sort: Sort, filter: &T::Filter) -> Result<Vec<u8>, ServiceError> {
    let name = T::SORTS.iter().find(|(_, field)| *field == sort.field).map(|(name, _)| *name);
    serde_json::to_vec(&(T::RESOURCE, name, sort.descending, filter))
        .map_err(|_| ServiceError::Internal("a filter cannot be written"))
}
