//! What a client can hold of a server: connections, time, streams and memory, each within a limit.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{get, post};
use novacrm_service::problem::{Pipeline, Problem};
use novacrm_service::serve::{self, Limits};
use novacrm_service::{body, tls};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// No step of a test takes longer, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest body of the tests' routes.
const LIMIT: usize = 64 * 1024;
/// What all bodies of the tests' servers may take together.
const BUDGET: usize = 100 * 1024;
/// The preface of an HTTP/2 connection (RFC 9113, section 3.4), with an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    gate: Arc<Gate>,
}

/// Handlers wait here until the test lets one in after the other.
struct Gate {
    turns: Semaphore,
    waiting: AtomicUsize,
}

impl Gate {
    async fn pass(&self) -> Result<(), Problem> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let turn = self.turns.acquire().await.map_err(|_| Problem::internal());
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        turn.map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Server {
    fn start(limits: Limits) -> Self {
        tls::install_provider();
        let gate = Arc::new(Gate { turns: Semaphore::new(0), waiting: AtomicUsize::new(0) });
        let length =
            |request: Request| async move { body::read(request).await.map(|bytes| bytes.len().to_string()) };
        // Reads the body, and answers when the test lets it.
        let held = |State(gate): State<Arc<Gate>>, request: Request| async move {
            let bytes = body::read(request).await?;
            gate.pass().await?;
            Ok::<_, Problem>(bytes.len().to_string())
        };
        let waiting = |State(gate): State<Arc<Gate>>| async move { gate.pass().await.map(|()| "done") };
        let app = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/length", post(length))
            .route("/held", post(held))
            .route("/waiting", get(waiting))
            .with_state(Arc::clone(&gate));
        let app = Pipeline::with_budget(BUDGET, &mut Registry::default()).wrap(app, LIMIT);
        let listener = serve::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(serve::plain_with(listener, app, limits, shutdown.clone()));
        Self { address, shutdown, gate }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends the head of a request and the beginning of its body.
    async fn begin(&self, path: &str, declared: usize, sent: usize) -> TcpStream {
        let mut stream = self.connect().await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {declared}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; sent]).await.unwrap();
        stream
    }
}

/// Everything that the server still sends before it closes the connection.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    // A reset is an end too.
    let _ = read.expect("the server leaves the connection open");
    bytes
}

/// The status of the next answer.
async fn status(stream: &mut TcpStream) -> u16 {
    let mut bytes = vec![0; 4096];
    let count = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
    let head = String::from_utf8_lossy(&bytes[..count]).into_owned();
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// Waits until something holds.
async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn short() -> Limits {
    Limits {
        connections: 4,
        first_request: Duration::from_millis(200),
        idle: Duration::from_millis(400),
        stalled: PATIENCE,
    }
}

fn patient(connections: usize) -> Limits {
    Limits { connections, first_request: PATIENCE, idle: PATIENCE, stalled: PATIENCE }
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_whatever_it_begins_with() {
    let server = Server::start(short());
    for beginning in [b"".as_slice(), b"G", b"GET / HTTP/1.1\r\nhost: ", b"PRI * HTT", PREFACE] {
        let mut stream = server.connect().await;
        stream.write_all(beginning).await.unwrap();
        rest(stream).await;
    }
}

#[tokio::test]
async fn a_connection_that_has_served_a_request_is_closed_when_it_is_idle_for_too_long() {
    let server = Server::start(short());
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.ends_with(b"here"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_request_that_is_being_handled_is_not_idle() {
    let server = Server::start(short());
    let answer = tokio::spawn(reqwest::get(server.url("/waiting")));
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.gate.turns.add_permits(1);
    assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "done");
}

#[tokio::test]
async fn idle_connections_give_way_to_new_ones_and_requests_under_way_do_not() {
    let server = Server::start(patient(4));
    let answer = tokio::spawn(reqwest::get(server.url("/waiting")));
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(server.connect().await);
    }
    assert_eq!(reqwest::get(server.url("/")).await.unwrap().text().await.unwrap(), "here");
    server.gate.turns.add_permits(1);
    assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "done");
    let first = idle.remove(0);
    rest(first).await;
}

#[tokio::test]
async fn connections_with_unfinished_bodies_give_way_to_new_ones() {
    let server = Server::start(patient(4));
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(server.begin("/length", 1000, 10).await);
    }
    let get = || async { reqwest::get(server.url("/")).await.is_ok_and(|answer| answer.status() == 200) };
    eventually("a request passes the slow ones", get).await;
}

#[tokio::test]
async fn when_all_connections_work_a_new_one_is_closed_and_comes_in_later() {
    let server = Server::start(patient(2));
    let working: Vec<_> = (0..2).map(|_| tokio::spawn(reqwest::get(server.url("/waiting")))).collect();
    let refused = || async { reqwest::get(server.url("/")).await.is_err() };
    eventually("a third connection is refused", refused).await;
    server.gate.turns.add_permits(2);
    for answer in working {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
    let get = || async { reqwest::get(server.url("/")).await.is_ok_and(|answer| answer.status() == 200) };
    eventually("there is room again", get).await;
}

#[tokio::test]
async fn a_declared_length_beyond_the_limit_is_refused_before_the_body_comes() {
    let server = Server::start(patient(8));
    let mut stream = server.begin("/length", LIMIT + 1, 0).await;
    assert_eq!(status(&mut stream).await, 413);
}

#[tokio::test]
async fn a_body_of_undeclared_length_is_refused_where_it_exceeds_the_limit() {
    let server = Server::start(patient(8));
    let chunks = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1024])));
    let answer = reqwest::Client::new().post(server.url("/length")).body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(answer.send().await.unwrap().status(), 413);
}

#[tokio::test]
async fn bodies_share_a_budget_until_they_are_answered() {
    let server = Server::start(patient(8));
    // 60 of 100 KiB are taken by a request that has been read and is not answered yet.
    let held = reqwest::Client::new().post(server.url("/held")).body(vec![b'x'; 60 * 1024]).send();
    let held = tokio::spawn(held);
    let client = reqwest::Client::new();
    let send = |bytes: usize| {
        let answer = client.post(server.url("/length")).body(vec![b'x'; bytes]).send();
        async move { answer.await.unwrap().status().as_u16() }
    };
    eventually("there is no memory for 60 KiB more", || async { send(60 * 1024).await == 503 }).await;
    assert_eq!(send(30 * 1024).await, 200, "and there is for 30 KiB");
    server.gate.turns.add_permits(1);
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
    assert_eq!(send(60 * 1024).await, 200, "what was reserved is given back");
}

#[tokio::test]
async fn a_body_that_breaks_off_gives_back_what_it_reserved() {
    let server = Server::start(patient(8));
    for _ in 0..5 {
        drop(server.begin("/length", 60 * 1024, 1024).await);
    }
    let client = reqwest::Client::new();
    let send = || async {
        let answer = client.post(server.url("/length")).body(vec![b'x'; 60 * 1024]).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    };
    eventually("the budget is whole again", send).await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_refused() {
    let server = Server::start(patient(8));
    let mut stream = server.begin("/length", 1000, 1).await;
    let dripping = async {
        let (mut reader, mut writer) = stream.split();
        let drip = async {
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if writer.write_all(b"x").await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let mut head = [0; 12];
        tokio::select! {
            () = drip => unreachable!("it never ends"),
            read = reader.read_exact(&mut head) => { read.unwrap(); }
        }
        assert_eq!(&head, b"HTTP/1.1 408");
    };
    tokio::time::timeout(PATIENCE, dripping).await.unwrap();
}

#[tokio::test]
async fn one_http2_connection_has_a_limited_number_of_requests_under_way() {
    let server = Server::start(patient(8));
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let waiting: Vec<_> = (0..200).map(|_| tokio::spawn(client.get(server.url("/waiting")).send())).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let under_way = server.gate.waiting.load(Ordering::Relaxed);
    assert!((1..=64).contains(&under_way), "{under_way} requests of one connection are under way");
    server.gate.turns.add_permits(1);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn an_unread_http2_body_is_buffered_up_to_the_window_only() {
    // The client's library keeps to the windows that the server tells it; a test that counts what is sent sees them.
    let server = Server::start(patient(8));
    let sent = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&sent);
    let chunks = futures::stream::unfold(0, move |count| {
        let counting = Arc::clone(&counting);
        async move {
            counting.fetch_add(16 * 1024, Ordering::Relaxed);
            (count < 1000).then(|| (Ok::<_, std::io::Error>(vec![b'x'; 16 * 1024]), count + 1))
        }
    });
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    // This route never reads its body.
    let request = client.get(server.url("/waiting")).body(reqwest::Body::wrap_stream(chunks));
    let answer = tokio::spawn(request.send());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < 512 * 1024, "{sent} bytes were sent to a handler that reads none");
    server.gate.turns.add_permits(1);
    let _ = answer.await;
}
