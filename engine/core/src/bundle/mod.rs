//! Checked policies and a tenant's register in, one bundle out; a bundle's bytes in, what the engine decides by
//! out.
//!
//! A bundle is canonical JSON (RFC 8785) under zstd. It holds what a decision needs and what explains it, and
//! neither tests nor changelogs. Policies are sorted by namespace and name, uses by id, so equal content is equal
//! bytes. The digest covers everything but the sequence number, which only says which of two bundles is newer:
//! the same rules have the same digest, whenever they were put together.
//!
//! Engines take signed bundles only ([`signed`]).

pub mod signed;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use novacrm_crds::Bilingual;
use novacrm_crds::compliance_policy::{
    ActionType, CustomDetector, DetectorUse, Enforcement, EnforcementMode, FailureMode, Owner,
    PolicyException, PolicyProblem, PolicyRule, Severity, Surface,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

pub use crate::classification::RegisteredUse;
use crate::policy::law::{Citation, cite};
use crate::policy::problem::{named, problem};
use crate::policy::{CheckedPolicy, CompiledPolicy};
use signed::{SignatureError, TrustedKeys};

/// Most bytes a bundle may have under compression: a ConfigMap holds 1 MiB, base64 and metadata aside.
pub const MAX_COMPRESSED_BYTES: usize = 900_000;
/// Most bytes of a signed bundle: the frame with the signatures, then the bundle.
pub const MAX_SIGNED_BYTES: usize = 8 + signed::MAX_NOTE_BYTES + MAX_COMPRESSED_BYTES;
/// Largest sequence number: the largest integer that every reader of JSON reads exactly (RFC 8259 §6, RFC 8785 §3.1).
pub const MAX_SEQUENCE: u64 = (1 << 53) - 1;
/// Most bytes that are decompressed.
pub const MAX_DECODED_BYTES: usize = 16 * 1024 * 1024;
/// The only layout there is. An engine refuses a layout it does not know and keeps its last good bundle.
pub const FORMAT: u32 = 1;

/// What one tenant's engines decide by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// Layout, [`FORMAT`].
    pub format: u32,
    /// The tenant's id.
    pub tenant: String,
    /// Grows with every bundle of the tenant.
    pub sequence: u64,
    /// The policies that apply, by namespace and name.
    pub policies: Vec<BundledPolicy>,
    /// The register of AI uses, by id.
    pub use_cases: Vec<RegisteredUse>,
}

/// A policy without what no decision needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundledPolicy {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// `spec.version`.
    pub version: String,
    /// Who answers for it.
    pub owner: Owner,
    /// How it is enforced.
    pub enforcement: Enforcement,
    /// Where it applies; everywhere when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<Surface>,
    /// Built-in detectors it uses.
    pub detectors: Vec<DetectorUse>,
    /// Detectors of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_detectors: Vec<CustomDetector>,
    /// Its rules.
    pub rules: Vec<PolicyRule>,
    /// Its exceptions. What has none keeps the digest it had before there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<BundledException>,
}

/// An exception without the people and the prose that no decision needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundledException {
    /// Identifier within the policy.
    pub id: String,
    /// The rules it waives, by id.
    pub rules: Vec<String>,
    /// Registered uses of AI it is for; all requests when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub use_cases: Vec<String>,
    /// Roles it is for; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Where the decision is documented.
    pub ticket: String,
    /// When it ends (RFC 3339), as the policy says it.
    pub expires_at: String,
}

impl From<&PolicyException> for BundledException {
    fn from(exception: &PolicyException) -> Self {
        Self {
            id: exception.id.clone(),
            rules: exception.rules.clone(),
            use_cases: exception.use_cases.clone(),
            roles: exception.roles.clone(),
            ticket: exception.ticket.clone(),
            expires_at: exception.expires_at.clone(),
        }
    }
}

impl From<&CheckedPolicy> for BundledPolicy {
    fn from(policy: &CheckedPolicy) -> Self {
        let spec = policy.spec();
        Self {
            namespace: policy.namespace().to_owned(),
            name: policy.name().to_owned(),
            version: spec.version.clone(),
            owner: spec.owner.clone(),
            enforcement: spec.enforcement.clone(),
            surfaces: spec.surfaces.clone(),
            detectors: spec.detectors.clone(),
            custom_detectors: spec.custom_detectors.clone(),
            rules: spec.rules.clone(),
            exceptions: spec.exceptions.iter().map(BundledException::from).collect(),
        }
    }
}

/// Why bytes are not a bundle, or a bundle cannot become bytes.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not signed by a key that is trusted.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A sequence number above [`MAX_SEQUENCE`].
    #[error("the bundle has sequence {0}, and the largest is {MAX_SEQUENCE}")]
    Sequence(u64),
    /// Not zstd.
    #[error("the bundle cannot be decompressed: {0}")]
    Compression(#[source] std::io::Error),
    /// More than [`MAX_DECODED_BYTES`].
    #[error("the bundle holds more than {MAX_DECODED_BYTES} bytes")]
    TooLong,
    /// More than [`MAX_COMPRESSED_BYTES`].
    #[error("the bundle has {0} bytes and may have {MAX_COMPRESSED_BYTES}; use fewer or shorter policies")]
    TooLarge(usize),
    /// Not JSON, or not of the shape of a bundle. Only the place is told, never what stands there.
    #[error("the bundle is not readable at line {line}, column {column}")]
    Shape {
        /// Line of the JSON or of the part of it that is not readable, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Another layout.
    #[error("the bundle has layout {0} and this engine reads layout {FORMAT}; update the engine")]
    Format(u64),
    /// Not representable as canonical JSON.
    #[error("the bundle cannot be written as canonical JSON")]
    Canonical,
}

impl Bundle {
    /// Puts together what applies to a tenant. The order of the input is without meaning.
    #[must_use]
    pub fn assemble<'a>(
        tenant: &str,
        sequence: u64,
        policies: impl IntoIterator<Item = &'a CheckedPolicy>,
        use_cases: impl IntoIterator<Item = RegisteredUse>,
    ) -> Self {
        let mut policies: Vec<BundledPolicy> = policies.into_iter().map(BundledPolicy::from).collect();
        policies.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        let mut use_cases: Vec<RegisteredUse> = use_cases.into_iter().collect();
        use_cases.sort_by(|a, b| a.id.cmp(&b.id));
        Self { format: FORMAT, tenant: tenant.to_owned(), sequence, policies, use_cases }
    }

    /// `sha256:<hex>` of the canonical JSON of everything but the sequence number.
    #[must_use]
    pub fn digest(&self) -> String {
        #[derive(Serialize)]
        struct Identity<'a> {
            format: u32,
            tenant: &'a str,
            policies: &'a [BundledPolicy],
            use_cases: &'a [RegisteredUse],
        }
        let identity = Identity {
            format: self.format,
            tenant: &self.tenant,
            policies: &self.policies,
            use_cases: &self.use_cases,
        };
        digest(&identity)
    }

    /// The bytes that engines are given.
    ///
    /// # Errors
    /// [`BundleError::TooLarge`] when they are more than a ConfigMap holds, [`BundleError::Sequence`] when the number is
    /// above [`MAX_SEQUENCE`].
    pub fn encode(&self) -> Result<Vec<u8>, BundleError> {
        if self.sequence > MAX_SEQUENCE {
            return Err(BundleError::Sequence(self.sequence));
        }
        let json = serde_json_canonicalizer::to_vec(self).map_err(|_| BundleError::Canonical)?;
        // In one piece: told how much there is, zstd takes as much memory as that needs and not 10 MiB.
        let bytes = zstd::bulk::compress(&json, 9).map_err(BundleError::Compression)?;
        if bytes.len() > MAX_COMPRESSED_BYTES {
            return Err(BundleError::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads what [`Bundle::encode`] wrote, signed or not, without asking who wrote it. At most
    /// [`MAX_DECODED_BYTES`] are decompressed, whatever the bytes promise.
    ///
    /// # Errors
    /// When the bytes are not a bundle of a layout that this engine reads.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        Received::decode(bytes).map(|received| received.bundle)
    }
}

/// A bundle as it came, with the digest of its bytes. Where they are canonical JSON, as [`Bundle::encode`] writes it,
/// that is [`Bundle::digest`] for a twentieth of its cost.
#[derive(Debug)]
pub struct Received {
    bundle: Bundle,
    digest: String,
}

impl Received {
    /// Reads a bundle that one of these keys signed. Nothing is decompressed or parsed before it is verified.
    ///
    /// # Errors
    /// When it is not authentic, or not a bundle of a layout that this engine reads.
    pub fn verify(signed: &[u8], keys: &TrustedKeys) -> Result<Self, BundleError> {
        if signed.len() > MAX_SIGNED_BYTES {
            return Err(BundleError::TooLarge(signed.len()));
        }
        Self::decode(keys.verify(signed)?)
    }

    /// Reads what [`Bundle::encode`] wrote, whoever wrote it. At most [`MAX_DECODED_BYTES`] are decompressed, whatever the bytes
    /// promise.
    ///
    /// # Errors
    /// When the bytes are not a bundle of a layout that this engine reads.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        #[derive(Deserialize)]
        struct Layout {
            format: u64,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Parts<'a> {
            format: u32,
            tenant: String,
            sequence: u64,
            #[serde(borrow)]
            policies: &'a RawValue,
            #[serde(borrow)]
            use_cases: &'a RawValue,
        }
        let limit = u64::try_from(MAX_DECODED_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let mut json = Vec::new();
        zstd::Decoder::new(bytes)
            .and_then(|decoder| decoder.take(limit).read_to_end(&mut json))
            .map_err(BundleError::Compression)?;
        if json.len() > MAX_DECODED_BYTES {
            return Err(BundleError::TooLong);
        }
        let shape =
            |error: serde_json::Error| BundleError::Shape { line: error.line(), column: error.column() };
        let parts: Parts<'_> = match serde_json::from_slice(&json) {
            Ok(parts) => parts,
            Err(error) => match serde_json::from_slice(&json) {
                Ok(Layout { format }) if format != u64::from(FORMAT) => {
                    return Err(BundleError::Format(format));
                }
                _ => return Err(shape(error)),
            },
        };
        if parts.format != FORMAT {
            return Err(BundleError::Format(parts.format.into()));
        }
        let Parts { format, tenant, sequence, policies, use_cases } = parts;
        if sequence > MAX_SEQUENCE {
            return Err(BundleError::Sequence(sequence));
        }
        // What `Bundle::digest` hashes, put together from canonical parts.
        let mut hash = Sha256::new();
        hash.update(format!("{{\"format\":{format},\"policies\":"));
        hash.update(policies.get());
        hash.update(",\"tenant\":");
        hash.update(serde_json_canonicalizer::to_vec(&tenant).map_err(|_| BundleError::Canonical)?);
        hash.update(",\"use_cases\":");
        hash.update(use_cases.get());
        hash.update("}");
        let digest = format!("sha256:{}", hex::encode(hash.finalize()));
        let bundle = Bundle {
            format,
            tenant,
            sequence,
            policies: serde_json::from_str(policies.get()).map_err(shape)?,
            use_cases: serde_json::from_str(use_cases.get()).map_err(shape)?,
        };
        Ok(Self { bundle, digest })
    }

    /// What came.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// `sha256:<hex>` of everything but the sequence number.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// `sha256:<hex>` of the canonical JSON of a value.
pub(crate) fn digest(value: &impl Serialize) -> String {
    // Our types always have canonical JSON: string keys and finite numbers, which the checks see to.
    let json = serde_json_canonicalizer::to_vec(value).unwrap_or_default();
    format!("sha256:{}", hex::encode(Sha256::digest(&json)))
}

/// A policy, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyInfo {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// `spec.version`.
    pub version: String,
    /// Whether it decides or only observes.
    pub mode: EnforcementMode,
    /// Who answers for it.
    pub owner: Owner,
}

/// A rule, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleInfo {
    /// Identifier within the policy.
    pub id: String,
    /// How grave.
    pub severity: Severity,
    /// What it asks for.
    pub action: ActionType,
    /// What it demands and why.
    pub description: Bilingual,
    /// When it matches, as a sentence.
    pub condition: Bilingual,
    /// The risks it covers.
    pub risks_covered: Vec<String>,
    /// The provisions it rests on.
    pub references: Vec<Citation>,
}

/// A bundle, ready to decide.
#[derive(Debug)]
pub struct CompiledBundle {
    bundle: Bundle,
    digest: String,
    policies: Vec<Arc<CompiledPolicy>>,
    use_cases: BTreeMap<String, Arc<RegisteredUse>>,
    failure_mode: FailureMode,
    max_staleness_seconds: u32,
}

impl CompiledBundle {
    /// Compiles every policy; paths in problems start with `<namespace>/<name>: `.
    ///
    /// # Errors
    /// Every problem, over all policies and the register; nothing is half compiled.
    pub fn compile(bundle: Bundle) -> Result<Self, Vec<PolicyProblem>> {
        let digest = bundle.digest();
        Self::compile_after(Received { bundle, digest }, None)
    }

    /// [`CompiledBundle::compile`], where policies that `before` holds with the same content are taken from there: a
    /// change of one policy among hundreds costs one compilation.
    ///
    /// # Errors
    /// As [`CompiledBundle::compile`].
    pub fn compile_after(received: Received, before: Option<&Self>) -> Result<Self, Vec<PolicyProblem>> {
        let Received { bundle, digest } = received;
        let mut problems = Vec::new();
        let mut policies = Vec::with_capacity(bundle.policies.len());
        for policy in &bundle.policies {
            if let Some(compiled) = before.and_then(|before| before.compiled(policy)) {
                policies.push(Arc::clone(compiled));
                continue;
            }
            match CompiledPolicy::compile(policy) {
                Ok(compiled) => policies.push(Arc::new(compiled)),
                Err(found) => problems.extend(found.into_iter().map(|one| PolicyProblem {
                    path: format!("{}/{}: {}", named(&policy.namespace), named(&policy.name), one.path),
                    ..one
                })),
            }
        }
        for (index, pair) in bundle.policies.windows(2).enumerate() {
            if let [a, b] = pair
                && (&a.namespace, &a.name) >= (&b.namespace, &b.name)
            {
                problems.push(problem(
                    format!("policies[{}]", index + 1),
                    "policies must be unique and sorted by namespace and name",
                    "Assemble the bundle again.",
                ));
            }
        }
        let mut use_cases = BTreeMap::new();
        for (index, entry) in bundle.use_cases.iter().enumerate() {
            if use_cases.insert(entry.id.clone(), Arc::new(entry.clone())).is_some() {
                let path = format!("useCases[{index}].id");
                problems.push(problem(
                    path,
                    "another use of AI has this id",
                    "Give each use an id of its own.",
                ));
            }
            for (position, reference) in entry.provisions.iter().enumerate() {
                if cite(reference).is_none() {
                    problems.push(problem(
                        format!("useCases[{index}].provisions[{position}]"),
                        "the law catalogue does not hold this provision",
                        "Cite a provision of the catalogue.",
                    ));
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let in_force = || {
            let enforcing = |policy: &&BundledPolicy| policy.enforcement.mode == EnforcementMode::Enforce;
            bundle.policies.iter().filter(enforcing).map(|policy| &policy.enforcement)
        };
        let failure_mode = in_force().map(|enforcement| enforcement.failure_mode).max().unwrap_or_default();
        let default = Enforcement::default().max_staleness_seconds;
        let max_staleness_seconds =
            in_force().map(|enforcement| enforcement.max_staleness_seconds).min().unwrap_or(default);
        Ok(Self { bundle, digest, policies, use_cases, failure_mode, max_staleness_seconds })
    }

    /// What this very policy was compiled to, where it is one of these.
    fn compiled(&self, policy: &BundledPolicy) -> Option<&Arc<CompiledPolicy>> {
        let name = (&policy.namespace, &policy.name);
        let held = &self.bundle.policies;
        let index = held.binary_search_by(|one| (&one.namespace, &one.name).cmp(&name)).ok()?;
        held.get(index).filter(|one| *one == policy).and_then(|_| self.policies.get(index))
    }

    /// What it was compiled from.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// [`Bundle::digest`], computed once.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Grows with every bundle of the tenant.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.bundle.sequence
    }

    /// The strictest of the policies in force; `block` when there is none.
    #[must_use]
    pub fn failure_mode(&self) -> FailureMode {
        self.failure_mode
    }

    /// The least of the policies in force, in seconds.
    #[must_use]
    pub fn max_staleness_seconds(&self) -> u32 {
        self.max_staleness_seconds
    }

    /// The policies, for people, by namespace and name.
    pub fn policies(&self) -> impl Iterator<Item = &CompiledPolicy> {
        self.policies.iter().map(Arc::as_ref)
    }

    /// The register of AI uses, by id.
    pub fn use_cases(&self) -> impl Iterator<Item = &RegisteredUse> {
        self.use_cases.values().map(Arc::as_ref)
    }

    /// The registered use of AI with this id.
    #[must_use]
    pub fn use_case(&self, id: &str) -> Option<&Arc<RegisteredUse>> {
        self.use_cases.get(id)
    }

    /// Whether a policy in force uses what a recogniser outside of the engine may find, where a text comes from or goes to.
    #[must_use]
    pub fn asks(&self, recogniser: &str, surface: Surface) -> bool {
        self.policies.iter().any(|policy| policy.applies_to(surface) && policy.asks(recogniser))
    }

    /// Whether a policy in force uses there what only others than this recogniser may find.
    #[must_use]
    pub fn asks_others(&self, recogniser: Option<&str>, surface: Surface) -> bool {
        self.policies.iter().any(|policy| policy.applies_to(surface) && policy.asks_others(recogniser))
    }

    pub(crate) fn compiled_policies(&self) -> &[Arc<CompiledPolicy>] {
        &self.policies
    }
}
