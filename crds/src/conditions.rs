//! Condition types and reasons, once for every writer and reader of a status.

/// The revision in the spec is in force everywhere it should be (kstatus).
pub const READY: &str = "Ready";
/// Work towards the spec is under way (kstatus); absent or `False` otherwise.
pub const RECONCILING: &str = "Reconciling";
/// Only a change of the spec can help (kstatus).
pub const STALLED: &str = "Stalled";
/// The policy compiles and its own tests pass.
pub const VALIDATED: &str = "Validated";

/// The rules that a tenant's engines are given are the operator's. `False` for some minutes after others were found.
pub const RULES_AUTHENTIC: &str = "RulesAuthentic";
/// The rules are those that the operator signed.
pub const REASON_AUTHENTIC: &str = "Authentic";
/// Somebody else had written the rules; they were replaced.
pub const REASON_FOREIGN_BUNDLE: &str = "ForeignBundle";
/// The keys that sign rules cannot be read or made.
pub const REASON_SIGNING_KEY: &str = "SigningKeyUnavailable";

/// Every Ready engine serves the revision.
pub const REASON_ENFORCED: &str = "Enforced";
/// Some engines do not serve the revision yet.
pub const REASON_PROPAGATING: &str = "Propagating";
/// The policy is valid and no tenant is selected by it.
pub const REASON_NO_TENANT: &str = "NoTenantSelected";
/// The spec was refused; the former revision, if any, stays in force.
pub const REASON_INVALID: &str = "Invalid";
/// The spec compiles and its tests pass.
pub const REASON_VALID: &str = "Valid";
/// All parts of the tenant are available.
pub const REASON_AVAILABLE: &str = "Available";
/// Parts of the tenant are not available yet.
pub const REASON_PROGRESSING: &str = "Progressing";
/// A part of the tenant failed.
pub const REASON_FAILED: &str = "Failed";
/// The combined policies are more than a bundle can hold; the former bundle stays.
pub const REASON_TOO_LARGE: &str = "BundleTooLarge";
/// An accepted revision can no longer be read by this release; the former bundle stays.
pub const REASON_REVISION_UNREADABLE: &str = "RevisionUnreadable";
/// The present version was applied past git, by `policy rollback --apply`. Absent otherwise.
pub const BREAK_GLASS: &str = "BreakGlass";
/// Somebody applied this version past git.
pub const REASON_BREAK_GLASS: &str = "AppliedPastGit";
/// Annotation of a policy: the version that was applied past git.
pub const BREAK_GLASS_ANNOTATION: &str = "novacrm.io/break-glass";

/// The tenant is suspended: nothing runs, and that is what was asked for.
pub const REASON_SUSPENDED: &str = "Suspended";
/// The database server does not answer, or not in time.
pub const REASON_DATABASE_UNREACHABLE: &str = "DatabaseUnreachable";
/// The database server, or its administrator's rights, do not allow what is needed.
pub const REASON_DATABASE_REFUSED: &str = "DatabaseRefused";
/// Databases or keys of this name belong to another tenant, and adopting them was not asked for.
pub const REASON_FOREIGN_DATA: &str = "ForeignData";
/// An API that the spec needs is not served by this cluster.
pub const REASON_MISSING_API: &str = "MissingApi";
/// A key was lost or cannot be read, and a new one would break what exists.
pub const REASON_LOST_KEY: &str = "LostKey";
/// The tenant is being deleted, and its data with it.
pub const REASON_DELETING: &str = "Deleting";
/// The tenant was deleted and its data would be too, which nobody has confirmed yet.
pub const REASON_DELETION_UNCONFIRMED: &str = "DeletionUnconfirmed";
/// The last dump of a tenant that is being deleted failed; nothing was deleted.
pub const REASON_DUMP_FAILED: &str = "DumpFailed";
/// The namespace is being deleted too, and nothing can be made in it any more: no last dump.
pub const REASON_NAMESPACE_TERMINATING: &str = "NamespaceTerminating";
/// Finalizer of a tenant whose data is to be deleted with it.
pub const FINALIZER: &str = "novacrm.io/tenant-data";
/// Annotation of a tenant: its `metadata.uid`, as the confirmation that its data shall be deleted with it.
pub const CONFIRM_DELETION_ANNOTATION: &str = "novacrm.io/confirm-deletion";
