//! Passwords that others chose, changes of one's own, and sessions that end.

use novacrm_api_domain::user::Role;
use novacrm_api_server::http::documentation;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::Duration;
use uuid::Uuid;

use crate::harness::{Answer, Api, Call, Login, PASSWORD, call};

const OTHER: &str = "quatre vélos bleus au grenier";

async fn log_in(api: &Api, email: &str, password: &str) -> Answer {
    call("POST", "/auth/login").json(&json!({"email": email, "password": password})).send(api).await
}

fn bearer(session: &Value) -> String {
    format!("Bearer {}", session["access_token"].as_str().unwrap())
}

fn change(session: &Value, current: &str, new: &str) -> Call {
    call("POST", "/auth/password")
        .header("authorization", &bearer(session))
        .json(&json!({"current_password": current, "new_password": new}))
}

/// Somebody whose account `direction` made, with a session.
async fn newcomer(api: &Api, direction: &Login) -> (String, Value) {
    let email = format!("nouvelle.{}@exemple.fr", Uuid::now_v7().simple());
    let user = json!({"email": email, "display_name": "Nouvelle", "role": "direction", "password": PASSWORD});
    call("POST", "/users").by(direction).json(&user).send(api).await.ok(201);
    let session = log_in(api, &email, PASSWORD).await.ok(200).json();
    (email, session)
}

#[sqlx::test]
async fn who_must_change_their_password_can_do_nothing_else(pool: PgPool) {
    let api = Api::new(pool).await;
    let direction = api.login(Role::Direction).await;
    let (_, session) = newcomer(&api, &direction).await;
    assert_eq!(session["password_change_required"], true);

    let document = serde_json::to_value(documentation::document()).unwrap();
    let (mut refused, mut open) = (0, Vec::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["x-permission"] == "public" {
                continue;
            }
            let path = path.strip_prefix("/api/v1").unwrap().replace("{id}", &Uuid::now_v7().to_string());
            if path.starts_with("/auth/") {
                open.push(path);
                continue;
            }
            let request = call(&method.to_uppercase(), &path)
                .header("authorization", &bearer(&session))
                .header("idempotency-key", "a")
                .header("if-match", "\"1\"")
                .json(&json!({}));
            let answer = request.send(&api).await;
            assert_eq!(answer.problem(403), "password_change_required", "{method} {path}");
            refused += 1;
        }
    }
    assert!(refused >= 25, "{refused}");
    open.sort_unstable();
    assert_eq!(open, ["/auth/logout", "/auth/password", "/auth/session"]);

    let read =
        call("GET", "/auth/session").header("authorization", &bearer(&session)).send(&api).await.ok(200);
    assert_eq!(read.json()["password_change_required"], true);
    let refresh = json!({"refresh_token": session["refresh_token"]});
    let session = call("POST", "/auth/refresh").json(&refresh).send(&api).await.ok(200).json();
    assert_eq!(session["password_change_required"], true, "a new token changes nothing");

    let changed = change(&session, PASSWORD, OTHER).send(&api).await.ok(200).json();
    assert_eq!(changed["password_change_required"], false);
    call("GET", "/contacts").header("authorization", &bearer(&session)).send(&api).await.ok(200);
    call("GET", "/users").header("authorization", &bearer(&session)).send(&api).await.ok(200);
}

#[sqlx::test]
async fn a_password_is_changed_with_the_current_one_and_other_sessions_end(pool: PgPool) {
    let api = Api::new(pool).await;
    let direction = api.login(Role::Direction).await;
    let (email, mine) = newcomer(&api, &direction).await;
    let other = log_in(&api, &email, PASSWORD).await.ok(200).json();

    let field = |answer: &Answer| {
        let error = answer.json()["errors"][0].clone();
        (error["pointer"].as_str().unwrap().to_owned(), error["code"].as_str().unwrap().to_owned())
    };
    for (current, new, pointer, code) in [
        ("pas le bon mot de passe", OTHER, "/current_password", "wrong_password"),
        (PASSWORD, PASSWORD, "/new_password", "same_password"),
        (PASSWORD, "trop court", "/new_password", "too_short"),
        (PASSWORD, "motdepasse2026", "/new_password", "common_password"),
        (PASSWORD, "Nouvelle-Acme-2026", "/new_password", "common_password"),
    ] {
        let answer = change(&mine, current, new).send(&api).await;
        assert_eq!(answer.problem(422), "validation_failed", "{new}");
        assert_eq!(field(&answer), (pointer.to_owned(), code.to_owned()));
        assert!(!answer.text.contains(new) && !answer.text.contains(current));
    }
    let anybody = call("POST", "/auth/password")
        .json(&json!({"current_password": PASSWORD, "new_password": OTHER}))
        .send(&api)
        .await;
    assert_eq!(anybody.problem(401), "unauthenticated");

    change(&mine, PASSWORD, OTHER).send(&api).await.ok(200);
    let read = |session: &Value| call("GET", "/contacts").header("authorization", &bearer(session));
    assert_eq!(read(&other).send(&api).await.problem(401), "session_ended");
    let refresh = json!({"refresh_token": other["refresh_token"]});
    assert_eq!(call("POST", "/auth/refresh").json(&refresh).send(&api).await.problem(401), "session_ended");
    read(&mine).send(&api).await.ok(200);
    let refresh = json!({"refresh_token": mine["refresh_token"]});
    call("POST", "/auth/refresh").json(&refresh).send(&api).await.ok(200);
    assert_eq!(log_in(&api, &email, PASSWORD).await.problem(401), "wrong_credentials");
    assert_eq!(log_in(&api, &email, OTHER).await.ok(200).json()["password_change_required"], false);
}

#[sqlx::test]
async fn a_session_cannot_guess_the_current_password_and_does_not_stop_its_holder(pool: PgPool) {
    let api = Api::new(pool).await;
    let email = api.login(Role::Sales).await.email;
    let stolen = log_in(&api, &email, PASSWORD).await.ok(200).json();
    let own = log_in(&api, &email, PASSWORD).await.ok(200).json();
    for _ in 0..5 {
        change(&stolen, "pas le bon mot de passe", OTHER).send(&api).await.problem(422);
    }
    let limited = change(&stolen, PASSWORD, OTHER).send(&api).await;
    assert_eq!(limited.problem(429), "too_many_attempts");
    assert!(limited.header("retry-after").parse::<u32>().unwrap() > 1);
    change(&own, PASSWORD, OTHER).send(&api).await.ok(200);
}

#[sqlx::test]
async fn a_password_that_an_administrator_set_must_be_changed_and_their_own_is_not_set_so(pool: PgPool) {
    let api = Api::new(pool).await;
    let direction = api.login(Role::Direction).await;
    let sales = api.login(Role::Sales).await;
    let set = |who: Uuid, password: &str| {
        call("PATCH", &format!("/users/{who}"))
            .by(&direction)
            .header("if-match", "\"1\"")
            .json(&json!({"password": password}))
    };
    let own = set(direction.user, OTHER).send(&api).await;
    assert_eq!(own.problem(422), "validation_failed");
    assert_eq!(own.json()["errors"][0]["code"], "own_password");
    let common = set(sales.user, "azertyuiop12").send(&api).await;
    assert_eq!(common.json()["errors"][0]["code"], "common_password");
    set(sales.user, OTHER).send(&api).await.ok(200);
    assert_eq!(call("GET", "/contacts").by(&sales).send(&api).await.problem(401), "session_ended");
    let session = log_in(&api, &sales.email, OTHER).await.ok(200).json();
    assert_eq!(session["password_change_required"], true);
    let common =
        json!({"email": "b@exemple.fr", "display_name": "B", "role": "sales", "password": "123456789012"});
    let refused = call("POST", "/users").by(&direction).json(&common).send(&api).await;
    assert_eq!(refused.json()["errors"][0]["code"], "common_password");
}

#[sqlx::test]
async fn reads_end_with_the_session_at_once_here_and_within_seconds_elsewhere(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let direction = api.login(Role::Direction).await;
    let read = |login: &Login| call("GET", "/contacts").by(login);
    // Here: log-out, deactivation, another role.
    let sales = api.login(Role::Sales).await;
    read(&sales).send(&api).await.ok(200);
    call("POST", "/auth/logout").by(&sales).send(&api).await.ok(204);
    assert_eq!(read(&sales).send(&api).await.problem(401), "session_ended");
    for patch in [json!({"active": false}), json!({"role": "ops"})] {
        let sales = api.login(Role::Sales).await;
        read(&sales).send(&api).await.ok(200);
        let path = format!("/users/{}", sales.user);
        call("PATCH", &path).by(&direction).header("if-match", "\"1\"").json(&patch).send(&api).await.ok(200);
        assert_eq!(read(&sales).send(&api).await.problem(401), "session_ended", "{patch}");
    }
    // At another replica, which writes to the same database.
    let sales = api.login(Role::Sales).await;
    read(&sales).send(&api).await.ok(200);
    sqlx::query("UPDATE sessions SET ended_at = now() WHERE user_id = $1")
        .bind(sales.user)
        .execute(&pool)
        .await
        .unwrap();
    api.clock.forward(Duration::seconds(3));
    assert_eq!(read(&sales).send(&api).await.problem(401), "session_ended");
    // What a token says of a role is not believed for longer either.
    let colleague = api.login(Role::Direction).await;
    call("GET", "/users").by(&colleague).send(&api).await.ok(200);
    sqlx::query("UPDATE users SET role = 'sales' WHERE id = $1")
        .bind(colleague.user)
        .execute(&pool)
        .await
        .unwrap();
    api.clock.forward(Duration::seconds(3));
    assert_eq!(call("GET", "/users").by(&colleague).send(&api).await.problem(403), "forbidden");
}
