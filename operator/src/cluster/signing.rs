//! The Secret with the keys that sign bundles, as the API server shows it, in; the keys, wherever the operator signs
//! or builds, out.
//!
//! The Secret is in the operator's own namespace, which nobody who works in a tenant's namespace can write. The leader
//! creates it when it is absent. If two processes try, one create fails and that process reads what the other wrote. The
//! operator never changes the Secret; people replace keys by adding one and removing another ([`crate::signing`]).

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use novacrm_service::error::chain;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Cluster;
use crate::crm_tenant::build::Settings;
use crate::crm_tenant::generate::{self, Content};
use crate::signing::{SECRET, SigningKeys};

/// Field manager of the Secret.
const MANAGER: &str = "novacrm-operator/bundle-signing";
/// Pause before the Secret is made once more, when it could not be.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The keys, or why there are none; nothing before the Secret was looked at.
type State = Option<Result<SigningKeys, String>>;

/// The keys that sign bundles, as they are now. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Signing(watch::Sender<State>);

impl Default for Signing {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Signing {
    /// The keys.
    ///
    /// # Errors
    /// Why there are none, as a sentence for people.
    pub fn keys(&self) -> Result<SigningKeys, String> {
        let state = self.0.borrow();
        state.clone().unwrap_or_else(|| Err(format!("Secret {SECRET} was not read yet.")))
    }

    /// Waits until the Secret was looked at.
    pub async fn ready(&self) {
        // Fails only when the other end is gone, which this is.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// Takes the content of the Secret; answers whether the keys changed. Content that cannot be read changes nothing.
    fn learn(&self, content: &Content) -> bool {
        let read = SigningKeys::read(content);
        if let Err(error) = &read {
            tracing::error!(
                secret = SECRET,
                reason = chain(error),
                "the keys that sign rules cannot be read"
            );
        }
        self.0.send_if_modified(|state| {
            let next = match (read, &*state) {
                (Ok(keys), _) => Ok(keys),
                (Err(_), Some(Ok(_))) => return false,
                (Err(error), _) => Err(format!("Secret {SECRET} cannot be used: {}.", chain(&error))),
            };
            let next = Some(next);
            let changed = *state != next;
            *state = next;
            changed
        })
    }

    fn cannot_be_made(&self, error: &kube::Error) {
        let why = format!("Secret {SECRET} cannot be made: {}.", chain(error));
        tracing::error!(secret = SECRET, reason = why, "there are no keys that sign rules");
        self.0.send_if_modified(|state| {
            let is_first = state.is_none();
            if is_first {
                *state = Some(Err(why));
            }
            is_first
        });
    }
}

impl Cluster {
    /// What objects are built with: what the operator was told, and the keys as they are now.
    pub(super) fn settings(&self) -> Settings {
        Settings { signing: self.signing.keys().ok(), ..self.config.settings.clone() }
    }

    /// Follows the Secret until `stop`, makes it when it is absent, and has all tenants looked at when the keys change.
    pub(super) async fn keep_signing_keys(self: Arc<Self>, stop: CancellationToken) {
        let namespace = &self.config.settings.operator_namespace;
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let mut seen = pin!(watch_object(api.clone(), SECRET).default_backoff());
        let mut absent = false;
        loop {
            if absent {
                match self.make_signing_keys(&api).await {
                    // Or another process made it, and the watch reports it.
                    Ok(()) => absent = false,
                    Err(error) => self.signing.cannot_be_made(&error),
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TRY_AGAIN), if absent => {}
                Some(seen) = seen.next() => match seen {
                    Ok(Some(secret)) => {
                        absent = false;
                        self.signing_keys_are(&generate::content(&secret));
                    }
                    Ok(None) => absent = true,
                    Err(error) => {
                        tracing::warn!(%error, secret = SECRET, "the watch of the keys broke off; it is begun again");
                    }
                },
            }
        }
    }

    fn signing_keys_are(&self, content: &Content) {
        if self.signing.learn(content) {
            tracing::info!(secret = SECRET, "the keys that sign rules are known");
            for namespace in self.tenant_namespaces() {
                self.queue_rules(&namespace);
                self.queue_tenant(&namespace);
            }
        }
    }

    async fn make_signing_keys(&self, api: &Api<Secret>) -> Result<(), kube::Error> {
        let content = match SigningKeys::generate(OffsetDateTime::now_utc(), &mut rand::rng()) {
            Ok(content) => content,
            Err(error) => {
                tracing::error!(reason = chain(&error), "a key that signs rules cannot be made");
                return Ok(());
            }
        };
        let labels = BTreeMap::from([
            ("app.kubernetes.io/name".to_owned(), "novacrm-operator".to_owned()),
            ("app.kubernetes.io/managed-by".to_owned(), "novacrm-operator".to_owned()),
        ]);
        let data = content.into_iter().map(|(key, value)| (key, ByteString(value.as_bytes().to_vec())));
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            data: Some(data.collect()),
            ..Secret::default()
        };
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match api.create(&parameters, &secret).await {
            Ok(made) => {
                tracing::info!(secret = SECRET, "a key that signs rules was made");
                self.signing_keys_are(&generate::content(&made));
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
