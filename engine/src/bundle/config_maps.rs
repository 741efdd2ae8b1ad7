//! The Kubernetes API in; the bundle of the watched ConfigMap whenever it changes, out.
//!
//! The ConfigMap is watched by name, so a Role by resource names is enough. A watch that says nothing looks like a
//! watch whose connection a firewall forgot. So every few seconds the object's metadata is asked for, from the API
//! server's cache: an answer is contact, no answer is none, and an answer that knows another version than the watch
//! told starts the watch again.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::GetParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use novacrm_service::error::chain;
use time::OffsetDateTime;

use super::{BUNDLE_KEY, BundleSource, Observation};

/// How often the API is asked whether it is there and what it has.
const BEAT: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// `Expired` in the status of a watch: the version it began at is gone. The watcher lists again by itself.
const GONE: u16 = 410;

/// Why the Kubernetes API cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a kubeconfig nor a mounted token.
    #[error("NOVACRM_BUNDLE_CONFIG_MAP is set, and there is no way to the Kubernetes API: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// Certificates or addresses that cannot be used.
    #[error("the settings of the Kubernetes API cannot be used: {0}")]
    Client(#[from] kube::Error),
}

/// A client as this process's account; a dead server is noticed within seconds.
///
/// # Errors
/// When the pod has no token, or what it has cannot be used.
pub async fn client() -> Result<Client, ClientError> {
    let mut config = kube::Config::infer().await?;
    config.connect_timeout = Some(TIMEOUT);
    Ok(Client::try_from(config)?)
}

/// Bundles from ConfigMaps of one namespace.
pub struct ConfigMaps {
    api: Api<ConfigMap>,
    name: String,
    previous: Option<String>,
    watched: BoxStream<'static, watcher::Result<watcher::Event<ConfigMap>>>,
    beats: BoxStream<'static, Result<Option<String>, String>>,
    /// The version that the watch told last; none while there is no such object.
    version: Option<String>,
    /// Whether the current list has shown the object.
    listed: bool,
    /// Whether the watch has failed and may be waiting to try again.
    failed: bool,
}

impl std::fmt::Debug for ConfigMaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigMaps").field("name", &self.name).field("previous", &self.previous).finish()
    }
}

impl ConfigMaps {
    /// Watches the ConfigMap `name` of `namespace`; `previous` holds the bundle before. Call inside the runtime.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, previous: Option<&str>) -> Self {
        let api = Api::namespaced(client, namespace);
        Self {
            watched: watch(&api, name),
            beats: beats(api.clone(), name.to_owned()).boxed(),
            api,
            name: name.to_owned(),
            previous: previous.map(str::to_owned),
            version: None,
            listed: false,
            failed: false,
        }
    }

    fn seen(&mut self, map: ConfigMap) -> Observation {
        self.version = map.resource_version();
        self.failed = false;
        match map.binary_data.and_then(|mut data| data.remove(BUNDLE_KEY)) {
            Some(bytes) => Observation::Offered { bytes: bytes.0, as_of: OffsetDateTime::now_utc() },
            None => Observation::Missing(format!("ConfigMap {} has no binaryData {BUNDLE_KEY}", self.name)),
        }
    }

    fn absent(&mut self) -> Observation {
        self.version = None;
        self.failed = false;
        Observation::Missing(format!("ConfigMap {} does not exist", self.name))
    }

    fn away(&mut self, reason: String) -> Observation {
        self.failed = true;
        Observation::Away(reason)
    }

    /// What an event of the watch means; nothing for those that only frame others.
    fn heard(&mut self, event: watcher::Result<watcher::Event<ConfigMap>>) -> Option<Observation> {
        match event {
            Ok(watcher::Event::Init) => {
                self.listed = false;
                None
            }
            Ok(watcher::Event::InitApply(map)) => {
                self.listed = true;
                Some(self.seen(map))
            }
            Ok(watcher::Event::InitDone) if self.listed => None,
            Ok(watcher::Event::InitDone | watcher::Event::Delete(_)) => Some(self.absent()),
            Ok(watcher::Event::Apply(map)) => Some(self.seen(map)),
            Err(watcher::Error::WatchError(status)) if status.code == GONE => None,
            Err(error) => Some(self.away(chain(&error))),
        }
    }

    /// What an answer to the question for the version means.
    fn beat(&mut self, answer: Result<Option<String>, String>) -> Observation {
        match answer {
            Ok(version) => {
                if self.failed || version != self.version {
                    self.watched = watch(&self.api, &self.name);
                    self.failed = false;
                    self.version = version;
                }
                Observation::Reached
            }
            Err(reason) => self.away(reason),
        }
    }
}

#[async_trait]
impl BundleSource for ConfigMaps {
    async fn next(&mut self) -> Observation {
        loop {
            let observed = tokio::select! {
                Some(event) = self.watched.next() => self.heard(event),
                Some(answer) = self.beats.next() => Some(self.beat(answer)),
                // Neither stream ends.
                else => std::future::pending().await,
            };
            if let Some(observed) = observed {
                return observed;
            }
        }
    }

    async fn previous(&mut self) -> Option<Vec<u8>> {
        let name = self.previous.as_ref()?;
        let map = match tokio::time::timeout(TIMEOUT, self.api.get_opt(name)).await {
            Ok(Ok(map)) => map?,
            Ok(Err(error)) => {
                tracing::warn!(config_map = name, reason = chain(&error), "the bundle before cannot be read");
                return None;
            }
            Err(_) => {
                tracing::warn!(config_map = name, "the bundle before cannot be read in time");
                return None;
            }
        };
        map.binary_data?.remove(BUNDLE_KEY).map(|bytes| bytes.0)
    }
}

fn watch(api: &Api<ConfigMap>, name: &str) -> BoxStream<'static, watcher::Result<watcher::Event<ConfigMap>>> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    watcher(api.clone(), config).default_backoff().boxed()
}

/// Asks for the object's version again and again. Metadata alone: the bundle itself may be large.
fn beats(api: Api<ConfigMap>, name: String) -> impl Stream<Item = Result<Option<String>, String>> + Send {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + BEAT, BEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    stream::unfold((api, name, ticks), |(api, name, mut ticks)| async move {
        ticks.tick().await;
        let question = GetParams::any();
        let answer = match tokio::time::timeout(TIMEOUT, api.get_metadata_with(&name, &question)).await {
            Ok(Ok(object)) => Ok(object.resource_version()),
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => Ok(None),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        };
        Some((answer, (api, name, ticks)))
    })
}
