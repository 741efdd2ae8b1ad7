//! Verdicts of the engine.

use async_trait::async_trait;
use novacrm_api_domain::permission::Visibility;
use novacrm_engine_wire::AnalyzeResponse;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Database, commit, store_error};
use crate::services::assessments::Assessment;
use crate::services::list::Sight;
use crate::services::once::Once;
use crate::services::ports::{Assessments, StoreError};

struct Row {
    id: Uuid,
    contact_id: Option<Uuid>,
    owner_id: Uuid,
    created_at: OffsetDateTime,
    verdict: Json<AnalyzeResponse>,
}

impl From<Row> for Assessment {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            contact_id: row.contact_id,
            owner_id: row.owner_id,
            created_at: row.created_at,
            verdict: row.verdict.0,
        }
    }
}

#[async_trait]
impl Assessments for Database {
    async fn find(&self, id: Uuid, visible: Sight) -> Result<Option<Assessment>, StoreError> {
        let found = self
            .read(|| {
                sqlx::query_as!(
                    Row,
                    r#"SELECT id, contact_id, owner_id, created_at, verdict AS "verdict: Json<AnalyzeResponse>"
                     FROM assessments WHERE id = $1 AND ($2::uuid IS NULL OR owner_id = $2)
                         AND (contact_id IS NULL OR EXISTS (SELECT FROM contacts c
                             WHERE c.id = assessments.contact_id AND c.deleted_at IS NULL
                                 AND ($3::uuid IS NULL OR c.owner_id = $3)))"#,
                    id,
                    visible.records.owner(),
                    visible.contacts.owner(),
                )
                .fetch_optional(&self.readers)
            })
            .await?;
        Ok(found.map(Assessment::from))
    }

    async fn insert(&self, assessment: &Assessment, once: &Once) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let failed = |error: sqlx::Error| store_error(&error);
        // An earlier attempt whose commit was not heard of may have stored it already.
        sqlx::query!(
            "INSERT INTO assessments (id, contact_id, owner_id, created_at, verdict) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (id) DO NOTHING",
            assessment.id,
            assessment.contact_id,
            assessment.owner_id,
            assessment.created_at,
            Json(&assessment.verdict) as _,
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        sqlx::query!(
            "UPDATE idempotency SET reply = $2, expires_at = $3, subjects = $4 WHERE id = $1 AND reply IS NULL",
            once.id.as_slice(),
            once.reply,
            once.expires_at,
            &once.subjects,
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        commit(transaction).await.map(drop)
    }

    async fn of_contact(
        &self,
        contact: Uuid,
        visible: Visibility,
        before: Option<(OffsetDateTime, Uuid)>,
        limit: u32,
    ) -> Result<Vec<Assessment>, StoreError> {
        let (at, id) = before.unzip();
        let rows = self
            .read(|| {
                sqlx::query_as!(
                    Row,
                    r#"SELECT id, contact_id, owner_id, created_at, verdict AS "verdict: Json<AnalyzeResponse>"
                     FROM assessments
                     WHERE contact_id = $1 AND ($2::uuid IS NULL OR owner_id = $2)
                         AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
                     ORDER BY created_at DESC, id DESC LIMIT $5"#,
                    contact,
                    visible.owner(),
                    at,
                    id,
                    i64::from(limit) + 1,
                )
                .fetch_all(&self.readers)
            })
            .await?;
        Ok(rows.into_iter().map(Assessment::from).collect())
    }
}
