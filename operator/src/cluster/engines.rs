//! Ready engine pods in, what each of them enforces out.
//!
//! Each pod is asked by a long poll over mutual TLS, with the operator's certificate of the pod's tenant. The answer
//! comes as soon as the pod's bundle changes or is refused.
//!
//! Anybody may give a pod the labels of an engine. So only pods of a namespace with a tenant are asked, which a ReplicaSet
//! of the tenant's own Deployment made; and whatever such a pod answers is bounded in size and time while it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use novacrm_engine_wire::{BundleStatus, PolicyReference};
use novacrm_service::answer::{self, AnswerError};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::shelf::{Owner, Shelf, TenantNamespaces, owners_of};
use super::watch::{Head, Scope, Sink, Source, list_once};
use crate::crm_tenant::{ENGINE_PORT, names};
use crate::turns::{Limits, Turns};

/// Selects the engine pods of all tenants.
pub const SELECTOR: &str = "app.kubernetes.io/part-of=novacrm,app.kubernetes.io/name=novacrm-engine";
/// Longest time that an engine is asked to wait with its answer, and some.
const TIMEOUT: Duration = Duration::from_secs(40);
/// Longest time from the beginning of an answer to its end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of an answer. It names every policy, in 500 bytes at most.
const ANSWER_BYTES: usize = 512 * 1024;
/// Answers that are read at the same time, in all and of one namespace.
const READING: Limits = Limits {
    capacity: 16,
    per_group: 16,
    per_party: 4,
    waiting_per_party: usize::MAX,
    waiting_per_group: usize::MAX,
    waiting: usize::MAX,
};
/// Pods of a namespace that are asked; the most engines that a tenant may have.
const PODS: usize = 100;
/// Pause after an engine answered the same again, and first pause after it could not be asked.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause after an engine could not be asked; each is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How long changes are collected before those who wait for them are called.
const COLLECT: Duration = Duration::from_millis(100);

/// What one pod says.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Namespace of the tenant.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// What it enforces; `None` before its first answer. Shared, since it names every policy and is looked at for each.
    pub status: Option<Arc<BundleStatus>>,
    /// Why it cannot be asked, when it cannot.
    pub away: Option<String>,
}

impl Report {
    /// Whether nothing came of the first question yet, neither an answer nor a failure.
    #[must_use]
    pub fn is_first_asked(&self) -> bool {
        self.status.is_none() && self.away.is_none()
    }
}

/// What changed since those who wait were called last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Policies that a pod began or ceased to enforce.
    pub policies: BTreeSet<PolicyKey>,
    /// Tenants with another set of pods, or with a pod that refuses a bundle or cannot be asked.
    pub namespaces: BTreeSet<String>,
}

/// After this time the certificate is read again, where an engine does not answer.
const READ_AGAIN: Duration = Duration::from_secs(20);

/// Namespace and name of a policy.
pub type PolicyKey = (String, String);

/// All pods that are asked. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Engines(Arc<Inner>);

struct Inner {
    client: Client,
    stop: CancellationToken,
    /// By uid of the pod.
    reports: RwLock<BTreeMap<String, Report>>,
    asked: Mutex<BTreeMap<String, CancellationToken>>,
    changes: Mutex<Changes>,
    changed: Notify,
    tenancies: TenantNamespaces,
    deployments: Option<Arc<Shelf>>,
    reading: Turns,
    /// How many scopes were listed.
    listed: watch::Sender<usize>,
}

/// What is kept of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct EnginePod {
    uid: String,
    namespace: String,
    name: String,
    /// The ReplicaSet that made it.
    replica_set: Option<Owner>,
    /// Where it answers, when it is Ready.
    address: Option<IpAddr>,
}

impl Engines {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(
        client: Client,
        tenancies: TenantNamespaces,
        deployments: Option<Arc<Shelf>>,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            client,
            stop,
            reports: RwLock::default(),
            asked: Mutex::default(),
            changes: Mutex::default(),
            changed: Notify::new(),
            tenancies,
            deployments,
            reading: Turns::new(READING),
            listed: watch::channel(0).0,
        }))
    }

    /// Takes what a watch of the pods of a scope yields.
    #[must_use]
    pub fn sink(&self, scope: Scope) -> Pods {
        Pods { engines: self.clone(), scope, seen: BTreeSet::new() }
    }

    /// Waits until the pods of so many scopes are known.
    pub async fn ready(&self, scopes: usize) {
        // Fails only when everything ends.
        let _ = self.0.listed.subscribe().wait_for(|listed| *listed >= scopes).await;
    }

    /// Asks nobody any more in a namespace.
    pub fn forget_namespace(&self, namespace: &str) {
        self.forget_where(|report| report.namespace == namespace);
    }

    fn forget_where(&self, which: impl Fn(&Report) -> bool) {
        self.forget_those(|_, report| which(report));
    }

    fn forget_those(&self, which: impl Fn(&str, &Report) -> bool) {
        let uids: Vec<String> = {
            let reports = self.0.reports.read().unwrap_or_else(PoisonError::into_inner);
            let found = reports.iter().filter(|(uid, report)| which(uid, report));
            found.map(|(uid, _)| uid.clone()).collect()
        };
        uids.iter().for_each(|uid| self.leave(uid));
    }

    /// Asks a pod no longer.
    fn leave(&self, uid: &str) {
        let stop = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        if let Some(stop) = stop {
            stop.cancel();
            self.forget(uid);
        }
    }

    /// Takes note of a pod: asks it when it is Ready, and no longer when it is not.
    fn pod_changed(&self, pod: EnginePod) {
        let Some(address) = pod.address.filter(|_| self.0.tenancies.holds(&pod.namespace)) else {
            return self.leave(&pod.uid);
        };
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.contains_key(&pod.uid) {
            return;
        }
        let report = Report { namespace: pod.namespace, pod: pod.name, status: None, away: None };
        let stop = self.0.stop.child_token();
        let is_one_too_many = self.of(&report.namespace).len() >= PODS;
        if is_one_too_many {
            return;
        }
        asked.insert(pod.uid.clone(), stop.clone());
        self.tell(&pod.uid, report.clone());
        tokio::spawn(ask(self.clone(), pod.uid, report, pod.replica_set, address, stop));
    }

    /// Whether a ReplicaSet is one of the Deployment that the operator made for the tenant in a namespace.
    async fn is_made_by_tenant(&self, namespace: &str, replica_set: Option<&Owner>) -> Result<bool, String> {
        let Some(replica_set) = replica_set else { return Ok(false) };
        let deployment = self.0.deployments.as_ref().and_then(|shelf| shelf.kept(namespace, names::ENGINE));
        let Some(deployment) = deployment.filter(|kept| !kept.tenants.is_empty()) else {
            return Err("its Deployment is not known yet".to_owned());
        };
        let api: Api<ReplicaSet> = Api::namespaced(self.0.client.clone(), namespace);
        let one = Source::metadata(api).fields(&format!("metadata.name={}", replica_set.name));
        let mut found = false;
        let listed = list_once(&one, |object| {
            let same = Head::of(object).is_ok_and(|head| head.uid == replica_set.uid);
            let owners = owners_of(object);
            found = same && owners.iter().any(|owner| owner.controller && owner.uid == deployment.uid);
        });
        listed.await.map_err(|_| "its ReplicaSet cannot be read".to_owned())?;
        Ok(found)
    }

    /// What the Ready pods of a tenant say.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Vec<Report> {
        let reports = self.0.reports.read().unwrap_or_else(PoisonError::into_inner);
        reports.values().filter(|report| report.namespace == namespace).cloned().collect()
    }

    /// Waits for changes, collects for a moment what comes with them, and hands all of them over.
    pub async fn changes(&self) -> Changes {
        loop {
            self.0.changed.notified().await;
            sleep(COLLECT).await;
            let mut changes = self.0.changes.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = std::mem::take(&mut *changes);
            if taken != Changes::default() {
                return taken;
            }
        }
    }

    fn forget(&self, uid: &str) {
        let mut reports = self.0.reports.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(report) = reports.remove(uid) {
            self.note(|changes| {
                changes.namespaces.insert(report.namespace);
            });
        }
    }

    fn tell(&self, uid: &str, report: Report) {
        let mut reports = self.0.reports.write().unwrap_or_else(PoisonError::into_inner);
        let before = reports.insert(uid.to_owned(), report.clone());
        drop(reports);
        fn served(report: &Report) -> BTreeSet<&PolicyReference> {
            let bundle = report.status.as_ref().and_then(|status| status.bundle.as_ref());
            bundle.map(|bundle| bundle.policies.iter().collect()).unwrap_or_default()
        }
        let trouble = |report: &Report| {
            let refused = report.status.as_ref().and_then(|status| status.last_error.clone());
            (refused.map(|error| error.digest), report.away.clone())
        };
        let now = served(&report);
        let then = before.as_ref().map(served).unwrap_or_default();
        let heard = before.as_ref().is_some_and(Report::is_first_asked);
        self.note(|changes| {
            changes
                .policies
                .extend(now.symmetric_difference(&then).map(|one| (one.namespace.clone(), one.name.clone())));
            let changed = before.as_ref().map(trouble) != Some(trouble(&report));
            if heard || changed || then.is_empty() != now.is_empty() {
                changes.namespaces.insert(report.namespace.clone());
            }
        });
    }

    fn note(&self, change: impl FnOnce(&mut Changes)) {
        change(&mut self.0.changes.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_one();
    }
}

/// Hands the pods of a scope to [`Engines`].
pub struct Pods {
    engines: Engines,
    scope: Scope,
    seen: BTreeSet<String>,
}

impl Pods {
    fn put(&mut self, object: &RawValue) {
        if let Some(pod) = EnginePod::of(object) {
            self.seen.insert(pod.uid.clone());
            self.engines.pod_changed(pod);
        }
    }
}

impl Sink for Pods {
    fn begin(&mut self) {
        self.seen.clear();
    }

    fn listed(&mut self, object: &RawValue) {
        self.put(object);
    }

    fn complete(&mut self) {
        let (scope, seen) = (self.scope.clone(), std::mem::take(&mut self.seen));
        let within = |namespace: &str| scope.as_ref().is_none_or(|scope| scope == namespace);
        self.engines.forget_those(|uid, report| within(&report.namespace) && !seen.contains(uid));
        self.engines.0.listed.send_modify(|scopes| *scopes = scopes.saturating_add(1));
    }

    fn changed(&mut self, object: &RawValue) {
        self.put(object);
        self.seen.clear();
    }

    fn gone(&mut self, object: &RawValue) {
        if let Ok(head) = Head::of(object) {
            self.engines.leave(&head.uid);
        }
    }
}

impl EnginePod {
    fn of(object: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Pod {
            #[serde(default)]
            status: Option<Status>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Status {
            #[serde(rename = "podIP")]
            pod_ip: Option<String>,
            conditions: Vec<Condition>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Condition {
            r#type: String,
            status: String,
        }
        let head = Head::of(object).ok()?;
        let Pod { status } = serde_json::from_str(object.get()).ok()?;
        let status = status.unwrap_or_default();
        let is_ready = status
            .conditions
            .iter()
            .any(|condition| condition.r#type == "Ready" && condition.status == "True");
        let leaves = head.deletion_timestamp.is_some();
        let address = status.pod_ip.as_ref().filter(|_| is_ready && !leaves);
        let makers = owners_of(object).into_iter();
        Some(Self {
            uid: head.uid,
            namespace: head.namespace,
            name: head.name,
            replica_set: makers.into_iter().find(|owner| owner.controller && owner.kind == "ReplicaSet"),
            address: address.and_then(|address| address.parse().ok()),
        })
    }
}

async fn ask(
    engines: Engines,
    uid: String,
    mut report: Report,
    replica_set: Option<Owner>,
    address: IpAddr,
    stop: CancellationToken,
) {
    let mut client: Option<(reqwest::Client, Instant)> = None;
    let mut is_verified = false;
    let mut pause = PAUSE;
    loop {
        let asked = async {
            if !is_verified {
                is_verified = engines.is_made_by_tenant(&report.namespace, replica_set.as_ref()).await?;
                if !is_verified {
                    return Ok(None);
                }
            }
            let known = match &client {
                Some((client, _)) => client.clone(),
                None => {
                    let party = (String::new(), report.namespace.clone());
                    let _turn = engines.0.reading.turn(&party, 1).await.map_err(|error| error.to_string())?;
                    let made = identity(&engines.0.client, &report.namespace, address).await?;
                    client.insert((made, Instant::now())).0.clone()
                }
            };
            let server = server_name(&report.namespace);
            let mut url = format!("https://{server}:{ENGINE_PORT}/v1/bundle");
            if report.away.is_none()
                && let Some(bundle) = report.status.as_ref().and_then(|status| status.bundle.as_ref())
            {
                let status = report.status.as_ref();
                let refused = status.and_then(|status| status.last_error.as_ref());
                let refused = refused.map_or("", |error| error.digest.as_str());
                // A digest is `sha256:<hex>`, which needs no encoding.
                url = format!("{url}?not={}&refused={refused}", bundle.digest);
            }
            let failed = |error: reqwest::Error| {
                tracing::debug!(error = &error as &dyn std::error::Error, "an engine cannot be asked");
                let what =
                    if error.is_timeout() { "it does not answer in time" } else { "it cannot be reached" };
                what.to_owned()
            };
            let answer = known.get(&url).timeout(TIMEOUT).send().await.map_err(failed)?;
            if !answer.status().is_success() {
                return Err(format!("it answers {}", answer.status().as_u16()));
            }
            let party = (String::new(), report.namespace.clone());
            let turn = engines.0.reading.turn(&party, 1).await.map_err(|error| error.to_string())?;
            let status = timeout(ANSWER_TIMEOUT, read(answer)).await;
            drop(turn);
            status.map_err(|_| "its answer does not end in time".to_owned())?.map(Some)
        };
        let outcome = tokio::select! {
            outcome = asked => outcome,
            () = stop.cancelled() => return,
        };
        let mut next = report.clone();
        match outcome {
            Ok(None) => {
                tracing::debug!(
                    namespace = report.namespace,
                    pod = report.pod,
                    "a pod is no engine of the tenant's"
                );
                engines.forget(&uid);
                // It stays among those that are asked, so that it is not looked at again until it is gone.
                stop.cancelled().await;
                return;
            }
            Ok(Some(status)) => {
                next.status = Some(Arc::new(status));
                next.away = None;
            }
            Err(why) => {
                next.away = Some(why);
                // It may have been renewed. An engine that is just away does not make it read at each attempt.
                client = client.take_if(|(_, read)| read.elapsed() < READ_AGAIN);
            }
        }
        let same = next == report;
        if stop.is_cancelled() {
            return;
        }
        if !same {
            engines.tell(&uid, next.clone());
        }
        let away = next.away.is_some();
        report = next;
        if same || away {
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
        pause = if away { (pause * 2).min(LONGEST_PAUSE) } else { PAUSE };
    }
}

/// Reads an answer while it comes, up to [`ANSWER_BYTES`].
async fn read(answer: reqwest::Response) -> Result<BundleStatus, String> {
    let bytes = answer::read(answer, ANSWER_BYTES).await.map_err(|error| match error {
        AnswerError::TooLong(limit) => format!("its answer is longer than {limit} bytes"),
        AnswerError::Broken(_) => "its answer breaks off".to_owned(),
    })?;
    serde_json::from_slice(&bytes).map_err(|_| "its answer is not that of an engine".to_owned())
}

fn server_name(namespace: &str) -> String {
    format!("{}.{namespace}.svc", names::ENGINE)
}

/// A client with the operator's certificate of a tenant, for one of the tenant's pods.
async fn identity(client: &Client, namespace: &str, address: IpAddr) -> Result<reqwest::Client, String> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let unreadable = || format!("Secret {} cannot be read", names::OPERATOR_TLS);
    let secret = secrets.get(names::OPERATOR_TLS).await.map_err(|_| unreadable())?;
    let part =
        |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let (Some(ca), Some(certificate), Some(key)) = (part("ca.crt"), part("tls.crt"), part("tls.key")) else {
        return Err(format!("Secret {} is not complete", names::OPERATOR_TLS));
    };
    let config = novacrm_service::tls::client_config(ca, certificate, key)
        .map_err(|_| format!("Secret {} holds no usable certificate", names::OPERATOR_TLS))?;
    reqwest::Client::builder()
        .no_proxy()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(config)
        .resolve(&server_name(namespace), SocketAddr::new(address, ENGINE_PORT))
        .build()
        .map_err(|_| "no client can be made".to_owned())
}
