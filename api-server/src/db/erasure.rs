//! Erasing records for good, with everything that names them.
//!
//! A record is locked before what belongs to it is looked for: whoever is about to add something to it either is done,
//! and is seen, or waits, and then finds it gone. Replies are looked for last, for the same reason. Batches skip what
//! another replica has locked.

use async_trait::async_trait;
use novacrm_api_domain::permission::Resource;
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Database, begin_once, store_error};
use crate::services::erasure::SETTLED;
use crate::services::once::Once;
use crate::services::ports::{Erased, Erasure, StoreError, Written};

type Change = Transaction<'static, Postgres>;

fn failed(error: sqlx::Error) -> StoreError {
    store_error(&error)
}

/// What hangs on one record may be more than a request's time lets a statement delete; it must not stay for that.
async fn take_time(change: &mut Change) -> Result<(), StoreError> {
    sqlx::query!("SET LOCAL statement_timeout = '120s'").execute(&mut **change).await.map_err(failed)?;
    Ok(())
}

/// Erases contacts that this transaction has locked.
async fn contacts(change: &mut Change, ids: &[Uuid], now: OffsetDateTime) -> Result<Erased, StoreError> {
    if ids.is_empty() {
        return Ok(Erased::default());
    }
    let interactions = sqlx::query!("DELETE FROM interactions WHERE contact_id = ANY ($1)", ids)
        .execute(&mut **change)
        .await
        .map_err(failed)?
        .rows_affected();
    sqlx::query!("UPDATE assessments SET contact_id = NULL WHERE contact_id = ANY ($1)", ids)
        .execute(&mut **change)
        .await
        .map_err(failed)?;
    let contacts = sqlx::query!("DELETE FROM contacts WHERE id = ANY ($1)", ids)
        .execute(&mut **change)
        .await
        .map_err(failed)?
        .rows_affected();
    sqlx::query!(
        "INSERT INTO subject_erasures (subject, due_at, settled_at)
         SELECT subject, $2, $3 FROM UNNEST($1::uuid[]) AS new (subject) ON CONFLICT (subject) DO NOTHING",
        ids,
        now,
        now + SETTLED,
    )
    .execute(&mut **change)
    .await
    .map_err(failed)?;
    replies(change, ids).await?;
    Ok(Erased { contacts, interactions, ..Erased::default() })
}

/// Erases organisations that this transaction has locked. Their contacts stay.
async fn organisations(change: &mut Change, ids: &[Uuid], now: OffsetDateTime) -> Result<Erased, StoreError> {
    if ids.is_empty() {
        return Ok(Erased::default());
    }
    // A new version, since the contact reads differently; and so that a change under way does not put it back.
    sqlx::query!(
        "UPDATE contacts SET organisation_id = NULL, version = version + 1, updated_at = $2
         WHERE organisation_id = ANY ($1)",
        ids,
        now,
    )
    .execute(&mut **change)
    .await
    .map_err(failed)?;
    let organisations = sqlx::query!("DELETE FROM organisations WHERE id = ANY ($1)", ids)
        .execute(&mut **change)
        .await
        .map_err(failed)?
        .rows_affected();
    replies(change, ids).await?;
    Ok(Erased { organisations, ..Erased::default() })
}

/// Erases interactions that this transaction has locked.
async fn interactions(change: &mut Change, ids: &[Uuid]) -> Result<Erased, StoreError> {
    if ids.is_empty() {
        return Ok(Erased::default());
    }
    let interactions = sqlx::query!("DELETE FROM interactions WHERE id = ANY ($1)", ids)
        .execute(&mut **change)
        .await
        .map_err(failed)?
        .rows_affected();
    replies(change, ids).await?;
    Ok(Erased { interactions, ..Erased::default() })
}

/// Removes the kept replies that show one of these records, or may. Reservations hold nothing of a record.
async fn replies(change: &mut Change, ids: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM idempotency WHERE reply IS NOT NULL AND (subjects IS NULL OR subjects && $1)",
        ids
    )
    .execute(&mut **change)
    .await
    .map_err(failed)?;
    Ok(())
}

#[async_trait]
impl Erasure for Database {
    async fn erase(
        &self,
        resource: Resource,
        id: Uuid,
        now: OffsetDateTime,
        once: Option<&Once>,
    ) -> Result<Written, StoreError> {
        let Some(mut change) = begin_once(self, once).await? else { return Ok(Written::KeyTaken) };
        take_time(&mut change).await?;
        let lock = match resource {
            Resource::Contact => {
                sqlx::query_scalar!("SELECT id FROM contacts WHERE id = $1 FOR UPDATE", id)
                    .fetch_optional(&mut *change)
                    .await
            }
            Resource::Organisation => {
                sqlx::query_scalar!("SELECT id FROM organisations WHERE id = $1 FOR UPDATE", id)
                    .fetch_optional(&mut *change)
                    .await
            }
            Resource::Interaction => {
                sqlx::query_scalar!("SELECT id FROM interactions WHERE id = $1 FOR UPDATE", id)
                    .fetch_optional(&mut *change)
                    .await
            }
            Resource::Assessment | Resource::Policy | Resource::User => {
                return Err(StoreError::Failed("a kind of record that is not erased".to_owned()));
            }
        };
        let Some(id) = lock.map_err(failed)? else { return Ok(Written::Gone) };
        match resource {
            Resource::Contact => contacts(&mut change, &[id], now).await?,
            Resource::Organisation => organisations(&mut change, &[id], now).await?,
            _ => interactions(&mut change, &[id]).await?,
        };
        super::commit(change).await
    }

    async fn erase_deleted(
        &self,
        before: OffsetDateTime,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<Erased, StoreError> {
        // One transaction for each kind: none waits for a lock while it holds those of another kind.
        let limit = i64::from(limit);
        let mut change = self.begin().await?;
        take_time(&mut change).await?;
        let due = sqlx::query_scalar!(
            "SELECT id FROM contacts WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED",
            before,
            limit
        )
        .fetch_all(&mut *change)
        .await
        .map_err(failed)?;
        let mut erased = contacts(&mut change, &due, now).await?;
        super::commit(change).await?;
        let mut change = self.begin().await?;
        take_time(&mut change).await?;
        let due = sqlx::query_scalar!(
            "SELECT id FROM organisations WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED",
            before,
            limit
        )
        .fetch_all(&mut *change)
        .await
        .map_err(failed)?;
        erased += organisations(&mut change, &due, now).await?;
        super::commit(change).await?;
        let mut change = self.begin().await?;
        take_time(&mut change).await?;
        let due = sqlx::query_scalar!(
            "SELECT id FROM interactions WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED",
            before,
            limit
        )
        .fetch_all(&mut *change)
        .await
        .map_err(failed)?;
        erased += interactions(&mut change, &due).await?;
        super::commit(change).await?;
        Ok(erased)
    }

    async fn remove_assessments(&self, before: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        let removed = sqlx::query!(
            "DELETE FROM assessments WHERE id IN (
                 SELECT id FROM assessments WHERE created_at < $1 ORDER BY created_at LIMIT $2
                 FOR UPDATE SKIP LOCKED)",
            before,
            i64::from(limit)
        )
        .execute(&self.writers)
        .await
        .map_err(failed)?;
        Ok(removed.rows_affected())
    }

    async fn take_subjects(
        &self,
        now: OffsetDateTime,
        again_at: OffsetDateTime,
        limit: u32,
    ) -> Result<Vec<Uuid>, StoreError> {
        sqlx::query_scalar!(
            "UPDATE subject_erasures SET due_at = $2 WHERE subject IN (
                 SELECT subject FROM subject_erasures WHERE due_at <= $1 ORDER BY due_at LIMIT $3
                 FOR UPDATE SKIP LOCKED)
             RETURNING subject",
            now,
            again_at,
            i64::from(limit)
        )
        .fetch_all(&self.writers)
        .await
        .map_err(failed)
    }

    async fn subjects_done(&self, subjects: &[Uuid], began: OffsetDateTime) -> Result<(), StoreError> {
        let mut change = self.begin().await?;
        sqlx::query!(
            "DELETE FROM subject_erasures WHERE subject = ANY ($1) AND settled_at <= $2",
            subjects,
            began
        )
        .execute(&mut *change)
        .await
        .map_err(failed)?;
        sqlx::query!("UPDATE subject_erasures SET due_at = settled_at WHERE subject = ANY ($1)", subjects)
            .execute(&mut *change)
            .await
            .map_err(failed)?;
        super::commit(change).await.map(drop)
    }

    async fn subjects_waiting(&self) -> Result<u64, StoreError> {
        let waiting = self
            .read(|| {
                sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM subject_erasures"#)
                    .fetch_one(&self.readers)
            })
            .await?;
        Ok(u64::try_from(waiting).unwrap_or_default())
    }
}
