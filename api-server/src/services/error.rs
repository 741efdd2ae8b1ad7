//! Why a use case refused or failed. No variant carries a value from a request.

use novacrm_api_domain::field::{Fault, FieldError, FieldErrors};
use novacrm_api_domain::permission::Permission;

use super::ports::{EngineError, StoreError};

/// Why a use case refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No token, or one that does not hold.
    #[error("not authenticated")]
    Unauthenticated,
    /// Address and password do not belong together, or the account is not active.
    #[error("address or password is wrong")]
    WrongCredentials,
    /// The session ended: by logout, by age, or because a refresh token was used twice.
    #[error("the session ended")]
    SessionEnded,
    /// Too many attempts to log in, or to change a password.
    #[error("too many attempts; try again in {retry_after} s")]
    TooManyAttempts {
        /// Seconds until another attempt makes sense.
        retry_after: u32,
    },
    /// Too much is waiting already; nothing was done.
    #[error("busy; try again in {retry_after} s")]
    Busy {
        /// Seconds until another attempt makes sense.
        retry_after: u32,
    },
    /// Somebody else chose the caller's password, so they must choose one first.
    #[error("the password must be changed first")]
    PasswordMustChange,
    /// The role lacks a permission.
    #[error("the permission {0} is missing")]
    Forbidden(Permission),
    /// It does not exist, or is not visible to who asks.
    #[error("not found")]
    NotFound,
    /// The record changed since it was read.
    #[error("the record has version {current} by now")]
    Stale {
        /// The version it has now.
        current: i64,
    },
    /// Fields are not valid.
    #[error("fields are not valid: {}", named(.0))]
    Invalid(FieldErrors),
    /// Another live record has the same unique value.
    #[error("another record has the same {field}")]
    Duplicate {
        /// Which field.
        field: &'static str,
    },
    /// The last active user of role `direction` cannot be taken away.
    #[error("the last administrator must stay")]
    LastAdministrator,
    /// A cursor that was not made for this list, sort and filters.
    #[error("the cursor does not belong to this list")]
    CursorInvalid,
    /// A field that this list does not sort by.
    #[error("the list does not sort by this")]
    SortUnknown {
        /// The fields it sorts by.
        known: Vec<&'static str>,
    },
    /// The idempotency key was used for another body.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A request with the same idempotency key runs.
    #[error("a request with this idempotency key is running")]
    KeyInFlight,
    /// The engine refused or is away.
    #[error("compliance engine: {0}")]
    Engine(#[from] EngineError),
    /// The database refused or is away.
    #[error("database: {0}")]
    Store(StoreError),
    /// Cryptography or encoding failed; nobody outside can cause it.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl ServiceError {
    /// One field is not valid.
    #[must_use]
    pub fn field(field: &'static str, fault: Fault) -> Self {
        Self::Invalid(vec![FieldError { field, fault }])
    }
}

fn named(errors: &FieldErrors) -> String {
    errors
        .iter()
        .map(|error| format!("{} ({})", error.field, error.fault.code()))
        .collect::<Vec<_>>()
        .join(", ")
}

impl From<FieldErrors> for ServiceError {
    fn from(errors: FieldErrors) -> Self {
        Self::Invalid(errors)
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate { field } => Self::Duplicate { field },
            StoreError::UnknownReference { field } => Self::field(field, Fault::UnknownReference),
            other => Self::Store(other),
        }
    }
}
