//! The log under load, crashes and tampering.

use std::path::Path;
use std::process::{Command, Output};

use novacrm_engine::audit::read::{DatabaseReport, events, export, verify};
use novacrm_engine::audit::sequence::seal;
use novacrm_engine::audit::{AuditError, Database, Durability, MIGRATIONS};
use novacrm_engine_core::record::verify::DamageKind;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};

use crate::fixture::{Running, Tenant, bundle, until};

async fn fill(engine: &Running, count: usize) {
    for _ in 0..count {
        assert_eq!(engine.analyze(&json!({"text": "x"})).await.0, 200);
    }
}

async fn until_signed(pool: &PgPool, size: i64) {
    until("the log is signed", async || {
        let signed = sqlx::query_scalar::<_, Option<i64>>("SELECT max(size) FROM audit_checkpoint");
        signed.fetch_one(pool).await.unwrap() == Some(size)
    })
    .await;
}

async fn report(tenant: &Tenant) -> DatabaseReport {
    verify(&tenant.pool, &tenant.verifier(), &[], |_| {}).await.unwrap()
}

async fn execute(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn two_engines_under_load_and_killed_connections_keep_one_log_without_gaps(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let first = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let second = tenant.engine().await;
    second.until_ready().await;
    let mut acknowledged = std::collections::HashSet::new();
    for round in 0..10 {
        let request = json!({"text": "x"});
        let load = futures::future::join_all(
            (0..16).flat_map(|_| [first.analyze(&request), second.analyze(&request)]),
        );
        let kill = async {
            if round % 3 == 1 {
                // Writers and sequencers alike, in the middle of their work.
                let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                            WHERE application_name = 'novacrm-engine' AND datname = current_database()";
                sqlx::query(kill).execute(&tenant.pool).await.unwrap();
            }
        };
        let (answers, ()) = tokio::join!(load, kill);
        for (status, answer) in answers {
            assert!(
                status == 200 || (status == 503 && answer["code"] == "audit_unavailable"),
                "{status} {answer}"
            );
            if status == 200 {
                assert!(acknowledged.insert(answer["record_id"].as_str().unwrap().to_owned()));
            }
        }
    }
    first.stop().await;
    second.stop().await;
    // Whoever starts next goes on where they ended.
    let third = tenant.engine().await;
    third.until_ready().await;
    fill(&third, 1).await;
    let records: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_record").fetch_one(&tenant.pool).await.unwrap();
    until_signed(&tenant.pool, records).await;
    let page = events(&tenant.pool, 0, 1000).await.unwrap();
    assert_eq!(page.next, u64::try_from(records).unwrap());
    for (sequence, event) in (1..).zip(&page.events) {
        assert_eq!(event.sequence, sequence);
        acknowledged.remove(event.record["id"].as_str().unwrap());
    }
    assert!(acknowledged.is_empty(), "answered and not in the log: {acknowledged:?}");
    let report = report(&tenant).await;
    assert!(report.log.is_intact(), "{report:?}");
    assert_eq!((report.log.covered, report.pending), (page.next, 0));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn events_wait_for_the_first_one_and_come_in_order(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    assert_eq!(engine.get(&engine.api, "/v1/events").await.1, json!({"events": [], "next": 0}));
    let (waited, _) = tokio::join!(engine.get(&engine.api, "/v1/events?wait=10"), fill(&engine, 1));
    assert_eq!(waited.1["events"][0]["sequence"], 1);
    assert_eq!(waited.1["events"][0]["record"]["kind"], "decision");
    fill(&engine, 4).await;
    until_signed(&tenant.pool, 5).await;
    let (_, page) = engine.get(&engine.api, "/v1/events?after=2&limit=2").await;
    assert_eq!((page["events"][0]["sequence"].as_u64(), page["next"].as_u64()), (Some(3), Some(4)));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn whatever_is_changed_in_the_database_is_found_and_named(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    for size in [4, 8, 12] {
        fill(&engine, 4).await;
        until_signed(&tenant.pool, size).await;
    }
    engine.stop().await;
    assert!(report(&tenant).await.log.is_intact());
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT record_id FROM audit_entry ORDER BY sequence")
        .fetch_all(&tenant.pool)
        .await
        .unwrap();
    let saved = ["audit_record", "audit_entry", "audit_checkpoint"];
    for table in saved {
        execute(&tenant.pool, &format!("CREATE TABLE saved_{table} AS TABLE {table}")).await;
    }
    let n = "(SELECT n FROM audit_entry WHERE sequence = 6)";
    let cases = [
        (format!("UPDATE audit_record SET body = set_byte(body, 40, get_byte(body, 40) # 1) WHERE n = {n}"), DamageKind::Edited, 6),
        (format!("UPDATE audit_record SET leaf_hash = sha256('x') WHERE n = {n}"), DamageKind::Edited, 6),
        (format!("UPDATE audit_record SET request_id = gen_random_uuid() WHERE n = {n}"), DamageKind::Edited, 6),
        (format!("UPDATE audit_record SET id = gen_random_uuid() WHERE n = {n}"), DamageKind::Edited, 6),
        ("UPDATE audit_entry SET record_id = gen_random_uuid() WHERE sequence = 6".to_owned(), DamageKind::Edited, 6),
        (format!("DELETE FROM audit_record WHERE n = {n}"), DamageKind::Deleted, 6),
        ("DELETE FROM audit_entry WHERE sequence = 6".to_owned(), DamageKind::Deleted, 6),
        ("UPDATE audit_entry SET leaf_hash = sha256('x') WHERE sequence = 6".to_owned(), DamageKind::Hash, 6),
        (format!("WITH r AS (UPDATE audit_record SET body = 'forged', leaf_hash = sha256('\\x00' || 'forged'::bytea) WHERE n = {n} RETURNING leaf_hash)
                  UPDATE audit_entry SET leaf_hash = r.leaf_hash FROM r WHERE sequence = 6"), DamageKind::Rewritten, 5),
        ("DELETE FROM audit_entry WHERE sequence > 10".to_owned(), DamageKind::Truncated, 11),
        ("UPDATE audit_checkpoint SET note = replace(note, 'acme', 'acmf') WHERE size = 8".to_owned(), DamageKind::ForgedCheckpoint, 8),
        ("UPDATE audit_checkpoint SET frontier = set_byte(frontier, 0, get_byte(frontier, 0) # 1) WHERE size = 8".to_owned(), DamageKind::ForgedCheckpoint, 8),
        ("WITH a AS (SELECT sequence, n, record_id, leaf_hash FROM audit_entry WHERE sequence IN (6, 7)),
               d AS (DELETE FROM audit_entry WHERE sequence IN (6, 7) RETURNING 1)
          SELECT count(*) FROM d; UPDATE audit_record SET body = CASE n WHEN (SELECT n FROM saved_audit_entry WHERE sequence = 6)
            THEN (SELECT body FROM saved_audit_record JOIN saved_audit_entry USING (n) WHERE sequence = 7)
            ELSE (SELECT body FROM saved_audit_record JOIN saved_audit_entry USING (n) WHERE sequence = 6) END
          WHERE n IN (SELECT n FROM saved_audit_entry WHERE sequence IN (6, 7));
          INSERT INTO audit_entry SELECT * FROM saved_audit_entry WHERE sequence IN (6, 7)".to_owned(), DamageKind::Reordered, 6),
    ];
    for (sql, kind, sequence) in cases {
        execute(&tenant.pool, &sql).await;
        let report = report(&tenant).await;
        let named =
            report.log.damages.iter().find(|damage| damage.kind == kind && damage.sequence == Some(sequence));
        assert!(named.is_some(), "{sql}: {report:?}");
        if kind == DamageKind::Edited && !sql.contains("record_id") {
            assert_eq!(named.unwrap().id, Some(ids[5]), "{sql}");
        }
        for table in saved {
            let columns = if table == "audit_record" { "OVERRIDING SYSTEM VALUE" } else { "" };
            let restore =
                format!("TRUNCATE {table}; INSERT INTO {table} {columns} SELECT * FROM saved_{table}");
            execute(&tenant.pool, &restore).await;
        }
        assert!(self::report(&tenant).await.log.is_intact(), "restored after {sql}");
    }
}

fn cli(tenant: &Tenant, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_novacrm-engine"))
        .args(arguments)
        .env("NOVACRM_KEYS_DIR", tenant.keys.path())
        .env("NOVACRM_AUDIT_DATABASE_URL", tenant.url())
        .env("NOVACRM_AUDIT_MIGRATION_DATABASE_URL", tenant.url())
        .output()
        .unwrap()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn an_exported_log_is_verified_from_its_files_and_the_public_key_alone(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    fill(&engine, 5).await;
    until_signed(&tenant.pool, 5).await;
    engine.stop().await;
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("log");
    assert_eq!(export(&tenant.pool, &to, |_, _| {}).await.unwrap(), 5);

    let public = tenant.keys.path().join("audit-public.key");
    let from = ["audit", "verify", "--from", to.to_str().unwrap(), "--public-key", public.to_str().unwrap()];
    let intact = cli(&tenant, &from);
    assert_eq!(intact.status.code(), Some(0), "{intact:?}");
    assert!(String::from_utf8_lossy(&intact.stdout).starts_with("Intact: 5 records, 5 covered"));
    assert_eq!(cli(&tenant, &["audit", "verify"]).status.code(), Some(0), "the database");
    let again = cli(&tenant, &["audit", "export", "--to", to.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2), "an export is never overwritten");

    let third: uuid::Uuid = sqlx::query_scalar("SELECT record_id FROM audit_entry WHERE sequence = 3")
        .fetch_one(&tenant.pool)
        .await
        .unwrap();
    let entries = to.join("tile/entries/000.p/5");
    let at = String::from_utf8_lossy(&std::fs::read(&entries).unwrap()).find("\"engine\"").unwrap();
    flip(&entries, at + 1);
    let mut arguments = from.to_vec();
    arguments.extend(["--output", "json"]);
    let damaged = cli(&tenant, &arguments);
    assert_eq!(damaged.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&damaged.stdout).unwrap();
    assert_eq!(report["damages"][0]["kind"], "edited");
    flip(&entries, at + 1);

    execute(
        &tenant.pool,
        "UPDATE audit_record SET body = body || ' ' WHERE n = (SELECT n FROM audit_entry WHERE sequence = 3)",
    )
    .await;
    let damaged = cli(&tenant, &["audit", "verify"]);
    assert_eq!(damaged.status.code(), Some(1));
    let table = String::from_utf8_lossy(&damaged.stdout).into_owned();
    assert!(table.contains(&third.to_string()) && table.contains("edited"), "{table}");

    // What was kept elsewhere tells a log that was cut back and signed again.
    let kept = to.join("checkpoint");
    execute(&tenant.pool, "TRUNCATE audit_record, audit_entry, audit_checkpoint").await;
    let cut = cli(&tenant, &["audit", "verify", "--against", kept.to_str().unwrap()]);
    assert_eq!(cut.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&cut.stdout).contains("truncated"));
    for unusable in
        [&["audit", "verify", "--from", "/nonexistent"][..], &["audit", "verify", "--colour"], &[]]
    {
        assert_eq!(cli(&tenant, unusable).status.code(), Some(2), "{unusable:?}");
    }
}

#[sqlx::test(migrations = false)]
async fn the_engine_needs_no_more_than_insert_and_select(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let role = format!("engine_{}", uuid::Uuid::new_v4().simple());
    let password = uuid::Uuid::new_v4();
    execute(&tenant.pool, &format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'; ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT ON TABLES TO {role}")).await;
    let migrated = cli(&tenant, &["audit", "migrate"]);
    assert_eq!(migrated.status.code(), Some(0), "{migrated:?}");
    tenant.publish(&bundle(1, "redact", "1.0.0").encode().unwrap());
    let options = (*tenant.pool.connect_options()).clone().username(&role).password(&password.to_string());
    let url = sqlx::ConnectOptions::to_url_lossy(&options).to_string();
    let engine = tenant.engine_on(&url, std::time::Duration::from_secs(2)).await;
    engine.until_ready().await;
    fill(&engine, 2).await;
    until_signed(&tenant.pool, 2).await;
    engine.stop().await;
    let limited = PgPool::connect_with(options).await.unwrap();
    sqlx::query("SELECT audit_drop_expired_replies()").execute(&limited).await.unwrap();
    for table in ["audit_record", "audit_entry", "audit_checkpoint", "audit_salt", "audit_reply"] {
        for sql in [
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("ALTER TABLE {table} ADD x int"),
        ] {
            assert!(sqlx::query(AssertSqlSafe(sql.clone())).execute(&limited).await.is_err(), "{sql}");
        }
    }
    assert!(sqlx::query("UPDATE audit_record SET body = 'x'").execute(&limited).await.is_err());
    limited.close().await;
    execute(&tenant.pool, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_database_that_may_lose_what_it_commits_is_refused(pool: PgPool) {
    let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&pool).await.unwrap();
    let tenant = Tenant::new(pool);
    let database = Database::new(&tenant.url(), Durability::Required).unwrap();
    match database.check().await {
        Ok(()) => assert_eq!(fsync, "on"),
        Err(AuditError::NotDurable { setting, value }) => {
            assert_eq!((setting, value.as_str(), fsync.as_str()), ("fsync", "off", "off"))
        }
        Err(other) => panic!("{other}"),
    }
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn the_last_copy_of_a_log_holds_every_record_that_was_answered(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("audit");
    let dump = ["audit", "dump", "--tenant", "acme", "--to", to.to_str().unwrap()];
    let empty = cli(&tenant, &dump);
    assert_eq!(empty.status.code(), Some(0), "{empty:?}");
    let key = |path: &Path| std::fs::read_to_string(path.join("audit-public.key")).unwrap();
    assert_eq!(key(&to).trim(), key(tenant.keys.path()).trim());
    assert!(!to.join("log").exists(), "an empty log is its key alone");

    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    fill(&engine, 3).await;
    engine.stop().await;
    // What an engine that was killed leaves: durable, without a place and without a signature.
    let signed: i64 = sqlx::query_scalar("SELECT coalesce(max(size), 0) FROM audit_checkpoint")
        .fetch_one(&tenant.pool)
        .await
        .unwrap();
    assert_eq!(signed, 3, "an engine that is told to end signs what it answered");
    for table in ["audit_checkpoint WHERE size = 3", "audit_entry WHERE sequence = 3"] {
        execute(&tenant.pool, &format!("DELETE FROM {table}")).await;
    }
    for _ in 0..2 {
        let dumped = cli(&tenant, &dump);
        assert_eq!(dumped.status.code(), Some(0), "{dumped:?}");
        let log = to.join("log");
        let public = to.join("audit-public.key");
        let from =
            ["audit", "verify", "--from", log.to_str().unwrap(), "--public-key", public.to_str().unwrap()];
        let intact = cli(&tenant, &from);
        let said = String::from_utf8_lossy(&intact.stdout).into_owned();
        assert!(said.starts_with("Intact: 3 records, 3 covered"), "{said}");
    }

    // While an engine may still write, a copy would not be the last.
    let mut lock = tenant.pool.acquire().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(7021967002)").execute(&mut *lock).await.unwrap();
    let database = Database::new(&tenant.url(), Durability::Volatile).unwrap();
    let text = std::fs::read_to_string(tenant.keys.path().join("audit-signing.key")).unwrap();
    let origin = novacrm_engine_core::record::log::origin("acme");
    let signing = novacrm_engine_core::record::CheckpointKey::from_pem(&origin, &text).unwrap();
    let sealing = tokio::spawn(async move { seal(&database, &signing).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!sealing.is_finished(), "it waits for the engine");
    drop(lock.close().await);
    assert_eq!(sealing.await.unwrap().unwrap(), 3);
}
