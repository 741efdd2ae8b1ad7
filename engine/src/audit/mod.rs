//! The audit log in PostgreSQL: decisions in, durable records, signed checkpoints and verified exports out.
//!
//! - [`append`]: many requests, one writer, one transaction for all that wait (group commit).
//! - [`sequence`]: one engine of the tenant's gives each record its place and signs checkpoints.
//! - [`read`]: the log as events, as files, and verified.
//! - [`erase`]: what ties records to a person, gone.
//! - [`reply`]: answers that a caller may ask for again, encrypted.
//!
//! Order without gaps: an appender takes a shared advisory lock before its records get their number and keeps it
//! until they are committed. The sequencer takes the lock alone for a moment and reads the largest number; nothing
//! up to it can appear later. Transaction ids would do as well, but they start anew in a restored database, and
//! any long transaction of another database on the same server would hold them up.

pub mod append;
pub mod erase;
pub mod read;
pub mod reply;
pub mod sequence;

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};

/// The database's schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Advisory lock of `audit_gate` (see the migration).
pub(crate) const GATE_LOCK: i64 = 7_021_967_001;
/// Advisory lock of the one engine that sequences.
pub(crate) const SEQUENCER_LOCK: i64 = 7_021_967_002;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the audit log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The address of the database cannot be read. It holds a password, so it is not shown.
    #[error("the audit database's URL is not valid; expected postgres://user:password@host:port/database")]
    Url,
    /// The database cannot be reached or refused.
    #[error("the audit database: {0}")]
    Database(#[source] sqlx::Error),
    /// It took too long.
    #[error("the audit database did not answer in time")]
    TimedOut,
    /// What is committed could be lost.
    #[error("the audit database does not keep what it commits: `{setting}` is `{value}`; it must be `on`")]
    NotDurable {
        /// The setting of PostgreSQL.
        setting: &'static str,
        /// What it is.
        value: String,
    },
    /// The schema is not there or older.
    #[error("the audit database's schema is not up to date; run `novacrm-engine audit migrate`")]
    Schema,
    /// Migrations failed.
    #[error("the audit database cannot be migrated: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// More requests wait than may wait.
    #[error("the audit log's queue is full")]
    QueueFull,
    /// An engine sequences the log.
    #[error("the audit log is in use: an engine runs that still writes to it")]
    InUse,
    /// The writer is gone; the process is shutting down.
    #[error("the audit log is closed")]
    Closed,
    /// A checkpoint in the database does not verify, so nothing may be built on it.
    #[error("the audit log is damaged: {0}; run `novacrm-engine audit verify`")]
    Damaged(String),
    /// A checkpoint cannot be signed.
    #[error("the audit log's checkpoint: {0}")]
    Checkpoint(#[from] novacrm_engine_core::record::log::CheckpointError),
}

impl From<sqlx::Error> for AuditError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut => Self::TimedOut,
            // `undefined_table`, `undefined_function`.
            sqlx::Error::Database(database)
                if matches!(database.code().as_deref(), Some("42P01" | "42883")) =>
            {
                Self::Schema
            }
            _ => Self::Database(error),
        }
    }
}

/// Whether the log insists on a database that keeps what it commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Refuse to append where `fsync`, `full_page_writes` or `synchronous_commit` is off.
    Required,
    /// Append anyway: for tests on a throwaway database, never for a tenant's.
    Volatile,
}

/// Where the log is.
#[derive(Clone, Debug)]
pub struct Database {
    options: PgConnectOptions,
    durability: Durability,
}

impl Database {
    /// Reads a connection URL.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(url: &str, durability: Durability) -> Result<Self, AuditError> {
        let options = PgConnectOptions::from_str(url).map_err(|_| AuditError::Url)?;
        let options = options.application_name("novacrm-engine").options([
            ("synchronous_commit", "on"),
            ("statement_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "10s"),
        ]);
        Ok(Self { options, durability })
    }

    /// The same database for work on the whole log, which no statement can do within the time a request has.
    #[must_use]
    pub fn unhurried(mut self) -> Self {
        self.options = self.options.options([("statement_timeout", "0")]);
        self
    }

    /// A connection of one's own, on a database that keeps what it commits.
    pub(crate) async fn connect(&self) -> Result<PgConnection, AuditError> {
        let connecting = PgConnection::connect_with(&self.options);
        let mut connection =
            tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| AuditError::TimedOut)??;
        if self.durability == Durability::Required {
            assert_durable(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Whether it can be reached and keeps what it commits.
    ///
    /// # Errors
    /// Says why not.
    pub async fn check(&self) -> Result<(), AuditError> {
        Ok(self.connect().await?.close().await?)
    }

    /// A small pool for reading. It connects when it is first used.
    #[must_use]
    pub fn reader(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(CONNECT_TIMEOUT)
            .idle_timeout(Duration::from_secs(60))
            // The default asks the server before each use, which halves throughput.
            .test_before_acquire(false)
            .connect_lazy_with(self.options.clone())
    }
}

/// Brings the schema up to date. `url` is the migrator's.
///
/// # Errors
/// When the database cannot be reached or a migration fails; a migration that fails leaves nothing behind.
pub async fn migrate(url: &str) -> Result<(), AuditError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| AuditError::Url)?;
    let connecting = PgConnection::connect_with(&options);
    let mut connection =
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| AuditError::TimedOut)??;
    MIGRATIONS.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

async fn assert_durable(connection: &mut PgConnection) -> Result<(), AuditError> {
    let settings = sqlx::query!(
        r#"SELECT current_setting('fsync') AS "fsync!", current_setting('full_page_writes') AS "pages!",
                  current_setting('synchronous_commit') AS "commit!""#
    )
    .fetch_one(connection)
    .await?;
    let settings = [
        ("fsync", settings.fsync),
        ("full_page_writes", settings.pages),
        ("synchronous_commit", settings.commit),
    ];
    match settings.into_iter().find(|(_, value)| value != "on") {
        Some((setting, value)) => Err(AuditError::NotDurable { setting, value }),
        None => Ok(()),
    }
}
