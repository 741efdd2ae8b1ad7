//! Logging in, going on, logging out, changing one's password.

use std::net::IpAddr;

use novacrm_api_domain::field::Fault;
use novacrm_api_domain::permission::{self, Permission};
use novacrm_api_domain::text::EmailAddress;
use novacrm_api_domain::user::User;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use uuid::Uuid;

use super::attempts::{Charge, Exhausted, Refused, Source};
use super::passwords::Waiting;
use super::ports::{Holder, Rotation, Written};
use super::sessions::Live;
use super::tokens::{self, AccountHash, Caller, SESSION_LIFETIME};
use super::{ServiceError, Services};

/// What became of attempts to log in, and to change a password: counted by a closed set of outcomes.
#[derive(Clone, Debug, Default)]
pub struct Outcomes(Family<OutcomeLabels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl Outcomes {
    /// Registers the counter `logins`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("logins", "Attempts to log in or to change a password, by outcome", self.0.clone());
    }

    fn note(&self, outcome: &'static str) {
        self.0.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts and logs a refusal. The account is a keyed hash: attempts at one account can be counted, and nobody who
    /// reads the log learns whose it is.
    fn refused(&self, outcome: &'static str, account: AccountHash, known_device: bool) {
        self.note(outcome);
        tracing::warn!(reason = outcome, account = %account, known_device, "a log-in was refused");
    }
}

fn word(by: Exhausted) -> &'static str {
    match by {
        Exhausted::Pair => "limited_account_and_source",
        Exhausted::Source => "limited_source",
        Exhausted::Account => "limited_account",
        Exhausted::Total => "limited_total",
        Exhausted::Change => "limited_change",
    }
}

impl From<Refused> for ServiceError {
    fn from(refused: Refused) -> Self {
        Self::TooManyAttempts { retry_after: refused.retry_after }
    }
}

/// Where an attempt to log in comes from.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The client's address, if known.
    pub address: Option<IpAddr>,
    /// The device cookie it shows.
    pub device: Option<&'a str>,
}

/// A session, as its holder sees it.
#[derive(Clone)]
pub struct Session {
    /// Who.
    pub user: User,
    /// What they may do.
    pub permissions: Vec<Permission>,
    /// To be sent back by browsers on every request that changes something.
    pub csrf_token: String,
    /// What the tenant is called.
    pub tenant_name: String,
    /// They must choose a password before they may do anything else.
    pub password_must_change: bool,
}

/// A session that was begun or refreshed.
#[derive(Clone)]
pub struct Granted {
    /// The session.
    pub session: Session,
    /// Signed, for ten minutes.
    pub access_token: String,
    /// Random, to be used once.
    pub refresh_token: String,
    /// By which the device is known at its next log-in; only after a log-in.
    pub device: Option<String>,
}

/// Begins a session. What fails, fails alike: an unknown address, a wrong password, an account that is not active.
///
/// # Errors
/// When the credentials are wrong, too many attempts failed (see [`super::attempts`]), or too many passwords wait to be
/// checked.
pub async fn login(
    services: &Services,
    email: &str,
    password: &str,
    visit: Visit<'_>,
) -> Result<Granted, ServiceError> {
    // An address that cannot exist is checked like one that is unknown.
    let key = EmailAddress::parse(email).map(|email| email.key()).unwrap_or_default();
    let (now, account) = (services.clock.now(), services.tokens.account(&key)?);
    let (source, outcomes) = (Source::of(visit.address), &services.outcomes);
    let device = visit.device.and_then(|cookie| services.tokens.device(account, cookie, now));
    let charge = services.attempts.begin(now, account.bytes(), source, device).inspect_err(|refused| {
        outcomes.refused(word(refused.by), account, device.is_some());
    })?;
    let who = match device {
        Some(device) if charge.is_of_device() => Waiting::Known(device),
        _ => Waiting::Stranger(source),
    };
    let holder = match matching(services, &key, password, who).await {
        Ok(Some(holder)) => holder,
        Ok(None) => {
            outcomes.refused("wrong_credentials", account, device.is_some());
            return Err(ServiceError::WrongCredentials);
        }
        Err(error) => {
            give_back(services, charge);
            let outcome = if matches!(error, ServiceError::Busy { .. }) { "busy" } else { "failed" };
            outcomes.refused(outcome, account, device.is_some());
            return Err(error);
        }
    };
    give_back(services, charge);
    let (session, refresh) = (Uuid::now_v7(), tokens::new_refresh()?);
    let hash = tokens::refresh_hash(&refresh);
    services.accounts.start_session(session, holder.user.meta.id, &hash, now, now + SESSION_LIFETIME).await?;
    outcomes.note("granted");
    tracing::info!(user = %holder.user.meta.id, session = %session, known_device = device.is_some(), "logged in");
    let device = Some(services.tokens.new_device(account, now)?);
    Ok(Granted { device, ..grant(services, holder, session, refresh)? })
}

/// The active holder of an account, when the password is theirs.
async fn matching(
    services: &Services,
    email_key: &str,
    password: &str,
    who: Waiting,
) -> Result<Option<Holder>, ServiceError> {
    // Before the database is asked, so that a flood does not reach it either.
    let slot = services.passwords.enter(who)?;
    let account = services.accounts.by_email(email_key).await?;
    let stored = account.as_ref().map(|account| account.password_hash.as_str());
    let matches = services.passwords.verify(slot, password, stored).await?;
    Ok(account.map(Holder::from).filter(|holder| matches && holder.user.details.active))
}

fn give_back(services: &Services, charge: Charge) {
    services.attempts.give_back(services.clock.now(), charge);
}

/// Exchanges a refresh token for the next one.
///
/// # Errors
/// When it is unknown, its session ended, or it was used before; the last ends the session.
pub async fn refresh(services: &Services, token: &str) -> Result<Granted, ServiceError> {
    let next = tokens::new_refresh()?;
    let (used, next_hash) = (tokens::refresh_hash(token), tokens::refresh_hash(&next));
    match services.accounts.rotate(&used, &next_hash, services.clock.now()).await? {
        Rotation::Done { session_id, holder } => grant(services, *holder, session_id, next),
        Rotation::Refused => Err(ServiceError::SessionEnded),
        Rotation::Reused => {
            tracing::warn!("a refresh token was used twice; its session is ended");
            Err(ServiceError::SessionEnded)
        }
    }
}

/// Ends the caller's session.
///
/// # Errors
/// When the database is away.
pub async fn logout(services: &Services, caller: &Caller) -> Result<(), ServiceError> {
    services.accounts.end_session(caller.session, services.clock.now()).await?;
    services.sessions.forget(caller.session);
    Ok(())
}

/// The caller's session.
///
/// # Errors
/// When it ended.
pub async fn session(services: &Services, caller: &Caller) -> Result<Session, ServiceError> {
    let holder = services.accounts.session_holder(caller.session, services.clock.now()).await?;
    describe(services, holder.ok_or(ServiceError::SessionEnded)?, caller.session)
}

/// Changes the caller's own password. Their other sessions end, and the one they ask with goes on.
///
/// # Errors
/// When the current password is wrong, or was wrong too often; when the new one is too short, too long, too easy to
/// guess or the current one.
pub async fn change_password(
    services: &Services,
    caller: &Caller,
    current: &str,
    new: &str,
) -> Result<Session, ServiceError> {
    let now = services.clock.now();
    let account = services.accounts.credentials(caller.user).await?.ok_or(ServiceError::SessionEnded)?;
    let details = &account.user.details;
    let (hash, who) = (services.tokens.account(&details.email.key())?, Waiting::Known(caller.user));
    let charge = services.attempts.begin_change(now, caller.session).inspect_err(|refused| {
        services.outcomes.refused(word(refused.by), hash, true);
    })?;
    let matches = match services.passwords.enter(who) {
        Ok(slot) => services.passwords.verify(slot, current, Some(&account.password_hash)).await,
        Err(error) => Err(error),
    };
    match matches {
        Ok(true) => give_back(services, charge),
        Ok(false) => {
            services.outcomes.refused("wrong_current_password", hash, true);
            return Err(ServiceError::field("current_password", Fault::WrongPassword));
        }
        Err(error) => {
            give_back(services, charge);
            return Err(error);
        }
    }
    if new == current {
        return Err(ServiceError::field("new_password", Fault::SamePassword));
    }
    let context = [details.email.as_str(), details.display_name.as_str(), &services.tenant_name];
    let new_hash = services.passwords.hash("new_password", new, who, &context).await?;
    let written = services
        .accounts
        .change_password(caller.user, &account.password_hash, &new_hash, caller.session, now)
        .await?;
    services.sessions.forget_user(caller.user);
    if written != Written::Done {
        // Somebody else changed it in between, which ended this session.
        return Err(ServiceError::SessionEnded);
    }
    services.outcomes.note("password_changed");
    tracing::info!(user = %caller.user, session = %caller.session, "a password was changed; other sessions ended");
    session(services, caller).await
}

/// Who sends an access token. It says nothing of whether the session still holds; see [`confirm`].
///
/// # Errors
/// When it does not hold.
pub fn caller(services: &Services, token: &str) -> Result<Caller, ServiceError> {
    services.tokens.check(token, services.clock.now())
}

/// What is asked for, as far as it matters for who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// It changes something, so the session is looked up; a read believes what was known of it a few seconds ago.
    pub change: bool,
    /// It is open to those who must choose a password first.
    pub before_password_change: bool,
}

/// Who asks: their session must not have ended, and the role is the one they have now.
///
/// # Errors
/// When the session ended, or they must choose a password first.
pub async fn confirm(services: &Services, caller: Caller, wanted: Wanted) -> Result<Caller, ServiceError> {
    let now = services.clock.now();
    let known = if wanted.change { None } else { services.sessions.get(caller.session, now) };
    let live = match known {
        Some(live) => live,
        None => {
            let holder = services.accounts.session_holder(caller.session, now).await?;
            let Some(holder) = holder else {
                services.sessions.forget(caller.session);
                return Err(ServiceError::SessionEnded);
            };
            let live = Live {
                user: holder.user.meta.id,
                role: holder.user.details.role,
                password_must_change: holder.password_must_change,
            };
            services.sessions.keep(caller.session, live, now);
            live
        }
    };
    if live.user != caller.user {
        return Err(ServiceError::SessionEnded);
    }
    if live.password_must_change && !wanted.before_password_change {
        return Err(ServiceError::PasswordMustChange);
    }
    Ok(Caller { role: live.role, ..caller })
}

fn grant(
    services: &Services,
    holder: Holder,
    id: Uuid,
    refresh_token: String,
) -> Result<Granted, ServiceError> {
    let caller = Caller { user: holder.user.meta.id, role: holder.user.details.role, session: id };
    let access_token = services.tokens.access(&caller, services.clock.now())?;
    Ok(Granted { session: describe(services, holder, id)?, access_token, refresh_token, device: None })
}

fn describe(services: &Services, holder: Holder, id: Uuid) -> Result<Session, ServiceError> {
    Ok(Session {
        permissions: permission::of_role(holder.user.details.role).collect(),
        csrf_token: services.tokens.csrf(id)?,
        tenant_name: services.tenant_name.clone(),
        password_must_change: holder.password_must_change,
        user: holder.user,
    })
}
