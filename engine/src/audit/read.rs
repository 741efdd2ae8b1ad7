//! The log read back: as events, as files, verified, and an answer that is asked for again.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use novacrm_engine_core::record::log::{CheckpointKey, CheckpointVerifier, Frontier, Hash, leaf_hash};
use novacrm_engine_core::record::tiles::{CHECKPOINT_PATH, EntryTooLong, File, TileBuilder};
use novacrm_engine_core::record::verify::{Anchor, Body, DamageKind, LogVerifier, Place};
use novacrm_engine_core::record::{Checkpoint, Damage, Report};
use novacrm_engine_wire::{Event, EventPage};
use sqlx::PgPool;
use uuid::Uuid;

use super::{AuditError, Database, sequence};
use crate::keys::PUBLIC_KEY_FILE;

/// Places that may be missing in a row before the rest of the log counts as gone.
const MAX_GAP: u64 = 100_000;
/// Folder with the log in a [`dump`].
const LOG_FOLDER: &str = "log";
/// Checkpoints whose tree is kept in memory while the log is verified.
const MAX_FRONTIERS: usize = 10_000;

/// The records after a place, in order.
///
/// # Errors
/// When the database cannot be read, or a record is missing: a stream never skips one.
pub async fn events(pool: &PgPool, after: u64, limit: u16) -> Result<EventPage, AuditError> {
    let rows = sqlx::query!(
        r#"SELECT entry.sequence, record.body AS "body?"
           FROM audit_entry entry LEFT JOIN audit_record record USING (n)
           WHERE entry.sequence > $1 ORDER BY entry.sequence LIMIT $2"#,
        as_i64(after),
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    let mut events = Vec::with_capacity(rows.len());
    for (sequence, row) in (after + 1..).zip(rows) {
        let body = row.body.filter(|_| row.sequence == as_i64(sequence));
        let record = body.and_then(|body| serde_json::from_slice(&body).ok());
        let record =
            record.ok_or_else(|| AuditError::Damaged(format!("record {sequence} cannot be read")))?;
        events.push(Event { sequence, record });
    }
    let next = events.last().map_or(after, |event| event.sequence);
    Ok(EventPage { events, next })
}

/// What is known of a request id.
#[derive(Debug)]
pub enum Kept {
    /// Its answer.
    Reply {
        /// What tells another body.
        body_mac: Vec<u8>,
        /// The encrypted answer.
        sealed: Vec<u8>,
    },
    /// It was answered, too long ago to be answered again.
    Spent,
}

/// The answer kept for a request id that the log already holds.
///
/// # Errors
/// When the database cannot be read.
pub async fn kept_reply(pool: &PgPool, request_id: Uuid) -> Result<Kept, AuditError> {
    let row = sqlx::query!(
        "SELECT body_mac, sealed FROM audit_reply WHERE request_id = $1 AND expires_at > now()",
        request_id
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map_or(Kept::Spent, |row| Kept::Reply { body_mac: row.body_mac, sealed: row.sealed }))
}

/// Why the log could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// There is no checkpoint yet, so nothing could be verified.
    #[error("the log has no checkpoint yet; one is signed within a second of the first record")]
    Empty,
    /// The folder holds an export already.
    #[error("{0} holds an exported log already; name an empty folder")]
    NotEmpty(PathBuf),
    /// A record in the database is longer than any that was ever appended.
    #[error("record {sequence}: {source}; run `novacrm-engine audit verify`")]
    Entry {
        /// Its place.
        sequence: u64,
        /// What is wrong.
        source: EntryTooLong,
    },
    /// A file cannot be written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl From<sqlx::Error> for ExportError {
    fn from(error: sqlx::Error) -> Self {
        Self::Audit(error.into())
    }
}

/// Writes the log up to its newest checkpoint into a folder, as C2SP `tlog-tiles`. A damaged log is exported with
/// its damage. Returns how many records it holds.
///
/// # Errors
/// When the database cannot be read or a file cannot be written. The checkpoint is written last, so a folder
/// without it is an export that did not end.
pub async fn export(pool: &PgPool, dir: &Path, progress: impl Fn(u64, u64)) -> Result<u64, ExportError> {
    if dir.join(CHECKPOINT_PATH).exists() {
        return Err(ExportError::NotEmpty(dir.to_owned()));
    }
    let newest = sqlx::query!("SELECT size, note FROM audit_checkpoint ORDER BY size DESC LIMIT 1")
        .fetch_optional(pool)
        .await?
        .ok_or(ExportError::Empty)?;
    let size = u64::try_from(newest.size).unwrap_or_default();
    let mut rows = sqlx::query!(
        r#"SELECT entry.sequence, entry.leaf_hash, record.body AS "body?"
           FROM audit_entry entry LEFT JOIN audit_record record USING (n)
           WHERE entry.sequence <= $1 ORDER BY entry.sequence"#,
        newest.size
    )
    .fetch(pool);
    let mut builder = TileBuilder::default();
    let mut files = Vec::new();
    let mut sequence = 0;
    while let Some(row) = rows.try_next().await? {
        let here = u64::try_from(row.sequence).unwrap_or_default();
        // What is missing leaves an empty place, which verification finds.
        while sequence + 1 < here {
            sequence += 1;
            add(&mut builder, sequence, &[], &[], &mut files)?;
        }
        sequence = here;
        add(&mut builder, sequence, row.body.as_deref().unwrap_or_default(), &row.leaf_hash, &mut files)?;
        for File { path, bytes } in files.drain(..) {
            write(dir, &path, &bytes)?;
            progress(sequence, size);
        }
    }
    builder.finish(&mut files);
    for File { path, bytes } in files {
        write(dir, &path, &bytes)?;
    }
    write(dir, CHECKPOINT_PATH, newest.note.as_bytes())?;
    progress(sequence, size);
    Ok(sequence)
}

fn add(
    builder: &mut TileBuilder,
    sequence: u64,
    body: &[u8],
    leaf: &[u8],
    files: &mut Vec<File>,
) -> Result<(), ExportError> {
    builder.push(body, hash(leaf), files).map_err(|source| ExportError::Entry { sequence, source })
}

/// A last copy of a log that nobody writes to any more: its public key, and what [`export`] writes of it. A log that
/// holds nothing, or whose schema was never made, is its key alone. A whole copy that is there already is left as it is.
/// Returns how many records the log holds.
///
/// # Errors
/// When an engine still writes to it, the database cannot be read, or a file cannot be written.
pub async fn dump(
    database: &Database,
    key: &CheckpointKey,
    dir: &Path,
    progress: impl Fn(u64, u64),
) -> Result<u64, ExportError> {
    let log = dir.join(LOG_FOLDER);
    let size = match sequence::seal(database, key).await {
        Ok(size) => size,
        Err(AuditError::Schema) => 0,
        Err(error) => return Err(error.into()),
    };
    write(dir, PUBLIC_KEY_FILE, format!("{}\n", key.verifier_line()).as_bytes())?;
    // The second line of a checkpoint is the size of the log that it signs.
    let copied = std::fs::read_to_string(log.join(CHECKPOINT_PATH)).unwrap_or_default();
    if size > 0 && copied.lines().nth(1) != Some(size.to_string().as_str()) {
        if log.exists() {
            std::fs::remove_dir_all(&log)
                .map_err(|source| ExportError::File { path: log.clone(), source })?;
        }
        export(&database.reader(), &log, progress).await?;
    }
    Ok(size)
}

/// Writes a file whole: it is on the disk before the next one is begun.
fn write(dir: &Path, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
    let path = dir.join(path);
    let folder = path.parent().unwrap_or(dir);
    let written = || {
        std::fs::create_dir_all(folder)?;
        let mut file = std::fs::File::create(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::File::open(folder)?.sync_all()
    };
    written().map_err(|source| ExportError::File { path: path.clone(), source })
}

/// A verified database: the log's report and what is not in the log yet.
#[derive(Debug, serde::Serialize)]
pub struct DatabaseReport {
    /// The log itself.
    #[serde(flatten)]
    pub log: Report,
    /// Durable records that have no place yet.
    pub pending: u64,
}

/// Verifies the log in the database: every record against what was recorded and signed of it.
///
/// # Errors
/// When the database cannot be read; damage is in the report.
pub async fn verify(
    pool: &PgPool,
    verifier: &CheckpointVerifier,
    kept: &[Checkpoint],
    progress: impl Fn(u64),
) -> Result<DatabaseReport, AuditError> {
    let (anchors, forged) = anchors(pool, verifier, kept).await?;
    let mut log = LogVerifier::new(anchors);
    for damage in forged {
        log.note(damage);
    }
    let mut rows = sqlx::query!(
        r#"SELECT entry.sequence, entry.n, entry.record_id, entry.leaf_hash, record.id AS "id?",
                  record.request_id AS "request_id?", record.leaf_hash AS "record_leaf?", record.body AS "body?"
           FROM audit_entry entry LEFT JOIN audit_record record USING (n) ORDER BY entry.sequence"#
    )
    .fetch(pool);
    let mut sequence = 0;
    let mut last_n = 0;
    while let Some(row) = rows.try_next().await? {
        let here = u64::try_from(row.sequence).unwrap_or_default();
        if here > sequence + MAX_GAP {
            break;
        }
        while sequence + 1 < here {
            sequence += 1;
            log.push(Place { recorded: None, body: Body::Missing, id: None });
        }
        sequence = here;
        if row.n < last_n {
            log.note(edited(Some(sequence), Some(row.record_id), "its number in the database was changed"));
        }
        last_n = last_n.max(row.n);
        let body = row.body.as_deref();
        log.push(Place {
            recorded: Some(hash(&row.leaf_hash)),
            body: body.map_or(Body::Missing, Body::Present),
            id: Some(row.record_id),
        });
        if let Some(body) = body {
            let beside = Beside { id: row.id, request_id: row.request_id, leaf: row.record_leaf.as_deref() };
            for column in beside.differs(body, Some(row.record_id)) {
                let detail = format!("the column {column} beside the record was changed");
                log.note(edited(Some(sequence), Some(row.record_id), &detail));
            }
        }
        if sequence.is_multiple_of(10_000) {
            progress(sequence);
        }
    }
    drop(rows);
    let mut pending = 0;
    let mut rows = sqlx::query!(
        r#"SELECT n, id, request_id, leaf_hash, body FROM audit_record record
           WHERE NOT EXISTS (SELECT FROM audit_entry entry WHERE entry.n = record.n) ORDER BY n"#
    )
    .fetch(pool);
    while let Some(row) = rows.try_next().await? {
        pending += 1;
        let beside = Beside { id: Some(row.id), request_id: row.request_id, leaf: Some(&row.leaf_hash) };
        if row.n <= last_n {
            log.note(edited(None, Some(row.id), "it has no place in the log, though later records have"));
        } else if !beside.differs(&row.body, None).is_empty() {
            log.note(edited(None, Some(row.id), "its content is not what was recorded; it has no place yet"));
        }
    }
    Ok(DatabaseReport { log: log.finish(), pending })
}

/// The checkpoints that verify, and those that do not.
async fn anchors(
    pool: &PgPool,
    verifier: &CheckpointVerifier,
    kept: &[Checkpoint],
) -> Result<(Vec<Anchor>, Vec<Damage>), AuditError> {
    let count =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM audit_checkpoint"#).fetch_one(pool).await?;
    let every = 1 + usize::try_from(count).unwrap_or_default() / MAX_FRONTIERS;
    let mut anchors: Vec<Anchor> =
        kept.iter().map(|checkpoint| Anchor { checkpoint: *checkpoint, frontier: None }).collect();
    let mut forged = Vec::new();
    let mut rows =
        sqlx::query!("SELECT size, note, frontier FROM audit_checkpoint ORDER BY size").fetch(pool);
    let mut number = 0_usize;
    while let Some(row) = rows.try_next().await? {
        number += 1;
        let size = u64::try_from(row.size).unwrap_or_default();
        let damage =
            |detail| Damage { kind: DamageKind::ForgedCheckpoint, sequence: Some(size), id: None, detail };
        match verifier.open(row.note.as_bytes()) {
            Ok(checkpoint) if checkpoint.size == size => {
                let frontier = Frontier::from_bytes(size, &row.frontier);
                if frontier.as_ref().is_none_or(|tree| tree.root() != checkpoint.root) {
                    forged.push(damage(format!(
                        "the tree kept with the checkpoint of size {size} was changed"
                    )));
                }
                let frontier = frontier.filter(|_| number.is_multiple_of(every));
                anchors.push(Anchor { checkpoint, frontier });
            }
            Ok(_) => forged.push(damage(format!("the checkpoint of size {size} says another size"))),
            Err(error) => forged.push(damage(format!("the checkpoint of size {size}: {error}"))),
        }
    }
    Ok((anchors, forged))
}

/// What the database repeats of a record beside it.
struct Beside<'a> {
    id: Option<Uuid>,
    request_id: Option<Uuid>,
    leaf: Option<&'a [u8]>,
}

impl Beside<'_> {
    /// The columns that say something else than the record. A record that is damaged itself is another matter.
    fn differs(&self, body: &[u8], entry: Option<Uuid>) -> HashSet<&'static str> {
        #[derive(serde::Deserialize)]
        struct Head {
            id: Uuid,
            request: Request,
        }
        #[derive(serde::Deserialize)]
        struct Request {
            #[serde(default)]
            request_id: Option<Uuid>,
        }
        let mut columns = HashSet::new();
        if self.leaf != Some(&leaf_hash(body).0) {
            columns.insert("leaf_hash");
        }
        if let Ok(head) = serde_json::from_slice::<Head>(body) {
            if self.id != Some(head.id) {
                columns.insert("id");
            }
            if entry.is_some_and(|entry| entry != head.id) {
                columns.insert("record_id");
            }
            if self.request_id != head.request.request_id {
                columns.insert("request_id");
            }
        }
        columns
    }
}

fn edited(sequence: Option<u64>, id: Option<Uuid>, detail: &str) -> Damage {
    Damage { kind: DamageKind::Edited, sequence, id, detail: detail.to_owned() }
}

fn hash(bytes: &[u8]) -> Hash {
    Hash(bytes.try_into().unwrap_or_default())
}

fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
