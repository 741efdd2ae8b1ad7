//! What the roles of a tenant may do and may not, on a real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::str::FromStr;

use common::postgres_options;
use novacrm_operator::crm_tenant::build::DATABASE_ROOTS_DIR;
use novacrm_operator::crm_tenant::database::{
    ConnectionLimits, DatabaseError, Dropped, FORMER_STAYS, Outcome, Prepared, Server, Step, drop_databases,
    ensure_databases, prepare, provision,
};
use novacrm_operator::crm_tenant::generate::Content;
use novacrm_operator::crm_tenant::{Identity, names};
use novacrm_operator::local::postgres::start;
use sha2::Digest as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, PgPool, Row};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use tokio_util::sync::CancellationToken;

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const MONTH: Duration = Duration::days(30);

async fn connect(urls: &Content, key: &str) -> PgConnection {
    PgConnectOptions::from_str(&urls[key]).unwrap().connect().await.unwrap()
}

/// Runs a statement that must be refused for want of a privilege (SQLSTATE 42501).
async fn refused(connection: &mut PgConnection, statement: &'static str) {
    let error = connection.execute(statement).await.expect_err(statement);
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned();
    assert_eq!(code, "42501", "{statement}: {error}");
}

fn tenant(namespace: &str, id: &str, adopt: Option<&str>) -> Identity {
    Identity { namespace: namespace.to_owned(), id: id.to_owned(), adopt: adopt.map(str::to_owned) }
}

fn prepared(
    tenant: Identity,
    server: &Server,
    existing: Option<&Content>,
    now: OffsetDateTime,
    rolled_out: bool,
) -> Prepared {
    prepare(tenant, server, existing, MONTH, rolled_out, now, &mut rand::rng())
}

fn first(namespace: &str, id: &str, server: &Server) -> Prepared {
    prepared(tenant(namespace, id, None), server, None, NOW, true)
}

#[tokio::test]
async fn roles_may_do_what_they_must_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&postgres_options(folder.path())).await.unwrap();
    let administrator = server.connect_options("postgres");
    let place = Server { host: "127.0.0.1".to_owned(), port: server.port(), ssl_mode: None, roots: None };
    let Prepared { plan, secret: acme, .. } = first("acme", "1", &place);
    let made = provision(&administrator, &plan).await.unwrap();
    assert_eq!(made.created, ["novacrm_acme_crm", "novacrm_acme_audit"]);
    // Every statement can be run again, and two at once do not meet.
    let again = tokio::join!(provision(&administrator, &plan), provision(&administrator, &plan));
    assert_eq!((again.0.unwrap(), again.1.unwrap()), (Outcome::default(), Outcome::default()));
    let Prepared { plan, secret: other, .. } = first("other", "2", &place);
    provision(&administrator, &plan).await.unwrap();

    let mut migrator = connect(&acme, names::AUDIT_MIGRATION_URL).await;
    migrator.execute("CREATE TABLE record (n bigint GENERATED ALWAYS AS IDENTITY, body text)").await.unwrap();
    let owner: String = migrator
        .fetch_one("SELECT tableowner::text FROM pg_tables WHERE tablename = 'record'")
        .await
        .unwrap()
        .get(0);
    assert_eq!(owner, "novacrm_acme_audit_owner");
    let mut writer = connect(&acme, names::AUDIT_URL).await;
    writer.execute("INSERT INTO record (body) VALUES ('a')").await.unwrap();
    writer.execute("SELECT * FROM record").await.unwrap();
    for statement in [
        "UPDATE record SET body = 'b'",
        "DELETE FROM record",
        "TRUNCATE record",
        "DROP TABLE record",
        "CREATE TABLE mine (n int)",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine (n int)",
    ] {
        refused(&mut writer, statement).await;
    }

    let mut migrator = connect(&acme, names::API_MIGRATION_URL).await;
    migrator.execute("CREATE EXTENSION IF NOT EXISTS unaccent").await.unwrap();
    migrator.execute("CREATE TABLE contact (id int PRIMARY KEY, name text)").await.unwrap();
    let mut app = connect(&acme, names::API_URL).await;
    for statement in [
        "INSERT INTO contact VALUES (1, 'a')",
        "UPDATE contact SET name = 'b'",
        "SELECT * FROM contact",
        "DELETE FROM contact",
    ] {
        app.execute(statement).await.unwrap();
    }
    for statement in
        ["CREATE TABLE mine (n int)", "DROP TABLE contact", "TRUNCATE contact", "CREATE ROLE mine"]
    {
        refused(&mut app, statement).await;
    }

    // Readers see the rows, and see them only.
    let mut readers = administrator.clone().database("novacrm_acme_crm").connect().await.unwrap();
    readers.execute("SET ROLE novacrm_acme_crm_read").await.unwrap();
    readers.execute("SELECT * FROM contact").await.unwrap();
    refused(&mut readers, "DELETE FROM contact").await;
    readers.close().await.unwrap();

    // Tenants share nothing: another tenant's role cannot even connect.
    for key in [names::API_URL, names::API_MIGRATION_URL, names::AUDIT_URL, names::AUDIT_MIGRATION_URL] {
        let foreign = PgConnectOptions::from_str(&other[key]).unwrap();
        for database in ["novacrm_acme_crm", "novacrm_acme_audit"] {
            assert!(foreign.clone().database(database).connect().await.is_err(), "{key} reaches {database}");
        }
        foreign.connect().await.unwrap().close().await.unwrap();
    }
    for connection in [writer, migrator, app] {
        connection.close().await.unwrap();
    }
    server.stop().await.unwrap();
}

/// Keeps asking with new and with kept connections, as a process does, until it is told to stop. Says how often it
/// asked, and everything that went wrong.
fn ask(url: &str, stop: CancellationToken) -> tokio::task::JoinHandle<(u64, Vec<String>)> {
    let options = PgConnectOptions::from_str(url).unwrap();
    tokio::spawn(async move {
        let pool = PgPool::connect_lazy_with(options.clone());
        let (mut asked, mut failures) = (0, Vec::new());
        while !stop.is_cancelled() {
            for outcome in [
                sqlx::query("SELECT count(*) FROM contact").execute(&pool).await.map(|_| ()),
                async { options.connect().await?.close().await }.await,
            ] {
                asked += 1;
                failures.extend(outcome.err().map(|error| error.to_string()));
            }
        }
        pool.close().await;
        (asked, failures)
    })
}

#[tokio::test]
async fn a_rotation_fails_no_request_and_locks_the_former_login_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = start(&postgres_options(folder.path())).await.unwrap();
    let options = postgres.connect_options("postgres");
    let server = Server { host: "127.0.0.1".to_owned(), port: postgres.port(), ssl_mode: None, roots: None };
    let acme = || tenant("acme", "1", None);
    let mut current = first("acme", "1", &server);
    provision(&options, &current.plan).await.unwrap();
    let mut migrator = connect(&current.secret, names::API_MIGRATION_URL).await;
    migrator.execute("CREATE TABLE contact (id int PRIMARY KEY)").await.unwrap();
    migrator.close().await.unwrap();

    let mut now = NOW;
    // To the other pair, and back.
    for _ in 0..2 {
        now += MONTH;
        // A pod of the former template, which works through all of it.
        let (former_stop, new_stop) = (CancellationToken::new(), CancellationToken::new());
        let former_pod = ask(&current.secret[names::API_URL], former_stop.clone());
        let switched = prepared(acme(), &server, Some(&current.secret), now, true);
        assert_eq!(switched.step, Step::Switch);
        // A crash after the databases and before the Secret: the same is decided again, with other passwords.
        provision(&options, &switched.plan).await.unwrap();
        let switched = prepared(acme(), &server, Some(&current.secret), now, true);
        provision(&options, &switched.plan).await.unwrap();
        let new_pod = ask(&switched.secret[names::API_URL], new_stop.clone());
        // Pods roll: reconciles in between leave both pairs as they are.
        for rolled_out in [false, true] {
            let waiting = prepared(acme(), &server, Some(&switched.secret), now, rolled_out);
            assert_eq!((waiting.step, &waiting.secret), (Step::Await, &switched.secret));
            provision(&options, &waiting.plan).await.unwrap();
        }
        former_stop.cancel();
        let (asked, failures) = former_pod.await.unwrap();
        assert!(asked > 0 && failures.is_empty(), "{asked} requests, failed: {failures:?}");

        now += FORMER_STAYS;
        let locked = prepared(acme(), &server, Some(&switched.secret), now, true);
        assert_eq!(locked.step, Step::Lock);
        provision(&options, &locked.plan).await.unwrap();
        for key in [names::API_URL, names::API_MIGRATION_URL, names::AUDIT_URL, names::AUDIT_MIGRATION_URL] {
            let former = PgConnectOptions::from_str(&current.secret[key]).unwrap().connect().await;
            assert!(former.is_err(), "{key} of the former pair still opens");
            connect(&locked.secret, key).await.close().await.unwrap();
        }
        new_stop.cancel();
        let (asked, failures) = new_pod.await.unwrap();
        assert!(asked > 0 && failures.is_empty(), "{asked} requests, failed: {failures:?}");
        current = locked;
    }
    // What the migrator of either pair makes belongs to the owner.
    let mut migrator = connect(&current.secret, names::API_MIGRATION_URL).await;
    migrator.execute("ALTER TABLE contact ADD name text").await.unwrap();
    migrator.close().await.unwrap();
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn databases_of_a_former_tenant_are_taken_over_only_by_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = start(&postgres_options(folder.path())).await.unwrap();
    let options = postgres.connect_options("postgres");
    let server = Server { host: "127.0.0.1".to_owned(), port: postgres.port(), ssl_mode: None, roots: None };
    let former = first("acme", "former", &server);
    provision(&options, &former.plan).await.unwrap();
    for adopt in [None, Some("another")] {
        let plan = prepared(tenant("acme", "new", adopt), &server, None, NOW, true).plan;
        let error = provision(&options, &plan).await.unwrap_err();
        assert!(matches!(&error, DatabaseError::Foreign { former, .. } if former == "former"), "{error}");
        assert!(error.to_string().contains("spec.adoptTenantId"), "{error}");
        // Nothing of the former tenant's was touched.
        connect(&former.secret, names::API_URL).await.close().await.unwrap();
    }
    let adopting = tenant("acme", "new", Some("former"));
    let plan = prepared(adopting, &server, Some(&former.secret), NOW, true).plan;
    let outcome = provision(&options, &plan).await.unwrap();
    assert_eq!(outcome, Outcome { adopted: Some("former".to_owned()), ..Outcome::default() });
    connect(&former.secret, names::API_URL).await.close().await.unwrap();
    // From then on they are the new tenant's.
    let plan = prepared(tenant("acme", "new", None), &server, Some(&former.secret), NOW, true).plan;
    assert_eq!(provision(&options, &plan).await.unwrap(), Outcome::default());
    assert!(provision(&options, &former.plan).await.is_err());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn an_administrator_needs_to_make_databases_and_roles_and_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = start(&postgres_options(folder.path())).await.unwrap();
    let mut superuser = postgres.connect_options("postgres").connect().await.unwrap();
    superuser
        .execute(
            "CREATE ROLE platform LOGIN CREATEDB CREATEROLE PASSWORD 'platform'; CREATE ROLE nobody LOGIN PASSWORD 'nobody'",
        )
        .await
        .unwrap();
    superuser.close().await.unwrap();
    let place = Server { host: "127.0.0.1".to_owned(), port: postgres.port(), ssl_mode: None, roots: None };
    let address = |role: &str, password: &str| {
        format!("postgres://{role}:{password}@127.0.0.1:{}/postgres", place.port)
    };
    let Prepared { plan, secret, .. } = first("acme", "1", &place);
    for (role, password, reason) in
        [("nobody", "nobody", "DatabaseRefused"), ("platform", "Wrong-Password-7", "DatabaseRefused")]
    {
        let error = ensure_databases(&address(role, password), &place, &plan).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(!format!("{error} {error:?}").contains("Wrong-Password-7"), "{error:?}");
    }
    for _ in 0..2 {
        ensure_databases(&address("platform", "platform"), &place, &plan).await.unwrap();
    }
    let mut migrator = connect(&secret, names::API_MIGRATION_URL).await;
    migrator.execute("CREATE TABLE contact (id int PRIMARY KEY)").await.unwrap();
    let mut app = connect(&secret, names::API_URL).await;
    app.execute("INSERT INTO contact VALUES (1)").await.unwrap();
    for connection in [migrator, app] {
        connection.close().await.unwrap();
    }
    let unreachable = "postgres://platform:platform@127.0.0.1:1/postgres";
    assert_eq!(
        ensure_databases(unreachable, &place, &plan).await.unwrap_err().reason(),
        "DatabaseUnreachable"
    );
    assert!(matches!(ensure_databases("postgres://[", &place, &plan).await, Err(DatabaseError::Address)));
    postgres.stop().await.unwrap();
}

/// An authority, and a server's certificate and key by it.
fn certificates() -> (String, String, String) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    (authority.pem(), certificate.pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_server_is_verified_by_the_certificates_that_describe_it_up_to_the_pods() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let folder = tempfile::tempdir().unwrap();
    let options = postgres_options(folder.path());
    start(&options).await.unwrap().stop().await.unwrap();
    let (roots, certificate, key) = certificates();
    let data = options.folder.join("data");
    for (name, text) in [("server.crt", &certificate), ("server.key", &key)] {
        let path = data.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        if let Some(account) = &options.account {
            std::os::unix::fs::chown(&path, Some(account.uid), Some(account.gid)).unwrap();
        }
    }
    let settings = data.join("postgresql.conf");
    let mut text = std::fs::read_to_string(&settings).unwrap();
    text.push_str("\nssl = on\n");
    std::fs::write(&settings, text).unwrap();
    let postgres = start(&options).await.unwrap();

    let mut url = url::Url::parse(&postgres.url("postgres")).unwrap();
    url.set_host(Some("localhost")).unwrap();
    url.set_query(Some("sslmode=verify-full"));
    let described = |roots: Option<String>| Server::of(url.as_str(), roots).unwrap();
    let server = described(Some(roots.clone()));
    let Prepared { plan, secret, .. } = first("acme", "1", &server);
    ensure_databases(url.as_str(), &server, &plan).await.unwrap();
    let (others, ..) = certificates();
    for wrong in [None, Some(others.clone())] {
        let error = ensure_databases(url.as_str(), &described(wrong), &plan).await.unwrap_err();
        assert_eq!(error.reason(), "DatabaseUnreachable", "{error}");
    }

    // A pod finds the file where the address says.
    let mounted = tempfile::tempdir().unwrap();
    let file = mounted.path().join(names::DATABASE_ROOTS);
    let address = |key: &str| {
        assert!(secret[key].contains("sslmode=verify-full"), "{key}");
        let local = secret[key].replace(DATABASE_ROOTS_DIR, mounted.path().to_str().unwrap());
        assert_ne!(local, *secret[key], "{key} names the file");
        PgConnectOptions::from_str(&local).unwrap()
    };
    std::fs::write(&file, secret[names::DATABASE_ROOTS].as_bytes()).unwrap();
    for key in [names::API_URL, names::API_MIGRATION_URL, names::AUDIT_URL, names::AUDIT_MIGRATION_URL] {
        let mut connection = address(key).connect().await.unwrap();
        // Shown to the login itself, which a migrator that works as the owner is not.
        let encrypted = "SET ROLE NONE; SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let encrypted = sqlx::raw_sql(encrypted).fetch_one(&mut connection).await.unwrap();
        assert!(encrypted.get::<bool, _>(0), "{key}");
        connection.close().await.unwrap();
    }
    std::fs::write(&file, &others).unwrap();
    assert!(address(names::API_URL).connect().await.is_err(), "signed by nobody it trusts");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn databases_and_roles_are_deleted_by_their_mark_whatever_a_former_run_left() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = start(&postgres_options(folder.path())).await.unwrap();
    let mut superuser = postgres.connect_options("postgres").connect().await.unwrap();
    superuser.execute("CREATE ROLE platform LOGIN CREATEDB CREATEROLE PASSWORD 'platform'").await.unwrap();
    superuser.execute("CREATE ROLE reporting LOGIN").await.unwrap();
    let place = Server { host: "127.0.0.1".to_owned(), port: postgres.port(), ssl_mode: None, roots: None };
    let platform = format!("postgres://platform:platform@127.0.0.1:{}/postgres", place.port);
    let left = |namespace: &'static str| {
        let options = postgres.connect_options("postgres");
        async move {
            let mut server = options.connect().await.unwrap();
            let names: Vec<String> = sqlx::query_scalar(
                "SELECT datname::text FROM pg_database WHERE datname LIKE 'novacrm\\_' || $1 || '\\_%'
                 UNION ALL SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'novacrm\\_' || $1 || '\\_%'",
            )
            .bind(namespace)
            .fetch_all(&mut server)
            .await
            .unwrap();
            server.close().await.unwrap();
            names.len()
        }
    };
    let (acme, other) = (first("acme", "1", &place), first("other", "2", &place));
    for prepared in [&acme, &other] {
        ensure_databases(&platform, &place, &prepared.plan).await.unwrap();
    }
    let mut migrator = connect(&acme.secret, names::API_MIGRATION_URL).await;
    migrator.execute("CREATE TABLE contact (id int PRIMARY KEY)").await.unwrap();
    migrator.close().await.unwrap();
    superuser.execute("GRANT novacrm_acme_crm_read TO reporting").await.unwrap();
    let everything = left("acme").await;
    assert_eq!(everything, left("other").await);

    // Another tenant's, by the mark, are left alone.
    let foreign = tenant("acme", "3", Some("1"));
    assert_eq!(drop_databases(&platform, &place, &foreign).await.unwrap(), Dropped::Foreign);
    assert_eq!(left("acme").await, everything);
    // What a run leaves that ended after the first database, or between databases and roles.
    superuser.execute("DROP DATABASE novacrm_acme_crm").await.unwrap();
    superuser.execute("DROP ROLE novacrm_acme_crm_app_a").await.unwrap();
    let mine = tenant("acme", "1", None);
    for _ in 0..2 {
        assert_eq!(drop_databases(&platform, &place, &mine).await.unwrap(), Dropped::Gone);
        assert_eq!(left("acme").await, 0);
    }
    assert_eq!(left("other").await, everything);
    superuser.close().await.unwrap();
    postgres.stop().await.unwrap();
}

/// A server with an administrator that is no superuser, as managed services give one. Its maintenance databases belong to
/// somebody else.
async fn managed_service(
    folder: &std::path::Path,
) -> (novacrm_operator::local::postgres::Server, Server, String, PgConnection) {
    let postgres = start(&postgres_options(folder)).await.unwrap();
    let mut superuser = postgres.connect_options("postgres").connect().await.unwrap();
    superuser.execute("CREATE ROLE platform LOGIN CREATEDB CREATEROLE PASSWORD 'platform'").await.unwrap();
    let place = Server { host: "127.0.0.1".to_owned(), port: postgres.port(), ssl_mode: None, roots: None };
    let platform = format!("postgres://platform:platform@127.0.0.1:{}/postgres", place.port);
    (postgres, place, platform, superuser)
}

async fn code_of(url: &str, database: &str) -> Option<String> {
    let error = PgConnectOptions::from_str(url).unwrap().database(database).connect().await.err()?;
    error.as_database_error().and_then(|error| error.code()).map(std::borrow::Cow::into_owned)
}

const LOGINS: [&str; 4] =
    [names::API_URL, names::API_MIGRATION_URL, names::AUDIT_URL, names::AUDIT_MIGRATION_URL];

#[tokio::test]
async fn a_tenant_cannot_hold_the_lock_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let (postgres, place, platform, superuser) = managed_service(folder.path()).await;
    let acme = first("acme", "1", &place);
    ensure_databases(&platform, &place, &acme.plan).await.unwrap();
    // The number of a lock is no secret. acme takes globex's wherever it may connect to, before globex exists.
    let digest = sha2::Sha256::digest("novacrm.io/databases/globex");
    let number = i64::from_be_bytes(digest[..8].try_into().unwrap());
    let mut held = Vec::new();
    for database in ["postgres", "template1", "novacrm_acme_crm"] {
        let options = PgConnectOptions::from_str(&acme.secret[names::API_URL]).unwrap().database(database);
        let mut connection = options.connect().await.unwrap();
        sqlx::query("SELECT pg_advisory_lock($1)").bind(number).execute(&mut connection).await.unwrap();
        held.push(connection);
    }
    for key in LOGINS {
        let refused = code_of(&acme.secret[key], "novacrm_operator").await;
        assert_eq!(refused.as_deref(), Some("42501"), "{key} reaches the operator's database");
    }
    // Created, rotated and deleted all the same.
    let mut globex = first("globex", "2", &place);
    for _ in 0..2 {
        ensure_databases(&platform, &place, &globex.plan).await.unwrap();
        globex = prepared(tenant("globex", "2", None), &place, Some(&globex.secret), NOW + MONTH, true);
    }
    let deleted = drop_databases(&platform, &place, &tenant("globex", "2", None)).await.unwrap();
    assert_eq!(deleted, Dropped::Gone);
    for connection in held.into_iter().chain([superuser]) {
        connection.close().await.unwrap();
    }
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn tenants_that_come_at_once_on_a_new_server_share_one_operators_database() {
    let folder = tempfile::tempdir().unwrap();
    let (postgres, place, platform, superuser) = managed_service(folder.path()).await;
    let plans: Vec<Prepared> =
        ["a", "b", "c", "d"].into_iter().map(|name| first(name, name, &place)).collect();
    let runs = plans.iter().map(|one| ensure_databases(&platform, &place, &one.plan));
    for outcome in futures::future::join_all(runs).await {
        assert_eq!(outcome.unwrap().created.len(), 2);
    }
    superuser.close().await.unwrap();
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn no_login_of_a_tenant_reaches_the_maintenance_databases() {
    let folder = tempfile::tempdir().unwrap();
    let (postgres, place, platform, mut superuser) = managed_service(folder.path()).await;
    let acme = first("acme", "1", &place);
    // An administrator who may not revoke the right says so, each time.
    for _ in 0..2 {
        let outcome = ensure_databases(&platform, &place, &acme.plan).await.unwrap();
        assert_eq!(outcome.open, ["postgres", "template1"]);
    }
    superuser.execute("ALTER DATABASE template1 OWNER TO platform").await.unwrap();
    assert_eq!(ensure_databases(&platform, &place, &acme.plan).await.unwrap().open, ["postgres"]);
    let outcome = provision(&postgres.connect_options("postgres"), &acme.plan).await.unwrap();
    assert_eq!(outcome.open, Vec::<String>::new());
    for key in LOGINS {
        for database in ["postgres", "template1", "novacrm_operator"] {
            let refused = code_of(&acme.secret[key], database).await;
            assert_eq!(refused.as_deref(), Some("42501"), "{key} reaches {database}");
        }
        connect(&acme.secret, key).await.close().await.unwrap();
    }
    superuser.close().await.unwrap();
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_tenant_cannot_take_all_connections_of_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let (postgres, place, platform, mut superuser) = managed_service(folder.path()).await;
    let mut acme = first("acme", "1", &place);
    let globex = first("globex", "2", &place);
    acme.plan.limits = ConnectionLimits { api: 3, audit: 2, migrator: 1 };
    for one in [&acme, &globex] {
        ensure_databases(&platform, &place, &one.plan).await.unwrap();
    }
    for (key, limit) in LOGINS.into_iter().zip([3, 1, 2, 1]) {
        let mut taken = Vec::new();
        for _ in 0..limit {
            taken.push(connect(&acme.secret, key).await);
        }
        let own = PgConnectOptions::from_str(&acme.secret[key]).unwrap();
        let refused = code_of(&acme.secret[key], own.get_database().unwrap()).await;
        assert_eq!(refused.as_deref(), Some("53300"), "{key}");
        connect(&globex.secret, key).await.close().await.unwrap();
    }
    let limits: Vec<(String, i32)> = sqlx::query_as(
        "SELECT rolname::text, rolconnlimit FROM pg_roles WHERE rolname LIKE 'novacrm\\_globex\\_%\\_a' ORDER BY 1",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    let limits: Vec<(&str, i32)> = limits.iter().map(|(name, limit)| (name.as_str(), *limit)).collect();
    assert_eq!(
        limits,
        [
            ("novacrm_globex_audit_migr_a", 20),
            ("novacrm_globex_audit_write_a", 32),
            ("novacrm_globex_crm_app_a", 32),
            ("novacrm_globex_crm_migr_a", 20),
        ]
    );
    superuser.close().await.unwrap();
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn functions_that_a_tenant_plants_are_never_run_by_the_administrator() {
    let folder = tempfile::tempdir().unwrap();
    let (postgres, place, platform, mut superuser) = managed_service(folder.path()).await;
    // As every cluster up to PostgreSQL 14 has it, and as pg_upgrade keeps it.
    for database in ["postgres", "template1"] {
        let mut server = postgres.connect_options(database).connect().await.unwrap();
        server.execute("GRANT CREATE ON SCHEMA public TO PUBLIC").await.unwrap();
        server.close().await.unwrap();
    }
    let acme = first("acme", "1", &place);
    ensure_databases(&platform, &place, &acme.plan).await.unwrap();
    let app = "novacrm_acme_crm_app_a";
    for database in ["postgres", "template1"] {
        let options = PgConnectOptions::from_str(&acme.secret[names::API_URL]).unwrap().database(database);
        let mut evil = options.connect().await.unwrap();
        // For each function and operator that the administrator's statements use: better matches than those of
        // pg_catalog for literals without a type.
        let body = format!("AS $$ BEGIN ALTER ROLE {app} CREATEROLE; RETURN NULL; END $$ LANGUAGE plpgsql");
        for signature in [
            "public.shobj_description(oid, text) RETURNS text",
            "public.pg_advisory_lock(numeric) RETURNS text",
            "public.has_database_privilege(text, oid, text) RETURNS boolean",
            "public.same(name, text) RETURNS boolean",
        ] {
            evil.execute(sqlx::AssertSqlSafe(format!("CREATE FUNCTION {signature} {body}"))).await.unwrap();
        }
        evil.execute("CREATE OPERATOR public.= (FUNCTION = public.same, LEFTARG = name, RIGHTARG = text)")
            .await
            .unwrap();
        evil.execute("CREATE VIEW public.pg_roles AS SELECT * FROM pg_catalog.pg_roles WHERE false")
            .await
            .unwrap();
        evil.close().await.unwrap();
        // The trap works against an administrator who does not look out.
        let careless = PgConnectOptions::from_str(&platform).unwrap().database(database);
        let mut careless = careless.connect().await.unwrap();
        careless
            .execute("SELECT shobj_description(oid, 'pg_authid') FROM pg_catalog.pg_roles")
            .await
            .unwrap();
        careless.close().await.unwrap();
        assert!(privileged(&mut superuser, app).await, "the trap in {database} is none");
        superuser.execute(sqlx::AssertSqlSafe(format!("ALTER ROLE {app} NOCREATEROLE"))).await.unwrap();
    }
    // The operator's database is made anew, so that the session in the maintenance database runs as well.
    superuser.execute("DROP DATABASE novacrm_operator").await.unwrap();
    let globex = first("globex", "2", &place);
    let superuser_url = postgres.url("postgres");
    for administrator in [&platform, &superuser_url] {
        for one in [&acme, &globex] {
            ensure_databases(administrator, &place, &one.plan).await.unwrap();
        }
        drop_databases(administrator, &place, &tenant("globex", "2", None)).await.unwrap();
        assert!(!privileged(&mut superuser, app).await, "the administrator ran what a tenant planted");
    }
    superuser.close().await.unwrap();
    postgres.stop().await.unwrap();
}

async fn privileged(superuser: &mut PgConnection, role: &str) -> bool {
    let query = "SELECT rolcreaterole OR rolsuper FROM pg_catalog.pg_roles WHERE rolname::text = $1";
    sqlx::query_scalar(query).bind(role).fetch_one(superuser).await.unwrap()
}

#[tokio::test]
async fn settings_of_a_tenants_database_do_not_reach_the_administrators_session() {
    let folder = tempfile::tempdir().unwrap();
    let (postgres, place, platform, mut superuser) = managed_service(folder.path()).await;
    let acme = first("acme", "1", &place);
    ensure_databases(&platform, &place, &acme.plan).await.unwrap();
    let mut migrator = connect(&acme.secret, names::API_MIGRATION_URL).await;
    migrator.execute("CREATE SCHEMA evil").await.unwrap();
    for setting in [
        "search_path = evil, pg_catalog",
        "role = novacrm_acme_crm_owner",
        "default_transaction_read_only = on",
        "statement_timeout = '1ms'",
    ] {
        let statement = format!("ALTER DATABASE novacrm_acme_crm SET {setting}");
        migrator.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    }
    migrator.close().await.unwrap();
    // What the administrator grants is missing, so that it has to be granted again.
    superuser.execute("REVOKE ALL ON DATABASE novacrm_acme_crm FROM novacrm_acme_crm_app").await.unwrap();
    superuser
        .execute("ALTER ROLE novacrm_acme_crm_migr_b IN DATABASE novacrm_acme_crm RESET ALL")
        .await
        .unwrap();
    let superuser_url = postgres.url("postgres");
    for administrator in [&platform, &superuser_url] {
        ensure_databases(administrator, &place, &acme.plan).await.unwrap();
    }
    connect(&acme.secret, names::API_URL).await.close().await.unwrap();
    superuser.close().await.unwrap();
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn roles_with_more_rights_than_the_operator_gives_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (postgres, place, platform, mut superuser) = managed_service(folder.path()).await;
    let acme = first("acme", "1", &place);
    // Somebody made the role before.
    superuser.execute("CREATE ROLE novacrm_acme_crm_app_a BYPASSRLS").await.unwrap();
    let refused = |outcome: Result<Outcome, DatabaseError>| {
        let error = outcome.unwrap_err();
        assert_eq!(error.reason(), "DatabaseRefused", "{error}");
        assert!(
            matches!(&error, DatabaseError::Privileged { role, .. } if role == "novacrm_acme_crm_app_a"),
            "{error}"
        );
    };
    let superuser_url = postgres.url("postgres");
    refused(ensure_databases(&superuser_url, &place, &acme.plan).await);
    superuser.execute("DROP ROLE novacrm_acme_crm_app_a").await.unwrap();
    // Another administrator, who is given what the former one took from everybody, makes a database of its own.
    superuser.execute("DROP DATABASE novacrm_operator").await.unwrap();
    superuser.execute("GRANT CONNECT ON DATABASE postgres TO platform").await.unwrap();
    ensure_databases(&platform, &place, &acme.plan).await.unwrap();
    for (more, less) in [
        ("ALTER ROLE novacrm_acme_crm_app_a CREATEDB", "ALTER ROLE novacrm_acme_crm_app_a NOCREATEDB"),
        (
            "GRANT pg_read_server_files TO novacrm_acme_crm_app_a",
            "REVOKE pg_read_server_files FROM novacrm_acme_crm_app_a",
        ),
        (
            "GRANT novacrm_acme_crm_owner TO novacrm_acme_crm_app_a",
            "REVOKE novacrm_acme_crm_owner FROM novacrm_acme_crm_app_a",
        ),
    ] {
        superuser.execute(more).await.unwrap();
        refused(ensure_databases(&platform, &place, &acme.plan).await);
        superuser.execute(less).await.unwrap();
        ensure_databases(&platform, &place, &acme.plan).await.unwrap();
    }
    superuser.close().await.unwrap();
    postgres.stop().await.unwrap();
}
