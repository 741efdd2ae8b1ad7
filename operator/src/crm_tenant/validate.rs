//! A tenant and what it refers to in, a tenant that can be built (or every problem) out. Pure.

use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_crds::{CrmTenant, CrmTenantSpec};
use novacrm_engine_core::bundle::{Bundle, MAX_SEQUENCE, RegisteredUse};
use novacrm_engine_core::policy::{CheckedPolicy, check_tenant};
use semver::Version;

use crate::crm_tenant::dereference::Dereferenced;
use crate::crm_tenant::limits::Limits;
use crate::crm_tenant::{Identity, names};
use crate::problem;

/// A bundle as engines are given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRevision {
    /// Grows with every bundle of the tenant.
    pub sequence: u64,
    /// `sha256:<hex>` of what it says.
    pub digest: String,
    /// The encoded bundle, without signatures.
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
    version: String,
    adopt: Option<String>,
}

impl Validated {
    /// A tenant that is being deleted, unjudged: all that is built of it is its last dump, which must not depend on
    /// whether its spec would be accepted today.
    #[must_use]
    pub fn leaving(tenant: &CrmTenant, release: &str) -> Self {
        let empty = BundleRevision { sequence: 0, digest: String::new(), bytes: Vec::new() };
        let migrated = tenant.status.as_ref().and_then(|status| status.migrated.as_ref());
        let version = migrated.map(|migrated| &migrated.version).or(tenant.spec.version.as_ref());
        Self {
            tenant: tenant.clone(),
            namespace: tenant.metadata.namespace.clone().unwrap_or_default(),
            bundle: Bundles { current: empty, previous: None },
            version: version.map_or_else(|| release.to_owned(), Clone::clone),
            adopt: None,
        }
    }

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

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            namespace: self.namespace.clone(),
            id: self.tenant.metadata.uid.clone().unwrap_or_else(|| self.namespace.clone()),
            adopt: self.adopt.clone(),
        }
    }

    /// The release of the CRM that it should run.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
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
    limits: &Limits,
) -> Result<Validated, Vec<PolicyProblem>> {
    let mut problems = validate_alone(tenant, policy_namespace, limits);
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
    if dereferenced.database_server && !dereferenced.database_server_allowed {
        problems.push(problem(
            "spec.database.managed.serverRef.name",
            "this database server is not for the tenants of this namespace",
            "Name another server, or have the platform team add the namespace to the annotation \
             novacrm.io/allowed-namespaces of the server's Secret.",
        ));
    }
    for host in &dereferenced.taken_hostnames {
        let index = tenant.spec.hostnames.iter().position(|own| own == host).unwrap_or_default();
        problems.push(problem(
            &format!("spec.hostnames[{index}]"),
            "another tenant is reached under this host name, or under one that overlaps with it",
            "Use another host name; who had it first keeps it.",
        ));
    }
    let asked = tenant.spec.adopt_tenant_id.as_ref();
    let adopt = asked.filter(|id| dereferenced.confirmed_adoption.as_ref() == Some(id)).cloned();
    let version = tenant.spec.version.clone().unwrap_or_else(|| dereferenced.release.clone());
    problems.extend(check_version(tenant, &version, &dereferenced.release));
    let uses = tenant.spec.ai_use_cases.iter().map(RegisteredUse::from);
    let combined = Combined::of(&namespace, &dereferenced.policies, uses);
    let bundle = match combined.after(&dereferenced.bundles, 0) {
        Ok(bundle) => bundle,
        Err(problem) => {
            problems.push(problem);
            return Err(problems);
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Validated { tenant: tenant.clone(), namespace, bundle, version, adopt })
}

/// The part of [`validate`] that looks at nothing but the tenant itself, and at what the organisation allows.
#[must_use]
pub fn validate_alone(tenant: &CrmTenant, policy_namespace: &str, limits: &Limits) -> Vec<PolicyProblem> {
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
    problems.extend(check_names(&tenant.spec));
    problems.extend(check_autoscaling(&tenant.spec));
    problems.extend(limits.check(&tenant.spec, tenant.metadata.namespace.as_deref().unwrap_or_default()));
    problems
}

/// The databases know one direction only: a release whose migrations are older than theirs cannot serve them. A release
/// newer than the operator may need what this operator does not build.
fn check_version(tenant: &CrmTenant, wanted: &str, release: &str) -> Option<PolicyProblem> {
    const PATH: &str = "spec.version";
    // The form is the schema's business; an operator's own release may be a name that has no order.
    let wanted = Version::parse(wanted).ok()?;
    if let Ok(release) = Version::parse(release)
        && wanted > release
    {
        let message = format!("this release is newer than the operator, which runs releases up to {release}");
        return Some(problem(PATH, &message, "Upgrade the operator first, or name an older release."));
    }
    let migrated = tenant.status.as_ref()?.migrated.as_ref()?;
    let migrated = Version::parse(&migrated.version).ok()?;
    (wanted < migrated).then(|| {
        let message = format!("the databases were migrated to {migrated}, and a migration cannot be undone");
        let hint = if tenant.spec.version.is_some() {
            "Name that release or a newer one; to go back, restore a backup of both databases into a new tenant."
        } else {
            "Upgrade the operator to that release or a newer one; it is older than what ran before."
        };
        problem(PATH, &message, hint)
    })
}

/// Names of objects that people chose: well-formed, and none of the tenant's own.
fn check_names(spec: &CrmTenantSpec) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    let password = &spec.auth.bootstrap_admin.password_secret_ref;
    let mut secrets = vec![("spec.auth.bootstrapAdmin.passwordSecretRef".to_owned(), password)];
    if let Some(existing) = &spec.database.existing {
        for (database, urls) in [("crm", &existing.crm), ("audit", &existing.audit)] {
            let path = format!("spec.database.existing.{database}");
            secrets.push((format!("{path}.urlSecretRef"), &urls.url_secret_ref));
            secrets.push((format!("{path}.migrationUrlSecretRef"), &urls.migration_url_secret_ref));
        }
        let roots = existing.root_certificate_secret_ref.as_ref();
        secrets
            .extend(roots.map(|roots| ("spec.database.existing.rootCertificateSecretRef".to_owned(), roots)));
    }
    let key = spec.recogniser.as_ref().and_then(|recogniser| recogniser.key_secret_ref.as_ref());
    secrets.extend(key.map(|key| ("spec.recogniser.keySecretRef".to_owned(), key)));
    for (path, reference) in secrets {
        problems.extend(check_secret_name(&format!("{path}.name"), &reference.name));
        if !is_secret_key(&reference.key) {
            problems.push(problem(
                &format!("{path}.key"),
                "this is not a key of a Secret",
                "Use letters, digits, hyphens, underscores and dots.",
            ));
        }
    }
    let claim = spec.final_dump.as_ref().and_then(|dump| dump.claim_name.as_ref());
    if claim.is_some_and(|name| !is_subdomain(name)) {
        let path = "spec.finalDump.claimName";
        problems.push(problem(path, "this is not a name of an object", NAME_HINT));
    }
    let Some(exposure) = &spec.exposure else { return problems };
    let ingress = exposure.ingress.as_ref();
    if let Some(name) = ingress.and_then(|ingress| ingress.tls_secret_name.as_ref()) {
        problems.extend(check_secret_name("spec.exposure.ingress.tlsSecretName", name));
    }
    let parent = exposure.gateway.as_ref().map(|gateway| &gateway.parent_ref);
    for (path, name) in [
        ("spec.exposure.ingress.className", ingress.and_then(|ingress| ingress.class_name.as_ref())),
        ("spec.exposure.gateway.parentRef.name", parent.map(|parent| &parent.name)),
        ("spec.exposure.gateway.parentRef.namespace", parent.and_then(|parent| parent.namespace.as_ref())),
        (
            "spec.exposure.gateway.parentRef.sectionName",
            parent.and_then(|parent| parent.section_name.as_ref()),
        ),
    ] {
        if name.is_some_and(|name| !is_subdomain(name)) {
            problems.push(problem(path, "this is not a name of an object", NAME_HINT));
        }
    }
    problems
}

const NAME_HINT: &str =
    "Use lower-case letters, digits, hyphens and dots, and begin and end with a letter or digit.";

fn check_secret_name(path: &str, name: &str) -> Option<PolicyProblem> {
    if names::SECRETS.contains(&name) {
        let hint = "Name another Secret.";
        return Some(problem(path, "this Secret holds the tenant's own keys", hint));
    }
    (!is_subdomain(name)).then(|| problem(path, "this is not a name of a Secret", NAME_HINT))
}

/// Use of processor time is measured against what is requested.
fn check_autoscaling(spec: &CrmTenantSpec) -> Vec<PolicyProblem> {
    [("spec.api", &spec.api), ("spec.engine", &spec.engine)]
        .into_iter()
        .filter(|(_, workload)| workload.autoscaling.is_some())
        .filter_map(|(path, workload)| {
            // Without resources of its own, it has the operator's, which request processor time.
            let requests = workload.resources.as_ref()?.requests.as_ref();
            (!requests.is_some_and(|requests| requests.contains_key("cpu"))).then(|| {
                problem(
                    &format!("{path}.resources.requests.cpu"),
                    "autoscaling needs a request for processor time, which its target is a share of",
                    "Add `cpu` under requests, or remove autoscaling.",
                )
            })
        })
        .collect()
}

/// What policies and a register of AI uses make together, before it is known which number that has.
pub struct Combined {
    bundle: Bundle,
    digest: String,
}

impl Combined {
    /// Puts it together. The order of the input is without meaning.
    #[must_use]
    pub fn of(
        namespace: &str,
        policies: &[CheckedPolicy],
        uses: impl IntoIterator<Item = RegisteredUse>,
    ) -> Self {
        let bundle = Bundle::assemble(namespace, 0, policies, uses);
        let digest = bundle.digest();
        Self { bundle, digest }
    }

    /// Whether the last bundle that was given says the same, and has a number not below `floor`.
    #[must_use]
    pub fn is(&self, last: &BundleRevision, floor: u64) -> bool {
        last.digest == self.digest && last.sequence >= floor
    }

    /// The bundle after the ones that were given before (newest first). One that says the same as the last keeps its
    /// number; a new one has a number above `floor` and all before.
    ///
    /// # Errors
    /// When it is larger than a ConfigMap holds (nothing is cut off), or no number is left.
    pub fn after(self, before: &[BundleRevision], floor: u64) -> Result<Bundles, PolicyProblem> {
        let last = before.first();
        if let Some(last) = last.filter(|last| self.is(last, floor)) {
            return Ok(Bundles { current: last.clone(), previous: before.get(1).cloned() });
        }
        let Self { mut bundle, digest } = self;
        let highest = before.iter().map(|one| one.sequence).fold(floor, u64::max);
        let sequence = highest.checked_add(1).filter(|next| *next <= MAX_SEQUENCE).ok_or_else(|| {
            problem(
                "status.bundle.sequence",
                "no sequence number is left for new rules",
                "Move the tenant's data to a new namespace.",
            )
        })?;
        bundle.sequence = sequence;
        let bytes = bundle.encode().map_err(|error| {
            problem("spec", &error.to_string(), "Shorten or remove policies that apply to this tenant.")
        })?;
        Ok(Bundles { current: BundleRevision { sequence, digest, bytes }, previous: last.cloned() })
    }
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
