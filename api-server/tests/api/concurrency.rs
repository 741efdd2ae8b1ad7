//! Assessments of one user leave permits for those of others, in number and in bytes, over real HTTP.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use novacrm_api_domain::user::Role;
use novacrm_service::serve;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::harness::{Api, Login, Mood};

/// The API on a port of its own until the guard is dropped.
fn serve_api(api: &Api) -> (SocketAddr, DropGuard) {
    let listener = serve::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(serve::plain(listener, api.router.clone(), shutdown.clone()));
    (address, shutdown.drop_guard())
}

async fn ask(
    address: SocketAddr,
    login: &Login,
    key: &str,
    prompt: &str,
) -> reqwest::Result<reqwest::Response> {
    let client = Client::builder().timeout(Duration::from_secs(120)).build().unwrap();
    client
        .post(format!("http://{address}/api/v1/assessments"))
        .bearer_auth(&login.token)
        .header("idempotency-key", key)
        .json(&json!({"prompt": prompt}))
        .send()
        .await
}

/// Waits until the engine was asked so often.
async fn asked(api: &Api, times: usize) {
    while api.engine.state.calls.load(Ordering::SeqCst) < times {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[sqlx::test]
async fn thirty_long_prompts_of_one_user_are_mostly_refused_and_another_user_is_served(pool: PgPool) {
    let api = Api::new(pool).await;
    let (greedy, other) = (api.login(Role::Sales).await, api.login(Role::Sales).await);
    let (address, _serving) = serve_api(&api);
    api.engine.state.set(Mood::Waits);
    // A little less than 1 MB, so that four fit into the share of one user.
    let prompt = "a".repeat(1_000_000);
    let flood: Vec<_> = (0..30)
        .map(|number| {
            let (login, prompt) = (greedy.clone(), prompt.clone());
            tokio::spawn(async move { ask(address, &login, &format!("flood {number}"), &prompt).await })
        })
        .collect();
    asked(&api, 4).await;
    let someone = tokio::spawn({
        let other = other.clone();
        async move { ask(address, &other, "other", "Bonjour").await }
    });
    asked(&api, 5).await;
    // All that are refused have their answer while those that run still wait.
    while flood.iter().filter(|request| request.is_finished()).count() < 26 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(api.engine.state.calls.load(Ordering::SeqCst), 5, "no more than four of one user");
    api.engine.state.set(Mood::Answers);
    assert_eq!(someone.await.unwrap().unwrap().status(), StatusCode::CREATED);
    let (mut served, mut refused, mut told) = (Vec::new(), Vec::new(), 0);
    for (number, request) in flood.into_iter().enumerate() {
        match request.await.unwrap() {
            Ok(answer) if answer.status() == StatusCode::CREATED => served.push(number),
            Ok(answer) => {
                assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
                assert_eq!(answer.headers()["retry-after"], "1");
                let problem: Value = answer.json().await.unwrap();
                assert_eq!(problem["code"], "too_many_assessments");
                refused.push(number);
                told += 1;
            }
            // The connection was closed while the body was still being sent.
            Err(error) => {
                assert!(!error.is_timeout(), "{error}");
                refused.push(number);
            }
        }
    }
    assert_eq!((served.len(), refused.len()), (4, 26));
    assert!(told > 0, "a client that looks sees the answer");

    // A refusal changed nothing: the same request goes through later, and is answered once.
    let key = format!("flood {}", refused[0]);
    let made = ask(address, &greedy, &key, &prompt).await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    assert!(!made.headers().contains_key("idempotency-replayed"));
    let again = ask(address, &greedy, &key, &prompt).await.unwrap();
    assert_eq!(again.status(), StatusCode::CREATED);
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(made.text().await.unwrap(), again.text().await.unwrap());
    assert_eq!(api.engine.state.records().len(), 6);
}

#[sqlx::test]
async fn a_permit_is_taken_before_a_body_is_read_and_given_back_when_its_sender_leaves(pool: PgPool) {
    let api = Api::new(pool).await;
    let (slow, other) = (api.login(Role::Sales).await, api.login(Role::Sales).await);
    let (address, _serving) = serve_api(&api);
    let begin = |length: &str| {
        let head = format!(
            "POST /api/v1/assessments HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nidempotency-key: a\r\n\
             content-type: application/json\r\n{length}\r\n\r\n",
            slow.token
        );
        async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stream
        }
    };
    // Without a length a body counts as the longest, 2.1 MB; two do not fit into the share of one user.
    let first = begin("transfer-encoding: chunked").await;
    let mut waiting = vec![first];
    let mut refused = loop {
        // The one before may not have been looked at yet.
        let mut next = begin("transfer-encoding: chunked").await;
        let mut start = [0; 12];
        match tokio::time::timeout(Duration::from_millis(300), next.read_exact(&mut start)).await {
            Ok(read) => {
                read.unwrap();
                assert_eq!(&start, b"HTTP/1.1 429");
                break next;
            }
            Err(_) => waiting.push(next),
        }
    };
    let mut rest = String::new();
    while !rest.contains("too_many_assessments") {
        let mut bytes = [0; 4096];
        let count = refused.read(&mut bytes).await.unwrap();
        assert!(count > 0, "{rest}");
        rest.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert!(rest.contains("too_many_assessments") && rest.contains("retry-after: 1"), "{rest}");
    assert_eq!(ask(address, &other, "other", "Bonjour").await.unwrap().status(), StatusCode::CREATED);
    drop(waiting);
    loop {
        let answer = ask(address, &slow, "later", "Bonjour").await.unwrap();
        if answer.status() == StatusCode::CREATED {
            break;
        }
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
