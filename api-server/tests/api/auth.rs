//! Sessions: logging in, tokens, cookies.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use novacrm_api_domain::user::Role;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::Duration;

use crate::harness::{Api, PASSWORD, call};

fn credentials(email: &str, password: &str) -> Value {
    json!({"email": email, "password": password})
}

#[sqlx::test]
async fn a_program_logs_in_goes_on_and_logs_out(pool: PgPool) {
    let api = Api::new(pool).await;
    let email = api.login(Role::Sales).await.email;
    let granted = call("POST", "/auth/login")
        .json(&credentials(&email.to_uppercase(), PASSWORD))
        .send(&api)
        .await
        .ok(200);
    let session = granted.json();
    assert_eq!((session["expires_in"].as_i64(), session["token_type"].as_str()), (Some(600), Some("Bearer")));
    assert_eq!(session["user"]["role"], "sales");
    assert!(session["permissions"].as_array().unwrap().contains(&json!("contact.create")));
    assert_eq!(granted.header("cache-control"), "no-store");

    let bearer = format!("Bearer {}", session["access_token"].as_str().unwrap());
    let read = call("GET", "/auth/session").header("authorization", &bearer).send(&api).await.ok(200).json();
    assert_eq!(read["user"], session["user"]);
    assert_eq!((&read["access_token"], &read["refresh_token"]), (&Value::Null, &Value::Null));

    let refresh = json!({"refresh_token": session["refresh_token"]});
    let next = call("POST", "/auth/refresh").json(&refresh).send(&api).await.ok(200).json();
    assert_ne!(next["refresh_token"], session["refresh_token"]);
    let bearer = format!("Bearer {}", next["access_token"].as_str().unwrap());
    call("POST", "/auth/logout").header("authorization", &bearer).send(&api).await.ok(204);
    let refresh = json!({"refresh_token": next["refresh_token"]});
    assert_eq!(call("POST", "/auth/refresh").json(&refresh).send(&api).await.problem(401), "session_ended");
    let write = call("POST", "/contacts")
        .header("authorization", &bearer)
        .json(&json!({"first_name": "A", "last_name": "B"}))
        .send(&api)
        .await;
    assert_eq!(write.problem(401), "session_ended", "writes look at the session");
}

#[sqlx::test]
async fn a_refresh_token_used_twice_ends_the_session(pool: PgPool) {
    let api = Api::new(pool).await;
    let email = api.login(Role::Sales).await.email;
    let first = call("POST", "/auth/login").json(&credentials(&email, PASSWORD)).send(&api).await.json();
    let first = json!({"refresh_token": first["refresh_token"]});
    let second = call("POST", "/auth/refresh").json(&first).send(&api).await.ok(200).json();
    let second = json!({"refresh_token": second["refresh_token"]});
    assert_eq!(call("POST", "/auth/refresh").json(&first).send(&api).await.problem(401), "session_ended");
    assert_eq!(call("POST", "/auth/refresh").json(&second).send(&api).await.problem(401), "session_ended");
}

#[sqlx::test]
async fn wrong_credentials_look_alike_and_attempts_are_limited(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let email = api.login(Role::Sales).await.email;
    let wrong =
        |email: &str| call("POST", "/auth/login").json(&credentials(email, "pas le bon mot de passe"));
    let (known, unknown) = (wrong(&email).send(&api).await, wrong("personne@exemple.fr").send(&api).await);
    assert_eq!(
        (known.problem(401), unknown.problem(401)),
        ("wrong_credentials".into(), "wrong_credentials".into())
    );
    assert!(known.header("www-authenticate").starts_with("Bearer"));
    assert_eq!(known.json()["detail"], unknown.json()["detail"]);
    for _ in 0..4 {
        wrong(&email).send(&api).await.problem(401);
    }
    let limited = call("POST", "/auth/login").json(&credentials(&email, PASSWORD)).send(&api).await;
    assert_eq!(limited.problem(429), "too_many_attempts");
    assert!(limited.header("retry-after").parse::<u32>().unwrap() >= 1);

    let other = api.login(Role::Sales).await;
    sqlx::query("UPDATE users SET active = false WHERE id = $1")
        .bind(other.user)
        .execute(&pool)
        .await
        .unwrap();
    let inactive = call("POST", "/auth/login").json(&credentials(&other.email, PASSWORD)).send(&api).await;
    assert_eq!(inactive.problem(401), "wrong_credentials");
}

#[sqlx::test]
async fn forged_expired_and_foreign_tokens_are_refused(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let sales = api.login(Role::Sales).await;
    let elsewhere = Api::new(pool).await;
    let parts: Vec<&str> = sales.token.split('.').collect();
    let none = URL_SAFE_NO_PAD.encode("{\"alg\":\"none\",\"typ\":\"JWT\"}");
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    claims["role"] = json!("direction");
    let promoted = URL_SAFE_NO_PAD.encode(claims.to_string());
    for token in [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{promoted}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        String::new(),
        "x".repeat(5000),
    ] {
        let bearer = format!("Bearer {token}");
        let answer = call("GET", "/contacts").header("authorization", &bearer).send(&api).await;
        assert_eq!(answer.problem(401), "unauthenticated");
    }
    assert_eq!(call("GET", "/contacts").by(&sales).send(&elsewhere).await.problem(401), "unauthenticated");
    call("GET", "/contacts").by(&sales).send(&api).await.ok(200);
    api.clock.forward(Duration::minutes(10));
    assert_eq!(call("GET", "/contacts").by(&sales).send(&api).await.problem(401), "unauthenticated");
    assert_eq!(call("GET", "/contacts").send(&api).await.problem(401), "unauthenticated");
}

#[sqlx::test]
async fn a_browser_gets_cookies_alone_and_must_prove_where_a_change_comes_from(pool: PgPool) {
    let api = Api::new(pool).await;
    let email = api.login(Role::Sales).await.email;
    let login = |origin: &str| {
        call("POST", "/auth/login")
            .header("host", "crm.exemple.fr")
            .header("origin", origin)
            .json(&credentials(&email, PASSWORD))
    };
    assert_eq!(login("https://ailleurs.exemple").send(&api).await.problem(403), "foreign_origin");
    let granted = login("https://crm.exemple.fr").send(&api).await.ok(200);
    let session = granted.json();
    assert!(session["access_token"].is_null() && session["refresh_token"].is_null());
    let cookies: Vec<String> = granted
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(cookies.len(), 3, "access, refresh, device");
    for cookie in &cookies {
        assert!(cookie.starts_with("__Host-novacrm_"));
        for attribute in ["Path=/", "HttpOnly", "Secure", "SameSite=Lax"] {
            assert!(cookie.contains(attribute), "{attribute}");
        }
    }
    let jar: Vec<&str> = cookies.iter().map(|cookie| cookie.split(';').next().unwrap()).collect();
    let jar = jar.join("; ");
    call("GET", "/contacts").header("cookie", &jar).send(&api).await.ok(200);

    let csrf = session["csrf_token"].as_str().unwrap();
    let create = || {
        call("POST", "/contacts")
            .header("cookie", &jar)
            .header("host", "crm.exemple.fr")
            .json(&json!({"first_name": "A", "last_name": "B"}))
    };
    let own = "https://crm.exemple.fr";
    assert_eq!(create().header("origin", own).send(&api).await.problem(403), "csrf_failed");
    let wrong = create().header("origin", own).header("x-csrf-token", "AAAA");
    assert_eq!(wrong.send(&api).await.problem(403), "csrf_failed");
    for (name, value) in
        [("origin", "https://ailleurs.exemple"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        let foreign = create().header("x-csrf-token", csrf).header(name, value);
        assert_eq!(foreign.send(&api).await.problem(403), "foreign_origin");
    }
    create().header("origin", own).header("x-csrf-token", csrf).send(&api).await.ok(201);

    let refreshed = call("POST", "/auth/refresh").header("cookie", &jar).send(&api).await.ok(200);
    assert_eq!(refreshed.headers.get_all("set-cookie").iter().count(), 2);
}

#[sqlx::test]
async fn the_last_administrator_stays_and_a_demotion_holds_at_once_for_changes(pool: PgPool) {
    let api = Api::new(pool).await;
    let (one, two) = (api.login(Role::Direction).await, api.login(Role::Direction).await);
    let demote = |who: &crate::harness::Login, by: &crate::harness::Login| {
        call("PATCH", &format!("/users/{}", who.user))
            .by(by)
            .header("if-match", "\"1\"")
            .json(&json!({"role": "sales"}))
    };
    let racing = [demote(&one, &two), demote(&two, &one)].map(|request| {
        let router = api.router.clone();
        tokio::spawn(request.send_to(router))
    });
    let mut statuses = Vec::new();
    for answer in racing {
        statuses.push(answer.await.unwrap().status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200, "{statuses:?}");
    assert!([401, 403, 409].contains(&statuses[1]), "two that demote each other: {statuses:?}");
    let (left, gone) = {
        let read = call("GET", "/auth/session").by(&one).send(&api).await;
        if read.status == 200 { (one, two) } else { (two, one) }
    };
    assert_eq!(demote(&left, &left).send(&api).await.problem(409), "last_administrator");
    let create = call("POST", "/users").by(&gone).json(&json!({"email": "x@exemple.fr", "display_name": "X",
        "role": "sales", "password": PASSWORD}));
    assert_eq!(create.send(&api).await.problem(401), "session_ended");
}
