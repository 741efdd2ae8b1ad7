//! `CrmTenant`: one running CRM, with its own databases, keys and certificates. One per namespace.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Bilingual, LawReference, LocalObjectReference, SecretKeyReference};

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
    printcolumn = r#"{"name":"Bundle","type":"integer","jsonPath":".status.bundle.sequence"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct CrmTenantSpec {
    /// Name of the organisation, as its people write it.
    #[schemars(length(min = 1, max = 128))]
    pub display_name: String,
    /// Language for people who have not chosen one.
    #[serde(default)]
    pub locale: Locale,
    /// Where the tenant's databases live.
    pub database: Database,
    /// Who may log in at first.
    pub auth: Auth,
    /// The CRM API.
    #[serde(default)]
    pub api: Workload,
    /// The AI compliance engine.
    #[serde(default)]
    pub engine: Workload,
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

/// Where the tenant's databases live; `type` says which member holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = ("(self.type == 'managed') == has(self.managed)", "managed must be set exactly when type is managed"))]
pub struct Database {
    /// Which member of the union holds.
    pub r#type: DatabaseType,
    /// Databases and roles that the operator makes on a given PostgreSQL server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedDatabase>,
}

/// The kinds of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DatabaseType {
    /// The operator makes databases and roles on a given server.
    Managed,
}

/// Databases and roles that the operator makes on a given PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedDatabase {
    /// The server, as the platform team named it to the operator.
    pub server_ref: LocalObjectReference,
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
    /// How many pods.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: i32,
    /// CPU and memory of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

impl Default for Workload {
    fn default() -> Self {
        Self { replicas: default_replicas(), resources: None }
    }
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
