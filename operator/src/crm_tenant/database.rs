//! Databases and roles of a tenant: a namespace and passwords in, statements out, and a small executor for them.
//!
//! Each tenant has two databases, each with three roles: an owner that cannot log in and owns every object; a
//! migrator that works as the owner; and the one that serves: the CRM's application reads and changes rows, the
//! audit log's writer inserts and selects and nothing else. Nobody else may connect. Every statement can be run
//! again. Passwords reach the server only as SCRAM verifiers, so no log of it can hold one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rand::CryptoRng;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use url::Url;
use zeroize::Zeroizing;

use crate::crm_tenant::generate::{Content, random_password};
use crate::crm_tenant::names;

/// Where a tenant's databases are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A database of a tenant and its roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// The database.
    pub name: String,
    /// Owns every object and cannot log in.
    pub owner: String,
    /// Logs in and works as the owner.
    pub migrator: String,
    /// Logs in to serve.
    pub user: String,
    /// What the serving role may do with tables.
    privileges: &'static str,
}

/// Both databases of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Databases {
    /// The CRM's records.
    pub crm: Database,
    /// The audit log.
    pub audit: Database,
}

/// Passwords of the roles that log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Passwords {
    /// The CRM's application.
    pub api: Zeroizing<String>,
    /// The CRM's migrator.
    pub api_migrator: Zeroizing<String>,
    /// The audit log's writer.
    pub audit: Zeroizing<String>,
    /// The audit log's migrator.
    pub audit_migrator: Zeroizing<String>,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(…)")
    }
}

/// Why a tenant's databases could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A statement failed; the step says which, without values.
    #[error("the databases of {namespace} could not be prepared ({step}): {source}")]
    Statement {
        /// The tenant.
        namespace: String,
        /// What was being done.
        step: &'static str,
        /// What the server said.
        source: sqlx::Error,
    },
}

impl Databases {
    /// The names for a tenant. Different namespaces have different names: hyphens become underscores, which
    /// namespaces cannot hold, and what is too long for PostgreSQL's 63 bytes ends in a digest that begins with a
    /// capital letter, which they cannot hold either.
    #[must_use]
    pub fn of(namespace: &str) -> Self {
        let plain = namespace.replace('-', "_");
        let id = if plain.len() <= 40 {
            plain
        } else {
            let digest = hex::encode(Sha256::digest(namespace));
            let start: String = plain.chars().take(27).collect();
            let digest: String = digest.chars().take(12).collect();
            format!("{start}H{digest}")
        };
        let database = |kind: &str, user: &str, privileges| Database {
            name: format!("novacrm_{id}_{kind}"),
            owner: format!("novacrm_{id}_{kind}_owner"),
            migrator: format!("novacrm_{id}_{kind}_migr"),
            user: format!("novacrm_{id}_{kind}_{user}"),
            privileges,
        };
        Self {
            crm: database("crm", "app", "SELECT, INSERT, UPDATE, DELETE"),
            audit: database("audit", "write", "SELECT, INSERT"),
        }
    }
}

impl Passwords {
    /// The passwords in the Secret of database addresses; new ones where there are none.
    pub fn keep_or_make(existing: Option<&Content>, rng: &mut impl CryptoRng) -> Self {
        let mut password = |key: &str| {
            existing
                .and_then(|content| content.get(key))
                .and_then(|url| Url::parse(url).ok())
                .and_then(|url| url.password().map(|password| Zeroizing::new(password.to_owned())))
                .unwrap_or_else(|| random_password(32, rng))
        };
        Self {
            api: password(names::API_URL),
            api_migrator: password(names::API_MIGRATION_URL),
            audit: password(names::AUDIT_URL),
            audit_migrator: password(names::AUDIT_MIGRATION_URL),
        }
    }
}

/// The content of the Secret of database addresses.
#[must_use]
pub fn urls(namespace: &str, server: &Server, passwords: &Passwords) -> Content {
    let Databases { crm, audit } = Databases::of(namespace);
    let url = |role: &str, password: &str, database: &str| {
        // Names are letters, digits and underscores, passwords letters and digits: nothing needs encoding.
        Zeroizing::new(format!("postgres://{role}:{password}@{}:{}/{database}", server.host, server.port))
    };
    Content::from([
        (names::API_URL.to_owned(), url(&crm.user, &passwords.api, &crm.name)),
        (names::API_MIGRATION_URL.to_owned(), url(&crm.migrator, &passwords.api_migrator, &crm.name)),
        (names::AUDIT_URL.to_owned(), url(&audit.user, &passwords.audit, &audit.name)),
        (names::AUDIT_MIGRATION_URL.to_owned(), url(&audit.migrator, &passwords.audit_migrator, &audit.name)),
    ])
}

impl Database {
    /// Statements for the server: the roles. They may run before the database exists.
    #[must_use]
    pub fn role_statements(&self, migrator_password: &str, user_password: &str) -> Vec<String> {
        let (owner, migrator, user) = (quote(&self.owner), quote(&self.migrator), quote(&self.user));
        let create = |name: &str, quoted: &str| {
            format!(
                "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {}) THEN \
                 CREATE ROLE {quoted}; END IF; END $$",
                literal(name)
            )
        };
        vec![
            create(&self.owner, &owner),
            create(&self.migrator, &migrator),
            create(&self.user, &user),
            format!("ALTER ROLE {owner} NOLOGIN"),
            format!(
                "ALTER ROLE {migrator} LOGIN PASSWORD {}",
                literal(&scram(&self.migrator, migrator_password))
            ),
            format!("ALTER ROLE {user} LOGIN PASSWORD {}", literal(&scram(&self.user, user_password))),
            format!("GRANT {owner} TO {migrator}"),
            // An administrator that is no superuser makes databases only for owners it belongs to.
            format!("GRANT {owner} TO CURRENT_USER"),
        ]
    }

    /// The statement that makes the database. It cannot run inside a transaction.
    #[must_use]
    pub fn create_statement(&self) -> String {
        format!(
            "CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0",
            quote(&self.name),
            quote(&self.owner)
        )
    }

    /// Statements for the database itself: who may do what.
    #[must_use]
    pub fn grant_statements(&self) -> Vec<String> {
        let (name, owner) = (quote(&self.name), quote(&self.owner));
        let (migrator, user) = (quote(&self.migrator), quote(&self.user));
        let privileges = self.privileges;
        vec![
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
            format!("GRANT CONNECT ON DATABASE {name} TO {migrator}, {user}"),
            // What the migrator makes belongs to the owner.
            format!("ALTER ROLE {migrator} IN DATABASE {name} SET role TO {owner}"),
            "REVOKE ALL ON SCHEMA public FROM PUBLIC".to_owned(),
            format!("ALTER SCHEMA public OWNER TO {owner}"),
            format!("GRANT USAGE ON SCHEMA public TO {user}"),
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT {privileges} ON TABLES TO {user}"
            ),
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT USAGE ON SEQUENCES TO {user}"
            ),
        ]
    }
}

/// Makes or mends both databases of a tenant. `administrator` says how to reach the server; its database is
/// replaced.
///
/// # Errors
/// When the server cannot be reached or refuses a statement.
pub async fn provision(
    administrator: &PgConnectOptions,
    namespace: &str,
    passwords: &Passwords,
) -> Result<(), DatabaseError> {
    let Databases { crm, audit } = Databases::of(namespace);
    let failed =
        |step| move |source| DatabaseError::Statement { namespace: namespace.to_owned(), step, source };
    let quiet = administrator.clone().disable_statement_logging();
    let mut server =
        quiet.clone().database("postgres").connect().await.map_err(failed("connecting to the server"))?;
    for (database, migrator, user) in [
        (&crm, &passwords.api_migrator, &passwords.api),
        (&audit, &passwords.audit_migrator, &passwords.audit),
    ] {
        run(&mut server, &database.role_statements(migrator, user)).await.map_err(failed("making roles"))?;
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(&database.name)
            .fetch_one(&mut server)
            .await
            .map_err(failed("looking for the database"))?;
        if !exists {
            run(&mut server, &[database.create_statement()]).await.map_err(failed("making the database"))?;
        }
        let mut own = quiet
            .clone()
            .database(&database.name)
            .connect()
            .await
            .map_err(failed("connecting to the database"))?;
        run(&mut own, &database.grant_statements()).await.map_err(failed("granting privileges"))?;
        own.close().await.map_err(failed("leaving the database"))?;
    }
    server.close().await.map_err(failed("leaving the server"))
}

async fn run(connection: &mut PgConnection, statements: &[String]) -> Result<(), sqlx::Error> {
    for statement in statements {
        // Made of names that are quoted and of verifiers that are literals; nothing in it comes from a manifest
        // as it stands.
        connection.execute(AssertSqlSafe(statement.as_str())).await?;
    }
    Ok(())
}

fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A password as PostgreSQL stores it (RFC 5803): `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
///
/// The salt is derived, so that saying the same twice changes nothing. The passwords are random and of the
/// operator's making, so a salt that an attacker could foresee gains nothing.
fn scram(role: &str, password: &str) -> String {
    const ITERATIONS: u32 = 4096;
    let salt: Vec<u8> =
        Sha256::new().chain_update(role).chain_update([0]).chain_update(password).finalize().to_vec();
    let salt = salt.get(..16).unwrap_or_default();
    // RFC 5802: Hi() is PBKDF2 with HMAC, one block long.
    let mut block = mac(password.as_bytes(), &[salt, &1_u32.to_be_bytes()]);
    let mut salted = block;
    for _ in 1..ITERATIONS {
        block = mac(password.as_bytes(), &[&block]);
        for (sum, byte) in salted.iter_mut().zip(block) {
            *sum ^= byte;
        }
    }
    let stored = Sha256::digest(mac(&salted, &[b"Client Key"]));
    let server = mac(&salted, &[b"Server Key"]);
    format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    )
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length, so this cannot fail; zeros would only make a login fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_fits_postgresql_and_differs_between_tenants() {
        let long = "a".repeat(63);
        let twin = format!("{}b", "a".repeat(62));
        let mut seen = BTreeSet::new();
        for namespace in ["acme", "a-b", "acme-crm", &long, &twin] {
            let Databases { crm, audit } = Databases::of(namespace);
            for name in [
                crm.name,
                crm.owner,
                crm.migrator,
                crm.user,
                audit.name,
                audit.owner,
                audit.migrator,
                audit.user,
            ] {
                assert!(name.len() <= 63, "{name} has {} bytes", name.len());
                assert!(seen.insert(name.clone()), "{name} stands for two things");
            }
        }
    }

    #[test]
    fn passwords_survive_a_change_of_address() {
        let mut rng = rand::rng();
        let first = Passwords::keep_or_make(None, &mut rng);
        let before = urls("acme", &Server { host: "127.0.0.1".into(), port: 1 }, &first);
        let again = Passwords::keep_or_make(Some(&before), &mut rng);
        assert_eq!(first, again);
        let after = urls("acme", &Server { host: "db.example".into(), port: 2 }, &again);
        assert!(after[names::API_URL].ends_with("@db.example:2/novacrm_acme_crm"));
    }

    #[test]
    fn no_statement_holds_a_password() {
        let password = "plainpassword";
        for database in [Databases::of("acme").crm, Databases::of("acme").audit] {
            let mut all = database.role_statements(password, password);
            all.push(database.create_statement());
            all.extend(database.grant_statements());
            assert!(all.iter().all(|statement| !statement.contains(password)));
        }
    }
}
