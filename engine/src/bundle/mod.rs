//! The rules in force: a source of bundles in; always one whole compiled bundle out.
//!
//! Bundles are signed by the operator; one that is not is refused before it is read. A new bundle is decoded and compiled off the request path and takes over in one swap. One that cannot be used
//! changes nothing but the status, which says why; the last good one stays. A request loads the bundle once and is
//! decided by that one, whatever happens meanwhile. One bundle is compiled at a time; of those that come in
//! meanwhile only the newest is.

mod config_maps;
mod files;
mod load;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use novacrm_engine_core::bundle::CompiledBundle;
use novacrm_engine_core::bundle::signed::TrustedKeys;
use novacrm_engine_wire::{BundleError, SourceProblem, SourceProblemReason};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use config_maps::{ClientError, ConfigMaps, client};
pub use files::Files;

use crate::metrics::{BundleMetrics, Refusal};
use load::{Loaded, Offer};

/// Name of the file, and of the key of the ConfigMap.
pub const BUNDLE_KEY: &str = "bundle.json.zst";
/// How long a process without rules waits before it looks for the bundle before once more.
const RETRY_PREVIOUS: Duration = Duration::from_secs(5);

/// Which bundles are accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The tenant that they must name.
    pub tenant: String,
    /// The keys of which one must have signed them.
    pub keys: TrustedKeys,
}

/// Where bundles come from.
#[async_trait]
pub trait BundleSource: Send + 'static {
    /// Waits for the next thing to tell. Dropping the future loses nothing that `next` would not tell again.
    async fn next(&mut self) -> Observation;

    /// The bundle before the newest, where there is one: for a process that has no rules and cannot use the newest.
    async fn previous(&mut self) -> Option<Vec<u8>>;
}

/// What a source tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It was reached and has nothing new to tell.
    Reached,
    /// It offers a bundle, perhaps the same again.
    Offered {
        /// The newest bundle.
        bytes: Vec<u8>,
        /// When it was certainly the newest.
        as_of: OffsetDateTime,
    },
    /// It was reached and offers no bundle. What is in force stays.
    Missing(String),
    /// It cannot be reached.
    Away(String),
}

/// A bundle and since when it is in force here.
#[derive(Debug)]
pub struct InForce {
    /// The compiled rules.
    pub bundle: CompiledBundle,
    /// Since when this process enforces these very rules, whatever their sequence number.
    pub since: OffsetDateTime,
}

/// What is told of the bundles; every change of it wakes those who wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Digest of the bundle in force.
    pub digest: Option<String>,
    /// Why a newer one is not.
    pub last_error: Option<BundleError>,
    /// What is wrong with the source, when something is.
    pub source: Option<SourceProblem>,
}

impl Status {
    /// Digest of the bundle that was refused last, unless a usable one came after it.
    #[must_use]
    pub fn refused(&self) -> Option<&str> {
        self.last_error.as_ref().map(|error| error.digest.as_str())
    }

    fn unreachable(&self) -> bool {
        self.source.as_ref().is_some_and(|problem| problem.reason == SourceProblemReason::Unreachable)
    }
}

/// When the source was last known to be there: for people, and on a clock that nobody sets.
#[derive(Clone, Copy, Debug)]
struct Contact {
    at: OffsetDateTime,
    instant: Instant,
}

/// The bundle in force. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Bundles {
    current: Arc<ArcSwapOption<InForce>>,
    status: watch::Sender<Status>,
    contact: Arc<ArcSwapOption<Contact>>,
    metrics: BundleMetrics,
}

impl Bundles {
    /// No rules yet; `metrics` is told of those to come.
    #[must_use]
    pub fn new(metrics: BundleMetrics) -> Self {
        Self {
            current: Arc::default(),
            status: watch::Sender::new(Status::default()),
            contact: Arc::default(),
            metrics,
        }
    }

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
        self.contact.load().as_ref().map(|contact| contact.at)
    }

    /// Whether the source has been out of reach for longer than these rules allow (`maxStalenessSeconds`).
    #[must_use]
    pub fn is_stale(&self, in_force: &InForce) -> bool {
        let limit = Duration::from_secs(u64::from(in_force.bundle.max_staleness_seconds()));
        self.contact.load().as_ref().is_none_or(|contact| contact.instant.elapsed() > limit)
    }

    /// Follows a source until `shutdown`. Bundles that are not `accepted` are refused.
    ///
    /// `fallback` are files that may lag behind the source: they count only while it is away, and only where they
    /// hold newer rules than those in force.
    pub async fn follow(
        self,
        source: impl BundleSource,
        fallback: Option<Files>,
        accepted: Accepted,
        shutdown: CancellationToken,
    ) {
        let mut following = Following::new(self, source, fallback, accepted);
        tokio::select! {
            () = following.run() => {}
            () = shutdown.cancelled() => {}
        }
    }

    fn contact_now(&self) {
        self.contact_at(OffsetDateTime::now_utc(), Duration::ZERO);
    }

    /// The source was known to be there at `at`, which is `ago`; never moves back.
    fn contact_at(&self, at: OffsetDateTime, ago: Duration) {
        // A moment before this clock began is no contact that any limit would count.
        let Some(instant) = Instant::now().checked_sub(ago) else { return };
        let newer = self.contact.load().as_ref().is_none_or(|before| before.instant < instant);
        if newer {
            self.contact.store(Some(Arc::new(Contact { at, instant })));
            self.metrics.last_contact.set(at.unix_timestamp());
        }
    }

    /// Notes what is wrong with the source; `since` stays while it is the same.
    fn source_problem(&self, reason: SourceProblemReason, message: String) {
        self.status.send_if_modified(|status| {
            let before = status.source.as_ref().filter(|before| before.reason == reason);
            let since = before.map_or_else(OffsetDateTime::now_utc, |before| before.since);
            let problem = SourceProblem { reason, message, since };
            if status.source.as_ref() == Some(&problem) {
                return false;
            }
            tracing::warn!(?reason, message = problem.message, "the source of the rules gives none");
            status.source = Some(problem);
            true
        });
    }

    fn source_is_well(&self, whatever_it_had: bool) {
        self.status.send_if_modified(|status| {
            let mended = status.source.is_some() && (whatever_it_had || status.unreachable());
            if mended {
                tracing::info!("the source of the rules is back");
                status.source = None;
            }
            mended
        });
    }

    fn put_in_force(&self, bundle: CompiledBundle, took: Duration) {
        let digest = bundle.digest().to_owned();
        let since = match self.current.load().as_ref() {
            // The same rules under another number were in force all along.
            Some(before) if before.bundle.digest() == digest => before.since,
            _ => OffsetDateTime::now_utc(),
        };
        let sequence = bundle.sequence();
        let policies = bundle.bundle().policies.len();
        let replaced = self.current.swap(Some(Arc::new(InForce { bundle, since })));
        self.metrics.sequence.set(i64::try_from(sequence).unwrap_or(i64::MAX));
        self.metrics.swaps.observe(took.as_secs_f64());
        self.status.send_modify(|status| {
            status.digest = Some(digest.clone());
            status.last_error = None;
        });
        tracing::info!(digest, sequence, policies, took_ms = took.as_secs_f64() * 1e3, "rules in force");
        // To free hundreds of policies takes milliseconds; nobody waits for it.
        tokio::task::spawn_blocking(move || drop(replaced));
    }

    fn refuse(&self, reason: Refusal, error: BundleError) {
        tracing::error!(?reason, digest = error.digest, message = error.message, "a bundle was refused");
        self.metrics.refuse(reason);
        self.status.send_modify(|status| status.last_error = Some(error));
    }
}

/// A source being followed.
struct Following<S> {
    bundles: Bundles,
    source: S,
    fallback: Option<Files>,
    accepted: Arc<Accepted>,
    /// What the source offered last.
    offered: Option<load::RawDigest>,
    /// The newest offer, while another one is being compiled.
    waiting: Option<Offer>,
    loading: Option<Loading>,
    tried_previous: Option<Instant>,
    told_stale: bool,
}

type Loading = std::pin::Pin<Box<dyn Future<Output = Loaded> + Send>>;

impl<S: BundleSource> Following<S> {
    fn new(bundles: Bundles, source: S, fallback: Option<Files>, accepted: Accepted) -> Self {
        Self {
            bundles,
            source,
            fallback,
            accepted: Arc::new(accepted),
            offered: None,
            waiting: None,
            loading: None,
            tried_previous: None,
            told_stale: false,
        }
    }

    async fn run(&mut self) {
        loop {
            let away = self.bundles.status.borrow().unreachable();
            tokio::select! {
                observed = self.source.next() => self.observed(observed).await,
                observed = of(&mut self.fallback), if away => self.observed_of_fallback(observed),
                loaded = of_loading(&mut self.loading), if self.loading.is_some() => self.loaded(loaded).await,
            }
            if self.loading.is_none()
                && let Some(offer) = self.waiting.take()
            {
                self.loading = Some(self.load(offer));
            }
            self.tell_staleness();
        }
    }

    fn load(&self, offer: Offer) -> Loading {
        Box::pin(load::load(offer, Arc::clone(&self.accepted), self.bundles.current()))
    }

    async fn observed(&mut self, observed: Observation) {
        match observed {
            Observation::Reached => {
                self.bundles.contact_now();
                self.bundles.source_is_well(false);
                self.retry_previous().await;
            }
            Observation::Offered { bytes, as_of } => {
                self.bundles.contact_now();
                self.bundles.source_is_well(true);
                let offer = Offer::new(bytes, as_of, false);
                if self.offered.replace(offer.raw_digest) != Some(offer.raw_digest) {
                    self.waiting = Some(offer);
                }
            }
            Observation::Missing(why) => {
                self.bundles.contact_now();
                self.bundles.source_problem(SourceProblemReason::Missing, why);
                // The same bundle may come again, and is then looked at again.
                self.offered = None;
                self.retry_previous().await;
            }
            Observation::Away(why) => {
                self.bundles.source_problem(SourceProblemReason::Unreachable, why);
            }
        }
    }

    fn observed_of_fallback(&mut self, observed: Observation) {
        if let Observation::Offered { bytes, as_of } = observed {
            self.waiting = Some(Offer::new(bytes, as_of, true));
        }
    }

    async fn loaded(&mut self, loaded: Loaded) {
        self.loading = None;
        match loaded.result {
            Ok(bundle) => {
                if loaded.fallback {
                    // The files were written by someone who had reached the source then.
                    let ago =
                        Duration::try_from(OffsetDateTime::now_utc() - loaded.as_of).unwrap_or_default();
                    self.bundles.contact_at(OffsetDateTime::now_utc() - ago, ago);
                }
                self.bundles.put_in_force(bundle, loaded.received.elapsed());
            }
            // Files that lag behind are what they are.
            Err(refused) if loaded.fallback && refused.reason == Refusal::older => {}
            Err(refused) => {
                self.bundles.refuse(refused.reason, refused.error);
                self.use_previous(loaded.fallback).await;
            }
        }
    }

    /// For a process without rules: the bundle before may be there by now.
    async fn retry_previous(&mut self) {
        let refused = self.bundles.status.borrow().last_error.is_some();
        let due = self.tried_previous.is_none_or(|tried| tried.elapsed() >= RETRY_PREVIOUS);
        if refused && due && self.loading.is_none() {
            self.use_previous(false).await;
        }
    }

    /// Where nothing is in force, what was before is better than nothing. The status goes on saying why the newest
    /// is not in force.
    async fn use_previous(&mut self, of_fallback: bool) {
        if self.bundles.current.load().is_some() {
            return;
        }
        self.tried_previous = Some(Instant::now());
        let previous = match &mut self.fallback {
            Some(files) if of_fallback => files.previous().await,
            _ => self.source.previous().await,
        };
        let Some(previous) = previous else { return };
        let loaded = self.load(Offer::new(previous, OffsetDateTime::now_utc(), false)).await;
        match loaded.result {
            Ok(bundle) => {
                let newest = self.bundles.status.borrow().last_error.clone();
                self.bundles.put_in_force(bundle, loaded.received.elapsed());
                self.bundles.status.send_modify(|status| status.last_error = newest);
            }
            Err(refused) => {
                let error = refused.error;
                tracing::error!(
                    digest = error.digest,
                    message = error.message,
                    "the bundle before was refused too"
                );
            }
        }
    }

    fn tell_staleness(&mut self) {
        let stale = self.bundles.current().is_some_and(|in_force| self.bundles.is_stale(&in_force));
        if stale != self.told_stale {
            self.told_stale = stale;
            if stale {
                tracing::error!(
                    "no contact to the source of the rules within maxStalenessSeconds; the strictest failureMode holds"
                );
            } else {
                tracing::info!("the rules are fresh again");
            }
        }
    }
}

/// The next thing the files tell; never, where there are none.
async fn of(fallback: &mut Option<Files>) -> Observation {
    match fallback {
        Some(files) => files.next().await,
        None => std::future::pending().await,
    }
}

/// The end of what is loading; never, where nothing is.
async fn of_loading(loading: &mut Option<Loading>) -> Loaded {
    match loading {
        Some(loading) => loading.await,
        None => std::future::pending().await,
    }
}
