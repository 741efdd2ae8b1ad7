//! Manifests and what was accepted before in, what should run now (and every problem) out. Pure.
//!
//! This is where the last good revision is kept: an object whose manifest is broken goes on as it was accepted
//! last, and a file that cannot be read keeps every object that was read from it before.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_crds::{CompliancePolicy, CompliancePolicySpec, CrmTenant, CrmTenantSpec};
use novacrm_engine_core::policy::{CheckedPolicy, Located, Manifest, check, check_tenant_update};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::compliance_policy;
use crate::crm_tenant;
use crate::crm_tenant::limits::Limits;
use crate::crm_tenant::validate::{BundleRevision, Validated};
use crate::manifests::File;
use crate::problem;

/// The database server of this machine.
pub const DATABASE_SERVER: &str = "default";

/// What must be remembered between two looks at the manifests, and between two runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    policies: BTreeMap<String, PolicyMemory>,
    tenants: BTreeMap<String, TenantMemory>,
    /// By namespace; kept after a tenant is gone, so that a sequence number is never used twice.
    #[serde(default)]
    bundles: BTreeMap<String, Vec<BundleMemory>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PolicyMemory {
    namespace: String,
    name: String,
    file: String,
    generation: i64,
    seen: String,
    accepted: Option<CompliancePolicySpec>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct TenantMemory {
    namespace: String,
    name: String,
    file: String,
    generation: i64,
    seen: String,
    accepted: Option<CrmTenantSpec>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct BundleMemory {
    sequence: u64,
    digest: String,
    #[serde(with = "base64_bytes")]
    bytes: Vec<u8>,
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A policy as it stands.
#[derive(Clone, Debug)]
pub struct PolicyView {
    /// Namespace, name, generation.
    pub metadata: ObjectMeta,
    /// The revision in force: that of the manifest, or the last good one.
    pub active: Option<CheckedPolicy>,
    /// The tenants it applies to, by namespace.
    pub tenants: Vec<String>,
    /// Why the manifest was refused; empty when it was not.
    pub problems: Vec<PolicyProblem>,
}

/// A tenant as it stands.
#[derive(Clone, Debug)]
pub struct TenantView {
    /// Namespace, name, generation.
    pub metadata: ObjectMeta,
    /// What should run: as in the manifest, or as accepted last.
    pub active: Option<Validated>,
    /// Why the manifest was refused; empty when it was not.
    pub problems: Vec<PolicyProblem>,
}

/// Everything, as it stands.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// What must be remembered.
    pub memory: Memory,
    /// By `namespace/name`.
    pub policies: BTreeMap<String, PolicyView>,
    /// By `namespace/name`.
    pub tenants: BTreeMap<String, TenantView>,
    /// Every problem of every file, in the order of the files.
    pub problems: Vec<PolicyProblem>,
}

/// Looks at the manifests.
#[must_use]
pub fn look(before: &Memory, files: &[File], policy_namespace: &str, limits: &Limits) -> World {
    let seen = Seen::collect(before, files);
    let mut world = World {
        memory: Memory { bundles: before.bundles.clone(), ..Memory::default() },
        problems: seen.problems.clone(),
        ..World::default()
    };
    let lookup = PolicyLookup { before, seen: &seen, policy_namespace };
    for (key, located) in &seen.policies {
        let dereferenced = compliance_policy::dereference::dereference(&located.object, &lookup);
        let outcome = compliance_policy::validate::validate(&located.object, &dereferenced);
        let outcome = outcome.map_err(|problems| located_all(located, problems));
        let memory = before.policies.get(key);
        let seen_now = digest(&located.object.spec);
        let remembered = PolicyMemory {
            namespace: located.object.metadata.namespace.clone().unwrap_or_default(),
            name: located.object.metadata.name.clone().unwrap_or_default(),
            file: located.file.clone().unwrap_or_default(),
            generation: generation(memory.map(|memory| (memory.generation, memory.seen.as_str())), &seen_now),
            seen: seen_now,
            accepted: match &outcome {
                Ok(_) => Some(located.object.spec.clone()),
                Err(_) => memory.and_then(|memory| memory.accepted.clone()),
            },
        };
        world.policy(key, remembered, outcome, &lookup);
    }
    for (key, memory) in &before.policies {
        if let Some(problems) = seen.broken.get(&memory.file)
            && !seen.policies.contains_key(key)
        {
            world.policy(key, memory.clone(), Err(problems.clone()), &lookup);
        }
    }
    world.look_at_tenants(before, &seen, policy_namespace, limits);
    world.problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    world
}

impl World {
    fn policy(
        &mut self,
        key: &str,
        memory: PolicyMemory,
        outcome: Result<CheckedPolicy, Vec<PolicyProblem>>,
        lookup: &PolicyLookup<'_>,
    ) {
        let metadata = metadata(&memory.namespace, &memory.name, memory.generation);
        let (active, problems) = match outcome {
            Ok(checked) => (Some(checked), Vec::new()),
            Err(problems) => {
                // The last good revision; it was accepted once, by these checks or by former ones.
                let active = memory.accepted.clone().and_then(|spec| {
                    let mut policy = CompliancePolicy::new(&memory.name, spec);
                    policy.metadata.namespace = Some(memory.namespace.clone());
                    let scope =
                        compliance_policy::dereference::scope(&memory.namespace, lookup.policy_namespace);
                    check(&policy, scope).ok()
                });
                (active, problems)
            }
        };
        let tenants = active
            .as_ref()
            .map(|active| {
                compliance_policy::dereference::tenants_of(&memory.namespace, active.spec(), lookup)
            })
            .unwrap_or_default();
        // A file that is broken has told its problems already.
        for problem in &problems {
            if !self.problems.contains(problem) {
                self.problems.push(problem.clone());
            }
        }
        self.policies.insert(key.to_owned(), PolicyView { metadata, active, tenants, problems });
        self.memory.policies.insert(key.to_owned(), memory);
    }

    fn look_at_tenants(&mut self, before: &Memory, seen: &Seen, policy_namespace: &str, limits: &Limits) {
        for (key, located) in &seen.tenants {
            let memory = before.tenants.get(key);
            let seen_now = digest(&located.object.spec);
            let remembered = TenantMemory {
                namespace: located.object.metadata.namespace.clone().unwrap_or_default(),
                name: located.object.metadata.name.clone().unwrap_or_default(),
                file: located.file.clone().unwrap_or_default(),
                generation: generation(
                    memory.map(|memory| (memory.generation, memory.seen.as_str())),
                    &seen_now,
                ),
                seen: seen_now,
                accepted: memory.and_then(|memory| memory.accepted.clone()),
            };
            let outcome = self.validate_tenant(&located.object, seen, policy_namespace, limits);
            let change = match &remembered.accepted {
                Some(accepted) => check_tenant_update(accepted, &located.object.spec),
                None => Ok(()),
            };
            let outcome = change.map_err(|problem| vec![problem]).and(outcome);
            let outcome = outcome.map_err(|problems| located_all(located, problems));
            self.tenant(key, remembered, outcome, seen, policy_namespace, limits);
        }
        for (key, memory) in &before.tenants {
            if let Some(problems) = seen.broken.get(&memory.file)
                && !seen.tenants.contains_key(key)
            {
                self.tenant(key, memory.clone(), Err(problems.clone()), seen, policy_namespace, limits);
            }
        }
    }

    fn validate_tenant(
        &self,
        tenant: &CrmTenant,
        seen: &Seen,
        policy_namespace: &str,
        limits: &Limits,
    ) -> Result<Validated, Vec<PolicyProblem>> {
        let lookup = TenantLookup { world: self, seen };
        let dereferenced = crm_tenant::dereference::dereference(tenant, &lookup);
        crm_tenant::validate::validate(tenant, &dereferenced, policy_namespace, limits)
    }

    fn tenant(
        &mut self,
        key: &str,
        mut memory: TenantMemory,
        outcome: Result<Validated, Vec<PolicyProblem>>,
        seen: &Seen,
        policy_namespace: &str,
        limits: &Limits,
    ) {
        let metadata = metadata(&memory.namespace, &memory.name, memory.generation);
        let (active, problems) = match outcome {
            Ok(validated) => {
                memory.accepted = Some(validated.spec().clone());
                (Some(validated), Vec::new())
            }
            Err(problems) => {
                let active = memory.accepted.clone().and_then(|spec| {
                    let mut tenant = CrmTenant::new(&memory.name, spec);
                    tenant.metadata.namespace = Some(memory.namespace.clone());
                    self.validate_tenant(&tenant, seen, policy_namespace, limits).ok()
                });
                (active, problems)
            }
        };
        if let Some(active) = &active {
            let bundles = active.bundle();
            let kept = std::iter::once(&bundles.current).chain(&bundles.previous);
            let kept = kept
                .map(|bundle| BundleMemory {
                    sequence: bundle.sequence,
                    digest: bundle.digest.clone(),
                    bytes: bundle.bytes.clone(),
                })
                .collect();
            self.memory.bundles.insert(memory.namespace.clone(), kept);
        }
        for problem in &problems {
            if !self.problems.contains(problem) {
                self.problems.push(problem.clone());
            }
        }
        self.tenants.insert(key.to_owned(), TenantView { metadata, active, problems });
        self.memory.tenants.insert(key.to_owned(), memory);
    }
}

/// What the files hold.
struct Seen {
    policies: BTreeMap<String, Located<CompliancePolicy>>,
    tenants: BTreeMap<String, Located<CrmTenant>>,
    /// Labels by Namespace.
    labels: BTreeMap<String, BTreeMap<String, String>>,
    /// Problems by file that could not be read.
    broken: BTreeMap<String, Vec<PolicyProblem>>,
    /// Namespaces with a tenant, by the names of the tenants.
    tenants_in: BTreeMap<String, BTreeSet<String>>,
    problems: Vec<PolicyProblem>,
}

impl Seen {
    fn collect(before: &Memory, files: &[File]) -> Self {
        let mut seen = Self {
            policies: BTreeMap::new(),
            tenants: BTreeMap::new(),
            labels: BTreeMap::new(),
            broken: BTreeMap::new(),
            tenants_in: BTreeMap::new(),
            problems: Vec::new(),
        };
        for file in files {
            match &file.outcome {
                Err(problems) => {
                    seen.problems.extend(problems.iter().cloned());
                    seen.broken.insert(file.path.clone(), problems.clone());
                }
                Ok(objects) => objects.iter().for_each(|object| seen.add(object)),
            }
        }
        for (key, memory) in &before.tenants {
            if seen.broken.contains_key(&memory.file) && !seen.tenants.contains_key(key) {
                let names = seen.tenants_in.entry(memory.namespace.clone()).or_default();
                names.insert(memory.name.clone());
            }
        }
        seen
    }

    fn add(&mut self, found: &Located<Manifest>) {
        let Located { object, positions, file } = found;
        match object {
            Manifest::CompliancePolicy(policy) => {
                let key = key(&policy.metadata);
                if self.policies.contains_key(&key) {
                    self.twice(found);
                    return;
                }
                let object = CompliancePolicy::clone(policy);
                let located = Located { object, positions: positions.clone(), file: file.clone() };
                self.policies.insert(key, located);
            }
            Manifest::CrmTenant(tenant) => {
                let key = key(&tenant.metadata);
                if self.tenants.contains_key(&key) {
                    self.twice(found);
                    return;
                }
                let namespace = tenant.metadata.namespace.clone().unwrap_or_default();
                let name = tenant.metadata.name.clone().unwrap_or_default();
                self.tenants_in.entry(namespace).or_default().insert(name);
                let object = CrmTenant::clone(tenant);
                let located = Located { object, positions: positions.clone(), file: file.clone() };
                self.tenants.insert(key, located);
            }
            Manifest::Other { api_version, kind, value } => {
                if api_version == "v1"
                    && kind == "Namespace"
                    && let Ok(namespace) =
                        serde_json::from_value::<k8s_openapi::api::core::v1::Namespace>(value.clone())
                    && let Some(name) = namespace.metadata.name
                {
                    self.labels.insert(name, namespace.metadata.labels.unwrap_or_default());
                }
            }
        }
    }

    fn twice(&mut self, found: &Located<Manifest>) {
        self.problems.push(found.locate(problem(
            "metadata.name",
            "an object of this kind, namespace and name was read already; this one is left out",
            "Remove one of the two, or rename it.",
        )));
    }
}

struct PolicyLookup<'a> {
    before: &'a Memory,
    seen: &'a Seen,
    policy_namespace: &'a str,
}

impl compliance_policy::dereference::Lookup for PolicyLookup<'_> {
    fn policy_namespace(&self) -> &str {
        self.policy_namespace
    }

    fn tenant_namespaces(&self) -> Vec<String> {
        self.seen.tenants_in.keys().cloned().collect()
    }

    fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        let mut labels = self.seen.labels.get(namespace).cloned().unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
        labels
    }

    fn accepted(&self, namespace: &str, name: &str) -> Option<CompliancePolicySpec> {
        self.before.policies.get(&format!("{namespace}/{name}"))?.accepted.clone()
    }
}

struct TenantLookup<'a> {
    world: &'a World,
    seen: &'a Seen,
}

impl crm_tenant::dereference::Lookup for TenantLookup<'_> {
    fn policies_of(&self, namespace: &str) -> Vec<CheckedPolicy> {
        self.world
            .policies
            .values()
            .filter(|view| view.tenants.iter().any(|tenant| tenant == namespace))
            .filter_map(|view| view.active.clone())
            .collect()
    }

    fn bundles_of(&self, namespace: &str) -> Vec<BundleRevision> {
        let kept = self.world.memory.bundles.get(namespace);
        kept.into_iter()
            .flatten()
            .map(|bundle| BundleRevision {
                sequence: bundle.sequence,
                digest: bundle.digest.clone(),
                bytes: bundle.bytes.clone(),
            })
            .collect()
    }

    fn has_database_server(&self, name: &str) -> bool {
        name == DATABASE_SERVER
    }

    fn tenants_in(&self, namespace: &str) -> usize {
        self.seen.tenants_in.get(namespace).map_or(0, BTreeSet::len)
    }
}

fn key(metadata: &ObjectMeta) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", part(&metadata.namespace), part(&metadata.name))
}

fn metadata(namespace: &str, name: &str, generation: i64) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        generation: Some(generation),
        ..ObjectMeta::default()
    }
}

fn located_all<T>(located: &Located<T>, problems: Vec<PolicyProblem>) -> Vec<PolicyProblem> {
    problems.into_iter().map(|problem| located.locate(problem)).collect()
}

/// Grows when the spec is another than the one seen before, as the API server's does.
fn generation(before: Option<(i64, &str)>, seen: &str) -> i64 {
    match before {
        None => 1,
        Some((generation, digest)) if digest == seen => generation,
        Some((generation, _)) => generation.saturating_add(1),
    }
}

fn digest(spec: &impl Serialize) -> String {
    // A spec that was read from a file can be written again.
    hex::encode(Sha256::digest(serde_json::to_vec(spec).unwrap_or_default()))
}
