//! Replies kept for repeated requests.

use async_trait::async_trait;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Database, store_error};
use crate::services::ports::{KeptReply, Replies, Reserved, StoreError};

#[async_trait]
impl Replies for Database {
    async fn find(&self, id: &[u8], now: OffsetDateTime) -> Result<Option<KeptReply>, StoreError> {
        self.read(|| {
            sqlx::query_as!(
                KeptReply,
                "SELECT request, reply FROM idempotency WHERE id = $1 AND expires_at > $2",
                id,
                now,
            )
            .fetch_optional(&self.readers)
        })
        .await
    }

    async fn reserve(
        &self,
        id: &[u8],
        request: &[u8],
        now: OffsetDateTime,
        stale: OffsetDateTime,
        expires_at: OffsetDateTime,
    ) -> Result<Reserved, StoreError> {
        // One statement, so of two that reserve at once one wins. A reservation that was given back or whose holder
        // is gone keeps its run's identifier; one that expired is a new request.
        let run = sqlx::query_scalar!(
            "INSERT INTO idempotency AS kept (id, request, run_id, started_at, expires_at)
             VALUES ($1, $2, $3, $4, $6)
             ON CONFLICT (id) DO UPDATE SET
                 run_id = CASE WHEN kept.expires_at <= $4 THEN excluded.run_id ELSE kept.run_id END,
                 request = excluded.request, reply = NULL, subjects = NULL, started_at = $4, expires_at = excluded.expires_at
             WHERE kept.expires_at <= $4
                 OR (kept.reply IS NULL AND kept.request = $2 AND (kept.started_at IS NULL OR kept.started_at < $5))
             RETURNING run_id",
            id,
            request,
            Uuid::now_v7(),
            now,
            stale,
            expires_at,
        )
        .fetch_optional(&self.writers)
        .await
        .map_err(|error| store_error(&error))?;
        Ok(run.map_or(Reserved::Taken, Reserved::Run))
    }

    async fn release(&self, id: &[u8]) -> Result<(), StoreError> {
        sqlx::query!("UPDATE idempotency SET started_at = NULL WHERE id = $1 AND reply IS NULL", id)
            .execute(&self.writers)
            .await
            .map_err(|error| store_error(&error))?;
        Ok(())
    }

    async fn purge(&self, now: OffsetDateTime) -> Result<u64, StoreError> {
        let failed = |error: sqlx::Error| store_error(&error);
        let replies = sqlx::query!("DELETE FROM idempotency WHERE expires_at <= $1", now)
            .execute(&self.writers)
            .await
            .map_err(failed)?;
        let sessions = sqlx::query!("DELETE FROM sessions WHERE expires_at <= $1", now)
            .execute(&self.writers)
            .await
            .map_err(failed)?;
        Ok(replies.rows_affected() + sessions.rows_affected())
    }
}
