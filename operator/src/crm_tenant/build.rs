//! A validated tenant in, the Kubernetes objects that run it out. Pure: no client, no clock, no randomness, so
//! equal input is equal output, byte for byte.
//!
//! The same objects are applied to a cluster, printed by `render` and run as processes by `up`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource,
    HTTPGetAction, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
    SecretKeySelector, SecretVolumeSource, SecurityContext, Service, ServiceAccount, ServicePort,
    ServiceSpec, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Resource;
use novacrm_crds::CrmTenant;
use novacrm_crds::crm_tenant::Workload;

use crate::crm_tenant::validate::{Bundles, Validated};
use crate::crm_tenant::{ADMIN_PORT, API_PORT, ENGINE_PORT, IMAGE_STATIC_DIR, names};

/// User and group of every process; the images make the same.
const USER: i64 = 10_001;
/// Where API servers listen: behind the Service `kubernetes`, and where most installers put the server itself.
/// Network plugins differ in which of the two they compare.
const KUBERNETES_PORTS: [u16; 2] = [443, 6443];
/// Namespaces with this label (value `true`) may reach the API: that of the ingress controller.
pub const INGRESS_LABEL: &str = "novacrm.io/ingress";
/// Namespaces with this label (value `true`) may read metrics.
pub const MONITORING_LABEL: &str = "novacrm.io/monitoring";

/// What the operator knows beyond the manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Registry and path before the names of the images; none when they are on the nodes.
    pub image_repository: Option<String>,
    /// Version of the images, that of the operator.
    pub version: String,
    /// Namespace the operator runs in.
    pub operator_namespace: String,
    /// TCP port of the tenants' PostgreSQL server.
    pub database_port: u16,
}

impl Settings {
    fn image(&self, name: &str) -> String {
        let version = &self.version;
        match &self.image_repository {
            Some(repository) => format!("{repository}/{name}:{version}"),
            None => format!("{name}:{version}"),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            image_repository: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operator_namespace: "novacrm-system".to_owned(),
            database_port: 5432,
        }
    }
}

/// A Secret that the tenant uses: where it is and what it holds, never the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReference {
    /// `metadata.name`.
    pub name: String,
    /// The keys within its `data`.
    pub keys: Vec<String>,
}

/// All objects of a tenant. Whoever applies them takes the struct apart without `..`, so that a kind that was
/// forgotten does not compile.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// Secrets that are made when absent, by [`crate::crm_tenant::generate`].
    pub secrets: Vec<SecretReference>,
    /// The bundle of rules and the one before.
    pub config_maps: Vec<ConfigMap>,
    /// Identities; the engine's may read its rules, the others have no rights.
    pub service_accounts: Vec<ServiceAccount>,
    /// What the engine may read of the Kubernetes API.
    pub roles: Vec<Role>,
    /// Who may.
    pub role_bindings: Vec<RoleBinding>,
    /// Preparations of the databases, done before the Deployments start.
    pub jobs: Vec<Job>,
    /// What runs.
    pub deployments: Vec<Deployment>,
    /// How it is reached.
    pub services: Vec<Service>,
    /// By whom it may be reached.
    pub network_policies: Vec<NetworkPolicy>,
    /// How much of it may be away.
    pub pod_disruption_budgets: Vec<PodDisruptionBudget>,
}

/// Builds all objects of a tenant.
#[must_use]
pub fn build(tenant: &Validated, settings: &Settings) -> Resources {
    let builder = Builder { tenant, settings };
    let engine = builder.engine();
    let api = builder.api();
    let workloads = [&engine, &api];
    Resources {
        secrets: secrets(tenant),
        config_maps: bundle_config_maps(tenant.tenant(), tenant.bundle(), settings),
        service_accounts: workloads.map(|part| builder.service_account(part)).into(),
        roles: vec![builder.engine_role()],
        role_bindings: vec![builder.engine_role_binding()],
        jobs: vec![builder.job(&builder.engine_migration()), builder.job(&builder.api_migration())],
        deployments: workloads.map(|part| builder.deployment(part)).into(),
        services: workloads.map(|part| builder.service(part)).into(),
        network_policies: builder.network_policies(),
        pod_disruption_budgets: workloads.iter().filter_map(|part| builder.disruption_budget(part)).collect(),
    }
}

/// The Secrets of a tenant and their keys.
#[must_use]
pub fn secrets(tenant: &Validated) -> Vec<SecretReference> {
    let tls: &[&str] = &["ca.crt", "tls.crt", "tls.key"];
    let engine_keys: &[&str] =
        &["audit-public.key", "audit-signing.key", "commitment.key", "fingerprint.key", "reply.key"];
    let database: &[&str] =
        &[names::API_MIGRATION_URL, names::API_URL, names::AUDIT_MIGRATION_URL, names::AUDIT_URL];
    let admin = &tenant.spec().auth.bootstrap_admin.password_secret_ref;
    [
        (names::CA, &["ca.crt", "ca.key"] as &[&str]),
        (names::ENGINE_TLS, tls),
        (names::API_TLS, tls),
        (names::OPERATOR_TLS, tls),
        (names::ENGINE_KEYS, engine_keys),
        (names::API_KEYS, &["cursor.key", "idempotency.key", "token.key"]),
        (names::DATABASE, database),
        (admin.name.as_str(), &[admin.key.as_str()]),
    ]
    .into_iter()
    .map(|(name, keys)| SecretReference {
        name: name.to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    })
    .collect()
}

/// One process of a tenant, before it becomes a Deployment or a Job.
struct Part<'a> {
    name: &'static str,
    account: &'static str,
    image: &'static str,
    arguments: &'static [&'static str],
    env: Vec<EnvVar>,
    folders: Vec<Folder>,
    /// Whether it speaks to the Kubernetes API, as its account.
    token: bool,
    size: &'a Workload,
    port: Option<(&'static str, u16)>,
}

/// A folder that a process finds its files in.
enum Folder {
    Secret { name: &'static str, secret: &'static str, path: &'static str },
    ConfigMap { name: &'static str, config_map: &'static str, path: &'static str, optional: bool },
}

const TLS_DIR: &str = "/etc/novacrm/tls";
const KEYS_DIR: &str = "/etc/novacrm/keys";
/// Variable with the name of the ConfigMap that the engine watches; `up` has no Kubernetes API and leaves it out.
pub const BUNDLE_CONFIG_MAP: &str = "NOVACRM_BUNDLE_CONFIG_MAP";
/// The same for the ConfigMap of the bundle before.
pub const BUNDLE_CONFIG_MAP_PREVIOUS: &str = "NOVACRM_BUNDLE_CONFIG_MAP_PREVIOUS";
const BUNDLE_DIR: &str = "/etc/novacrm/bundle";
const BUNDLE_PREVIOUS_DIR: &str = "/etc/novacrm/bundle-previous";

struct Builder<'a> {
    tenant: &'a Validated,
    settings: &'a Settings,
}

impl Builder<'_> {
    fn engine(&self) -> Part<'_> {
        Part {
            name: names::ENGINE,
            account: names::ENGINE,
            image: "novacrm-engine",
            arguments: &["serve"],
            env: vec![
                value("NOVACRM_TENANT", self.tenant.namespace()),
                value("NOVACRM_LISTEN", &format!("0.0.0.0:{ENGINE_PORT}")),
                value("NOVACRM_ADMIN_LISTEN", &format!("0.0.0.0:{ADMIN_PORT}")),
                value("NOVACRM_TLS_DIR", TLS_DIR),
                value("NOVACRM_KEYS_DIR", KEYS_DIR),
                value(BUNDLE_CONFIG_MAP, names::BUNDLE),
                value(BUNDLE_CONFIG_MAP_PREVIOUS, names::BUNDLE_PREVIOUS),
                value("NOVACRM_BUNDLE_DIR", BUNDLE_DIR),
                value("NOVACRM_BUNDLE_PREVIOUS_DIR", BUNDLE_PREVIOUS_DIR),
                secret_value("NOVACRM_AUDIT_DATABASE_URL", names::DATABASE, names::AUDIT_URL),
            ],
            folders: vec![
                Folder::Secret { name: "tls", secret: names::ENGINE_TLS, path: TLS_DIR },
                Folder::Secret { name: "keys", secret: names::ENGINE_KEYS, path: KEYS_DIR },
                Folder::ConfigMap {
                    name: "bundle",
                    config_map: names::BUNDLE,
                    path: BUNDLE_DIR,
                    optional: false,
                },
                Folder::ConfigMap {
                    name: "bundle-previous",
                    config_map: names::BUNDLE_PREVIOUS,
                    path: BUNDLE_PREVIOUS_DIR,
                    optional: true,
                },
            ],
            token: true,
            size: &self.tenant.spec().engine,
            port: Some(("https", ENGINE_PORT)),
        }
    }

    fn api(&self) -> Part<'_> {
        let spec = self.tenant.spec();
        let engine = format!("https://{}.{}.svc:{ENGINE_PORT}", names::ENGINE, self.tenant.namespace());
        Part {
            name: names::API,
            account: names::API,
            image: "novacrm-api-server",
            arguments: &["serve"],
            env: vec![
                value("NOVACRM_TENANT", self.tenant.namespace()),
                value("NOVACRM_TENANT_NAME", &spec.display_name),
                value("NOVACRM_DEFAULT_LOCALE", spec.locale.as_str()),
                value("NOVACRM_LISTEN", &format!("0.0.0.0:{API_PORT}")),
                value("NOVACRM_ADMIN_LISTEN", &format!("0.0.0.0:{ADMIN_PORT}")),
                value("NOVACRM_TLS_DIR", TLS_DIR),
                value("NOVACRM_KEYS_DIR", KEYS_DIR),
                value("NOVACRM_ENGINE_URL", &engine),
                value("NOVACRM_STATIC_DIR", IMAGE_STATIC_DIR),
                secret_value("NOVACRM_DATABASE_URL", names::DATABASE, names::API_URL),
            ],
            folders: vec![
                Folder::Secret { name: "tls", secret: names::API_TLS, path: TLS_DIR },
                Folder::Secret { name: "keys", secret: names::API_KEYS, path: KEYS_DIR },
            ],
            token: false,
            size: &spec.api,
            port: Some(("http", API_PORT)),
        }
    }

    fn engine_migration(&self) -> Part<'_> {
        Part {
            name: names::ENGINE_MIGRATE,
            account: names::ENGINE,
            image: "novacrm-engine",
            arguments: &["audit", "migrate"],
            env: vec![
                value("NOVACRM_TENANT", self.tenant.namespace()),
                secret_value(
                    "NOVACRM_AUDIT_MIGRATION_DATABASE_URL",
                    names::DATABASE,
                    names::AUDIT_MIGRATION_URL,
                ),
            ],
            folders: Vec::new(),
            token: false,
            size: &self.tenant.spec().engine,
            port: None,
        }
    }

    fn api_migration(&self) -> Part<'_> {
        let spec = self.tenant.spec();
        let admin = &spec.auth.bootstrap_admin;
        let password = &admin.password_secret_ref;
        Part {
            name: names::API_MIGRATE,
            account: names::API,
            image: "novacrm-api-server",
            arguments: &["migrate"],
            env: vec![
                value("NOVACRM_TENANT", self.tenant.namespace()),
                value("NOVACRM_DEFAULT_LOCALE", spec.locale.as_str()),
                value("NOVACRM_BOOTSTRAP_ADMIN_EMAIL", &admin.email),
                value("NOVACRM_BOOTSTRAP_ADMIN_NAME", &admin.display_name),
                secret_value("NOVACRM_BOOTSTRAP_ADMIN_PASSWORD", &password.name, &password.key),
                value("NOVACRM_DEMO_DATA", if spec.demo_data { "true" } else { "false" }),
                secret_value("NOVACRM_MIGRATION_DATABASE_URL", names::DATABASE, names::API_MIGRATION_URL),
            ],
            folders: Vec::new(),
            token: false,
            size: &spec.api,
            port: None,
        }
    }

    fn labels(&self, name: &str) -> BTreeMap<String, String> {
        labels(self.tenant.namespace(), name, self.settings)
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        metadata(self.tenant.tenant(), name, self.settings)
    }

    fn service_account(&self, part: &Part<'_>) -> ServiceAccount {
        ServiceAccount {
            metadata: self.metadata(part.account),
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        }
    }

    /// The engine watches its rules by name and reads those before only when it cannot use the newest.
    fn engine_role(&self) -> Role {
        let rule = |name: &str, verbs: &[&str]| PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["configmaps".to_owned()]),
            resource_names: Some(vec![name.to_owned()]),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            ..PolicyRule::default()
        };
        Role {
            metadata: self.metadata(names::ENGINE),
            rules: Some(vec![
                rule(names::BUNDLE, &["get", "list", "watch"]),
                rule(names::BUNDLE_PREVIOUS, &["get"]),
            ]),
        }
    }

    fn engine_role_binding(&self) -> RoleBinding {
        RoleBinding {
            metadata: self.metadata(names::ENGINE),
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "Role".to_owned(),
                name: names::ENGINE.to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: names::ENGINE.to_owned(),
                namespace: Some(self.tenant.namespace().to_owned()),
                ..Subject::default()
            }]),
        }
    }

    fn job(&self, part: &Part<'_>) -> Job {
        Job {
            metadata: self.metadata(part.name),
            spec: Some(JobSpec {
                backoff_limit: Some(6),
                active_deadline_seconds: Some(900),
                template: self.pod(part, Some("OnFailure")),
                ..JobSpec::default()
            }),
            ..Job::default()
        }
    }

    fn deployment(&self, part: &Part<'_>) -> Deployment {
        Deployment {
            metadata: self.metadata(part.name),
            spec: Some(DeploymentSpec {
                replicas: Some(part.size.replicas),
                selector: matching(selector(part.name)),
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: Some(IntOrString::Int(1)),
                        max_unavailable: Some(IntOrString::Int(0)),
                    }),
                }),
                revision_history_limit: Some(3),
                template: self.pod(part, None),
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        }
    }

    fn pod(&self, part: &Part<'_>, restart: Option<&str>) -> PodTemplateSpec {
        let spread = part.port.map(|_| {
            vec![TopologySpreadConstraint {
                max_skew: 1,
                topology_key: "kubernetes.io/hostname".to_owned(),
                when_unsatisfiable: "ScheduleAnyway".to_owned(),
                label_selector: Some(matching(selector(part.name))),
                ..TopologySpreadConstraint::default()
            }]
        });
        PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(self.labels(part.name)), ..ObjectMeta::default() }),
            spec: Some(PodSpec {
                automount_service_account_token: Some(part.token),
                enable_service_links: Some(false),
                service_account_name: Some(part.account.to_owned()),
                restart_policy: restart.map(str::to_owned),
                security_context: Some(PodSecurityContext {
                    run_as_non_root: Some(true),
                    run_as_user: Some(USER),
                    run_as_group: Some(USER),
                    fs_group: Some(USER),
                    seccomp_profile: Some(runtime_default()),
                    ..PodSecurityContext::default()
                }),
                // The servers give requests under way ten seconds.
                termination_grace_period_seconds: Some(20),
                topology_spread_constraints: spread,
                containers: vec![self.container(part)],
                volumes: (!part.folders.is_empty())
                    .then(|| part.folders.iter().map(Folder::volume).collect()),
                ..PodSpec::default()
            }),
        }
    }

    fn container(&self, part: &Part<'_>) -> Container {
        let ports = part.port.map(|(name, port)| {
            [(name, port), ("admin", ADMIN_PORT)]
                .map(|(name, port)| ContainerPort {
                    name: Some(name.to_owned()),
                    container_port: i32::from(port),
                    ..ContainerPort::default()
                })
                .to_vec()
        });
        let serves = part.port.is_some();
        Container {
            name: part.name.to_owned(),
            image: Some(self.settings.image(part.image)),
            args: Some(part.arguments.iter().map(|argument| (*argument).to_owned()).collect()),
            env: Some(part.env.clone()),
            ports,
            startup_probe: serves.then(|| probe("/healthz", 1, 60)),
            readiness_probe: serves.then(|| probe("/readyz", 2, 2)),
            liveness_probe: serves.then(|| probe("/healthz", 10, 3)),
            resources: Some(part.size.resources.clone().unwrap_or_else(default_size)),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                read_only_root_filesystem: Some(true),
                run_as_non_root: Some(true),
                capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
                seccomp_profile: Some(runtime_default()),
                ..SecurityContext::default()
            }),
            volume_mounts: (!part.folders.is_empty())
                .then(|| part.folders.iter().map(Folder::mount).collect()),
            ..Container::default()
        }
    }

    fn service(&self, part: &Part<'_>) -> Service {
        let ports = part.port.map(|(name, port)| {
            vec![ServicePort {
                name: Some(name.to_owned()),
                port: i32::from(port),
                target_port: Some(IntOrString::String(name.to_owned())),
                ..ServicePort::default()
            }]
        });
        Service {
            metadata: self.metadata(part.name),
            spec: Some(ServiceSpec { ports, selector: Some(selector(part.name)), ..ServiceSpec::default() }),
            ..Service::default()
        }
    }

    fn disruption_budget(&self, part: &Part<'_>) -> Option<PodDisruptionBudget> {
        (part.size.replicas > 1).then(|| PodDisruptionBudget {
            metadata: self.metadata(part.name),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                selector: Some(matching(selector(part.name))),
                ..PodDisruptionBudgetSpec::default()
            }),
            ..PodDisruptionBudget::default()
        })
    }

    /// Nothing is allowed but: ingress → API, API and operator → engine, engine → Kubernetes API, all → database
    /// and name service, monitoring → metrics.
    fn network_policies(&self) -> Vec<NetworkPolicy> {
        let database =
            NetworkPolicyEgressRule { ports: Some(vec![port("TCP", self.settings.database_port)]), to: None };
        let names_service = NetworkPolicyEgressRule {
            ports: Some(vec![port("UDP", 53), port("TCP", 53)]),
            to: Some(vec![namespace("kubernetes.io/metadata.name", "kube-system", None)]),
        };
        let metrics = NetworkPolicyIngressRule {
            from: Some(vec![namespace(MONITORING_LABEL, "true", None)]),
            ports: Some(vec![port("TCP", ADMIN_PORT)]),
        };
        let operator = namespace(
            "kubernetes.io/metadata.name",
            &self.settings.operator_namespace,
            Some("novacrm-operator"),
        );
        let engine_callers = NetworkPolicyIngressRule {
            from: Some(vec![pods(names::API), operator]),
            ports: Some(vec![port("TCP", ENGINE_PORT)]),
        };
        let api_callers = NetworkPolicyIngressRule {
            from: Some(vec![namespace(INGRESS_LABEL, "true", None)]),
            ports: Some(vec![port("TCP", API_PORT)]),
        };
        let engine = NetworkPolicyEgressRule {
            ports: Some(vec![port("TCP", ENGINE_PORT)]),
            to: Some(vec![pods(names::ENGINE)]),
        };
        // API servers run outside the pod network, where no label selects them.
        let kubernetes = NetworkPolicyEgressRule {
            ports: Some(KUBERNETES_PORTS.map(|number| port("TCP", number)).to_vec()),
            to: None,
        };
        let base = vec![names_service, database];
        let engine_egress = [base.clone(), vec![kubernetes]].concat();
        let api_egress = [base.clone(), vec![engine]].concat();
        let all = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "novacrm".to_owned())]);
        vec![
            self.network_policy("novacrm-default-deny", all, vec![], vec![]),
            self.network_policy(
                names::ENGINE,
                selector(names::ENGINE),
                vec![engine_callers, metrics.clone()],
                engine_egress,
            ),
            self.network_policy(names::API, selector(names::API), vec![api_callers, metrics], api_egress),
            self.network_policy(names::ENGINE_MIGRATE, selector(names::ENGINE_MIGRATE), vec![], base.clone()),
            self.network_policy(names::API_MIGRATE, selector(names::API_MIGRATE), vec![], base),
        ]
    }

    fn network_policy(
        &self,
        name: &str,
        pods: BTreeMap<String, String>,
        ingress: Vec<NetworkPolicyIngressRule>,
        egress: Vec<NetworkPolicyEgressRule>,
    ) -> NetworkPolicy {
        NetworkPolicy {
            metadata: self.metadata(name),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(matching(pods)),
                policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
                ingress: (!ingress.is_empty()).then_some(ingress),
                egress: (!egress.is_empty()).then_some(egress),
            }),
        }
    }
}

impl Folder {
    fn volume(&self) -> Volume {
        match self {
            Self::Secret { name, secret, .. } => Volume {
                name: (*name).to_owned(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some((*secret).to_owned()),
                    default_mode: Some(0o440),
                    ..SecretVolumeSource::default()
                }),
                ..Volume::default()
            },
            Self::ConfigMap { name, config_map, optional, .. } => Volume {
                name: (*name).to_owned(),
                config_map: Some(ConfigMapVolumeSource {
                    name: (*config_map).to_owned(),
                    optional: optional.then_some(true),
                    ..ConfigMapVolumeSource::default()
                }),
                ..Volume::default()
            },
        }
    }

    fn mount(&self) -> VolumeMount {
        let (Self::Secret { name, path, .. } | Self::ConfigMap { name, path, .. }) = self;
        VolumeMount {
            name: (*name).to_owned(),
            mount_path: (*path).to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }
    }
}

/// The ConfigMaps with a tenant's rules: the ones in force, then those before.
#[must_use]
pub fn bundle_config_maps(tenant: &CrmTenant, bundles: &Bundles, settings: &Settings) -> Vec<ConfigMap> {
    let current = (names::BUNDLE, Some(&bundles.current));
    let previous = (names::BUNDLE_PREVIOUS, bundles.previous.as_ref());
    [current, previous]
        .into_iter()
        .filter_map(|(name, revision)| {
            let revision = revision?;
            let mut metadata = metadata(tenant, name, settings);
            metadata.annotations = Some(BTreeMap::from([
                ("novacrm.io/bundle-digest".to_owned(), revision.digest.clone()),
                ("novacrm.io/bundle-sequence".to_owned(), revision.sequence.to_string()),
            ]));
            let content = ByteString(revision.bytes.clone());
            let binary_data = Some(BTreeMap::from([(names::BUNDLE_KEY.to_owned(), content)]));
            Some(ConfigMap { metadata, binary_data, ..ConfigMap::default() })
        })
        .collect()
}

/// What every object of a tenant says of itself. Secrets and databases have no owner: they outlive the tenant.
fn metadata(tenant: &CrmTenant, name: &str, settings: &Settings) -> ObjectMeta {
    let namespace = tenant.metadata.namespace.clone().unwrap_or_default();
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels(&namespace, name, settings)),
        namespace: Some(namespace),
        owner_references: tenant.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

fn labels(namespace: &str, name: &str, settings: &Settings) -> BTreeMap<String, String> {
    let mut labels = selector(name);
    labels.extend(
        [
            ("app.kubernetes.io/part-of", "novacrm"),
            ("app.kubernetes.io/managed-by", "novacrm-operator"),
            ("app.kubernetes.io/version", settings.version.as_str()),
            ("novacrm.io/tenant", namespace),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    labels
}

fn selector(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("app.kubernetes.io/name".to_owned(), name.to_owned())])
}

fn matching(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

fn value(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn secret_value(name: &str, secret: &str, key: &str) -> EnvVar {
    let selector = SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: None };
    let source = EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("admin".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failures),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }
}

/// What a small tenant needs; memory is bounded, processor time is not.
fn default_size() -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), Quantity((*value).to_owned()))).collect())
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", "100m"), ("memory", "64Mi")]),
        limits: quantities(&[("memory", "256Mi")]),
        claims: None,
    }
}

fn port(protocol: &str, port: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(i32::from(port))),
        end_port: None,
    }
}

fn pods(name: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(matching(selector(name))), ..NetworkPolicyPeer::default() }
}

fn namespace(label: &str, value: &str, pods: Option<&str>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(matching(BTreeMap::from([(label.to_owned(), value.to_owned())]))),
        pod_selector: pods.map(|name| matching(selector(name))),
        ip_block: None,
    }
}
