//! The process: configuration in, a running server out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use novacrm_service::admin::{self, Readiness};
use novacrm_service::problem::Pipeline;
use novacrm_service::tls::{self, Identity, TlsError};
use novacrm_service::{serve, shutdown};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::db::{Database, migrate};
use crate::http::assessments::concurrency::Limits;
use crate::http::proxies::TrustedProxies;
use crate::http::site::Site;
use crate::http::{self, App};
use crate::integrations::engine::Engine;
use crate::services::attempts::Attempts;
use crate::services::auth::Outcomes;
use crate::services::cursor::Cursors;
use crate::services::keys::{Key, KeyError};
use crate::services::once::Seal;
use crate::services::passwords::Passwords;
use crate::services::policies::PolicyCache;
use crate::services::ports::{ComplianceEngine, StoreError};
use crate::services::sessions::LiveSessions;
use crate::services::tokens::Tokens;
use crate::services::{Clock, ServiceError, Services, SystemClock, erasure};

/// How often the database is looked at for `/readyz`.
const PROBE: Duration = Duration::from_secs(2);
/// How often it is looked for records to erase, and for people whom the engine has yet to forget.
const ERASURE: Duration = Duration::from_secs(60);
/// How often what expired is removed.
const PURGE: Duration = Duration::from_secs(600);

/// What `serve` is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the API and the front end.
    pub listen: SocketAddr,
    /// Address of probes and metrics.
    pub admin_listen: SocketAddr,
    /// The tenant's id.
    pub tenant: String,
    /// What the tenant is called.
    pub tenant_name: String,
    /// The CRM database; holds a password.
    pub database_url: String,
    /// The compliance engine.
    pub engine_url: Url,
    /// Certificates.
    pub tls_dir: PathBuf,
    /// Keys.
    pub keys_dir: PathBuf,
    /// The exported front end.
    pub static_dir: Option<PathBuf>,
    /// What is kept for how long.
    pub retention: erasure::Rules,
    /// Whose word on a client's address is believed.
    pub trusted_proxies: TrustedProxies,
    /// How many assessments run at the same time.
    pub assessments: Limits,
}

/// Why the server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The front end cannot be read.
    #[error("NOVACRM_STATIC_DIR: {0}")]
    Site(std::io::Error),
    /// A socket failed.
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    /// The database's URL cannot be used.
    #[error("NOVACRM_DATABASE_URL: {0}")]
    Database(#[from] StoreError),
    /// The use cases cannot be set up.
    #[error(transparent)]
    Services(#[from] ServiceError),
}

/// The keys of the API.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Signs access tokens.
    pub token: Key,
    /// Signs cursors.
    pub cursor: Key,
    /// Seals kept replies.
    pub idempotency: Key,
}

/// Puts the use cases over a database and an engine.
///
/// # Errors
/// When the system has no random numbers.
pub fn services(
    database: &Database,
    engine: Arc<dyn ComplianceEngine>,
    keys: &Keys,
    clock: Arc<dyn Clock>,
    tenant: &str,
    tenant_name: &str,
) -> Result<Services, ServiceError> {
    let database = Arc::new(database.clone());
    Ok(Services {
        accounts: Arc::clone(&database) as _,
        organisations: Arc::clone(&database) as _,
        contacts: Arc::clone(&database) as _,
        interactions: Arc::clone(&database) as _,
        assessments: Arc::clone(&database) as _,
        replies: Arc::clone(&database) as _,
        erasure: database,
        erased: tokio::sync::Notify::new(),
        engine,
        policies: PolicyCache::default(),
        clock,
        passwords: Passwords::new()?,
        attempts: Attempts::default(),
        outcomes: Outcomes::default(),
        sessions: LiveSessions::default(),
        tokens: Tokens::new(&keys.token, tenant)?,
        cursors: Cursors::new(keys.cursor.clone(), tenant),
        seal: Seal::new(&keys.idempotency)?,
        tenant_name: tenant_name.to_owned(),
    })
}

/// Serves until the process is told to end.
///
/// # Errors
/// When something it needs from the start is missing or cannot be used. A database or engine that is away is not:
/// the one makes it unready, the other is an answer to those who ask for a verdict.
pub async fn run(config: Config) -> Result<(), ServerError> {
    tls::install_provider();
    let shutdown = shutdown::on_signal()?;
    let keys = Keys {
        token: Key::read(&config.keys_dir, "token.key")?,
        cursor: Key::read(&config.keys_dir, "cursor.key")?,
        idempotency: Key::read(&config.keys_dir, "idempotency.key")?,
    };
    let site = config.static_dir.as_deref().map(Site::read).transpose().map_err(ServerError::Site)?;
    let identity = Identity::watch(&config.tls_dir, shutdown.clone())?;
    let database = Database::connect(&config.database_url)?;
    let mut registry = Registry::with_prefix("novacrm_api");
    let engine = Arc::new(Engine::new(identity, config.engine_url, &mut registry));
    let pipeline = Pipeline::new(&mut registry);
    let services = Arc::new(services(
        &database,
        engine,
        &keys,
        Arc::new(SystemClock),
        &config.tenant,
        &config.tenant_name,
    )?);
    services.outcomes.register(&mut registry);
    let readiness = Readiness::new(&["database"]);
    tokio::spawn(probe(database.clone(), readiness.clone(), shutdown.clone()));
    tokio::spawn(purge(Arc::clone(&services), database, shutdown.clone()));
    let waiting = Gauge::default();
    registry.register(
        "erasure_subjects_waiting",
        "Erased people whom the engine has yet to forget, or to be asked about once more",
        waiting.clone(),
    );
    tokio::spawn(erase(Arc::clone(&services), config.retention, waiting, shutdown.clone()));

    let (listener, admin_listener) = (serve::bind(config.listen)?, serve::bind(config.admin_listen)?);
    tracing::info!(listen = %config.listen, admin = %config.admin_listen, tenant = config.tenant, "serving");
    let app = App::new(services).trusting(config.trusted_proxies).limiting_assessments(config.assessments);
    let app = http::router(app, site, pipeline);
    tokio::try_join!(
        serve::plain(listener, app, shutdown.clone()),
        serve::plain(admin_listener, admin::router(readiness, registry), shutdown),
    )?;
    Ok(())
}

/// Ready means: the database answers, and is of the version this program works with or a later one, which stays
/// compatible while an upgrade rolls out.
async fn probe(database: Database, readiness: Readiness, shutdown: CancellationToken) {
    let expected = migrate::expected_version();
    let mut ticks = tokio::time::interval(PROBE);
    while tick(&mut ticks, &shutdown).await {
        match database.version().await {
            Ok(version) if version >= expected => readiness.ready("database"),
            Ok(version) => readiness.not_ready(
                "database",
                format!("version {version} of {expected}; run `novacrm-api-server migrate`"),
            ),
            Err(error) => readiness.not_ready("database", error.to_string()),
        }
    }
}

/// Removes what expired, and closes what nobody uses.
async fn purge(services: Arc<Services>, database: Database, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(PURGE);
    while tick(&mut ticks, &shutdown).await {
        database.close_idle();
        match services.replies.purge(services.clock.now()).await {
            Ok(removed) => tracing::debug!(removed, "what expired was removed"),
            Err(error) => tracing::warn!(%error, "what expired could not be removed"),
        }
    }
}

/// Erases what is due, and tells the engine whom to forget: every [`ERASURE`], and at once after an erasure on demand.
async fn erase(services: Arc<Services>, rules: erasure::Rules, waiting: Gauge, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(ERASURE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if let Err(error) = erasure::run(services.erasure.as_ref(), services.clock.now(), rules).await {
                    tracing::warn!(%error, "records could not be erased; it will be tried again");
                }
            }
            () = services.erased.notified() => {}
            () = shutdown.cancelled() => return,
        }
        if let Err(error) = erasure::forget(&services).await {
            tracing::warn!(%error, "the engine could not erase the salts of people; another attempt follows");
        }
        if let Ok(count) = services.erasure.subjects_waiting().await {
            waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

async fn tick(ticks: &mut tokio::time::Interval, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        _ = ticks.tick() => true,
        () = shutdown.cancelled() => false,
    }
}
