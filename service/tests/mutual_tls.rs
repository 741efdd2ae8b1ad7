//! Two processes speak over mutual TLS, and certificates change under them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::Path;

use axum::routing::get;
use axum::{Extension, Router};
use novacrm_service::serve;
use novacrm_service::tls::{Identity, Peer, install_provider};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio_util::sync::CancellationToken;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(dir: &Path, authority: &Authority, name: Option<&str>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    if let Some(name) = name {
        let uri =
            if name.contains("://") { name.to_owned() } else { format!("spiffe://acme.novacrm/{name}") };
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    }
    let certificate = params.signed_by(&key, authority).unwrap();
    std::fs::write(dir.join("ca.crt"), authority.pem()).unwrap();
    std::fs::write(dir.join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
}

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    server: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn run(authority: &Authority) -> Running {
    install_provider();
    let server = tempfile::tempdir().unwrap();
    issue(server.path(), authority, Some("engine"));
    let shutdown = CancellationToken::new();
    let identity = Identity::watch(server.path(), shutdown.clone()).unwrap();
    let listener = serve::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new()
        .route("/", get(|Extension(Peer(name)): Extension<Peer>| async move { name.to_string() }));
    let token = shutdown.clone();
    tokio::spawn(async move { serve::mutual_tls(listener, app, &identity, token).await });
    Running { address, shutdown, server }
}

fn client(authority: &Authority, name: Option<&str>) -> (tempfile::TempDir, Identity) {
    let dir = tempfile::tempdir().unwrap();
    issue(dir.path(), authority, name);
    let identity = Identity::watch(dir.path(), CancellationToken::new()).unwrap();
    (dir, identity)
}

async fn ask(identity: &Identity, running: &Running) -> Result<String, reqwest::Error> {
    let url = format!("https://localhost:{}/", running.address.port());
    identity.client().get(url).send().await?.text().await
}

#[tokio::test]
async fn a_peer_is_known_by_the_name_in_its_certificate() {
    let authority = authority();
    let running = run(&authority).await;
    let (_dir, api) = client(&authority, Some("api"));
    assert_eq!(ask(&api, &running).await.unwrap(), "api");
}

#[tokio::test]
async fn a_peer_of_another_authority_a_nameless_one_and_one_without_certificate_are_refused() {
    let ours = authority();
    let running = run(&ours).await;
    let (_nameless, nameless) = client(&ours, None);
    assert!(ask(&nameless, &running).await.is_err());

    let stranger = tempfile::tempdir().unwrap();
    issue(stranger.path(), &authority(), Some("api"));
    std::fs::write(stranger.path().join("ca.crt"), ours.pem()).unwrap();
    let stranger = Identity::watch(stranger.path(), CancellationToken::new()).unwrap();
    assert!(ask(&stranger, &running).await.is_err());

    let root = reqwest::Certificate::from_pem(ours.pem().as_bytes()).unwrap();
    let bare = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    let url = format!("https://localhost:{}/", running.address.port());
    assert!(bare.get(url).send().await.is_err());
}

#[tokio::test]
async fn a_new_authority_is_taken_up_without_a_restart() {
    let before = authority();
    let running = run(&before).await;
    let (dir, api) = client(&before, Some("api"));
    assert!(ask(&api, &running).await.is_ok());

    let after = authority();
    issue(running.server.path(), &after, Some("engine"));
    issue(dir.path(), &after, Some("api"));
    let (_dir, fresh) = client(&after, Some("operator"));
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
    while ask(&fresh, &running).await.is_err() || ask(&api, &running).await.is_err() {
        assert!(std::time::Instant::now() < patience, "the new certificates were never used");
        ticks.tick().await;
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_used_leave_the_former_ones_in_place() {
    let authority = authority();
    let running = run(&authority).await;
    let (_dir, api) = client(&authority, Some("api"));
    std::fs::write(running.server.path().join("tls.key"), "not a key").unwrap();
    // The watch looks once a second; ask for longer than that.
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
    for _ in 0..25 {
        assert_eq!(ask(&api, &running).await.unwrap(), "api");
        ticks.tick().await;
    }
}

#[tokio::test]
async fn a_peer_of_another_trust_domain_or_with_an_unusual_name_is_refused_whoever_signed_it() {
    let authority = authority();
    let running = run(&authority).await;
    for name in [
        "spiffe://globex.novacrm/api",
        "spiffe://acme.novacrm.example/api",
        "spiffe:///api",
        "spiffe://acme.novacrm/",
        "spiffe://acme.novacrm/x/api",
        "https://acme.novacrm/api",
    ] {
        let (_dir, peer) = client(&authority, Some(name));
        assert!(ask(&peer, &running).await.is_err(), "{name}");
    }
}
