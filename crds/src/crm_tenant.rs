//! `CrmTenant`: one running CRM, with its own databases, keys and certificates. One per namespace.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Bilingual, LawReference, LocalObjectReference, SecretKeyReference, VERSION_PATTERN};

/// A CRM for one organisation: API, compliance engine, databases and keys.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "novacrm.io",
    version = "v1alpha1",
    kind = "CrmTenant",
    plural = "crmtenants",
    shortname = "crmt",
    category = "novacrm",
    namespaced,
    status = "CrmTenantStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Display name","type":"string","jsonPath":".spec.displayName"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.migrated.version"}"#,
    printcolumn = r#"{"name":"Bundle","type":"integer","jsonPath":".status.bundle.sequence"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.exposure) || (has(self.hostnames) && size(self.hostnames) > 0)", "an exposed CRM needs at least one hostname"))]
pub struct CrmTenantSpec {
    /// Name of the organisation, as its people write it.
    #[schemars(length(min = 1, max = 128))]
    pub display_name: String,
    /// Language for people who have not chosen one.
    #[serde(default)]
    pub locale: Locale,
    /// Release of the CRM; that of the operator when absent. Never older than what the databases were migrated to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 64), regex(pattern = VERSION_PATTERN))]
    pub version: Option<String>,
    /// Nothing runs while this is `true`; databases, keys and addresses are kept.
    #[serde(default)]
    pub suspend: bool,
    /// Names that browsers reach the CRM under.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub hostnames: Vec<String>,
    /// How the hostnames lead into the cluster; when absent, the CRM is reached within the cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// Where the tenant's databases live.
    pub database: Database,
    /// `metadata.uid` of a former tenant of this namespace, whose databases and keys this one takes over. The platform team
    /// confirms it with the annotation `novacrm.io/adopt-tenant-id` of the Namespace, whose value is that id. Without both,
    /// what belongs to another tenant is left alone and this one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub adopt_tenant_id: Option<String>,
    /// What becomes of databases and keys when the tenant is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Where the last dump goes that `deletionPolicy: Delete` makes; a claim of 10Gi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_dump: Option<FinalDump>,
    /// Who may log in at first.
    pub auth: Auth,
    /// The CRM API.
    #[serde(default)]
    pub api: Workload,
    /// The AI compliance engine.
    #[serde(default)]
    pub engine: Workload,
    /// A recogniser outside of the engine, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recogniser: Option<Recogniser>,
    /// The register of AI uses. The legal class belongs to a registered use; a prompt never changes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub ai_use_cases: Vec<AiUseCase>,
    /// Fills an empty CRM with fictitious organisations and contacts.
    #[serde(default)]
    pub demo_data: bool,
}

/// Language of the product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Locale {
    /// French.
    #[default]
    Fr,
    /// English.
    En,
}

impl Locale {
    /// The language tag: `fr` or `en`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fr => "fr",
            Self::En => "en",
        }
    }
}

/// A service that says what it sees in texts, where a policy uses `external.*`. It is sent those texts as they are, so
/// it must be one that may read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(self.api == 'chat') == has(self.model)", "model must be set exactly when api is chat"))]
pub struct Recogniser {
    /// Where texts are posted, with the path: `http://presidio-analyzer:3000/analyze`. A Service of this namespace, or a
    /// host that the organisation allows; `https` outside of the cluster.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^\s@]+$"))]
    pub url: String,
    /// What it speaks.
    #[serde(default)]
    pub api: RecogniserApi,
    /// Its name in detectors: `external.<name>.<type>`.
    #[serde(default = "default_recogniser_name")]
    #[schemars(length(min = 1, max = 48), regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub name: String,
    /// The model that a chat endpoint is to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub model: Option<String>,
    /// A token that it asks for (`Authorization: Bearer`). The Secret needs the label `novacrm.io/send-to: recogniser`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_secret_ref: Option<SecretKeyReference>,
    /// Types that are taken, as it calls them, or as `THEIRS=OURS`; others are left out.
    #[serde(default = "default_recogniser_types")]
    #[schemars(
        length(min = 1, max = 64),
        inner(
            length(min = 1, max = 97),
            regex(pattern = r"^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*(=[A-Z][A-Z0-9]*(_[A-Z0-9]+)*)?$")
        )
    )]
    pub types: Vec<String>,
    /// Languages that it knows; for a text of somebody with another one the first is named.
    #[serde(default = "default_recogniser_languages")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 2, max = 2)))]
    pub languages: Vec<String>,
    /// How long a call may take, waiting for its turn included, in milliseconds.
    #[serde(default = "default_recogniser_time_out")]
    #[schemars(range(min = 1, max = 5000))]
    pub timeout_milliseconds: u32,
    /// Longest text that is sent, in bytes.
    #[serde(default = "default_recogniser_max_bytes")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_bytes: u32,
    /// Calls at a time, of each engine pod.
    #[serde(default = "default_recogniser_max_calls")]
    #[schemars(range(min = 1, max = 1024))]
    pub max_calls: u32,
    /// What happens when it is not heard.
    #[serde(default)]
    pub failure_mode: RecogniserFailureMode,
}

fn default_recogniser_name() -> String {
    "presidio".to_owned()
}

fn default_recogniser_types() -> Vec<String> {
    ["PERSON", "LOCATION", "ORGANIZATION", "NRP"].map(str::to_owned).into()
}

fn default_recogniser_languages() -> Vec<String> {
    ["fr", "en"].map(str::to_owned).into()
}

fn default_recogniser_time_out() -> u32 {
    1000
}

fn default_recogniser_max_bytes() -> u32 {
    65_536
}

fn default_recogniser_max_calls() -> u32 {
    8
}

/// What a recogniser speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RecogniserApi {
    /// `{text, language}` in, `[{entity_type, start, end, score}]` out, as Microsoft Presidio's analyzer does.
    #[default]
    Presidio,
    /// Chat completions in the manner of OpenAI, whose message is such a list.
    Chat,
}

impl RecogniserApi {
    /// As the schema writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Presidio => "presidio",
            Self::Chat => "chat",
        }
    }
}

/// What happens when a recogniser is not heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RecogniserFailureMode {
    /// The request is refused; nothing is decided.
    #[default]
    Closed,
    /// The engine decides by its own detectors, and says so in its answer and its record.
    Open,
}

impl RecogniserFailureMode {
    /// As the schema writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// What becomes of a tenant's databases and keys when it is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay; a new tenant may take them over (`adoptTenantId`).
    #[default]
    Retain,
    /// They are dumped, and deleted once the dump is whole and the annotation `novacrm.io/confirm-deletion` holds the
    /// tenant's `metadata.uid`.
    Delete,
}

/// Where the last dump of a tenant goes: a claim that is there, or one to be made. Either stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!(has(self.claimName) && has(self.storage))", "name a claim or describe one to be made, not both"))]
pub struct FinalDump {
    /// A `PersistentVolumeClaim` of the tenant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: Option<String>,
    /// The claim `novacrm-dump` that the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
}

/// How the hostnames lead into the cluster; `type` says which member holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = ("(self.type == 'ingress') == has(self.ingress)", "ingress must be set exactly when type is ingress"))]
#[x_kube(validation = ("(self.type == 'gateway') == has(self.gateway)", "gateway must be set exactly when type is gateway"))]
pub struct Exposure {
    /// Which member of the union holds.
    pub r#type: ExposureType,
    /// An `Ingress` of `networking.k8s.io/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressExposure>,
    /// An `HTTPRoute` of `gateway.networking.k8s.io/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayExposure>,
}

/// The ways into the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ExposureType {
    /// An `Ingress`.
    Ingress,
    /// An `HTTPRoute`, attached to a `Gateway` of the platform team.
    Gateway,
}

/// An `Ingress`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressExposure {
    /// `ingressClassName`; the cluster's default class when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Secret (`kubernetes.io/tls`) of the same namespace with the certificate for the hostnames; when absent, the
    /// ingress controller's own certificate is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,
}

/// An `HTTPRoute`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayExposure {
    /// The `Gateway` the route attaches to.
    pub parent_ref: ParentReference,
}

/// A `Gateway`, as the Gateway API refers to one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// `metadata.name` of the `Gateway`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace; the tenant's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The listener's name; every listener that admits the route when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
}

/// Where the tenant's databases live; `type` says which member holds. A tenant keeps the databases it began with:
/// another type or another server would be an empty CRM, and the records would be left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(self.type == 'managed') == has(self.managed)", "managed must be set exactly when type is managed"))]
#[x_kube(validation = ("(self.type == 'cloudNativePg') == has(self.cloudNativePg)", "cloudNativePg must be set exactly when type is cloudNativePg"))]
#[x_kube(validation = ("(self.type == 'existing') == has(self.existing)", "existing must be set exactly when type is existing"))]
#[x_kube(validation = ("self.type == oldSelf.type", "the type of a tenant's database cannot change"))]
#[x_kube(validation = ("!has(self.managed) || !has(oldSelf.managed) || self.managed.serverRef.name == oldSelf.managed.serverRef.name", "the server of a tenant's databases cannot change"))]
pub struct Database {
    /// Which member of the union holds.
    pub r#type: DatabaseType,
    /// Databases and roles that the operator makes on a given PostgreSQL server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedDatabase>,
    /// A PostgreSQL cluster of the tenant's own, run by the CloudNativePG operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_native_pg: Option<CloudNativePgDatabase>,
    /// Databases and roles that the platform team made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingDatabase>,
}

impl Database {
    /// After how many days logins are changed; `None` where the platform team makes them.
    #[must_use]
    pub fn rotate_after_days(&self) -> Option<u16> {
        match self.r#type {
            DatabaseType::Managed => self.managed.as_ref().map(|managed| managed.rotate_after_days),
            DatabaseType::CloudNativePg => {
                self.cloud_native_pg.as_ref().map(|cluster| cluster.rotate_after_days)
            }
            DatabaseType::Existing => None,
        }
    }
}

/// The kinds of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DatabaseType {
    /// The operator makes databases and roles on a given server.
    Managed,
    /// The operator asks CloudNativePG for a cluster, and makes databases and roles on it.
    CloudNativePg,
    /// The platform team made databases and roles.
    Existing,
}

/// Databases and roles that the operator makes on a given PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedDatabase {
    /// The server, as the platform team named it to the operator.
    pub server_ref: LocalObjectReference,
    /// After how many days the tenant moves to new logins with new passwords.
    #[serde(default = "default_rotation")]
    #[schemars(range(min = 1, max = 365))]
    pub rotate_after_days: u16,
}

fn default_rotation() -> u16 {
    30
}

/// A PostgreSQL cluster of the tenant's own (`Cluster` of `postgresql.cnpg.io/v1`). It outlives the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudNativePgDatabase {
    /// How many PostgreSQL servers: one primary, the others replicas of it.
    #[serde(default = "default_instances")]
    #[schemars(range(min = 1, max = 9))]
    pub instances: i32,
    /// The volume of each server.
    pub storage: Storage,
    /// Image of PostgreSQL; CloudNativePG's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub image_name: Option<String>,
    /// After how many days the tenant moves to new logins with new passwords.
    #[serde(default = "default_rotation")]
    #[schemars(range(min = 1, max = 365))]
    pub rotate_after_days: u16,
}

fn default_instances() -> i32 {
    3
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its size; it may grow.
    #[schemars(length(min = 3, max = 16), regex(pattern = r"^[1-9][0-9]*(Mi|Gi|Ti)$"))]
    pub size: String,
    /// `StorageClass`; the cluster's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

/// Databases and roles that the platform team made. What the operator cannot do here is theirs: rights, rotation,
/// and that nobody else may connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExistingDatabase {
    /// TCP port of the server, which the tenant's pods may reach.
    #[serde(default = "default_postgresql_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The CRM's records.
    pub crm: ExistingUrls,
    /// The audit log. Its serving role should insert and select, and nothing else.
    pub audit: ExistingUrls,
    /// Certificates (PEM) of the authorities that the server's certificate is verified against, where the addresses say
    /// `sslmode=verify-full` or `verify-ca`; those that the images bring when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_certificate_secret_ref: Option<SecretKeyReference>,
}

fn default_postgresql_port() -> u16 {
    5432
}

/// The addresses of one database (`postgres://…`), in Secrets of the tenant's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExistingUrls {
    /// For the process that serves.
    pub url_secret_ref: SecretKeyReference,
    /// For the migration, which makes and changes tables.
    pub migration_url_secret_ref: SecretKeyReference,
}

/// Who may log in at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// The first account, of role `direction`. Made once; later changes to it are made in the CRM.
    pub bootstrap_admin: BootstrapAdmin,
}

/// The first account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapAdmin {
    /// E-mail address to log in with.
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub email: String,
    /// Name shown to others.
    #[schemars(length(min = 1, max = 128))]
    pub display_name: String,
    /// The password; generated into this Secret when it does not exist.
    pub password_secret_ref: SecretKeyReference,
}

/// Size of a part of the tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workload {
    /// How many pods, while there is no `autoscaling`.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: i32,
    /// How many pods, by load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// CPU and memory of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

impl Default for Workload {
    fn default() -> Self {
        Self { replicas: default_replicas(), autoscaling: None, resources: None }
    }
}

/// How many pods, by load (`HorizontalPodAutoscaler`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.minReplicas <= self.maxReplicas", "minReplicas must not be above maxReplicas"))]
pub struct Autoscaling {
    /// Fewest pods.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: i32,
    /// Most pods.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,
    /// Processor time that the pods should use on average, in per cent of what they request.
    #[serde(default = "default_target")]
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_percent: i32,
}

fn default_target() -> i32 {
    70
}

fn default_replicas() -> i32 {
    1
}

/// A registered use of AI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!(self.class in ['highRisk', 'prohibited']) || size(self.provisions) > 0", "a high-risk or prohibited use needs at least one provision"))]
pub struct AiUseCase {
    /// Identifier that requests name.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub id: String,
    /// What the use is called.
    pub display_name: Bilingual,
    /// What the use is for; the value of `request.purpose`.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub purpose: String,
    /// Legal class under Regulation (EU) 2024/1689.
    pub class: RegisteredClass,
    /// The provisions the class rests on.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub provisions: Vec<LawReference>,
}

/// Legal class of a registered use of AI under Regulation (EU) 2024/1689.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RegisteredClass {
    /// No specific duty.
    Minimal,
    /// Transparency duties (Article 50).
    Limited,
    /// High-risk (Article 6, Annex III).
    HighRisk,
    /// Prohibited practice (Article 5).
    Prohibited,
}

/// What runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrmTenantStatus {
    /// The generation this status speaks of (-1: none yet).
    #[serde(default = "crate::schema::unobserved")]
    pub observed_generation: i64,
    /// The bundle of rules that the tenant's engines are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleReference>,
    /// What the databases were migrated to last; the release that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrated: Option<Migrated>,
    /// The last dump, once it is whole; from then on the data is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_dump: Option<DumpReference>,
    /// The host names that this tenant holds. No other tenant is reached under one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    pub hostnames: Vec<String>,
    /// One per part, and `Ready`, `Reconciling`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A bundle by what identifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BundleReference {
    /// SHA-256 of the bundle's canonical JSON, as `sha256:<hex>`.
    #[schemars(length(max = 80))]
    pub digest: String,
    /// Grows with every bundle of the tenant.
    pub sequence: u64,
}

/// A migration that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Migrated {
    /// The release it was made by.
    #[schemars(length(max = 64))]
    pub version: String,
    /// Identifies the Jobs, so that they run again when they would do something else.
    #[schemars(length(max = 64))]
    pub digest: String,
}

/// A dump that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DumpReference {
    /// The `PersistentVolumeClaim` it is on.
    #[schemars(length(max = 253))]
    pub claim_name: String,
    /// The folder within the volume.
    #[schemars(length(max = 128))]
    pub folder: String,
}
