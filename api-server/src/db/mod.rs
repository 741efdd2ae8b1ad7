//! PostgreSQL: the repositories behind the traits of [`crate::services::ports`].
//!
//! Queries are checked at compile time but for the dynamic lists. Visibility is a predicate of every query. Reads
//! use connections of their own and are tried again on a dead one, since connections in use are not tested: a test
//! costs a round trip for every request, a restart of the database costs one failed attempt per connection.
//! Transactions and single changes use sqlx's pool, which flushes the rollback of what was not committed.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use self::readers::Readers;
use crate::services::list::{Key, ListQuery, Page, Position};
use crate::services::once::Once;
use crate::services::ports::{StoreError, Written};

pub mod accounts;
pub mod archive;
pub mod assessments;
pub mod contacts;
pub mod erasure;
pub mod interactions;
pub mod migrate;
pub mod organisations;
mod readers;
pub mod replies;

/// Connections for reads, at most. With those for changes a process takes at most 16 of PostgreSQL's, which has 100
/// unless it was told otherwise.
pub const READERS: u32 = 10;
/// Connections for changes, at most.
pub const WRITERS: u32 = 6;
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections are replaced after this time, so that a failover or a rotated password is noticed.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// A connection that nobody used for so long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    readers: Readers,
    writers: PgPool,
}

impl Database {
    /// A database over a pool for changes that exists; reads connect with the same options.
    ///
    /// # Errors
    /// Never in practice.
    pub fn new(writers: PgPool) -> Result<Self, StoreError> {
        let options = writers.connect_options().as_ref().clone();
        let readers = Readers::new(options, READERS as usize, ACQUIRE_TIMEOUT)
            .map_err(|_| StoreError::Failed("connections for reads cannot be set up".to_owned()))?;
        Ok(Self { readers, writers })
    }

    /// Connects as needed; the database need not be there yet.
    ///
    /// # Errors
    /// When the URL cannot be read. It is not part of the message, since it holds a password.
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions =
            url.parse().map_err(|_| StoreError::Failed("an unreadable database URL".to_owned()))?;
        let options = options
            .application_name("novacrm-api-server")
            .options([("statement_timeout", "10s"), ("lock_timeout", "5s")]);
        let writers = PgPoolOptions::new()
            .max_connections(WRITERS)
            .test_before_acquire(false)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_lifetime(MAX_LIFETIME)
            .idle_timeout(IDLE_TIMEOUT)
            .connect_lazy_with(options);
        Self::new(writers)
    }

    /// The version of the last migration that was applied.
    ///
    /// # Errors
    /// When the database is away, or was never migrated.
    pub async fn version(&self) -> Result<i64, StoreError> {
        // Not checked at compile time: the table belongs to the migration tool.
        self.read(|| {
            sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
                .fetch_one(&self.readers)
        })
        .await
    }

    /// Closes connections for reads that nobody used for a while; sqlx's pool does that by itself.
    pub fn close_idle(&self) {
        self.readers.close_idle(IDLE_TIMEOUT);
    }

    /// Runs a read, again while it meets dead connections; there are at most as many as the pool holds.
    async fn read<T, F>(&self, query: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        again(READERS, query).await
    }

    /// A page of a list. Its queries are built anew for each attempt.
    async fn page<R, T, F>(
        &self,
        list: &List<F>,
        query: &ListQuery<'_, F>,
        record: impl Fn(R) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError>
    where
        R: for<'row> FromRow<'row, PgRow> + Send + Unpin,
    {
        let rows: Vec<R> = self
            .read(|| {
                let mut builder = QueryBuilder::new(list.rows);
                (list.filtered)(&mut builder, query);
                push_page(&mut builder, list.key, query.sort.descending, query.after.as_ref(), query.limit);
                async move { builder.build_query_as().fetch_all(&self.readers).await }
            })
            .await?;
        let count = if query.count {
            let count = self.read(|| {
                let mut builder = QueryBuilder::new(list.count);
                (list.filtered)(&mut builder, query);
                async move { builder.build_query_scalar().fetch_one(&self.readers).await }
            });
            Some(count.await?)
        } else {
            None
        };
        let records = rows.into_iter().map(record).collect::<Result<_, _>>()?;
        Ok(Page { records, count })
    }

    /// Begins a transaction. Nothing was done yet when that fails, so it is tried again as a read is.
    async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        again(WRITERS, || self.writers.begin()).await
    }
}

/// How a kind of record is listed.
struct List<F> {
    /// `SELECT … FROM …`.
    rows: &'static str,
    /// `SELECT count(*) FROM …`, without what only the columns need.
    count: &'static str,
    /// Adds `WHERE …`, for both.
    filtered: fn(&mut QueryBuilder<Postgres>, &ListQuery<'_, F>),
    /// The column to sort by, and that of the identifier.
    key: (&'static str, &'static str),
}

/// Does something again while it meets dead connections, of which there may be so many.
async fn again<T, F>(mut left: u32, mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    loop {
        match attempt().await {
            Err(error) if left > 0 && is_dead(&error) => left -= 1,
            other => return other.map_err(|error| store_error(&error)),
        }
    }
}

/// The connection is gone; the statement did not run, or it was a read and may run again.
fn is_dead(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        // admin_shutdown, crash_shutdown, cannot_connect_now
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some("57P01" | "57P02" | "57P03"))
        }
        _ => false,
    }
}

/// Names of unique indexes and foreign keys, and the field each belongs to.
const CONSTRAINTS: &[(&str, &str)] = &[
    ("contacts_email", "email"),
    ("organisations_domain", "domain"),
    ("organisations_siren", "siren"),
    ("users_email_key_key", "email"),
    ("contacts_owner_id_fkey", "owner_id"),
    ("organisations_owner_id_fkey", "owner_id"),
    ("interactions_owner_id_fkey", "owner_id"),
    ("contacts_organisation_id_fkey", "organisation_id"),
    ("interactions_contact_id_fkey", "contact_id"),
    ("assessments_contact_id_fkey", "contact_id"),
];

/// What a failure means. Messages of the database may quote values, so none is kept.
fn store_error(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(database) => {
            let field = database.constraint().and_then(|name| {
                CONSTRAINTS.iter().find(|(constraint, _)| *constraint == name).map(|(_, field)| *field)
            });
            match (database.code().as_deref(), field) {
                (Some("23505"), Some(field)) => StoreError::Duplicate { field },
                (Some("23503"), Some(field)) => StoreError::UnknownReference { field },
                // Connection exceptions, insufficient resources (a full disk, too many connections), and the server
                // being stopped: classes of PostgreSQL's Appendix A.
                (Some(code), _) if ["08", "53", "57P"].iter().any(|class| code.starts_with(class)) => {
                    StoreError::Unavailable
                }
                (code, _) => StoreError::Failed(format!("SQLSTATE {}", code.unwrap_or("unknown"))),
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreError::Unavailable,
        sqlx::Error::RowNotFound => StoreError::Failed("a row that must exist is missing".to_owned()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreError::Corrupt("a table"),
        _ => StoreError::Failed("an error of the driver".to_owned()),
    }
}

/// Keeps a reply within a transaction. `false`: another one is kept under the same key. Waits for a transaction
/// that is about to keep one.
async fn keep(transaction: &mut Transaction<'static, Postgres>, once: &Once) -> Result<bool, StoreError> {
    let kept = sqlx::query!(
        "INSERT INTO idempotency (id, request, run_id, expires_at, reply, subjects) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET request = excluded.request, reply = excluded.reply,
             expires_at = excluded.expires_at, subjects = excluded.subjects
         WHERE idempotency.expires_at <= excluded.expires_at - interval '24 hours'",
        once.id.as_slice(),
        once.request.as_slice(),
        Uuid::now_v7(),
        once.expires_at,
        once.reply,
        &once.subjects,
    )
    .execute(&mut **transaction)
    .await
    .map_err(|error| store_error(&error))?;
    Ok(kept.rows_affected() == 1)
}

/// Commits a new record, or rolls back when the key is taken.
async fn begin_once(
    database: &Database,
    once: Option<&Once>,
) -> Result<Option<Transaction<'static, Postgres>>, StoreError> {
    let mut transaction = database.begin().await?;
    if let Some(once) = once
        && !keep(&mut transaction, once).await?
    {
        return Ok(None);
    }
    Ok(Some(transaction))
}

async fn commit(transaction: Transaction<'static, Postgres>) -> Result<Written, StoreError> {
    transaction.commit().await.map_err(|error| store_error(&error))?;
    Ok(Written::Done)
}

/// What it means that an update met no row of the version before.
fn not_updated(current: Option<i64>) -> Written {
    current.map_or(Written::Gone, Written::Stale)
}

/// A search within folded text, as a pattern for `LIKE`.
fn pattern(q: &str) -> String {
    let folded = novacrm_api_domain::text::fold(q);
    let mut pattern = String::with_capacity(folded.len() + 2);
    pattern.push('%');
    for char in folded.chars() {
        if matches!(char, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('%');
    pattern
}

/// Ends a list query: behind a position, sorted, one row more than asked for.
fn push_page(
    builder: &mut QueryBuilder<Postgres>,
    (column, id): (&str, &str),
    descending: bool,
    after: Option<&Position>,
    limit: u32,
) {
    let (less, order) = if descending { ("<", "DESC") } else { (">", "ASC") };
    if let Some(position) = after {
        builder.push(format_args!(" AND ({column}, {id}) {less} ("));
        match &position.key {
            Key::Text(text) => {
                // The column's own collation must decide, not that of the parameter.
                builder.push_bind(text.clone()).push(" COLLATE \"C\"");
            }
            Key::Micros(micros) => {
                let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(*micros) * 1000)
                    .unwrap_or(OffsetDateTime::UNIX_EPOCH);
                builder.push_bind(at);
            }
        }
        builder.push(", ").push_bind(position.id).push(")");
    }
    // The limit stands in the text: of one that is bound PostgreSQL must expect the worst, so it would plan each run
    // anew, which costs as much as the run.
    let limit = u64::from(limit) + 1;
    builder.push(format_args!(" ORDER BY {column} {order}, {id} {order} LIMIT {limit}"));
}

/// Builds the identity and history of a record from a row that has their columns.
macro_rules! meta {
    ($row:ident) => {
        novacrm_api_domain::record::Meta {
            id: $row.id,
            owner_id: $row.owner_id,
            version: $row.version,
            created_at: $row.created_at,
            created_by: $row.created_by,
            updated_at: $row.updated_at,
            updated_by: $row.updated_by,
            deleted_at: $row.deleted_at,
        }
    };
}
pub(crate) use meta;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_pattern_takes_wildcards_by_the_letter() {
        assert_eq!(pattern("100%_É\\"), "%100\\%\\_e\\\\%");
    }
}
