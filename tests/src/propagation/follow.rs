//! Running engines and a number of changes in; how long each took to every one of them out.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{PartialObjectMeta, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use novacrm_crds::CompliancePolicy;
use novacrm_crds::conditions::{READY, REASON_ENFORCED};
use novacrm_engine_wire::{Action, AnalyzeResponse, BundleStatus};
use novacrm_operator::crm_tenant::{ENGINE_PORT, names};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{PropagationError, Sample, api};
use crate::cluster::{PATIENCE, eventually};

/// The policy that changes.
const CHANGING: &str = "changing";
/// What its rule finds.
const WORD: &str = "CHANGING-WORD";
/// Longest that an engine lets a long poll wait, and some.
const POLL_TIMEOUT: Duration = Duration::from_secs(40);
/// Engines whose decisions are looked at after each change.
const CHECKED: usize = 2;

/// One engine, as the operator and the API ask it.
#[derive(Clone, Debug)]
pub struct Peer {
    url: String,
    operator: reqwest::Client,
    api: reqwest::Client,
}

impl Peer {
    /// The engine of a tenant at an address. `read` gives a file (`ca.crt`, `tls.crt`, `tls.key`) of an identity, which
    /// is named as its Secret.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn new(
        tenant: &str,
        address: IpAddr,
        read: impl Fn(&str, &str) -> Result<Vec<u8>, PropagationError>,
    ) -> Result<Self, PropagationError> {
        let server = format!("{}.{tenant}.svc", names::ENGINE);
        let client = |identity| -> Result<_, PropagationError> {
            let [ca, certificate, key] = ["ca.crt", "tls.crt", "tls.key"].map(|file| read(identity, file));
            let config = novacrm_service::tls::client_config(&ca?, &certificate?, &key?)?;
            Ok(reqwest::Client::builder()
                .no_proxy()
                .tls_backend_preconfigured(config)
                .resolve(&server, SocketAddr::new(address, ENGINE_PORT))
                .build()?)
        };
        let url = format!("https://{server}:{ENGINE_PORT}");
        Ok(Self { operator: client(names::OPERATOR_TLS)?, api: client(names::API_TLS)?, url })
    }

    /// Checks that it decides by a version of the changing policy.
    async fn decides(&self, change: usize) -> Result<(), PropagationError> {
        let request = json!({ "text": format!("Here is {WORD}.") });
        let answer = self.api.post(format!("{}/v1/analyze", self.url)).json(&request).send().await?;
        let answer: AnalyzeResponse = answer.error_for_status()?.json().await?;
        let found = answer.rules.iter().find(|rule| rule.policy.name == CHANGING);
        let found = found.map(|rule| rule.policy.version.clone());
        let version = version(change);
        let wanted = if redacts(change) { Action::Redact } else { Action::Flag };
        if found.as_ref() != Some(&version) || answer.action != wanted {
            return Err(PropagationError::Decision { version, action: answer.action, found });
        }
        Ok(())
    }
}

/// The engines of a tenant, and the namespace of the policy that changes.
pub struct Following {
    /// Who changes it.
    pub client: Client,
    /// Namespace of the policy.
    pub organisation: String,
    /// Namespace of the tenant.
    pub tenant: String,
    /// Its engines, all of them.
    pub peers: Vec<Peer>,
}

impl Following {
    /// Changes the policy so many times, each after the one before is in force everywhere. Out: how long each took,
    /// and how many decisions were compared with it.
    ///
    /// # Errors
    /// When a change does not arrive, or an engine does not do what it acknowledged.
    pub async fn changes(
        &self,
        changes: usize,
        say: &impl Fn(&str),
    ) -> Result<(Vec<Sample>, usize), PropagationError> {
        let (tell, mut told) = mpsc::unbounded_channel();
        // Aborts who asks when this ends.
        let mut asking = JoinSet::new();
        for (index, peer) in self.peers.iter().enumerate() {
            asking.spawn(ask(index, peer.operator.clone(), peer.url.clone(), tell.clone()));
        }
        asking.spawn(watch_bundle(Api::namespaced(self.client.clone(), &self.tenant), tell));
        let policies: Api<CompliancePolicy> = Api::namespaced(self.client.clone(), &self.organisation);
        let mut samples = Vec::new();
        let mut decisions = 0;
        for change in 1..=changes {
            let manifest = changing_policy(change);
            let version = version(change);
            let begun = Instant::now();
            let patch = Patch::Merge(json!({ "spec": manifest.get("spec") }));
            let written = policies.patch(CHANGING, &PatchParams::default(), &patch).await;
            written.map_err(api("the changing policy"))?;
            let answered = Instant::now();
            let sample = self.acknowledged(&mut told, &version, begun, answered);
            let Ok(sample) = tokio::time::timeout(PATIENCE, sample).await else {
                let what = "the way of a change to every engine";
                return Err(PropagationError::Program { what, said: String::new() });
            };
            samples.push(sample?);
            for peer in self.peers.iter().cycle().skip(change).take(CHECKED.min(self.peers.len())) {
                peer.decides(change).await?;
                decisions += 1;
            }
            // The operator knows as well, and has said so, before the next one.
            let enforced = eventually(PATIENCE, || async {
                let policy = policies.get(CHANGING).await.map_err(|error| error.to_string())?;
                let active = policy.status.as_ref().and_then(|status| status.active.as_ref());
                let known = active.is_some_and(|active| active.version == version);
                if known && is_enforced(&policy, self.peers.len()) {
                    Ok(())
                } else {
                    Err(format!("{:?}", policy.status))
                }
            });
            enforced.await.map_err(|late| PropagationError::Late {
                what: "the status of the changed policy",
                late,
                said: String::new(),
            })?;
            if change % 50 == 0 {
                say(&format!("{change} changes"));
            }
        }
        Ok((samples, decisions))
    }

    /// Waits until every engine acknowledged a version.
    async fn acknowledged(
        &self,
        told: &mut mpsc::UnboundedReceiver<Told>,
        version: &str,
        begun: Instant,
        answered: Instant,
    ) -> Result<Sample, PropagationError> {
        let mut seen = vec![false; self.peers.len()];
        let mut bundle = None;
        let mut times = Vec::new();
        while times.len() < self.peers.len() {
            match told.recv().await {
                Some(Told::Bundle(at)) if at > begun => {
                    bundle.get_or_insert(at);
                }
                Some(Told::Engine { index, version: told, at }) if told == version => {
                    if let Some(seen) = seen.get_mut(index).filter(|seen| !**seen) {
                        *seen = true;
                        times.push(at.saturating_duration_since(answered));
                    }
                }
                Some(Told::Away(error)) => return Err(error.into()),
                Some(Told::Bundle(_) | Told::Engine { .. }) => {}
                // Never: who asks goes on as long as this.
                None => std::future::pending().await,
            }
        }
        Ok(Sample {
            bundle: bundle.map_or(Duration::ZERO, |at| at.saturating_duration_since(answered)),
            first: times.iter().min().copied().unwrap_or_default(),
            last: times.iter().max().copied().unwrap_or_default(),
        })
    }
}

/// What is told to who measures.
enum Told {
    /// The ConfigMap with the rules changed.
    Bundle(Instant),
    /// An engine enforces a version of the changing policy.
    Engine { index: usize, version: String, at: Instant },
    /// An engine cannot be asked.
    Away(reqwest::Error),
}

/// Asks one engine again and again, as the operator does, until it cannot be asked.
async fn ask(index: usize, client: reqwest::Client, url: String, tell: mpsc::UnboundedSender<Told>) {
    let mut known: Option<String> = None;
    let failed = loop {
        let question = known.as_ref().map(|digest| format!("?not={digest}&refused=")).unwrap_or_default();
        let asked = client.get(format!("{url}/v1/bundle{question}")).timeout(POLL_TIMEOUT).send().await;
        // The head of the answer is the acknowledgement; what is in it is read afterwards.
        let at = Instant::now();
        let status = match asked.and_then(reqwest::Response::error_for_status) {
            Ok(answer) => answer.json::<BundleStatus>().await,
            Err(error) => Err(error),
        };
        let bundle = match status {
            Ok(status) => status.bundle,
            Err(error) => break error,
        };
        let Some(bundle) = bundle else { continue };
        known = Some(bundle.digest);
        let changing = bundle.policies.into_iter().find(|policy| policy.name == CHANGING);
        if let Some(policy) = changing
            && tell.send(Told::Engine { index, version: policy.version, at }).is_err()
        {
            return;
        }
    };
    // Nobody listens any more only when everything ends.
    let _ = tell.send(Told::Away(failed));
}

/// Tells when the ConfigMap with the rules changes.
async fn watch_bundle(maps: Api<PartialObjectMeta<ConfigMap>>, tell: mpsc::UnboundedSender<Told>) {
    let selection = watcher::Config::default().fields(&format!("metadata.name={}", names::BUNDLE));
    let mut events = pin!(watcher(maps, selection).default_backoff().applied_objects());
    while let Some(event) = events.next().await {
        if event.is_ok() && tell.send(Told::Bundle(Instant::now())).is_err() {
            return;
        }
    }
}

/// Whether the operator says of a policy that so many engines enforce it, and no others are there.
pub(super) fn is_enforced(policy: &CompliancePolicy, engines: usize) -> bool {
    let Some(status) = &policy.status else { return false };
    let serving = status.engines.as_ref().and_then(|engines| usize::try_from(engines.serving).ok());
    Some(status.observed_generation) == policy.metadata.generation
        && serving == Some(engines)
        && status
            .conditions
            .iter()
            .any(|one| one.type_ == READY && one.status == "True" && one.reason == REASON_ENFORCED)
}

fn version(change: usize) -> String {
    format!("1.{change}.0")
}

/// Every second version redacts what the others only flag.
fn redacts(change: usize) -> bool {
    change % 2 == 1
}

/// The policy that changes, as it is after so many changes. Its namespace is whoever makes it's.
#[must_use]
pub fn changing_policy(change: usize) -> Value {
    let action = if redacts(change) { "redact" } else { "flag" };
    policy(CHANGING, &version(change), WORD, "CHANGING", action)
}

/// A policy that finds one word.
pub(super) fn policy(name: &str, version: &str, word: &str, rule: &str, action: &str) -> Value {
    let text = json!({ "fr": "Un mot que cette règle cherche.", "en": "A word that this rule looks for." });
    json!({
        "metadata": { "name": name },
        "spec": {
            "version": version,
            "changelog": format!("Version {version}."),
            "owner": { "team": "Compliance", "contact": "compliance@acme.example" },
            "enforcement": { "mode": "enforce", "failureMode": "block", "maxStalenessSeconds": 3600 },
            "tenantSelector": {},
            "detectors": [{ "id": "pii.email", "minScore": 0.5 }],
            "customDetectors": [{
                "id": format!("custom.{name}"), "type": "WORD", "description": text,
                "pattern": format!(r"\b{word}\b"), "score": 0.9,
            }],
            "rules": [{
                "id": rule, "severity": "high", "riskWeight": 50, "description": text,
                "risksCovered": ["leak"], "references": [{ "law": "gdpr", "ref": "32" }],
                "when": { "any": [{ "all": [{ "finding": { "detectors": [format!("custom.{name}")] } }] }] },
                "action": { "type": action },
            }],
            "tests": [
                {
                    "name": "the word is found",
                    "given": { "text": format!("Here is {word}.") },
                    "expect": { "action": action, "rules": [rule] },
                },
                {
                    "name": "another text passes",
                    "given": { "text": "Here is nothing." },
                    "expect": { "action": "allow" },
                },
            ],
        },
    })
}
