//! The rules in force: a source of bundles in; always one whole compiled bundle out.
//!
//! A new bundle is decoded and compiled off the request path and takes over in one swap. One that cannot be used
//! changes nothing but the status, which says why; the last good one stays. A request loads the bundle once and is
//! decided by that one, whatever happens meanwhile.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use novacrm_engine_core::bundle::{Bundle, CompiledBundle};
use novacrm_engine_wire::BundleError;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Name of the file, and of the key of the ConfigMap.
pub const BUNDLE_FILE: &str = "bundle.json.zst";
/// How often the files are looked at.
const POLL: Duration = Duration::from_millis(100);
/// Problems of one bundle that are reported.
const MAX_PROBLEMS: usize = 20;

/// Where bundles come from.
#[async_trait]
pub trait BundleSource: Send + 'static {
    /// Waits for the next thing to tell.
    async fn next(&mut self) -> Observation;
}

/// What a source tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It was reached and offers what it offered before.
    Unchanged,
    /// It offers another bundle, and the one before that where there is one.
    Offered {
        /// The newest bundle.
        newest: Vec<u8>,
        /// The one before, for a process that has none and cannot use the newest.
        previous: Option<Vec<u8>>,
    },
    /// It cannot be reached.
    Away(String),
}

/// Bundles from files that are replaced whole: by a rename, or by a swap of symlinks as for a mounted ConfigMap.
#[derive(Debug)]
pub struct Files {
    newest: PathBuf,
    previous: Option<PathBuf>,
    ticks: tokio::time::Interval,
    seen: Option<Stamp>,
    content: Vec<u8>,
}

/// What changes when a file is replaced.
type Stamp = (u64, u64, u64, i64, i64);

impl Files {
    /// Watches a folder and, for a process without rules, the folder of the bundle before.
    #[must_use]
    pub fn new(dir: &Path, previous: Option<&Path>) -> Self {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self {
            newest: dir.join(BUNDLE_FILE),
            previous: previous.map(|dir| dir.join(BUNDLE_FILE)),
            ticks,
            seen: None,
            content: Vec::new(),
        }
    }

    async fn look(&mut self) -> std::io::Result<Observation> {
        let meta = tokio::fs::metadata(&self.newest).await?;
        let stamp = (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
        if self.seen == Some(stamp) {
            return Ok(Observation::Unchanged);
        }
        let newest = tokio::fs::read(&self.newest).await?;
        self.seen = Some(stamp);
        if self.content == newest {
            return Ok(Observation::Unchanged);
        }
        self.content.clone_from(&newest);
        let previous = match &self.previous {
            Some(path) => tokio::fs::read(path).await.ok(),
            None => None,
        };
        Ok(Observation::Offered { newest, previous })
    }
}

#[async_trait]
impl BundleSource for Files {
    async fn next(&mut self) -> Observation {
        self.ticks.tick().await;
        let path = self.newest.display().to_string();
        self.look().await.unwrap_or_else(|error| Observation::Away(format!("{path}: {error}")))
    }
}

/// A bundle and since when it is in force here.
#[derive(Debug)]
pub struct InForce {
    /// The compiled rules.
    pub bundle: CompiledBundle,
    /// Since when.
    pub since: OffsetDateTime,
}

/// What is told of the bundles; every change of it wakes those who wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Digest of the bundle in force.
    pub digest: Option<String>,
    /// Why a newer one is not.
    pub last_error: Option<BundleError>,
    /// Why the source cannot be reached, when it cannot.
    pub away: Option<String>,
}

/// The bundle in force. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Bundles {
    current: Arc<ArcSwapOption<InForce>>,
    status: watch::Sender<Status>,
    last_contact: watch::Sender<Option<OffsetDateTime>>,
}

impl Default for Bundles {
    fn default() -> Self {
        Self {
            current: Arc::default(),
            status: watch::Sender::new(Status::default()),
            last_contact: watch::Sender::new(None),
        }
    }
}

impl Bundles {
    /// The bundle in force; load it once per request.
    #[must_use]
    pub fn current(&self) -> Option<Arc<InForce>> {
        self.current.load_full()
    }

    /// The status and its changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// When the source was last reached.
    #[must_use]
    pub fn last_contact(&self) -> Option<OffsetDateTime> {
        *self.last_contact.borrow()
    }

    /// Follows a source until `shutdown`. `tenant` is whose bundles are accepted.
    pub async fn follow(self, mut source: impl BundleSource, tenant: String, shutdown: CancellationToken) {
        loop {
            let observed = tokio::select! {
                observed = source.next() => observed,
                () = shutdown.cancelled() => return,
            };
            match observed {
                Observation::Unchanged => self.contact(),
                Observation::Offered { newest, previous } => {
                    self.contact();
                    self.offer(newest, previous, &tenant).await;
                }
                Observation::Away(reason) => {
                    let first = self.status.send_if_modified(|status| {
                        let changed = status.away.as_ref() != Some(&reason);
                        status.away = Some(reason.clone());
                        changed
                    });
                    if first {
                        tracing::warn!(reason, "the source of the rules cannot be reached");
                    }
                }
            }
        }
    }

    fn contact(&self) {
        self.last_contact.send_replace(Some(OffsetDateTime::now_utc()));
        self.status.send_if_modified(|status| status.away.take().is_some());
    }

    async fn offer(&self, newest: Vec<u8>, previous: Option<Vec<u8>>, tenant: &str) {
        let Err(error) = self.take(newest, tenant).await else { return };
        tracing::error!(digest = error.digest, message = error.message, "a bundle was refused");
        if self.current.load().is_none()
            && let Some(previous) = previous
            && let Err(error) = self.take(previous, tenant).await
        {
            tracing::error!(
                digest = error.digest,
                message = error.message,
                "the bundle before was refused too"
            );
        }
        self.status.send_modify(|status| status.last_error = Some(error));
    }

    /// Makes a bundle the one in force, or says why not.
    async fn take(&self, bytes: Vec<u8>, tenant: &str) -> Result<(), BundleError> {
        let refused =
            |digest: String, message: String| BundleError { digest, message, at: OffsetDateTime::now_utc() };
        let raw_digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        let before = self.current.load_full();
        let in_force = before.as_ref().map(|it| (it.bundle.sequence(), it.bundle.digest().to_owned()));
        let tenant = tenant.to_owned();
        let compiling = tokio::task::spawn_blocking(move || compile(&bytes, &tenant, in_force.as_ref()));
        let compiled = match compiling.await {
            Ok(compiled) => compiled,
            Err(_) => Err((None, "the bundle cannot be compiled; this is a defect of the engine".to_owned())),
        };
        let bundle = compiled.map_err(|(digest, message)| refused(digest.unwrap_or(raw_digest), message))?;
        let digest = bundle.digest().to_owned();
        let since = match &before {
            // The same rules under another number were in force all along.
            Some(before) if before.bundle.digest() == digest => before.since,
            _ => OffsetDateTime::now_utc(),
        };
        tracing::info!(
            digest,
            sequence = bundle.sequence(),
            policies = bundle.bundle().policies.len(),
            "rules in force"
        );
        self.current.store(Some(Arc::new(InForce { bundle, since })));
        self.status.send_modify(|status| {
            status.digest = Some(digest);
            status.last_error = None;
        });
        Ok(())
    }
}

/// Decodes, checks and compiles; the error has the bundle's digest where it could be read.
fn compile(
    bytes: &[u8],
    tenant: &str,
    in_force: Option<&(u64, String)>,
) -> Result<CompiledBundle, (Option<String>, String)> {
    let bundle = Bundle::decode(bytes).map_err(|error| (None, error.to_string()))?;
    let digest = bundle.digest();
    if bundle.tenant != tenant {
        return Err((Some(digest), "it is the bundle of another tenant".to_owned()));
    }
    if let Some((sequence, current)) = in_force {
        let offered = bundle.sequence;
        if offered < *sequence || (offered == *sequence && digest != *current) {
            return Err((
                Some(digest),
                format!("its sequence {offered} is not after {sequence}, which is in force"),
            ));
        }
    }
    CompiledBundle::compile(bundle).map_err(|problems| {
        let mut message = String::new();
        for problem in problems.iter().take(MAX_PROBLEMS) {
            // Writing into a String cannot fail.
            let _ = write!(
                message,
                "{}{}: {}",
                if message.is_empty() { "" } else { "; " },
                problem.path,
                problem.message
            );
        }
        if let Some(more) = problems.len().checked_sub(MAX_PROBLEMS).filter(|more| *more > 0) {
            let _ = write!(message, "; and {more} more");
        }
        (Some(digest), message)
    })
}
