//! The sequencer: durable records in; their places in the log and signed checkpoints out.
//!
//! Every engine of a tenant runs one; an advisory lock lets one of them work. It does all its writing on the
//! connection that holds the lock, so an engine that lost the lock cannot write. State is a right edge of the
//! tree, resumed from the last checkpoint and the entries behind it; a crash at any point loses nothing.

use std::sync::Arc;
use std::time::Duration;

use novacrm_engine_core::record::log::{CheckpointKey, CheckpointVerifier, Frontier, Hash};
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{AuditError, Database, GATE_LOCK, SEQUENCER_LOCK};

/// How often it looks for new records.
const TICK: Duration = Duration::from_millis(100);
/// Least time between two checkpoints.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// How often an engine without the lock tries for it, and after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How often the lock is tried for before a log is sealed.
const SEAL_TRIES: u32 = 30;
/// Most records of one step.
const STEP: i64 = 5000;

/// Sequences until `shutdown`. Failures are logged and tried again.
pub async fn run(
    database: Database,
    key: Arc<CheckpointKey>,
    sequenced: impl Fn(u64) + Send + 'static,
    shutdown: CancellationToken,
) {
    while !shutdown.is_cancelled() {
        // It ends by itself: what it does last must not be cut off.
        match lead(&database, &key, &sequenced, &shutdown).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "sequencing stopped; it will be tried again"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Waits for the lock and works while it is held.
async fn lead(
    database: &Database,
    key: &CheckpointKey,
    sequenced: &impl Fn(u64),
    shutdown: &CancellationToken,
) -> Result<(), AuditError> {
    let mut connection = database.connect().await?;
    let mut retry = tokio::time::interval(RETRY);
    loop {
        tokio::select! {
            _ = retry.tick() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        if try_lock(&mut connection).await? {
            break;
        }
    }
    let mut log = Log::resume(&mut connection, key).await?;
    tracing::info!(records = log.tree.size(), "sequencing the audit log");
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last_checkpoint: Option<Instant> = None;
    let mut last_sweep = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => {
                // Leave nothing unsigned behind; another engine, or the next start, goes on from here.
                log.advance(&mut connection).await?;
                log.checkpoint(&mut connection, key).await?;
                connection.close().await?;
                return Ok(());
            }
        }
        if log.advance(&mut connection).await? {
            sequenced(log.tree.size());
        }
        if last_checkpoint.is_none_or(|at| at.elapsed() >= CHECKPOINT_INTERVAL)
            && log.checkpoint(&mut connection, key).await?
        {
            last_checkpoint = Some(Instant::now());
        }
        if last_sweep.elapsed() >= Duration::from_secs(3600) {
            last_sweep = Instant::now();
            sqlx::query_scalar!("SELECT audit_drop_expired_replies()").fetch_one(&mut connection).await?;
        }
    }
}

/// Gives every durable record its place and signs the log, when no engine runs any more. Returns how many records it
/// holds.
///
/// # Errors
/// When the database cannot be read, an engine holds the log, or the log is damaged.
pub async fn seal(database: &Database, key: &CheckpointKey) -> Result<u64, AuditError> {
    let mut connection = database.connect().await?;
    let mut tries = 0;
    while !try_lock(&mut connection).await? {
        tries += 1;
        if tries == SEAL_TRIES {
            return Err(AuditError::InUse);
        }
        tokio::time::sleep(RETRY).await;
    }
    let mut log = Log::resume(&mut connection, key).await?;
    while log.advance(&mut connection).await? {}
    log.checkpoint(&mut connection, key).await?;
    connection.close().await?;
    Ok(log.tree.size())
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, AuditError> {
    let held = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "held!""#, SEQUENCER_LOCK);
    Ok(held.fetch_one(connection).await?)
}

struct Log {
    tree: Frontier,
    signed: u64,
    /// Number of the last record that has a place.
    last: i64,
}

impl Log {
    async fn resume(connection: &mut PgConnection, key: &CheckpointKey) -> Result<Self, AuditError> {
        let verifier = CheckpointVerifier::new(&key.verifier_line())?;
        let newest =
            sqlx::query!("SELECT size, note, frontier FROM audit_checkpoint ORDER BY size DESC LIMIT 1")
                .fetch_optional(&mut *connection)
                .await?;
        let mut tree = match newest {
            None => Frontier::default(),
            Some(row) => {
                let size = u64::try_from(row.size).unwrap_or_default();
                let signed = verifier.open(row.note.as_bytes()).map_err(|error| {
                    AuditError::Damaged(format!("the checkpoint of size {size} does not verify: {error}"))
                })?;
                Frontier::from_bytes(size, &row.frontier)
                    .filter(|tree| tree.size() == signed.size && tree.root() == signed.root)
                    .ok_or_else(|| {
                        AuditError::Damaged(format!(
                            "the tree kept with the checkpoint of size {size} is another"
                        ))
                    })?
            }
        };
        let signed = tree.size();
        loop {
            let after = as_i64(tree.size());
            let rows = sqlx::query!(
                "SELECT sequence, leaf_hash FROM audit_entry WHERE sequence > $1 ORDER BY sequence LIMIT $2",
                after,
                STEP
            )
            .fetch_all(&mut *connection)
            .await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                append(&mut tree, row.sequence, &row.leaf_hash)?;
            }
        }
        let last = sqlx::query_scalar!("SELECT n FROM audit_entry WHERE sequence = $1", as_i64(tree.size()));
        let last = last.fetch_optional(connection).await?;
        if last.is_none() && tree.size() > 0 {
            return Err(AuditError::Damaged(format!("entry {} is signed and gone", tree.size())));
        }
        Ok(Self { tree, signed, last: last.unwrap_or_default() })
    }

    /// Gives the records that are settled their places; true when there were any.
    async fn advance(&mut self, connection: &mut PgConnection) -> Result<bool, AuditError> {
        let new = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM audit_record WHERE n > $1) AS "new!""#,
            self.last
        );
        if !new.fetch_one(&mut *connection).await? {
            return Ok(false);
        }
        let settled = settled(connection).await?;
        let before = self.tree.size();
        while self.last < settled {
            let rows = sqlx::query!(
                "INSERT INTO audit_entry (sequence, n, record_id, leaf_hash)
                 SELECT $1 + row_number() OVER (ORDER BY n), n, id, leaf_hash
                 FROM (SELECT n, id, leaf_hash FROM audit_record WHERE n > $2 AND n <= $3 ORDER BY n LIMIT $4) AS next
                 RETURNING sequence, n, leaf_hash",
                as_i64(self.tree.size()),
                self.last,
                settled,
                STEP
            )
            .fetch_all(&mut *connection)
            .await?;
            let Some(last) = rows.iter().map(|row| row.n).max() else { break };
            let mut rows = rows;
            rows.sort_by_key(|row| row.sequence);
            for row in rows {
                append(&mut self.tree, row.sequence, &row.leaf_hash)?;
            }
            self.last = last;
        }
        Ok(self.tree.size() > before)
    }

    /// Signs the tree when it grew; true when it did.
    async fn checkpoint(
        &mut self,
        connection: &mut PgConnection,
        key: &CheckpointKey,
    ) -> Result<bool, AuditError> {
        if self.tree.size() == self.signed {
            return Ok(false);
        }
        sqlx::query!(
            "INSERT INTO audit_checkpoint (size, note, frontier, signed_at) VALUES ($1, $2, $3, $4)",
            as_i64(self.tree.size()),
            key.sign(&self.tree)?,
            self.tree.to_bytes(),
            OffsetDateTime::now_utc()
        )
        .execute(connection)
        .await?;
        self.signed = self.tree.size();
        Ok(true)
    }
}

/// The largest number of a record below which no record can appear any more.
async fn settled(connection: &mut PgConnection) -> Result<i64, AuditError> {
    let mut transaction = connection.begin().await?;
    // Appenders queue behind this lock, so it must not wait long for one that hangs.
    sqlx::query!("SET LOCAL lock_timeout = '500ms'").execute(&mut *transaction).await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", GATE_LOCK).execute(&mut *transaction).await?;
    let largest = sqlx::query_scalar!(r#"SELECT COALESCE(max(n), 0) AS "largest!" FROM audit_record"#)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(largest)
}

fn append(tree: &mut Frontier, sequence: i64, leaf: &[u8]) -> Result<(), AuditError> {
    let leaf = <[u8; 32]>::try_from(leaf).ok().filter(|_| sequence == as_i64(tree.size() + 1));
    let leaf = leaf.ok_or_else(|| AuditError::Damaged(format!("entry {} is missing", tree.size() + 1)))?;
    tree.push(Hash(leaf));
    Ok(())
}

fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
