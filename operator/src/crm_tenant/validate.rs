//! A tenant and what it refers to in, a tenant that can be built (or every problem) out. Pure.

use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_crds::{CrmTenant, CrmTenantSpec};
use novacrm_engine_core::bundle::{Bundle, RegisteredUse};
use novacrm_engine_core::policy::{CheckedPolicy, check_tenant};

use crate::crm_tenant::dereference::Dereferenced;
use crate::crm_tenant::names;
use crate::problem;

/// A bundle as engines are given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRevision {
    /// Grows with every bundle of the tenant.
    pub sequence: u64,
    /// `sha256:<hex>` of what it says.
    pub digest: String,
    /// The encoded bundle.
    pub bytes: Vec<u8>,
}

/// The bundle in force and the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundles {
    /// What engines should serve.
    pub current: BundleRevision,
    /// What they fall back on.
    pub previous: Option<BundleRevision>,
}

/// A tenant that can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    tenant: CrmTenant,
    namespace: String,
    bundle: Bundles,
}

impl Validated {
    /// The object.
    #[must_use]
    pub fn tenant(&self) -> &CrmTenant {
        &self.tenant
    }

    /// What it asks for.
    #[must_use]
    pub fn spec(&self) -> &CrmTenantSpec {
        &self.tenant.spec
    }

    /// Its namespace, which is the tenant's id.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The rules for its engines.
    #[must_use]
    pub fn bundle(&self) -> &Bundles {
        &self.bundle
    }
}

/// Judges a tenant and assembles its bundle. A bundle that says the same as the last one keeps its sequence
/// number.
///
/// # Errors
/// Every problem, with field paths and without values.
pub fn validate(
    tenant: &CrmTenant,
    dereferenced: &Dereferenced,
    policy_namespace: &str,
) -> Result<Validated, Vec<PolicyProblem>> {
    let mut problems = validate_alone(tenant, policy_namespace);
    let namespace = tenant.metadata.namespace.clone().unwrap_or_default();
    if dereferenced.tenants_in_namespace > 1 {
        problems.push(problem(
            "metadata.namespace",
            "another CrmTenant is in this namespace, and a namespace holds one",
            "Move one of the two to a namespace of its own.",
        ));
    }
    if !dereferenced.database_server {
        problems.push(problem(
            "spec.database.managed.serverRef.name",
            "the operator knows no database server of this name",
            "Name a server that the operator was given; on one machine there is `default`.",
        ));
    }
    let uses = tenant.spec.ai_use_cases.iter().map(RegisteredUse::from);
    let bundle = match next_bundle(&namespace, &dereferenced.policies, uses, &dereferenced.bundles, 0) {
        Ok(bundle) => bundle,
        Err(problem) => {
            problems.push(problem);
            return Err(problems);
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Validated { tenant: tenant.clone(), namespace, bundle })
}

/// The part of [`validate`] that looks at nothing but the tenant itself.
#[must_use]
pub fn validate_alone(tenant: &CrmTenant, policy_namespace: &str) -> Vec<PolicyProblem> {
    let mut problems = check_tenant(tenant).err().unwrap_or_default();
    match tenant.metadata.namespace.as_deref() {
        // The API server gives every tenant a namespace; a file need not name one.
        None => problems.push(problem(
            "metadata.namespace",
            "a tenant needs a namespace of its own",
            "Add `namespace` under `metadata`; it is the tenant's id.",
        )),
        Some(namespace) if namespace == policy_namespace => problems.push(problem(
            "metadata.namespace",
            "this namespace holds the organisation's policies and can hold no tenant",
            "Move the tenant to a namespace of its own.",
        )),
        Some(_) => {}
    }
    let password = &tenant.spec.auth.bootstrap_admin.password_secret_ref;
    if [
        names::CA,
        names::ENGINE_TLS,
        names::API_TLS,
        names::OPERATOR_TLS,
        names::ENGINE_KEYS,
        names::API_KEYS,
        names::DATABASE,
    ]
    .contains(&password.name.as_str())
    {
        problems.push(problem(
            "spec.auth.bootstrapAdmin.passwordSecretRef.name",
            "this Secret holds the tenant's own keys",
            "Name another Secret; it is made when it does not exist.",
        ));
    }
    if !is_subdomain(&password.name) {
        problems.push(problem(
            "spec.auth.bootstrapAdmin.passwordSecretRef.name",
            "this is not a name of a Secret",
            "Use lower-case letters, digits, hyphens and dots, and begin and end with a letter or digit.",
        ));
    }
    if !is_secret_key(&password.key) {
        problems.push(problem(
            "spec.auth.bootstrapAdmin.passwordSecretRef.key",
            "this is not a key of a Secret",
            "Use letters, digits, hyphens, underscores and dots.",
        ));
    }
    problems
}

/// The bundle that policies and a register of AI uses make, after the ones that were given before (newest first). One
/// that says the same as the last keeps its number; a new one has a number above `floor` and all before.
///
/// # Errors
/// When it is larger than a ConfigMap holds. Nothing is cut off.
pub fn next_bundle(
    namespace: &str,
    policies: &[CheckedPolicy],
    uses: impl IntoIterator<Item = RegisteredUse>,
    before: &[BundleRevision],
    floor: u64,
) -> Result<Bundles, PolicyProblem> {
    let last = before.first();
    let sequence = before.iter().map(|one| one.sequence).fold(floor, u64::max).saturating_add(1);
    let bundle = Bundle::assemble(namespace, sequence, policies, uses);
    let digest = bundle.digest();
    if let Some(last) = last.filter(|last| last.digest == digest) {
        return Ok(Bundles { current: last.clone(), previous: before.get(1).cloned() });
    }
    let bytes = bundle.encode().map_err(|error| {
        problem("spec", &error.to_string(), "Shorten or remove policies that apply to this tenant.")
    })?;
    Ok(Bundles { current: BundleRevision { sequence, digest, bytes }, previous: last.cloned() })
}

/// RFC 1123 label, as Kubernetes wants it of namespaces.
pub(crate) fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// RFC 1123 subdomain, as Kubernetes wants it of most names. Also keeps names usable as file names.
pub(crate) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

fn is_secret_key(key: &str) -> bool {
    (1..=253).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && key != "."
        && !key.starts_with("..")
}
