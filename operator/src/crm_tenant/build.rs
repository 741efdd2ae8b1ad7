//! A validated tenant and what is known of its surroundings in, the Kubernetes objects that run it out. Pure: no
//! client, no clock, no randomness, so equal input is equal output, byte for byte.
//!
//! A new release is migrated to first: while its Jobs have not succeeded, the Deployments keep the release that was
//! migrated to last, and a tenant that was never migrated has none. A failed migration so changes nothing that serves.
//!
//! The same objects are applied to a cluster, printed by `render` and run as processes by `up`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, HTTPGetAction,
    KeyToPath, Lifecycle, LifecycleHandler, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Service, ServiceAccount,
    ServicePort, ServiceSpec, SleepAction, TopologySpreadConstraint, Volume, VolumeMount,
    VolumeResourceRequirements,
};
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, IPBlock, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, NetworkPolicy, NetworkPolicyEgressRule,
    NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec, ServiceBackendPort,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Resource;
use kube::core::{DynamicObject, TypeMeta};
use novacrm_crds::crm_tenant::{
    Autoscaling, CrmTenantSpec, DatabaseType, DeletionPolicy, DumpReference, ExposureType, GatewayExposure,
    IngressExposure, Migrated, Recogniser, Storage, Workload,
};
use novacrm_crds::{CrmTenant, SecretKeyReference};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::crm_tenant::database::{ADMINISTRATOR, ConnectionLimits};
use crate::crm_tenant::generate::{Digests, TENANT_ID};
use crate::crm_tenant::limits::Limits;
use crate::crm_tenant::validate::{Bundles, Validated};
use crate::crm_tenant::{ADMIN_PORT, API_PORT, ENGINE_PORT, IMAGE_STATIC_DIR, names};
use crate::signing::SigningKeys;

/// User and group of every process; the images make the same.
const USER: i64 = 10_001;
/// Where API servers listen: behind the Service `kubernetes`, and where most installers put the server itself.
/// Network plugins differ in which of the two they compare.
const KUBERNETES_PORTS: [u16; 2] = [443, 6443];
/// Namespaces with this label (value `true`) may reach the API: that of the ingress controller.
pub const INGRESS_LABEL: &str = "novacrm.io/ingress";
/// Namespaces with this label (value `true`) may read metrics.
pub const MONITORING_LABEL: &str = "novacrm.io/monitoring";

/// Pod annotation that changes when a Secret changes that the pod reads at its start.
pub const SECRETS_DIGEST: &str = "novacrm.io/secrets-digest";
/// How long a pod goes on serving after it was told to end, until no router sends it requests any more.
const DRAIN_SECONDS: i64 = 5;
/// From then on: the servers give requests under way ten seconds.
const GRACE_SECONDS: i64 = DRAIN_SECONDS + 10 + 5;

/// What the operator knows beyond the manifests; the same for all tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Registry and path before the names of the images; none when they are on the nodes.
    pub image_repository: Option<String>,
    /// Release of the CRM for tenants that name none: that of the operator.
    pub version: String,
    /// Namespace the operator runs in.
    pub operator_namespace: String,
    /// Whether this cluster has the kind `ServiceMonitor` (`monitoring.coreos.com/v1`).
    pub service_monitors: bool,
    /// The keys that sign bundles. `render` has none: it shows unsigned bundles and engines without public keys.
    pub signing: Option<SigningKeys>,
    /// Digests (`sha256:…`) of images, by `<name>:<version>`. An image without one is named by its version alone.
    pub image_digests: BTreeMap<String, String>,
    /// Networks of the proxies before the APIs of tenants, in CIDR notation. None is believed where there is none.
    pub trusted_proxies: Vec<String>,
    /// Days after which deleted records are erased for good; the API's own default where none is given.
    pub erasure_after_days: Option<u16>,
    /// Days for which assessments are kept; the API's own default where none is given.
    pub assessment_retention_days: Option<u16>,
    /// What tenants may ask for.
    pub limits: Limits,
    /// How many connections each login of a tenant may hold, before its pods are counted.
    pub connections: ConnectionLimits,
}

impl Settings {
    fn image(&self, name: &str, version: &str) -> String {
        let image = format!("{name}:{version}");
        let digest = self.image_digests.get(&image).map(|digest| format!("@{digest}")).unwrap_or_default();
        match &self.image_repository {
            Some(repository) => format!("{repository}/{image}{digest}"),
            None => format!("{image}{digest}"),
        }
    }

    /// How many connections each login of a tenant may hold.
    #[must_use]
    pub fn connections_of(&self, spec: &CrmTenantSpec) -> ConnectionLimits {
        let most =
            |part: &Workload| part.autoscaling.as_ref().map_or(part.replicas, |scaling| scaling.max_replicas);
        self.connections.for_pods(most(&spec.api), most(&spec.engine))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            image_repository: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operator_namespace: "novacrm-system".to_owned(),
            service_monitors: false,
            signing: None,
            image_digests: BTreeMap::new(),
            trusted_proxies: Vec::new(),
            erasure_after_days: None,
            assessment_retention_days: None,
            limits: Limits::default(),
            connections: ConnectionLimits::default(),
        }
    }
}

/// What is known of one tenant's surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// TCP port of the server of a `managed` database.
    pub database_port: u16,
    /// What the databases were migrated to last: `status.migrated`, or [`serving`] when that was lost.
    pub migrated: Option<Migrated>,
    /// Digests of the Secrets in [`secret_names`].
    pub digests: Digests,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { database_port: 5432, migrated: None, digests: Digests::new() }
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
    /// The tenant's own PostgreSQL (`Cluster` of `postgresql.cnpg.io/v1`); it outlives the tenant.
    pub postgresql_clusters: Vec<DynamicObject>,
    /// Preparations of the databases; none once they have succeeded ([`migration`]).
    pub jobs: Vec<Job>,
    /// What runs; none until the first migration has succeeded.
    pub deployments: Vec<Deployment>,
    /// How many of it run, by load. Such a Deployment has no `replicas`.
    pub horizontal_pod_autoscalers: Vec<HorizontalPodAutoscaler>,
    /// How it is reached.
    pub services: Vec<Service>,
    /// How browsers reach it: through an ingress controller,
    pub ingresses: Vec<Ingress>,
    /// or a gateway (`HTTPRoute` of `gateway.networking.k8s.io/v1`).
    pub http_routes: Vec<DynamicObject>,
    /// Where Prometheus finds its metrics (`ServiceMonitor` of `monitoring.coreos.com/v1`).
    pub service_monitors: Vec<DynamicObject>,
    /// By whom it may be reached.
    pub network_policies: Vec<NetworkPolicy>,
    /// How much of it may be away.
    pub pod_disruption_budgets: Vec<PodDisruptionBudget>,
}

/// Builds the objects of a tenant as they should be now.
#[must_use]
pub fn build(tenant: &Validated, settings: &Settings, surroundings: &Surroundings) -> Resources {
    let builder = Builder { tenant, settings, surroundings };
    let engine = builder.engine();
    let api = builder.api();
    let workloads = [&engine, &api];
    let suspended = tenant.spec().suspend;
    let pending = surroundings.migrated.as_ref() != Some(&builder.migration());
    let running: Vec<&Part<'_>> = workloads.into_iter().filter(|_| !suspended).collect();
    Resources {
        secrets: secrets(tenant),
        config_maps: bundle_config_maps(tenant.tenant(), tenant.bundle(), settings),
        service_accounts: workloads.map(|part| builder.service_account(part)).into(),
        roles: vec![builder.engine_role()],
        role_bindings: vec![builder.engine_role_binding()],
        postgresql_clusters: builder.postgresql_cluster().into_iter().collect(),
        jobs: if pending && !suspended { builder.jobs() } else { Vec::new() },
        deployments: match surroundings.migrated {
            Some(_) => workloads.map(|part| builder.deployment(part)).into(),
            None => Vec::new(),
        },
        horizontal_pod_autoscalers: running.iter().filter_map(|part| builder.autoscaler(part)).collect(),
        services: workloads.map(|part| builder.service(part)).into(),
        ingresses: builder.ingress().into_iter().collect(),
        http_routes: builder.http_route().into_iter().collect(),
        service_monitors: workloads.iter().filter_map(|part| builder.service_monitor(part)).collect(),
        network_policies: builder.network_policies(),
        pod_disruption_budgets: running.iter().filter_map(|part| builder.disruption_budget(part)).collect(),
    }
}

/// Builds all objects of a tenant at once, for those who run the Jobs before they start what the Deployments describe,
/// or only show them.
#[must_use]
pub fn build_all(tenant: &Validated, settings: &Settings, surroundings: &Surroundings) -> Resources {
    let migrated = Some(migration(tenant, settings));
    let done = Surroundings { migrated, ..surroundings.clone() };
    let jobs = match tenant.spec().suspend {
        true => Vec::new(),
        false => Builder { tenant, settings, surroundings: &done }.jobs(),
    };
    Resources { jobs, ..build(tenant, settings, &done) }
}

/// The migration that the tenant needs: to be written to `status.migrated` when all of [`Resources::jobs`] have
/// succeeded, and not before.
#[must_use]
pub fn migration(tenant: &Validated, settings: &Settings) -> Migrated {
    Builder { tenant, settings, surroundings: &Surroundings::default() }.migration()
}

/// What a tenant was migrated to, as its Deployments show it: for a tenant that has lost its status. The Jobs are run
/// once more, which changes nothing in databases that are up to date, while the release goes on that serves.
#[must_use]
pub fn serving(deployments: &[Deployment]) -> Option<Migrated> {
    let api =
        deployments.iter().find(|deployment| deployment.metadata.name.as_deref() == Some(names::API))?;
    let version = api.metadata.labels.as_ref()?.get(VERSION_LABEL)?.clone();
    Some(Migrated { version, digest: String::new() })
}

/// Whether a Deployment runs what it was told last and nothing else: as `kubectl rollout status` has it, and no pod of a
/// former template is still ending where the API server counts those (Kubernetes 1.35).
#[must_use]
pub fn is_rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &deployment.status else { return false };
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) >= wanted
        && status.replicas.unwrap_or(0) == status.updated_replicas.unwrap_or(0)
        && status.available_replicas.unwrap_or(0) >= wanted
        && status.terminating_replicas.unwrap_or(0) == 0
}

/// Every Secret that the tenant's processes read: those of [`secrets`], and those that the platform team made. Read them
/// for [`crate::crm_tenant::generate::digests`], and watch them, for a change rolls what uses it.
#[must_use]
pub fn secret_names(tenant: &Validated) -> Vec<String> {
    let mut names: Vec<String> = secrets(tenant).into_iter().map(|secret| secret.name).collect();
    names.extend(referenced_secrets(tenant.spec()).into_iter().map(str::to_owned));
    names.sort();
    names.dedup();
    names
}

/// The Secrets that a spec names. Who made them may have given them no label.
#[must_use]
pub fn referenced_secrets(spec: &CrmTenantSpec) -> Vec<&str> {
    let mut names = vec![spec.auth.bootstrap_admin.password_secret_ref.name.as_str()];
    if let Some(existing) = &spec.database.existing {
        for urls in [&existing.crm, &existing.audit] {
            names.extend([&urls.url_secret_ref, &urls.migration_url_secret_ref].map(|key| key.name.as_str()));
        }
        names.extend(existing.root_certificate_secret_ref.as_ref().map(|roots| roots.name.as_str()));
    }
    let recogniser = spec.recogniser.as_ref().and_then(|one| one.key_secret_ref.as_ref());
    names.extend(recogniser.map(|key| key.name.as_str()));
    names
}

/// The last dump of a tenant that is being deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Dump {
    /// Where it will be.
    pub reference: DumpReference,
    /// The claim to be made; none where the spec names one.
    pub claim: Option<PersistentVolumeClaim>,
    /// What makes it.
    pub job: Job,
}

/// Builds the last dump of a tenant. Nothing of it has an owner: it must outlive the tenant, and a deletion that
/// collects the dependents first must not collect it.
#[must_use]
pub fn dump(tenant: &Validated, settings: &Settings) -> Dump {
    Builder { tenant, settings, surroundings: &Surroundings::default() }.dump()
}

/// The Secrets of a tenant and their keys.
#[must_use]
pub fn secrets(tenant: &Validated) -> Vec<SecretReference> {
    let tls: &[&str] = &["ca.crt", "tls.crt", "tls.key"];
    let engine_keys: &[&str] = &[
        "audit-public.key",
        "audit-signing.key",
        "commitment.key",
        "fingerprint.key",
        "reply.key",
        "tokenization.key",
        TENANT_ID,
    ];
    let database: &[&str] =
        &[names::API_MIGRATION_URL, names::API_URL, names::AUDIT_MIGRATION_URL, names::AUDIT_URL];
    let admin = &tenant.spec().auth.bootstrap_admin.password_secret_ref;
    let database_type = tenant.spec().database.r#type;
    [
        (names::CA, &["ca.crt", "ca.key"] as &[&str]),
        (names::ENGINE_TLS, tls),
        (names::API_TLS, tls),
        (names::OPERATOR_TLS, tls),
        (names::ENGINE_KEYS, engine_keys),
        (names::API_KEYS, &["cursor.key", "idempotency.key", "token.key"]),
        (names::DATABASE, database),
        (names::DATABASE_ADMINISTRATOR, &["password", "username"]),
        (admin.name.as_str(), &[admin.key.as_str()]),
    ]
    .into_iter()
    .filter(|(name, _)| match *name {
        names::DATABASE => database_type != DatabaseType::Existing,
        names::DATABASE_ADMINISTRATOR => database_type == DatabaseType::CloudNativePg,
        _ => true,
    })
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
    arguments: Vec<String>,
    env: Vec<EnvVar>,
    folders: Vec<Folder>,
    /// Whether it speaks to the Kubernetes API, as its account.
    token: bool,
    size: &'a Workload,
    port: Option<(&'static str, u16)>,
}

/// A folder that a process finds its files in.
enum Folder {
    Secret {
        name: &'static str,
        secret: &'static str,
        path: &'static str,
    },
    /// The certificates that a database server's is verified against: one key of a Secret, which need not be there.
    Roots {
        secret: String,
        key: String,
        optional: bool,
    },
    /// One key of a Secret, for a process that finds the name of the file in the variable `<variable>_FILE`.
    Credential {
        variable: &'static str,
        name: &'static str,
        secret: String,
        key: String,
    },
    /// A volume that is written to.
    Claim {
        name: &'static str,
        claim: String,
        path: &'static str,
    },
    ConfigMap {
        name: &'static str,
        config_map: &'static str,
        path: &'static str,
        optional: bool,
    },
}

const TLS_DIR: &str = "/etc/novacrm/tls";
/// Folder with the certificates that a database server's is verified against, in the file [`names::DATABASE_ROOTS`].
pub const DATABASE_ROOTS_DIR: &str = "/etc/novacrm/database";
/// Where the volume for the last dump is.
const DUMP_DIR: &str = "/var/lib/novacrm/dump";
/// What the claim for the last dump asks for when the spec says nothing.
const DUMP_SIZE: &str = "10Gi";
const KEYS_DIR: &str = "/etc/novacrm/keys";
/// Folder with one folder for each credential that a process reads from a file.
const CREDENTIALS_DIR: &str = "/etc/novacrm/credentials";
/// Variable with the name of the ConfigMap that the engine watches; `up` has no Kubernetes API and leaves it out.
pub const BUNDLE_CONFIG_MAP: &str = "NOVACRM_BUNDLE_CONFIG_MAP";
/// The same for the ConfigMap of the bundle before.
pub const BUNDLE_CONFIG_MAP_PREVIOUS: &str = "NOVACRM_BUNDLE_CONFIG_MAP_PREVIOUS";
/// Variable with the public keys of which one must have signed a bundle.
pub const BUNDLE_PUBLIC_KEYS: &str = "NOVACRM_BUNDLE_PUBLIC_KEYS";
const BUNDLE_DIR: &str = "/etc/novacrm/bundle";
const BUNDLE_PREVIOUS_DIR: &str = "/etc/novacrm/bundle-previous";

const VERSION_LABEL: &str = "app.kubernetes.io/version";

struct Builder<'a> {
    tenant: &'a Validated,
    settings: &'a Settings,
    surroundings: &'a Surroundings,
}

impl Builder<'_> {
    fn engine(&self) -> Part<'_> {
        Part {
            name: names::ENGINE,
            account: names::ENGINE,
            image: "novacrm-engine",
            arguments: words(&["serve"]),
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
            ]
            .into_iter()
            .chain(self.settings.signing.iter().map(|keys| value(BUNDLE_PUBLIC_KEYS, &keys.public_lines())))
            .chain(self.tenant.spec().recogniser.iter().flat_map(|one| self.recogniser(one)))
            .collect(),
            folders: self.folders(self.recogniser_key().into_iter().chain([
                self.database_url("NOVACRM_AUDIT_DATABASE_URL", names::AUDIT_URL),
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
            ])),
            token: true,
            size: &self.tenant.spec().engine,
            port: Some(("https", ENGINE_PORT)),
        }
    }

    fn api(&self) -> Part<'_> {
        let spec = self.tenant.spec();
        let engine = format!("https://{}.{}.svc:{ENGINE_PORT}", names::ENGINE, self.tenant.namespace());
        let settings = self.settings;
        let proxies = settings.trusted_proxies.join(",");
        let days = |days: Option<u16>| days.map(|days| days.to_string());
        let given = [
            ("NOVACRM_TRUSTED_PROXIES", Some(proxies).filter(|proxies| !proxies.is_empty())),
            ("NOVACRM_ERASURE_AFTER_DAYS", days(settings.erasure_after_days)),
            ("NOVACRM_ASSESSMENT_RETENTION_DAYS", days(settings.assessment_retention_days)),
        ];
        let given = given.into_iter().filter_map(|(name, given)| Some(value(name, &given?)));
        Part {
            name: names::API,
            account: names::API,
            image: "novacrm-api-server",
            arguments: words(&["serve"]),
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
            ]
            .into_iter()
            .chain(given)
            .collect(),
            folders: self.folders([
                self.database_url("NOVACRM_DATABASE_URL", names::API_URL),
                Folder::Secret { name: "tls", secret: names::API_TLS, path: TLS_DIR },
                Folder::Secret { name: "keys", secret: names::API_KEYS, path: KEYS_DIR },
            ]),
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
            arguments: words(&["audit", "migrate"]),
            env: vec![value("NOVACRM_TENANT", self.tenant.namespace())],
            folders: self.folders([
                self.database_url("NOVACRM_AUDIT_MIGRATION_DATABASE_URL", names::AUDIT_MIGRATION_URL)
            ]),
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
            arguments: words(&["migrate"]),
            env: vec![
                value("NOVACRM_TENANT", self.tenant.namespace()),
                value("NOVACRM_DEFAULT_LOCALE", spec.locale.as_str()),
                value("NOVACRM_BOOTSTRAP_ADMIN_EMAIL", &admin.email),
                value("NOVACRM_BOOTSTRAP_ADMIN_NAME", &admin.display_name),
                value("NOVACRM_DEMO_DATA", if spec.demo_data { "true" } else { "false" }),
            ],
            folders: self.folders([
                Folder::Credential {
                    variable: "NOVACRM_BOOTSTRAP_ADMIN_PASSWORD",
                    name: "bootstrap-password",
                    secret: password.name.clone(),
                    key: password.key.clone(),
                },
                self.database_url("NOVACRM_MIGRATION_DATABASE_URL", names::API_MIGRATION_URL),
            ]),
            token: false,
            size: &spec.api,
            port: None,
        }
    }

    /// The release that serves, or will serve first.
    fn serving(&self) -> &str {
        self.surroundings.migrated.as_ref().map_or(self.tenant.version(), |migrated| &migrated.version)
    }

    /// An address of a database, out of the Secret that the operator made or the platform team named.
    fn database_url(&self, variable: &'static str, name: &'static str) -> Folder {
        let existing = self.tenant.spec().database.existing.as_ref();
        let credential = |secret: &str, key: &str| Folder::Credential {
            variable,
            name,
            secret: secret.to_owned(),
            key: key.to_owned(),
        };
        let reference = match (existing, name) {
            (None, key) => return credential(names::DATABASE, key),
            (Some(existing), names::API_URL) => &existing.crm.url_secret_ref,
            (Some(existing), names::API_MIGRATION_URL) => &existing.crm.migration_url_secret_ref,
            (Some(existing), names::AUDIT_MIGRATION_URL) => &existing.audit.migration_url_secret_ref,
            (Some(existing), _) => &existing.audit.url_secret_ref,
        };
        credential(&reference.name, &reference.key)
    }

    /// What the engine is told of a recogniser.
    fn recogniser(&self, recogniser: &Recogniser) -> Vec<EnvVar> {
        let mut env = recogniser_settings(recogniser);
        if self.settings.limits.destinations.local {
            env.push(value("NOVACRM_RECOGNISER_LOCAL", "true"));
        }
        env
    }

    fn recogniser_key(&self) -> Option<Folder> {
        let reference = self.tenant.spec().recogniser.as_ref()?.key_secret_ref.as_ref()?;
        Some(Folder::Credential {
            variable: "NOVACRM_RECOGNISER_KEY",
            name: "recogniser-key",
            secret: reference.name.clone(),
            key: reference.key.clone(),
        })
    }

    /// The certificates that the database server's is verified against. In a Secret of the operator's they are where the
    /// server was described with some.
    fn database_roots(&self) -> Option<Folder> {
        let Some(existing) = &self.tenant.spec().database.existing else {
            let (secret, key) = (names::DATABASE.to_owned(), names::DATABASE_ROOTS.to_owned());
            return Some(Folder::Roots { secret, key, optional: true });
        };
        let SecretKeyReference { name, key } = existing.root_certificate_secret_ref.as_ref()?;
        Some(Folder::Roots { secret: name.clone(), key: key.clone(), optional: false })
    }

    /// What every process that has a database finds its files in.
    fn folders(&self, own: impl IntoIterator<Item = Folder>) -> Vec<Folder> {
        self.database_roots().into_iter().chain(own).collect()
    }

    /// The audit log, then the records, one after the other on one volume. Each is begun anew where it was cut off, and
    /// left as it is where it is whole.
    fn dump(&self) -> Dump {
        let tenant = self.tenant.tenant();
        let id = tenant.metadata.uid.as_deref().unwrap_or_default();
        let wanted = tenant.spec.final_dump.clone().unwrap_or_default();
        let reference = DumpReference {
            claim_name: wanted.claim_name.clone().unwrap_or_else(|| names::DUMP.to_owned()),
            folder: format!("novacrm-{id}"),
        };
        let metadata = |name: String| ObjectMeta {
            name: Some(name),
            owner_references: None,
            ..self.metadata(names::DUMP)
        };
        let claim = wanted.claim_name.is_none().then(|| {
            let Storage { size, storage_class_name } = wanted
                .storage
                .clone()
                .unwrap_or_else(|| Storage { size: DUMP_SIZE.to_owned(), storage_class_name: None });
            let requests = BTreeMap::from([("storage".to_owned(), Quantity(size))]);
            PersistentVolumeClaim {
                metadata: metadata(reference.claim_name.clone()),
                spec: Some(PersistentVolumeClaimSpec {
                    access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                    resources: Some(VolumeResourceRequirements { requests: Some(requests), limits: None }),
                    storage_class_name,
                    ..PersistentVolumeClaimSpec::default()
                }),
                ..PersistentVolumeClaim::default()
            }
        });
        let version = self.tenant.version();
        let [engine, api] = [self.engine_dump(&reference), self.api_dump(&reference)];
        // The account that every namespace has: those of the tenant may be collected already.
        let mut template = self.pod(&api, version, Some("Never"), None);
        if let (Some(pod), Some(metadata)) = (template.spec.as_mut(), template.metadata.as_mut()) {
            metadata.labels = Some(labels(self.tenant.namespace(), names::DUMP, version));
            pod.service_account_name = None;
            pod.init_containers = Some(vec![self.container(&engine, version)]);
            let more = engine.folders.iter().map(Folder::volume);
            pod.volumes = pod.volumes.take().map(|mut volumes| {
                for volume in more {
                    if !volumes.iter().any(|one| one.name == volume.name) {
                        volumes.push(volume);
                    }
                }
                volumes
            });
        }
        let job = Job {
            metadata: metadata(format!("{}-{id}", names::DUMP)),
            spec: Some(JobSpec {
                backoff_limit: Some(2),
                active_deadline_seconds: Some(24 * 3600),
                ttl_seconds_after_finished: Some(24 * 3600),
                template,
                ..JobSpec::default()
            }),
            ..Job::default()
        };
        Dump { reference, claim, job }
    }

    fn engine_dump(&self, to: &DumpReference) -> Part<'_> {
        Part {
            name: "audit",
            account: names::ENGINE,
            image: "novacrm-engine",
            arguments: dump_arguments(&["audit", "dump"], &to.folder, "audit"),
            env: vec![value("NOVACRM_TENANT", self.tenant.namespace()), value("NOVACRM_KEYS_DIR", KEYS_DIR)],
            folders: self.folders([
                self.database_url("NOVACRM_AUDIT_DATABASE_URL", names::AUDIT_URL),
                Folder::Secret { name: "keys", secret: names::ENGINE_KEYS, path: KEYS_DIR },
                Folder::Claim { name: "dump", claim: to.claim_name.clone(), path: DUMP_DIR },
            ]),
            token: false,
            size: &self.tenant.spec().engine,
            port: None,
        }
    }

    fn api_dump(&self, to: &DumpReference) -> Part<'_> {
        Part {
            name: "crm",
            account: names::API,
            image: "novacrm-api-server",
            arguments: dump_arguments(&["dump"], &to.folder, "crm"),
            env: Vec::new(),
            folders: self.folders([
                self.database_url("NOVACRM_DATABASE_URL", names::API_URL),
                Folder::Claim { name: "dump", claim: to.claim_name.clone(), path: DUMP_DIR },
            ]),
            token: false,
            size: &self.tenant.spec().api,
            port: None,
        }
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        metadata(self.tenant.tenant(), name, self.serving())
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

    /// Both Jobs, for the release that is wanted.
    fn jobs(&self) -> Vec<Job> {
        [self.engine_migration(), self.api_migration()].iter().map(|part| self.job(part).0).collect()
    }

    fn migration(&self) -> Migrated {
        let digests = [self.engine_migration(), self.api_migration()].map(|part| self.job(&part).1);
        Migrated { version: self.tenant.version().to_owned(), digest: digests.join("-") }
    }

    /// A Job and the digest of what it does. A Job's template cannot be changed, so the name says what is in it; and a
    /// Job that has gone is not missed, because what it did is in the status.
    fn job(&self, part: &Part<'_>) -> (Job, String) {
        let version = self.tenant.version();
        let spec = JobSpec {
            backoff_limit: Some(6),
            active_deadline_seconds: Some(900),
            ttl_seconds_after_finished: Some(24 * 3600),
            // A pod that failed stays, and with it its log.
            template: self.pod(part, version, Some("Never"), None),
            ..JobSpec::default()
        };
        // Objects of ours can be written as JSON.
        let digest = hex::encode(Sha256::digest(serde_json::to_vec(&spec).unwrap_or_default()));
        let digest: String = digest.chars().take(8).collect();
        let slug: String = version
            .chars()
            .take(20)
            .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' })
            .collect();
        let mut metadata = self.metadata(part.name);
        metadata.name = Some(format!("{}-{slug}-{digest}", part.name));
        metadata.labels = Some(labels(self.tenant.namespace(), part.name, version));
        (Job { metadata, spec: Some(spec), ..Job::default() }, digest)
    }

    fn deployment(&self, part: &Part<'_>) -> Deployment {
        Deployment {
            metadata: self.metadata(part.name),
            spec: Some(DeploymentSpec {
                replicas: match (self.tenant.spec().suspend, &part.size.autoscaling) {
                    (true, _) => Some(0),
                    (false, Some(_)) => None,
                    (false, None) => Some(part.size.replicas),
                },
                selector: matching(selector(part.name)),
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: Some(IntOrString::Int(1)),
                        max_unavailable: Some(IntOrString::Int(0)),
                    }),
                }),
                revision_history_limit: Some(3),
                template: self.pod(part, self.serving(), None, self.secrets_digest(part)),
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        }
    }

    /// Digest of the Secrets that a process reads at its start. Certificates are not among them: those it rereads.
    fn secrets_digest(&self, part: &Part<'_>) -> Option<String> {
        let folders = part.folders.iter().filter_map(|folder| match folder {
            Folder::Secret { secret, path, .. } if *path != TLS_DIR => Some(*secret),
            _ => None,
        });
        let whole = folders.filter_map(|secret| self.surroundings.digests.get(secret)).flatten();
        let keys = part.folders.iter().filter_map(|folder| match folder {
            Folder::Credential { secret, key, .. } => {
                self.surroundings.digests.get(secret)?.get_key_value(key)
            }
            _ => None,
        });
        let mut all: Vec<&str> = whole.chain(keys).map(|(_, digest)| digest.as_str()).collect();
        all.sort_unstable();
        (!all.is_empty()).then(|| hex::encode(Sha256::digest(all.concat())))
    }

    fn pod(
        &self,
        part: &Part<'_>,
        version: &str,
        restart: Option<&str>,
        secrets_digest: Option<String>,
    ) -> PodTemplateSpec {
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
            metadata: Some(ObjectMeta {
                labels: Some(labels(self.tenant.namespace(), part.name, version)),
                annotations: secrets_digest
                    .map(|digest| BTreeMap::from([(SECRETS_DIGEST.to_owned(), digest)])),
                ..ObjectMeta::default()
            }),
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
                termination_grace_period_seconds: Some(GRACE_SECONDS),
                topology_spread_constraints: spread,
                containers: vec![self.container(part, version)],
                volumes: (!part.folders.is_empty())
                    .then(|| part.folders.iter().map(Folder::volume).collect()),
                ..PodSpec::default()
            }),
        }
    }

    fn container(&self, part: &Part<'_>, version: &str) -> Container {
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
            image: Some(self.settings.image(part.image, version)),
            args: Some(part.arguments.clone()),
            env: Some(
                [
                    part.env.clone(),
                    part.folders.iter().filter_map(Folder::variable).collect(),
                    self.root_certificates(),
                ]
                .concat(),
            ),
            ports,
            // The address leaves the Services when the pod is told to end, and routers learn of it a little later.
            lifecycle: serves.then(|| Lifecycle {
                pre_stop: Some(LifecycleHandler {
                    sleep: Some(SleepAction { seconds: DRAIN_SECONDS }),
                    ..LifecycleHandler::default()
                }),
                ..Lifecycle::default()
            }),
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

    /// Where the driver finds the certificates, for addresses that the operator did not write. Those it did say it themselves.
    fn root_certificates(&self) -> Vec<EnvVar> {
        let existing = self.tenant.spec().database.existing.as_ref();
        let roots = existing.and_then(|existing| existing.root_certificate_secret_ref.as_ref());
        let file = format!("{DATABASE_ROOTS_DIR}/{}", names::DATABASE_ROOTS);
        roots.map(|_| value("PGSSLROOTCERT", &file)).into_iter().collect()
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
        let most = part.size.autoscaling.as_ref().map_or(part.size.replicas, |scaling| scaling.max_replicas);
        (most > 1).then(|| PodDisruptionBudget {
            metadata: self.metadata(part.name),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                selector: Some(matching(selector(part.name))),
                ..PodDisruptionBudgetSpec::default()
            }),
            ..PodDisruptionBudget::default()
        })
    }

    fn autoscaler(&self, part: &Part<'_>) -> Option<HorizontalPodAutoscaler> {
        let Autoscaling { min_replicas, max_replicas, target_cpu_percent } =
            part.size.autoscaling.as_ref()?;
        Some(HorizontalPodAutoscaler {
            metadata: self.metadata(part.name),
            spec: HorizontalPodAutoscalerSpec {
                scale_target_ref: CrossVersionObjectReference {
                    api_version: Some("apps/v1".to_owned()),
                    kind: "Deployment".to_owned(),
                    name: part.name.to_owned(),
                },
                min_replicas: Some(*min_replicas),
                max_replicas: *max_replicas,
                metrics: Some(vec![MetricSpec {
                    type_: "Resource".to_owned(),
                    resource: Some(ResourceMetricSource {
                        name: "cpu".to_owned(),
                        target: MetricTarget {
                            type_: "Utilization".to_owned(),
                            average_utilization: Some(*target_cpu_percent),
                            ..MetricTarget::default()
                        },
                    }),
                    ..MetricSpec::default()
                }]),
                ..HorizontalPodAutoscalerSpec::default()
            },
            ..HorizontalPodAutoscaler::default()
        })
    }

    fn ingress(&self) -> Option<Ingress> {
        let spec = self.tenant.spec();
        let exposure = spec.exposure.as_ref().filter(|exposure| exposure.r#type == ExposureType::Ingress)?;
        let IngressExposure { class_name, tls_secret_name } = exposure.ingress.as_ref()?;
        let backend = IngressBackend {
            service: Some(IngressServiceBackend {
                name: names::API.to_owned(),
                port: Some(ServiceBackendPort { name: Some("http".to_owned()), number: None }),
            }),
            resource: None,
        };
        let path = HTTPIngressPath { path: Some("/".to_owned()), path_type: "Prefix".to_owned(), backend };
        let rules = spec.hostnames.iter().map(|host| IngressRule {
            host: Some(host.clone()),
            http: Some(HTTPIngressRuleValue { paths: vec![path.clone()] }),
        });
        Some(Ingress {
            metadata: self.metadata(names::API),
            spec: Some(IngressSpec {
                ingress_class_name: class_name.clone(),
                rules: Some(rules.collect()),
                tls: tls_secret_name.as_ref().map(|secret| {
                    vec![IngressTLS {
                        hosts: Some(spec.hostnames.clone()),
                        secret_name: Some(secret.clone()),
                    }]
                }),
                ..IngressSpec::default()
            }),
            ..Ingress::default()
        })
    }

    fn http_route(&self) -> Option<DynamicObject> {
        let spec = self.tenant.spec();
        let exposure = spec.exposure.as_ref().filter(|exposure| exposure.r#type == ExposureType::Gateway)?;
        let GatewayExposure { parent_ref } = exposure.gateway.as_ref()?;
        let route = json!({ "spec": {
            // The fields of the kind have the names that the Gateway API gives them.
            "parentRefs": [parent_ref],
            "hostnames": spec.hostnames,
            "rules": [{ "backendRefs": [{ "name": names::API, "port": API_PORT }] }],
        }});
        Some(dynamic("gateway.networking.k8s.io/v1", "HTTPRoute", self.metadata(names::API), route))
    }

    fn service_monitor(&self, part: &Part<'_>) -> Option<DynamicObject> {
        let monitor = json!({ "spec": {
            "jobLabel": "app.kubernetes.io/name",
            "selector": { "matchLabels": selector(part.name) },
            // The admin port is no port of the Service: nobody but Prometheus has business there.
            "endpoints": [{ "targetPort": "admin", "path": "/metrics" }],
        }});
        let metadata = self.metadata(part.name);
        self.settings
            .service_monitors
            .then(|| dynamic("monitoring.coreos.com/v1", "ServiceMonitor", metadata, monitor))
    }

    /// The tenant's own PostgreSQL, with a role for the operator that is no superuser: databases and roles are made
    /// as on any other server.
    fn postgresql_cluster(&self) -> Option<DynamicObject> {
        let wanted = self.tenant.spec().database.cloud_native_pg.as_ref()?;
        let spec = without_nulls(json!({
            "instances": wanted.instances,
            "imageName": wanted.image_name,
            "storage": without_nulls(json!({
                "size": wanted.storage.size,
                "storageClass": wanted.storage.storage_class_name,
            })),
            "managed": { "roles": [{
                "name": ADMINISTRATOR,
                "ensure": "present",
                "comment": "The NovaCRM operator, which makes the tenant's databases and roles",
                "login": true,
                "createdb": true,
                "createrole": true,
                "passwordSecret": { "name": names::DATABASE_ADMINISTRATOR },
            }] },
        }));
        let mut metadata = self.metadata(names::DATABASE);
        metadata.owner_references = None;
        Some(dynamic("postgresql.cnpg.io/v1", "Cluster", metadata, json!({ "spec": spec })))
    }

    /// Where the databases are, as far as this can be known.
    fn database_egress(&self) -> NetworkPolicyEgressRule {
        let database = &self.tenant.spec().database;
        let (number, to) = match (&database.existing, &database.cloud_native_pg) {
            (Some(existing), _) => (existing.port, None),
            (None, Some(_)) => {
                let servers = BTreeMap::from([("cnpg.io/cluster".to_owned(), names::DATABASE.to_owned())]);
                let peer = NetworkPolicyPeer {
                    pod_selector: Some(matching(servers)),
                    ..NetworkPolicyPeer::default()
                };
                (5432, Some(vec![peer]))
            }
            // A policy knows no host names, so the port must do.
            (None, None) => (self.surroundings.database_port, None),
        };
        NetworkPolicyEgressRule { ports: Some(vec![port("TCP", number)]), to }
    }

    /// Where the recogniser is, as far as this can be known: the pods of a namespace, one IP address, or every address
    /// outside of the cluster but those of a link.
    fn recogniser_egress(&self) -> Option<NetworkPolicyEgressRule> {
        let recogniser = self.tenant.spec().recogniser.as_ref()?;
        let destinations = &self.settings.limits.destinations;
        // What is refused was refused before.
        let destination = destinations.check(&recogniser.url, self.tenant.namespace()).ok()?;
        let block = |cidr: String, except: Option<&str>| NetworkPolicyPeer {
            ip_block: Some(IPBlock { cidr, except: except.map(|one| vec![one.to_owned()]) }),
            ..NetworkPolicyPeer::default()
        };
        let to = match (&destination.namespace, destination.ip) {
            (Some(name), _) if name == self.tenant.namespace() => vec![NetworkPolicyPeer {
                pod_selector: Some(LabelSelector::default()),
                ..NetworkPolicyPeer::default()
            }],
            (Some(name), _) => vec![namespace("kubernetes.io/metadata.name", name, None)],
            (None, Some(ip)) => vec![block(format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }), None)],
            (None, None) => vec![
                block("0.0.0.0/0".to_owned(), Some("169.254.0.0/16")),
                block("::/0".to_owned(), Some("fe80::/10")),
            ],
        };
        Some(NetworkPolicyEgressRule { ports: Some(vec![port("TCP", destination.port)]), to: Some(to) })
    }

    /// Nothing is allowed but: ingress → API, API and operator → engine, engine → Kubernetes API and its recogniser, all →
    /// database and name service, monitoring → metrics.
    fn network_policies(&self) -> Vec<NetworkPolicy> {
        let database = self.database_egress();
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
        let recogniser = self.recogniser_egress();
        let engine_egress = [base.clone(), vec![kubernetes], recogniser.into_iter().collect()].concat();
        let api_egress = [base.clone(), vec![engine]].concat();
        let all = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "novacrm".to_owned())]);
        let deletes = self.tenant.spec().deletion_policy == DeletionPolicy::Delete;
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
            self.network_policy(names::API_MIGRATE, selector(names::API_MIGRATE), vec![], base.clone()),
        ]
        .into_iter()
        .chain(deletes.then(|| self.network_policy(names::DUMP, selector(names::DUMP), vec![], base)))
        .collect()
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

/// Name of the volume of [`Folder::Roots`].
const ROOTS_VOLUME: &str = "database-roots";

impl Folder {
    /// The variable that tells the process of a file.
    fn variable(&self) -> Option<EnvVar> {
        match self {
            Self::Credential { variable, name, key, .. } => {
                Some(value(&format!("{variable}_FILE"), &format!("{CREDENTIALS_DIR}/{name}/{key}")))
            }
            _ => None,
        }
    }

    fn volume(&self) -> Volume {
        match self {
            Self::Credential { name, secret, key, .. } => Volume {
                name: (*name).to_owned(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(secret.clone()),
                    items: Some(vec![KeyToPath { key: key.clone(), path: key.clone(), mode: None }]),
                    default_mode: Some(0o440),
                    optional: None,
                }),
                ..Volume::default()
            },
            Self::Secret { name, secret, .. } => Volume {
                name: (*name).to_owned(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some((*secret).to_owned()),
                    default_mode: Some(0o440),
                    ..SecretVolumeSource::default()
                }),
                ..Volume::default()
            },
            Self::Roots { secret, key, optional } => Volume {
                name: ROOTS_VOLUME.to_owned(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(secret.clone()),
                    items: Some(vec![KeyToPath {
                        key: key.clone(),
                        path: names::DATABASE_ROOTS.to_owned(),
                        mode: None,
                    }]),
                    default_mode: Some(0o440),
                    optional: optional.then_some(true),
                }),
                ..Volume::default()
            },
            Self::Claim { name, claim, .. } => Volume {
                name: (*name).to_owned(),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: claim.clone(),
                    read_only: None,
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
        let (name, path, read_only) = match self {
            Self::Secret { name, path, .. } | Self::ConfigMap { name, path, .. } => {
                (*name, (*path).to_owned(), Some(true))
            }
            Self::Credential { name, .. } => (*name, format!("{CREDENTIALS_DIR}/{name}"), Some(true)),
            Self::Roots { .. } => (ROOTS_VOLUME, DATABASE_ROOTS_DIR.to_owned(), Some(true)),
            Self::Claim { name, path, .. } => (*name, (*path).to_owned(), None),
        };
        VolumeMount { name: name.to_owned(), mount_path: path, read_only, ..VolumeMount::default() }
    }
}

/// The ConfigMaps with a tenant's rules, signed where there are keys: the ones in force, then those before.
#[must_use]
pub fn bundle_config_maps(tenant: &CrmTenant, bundles: &Bundles, settings: &Settings) -> Vec<ConfigMap> {
    let current = (names::BUNDLE, Some(&bundles.current));
    let previous = (names::BUNDLE_PREVIOUS, bundles.previous.as_ref());
    [current, previous]
        .into_iter()
        .filter_map(|(name, revision)| {
            let revision = revision?;
            let mut metadata = metadata(tenant, name, &settings.version);
            metadata.annotations = Some(BTreeMap::from([
                ("novacrm.io/bundle-digest".to_owned(), revision.digest.clone()),
                ("novacrm.io/bundle-sequence".to_owned(), revision.sequence.to_string()),
            ]));
            // Signing fails for no key. If it did, the bundle would be unsigned and the engines would refuse it.
            let signed = settings.signing.as_ref().and_then(|keys| keys.sign(&revision.bytes).ok());
            let content = ByteString(signed.unwrap_or_else(|| revision.bytes.clone()));
            let binary_data = Some(BTreeMap::from([(names::BUNDLE_KEY.to_owned(), content)]));
            Some(ConfigMap { metadata, binary_data, ..ConfigMap::default() })
        })
        .collect()
}

/// What every object of a tenant says of itself. Secrets and databases have no owner: they outlive the tenant.
fn metadata(tenant: &CrmTenant, name: &str, version: &str) -> ObjectMeta {
    let namespace = tenant.metadata.namespace.clone().unwrap_or_default();
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels(&namespace, name, version)),
        namespace: Some(namespace),
        owner_references: tenant.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

fn labels(namespace: &str, name: &str, version: &str) -> BTreeMap<String, String> {
    let mut labels = selector(name);
    labels.extend(
        [
            ("app.kubernetes.io/part-of", "novacrm"),
            ("app.kubernetes.io/managed-by", "novacrm-operator"),
            (VERSION_LABEL, version),
            ("novacrm.io/tenant", namespace),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    labels
}

fn dynamic(api_version: &str, kind: &str, metadata: ObjectMeta, data: Value) -> DynamicObject {
    let types = TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() };
    DynamicObject { types: Some(types), metadata, data }
}

/// A field that is not asked for is left out: a null would be one.
fn without_nulls(mut object: Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

fn selector(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("app.kubernetes.io/name".to_owned(), name.to_owned())])
}

fn matching(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn dump_arguments(command: &[&str], folder: &str, part: &str) -> Vec<String> {
    [words(command), vec!["--to".to_owned(), format!("{DUMP_DIR}/{folder}/{part}")]].concat()
}

fn value(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn recogniser_settings(recogniser: &Recogniser) -> Vec<EnvVar> {
    let mut env = vec![
        value("NOVACRM_RECOGNISER_URL", &recogniser.url),
        value("NOVACRM_RECOGNISER_API", recogniser.api.as_str()),
        value("NOVACRM_RECOGNISER_NAME", &recogniser.name),
        value("NOVACRM_RECOGNISER_TYPES", &recogniser.types.join(",")),
        value("NOVACRM_RECOGNISER_LANGUAGES", &recogniser.languages.join(",")),
        value("NOVACRM_RECOGNISER_TIME_OUT_MS", &recogniser.timeout_milliseconds.to_string()),
        value("NOVACRM_RECOGNISER_MAX_BYTES", &recogniser.max_bytes.to_string()),
        value("NOVACRM_RECOGNISER_MAX_CALLS", &recogniser.max_calls.to_string()),
        value("NOVACRM_RECOGNISER_FAILURE_MODE", recogniser.failure_mode.as_str()),
    ];
    env.extend(recogniser.model.as_deref().map(|model| value("NOVACRM_RECOGNISER_MODEL", model)));
    env
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
