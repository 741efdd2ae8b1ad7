//! The private PostgreSQL, for real: as root (under `nobody`) or as whoever runs the tests.

use std::fs;

use novacrm_operator::local::postgres::{Options, PostgresError, Programs, start};
use sqlx::{ConnectOptions, Connection, Executor, Row};

mod common;

use common::postgres_options as options;

#[tokio::test]
async fn data_survives_a_stop_and_fsync_is_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let server = start(&options).await.unwrap();
    let mut connection = server.connect_options("postgres").connect().await.unwrap();
    let fsync: String = connection.fetch_one("SHOW fsync").await.unwrap().get(0);
    assert_eq!(fsync, "on");
    connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)").await.unwrap();
    connection.close().await.unwrap();
    server.stop().await.unwrap();
    assert!(!options.folder.join("data/postmaster.pid").exists(), "a clean stop leaves no pid file");

    let server = start(&options).await.unwrap();
    let mut connection = server.connect_options("postgres").connect().await.unwrap();
    let kept: i32 = connection.fetch_one("SELECT n FROM kept").await.unwrap().get(0);
    assert_eq!(kept, 42);
    connection.close().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_left_behind_by_a_killed_parent_hands_over() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let server = start(&options).await.unwrap();
    drop(server);
    let server = start(&options).await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_damaged_folder_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    start(&options).await.unwrap().stop().await.unwrap();
    let control = options.folder.join("data/global/pg_control");
    fs::remove_file(&control).unwrap();
    let error = start(&options).await.unwrap_err();
    assert!(matches!(error, PostgresError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("global/pg_control"), "{error}");
    assert!(!control.exists());
}

#[tokio::test]
async fn a_port_in_use_is_said_by_the_server_and_nothing_stays_behind() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options { port: Some(taken.local_addr().unwrap().port()), ..options(folder.path()) };
    let error = start(&options).await.unwrap_err();
    assert!(matches!(error, PostgresError::Failed { program: "postgres", .. }), "{error}");
    assert!(error.to_string().contains("could not create any TCP/IP sockets"), "{error}");
}

#[tokio::test]
async fn a_folder_without_programs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        Options { programs: Programs::Installed(folder.path().to_owned()), ..options(folder.path()) };
    let error = start(&options).await.unwrap_err();
    assert!(matches!(error, PostgresError::Missing { program: "initdb", .. }), "{error}");
}
