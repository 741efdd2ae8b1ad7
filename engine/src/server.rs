//! The server put together: settings in, a running engine until it is told to stop.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use novacrm_engine_core::bundle::signed::TrustedKeys;
use novacrm_service::admin::{self, Readiness};
use novacrm_service::problem::Pipeline;
use novacrm_service::serve;
use novacrm_service::tls::{Identity, TlsError};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::audit::append::Appender;
use crate::audit::{Database, sequence};
use crate::bundle::{Accepted, Bundles, ConfigMaps, Files};
use crate::http::{self, Engine, Inspections};
use crate::keys::{KeyError, Keys};
use crate::metrics::{AUDIT, AuditObserver, BUNDLE, Metrics};
use crate::recogniser::{self, Recogniser, RecogniserError};

/// How long the inspection of one text may take.
pub const BUDGET: Duration = Duration::from_secs(2);

/// What an engine needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The tenant's id.
    pub tenant: String,
    /// Socket of the service (mutual TLS).
    pub listener: TcpListener,
    /// Socket of probes and metrics (HTTP).
    pub admin_listener: TcpListener,
    /// Folder with ca.crt, tls.crt and tls.key.
    pub tls_dir: PathBuf,
    /// Folder with the engine's keys.
    pub keys_dir: PathBuf,
    /// Where the rules come from.
    pub rules: Rules,
    /// The keys that sign them.
    pub bundle_keys: TrustedKeys,
    /// The audit database.
    pub database: Database,
    /// How long the inspection of one text may take.
    pub budget: Duration,
    /// The recogniser outside of the engine, where there is one.
    pub recogniser: Option<recogniser::Settings>,
}

/// Where the rules come from.
#[derive(Debug)]
pub enum Rules {
    /// From files alone, where there is no Kubernetes API.
    Files(Files),
    /// From the Kubernetes API, and from files while it is away.
    ConfigMaps(Box<ConfigMaps>, Option<Files>),
}

/// Why an engine did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The recogniser outside of the engine.
    #[error(transparent)]
    Recogniser(#[from] RecogniserError),
    /// A socket.
    #[error("a listening socket failed: {0}")]
    Socket(#[from] std::io::Error),
}

/// Runs until `stop`: then no new request is taken, those under way are answered, and what was recorded is signed.
///
/// # Errors
/// When keys or certificates cannot be used, or a socket fails.
pub async fn run(settings: Settings, stop: CancellationToken) -> Result<(), ServeError> {
    let keys = Arc::new(Keys::read(&settings.keys_dir, &settings.tenant)?);
    let signing = Arc::clone(&keys.signing);
    let identity = Identity::watch(&settings.tls_dir, stop.clone())?;
    let readiness = Readiness::new(&[AUDIT, BUNDLE]);
    let mut registry = Registry::default();
    let depth = Gauge::default();
    let metrics = Metrics::new(&mut registry, depth.clone());

    let recogniser =
        settings.recogniser.map(|settings| Recogniser::new(settings, &mut registry)).transpose()?;

    let observer = AuditObserver { metrics: metrics.clone(), readiness: readiness.clone() };
    let (appender, writer) = Appender::start(settings.database.clone(), depth, observer);
    let bundles = Bundles::new(metrics.bundles.clone());
    let (following, ending) = (bundles.clone(), stop.clone());
    let accepted = Accepted { tenant: settings.tenant.clone(), keys: settings.bundle_keys };
    match settings.rules {
        Rules::Files(files) => tokio::spawn(following.follow(files, None, accepted, ending)),
        Rules::ConfigMaps(maps, files) => tokio::spawn(following.follow(*maps, files, accepted, ending)),
    };
    tokio::spawn(tell(bundles.clone(), readiness.clone(), stop.clone()));
    let sequenced = metrics.sequenced.clone();
    let counted = move |size| {
        sequenced.set(i64::try_from(size).unwrap_or(i64::MAX));
    };
    // The sequencer ends after the last request, so that what was answered is signed.
    let drained = CancellationToken::new();
    let sequencer = tokio::spawn(sequence::run(settings.database.clone(), signing, counted, drained.clone()));

    let engine = Engine {
        tenant: settings.tenant,
        bundles,
        appender,
        reader: settings.database.reader(),
        keys,
        metrics,
        recogniser,
        inspections: Inspections::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
        budget: settings.budget,
    };
    let app = http::router(Arc::new(engine), Pipeline::new(&mut registry));
    let probes = serve::plain(settings.admin_listener, admin::router(readiness, registry), stop.clone());
    let probes = tokio::spawn(probes);
    tracing::info!("engine started");
    // Whatever ends one half ends the other.
    let served = serve::mutual_tls(settings.listener, app, &identity, stop.clone()).await;
    stop.cancel();
    // The writer ends when the last handler is gone. What takes longer than this is cut off unanswered.
    for task in [writer, sequencer] {
        if tokio::time::timeout(serve::GRACE, task).await.is_err() {
            tracing::warn!("a task of the audit log did not end in time");
        }
        drained.cancel();
    }
    if let Ok(probes) = probes.await {
        probes?;
    }
    tracing::info!("engine stopped");
    Ok(served?)
}

/// Tells readiness of the rules. Rules out of contact are still rules: their `failureMode` decides, so an engine
/// that has any stays ready.
async fn tell(bundles: Bundles, readiness: Readiness, stop: CancellationToken) {
    let mut status = bundles.status();
    loop {
        let seen = status.borrow_and_update().clone();
        match (seen.digest, seen.last_error, seen.source) {
            (Some(_), _, _) => readiness.ready(BUNDLE),
            (None, Some(error), _) => {
                readiness.not_ready(BUNDLE, format!("{}: {}", error.digest, error.message))
            }
            (None, None, Some(problem)) => readiness.not_ready(BUNDLE, problem.message),
            (None, None, None) => {}
        }
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}
