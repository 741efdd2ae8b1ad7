//! Group commit: records of many requests in; each answered once its record is durable.
//!
//! One task owns one connection. It takes all that waits, up to [`BATCH`], writes it with one statement (which is
//! one transaction) and answers every waiter after the commit. While it waits for the disk the next batch gathers,
//! so throughput grows with load and a single request pays for one commit only.
//!
//! A waiter that gets an error knows nothing about its record: it may have been committed before the connection
//! broke. That is the safe side: a record without an answer, never an answer without a record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use novacrm_engine_core::record::EncodedRecord;
use novacrm_engine_core::record::commitment::Salt;
use prometheus_client::metrics::gauge::Gauge;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{AuditError, Database};

/// Most records of one transaction.
const BATCH: usize = 256;
/// How many requests may wait for a record; beyond that they are refused at once.
pub const QUEUE: usize = 2048;
/// How long a batch may take before its requests are refused.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A record to be made durable.
#[derive(Debug)]
pub struct NewRecord {
    /// Its identifier.
    pub id: Uuid,
    /// What stands in the log.
    pub encoded: EncodedRecord,
    /// What makes its commitments verifiable.
    pub salts: Vec<(&'static str, Salt)>,
    /// What is kept for a caller who asks again.
    pub reply: Option<NewReply>,
}

/// An answer to keep.
#[derive(Debug)]
pub struct NewReply {
    /// The caller's identifier.
    pub request_id: Uuid,
    /// What tells another body with the same identifier.
    pub body_mac: [u8; 32],
    /// The encrypted answer.
    pub sealed: Vec<u8>,
    /// When it may be dropped.
    pub expires_at: OffsetDateTime,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is durable.
    Durable,
    /// Another record with the same request id was there first; this one was not written.
    Duplicate,
}

struct Waiting {
    record: NewRecord,
    answer: oneshot::Sender<Result<Appended, Arc<AuditError>>>,
}

/// What the writer tells about itself; see [`Appender::start`].
pub trait Observe: Send + Sync + 'static {
    /// A batch of so many records was committed after so long.
    fn committed(&self, records: usize, took: Duration);
    /// The log can (`None`) or cannot be written to.
    fn state(&self, error: Option<&AuditError>);
}

/// Hands records to the writer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Appender {
    queue: mpsc::Sender<Waiting>,
    depth: Gauge,
}

impl Appender {
    /// Starts the writer, which keeps `depth` at the number of requests that wait. It ends when the last [`Appender`] is dropped and what waits is written.
    #[must_use]
    pub fn start(
        database: Database,
        depth: Gauge,
        observe: impl Observe,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let writer = Writer { database, connection: None, observe, depth: depth.clone() };
        (Self { queue, depth }, tokio::spawn(writer.run(waiting)))
    }

    /// Makes a record durable.
    ///
    /// # Errors
    /// [`AuditError::QueueFull`] at once; else when the database cannot be written to, after at most some
    /// seconds.
    pub async fn append(&self, record: NewRecord) -> Result<Appended, Arc<AuditError>> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Waiting { record, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AuditError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => AuditError::Closed,
        })?;
        self.depth.inc();
        answered.await.map_err(|_| AuditError::Closed)?
    }
}

struct Writer<O> {
    database: Database,
    connection: Option<PgConnection>,
    observe: O,
    depth: Gauge,
}

impl<O: Observe> Writer<O> {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        // Connect before the first request, and again while there is none, so that readiness tells the truth.
        let mut probe = tokio::time::interval(Duration::from_secs(1));
        probe.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                count = waiting.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    self.commit(&mut batch).await;
                }
                _ = probe.tick() => self.probe().await,
            }
        }
    }

    async fn probe(&mut self) {
        let alive = async {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.database.connect().await?,
            };
            let ping =
                sqlx::query_scalar!("SELECT count(*) FROM (SELECT FROM audit_record LIMIT 1) AS first");
            ping.fetch_one(&mut connection).await?;
            Ok::<_, AuditError>(connection)
        };
        match tokio::time::timeout(WRITE_TIMEOUT, alive).await.unwrap_or(Err(AuditError::TimedOut)) {
            Ok(connection) => {
                self.connection = Some(connection);
                self.observe.state(None);
            }
            Err(error) => self.observe.state(Some(&error)),
        }
    }

    async fn commit(&mut self, batch: &mut Vec<Waiting>) {
        let started = Instant::now();
        let count = batch.len();
        // Taken, and put back only after success: a connection that failed or timed out is in an unknown state.
        let connection = self.connection.take();
        let writing = async {
            let mut connection = match connection {
                Some(connection) => connection,
                None => self.database.connect().await?,
            };
            let written = insert(&mut connection, batch).await?;
            Ok::<_, AuditError>((connection, written))
        };
        let outcome = tokio::time::timeout(WRITE_TIMEOUT, writing).await.unwrap_or(Err(AuditError::TimedOut));
        self.depth.dec_by(i64::try_from(count).unwrap_or(i64::MAX));
        // A waiter that is gone (its client hung up) needs no answer; its record stands.
        match outcome {
            Ok((connection, written)) => {
                self.connection = Some(connection);
                self.observe.committed(count, started.elapsed());
                self.observe.state(None);
                for Waiting { record, answer } in batch.drain(..) {
                    let durable = written.contains(&record.id);
                    let _ = answer.send(Ok(if durable { Appended::Durable } else { Appended::Duplicate }));
                }
            }
            Err(error) => {
                self.observe.state(Some(&error));
                let error = Arc::new(error);
                for Waiting { answer, .. } in batch.drain(..) {
                    let _ = answer.send(Err(Arc::clone(&error)));
                }
            }
        }
    }
}

/// Writes a batch with one statement. Returns the records that are in; the others were duplicates.
async fn insert(
    connection: &mut PgConnection,
    batch: &[Waiting],
) -> Result<std::collections::HashSet<Uuid>, AuditError> {
    let records = || batch.iter().map(|waiting| &waiting.record);
    let ids: Vec<Uuid> = records().map(|record| record.id).collect();
    let request_ids: Vec<Option<Uuid>> =
        records().map(|record| record.reply.as_ref().map(|reply| reply.request_id)).collect();
    let leaves: Vec<&[u8]> = records().map(|record| record.encoded.leaf.0.as_slice()).collect();
    let bodies: Vec<&[u8]> = records().map(|record| record.encoded.body.as_slice()).collect();
    let salts = || records().flat_map(|record| record.salts.iter().map(|salt| (record.id, salt)));
    let salt_ids: Vec<Uuid> = salts().map(|(id, _)| id).collect();
    let salt_fields: Vec<&str> = salts().map(|(_, (field, _))| *field).collect();
    let salt_values: Vec<&[u8]> = salts().map(|(_, (_, salt))| salt.as_slice()).collect();
    let replies = || records().filter_map(|record| Some((record.id, record.reply.as_ref()?)));
    let reply_records: Vec<Uuid> = replies().map(|(id, _)| id).collect();
    let reply_ids: Vec<Uuid> = replies().map(|(_, reply)| reply.request_id).collect();
    let macs: Vec<&[u8]> = replies().map(|(_, reply)| reply.body_mac.as_slice()).collect();
    let sealed: Vec<&[u8]> = replies().map(|(_, reply)| reply.sealed.as_slice()).collect();
    let expiries: Vec<OffsetDateTime> = replies().map(|(_, reply)| reply.expires_at).collect();
    let written = sqlx::query_scalar!(
        r#"WITH written AS (
               INSERT INTO audit_record (id, request_id, leaf_hash, body)
               SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[])
               ON CONFLICT (request_id) DO NOTHING
               RETURNING id
           ), salted AS (
               INSERT INTO audit_salt (record_id, field, salt)
               SELECT new.record_id, new.field, new.salt
               FROM UNNEST($5::uuid[], $6::text[], $7::bytea[]) AS new (record_id, field, salt)
               JOIN written ON written.id = new.record_id
           ), replied AS (
               INSERT INTO audit_reply (request_id, body_mac, sealed, expires_at)
               SELECT new.request_id, new.body_mac, new.sealed, new.expires_at
               FROM UNNEST($8::uuid[], $9::uuid[], $10::bytea[], $11::bytea[], $12::timestamptz[])
                   AS new (record_id, request_id, body_mac, sealed, expires_at)
               JOIN written ON written.id = new.record_id
           )
           SELECT id FROM written"#,
        &ids,
        &request_ids as &[Option<Uuid>],
        &leaves as &[&[u8]],
        &bodies as &[&[u8]],
        &salt_ids,
        &salt_fields as &[&str],
        &salt_values as &[&[u8]],
        &reply_records,
        &reply_ids,
        &macs as &[&[u8]],
        &sealed as &[&[u8]],
        &expiries,
    )
    .fetch_all(connection)
    .await?;
    Ok(written.into_iter().collect())
}
