//! Users and their sessions.

use async_trait::async_trait;
use novacrm_api_domain::permission::Visibility;
use novacrm_api_domain::record::Meta;
use novacrm_api_domain::text::{EmailAddress, Line, fold};
use novacrm_api_domain::user::{Locale, Role, User, UserDetails};
use sqlx::{FromRow, Postgres, QueryBuilder};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Database, List, begin_once, commit, not_updated, pattern, store_error};
use crate::services::list::{ListQuery, Page, SortField};
use crate::services::once::Once;
use crate::services::ports::{Account, Accounts, Holder, Rotation, StoreError, Written};
use crate::services::users::UserFilter;

#[derive(FromRow)]
struct Row {
    id: Uuid,
    email: String,
    display_name: String,
    password_hash: String,
    password_must_change: bool,
    role: String,
    locale: String,
    active: bool,
    version: i64,
    created_at: OffsetDateTime,
    created_by: Uuid,
    updated_at: OffsetDateTime,
    updated_by: Uuid,
}

impl TryFrom<Row> for Account {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt("users");
        let details = UserDetails {
            email: EmailAddress::stored(row.email),
            display_name: Line::stored(row.display_name),
            role: Role::of(&row.role).ok_or_else(corrupt)?,
            locale: Locale::of(&row.locale).ok_or_else(corrupt)?,
            active: row.active,
        };
        let meta = Meta {
            id: row.id,
            owner_id: row.id,
            version: row.version,
            created_at: row.created_at,
            created_by: row.created_by,
            updated_at: row.updated_at,
            updated_by: row.updated_by,
            deleted_at: None,
        };
        Ok(Self {
            user: User { meta, details },
            password_hash: row.password_hash,
            password_must_change: row.password_must_change,
        })
    }
}

fn user(row: Option<Row>) -> Result<Option<User>, StoreError> {
    Ok(holder(row)?.map(|holder| holder.user))
}

fn holder(row: Option<Row>) -> Result<Option<Holder>, StoreError> {
    row.map(|row| Account::try_from(row).map(Holder::from)).transpose()
}

fn filtered(builder: &mut QueryBuilder<Postgres>, query: &ListQuery<'_, UserFilter>) {
    builder.push(" WHERE true");
    if let Some(id) = query.visible.records.owner() {
        builder.push(" AND id = ").push_bind(id);
    }
    if let Some(role) = query.filter.role {
        builder.push(" AND role = ").push_bind(role.as_str());
    }
    if let Some(active) = query.filter.active {
        builder.push(" AND active = ").push_bind(active);
    }
    if let Some(q) = &query.filter.q {
        builder.push(" AND sort LIKE ").push_bind(pattern(q));
    }
}

#[async_trait]
impl Accounts for Database {
    async fn find(&self, id: Uuid, visible: Visibility) -> Result<Option<User>, StoreError> {
        let row = self
            .read(|| {
                sqlx::query_as!(
                    Row,
                    "SELECT id, email, display_name, password_hash, password_must_change, role, locale, active,
                         version, created_at, created_by, updated_at, updated_by
                     FROM users WHERE id = $1 AND ($2::uuid IS NULL OR id = $2)",
                    id,
                    visible.owner(),
                )
                .fetch_optional(&self.readers)
            })
            .await?;
        user(row)
    }

    async fn list(&self, query: &ListQuery<UserFilter>) -> Result<Page<User>, StoreError> {
        let column = match query.sort.field {
            SortField::CreatedAt => "created_at",
            _ => "sort",
        };
        let list = List {
            rows: "SELECT id, email, display_name, password_hash, password_must_change, role, locale, active, version, \
             created_at, created_by, updated_at, updated_by FROM users",
            count: "SELECT count(*) FROM users",
            filtered,
            key: (column, "id"),
        };
        self.page(&list, query, |row: Row| Account::try_from(row).map(|account| account.user)).await
    }

    async fn by_email(&self, email_key: &str) -> Result<Option<Account>, StoreError> {
        let row = self
            .read(|| {
                sqlx::query_as!(
                    Row,
                    "SELECT id, email, display_name, password_hash, password_must_change, role, locale, active,
                         version, created_at, created_by, updated_at, updated_by
                     FROM users WHERE email_key = $1",
                    email_key,
                )
                .fetch_optional(&self.readers)
            })
            .await?;
        row.map(Account::try_from).transpose()
    }

    async fn insert(&self, account: &Account, once: Option<&Once>) -> Result<Written, StoreError> {
        let Some(mut transaction) = begin_once(self, once).await? else { return Ok(Written::KeyTaken) };
        let (meta, details) = (&account.user.meta, &account.user.details);
        sqlx::query!(
            "INSERT INTO users (id, email, email_key, display_name, sort, password_hash, role, locale, active,
                 version, created_at, created_by, updated_at, updated_by, password_must_change)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            meta.id,
            details.email.as_str(),
            details.email.key(),
            details.display_name.as_str(),
            fold(details.display_name.as_str()),
            account.password_hash,
            details.role.as_str(),
            details.locale.as_str(),
            details.active,
            meta.version,
            meta.created_at,
            meta.created_by,
            meta.updated_at,
            meta.updated_by,
            account.password_must_change,
        )
        .execute(&mut *transaction)
        .await
        .map_err(|error| store_error(&error))?;
        commit(transaction).await
    }

    async fn update(&self, user: &User, new_hash: Option<&str>) -> Result<Written, StoreError> {
        let mut transaction = self.begin().await?;
        let failed = |error: sqlx::Error| store_error(&error);
        let (meta, details) = (&user.meta, &user.details);
        // All administrators are locked in one order, so of two that demote each other one sees the other's change.
        let administrators = sqlx::query_scalar!(
            "SELECT id FROM users WHERE role = 'direction' AND active ORDER BY id FOR UPDATE"
        )
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        let stays = details.role == Role::Direction && details.active;
        if !stays && administrators == [meta.id] {
            return Ok(Written::LastAdministrator);
        }
        let before = sqlx::query!("SELECT role, version FROM users WHERE id = $1 FOR UPDATE", meta.id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        let Some(before) = before else { return Ok(Written::Gone) };
        if before.version != meta.version - 1 {
            return Ok(not_updated(Some(before.version)));
        }
        sqlx::query!(
            "UPDATE users SET email = $2, email_key = $3, display_name = $4, sort = $5,
                 password_hash = coalesce($6, password_hash),
                 password_must_change = password_must_change OR $6 IS NOT NULL, role = $7, locale = $8,
                 active = $9, version = $10, updated_at = $11, updated_by = $12
             WHERE id = $1",
            meta.id,
            details.email.as_str(),
            details.email.key(),
            details.display_name.as_str(),
            fold(details.display_name.as_str()),
            new_hash,
            details.role.as_str(),
            details.locale.as_str(),
            details.active,
            meta.version,
            meta.updated_at,
            meta.updated_by,
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        if new_hash.is_some() || !details.active || before.role != details.role.as_str() {
            sqlx::query!(
                "UPDATE sessions SET ended_at = $2 WHERE user_id = $1 AND ended_at IS NULL",
                meta.id,
                meta.updated_at,
            )
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        commit(transaction).await
    }

    async fn credentials(&self, user: Uuid) -> Result<Option<Account>, StoreError> {
        let row = self
            .read(|| {
                sqlx::query_as!(
                    Row,
                    "SELECT id, email, display_name, password_hash, password_must_change, role, locale, active,
                         version, created_at, created_by, updated_at, updated_by
                     FROM users WHERE id = $1 AND active",
                    user,
                )
                .fetch_optional(&self.readers)
            })
            .await?;
        row.map(Account::try_from).transpose()
    }

    async fn change_password(
        &self,
        user: Uuid,
        before: &str,
        new_hash: &str,
        keep: Uuid,
        now: OffsetDateTime,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.begin().await?;
        let failed = |error: sqlx::Error| store_error(&error);
        let changed = sqlx::query!(
            "UPDATE users SET password_hash = $3, password_must_change = false, version = version + 1,
                 updated_at = $4, updated_by = $1
             WHERE id = $1 AND password_hash = $2 AND active",
            user,
            before,
            new_hash,
            now,
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        if changed.rows_affected() != 1 {
            return Ok(Written::Gone);
        }
        sqlx::query!(
            "UPDATE sessions SET ended_at = $2 WHERE user_id = $1 AND id <> $3 AND ended_at IS NULL",
            user,
            now,
            keep,
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        commit(transaction).await
    }

    async fn start_session(
        &self,
        id: Uuid,
        user: Uuid,
        refresh_hash: &[u8],
        now: OffsetDateTime,
        expires_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query!(
            "INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
            id,
            user,
            now,
            expires_at,
        )
        .execute(&mut *transaction)
        .await
        .map_err(|error| store_error(&error))?;
        sqlx::query!(
            "INSERT INTO refresh_tokens (hash, session_id, created_at) VALUES ($1, $2, $3)",
            refresh_hash,
            id,
            now,
        )
        .execute(&mut *transaction)
        .await
        .map_err(|error| store_error(&error))?;
        commit(transaction).await.map(drop)
    }

    async fn rotate(
        &self,
        used_hash: &[u8],
        next_hash: &[u8],
        now: OffsetDateTime,
    ) -> Result<Rotation, StoreError> {
        let mut transaction = self.begin().await?;
        let failed = |error: sqlx::Error| store_error(&error);
        let token = sqlx::query!(
            "SELECT t.session_id, t.used_at, s.user_id
             FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id
             WHERE t.hash = $1 AND s.ended_at IS NULL AND s.expires_at > $2
             FOR UPDATE",
            used_hash,
            now,
        )
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
        let Some(token) = token else { return Ok(Rotation::Refused) };
        if token.used_at.is_some() {
            sqlx::query!("UPDATE sessions SET ended_at = $2 WHERE id = $1", token.session_id, now)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            commit(transaction).await?;
            return Ok(Rotation::Reused);
        }
        let row = sqlx::query_as!(
            Row,
            "SELECT id, email, display_name, password_hash, password_must_change, role, locale, active, version,
                 created_at, created_by, updated_at, updated_by
             FROM users WHERE id = $1 AND active",
            token.user_id,
        )
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
        let Some(holder) = holder(row)? else { return Ok(Rotation::Refused) };
        sqlx::query!("UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1", used_hash, now)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query!(
            "INSERT INTO refresh_tokens (hash, session_id, created_at) VALUES ($1, $2, $3)",
            next_hash,
            token.session_id,
            now,
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        commit(transaction).await?;
        Ok(Rotation::Done { session_id: token.session_id, holder: Box::new(holder) })
    }

    async fn session_holder(&self, session: Uuid, now: OffsetDateTime) -> Result<Option<Holder>, StoreError> {
        let row = self
            .read(|| {
                sqlx::query_as!(
                    Row,
                    "SELECT u.id, u.email, u.display_name, u.password_hash, u.password_must_change, u.role, u.locale,
                         u.active, u.version, u.created_at, u.created_by, u.updated_at, u.updated_by
                     FROM sessions s JOIN users u ON u.id = s.user_id
                     WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND u.active",
                    session,
                    now,
                )
                .fetch_optional(&self.readers)
            })
            .await?;
        holder(row)
    }

    async fn end_session(&self, session: Uuid, now: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query!("UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL", session, now)
            .execute(&self.writers)
            .await
            .map_err(|error| store_error(&error))?;
        Ok(())
    }
}
