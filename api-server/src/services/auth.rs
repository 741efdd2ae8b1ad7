//! Logging in, going on, logging out.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use novacrm_api_domain::permission::{self, Permission};
use novacrm_api_domain::text::EmailAddress;
use novacrm_api_domain::user::User;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::ports::Rotation;
use super::tokens::{self, Caller, SESSION_LIFETIME};
use super::{ServiceError, Services};

/// Attempts to log in, per minute, to one account from one address.
const ATTEMPTS_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);

/// Limits attempts to log in, per account and address. Behind an ingress the address is the ingress's, so the limit
/// is then per account.
pub struct Attempts(DefaultKeyedRateLimiter<[u8; 32]>);

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempts(…)")
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(ATTEMPTS_PER_MINUTE)))
    }
}

impl Attempts {
    fn note(&self, email_key: &str, address: Option<IpAddr>) -> Result<(), ServiceError> {
        // Hashed, so that no address of a person stays in memory.
        let key: [u8; 32] = Sha256::digest(format!("{email_key}\n{address:?}")).into();
        self.0.check_key(&key).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now()).as_secs_f64().ceil();
            ServiceError::TooManyAttempts { retry_after: (wait as u32).max(1) }
        })
    }

    /// Forgets accounts that were left alone for long enough.
    pub fn purge(&self) {
        self.0.retain_recent();
    }
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
}

/// Begins a session. What fails, fails alike: an unknown address, a wrong password, an account that is not active.
///
/// # Errors
/// When the credentials are wrong, or there were too many attempts.
pub async fn login(
    services: &Services,
    email: &str,
    password: &str,
    address: Option<IpAddr>,
) -> Result<Granted, ServiceError> {
    // An address that cannot exist is checked like one that is unknown.
    let key = EmailAddress::parse(email).map(|email| email.key()).unwrap_or_default();
    services.attempts.note(&key, address)?;
    let account = services.accounts.by_email(&key).await?;
    let stored = account.as_ref().map(|account| account.password_hash.as_str());
    let matches = services.passwords.verify(password, stored).await?;
    let user = account.map(|account| account.user).filter(|user| matches && user.details.active);
    let user = user.ok_or(ServiceError::WrongCredentials)?;

    let (now, session, refresh) = (services.clock.now(), Uuid::now_v7(), tokens::new_refresh()?);
    let hash = tokens::refresh_hash(&refresh);
    services.accounts.start_session(session, user.meta.id, &hash, now, now + SESSION_LIFETIME).await?;
    tracing::info!(user = %user.meta.id, session = %session, "logged in");
    grant(services, user, session, refresh)
}

/// Exchanges a refresh token for the next one.
///
/// # Errors
/// When it is unknown, its session ended, or it was used before; the last ends the session.
pub async fn refresh(services: &Services, token: &str) -> Result<Granted, ServiceError> {
    let next = tokens::new_refresh()?;
    let (used, next_hash) = (tokens::refresh_hash(token), tokens::refresh_hash(&next));
    match services.accounts.rotate(&used, &next_hash, services.clock.now()).await? {
        Rotation::Done { session_id, user } => grant(services, *user, session_id, next),
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
    Ok(())
}

/// The caller's session.
///
/// # Errors
/// When it ended.
pub async fn session(services: &Services, caller: &Caller) -> Result<Session, ServiceError> {
    let user = services.accounts.session_user(caller.session, services.clock.now()).await?;
    describe(services, user.ok_or(ServiceError::SessionEnded)?, caller.session)
}

/// Who sends an access token. Reads believe it until it expires.
///
/// # Errors
/// When it does not hold.
pub fn caller(services: &Services, token: &str) -> Result<Caller, ServiceError> {
    services.tokens.check(token, services.clock.now())
}

/// Who wants to change something: their session must not have ended, and the role is the one they have now.
///
/// # Errors
/// When the session ended.
pub async fn confirm(services: &Services, caller: Caller) -> Result<Caller, ServiceError> {
    let user = services.accounts.session_user(caller.session, services.clock.now()).await?;
    let user = user.ok_or(ServiceError::SessionEnded)?;
    Ok(Caller { role: user.details.role, ..caller })
}

fn grant(services: &Services, user: User, id: Uuid, refresh_token: String) -> Result<Granted, ServiceError> {
    let caller = Caller { user: user.meta.id, role: user.details.role, session: id };
    let access_token = services.tokens.access(&caller, services.clock.now())?;
    Ok(Granted { session: describe(services, user, id)?, access_token, refresh_token })
}

fn describe(services: &Services, user: User, id: Uuid) -> Result<Session, ServiceError> {
    Ok(Session {
        permissions: permission::of_role(user.details.role).collect(),
        csrf_token: services.tokens.csrf(id)?,
        tenant_name: services.tenant_name.clone(),
        user,
    })
}
