//! Records: entity tags, races, soft deletion, repeated requests.

use novacrm_api_domain::user::Role;
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{Api, call};

#[sqlx::test]
async fn a_contact_lives_through_creation_change_deletion_and_restoration(pool: PgPool) {
    let api = Api::new(pool).await;
    let sales = api.login(Role::Sales).await;
    let organisation = call("POST", "/organisations")
        .by(&sales)
        .json(&json!({"name": "Exemple SARL", "siren": "732 829 320", "domain": "Exemple.FR"}))
        .send(&api)
        .await
        .ok(201);
    assert_eq!(organisation.json()["siren"], "732829320");
    let made = call("POST", "/contacts")
        .by(&sales)
        .json(&json!({"first_name": "Zoé", "last_name": "Martin", "phone": "01 23 45 67 89",
                      "organisation_id": organisation.id()}))
        .send(&api)
        .await
        .ok(201);
    let path = format!("/contacts/{}", made.id());
    assert_eq!(made.header("location"), format!("/api/v1{path}"));
    assert_eq!(made.header("etag"), "\"1\"");
    assert_eq!(made.json()["organisation_name"], "Exemple SARL");
    assert_eq!(made.json()["phone"], "+33123456789");
    assert!(made.json()["created_at"].as_str().unwrap().ends_with('Z'));
    let read = call("GET", &path).by(&sales).send(&api).await.ok(200);
    assert_eq!(read.json(), made.json(), "what is stored is what was answered");
    call("GET", &path).by(&sales).header("if-none-match", "\"1\"").send(&api).await.ok(304);

    let patch = json!({"phone": null, "job_title": "Directrice"});
    let change = || call("PATCH", &path).by(&sales).json(&patch);
    assert_eq!(change().send(&api).await.problem(428), "version_required");
    assert_eq!(change().header("if-match", "*").send(&api).await.problem(428), "version_required");
    assert_eq!(change().header("if-match", "W/\"1\"").send(&api).await.problem(412), "stale_version");
    let changed = change().header("if-match", "\"1\"").send(&api).await.ok(200);
    assert_eq!(changed.header("etag"), "\"2\"");
    assert_eq!(
        (&changed.json()["phone"], &changed.json()["job_title"]),
        (&json!(null), &json!("Directrice"))
    );
    let stale = change().header("if-match", "\"1\"").send(&api).await;
    assert_eq!(stale.problem(412), "stale_version");
    assert_eq!(stale.json()["current_etag"], "\"2\"");

    call("DELETE", &path).by(&sales).header("if-match", "\"2\"").send(&api).await.ok(204);
    assert_eq!(call("GET", &path).by(&sales).send(&api).await.problem(404), "not_found");
    let restored = call("POST", &format!("{path}/restore")).by(&sales).send(&api).await.ok(200);
    assert_eq!((restored.header("etag"), &restored.json()["deleted_at"]), ("\"4\"", &json!(null)));
    assert_eq!(call("GET", &path).by(&sales).send(&api).await.ok(200).json(), restored.json());
}

#[sqlx::test]
async fn of_racing_writers_exactly_one_wins(pool: PgPool) {
    let api = Api::new(pool).await;
    let sales = api.login(Role::Sales).await;
    let path = format!("/contacts/{}", api.contact(&sales, "Martin").await.id());
    let writers = (0..30).map(|number| {
        let title = json!({"job_title": format!("Poste {number}")});
        let request = call("PATCH", &path).by(&sales).header("if-match", "\"1\"").json(&title);
        tokio::spawn(request.send_to(api.router.clone()))
    });
    let mut statuses = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        statuses.push(writer.await.unwrap().status.as_u16());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 29, "{statuses:?}");
}

#[sqlx::test]
async fn a_repeated_request_gets_the_same_reply_and_makes_one_record(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let (sales, other) = (api.login(Role::Sales).await, api.login(Role::Sales).await);
    let body = json!({"first_name": "Zoé", "last_name": "Martin", "email": "zoe@exemple.fr"});
    let request = || call("POST", "/contacts").by(&sales).header("idempotency-key", "cle-1").json(&body);
    let racing: Vec<_> = (0..8).map(|_| tokio::spawn(request().send_to(api.router.clone()))).collect();
    let mut replies = Vec::new();
    for reply in racing {
        replies.push(reply.await.unwrap().ok(201));
    }
    let fresh = replies.iter().filter(|reply| reply.header("idempotency-replayed").is_empty()).count();
    assert_eq!(fresh, 1);
    assert!(replies.iter().all(|reply| reply.text == replies[0].text && reply.header("etag") == "\"1\""));
    let other_body = json!({"first_name": "Zoé", "last_name": "Durand"});
    let reused = call("POST", "/contacts").by(&sales).header("idempotency-key", "cle-1").json(&other_body);
    assert_eq!(reused.send(&api).await.problem(422), "idempotency_key_reused");
    let foreign = call("POST", "/contacts").by(&other).header("idempotency-key", "cle-1").json(&other_body);
    foreign.send(&api).await.ok(201);
    let bad = call("POST", "/contacts").by(&sales).header("idempotency-key", "é").json(&body);
    assert_eq!(bad.send(&api).await.problem(400), "bad_request");

    let kept: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT reply FROM idempotency").fetch_all(&pool).await.unwrap();
    assert!(
        !kept.iter().any(|reply| String::from_utf8_lossy(reply).contains("Martin")),
        "replies are sealed"
    );
    api.clock.forward(time::Duration::hours(25));
    assert!(api.services.replies.purge(api.services.clock.now()).await.unwrap() >= 2);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0);
}

#[sqlx::test]
async fn what_must_be_unique_and_what_must_exist_is_told_by_field(pool: PgPool) {
    let api = Api::new(pool).await;
    let sales = api.login(Role::Sales).await;
    let body = json!({"first_name": "Zoé", "last_name": "Martin", "email": "Zoe@exemple.fr"});
    call("POST", "/contacts").by(&sales).json(&body).send(&api).await.ok(201);
    let twin = json!({"first_name": "Zoë", "last_name": "M", "email": "zoe@EXEMPLE.fr"});
    let answer = call("POST", "/contacts").by(&sales).json(&twin).send(&api).await;
    assert_eq!(answer.problem(409), "duplicate");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/email");

    let nobody = "01890000-0000-7000-8000-000000000000";
    for (path, field, body) in [
        (
            "/contacts",
            "organisation_id",
            json!({"first_name": "A", "last_name": "B", "organisation_id": nobody}),
        ),
        ("/contacts", "owner_id", json!({"first_name": "A", "last_name": "B", "owner_id": nobody})),
        (
            "/interactions",
            "contact_id",
            json!({"contact_id": nobody, "kind": "call", "direction": "inbound",
            "occurred_at": "2026-01-01T10:00:00+02:00", "subject": "Point"}),
        ),
    ] {
        let answer = call("POST", path).by(&sales).json(&body).send(&api).await;
        assert_eq!(answer.problem(422), "validation_failed");
        assert_eq!(answer.json()["errors"][0]["pointer"], format!("/{field}"));
        assert_eq!(answer.json()["errors"][0]["code"], "unknown_reference");
    }
}
