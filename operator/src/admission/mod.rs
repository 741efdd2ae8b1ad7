//! Validating admission of our own kinds: requests of the API server in, a verdict with every problem out.
//!
//! A request is judged by the code that the reconciler, the command line and the engines use ([`judge`]), answered
//! over TLS ([`http`]) with certificates that this process makes and rotates itself ([`certificates`] decides,
//! [`keeper`] writes).
//!
//! What is refused is what the object itself says. Whatever depends on other objects (that the database server
//! exists, that the namespace holds no second tenant, that a policy selects anybody) is left to the reconciler and
//! its status, or is a warning: GitOps tools apply objects in an order of their own and retry what is refused,
//! so a verdict that depends on that order would make a correct repository fail to apply. For the same reason
//! nothing that was admitted once is ever in the way of its own deletion or of a change of its metadata, however
//! strict a later version of this code is.

mod certificates;
mod http;
mod judge;
mod keeper;
mod metrics;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use kube::Client;
use novacrm_service::admin::Readiness;
use novacrm_service::serve;
pub use novacrm_service::tls::ClientAuthorities;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::crm_tenant::limits::{self, Limits};

pub use certificates::Lives;
pub use http::PATH;
pub use metrics::Metrics;

/// The Secret of authority and certificate, in the operator's namespace.
pub const SECRET: &str = "novacrm-webhook-tls";
/// The part of [`Readiness`] that the webhook is.
pub const READINESS: &str = "webhook";
/// Owns `caBundle` and nothing else of the webhook's configuration.
pub const CA_FIELD_MANAGER: &str = "novacrm-operator/webhook-ca";
/// Owns [`SECRET`].
pub const SECRET_FIELD_MANAGER: &str = "novacrm-operator/webhook-tls";

/// What the webhook is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The operator's own namespace; it holds [`SECRET`].
    pub namespace: String,
    /// Name of the Service in front of all replicas, for the certificate.
    pub service: String,
    /// Name of the `ValidatingWebhookConfiguration` that is given the `caBundle`.
    pub configuration: String,
    /// The namespace of the organisation's policies.
    pub policy_namespace: String,
    /// How long authorities and certificates live.
    pub lives: Lives,
    /// Authorities of the API servers' certificates; without them anybody who reaches the port may call.
    pub clients: Option<ClientAuthorities>,
    /// Whether this replica leads. Only then does it write.
    pub is_leader: watch::Receiver<bool>,
    /// Told of the part [`READINESS`]: ready once a certificate is served.
    pub readiness: Readiness,
    /// Where admissions are counted.
    pub metrics: Metrics,
}

/// What is known of other objects, for warnings. Answers come from memory; nothing is refused by them.
pub trait Lookup: Send + Sync + 'static {
    /// Whether the platform team named a database server like this.
    fn has_database_server(&self, name: &str) -> bool;
    /// Names of the tenants in this namespace.
    fn tenants_in(&self, namespace: &str) -> Vec<String>;
    /// What the organisation lets tenants ask for. This alone refuses: it depends on no other object.
    fn limits(&self) -> &Limits {
        limits::defaults()
    }
}

/// Why the webhook ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used, or the socket failed.
    #[error("the admission webhook cannot serve: {0}")]
    Serve(#[from] io::Error),
}

/// Opens the webhook's socket; before [`serve`], so that an address in use is told at once.
///
/// # Errors
/// When the address cannot be used.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    Ok(serve::bind(address)?)
}

/// Serves admissions on `listener` until `shutdown`. A replica that does not lead waits for the leader's
/// certificate before it answers.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    client: Client,
    lookup: impl Lookup,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let app = http::router(http::Admission {
        policy_namespace: config.policy_namespace.clone(),
        lookup: Arc::new(lookup),
        metrics: config.metrics.clone(),
    });
    let readiness = config.readiness.clone();
    let (first, served) = tokio::sync::oneshot::channel();
    let keeper = tokio::spawn(keeper::Keeper::new(config, client).run(first, shutdown.clone()));
    // The first judgement compiles the detectors; it should not be a user's.
    let warm = tokio::task::spawn_blocking(novacrm_engine_core::policy::warm_up);
    let outcome = match served.await {
        Ok(certificate) => {
            // A panic in there would come again with the first request, and is told then.
            let _ = warm.await;
            readiness.ready(READINESS);
            serve::tls(listener, app, &certificate, shutdown.clone()).await
        }
        // The keeper ends at shutdown alone.
        Err(_) => Ok(()),
    };
    readiness.not_ready(READINESS, "shutting down");
    shutdown.cancel();
    // It holds nothing that could be lost.
    let _ = keeper.await;
    Ok(outcome?)
}
