//! A person who is erased is gone: a record full of a made-up word goes into the running system by every way that keeps
//! something of it, is erased on demand, and then every column of every table of both databases is searched for it.
//!
//! What this does not show: backups, dumps, the write-ahead log and pages that PostgreSQL has not vacuumed yet
//! (docs/compliance/erasure.md).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use novacrm_tests::system::{Options, PATIENCE, System, programs};
use rand::Rng;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

struct Crm {
    client: Client,
    base: String,
    token: String,
}

impl Crm {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    fn post(&self, path: &str, key: &str) -> RequestBuilder {
        self.request(Method::POST, path).header("idempotency-key", key)
    }

    async fn send(&self, status: u16, request: RequestBuilder) -> Value {
        let answer = request.send().await.unwrap();
        let (got, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert_eq!(got, status, "{text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

async fn connect(system: &System, url: &str) -> PgConnection {
    PgConnection::connect(&system.secret("novacrm-database", url).unwrap()).await.unwrap()
}

/// Every row of every table of a database, each column as text, in lower case; bytes are hexadecimal digits in it.
async fn dump(connection: &mut PgConnection, but: &str) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename <> $1",
    )
    .bind(but)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    assert!(tables.len() >= 5, "{tables:?}");
    let mut text = String::new();
    for table in tables {
        let query = format!("SELECT t::text FROM {table} t");
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut *connection).await.unwrap();
        text.push_str(&rows.join("\n").to_lowercase());
    }
    text
}

/// The forms that a value may stand in.
fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned(), hex::encode(value)];
    for shift in 0..3_usize {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(value.as_bytes());
        // What of the base64 does not depend on what stands before and after the value.
        let (from, to) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            let inner = encoded.get(from..to).unwrap();
            // Base64 as text, and base64 in bytes.
            forms.extend([inner.to_owned(), hex::encode(inner)]);
        }
    }
    forms.iter().map(|form| form.to_lowercase()).collect()
}

fn holds(dump: &str, value: &str) -> bool {
    forms(value).iter().any(|form| dump.contains(form))
}

fn word() -> String {
    let mut rng = rand::rng();
    (0..24).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

#[test]
fn the_search_finds_a_value_in_every_form_it_looks_for() {
    let word = word();
    for stored in [
        format!("x{word}y"),
        hex::encode(format!("x{word}y")),
        STANDARD_NO_PAD.encode(format!("{word}!")),
        STANDARD_NO_PAD.encode(format!("1{word}!")),
        hex::encode(URL_SAFE_NO_PAD.encode(format!("12{word}!"))),
    ] {
        assert!(holds(&stored.to_lowercase(), &word), "{stored}");
    }
    assert!(!holds(&"abc0123456789".repeat(100), &word));
}

#[tokio::test]
async fn an_erased_person_is_in_no_table_of_either_database_and_the_audit_log_still_verifies() {
    let system =
        System::start(Options { programs: programs(), unprivileged: true, front_end: false, scratch: None })
            .await
            .unwrap();
    let api = system.log_in().await.unwrap();
    let crm = Crm { client: Client::new(), base: system.url("/api/v1"), token: api.token().to_owned() };
    let (gone, stays) = (word(), word());
    let contacts = [fill(&crm, &gone).await, fill(&crm, &stays).await];
    let (contact, other) = (contacts[0].as_str(), contacts[1].as_str());

    let mut records = connect(&system, "api-migration-url").await;
    let mut log = connect(&system, "audit-migration-url").await;
    let before = dump(&mut records, "").await;
    for value in [gone.as_str(), &stays, contact, other] {
        assert!(holds(&before, value), "the search does not find what stands in the CRM's database");
    }
    let ids = "SELECT id::text FROM assessments WHERE contact_id = $1::uuid";
    let requests: Vec<String> = sqlx::query_scalar(ids).bind(contact).fetch_all(&mut records).await.unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(kept(&mut log, &requests).await, (2, 2));
    let salts: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_salt").fetch_one(&mut log).await.unwrap();

    crm.send(204, crm.post(&format!("/contacts/{contact}/erasure"), "erase")).await;
    let after = dump(&mut records, "subject_erasures").await;
    assert!(!holds(&after, &gone), "the person's data stands in the CRM's database");
    assert!(!holds(&after, contact), "the CRM's database still names the person's record");
    assert!(holds(&after, &stays) && holds(&after, other), "somebody else's data is gone");
    // The replies are sealed, so they cannot be searched: none may be left that shows the person.
    let replies = "SELECT count(*) FROM idempotency WHERE subjects IS NULL OR $1::uuid = ANY (subjects)";
    let replies: i64 = sqlx::query_scalar(replies).bind(contact).fetch_one(&mut records).await.unwrap();
    assert_eq!(replies, 0);

    // The engine is told at once.
    let started = Instant::now();
    while kept(&mut log, &requests).await != (0, 0) {
        assert!(started.elapsed() < PATIENCE, "the salts are never erased\n{}", system.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_salt").fetch_one(&mut log).await.unwrap();
    assert_eq!(left, salts - 2, "only the person's salts are gone");
    let audit = dump(&mut log, "").await;
    assert!(!holds(&audit, &gone) && !holds(&audit, contact), "the audit database still names the person");
    let report = loop {
        let output = system.audit(&["verify", "--output", "json"]).unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(output.status.success(), "{report}");
        if report["pending"] == 0 && report["covered"] == report["records"] {
            break report;
        }
        assert!(started.elapsed() < PATIENCE, "the audit log is never complete: {report}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(report["records"].as_u64().unwrap() >= 4, "{report}");
    let said = system.logs();
    assert!(!holds(&said.to_lowercase(), &gone) && !said.contains(contact), "the logs name the person");
}

/// Salts of the subject and kept answers of these requests.
async fn kept(log: &mut PgConnection, requests: &[String]) -> (i64, i64) {
    let salts = "SELECT count(*) FROM audit_salt salt JOIN audit_record record ON record.id = salt.record_id
                 WHERE salt.field = 'subject' AND record.request_id::text = ANY ($1)";
    let answers = "SELECT count(*) FROM audit_reply WHERE request_id::text = ANY ($1)";
    let salts = sqlx::query_scalar(salts).bind(requests).fetch_one(&mut *log).await.unwrap();
    (salts, sqlx::query_scalar(answers).bind(requests).fetch_one(&mut *log).await.unwrap())
}

/// A contact with everything that can hang on it, full of a word. Returns its identifier.
async fn fill(crm: &Crm, word: &str) -> String {
    let body = json!({"first_name": word, "last_name": word, "email": format!("{word}@exemple.fr")});
    let made = crm.send(201, crm.post("/contacts", word).json(&body)).await;
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("/contacts/{id}");
    let patch = json!({"job_title": word});
    crm.send(200, crm.request(Method::PATCH, &path).header("if-match", "\"1\"").json(&patch)).await;
    for number in 0..3 {
        let note = json!({"contact_id": id, "kind": "note", "direction": "internal", "subject": word, "body": word,
                          "occurred_at": "2026-01-01T00:00:00Z"});
        crm.send(201, crm.post("/interactions", &format!("{word}{number}")).json(&note)).await;
    }
    for number in 0..2 {
        let asked = json!({"prompt": format!("Écris à {word}@exemple.fr"), "contact_id": id, "use_case": "sales-drafting"});
        crm.send(201, crm.post("/assessments", &format!("{word}{number}")).json(&asked)).await;
    }
    // A cursor that holds the word.
    let listed =
        crm.request(Method::GET, "/contacts").query(&[("q", word), ("sort", "last_name"), ("limit", "1")]);
    assert_eq!(crm.send(200, listed).await["data"][0]["id"], json!(id));
    crm.send(200, crm.request(Method::GET, &format!("{path}/timeline?limit=1"))).await;
    crm.send(204, crm.request(Method::DELETE, &path).header("if-match", "\"2\"")).await;
    crm.send(200, crm.post(&format!("{path}/restore"), word)).await;
    id
}
