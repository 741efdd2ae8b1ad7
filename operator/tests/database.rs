//! What the roles of a tenant may do and may not, on a real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::str::FromStr;

use common::postgres_options;
use novacrm_operator::crm_tenant::database::{Passwords, Server, provision, urls};
use novacrm_operator::crm_tenant::generate::Content;
use novacrm_operator::crm_tenant::names;
use novacrm_operator::local::postgres::start;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};

async fn connect(urls: &Content, key: &str) -> PgConnection {
    PgConnectOptions::from_str(&urls[key]).unwrap().connect().await.unwrap()
}

/// Runs a statement that must be refused for want of a privilege (SQLSTATE 42501).
async fn refused(connection: &mut PgConnection, statement: &'static str) {
    let error = connection.execute(statement).await.expect_err(statement);
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned();
    assert_eq!(code, "42501", "{statement}: {error}");
}

#[tokio::test]
async fn roles_may_do_what_they_must_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&postgres_options(folder.path())).await.unwrap();
    let administrator = server.connect_options("postgres");
    let place = Server { host: "127.0.0.1".to_owned(), port: server.port() };
    let acme_passwords = Passwords::keep_or_make(None, &mut rand::rng());
    let acme = urls("acme", &place, &acme_passwords);
    let other_passwords = Passwords::keep_or_make(None, &mut rand::rng());
    let other = urls("other", &place, &other_passwords);
    // Twice: every statement can be run again.
    for _ in 0..2 {
        provision(&administrator, "acme", &acme_passwords).await.unwrap();
    }
    provision(&administrator, "other", &other_passwords).await.unwrap();

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
