//! The process: settings in, a running operator until a signal; a lost Lease or a task that ends takes it down.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::core::ResourceExt;
use novacrm_service::{admin, serve};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::leader::{Candidate, LeaderError, Timing};
use super::metrics::Metrics;
use super::{Cluster, Config, Started};
use crate::admission;
use crate::crm_tenant::limits::Limits;

/// Readiness: both definitions are installed.
const DEFINITIONS: &str = "definitions";
/// Readiness: the API server answers.
const API_SERVER: &str = "api-server";
/// Pause between two looks for the definitions.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What the process is told beyond what the controllers need.
#[derive(Clone, Debug)]
pub struct Process {
    /// What the controllers need.
    pub config: Config,
    /// Where probes and metrics are served.
    pub admin_address: SocketAddr,
    /// How admissions are answered, where they are.
    pub webhook: Option<Webhook>,
    /// Name of the Lease.
    pub lease: String,
    /// How fast leadership changes hands.
    pub timing: Timing,
}

/// How admissions are answered.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where they are.
    pub address: SocketAddr,
    /// Name of the Service in front of all replicas.
    pub service: String,
    /// Name of the `ValidatingWebhookConfiguration`.
    pub configuration: String,
    /// How long its authorities and certificates live.
    pub lives: admission::Lives,
    /// Authorities of the API servers' certificates; without them anybody who reaches the port may call.
    pub clients: Option<admission::ClientAuthorities>,
}

/// Why the process ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The webhook cannot be served.
    #[error(transparent)]
    Webhook(#[from] admission::Error),
    /// The admin port cannot be served.
    #[error("the admin port: {0}")]
    Admin(#[from] io::Error),
    /// Another process leads now.
    #[error(transparent)]
    Leader(#[from] LeaderError),
    /// The API server refuses this identity.
    #[error("the API server refuses the operator: {0}")]
    Refused(#[source] kube::Error),
}

/// Runs the operator until `stop`.
///
/// # Errors
/// When it must not or cannot go on; whoever supervises the process starts it again.
pub async fn run(client: Client, process: Process, stop: CancellationToken) -> Result<(), RunError> {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let webhook_metrics = process.webhook.as_ref().map(|_| admission::Metrics::register(&mut registry));
    let mut parts = vec![API_SERVER, DEFINITIONS];
    parts.extend(process.webhook.as_ref().map(|_| admission::READINESS));
    let readiness = admin::Readiness::new(&parts);
    let listener = serve::bind(process.admin_address)?;
    let admin_stop = CancellationToken::new();
    let _end_admin = admin_stop.clone().drop_guard();
    let admin = tokio::spawn(serve::plain(listener, admin::router(readiness.clone(), registry), admin_stop));

    let outcome = tokio::select! {
        found = wait_for_definitions(&client, &readiness, &metrics) => found,
        () = stop.cancelled() => return Ok(()),
    };
    outcome?;

    let (leads, leading) = watch::channel(false);
    let namespace = process.config.settings.operator_namespace.clone();
    let candidate =
        Candidate::new(client.clone(), &namespace, &process.lease, &process.config.identity, process.timing);
    // The Lease is given back after the last write.
    let release = CancellationToken::new();
    let mut election = tokio::spawn(candidate.run(leads, release.clone()));
    let work = stop.child_token();
    let _end_work = work.clone().drop_guard();
    metrics.leads(false);
    let policy_namespace = process.config.policy_namespace.clone();
    let started = Cluster::start(client.clone(), process.config, metrics.clone(), &work);
    let mut webhook = match (process.webhook, webhook_metrics) {
        (Some(webhook), Some(metrics)) => {
            let listener = admission::bind(webhook.address)?;
            let config = admission::Config {
                namespace,
                service: webhook.service,
                configuration: webhook.configuration,
                policy_namespace,
                lives: webhook.lives,
                clients: webhook.clients,
                is_leader: leading.clone(),
                readiness,
                metrics,
            };
            let known = Known(started.cluster.clone());
            tokio::spawn(admission::serve(listener, config, client, known, work.clone()))
        }
        _ => tokio::spawn({
            let work = work.clone();
            async move {
                work.cancelled().await;
                Ok(())
            }
        }),
    };
    let controllers = lead(started, metrics, leading, work.clone());
    tokio::pin!(controllers);
    tokio::select! {
        ended = &mut election => {
            return match ended {
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(())) | Err(_) => Err(LeaderError::Lost("the election ended".to_owned()).into()),
            };
        }
        ended = admin => {
            let ended = ended.unwrap_or_else(|error| Err(io::Error::other(error)));
            return Err(ended.err().unwrap_or_else(|| io::Error::other("it ended")).into());
        }
        ended = &mut webhook => {
            if !stop.is_cancelled() {
                let ended = ended.unwrap_or_else(|error| Err(io::Error::other(error).into()));
                return Err(ended.err().unwrap_or_else(|| io::Error::other("it ended").into()).into());
            }
            controllers.await;
        }
        () = &mut controllers => {
            // Requests under way are answered.
            let _ = webhook.await;
        }
    }
    release.cancel();
    // An election that is over changes nothing any more.
    let _ = election.await;
    Ok(())
}

/// Runs the controllers once this process leads, until `stop`.
async fn lead(
    started: Started,
    metrics: Metrics,
    mut leading: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    tokio::select! {
        // Fails only when the election ended, which ends the process.
        led = leading.wait_for(|leads| *leads) => if led.is_err() { return },
        () = stop.cancelled() => return,
    }
    metrics.leads(true);
    started.run(stop).await;
}

/// What the webhook warns by: the stores.
struct Known(Arc<Cluster>);

impl admission::Lookup for Known {
    fn has_database_server(&self, name: &str) -> bool {
        self.0.servers.find(|server| server.name_any() == name).is_some()
    }

    fn tenants_in(&self, namespace: &str) -> Vec<String> {
        self.0.tenants_in(namespace).into_iter().map(|(_, name)| name).collect()
    }

    fn limits(&self) -> &Limits {
        &self.0.config.settings.limits
    }
}

/// Waits until both kinds are served; says which is missing.
async fn wait_for_definitions(
    client: &Client,
    readiness: &admin::Readiness,
    metrics: &Metrics,
) -> Result<(), RunError> {
    let wanted =
        [("CompliancePolicy", "compliancepolicies.novacrm.io"), ("CrmTenant", "crmtenants.novacrm.io")];
    let version = format!("{}/{}", novacrm_crds::GROUP, novacrm_crds::VERSION);
    loop {
        let served = match client.list_api_group_resources(&version).await {
            Ok(list) => {
                readiness.ready(API_SERVER);
                list.resources.into_iter().map(|resource| resource.kind).collect()
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                readiness.ready(API_SERVER);
                Vec::new()
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
                return Err(RunError::Refused(kube::Error::Api(status)));
            }
            Err(error) => {
                tracing::warn!(%error, "the API server cannot be asked");
                readiness.not_ready(API_SERVER, "it cannot be reached");
                sleep(LOOK_AGAIN).await;
                continue;
            }
        };
        let missing: Vec<&str> = wanted
            .iter()
            .filter(|(kind, name)| {
                let missing = !served.iter().any(|served| served == kind);
                metrics.missing(name, missing);
                missing
            })
            .map(|(_, name)| *name)
            .collect();
        if missing.is_empty() {
            readiness.ready(DEFINITIONS);
            return Ok(());
        }
        readiness.not_ready(
            DEFINITIONS,
            format!("not installed: {}; install the chart novacrm-crds", missing.join(", ")),
        );
        sleep(LOOK_AGAIN).await;
    }
}
