//! Compiled policies and a request in, the decision out.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, LazyLock};

use novacrm_crds::compliance_policy::{ActionType, FailureMode, RequestField, Surface, UseCaseClass};

use super::{DecidedFinding, Decision, Keys, MatchedRule, Request, Uninspected, WaivedRule, explain};
use crate::bundle::CompiledBundle;
use crate::classification::{RegisteredUse, class_of, provisions_of};
use crate::detectors::{self, Families, Wanted};
use crate::policy::compile::{
    BuiltIn, CompiledRule, ContextProperty, ContextTest, DetectorIndex, FindingTest, Group,
};
use crate::policy::lattice::Effect;
use crate::policy::{CompiledPolicy, ExceptionInfo};
use crate::risk::{Contribution, combine};
use crate::text::Readings;
use crate::transform::{self, Applied, Edit, Tokens, Written};
use crate::{ExternalFinding, Finding, FingerprintKey, Span, external};

/// What rules can read of a request besides its text.
pub(crate) struct Context<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) use_case: Option<Arc<RegisteredUse>>,
}

impl<'a> Context<'a> {
    pub(crate) fn of(bundle: &CompiledBundle, request: &'a Request<'a>) -> Self {
        let use_case = request.use_case.and_then(|id| bundle.use_case(id)).cloned();
        Self { request, use_case }
    }

    pub(crate) fn class(&self) -> UseCaseClass {
        class_of(self.use_case.as_deref())
    }

    fn field(&self, name: RequestField) -> Option<&str> {
        match name {
            RequestField::Surface => Some(match self.request.surface {
                Surface::PromptInput => "prompt.input",
                Surface::PromptOutput => "prompt.output",
                Surface::CrmNote => "crm.note",
            }),
            RequestField::UseCase => self.request.use_case,
            RequestField::Purpose => self
                .request
                .purpose
                .or(self.use_case.as_deref().map(|registered| registered.purpose.as_str())),
            RequestField::Role => self.request.role,
            RequestField::Locale => Some(self.request.locale.as_str()),
        }
    }

    /// The exceptions of a policy that are in force for this request. The use must be a registered one: any other
    /// identifier is the caller's own word and counts as unregistered.
    fn exceptions<'p>(&self, policy: &'p CompiledPolicy) -> Vec<&'p Arc<ExceptionInfo>> {
        let use_case = self.use_case.as_deref().map(|registered| registered.id.as_str());
        let in_force = |one: &&Arc<ExceptionInfo>| {
            one.is_active(self.request.now) && one.is_for(use_case, self.request.role)
        };
        policy.exceptions.iter().filter(in_force).collect()
    }

    fn holds(&self, test: &ContextTest) -> bool {
        let met = match &test.test {
            ContextProperty::Field { name, values } => {
                self.field(*name).is_some_and(|value| values.iter().any(|wanted| wanted == value))
            }
            ContextProperty::UseCase { classes, provisions } => {
                classes.contains(&self.class())
                    && (provisions.is_empty()
                        || provisions_of(self.use_case.as_deref())
                            .any(|held| provisions.iter().any(|wanted| wanted == held)))
            }
        };
        met != test.negated
    }
}

/// What a text is inspected and tokenized with.
pub(crate) struct Secrets {
    pub(crate) fingerprint: FingerprintKey,
    pub(crate) tokens: Tokens,
}

impl Secrets {
    pub(crate) fn of(keys: &Keys, request: &Request<'_>) -> Self {
        Self { fingerprint: keys.fingerprint.clone(), tokens: keys.token.tokens(request.document) }
    }

    /// Fingerprints and tokens play no part in what the tests of a policy expect.
    pub(crate) fn of_tests() -> Self {
        Self { fingerprint: FingerprintKey::new([0; 32]), tokens: Tokens::placeholders() }
    }
}

/// What was found, and for each policy what it sees of it.
struct Seen {
    /// In the order of the text, without repetitions.
    findings: Vec<Finding>,
    /// By place in the catalogue: indexes into `findings`.
    built_in: Vec<Vec<usize>>,
    /// By policy and place in its custom detectors: indexes into `findings`.
    custom: Vec<Vec<Vec<usize>>>,
    /// By policy: indexes into `findings` of what came from outside and counts for it.
    external: Vec<Vec<usize>>,
}

impl Seen {
    /// The findings of one detector that count from a score on.
    fn of(&self, policy: usize, detector: DetectorIndex, min_score: f64) -> impl Iterator<Item = usize> {
        let found = match detector {
            DetectorIndex::BuiltIn(place) => self.built_in.get(place),
            DetectorIndex::Custom(place) => self.custom.get(policy).and_then(|custom| custom.get(place)),
            // They are asked for by selectors.
            DetectorIndex::External => None,
        };
        let counts = move |index: &usize| self.findings.get(*index).is_some_and(|one| one.score >= min_score);
        found.into_iter().flatten().copied().filter(counts)
    }

    fn of_test<'s>(&'s self, policy: usize, test: &'s FindingTest) -> impl Iterator<Item = usize> + 's {
        let own = test
            .detectors
            .iter()
            .flat_map(move |(detector, min_score)| self.of(policy, *detector, *min_score));
        let of_policy = self.external.get(policy).into_iter().flatten().copied();
        let from_outside = of_policy.filter(|index| {
            self.findings.get(*index).is_some_and(|one| {
                one.score >= test.min_score && test.external.iter().any(|s| s.matches(&one.detector))
            })
        });
        own.chain(from_outside)
    }
}

/// Decides. Without keys the text is not inspected; `failure` says why and what the policies want then.
pub(crate) fn decide(
    policies: &[Arc<CompiledPolicy>],
    context: &Context<'_>,
    secrets: Option<&Secrets>,
    failure: Option<(Uninspected, FailureMode)>,
) -> Decision {
    let (mut decision, effects) = judge(policies, context, secrets, failure);
    if decision.action < ActionType::RequireApproval {
        let edits = edits(&decision.findings, &effects);
        let applied = match secrets {
            Some(secrets) => transform::apply(context.request.text, &edits, &secrets.tokens),
            // What is not inspected has no findings.
            None => Applied { text: context.request.text.to_owned(), listed: Vec::new() },
        };
        decision.output = Some(applied.text);
        decision.tokens = applied.listed;
    }
    decision
}

/// Decides, but for the text that may leave; with what is to be done with each finding.
pub(super) fn judge(
    policies: &[Arc<CompiledPolicy>],
    context: &Context<'_>,
    secrets: Option<&Secrets>,
    failure: Option<(Uninspected, FailureMode)>,
) -> (Decision, Vec<Effect>) {
    let policies: Vec<&CompiledPolicy> = policies
        .iter()
        .map(Arc::as_ref)
        .filter(|policy| policy.applies_to(context.request.surface))
        .collect();
    let seen = inspect(&policies, context.request, secrets);

    let mut whole = Effect::default();
    let mut effects = vec![Effect::default(); seen.findings.len()];
    let mut weights = vec![0u8; seen.findings.len()];
    let mut risks = Vec::new();
    let mut matched = Vec::new();
    let mut waived = Vec::new();
    let mut shadow = Vec::new();
    let mut use_case_matters = false;
    for (place, policy) in policies.iter().enumerate() {
        // A policy in shadow mode decides nothing that could be waived.
        let exceptions = if policy.enforces() { context.exceptions(policy) } else { Vec::new() };
        for rule in &policy.rules {
            if policy.enforces() {
                weigh(rule, place, context, &seen, &mut weights, &mut risks);
            }
            let Some(findings) = matches(rule, place, context, &seen, secrets.is_some()) else { continue };
            let waiver = waiver(rule, &exceptions);
            if policy.enforces() && waiver.is_none() {
                whole.join(&rule.effect);
                for index in &findings {
                    if let Some(effect) = effects.get_mut(*index) {
                        effect.join(&rule.effect);
                    }
                }
                use_case_matters |= looks_at_the_use(rule);
            }
            let entry = MatchedRule {
                policy: Arc::clone(&policy.info),
                rule: Arc::clone(&rule.info),
                findings: findings.into_iter().collect(),
            };
            match waiver {
                Some(exception) => {
                    waived.push(WaivedRule { matched: entry, exception: Arc::clone(exception) });
                }
                None if policy.enforces() => matched.push(entry),
                None => shadow.push(entry),
            }
        }
    }
    for rules in [&mut matched, &mut shadow] {
        rules.sort_by(|a, b| order(a).cmp(&order(b)));
    }
    waived.sort_by(|a, b| order(&a.matched).cmp(&order(&b.matched)));
    if let Some((_, mode)) = failure {
        // Never silently: what passes uninspected is at least flagged.
        let action = match mode {
            FailureMode::Allow => ActionType::Flag,
            FailureMode::Block => ActionType::Block,
        };
        whole.join(&Effect { action, ..Effect::default() });
    }

    risks.extend(
        weights
            .iter()
            .zip(&seen.findings)
            .map(|(weight, finding)| Contribution { weight: *weight, certainty: finding.score }),
    );
    let findings = seen
        .findings
        .into_iter()
        .zip(&effects)
        .map(|(finding, effect)| {
            let form = effect.tokenize.filter(|_| effect.action == ActionType::Tokenize).map(|how| how.form);
            DecidedFinding { finding, action: effect.action, form }
        })
        .collect();
    let approvers = match whole.action {
        ActionType::RequireApproval => whole.approvers.into_iter().collect(),
        _ => Vec::new(),
    };
    let mut decision = Decision {
        action: whole.action,
        approvers,
        risk: combine(risks),
        findings,
        output: None,
        tokens: Vec::new(),
        matched,
        waived,
        shadow,
        explanation: novacrm_crds::Bilingual::default(),
        use_case: context.use_case.clone(),
        uninspected: failure.map(|(why, _)| why),
    };
    let class = use_case_matters.then(|| context.class());
    decision.explanation = explain::explain(&decision, class);
    (decision, effects)
}

/// The exception that waives a rule: of several the one that lasts longest, so that their order is without meaning.
fn waiver<'p>(rule: &CompiledRule, exceptions: &[&'p Arc<ExceptionInfo>]) -> Option<&'p Arc<ExceptionInfo>> {
    exceptions
        .iter()
        .filter(|one| one.rules.contains(&rule.info.id))
        .max_by_key(|one| (one.expires_at, &one.id))
        .copied()
}

fn order(entry: &MatchedRule) -> (Reverse<ActionType>, &str, &str, &str) {
    (Reverse(entry.rule.action), &entry.policy.namespace, &entry.policy.name, &entry.rule.id)
}

fn looks_at_the_use(rule: &CompiledRule) -> bool {
    let of_use = |test: &ContextTest| matches!(test.test, ContextProperty::UseCase { .. });
    rule.groups.iter().any(|group| group.context.iter().any(of_use))
}

/// Runs the detectors: the built-in ones once, as far as somebody asks for them, each policy's own apart.
fn inspect(policies: &[&CompiledPolicy], request: &Request<'_>, secrets: Option<&Secrets>) -> Seen {
    let built_in = BuiltIn::get();
    // The score from which somebody cares, per built-in detector; what nobody looks for is not reported.
    let mut wanted: Vec<Option<f64>> = vec![None; built_in.len()];
    let mut needed = Wanted::default();
    for (detector, min_score) in policies.iter().flat_map(|policy| &policy.uses) {
        if let DetectorIndex::BuiltIn(place) = detector
            && let Some(least) = wanted.get_mut(*place)
        {
            *least = Some(least.map_or(*min_score, |held| held.min(*min_score)));
            needed = needed | built_in.wanted(*place);
        }
    }
    let mut raw: Vec<(Finding, usize, DetectorIndex)> = Vec::new();
    if let Some(Secrets { fingerprint: key, tokens }) = secrets {
        let original = request.text;
        let text = Readings::new(original);
        if let Some(set) = built_in.set() {
            for finding in set.scan_for(needed, &text, key) {
                let Some(place) = built_in.index_of(&finding.detector) else { continue };
                if wanted.get(place).copied().flatten().is_some_and(|least| finding.score >= least) {
                    raw.push((finding, 0, DetectorIndex::BuiltIn(place)));
                }
            }
        }
        for (owner, policy) in policies.iter().enumerate() {
            for finding in policy.custom.iter().flat_map(|set| set.scan(&text, key)) {
                if let Some(place) = policy.custom_index.get(finding.detector.as_ref()) {
                    raw.push((finding, owner, DetectorIndex::Custom(*place)));
                }
            }
        }
        raw.extend(
            from_outside(policies, request.external, original, key)
                .map(|(finding, owner)| (finding, owner, DetectorIndex::External)),
        );
        if !raw.is_empty() {
            let written = written(tokens, original, &raw);
            raw.retain(|(finding, ..)| !written.is_all_of(finding.span));
        }
    }
    raw.sort_by(|(a, ..), (b, ..)| {
        (a.span, &a.detector, &a.kind, a.fingerprint)
            .cmp(&(b.span, &b.detector, &b.kind, b.fingerprint))
            .then(a.score.total_cmp(&b.score))
    });
    let mut seen = Seen {
        findings: Vec::with_capacity(raw.len()),
        built_in: vec![Vec::new(); built_in.len()],
        custom: policies.iter().map(|policy| vec![Vec::new(); policy.custom_index.len()]).collect(),
        external: vec![Vec::new(); policies.len()],
    };
    for (finding, owner, detector) in raw {
        // Two policies may bring the same detector along: one finding, seen by both.
        if seen.findings.last() != Some(&finding) {
            seen.findings.push(finding);
        }
        let index = seen.findings.len() - 1;
        let place = match detector {
            DetectorIndex::BuiltIn(place) => seen.built_in.get_mut(place),
            DetectorIndex::Custom(place) => {
                seen.custom.get_mut(owner).and_then(|custom| custom.get_mut(place))
            }
            DetectorIndex::External => seen.external.get_mut(owner),
        };
        if let Some(place) = place {
            place.push(index);
        }
    }
    seen
}

/// What came from outside, once for each policy that it counts for.
fn from_outside<'p>(
    policies: &'p [&CompiledPolicy],
    external: &[ExternalFinding],
    text: &str,
    key: &FingerprintKey,
) -> impl Iterator<Item = (Finding, usize)> + use<'p> {
    external::findings(external, text, key).into_iter().flat_map(|finding| {
        let counts = |policy: &CompiledPolicy| {
            policy.external_threshold(&finding.detector).is_some_and(|least| finding.score >= least)
        };
        let owners: Vec<usize> = policies
            .iter()
            .enumerate()
            .filter(|(_, policy)| counts(policy))
            .map(|(owner, _)| owner)
            .collect();
        owners.into_iter().map(move |owner| (finding.clone(), owner))
    })
}

/// What engines put into the text when they decided on it before: there is nothing to be found in that.
fn written(tokens: &Tokens, text: &str, raw: &[(Finding, usize, DetectorIndex)]) -> Written {
    if !text.contains('[') && !text.contains("**") {
        return Written::default();
    }
    let kinds: HashSet<&str> = raw.iter().map(|(finding, ..)| &*finding.kind).collect();
    tokens.written(text, |label| kinds.contains(label) || BUILT_IN_KINDS.contains(label))
}

/// The types of what the built-in detectors find.
static BUILT_IN_KINDS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| detectors::catalogue().iter().map(|entry| &*entry.kind).collect());

/// The findings that made a rule match; `None` when it does not.
fn matches(
    rule: &CompiledRule,
    policy: usize,
    context: &Context<'_>,
    seen: &Seen,
    inspected: bool,
) -> Option<BTreeSet<usize>> {
    let mut findings = None;
    for group in &rule.groups {
        if holds(group, policy, context, seen, inspected) {
            let of_group = group.findings.iter().filter(|test| !test.negated);
            findings
                .get_or_insert_with(BTreeSet::new)
                .extend(of_group.flat_map(|test| seen.of_test(policy, test)));
        }
    }
    findings
}

fn holds(group: &Group, policy: usize, context: &Context<'_>, seen: &Seen, inspected: bool) -> bool {
    group.context.iter().all(|test| context.holds(test))
        && group.findings.iter().all(|test| {
            if !inspected {
                return test.negated;
            }
            let enough = seen.of_test(policy, test).take(test.at_least).count() >= test.at_least;
            enough != test.negated
        })
}

/// What a rule adds to the risk score, see [`crate::risk`].
fn weigh(
    rule: &CompiledRule,
    policy: usize,
    context: &Context<'_>,
    seen: &Seen,
    weights: &mut [u8],
    risks: &mut Vec<Contribution>,
) {
    let mut of_request = false;
    for group in &rule.groups {
        if !group.context.iter().all(|test| context.holds(test)) {
            continue;
        }
        of_request |= group.findings.is_empty();
        for index in
            group.findings.iter().filter(|test| !test.negated).flat_map(|test| seen.of_test(policy, test))
        {
            if let Some(weight) = weights.get_mut(index) {
                *weight = (*weight).max(rule.weight);
            }
        }
    }
    if of_request {
        risks.push(Contribution { weight: rule.weight, certainty: 1.0 });
    }
}

/// What is done to which spans. Masks that overlap something else than themselves keep nothing readable, since
/// the end of one may be the middle of the other.
pub(super) fn edits<'a>(findings: &'a [DecidedFinding], effects: &[Effect]) -> Vec<(Span, Edit<'a>)> {
    let mut edits: Vec<(Span, Edit<'a>)> = findings
        .iter()
        .zip(effects)
        .filter_map(|(DecidedFinding { finding, .. }, effect)| {
            let edit = match effect.action {
                // The last word of several says as much as all of them.
                ActionType::Mask if Families::of(&finding.detector).is_empty() => {
                    Edit::Mask { keep_last: effect.keep_last.unwrap_or(0) }
                }
                ActionType::Mask => Edit::Mask { keep_last: 0 },
                ActionType::Tokenize => Edit::Tokenize {
                    kind: &finding.kind,
                    fingerprint: finding.fingerprint,
                    how: effect.tokenize.unwrap_or_default(),
                },
                ActionType::Redact => Edit::Redact { label: &finding.kind },
                _ => return None,
            };
            Some((finding.span, edit))
        })
        .collect();
    // Findings come in the order of the text, so whatever overlaps an edit is between it and the end of its
    // group.
    let mut start = 0;
    while start < edits.len() {
        let mut reach = edits.get(start).map_or(0, |(span, _)| span.end);
        let mut end = start + 1;
        while let Some((span, _)) = edits.get(end)
            && span.start < reach
        {
            reach = reach.max(span.end);
            end += 1;
        }
        if let Some(group) = edits.get_mut(start..end)
            && let Some((first, _)) = group.first().copied()
            && group.iter().any(|(span, _)| *span != first)
        {
            for (_, edit) in group {
                if let Edit::Mask { keep_last } = edit {
                    *keep_last = 0;
                }
            }
        }
        start = end;
    }
    edits
}
