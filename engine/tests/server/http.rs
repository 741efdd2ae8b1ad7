//! What requests are answered, and what is refused.

use std::time::Duration;

use novacrm_engine::audit::MIGRATIONS;
use novacrm_engine_core::bundle::BundledException;
use serde_json::json;
use sqlx::PgPool;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::fixture::{Authority, Link, Tenant, bundle, canary, until};

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_decision_is_durable_before_it_is_answered(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let secret = canary();
    let (status, answer) = engine.analyze(&json!({"text": format!("é {secret}.")})).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["action"], "redact");
    assert_eq!(answer["output"], "é [CANARY].");
    assert_eq!(answer["findings"][0]["start"], 2);
    assert_eq!(answer["bundle"]["sequence"], 1);
    assert_eq!(answer["rules"][0]["policy"]["version"], "1.0.0");
    let id: Uuid = answer["record_id"].as_str().unwrap().parse().unwrap();
    let body: Vec<u8> = sqlx::query_scalar("SELECT body FROM audit_record WHERE id = $1")
        .bind(id)
        .fetch_one(&tenant.pool)
        .await
        .unwrap();
    let record: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(record["decision"]["action"], "redact");
    assert_eq!(record["decision"]["finding_counts"]["CANARY"], 1);
    assert_eq!(record["bundle"]["digest"], answer["bundle"]["digest"]);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_finding_names_its_path_and_the_record_does_not(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let text = json!({"client": [{"note": canary()}]}).to_string();
    let (_, answer) = engine.analyze(&json!({"text": text})).await;
    assert_eq!(answer["findings"][0]["path"], "$.client[0].note", "{answer}");
    let body: Vec<u8> =
        sqlx::query_scalar("SELECT body FROM audit_record").fetch_one(&tenant.pool).await.unwrap();
    assert!(!String::from_utf8(body).unwrap().contains("$.client"));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn people_are_recorded_as_commitments_whose_salts_are_kept_apart(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let request =
        json!({"text": "rien", "actor": {"id": "user-4711", "role": "sales"}, "subject": "contact-0815"});
    assert_eq!(engine.analyze(&request).await.0, 200);
    let body: Vec<u8> =
        sqlx::query_scalar("SELECT body FROM audit_record").fetch_one(&tenant.pool).await.unwrap();
    let text = String::from_utf8(body).unwrap();
    assert!(!text.contains("4711") && !text.contains("0815"), "{text}");
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["request"]["role"], "sales");
    assert_eq!(record["request"]["subject"].as_str().unwrap().len(), 64);
    let salts: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_salt").fetch_one(&tenant.pool).await.unwrap();
    assert_eq!(salts, 2);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn every_bad_request_is_a_problem_and_records_nothing(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let secret = canary();
    let url = engine.url("/v1/analyze");
    let post = |kind: &str, body: Vec<u8>| engine.api.0.post(&url).header("content-type", kind).body(body);
    let json = "application/json";
    let text = |rest: &str| format!(r#"{{"text": "{secret}"{rest}}}"#).into_bytes();
    let cases = [
        ("malformed JSON", post(json, format!("{{{secret}").into_bytes()), 400),
        ("invalid UTF-8", post(json, b"{\"text\": \"\xff\xfe\"}".to_vec()), 400),
        ("wrong type", post(json, br#"{"text": 7}"#.to_vec()), 422),
        ("unknown field", post(json, text(&format!(r#", "{secret}": 1"#))), 422),
        ("no text", post(json, b"{}".to_vec()), 422),
        (
            "free text as a use case",
            post(json, text(r#", "use_case": "Robert'); DROP TABLE audit_record;--""#)),
            422,
        ),
        ("a person as a role", post(json, text(r#", "actor": {"id": "a", "role": "Anne Martin"}"#)), 422),
        ("an empty subject", post(json, text(r#", "subject": """#)), 422),
        ("not JSON", post("text/plain", secret.clone().into_bytes()), 415),
        ("9 MiB", post(json, vec![b' '; 9 * 1024 * 1024]), 413),
        ("wrong method", engine.api.0.put(&url), 405),
        ("no such path", engine.api.0.get(engine.url(&format!("/v1/{secret}"))), 404),
        ("bad query", engine.api.0.get(engine.url(&format!("/v1/events?after={secret}"))), 400),
        ("query out of range", engine.api.0.get(engine.url("/v1/events?limit=5000")), 400),
        ("unknown parameter", engine.api.0.get(engine.url("/v1/events?before=1")), 400),
    ];
    for (name, request, expected) in cases {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{name}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{name}");
        let body = response.text().await.unwrap();
        assert!(!body.contains(&secret), "{name}: {body}");
    }
    let records: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_record").fetch_one(&tenant.pool).await.unwrap();
    assert_eq!(records, 0);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn peers_may_do_what_their_certificate_says_and_no_more(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let operator = engine.operator.0.post(engine.url("/v1/analyze")).json(&json!({"text": "x"}));
    assert_eq!(operator.send().await.unwrap().status().as_u16(), 403);
    for path in ["/v1/bundle", "/v1/policies", "/v1/events", "/v1/openapi.json"] {
        assert_eq!(engine.get(&engine.operator, path).await.0, 200, "{path}");
        assert_eq!(engine.get(&engine.api, path).await.0, 200, "{path}");
        assert_eq!(engine.get(&tenant.client("engine"), path).await.0, 403, "{path}");
    }
    let nobody = reqwest::Client::builder().danger_accept_invalid_certs(true).build();
    if let Ok(nobody) = nobody {
        assert!(nobody.get(engine.url("/v1/bundle")).send().await.is_err(), "no certificate");
    }
    let stranger = Tenant { authority: Authority::new(), ..Tenant::new(tenant.pool.clone()) };
    assert!(
        stranger.client("api").0.get(engine.url("/v1/bundle")).send().await.is_err(),
        "another authority"
    );
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn the_same_request_id_gives_the_same_answer_and_another_body_is_refused(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let request_id = Uuid::now_v7();
    let request = json!({"text": canary(), "request_id": request_id});
    let (first, again) = tokio::join!(engine.analyze(&request), engine.analyze(&request));
    assert_eq!((first.0, again.0), (200, 200), "{first:?} {again:?}");
    assert_eq!(first.1, again.1);
    // Another bundle changes nothing about what was answered.
    tenant.publish(&bundle(2, "block", "2.0.0").encode().unwrap());
    until("the new rules are in force", async || {
        engine.get(&engine.api, "/v1/bundle").await.1["bundle"]["sequence"] == 2
    })
    .await;
    assert_eq!(engine.analyze(&request).await, (200, first.1));
    let (status, problem) = engine.analyze(&json!({"text": "other", "request_id": request_id})).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("request_id_reused")));
    sqlx::query("UPDATE audit_reply SET expires_at = now() - interval '1 s'")
        .execute(&tenant.pool)
        .await
        .unwrap();
    let (status, problem) = engine.analyze(&request).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("request_id_spent")));
    let records: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_record").fetch_one(&tenant.pool).await.unwrap();
    assert_eq!(records, 1);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_text_that_is_too_long_follows_the_failure_mode_and_is_recorded(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let (status, answer) = engine.analyze(&json!({"text": "x".repeat(1024 * 1024 + 1)})).await;
    assert_eq!(status, 200);
    assert_eq!(
        (answer["action"].as_str(), answer["uninspected"].as_str()),
        (Some("block"), Some("too_large"))
    );
    assert!(answer["output"].is_null());
    let metrics = engine.probe("/metrics").await.1;
    assert!(metrics.contains(r#"engine_uninspected_total{reason="too_large"} 1"#), "{metrics}");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn an_inspection_out_of_time_follows_the_failure_mode(pool: PgPool) {
    let tenant = Tenant::new(pool);
    tenant.publish(&bundle(1, "redact", "1.0.0").encode().unwrap());
    // The longest text there is takes longer than this anywhere.
    let engine = tenant.engine_on(&tenant.url(), Duration::from_nanos(1)).await;
    engine.until_ready().await;
    let (_, answer) = engine.analyze(&json!({"text": format!("{} ", canary()).repeat(25_000)})).await;
    assert_eq!(
        (answer["action"].as_str(), answer["uninspected"].as_str()),
        (Some("block"), Some("time_out"))
    );
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn without_the_database_nothing_is_decided_and_afterwards_it_is_again(pool: PgPool) {
    let tenant = Tenant::new(pool);
    tenant.publish(&bundle(1, "redact", "1.0.0").encode().unwrap());
    let link = Link::to(&tenant.pool).await;
    let engine = tenant.engine_on(&link.url, Duration::from_secs(2)).await;
    engine.until_ready().await;
    assert_eq!(engine.analyze(&json!({"text": "a"})).await.0, 200);
    link.cut();
    let response =
        engine.api.0.post(engine.url("/v1/analyze")).json(&json!({"text": "b"})).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let problem: serde_json::Value = response.json().await.unwrap();
    assert_eq!(problem["code"], "audit_unavailable");
    until("the engine says it is not ready", async || {
        let (status, why) = engine.probe("/readyz").await;
        status == 503 && why.contains("audit")
    })
    .await;
    assert_eq!(engine.probe("/healthz").await.0, 200);
    link.mend();
    engine.until_ready().await;
    assert_eq!(engine.analyze(&json!({"text": "c"})).await.0, 200);
    let records: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_record").fetch_one(&tenant.pool).await.unwrap();
    assert_eq!(records, 2);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn an_exception_waives_its_rule_until_it_ends_by_the_engine_s_clock(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let exception = |id: &str, ends: OffsetDateTime| BundledException {
        id: id.to_owned(),
        rules: vec!["TEST-1".to_owned()],
        use_cases: Vec::new(),
        roles: vec!["sales".to_owned()],
        ticket: "T-1".to_owned(),
        expires_at: ends.format(&Rfc3339).unwrap(),
    };
    let now = OffsetDateTime::now_utc();
    let ends = now + Duration::from_secs(3600);
    let mut rules = bundle(1, "redact", "1.0.0");
    rules.policies[0].exceptions = vec![exception("ended", now), exception("archive", ends)];
    let engine = tenant.ready_engine(&rules).await;
    let text = canary();
    let ask = |role: &str| json!({"text": text, "actor": {"id": "a", "role": role}});
    let (status, answer) = engine.analyze(&ask("sales")).await;
    assert_eq!(
        (status, answer["action"].as_str(), answer["output"].as_str()),
        (200, Some("allow"), Some(text.as_str()))
    );
    assert_eq!((&answer["rules"], &answer["findings"][0]["action"]), (&json!([]), &json!("allow")));
    let waived = &answer["waived"][0];
    assert_eq!(
        (&waived["rule"]["id"], &waived["exception"], &waived["ticket"], &waived["expires_at"]),
        (&json!("TEST-1"), &json!("archive"), &json!("T-1"), &json!(ends.format(&Rfc3339).unwrap()))
    );
    assert!(answer["explanation"]["fr"].as_str().unwrap().contains("l’exception « archive » (ticket T-1)"));
    assert_eq!(engine.analyze(&ask("support")).await.1["action"], "redact");
    let shown = engine.get(&engine.api, "/v1/policies").await.1["policies"][0]["exceptions"].clone();
    assert_eq!((&shown[0]["active"], &shown[1]["active"]), (&json!(false), &json!(true)));

    let id: Uuid = answer["record_id"].as_str().unwrap().parse().unwrap();
    let body: Vec<u8> = sqlx::query_scalar("SELECT body FROM audit_record WHERE id = $1")
        .bind(id)
        .fetch_one(&tenant.pool)
        .await
        .unwrap();
    let record: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&record["decision"]["waived"][0]["id"], &record["decision"]["waived"][0]["exception"]),
        (&json!("TEST-1"), &json!("archive"))
    );

    // The same rules with an exception that ends soon; nobody touches them after that.
    let ends = OffsetDateTime::now_utc() + Duration::from_secs(2);
    rules.sequence = 2;
    rules.policies[0].exceptions = vec![exception("archive", ends)];
    tenant.publish(&rules.encode().unwrap());
    until("the new rules are in force", async || {
        engine.get(&engine.api, "/v1/bundle").await.1["bundle"]["sequence"] == 2
    })
    .await;
    until("the exception has ended", async || engine.analyze(&ask("sales")).await.1["action"] == "redact")
        .await;
    assert!(OffsetDateTime::now_utc() >= ends);
    let answer = engine.analyze(&ask("sales")).await.1;
    assert!(answer.get("waived").is_none());
    assert_eq!(answer["bundle"]["sequence"], 2);
}
