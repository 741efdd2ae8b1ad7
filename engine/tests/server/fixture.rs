//! An engine with a database, an authority, keys and rules of its own, which end with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use novacrm_engine::audit::{Database, Durability};
use novacrm_engine::bundle::{BUNDLE_KEY, Files};
use novacrm_engine::recogniser;
use novacrm_engine::server::{self, Rules, Settings};
use novacrm_engine_core::bundle::Bundle;
use novacrm_engine_core::bundle::signed::{BundleKey, TrustedKeys, sign};
use novacrm_engine_core::record::CheckpointVerifier;
use novacrm_engine_core::record::log::{CheckpointKey, origin};
use novacrm_service::serve;
use novacrm_service::tls::{Identity, install_provider};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ED25519, SanType};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgPool};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub const TENANT: &str = "acme";

/// A rule that finds `CANARY-…` and does `action` with it.
pub fn bundle(sequence: u64, action: &str, version: &str) -> Bundle {
    let text = json!({"fr": "essai", "en": "test"});
    let value = json!({
        "format": 1, "tenant": TENANT, "sequence": sequence, "useCases": [],
        "policies": [{
            "namespace": "acme", "name": "test", "version": version,
            "owner": {"team": "tests", "contact": "tests@acme.example"},
            "enforcement": {"mode": "enforce", "failureMode": "block", "maxStalenessSeconds": 300},
            "detectors": [],
            "customDetectors": [{
                "id": "custom.canary", "type": "CANARY", "description": text, "pattern": "CANARY-[0-9a-f]{32}", "score": 0.9
            }],
            "rules": [{
                "id": "TEST-1", "severity": "high", "riskWeight": 50, "description": text,
                "risksCovered": ["leak"], "references": [{"law": "gdpr", "ref": "32"}],
                "when": {"any": [{"all": [{"finding": {"detectors": ["custom.canary"]}}]}]},
                "action": {"type": action}
            }]
        }]
    });
    serde_json::from_value(value).unwrap()
}

/// Something the rule finds, another one each time.
pub fn canary() -> String {
    format!("CANARY-{}", uuid::Uuid::new_v4().simple())
}

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn issue(&self, dir: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let uri = format!("spiffe://{TENANT}.novacrm/{name}");
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        let certificate = params.signed_by(&key, &self.0).unwrap();
        std::fs::write(dir.join("ca.crt"), self.0.pem()).unwrap();
        std::fs::write(dir.join("tls.crt"), certificate.pem()).unwrap();
        std::fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
    }
}

/// A new key that signs bundles.
pub fn bundle_key() -> BundleKey {
    BundleKey::from_pem(&KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem()).unwrap()
}

/// A tenant: what its engines share.
pub struct Tenant {
    pub pool: PgPool,
    pub authority: Authority,
    pub keys: TempDir,
    /// The operator's, which signs bundles.
    pub bundle_key: BundleKey,
    pub bundles: TempDir,
    pub previous: TempDir,
}

impl Tenant {
    pub fn new(pool: PgPool) -> Self {
        install_provider();
        let keys = tempfile::tempdir().unwrap();
        for name in ["fingerprint.key", "commitment.key", "reply.key", "tokenization.key"] {
            let key = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
            std::fs::write(keys.path().join(name), BASE64_STANDARD.encode(key)).unwrap();
        }
        let pem = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
        let signing = CheckpointKey::from_pem(&origin(TENANT), &pem).unwrap();
        std::fs::write(keys.path().join("audit-signing.key"), pem).unwrap();
        std::fs::write(keys.path().join("audit-public.key"), signing.verifier_line()).unwrap();
        let dir = || tempfile::tempdir().unwrap();
        let bundle_key = bundle_key();
        Self { pool, authority: Authority::new(), keys, bundle_key, bundles: dir(), previous: dir() }
    }

    pub fn verifier(&self) -> CheckpointVerifier {
        novacrm_engine::keys::read_verifier(&self.keys.path().join("audit-public.key")).unwrap()
    }

    pub fn url(&self) -> String {
        self.pool.connect_options().to_url_lossy().to_string()
    }

    /// Signs a bundle as the operator does.
    pub fn sign(&self, bundle: &[u8]) -> Vec<u8> {
        sign(bundle, std::slice::from_ref(&self.bundle_key)).unwrap()
    }

    /// Replaces the bundle by one that the operator signed.
    pub fn publish(&self, bundle: &[u8]) {
        self.replace(&self.sign(bundle));
    }

    /// Replaces the bundle as a mounted ConfigMap is replaced: whole, by a rename.
    pub fn replace(&self, bytes: &[u8]) {
        let temporary = self.bundles.path().join("new");
        std::fs::write(&temporary, bytes).unwrap();
        std::fs::rename(temporary, self.bundles.path().join(BUNDLE_KEY)).unwrap();
    }

    pub async fn engine(&self) -> Running {
        self.engine_on(&self.url(), server::BUDGET).await
    }

    /// An engine that is up, with whatever readiness.
    pub async fn engine_on(&self, url: &str, budget: Duration) -> Running {
        self.engine_with(url, budget, None).await
    }

    /// An engine that enforces `bundle` and is ready, and asks a recogniser.
    pub async fn asking_engine(&self, bundle: &Bundle, recogniser: recogniser::Settings) -> Running {
        self.publish(&bundle.encode().unwrap());
        let engine = self.engine_with(&self.url(), server::BUDGET, Some(recogniser)).await;
        engine.until_ready().await;
        engine
    }

    async fn engine_with(
        &self,
        url: &str,
        budget: Duration,
        recogniser: Option<recogniser::Settings>,
    ) -> Running {
        let tls = tempfile::tempdir().unwrap();
        self.authority.issue(tls.path(), "engine");
        let listener = serve::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let admin_listener = serve::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let admin = admin_listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let settings = Settings {
            tenant: TENANT.to_owned(),
            listener,
            admin_listener,
            tls_dir: tls.path().to_owned(),
            keys_dir: self.keys.path().to_owned(),
            rules: Rules::Files(Files::new(self.bundles.path(), Some(self.previous.path()))),
            bundle_keys: TrustedKeys::of(std::slice::from_ref(&self.bundle_key)).unwrap(),
            database: Database::new(url, Durability::Volatile).unwrap(),
            budget,
            recogniser,
        };
        let token = stop.clone();
        let task = tokio::spawn(async move { server::run(settings, token).await.unwrap() });
        let (api, operator) = (self.client("api"), self.client("operator"));
        Running { address, admin, stop, task: Some(task), api, operator, _tls: tls }
    }

    /// An engine that enforces `bundle` and is ready.
    pub async fn ready_engine(&self, bundle: &Bundle) -> Running {
        self.publish(&bundle.encode().unwrap());
        let engine = self.engine().await;
        engine.until_ready().await;
        engine
    }

    pub fn client(&self, name: &str) -> Client {
        let dir = tempfile::tempdir().unwrap();
        self.authority.issue(dir.path(), name);
        Client(Identity::watch(dir.path(), CancellationToken::new()).unwrap().client())
    }
}

#[derive(Clone)]
pub struct Client(pub reqwest::Client);

pub struct Running {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub api: Client,
    pub operator: Client,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    _tls: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Running {
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub async fn analyze(&self, body: &Value) -> (u16, Value) {
        let response = self.api.0.post(self.url("/v1/analyze")).json(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub async fn get(&self, client: &Client, path: &str) -> (u16, Value) {
        let response = client.0.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub async fn probe(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("http://{}{path}", self.admin)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub async fn until_ready(&self) {
        until("the engine is ready", async || self.probe("/readyz").await.0 == 200).await;
    }

    /// Stops it as a signal would, and waits for the end.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
    }
}

/// Waits for a condition; fails when it does not come true.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "waited in vain: {what}");
}

/// A way to the database that can be cut.
pub struct Link {
    pub url: String,
    open: Arc<tokio::sync::watch::Sender<bool>>,
}

impl Link {
    pub async fn to(pool: &PgPool) -> Self {
        let options = pool.connect_options();
        let target = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(tokio::sync::watch::Sender::new(true));
        let mut state = open.subscribe();
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((mut client, _)) = accepted else { return };
                        if !*state.borrow() {
                            continue;
                        }
                        let target = target.clone();
                        connections.spawn(async move {
                            if let Ok(mut server) = TcpStream::connect(target).await {
                                let _ = copy_bidirectional(&mut client, &mut server).await;
                            }
                        });
                    }
                    changed = state.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        if !*state.borrow_and_update() {
                            connections.abort_all();
                        }
                    }
                }
            }
        });
        let url = (*options).clone().host("127.0.0.1").port(port).to_url_lossy().to_string();
        Self { url, open }
    }

    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}
