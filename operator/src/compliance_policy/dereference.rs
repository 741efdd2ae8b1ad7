//! A policy in, what it refers to out: the tenants it applies to and its last accepted revision.

use std::collections::BTreeMap;

use novacrm_crds::{CompliancePolicy, CompliancePolicySpec};
use novacrm_engine_core::policy::Scope;

/// Where a policy's references are looked up: the API server, or the files and the state of `up`.
pub trait Lookup {
    /// The namespace of the organisation's policies.
    fn policy_namespace(&self) -> &str;
    /// The namespaces that hold a tenant.
    fn tenant_namespaces(&self) -> Vec<String>;
    /// The labels of a Namespace. `kubernetes.io/metadata.name` is always among them.
    fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String>;
    /// The last revision of the policy that was accepted.
    fn accepted(&self, namespace: &str, name: &str) -> Option<CompliancePolicySpec>;
}

/// What a policy refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct Dereferenced {
    /// Whether it speaks for the organisation or for one tenant.
    pub scope: Scope,
    /// The namespaces of the tenants it applies to, sorted.
    pub tenants: Vec<String>,
    /// Its last accepted revision.
    pub accepted: Option<CompliancePolicySpec>,
}

/// Looks up what a policy refers to.
pub fn dereference(policy: &CompliancePolicy, lookup: &impl Lookup) -> Dereferenced {
    let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    Dereferenced {
        scope: scope(namespace, lookup.policy_namespace()),
        tenants: tenants_of(namespace, &policy.spec, lookup),
        accepted: lookup.accepted(namespace, name),
    }
}

/// What policies of a namespace speak for.
#[must_use]
pub fn scope(namespace: &str, policy_namespace: &str) -> Scope {
    if namespace == policy_namespace { Scope::Organisation } else { Scope::Tenant }
}

/// The tenants that a revision applies to, sorted.
pub fn tenants_of(namespace: &str, spec: &CompliancePolicySpec, lookup: &impl Lookup) -> Vec<String> {
    let mut tenants = lookup.tenant_namespaces();
    tenants.retain(|tenant| applies_to(namespace, spec, tenant, lookup));
    tenants.sort();
    tenants
}

/// Whether a revision of a policy in `namespace` applies to a tenant. An empty selector matches all; an organisation
/// policy must have one.
pub fn applies_to(namespace: &str, spec: &CompliancePolicySpec, tenant: &str, lookup: &impl Lookup) -> bool {
    if namespace != lookup.policy_namespace() {
        return tenant == namespace;
    }
    let labels = lookup.namespace_labels(tenant);
    let wanted = spec.tenant_selector.as_ref().map(|selector| &selector.match_labels);
    wanted.into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
}
