//! Mutual TLS from a folder with `ca.crt`, `tls.crt` and `tls.key` (PEM), reread when the files change.
//!
//! A mounted Secret changes by a swap of symlinks, so the watch compares contents and not events. Files that
//! cannot be used leave the former identity in place; the reason is logged once per change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum_server::tls_rustls::RustlsConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;

/// How often the files are compared with what is in use.
const POLL: Duration = Duration::from_secs(1);

/// Why an identity could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {source}; NOVACRM_TLS_DIR must hold ca.crt, tls.crt and tls.key")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{path}: not a PEM file of the kind expected: {source}")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The parts do not fit together.
    #[error("the TLS files in {dir} do not fit together: {source}")]
    Identity {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities cannot verify clients.
    #[error("the authorities in {dir}/ca.crt cannot be used: {source}")]
    Verifier {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: rustls::server::VerifierBuilderError,
    },
    /// No HTTP client can be made.
    #[error("no HTTP client can be made of the TLS files: {0}")]
    Client(#[from] reqwest::Error),
}

/// Makes ring the process's provider of cryptography; more than one call does no harm.
pub fn install_provider() {
    // It fails only when a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What a client needs that presents an identity of which the PEM files are at hand as bytes.
///
/// # Errors
/// When they cannot be used.
pub fn client_config(authorities: &[u8], chain: &[u8], key: &[u8]) -> Result<ClientConfig, TlsError> {
    let files = Files {
        authorities: authorities.to_vec(),
        chain: chain.to_vec(),
        key: zeroizing::Bytes(key.to_vec()),
    };
    files.client_config(Path::new(""))
}

/// Who is at the other end of a connection: the path of the URI in its certificate
/// (`spiffe://<namespace>.novacrm/<name>`), verified against the tenant's authority. The trust domain of the URI is that of
/// the server's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer(pub Arc<str>);

/// The trust domain of this process's own certificate (`<namespace>.novacrm`); it follows a rotation. Empty for a
/// certificate without a SPIFFE ID, which therefore admits no peer.
#[derive(Clone, Debug)]
pub(crate) struct TrustDomain(Arc<ArcSwap<String>>);

/// A process's identity, always the newest one that could be read.
#[derive(Clone)]
pub struct Identity {
    server: RustlsConfig,
    client: Arc<ArcSwap<reqwest::Client>>,
    domain: TrustDomain,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

impl Identity {
    /// Reads the folder and goes on watching it until `shutdown`. Call inside the runtime, after
    /// [`install_provider`].
    ///
    /// # Errors
    /// When the files cannot be used at first.
    pub fn watch(dir: &Path, shutdown: CancellationToken) -> Result<Self, TlsError> {
        let files = Files::read(dir)?;
        let identity = Self {
            server: RustlsConfig::from_config(files.server(dir)?),
            client: Arc::new(ArcSwap::from_pointee(files.client(dir)?)),
            domain: TrustDomain(Arc::new(ArcSwap::from_pointee(files.trust_domain()))),
        };
        tokio::spawn(identity.clone().follow(dir.to_owned(), files, shutdown));
        Ok(identity)
    }

    /// A client that presents the identity and trusts the tenant's authority alone. Ask again for each request:
    /// after a rotation it is another one.
    #[must_use]
    pub fn client(&self) -> reqwest::Client {
        reqwest::Client::clone(&self.client.load())
    }

    pub(crate) fn server(&self) -> RustlsConfig {
        self.server.clone()
    }

    pub(crate) fn trust_domain(&self) -> TrustDomain {
        self.domain.clone()
    }

    async fn follow(self, dir: PathBuf, mut seen: Files, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => return,
            }
            // A file that is missing for a moment belongs to a swap; the next tick sees the result.
            let Ok(files) = Files::read(&dir) else { continue };
            if files == seen {
                continue;
            }
            match files.server(&dir).and_then(|server| Ok((server, files.client(&dir)?))) {
                Ok((server, client)) => {
                    self.server.reload_from_config(server);
                    self.client.store(Arc::new(client));
                    self.domain.0.store(Arc::new(files.trust_domain()));
                    tracing::info!("certificates reread");
                }
                Err(error) => {
                    tracing::error!(%error, "changed certificates cannot be used; the former ones stay")
                }
            }
            seen = files;
        }
    }
}

/// Verifies the certificates of clients, all of which must have one.
#[derive(Clone)]
pub struct ClientAuthorities(Arc<dyn ClientCertVerifier>);

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAuthorities(…)")
    }
}

impl ClientAuthorities {
    /// Takes the authorities (PEM) whose certificates clients must show. Call after [`install_provider`].
    ///
    /// # Errors
    /// When they are not PEM, or none is there.
    pub fn new(authorities: &str) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            roots.add(authority?)?;
        }
        Ok(Self(WebPkiClientVerifier::builder(Arc::new(roots)).build()?))
    }
}

/// A server's certificate that its holder replaces at will; for clients who have none of their own, such as the
/// Kubernetes API server, unless it was told otherwise.
#[derive(Clone)]
pub struct ServerCertificate {
    config: RustlsConfig,
    clients: Option<ClientAuthorities>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCertificate(…)")
    }
}

/// Why PEM texts are no certificate of a server.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// They are not PEM of the kind expected.
    #[error("not PEM of the kind expected: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// Key and certificate do not belong together, or are of no use.
    #[error("certificate and key cannot be used: {0}")]
    Identity(#[from] rustls::Error),
    /// No client can be verified by the authorities.
    #[error("the authorities of clients cannot be used: {0}")]
    Clients(#[from] rustls::server::VerifierBuilderError),
}

impl ServerCertificate {
    /// Reads a certificate chain and its key (PEM). Clients need no certificate. Call after [`install_provider`].
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(chain: &str, key: &str) -> Result<Self, CertificateError> {
        Self::for_clients(chain, key, None)
    }

    /// The same; with authorities, only for clients with a certificate of theirs.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn for_clients(
        chain: &str,
        key: &str,
        clients: Option<ClientAuthorities>,
    ) -> Result<Self, CertificateError> {
        let config = RustlsConfig::from_config(server_only(chain, key, clients.as_ref())?);
        Ok(Self { config, clients })
    }

    /// Replaces both for the connections to come; those that are open go on.
    ///
    /// # Errors
    /// When they cannot be used; then the former ones stay.
    pub fn replace(&self, chain: &str, key: &str) -> Result<(), CertificateError> {
        self.config.reload_from_config(server_only(chain, key, self.clients.as_ref())?);
        Ok(())
    }

    pub(crate) fn server(&self) -> RustlsConfig {
        self.config.clone()
    }
}

fn server_only(
    chain: &str,
    key: &str,
    clients: Option<&ClientAuthorities>,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let builder = match clients {
        Some(clients) => ServerConfig::builder().with_client_cert_verifier(clients.0.clone()),
        None => ServerConfig::builder().with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[derive(PartialEq, Eq)]
struct Files {
    authorities: Vec<u8>,
    chain: Vec<u8>,
    key: zeroizing::Bytes,
}

/// Key material that is wiped when dropped.
mod zeroizing {
    #[derive(PartialEq, Eq)]
    pub(super) struct Bytes(pub(super) Vec<u8>);

    impl Drop for Bytes {
        fn drop(&mut self) {
            self.0.fill(0);
            // Keeps the compiler from leaving the stores out.
            std::hint::black_box(&self.0);
        }
    }
}

impl Files {
    fn read(dir: &Path) -> Result<Self, TlsError> {
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path).map_err(|source| TlsError::File { path, source })
        };
        Ok(Self {
            authorities: read("ca.crt")?,
            chain: read("tls.crt")?,
            key: zeroizing::Bytes(read("tls.key")?),
        })
    }

    fn parts(
        &self,
        dir: &Path,
    ) -> Result<(RootCertStore, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let pem = |name: &str| {
            let path = dir.join(name);
            move |source| TlsError::Pem { path, source }
        };
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&self.authorities) {
            let authority = authority.map_err(pem("ca.crt"))?;
            roots.add(authority).map_err(|source| TlsError::Identity { dir: dir.to_owned(), source })?;
        }
        let chain = CertificateDer::pem_slice_iter(&self.chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem("tls.crt"))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key.0).map_err(pem("tls.key"))?;
        Ok((roots, chain, key))
    }

    fn trust_domain(&self) -> String {
        let own = CertificateDer::pem_slice_iter(&self.chain).next().and_then(Result::ok);
        own.and_then(|certificate| spiffe_id(&certificate)).map(|(domain, _)| domain).unwrap_or_default()
    }

    fn server(&self, dir: &Path) -> Result<Arc<ServerConfig>, TlsError> {
        let (roots, chain, key) = self.parts(dir)?;
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
            .build()
            .map_err(|source| TlsError::Verifier { dir: dir.to_owned(), source })?;
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|source| TlsError::Identity { dir: dir.to_owned(), source })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn client_config(&self, dir: &Path) -> Result<ClientConfig, TlsError> {
        let (roots, chain, key) = self.parts(dir)?;
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|source| TlsError::Identity { dir: dir.to_owned(), source })
    }

    fn client(&self, dir: &Path) -> Result<reqwest::Client, TlsError> {
        let config = self.client_config(dir)?;
        Ok(reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(2))
            .build()?)
    }
}

/// The name that a verified certificate gives its holder in this trust domain.
pub(crate) fn peer_name(certificate: &[u8], expected: &TrustDomain) -> Option<Peer> {
    let (domain, name) = spiffe_id(certificate)?;
    (domain == **expected.0.load()).then(|| Peer(name.into()))
}

/// Trust domain and path of the certificate's SPIFFE ID: its one URI name, of one path segment here (SPIFFE X.509-SVID,
/// section 2: a certificate with several URI names has no valid SPIFFE ID).
fn spiffe_id(certificate: &[u8]) -> Option<(String, String)> {
    use x509_parser::extensions::GeneralName;
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (uri, None) = (uris.next()?, uris.next()) else { return None };
    let (domain, name) = uri.strip_prefix("spiffe://")?.split_once('/')?;
    let is_valid = !domain.is_empty() && !name.is_empty() && !name.contains('/');
    is_valid.then(|| (domain.to_owned(), name.to_owned()))
}
