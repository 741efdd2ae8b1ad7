//! Erasing people from the log: what ties records to them goes, the log stays, and nobody else may do it.

use novacrm_engine::audit::MIGRATIONS;
use novacrm_engine::audit::read::verify;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};
use uuid::Uuid;

use crate::fixture::{Client, Running, Tenant, bundle, until};

async fn erase(engine: &Running, client: &Client, body: &Value) -> (u16, Value) {
    let response = client.0.post(engine.url("/v1/subjects/erase")).json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn about(engine: &Running, subject: &str) -> Uuid {
    let request_id = Uuid::now_v7();
    let actor = json!({"id": "user-1", "role": "sales"});
    let body = json!({"text": "x", "subject": subject, "actor": actor, "request_id": request_id});
    assert_eq!(engine.analyze(&body).await.0, 200);
    request_id
}

async fn salts(pool: &PgPool, field: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM audit_salt WHERE field = $1")
        .bind(field)
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn replies(pool: &PgPool, requests: &[Uuid]) -> i64 {
    let count = "SELECT count(*) FROM audit_reply WHERE request_id = ANY ($1)";
    sqlx::query_scalar(count).bind(requests).fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn an_erased_person_is_tied_to_no_record_any_more_and_the_log_still_verifies(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    let (gone, stays) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    // More records than one request looks at, the person's among the first, in the middle and the last.
    let mut requests = vec![about(&engine, &gone).await];
    let other = vec![about(&engine, &stays).await];
    for _ in 0..20 {
        let text = json!({"text": "x"});
        let filling = futures::future::join_all((0..55).map(|_| engine.analyze(&text))).await;
        assert!(filling.iter().all(|(status, _)| *status == 200));
        if requests.len() < 3 {
            requests.push(about(&engine, &gone).await);
        }
    }
    requests.push(about(&engine, &gone).await);
    assert_eq!((salts(&tenant.pool, "subject").await, replies(&tenant.pool, &requests).await), (5, 4));

    let (mut after, mut erased, mut steps) = (None, 0, 0);
    loop {
        let mut body = json!({"subjects": [gone, Uuid::now_v7()]});
        if let Some(after) = after {
            body["after"] = json!(after);
        }
        let (status, answer) = erase(&engine, &engine.api, &body).await;
        assert_eq!(status, 200, "{answer}");
        erased += answer["erased"].as_u64().unwrap();
        steps += 1;
        after = answer["next"].as_u64();
        if after.is_none() {
            break;
        }
    }
    assert_eq!((erased, steps), (4, 2));
    // The other person's salt and answer stay, and so do those of who asked.
    assert_eq!((salts(&tenant.pool, "subject").await, salts(&tenant.pool, "actor").await), (1, 5));
    assert_eq!((replies(&tenant.pool, &requests).await, replies(&tenant.pool, &other).await), (0, 1));
    let again = erase(&engine, &engine.api, &json!({"subjects": [gone]})).await;
    assert_eq!((again.0, &again.1["erased"]), (200, &json!(0)), "repeating it is harmless");

    let records: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_record").fetch_one(&tenant.pool).await.unwrap();
    until("the log is signed", async || {
        let report = verify(&tenant.pool, &tenant.verifier(), &[], |_| {}).await.unwrap();
        assert!(report.log.is_intact(), "{report:?}");
        report.pending == 0 && report.log.covered == u64::try_from(records).unwrap()
    })
    .await;
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn only_the_api_may_have_people_erased_and_only_so_many_at_once(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&bundle(1, "redact", "1.0.0")).await;
    about(&engine, "person").await;
    let (status, answer) = erase(&engine, &engine.operator, &json!({"subjects": ["person"]})).await;
    assert_eq!((status, &answer["code"]), (403, &json!("peer_not_allowed")));
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    for body in [
        json!({}),
        json!({"subjects": []}),
        json!({"subjects": [""]}),
        json!({"subjects": ["a".repeat(257)]}),
        json!({"subjects": many}),
        json!({"subjects": ["person"], "all": true}),
    ] {
        let (status, answer) = erase(&engine, &engine.api, &body).await;
        assert_eq!((status, &answer["code"]), (422, &json!("validation_failed")), "{answer}");
    }
    assert_eq!(salts(&tenant.pool, "subject").await, 1);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_role_that_may_append_erases_through_the_function_alone_and_a_reader_not_at_all(pool: PgPool) {
    let password = Uuid::new_v4().simple().to_string();
    let roles = ["writer", "reader"].map(|name| format!("{name}_{}", Uuid::new_v4().simple()));
    for (role, rights) in roles.iter().zip(["SELECT, INSERT", "SELECT"]) {
        let sql = format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{password}'; GRANT {rights} ON ALL TABLES IN SCHEMA public TO {role}"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
    let (kept, record) = (Uuid::now_v7(), Uuid::now_v7());
    for (id, field) in [(kept, "subject"), (record, "subject"), (record, "actor")] {
        let insert = "INSERT INTO audit_salt (record_id, field, salt) VALUES ($1, $2, $3)";
        sqlx::query(insert).bind(id).bind(field).bind([7_u8; 16]).execute(&pool).await.unwrap();
    }
    let connect = async |role: &str| {
        let options = pool.connect_options().as_ref().clone().username(role).password(&password);
        options.connect().await.unwrap()
    };
    let code = |error: sqlx::Error| error.as_database_error().unwrap().code().unwrap().into_owned();
    let erase = "SELECT audit_erase_subjects(ARRAY[$1::uuid])";
    let mut reader = connect(&roles[1]).await;
    let refused = sqlx::query(erase).bind(record).execute(&mut reader).await.unwrap_err();
    assert_eq!(code(refused), "42501");
    let mut writer = connect(&roles[0]).await;
    let refused = sqlx::query("DELETE FROM audit_salt").execute(&mut writer).await.unwrap_err();
    assert_eq!(code(refused), "42501");
    let erased: i64 = sqlx::query_scalar(erase).bind(record).fetch_one(&mut writer).await.unwrap();
    assert_eq!(erased, 1);
    assert_eq!((salts(&pool, "subject").await, salts(&pool, "actor").await), (1, 1));
    for role in &roles {
        let sql = format!("DROP OWNED BY {role}; DROP ROLE {role}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
}
