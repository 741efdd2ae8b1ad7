//! What the use cases need from outside, as traits: the database and the compliance engine.

use async_trait::async_trait;
use novacrm_api_domain::permission::{Resource, Visibility};
use novacrm_api_domain::record::Record;
use novacrm_api_domain::user::User;
use novacrm_engine_wire::{AnalyzeRequest, AnalyzeResponse, PoliciesInForce};
use time::OffsetDateTime;
use uuid::Uuid;

use super::assessments::Assessment;
use super::list::{ListQuery, Listed, Page, Sight};
use super::once::Once;

/// Why the database refused or failed. Holds no value of a row.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or shuts down.
    #[error("the database cannot be reached")]
    Unavailable,
    /// Another live record has the same unique value.
    #[error("another record has the same {field}")]
    Duplicate {
        /// Which field.
        field: &'static str,
    },
    /// A record that is referred to does not exist.
    #[error("{field} refers to nothing")]
    UnknownReference {
        /// Which field.
        field: &'static str,
    },
    /// A row holds what it must not.
    #[error("a row of {0} cannot be read")]
    Corrupt(&'static str),
    /// Anything else, as the SQLSTATE or the kind of failure.
    #[error("failed with {0}")]
    Failed(String),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is durable.
    Done,
    /// Nothing was written: the record has this version by now.
    Stale(i64),
    /// Nothing was written: the record is gone.
    Gone,
    /// Nothing was written: a reply is kept under the same idempotency key, or being made.
    KeyTaken,
    /// Nothing was written: the last administrator would be gone.
    LastAdministrator,
}

/// Which rows a search by identifier sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Those that are not deleted.
    Live,
    /// All.
    Any,
}

/// A table of records.
#[async_trait]
pub trait Records<T: Record + Listed>: Send + Sync {
    /// The record, when it exists and is visible.
    async fn find(&self, id: Uuid, visible: Sight, life: Life) -> Result<Option<T>, StoreError>;
    /// A page of live records.
    async fn list(&self, query: &ListQuery<T::Filter>) -> Result<Page<T>, StoreError>;
    /// Stores a new record, and the reply in the same transaction.
    async fn insert(&self, record: &T, once: Option<&Once>) -> Result<Written, StoreError>;
    /// Stores a changed record if the stored one still has the version before, and the reply in the same
    /// transaction.
    async fn update(&self, record: &T, once: Option<&Once>) -> Result<Written, StoreError>;
}

/// An account: the user, and what their password is checked against.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user.
    pub user: User,
    /// Argon2id, in PHC form.
    pub password_hash: String,
    /// Somebody else chose it, so its holder must choose another before they may do anything else.
    pub password_must_change: bool,
}

/// Who holds an account or a session.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The user.
    pub user: User,
    /// They must choose a password before they may do anything else.
    pub password_must_change: bool,
}

impl From<Account> for Holder {
    fn from(account: Account) -> Self {
        Self { user: account.user, password_must_change: account.password_must_change }
    }
}

/// What became of a refresh token.
#[derive(Debug)]
pub enum Rotation {
    /// There is no such token, or its session ended.
    Refused,
    /// It was used before; the session is ended now.
    Reused,
    /// It is used now, and the new one is stored.
    Done {
        /// Its session.
        session_id: Uuid,
        /// Whose session.
        holder: Box<Holder>,
    },
}

/// Users and their sessions.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// The user, when visible.
    async fn find(&self, id: Uuid, visible: Visibility) -> Result<Option<User>, StoreError>;
    /// A page of users.
    async fn list(&self, query: &ListQuery<<User as Listed>::Filter>) -> Result<Page<User>, StoreError>;
    /// The account with this address (as [`novacrm_api_domain::text::EmailAddress::key`] writes it).
    async fn by_email(&self, email_key: &str) -> Result<Option<Account>, StoreError>;
    /// Stores a new account.
    async fn insert(&self, account: &Account, once: Option<&Once>) -> Result<Written, StoreError>;
    /// Stores a changed user; a new password, another role or a deactivation ends their sessions. A new password is one
    /// that somebody else chose.
    async fn update(&self, user: &User, new_hash: Option<&str>) -> Result<Written, StoreError>;
    /// The active account of a user.
    async fn credentials(&self, user: Uuid) -> Result<Option<Account>, StoreError>;
    /// Stores a password that its holder chose, if the stored one still has the hash `before`, and ends their sessions
    /// but `keep`. [`Written::Gone`] when it has another.
    async fn change_password(
        &self,
        user: Uuid,
        before: &str,
        new_hash: &str,
        keep: Uuid,
        now: OffsetDateTime,
    ) -> Result<Written, StoreError>;
    /// Stores a session and its first refresh token.
    async fn start_session(
        &self,
        id: Uuid,
        user: Uuid,
        refresh_hash: &[u8],
        now: OffsetDateTime,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError>;
    /// Exchanges a refresh token.
    async fn rotate(
        &self,
        used_hash: &[u8],
        next_hash: &[u8],
        now: OffsetDateTime,
    ) -> Result<Rotation, StoreError>;
    /// The active user of a session that did not end.
    async fn session_holder(&self, session: Uuid, now: OffsetDateTime) -> Result<Option<Holder>, StoreError>;
    /// Ends a session.
    async fn end_session(&self, session: Uuid, now: OffsetDateTime) -> Result<(), StoreError>;
}

/// Verdicts.
#[async_trait]
pub trait Assessments: Send + Sync {
    /// The verdict, when visible.
    async fn find(&self, id: Uuid, visible: Sight) -> Result<Option<Assessment>, StoreError>;
    /// Stores a verdict, and the reply in the same transaction.
    async fn insert(&self, assessment: &Assessment, once: &Once) -> Result<(), StoreError>;
    /// The verdicts about a contact, newest first, before a place in the timeline.
    async fn of_contact(
        &self,
        contact: Uuid,
        visible: Visibility,
        before: Option<(OffsetDateTime, Uuid)>,
        limit: u32,
    ) -> Result<Vec<Assessment>, StoreError>;
}

/// What was erased or removed, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Contacts.
    pub contacts: u64,
    /// Organisations.
    pub organisations: u64,
    /// Interactions, those of the contacts included.
    pub interactions: u64,
    /// Verdicts that were kept for long enough.
    pub assessments: u64,
}

impl std::ops::AddAssign for Erased {
    fn add_assign(&mut self, more: Self) {
        self.contacts += more.contacts;
        self.organisations += more.organisations;
        self.interactions += more.interactions;
        self.assessments += more.assessments;
    }
}

/// Erases records for good, and knows whom the engine has yet to forget.
#[async_trait]
pub trait Erasure: Send + Sync {
    /// Erases a contact, an organisation or an interaction, deleted or not, with everything that names it, and keeps the
    /// reply in the same transaction. The engine has to forget an erased contact, so it joins the queue.
    async fn erase(
        &self,
        resource: Resource,
        id: Uuid,
        now: OffsetDateTime,
        once: Option<&Once>,
    ) -> Result<Written, StoreError>;
    /// Erases records that were deleted before a time, at most so many of each kind; those that another transaction has
    /// locked are left to it.
    async fn erase_deleted(
        &self,
        before: OffsetDateTime,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<Erased, StoreError>;
    /// Removes verdicts that were made before a time, at most so many.
    async fn remove_assessments(&self, before: OffsetDateTime, limit: u32) -> Result<u64, StoreError>;
    /// Takes people whom the engine has to forget from the queue; they are due again at `again_at`, unless they are done
    /// by then.
    async fn take_subjects(
        &self,
        now: OffsetDateTime,
        again_at: OffsetDateTime,
        limit: u32,
    ) -> Result<Vec<Uuid>, StoreError>;
    /// The engine forgot these people in a pass that began at this time. Whoever was erased too shortly before stays in
    /// the queue for a last pass.
    async fn subjects_done(&self, subjects: &[Uuid], began: OffsetDateTime) -> Result<(), StoreError>;
    /// How many people wait in the queue.
    async fn subjects_waiting(&self) -> Result<u64, StoreError>;
}

/// A kept reply, as it is stored.
#[derive(Clone, Debug)]
pub struct KeptReply {
    /// Keyed hash of the request's body.
    pub request: Vec<u8>,
    /// Sealed reply; absent while the request runs.
    pub reply: Option<Vec<u8>>,
}

/// What became of a reservation.
#[derive(Debug)]
pub enum Reserved {
    /// The request may run, under this identifier (the one of the first attempt).
    Run(Uuid),
    /// There is a reply, or the same request runs elsewhere.
    Taken,
}

/// Replies kept for repeated requests.
#[async_trait]
pub trait Replies: Send + Sync {
    /// What is kept under a key.
    async fn find(&self, id: &[u8], now: OffsetDateTime) -> Result<Option<KeptReply>, StoreError>;
    /// Reserves a key for a request that runs outside a transaction. A reservation older than `stale` is taken
    /// over with its identifier, since whoever held it is gone.
    async fn reserve(
        &self,
        id: &[u8],
        request: &[u8],
        now: OffsetDateTime,
        stale: OffsetDateTime,
        expires_at: OffsetDateTime,
    ) -> Result<Reserved, StoreError>;
    /// Gives a reservation back, so that the next attempt may run at once under the same identifier.
    async fn release(&self, id: &[u8]) -> Result<(), StoreError>;
    /// Removes what expired: replies, sessions and their tokens.
    async fn purge(&self, now: OffsetDateTime) -> Result<u64, StoreError>;
}

/// Why the compliance engine gave no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// It cannot be reached, is not ready, or did not answer in time.
    #[error("it cannot be reached")]
    Unavailable,
    /// It does not take the request; the status tells why.
    #[error("it refused the request with {0}")]
    Refused(u16),
    /// Its answer cannot be read.
    #[error("its answer cannot be read")]
    Unreadable,
}

/// The compliance engine.
#[async_trait]
pub trait ComplianceEngine: Send + Sync {
    /// Decides about a text. The request carries a `request_id`, so that it may be sent again.
    async fn analyze(&self, request: &AnalyzeRequest) -> Result<AnalyzeResponse, EngineError>;
    /// Erases what ties audit records to these people, in the next part of the log behind `after`. Returns where to go on,
    /// or nothing when that was all. May be sent again.
    async fn erase_subjects(
        &self,
        subjects: &[String],
        after: Option<u64>,
    ) -> Result<Option<u64>, EngineError>;
    /// The policies in force.
    async fn policies(&self) -> Result<PoliciesInForce, EngineError>;
}
