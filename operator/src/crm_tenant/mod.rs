//! `CrmTenant`: from one manifest to everything that a running CRM consists of.

pub mod build;
pub mod database;
pub mod dereference;
pub mod generate;
pub mod limits;
pub mod status;
pub mod validate;

/// Names of a tenant's objects; alike for every tenant, each in its own namespace.
pub mod names {
    /// The compliance engine: Deployment, Service and ServiceAccount.
    pub const ENGINE: &str = "novacrm-engine";
    /// The CRM API: Deployment, Service and ServiceAccount.
    pub const API: &str = "novacrm-api";
    /// Prepares the audit database.
    pub const ENGINE_MIGRATE: &str = "novacrm-engine-migrate";
    /// Prepares the CRM database.
    pub const API_MIGRATE: &str = "novacrm-api-migrate";
    /// ConfigMap with the rules in force.
    pub const BUNDLE: &str = "novacrm-policy-bundle";
    /// ConfigMap with the rules before.
    pub const BUNDLE_PREVIOUS: &str = "novacrm-policy-bundle-previous";
    /// Key of both ConfigMaps.
    pub const BUNDLE_KEY: &str = "bundle.json.zst";
    /// Secret of the tenant's certificate authority.
    pub const CA: &str = "novacrm-ca";
    /// Secret of the engine's certificate.
    pub const ENGINE_TLS: &str = "novacrm-engine-tls";
    /// Secret of the API's certificate.
    pub const API_TLS: &str = "novacrm-api-tls";
    /// Secret of the operator's certificate for this tenant.
    pub const OPERATOR_TLS: &str = "novacrm-operator-tls";
    /// Secret of the engine's keys.
    pub const ENGINE_KEYS: &str = "novacrm-engine-keys";
    /// Secret of the API's keys.
    pub const API_KEYS: &str = "novacrm-api-keys";
    /// Secret of the database addresses, passwords included; with CloudNativePG also the name of its `Cluster`.
    pub const DATABASE: &str = "novacrm-database";
    /// Secret (`kubernetes.io/basic-auth`) of the operator's role on the tenant's own CloudNativePG cluster.
    pub const DATABASE_ADMINISTRATOR: &str = "novacrm-database-administrator";
    /// Secret in which CloudNativePG keeps the authority (`ca.crt`) of the tenant's own cluster.
    pub const CLOUD_NATIVE_PG_CA: &str = "novacrm-database-ca";
    /// The Secrets that the operator makes under a name of its own choice.
    pub const SECRETS: [&str; 8] =
        [CA, ENGINE_TLS, API_TLS, OPERATOR_TLS, ENGINE_KEYS, API_KEYS, DATABASE, DATABASE_ADMINISTRATOR];
    /// Keys of [`DATABASE`]: the CRM database as the application.
    pub const API_URL: &str = "api-url";
    /// The CRM database as its migrator.
    pub const API_MIGRATION_URL: &str = "api-migration-url";
    /// The audit database as the engine: insert and select.
    pub const AUDIT_URL: &str = "audit-url";
    /// The audit database as its migrator.
    pub const AUDIT_MIGRATION_URL: &str = "audit-migration-url";
    /// Certificates of the authorities that the server's certificate is verified against, where they are private.
    pub const DATABASE_ROOTS: &str = "ca.crt";
    /// Dumps what a tenant leaves: the name of its pods, the beginning of that of its Job, and the claim that is made
    /// for it.
    pub const DUMP: &str = "novacrm-dump";
}

/// Who a tenant is: what names its databases and marks what outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// `metadata.uid`; the namespace where no API server hands uids out.
    pub id: String,
    /// Id of the former tenant whose databases and keys it may take over: asked for in its spec, and confirmed by the
    /// platform team ([`ADOPT_ANNOTATION`]).
    pub adopt: Option<String>,
}

/// Annotation of a Namespace by which the platform team confirms that the tenant in it takes over what a former tenant of
/// that namespace left. Its value is the former tenant's id. Who administers a namespace cannot write the Namespace.
pub const ADOPT_ANNOTATION: &str = "novacrm.io/adopt-tenant-id";
/// Annotation of the Secret of a database server: names of the namespaces whose tenants may use it, and patterns with `*`,
/// separated by commas. Without it every tenant may.
pub const SERVER_NAMESPACES_ANNOTATION: &str = "novacrm.io/allowed-namespaces";
/// Label of a Secret that says which part of a tenant its values may be sent to another party by.
pub const SEND_LABEL: &str = "novacrm.io/send-to";
/// Value of [`SEND_LABEL`]: the token of a recogniser.
pub const SEND_TO_RECOGNISER: &str = "recogniser";

/// Where the engine listens for its peers.
pub const ENGINE_PORT: u16 = 8443;
/// Where the API listens.
pub const API_PORT: u16 = 8080;
/// Probes and metrics of every process.
pub const ADMIN_PORT: u16 = 9090;
/// The exported front end within the API's image.
pub const IMAGE_STATIC_DIR: &str = "/usr/share/novacrm/web";
