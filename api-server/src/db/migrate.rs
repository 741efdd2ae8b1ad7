//! Migrations: run under an advisory lock, so that two that start at once do not meet.

use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;

use super::store_error;
use crate::services::ports::StoreError;

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Why migrations could not be run.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached.
    #[error("{0}; is NOVACRM_MIGRATION_DATABASE_URL right, and does the database run?")]
    Store(StoreError),
    /// A migration failed.
    #[error("a migration failed, the ones before it stay applied: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// The version this program works with.
#[must_use]
pub fn expected_version() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Brings the database to [`expected_version`].
///
/// # Errors
/// When it cannot be reached, or a migration fails.
pub async fn run(url: &str) -> Result<(), MigrateError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| MigrateError::Store(StoreError::Failed("an unreadable database URL".to_owned())))?;
    let mut connection = options.connect().await.map_err(|error| MigrateError::Store(store_error(&error)))?;
    MIGRATOR.run(&mut connection).await?;
    Ok(())
}
