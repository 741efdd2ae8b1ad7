//! A load generator: so many connections, each sending its next request when the last is answered, or at a given
//! rate of arrival.
//!
//! In: an address, optionally a TLS configuration, and requests as a function of their number. Out: the rate and
//! the latencies. Connections are made before the clock starts. Without a rate the latencies are those of a server that is always asked as fast as it answers.
//! With one, a latency counts from the moment the request was due, so what waited for its connection counts too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why a run says nothing.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A connection could not be made.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// A connection broke.
    #[error("a connection broke: {0}")]
    Broke(#[from] hyper::Error),
    /// An answer was not the expected one, so its speed means nothing.
    #[error("expected status {expected}, got {got}: {body}")]
    Status {
        /// What was expected.
        expected: StatusCode,
        /// What came.
        got: StatusCode,
        /// The first 300 bytes of the answer.
        body: String,
    },
}

/// What is asked, and of whom.
#[derive(Clone)]
pub struct Load {
    /// `host:port` to connect to.
    pub address: String,
    /// TLS with a client certificate, where the server wants it.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// How many connections.
    pub connections: usize,
    /// For how long.
    pub duration: Duration,
    /// Requests per second of all connections together; as fast as they are answered when absent.
    pub pace: Option<f64>,
    /// The status that every answer must have.
    pub expected: StatusCode,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Answers per second.
    pub rate: f64,
    /// Latencies, shortest first.
    latencies: Vec<Duration>,
}

impl Measured {
    /// The latency that a share (0 to 1) of the answers did not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(index.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

impl Load {
    /// Asks until the time is over. `request` makes the n-th request of a connection.
    ///
    /// # Errors
    /// At the first failure or unexpected answer of any connection.
    pub async fn run<F>(&self, request: F) -> Result<Measured, LoadError>
    where
        F: Fn(usize, usize) -> Request<Full<Bytes>> + Clone + Send + 'static,
    {
        // A handshake costs as much as dozens of requests: none of them is to wait behind one.
        let mut senders = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            senders.push(self.connect().await?);
        }
        let started = Instant::now();
        let tasks: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(connection, sender)| {
                let load = self.clone();
                let request = request.clone();
                tokio::spawn(async move { load.ask(connection, sender, started, request).await })
            })
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.unwrap_or_else(|_| Ok(Vec::new()))?);
        }
        let seconds = started.elapsed().as_secs_f64();
        latencies.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "a count of answers")]
        Ok(Measured { rate: latencies.len() as f64 / seconds, latencies })
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>, LoadError> {
        let failed = |source| LoadError::Connect { address: self.address.clone(), source };
        let stream = TcpStream::connect(&self.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        match &self.tls {
            None => Self::handshake(TokioIo::new(stream)).await,
            Some(config) => {
                let name =
                    ServerName::try_from("localhost").map_err(std::io::Error::other).map_err(failed)?;
                let stream =
                    TlsConnector::from(config.clone()).connect(name, stream).await.map_err(failed)?;
                Self::handshake(TokioIo::new(stream)).await
            }
        }
    }

    async fn ask<F>(
        &self,
        connection: usize,
        mut sender: http1::SendRequest<Full<Bytes>>,
        started: Instant,
        request: F,
    ) -> Result<Vec<Duration>, LoadError>
    where
        F: Fn(usize, usize) -> Request<Full<Bytes>>,
    {
        let mut latencies = Vec::new();
        while started.elapsed() < self.duration {
            let sent = match self.due(started, connection, latencies.len()) {
                Some(due) => {
                    tokio::time::sleep_until(due.into()).await;
                    due
                }
                None => Instant::now(),
            };
            let response = sender.send_request(request(connection, latencies.len())).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            if status != self.expected {
                let body = String::from_utf8_lossy(&body).chars().take(300).collect();
                return Err(LoadError::Status { expected: self.expected, got: status, body });
            }
            latencies.push(sent.elapsed());
        }
        Ok(latencies)
    }

    /// When the n-th request of a connection is due: the connections take turns.
    #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
    fn due(&self, started: Instant, connection: usize, n: usize) -> Option<Instant> {
        let place = (n * self.connections + connection) as f64;
        Some(started + Duration::from_secs_f64(place / self.pace?))
    }

    async fn handshake<T>(io: T) -> Result<http1::SendRequest<Full<Bytes>>, LoadError>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(io).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
