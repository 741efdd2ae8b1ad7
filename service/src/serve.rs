//! Serving a router: over mutual TLS between our processes, over TLS to the API server, or as plain HTTP behind an
//! ingress.
//!
//! All end when `shutdown` is cancelled: no new connection, [`GRACE`] for what is under way.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::time::Duration;

use axum::{Extension, Router};
use axum_server::Handle;
use axum_server::accept::{Accept, NoDelayAcceptor};
use axum_server::tls_rustls::RustlsAcceptor;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::tls::{Identity, Peer, ServerCertificate, peer_name};

/// How long requests under way may take to end after the shutdown began.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

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
    let mut server =
        axum_server::from_tcp(listener)?.acceptor(NoDelayAcceptor::new()).handle(ending(shutdown));
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    server.serve(app.into_make_service_with_connect_info::<SocketAddr>()).await
}

/// Serves HTTP/1.1 and HTTP/2 over TLS to clients whose certificate the tenant's authority signed. Handlers find
/// who it is as `Extension<Peer>`; a certificate without a name is refused.
///
/// # Errors
/// When the socket fails.
pub async fn mutual_tls(
    listener: TcpListener,
    app: Router,
    identity: &Identity,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let acceptor = PeerAcceptor(RustlsAcceptor::new(identity.server()).acceptor(NoDelayAcceptor::new()));
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(ending(shutdown));
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    server.serve(app.into_make_service_with_connect_info::<SocketAddr>()).await
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
    let acceptor = RustlsAcceptor::new(certificate.server()).acceptor(NoDelayAcceptor::new());
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(ending(shutdown));
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    server.serve(app.into_make_service()).await
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
struct PeerAcceptor(RustlsAcceptor<NoDelayAcceptor>);

type Accepting<S> = Pin<Box<dyn Future<Output = io::Result<(TlsStream<TcpStream>, S)>> + Send>>;

impl<S: Send + 'static> Accept<TcpStream, S> for PeerAcceptor
where
    Extension<Peer>: Layer<S>,
{
    type Stream = TlsStream<TcpStream>;
    type Service = <Extension<Peer> as Layer<S>>::Service;
    type Future = Accepting<Self::Service>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let handshake = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = handshake.await?;
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let peer = certificate.and_then(|certificate| peer_name(certificate)).ok_or_else(|| {
                io::Error::new(io::ErrorKind::PermissionDenied, "the client's certificate names nobody")
            })?;
            Ok((stream, Extension(peer).layer(service)))
        })
    }
}
