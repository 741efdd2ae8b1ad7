//! In: which detectors are asked for, by id, family or policy. Out: a selection that scans text.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use novacrm_crds::CompliancePolicy;
use novacrm_engine_core::detectors::{Category, DetectorError, DetectorSet, catalogue};
use novacrm_engine_core::policy::{self, Manifest, Scope};
use novacrm_engine_core::text::Readings;
use novacrm_engine_core::{Finding, FingerprintKey};

use crate::cli::files::{self, ReadError};

/// Detectors, and the scores from which their findings count.
#[derive(Debug)]
pub(super) struct Selection {
    sets: Vec<Part>,
    floor: f64,
}

#[derive(Debug)]
struct Part {
    set: DetectorSet,
    /// By detector; those that are absent count from 0.
    least: HashMap<Arc<str>, f64>,
}

/// Why detectors cannot be selected.
#[derive(Debug, thiserror::Error)]
pub(super) enum SelectError {
    #[error(transparent)]
    Detector(#[from] DetectorError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{0} holds no policy without problems; `novacrm-engine policy lint` names them")]
    Policy(String),
    #[error("--policy names no policy")]
    NoPolicy,
}

impl Selection {
    /// Built-in detectors by id or family; when none is named all of them but those of tone, which are for those who
    /// ask for them.
    pub(super) fn of_detectors(wanted: &[String], floor: f64) -> Result<Self, SelectError> {
        let named: Vec<&str> = if wanted.is_empty() {
            let all = catalogue().iter().filter(|entry| entry.category != Category::Tone);
            all.map(|entry| &*entry.id).collect()
        } else {
            wanted.iter().map(String::as_str).collect()
        };
        let set = DetectorSet::compile(named, &[])?;
        Ok(Self { sets: vec![Part { set, least: HashMap::new() }], floor })
    }

    /// The detectors of policies, as they use them: a finding counts when it does for one of them.
    pub(super) fn of_policies(
        paths: &[PathBuf],
        policy_namespace: &str,
        floor: f64,
    ) -> Result<Self, SelectError> {
        let mut sets = Vec::new();
        for path in files::files(paths)? {
            let name = path.display().to_string();
            let source = files::read(&path)?.map_err(|_| SelectError::Policy(name.clone()))?;
            let manifests = policy::read_manifests(&source, Some(&name))
                .map_err(|_| SelectError::Policy(name.clone()))?;
            for located in manifests {
                let Manifest::CompliancePolicy(object) = &located.object else { continue };
                let scope = match object.metadata.namespace.as_deref() {
                    Some(namespace) if namespace == policy_namespace => Scope::Organisation,
                    _ => Scope::Tenant,
                };
                policy::check(object, scope).map_err(|_| SelectError::Policy(name.clone()))?;
                sets.push(Part::of_policy(object)?);
            }
        }
        if sets.is_empty() {
            return Err(SelectError::NoPolicy);
        }
        Ok(Self { sets, floor })
    }

    /// What counts in a text, by start, then end, then detector.
    pub(super) fn scan(&self, text: &str, key: &FingerprintKey) -> Vec<Finding> {
        let text = Readings::new(text);
        let mut findings = Vec::new();
        for part in &self.sets {
            findings.extend(part.set.scan(&text, key).into_iter().filter(|finding| {
                let least = part.least.get(&finding.detector).copied().unwrap_or(0.0);
                finding.score >= least.max(self.floor)
            }));
        }
        if self.sets.len() > 1 {
            // Two policies may look for the same.
            findings.sort_by(|a, b| a.span.cmp(&b.span).then_with(|| a.detector.cmp(&b.detector)));
            findings.dedup();
        }
        findings
    }
}

impl Part {
    fn of_policy(policy: &CompliancePolicy) -> Result<Self, DetectorError> {
        let spec = &policy.spec;
        let set = DetectorSet::compile(
            spec.detectors.iter().map(|detector| detector.id.as_str()),
            &spec.custom_detectors,
        )?;
        // As the engine reads a policy: an exact id has the last word, of two families the lower threshold.
        let mut least: HashMap<Arc<str>, f64> = HashMap::new();
        let (families, exact): (Vec<_>, Vec<_>) =
            spec.detectors.iter().partition(|detector| detector.id.ends_with(".*"));
        for family in families {
            for entry in catalogue().matching(&family.id) {
                let held = least.entry(Arc::clone(&entry.id)).or_insert(family.min_score);
                *held = held.min(family.min_score);
            }
        }
        for detector in exact {
            least.insert(detector.id.as_str().into(), detector.min_score);
        }
        let custom: HashSet<&str> = spec.custom_detectors.iter().map(|one| one.id.as_str()).collect();
        least.retain(|id, _| !custom.contains(&**id));
        Ok(Self { set, least })
    }
}
