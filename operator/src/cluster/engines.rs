//! Ready engine pods in, what each of them enforces out.
//!
//! Each pod is asked by a long poll over mutual TLS, with the operator's certificate of the pod's tenant. The answer
//! comes as soon as the pod's bundle changes or is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::core::ResourceExt;
use kube::{Api, Client};
use novacrm_engine_wire::{BundleStatus, PolicyReference};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::crm_tenant::{ENGINE_PORT, names};

/// Selects the engine pods of all tenants.
pub const SELECTOR: &str = "app.kubernetes.io/part-of=novacrm,app.kubernetes.io/name=novacrm-engine";
/// Longest time that an engine is asked to wait with its answer, and some.
const TIMEOUT: Duration = Duration::from_secs(40);
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
}

impl Engines {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(client: Client, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            client,
            stop,
            reports: RwLock::default(),
            asked: Mutex::default(),
            changes: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Takes note of a pod: asks it when it is Ready, and no longer when it is not.
    pub fn pod_changed(&self, pod: &Pod, gone: bool) {
        let (Some(uid), Some(namespace)) = (pod.uid(), pod.namespace()) else { return };
        let address = (!gone).then(|| ready_address(pod)).flatten();
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match address {
            None => {
                if let Some(stop) = asked.remove(&uid) {
                    stop.cancel();
                    self.forget(&uid);
                }
            }
            Some(address) => {
                if asked.contains_key(&uid) {
                    return;
                }
                let stop = self.0.stop.child_token();
                asked.insert(uid.clone(), stop.clone());
                let report = Report { namespace, pod: pod.name_any(), status: None, away: None };
                self.tell(&uid, report.clone());
                tokio::spawn(ask(self.clone(), uid, report, address, stop));
            }
        }
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

/// Where a Ready pod that is not on its way out answers.
fn ready_address(pod: &Pod) -> Option<IpAddr> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    let ready = |kind: &str, value: &str| kind == "Ready" && value == "True";
    status.conditions.iter().flatten().find(|condition| ready(&condition.type_, &condition.status))?;
    status.pod_ip.as_ref()?.parse().ok()
}

async fn ask(engines: Engines, uid: String, mut report: Report, address: IpAddr, stop: CancellationToken) {
    let mut client: Option<(reqwest::Client, Instant)> = None;
    let mut pause = PAUSE;
    loop {
        let asked = async {
            let known = match &client {
                Some((client, _)) => client.clone(),
                None => {
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
            let status = answer.json::<BundleStatus>().await.map_err(failed)?;
            Ok(status)
        };
        let outcome = tokio::select! {
            outcome = asked => outcome,
            () = stop.cancelled() => return,
        };
        let mut next = report.clone();
        match outcome {
            Ok(status) => {
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
        .tls_backend_preconfigured(config)
        .resolve(&server_name(namespace), SocketAddr::new(address, ENGINE_PORT))
        .build()
        .map_err(|_| "no client can be made".to_owned())
}
