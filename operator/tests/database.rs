//! What the roles of a tenant may do and may not, on a real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::str::FromStr;

use common::postgres_options;
use novacrm_operator::crm_tenant::build::DATABASE_ROOTS_DIR;
use novacrm_operator::crm_tenant::database::{
    DatabaseError, Dropped, FORMER_STAYS, Outcome, Prepared, Server, Step, drop_databases, ensure_databases,
    prepare, provision,
};
use novacrm_operator::crm_tenant::generate::Content;
use novacrm_operator::crm_tenant::{Identity, names};
use novacrm_operator::local::postgres::start;
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
    assert_eq!(outcome, Outcome { created: vec![], adopted: Some("former".to_owned()) });
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
