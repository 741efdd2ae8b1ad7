//! Keeps the certificate: the Secret and the webhook's configuration as the API server shows them in; the certificate
//! that this replica serves, and the leader's writes to both objects, out.
//!
//! Every replica watches both. The leader writes what [`step`] decides, with the Secret's `resourceVersion`, so two
//! leaders by mistake cannot overwrite each other, and then sees to it that the configuration trusts what the Secret
//! holds. Followers only read.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::watcher::watch_object;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use novacrm_service::tls::{CertificateError, ClientAuthorities, ServerCertificate};
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::certificates::{CA, CERTIFICATE, Content, KEY, Lives, Step, served, step};
use super::metrics::Metrics;
use super::{CA_FIELD_MANAGER, Config, SECRET, SECRET_FIELD_MANAGER};
use crate::pki::{Certificate, PkiError};

/// Pause before a failed write is tried again; doubled up to [`RETRY_MOST`].
const RETRY_LEAST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(30);
/// A clock that jumps, or a life of years, must not keep anybody from looking.
const LOOK_AGAIN: Duration = Duration::from_secs(6 * 3600);

/// Why the leader could not do its part.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("the Secret {SECRET} cannot be written: {0}")]
    Secret(#[source] kube::Error),
    #[error(
        "the caBundle of the ValidatingWebhookConfiguration cannot be applied: {0}; the operator needs get, list, \
         watch and patch on it"
    )]
    Configuration(#[source] kube::Error),
}

/// See the module.
pub(super) struct Keeper {
    namespace: String,
    service: String,
    configuration_name: String,
    lives: Lives,
    clients: Option<ClientAuthorities>,
    is_leader: watch::Receiver<bool>,
    metrics: Metrics,
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
    /// As seen last; `None` before the first look.
    secret: Option<Option<Secret>>,
    configuration: Option<Option<ValidatingWebhookConfiguration>>,
    /// The newest authority (PEM) that the configuration trusts, and since when this process knows.
    trusted: Option<(String, Instant)>,
    /// Whether the absence of a configuration was logged.
    told_absent: bool,
    /// What is served, with its PEM.
    serving: Option<(ServerCertificate, String)>,
}

impl Keeper {
    pub(super) fn new(config: Config, client: Client) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &config.namespace),
            configurations: Api::all(client),
            namespace: config.namespace,
            service: config.service,
            configuration_name: config.configuration,
            lives: config.lives,
            clients: config.clients,
            is_leader: config.is_leader,
            metrics: config.metrics,
            secret: None,
            configuration: None,
            trusted: None,
            told_absent: false,
            serving: None,
        }
    }

    /// Goes on until `shutdown`; `first` gets the certificate as soon as there is one.
    pub(super) async fn run(
        mut self,
        first: oneshot::Sender<ServerCertificate>,
        shutdown: CancellationToken,
    ) {
        let mut first = Some(first);
        let mut secrets = pin!(watch_object(self.secrets.clone(), SECRET).default_backoff());
        let mut configurations =
            pin!(watch_object(self.configurations.clone(), &self.configuration_name).default_backoff());
        let mut is_leader = self.is_leader.clone();
        let mut pause = RETRY_LEAST;
        loop {
            self.serve_newest();
            if let Some((certificate, _)) = &self.serving
                && let Some(first) = first.take()
            {
                // Nobody waits for it during a shutdown.
                let _ = first.send(certificate.clone());
            }
            let wait = if !*is_leader.borrow_and_update() {
                // The next leader starts its own watch of who trusts what.
                self.trusted = None;
                LOOK_AGAIN
            } else {
                match self.lead().await {
                    Ok(wait) => {
                        pause = RETRY_LEAST;
                        self.serve_newest();
                        wait
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the webhook's certificate could not be kept; trying again");
                        pause = (pause * 2).min(RETRY_MOST);
                        pause
                    }
                }
            };
            let mut gone = false;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                Some(seen) = secrets.next() => match seen {
                    Ok(seen) => self.secret = Some(seen),
                    Err(error) => watch_failed(&error, "Secret"),
                },
                Some(seen) = configurations.next() => match seen {
                    Ok(seen) => self.configuration = Some(seen),
                    Err(error) => watch_failed(&error, "ValidatingWebhookConfiguration"),
                },
                changed = is_leader.changed() => gone = changed.is_err(),
            }
            if gone {
                // Whoever elects is gone; the process is ending.
                shutdown.cancelled().await;
                return;
            }
        }
    }

    /// Serves what the Secret holds, when it is new and of use.
    fn serve_newest(&mut self) {
        let Some(Some(secret)) = &self.secret else { return };
        let content = content_of(secret);
        let (Some(chain), Some(key)) = (content.get(CERTIFICATE), content.get(KEY)) else { return };
        if self.serving.as_ref().is_some_and(|(_, pem)| pem == chain.as_str()) {
            return;
        }
        let Some(newest) = served(&content, OffsetDateTime::now_utc()) else { return };
        match self.adopt(chain, key) {
            Ok(certificate) => {
                self.serving = Some((certificate, chain.as_str().to_owned()));
                self.metrics.serves_until(newest.validity.not_after);
                tracing::info!(until = %newest.validity.not_after, "the webhook serves a new certificate");
            }
            Err(error) => {
                tracing::error!(%error, "the Secret's certificate cannot be served; the former one stays");
            }
        }
    }

    fn adopt(&self, chain: &str, key: &str) -> Result<ServerCertificate, CertificateError> {
        match &self.serving {
            Some((certificate, _)) => {
                certificate.replace(chain, key)?;
                Ok(certificate.clone())
            }
            None => ServerCertificate::for_clients(chain, key, self.clients.clone()),
        }
    }

    /// The leader's part. Says how long nothing more is to be done.
    async fn lead(&mut self) -> Result<Duration, KeepError> {
        // Both must have been seen once: a write without knowing would be a guess.
        let (Some(_), Some(_)) = (&self.secret, &self.configuration) else { return Ok(LOOK_AGAIN) };
        loop {
            let content = self.secret.as_ref().and_then(Option::as_ref).map(content_of).unwrap_or_default();
            let settled = self.trust(&content).await?;
            let now = OffsetDateTime::now_utc();
            let names = (self.namespace.as_str(), self.service.as_str());
            let next = step(&content, names, self.lives, settled, now, &mut rand::rng())?;
            match next {
                Step::Wait(until) => {
                    return Ok((until - now).try_into().unwrap_or(Duration::ZERO).min(LOOK_AGAIN));
                }
                Step::Write(content) => {
                    if !self.write(content).await? {
                        // Somebody else wrote; the watch brings what.
                        return Ok(RETRY_LEAST);
                    }
                }
            }
        }
    }

    /// Writes the Secret; `false` when somebody else wrote it first.
    async fn write(&mut self, content: Content) -> Result<bool, KeepError> {
        let existing = self.secret.as_ref().and_then(Option::as_ref);
        let secret = secret_of(existing, &self.namespace, content);
        let parameters =
            PostParams { field_manager: Some(SECRET_FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let written = match existing {
            None => self.secrets.create(&parameters, &secret).await,
            Some(_) => self.secrets.replace(SECRET, &parameters, &secret).await,
        };
        match written {
            Ok(written) => {
                tracing::info!("the webhook's certificates were written");
                self.secret = Some(Some(written));
                Ok(true)
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                self.secret = self.secrets.get_opt(SECRET).await.map(Some).map_err(KeepError::Secret)?;
                Ok(false)
            }
            Err(error) => Err(KeepError::Secret(error)),
        }
    }

    /// Makes the configuration trust the Secret's authorities. Whether the newest of them has been trusted for long
    /// enough to sign; without a configuration nobody calls, and it may.
    async fn trust(&mut self, content: &Content) -> Result<bool, KeepError> {
        let Some(Some(configuration)) = &self.configuration else {
            self.metrics.ca_bundle_applied(false);
            self.trusted = None;
            if !std::mem::replace(&mut self.told_absent, true) {
                tracing::warn!(
                    name = self.configuration_name,
                    "there is no such ValidatingWebhookConfiguration: nothing is judged at admission until it exists"
                );
            }
            return Ok(true);
        };
        self.told_absent = false;
        let Some(bundle) = content.get(CA) else { return Ok(false) };
        if !trusts(configuration, bundle) {
            self.metrics.ca_bundle_applied(false);
            let patch = Patch::Apply(trusting(configuration, bundle));
            let parameters = PatchParams::apply(CA_FIELD_MANAGER).force();
            let applied = self.configurations.patch(&self.configuration_name, &parameters, &patch).await;
            self.configuration = Some(Some(applied.map_err(KeepError::Configuration)?));
            tracing::info!(name = self.configuration_name, "the caBundle was applied");
        }
        self.metrics.ca_bundle_applied(true);
        let newest = Certificate::first(bundle).map(|newest| newest.pem).unwrap_or_default();
        match &self.trusted {
            Some((known, since)) if *known == newest => {
                Ok(since.elapsed() >= self.lives.settle.unsigned_abs())
            }
            _ => {
                self.trusted = Some((newest, Instant::now()));
                Ok(false)
            }
        }
    }
}

fn watch_failed(error: &watcher::Error, kind: &str) {
    tracing::warn!(%error, kind, "the watch of the webhook's objects failed; trying again");
}

fn content_of(secret: &Secret) -> Content {
    let data = secret.data.iter().flatten();
    data.filter_map(|(key, value)| {
        Some((key.clone(), Zeroizing::new(String::from_utf8(value.0.clone()).ok()?)))
    })
    .collect()
}

/// The Secret to write, over the one that exists.
fn secret_of(existing: Option<&Secret>, namespace: &str, content: Content) -> Secret {
    let metadata = existing.map_or_else(
        || ObjectMeta {
            name: Some(SECRET.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([
                ("app.kubernetes.io/name".to_owned(), "novacrm-operator".to_owned()),
                ("app.kubernetes.io/managed-by".to_owned(), "novacrm-operator".to_owned()),
            ])),
            ..ObjectMeta::default()
        },
        |existing| ObjectMeta { managed_fields: None, ..existing.metadata.clone() },
    );
    let data = content.into_iter().map(|(key, value)| (key, ByteString(value.as_bytes().to_vec()))).collect();
    let type_ = existing.and_then(|existing| existing.type_.clone());
    Secret { metadata, data: Some(data), type_, ..Secret::default() }
}

/// Whether every webhook of the configuration trusts exactly this bundle.
fn trusts(configuration: &ValidatingWebhookConfiguration, bundle: &str) -> bool {
    configuration.webhooks.iter().flatten().all(|webhook| {
        webhook.client_config.ca_bundle.as_ref().is_some_and(|held| held.0 == bundle.as_bytes())
    })
}

/// The bundle and nothing else, for server-side apply. The uid keeps the apply from making a configuration that was
/// deleted meanwhile.
fn trusting(configuration: &ValidatingWebhookConfiguration, bundle: &str) -> serde_json::Value {
    let bundle = ByteString(bundle.as_bytes().to_vec());
    let webhooks: Vec<_> = configuration
        .webhooks
        .iter()
        .flatten()
        .map(|webhook| json!({ "name": webhook.name, "clientConfig": { "caBundle": bundle } }))
        .collect();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": configuration.metadata.name, "uid": configuration.metadata.uid },
        "webhooks": webhooks,
    })
}
