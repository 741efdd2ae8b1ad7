//! A policy and a former revision of it in, the former content as a new version out. Pure.
//!
//! Versions only grow, so going back is going forward to old content: history stays a line, and every engine agrees
//! which of two revisions is newer.

use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_crds::{CompliancePolicy, CompliancePolicySpec};

use crate::problem;

/// Longest changelog, in characters.
const MAX_CHANGELOG: usize = 1024;

/// The former content under the next version, with a changelog that says so.
///
/// # Errors
/// When the policy's present version is none, so that no next one can be told.
pub fn as_new_version(
    policy: &CompliancePolicy,
    former: &CompliancePolicySpec,
    reason: Option<&str>,
) -> Result<CompliancePolicySpec, PolicyProblem> {
    let present: semver::Version = policy.spec.version.parse().map_err(|_| {
        problem(
            "spec.version",
            "the present version is no semantic version",
            "Write the new version into the manifest by hand.",
        )
    })?;
    // Above a pre-release comes its release.
    let next = if present.pre.is_empty() {
        semver::Version::new(present.major, present.minor, present.patch.saturating_add(1))
    } else {
        semver::Version::new(present.major, present.minor, present.patch)
    };
    let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let changelog = format!("Back to the content of {} (from {present}){why}", former.version);
    Ok(CompliancePolicySpec {
        version: next.to_string(),
        changelog: changelog.chars().take(MAX_CHANGELOG).collect(),
        ..former.clone()
    })
}

#[cfg(test)]
mod tests {
    use novacrm_engine_core::policy::check_update;

    use super::*;

    fn policy(version: &str) -> CompliancePolicy {
        let spec: CompliancePolicySpec = serde_json::from_value(serde_json::json!({
            "version": version, "changelog": "x", "owner": { "team": "t", "contact": "c" },
            "detectors": [], "rules": [], "tests": [],
        }))
        .unwrap();
        CompliancePolicy::new("p", spec)
    }

    #[test]
    fn going_back_is_a_higher_version_with_the_former_content() {
        for (present, next) in [("1.4.0", "1.4.1"), ("2.0.0-rc.1", "2.0.0"), ("1.9.9", "1.9.10")] {
            let mut former = policy("1.2.0").spec;
            former.owner.team = "former".to_owned();
            let made = as_new_version(&policy(present), &former, Some("incident")).unwrap();
            assert_eq!(made.version, next);
            assert_eq!(made.owner.team, "former");
            assert_eq!(made.changelog, format!("Back to the content of 1.2.0 (from {present}): incident"));
            assert_eq!(check_update(&policy(present).spec, &made), Ok(()));
        }
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut() {
        let made = as_new_version(&policy("1.0.0"), &policy("0.1.0").spec, Some(&"é".repeat(4000))).unwrap();
        assert_eq!(made.changelog.chars().count(), MAX_CHANGELOG);
    }
}
