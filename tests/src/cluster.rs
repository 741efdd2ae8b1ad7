//! A real Kubernetes API for tests: the environment in (see `novacrm-test-cluster`), clients, namespaces, accounts and
//! the audit log out.
//!
//! Tests share one control plane and own their namespaces. What must not be shared (a dead API server, another
//! version of the kinds) takes a [`ControlPlane`] of its own.

mod audit;
mod control_plane;
mod node;
mod pki;
mod processes;
mod wait;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, Config};
use serde_json::json;
use tempfile::TempDir;

pub use audit::{AuditEvent, AuditFilter, AuditObject, AuditStatus, AuditUser};
pub use control_plane::{ControlPlane, ControlPlaneError, machine_address};
pub use node::{ADDRESS, FOLDER, IMAGES, NEXT_VERSION, NODE, Node, SWEEP, Sweeper, sweep};
pub use pki::PkiError;
pub use processes::Processes;
pub use wait::{Late, eventually};

use crate::system::repository;

/// Names the administrator's kubeconfig of the cluster that tests use.
pub const KUBECONFIG: &str = "NOVACRM_TEST_KUBECONFIG";
/// Names the API server's audit log.
pub const AUDIT_LOG: &str = "NOVACRM_TEST_AUDIT_LOG";
/// Names the `kubectl` of the same release.
pub const KUBECTL: &str = "NOVACRM_TEST_KUBECTL";

/// How long anything of the control plane may take on a busy machine before it counts as never.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than any test takes.
const TOKEN_LIFE_SECONDS: i64 = 4 * 3600;
const FIELD_MANAGER: &str = "novacrm-tests";

/// Why a cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No cluster was named.
    #[error(
        "{KUBECONFIG} is not set, so there is no cluster to test on: run `./task test`, or \
         `novacrm-test-cluster -- cargo test …`"
    )]
    Absent,
    /// The cluster's audit log is not known.
    #[error("{AUDIT_LOG} is not set, and this test reads it: run it under `novacrm-test-cluster`")]
    NoAuditLog,
    /// The kubeconfig cannot be used.
    #[error("{}: {source}", path.display())]
    Kubeconfig {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// The API server refused or did not answer.
    #[error("{what}: {source}")]
    Api {
        /// What was tried.
        what: &'static str,
        /// What came.
        source: Box<kube::Error>,
    },
    /// It did not come about.
    #[error("{what}: {late}")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// What was missing.
        late: Late,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A definition in `crds/yaml` is none.
    #[error("{}: {source}", path.display())]
    Definition {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_yaml::Error,
    },
}

/// A cluster, as its administrator.
#[derive(Clone, Debug)]
pub struct Cluster {
    config: Config,
    kubeconfig: PathBuf,
    audit_log: Option<PathBuf>,
    /// Kubeconfigs of accounts; they go with the last copy of this cluster.
    folder: Arc<TempDir>,
}

impl Cluster {
    /// Connects to the cluster that the environment names.
    ///
    /// # Errors
    /// When none is named, or its kubeconfig cannot be used.
    pub async fn connect() -> Result<Self, ClusterError> {
        let named =
            |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        let kubeconfig = named(KUBECONFIG).ok_or(ClusterError::Absent)?;
        Self::open(&kubeconfig, named(AUDIT_LOG)).await
    }

    async fn open(kubeconfig: &Path, audit_log: Option<PathBuf>) -> Result<Self, ClusterError> {
        // It fails only when it was done before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |source| ClusterError::Kubeconfig { path: kubeconfig.to_owned(), source };
        let read = Kubeconfig::read_from(kubeconfig).map_err(failed)?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(read, &options).await.map_err(failed)?;
        let folder = tempfile::Builder::new().prefix("novacrm-accounts.").tempdir();
        let folder = folder.map_err(file(Path::new("a temporary folder")))?;
        Ok(Self { config, kubeconfig: kubeconfig.to_owned(), audit_log, folder: Arc::new(folder) })
    }

    /// A client of the administrator. It belongs to the runtime of the caller, so each test takes its own.
    ///
    /// # Errors
    /// When the credentials cannot be used.
    pub fn client(&self) -> Result<Client, ClusterError> {
        Client::try_from(self.config.clone()).map_err(api("a client"))
    }

    /// A client that acts as somebody else: the requests are judged, and recorded, as theirs.
    ///
    /// # Errors
    /// When the credentials cannot be used.
    pub fn client_as(&self, user: &str, groups: &[&str]) -> Result<Client, ClusterError> {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(groups.iter().map(|&group| group.to_owned()).collect());
        Client::try_from(config).map_err(api("a client"))
    }

    /// A client with a token, and nothing else.
    ///
    /// # Errors
    /// When the credentials cannot be used.
    pub fn client_with_token(&self, token: &str) -> Result<Client, ClusterError> {
        let mut config = self.config.clone();
        config.auth_info = kube::config::AuthInfo::default();
        config.auth_info.token = Some(token.to_owned().into());
        Client::try_from(config).map_err(api("a client"))
    }

    /// A client with a token of a service account, as a pod of it would have.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn client_for_service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Client, ClusterError> {
        self.client_with_token(&self.service_account_token(namespace, name).await?)
    }

    /// A token of a service account, good for some hours.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String, ClusterError> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_LIFE_SECONDS),
                ..Default::default()
            }),
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client()?, namespace);
        let made = accounts.create_token_request(name, &PostParams::default(), &request).await;
        Ok(made.map_err(api("a token"))?.status.and_then(|status| status.token).unwrap_or_default())
    }

    /// A kubeconfig with a token of a service account, for a process that is to act as it. Its file goes with
    /// this cluster.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<PathBuf, ClusterError> {
        let token = self.service_account_token(namespace, name).await?;
        let read = Kubeconfig::read_from(&self.kubeconfig);
        let mut kubeconfig =
            read.map_err(|source| ClusterError::Kubeconfig { path: self.kubeconfig.clone(), source })?;
        // The cluster stays as it was named; who asks, and where, is another.
        let user = format!("{namespace}-{name}");
        for context in &mut kubeconfig.contexts {
            if let Some(context) = &mut context.context {
                context.user = Some(user.clone());
                context.namespace = Some(namespace.to_owned());
            }
        }
        kubeconfig.auth_infos.clear();
        let mut written = serde_json::to_value(&kubeconfig).unwrap_or_default();
        if let Some(fields) = written.as_object_mut() {
            fields.insert("users".to_owned(), json!([{ "name": user, "user": { "token": token } }]));
        }
        let file_name = format!("{user}-{}.kubeconfig", random_name());
        pki::write(self.folder.path(), &file_name, &written.to_string()).map_err(file(self.folder.path()))?;
        Ok(self.folder.path().join(file_name))
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Makes a namespace of a new name with this prefix (at most 50 lower-case letters, digits and hyphens).
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn namespace(&self, prefix: &str) -> Result<TestNamespace, ClusterError> {
        self.labelled_namespace(prefix, &[]).await
    }

    /// Makes a namespace that has labels from its first moment on.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn labelled_namespace(
        &self,
        prefix: &str,
        labels: &[(&str, &str)],
    ) -> Result<TestNamespace, ClusterError> {
        let name = format!("{prefix}-{}", random_name());
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.clone());
        namespace.metadata.labels =
            Some(labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect());
        let namespaces: Api<Namespace> = Api::all(self.client()?);
        namespaces.create(&PostParams::default(), &namespace).await.map_err(api("a namespace"))?;
        Ok(TestNamespace { name, cluster: self.clone() })
    }

    /// The requests that the API server has recorded. An event stands in the log when its stage ends, which may be
    /// a moment after the client has its answer: wait with [`eventually`].
    ///
    /// # Errors
    /// When the log is not known or cannot be read.
    pub fn audit_log(&self, filter: &AuditFilter) -> Result<Vec<AuditEvent>, ClusterError> {
        let path = self.audit_log.as_ref().ok_or(ClusterError::NoAuditLog)?;
        audit::read(path, filter).map_err(file(path))
    }

    /// Applies the kinds in `crds/yaml` and waits until they are served. Many tests may do so at once.
    ///
    /// # Errors
    /// When the server refuses a definition or does not serve it.
    pub async fn apply_crds(&self) -> Result<(), ClusterError> {
        let client = self.client()?;
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for definition in committed_crds()? {
            let name = definition.metadata.name.clone().unwrap_or_default();
            let applied = eventually(PATIENCE, || async {
                let params = PatchParams::apply(FIELD_MANAGER).force();
                match definitions.patch(&name, &params, &Patch::Apply(&definition)).await {
                    Ok(applied) => Ok(Ok(applied)),
                    // Another test applies it at the same moment, or its controller writes the status.
                    Err(kube::Error::Api(status)) if status.is_conflict() => Err(status.message),
                    Err(error) => Ok(Err(error)),
                }
            });
            applied.await.map_err(late("a definition"))?.map_err(api("a definition"))?;
        }
        for definition in committed_crds()? {
            let spec = definition.spec;
            let version = spec.versions.first().map(|version| version.name.clone()).unwrap_or_default();
            let kind = GroupVersionKind::gvk(&spec.group, &version, &spec.names.kind);
            let objects: Api<DynamicObject> =
                Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, &spec.names.plural));
            // Established is not enough: another moment passes until the server routes to the kind.
            let one = ListParams::default().limit(1);
            eventually(PATIENCE, || objects.list(&one)).await.map_err(late("a kind that is served"))?;
        }
        Ok(())
    }
}

/// The definitions in `crds/yaml`, as they are committed.
///
/// # Errors
/// When a file cannot be read or is no definition.
pub fn committed_crds() -> Result<Vec<CustomResourceDefinition>, ClusterError> {
    let folder = repository().join("crds/yaml");
    let mut definitions = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(file(&folder))? {
        let path = entry.map_err(file(&folder))?.path();
        let text = std::fs::read_to_string(&path).map_err(file(&path))?;
        let definition = serde_yaml::from_str(&text);
        definitions
            .push(definition.map_err(|source| ClusterError::Definition { path: path.clone(), source })?);
    }
    Ok(definitions)
}

/// A namespace of one test. It is deleted when this is dropped; nobody waits for what is in it to go.
#[derive(Debug)]
pub struct TestNamespace {
    name: String,
    cluster: Cluster,
}

impl TestNamespace {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Display for TestNamespace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        let (cluster, name) = (self.cluster.clone(), self.name.clone());
        // The test's own runtime may be ending. What fails here is a namespace too many in a throwaway cluster.
        let deletion = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let namespaces: Api<Namespace> = Api::all(cluster.client().ok()?);
                let params = DeleteParams::default();
                let deletion = namespaces.delete(&name, &params);
                tokio::time::timeout(Duration::from_secs(10), deletion).await.ok()?.ok()
            })
        });
        let _ = deletion.join();
    }
}

/// Eight random hexadecimal digits.
fn random_name() -> String {
    hex::encode(rand::random::<[u8; 4]>())
}

fn api(what: &'static str) -> impl Fn(kube::Error) -> ClusterError {
    move |source| ClusterError::Api { what, source: Box::new(source) }
}

fn late(what: &'static str) -> impl Fn(Late) -> ClusterError {
    move |late| ClusterError::Late { what, late }
}

fn file(path: &Path) -> impl Fn(io::Error) -> ClusterError {
    move |source| ClusterError::File { path: path.to_owned(), source }
}
