//! A Lease in, who leads out: of all replicas one writes to Kubernetes.
//!
//! The holder renews its Lease; who sees one that was not renewed for its whole duration, by their own clock, takes
//! it. A holder that could not renew for [`Timing::renew_deadline`] gives up before anybody else may take over, and
//! its process ends: no write of a former leader can meet one of its successor.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How fast leadership changes hands. The duration must be longer than the deadline, and that longer than the pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a Lease holds when it is not renewed.
    pub lease_duration: Duration,
    /// How long a holder goes on trying to renew.
    pub renew_deadline: Duration,
    /// Pause between two attempts.
    pub retry_period: Duration,
}

impl Default for Timing {
    /// The values of the Kubernetes control plane itself.
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Why leading ended.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// It could not be renewed in time, or another process holds it.
    #[error("the Lease was lost: {0}")]
    Lost(String),
}

/// Takes part in the election of a leader.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
}

/// What was seen of somebody's Lease, and when by the own clock.
struct Seen {
    holder: Option<String>,
    renewed: Option<MicroTime>,
    at: Instant,
}

impl Candidate {
    /// A candidate for the Lease `name` of `namespace`; `identity` is unique to the process.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, timing: Timing) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            timing,
        }
    }

    /// Waits for the Lease, says so through `leads`, keeps it until `stop`, then gives it back.
    ///
    /// # Errors
    /// When the Lease was held and lost; the process must end then.
    pub async fn run(self, leads: watch::Sender<bool>, stop: CancellationToken) -> Result<(), LeaderError> {
        let mut seen: Option<Seen> = None;
        let mut lease = loop {
            match timeout(self.timing.renew_deadline, self.try_to_take(&mut seen)).await {
                Ok(Ok(Some(lease))) => break lease,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the Lease cannot be read or taken"),
                Err(_) => tracing::warn!("the API server does not answer about the Lease"),
            }
            tokio::select! {
                () = sleep(self.timing.retry_period) => {}
                () = stop.cancelled() => return Ok(()),
            }
        };
        tracing::info!(lease = self.name, "this process leads");
        leads.send_replace(true);
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = sleep(self.timing.retry_period) => {}
                () = stop.cancelled() => {
                    leads.send_replace(false);
                    self.release(lease).await;
                    return Ok(());
                }
            }
            let left = self.timing.renew_deadline.saturating_sub(renewed.elapsed());
            let attempt = timeout(left, self.renew(&lease)).await;
            match attempt {
                Ok(Ok(next)) => {
                    lease = next;
                    renewed = Instant::now();
                    continue;
                }
                Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_not_found() => {
                    // Somebody wrote to it or removed it; whoever holds it now is in it.
                    match timeout(left, self.api.get_opt(&self.name)).await {
                        Ok(Ok(Some(current))) if holder(&current) == Some(&self.identity) => lease = current,
                        Ok(Ok(_)) => {
                            leads.send_replace(false);
                            return Err(LeaderError::Lost("another process holds it".to_owned()));
                        }
                        Ok(Err(_)) | Err(_) => {}
                    }
                }
                Ok(Err(error)) => tracing::warn!(%error, "the Lease cannot be renewed"),
                Err(_) => {}
            }
            if renewed.elapsed() >= self.timing.renew_deadline {
                leads.send_replace(false);
                let seconds = self.timing.renew_deadline.as_secs();
                return Err(LeaderError::Lost(format!("it could not be renewed for {seconds} s")));
            }
        }
    }

    async fn try_to_take(&self, seen: &mut Option<Seen>) -> Result<Option<Lease>, kube::Error> {
        let Some(current) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(0)),
            };
            return taken(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = current.spec.clone().unwrap_or_default();
        let held = spec.holder_identity.as_ref().is_some_and(|holder| !holder.is_empty());
        if held && spec.holder_identity.as_deref() != Some(&self.identity) {
            let unchanged = seen
                .as_ref()
                .filter(|seen| seen.holder == spec.holder_identity && seen.renewed == spec.renew_time);
            let Some(unchanged) = unchanged else {
                *seen =
                    Some(Seen { holder: spec.holder_identity, renewed: spec.renew_time, at: Instant::now() });
                return Ok(None);
            };
            let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
            if unchanged.at.elapsed() < Duration::from_secs(seconds) {
                return Ok(None);
            }
        }
        let mut lease = current;
        lease.spec = Some(self.spec(spec.lease_transitions.unwrap_or_default().saturating_add(1)));
        taken(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    fn spec(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.lease_duration.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        let mut lease = lease.clone();
        if let Some(spec) = &mut lease.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        self.api.replace(&self.name, &PostParams::default(), &lease).await
    }

    /// Lets the next process take over at once.
    async fn release(&self, mut lease: Lease) {
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        let params = PostParams::default();
        let released = self.api.replace(&self.name, &params, &lease);
        if !matches!(timeout(self.timing.retry_period, released).await, Ok(Ok(_))) {
            tracing::warn!("the Lease could not be given back; it runs out");
        }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref()
}

/// A conflict means that somebody else was faster.
fn taken(written: Result<Lease, kube::Error>) -> Result<Option<Lease>, kube::Error> {
    match written {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(None),
        Err(error) => Err(error),
    }
}
