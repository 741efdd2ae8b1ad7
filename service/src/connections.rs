//! Limits on the connections of one server.
//!
//! Every accepted connection has an entry in a table of bounded size. A connection is *idle* while it has no request,
//! *receiving* while a request body is incomplete, and *working* otherwise. When the table is full, a new connection
//! replaces another one: the oldest that never sent a request, or else the one that has been receiving for the longest
//! time, or else the one that has been idle for the longest time. When all are working, the new connection is closed. Clients that hold connections
//! open without using them therefore cannot keep others out. A sweep closes connections that send no first request in time, that stay idle for too long, or that have
//! requests under way but transfer nothing.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use axum_server::accept::Accept;
use futures::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower::Service;

/// How often the table is searched for connections to close.
const SWEEP: Duration = Duration::from_secs(1);
/// A request body that takes longer than this is slow.
const BODY_GRACE: Duration = Duration::from_secs(1);
/// The table is reported full in the log at most once in this time.
const REPORT: Duration = Duration::from_secs(10);

/// What the connections of one server may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections that are open at the same time.
    pub connections: usize,
    /// Longest time from the connection to its first request, TLS handshake included.
    pub first_request: Duration,
    /// Longest time without a request after that.
    pub idle: Duration,
    /// Longest time in which a connection with requests under way transfers no byte in either direction. It must be
    /// longer than the longest long poll.
    pub stalled: Duration,
}

impl Default for Limits {
    /// 512 connections; 10 seconds to the first request; 2 minutes idle; 2 minutes stalled.
    fn default() -> Self {
        Self {
            connections: 512,
            first_request: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            stalled: Duration::from_secs(120),
        }
    }
}

/// The table of open connections. Cheap to clone; all clones are one table.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Table>);

struct Table {
    limits: Limits,
    started: Instant,
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, Arc<Connection>>>,
    reported: Mutex<Option<Instant>>,
}

struct Connection {
    activity: Mutex<Activity>,
    /// Milliseconds from the start of the table to the last transferred byte.
    transferred: AtomicU64,
    is_closing: AtomicBool,
    reader: AtomicWaker,
}

#[derive(Clone, Copy, Debug)]
struct Activity {
    /// Since when no request is under way.
    idle_since: Instant,
    served_any: bool,
    working: usize,
    receiving: usize,
    receiving_since: Instant,
}

impl Connections {
    /// An empty table. Call inside the runtime: it starts the sweep, which ends when the last clone is dropped.
    pub(crate) fn new(limits: Limits) -> Self {
        let table = Arc::new(Table {
            limits,
            started: Instant::now(),
            next: AtomicU64::new(0),
            open: Mutex::default(),
            reported: Mutex::default(),
        });
        tokio::spawn(sweep(Arc::downgrade(&table)));
        Self(table)
    }

    /// Enters a new connection, in place of another one where the table is full. `None` when no place can be made.
    fn enter(&self) -> Option<Entry> {
        let table = &self.0;
        let now = Instant::now();
        let connection = Arc::new(Connection {
            activity: Mutex::new(Activity {
                idle_since: now,
                served_any: false,
                working: 0,
                receiving: 0,
                receiving_since: now,
            }),
            transferred: AtomicU64::new(table.elapsed(now)),
            is_closing: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        });
        let id = table.next.fetch_add(1, Ordering::Relaxed);
        let mut open = lock(&table.open);
        if open.len() >= table.limits.connections {
            table.report(now);
            let place = open
                .iter()
                .filter_map(|(id, one)| Some((one.replaceable(now)?, *id)))
                .min()
                .and_then(|(_, id)| open.remove(&id));
            place?.close();
        }
        open.insert(id, Arc::clone(&connection));
        Some(Entry { table: Arc::clone(table), id, connection })
    }
}

impl Table {
    fn elapsed(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    fn report(&self, now: Instant) {
        let mut reported = lock(&self.reported);
        if reported.is_none_or(|before| now.duration_since(before) >= REPORT) {
            *reported = Some(now);
            tracing::warn!(
                connections = self.limits.connections,
                "all connections are taken; idle ones are closed"
            );
        }
    }

    fn close_expired(&self, now: Instant) {
        let elapsed = self.elapsed(now);
        let stalled = u64::try_from(self.limits.stalled.as_millis()).unwrap_or(u64::MAX);
        for connection in lock(&self.open).values() {
            let activity = *lock(&connection.activity);
            let is_expired = if activity.working == 0 && activity.receiving == 0 {
                let limit = if activity.served_any { self.limits.idle } else { self.limits.first_request };
                now.saturating_duration_since(activity.idle_since) > limit
            } else {
                elapsed.saturating_sub(connection.transferred.load(Ordering::Relaxed)) > stalled
            };
            if is_expired {
                connection.close();
            }
        }
    }
}

async fn sweep(table: Weak<Table>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        let Some(table) = table.upgrade() else { return };
        table.close_expired(Instant::now());
    }
}

impl Connection {
    /// The order in which connections give way, least first; `None` for one that must not.
    fn replaceable(&self, now: Instant) -> Option<(u8, Instant)> {
        let activity = *lock(&self.activity);
        match (activity.working, activity.receiving) {
            (0, 0) if activity.served_any => Some((3, activity.idle_since)),
            (0, 0) => Some((0, activity.idle_since)),
            (0, _) => {
                let is_slow = now.saturating_duration_since(activity.receiving_since) > BODY_GRACE;
                Some((if is_slow { 1 } else { 2 }, activity.receiving_since))
            }
            _ => None,
        }
    }

    fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.reader.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.is_closing.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server closed the connection"));
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the table; leaves it when dropped.
struct Entry {
    table: Arc<Table>,
    id: u64,
    connection: Arc<Connection>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.table.open).remove(&self.id);
    }
}

/// Enters accepted connections into the table and tracks their requests.
#[derive(Clone)]
pub(crate) struct BoundedAcceptor(pub(crate) Connections);

impl<S> Accept<TcpStream, S> for BoundedAcceptor {
    type Stream = BoundedStream;
    type Service = Tracked<S>;
    type Future = std::future::Ready<io::Result<(BoundedStream, Tracked<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = stream.set_nodelay(true).and_then(|()| {
            let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "too many connections");
            let entry = self.0.enter().ok_or_else(refused)?;
            let connection = Arc::clone(&entry.connection);
            Ok((BoundedStream { stream, entry }, Tracked { inner: service, connection }))
        });
        std::future::ready(accepted)
    }
}

/// A TCP stream that ends when its connection is to be closed.
pub(crate) struct BoundedStream {
    stream: TcpStream,
    entry: Entry,
}

impl BoundedStream {
    fn transferred(&self) {
        let elapsed = self.entry.table.elapsed(Instant::now());
        self.entry.connection.transferred.store(elapsed, Ordering::Relaxed);
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.entry.connection.reader.register(cx.waker());
        self.entry.connection.check()?;
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if result.is_ready() {
            self.transferred();
        }
        result
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.entry.connection.check()?;
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        if result.is_ready() {
            self.transferred();
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.entry.connection.check()?;
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if result.is_ready() {
            self.transferred();
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.entry.connection.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Notes in the table what the requests of a connection do.
#[derive(Clone)]
pub(crate) struct Tracked<S> {
    inner: S,
    connection: Arc<Connection>,
}

impl<S, B> Service<Request<B>> for Tracked<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        let under_way = UnderWay::begin(&self.connection, has_body);
        let request = request.map(|body| {
            if has_body {
                Body::new(Incoming { body, receiving: Some(Arc::clone(&under_way)) })
            } else {
                Body::new(body)
            }
        });
        let answering = self.inner.call(request);
        Box::pin(async move {
            let response = answering.await?;
            if response.body().size_hint().exact().is_some() {
                return Ok(response);
            }
            // The answer is still being made: the request is under way for as long as its body.
            Ok(response.map(|body| Body::new(Outgoing { body, _under_way: under_way })))
        })
    }
}

/// A request from its head to the end of its answer.
struct UnderWay {
    connection: Arc<Connection>,
    is_receiving: AtomicBool,
}

impl UnderWay {
    fn begin(connection: &Arc<Connection>, has_body: bool) -> Arc<Self> {
        let mut activity = lock(&connection.activity);
        activity.served_any = true;
        if has_body {
            if activity.receiving == 0 {
                activity.receiving_since = Instant::now();
            }
            activity.receiving += 1;
        } else {
            activity.working += 1;
        }
        drop(activity);
        Arc::new(Self { connection: Arc::clone(connection), is_receiving: AtomicBool::new(has_body) })
    }

    fn received(&self) {
        if self.is_receiving.swap(false, Ordering::AcqRel) {
            let mut activity = lock(&self.connection.activity);
            activity.receiving -= 1;
            activity.working += 1;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut activity = lock(&self.connection.activity);
        if *self.is_receiving.get_mut() {
            activity.receiving -= 1;
        } else {
            activity.working -= 1;
        }
        if activity.working == 0 && activity.receiving == 0 {
            activity.idle_since = Instant::now();
        }
    }
}

/// The body of a request; notes when all of it has come.
struct Incoming<B> {
    body: B,
    receiving: Option<Arc<UnderWay>>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Incoming<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if (matches!(frame, Poll::Ready(None)) || self.body.is_end_stream())
            && let Some(under_way) = self.receiving.take()
        {
            under_way.received();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer whose length is not known beforehand.
struct Outgoing {
    body: Body,
    _under_way: Arc<UnderWay>,
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
