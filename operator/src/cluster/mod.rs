//! `run`: a cluster in, the same cluster as its `CrmTenant` and `CompliancePolicy` objects describe it out.
//!
//! Three controllers, each of one concern and each writing only what is its own:
//!
//! | controller | for each | writes |
//! |---|---|---|
//! | [`policy`] | `CompliancePolicy` | its history (`ControllerRevision`) and its status |
//! | [`rules`] | `CrmTenant` | the two ConfigMaps with the combined rules of the tenant, signed |
//! | [`tenant`] | `CrmTenant` | everything else of the tenant, and its status |
//!
//! Watches fill stores in every replica; the leader alone runs controllers. What changes goes to [`dispatch`], which
//! turns it into work for them. A policy's way to the engines is the two first: judged, written into the history, combined.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use kube::api::{ApiResource, PartialObjectMeta, Patch, PatchParams};
use kube::core::ResourceExt;
use kube::runtime::controller::{Action, Config as ControllerConfig, applier};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::{Api, Client, Resource};
use novacrm_crds::{CompliancePolicy, CrmTenant};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::crm_tenant::build::Settings;
use crate::turns::Turns;

pub mod apply;
pub mod backoff;
mod deletion;
pub mod dispatch;
pub mod engines;
pub mod history;
pub mod leader;
pub mod metrics;
pub mod policy;
pub mod rules;
pub mod run;
pub mod shelf;
pub mod signing;
pub mod tenant;
pub mod watch;

use backoff::Backoff;
use engines::{Engines, PolicyKey};
use metrics::Metrics;
use shelf::{Shelf, Shelved, TenantNamespaces};
use watch::{Guarded, Index, Quota, Scope, Source, follow, follow_guarded};

/// Objects of one controller that are worked on at the same time.
const CONCURRENCY: u16 = 16;
/// Policies that are kept of a namespace other than the organisation's, and the memory that they may take. The youngest
/// that are more have no effect, which their status says.
pub const POLICIES_OF_A_TENANT: Quota = Quota { objects: 64, bytes: 8 * 1024 * 1024 };
/// Tenants that are kept of a namespace. Of them the oldest holds, and the others are refused.
const TENANTS_OF_A_NAMESPACE: Quota = Quota { objects: 4, bytes: 8 * 1024 * 1024 };
/// What the platform team writes is not limited.
const UNLIMITED: Quota = Quota { objects: usize::MAX, bytes: usize::MAX };
/// Everything is looked at again after this time, whatever was missed.
pub const RESYNC: Duration = Duration::from_secs(600);
/// A kind that the cluster had not is asked for again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// Label of everything that the operator makes.
pub const MANAGED: &str = "app.kubernetes.io/managed-by=novacrm-operator";

/// What the operator is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Namespace of the organisation's policies.
    pub policy_namespace: String,
    /// Namespaces that are looked at; all when empty.
    pub watch_namespaces: Vec<String>,
    /// What tenants are built with; holds the operator's own namespace.
    pub settings: Settings,
    /// Name of this process among its replicas.
    pub identity: String,
}

impl Config {
    fn scopes(&self) -> Vec<Scope> {
        if self.watch_namespaces.is_empty() {
            return vec![None];
        }
        let mut names: Vec<String> = self.watch_namespaces.clone();
        names.push(self.policy_namespace.clone());
        names.sort();
        names.dedup();
        names.into_iter().map(Some).collect()
    }

    /// Where tenants may have objects: the policies' namespace, where the operator may read nothing else, is none of
    /// them unless it is named.
    fn tenant_scopes(&self) -> Vec<Scope> {
        let mut scopes = self.scopes();
        let named = |scope: &Scope| scope.as_ref().is_none_or(|name| self.watch_namespaces.contains(name));
        scopes.retain(named);
        scopes
    }
}

/// A policy as it was judged last.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Which object, and which generation of it.
    pub seen: (String, i64),
    /// What is in force of it.
    pub active: policy::Active,
    /// Why its spec was refused; empty when it was not.
    pub problems: Vec<novacrm_crds::compliance_policy::PolicyProblem>,
    /// Whether it was one of too many in its namespace.
    pub is_crowded: bool,
}

/// Everything the controllers share.
pub struct Cluster {
    /// The API server.
    pub client: Client,
    /// What the operator was told.
    pub config: Config,
    /// The organisation's and the tenants' policies.
    pub policies: Index<Guarded<CompliancePolicy>>,
    /// The tenants.
    pub tenants: Index<Guarded<CrmTenant>>,
    /// Labels of the namespaces.
    pub namespaces: Index<PartialObjectMeta<Namespace>>,
    /// Accepted revisions of policies.
    pub revisions: Index<ControllerRevision>,
    /// The database servers that the platform team named.
    pub servers: Store<PartialObjectMeta<Secret>>,
    /// The namespaces that hold a tenant.
    pub tenancies: TenantNamespaces,
    /// What the operator made, by kind.
    pub owned: BTreeMap<String, Arc<Shelf>>,
    /// What the engines say.
    pub engines: Engines,
    /// Counters and durations.
    pub metrics: Metrics,
    /// The keys that sign rules.
    pub signing: signing::Signing,
    judged: RwLock<BTreeMap<PolicyKey, Judged>>,
    bundles: RwLock<BTreeMap<String, rules::Given>>,
    /// When the revision of a policy that is on its way was first seen.
    on_their_way: Mutex<BTreeMap<PolicyKey, std::time::Instant>>,
    /// What was prepared on a database server, by a digest of what was asked for, and what is to be said of it.
    provisioned: Mutex<BTreeMap<String, ([u8; 32], crate::crm_tenant::status::Progress)>>,
    /// Database servers by name, each with the version of its Secret that was read. Those that are gone are forgotten.
    known_servers: Mutex<BTreeMap<String, (String, tenant::DatabaseServer)>>,
    /// Kinds that this cluster had not, and when it was asked.
    lacking: Mutex<BTreeMap<String, std::time::Instant>>,
    /// Statuses of objects that cannot be read, by uid, as this process wrote them: they cannot be read either.
    told: Mutex<BTreeMap<String, serde_json::Value>>,
    recorder: Recorder,
    /// Policies that are looked at.
    policy_turns: Turns,
    /// Policies that are judged.
    judging_turns: Turns,
    backoff: Backoff,
    queues: Vec<(Scope, Queues)>,
}

struct Queues {
    policy: mpsc::UnboundedSender<ObjectRef<Guarded<CompliancePolicy>>>,
    rules: mpsc::UnboundedSender<ObjectRef<Guarded<CrmTenant>>>,
    tenant: mpsc::UnboundedSender<ObjectRef<Guarded<CrmTenant>>>,
}

/// Why an object could not be brought to where it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused something or could not be reached.
    #[error("{what}: {source}")]
    Api {
        /// What was tried.
        what: &'static str,
        /// What the API server said.
        #[source]
        source: kube::Error,
    },
    /// An object of the tenant could not be applied.
    #[error(transparent)]
    Apply(#[from] apply::ApplyError),
    /// The tenant's databases could not be prepared.
    #[error(transparent)]
    Database(#[from] crate::crm_tenant::database::DatabaseError),
    /// The tenant's keys could not be made or kept.
    #[error(transparent)]
    Generate(#[from] crate::crm_tenant::generate::GenerateError),
    /// It must wait; this is no failure.
    #[error("waiting: {0}")]
    NotReady(&'static str),
}

impl Error {
    pub(crate) fn listing(what: &'static str) -> impl FnOnce(watch::WatchError) -> Self {
        move |error| match error {
            watch::WatchError::Api(source) => Self::Api { what, source },
            other => {
                tracing::warn!(error = %other, what, "an answer of the API server cannot be read");
                Self::NotReady("an answer of the API server cannot be read")
            }
        }
    }

    pub(crate) fn api(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { what, source }
    }

    /// A label from a closed set.
    fn label(&self) -> &'static str {
        match self {
            Self::Api { .. } | Self::Apply(_) => "api",
            Self::Database(_) => "database",
            Self::Generate(_) => "keys",
            Self::NotReady(_) => "waiting",
        }
    }
}

impl Cluster {
    /// Begins to follow the cluster. Nothing is written.
    #[must_use]
    pub fn start(client: Client, config: Config, metrics: Metrics, stop: &CancellationToken) -> Started {
        let (changes, changed) = mpsc::unbounded_channel();
        let scopes = config.scopes();
        let tenant_scopes = config.tenant_scopes();
        let mut queues = Vec::new();
        let mut ends = Vec::new();
        for scope in &scopes {
            let (policy, policy_end) = mpsc::unbounded_channel();
            let (rules, rules_end) = mpsc::unbounded_channel();
            let (tenant, tenant_end) = mpsc::unbounded_channel();
            queues.push((scope.clone(), Queues { policy, rules, tenant }));
            ends.push((policy_end, rules_end, tenant_end));
        }
        let stop_token = || stop.child_token();
        let leading = Arc::new(AtomicBool::new(false));
        let send = |change: fn((String, String), bool) -> dispatch::Change| {
            let (changes, leading) = (changes.clone(), leading.clone());
            move |key, gone| {
                // Nobody takes changes up where nothing is written; who begins to lead looks at everything.
                if leading.load(Ordering::Acquire) {
                    drop(changes.send(change(key, gone)));
                }
            }
        };
        let tenancies = TenantNamespaces::new(client.clone());
        let organisation = config.policy_namespace.clone();
        let policies = each(&scopes, |scope| {
            let send = send(dispatch::Change::Policy);
            let tell = move |object: &Guarded<CompliancePolicy>, gone| send(watch::key_of(object), gone);
            let organisation = organisation.clone();
            let quota = move |namespace: &str| match namespace == organisation {
                true => UNLIMITED,
                false => POLICIES_OF_A_TENANT,
            };
            let source = Source::whole::<CompliancePolicy>(watch::api(&client, scope));
            follow_guarded(source, stop_token(), quota, tell, || ())
        });
        let tenants = each(&scopes, |scope| {
            let send = send(dispatch::Change::Tenant);
            let (known, listed) = (tenancies.clone(), tenancies.clone());
            let tell = move |object: &Guarded<CrmTenant>, gone| {
                let key = watch::key_of(object);
                known.tell(&key, &object.uid().unwrap_or_default(), gone);
                send(key, gone);
            };
            let source = Source::whole::<CrmTenant>(watch::api(&client, scope));
            follow_guarded(source, stop_token(), |_| TENANTS_OF_A_NAMESPACE, tell, move || listed.listed())
        });
        let namespaces = each(&scopes, |scope| {
            let send = send(dispatch::Change::Namespace);
            let tell = move |object: &PartialObjectMeta<Namespace>, gone| send(watch::key_of(object), gone);
            let source = Source::metadata::<Namespace>(Api::all(client.clone()));
            let source = match scope {
                Some(name) => source.fields(&format!("metadata.name={name}")),
                None => source,
            };
            follow(source, stop_token(), watch::identity_and_labels, tell, || ())
        });
        let revisions = each(&scopes, |scope| {
            let source =
                Source::whole::<ControllerRevision>(watch::api(&client, scope)).labels(history::SELECTOR);
            follow(source, stop_token(), history::keep, |_, _| (), || ())
        });
        let send_server = send(dispatch::Change::Server);
        let servers = follow(
            Source::metadata::<Secret>(Api::namespaced(client.clone(), &config.settings.operator_namespace))
                .labels(&format!("{}=true", tenant::SERVER_LABEL)),
            stop_token(),
            watch::identity_and_labels,
            move |server: &PartialObjectMeta<Secret>, gone| send_server(watch::key_of(server), gone),
            || (),
        );
        for scope in &tenant_scopes {
            let send = send(dispatch::Change::Secret);
            let known = tenancies.clone();
            let tell = move |secret: (String, String), gone| {
                if known.holds(&secret.0) {
                    send(secret, gone);
                }
            };
            // What tenants name has no label of ours. Nothing of them is kept; releases of Helm are the most of what else
            // there is.
            let source = Source::metadata::<Secret>(watch::api(&client, scope));
            watch::hear(source.fields("type!=helm.sh/release.v1"), stop_token(), tell);
        }
        let owned: BTreeMap<String, Arc<Shelf>> = tenant::kinds()
            .into_iter()
            .map(|resource| (resource.kind.clone(), Arc::new(Shelf::new(resource))))
            .collect();
        for shelf in owned.values() {
            // The rules in them are large, and read where they are needed.
            let is_whole = shelf.resource().kind != ConfigMap::kind(&());
            for (index, scope) in tenant_scopes.iter().enumerate() {
                let send = send(dispatch::Change::Owned);
                let sink = Shelved::new(shelf.clone(), scope.clone(), tenancies.clone(), is_whole, send);
                let source = Source::dynamic(&client, scope, shelf.resource(), is_whole).labels(MANAGED);
                // One of them looks at the namespaces that come to hold a tenant.
                let look = match index {
                    0 => {
                        let forgetting = shelf.clone();
                        let forget = move |namespace: &str| forgetting.forget(namespace);
                        tenancies.follow(shelf.resource(), MANAGED, is_whole, forget)
                    }
                    _ => mpsc::unbounded_channel().1,
                };
                let (known, all, stop) = (tenancies.clone(), scopes.len(), stop_token());
                tokio::spawn(async move {
                    known.ready(all).await;
                    watch::pump(source, sink, look, stop).await;
                });
            }
        }
        let engines = Engines::new(
            client.clone(),
            tenancies.clone(),
            owned.get("Deployment").cloned(),
            stop.child_token(),
        );
        let reporter = Reporter {
            controller: "novacrm.io/operator".to_owned(),
            instance: Some(config.identity.clone()),
        };
        let cluster = Arc::new(Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            config,
            policies,
            tenants,
            namespaces,
            revisions,
            servers,
            tenancies,
            owned,
            engines,
            metrics,
            signing: signing::Signing::default(),
            judged: RwLock::default(),
            bundles: RwLock::default(),
            on_their_way: Mutex::default(),
            provisioned: Mutex::default(),
            known_servers: Mutex::default(),
            lacking: Mutex::default(),
            told: Mutex::default(),
            policy_turns: Turns::new(policy::TURNS),
            judging_turns: Turns::new(policy::JUDGING),
            backoff: Backoff::default(),
            queues,
        });
        Started { cluster, changed, ends, leading }
    }

    fn queues(&self, namespace: &str) -> Option<&Queues> {
        let of = |scope: &Scope| scope.as_deref().is_none_or(|name| name == namespace);
        self.queues.iter().find(|(scope, _)| of(scope)).map(|(_, queues)| queues)
    }

    /// Has a policy looked at.
    pub fn queue_policy(&self, (namespace, name): &PolicyKey) {
        if let Some(queues) = self.queues(namespace) {
            // The other end is gone only when everything ends.
            let _ = queues.policy.send(ObjectRef::new(name).within(namespace));
        }
    }

    /// Has the rules of the tenants in a namespace looked at.
    pub fn queue_rules(&self, namespace: &str) {
        if let Some(queues) = self.queues(namespace) {
            for (_, name) in self.tenants_in(namespace) {
                let _ = queues.rules.send(ObjectRef::new(&name).within(namespace));
            }
        }
    }

    /// Has the tenants in a namespace looked at.
    pub fn queue_tenant(&self, namespace: &str) {
        if let Some(queues) = self.queues(namespace) {
            for (_, name) in self.tenants_in(namespace) {
                let _ = queues.tenant.send(ObjectRef::new(&name).within(namespace));
            }
        }
    }

    /// Namespace and name of the tenants in a namespace, the oldest first: it is the one that holds.
    #[must_use]
    pub fn tenants_in(&self, namespace: &str) -> Vec<(String, String)> {
        let mut found: Vec<_> =
            self.tenants.all().filter(|tenant| tenant.namespace().as_deref() == Some(namespace)).collect();
        found.sort_by_key(|tenant| (tenant.creation_timestamp().map(|time| time.0), tenant.name_any()));
        found.iter().map(|tenant| watch::key_of(tenant.as_ref())).collect()
    }

    /// The namespaces that hold a tenant.
    #[must_use]
    pub fn tenant_namespaces(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tenants.all().filter_map(|tenant| tenant.namespace()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The labels of a Namespace.
    #[must_use]
    pub fn labels_of(&self, namespace: &str) -> BTreeMap<String, String> {
        let found = self.namespaces.get(&ObjectRef::new(namespace));
        let mut labels = found.map(|object| object.labels().clone()).unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
        labels
    }

    /// Whether this cluster had a kind not when it was asked last, which was a moment ago.
    fn is_known_to_lack(&self, kind: &str) -> bool {
        let lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        lacking.get(kind).is_some_and(|asked| asked.elapsed() < ASK_AGAIN)
    }

    fn lacks(&self, kind: &str) {
        let mut lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        lacking.insert(kind.to_owned(), std::time::Instant::now());
    }

    fn judged_of(&self, key: &PolicyKey) -> Option<Judged> {
        self.judged.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn given_to(&self, namespace: &str) -> Option<rules::Given> {
        self.bundles.read().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned()
    }

    /// The status that an object has, as far as it can be known.
    fn status_before<K, S>(&self, object: &Guarded<K>, read: impl FnOnce(&K) -> Option<S>) -> Option<S>
    where
        K: Resource<DynamicType = ()>,
        S: DeserializeOwned,
    {
        match &object.0 {
            Ok(object) => read(object),
            Err(_) => {
                let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                told.get(&object.uid()?).and_then(|status| serde_json::from_value(status.clone()).ok())
            }
        }
    }

    /// Remembers the status that was written to an object that cannot be read.
    fn status_written<K>(&self, object: &Guarded<K>, status: &impl Serialize)
    where
        K: Resource<DynamicType = ()>,
    {
        if let (Err(_), Some(uid), Ok(status)) = (&object.0, object.uid(), serde_json::to_value(status)) {
            self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, status);
        }
    }

    /// Tells the people who look at an object what happened to it.
    async fn event<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        kind: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(shorten(note, 1000)),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(%error, reason, "an Event could not be written");
        }
    }
}

/// Writes the status of an object of ours, with a field manager of its own. One that went meanwhile is no failure.
async fn write_status<K>(
    client: &Client,
    manager: &str,
    (namespace, name): &(String, String),
    status: &impl Serialize,
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let patch = serde_json::json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "status": status,
    });
    let params = PatchParams::apply(manager).force();
    match apply::patch(client, &api, name, Some("status"), &params, &Patch::Apply(&patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map_err(Error::api("writing the status")),
    }
}

/// At most so many bytes, cut between characters.
fn shorten(text: &str, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default().to_owned()
}

type End<K> = mpsc::UnboundedReceiver<ObjectRef<Guarded<K>>>;

/// A cluster that is followed, before its controllers run.
pub struct Started {
    /// What the controllers share.
    pub cluster: Arc<Cluster>,
    changed: mpsc::UnboundedReceiver<dispatch::Change>,
    ends: Vec<(End<CompliancePolicy>, End<CrmTenant>, End<CrmTenant>)>,
    leading: Arc<AtomicBool>,
}

impl Started {
    /// Waits until the stores hold what is there.
    pub async fn filled(&self) {
        let cluster = &self.cluster;
        cluster.policies.ready().await;
        cluster.tenants.ready().await;
        cluster.namespaces.ready().await;
        cluster.revisions.ready().await;
        // Fails only when everything ends.
        let _ = cluster.servers.wait_until_ready().await;
        let scopes = cluster.config.tenant_scopes().len();
        for shelf in cluster.owned.values() {
            shelf.ready(scopes).await;
        }
        tracing::info!(
            policies = cluster.policies.all().count(),
            tenants = cluster.tenants.all().count(),
            "the stores are filled"
        );
    }

    /// Runs the controllers until `stop`; work that was begun is finished. Only the leader does.
    pub async fn run(self, stop: CancellationToken) {
        self.filled().await;
        let Self { cluster, changed, ends, leading } = self;
        leading.store(true, Ordering::Release);
        let scopes = cluster.config.tenant_scopes();
        for (index, scope) in scopes.iter().enumerate() {
            let source = Source::whole::<Pod>(watch::api(&cluster.client, scope)).labels(engines::SELECTOR);
            let look = match index {
                0 => {
                    let engines = cluster.engines.clone();
                    let resource = ApiResource::erase::<Pod>(&());
                    let forget = move |namespace: &str| engines.forget_namespace(namespace);
                    cluster.tenancies.follow(&resource, engines::SELECTOR, true, forget)
                }
                _ => mpsc::unbounded_channel().1,
            };
            let sink = cluster.engines.sink(scope.clone());
            tokio::spawn(watch::pump(source, sink, look, stop.child_token()));
        }
        // Statuses are judged by the engines that are there, so all of them are known before the first is written.
        cluster.engines.ready(scopes.len()).await;
        for policy in cluster.policies.all() {
            cluster.queue_policy(&watch::key_of(policy.as_ref()));
        }
        for namespace in cluster.tenant_namespaces() {
            cluster.queue_rules(&namespace);
            cluster.queue_tenant(&namespace);
        }
        let mut controllers = tokio::task::JoinSet::new();
        controllers.spawn(cluster.clone().keep_signing_keys(stop.clone()));
        tokio::select! {
            () = cluster.signing.ready() => {}
            () = stop.cancelled() => {}
        }
        controllers.spawn(dispatch::run(cluster.clone(), changed, stop.clone()));
        for (index, (policy_end, rules_end, tenant_end)) in ends.into_iter().enumerate() {
            let (Some(policies), Some(tenants)) =
                (cluster.policies.0.get(index).cloned(), cluster.tenants.0.get(index).cloned())
            else {
                continue;
            };
            // Who of them is worked on is for the turns of their namespaces to say.
            controllers.spawn(control(
                "policy",
                0,
                cluster.clone(),
                policies,
                policy_end,
                stop.clone(),
                policy::reconcile,
            ));
            controllers.spawn(control(
                "rules",
                CONCURRENCY,
                cluster.clone(),
                tenants.clone(),
                rules_end,
                stop.clone(),
                rules::reconcile,
            ));
            controllers.spawn(control(
                "tenant",
                CONCURRENCY,
                cluster.clone(),
                tenants,
                tenant_end,
                stop.clone(),
                tenant::reconcile,
            ));
        }
        while controllers.join_next().await.is_some() {}
    }
}

/// A store for each scope.
fn each<K>(scopes: &[Scope], store: impl Fn(&Scope) -> Store<K>) -> Index<K>
where
    K: reflector::Lookup + Clone + 'static,
    K::DynamicType: Clone + Eq + std::hash::Hash,
{
    Index(scopes.iter().map(store).collect())
}

/// Runs one controller over a queue, on so many objects at a time; on all where it is 0.
async fn control<K, F>(
    name: &'static str,
    concurrency: u16,
    cluster: Arc<Cluster>,
    store: Store<Guarded<K>>,
    queue: End<K>,
    stop: CancellationToken,
    reconcile: impl Fn(Arc<Guarded<K>>, Arc<Cluster>) -> F + Send + Sync + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let object = move |key: &(String, String)| format!("{name} {}/{}", key.0, key.1);
    let queue = futures::stream::unfold(queue, |mut queue| async { Some((queue.recv().await?, queue)) })
        .take_until(stop.cancelled_owned())
        .map(Ok::<_, std::convert::Infallible>);
    let work = applier(
        move |item: Arc<Guarded<K>>, cluster: Arc<Cluster>| {
            let key = watch::key_of(item.as_ref());
            let began = std::time::Instant::now();
            let outcome = reconcile(item, cluster.clone());
            Box::pin(async move {
                let outcome = outcome.await;
                let label = outcome.as_ref().map_or_else(Error::label, |_| "done");
                cluster.metrics.reconciled(name, label, began.elapsed());
                if outcome.is_ok() {
                    cluster.backoff.succeeded(&object(&key));
                }
                outcome
            })
        },
        move |item: Arc<Guarded<K>>, error: &Error, cluster: Arc<Cluster>| match error {
            Error::NotReady(_) => Action::requeue(Duration::from_millis(250)),
            error => {
                let key = watch::key_of(item.as_ref());
                let pause = cluster.backoff.failed(&object(&key));
                tracing::warn!(
                    controller = name,
                    namespace = key.0,
                    name = key.1,
                    error = error as &dyn std::error::Error,
                    retry_seconds = pause.as_secs(),
                    "a reconcile failed"
                );
                Action::requeue(pause)
            }
        },
        cluster,
        store,
        queue,
        ControllerConfig::default().concurrency(concurrency),
    );
    // Outcomes were logged and counted where they came about.
    work.for_each(|_| futures::future::ready(())).await;
}
