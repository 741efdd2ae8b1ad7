//! A text and what is known of its use in; findings, score, decision, the text that may leave and why, out.
//!
//! One compiled bundle decides a whole request. What a policy decides never depends on the other policies: the
//! built-in detectors are one set, of which each finds the same whatever else is asked for, each policy's own
//! detectors run apart, what comes from outside is settled apart, and the effects are joined as a lattice. So one more policy can only tighten.

mod decide;
mod explain;
pub mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use novacrm_crds::Bilingual;
use novacrm_crds::compliance_policy::{ActionType, Surface, TokenForm};
use novacrm_crds::crm_tenant::Locale;
use time::OffsetDateTime;

use crate::bundle::{CompiledBundle, PolicyInfo, RuleInfo};
use crate::classification::RegisteredUse;
use crate::policy::ExceptionInfo;
use crate::risk::Risk;
use crate::transform::{ListedToken, TokenKey};
use crate::{ExternalFinding, Finding, FingerprintKey};

pub(crate) use decide::{Context, Secrets, decide};

/// The tenant's keys that decisions need.
#[derive(Clone, Debug)]
pub struct Keys {
    /// For the fingerprints of findings.
    pub fingerprint: FingerprintKey,
    /// For what stands in the place of findings.
    pub token: TokenKey,
}

/// What is asked of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The text to inspect.
    pub text: &'a str,
    /// What recognisers outside of the engine saw in it.
    pub external: &'a [ExternalFinding],
    /// Where it comes from or goes to.
    pub surface: Surface,
    /// Identifier of a registered use of AI; unknown ones count as unregistered.
    pub use_case: Option<&'a str>,
    /// Purpose the caller declares; that of the registered use when absent.
    pub purpose: Option<&'a str>,
    /// Role of the person who asks.
    pub role: Option<&'a str>,
    /// Language of the person who asks.
    pub locale: Locale,
    /// The document that the text belongs to, by any name: within it equal findings are tokenized alike.
    pub document: &'a str,
    /// When it is asked: exceptions that end later are in force.
    pub now: OffsetDateTime,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The strictest action of all rules that matched.
    pub action: ActionType,
    /// Roles that may release the text, sorted; empty unless the action is `requireApproval`.
    pub approvers: Vec<String>,
    /// How much is at risk.
    pub risk: Risk,
    /// What the policies in force look for and was found, in the order of the text.
    pub findings: Vec<DecidedFinding>,
    /// The text that may leave; absent when it is withheld or refused.
    pub output: Option<String>,
    /// Tokens in the output that keep the format of what they stand for.
    pub tokens: Vec<ListedToken>,
    /// The rules that matched, strictest first, then by policy and id.
    pub matched: Vec<MatchedRule>,
    /// Rules that matched and did not act, since an exception waives them; in the order of `matched`.
    pub waived: Vec<WaivedRule>,
    /// Rules of policies in shadow mode that would have matched; they decide nothing.
    pub shadow: Vec<MatchedRule>,
    /// Why, for the person who asks.
    pub explanation: Bilingual,
    /// The use of AI as the tenant registered it.
    pub use_case: Option<Arc<RegisteredUse>>,
    /// Why the text was not inspected, when it was not.
    pub uninspected: Option<Uninspected>,
}

/// A finding and what happened to it.
#[derive(Clone, Debug, PartialEq)]
pub struct DecidedFinding {
    /// What was seen and where.
    pub finding: Finding,
    /// The strongest action that rules ask for on this finding.
    pub action: ActionType,
    /// What it is replaced by, when it is tokenized.
    pub form: Option<TokenForm>,
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchedRule {
    /// The policy it belongs to.
    pub policy: Arc<PolicyInfo>,
    /// The rule.
    pub rule: Arc<RuleInfo>,
    /// Indexes into `findings` of what made it match, ascending.
    pub findings: Vec<usize>,
}

/// A rule that matched and that an exception of its policy waives.
#[derive(Clone, Debug, PartialEq)]
pub struct WaivedRule {
    /// The rule.
    pub matched: MatchedRule,
    /// The exception; the one that lasts longest where several waive the rule.
    pub exception: Arc<ExceptionInfo>,
}

/// Why a text was not inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Uninspected {
    /// It is too long.
    TooLarge,
    /// Inspection took longer than its budget.
    TimeOut,
    /// The rules are older than `maxStalenessSeconds`, without contact to their source.
    StaleBundle,
}

/// Inspects a text and decides.
#[must_use]
pub fn analyze(bundle: &CompiledBundle, request: &Request<'_>, keys: &Keys) -> Decision {
    let context = Context::of(bundle, request);
    decide(bundle.compiled_policies(), &context, Some(&Secrets::of(keys, request)), None)
}

/// Decides on a text that was not inspected: the strictest `failureMode` of the policies in force, together with
/// the rules that look at the request alone. A demand that a finding be absent counts as met, since nobody knows.
#[must_use]
pub fn uninspected(bundle: &CompiledBundle, request: &Request<'_>, why: Uninspected) -> Decision {
    let context = Context::of(bundle, request);
    decide(bundle.compiled_policies(), &context, None, Some((why, bundle.failure_mode())))
}

/// Decides by rules that are older than `maxStalenessSeconds`: the strictest `failureMode` together with what
/// the old rules say, so that `allow` lets nothing pass that they would have stopped.
#[must_use]
pub fn analyze_stale(bundle: &CompiledBundle, request: &Request<'_>, keys: &Keys) -> Decision {
    let context = Context::of(bundle, request);
    let why = (Uninspected::StaleBundle, bundle.failure_mode());
    decide(bundle.compiled_policies(), &context, Some(&Secrets::of(keys, request)), Some(why))
}
