//! A number of engines, policies and changes in; how long each change took from the answer to its write until every
//! engine acknowledged it, out.
//!
//! The operator and the engines are the built programs on a real API server, each as its own service account. There is
//! no kubelet, so its part is played: the tenant's Secrets become files, the migration runs as its Job describes it, and
//! pods say where the engines listen. Who measures asks each engine as the operator does, by a long poll over mutual
//! TLS, and checks with decisions of the engines that what they acknowledge is what they do.

mod follow;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::{NamespaceResourceScope, ResourceExt};
use kube::{Api, Client};
use novacrm_crds::{CompliancePolicy, CrmTenant};
use novacrm_engine_wire::Action;
use novacrm_operator::crm_tenant::generate::content;
use novacrm_operator::crm_tenant::{ADMIN_PORT, ENGINE_PORT, names};
use novacrm_operator::signing::{self, SigningKeys};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use follow::{Following, Peer, changing_policy};
use follow::{is_enforced, policy};

use crate::cluster::{Cluster, ClusterError, Late, PATIENCE, TestNamespace, eventually};
use crate::system::programs;

/// Name of the Secret that describes the database server.
const SERVER: &str = "default";
/// Longest time that hundreds of policies and the engines may take to settle.
const SETTLE: Duration = Duration::from_secs(300);
/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Engines of the one tenant, at most 100.
    pub engines: usize,
    /// Policies that apply to it, the one that changes included.
    pub policies: usize,
    /// Changes of that one, each after the one before is in force everywhere.
    pub changes: usize,
}

/// One change; all times are from the answer of the API server to the write of the policy.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Until the tenant's ConfigMap with the rules was seen to change.
    pub bundle: Duration,
    /// Until the first engine acknowledged.
    pub first: Duration,
    /// Until the last engine acknowledged.
    pub last: Duration,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In the order of the changes.
    pub samples: Vec<Sample>,
    /// Decisions that were compared with what the policy says then.
    pub decisions: usize,
    /// Lines of the operator's own histogram `novacrm_operator_policy_propagation_seconds`.
    pub histogram: Vec<String>,
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum PropagationError {
    /// The numbers make no sense.
    #[error("at least one engine, policy and change are needed, and at most 100 engines: {0:?}")]
    Size(Size),
    /// The environment names no database server.
    #[error("DATABASE_URL is not set: run it under `novacrm-test-postgres`")]
    NoDatabase,
    /// No cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The API server refused or did not answer.
    #[error("{what}: {source}")]
    Api {
        /// What was tried.
        what: &'static str,
        /// What came.
        source: Box<kube::Error>,
    },
    /// It did not come about.
    #[error("{what}: {late}\n{said}")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// What was missing.
        late: Late,
        /// Last lines of the operator's log.
        said: String,
    },
    /// The machine refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A request failed.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// The operator's identity cannot be used.
    #[error("{0}")]
    Tls(#[from] novacrm_service::tls::TlsError),
    /// A manifest of ours is none.
    #[error("{0}")]
    Manifest(#[from] serde_json::Error),
    /// A program ended with a failure.
    #[error("{what} failed:\n{said}")]
    Program {
        /// Which.
        what: &'static str,
        /// What it said last.
        said: String,
    },
    /// An engine that acknowledged a version decides by another.
    #[error("an engine that acknowledged version {version} decided {action:?} by {found:?}")]
    Decision {
        /// What it acknowledged.
        version: String,
        /// What it did.
        action: Action,
        /// By which version of the policy.
        found: Option<String>,
    },
}

impl PropagationError {
    /// With what the operator said, where that is missing.
    fn explained(mut self, words: String) -> Self {
        if let Self::Late { said, .. } | Self::Program { said, .. } = &mut self
            && said.is_empty()
        {
            *said = words;
        }
        self
    }
}

/// Starts everything, makes the changes and ends everything. Dropped, it ends everything at once.
///
/// # Errors
/// When a part does not start, a change does not arrive, or an engine does not do what it acknowledged.
pub async fn measure(size: Size, say: impl Fn(&str)) -> Result<Outcome, PropagationError> {
    if size.engines == 0 || size.engines > 100 || size.policies == 0 || size.changes == 0 {
        return Err(PropagationError::Size(size));
    }
    let stage = Stage::start(size).await?;
    say("the operator runs and the tenant is prepared");
    let engines = stage.start_engines(size.engines).await?;
    say("the engines run");
    stage.settle(size).await?;
    say("every policy is enforced by every engine");
    stage.changes(size, &engines, &say).await
}

// ---- what it stands on -----------------------------------------------------------------------------------------

/// A process of ours, killed when it is dropped, and when this process is.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program of ours with these variables added to the environment.
    fn start(
        name: &str,
        arguments: &[&str],
        log: PathBuf,
        environment: &[(&str, &OsStr)],
    ) -> io::Result<Self> {
        let output = File::create(&log)?;
        let child = Command::new(programs().join("novacrm-test-cluster"))
            .args(["__exec", &std::process::id().to_string(), "--"])
            .arg(programs().join(name))
            .args(arguments)
            .env_remove("DATABASE_URL")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self { child, log })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails only when the process is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Stage {
    // Goes before the namespaces, or it would mend what is deleted.
    operator: Process,
    home: TestNamespace,
    organisation: TestNamespace,
    tenant: TestNamespace,
    admin: SocketAddr,
    folder: TempDir,
    cluster: Cluster,
    client: Client,
}

impl Stage {
    /// The operator with a tenant whose databases are ready, and all policies.
    async fn start(size: Size) -> Result<Self, PropagationError> {
        let url = std::env::var("DATABASE_URL").map_err(|_| PropagationError::NoDatabase)?;
        let cluster = Cluster::connect().await?;
        cluster.apply_crds().await?;
        let client = cluster.client()?;
        let home = cluster.namespace("propagation-operator").await?;
        let organisation = cluster.namespace("propagation-policies").await?;
        let tenant = cluster.namespace("propagation-tenant").await?;
        let folder = tempfile::Builder::new().prefix("novacrm-propagation.").tempdir()?;

        let server = json!({
            "metadata": { "name": SERVER, "labels": { "novacrm.io/database-server": "true" } },
            "stringData": { "url": url },
        });
        create::<Secret>(&client, home.name(), server).await?;
        create::<ServiceAccount>(&client, home.name(), json!({ "metadata": { "name": "operator" } })).await?;
        administrator(&client, home.name()).await?;
        for number in 1..size.policies {
            create::<CompliancePolicy>(&client, organisation.name(), small_policy(number)).await?;
        }
        let changing = changing_policy(0);
        create::<CompliancePolicy>(&client, organisation.name(), changing).await?;
        create::<CrmTenant>(&client, tenant.name(), tenant_manifest(size.engines)).await?;

        let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let kubeconfig = cluster.kubeconfig_for_service_account(home.name(), "operator").await?;
        let environment: [(&str, &OsStr); 8] = [
            ("POD_NAMESPACE", home.name().as_ref()),
            ("POD_NAME", "operator-0".as_ref()),
            ("NOVACRM_POLICY_NAMESPACE", organisation.name().as_ref()),
            ("NOVACRM_WATCH_NAMESPACES", tenant.name().as_ref()),
            ("NOVACRM_ADMIN_ADDRESS", &OsString::from(admin.to_string())),
            ("NOVACRM_LEASE", "novacrm-operator".as_ref()),
            ("NOVACRM_WEBHOOK_ADDRESS", "".as_ref()),
            ("KUBECONFIG", kubeconfig.as_ref()),
        ];
        let log = folder.path().join("operator.log");
        let operator = Process::start("novacrm-operator", &["run"], log, &environment)?;
        let stage = Self { operator, home, organisation, tenant, admin, folder, cluster, client };
        stage.migrate().await?;
        Ok(stage)
    }

    fn api<K>(&self, namespace: &TestNamespace) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace.name())
    }

    /// Runs the migration of the audit log, and lets the Jobs succeed. The CRM itself is not started.
    async fn migrate(&self) -> Result<(), PropagationError> {
        let tenants: Api<CrmTenant> = self.api(&self.tenant);
        let prepared = || async {
            let tenant = tenants.get("acme").await.map_err(|error| error.to_string())?;
            let status = tenant.status.unwrap_or_default();
            let database = status.conditions.iter().find(|condition| condition.type_ == "Database");
            let ready = database.is_some_and(|condition| condition.status == "True");
            if ready { Ok(()) } else { Err(format!("{:?}", status.conditions)) }
        };
        self.wait("the tenant's databases", SETTLE, prepared).await?;
        let url = self.secret(names::DATABASE, names::AUDIT_MIGRATION_URL).await?;
        let log = self.folder.path().join("migrate.log");
        let environment: [(&str, &OsStr); 2] =
            [("NOVACRM_TENANT", self.tenant.name().as_ref()), ("NOVACRM_AUDIT_MIGRATION_DATABASE_URL", &url)];
        let mut migration = Process::start("novacrm-engine", &["audit", "migrate"], log, &environment)?;
        let status = eventually(PATIENCE, || {
            let ended = migration.child.try_wait();
            async move { ended.map_err(|error| error.to_string())?.ok_or("it still runs".to_owned()) }
        })
        .await;
        if !status.is_ok_and(|status| status.success()) {
            return Err(PropagationError::Program {
                what: "the migration",
                said: last_lines(&migration.log),
            });
        }
        let pods: Api<Pod> = self.api(&self.tenant);
        let migrated = || async {
            let failed = |error: kube::Error| error.to_string();
            for pod in pods.list(&ListParams::default()).await.map_err(failed)? {
                let pending =
                    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending");
                if pending && pod.owner_references().iter().any(|owner| owner.kind == "Job") {
                    let done = Patch::Merge(json!({ "status": { "phase": "Succeeded" } }));
                    pods.patch_status(&pod.name_any(), &PatchParams::default(), &done)
                        .await
                        .map_err(failed)?;
                }
            }
            let tenant = tenants.get("acme").await.map_err(failed)?;
            let migrated = tenant.status.and_then(|status| status.migrated);
            migrated.map(|_| ()).ok_or("the Jobs have not succeeded".to_owned())
        };
        self.wait("the tenant's migrations", SETTLE, migrated).await
    }

    /// Starts the engines, each on a loopback address of its own with a pod that says so.
    async fn start_engines(&self, count: usize) -> Result<Vec<Engine>, PropagationError> {
        let mount = |name: &str| self.folder.path().join(name);
        for name in [names::ENGINE_TLS, names::ENGINE_KEYS, names::OPERATOR_TLS, names::API_TLS] {
            self.mount(name).await?;
        }
        let url = self.secret(names::DATABASE, names::AUDIT_URL).await?;
        let namespace = self.tenant.name();
        let kubeconfig = self.cluster.kubeconfig_for_service_account(namespace, names::ENGINE).await?;
        let (tls, keys) = (mount(names::ENGINE_TLS), mount(names::ENGINE_KEYS));
        // As the operator writes it into the pods.
        let secrets: Api<Secret> = self.api(&self.home);
        let signing = secrets.get(signing::SECRET).await.map_err(api("the keys that sign rules"))?;
        let signing = SigningKeys::read(&content(&signing)).map_err(io::Error::other)?;
        let public_keys = OsString::from(signing.public_lines());
        let mut engines = Vec::new();
        for address in free_addresses(count)? {
            let log = mount(&format!("engine-{address}.log"));
            let listen = |port| OsString::from(SocketAddr::new(address, port).to_string());
            let environment: [(&str, &OsStr); 10] = [
                ("NOVACRM_TENANT", namespace.as_ref()),
                ("NOVACRM_BUNDLE_PUBLIC_KEYS", &public_keys),
                ("NOVACRM_LISTEN", &listen(ENGINE_PORT)),
                ("NOVACRM_ADMIN_LISTEN", &listen(ADMIN_PORT)),
                ("NOVACRM_TLS_DIR", tls.as_ref()),
                ("NOVACRM_KEYS_DIR", keys.as_ref()),
                ("NOVACRM_BUNDLE_CONFIG_MAP", names::BUNDLE.as_ref()),
                ("NOVACRM_BUNDLE_CONFIG_MAP_PREVIOUS", names::BUNDLE_PREVIOUS.as_ref()),
                ("NOVACRM_AUDIT_DATABASE_URL", &url),
                ("KUBECONFIG", kubeconfig.as_ref()),
            ];
            let process = Process::start("novacrm-engine", &["serve"], log, &environment)?;
            engines.push(Engine { _process: process, address, peer: self.peer(address)? });
        }
        let probe = reqwest::Client::builder().no_proxy().build()?;
        for engine in &engines {
            let url = format!("http://{}/readyz", SocketAddr::new(engine.address, ADMIN_PORT));
            let ready = || async {
                let answer = probe.get(&url).send().await.map_err(|error| error.to_string())?;
                let status = answer.status();
                if status.is_success() { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
            };
            self.wait("an engine", PATIENCE, ready).await?;
            self.announce(engine.address).await?;
        }
        Ok(engines)
    }

    /// Has a pod of the tenant's engines become Ready at an address.
    async fn announce(&self, address: IpAddr) -> Result<(), PropagationError> {
        let pods: Api<Pod> = self.api(&self.tenant);
        let engines = ListParams::default().labels(&format!("app.kubernetes.io/name={}", names::ENGINE));
        let found = || async {
            let pods = pods.list(&engines).await.map_err(|error| error.to_string())?;
            let pending = |pod: &&Pod| {
                pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending")
            };
            pods.items.iter().find(pending).map(|pod| pod.name_any()).ok_or("no pod waits".to_owned())
        };
        let name = self.wait("a pod of an engine", SETTLE, found).await?;
        let status = Patch::Merge(json!({ "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        } }));
        pods.patch_status(&name, &PatchParams::default(), &status).await.map_err(api("a pod"))?;
        Ok(())
    }

    async fn secret(&self, name: &str, key: &str) -> Result<OsString, PropagationError> {
        let secrets: Api<Secret> = self.api(&self.tenant);
        let secret = secrets.get(name).await.map_err(api("a Secret of the tenant"))?;
        let value = secret.data.and_then(|mut data| data.remove(key));
        Ok(value.map(|bytes| OsString::from_vec(bytes.0)).unwrap_or_default())
    }

    /// Writes a Secret as files, as the kubelet mounts it.
    async fn mount(&self, name: &str) -> Result<(), PropagationError> {
        let secrets: Api<Secret> = self.api(&self.tenant);
        let secret = secrets.get(name).await.map_err(api("a Secret of the tenant"))?;
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder)?;
        for (key, bytes) in secret.data.unwrap_or_default() {
            let mut options = File::options();
            options.write(true).create_new(true).mode(0o600);
            options.open(folder.join(key))?.write_all(&bytes.0)?;
        }
        Ok(())
    }

    /// The engine at an address, to the tenant's identities.
    fn peer(&self, address: IpAddr) -> Result<Peer, PropagationError> {
        Peer::new(self.tenant.name(), address, |identity, file| {
            Ok(fs::read(self.folder.path().join(identity).join(file))?)
        })
    }

    /// Waits until the operator says of every policy that every engine enforces it.
    async fn settle(&self, size: Size) -> Result<(), PropagationError> {
        let policies: Api<CompliancePolicy> = self.api(&self.organisation);
        let enforced = || async {
            let list = policies.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let settled = list.iter().filter(|policy| is_enforced(policy, size.engines)).count();
            if settled == size.policies {
                return Ok(());
            }
            let example = list.items.iter().find(|policy| !is_enforced(policy, size.engines));
            Err(format!("{settled} of {}, not {:?}", size.policies, example.map(|policy| &policy.status)))
        };
        self.wait("every policy on every engine", SETTLE, enforced).await
    }

    async fn wait<T, F, E>(
        &self,
        what: &'static str,
        patience: Duration,
        attempt: impl FnMut() -> F,
    ) -> Result<T, PropagationError>
    where
        F: Future<Output = Result<T, E>>,
        E: std::fmt::Display,
    {
        eventually(patience, attempt).await.map_err(|late| PropagationError::Late {
            what,
            late,
            said: last_lines(&self.operator.log),
        })
    }

    // ---- the measurement ---------------------------------------------------------------------------------------

    async fn changes(
        &self,
        size: Size,
        engines: &[Engine],
        say: &impl Fn(&str),
    ) -> Result<Outcome, PropagationError> {
        let peers: Vec<Peer> = engines.iter().map(|engine| engine.peer.clone()).collect();
        let following = Following {
            client: self.client.clone(),
            organisation: self.organisation.name().to_owned(),
            tenant: self.tenant.name().to_owned(),
            peers,
        };
        let followed = following.changes(size.changes, say).await;
        let (samples, decisions) =
            followed.map_err(|error| error.explained(last_lines(&self.operator.log)))?;
        Ok(Outcome { samples, decisions, histogram: self.histogram().await? })
    }

    async fn histogram(&self) -> Result<Vec<String>, PropagationError> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let text = client.get(format!("http://{}/metrics", self.admin)).send().await?.text().await?;
        let name = "novacrm_operator_policy_propagation_seconds_";
        Ok(text.lines().filter_map(|line| line.strip_prefix(name)).map(str::to_owned).collect())
    }
}

struct Engine {
    _process: Process,
    address: IpAddr,
    peer: Peer,
}

fn small_policy(number: usize) -> Value {
    let word = format!("REF-{number:04}");
    policy(&format!("small-{number:04}"), "1.0.0", &word, &format!("SMALL-{number:04}"), "flag")
}

fn tenant_manifest(engines: usize) -> Value {
    json!({
        "metadata": { "name": "acme" },
        "spec": {
            "displayName": "Acme",
            "locale": "fr",
            "engine": { "replicas": engines },
            "database": { "type": "managed", "managed": { "serverRef": { "name": SERVER } } },
            "auth": { "bootstrapAdmin": {
                "email": "admin@acme.example",
                "displayName": "Camille Martin",
                "passwordSecretRef": { "name": "acme-admin", "key": "password" },
            } },
        },
    })
}

async fn create<K>(client: &Client, namespace: &str, manifest: Value) -> Result<K, PropagationError>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let object: K = serde_json::from_value(manifest)?;
    let objects: Api<K> = Api::namespaced(client.clone(), namespace);
    objects.create(&PostParams::default(), &object).await.map_err(api("an object of the stage"))
}

/// Gives the account `operator` of a namespace every right, as long as there is the namespace.
async fn administrator(client: &Client, namespace: &str) -> Result<(), PropagationError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let owner = namespaces.get(namespace).await.map_err(api("the operator's namespace"))?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": { "name": namespace, "ownerReferences": [{
            "apiVersion": "v1", "kind": "Namespace", "name": namespace, "uid": owner.uid(),
        }] },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": "operator", "namespace": namespace }],
    }))?;
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    bindings.create(&PostParams::default(), &binding).await.map_err(api("the operator's rights"))?;
    Ok(())
}

/// Loopback addresses where nobody listens on the engine's ports, in a network that depends on this process.
fn free_addresses(count: usize) -> io::Result<Vec<IpAddr>> {
    let [.., network, _] = std::process::id().to_be_bytes();
    let [.., part] = std::process::id().to_be_bytes();
    let addresses: Vec<IpAddr> = (1..=254)
        .map(|host| IpAddr::V4(Ipv4Addr::new(127, network.max(1), part, host)))
        .filter(|address| {
            [ENGINE_PORT, ADMIN_PORT].iter().all(|port| TcpListener::bind((*address, *port)).is_ok())
        })
        .take(count)
        .collect();
    if addresses.len() < count {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "too few loopback addresses are free"));
    }
    Ok(addresses)
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(20)).copied().collect::<Vec<_>>().join("\n")
}

fn api(what: &'static str) -> impl Fn(kube::Error) -> PropagationError {
    move |source| PropagationError::Api { what, source: Box::new(source) }
}
