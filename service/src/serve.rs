//! Serving a router: over mutual TLS between our processes, over TLS to the API server, or as plain HTTP behind an
//! ingress.
//!
//! All end when `shutdown` is cancelled: no new connection, [`GRACE`] for what is under way.
//!
//! Every server limits what clients can hold before a handler runs: connections and their idle time ([`Limits`]), the
//! time and size of a request head, and the streams and buffers of an HTTP/2 connection. Request bodies are limited where
//! they are read ([`crate::body`]).

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::time::Duration;

use axum::{Extension, Router};
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::connections::{BoundedAcceptor, BoundedStream, Connections, Tracked};
use crate::tls::{Identity, Peer, ServerCertificate, TrustDomain, peer_name};

pub use crate::connections::Limits;

/// How long requests under way may take to end after the shutdown began.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long a client may take to send the head of an HTTP/1.1 request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take over the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest head of a request, and most of a body that is buffered before a handler reads it, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;
/// Longest list of headers of an HTTP/2 request, in bytes.
const HEADER_LIST_BYTES: u32 = 32 * 1024;
/// Requests that one HTTP/2 connection may have under way.
const STREAMS: u32 = 64;
/// Bytes that one HTTP/2 stream and one HTTP/2 connection may send before a handler reads them.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// An HTTP/2 client is asked for a sign of life after this time, and has as long again to answer.
const PING: Duration = Duration::from_secs(30);

/// Opens a listening socket.
///
/// # Errors
/// Says which address and why, such as a port in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves plain HTTP/1.1 and HTTP/2. Handlers find the peer's address as `ConnectInfo<SocketAddr>`.
///
/// # Errors
/// When the socket fails.
pub async fn plain(listener: TcpListener, app: Router, shutdown: CancellationToken) -> io::Result<()> {
    plain_with(listener, app, Limits::default(), shutdown).await
}

/// [`plain`] with other limits than the default ones.
///
/// # Errors
/// When the socket fails.
pub async fn plain_with(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let server = axum_server::from_tcp(listener)?.acceptor(BoundedAcceptor(Connections::new(limits)));
    limited(server, shutdown).serve(app.into_make_service_with_connect_info::<SocketAddr>()).await
}

/// Serves HTTP/1.1 and HTTP/2 over TLS to clients whose certificate the tenant's authority signed. Handlers find
/// who it is as `Extension<Peer>`; a certificate without a name in the server's own trust domain is refused.
///
/// # Errors
/// When the socket fails.
pub async fn mutual_tls(
    listener: TcpListener,
    app: Router,
    identity: &Identity,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let connections = BoundedAcceptor(Connections::new(Limits::default()));
    let tls =
        RustlsAcceptor::new(identity.server()).handshake_timeout(HANDSHAKE_TIMEOUT).acceptor(connections);
    let acceptor = PeerAcceptor { tls, domain: identity.trust_domain() };
    let server = axum_server::from_tcp(listener)?.acceptor(acceptor);
    limited(server, shutdown).serve(app.into_make_service_with_connect_info::<SocketAddr>()).await
}

/// Serves HTTP/1.1 and HTTP/2 over TLS to clients that show no certificate.
///
/// # Errors
/// When the socket fails.
pub async fn tls(
    listener: TcpListener,
    app: Router,
    certificate: &ServerCertificate,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let connections = BoundedAcceptor(Connections::new(Limits::default()));
    let acceptor =
        RustlsAcceptor::new(certificate.server()).handshake_timeout(HANDSHAKE_TIMEOUT).acceptor(connections);
    let server = axum_server::from_tcp(listener)?.acceptor(acceptor);
    limited(server, shutdown).serve(app.into_make_service_with_connect_info::<SocketAddr>()).await
}

/// Sets the limits of HTTP/1.1 and HTTP/2 that hold for every server.
fn limited<A>(mut server: Server<SocketAddr, A>, shutdown: CancellationToken) -> Server<SocketAddr, A> {
    let http = server.http_builder();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(BUFFER_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADER_LIST_BYTES)
        .max_send_buf_size(BUFFER_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    server.handle(ending(shutdown))
}

fn ending(shutdown: CancellationToken) -> Handle<SocketAddr> {
    let handle = Handle::new();
    let ending = handle.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        ending.graceful_shutdown(Some(GRACE));
    });
    handle
}

/// Puts the verified [`Peer`] of a connection into the extensions of its requests.
#[derive(Clone)]
struct PeerAcceptor {
    tls: RustlsAcceptor<BoundedAcceptor>,
    domain: TrustDomain,
}

type Accepting<S> = Pin<Box<dyn Future<Output = io::Result<(TlsStream<BoundedStream>, S)>> + Send>>;

impl<S> Accept<TcpStream, S> for PeerAcceptor
where
    S: Send + 'static,
    Extension<Peer>: Layer<Tracked<S>>,
{
    type Stream = TlsStream<BoundedStream>;
    type Service = <Extension<Peer> as Layer<Tracked<S>>>::Service;
    type Future = Accepting<Self::Service>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let handshake = self.tls.accept(stream, service);
        let domain = self.domain.clone();
        Box::pin(async move {
            let (stream, service) = handshake.await?;
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let peer =
                certificate.and_then(|certificate| peer_name(certificate, &domain)).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::PermissionDenied,
                        "the client's certificate has no name in the trust domain of this server",
                    )
                })?;
            Ok((stream, Extension(peer).layer(service)))
        })
    }
}
