//! Organisations.

use async_trait::async_trait;
use novacrm_api_domain::organisation::{Organisation, OrganisationDetails};
use novacrm_api_domain::text::{Domain, Line, Siren, VatNumber, fold};
use sqlx::{FromRow, Postgres, QueryBuilder};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Database, List, begin_once, commit, meta, not_updated, pattern, store_error};
use crate::services::list::{ListQuery, Page, Sight, SortField};
use crate::services::once::Once;
use crate::services::organisations::OrganisationFilter;
use crate::services::ports::{Life, Records, StoreError, Written};

#[derive(FromRow)]
struct Row {
    id: Uuid,
    name: String,
    domain: Option<String>,
    siren: Option<String>,
    vat_number: Option<String>,
    owner_id: Uuid,
    version: i64,
    created_at: OffsetDateTime,
    created_by: Uuid,
    updated_at: OffsetDateTime,
    updated_by: Uuid,
    deleted_at: Option<OffsetDateTime>,
}

impl From<Row> for Organisation {
    fn from(row: Row) -> Self {
        Self {
            meta: meta!(row),
            details: OrganisationDetails {
                name: Line::stored(row.name),
                domain: row.domain.map(Domain::stored),
                siren: row.siren.map(Siren::stored),
                vat_number: row.vat_number.map(VatNumber::stored),
            },
        }
    }
}

fn filtered(builder: &mut QueryBuilder<Postgres>, query: &ListQuery<'_, OrganisationFilter>) {
    builder.push(" WHERE deleted_at IS NULL");
    if let Some(owner) = query.visible.records.owner() {
        builder.push(" AND owner_id = ").push_bind(owner);
    }
    if let Some(owner) = query.filter.owner_id {
        builder.push(" AND owner_id = ").push_bind(owner);
    }
    if let Some(q) = &query.filter.q {
        builder.push(" AND sort LIKE ").push_bind(pattern(q));
    }
}

#[async_trait]
impl Records<Organisation> for Database {
    async fn find(&self, id: Uuid, visible: Sight, life: Life) -> Result<Option<Organisation>, StoreError> {
        let found = self
            .read(|| {
                sqlx::query_as!(
                    Row,
                    "SELECT id, name, domain, siren, vat_number, owner_id, version, created_at, created_by,
                         updated_at, updated_by, deleted_at
                     FROM organisations
                     WHERE id = $1 AND ($2::uuid IS NULL OR owner_id = $2) AND ($3 OR deleted_at IS NULL)",
                    id,
                    visible.records.owner(),
                    life == Life::Any,
                )
                .fetch_optional(&self.readers)
            })
            .await?;
        Ok(found.map(Organisation::from))
    }

    async fn list(&self, query: &ListQuery<OrganisationFilter>) -> Result<Page<Organisation>, StoreError> {
        let column = match query.sort.field {
            SortField::Name => "sort",
            SortField::CreatedAt => "created_at",
            SortField::UpdatedAt | SortField::OccurredAt => "updated_at",
        };
        let list = List {
            rows: "SELECT id, name, domain, siren, vat_number, owner_id, version, created_at, created_by, \
             updated_at, updated_by, deleted_at FROM organisations",
            count: "SELECT count(*) FROM organisations",
            filtered,
            key: (column, "id"),
        };
        self.page(&list, query, |row: Row| Ok(row.into())).await
    }

    async fn insert(&self, record: &Organisation, once: Option<&Once>) -> Result<Written, StoreError> {
        let Some(mut transaction) = begin_once(self, once).await? else { return Ok(Written::KeyTaken) };
        let (meta, details) = (&record.meta, &record.details);
        sqlx::query!(
            "INSERT INTO organisations (id, name, sort, domain, siren, vat_number, owner_id, version, created_at,
                 created_by, updated_at, updated_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            meta.id,
            details.name.as_str(),
            fold(details.name.as_str()),
            details.domain.as_ref().map(Domain::as_str),
            details.siren.as_ref().map(Siren::as_str),
            details.vat_number.as_ref().map(VatNumber::as_str),
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

    async fn update(&self, record: &Organisation, once: Option<&Once>) -> Result<Written, StoreError> {
        let Some(mut transaction) = begin_once(self, once).await? else { return Ok(Written::KeyTaken) };
        let (meta, details) = (&record.meta, &record.details);
        let updated = sqlx::query!(
            "UPDATE organisations SET name = $3, sort = $4, domain = $5, siren = $6, vat_number = $7,
                 owner_id = $8, version = $2 + 1, updated_at = $9, updated_by = $10, deleted_at = $11
             WHERE id = $1 AND version = $2",
            meta.id,
            meta.version - 1,
            details.name.as_str(),
            fold(details.name.as_str()),
            details.domain.as_ref().map(Domain::as_str),
            details.siren.as_ref().map(Siren::as_str),
            details.vat_number.as_ref().map(VatNumber::as_str),
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
        let current = sqlx::query_scalar!("SELECT version FROM organisations WHERE id = $1", meta.id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(|error| store_error(&error))?;
        Ok(not_updated(current))
    }
}
