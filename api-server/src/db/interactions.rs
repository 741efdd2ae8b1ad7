//! Interactions.

use async_trait::async_trait;
use novacrm_api_domain::interaction::{Direction, Interaction, InteractionDetails, Kind};
use novacrm_api_domain::text::{Line, Prose, fold};
use sqlx::{FromRow, Postgres, QueryBuilder};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Database, List, begin_once, commit, meta, not_updated, pattern, store_error};
use crate::services::interactions::InteractionFilter;
use crate::services::list::{ListQuery, Page, Sight, SortField};
use crate::services::once::Once;
use crate::services::ports::{Life, Records, StoreError, Written};

#[derive(FromRow)]
struct Row {
    id: Uuid,
    contact_id: Uuid,
    kind: String,
    direction: String,
    occurred_at: OffsetDateTime,
    subject: String,
    body: Option<String>,
    owner_id: Uuid,
    version: i64,
    created_at: OffsetDateTime,
    created_by: Uuid,
    updated_at: OffsetDateTime,
    updated_by: Uuid,
    deleted_at: Option<OffsetDateTime>,
}

impl TryFrom<Row> for Interaction {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt("interactions");
        Ok(Self {
            meta: meta!(row),
            details: InteractionDetails {
                contact_id: row.contact_id,
                kind: Kind::of(&row.kind).ok_or_else(corrupt)?,
                direction: Direction::of(&row.direction).ok_or_else(corrupt)?,
                occurred_at: row.occurred_at,
                subject: Line::stored(row.subject),
                body: row.body.map(Prose::stored),
            },
        })
    }
}

fn filtered(builder: &mut QueryBuilder<Postgres>, query: &ListQuery<'_, InteractionFilter>) {
    // The contact decides too: what belongs to one that is deleted, or that the caller may not read, is not there.
    builder.push(
        " WHERE deleted_at IS NULL AND EXISTS (SELECT FROM contacts c WHERE c.id = interactions.contact_id \
         AND c.deleted_at IS NULL",
    );
    if let Some(owner) = query.visible.contacts.owner() {
        builder.push(" AND c.owner_id = ").push_bind(owner);
    }
    builder.push(")");
    let filter = query.filter;
    if let Some(owner) = query.visible.records.owner() {
        builder.push(" AND owner_id = ").push_bind(owner);
    }
    if let Some(owner) = filter.owner_id {
        builder.push(" AND owner_id = ").push_bind(owner);
    }
    if let Some(contact) = filter.contact_id {
        builder.push(" AND contact_id = ").push_bind(contact);
    }
    if let Some(kind) = filter.kind {
        builder.push(" AND kind = ").push_bind(kind.as_str());
    }
    if let Some(after) = filter.occurred_after {
        builder.push(" AND occurred_at > ").push_bind(after);
    }
    if let Some(before) = filter.occurred_before {
        builder.push(" AND occurred_at < ").push_bind(before);
    }
    if let Some(q) = &filter.q {
        builder.push(" AND search LIKE ").push_bind(pattern(q));
    }
}

#[async_trait]
impl Records<Interaction> for Database {
    async fn find(&self, id: Uuid, visible: Sight, life: Life) -> Result<Option<Interaction>, StoreError> {
        let found = self
            .read(|| {
                sqlx::query_as!(
                    Row,
                    "SELECT id, contact_id, kind, direction, occurred_at, subject, body, owner_id, version,
                         created_at, created_by, updated_at, updated_by, deleted_at
                     FROM interactions
                     WHERE id = $1 AND ($2::uuid IS NULL OR owner_id = $2) AND ($3 OR deleted_at IS NULL)
                         AND EXISTS (SELECT FROM contacts c WHERE c.id = interactions.contact_id
                             AND c.deleted_at IS NULL AND ($4::uuid IS NULL OR c.owner_id = $4))",
                    id,
                    visible.records.owner(),
                    life == Life::Any,
                    visible.contacts.owner(),
                )
                .fetch_optional(&self.readers)
            })
            .await?;
        found.map(Interaction::try_from).transpose()
    }

    async fn list(&self, query: &ListQuery<InteractionFilter>) -> Result<Page<Interaction>, StoreError> {
        let column = match query.sort.field {
            SortField::CreatedAt => "created_at",
            _ => "occurred_at",
        };
        let list = List {
            rows: "SELECT id, contact_id, kind, direction, occurred_at, subject, body, owner_id, version, \
             created_at, created_by, updated_at, updated_by, deleted_at FROM interactions",
            count: "SELECT count(*) FROM interactions",
            filtered,
            key: (column, "id"),
        };
        self.page(&list, query, |row: Row| row.try_into()).await
    }

    async fn insert(&self, record: &Interaction, once: Option<&Once>) -> Result<Written, StoreError> {
        let Some(mut transaction) = begin_once(self, once).await? else { return Ok(Written::KeyTaken) };
        let (meta, details) = (&record.meta, &record.details);
        sqlx::query!(
            "INSERT INTO interactions (id, contact_id, kind, direction, occurred_at, subject, search, body, owner_id,
                 version, created_at, created_by, updated_at, updated_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            meta.id,
            details.contact_id,
            details.kind.as_str(),
            details.direction.as_str(),
            details.occurred_at,
            details.subject.as_str(),
            fold(details.subject.as_str()),
            details.body.as_ref().map(Prose::as_str),
            meta.owner_id,
            meta.version,
            meta.created_at,
            meta.created_by,
            meta.updated_at,
            meta.updated_by,
        )
        .execute(&mut *transaction)
        .await
        .map_err(|error| store_error(&error))?;
        commit(transaction).await
    }

    async fn update(&self, record: &Interaction, once: Option<&Once>) -> Result<Written, StoreError> {
        let Some(mut transaction) = begin_once(self, once).await? else { return Ok(Written::KeyTaken) };
        let (meta, details) = (&record.meta, &record.details);
        let updated = sqlx::query!(
            "UPDATE interactions SET kind = $3, direction = $4, occurred_at = $5, subject = $6, search = $7, body = $8,
                 owner_id = $9, version = $2 + 1, updated_at = $10, updated_by = $11, deleted_at = $12
             WHERE id = $1 AND version = $2",
            meta.id,
            meta.version - 1,
            details.kind.as_str(),
            details.direction.as_str(),
            details.occurred_at,
            details.subject.as_str(),
            fold(details.subject.as_str()),
            details.body.as_ref().map(Prose::as_str),
            meta.owner_id,
            meta.updated_at,
            meta.updated_by,
            meta.deleted_at,
        )
        .execute(&mut *transaction)
        .await
        .map_err(|error| store_error(&error))?;
        if updated.rows_affected() == 1 {
            return commit(transaction).await;
        }
        let current = sqlx::query_scalar!("SELECT version FROM interactions WHERE id = $1", meta.id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(|error| store_error(&error))?;
        Ok(not_updated(current))
    }
}
