//! Erasing people: their references in; the salts that tie records to them, and the answers kept of those records, gone.
//!
//! A record names its subject by a commitment of which nobody can tell whose it is without the salt, and each record has
//! a salt of its own (see [`novacrm_engine_core::record::commitment`]). So the records of a person are found by trying
//! the person's reference with each salt. Nothing of the log itself changes.

use novacrm_engine_core::record::commitment::{CommitmentKey, Salt};
use sqlx::PgPool;
use uuid::Uuid;

use super::AuditError;

/// Records that are looked at for one request.
const PAGE: i64 = 1000;

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Salts that are gone.
    pub erased: u64,
    /// Where to go on; absent when every record was looked at.
    pub next: Option<u64>,
}

/// The part of a record that is needed.
#[derive(serde::Deserialize)]
struct Body {
    request: Request,
}

#[derive(serde::Deserialize)]
struct Request {
    #[serde(default)]
    subject: Option<String>,
}

/// Erases the salts of these subjects in the next [`PAGE`] records behind number `after` (0 for the first), and the
/// answers that are kept for these records' requests.
///
/// # Errors
/// When the database cannot be reached, or its role may not append to the log.
pub async fn subjects(
    pool: &PgPool,
    key: &CommitmentKey,
    subjects: &[String],
    after: u64,
) -> Result<Step, AuditError> {
    let rows = sqlx::query!(
        r#"SELECT record.n, record.id, salt.salt AS "salt?",
                  CASE WHEN salt.salt IS NOT NULL THEN record.body END AS body
           FROM (SELECT n, id, body FROM audit_record WHERE n > $1 ORDER BY n LIMIT $2) AS record
           LEFT JOIN audit_salt salt ON salt.record_id = record.id AND salt.field = 'subject'
           ORDER BY record.n"#,
        i64::try_from(after).unwrap_or(i64::MAX),
        PAGE
    )
    .fetch_all(pool)
    .await?;
    let full = i64::try_from(rows.len()).is_ok_and(|count| count == PAGE);
    let next = rows.last().filter(|_| full).and_then(|row| u64::try_from(row.n).ok());
    let concerned: Vec<Uuid> = rows
        .iter()
        .filter(|row| {
            // A record that cannot be read is found by verification; it must not keep others from being erased.
            let salt = row.salt.as_deref().and_then(|salt| Salt::try_from(salt).ok());
            let body = row.body.as_deref().and_then(|body| serde_json::from_slice::<Body>(body).ok());
            let commitment = body.and_then(|body| body.request.subject);
            salt.zip(commitment).is_some_and(|(salt, commitment)| {
                subjects.iter().any(|subject| key.commit("subject", &salt, subject) == commitment)
            })
        })
        .map(|row| row.id)
        .collect();
    if concerned.is_empty() {
        return Ok(Step { erased: 0, next });
    }
    let erased = sqlx::query_scalar!(r#"SELECT audit_erase_subjects($1) AS "erased!""#, &concerned)
        .fetch_one(pool)
        .await?;
    Ok(Step { erased: u64::try_from(erased).unwrap_or_default(), next })
}
