//! The connections that reads use: options in, a connection on loan out.
//!
//! sqlx's own pool asks the server for a sign of life after every use, since that also flushes a rollback that was
//! left behind. A single statement outside a transaction leaves nothing behind, so for reads that is a round trip
//! for nothing, as costly as the read. Here a connection is on its word: who borrows it says when the statement
//! ended well, and one of whom that was not said is replaced.

use std::fmt;
use std::time::Duration;

use deadpool::managed::{
    self, BuildError, Metrics, Object, Pool, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult,
    Timeouts,
};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use sqlx::postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection as _, Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr};

use super::MAX_LIFETIME;

/// A connection that rested for longer is asked for a sign of life before it is lent again.
const TRUSTED: Duration = Duration::from_secs(10);
/// How long the sign of life may take.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// The first and the longest pause between two tries to reach a database that starts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// A connection, and whether it may be lent again.
struct Reader {
    connection: PgConnection,
    in_order: bool,
}

impl Reader {
    /// Waits for the end of a statement. Only one that is awaited to its end, and ends well, leaves the connection
    /// in order; one that is dropped on the way does not.
    async fn run<'e, T>(
        &'e mut self,
        statement: impl FnOnce(&'e mut PgConnection) -> BoxFuture<'e, Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        self.in_order = false;
        let result = statement(&mut self.connection).await;
        self.in_order = result.is_ok();
        result
    }
}

/// Opens connections, and decides which ones are lent again.
struct Manager {
    options: PgConnectOptions,
}

impl managed::Manager for Manager {
    type Type = Reader;
    type Error = sqlx::Error;

    /// Bridges the restart of a database: it asks until whoever waits for the connection gives up.
    async fn create(&self) -> Result<Reader, sqlx::Error> {
        let (mut pause, longest) = PAUSES;
        loop {
            match PgConnection::connect_with(&self.options).await {
                Ok(connection) => return Ok(Reader { connection, in_order: true }),
                Err(error) if is_starting(&error) => {
                    tokio::time::sleep(pause).await;
                    pause = longest.min(pause * 2);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn recycle(&self, reader: &mut Reader, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if !reader.in_order {
            return Err(RecycleError::message("the last statement did not end well"));
        }
        if metrics.age() > MAX_LIFETIME {
            return Err(RecycleError::message("too old"));
        }
        if metrics.last_used() > TRUSTED {
            tokio::time::timeout(PING_TIMEOUT, reader.connection.ping())
                .await
                .map_err(|_| RecycleError::message("no sign of life"))??;
        }
        Ok(())
    }
}

/// Nobody listens yet, or the server says that it starts or has no connection left.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        // cannot_connect_now, too_many_connections
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

/// The connections. Cheap to clone; they are opened as needed.
#[derive(Clone)]
pub(super) struct Readers {
    pool: Pool<Manager>,
    wait: Duration,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Readers({:?})", self.pool.status())
    }
}

impl Readers {
    /// At most `size` connections; a loan waits at most `wait` for one.
    pub(super) fn new(options: PgConnectOptions, size: usize, wait: Duration) -> Result<Self, BuildError> {
        // The one used last is lent first: what few requests need stays warm, the rest can be closed.
        let config = PoolConfig { max_size: size, queue_mode: QueueMode::Lifo, timeouts: Timeouts::new() };
        Ok(Self { pool: Pool::builder(Manager { options }).config(config).build()?, wait })
    }

    /// Lends a connection; fails when none gets free, or none can be opened.
    async fn lend(&self) -> Result<Object<Manager>, sqlx::Error> {
        match tokio::time::timeout(self.wait, self.pool.get()).await {
            Ok(Ok(reader)) => Ok(reader),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(_)) => Err(sqlx::Error::PoolClosed),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Closes what nobody used for so long.
    pub(super) fn close_idle(&self, idle: Duration) {
        self.pool.retain(|_, metrics| metrics.last_used() < idle);
    }
}

/// As sqlx's own pool does it: each statement on some connection.
impl<'c> Executor<'c> for &'c Readers {
    type Database = Postgres;

    /// Reads all rows before it gives the first one, so that a reader who stops early costs no connection.
    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let rows = async move {
            let mut reader = self.lend().await?;
            let rows: Vec<_> =
                reader.run(|connection| connection.fetch_many(query).try_collect().boxed()).await?;
            Ok(stream::iter(rows.into_iter().map(Ok)))
        };
        rows.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut reader = self.lend().await?;
            reader.run(|connection| connection.fetch_optional(query)).await
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut reader = self.lend().await?;
            reader.run(|connection| connection.prepare_with(sql, parameters)).await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut reader = self.lend().await?;
            reader.run(|connection| connection.describe(sql)).await
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sqlx::PgPool;
    use tokio::sync::Barrier;

    use super::*;
    use crate::db::Database;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn readers(pool: &PgPool, size: usize, wait: Duration) -> Readers {
        Readers::new(pool.connect_options().as_ref().clone(), size, wait).unwrap()
    }

    async fn backend(readers: &Readers) -> i32 {
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(readers).await.unwrap()
    }

    /// Waits until so many connections of this database sleep.
    async fn until_asleep(pool: &PgPool, wanted: i64) {
        let asleep = async {
            let count = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND wait_event = 'PgSleep'";
            while sqlx::query_scalar::<_, i64>(count).fetch_one(pool).await.unwrap() != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asleep).await.expect("the statement never ran");
    }

    #[sqlx::test(migrations = false)]
    async fn a_connection_is_lent_again_after_a_statement_that_ended_well(pool: PgPool) {
        let readers = readers(&pool, 2, PATIENCE);
        let first = backend(&readers).await;
        let rows = sqlx::query("SELECT generate_series(1, 1000)").fetch_all(&readers).await.unwrap();
        assert_eq!(rows.len(), 1000);
        assert_eq!(sqlx::query("SELECT 1 WHERE false").fetch_all(&readers).await.unwrap().len(), 0);
        assert_eq!(backend(&readers).await, first);
    }

    #[sqlx::test(migrations = false)]
    async fn a_connection_is_not_lent_again_after_a_read_that_was_cancelled(pool: PgPool) {
        let readers = readers(&pool, 1, PATIENCE);
        let first = backend(&readers).await;
        tokio::select! {
            _ = sqlx::query("SELECT 'of the first', pg_sleep(60)").fetch_optional(&readers) => panic!("it slept"),
            () = until_asleep(&pool, 1) => {}
        }
        // The place is free again, and the answer is the second statement's, not the first's.
        let answer: String = sqlx::query_scalar("SELECT 'of the second'").fetch_one(&readers).await.unwrap();
        assert_eq!(answer, "of the second");
        assert_ne!(backend(&readers).await, first);
    }

    #[sqlx::test(migrations = false)]
    async fn a_connection_is_not_lent_again_after_an_error(pool: PgPool) {
        let readers = readers(&pool, 1, PATIENCE);
        let first = backend(&readers).await;
        sqlx::query("SELECT 1 / 0").fetch_all(&readers).await.unwrap_err();
        assert_ne!(backend(&readers).await, first);
    }

    #[sqlx::test(migrations = false)]
    async fn who_waits_too_long_for_a_connection_is_told_that_none_is_available(pool: PgPool) {
        let readers = readers(&pool, 1, Duration::from_millis(100));
        let taken = readers.lend().await.unwrap();
        let error = sqlx::query("SELECT 1").fetch_one(&readers).await.unwrap_err();
        assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error}");
        drop(taken);
        backend(&readers).await;
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_waited_for_and_then_unavailable() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port);
        let readers = Readers::new(options, 1, Duration::from_millis(100)).unwrap();
        let error = sqlx::query("SELECT 1").fetch_one(&readers).await.unwrap_err();
        assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error}");
    }

    #[sqlx::test(migrations = false)]
    async fn what_nobody_uses_is_closed(pool: PgPool) {
        let readers = readers(&pool, 1, PATIENCE);
        let first = backend(&readers).await;
        readers.close_idle(PATIENCE);
        assert_eq!(backend(&readers).await, first);
        readers.close_idle(Duration::ZERO);
        assert_ne!(backend(&readers).await, first);
    }

    #[sqlx::test(migrations = false)]
    async fn reads_succeed_after_the_server_ended_every_connection(pool: PgPool) {
        let database = Database::new(pool.clone()).unwrap();
        let together = Arc::new(Barrier::new(4));
        let reads = (0..4).map(|_| {
            let (database, together) = (database.clone(), Arc::clone(&together));
            tokio::spawn(async move {
                let mut reader = database.readers.lend().await.unwrap();
                let _ = together.wait().await;
                reader.run(|connection| Box::pin(connection.ping())).await.unwrap();
            })
        });
        for read in reads.collect::<Vec<_>>() {
            read.await.unwrap();
        }
        assert_eq!(database.readers.pool.status().size, 4);
        let ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::query(ended).fetch_all(&pool).await.unwrap();
        let read = database.read(|| sqlx::query_scalar::<_, i32>("SELECT 42").fetch_one(&database.readers));
        assert_eq!(read.await.unwrap(), 42);
    }
}
