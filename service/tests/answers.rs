//! An answer is read up to a bound, whatever its length is announced as.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use novacrm_service::answer::{AnswerError, read};
use novacrm_service::{serve, tls};
use tokio_util::sync::CancellationToken;

/// What the tests read at most, in bytes.
const LIMIT: usize = 100_000;

async fn answer(path: &'static str) -> Result<usize, AnswerError> {
    tls::install_provider();
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 8192]));
    let app = Router::new()
        .route("/short", get(|| async { vec![b'x'; LIMIT] }))
        .route("/announced", get(|| async { vec![b'x'; LIMIT + 1] }))
        .route("/endless", get(move || async move { Body::from_stream(endless.clone()) }));
    let listener = serve::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}{path}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let _ended = shutdown.clone().drop_guard();
    tokio::spawn(serve::plain(listener, app, shutdown));
    read(reqwest::get(url).await.unwrap(), LIMIT).await.map(|bytes| bytes.len())
}

#[tokio::test]
async fn an_answer_within_the_limit_is_read_whole() {
    assert_eq!(answer("/short").await.unwrap(), LIMIT);
}

#[tokio::test]
async fn an_answer_that_is_announced_as_longer_or_never_ends_is_dropped() {
    for path in ["/announced", "/endless"] {
        assert!(matches!(answer(path).await, Err(AnswerError::TooLong(LIMIT))), "{path}");
    }
}
