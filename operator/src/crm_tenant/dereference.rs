//! A tenant in, what it refers to out: the policies that apply to it and the bundle it was given last.

use novacrm_crds::CrmTenant;
use novacrm_engine_core::policy::CheckedPolicy;

use crate::crm_tenant::validate::BundleRevision;

/// Where a tenant's references are looked up: the API server, or the files and the state of `up`.
pub trait Lookup {
    /// The newest good revision of every policy that applies to the tenant of this namespace.
    fn policies_of(&self, namespace: &str) -> Vec<CheckedPolicy>;
    /// The bundles that the tenant's engines were given last, newest first.
    fn bundles_of(&self, namespace: &str) -> Vec<BundleRevision>;
    /// Whether the platform team named a database server like this.
    fn has_database_server(&self, name: &str) -> bool;
    /// Whether the platform team lets the tenants of a namespace use a database server that it named.
    fn may_use_database_server(&self, _name: &str, _namespace: &str) -> bool {
        true
    }
    /// How many tenants are in this namespace.
    fn tenants_in(&self, namespace: &str) -> usize;
    /// Those of the tenant's host names that overlap with one that another tenant holds.
    fn taken_hostnames(&self, _tenant: &CrmTenant) -> Vec<String> {
        Vec::new()
    }
    /// The former tenant whose data the platform team lets the tenant of a namespace take over, by its id.
    fn confirmed_adoption(&self, _namespace: &str) -> Option<String> {
        None
    }
    /// Release of the CRM that this operator runs when a tenant names none, and the newest it can run.
    fn release(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }
}

/// What a tenant refers to.
#[derive(Debug)]
pub struct Dereferenced {
    /// The policies that apply.
    pub policies: Vec<CheckedPolicy>,
    /// The bundles it was given last, newest first.
    pub bundles: Vec<BundleRevision>,
    /// Whether its database server is known; `true` where it names none.
    pub database_server: bool,
    /// Whether the tenant may use it.
    pub database_server_allowed: bool,
    /// Its host names that overlap with one that another tenant holds.
    pub taken_hostnames: Vec<String>,
    /// The former tenant whose data the platform team lets it take over, by its id.
    pub confirmed_adoption: Option<String>,
    /// Release of the CRM that this operator runs when a tenant names none, and the newest it can run.
    pub release: String,
    /// How many tenants are in its namespace, itself included.
    pub tenants_in_namespace: usize,
}

/// Looks up what a tenant refers to.
pub fn dereference(tenant: &CrmTenant, lookup: &impl Lookup) -> Dereferenced {
    let namespace = tenant.metadata.namespace.as_deref().unwrap_or_default();
    let server = tenant.spec.database.managed.as_ref().map(|managed| managed.server_ref.name.as_str());
    Dereferenced {
        policies: lookup.policies_of(namespace),
        bundles: lookup.bundles_of(namespace),
        database_server: server.is_none_or(|name| lookup.has_database_server(name)),
        database_server_allowed: server.is_none_or(|name| lookup.may_use_database_server(name, namespace)),
        taken_hostnames: lookup.taken_hostnames(tenant),
        confirmed_adoption: lookup.confirmed_adoption(namespace),
        release: lookup.release().to_owned(),
        tenants_in_namespace: lookup.tenants_in(namespace),
    }
}
