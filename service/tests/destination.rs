//! What a client connects to that judges addresses as it resolves names, over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::post;
use novacrm_service::destination::Guard;
use tokio::net::TcpListener;

/// A name that leads to this machine stands for any name whose owner points it there after it was judged.
#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_connected_to() {
    novacrm_service::tls::install_provider();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let app = Router::new().route(
        "/",
        post(async move || {
            counter.fetch_add(1, Ordering::SeqCst);
            "heard"
        }),
    );
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    for (local, plain, connects) in [(false, false, false), (false, true, false), (true, true, true)] {
        let guard = Guard { local, plain, refused: Vec::new() };
        let client = reqwest::Client::builder().no_proxy().dns_resolver(Arc::new(guard)).build().unwrap();
        let before = asked.load(Ordering::SeqCst);
        let answer = client.post(&url).body("a text").send().await;
        assert_eq!(answer.is_ok(), connects, "local: {local}, plain: {plain}");
        assert_eq!(asked.load(Ordering::SeqCst) > before, connects);
    }
    server.abort();
}
