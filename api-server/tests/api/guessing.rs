//! Guessing passwords: what fails is limited, nobody locks somebody else out, and a flood does not stop log-ins.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use futures::StreamExt as _;
use novacrm_api_domain::user::Role;
use prometheus_client::registry::Registry;
use serde_json::json;
use sqlx::PgPool;
use tower::ServiceExt as _;

use crate::harness::{Api, Call, PASSWORD, call};
use crate::input::Lines;

const WRONG: &str = "pas le bon mot de passe";

fn login(email: &str, password: &str) -> Call {
    call("POST", "/auth/login").json(&json!({"email": email, "password": password}))
}

fn v4(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::from([198, 51, high, low])
}

/// The device cookie that a log-in gave.
fn device(answer: &crate::harness::Answer) -> String {
    let cookies = answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let cookie = cookies.into_iter().find(|cookie| cookie.starts_with("__Host-novacrm_device=")).unwrap();
    for attribute in ["Path=/", "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=15552000"] {
        assert!(cookie.contains(attribute), "{attribute}: {cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

#[sqlx::test]
async fn nobody_locks_another_out_of_an_account(pool: PgPool) {
    let api = Api::new(pool).await;
    api.clock.stop();
    let email = api.login(Role::Direction).await.email;
    let known = device(&login(&email, PASSWORD).send(&api).await.ok(200));

    // One source: it is refused after five failures, also with the right password.
    for _ in 0..5 {
        login(&email, WRONG).from(v4(0)).send(&api).await.problem(401);
    }
    let refused = login(&email, PASSWORD).from(v4(0)).send(&api).await;
    assert_eq!(refused.problem(429), "too_many_attempts");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1);
    // Another source with the right password, and the known device from that very source, get in.
    login(&email, PASSWORD).from(v4(1)).send(&api).await.ok(200);
    login(&email, PASSWORD).from(v4(0)).header("cookie", &known).send(&api).await.ok(200);

    // Many sources: the account's budget is used up.
    let mut tried = 0;
    for source in 2..40 {
        for _ in 0..3 {
            let answer = login(&email, WRONG).from(v4(source)).send(&api).await;
            tried += usize::from(answer.status == 401);
        }
    }
    assert!(tried < 38 * 3, "sources that failed are refused once the account was attacked from many");
    let refused = login(&email, PASSWORD).from(v4(2)).send(&api).await;
    assert_eq!(refused.problem(429), "too_many_attempts");
    login(&email, PASSWORD).from(v4(500)).send(&api).await.ok(200);
    login(&email, PASSWORD).from(v4(2)).header("cookie", &known).send(&api).await.ok(200);
    // And who waits as long as the answer says gets in.
    let wait = refused.header("retry-after").parse::<i64>().unwrap();
    api.clock.forward(time::Duration::seconds(wait));
    login(&email, PASSWORD).from(v4(2)).send(&api).await.ok(200);
}

#[sqlx::test]
async fn a_device_cookie_of_another_account_or_forged_is_worth_nothing(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    api.clock.stop();
    let (email, other) = (api.login(Role::Sales).await.email, api.login(Role::Sales).await.email);
    let elsewhere = Api::new(pool).await;
    let cookies = [
        device(&login(&other, PASSWORD).send(&api).await.ok(200)),
        device(&login(&email, PASSWORD).send(&elsewhere).await.ok(200)),
        format!("__Host-novacrm_device={}", "A".repeat(75)),
    ];
    for _ in 0..5 {
        login(&email, WRONG).from(v4(0)).send(&api).await.problem(401);
    }
    for cookie in cookies {
        let answer = login(&email, PASSWORD).from(v4(0)).header("cookie", &cookie).send(&api).await;
        assert_eq!(answer.problem(429), "too_many_attempts", "{cookie}");
    }
}

#[sqlx::test]
async fn a_source_that_tries_many_accounts_is_refused_and_ipv6_is_counted_by_network(pool: PgPool) {
    let api = Api::new(pool).await;
    api.clock.stop();
    let email = api.login(Role::Sales).await.email;
    let at =
        |host: u64| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_0007_0001_u128 << 64) | u128::from(host)));
    for host in 0..30 {
        let unknown = format!("personne{host}@exemple.fr");
        assert_eq!(login(&unknown, WRONG).from(at(host)).send(&api).await.problem(401), "wrong_credentials");
    }
    assert_eq!(login(&email, PASSWORD).from(at(31)).send(&api).await.problem(429), "too_many_attempts");
    login(&email, PASSWORD).from(v4(1)).send(&api).await.ok(200);
}

#[sqlx::test]
async fn behind_a_trusted_proxy_clients_are_told_apart_and_none_can_pretend(pool: PgPool) {
    let api = Api::new(pool).await;
    api.clock.stop();
    let email = api.login(Role::Sales).await.email;
    let behind = api.router(|app| app.trusting("10.0.0.0/8".parse().unwrap()));
    let proxy = IpAddr::from([10, 1, 2, 3]);
    let through = |forwarded: &str, password: &str| {
        login(&email, password).from(proxy).header("x-forwarded-for", forwarded).send_to(behind.clone())
    };
    for attempt in 0..5 {
        // What the client writes itself comes before what the proxy appends.
        through(&format!("203.0.113.{attempt}, 198.51.100.9"), WRONG).await.problem(401);
    }
    assert_eq!(through("203.0.113.77, 198.51.100.9", PASSWORD).await.problem(429), "too_many_attempts");
    through("198.51.100.10", PASSWORD).await.ok(200);
    // Nobody else's word is believed.
    for attempt in 0..6 {
        let answer = login(&email, WRONG)
            .from(v4(3))
            .header("x-forwarded-for", &format!("203.0.113.{attempt}"))
            .send_to(behind.clone())
            .await;
        answer.problem(if attempt < 5 { 401 } else { 429 });
    }
}

#[sqlx::test]
async fn a_flood_is_refused_at_once_and_known_devices_and_other_sources_get_in(pool: PgPool) {
    let api = Api::new(pool).await;
    api.clock.stop();
    let email = api.login(Role::Direction).await.email;
    let known = device(&login(&email, PASSWORD).send(&api).await.ok(200));
    let flood: Vec<_> = (0..300)
        .map(|number| {
            let unknown = format!("personne{number}@exemple.fr");
            tokio::spawn(login(&unknown, WRONG).from(v4(number)).send_to(api.router.clone()))
        })
        .collect();
    login(&email, PASSWORD).header("cookie", &known).send(&api).await.ok(200);
    let (mut refused, mut checked) = (0, 0);
    for answer in flood {
        let answer = answer.await.unwrap();
        if answer.status == 503 {
            assert_eq!(answer.problem(503), "busy");
            assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
            refused += 1;
        } else {
            answer.problem(401);
            checked += 1;
        }
    }
    assert!(refused > 100 && checked >= 32, "{refused} refused, {checked} checked");
    login(&email, PASSWORD).from(v4(400)).send(&api).await.ok(200);
}

#[sqlx::test]
async fn a_long_log_in_is_refused_before_it_is_read(pool: PgPool) {
    let api = Api::new(pool).await;
    api.clock.stop();
    let sales = api.login(Role::Sales).await;
    let long = json!({"email": "a@exemple.fr", "password": "a".repeat(5000)});
    for path in ["/auth/login", "/auth/refresh", "/auth/password"] {
        let answer = call("POST", path).by(&sales).json(&long).send(&api).await;
        assert_eq!(answer.problem(413), "payload_too_large", "{path}");
        // A body that never ends: it is refused by its head, or at the first byte too many.
        for length in [Some("1000000"), None] {
            let answer = endless(api.router.clone(), path, &sales.token, length);
            let answer = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("an answer");
            assert_eq!(answer, 413, "{path} {length:?}");
        }
    }
}

/// The status of the answer to a body of 5,000 bytes after which nothing more comes.
async fn endless(router: Router, path: &str, token: &str, length: Option<&str>) -> u16 {
    let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 5000]))]);
    let body = Body::from_stream(first.chain(futures::stream::pending()));
    let request = Request::post(format!("/api/v1{path}"))
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"));
    let request =
        length.into_iter().fold(request, |request, length| request.header("content-length", length));
    router.oneshot(request.body(body).unwrap()).await.unwrap().status().as_u16()
}

#[sqlx::test]
async fn refused_log_ins_are_counted_by_account_without_naming_anybody(pool: PgPool) {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(lines.clone()).finish();
    // Where there is only one subscriber, `tracing` asks that of the thread which reaches an event first, and another
    // test's thread has none.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let api = Api::new(pool).await;
    api.clock.stop();
    let mut registry = Registry::default();
    api.services.outcomes.register(&mut registry);
    for (email, times) in [("canaribrume@exemple.fr", 6), ("autre@exemple.fr", 1)] {
        for _ in 0..times {
            login(email, WRONG).from([203, 0, 113, 77]).send(&api).await;
        }
    }
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let events: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["fields"].clone())
        .filter(|fields| fields["message"] == "a log-in was refused")
        .collect();
    let accounts: Vec<&str> = events.iter().map(|event| event["account"].as_str().unwrap()).collect();
    let reasons: Vec<&str> = events.iter().map(|event| event["reason"].as_str().unwrap()).collect();
    assert_eq!(accounts.len(), 7);
    assert!(accounts[..6].iter().all(|account| *account == accounts[0]) && accounts[6] != accounts[0]);
    assert_eq!(reasons[..5], ["wrong_credentials"; 5]);
    assert_eq!(reasons[5..], ["limited_account_and_source", "wrong_credentials"]);
    for secret in ["canaribrume", "autre@", "203.0.113", WRONG] {
        assert!(!log.contains(secret), "{secret}");
    }
    let mut metrics = String::new();
    prometheus_client::encoding::text::encode(&mut metrics, &registry).unwrap();
    assert!(metrics.contains("logins_total{outcome=\"wrong_credentials\"} 6"), "{metrics}");
    assert!(metrics.contains("logins_total{outcome=\"limited_account_and_source\"} 1"), "{metrics}");
}
