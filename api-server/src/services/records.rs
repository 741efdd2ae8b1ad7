//! What all kinds of records have in common: permission, reading, listing, deleting, restoring, storing.

use novacrm_api_domain::field::Fault;
use novacrm_api_domain::permission::{self, Permission, Resource, Verb, Visibility};
use uuid::Uuid;

use super::list::{self, ListRequest, Listed, Listing, Sight};
use super::once::{self, Answer, OnceKey, Reply};
use super::ports::{Life, Records, Written};
use super::tokens::Caller;
use super::{ServiceError, Services};

/// A kind of record with a table of its own.
pub trait Stored: Listed {
    /// Its table.
    fn table(services: &Services) -> &dyn Records<Self>;

    /// The records that a reply about this one shows something of; erasing one of them removes the reply.
    fn shows(&self) -> Vec<Uuid> {
        vec![self.meta().id]
    }
}

/// Writes a record as the reply that is sent; the HTTP layer knows how.
pub type Render<T> = fn(&T, status: u16) -> Reply;

/// What the caller may do this to.
///
/// # Errors
/// When their role may not at all.
pub fn allowed(caller: &Caller, resource: Resource, verb: Verb) -> Result<Visibility, ServiceError> {
    permission::scope(caller.role, Permission { resource, verb })
        .map(|scope| Visibility::new(scope, caller.user))
        .ok_or_else(|| forbidden(resource, verb))
}

/// The caller may not do this to the record.
pub(super) fn forbidden(resource: Resource, verb: Verb) -> ServiceError {
    ServiceError::Forbidden(Permission { resource, verb })
}

/// Which records the caller may do this to, as a query sees them: of what belongs to a contact, only what belongs to a
/// contact that they may read.
///
/// # Errors
/// When their role may not at all.
pub(super) fn sight(caller: &Caller, resource: Resource, verb: Verb) -> Result<Sight, ServiceError> {
    let records = allowed(caller, resource, verb)?;
    let contacts = match resource {
        Resource::Interaction | Resource::Assessment => allowed(caller, Resource::Contact, Verb::Read)?,
        Resource::Organisation | Resource::Contact | Resource::Policy | Resource::User => Visibility::All,
    };
    Ok(Sight { records, contacts })
}

/// A live record.
///
/// # Errors
/// When the caller may not read, or it is not visible to them.
pub async fn read<T: Stored>(services: &Services, caller: &Caller, id: Uuid) -> Result<T, ServiceError> {
    let visible = sight(caller, T::RESOURCE, Verb::Read)?;
    T::table(services).find(id, visible, Life::Live).await?.ok_or(ServiceError::NotFound)
}

/// A page of live records.
///
/// # Errors
/// When the caller may not read, or the sort or cursor is not one of this list.
pub async fn list<T: Stored>(
    services: &Services,
    caller: &Caller,
    request: &ListRequest<T::Filter>,
) -> Result<Listing<T>, ServiceError> {
    let visible = sight(caller, T::RESOURCE, Verb::Read)?;
    let query = list::query::<T>(services, request, visible)?;
    let page = T::table(services).list(&query).await?;
    list::listing(services, request, query.sort, page)
}

/// Deletes a record; it can be restored.
///
/// # Errors
/// When the caller may not, it is not visible to them, or it changed since they read it.
pub async fn remove<T: Stored>(
    services: &Services,
    caller: &Caller,
    id: Uuid,
    expected: &[i64],
) -> Result<(), ServiceError> {
    let mut record = to_change::<T>(services, caller, id, Verb::Delete, expected, None).await?;
    let now = services.clock.now();
    record.meta_mut().deleted_at = Some(now);
    store_change(services, caller, &mut record).await
}

/// Takes a deletion back. A record that lives is left as it is.
///
/// # Errors
/// When the caller may not, it is not visible to them, or a live record has the same unique value by now.
pub async fn restore<T: Stored>(
    services: &Services,
    caller: &Caller,
    id: Uuid,
    key: Option<&OnceKey>,
    render: Render<T>,
) -> Result<Answer, ServiceError> {
    let visible = sight(caller, T::RESOURCE, Verb::Delete)?;
    if let Some(answer) = once::replay(services, key).await? {
        return Ok(answer);
    }
    let found = T::table(services).find(id, visible, Life::Any).await?;
    let mut record = found.ok_or(ServiceError::NotFound)?;
    if record.meta().deleted_at.is_none() {
        return Ok(Answer { reply: render(&record, 200), replayed: false });
    }
    record.meta_mut().deleted_at = None;
    record.meta_mut().touch(caller.user, services.clock.now());
    let reply = render(&record, 200);
    let once = once::keep(services, key, &reply, record.shows())?;
    match T::table(services).update(&record, once.as_ref()).await? {
        Written::KeyTaken => once::overtaken(services, key).await,
        written => done(written).map(|()| Answer { reply, replayed: false }),
    }
}

/// The record a caller wants to change, in the version they read, and with its new owner where one is asked for.
///
/// Changing the fields of a record and giving it to another owner are two rights: what a verb reaches depends on the
/// owner, so who could choose one would choose what they may do.
pub(super) async fn to_change<T: Stored>(
    services: &Services,
    caller: &Caller,
    id: Uuid,
    verb: Verb,
    expected: &[i64],
    new_owner: Option<Uuid>,
) -> Result<T, ServiceError> {
    let changeable = allowed(caller, T::RESOURCE, verb)?;
    // What is visible and may not be changed is refused, not hidden.
    let mut record: T = read(services, caller, id).await?;
    let owner = record.meta().owner_id;
    if !changeable.covers(owner) {
        return Err(forbidden(T::RESOURCE, verb));
    }
    if let Some(new_owner) = new_owner
        && new_owner != owner
    {
        if !allowed(caller, T::RESOURCE, Verb::Assign)?.covers(owner) {
            return Err(forbidden(T::RESOURCE, Verb::Assign));
        }
        record.meta_mut().owner_id = new_owner;
    }
    // The version binds what was checked to what is stored: the owner cannot change in between.
    let current = record.meta().version;
    if expected.contains(&current) { Ok(record) } else { Err(ServiceError::Stale { current }) }
}

/// Stores a changed record as its next version.
pub(super) async fn store_change<T: Stored>(
    services: &Services,
    caller: &Caller,
    record: &mut T,
) -> Result<(), ServiceError> {
    record.meta_mut().touch(caller.user, services.clock.now());
    done(T::table(services).update(record, None).await?)
}

/// Stores a new record with its reply.
pub(super) async fn store_new<T: Stored>(
    services: &Services,
    record: &T,
    key: Option<&OnceKey>,
    render: Render<T>,
) -> Result<Answer, ServiceError> {
    let reply = render(record, 201);
    let once = once::keep(services, key, &reply, record.shows())?;
    match T::table(services).insert(record, once.as_ref()).await? {
        Written::KeyTaken => once::overtaken(services, key).await,
        written => done(written).map(|()| Answer { reply, replayed: false }),
    }
}

/// The owner of a new record: who is asked for, within the reach of what the caller may make. To make it for somebody
/// else is to give away what would be one's own, so it needs the right to.
pub(super) fn new_owner(
    caller: &Caller,
    resource: Resource,
    asked: Option<Uuid>,
) -> Result<Uuid, ServiceError> {
    let reach = allowed(caller, resource, Verb::Create)?;
    let owner = asked.unwrap_or(caller.user);
    if !reach.covers(owner) {
        return Err(ServiceError::field("owner_id", Fault::NotYourself));
    }
    if owner != caller.user && !allowed(caller, resource, Verb::Assign)?.covers(caller.user) {
        return Err(forbidden(resource, Verb::Assign));
    }
    Ok(owner)
}

pub(super) fn done(written: Written) -> Result<(), ServiceError> {
    match written {
        Written::Done => Ok(()),
        Written::Stale(current) => Err(ServiceError::Stale { current }),
        Written::Gone => Err(ServiceError::NotFound),
        Written::LastAdministrator => Err(ServiceError::LastAdministrator),
        Written::KeyTaken => Err(ServiceError::KeyInFlight),
    }
}
