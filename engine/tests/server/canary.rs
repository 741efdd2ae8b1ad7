//! What is in a prompt is nowhere else: invariant 2.

use std::io::Write;
use std::sync::{Arc, Mutex};

use novacrm_engine::audit::MIGRATIONS;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::fixture::{Tenant, bundle, canary, until};

/// Everything this process logs, of all tests that run meanwhile.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn no_value_of_a_prompt_is_in_the_database_the_events_the_metrics_or_the_logs(pool: PgPool) {
    let logs = Logs::default();
    let writer = logs.clone();
    let level = tracing_subscriber::filter::LevelFilter::DEBUG;
    tracing_subscriber::fmt().with_max_level(level).with_writer(move || writer.clone()).init();
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let mut secrets = Vec::new();
    for _ in 0..20 {
        let (value, actor, subject) = (canary(), Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let (plain, document) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let request = json!({
            "text": format!("{plain} {value}"), "request_id": Uuid::now_v7(),
            "actor": {"id": actor, "role": "sales"}, "subject": subject, "document": document,
        });
        let (status, answer) = engine.analyze(&request).await;
        assert_eq!(status, 200);
        assert!(!answer.to_string().contains(&value));
        secrets.extend([value, actor, subject, plain, document]);
    }
    let restored = json!({"text": secrets[0], "document": secrets[4], "subject": secrets[2]});
    let restored = engine.api.0.post(engine.url("/v1/restore")).json(&restored).send().await.unwrap();
    assert_eq!(restored.status(), 200);
    // A stream that is answered, and one that breaks off at a line that cannot be read.
    for (last, end) in [
        (json!({"text": secrets[3]}), "\"end\""),
        (json!({"text": secrets[3], "x": secrets[0]}), "\"problem\""),
    ] {
        let start =
            json!({"document": secrets[4], "actor": {"id": secrets[1], "role": "sales"}, "restore": true});
        let lines = format!("{start}\n{}\n{last}", json!({"text": secrets[0]}));
        let request =
            engine.api.0.post(engine.url("/v1/stream")).header("content-type", "application/x-ndjson");
        let answer = request.body(lines).send().await.unwrap().text().await.unwrap();
        assert!(answer.contains(end) && !answer.contains(&secrets[0]), "{answer}");
    }
    // Refusals are logged.
    let refused = json!({"text": secrets[0], "use_case": secrets[0]});
    assert_eq!(engine.analyze(&refused).await.0, 422);
    until("all is sequenced", async || {
        engine.get(&engine.api, "/v1/events").await.1["next"].as_u64() == Some(22)
    })
    .await;
    let mut outputs = vec![
        engine.get(&engine.api, "/v1/events?limit=1000").await.1.to_string(),
        engine.probe("/metrics").await.1,
        engine.probe("/readyz").await.1,
    ];
    let logged = String::from_utf8_lossy(&logs.0.lock().unwrap()).into_owned();
    assert!(logged.contains("rules in force"), "the logs are captured");
    outputs.push(logged);
    for table in ["audit_record", "audit_entry", "audit_checkpoint", "audit_salt", "audit_reply"] {
        // As text, and with the bytes of bytea columns decoded.
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t")))
                .fetch_all(&tenant.pool)
                .await
                .unwrap();
        outputs.extend(rows);
    }
    let bodies: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT body FROM audit_record UNION ALL SELECT sealed FROM audit_reply")
            .fetch_all(&tenant.pool)
            .await
            .unwrap();
    outputs.extend(bodies.into_iter().map(|body| String::from_utf8_lossy(&body).into_owned()));
    for secret in &secrets {
        let encoded = hex::encode(secret);
        for output in &outputs {
            assert!(!output.contains(secret.as_str()) && !output.contains(&encoded), "{secret} in {output}");
        }
    }
}
