//! Users and their roles. Whoever administers them cannot take the last administrator away.

use novacrm_api_domain::field::Fault;
use novacrm_api_domain::permission::{Resource, Verb};
use novacrm_api_domain::record::Meta;
use novacrm_api_domain::text::fold;
use novacrm_api_domain::user::{Role, User, UserInput, check_password};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::list::{self, Key, ListRequest, Listed, Listing, Sort, SortField};
use super::once::{self, Answer, OnceKey};
use super::passwords::{Passwords, Waiting};
use super::ports::{Account, Written};
use super::records::{self, Render};
use super::tokens::Caller;
use super::{ServiceError, Services};

/// Filters of the list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UserFilter {
    /// Part of the name.
    pub q: Option<String>,
    /// Role.
    pub role: Option<Role>,
    /// Whether they may log in.
    pub active: Option<bool>,
}

impl Listed for User {
    type Filter = UserFilter;
    const SORTS: &'static [(&'static str, SortField)] =
        &[("display_name", SortField::Name), ("created_at", SortField::CreatedAt)];
    const DEFAULT_SORT: Sort = Sort { field: SortField::Name, descending: false };

    fn key(&self, field: SortField) -> Key {
        match field {
            SortField::CreatedAt => Key::time(self.meta.created_at),
            _ => Key::Text(fold(self.details.display_name.as_str())),
        }
    }
}

/// What may be changed.
pub type Change = Box<dyn FnOnce(&mut UserInput) + Send>;

/// A user.
///
/// # Errors
/// When the caller may not read, or there is no such user.
pub async fn read(services: &Services, caller: &Caller, id: Uuid) -> Result<User, ServiceError> {
    let visible = records::allowed(caller, Resource::User, Verb::Read)?;
    services.accounts.find(id, visible).await?.ok_or(ServiceError::NotFound)
}

/// A page of users.
///
/// # Errors
/// When the caller may not read, or the sort or cursor is not one of this list.
pub async fn list(
    services: &Services,
    caller: &Caller,
    request: &ListRequest<UserFilter>,
) -> Result<Listing<User>, ServiceError> {
    let visible = records::sight(caller, Resource::User, Verb::Read)?;
    let query = list::query::<User>(services, request, visible)?;
    let page = services.accounts.list(&query).await?;
    list::listing(services, request, query.sort, page)
}

/// Makes an account.
///
/// # Errors
/// When the caller may not, fields are not valid, or the address is taken.
pub async fn create(
    services: &Services,
    caller: &Caller,
    input: UserInput,
    password: &str,
    key: Option<&OnceKey>,
    render: Render<User>,
) -> Result<Answer, ServiceError> {
    records::allowed(caller, Resource::User, Verb::Create)?;
    if let Some(answer) = once::replay(services, key).await? {
        return Ok(answer);
    }
    let (now, actor) = (services.clock.now(), Some(caller.user));
    let account = account(&services.passwords, now, input, password, actor, &services.tenant_name).await?;
    let reply = render(&account.user, 201);
    let once = once::keep(services, key, &reply, vec![account.user.meta.id])?;
    match services.accounts.insert(&account, once.as_ref()).await? {
        Written::KeyTaken => once::overtaken(services, key).await,
        written => records::done(written).map(|()| Answer { reply, replayed: false }),
    }
}

/// A new account, not yet stored. Without an actor it makes itself: the first one. A password that an actor chose must
/// be changed by the holder.
///
/// # Errors
/// When fields are not valid, or the password is too easy to guess.
pub async fn account(
    passwords: &Passwords,
    now: OffsetDateTime,
    input: UserInput,
    password: &str,
    actor: Option<Uuid>,
    tenant_name: &str,
) -> Result<Account, ServiceError> {
    let mut errors = input.validate().err().unwrap_or_default();
    if let Err(fault) = check_password(password) {
        errors.push(novacrm_api_domain::field::FieldError { field: "password", fault });
    }
    if !errors.is_empty() {
        return Err(ServiceError::Invalid(errors));
    }
    let details = input.validate()?;
    let id = Uuid::now_v7();
    let meta = Meta::new(id, id, actor.unwrap_or(id), now);
    let who = Waiting::Known(actor.unwrap_or(id));
    let context = [details.email.as_str(), details.display_name.as_str(), tenant_name];
    let password_hash = passwords.hash("password", password, who, &context).await?;
    Ok(Account { user: User { meta, details }, password_hash, password_must_change: actor.is_some() })
}

/// Changes a user: who they are, their role, whether they may log in, and the password of somebody else, who must then
/// choose another.
///
/// # Errors
/// When the caller may not, the user changed since they read it, fields are not valid, the password is their own, or
/// the last administrator would be gone.
pub async fn change(
    services: &Services,
    caller: &Caller,
    id: Uuid,
    expected: &[i64],
    change: Change,
    password: Option<&str>,
) -> Result<User, ServiceError> {
    let reach = records::allowed(caller, Resource::User, Verb::Update)?;
    let mut user = read(services, caller, id).await?;
    if !reach.covers(user.meta.owner_id) {
        return Err(records::forbidden(Resource::User, Verb::Update));
    }
    let current = user.meta.version;
    if !expected.contains(&current) {
        return Err(ServiceError::Stale { current });
    }
    let mut input = UserInput::from(user.details);
    change(&mut input);
    user.details = input.validate()?;
    let new_hash = match password {
        // One's own needs the current one, or a session that was left open would be enough to take an account over.
        Some(_) if id == caller.user => return Err(ServiceError::field("password", Fault::OwnPassword)),
        Some(password) => {
            let context =
                [user.details.email.as_str(), user.details.display_name.as_str(), &services.tenant_name];
            let who = Waiting::Known(caller.user);
            Some(services.passwords.hash("password", password, who, &context).await?)
        }
        None => None,
    };
    user.meta.touch(caller.user, services.clock.now());
    records::done(services.accounts.update(&user, new_hash.as_deref()).await?)?;
    services.sessions.forget_user(id);
    Ok(user)
}
