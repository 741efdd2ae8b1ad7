//! The use cases, one function each: a caller and validated input in, a record or a typed error out.
//!
//! They know traits, not their implementations: repositories ([`ports`]), the compliance engine, the clock. Every
//! function that touches a record asks the permission matrix first; nothing is decided above this layer.

use std::sync::Arc;

use time::OffsetDateTime;

pub mod assessments;
pub mod attempts;
pub mod auth;
pub mod contacts;
pub mod cursor;
pub mod erasure;
pub mod error;
pub mod interactions;
pub mod keys;
pub mod list;
pub mod once;
pub mod organisations;
pub mod passwords;
pub mod policies;
pub mod ports;
pub mod records;
pub mod sessions;
pub mod setup;
pub mod timeline;
pub mod tokens;
pub mod users;

pub use error::ServiceError;

/// What time it is.
pub trait Clock: Send + Sync {
    /// Now, in UTC, in whole microseconds: what PostgreSQL keeps, so a record reads the same before and after it
    /// was stored.
    fn now(&self) -> OffsetDateTime;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc();
        let micros = now.microsecond();
        now.replace_microsecond(micros).unwrap_or(now)
    }
}

/// Everything the use cases need. Cheap to share behind an `Arc`.
pub struct Services {
    /// Users and their sessions.
    pub accounts: Arc<dyn ports::Accounts>,
    /// Organisations.
    pub organisations: Arc<dyn ports::Records<novacrm_api_domain::organisation::Organisation>>,
    /// Contacts.
    pub contacts: Arc<dyn ports::Records<novacrm_api_domain::contact::Contact>>,
    /// Interactions.
    pub interactions: Arc<dyn ports::Records<novacrm_api_domain::interaction::Interaction>>,
    /// Verdicts.
    pub assessments: Arc<dyn ports::Assessments>,
    /// Replies kept for repeated requests.
    pub replies: Arc<dyn ports::Replies>,
    /// Erases records.
    pub erasure: Arc<dyn ports::Erasure>,
    /// Told when a record was erased on demand, so that the engine hears of it at once.
    pub erased: tokio::sync::Notify,
    /// The compliance engine.
    pub engine: Arc<dyn ports::ComplianceEngine>,
    /// The policies in force, kept for a moment.
    pub policies: policies::PolicyCache,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Hashes passwords.
    pub passwords: passwords::Passwords,
    /// Limits attempts to log in.
    pub attempts: attempts::Attempts,
    /// Counts what became of them.
    pub outcomes: auth::Outcomes,
    /// What is known of sessions for a few seconds.
    pub sessions: sessions::LiveSessions,
    /// Makes and checks access tokens.
    pub tokens: tokens::Tokens,
    /// Signs cursors.
    pub cursors: cursor::Cursors,
    /// Seals replies.
    pub seal: once::Seal,
    /// What the tenant is called.
    pub tenant_name: String,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Services(…)")
    }
}
