//! A running API: router, database, users with sessions, an engine over mutual TLS.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::BodyExt;
use novacrm_api_domain::user::{Locale, Role, UserInput};
use novacrm_api_server::db::Database;
use novacrm_api_server::http::site::Site;
use novacrm_api_server::http::{self, App};
use novacrm_api_server::integrations::engine::Engine;
use novacrm_api_server::server::{self, Keys};
use novacrm_api_server::services::keys::Key;
use novacrm_api_server::services::passwords::Passwords;
use novacrm_api_server::services::ports::Accounts;
use novacrm_api_server::services::tokens::{self, Caller, SESSION_LIFETIME};
use novacrm_api_server::services::{Clock, SystemClock, users};
use novacrm_engine_wire::{AnalyzeRequest, AnalyzeResponse, EraseSubjectsRequest, EraseSubjectsResponse};
use novacrm_service::problem::Pipeline;
use novacrm_service::serve;
use novacrm_service::tls::{Identity, install_provider};
use prometheus_client::registry::Registry;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use serde_json::{Value, json};
use sqlx::PgPool;
use time::{Duration, OffsetDateTime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

/// Made up; long enough for the rules.
pub const PASSWORD: &str = "une phrase de passe de test";

/// A clock that can be put forward and stopped.
#[derive(Default)]
pub struct TestClock {
    forward: Mutex<Duration>,
    stopped: Mutex<Option<OffsetDateTime>>,
}

impl TestClock {
    pub fn forward(&self, by: Duration) {
        *self.forward.lock().unwrap() += by;
    }

    /// From now on only [`TestClock::forward`] moves it, so that a test does not depend on how fast the machine is.
    pub fn stop(&self) {
        *self.stopped.lock().unwrap() = Some(SystemClock.now());
    }
}

impl Clock for TestClock {
    fn now(&self) -> OffsetDateTime {
        self.stopped.lock().unwrap().unwrap_or_else(|| SystemClock.now()) + *self.forward.lock().unwrap()
    }
}

pub struct Api {
    pub router: Router,
    pub database: Database,
    pub clock: Arc<TestClock>,
    pub engine: TestEngine,
    pub services: Arc<novacrm_api_server::services::Services>,
}

#[derive(Clone, Debug)]
pub struct Login {
    pub user: Uuid,
    pub email: String,
    pub token: String,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The problem's code; checks its form.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], status);
        for member in ["type", "title", "instance", "code", "trace_id"] {
            assert!(body[member].is_string(), "{member} is missing: {body}");
        }
        body["code"].as_str().unwrap().to_owned()
    }

    pub fn ok(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    pub fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }
}

pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    peer: IpAddr,
}

pub fn call(method: &str, path: &str) -> Call {
    Call {
        method: method.parse().unwrap(),
        path: format!("/api/v1{path}"),
        headers: Vec::new(),
        body: Vec::new(),
        peer: IpAddr::from([192, 0, 2, 7]),
    }
}

impl Call {
    pub fn by(self, login: &Login) -> Self {
        self.header("authorization", &format!("Bearer {}", login.token))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.raw(body.to_string().into_bytes())
    }

    pub fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", "application/json")
    }

    /// Sends it from an address.
    pub fn from(mut self, peer: impl Into<IpAddr>) -> Self {
        self.peer = peer.into();
        self
    }

    pub fn at(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    pub async fn send(self, api: &Api) -> Answer {
        self.send_to(api.router.clone()).await
    }

    pub async fn send_to(self, router: Router) -> Answer {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let mut request = request.body(Body::from(self.body)).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((self.peer, 4711))));
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, text }
    }
}

impl Api {
    pub async fn new(pool: PgPool) -> Self {
        Self::with_site(pool, None).await
    }

    pub async fn with_site(pool: PgPool, site: Option<Site>) -> Self {
        install_provider();
        let database = Database::new(pool).unwrap();
        let clock = Arc::new(TestClock::default());
        let mut registry = Registry::default();
        let engine = TestEngine::start();
        let url = format!("https://localhost:{}", engine.address.port()).parse().unwrap();
        let adapter = Engine::new(engine.client.clone(), url, &mut registry);
        let keys =
            Keys { token: Key::new(random()), cursor: Key::new(random()), idempotency: Key::new(random()) };
        let services =
            server::services(&database, Arc::new(adapter), &keys, Arc::clone(&clock) as _, "acme", "Acme")
                .unwrap();
        let services = Arc::new(services);
        let router = http::router(App::new(Arc::clone(&services)), site, Pipeline::new(&mut registry));
        Self { router, database, clock, engine, services }
    }

    /// Another router over the same use cases, as another replica is, with other settings.
    pub fn router(&self, set: impl FnOnce(App) -> App) -> Router {
        let app = set(App::new(Arc::clone(&self.services)));
        http::router(app, None, Pipeline::new(&mut Registry::default()))
    }

    /// A user of a role with a session of their own.
    pub async fn login(&self, role: Role) -> Login {
        let email = format!("{}.{}@exemple.fr", role.as_str(), Uuid::now_v7().simple());
        let input = UserInput {
            email: email.clone(),
            display_name: format!("Personne {}", role.as_str()),
            role,
            locale: Locale::Fr,
            active: true,
        };
        let account =
            users::account(&Passwords::new().unwrap(), self.clock.now(), input, PASSWORD, None, "Acme")
                .await
                .unwrap();
        Accounts::insert(&self.database, &account, None).await.unwrap();
        self.session(account.user.meta.id, role, email).await
    }

    /// Another session of a user.
    pub async fn session(&self, user: Uuid, role: Role, email: String) -> Login {
        let (now, session) = (self.clock.now(), Uuid::now_v7());
        let hash = tokens::refresh_hash(&tokens::new_refresh().unwrap());
        self.database.start_session(session, user, &hash, now, now + SESSION_LIFETIME).await.unwrap();
        let token = self.services.tokens.access(&Caller { user, role, session }, now).unwrap();
        Login { user, email, token }
    }

    pub async fn contact(&self, by: &Login, last_name: &str) -> Answer {
        call("POST", "/contacts")
            .by(by)
            .json(&json!({"first_name": "Zoé", "last_name": last_name}))
            .send(self)
            .await
            .ok(201)
    }
}

pub fn random() -> [u8; 32] {
    let halves = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()];
    halves.concat().try_into().unwrap()
}

/// How the engine behaves next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Answers,
    /// 503 to everything.
    Unready,
    /// Handles the request, and loses the answer.
    LosesAnswer,
    /// Keeps requests waiting until it is in another mood.
    Waits,
}

/// An HTTPS server that speaks the engine's contract and keeps records by request id, as the engine does.
pub struct TestEngine {
    pub address: SocketAddr,
    pub client: Identity,
    pub state: Arc<EngineState>,
    shutdown: CancellationToken,
    _folders: [tempfile::TempDir; 2],
}

#[derive(Default)]
pub struct EngineState {
    pub mood: Mutex<Mood>,
    pub records: Mutex<Vec<(Uuid, AnalyzeRequest)>>,
    pub calls: AtomicUsize,
    /// Requests to erase people, in order.
    pub erasures: Mutex<Vec<EraseSubjectsRequest>>,
}

impl EngineState {
    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn records(&self) -> Vec<(Uuid, AnalyzeRequest)> {
        self.records.lock().unwrap().clone()
    }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn issue(dir: &Path, authority: &Authority, name: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let uri = format!("spiffe://acme.novacrm/{name}");
    params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    let certificate = params.signed_by(&key, authority).unwrap();
    std::fs::write(dir.join("ca.crt"), authority.pem()).unwrap();
    std::fs::write(dir.join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
}

impl TestEngine {
    fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let shutdown = CancellationToken::new();
        let [server, client] = [("engine", &folders[0]), ("api", &folders[1])].map(|(name, dir)| {
            issue(dir.path(), &authority, name);
            Identity::watch(dir.path(), shutdown.clone()).unwrap()
        });
        let state = Arc::new(EngineState::default());
        let listener = serve::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/v1/analyze", post(analyze))
            .route("/v1/policies", get(policies))
            .route("/v1/subjects/erase", post(erase))
            .with_state(Arc::clone(&state));
        let token = shutdown.clone();
        tokio::spawn(async move { serve::mutual_tls(listener, app, &server, token).await });
        Self { address, client, state, shutdown, _folders: folders }
    }
}

async fn analyze(State(state): State<Arc<EngineState>>, Json(request): Json<AnalyzeRequest>) -> Response {
    state.calls.fetch_add(1, Ordering::SeqCst);
    let mood = || *state.mood.lock().unwrap();
    while mood() == Mood::Waits {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mood = mood();
    if mood == Mood::Unready {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let id = request.request_id.unwrap();
    let mut records = state.records.lock().unwrap();
    if !records.iter().any(|(known, _)| *known == id) {
        records.push((id, request.clone()));
    }
    if mood == Mood::LosesAnswer {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    Json(verdict(id, &request.text)).into_response()
}

/// Looks at its log in two steps, as an engine with a long log does.
async fn erase(State(state): State<Arc<EngineState>>, Json(request): Json<EraseSubjectsRequest>) -> Response {
    if *state.mood.lock().unwrap() == Mood::Unready {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let next = if request.after.is_none() { Some(1000) } else { None };
    state.erasures.lock().unwrap().push(request);
    Json(EraseSubjectsResponse { erased: 1, next }).into_response()
}

/// A verdict that redacts the whole text.
pub fn verdict(record_id: Uuid, text: &str) -> AnalyzeResponse {
    let length = text.chars().count();
    serde_json::from_value(json!({
        "record_id": record_id, "decided_at": "2026-01-02T03:04:05Z", "action": "redact",
        "risk": {"score": 60, "level": "high"},
        "findings": [{"type": "IBAN", "detector": "pii.iban", "start": 0, "end": length, "score": 0.99,
                      "path": "$.client.iban",
                      "action": "redact", "fingerprint": "00112233445566778899aabbccddeeff"}],
        "output": format!("[IBAN] ({length})"),
        "rules": [{"policy": {"namespace": "acme", "name": "donnees", "version": "1.0.0"}, "id": "iban",
                   "severity": "high", "action": "redact", "description": {"fr": "Un IBAN", "en": "An IBAN"},
                   "references": [], "findings": [0]}],
        "waived": [{"rule": {"policy": {"namespace": "acme", "name": "donnees", "version": "1.0.0"}, "id": "bic",
                             "severity": "low", "action": "mask", "description": {"fr": "Un BIC", "en": "A BIC"},
                             "references": [], "findings": [0]},
                    "exception": "archive", "ticket": "T-1", "expires_at": "2027-06-30T22:00:00Z"}],
        "explanation": {"fr": "Un IBAN a été masqué.", "en": "An IBAN was redacted."},
        "bundle": {"digest": "sha256:00", "sequence": 3, "policies": []}
    }))
    .unwrap()
}

async fn policies(State(state): State<Arc<EngineState>>) -> Response {
    state.calls.fetch_add(1, Ordering::SeqCst);
    if *state.mood.lock().unwrap() == Mood::Unready {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    Json(json!({"bundle": {"digest": "sha256:00", "sequence": 3, "policies": []}, "policies": [], "use_cases": []}))
        .into_response()
}
