//! Assessments: verdicts kept without text, lost answers asked for again, the engine away.

use std::sync::atomic::Ordering;

use novacrm_api_domain::user::Role;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Api, Mood, call};

#[sqlx::test]
async fn a_verdict_is_kept_on_the_timeline_without_any_text(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let sales = api.login(Role::Sales).await;
    let contact = api.contact(&sales, "Martin").await.id();
    let question =
        json!({"prompt": "Virez sur le compte de Zoé", "contact_id": contact, "use_case": "courriels"});
    let ask = || call("POST", "/assessments").by(&sales).json(&question);
    assert_eq!(ask().send(&api).await.problem(400), "bad_request");
    let made = ask().header("idempotency-key", "a").send(&api).await.ok(201);
    let verdict = made.json();
    assert_eq!((&verdict["action"], &verdict["output"]), (&json!("redact"), &json!("[IBAN] (26)")));
    assert!(verdict["findings"][0].get("fingerprint").is_none());
    assert_eq!(verdict["findings"][0]["path"], "$.client.iban");
    let waived = &verdict["waived"][0];
    assert_eq!((&waived["rule"]["id"], &waived["exception"]), (&json!("bic"), &json!("archive")));
    let replay = ask().header("idempotency-key", "a").send(&api).await.ok(201);
    assert_eq!((replay.text.as_str(), replay.header("idempotency-replayed")), (made.text.as_str(), "true"));

    let records = api.engine.state.records();
    assert_eq!(records.len(), 1);
    let (_, request) = &records[0];
    assert_eq!(request.actor.as_ref().unwrap().role, "sales");
    assert_eq!(request.subject.as_deref(), Some(contact.as_str()));
    assert_eq!(request.use_case.as_deref(), Some("courriels"));

    let read = call("GET", &format!("/assessments/{}", made.id())).by(&sales).send(&api).await.ok(200).json();
    assert_eq!(read["output"], Value::Null);
    assert!(read["findings"][0].get("path").is_none(), "what is kept does not say how the text was built");
    assert_eq!(read["audit_record_id"], verdict["audit_record_id"]);
    let note = json!({"contact_id": contact, "kind": "note", "direction": "internal", "subject": "Avant",
                      "occurred_at": "2026-01-01T00:00:00Z"});
    call("POST", "/interactions").by(&sales).json(&note).send(&api).await.ok(201);
    let path = format!("/contacts/{contact}/timeline?limit=1");
    let page = call("GET", &path).by(&sales).send(&api).await.ok(200).json();
    assert_eq!((&page["data"][0]["kind"], &page["data"][0]["assessment"]), (&json!("assessment"), &read));
    let next = page["page"]["next"].as_str().unwrap();
    let page = call("GET", &format!("{path}&after={next}")).by(&sales).send(&api).await.ok(200).json();
    assert_eq!(
        (&page["data"][0]["interaction"]["subject"], &page["page"]["next"]),
        (&json!("Avant"), &Value::Null)
    );

    let stored: Vec<String> = sqlx::query_scalar(
        "SELECT verdict::text FROM assessments UNION ALL SELECT encode(reply, 'escape') FROM idempotency",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(stored.len(), 2);
    assert!(
        !stored
            .iter()
            .any(|row| row.contains("Virez") || row.contains("[IBAN]") || row.contains("0011223344"))
    );
}

#[sqlx::test]
async fn a_lost_answer_is_asked_for_again_under_the_same_identifier(pool: PgPool) {
    let api = Api::new(pool).await;
    let sales = api.login(Role::Sales).await;
    let ask = || {
        call("POST", "/assessments")
            .by(&sales)
            .header("idempotency-key", "a")
            .json(&json!({"prompt": "Bonjour"}))
    };
    api.engine.state.set(Mood::LosesAnswer);
    let lost = ask().send(&api).await;
    assert_eq!(lost.problem(503), "engine_unavailable");
    assert!(!lost.header("retry-after").is_empty());
    assert_eq!(api.engine.state.calls.load(Ordering::SeqCst), 3, "asked again, three times at most");
    api.engine.state.set(Mood::Answers);
    let made = ask().send(&api).await.ok(201);
    let records = api.engine.state.records();
    assert_eq!(records.len(), 1, "one record, however often it was asked");
    assert_eq!(made.json()["audit_record_id"], records[0].0.to_string());
}

#[sqlx::test]
async fn without_the_engine_nothing_passes_and_the_rest_goes_on(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let sales = api.login(Role::Sales).await;
    api.engine.state.set(Mood::Unready);
    let ask = call("POST", "/assessments")
        .by(&sales)
        .header("idempotency-key", "a")
        .json(&json!({"prompt": "Bonjour"}));
    assert_eq!(ask.send(&api).await.problem(503), "engine_unavailable");
    assert_eq!(call("GET", "/policies").by(&sales).send(&api).await.problem(503), "engine_unavailable");
    api.contact(&sales, "Martin").await;
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM assessments").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, 0);
    api.engine.state.set(Mood::Answers);
    let calls = api.engine.state.calls.load(Ordering::SeqCst);
    for _ in 0..5 {
        let policies = call("GET", "/policies").by(&sales).send(&api).await.ok(200).json();
        assert_eq!(policies["bundle"]["sequence"], 3);
    }
    assert_eq!(api.engine.state.calls.load(Ordering::SeqCst), calls + 1, "readers share one view");
}

#[sqlx::test]
async fn a_long_prompt_reaches_the_engine_and_an_endless_one_does_not(pool: PgPool) {
    let api = Api::new(pool).await;
    let sales = api.login(Role::Sales).await;
    let ask = |length: usize, key: &str| {
        call("POST", "/assessments")
            .by(&sales)
            .header("idempotency-key", key)
            .json(&json!({"prompt": "a".repeat(length)}))
    };
    ask(novacrm_engine_wire::MAX_TEXT_BYTES + 1000, "a").send(&api).await.ok(201);
    assert_eq!(ask(10 << 20, "b").send(&api).await.problem(413), "payload_too_large");
    assert_eq!(ask(0, "c").send(&api).await.problem(422), "validation_failed");
}
