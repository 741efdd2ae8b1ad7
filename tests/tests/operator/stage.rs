//! Namespaces with manifests in; a running operator, played kubelets and real engines on them out. Everything that a
//! stage starts or makes ends with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, Namespace, PersistentVolumeClaim, Pod, Secret, ServiceAccount,
};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference};
use kube::api::{
    ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, Patch, PatchParams, PostParams,
};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use novacrm_crds::compliance_policy::CompliancePolicyStatus;
use novacrm_crds::crm_tenant::CrmTenantStatus;
use novacrm_crds::{CompliancePolicy, CrmTenant};
use novacrm_engine_core::bundle::Bundle;
use novacrm_operator::crm_tenant::build::BUNDLE_PUBLIC_KEYS;
use novacrm_operator::crm_tenant::database::Databases;
use novacrm_operator::crm_tenant::{generate, names};
use novacrm_operator::signing::{self, SigningKeys};
use novacrm_tests::cluster::{AuditEvent, AuditFilter, Cluster, PATIENCE, TestNamespace, eventually};
use novacrm_tests::memory::{self, Limited};
use novacrm_tests::system::{programs, repository};
use novacrm_tests::tools::go_tool;
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::kubectl::Kubectl;

/// Name that the manifests give to the database server.
const SERVER: &str = "default";
/// Where nobody answers: pods without a process behind them have this address.
const NOBODY: &str = "127.66.66.66";
/// How often the played kubelet looks for pods that nobody runs.
const LOOK: Duration = Duration::from_millis(150);

/// What a test stands on.
pub struct Stage {
    pub cluster: Cluster,
    pub client: Client,
    /// Namespace of the operator.
    pub home: String,
    /// Namespace of the organisation's policies.
    pub organisation: String,
    /// Namespaces for tenants.
    pub tenants: Vec<String>,
    /// What the operator is told to look at; all when empty.
    watched: Vec<String>,
    kubeconfig: PathBuf,
    folder: TempDir,
    kubelet: Kubelet,
    namespaces: Vec<TestNamespace>,
}

impl Stage {
    /// A stage with so many namespaces for tenants on the shared control plane. Its operator looks at nothing else, and
    /// the chart's protection is in force in these namespaces.
    pub async fn shared(tenants: usize) -> Self {
        Self::shared_with(tenants, true).await
    }

    /// The same without the protection: who may write in a namespace may write what is the operator's.
    pub async fn unprotected(tenants: usize) -> Self {
        Self::shared_with(tenants, false).await
    }

    async fn shared_with(tenants: usize, protected: bool) -> Self {
        let cluster = Cluster::connect().await.unwrap();
        cluster.apply_crds().await.unwrap();
        let mut owned = Vec::new();
        for prefix in ["operator", "policies"].into_iter().chain(std::iter::repeat_n("tenant", tenants)) {
            owned.push(cluster.namespace(prefix).await.unwrap());
        }
        let names: Vec<String> = owned.iter().map(|namespace| namespace.name().to_owned()).collect();
        let [home, organisation, tenants @ ..] = names.as_slice() else { unreachable!("two are made") };
        let mut stage = Self::on(cluster, home, organisation, tenants.to_vec(), true, protected).await;
        stage.namespaces = owned;
        stage
    }

    /// A stage on a control plane of its own, with namespaces of these names. Its operator looks at everything.
    pub async fn private(cluster: Cluster, home: &str, organisation: &str, tenants: Vec<String>) -> Self {
        let namespaces: Api<Namespace> = Api::all(cluster.client().unwrap());
        for name in [home, organisation].into_iter().chain(tenants.iter().map(String::as_str)) {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            let namespace = Namespace { metadata, ..Namespace::default() };
            namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        }
        Self::on(cluster, home, organisation, tenants, false, true).await
    }

    async fn on(
        cluster: Cluster,
        home: &str,
        organisation: &str,
        tenants: Vec<String>,
        shared: bool,
        protected: bool,
    ) -> Self {
        let client = cluster.client().unwrap();
        let watched = if shared { tenants.clone() } else { Vec::new() };
        install(&client, home, organisation, &watched, protected).await;
        let url = std::env::var("DATABASE_URL").unwrap();
        let mut server = Secret { metadata: named(SERVER), ..Secret::default() };
        server.metadata.labels = Some([("novacrm.io/database-server".to_owned(), "true".to_owned())].into());
        server.string_data = Some([("url".to_owned(), url)].into());
        let secrets: Api<Secret> = Api::namespaced(client.clone(), home);
        secrets.create(&PostParams::default(), &server).await.unwrap();
        let kubeconfig = cluster.kubeconfig_for_service_account(home, home).await.unwrap();
        let folder = tempfile::Builder::new().prefix("novacrm-operator.").tempdir().unwrap();
        let node = folder.path().join("node");
        Self {
            kubelet: Kubelet::start(client.clone(), watched.clone(), node),
            cluster,
            client,
            home: home.to_owned(),
            organisation: organisation.to_owned(),
            tenants,
            watched,
            kubeconfig,
            folder,
            namespaces: Vec::new(),
        }
    }

    /// Starts the operator and waits until its probe says ready.
    pub async fn operator(&self, pod_name: &str) -> Operator {
        let operator = self.start(pod_name);
        operator.ready().await;
        operator
    }

    /// Starts the operator as a container of the chart: with its limit of memory, at which the kernel ends it, and with
    /// the webhook. Waits until its probe says ready.
    pub async fn contained_operator(&self, pod_name: &str) -> Operator {
        let port = free_port();
        let mut operator = self.start_with(pod_name, &format!("127.0.0.1:{port}"));
        operator.webhook = format!("https://127.0.0.1:{port}/validate");
        let limited = Limited::process(operator.process.pid(), memory::DEFAULT_LIMIT).unwrap();
        if !limited.is_enforced() {
            let told = "no memory cgroup can be made here; the peak is measured alone";
            let _ = writeln!(std::io::stdout().lock(), "{told}");
        }
        operator.limited = Some(limited);
        operator.ready().await;
        operator
    }

    /// Starts the operator.
    pub fn start(&self, pod_name: &str) -> Operator {
        self.start_with(pod_name, "")
    }

    fn start_with(&self, pod_name: &str, webhook: &str) -> Operator {
        let port = free_port();
        let log = self.folder.path().join(format!("{pod_name}-{port}.log"));
        let child = program("novacrm-operator", &["run"], &log)
            .envs([
                ("POD_NAMESPACE", self.home.as_str()),
                ("POD_NAME", pod_name),
                ("NOVACRM_POLICY_NAMESPACE", &self.organisation),
                ("NOVACRM_WATCH_NAMESPACES", &self.watched.join(",")),
                ("NOVACRM_ADMIN_ADDRESS", &format!("127.0.0.1:{port}")),
                ("NOVACRM_LEASE", &self.home),
                ("NOVACRM_WEBHOOK_ADDRESS", webhook),
                ("NOVACRM_WEBHOOK_CONFIGURATION", &self.home),
            ])
            .env("KUBECONFIG", &self.kubeconfig)
            .spawn()
            .unwrap();
        Operator {
            process: Process { child, log },
            admin: format!("http://127.0.0.1:{port}"),
            webhook: String::new(),
            limited: None,
        }
    }

    /// Lets pods of a tenant's engine become Ready only as [`Stage::engine`] starts processes for them.
    pub fn run_engines(&self, namespace: &str) {
        self.kubelet.real.lock().unwrap().entry(namespace.to_owned()).or_default();
    }

    /// Lets pods of a tenant's engine become Ready with no process behind them.
    pub fn pretend_engines(&self, namespace: &str) {
        self.kubelet.real.lock().unwrap().remove(namespace);
    }

    /// Runs the programs of a tenant's Jobs from now on; of others, only those that dump.
    pub fn run_jobs(&self, namespace: &str) {
        self.kubelet.jobs.lock().unwrap().insert(namespace.to_owned());
    }

    /// The folder of a volume on the node, whether or not it was written to yet.
    pub fn volume(&self, namespace: &str, claim: &str) -> PathBuf {
        volume(&self.folder.path().join("node"), namespace, claim)
    }

    /// A connection to a database as the server's administrator.
    pub async fn administrator(&self, database: &str) -> PgConnection {
        let options = PgConnectOptions::from_str(&std::env::var("DATABASE_URL").unwrap()).unwrap();
        options.database(database).disable_statement_logging().connect().await.unwrap()
    }

    /// Databases and roles of a tenant that are on the server.
    pub async fn on_server(&self, namespace: &str) -> Vec<String> {
        let prefix = Databases::of(namespace).crm.name.trim_end_matches("crm").replace('_', "\\_");
        let mut server = self.administrator("postgres").await;
        let all = format!(
            "SELECT datname::text FROM pg_database WHERE datname LIKE '{prefix}%'
             UNION ALL SELECT rolname::text FROM pg_roles WHERE rolname LIKE '{prefix}%'"
        );
        let names = sqlx::query_scalar(AssertSqlSafe(all)).fetch_all(&mut server).await.unwrap();
        server.close().await.unwrap();
        names
    }

    /// What a Secret holds, as text.
    pub async fn secret(&self, namespace: &str, name: &str) -> BTreeMap<String, String> {
        let secrets: Api<Secret> = self.api(namespace);
        let bytes = content(&secrets, name).await.into_iter();
        bytes.map(|(key, value)| (key, String::from_utf8(value).unwrap())).collect()
    }

    /// Has a pod of a tenant's engine become Ready at an address where a test answers.
    pub fn engine_at(&self, namespace: &str, address: &str) {
        let mut real = self.kubelet.real.lock().unwrap();
        real.entry(namespace.to_owned()).or_default().push_back(address.to_owned());
    }

    /// Starts an engine for a tenant and has a pod of it become Ready at its address.
    pub async fn engine(&self, namespace: &str) -> Engine {
        let engine = Engine::start(self, namespace).await;
        let mut real = self.kubelet.real.lock().unwrap();
        real.entry(namespace.to_owned()).or_default().push_back(engine.address.clone());
        engine
    }

    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Server-side apply, as `kubectl apply --server-side` does it.
    pub async fn apply<K>(&self, object: &K) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let mut value = serde_json::to_value(object).unwrap();
        value["apiVersion"] = json!(K::api_version(&()));
        value["kind"] = json!(K::kind(&()));
        if let Some(fields) = value.as_object_mut() {
            fields.remove("status");
        }
        let params = PatchParams::apply("gitops").force();
        let api = self.api::<K>(&object.namespace().unwrap());
        api.patch(&object.name_any(), &params, &Patch::Apply(value)).await.unwrap()
    }

    /// Changes an object as somebody with an editor would.
    pub async fn merge<K>(&self, namespace: &str, name: &str, change: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let params = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
        self.api::<K>(namespace).patch(name, &params, &Patch::Merge(change)).await.unwrap()
    }

    /// Waits until a tenant's status satisfies.
    pub async fn tenant(&self, namespace: &str, what: impl Fn(&CrmTenantStatus) -> bool) -> CrmTenantStatus {
        let api: Api<CrmTenant> = self.api(namespace);
        let found = eventually(PATIENCE * 2, || async {
            let found = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let status = found.items.first().and_then(|tenant| tenant.status.clone()).unwrap_or_default();
            if what(&status) { Ok(status) } else { Err(format!("{namespace}: {status:#?}")) }
        });
        found.await.unwrap()
    }

    /// Waits until a tenant is Ready in its present generation.
    pub async fn tenant_is_ready(&self, namespace: &str) -> CrmTenantStatus {
        let tenants = self.api::<CrmTenant>(namespace).list(&ListParams::default()).await.unwrap();
        let generation = tenants.items[0].metadata.generation.unwrap();
        self.tenant(namespace, |status| {
            status.observed_generation == generation
                && of(&status.conditions, "Ready") == ("True", "Available")
        })
        .await
    }

    /// Waits until a policy's status satisfies.
    pub async fn policy(
        &self,
        namespace: &str,
        name: &str,
        what: impl Fn(&CompliancePolicyStatus) -> bool,
    ) -> CompliancePolicyStatus {
        let api: Api<CompliancePolicy> = self.api(namespace);
        let found = eventually(PATIENCE, || async {
            let policy = api.get(name).await.map_err(|error| error.to_string())?;
            let status = policy.status.unwrap_or_default();
            if what(&status) { Ok(status) } else { Err(format!("{namespace}/{name}: {status:#?}")) }
        });
        found.await.unwrap()
    }

    /// Waits until a version of a policy is in force on so many engines.
    pub async fn policy_is_enforced(
        &self,
        namespace: &str,
        name: &str,
        version: &str,
        engines: &str,
    ) -> CompliancePolicyStatus {
        self.policy(namespace, name, |status| {
            of(&status.conditions, "Ready") == ("True", "Enforced")
                && status.active.as_ref().is_some_and(|active| active.version == version)
                && status.engines.as_ref().is_some_and(|counts| counts.summary == engines)
        })
        .await
    }

    /// What a tenant's engines are given now; `None` when nothing.
    pub async fn bundle(&self, namespace: &str) -> Option<Bundle> {
        let maps: Api<ConfigMap> = self.api(namespace);
        let map = maps.get_opt(names::BUNDLE).await.unwrap()?;
        let bytes = map.binary_data.unwrap_or_default().remove(names::BUNDLE_KEY)?.0;
        Some(Bundle::decode(&bytes).unwrap())
    }

    /// Waits until the bundle of a tenant holds these versions of policies and no others.
    pub async fn bundle_holds(&self, namespace: &str, wanted: &[(&str, &str)]) -> Bundle {
        let wanted: BTreeSet<(String, String)> =
            wanted.iter().map(|&(name, version)| (name.to_owned(), version.to_owned())).collect();
        let found = eventually(PATIENCE, || async {
            let bundle = self.bundle(namespace).await.ok_or("there is no bundle")?;
            let policies = bundle.policies.iter();
            let held: BTreeSet<_> = policies.map(|one| (one.name.clone(), one.version.clone())).collect();
            if held == wanted { Ok(bundle) } else { Err(format!("{namespace}: {held:?}, not {wanted:?}")) }
        });
        found.await.unwrap()
    }

    /// A kubectl in a tenant's namespace, as a service account of it that has a built-in role there.
    pub async fn kubectl(&self, namespace: &str, role: &str) -> Kubectl {
        let name = format!("somebody-with-{role}");
        let account = ServiceAccount { metadata: named(&name), ..ServiceAccount::default() };
        self.api::<ServiceAccount>(namespace).create(&PostParams::default(), &account).await.unwrap();
        let binding = RoleBinding {
            metadata: named(&name),
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "ClusterRole".to_owned(),
                name: role.to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: name.clone(),
                namespace: Some(namespace.to_owned()),
                ..Subject::default()
            }]),
        };
        self.api::<RoleBinding>(namespace).create(&PostParams::default(), &binding).await.unwrap();
        let kubeconfig = self.cluster.kubeconfig_for_service_account(namespace, &name).await.unwrap();
        let kubectl = Kubectl { kubeconfig, ..Kubectl::of_environment() };
        // The API server learns of a binding a moment after it was made.
        eventually(PATIENCE, || async {
            let output = kubectl.run(&["get", "configmaps"], "");
            if output.status.success() { Ok(()) } else { Err("no rights yet") }
        })
        .await
        .unwrap();
        kubectl
    }

    /// Makes somebody an administrator of the cluster, as long as this stage is there.
    pub async fn cluster_administrator(&self, user: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let owner = namespaces.get(&self.home).await.unwrap();
        let binding = ClusterRoleBinding {
            metadata: ObjectMeta {
                owner_references: Some(vec![OwnerReference {
                    api_version: "v1".to_owned(),
                    kind: "Namespace".to_owned(),
                    name: self.home.clone(),
                    uid: owner.uid().unwrap(),
                    ..OwnerReference::default()
                }]),
                ..named(&format!("{}-{user}", self.home))
            },
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "ClusterRole".to_owned(),
                name: "cluster-admin".to_owned(),
            },
            subjects: Some(vec![Subject {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "User".to_owned(),
                name: user.to_owned(),
                ..Subject::default()
            }]),
        };
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        bindings.create(&PostParams::default(), &binding).await.unwrap();
    }

    /// The keys that this stage's operator signs with.
    pub async fn signing_keys(&self) -> SigningKeys {
        let secrets: Api<Secret> = self.api(&self.home);
        let secret = eventually(PATIENCE, || secrets.get(signing::SECRET)).await.unwrap();
        SigningKeys::read(&generate::content(&secret)).unwrap()
    }

    /// Signs a bundle as the operator does.
    pub async fn sign(&self, bundle: &Bundle) -> Vec<u8> {
        self.signing_keys().await.sign(&bundle.encode().unwrap()).unwrap()
    }

    /// The public keys that the pods of a tenant's engine are given.
    pub async fn public_keys(&self, namespace: &str) -> String {
        let deployments: Api<Deployment> = self.api(namespace);
        let found = eventually(PATIENCE, || async {
            let deployment = deployments.get(names::ENGINE).await.map_err(|error| error.to_string())?;
            let pod = deployment.spec.unwrap().template.spec.unwrap();
            let mut variables = pod.containers[0].env.iter().flatten();
            let found = variables.find(|variable| variable.name == BUNDLE_PUBLIC_KEYS);
            found.and_then(|variable| variable.value.clone()).ok_or("no keys".to_owned())
        });
        found.await.unwrap()
    }

    /// Waits for an Event about an object.
    pub async fn event(&self, namespace: &str, name: &str, reason: &str) -> Event {
        let events: Api<Event> = self.api(namespace);
        let found = eventually(PATIENCE, || async {
            let all = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let about =
                all.items.into_iter().filter(|event| event.involved_object.name.as_deref() == Some(name));
            let about: Vec<Event> = about.collect();
            let found = about.iter().find(|event| event.reason.as_deref() == Some(reason)).cloned();
            found.ok_or_else(|| {
                let reasons: Vec<_> = about.into_iter().filter_map(|event| event.reason).collect();
                format!("no Event {reason} about {name}, only {reasons:?}")
            })
        });
        found.await.unwrap()
    }

    /// The requests of this stage's operator so far.
    pub fn requests(&self) -> Vec<AuditEvent> {
        self.cluster.audit_log(&AuditFilter::service_account(&self.home, &self.home)).unwrap()
    }

    /// The rights that the chart gives sufficed.
    pub fn nothing_was_forbidden(&self) {
        let requests = self.requests();
        let forbidden = requests.iter().filter(|event| event.code() == 403);
        let forbidden: BTreeSet<_> =
            forbidden.map(|event| format!("{} {}", event.verb, event.request_uri)).collect();
        assert!(forbidden.is_empty(), "{forbidden:#?}");
    }

    /// The tenant of the quickstart, in a namespace.
    pub fn quickstart_tenant(&self, namespace: &str) -> CrmTenant {
        let mut tenant: CrmTenant = example("tenant.yaml");
        tenant.metadata.namespace = Some(namespace.to_owned());
        tenant
    }

    /// The organisation's policy of the quickstart, as its first version.
    pub fn organisation_policy(&self) -> CompliancePolicy {
        let mut policy: CompliancePolicy = example("policies/organisation-baseline.yaml");
        policy.spec.version = "1.0.0".to_owned();
        policy.metadata.namespace = Some(self.organisation.clone());
        policy
    }

    /// The tenant's policy of the quickstart, as its first version, in a namespace.
    pub fn tenant_policy(&self, namespace: &str) -> CompliancePolicy {
        let mut policy: CompliancePolicy = example("policies/acme-customer-data.yaml");
        policy.spec.version = "1.0.0".to_owned();
        policy.metadata.namespace = Some(namespace.to_owned());
        policy
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.namespaces.clear();
        let tenants = std::mem::take(&mut self.tenants);
        // The test's own runtime is ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(drop_databases(&tenants)).ok()
        });
        let _ = dropping.join();
    }
}

async fn drop_databases(tenants: &[String]) -> Result<(), sqlx::Error> {
    let url = std::env::var("DATABASE_URL").unwrap_or_default();
    let options = PgConnectOptions::from_str(&url)?.disable_statement_logging();
    let mut server: PgConnection = options.connect().await?;
    for tenant in tenants {
        let crm = Databases::of(tenant).crm.name;
        let prefix = crm.trim_end_matches("crm").replace('_', "\\_");
        for (of, what, name) in [("pg_database", "DATABASE", "datname"), ("pg_roles", "ROLE", "rolname")] {
            let all = format!("SELECT {name}::text FROM {of} WHERE {name} LIKE '{prefix}%'");
            let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(all)).fetch_all(&mut server).await?;
            for name in names {
                let force = if what == "DATABASE" { " WITH (FORCE)" } else { "" };
                server.execute(AssertSqlSafe(format!("DROP {what} \"{name}\"{force}"))).await?;
            }
        }
    }
    server.close().await
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// Makes the operator's account and gives it the rights that the chart gives. They go with the namespace.
async fn install(client: &Client, home: &str, organisation: &str, watched: &[String], protected: bool) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces.get(home).await.unwrap();
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        name: home.to_owned(),
        uid: namespace.uid().unwrap(),
        ..OwnerReference::default()
    };
    let values = format!(
        "fullnameOverride={home},policyNamespace.name={organisation},policyNamespace.create=false,\
         rbac.aggregate=false"
    );
    let watched = format!("watchNamespaces={}", json!(watched));
    let rendered = Command::new(go_tool("helm").unwrap())
        .args(["template", home, "charts/novacrm-operator", "--namespace", home, "--set", &values])
        .args(["--set-json", &watched])
        .args(["--show-only", "templates/serviceaccount.yaml", "--show-only", "templates/rbac.yaml"])
        .args(
            protected.then_some(["--show-only", "templates/validatingadmissionpolicy.yaml"]).iter().flatten(),
        )
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    for document in serde_yaml::Deserializer::from_slice(&rendered.stdout) {
        let mut object = DynamicObject::deserialize(document).unwrap();
        let types = object.types.clone().unwrap();
        let kind = GroupVersionKind::try_from(&types).unwrap();
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match object.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
            None => {
                object.metadata.owner_references = Some(vec![owner.clone()]);
                Api::all_with(client.clone(), &resource)
            }
        };
        api.create(&PostParams::default(), &object).await.unwrap();
    }
}

fn example<K: DeserializeOwned>(path: &str) -> K {
    let text = std::fs::read_to_string(repository().join("examples/quickstart").join(path)).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

/// Status and reason of a condition; empty when it is not there.
pub fn of<'a>(conditions: &'a [Condition], kind: &str) -> (&'a str, &'a str) {
    let found = conditions.iter().find(|condition| condition.type_ == kind);
    found.map(|condition| (condition.status.as_str(), condition.reason.as_str())).unwrap_or_default()
}

/// Message of a condition; empty when it is not there.
pub fn message<'a>(conditions: &'a [Condition], kind: &str) -> &'a str {
    conditions.iter().find(|condition| condition.type_ == kind).map_or("", |condition| &condition.message)
}

/// Gives a policy another version.
pub fn version(mut policy: CompliancePolicy, version: &str) -> CompliancePolicy {
    policy.spec.version = version.to_owned();
    policy.spec.changelog = format!("Version {version}.");
    policy
}

/// Makes a policy that the schema admits and the compiler does not.
pub fn broken(mut policy: CompliancePolicy) -> CompliancePolicy {
    policy.spec.custom_detectors[0].pattern = "(".to_owned();
    policy
}

/// A program of ours, bound to the life of the test's thread.
pub fn program(name: &str, arguments: &[&str], log: &Path) -> Command {
    let log = File::create(log).unwrap();
    let mut command = Command::new(programs().join("novacrm-test-cluster"));
    command
        .args(["__exec", &std::process::id().to_string(), "--"])
        .arg(programs().join(name))
        .args(arguments)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command
}

/// A process of ours, killed when it is dropped. Its log is shown when the test fails.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    async fn ended(&mut self) -> ExitStatus {
        let child = Mutex::new(&mut self.child);
        let ended = eventually(PATIENCE, || async {
            child.lock().unwrap().try_wait().unwrap().ok_or("it still runs")
        });
        ended.await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.iter().skip(lines.len().saturating_sub(40));
            let _ = writeln!(std::io::stderr(), "{}:", self.log.display());
            last.for_each(|line| drop(writeln!(std::io::stderr(), "  {line}")));
        }
    }
}

/// A running operator.
pub struct Operator {
    process: Process,
    admin: String,
    /// Where admissions are answered; empty when they are not.
    pub webhook: String,
    limited: Option<Limited>,
}

impl Operator {
    /// Status and text of a path of the admin port.
    pub async fn ask(&self, path: &str) -> Result<(u16, String), String> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("{}{path}", self.admin)).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|error| error.to_string())?))
    }

    pub async fn ready(&self) {
        eventually(PATIENCE, || async {
            let (status, text) = self.ask("/readyz").await?;
            if status == 200 { Ok(()) } else { Err(text) }
        })
        .await
        .unwrap();
    }

    /// Waits until a line of the metrics is there.
    pub async fn metric(&self, line: &str) {
        eventually(PATIENCE, || async {
            let (_, text) = self.ask("/metrics").await?;
            let found = text.lines().any(|one| one == line);
            if found { Ok(()) } else { Err(format!("no `{line}` in\n{text}")) }
        })
        .await
        .unwrap();
    }

    /// Waits until its log holds some words.
    pub async fn says(&self, words: &str) {
        eventually(PATIENCE, || async {
            let log = self.process.log();
            if log.contains(words) { Ok(()) } else { Err(log) }
        })
        .await
        .unwrap();
    }

    /// Waits until this process leads.
    pub async fn leads(&self) {
        self.metric("novacrm_operator_leading 1").await;
    }

    /// Resident memory in KiB: now (`VmRSS`) or at most so far (`VmHWM`).
    pub fn memory(&self, line: &str) -> u64 {
        memory::status(self.process.pid(), line).unwrap() / 1024
    }

    /// Whether it still runs, and never took more memory than the chart lets it.
    pub fn is_within_its_limit(&mut self) {
        let ended = self.process.child.try_wait().unwrap();
        assert_eq!(ended, None, "it was ended");
        let peak = memory::status(self.process.pid(), "VmHWM").unwrap();
        let _ = writeln!(std::io::stdout().lock(), "the operator took {} MiB at most", peak / 1024 / 1024);
        assert!(peak < memory::DEFAULT_LIMIT, "{peak} bytes");
    }

    /// Ends it as a broken machine would.
    pub fn kill(mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// Asks it to end and waits until it has.
    pub async fn stop(mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.ended().await
    }

    /// Waits until it ended by itself; how, and what it said.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let status = self.process.ended().await;
        (status, self.process.log())
    }
}

/// Plays the kubelet: Jobs' pods succeed, but for those that are really run, all others run. A tenant whose engines are
/// real gets an engine's address for each of its engine pods, and no more Ready pods than engines.
struct Kubelet {
    /// Addresses that no pod has yet, by namespace.
    real: Arc<Mutex<BTreeMap<String, VecDeque<String>>>>,
    /// Namespaces all of whose Jobs are really run.
    jobs: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl Kubelet {
    /// Plays on these namespaces; on all when none is named.
    fn start(client: Client, namespaces: Vec<String>, node: PathBuf) -> Self {
        let real: Arc<Mutex<BTreeMap<String, VecDeque<String>>>> = Arc::default();
        let addresses = real.clone();
        let jobs: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let run = jobs.clone();
        let all: Vec<Api<Pod>> = match namespaces.as_slice() {
            [] => vec![Api::all(client.clone())],
            some => some.iter().map(|name| Api::namespaced(client.clone(), name)).collect(),
        };
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LOOK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                for pods in &all {
                    let pending = ListParams::default().fields("status.phase=Pending");
                    // A server that is away, or a pod that goes meanwhile, is met again at the next look.
                    let Ok(found) = pods.list(&pending).await else { continue };
                    for pod in found {
                        let namespace = pod.namespace().unwrap_or_default();
                        let runs = pod
                            .labels()
                            .get("app.kubernetes.io/name")
                            .is_some_and(|name| name == names::DUMP)
                            || run.lock().unwrap().contains(&namespace);
                        let is_job = pod.owner_references().iter().any(|owner| owner.kind == "Job");
                        let status = if is_job && runs {
                            Some(json!({ "phase": run_pod(&client, &pod, &node).await }))
                        } else {
                            played(&pod, &namespace, &addresses)
                        };
                        let Some(status) = status else { continue };
                        let patch = Patch::Merge(json!({ "status": status }));
                        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
                        let _ = pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await;
                    }
                }
            }
        });
        Self { real, jobs, task }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The status of a pod that a kubelet found.
fn played(pod: &Pod, namespace: &str, real: &Mutex<BTreeMap<String, VecDeque<String>>>) -> Option<Value> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    if pod.owner_references().iter().any(|owner| owner.kind == "Job") {
        return Some(json!({ "phase": "Succeeded" }));
    }
    let engine = pod.labels().get("app.kubernetes.io/name").map(String::as_str) == Some(names::ENGINE);
    let mut real = real.lock().unwrap();
    let address = match real.get_mut(namespace) {
        Some(free) if engine => free.pop_front()?,
        _ => NOBODY.to_owned(),
    };
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .map(|kind| json!({ "type": kind, "status": "True" }));
    Some(json!({
        "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }], "conditions": conditions,
    }))
}

fn volume(node: &Path, namespace: &str, claim: &str) -> PathBuf {
    node.join("volumes").join(namespace).join(claim)
}

/// Runs the containers of a pod as processes, one after the other, with their Secrets and volumes as folders; the phase
/// in which the pod ends.
async fn run_pod(client: &Client, pod: &Pod, node: &Path) -> &'static str {
    let namespace = pod.namespace().unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let spec = pod.spec.as_ref().unwrap();
    let home = node.join(pod.uid().unwrap());
    std::fs::create_dir_all(&home).unwrap();
    let mut folders: BTreeMap<&str, PathBuf> = BTreeMap::new();
    for one in spec.volumes.iter().flatten() {
        if let Some(claim) = &one.persistent_volume_claim {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
            claims.get(&claim.claim_name).await.unwrap();
            let folder = volume(node, &namespace, &claim.claim_name);
            // A volume that was broken stays so.
            let _ = std::fs::create_dir_all(&folder);
            folders.insert(&one.name, folder);
        } else if let Some(source) = &one.secret {
            let name = source.secret_name.as_deref().unwrap();
            let data = match secrets.get_opt(name).await.unwrap() {
                Some(secret) => secret.data.unwrap_or_default(),
                None => Default::default(),
            };
            let file = |key: &String| match &source.items {
                Some(items) => items.iter().find(|item| item.key == *key).map(|item| item.path.clone()),
                None => Some(key.clone()),
            };
            let files = data.into_iter().filter_map(|(key, value)| Some((file(&key)?, value.0)));
            let files: BTreeMap<String, Vec<u8>> = files.collect();
            assert!(source.optional == Some(true) || !files.is_empty(), "{name} is not mounted");
            let folder = home.join(&one.name);
            mount(&folder, &files);
            folders.insert(&one.name, folder);
        }
    }
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        let here = |text: &str| {
            let mounts = container.volume_mounts.iter().flatten();
            let mut found = mounts.filter_map(|mount| {
                let rest = text.strip_prefix(&mount.mount_path)?;
                Some(format!("{}{rest}", folders.get(mount.name.as_str())?.display()))
            });
            // The mount that is declared last counts.
            found.next_back().unwrap_or_else(|| text.to_owned())
        };
        let mut environment = Vec::new();
        for variable in container.env.iter().flatten() {
            let key = variable.value_from.as_ref().and_then(|source| source.secret_key_ref.as_ref());
            let value = match key {
                Some(key) => {
                    let secret = secrets.get(&key.name).await.unwrap().data.unwrap();
                    String::from_utf8(secret[&key.key].0.clone()).unwrap()
                }
                None => here(variable.value.as_deref().unwrap_or_default()),
            };
            environment.push((variable.name.clone(), value));
        }
        let image = container.image.as_deref().unwrap().rsplit('/').next().unwrap();
        let (name, _) = image.split_once(':').unwrap();
        let arguments: Vec<String> = container.args.iter().flatten().map(|word| here(word)).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let log = home.join(format!("{}.log", container.name));
        let mut command = program(name, &arguments, &log);
        command.envs(environment);
        let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
        if !status.success() {
            return "Failed";
        }
    }
    "Succeeded"
}

/// A real engine of a tenant, on a loopback address of its own.
pub struct Engine {
    pub address: String,
    _process: Process,
    maps: Api<ConfigMap>,
    mount: JoinHandle<()>,
    folder: TempDir,
}

impl Engine {
    async fn start(stage: &Stage, namespace: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("novacrm-engine.").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let secrets: Api<Secret> = stage.api(namespace);
        for (secret, path) in [(names::ENGINE_TLS, "tls"), (names::ENGINE_KEYS, "keys")] {
            mount(&at(path), &content(&secrets, secret).await);
        }
        // The Secret says how to reach the databases before they are made.
        stage.tenant(namespace, |status| of(&status.conditions, "Database").0 == "True").await;
        let database = content(&secrets, names::DATABASE).await;
        let url = |key: &str| String::from_utf8(database[key].clone()).unwrap();
        let mut migration = program("novacrm-engine", &["audit", "migrate"], &at("migrate.log"))
            .envs([
                ("NOVACRM_TENANT", namespace.to_owned()),
                ("NOVACRM_AUDIT_MIGRATION_DATABASE_URL", url(names::AUDIT_MIGRATION_URL)),
            ])
            .spawn()
            .unwrap();
        let migrated = eventually(PATIENCE, || {
            let status = migration.try_wait().unwrap();
            async move { status.ok_or("the migration runs") }
        });
        let migrated = migrated.await.unwrap();
        assert!(migrated.success(), "{}", std::fs::read_to_string(at("migrate.log")).unwrap());

        let public_keys = stage.public_keys(namespace).await;
        let maps: Api<ConfigMap> = stage.api(namespace);
        let mount = tokio::spawn(follow(maps.clone(), folder.path().to_owned()));
        let address = free_address();
        let child = program("novacrm-engine", &["serve"], &at("engine.log"))
            .envs([
                ("NOVACRM_TENANT", namespace.to_owned()),
                (BUNDLE_PUBLIC_KEYS, public_keys),
                ("NOVACRM_LISTEN", format!("{address}:8443")),
                ("NOVACRM_ADMIN_LISTEN", format!("{address}:9090")),
                ("NOVACRM_AUDIT_DATABASE_URL", url(names::AUDIT_URL)),
            ])
            .envs([
                ("NOVACRM_TLS_DIR", at("tls")),
                ("NOVACRM_KEYS_DIR", at("keys")),
                ("NOVACRM_BUNDLE_DIR", at("bundle")),
                ("NOVACRM_BUNDLE_PREVIOUS_DIR", at("previous")),
            ])
            .spawn()
            .unwrap();
        let process = Process { child, log: at("engine.log") };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let probe = format!("http://{address}:9090/readyz");
        eventually(PATIENCE, || async {
            let answer = client.get(&probe).send().await.map_err(|error| error.to_string())?;
            let status = answer.status();
            if status.is_success() { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
        })
        .await
        .unwrap();
        Self { address, _process: process, maps, mount, folder }
    }

    /// The value of a line of its metrics.
    pub async fn metric(&self, line: &str) -> u64 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{}:9090/metrics", self.address)).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let found = text.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no `{line}` in\n{text}")).parse().unwrap()
    }

    /// Waits until a line of its metrics has a value.
    pub async fn until(&self, line: &str, holds: impl Fn(u64) -> bool) {
        eventually(PATIENCE, || async {
            let value = self.metric(line).await;
            if holds(value) { Ok(()) } else { Err(format!("{line} {value}")) }
        })
        .await
        .unwrap();
    }

    /// What it decides about a text, as the tenant's API asks it.
    pub async fn analyze(&self, stage: &Stage, namespace: &str, text: &str) -> Value {
        let tls = content(&stage.api(namespace), names::API_TLS).await;
        let config =
            novacrm_service::tls::client_config(&tls["ca.crt"], &tls["tls.crt"], &tls["tls.key"]).unwrap();
        let name = format!("{}.{namespace}.svc", names::ENGINE);
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(config)
            .resolve(&name, format!("{}:8443", self.address).parse().unwrap())
            .build()
            .unwrap();
        let request = client.post(format!("https://{name}:8443/v1/analyze")).json(&json!({ "text": text }));
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        answer.json().await.unwrap()
    }

    /// Gives it these rules, and none of the cluster until [`Engine::resume`].
    pub fn give(&self, bundle: &[u8]) {
        self.mount.abort();
        let files = [(names::BUNDLE_KEY.to_owned(), bundle.to_vec())];
        mount(&self.folder.path().join("bundle"), &files.into());
    }

    /// Gives it the rules of the cluster again.
    pub fn resume(&mut self) {
        self.mount = tokio::spawn(follow(self.maps.clone(), self.folder.path().to_owned()));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.mount.abort();
    }
}

/// Waits for a Secret; what it holds.
async fn content(secrets: &Api<Secret>, name: &str) -> BTreeMap<String, Vec<u8>> {
    let found = eventually(PATIENCE, || secrets.get(name)).await.unwrap();
    found.data.unwrap_or_default().into_iter().map(|(key, ByteString(bytes))| (key, bytes)).collect()
}

/// Files as a kubelet mounts them: each is there whole.
fn mount(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, bytes) in files {
        let new = folder.join(format!("..{name}"));
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(&new, folder.join(name)).unwrap();
    }
}

/// Plays the kubelet's mounts of ConfigMaps.
async fn follow(maps: Api<ConfigMap>, folder: PathBuf) {
    let mut ticks = tokio::time::interval(LOOK);
    let mut seen: BTreeMap<&str, Option<String>> = BTreeMap::new();
    loop {
        ticks.tick().await;
        for (name, path) in [(names::BUNDLE_PREVIOUS, "previous"), (names::BUNDLE, "bundle")] {
            let Ok(Some(map)) = maps.get_opt(name).await else { continue };
            if seen.insert(name, map.resource_version()) != Some(map.resource_version()) {
                let data = map.binary_data.unwrap_or_default();
                let files = data.into_iter().map(|(key, ByteString(bytes))| (key, bytes)).collect();
                mount(&folder.join(path), &files);
            }
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A loopback address that nobody uses: engines listen on fixed ports.
pub fn free_address() -> String {
    loop {
        let [a, b, c] = rand::random::<[u8; 3]>();
        let address = format!("127.{}.{}.{}", a.max(1), b, c.clamp(1, 254));
        if TcpListener::bind(format!("{address}:8443")).is_ok() {
            return address;
        }
    }
}
