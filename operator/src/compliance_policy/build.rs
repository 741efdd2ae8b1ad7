//! A checked policy in, the revision that stands for it out. Pure.

use novacrm_crds::compliance_policy::ActiveRevision;
use novacrm_engine_core::policy::CheckedPolicy;

/// The revision of a policy: its version and the digest of its spec.
#[must_use]
pub fn revision(policy: &CheckedPolicy) -> ActiveRevision {
    ActiveRevision { version: policy.spec().version.clone(), digest: policy.digest() }
}
