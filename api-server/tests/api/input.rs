//! Bad input: always a problem, never a value of it in an answer or a log, nothing half done.

use std::io::Write;
use std::sync::{Arc, Mutex};

use novacrm_api_domain::user::Role;
use serde_json::json;
use sqlx::PgPool;
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{Api, PASSWORD, call};

#[sqlx::test]
async fn unreadable_bodies_are_refused_each_in_its_way(pool: PgPool) {
    let api = Api::new(pool).await;
    let sales = api.login(Role::Sales).await;
    let post = || call("POST", "/contacts").by(&sales);
    assert_eq!(post().raw("{").send(&api).await.problem(400), "malformed_json");
    assert_eq!(
        post().raw(b"{\"first_name\":\"\xff\"}".to_vec()).send(&api).await.problem(400),
        "malformed_json"
    );
    assert_eq!(
        post().header("content-type", "text/plain").send(&api).await.problem(415),
        "unsupported_media_type"
    );
    let huge = format!("{{\"first_name\":\"{}\"}}", "a".repeat(10 << 20));
    assert_eq!(post().raw(huge).send(&api).await.problem(413), "payload_too_large");
    for (body, code) in [
        (json!({"first_name": "A", "last_name": "B", "inconnu": 1}), "unknown_field"),
        (json!({"first_name": "A"}), "missing_field"),
        (json!({"first_name": 7, "last_name": "B"}), "invalid_type"),
        (json!({"first_name": "A", "last_name": "B", "locale": "de"}), "invalid_value"),
        (json!({"first_name": "A\u{0}", "last_name": "B"}), "control_character"),
        (json!({"first_name": "A".repeat(5000), "last_name": "B"}), "too_long"),
    ] {
        let answer = post().json(&body).send(&api).await;
        assert_eq!(answer.problem(422), "validation_failed");
        let told = answer.json()["errors"][0]["code"].clone();
        assert!(told == code || (code == "invalid_value" && told == "invalid_type"), "{body}: {told}");
    }
    assert_eq!(call("PUT", "/contacts").by(&sales).send(&api).await.problem(405), "method_not_allowed");
    assert_eq!(call("GET", "/nulle-part").by(&sales).send(&api).await.problem(404), "not_found");
    assert_eq!(call("GET", "/contacts/pas-un-id").by(&sales).send(&api).await.problem(404), "not_found");
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "sort=phone",
        "inconnu=1",
        "q=%00",
        "q=a&q=b",
        "updated_after=hier",
        "owner_id=1",
        "count=all",
    ] {
        let answer = call("GET", &format!("/contacts?{query}")).by(&sales).send(&api).await;
        assert_eq!(answer.problem(400), "invalid_query", "{query}");
    }
    let french = call("GET", "/nulle-part").header("accept-language", "fr").send(&api).await;
    let english = call("GET", "/nulle-part").header("accept-language", "en-GB,fr;q=0.5").send(&api).await;
    assert_eq!(
        (&french.json()["title"], &english.json()["title"]),
        (&json!("Introuvable"), &json!("Not found"))
    );
    let count = call("GET", "/contacts?count=exact").by(&sales).send(&api).await.json()["count"].clone();
    assert_eq!(count, 0, "nothing was half done");
}

#[sqlx::test]
async fn sql_in_every_text_is_text(pool: PgPool) {
    let api = Api::new(pool).await;
    let sales = api.login(Role::Sales).await;
    for (number, sql) in [
        "'; DROP TABLE contacts; --",
        "\" OR 1=1 --",
        "%' OR '1'='1",
        "\\'); SELECT pg_sleep(9)--",
        "$1::int",
    ]
    .into_iter()
    .enumerate()
    {
        let made = call("POST", "/contacts")
            .by(&sales)
            .json(&json!({"first_name": sql, "last_name": sql, "job_title": sql}))
            .send(&api)
            .await
            .ok(201);
        assert_eq!(made.json()["first_name"], sql);
        let body = json!({"contact_id": made.id(), "kind": "note", "direction": "internal",
                          "occurred_at": "2026-01-01T00:00:00Z", "subject": sql, "body": sql});
        call("POST", "/interactions").by(&sales).json(&body).send(&api).await.ok(201);
        let query: String = url::form_urlencoded::byte_serialize(sql.as_bytes()).collect();
        let found =
            call("GET", &format!("/contacts?count=exact&q={query}")).by(&sales).send(&api).await.ok(200);
        assert_eq!(found.json()["count"], 1, "{number}");
        for parameter in ["sort", "after", "email", "owner_id"] {
            let answer = call("GET", &format!("/contacts?{parameter}={query}")).by(&sales).send(&api).await;
            assert!(
                answer.status.as_u16() == 400 || answer.status.as_u16() == 200,
                "{parameter}: {}",
                answer.text
            );
        }
        let login = call("POST", "/auth/login").json(&json!({"email": sql, "password": sql}));
        let status = login.send(&api).await.status.as_u16();
        assert!([401, 429].contains(&status), "{status}");
    }
    let count = call("GET", "/contacts?count=exact").by(&sales).send(&api).await.json()["count"].clone();
    assert_eq!(count, 5);
}

/// Keeps all log lines of a test.
#[derive(Clone, Default)]
pub struct Lines(pub Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[sqlx::test]
async fn neither_personal_data_nor_secrets_reach_a_log_or_an_error(pool: PgPool) {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let api = Api::new(pool.clone()).await;
    let sales = api.login(Role::Sales).await;
    let canary = "Canaribrume";
    let mail = format!("{canary}@exemple.fr");
    let secret = format!("{}{}", "ghp_", "Canaribrume0123456789");
    let contact = json!({"first_name": canary, "last_name": canary, "email": mail});
    let made = call("POST", "/contacts").by(&sales).json(&contact).send(&api).await.ok(201);
    let mut refused = vec![
        call("POST", "/contacts").by(&sales).json(&contact).send(&api).await,
        call("POST", "/contacts").by(&sales).json(&json!({canary: canary})).send(&api).await,
        call("POST", "/contacts")
            .by(&sales)
            .json(&json!({"first_name": canary, "last_name": [canary]}))
            .send(&api)
            .await,
        call("GET", &format!("/contacts?{canary}={canary}")).by(&sales).send(&api).await,
        call("GET", &format!("/contacts?sort={canary}")).by(&sales).send(&api).await,
        call("GET", &format!("/{canary}")).by(&sales).send(&api).await,
        call("POST", "/auth/login").json(&json!({"email": mail, "password": secret})).send(&api).await,
        call("GET", "/contacts").header("authorization", &format!("Bearer {secret}")).send(&api).await,
    ];
    let prompt = json!({"prompt": format!("{canary} {secret}"), "contact_id": made.id()});
    call("POST", "/assessments")
        .by(&sales)
        .header("idempotency-key", canary)
        .json(&prompt)
        .send(&api)
        .await
        .ok(201);
    api.engine.state.set(crate::harness::Mood::Unready);
    let away = call("POST", "/assessments").by(&sales).header("idempotency-key", "b").json(&prompt);
    refused.push(away.send(&api).await);
    // A database that fails in the middle: the messages of PostgreSQL quote rows.
    sqlx::query("ALTER TABLE contacts ADD CHECK (first_name <> 'Canaribrume2')")
        .execute(&pool)
        .await
        .unwrap();
    let failing = json!({"first_name": "Canaribrume2", "last_name": canary});
    refused.push(call("POST", "/contacts").by(&sales).json(&failing).send(&api).await);
    for answer in &refused {
        assert!(answer.status.as_u16() >= 400);
        assert!(!answer.text.contains(canary), "{}", answer.text);
    }
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the database refused"), "the log is seen at all");
    // sqlx writes its statements, never their parameters.
    let found: Vec<&str> = log.lines().filter(|line| line.contains(canary)).collect();
    let found: Vec<&&str> = found.iter().filter(|line| !line.contains("ALTER TABLE")).collect();
    assert!(found.is_empty(), "{found:#?}");
    for quiet in [PASSWORD, sales.token.as_str()] {
        assert!(!log.contains(quiet));
    }
}
