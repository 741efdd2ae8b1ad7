//! Contacts, with the name of their organisation.

use async_trait::async_trait;
use novacrm_api_domain::contact::{Contact, ContactDetails};
use novacrm_api_domain::text::{EmailAddress, Line, Phone, fold};
use novacrm_api_domain::user::Locale;
use sqlx::{FromRow, Postgres, QueryBuilder};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Database, List, begin_once, commit, meta, not_updated, pattern};
use crate::services::contacts::{ContactFilter, sort_name};
use crate::services::list::{ListQuery, Page, Sight, SortField};
use crate::services::once::Once;
use crate::services::ports::{Life, Records, StoreError, Written};

#[derive(FromRow)]
struct Row {
    id: Uuid,
    first_name: String,
    last_name: String,
    email: Option<String>,
    phone: Option<String>,
    job_title: Option<String>,
    locale: String,
    organisation_id: Option<Uuid>,
    organisation_name: Option<String>,
    do_not_contact: bool,
    owner_id: Uuid,
    version: i64,
    created_at: OffsetDateTime,
    created_by: Uuid,
    updated_at: OffsetDateTime,
    updated_by: Uuid,
    deleted_at: Option<OffsetDateTime>,
}

impl TryFrom<Row> for Contact {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            meta: meta!(row),
            details: ContactDetails {
                first_name: Line::stored(row.first_name),
                last_name: Line::stored(row.last_name),
                email: row.email.map(EmailAddress::stored),
                phone: row.phone.map(Phone::stored),
                job_title: row.job_title.map(Line::stored),
                locale: Locale::of(&row.locale).ok_or(StoreError::Corrupt("contacts"))?,
                organisation_id: row.organisation_id,
                do_not_contact: row.do_not_contact,
            },
            organisation_name: row.organisation_name,
        })
    }
}

fn search_name(details: &ContactDetails) -> String {
    fold(&format!("{} {}", details.first_name.as_str(), details.last_name.as_str()))
}

fn filtered(builder: &mut QueryBuilder<Postgres>, query: &ListQuery<'_, ContactFilter>) {
    builder.push(" WHERE c.deleted_at IS NULL");
    let filter = query.filter;
    if let Some(owner) = query.visible.records.owner() {
        builder.push(" AND c.owner_id = ").push_bind(owner);
    }
    if let Some(owner) = filter.owner_id {
        builder.push(" AND c.owner_id = ").push_bind(owner);
    }
    if let Some(organisation) = filter.organisation_id {
        builder.push(" AND c.organisation_id = ").push_bind(organisation);
    }
    if let Some(email) = &filter.email {
        builder.push(" AND c.email_key = ").push_bind(email.to_ascii_lowercase());
    }
    if let Some(quiet) = filter.do_not_contact {
        builder.push(" AND c.do_not_contact = ").push_bind(quiet);
    }
    if let Some(after) = filter.updated_after {
        builder.push(" AND c.updated_at > ").push_bind(after);
    }
    if let Some(q) = &filter.q {
        let pattern = pattern(q);
        builder.push(" AND (c.search LIKE ").push_bind(pattern.clone());
        builder.push(" OR c.sort LIKE ").push_bind(pattern).push(")");
    }
}

#[async_trait]
impl Records<Contact> for Database {
    async fn find(&self, id: Uuid, visible: Sight, life: Life) -> Result<Option<Contact>, StoreError> {
        let found = self
            .read(|| {
                sqlx::query_as!(
                    Row,
                    r#"SELECT c.id, c.first_name, c.last_name, c.email, c.phone, c.job_title, c.locale,
                         c.organisation_id, o.name AS "organisation_name?", c.do_not_contact, c.owner_id, c.version,
                         c.created_at, c.created_by, c.updated_at, c.updated_by, c.deleted_at
                     FROM contacts c LEFT JOIN organisations o ON o.id = c.organisation_id
                     WHERE c.id = $1 AND ($2::uuid IS NULL OR c.owner_id = $2) AND ($3 OR c.deleted_at IS NULL)"#,
                    id,
                    visible.records.owner(),
                    life == Life::Any,
                )
                .fetch_optional(&self.readers)
            })
            .await?;
        found.map(Contact::try_from).transpose()
    }

    async fn list(&self, query: &ListQuery<ContactFilter>) -> Result<Page<Contact>, StoreError> {
        let column = match query.sort.field {
            SortField::Name => "c.sort",
            SortField::CreatedAt => "c.created_at",
            SortField::UpdatedAt | SortField::OccurredAt => "c.updated_at",
        };
        let list = List {
            rows: "SELECT c.id, c.first_name, c.last_name, c.email, c.phone, c.job_title, c.locale, \
             c.organisation_id, o.name AS organisation_name, c.do_not_contact, c.owner_id, c.version, \
             c.created_at, c.created_by, c.updated_at, c.updated_by, c.deleted_at \
             FROM contacts c LEFT JOIN organisations o ON o.id = c.organisation_id",
            count: "SELECT count(*) FROM contacts c",
            filtered,
            key: (column, "c.id"),
        };
        self.page(&list, query, |row: Row| row.try_into()).await
    }

    async fn insert(&self, record: &Contact, once: Option<&Once>) -> Result<Written, StoreError> {
        let Some(mut transaction) = begin_once(self, once).await? else { return Ok(Written::KeyTaken) };
        let (meta, details) = (&record.meta, &record.details);
        sqlx::query!(
            "INSERT INTO contacts (id, first_name, last_name, search, sort, email, email_key, phone, job_title, locale,
                 organisation_id, do_not_contact, owner_id, version, created_at, created_by, updated_at, updated_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
            meta.id,
            details.first_name.as_str(),
            details.last_name.as_str(),
            search_name(details),
            sort_name(record),
            details.email.as_ref().map(EmailAddress::as_str),
            details.email.as_ref().map(EmailAddress::key),
            details.phone.as_ref().map(Phone::as_str),
            details.job_title.as_ref().map(Line::as_str),
            details.locale.as_str(),
            details.organisation_id,
            details.do_not_contact,
            meta.owner_id,
            meta.version,
            meta.created_at,
            meta.created_by,
            meta.updated_at,
            meta.updated_by,
        )
        .execute(&mut *transaction)
        .await
        .map_err(|error| super::store_error(&error))?;
        commit(transaction).await
    }

    async fn update(&self, record: &Contact, once: Option<&Once>) -> Result<Written, StoreError> {
        let Some(mut transaction) = begin_once(self, once).await? else { return Ok(Written::KeyTaken) };
        let (meta, details) = (&record.meta, &record.details);
        let updated = sqlx::query!(
            "UPDATE contacts SET first_name = $3, last_name = $4, search = $5, sort = $6, email = $7, email_key = $8,
                 phone = $9, job_title = $10, locale = $11, organisation_id = $12, do_not_contact = $13,
                 owner_id = $14, version = $2 + 1, updated_at = $15, updated_by = $16, deleted_at = $17
             WHERE id = $1 AND version = $2",
            meta.id,
            meta.version - 1,
            details.first_name.as_str(),
            details.last_name.as_str(),
            search_name(details),
            sort_name(record),
            details.email.as_ref().map(EmailAddress::as_str),
            details.email.as_ref().map(EmailAddress::key),
            details.phone.as_ref().map(Phone::as_str),
            details.job_title.as_ref().map(Line::as_str),
            details.locale.as_str(),
            details.organisation_id,
            details.do_not_contact,
            meta.owner_id,
            meta.updated_at,
            meta.updated_by,
            meta.deleted_at,
        )
        .execute(&mut *transaction)
        .await
        .map_err(|error| super::store_error(&error))?;
        if updated.rows_affected() == 1 {
            return commit(transaction).await;
        }
        let current = sqlx::query_scalar!("SELECT version FROM contacts WHERE id = $1", meta.id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(|error| super::store_error(&error))?;
        Ok(not_updated(current))
    }
}
