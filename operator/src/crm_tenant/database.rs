//! Databases and roles of a tenant: who it is, what its Secret says and the time in; statements out, and an executor
//! for them.
//!
//! Each tenant has two databases: the CRM's records and the audit log. Of each,
//!
//! * the *owner* cannot log in and owns every object;
//! * the *group* cannot log in and holds the rights to serve: the CRM's application reads and changes rows, the audit
//!   log's writer inserts and selects and nothing else;
//! * the *readers* cannot log in and may select; the platform team may put people or reports into it;
//! * two pairs of logins, `…_a` and `…_b`, belong to the group and to the owner (the migrator). One pair is in use.
//!
//! Nobody else may connect. A rotation makes the other pair with new passwords, then writes the Secret; pods roll to
//! it while the former pair still works, and only then is that locked. So a password never changes under a process.
//!
//! Roles are marked with the tenant's id. The mark stands on the owner, because a role and its comment are made in
//! one transaction, which a database cannot be: whatever a crash leaves behind, it is known whose it is.
//!
//! Every statement can be run again. Passwords reach the server only as SCRAM verifiers, so no log of it can hold
//! one.

use std::str::FromStr;
use std::time::Duration as StdDuration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use novacrm_crds::conditions::{
    REASON_DATABASE_REFUSED, REASON_DATABASE_UNREACHABLE, REASON_FAILED, REASON_FOREIGN_DATA,
    REASON_PROGRESSING,
};
use rand::CryptoRng;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use url::Url;
use zeroize::Zeroizing;

use crate::condition::rfc3339;
use crate::crm_tenant::generate::{Content, random_password};
use crate::crm_tenant::{Identity, build, names};
use crate::pki::Certificate;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: StdDuration = StdDuration::from_secs(10);
/// Longest time for all of one tenant. `CREATE DATABASE` waits for a checkpoint on servers before version 15.
const TIMEOUT: StdDuration = StdDuration::from_secs(120);
/// The database of the operator's own. Nobody but the administrator may connect to it, so no tenant can take the locks
/// that are held there.
pub const OPERATOR_DATABASE: &str = "novacrm_operator";
/// Where names are looked up that a statement does not qualify: never in a schema that a tenant may create objects in.
const SEARCH_PATH: &str = "pg_catalog,pg_temp";
/// Runs first in every session of the administrator. The owner of a database may set most of these for everybody who
/// connects to it (`ALTER DATABASE … SET`), so each is set again here. No statement waits longer than the first
/// time-out for a lock, or works longer than the second.
const SESSION: &str = "SET search_path = pg_catalog, pg_temp; SET ROLE NONE; SET standard_conforming_strings = on; \
     SET default_transaction_read_only = off; SET row_security = off; SET lock_timeout = '10s'; \
     SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s'; \
     SET client_min_messages = warning";
/// Attempts to make [`OPERATOR_DATABASE`], for runs that meet while they make it.
const ATTEMPTS: u32 = 8;
/// Databases that every server has and that no tenant needs.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];
/// Connections that a pod of the CRM API opens at most: ten for reads, six for changes.
const API_POD_CONNECTIONS: i32 = 16;
/// Connections that a pod of the engine opens at most: those that append and sequence records, and four for reads.
const ENGINE_POD_CONNECTIONS: i32 = 8;
/// How long the former logins stay open at least: pods that end may still open a connection.
pub const FORMER_STAYS: Duration = Duration::minutes(5);
/// The role that CloudNativePG makes for the operator: no superuser, but it may make databases and roles.
pub const ADMINISTRATOR: &str = "novacrm_administrator";
/// What the mark of a tenant begins with; its id follows.
const MARK: &str = "novacrm.io/tenant ";
/// Keys of the Secret beside the addresses: since when its logins are in use, and what became of the former ones.
const SINCE: &str = "logins-since";
const FORMER: &str = "former-logins";

/// Where a tenant's databases are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `sslmode` of PostgreSQL's addresses; its default (`prefer`) when absent.
    pub ssl_mode: Option<String>,
    /// Certificates (PEM) of the authorities that its own is verified against; those of the system when absent.
    pub roots: Option<String>,
}

/// A database of a tenant and its roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// The database.
    pub name: String,
    /// Owns every object and cannot log in.
    pub owner: String,
    /// Holds the rights to serve and cannot log in.
    pub group: String,
    /// May select and cannot log in.
    pub readers: String,
    /// What the group may do with tables.
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

/// One of the two alternating pairs of logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Roles that end in `_a`.
    A,
    /// Roles that end in `_b`.
    B,
}

impl Slot {
    /// The one whose turn is next.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
        }
    }
}

/// Passwords of the four roles of a slot.
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

/// What becomes of the pair of logins that is not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Former {
    /// Pods may still use it: it is left as it is.
    Open,
    /// Nobody can log in with it.
    Locked,
}

/// The logins of a tenant, as its Secret has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logins {
    /// The pair in use.
    pub slot: Slot,
    /// Its passwords.
    pub passwords: Passwords,
    /// When it came into use.
    pub since: OffsetDateTime,
    /// The other pair.
    pub former: Former,
}

/// What is to be done about a tenant's logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time.
    Keep(OffsetDateTime),
    /// The former pair waits until every pod has left it.
    Await,
    /// Every pod has left the former pair: lock it.
    Lock,
    /// The passwords are old enough: move to the other pair.
    Switch,
}

/// How many connections each login of a tenant may hold at a time (`CONNECTION LIMIT`), so that one tenant cannot take
/// all of a server that others share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The CRM's application.
    pub api: i32,
    /// The audit log's writer.
    pub audit: i32,
    /// Each migrator. One process opens up to 16, and those of the step before may still be closing.
    pub migrator: i32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { api: 32, audit: 32, migrator: 20 }
    }
}

impl ConnectionLimits {
    /// These limits, raised to what that many pods of the API and of the engine need while one more of each starts.
    #[must_use]
    pub fn for_pods(self, api: i32, engine: i32) -> Self {
        let needed = |pods: i32, each: i32| pods.saturating_add(1).saturating_mul(each);
        Self {
            api: self.api.max(needed(api, API_POD_CONNECTIONS)),
            audit: self.audit.max(needed(engine, ENGINE_POD_CONNECTIONS)),
            migrator: self.migrator,
        }
    }
}

/// Databases, roles and logins as they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose they are.
    pub tenant: Identity,
    /// The logins.
    pub logins: Logins,
    /// How many connections each login may hold.
    pub limits: ConnectionLimits,
}

/// What [`prepare`] decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// For [`ensure_databases`], first.
    pub plan: Plan,
    /// The content of the Secret, written when the plan has succeeded and it differs from what is there.
    pub secret: Content,
    /// What was decided about the logins.
    pub step: Step,
}

/// What [`ensure_databases`] found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Databases that were made.
    pub created: Vec<String>,
    /// Id of the former tenant whose databases were taken over.
    pub adopted: Option<String>,
    /// Maintenance databases (`postgres`, `template1`) that every login of the server may connect to, because the
    /// administrator may not revoke that right.
    pub open: Vec<String>,
}

/// Why a tenant's databases could not be prepared. No variant holds an address or a password.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The administrator's address cannot be read.
    #[error(
        "the address of the database server cannot be read: write postgres://user:password@host:5432/postgres"
    )]
    Address,
    /// What was given as certificates holds none.
    #[error(
        "the key ca.crt of the database server holds no certificate that can be read: write PEM, or leave it out"
    )]
    Roots,
    /// The server does not answer.
    #[error("the database server cannot be reached: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// It took too long.
    #[error("the database server did not finish in time ({})", .0.as_secs())]
    TimedOut(StdDuration),
    /// Another run has not finished.
    #[error("the databases of {0} are being prepared by another run; this one is tried again")]
    Busy(String),
    /// They belong to another tenant.
    #[error(
        "the databases of {namespace} belong to the former tenant {former}. To take them over, set spec.adoptTenantId to \
         that id and have the platform team confirm it: `kubectl annotate namespace {namespace} \
         novacrm.io/adopt-tenant-id={former}`. Or use another namespace"
    )]
    Foreign {
        /// The namespace, which names the databases.
        namespace: String,
        /// The id they are marked with.
        former: String,
    },
    /// A role of the tenant has more rights than the operator gives it.
    #[error(
        "role {role} of {namespace} may do more than the operator lets it: it is a superuser, may make roles or databases, \
         replicate or bypass row security, or is a member of a role that is not its own. Take that from it (ALTER ROLE, \
         REVOKE), or drop it; nothing was changed"
    )]
    Privileged {
        /// The tenant.
        namespace: String,
        /// The role.
        role: String,
    },
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

impl DatabaseError {
    /// The reason for a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::TimedOut(_) => REASON_DATABASE_UNREACHABLE,
            Self::Busy(_) => REASON_PROGRESSING,
            Self::Foreign { .. } => REASON_FOREIGN_DATA,
            Self::Address | Self::Roots | Self::Privileged { .. } => REASON_DATABASE_REFUSED,
            // Class 28: authorization; 42501: insufficient privilege.
            Self::Statement { source, .. } => match code(source).as_deref() {
                Some(code) if code.starts_with("28") || code == "42501" => REASON_DATABASE_REFUSED,
                _ => REASON_FAILED,
            },
        }
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

impl Server {
    /// Where the tenants' processes find the server that an administrator's address names, and what they verify its
    /// certificate against.
    ///
    /// # Errors
    /// When the address or a certificate cannot be read.
    pub fn of(administrator: &str, roots: Option<String>) -> Result<Self, DatabaseError> {
        let url = Url::parse(administrator).map_err(|_| DatabaseError::Address)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(DatabaseError::Address);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(DatabaseError::Address)?;
        let ssl_mode = url.query_pairs().find(|(key, _)| key == "sslmode").map(|(_, mode)| mode.into_owned());
        let known = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
        if ssl_mode.as_ref().is_some_and(|mode| !known.contains(&mode.as_str())) {
            return Err(DatabaseError::Address);
        }
        if roots.as_ref().is_some_and(|roots| Certificate::all(roots).is_empty()) {
            return Err(DatabaseError::Roots);
        }
        Ok(Self { host: host.to_owned(), port: url.port().unwrap_or(5432), ssl_mode, roots })
    }
}

impl Server {
    /// Whether those who connect verify who answers.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.ssl_mode.as_deref() == Some("verify-full")
    }
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
        let database = |kind: &str, group: &str, privileges| Database {
            name: format!("novacrm_{id}_{kind}"),
            owner: format!("novacrm_{id}_{kind}_owner"),
            group: format!("novacrm_{id}_{kind}_{group}"),
            readers: format!("novacrm_{id}_{kind}_read"),
            privileges,
        };
        Self {
            crm: database("crm", "app", "SELECT, INSERT, UPDATE, DELETE"),
            audit: database("audit", "write", "SELECT, INSERT"),
        }
    }
}

impl Passwords {
    fn make(rng: &mut impl CryptoRng) -> Self {
        let mut password = || random_password(32, rng);
        Self { api: password(), api_migrator: password(), audit: password(), audit_migrator: password() }
    }
}

impl Logins {
    /// The first ones of a tenant.
    pub fn first(now: OffsetDateTime, rng: &mut impl CryptoRng) -> Self {
        // There is no pair before this one; the other one is made locked.
        Self { slot: Slot::A, passwords: Passwords::make(rng), since: now, former: Former::Locked }
    }

    /// What the Secret of addresses says; `None` when it holds no address of ours. A missing password is made anew. A
    /// time that cannot be read counts as long ago, and a former pair of which nothing is known as open: both end
    /// in logins that are known.
    pub fn read(content: &Content, rng: &mut impl CryptoRng) -> Option<Self> {
        let url = |key: &str| content.get(key).and_then(|url| Url::parse(url).ok());
        let slot = match url(names::API_URL)?.username().strip_suffix("_b") {
            Some(_) => Slot::B,
            None => Slot::A,
        };
        let mut password = |key: &str| {
            url(key)
                .and_then(|url| url.password().map(|password| Zeroizing::new(password.to_owned())))
                .unwrap_or_else(|| random_password(32, rng))
        };
        Some(Self {
            slot,
            passwords: Passwords {
                api: password(names::API_URL),
                api_migrator: password(names::API_MIGRATION_URL),
                audit: password(names::AUDIT_URL),
                audit_migrator: password(names::AUDIT_MIGRATION_URL),
            },
            since: content
                .get(SINCE)
                .and_then(|since| OffsetDateTime::parse(since, &Rfc3339).ok())
                .unwrap_or(OffsetDateTime::UNIX_EPOCH),
            former: match content.get(FORMER).map(|state| state.as_str()) {
                Some("locked") => Former::Locked,
                _ => Former::Open,
            },
        })
    }

    /// The content of the Secret of addresses.
    #[must_use]
    pub fn secret(&self, namespace: &str, server: &Server) -> Content {
        let Databases { crm, audit } = Databases::of(namespace);
        let Self { slot, passwords, since, former } = self;
        let mode = server.ssl_mode.as_ref().map(|mode| format!("sslmode={mode}"));
        let roots = server
            .roots
            .as_ref()
            .map(|_| format!("sslrootcert={}/{}", build::DATABASE_ROOTS_DIR, names::DATABASE_ROOTS));
        let query: Vec<String> = [mode, roots].into_iter().flatten().collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let url = |role: &str, password: &str, database: &str| {
            // Names are letters, digits and underscores, passwords letters and digits: nothing needs encoding.
            Zeroizing::new(format!(
                "postgres://{role}:{password}@{}:{}/{database}{query}",
                server.host, server.port
            ))
        };
        let former = match former {
            Former::Open => "open",
            Former::Locked => "locked",
        };
        [
            (names::API_URL, url(&crm.login(*slot), &passwords.api, &crm.name)),
            (names::API_MIGRATION_URL, url(&crm.migrator(*slot), &passwords.api_migrator, &crm.name)),
            (names::AUDIT_URL, url(&audit.login(*slot), &passwords.audit, &audit.name)),
            (names::AUDIT_MIGRATION_URL, url(&audit.migrator(*slot), &passwords.audit_migrator, &audit.name)),
            (SINCE, Zeroizing::new(rfc3339(*since).unwrap_or_default())),
            (FORMER, Zeroizing::new(former.to_owned())),
        ]
        .into_iter()
        .chain(server.roots.clone().map(|roots| (names::DATABASE_ROOTS, Zeroizing::new(roots))))
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }
}

/// The server that CloudNativePG runs for a tenant, and the address of its administrator: `None` while the Secret of
/// that login is not made. Its certificate is verified where CloudNativePG keeps its authority in the tenant's namespace.
#[must_use]
pub fn cloud_native_pg(
    namespace: &str,
    administrator: Option<&Content>,
    authority: Option<&Content>,
) -> Option<(Server, Zeroizing<String>)> {
    let roots =
        authority.and_then(|content| content.get(names::DATABASE_ROOTS)).map(|roots| roots.to_string());
    let roots = roots.filter(|roots| !Certificate::all(roots).is_empty());
    let mode = if roots.is_some() { "verify-full" } else { "require" };
    let server = Server {
        host: format!("{}-rw.{namespace}.svc", names::DATABASE),
        port: 5432,
        ssl_mode: Some(mode.to_owned()),
        roots,
    };
    let password = administrator?.get("password")?;
    // Of our making: letters and digits, which need no encoding.
    let url = format!(
        "postgres://{ADMINISTRATOR}:{}@{}:{}/postgres?sslmode={mode}",
        password.as_str(),
        server.host,
        server.port
    );
    Some((server, Zeroizing::new(url)))
}

/// Decides about a tenant's logins. `rolled_out`: no pod that may use the former pair is left.
#[must_use]
pub fn rotation(now: OffsetDateTime, logins: &Logins, rotate_after: Duration, rolled_out: bool) -> Step {
    let due = logins.since + rotate_after;
    match logins.former {
        Former::Open if rolled_out && now >= logins.since + FORMER_STAYS => Step::Lock,
        // However old the passwords are: the other pair is not free.
        Former::Open => Step::Await,
        Former::Locked if now >= due => Step::Switch,
        Former::Locked => Step::Keep(due),
    }
}

/// Decides what a tenant's databases and their Secret should be. Run the plan first, then write the Secret: so no
/// process is ever given a login that does not exist. When it ends in between, the next run decides the same again.
pub fn prepare(
    tenant: Identity,
    server: &Server,
    existing: Option<&Content>,
    rotate_after: Duration,
    rolled_out: bool,
    now: OffsetDateTime,
    rng: &mut impl CryptoRng,
) -> Prepared {
    let mut logins =
        existing.and_then(|content| Logins::read(content, rng)).unwrap_or_else(|| Logins::first(now, rng));
    let step = rotation(now, &logins, rotate_after, rolled_out);
    match step {
        Step::Keep(_) | Step::Await => {}
        Step::Lock => logins.former = Former::Locked,
        Step::Switch => {
            logins = Logins {
                slot: logins.slot.other(),
                passwords: Passwords::make(rng),
                since: now,
                former: Former::Open,
            };
        }
    }
    let secret = logins.secret(&tenant.namespace, server);
    Prepared { plan: Plan { tenant, logins, limits: ConnectionLimits::default() }, secret, step }
}

impl Database {
    /// The role of a slot that serves.
    #[must_use]
    pub fn login(&self, slot: Slot) -> String {
        format!("{}_{}", self.group, slot.letter())
    }

    /// The role of a slot that migrates.
    #[must_use]
    pub fn migrator(&self, slot: Slot) -> String {
        format!("{}_migr_{}", self.name, slot.letter())
    }

    /// Every role of the database, and the role that each is a member of, where it is one of any.
    fn memberships(&self) -> Vec<(String, Option<String>)> {
        let logins = [Slot::A, Slot::B].into_iter().flat_map(|slot| {
            [(self.login(slot), Some(self.group.clone())), (self.migrator(slot), Some(self.owner.clone()))]
        });
        let groups = [&self.owner, &self.group, &self.readers].map(|name| (name.clone(), None));
        logins.chain(groups).collect()
    }

    /// Statements for the server: the roles, marked as the tenant's. They run in one transaction, before the database
    /// exists.
    #[must_use]
    pub fn role_statements(&self, tenant_id: &str) -> Vec<String> {
        let (owner, group, readers) = (quote(&self.owner), quote(&self.group), quote(&self.readers));
        let mut statements: Vec<String> =
            [&self.owner, &self.group, &self.readers].map(|name| create_role(name)).into();
        for slot in [Slot::A, Slot::B] {
            let (login, migrator) = (self.login(slot), self.migrator(slot));
            statements.extend([
                create_role(&login),
                create_role(&migrator),
                format!("GRANT {group} TO {}", quote(&login)),
                format!("GRANT {owner} TO {}", quote(&migrator)),
            ]);
        }
        statements.extend(
            [owner.as_str(), &group, &readers].map(|role| format!("ALTER ROLE {role} NOLOGIN PASSWORD NULL")),
        );
        statements.extend([
            // An administrator that is no superuser makes databases only for owners it belongs to.
            format!("GRANT {owner} TO CURRENT_USER"),
            format!("COMMENT ON ROLE {owner} IS {}", literal(&format!("{MARK}{tenant_id}"))),
        ]);
        statements
    }

    /// Statements for the server: who may log in.
    #[must_use]
    pub fn login_statements(
        &self,
        logins: &Logins,
        password: &str,
        migrator_password: &str,
        connections: i32,
        migrator_connections: i32,
    ) -> Vec<String> {
        let open = |role: &str, password: &str, connections: i32| {
            format!(
                "ALTER ROLE {} LOGIN CONNECTION LIMIT {connections} PASSWORD {}",
                quote(role),
                literal(&scram(role, password))
            )
        };
        let mut statements = vec![
            open(&self.login(logins.slot), password, connections),
            open(&self.migrator(logins.slot), migrator_password, migrator_connections),
        ];
        if logins.former == Former::Locked {
            let former = logins.slot.other();
            statements.extend(
                [self.login(former), self.migrator(former)]
                    .map(|role| format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", quote(&role))),
            );
        }
        statements
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

    /// The statement that deletes the database. It cannot run inside a transaction.
    #[must_use]
    pub fn drop_statement(&self) -> String {
        format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote(&self.name))
    }

    /// Statements that delete its roles, once the database is gone. The owner, who has the mark, goes last.
    #[must_use]
    pub fn drop_role_statements(&self) -> Vec<String> {
        let logins = [Slot::A, Slot::B].map(|slot| [self.login(slot), self.migrator(slot)]);
        let groups = [self.group.clone(), self.readers.clone(), self.owner.clone()];
        let roles = logins.into_iter().flatten().chain(groups);
        roles.map(|role| format!("DROP ROLE IF EXISTS {}", quote(&role))).collect()
    }

    /// Statements for the database itself: who may do what.
    #[must_use]
    pub fn grant_statements(&self, tenant_id: &str) -> Vec<String> {
        let (name, owner) = (quote(&self.name), quote(&self.owner));
        let (group, readers) = (quote(&self.group), quote(&self.readers));
        let privileges = self.privileges;
        let migrators = [Slot::A, Slot::B].map(|slot| quote(&self.migrator(slot)));
        let mut statements = vec![
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
            format!("GRANT CONNECT ON DATABASE {name} TO {group}, {readers}"),
            // For people who look; what decides is the mark of the owner.
            format!("COMMENT ON DATABASE {name} IS {}", literal(&format!("{MARK}{tenant_id}"))),
            format!("ALTER SCHEMA public OWNER TO {owner}"),
            "REVOKE ALL ON SCHEMA public FROM PUBLIC".to_owned(),
            format!("GRANT USAGE ON SCHEMA public TO {group}, {readers}"),
        ];
        let on = |kind: &str, rights: &str, role: &str| {
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT {rights} ON {kind} TO {role}"
            )
        };
        statements.extend([
            on("TABLES", privileges, &group),
            on("SEQUENCES", "USAGE", &group),
            on("TABLES", "SELECT", &readers),
        ]);
        // What a migrator makes belongs to the owner.
        statements.extend(
            migrators.map(|migrator| format!("ALTER ROLE {migrator} IN DATABASE {name} SET role TO {owner}")),
        );
        statements
    }
}

/// Makes or mends both databases of a tenant. May be run at any time, by anyone, again and again: an advisory lock in
/// [`OPERATOR_DATABASE`], which no tenant may connect to, lets one run work. `administrator` is the address of a superuser, or of a role with `CREATEDB` and `CREATEROLE`, on
/// the `server`.
///
/// # Errors
/// When the server cannot be reached or refuses something, or the databases belong to another tenant; nothing of
/// theirs is touched then.
pub async fn ensure_databases(
    administrator: &str,
    server: &Server,
    plan: &Plan,
) -> Result<Outcome, DatabaseError> {
    provision(&options(administrator, server)?, plan).await
}

fn options(administrator: &str, server: &Server) -> Result<PgConnectOptions, DatabaseError> {
    // What is wrong with an address must not show it.
    let options = PgConnectOptions::from_str(administrator).map_err(|_| DatabaseError::Address)?;
    Ok(match &server.roots {
        Some(roots) => options.ssl_root_cert_from_pem(roots.clone().into_bytes()),
        None => options,
    })
}

/// How the administrator connects. What the options of a connection say outranks what the owner of a database or a
/// superuser set for it.
fn session(administrator: &PgConnectOptions) -> PgConnectOptions {
    let options = administrator.clone().application_name("novacrm-operator").disable_statement_logging();
    options.options([("search_path", SEARCH_PATH)])
}

/// [`ensure_databases`] for an address that has been read.
///
/// # Errors
/// As [`ensure_databases`].
pub async fn provision(administrator: &PgConnectOptions, plan: &Plan) -> Result<Outcome, DatabaseError> {
    let options = session(administrator);
    match tokio::time::timeout(TIMEOUT, ensure(&options, plan)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(DatabaseError::TimedOut(TIMEOUT)),
    }
}

async fn ensure(options: &PgConnectOptions, plan: &Plan) -> Result<Outcome, DatabaseError> {
    let Plan { tenant, logins, limits } = plan;
    let namespace = tenant.namespace.as_str();
    let failed =
        |step| move |source| DatabaseError::Statement { namespace: namespace.to_owned(), step, source };
    let mut server = locked(options, namespace).await?;
    let Databases { crm, audit } = Databases::of(namespace);
    let mut outcome = Outcome::default();
    // Both before anything is changed.
    for database in [&crm, &audit] {
        let former = owner_of(&mut server, database).await.map_err(failed("looking for the owner"))?;
        let former = former.filter(|former| !former.is_empty());
        match former {
            Some(former) if former == tenant.id => {}
            Some(former) if Some(&former) == tenant.adopt.as_ref() => outcome.adopted = Some(former),
            Some(former) => return Err(DatabaseError::Foreign { namespace: namespace.to_owned(), former }),
            None => {}
        }
    }
    outcome.open = close_maintenance(&mut server).await.map_err(failed("closing maintenance databases"))?;
    let passwords = &logins.passwords;
    for (database, password, migrator_password, connections) in [
        (&crm, &passwords.api, &passwords.api_migrator, limits.api),
        (&audit, &passwords.audit, &passwords.audit_migrator, limits.audit),
    ] {
        let mut roles = server.begin().await.map_err(failed("making roles"))?;
        run(&mut roles, &database.role_statements(&tenant.id)).await.map_err(failed("making roles"))?;
        let logins =
            database.login_statements(logins, password, migrator_password, connections, limits.migrator);
        run(&mut roles, &logins).await.map_err(failed("setting logins"))?;
        let privileged = privileged(&mut roles, database).await.map_err(failed("checking roles"))?;
        if let Some(role) = privileged {
            return Err(DatabaseError::Privileged { namespace: namespace.to_owned(), role });
        }
        roles.commit().await.map_err(failed("making roles"))?;
        if !exists(&mut server, &database.name).await.map_err(failed("looking for the database"))? {
            run(&mut server, &[database.create_statement()]).await.map_err(failed("making the database"))?;
            outcome.created.push(database.name.clone());
        }
        let own = options.clone().database(&database.name);
        let mut own = connect(&own, namespace, "connecting to the database").await?;
        run(&mut own, &database.grant_statements(&tenant.id)).await.map_err(failed("granting privileges"))?;
        own.close().await.map_err(failed("leaving the database"))?;
    }
    server.close().await.map_err(failed("leaving the server"))?;
    Ok(outcome)
}

/// What [`drop_databases`] found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// They are gone, now or before.
    Gone,
    /// They belong to another tenant by now, and were left alone.
    Foreign,
}

/// Deletes both databases of a tenant and every role of them, when they are marked as its own. May be run again,
/// whatever a former run left: the mark goes last.
///
/// # Errors
/// As [`ensure_databases`]; also while somebody is connected whom the administrator may not disconnect.
pub async fn drop_databases(
    administrator: &str,
    server: &Server,
    tenant: &Identity,
) -> Result<Dropped, DatabaseError> {
    deprovision(&options(administrator, server)?, tenant).await
}

/// [`drop_databases`] for an address that has been read.
///
/// # Errors
/// As [`drop_databases`].
pub async fn deprovision(
    administrator: &PgConnectOptions,
    tenant: &Identity,
) -> Result<Dropped, DatabaseError> {
    let options = session(administrator);
    match tokio::time::timeout(TIMEOUT, delete(&options, tenant)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(DatabaseError::TimedOut(TIMEOUT)),
    }
}

async fn delete(options: &PgConnectOptions, tenant: &Identity) -> Result<Dropped, DatabaseError> {
    let namespace = tenant.namespace.as_str();
    let failed =
        |step| move |source| DatabaseError::Statement { namespace: namespace.to_owned(), step, source };
    let mut server = locked(options, namespace).await?;
    let Databases { crm, audit } = Databases::of(namespace);
    let mut outcome = Dropped::Gone;
    for database in [&crm, &audit] {
        match owner_of(&mut server, database).await.map_err(failed("looking for the owner"))? {
            // Roles without an owner cannot be: it is made first and goes last.
            None => continue,
            Some(owner) if owner == tenant.id => {}
            Some(_) => {
                outcome = Dropped::Foreign;
                continue;
            }
        }
        // Whoever is still connected has nothing there any more.
        run(&mut server, &[database.drop_statement()]).await.map_err(failed("deleting the database"))?;
        let mut roles = server.begin().await.map_err(failed("deleting roles"))?;
        run(&mut roles, &database.drop_role_statements()).await.map_err(failed("deleting roles"))?;
        roles.commit().await.map_err(failed("deleting roles"))?;
    }
    server.close().await.map_err(failed("leaving the server"))?;
    Ok(outcome)
}

/// A connection that holds the lock of a tenant; the lock goes with the connection, however this ends.
async fn locked(options: &PgConnectOptions, namespace: &str) -> Result<PgConnection, DatabaseError> {
    let mut server = enter(options, namespace).await?;
    let locked = sqlx::query("SELECT pg_catalog.pg_advisory_lock($1::pg_catalog.int8)")
        .bind(lock_key(namespace))
        .execute(&mut server)
        .await;
    locked.map_err(|source| match code(&source).as_deref() {
        Some("55P03") => DatabaseError::Busy(namespace.to_owned()),
        _ => DatabaseError::Statement { namespace: namespace.to_owned(), step: "taking the lock", source },
    })?;
    Ok(server)
}

/// A connection to [`OPERATOR_DATABASE`], which is made where it is missing. It admits nobody before the right of
/// everybody to connect is gone.
async fn enter(options: &PgConnectOptions, namespace: &str) -> Result<PgConnection, DatabaseError> {
    const STEP: &str = "opening the operator's database";
    let failed = |source| DatabaseError::Statement { namespace: namespace.to_owned(), step: STEP, source };
    let own = options.clone().database(OPERATOR_DATABASE);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let missing = match connect(&own, namespace, STEP).await {
            Ok(mut server) => {
                if !admits_public(&mut server, OPERATOR_DATABASE).await.map_err(failed)? {
                    return Ok(server);
                }
                None
            }
            Err(DatabaseError::Statement { source, .. })
                // It does not exist, or does not admit anybody yet.
                if matches!(code(&source).as_deref(), Some("3D000" | "55000")) =>
            {
                Some(source)
            }
            Err(error) => return Err(error),
        };
        let mut server = connect(options, namespace, STEP).await?;
        match make_own(&mut server).await {
            Ok(()) => {}
            // Another run makes it at the same time.
            Err(error) if attempt < ATTEMPTS && is_concurrent(&error) => {}
            Err(error) => return Err(failed(error)),
        }
        if attempt >= ATTEMPTS {
            return Err(match missing {
                Some(source) => failed(source),
                None => DatabaseError::Busy(namespace.to_owned()),
            });
        }
        tokio::time::sleep(StdDuration::from_millis(100) * attempt).await;
    }
}

async fn make_own(server: &mut PgConnection) -> Result<(), sqlx::Error> {
    let name = quote(OPERATOR_DATABASE);
    if !exists(server, OPERATOR_DATABASE).await? {
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 ALLOW_CONNECTIONS false");
        run(server, &[create]).await?;
    }
    if admits_public(server, OPERATOR_DATABASE).await? {
        run(server, &[format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")]).await?;
    }
    let admits: bool = sqlx::query_scalar(
        "SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = $1::pg_catalog.text::pg_catalog.name",
    )
    .bind(OPERATOR_DATABASE)
    .fetch_one(&mut *server)
    .await?;
    if !admits {
        run(server, &[format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")]).await?;
    }
    Ok(())
}

/// Whether two runs met: the database is there by now (42P04, 23505), or its row was changed by the other (XX000).
fn is_concurrent(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("42P04" | "23505" | "XX000" | "55006"))
}

async fn exists(server: &mut PgConnection, database: &str) -> Result<bool, sqlx::Error> {
    let query = "SELECT EXISTS (SELECT FROM pg_catalog.pg_database \
                 WHERE datname = $1::pg_catalog.text::pg_catalog.name)";
    sqlx::query_scalar(query).bind(database).fetch_one(server).await
}

/// Whether every login of the server may connect to a database.
async fn admits_public(server: &mut PgConnection, database: &str) -> Result<bool, sqlx::Error> {
    let query = "SELECT pg_catalog.has_database_privilege('public'::pg_catalog.name, oid, \
                 'CONNECT'::pg_catalog.text) FROM pg_catalog.pg_database \
                 WHERE datname = $1::pg_catalog.text::pg_catalog.name";
    Ok(sqlx::query_scalar(query).bind(database).fetch_optional(server).await?.unwrap_or(false))
}

/// Takes the right to connect to the maintenance databases from everybody who was not given it by name, where the
/// administrator may. Says where it may not.
async fn close_maintenance(server: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut open = Vec::new();
    for database in MAINTENANCE {
        if !admits_public(server, database).await? {
            continue;
        }
        let mut closing = server.begin().await?;
        // Runs for two tenants would change the same row. The lock ends with the transaction.
        sqlx::query("SELECT pg_catalog.pg_advisory_xact_lock($1::pg_catalog.int8)")
            .bind(key("novacrm.io/maintenance"))
            .execute(&mut *closing)
            .await?;
        let statement = format!("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", quote(database));
        match run(&mut closing, &[statement]).await {
            Ok(()) => closing.commit().await?,
            // Insufficient privilege. Some servers warn instead, so what holds is asked again.
            Err(error) if code(&error).as_deref() == Some("42501") => closing.rollback().await?,
            Err(error) => return Err(error),
        }
        if admits_public(server, database).await? {
            open.push(database.to_owned());
        }
    }
    Ok(open)
}

/// A role of a database that has an attribute or a membership which the operator did not give it.
async fn privileged(server: &mut PgConnection, database: &Database) -> Result<Option<String>, sqlx::Error> {
    let (roles, of): (Vec<String>, Vec<Option<String>>) = database.memberships().into_iter().unzip();
    let query = "WITH own AS (SELECT * FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), \
                 pg_catalog.unnest($2::pg_catalog.text[])) AS own (name, parent)) \
                 SELECT role.rolname::pg_catalog.text FROM pg_catalog.pg_roles AS role \
                 JOIN own ON own.name = role.rolname::pg_catalog.text \
                 WHERE role.rolsuper OR role.rolcreaterole OR role.rolcreatedb OR role.rolreplication \
                 OR role.rolbypassrls OR EXISTS (SELECT FROM pg_catalog.pg_auth_members AS membership \
                 JOIN pg_catalog.pg_roles AS parent ON parent.oid = membership.roleid \
                 WHERE membership.member = role.oid \
                 AND parent.rolname::pg_catalog.text IS DISTINCT FROM own.parent) \
                 ORDER BY 1 LIMIT 1";
    sqlx::query_scalar(query).bind(roles).bind(of).fetch_optional(server).await
}

/// Id of the tenant that a database is marked with; empty when its owner has no mark of ours, `None` when it has no owner.
async fn owner_of(server: &mut PgConnection, database: &Database) -> Result<Option<String>, sqlx::Error> {
    let query = "SELECT pg_catalog.shobj_description(oid, 'pg_authid'::pg_catalog.name) FROM pg_catalog.pg_roles \
                 WHERE rolname = $1::pg_catalog.text::pg_catalog.name";
    let mark: Option<Option<String>> =
        sqlx::query_scalar(query).bind(&database.owner).fetch_optional(server).await?;
    Ok(mark.map(|mark| mark.and_then(|mark| Some(mark.strip_prefix(MARK)?.to_owned())).unwrap_or_default()))
}

async fn connect(
    options: &PgConnectOptions,
    namespace: &str,
    step: &'static str,
) -> Result<PgConnection, DatabaseError> {
    let failed = |source: sqlx::Error| match &source {
        sqlx::Error::Database(_) => {
            DatabaseError::Statement { namespace: namespace.to_owned(), step, source }
        }
        _ => DatabaseError::Unreachable(source),
    };
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, options.connect());
    let mut connection =
        connecting.await.map_err(|_| DatabaseError::TimedOut(CONNECT_TIMEOUT))?.map_err(failed)?;
    connection.execute(SESSION).await.map_err(failed)?;
    Ok(connection)
}

/// The number of a tenant's lock within [`OPERATOR_DATABASE`].
fn lock_key(namespace: &str) -> i64 {
    key(&format!("novacrm.io/databases/{namespace}"))
}

fn key(name: &str) -> i64 {
    let digest = Sha256::digest(name);
    digest.iter().take(8).fold(0, |key, byte| key << 8 | i64::from(*byte))
}

async fn run(connection: &mut PgConnection, statements: &[String]) -> Result<(), sqlx::Error> {
    for statement in statements {
        // Made of names that are quoted and of verifiers that are literals; nothing in it comes from a manifest
        // as it stands.
        connection.execute(AssertSqlSafe(statement.as_str())).await?;
    }
    Ok(())
}

fn create_role(name: &str) -> String {
    format!(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {}::pg_catalog.name) \
         THEN CREATE ROLE {}; END IF; END $$",
        literal(name),
        quote(name)
    )
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

    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const MONTH: Duration = Duration::days(30);

    fn tenant() -> Identity {
        Identity { namespace: "acme".to_owned(), id: "1".to_owned(), adopt: None }
    }

    fn server() -> Server {
        Server { host: "127.0.0.1".into(), port: 1, ssl_mode: None, roots: None }
    }

    fn prepared(existing: Option<&Content>, now: OffsetDateTime, rolled_out: bool, seed: u64) -> Prepared {
        prepare(tenant(), &server(), existing, MONTH, rolled_out, now, &mut StdRng::seed_from_u64(seed))
    }

    #[test]
    fn every_name_fits_postgresql_and_differs_between_tenants() {
        let long = "a".repeat(63);
        let twin = format!("{}b", "a".repeat(62));
        let mut seen = BTreeSet::new();
        for namespace in ["acme", "a-b", "acme-crm", &long, &twin] {
            let Databases { crm, audit } = Databases::of(namespace);
            for database in [crm, audit] {
                let logins = [Slot::A, Slot::B].map(|slot| [database.login(slot), database.migrator(slot)]);
                let Database { name, owner, group, readers, privileges: _ } = database;
                for name in [name, owner, group, readers].into_iter().chain(logins.into_iter().flatten()) {
                    assert!(name.len() <= 63, "{name} has {} bytes", name.len());
                    assert!(seen.insert(name.clone()), "{name} stands for two things");
                }
            }
        }
    }

    #[test]
    fn passwords_survive_a_change_of_address() {
        let first = prepared(None, NOW, true, 1);
        let roots = Some("a certificate".to_owned());
        let moved =
            Server { host: "db.example".into(), port: 2, ssl_mode: Some("verify-full".into()), roots };
        let again =
            prepare(tenant(), &moved, Some(&first.secret), MONTH, true, NOW, &mut StdRng::seed_from_u64(2));
        assert_eq!(first.plan.logins.passwords, again.plan.logins.passwords);
        let end =
            "@db.example:2/novacrm_acme_crm?sslmode=verify-full&sslrootcert=/etc/novacrm/database/ca.crt";
        assert!(again.secret[names::API_URL].ends_with(end));
        assert_eq!(again.secret[names::DATABASE_ROOTS].as_str(), "a certificate");
        assert!(!first.secret.contains_key(names::DATABASE_ROOTS));
    }

    #[test]
    fn no_statement_holds_a_password() {
        let mut logins = Logins::first(NOW, &mut StdRng::seed_from_u64(1));
        logins.former = Former::Open;
        let password = "plainpassword";
        for database in [Databases::of("acme").crm, Databases::of("acme").audit] {
            let mut all = database.role_statements("1");
            all.extend(database.login_statements(&logins, password, password, 32, 4));
            all.push(database.create_statement());
            all.extend(database.grant_statements("1"));
            assert!(all.iter().all(|statement| !statement.contains(password)));
        }
    }

    #[test]
    fn a_rotation_switches_when_due_and_locks_what_every_pod_has_left() {
        let first = prepared(None, NOW, true, 1);
        assert_eq!(first.step, Step::Keep(NOW + MONTH));
        let due = NOW + MONTH;
        let switched = prepared(Some(&first.secret), due, true, 2);
        assert_eq!(switched.step, Step::Switch);
        assert_eq!(switched.plan.logins.slot, Slot::B);
        assert_ne!(switched.plan.logins.passwords, first.plan.logins.passwords);
        assert!(switched.secret[names::API_URL].contains("_app_b:"));

        for (name, now, rolled_out, step, slot, former) in [
            ("pods still roll", due + FORMER_STAYS, false, Step::Await, Slot::B, Former::Open),
            ("pods may still end", due + FORMER_STAYS / 2, true, Step::Await, Slot::B, Former::Open),
            ("overdue and still rolling", due + MONTH * 2, false, Step::Await, Slot::B, Former::Open),
            ("all have left", due + FORMER_STAYS, true, Step::Lock, Slot::B, Former::Locked),
        ] {
            let next = prepared(Some(&switched.secret), now, rolled_out, 3);
            assert_eq!(
                (next.step, next.plan.logins.slot, next.plan.logins.former),
                (step, slot, former),
                "{name}"
            );
            // The passwords in use never change but by a switch.
            assert_eq!(next.plan.logins.passwords, switched.plan.logins.passwords, "{name}");
        }
        let locked = prepared(Some(&switched.secret), due + FORMER_STAYS, true, 3);
        let steady = prepared(Some(&locked.secret), due + FORMER_STAYS * 2, true, 4);
        assert_eq!((steady.step, &steady.secret), (Step::Keep(due + MONTH), &locked.secret));
        let back = prepared(Some(&locked.secret), due + MONTH, true, 5);
        assert_eq!((back.step, back.plan.logins.slot), (Step::Switch, Slot::A));
    }

    #[test]
    fn a_secret_that_was_damaged_ends_in_logins_that_are_known() {
        let mut content = prepared(None, NOW, true, 1).secret;
        content.remove(SINCE);
        content.remove(FORMER);
        content.remove(names::AUDIT_URL);
        let mended = prepared(Some(&content), NOW, true, 2);
        assert_eq!(mended.step, Step::Lock);
        assert!(mended.secret.contains_key(names::AUDIT_URL));
        assert_eq!(mended.secret[names::API_URL], content[names::API_URL]);
    }

    #[test]
    fn an_administrators_address_says_where_the_server_is() {
        let url = "postgres://admin:secret@db.example:6432/postgres?sslmode=require";
        let server = Server::of(url, None).unwrap();
        let require = Some("require".into());
        assert_eq!(server, Server { host: "db.example".into(), port: 6432, ssl_mode: require, roots: None });
        assert!(matches!(Server::of(url, Some("no PEM".into())), Err(DatabaseError::Roots)));
        for wrong in ["", "db.example", "https://db.example/", "postgres://:secret@/x"] {
            let error = Server::of(wrong, None).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_cloud_native_pg_cluster_is_verified_by_its_authority() {
        let content =
            |key: &str, value: &str| Content::from([(key.to_owned(), Zeroizing::new(value.to_owned()))]);
        let administrator = content("password", "made0up");
        let (server, url) = cloud_native_pg("acme", Some(&administrator), None).unwrap();
        assert!(!server.is_verified() && url.ends_with("?sslmode=require"));
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        let (server, url) =
            cloud_native_pg("acme", Some(&administrator), Some(&content("ca.crt", &authority))).unwrap();
        assert!(server.is_verified() && url.ends_with("?sslmode=verify-full"));
        assert_eq!((server.host.as_str(), server.roots), ("novacrm-database-rw.acme.svc", Some(authority)));
        // What is no certificate verifies nothing.
        let damaged = content("ca.crt", "no PEM");
        assert!(!cloud_native_pg("acme", Some(&administrator), Some(&damaged)).unwrap().0.is_verified());
    }
}
