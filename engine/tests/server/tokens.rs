//! What stands in the place of findings, restoring it, and texts that are decided on while they come.

use std::convert::Infallible;

use axum::body::Bytes;
use futures::SinkExt;
use futures::channel::mpsc;
use http_body_util::StreamBody;
use hyper::body::Frame;
use novacrm_crds::compliance_policy::{TokenForm, TokenScope};
use novacrm_engine::audit::MIGRATIONS;
use novacrm_engine_core::bundle::Bundle;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::fixture::{Client, Link, Running, Tenant, bundle, canary};

fn tokenizing(form: TokenForm, scope: TokenScope) -> Bundle {
    let mut bundle = bundle(1, "tokenize", "1.0.0");
    let action = &mut bundle.policies[0].rules[0].action;
    (action.form, action.scope) = (Some(form), Some(scope));
    bundle
}

async fn post(engine: &Running, client: &Client, path: &str, body: &Value) -> (u16, Value) {
    let response = client.0.post(engine.url(path)).json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn restore(engine: &Running, body: &Value) -> (u16, Value) {
    post(engine, &engine.api, "/v1/restore", body).await
}

pub async fn records(tenant: &Tenant) -> Vec<Value> {
    let bodies: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT body FROM audit_record ORDER BY n").fetch_all(&tenant.pool).await.unwrap();
    bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
}

/// Sends a whole text as a stream; the lines of the answer.
pub async fn stream(engine: &Running, start: &Value, pieces: &[&str]) -> (u16, Vec<Value>) {
    let mut body = start.to_string();
    for piece in pieces {
        body.push('\n');
        body.push_str(&json!({"text": piece}).to_string());
    }
    let request = engine.api.0.post(engine.url("/v1/stream")).header("content-type", "application/x-ndjson");
    let response = request.body(body).send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// What left, and the last line.
pub fn left(lines: &[Value]) -> (String, &Value) {
    let (last, parts) = lines.split_last().unwrap();
    (parts.iter().map(|line| line["part"]["text"].as_str().unwrap()).collect(), last)
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_token_is_restored_in_its_document_and_that_is_recorded(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&tokenizing(TokenForm::Token, TokenScope::Document)).await;
    let secret = canary();
    let asked = json!({"text": format!("é {secret}, {secret}."), "document": "conversation-4711"});
    let (status, answer) = engine.analyze(&asked).await;
    assert_eq!((status, &answer["action"]), (200, &json!("tokenize")), "{answer}");
    assert_eq!(
        (&answer["document"], &answer["findings"][0]["form"]),
        (&json!("conversation-4711"), &json!("token"))
    );
    let output = answer["output"].as_str().unwrap();
    let token = output.strip_prefix("é ").and_then(|rest| rest.split(',').next()).unwrap();
    assert_eq!(output, format!("é {token}, {token}."));
    assert!(token.starts_with("[CANARY:") && !output.contains(&secret), "{output}");

    let ask = json!({
        "text": format!("Voici : {token}."), "document": "conversation-4711",
        "actor": {"id": "user-4711", "role": "sales"}, "subject": "contact-0815"
    });
    let (status, restored) = restore(&engine, &ask).await;
    assert_eq!((status, &restored["text"]), (200, &json!(format!("Voici : {secret}."))), "{restored}");
    assert_eq!(restored["restored"], json!({"counts": {"CANARY": 1}, "foreign": 0}));
    let (_, elsewhere) = restore(&engine, &json!({"text": token, "document": "conversation-4712"})).await;
    assert_eq!((&elsewhere["text"], &elsewhere["restored"]["foreign"]), (&json!(token), &json!(1)));

    let records = records(&tenant).await;
    assert_eq!(records.len(), 3);
    assert_eq!(records[0]["decision"]["findings"][0]["form"], "token");
    assert_eq!(records[0]["restoration"], Value::Null);
    let record = &records[1];
    assert_eq!((&record["kind"], &record["id"]), (&json!("restoration"), &restored["record_id"]));
    assert_eq!(record["restoration"], json!({"counts": {"CANARY": 1}, "foreign": 0}));
    assert_eq!((&record["decision"], &record["request"]["role"]), (&Value::Null, &json!("sales")));
    assert_eq!(record["request"]["actor"].as_str().unwrap().len(), 64);
    let all = format!("{records:?}");
    assert!(!all.contains(&secret) && !all.contains("4711") && !all.contains("0815"), "{all}");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_text_of_no_document_is_one_of_its_own_and_a_repeated_request_gets_the_same_token(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&tokenizing(TokenForm::Token, TokenScope::Document)).await;
    let secret = canary();
    let asked = json!({"text": secret, "request_id": Uuid::now_v7()});
    let (first, again) = (engine.analyze(&asked).await.1, engine.analyze(&asked).await.1);
    assert_eq!(first, again);
    let other = engine.analyze(&json!({"text": secret})).await.1;
    assert_ne!(first["output"], other["output"]);
    let ask = json!({"text": first["output"], "document": first["document"]});
    assert_eq!(restore(&engine, &ask).await.1["text"], json!(secret));
    // What is decided on again is left as it is.
    let twice = engine.analyze(&json!({"text": first["output"]})).await.1;
    assert_eq!((&twice["action"], &twice["output"]), (&json!("allow"), &first["output"]));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_pseudonym_is_the_same_for_the_tenant_and_nothing_leads_back(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&tokenizing(TokenForm::Pseudonym, TokenScope::Tenant)).await;
    let secret = canary();
    let first = engine.analyze(&json!({"text": secret, "document": "a"})).await.1;
    let other = engine.analyze(&json!({"text": secret, "document": "b"})).await.1;
    assert_eq!(first["output"], other["output"]);
    assert_eq!((&first["document"], &first["findings"][0]["form"]), (&Value::Null, &json!("pseudonym")));
    let restored = restore(&engine, &json!({"text": first["output"], "document": "a"})).await.1;
    assert_eq!((&restored["text"], &restored["restored"]["counts"]), (&first["output"], &json!({})));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_card_that_keeps_its_format_is_restored_where_it_is_named(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let mut bundle = bundle(1, "tokenize", "1.0.0");
    let policy = &mut bundle.policies[0];
    policy.detectors = serde_json::from_value(json!([{"id": "pii.card"}])).unwrap();
    policy.rules[0].when =
        serde_json::from_value(json!({"any": [{"all": [{"finding": {"detectors": ["pii.card"]}}]}]}))
            .unwrap();
    policy.rules[0].action.preserve_format = Some(true);
    let engine = tenant.ready_engine(&bundle).await;
    let answer = engine.analyze(&json!({"text": "carte 4111 1111 1111 1111."})).await.1;
    let token = answer["tokens"][0]["token"].as_str().unwrap();
    assert_eq!(answer["output"], format!("carte {token}."));
    assert_eq!((token.len(), &answer["tokens"][0]["type"]), (19, &json!("CARD")));
    let named = json!({"text": answer["output"], "document": answer["document"], "tokens": answer["tokens"]});
    assert_eq!(restore(&engine, &named).await.1["text"], "carte 4111 1111 1111 1111.");
    let unnamed = json!({"text": answer["output"], "document": answer["document"]});
    assert_eq!(restore(&engine, &unnamed).await.1["text"], answer["output"]);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn nothing_is_restored_for_others_or_without_a_record(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let link = Link::to(&tenant.pool).await;
    tenant.publish(&tokenizing(TokenForm::Token, TokenScope::Tenant).encode().unwrap());
    let engine = tenant.engine_on(&link.url, std::time::Duration::from_secs(2)).await;
    engine.until_ready().await;
    let secret = canary();
    let output = engine.analyze(&json!({"text": secret})).await.1["output"].clone();
    let ask = json!({"text": output});
    let (status, problem) = post(&engine, &engine.operator, "/v1/restore", &ask).await;
    assert_eq!((status, &problem["code"]), (403, &json!("peer_not_allowed")));
    for (body, status, code) in [
        (json!({"text": "x", "documents": []}), 422, "validation_failed"),
        (json!({"text": "x", "document": ""}), 422, "validation_failed"),
        (
            json!({"text": "x", "tokens": vec![json!({"type": "CARD", "token": "1", "scope": "tenant"}); 257]}),
            422,
            "validation_failed",
        ),
        (
            json!({"text": "x", "tokens": [{"type": "CARD", "token": "", "scope": "tenant"}]}),
            422,
            "validation_failed",
        ),
        (json!({"text": "x".repeat(1024 * 1024 + 1)}), 413, "payload_too_large"),
        (json!({"text": "x", "minimum_sequence": 9}), 409, "bundle_behind"),
    ] {
        let (said, problem) = restore(&engine, &body).await;
        assert_eq!((said, &problem["code"]), (status, &json!(code)), "{problem}");
    }
    let before = records(&tenant).await.len();
    link.cut();
    let (status, problem) = restore(&engine, &ask).await;
    assert_eq!((status, &problem["code"]), (503, &json!("audit_unavailable")));
    assert!(!problem.to_string().contains(&secret));
    link.mend();
    assert_eq!(records(&tenant).await.len(), before);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_stream_leaves_in_parts_which_are_what_would_leave_at_once(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let (secret, filler) = (canary(), "Un mot après l’autre. ".repeat(60));
    let text = format!("{filler}{secret} {filler}Fin : {secret}");
    let pieces: Vec<String> =
        text.chars().collect::<Vec<_>>().chunks(37).map(|piece| piece.iter().collect()).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let (status, lines) =
        stream(&engine, &json!({"actor": {"id": "user-4711", "role": "sales"}}), &pieces).await;
    assert_eq!(status, 200);
    let (out, last) = left(&lines);
    assert_eq!(out, text.replace(&secret, "[CANARY]"));
    assert_eq!(
        (&last["end"]["action"], &last["end"]["findings"].as_array().unwrap().len()),
        (&json!("redact"), &2)
    );
    assert_eq!(last["end"]["output"], Value::Null);

    let records = records(&tenant).await;
    assert_eq!(records.len(), lines.len() - 1);
    let mut at = 0;
    for (number, (record, line)) in (1..).zip(records.iter().zip(&lines)) {
        let (part, sent) = (&record["request"]["part"], &line["part"]);
        assert_eq!(
            (&record["id"], &part["number"], &sent["number"]),
            (&sent["record_id"], &json!(number), &json!(number))
        );
        assert_eq!(
            (&part["start"], &part["start"], &part["end"]),
            (&json!(at), &sent["start"], &sent["end"])
        );
        assert_eq!(part["stream"], records[0]["request"]["part"]["stream"]);
        assert_eq!(record["request"]["surface"], "prompt.output");
        assert_eq!(
            record["decision"]["findings"].as_array().unwrap().len(),
            sent["findings"].as_array().unwrap().len()
        );
        at = part["end"].as_u64().unwrap();
    }
    assert_eq!(at, text.chars().count() as u64);
    assert_eq!(records.last().unwrap()["request"]["part"]["last"], true);
    assert_eq!(last["end"]["record_id"], records.last().unwrap()["id"]);
    assert!(!format!("{records:?}").contains(&secret));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_stream_that_is_refused_gives_nothing_more_and_says_why(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "block", "1.0.0")).await;
    let (secret, filler) = (canary(), "mot ".repeat(400));
    let (_, lines) = stream(&engine, &json!({}), &[&filler, &secret, &filler, &filler]).await;
    let (out, last) = left(&lines);
    assert!(filler.starts_with(&out) && out.len() > 1000, "{out}");
    assert_eq!((&last["end"]["action"], &last["end"]["output"]), (&json!("block"), &Value::Null));
    assert!(!lines.iter().any(|line| line.to_string().contains(&secret)));
    let records = records(&tenant).await;
    let record = records.last().unwrap();
    assert_eq!(
        (&record["decision"]["action"], &record["request"]["part"]["last"]),
        (&json!("block"), &json!(true))
    );
    assert_eq!(record["decision"]["finding_counts"]["CANARY"], 1);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_stream_restores_the_tokens_of_its_document(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&tokenizing(TokenForm::Token, TokenScope::Document)).await;
    let (secret, other) = (canary(), canary());
    let asked = json!({"text": secret, "document": "d"});
    let token = engine.analyze(&asked).await.1["output"].as_str().unwrap().to_owned();
    let (first, rest) = token.split_at(11);
    let (_, lines) =
        stream(&engine, &json!({"document": "d", "restore": true}), &["Pour ", first, rest, " et ", &other])
            .await;
    let (out, last) = left(&lines);
    assert!(out.starts_with(&format!("Pour {secret} et [CANARY:")), "{out}");
    assert_eq!(last["end"]["findings"].as_array().unwrap().len(), 1);
    let records = records(&tenant).await;
    assert_eq!(records.last().unwrap()["restoration"]["counts"], json!({"CANARY": 1}));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn parts_leave_while_the_text_still_comes(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let (mut sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(4);
    let mut send = async |line: Value| {
        sender.send(Ok(Frame::data(Bytes::from(format!("{line}\n"))))).await.unwrap();
    };
    send(json!({})).await;
    let request = engine.api.0.post(engine.url("/v1/stream")).header("content-type", "application/x-ndjson");
    let mut response = request.body(reqwest::Body::wrap(StreamBody::new(receiver))).send().await.unwrap();
    assert_eq!(response.status(), 200);
    send(json!({"text": "mot ".repeat(300)})).await;
    let part: Value = serde_json::from_slice(&response.chunk().await.unwrap().unwrap()).unwrap();
    assert_eq!((&part["part"]["start"], &part["part"]["end"]), (&json!(0), &json!(688)));
    // What is wrong from here on is a line, and nothing more leaves.
    send(json!({"text": "fin", "secret": 1})).await;
    let problem: Value = serde_json::from_slice(&response.chunk().await.unwrap().unwrap()).unwrap();
    assert_eq!(
        (&problem["problem"]["code"], &problem["problem"]["status"]),
        (&json!("validation_failed"), &json!(422))
    );
    assert_eq!(problem["problem"]["instance"], "/v1/stream");
    assert_eq!(response.chunk().await.unwrap(), None);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_stream_that_begins_wrong_is_a_problem(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let url = engine.url("/v1/stream");
    let lines = "application/x-ndjson";
    for (kind, body, status) in [
        ("application/json", "{}".to_owned(), 415),
        (lines, String::new(), 400),
        (lines, "{\"text\": \"x\"}".to_owned(), 422),
        (lines, "[]".to_owned(), 422),
        (lines, "{".to_owned(), 400),
        (lines, "{\"minimum_sequence\": 2}".to_owned(), 409),
        (lines, "{\"use_case\": \"Anne Martin\"}".to_owned(), 422),
        (lines, " ".repeat(70_000), 413),
    ] {
        let response =
            engine.api.0.post(&url).header("content-type", kind).body(body.clone()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{body:.20}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    let response =
        engine.operator.0.post(&url).header("content-type", lines).body("{}").send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(records(&tenant).await.is_empty());
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_stream_longer_than_may_be_inspected_follows_the_failure_mode(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let piece = "mot ".repeat(8_000);
    let pieces = vec![piece.as_str(); 40];
    let (_, lines) = stream(&engine, &json!({}), &pieces).await;
    let (out, last) = left(&lines);
    assert!(out.len() < 1024 * 1024);
    assert_eq!((&last["end"]["action"], &last["end"]["uninspected"]), (&json!("block"), &json!("too_large")));
}
