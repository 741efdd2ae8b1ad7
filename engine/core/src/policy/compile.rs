//! A policy's detectors, rules and exceptions in; what a request is matched against, or every problem, out.
//!
//! This is the part of the checks that engines repeat when they load a bundle.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use novacrm_crds::compliance_policy::{
    ActionType, EnforcementMode, FindingMatch, Leaf, PolicyRule, RequestField, Surface, UseCaseClass,
};

use super::describe;
use super::exception::{self, ExceptionInfo};
use super::lattice::Effect;
use super::law::{EU_AI_ACT, cite, resolve};
use super::problem::{PolicyProblem, named, nearest, problem};
use crate::bundle::{BundledPolicy, PolicyInfo, RuleInfo};
use crate::detectors::{self, DetectorSet, Wanted};
use crate::external::{EXTERNAL, ExternalDetector};

/// All built-in detectors as one set, whatever policies use: overlaps between findings are then settled alike
/// for every policy, so what one policy sees never depends on another.
static BUILT_IN: LazyLock<BuiltIn> = LazyLock::new(|| {
    let ids: Vec<&'static str> = detectors::catalogue().iter().map(|entry| entry.id.as_ref()).collect();
    let set = DetectorSet::compile(ids.iter().copied(), &[]).ok();
    let wanted = detectors::catalogue().iter().map(Wanted::of).collect();
    let index = ids.into_iter().enumerate().map(|(index, id)| (id, index)).collect();
    BuiltIn { set, wanted, index }
});

/// The built-in detectors, compiled.
pub(crate) struct BuiltIn {
    /// Absent if the catalogue does not compile, which its tests rule out; then every policy is refused.
    set: Option<DetectorSet>,
    /// What each detector needs, by place.
    wanted: Vec<Wanted>,
    index: HashMap<&'static str, usize>,
}

impl BuiltIn {
    pub(crate) fn get() -> &'static Self {
        &BUILT_IN
    }

    pub(crate) fn set(&self) -> Option<&DetectorSet> {
        self.set.as_ref()
    }

    /// What the detector at a place needs.
    pub(crate) fn wanted(&self, place: usize) -> Wanted {
        self.wanted.get(place).copied().unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn index_of(&self, detector: &str) -> Option<usize> {
        self.index.get(detector).copied()
    }
}

/// How detectors outside of the engine are named.
const SELECTORS: &str = "Use `external.*`, `external.RECOGNISER.*` or `external.RECOGNISER.TYPE`, such as \
                         `external.presidio.person`.";

/// Said of a detector that adds nothing to those before it.
const COVERED: &str = "the detectors before it in this list cover it already";

/// The provision of the AI Act that prohibits inferring the emotions of people at work or in education.
const EMOTIONS_AT_WORK: &str = "5(1)(f)";

/// A detector within one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DetectorIndex {
    /// Place in the catalogue.
    BuiltIn(usize),
    /// Place in `spec.customDetectors`.
    Custom(usize),
    /// Outside of the engine; which one, only its id says.
    External,
}

/// Detectors outside of the engine: `external.*`, `external.<recogniser>.*` or `external.<recogniser>.<type>`. Which there
/// are is a matter of the engine's configuration, so policies name them by pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Selector(String);

impl Selector {
    /// Whether an id or family speaks of detectors outside of the engine.
    pub(crate) fn is_meant(id: &str) -> bool {
        id.starts_with(EXTERNAL)
    }

    fn parse(id: &str) -> Option<Self> {
        let is_sound = match id.strip_suffix('*') {
            Some(EXTERNAL) => true,
            // A family is one recogniser, of which any type will do to see whether the name is one.
            Some(family) => ExternalDetector::of_id(&format!("{family}a")).is_ok(),
            None => ExternalDetector::of_id(id).is_ok(),
        };
        is_sound.then(|| Self(id.to_owned()))
    }

    /// What it begins with, when it is a family.
    fn family(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }

    /// Whether it names a detector.
    pub(crate) fn matches(&self, id: &str) -> bool {
        match self.family() {
            Some(family) => id.starts_with(family),
            None => self.0 == id,
        }
    }

    /// Whether it names all that another one does.
    fn covers(&self, other: &Self) -> bool {
        match (self.family(), other.family()) {
            (Some(family), _) => other.0.starts_with(family),
            (None, _) => self == other,
        }
    }

    /// Whether there can be a detector that both name.
    fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

/// A policy, ready to decide.
#[derive(Debug)]
pub struct CompiledPolicy {
    pub(crate) info: Arc<PolicyInfo>,
    pub(crate) surfaces: Vec<Surface>,
    /// The detectors it uses, with the score from which a finding counts.
    pub(crate) uses: Vec<(DetectorIndex, f64)>,
    /// The detectors outside of the engine that it uses, likewise.
    external: Vec<(Selector, f64)>,
    /// Its own detectors.
    pub(crate) custom: Option<DetectorSet>,
    pub(crate) custom_index: HashMap<String, usize>,
    pub(crate) rules: Vec<CompiledRule>,
    pub(crate) exceptions: Vec<Arc<ExceptionInfo>>,
}

/// A rule, ready to match.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    pub(crate) info: Arc<RuleInfo>,
    pub(crate) effect: Effect,
    pub(crate) weight: u8,
    pub(crate) groups: Vec<Group>,
}

/// Tests that must all hold.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) findings: Vec<FindingTest>,
    pub(crate) context: Vec<ContextTest>,
}

/// At least so many findings of some detectors.
#[derive(Debug)]
pub(crate) struct FindingTest {
    pub(crate) negated: bool,
    /// The detectors, each with the score from which its findings count.
    pub(crate) detectors: Vec<(DetectorIndex, f64)>,
    /// Detectors outside of the engine.
    pub(crate) external: Vec<Selector>,
    /// The score from which findings of those count, beside the policy's own threshold.
    pub(crate) min_score: f64,
    pub(crate) at_least: usize,
}

/// A property of the request.
#[derive(Debug)]
pub(crate) struct ContextTest {
    pub(crate) negated: bool,
    pub(crate) test: ContextProperty,
}

/// What is asked of the request.
#[derive(Debug)]
pub(crate) enum ContextProperty {
    Field { name: RequestField, values: Vec<String> },
    UseCase { classes: Vec<UseCaseClass>, provisions: Vec<String> },
}

impl CompiledPolicy {
    /// Compiles the part of a policy that decides.
    ///
    /// # Errors
    /// Every problem, with its field path in the policy.
    pub(crate) fn compile(policy: &BundledPolicy) -> Result<Self, Vec<PolicyProblem>> {
        let mut problems = Vec::new();
        if BuiltIn::get().set().is_none() {
            problems.push(problem(
                "spec.detectors",
                "the built-in detectors of this build do not compile",
                "Use another build; this one cannot inspect anything.",
            ));
        }
        let external = compile_external(policy, &mut problems);
        let (uses, custom_index) = compile_uses(policy, &mut problems);
        let custom = compile_custom(policy, &mut problems);
        let info = Arc::new(PolicyInfo {
            namespace: policy.namespace.clone(),
            name: policy.name.clone(),
            version: policy.version.clone(),
            mode: policy.enforcement.mode,
            owner: policy.owner.clone(),
        });
        let mut ids = HashSet::new();
        let mut rules = Vec::with_capacity(policy.rules.len());
        for (index, rule) in policy.rules.iter().enumerate() {
            let path = format!("spec.rules[{index}]");
            if !ids.insert(rule.id.as_str()) {
                problems.push(problem(
                    format!("{path}.id"),
                    format!("another rule of this policy has the id `{}`", named(&rule.id)),
                    "Give each rule an id of its own; records refer to rules by it.",
                ));
            }
            rules.push(compile_rule(rule, &path, (&uses, &external), &mut problems));
        }
        check_tone(policy, &uses, &mut problems);
        let exceptions = exception::compile(policy, &mut problems);
        if problems.is_empty() {
            let uses = uses.into_values().collect();
            let surfaces = policy.surfaces.clone();
            Ok(Self { info, surfaces, uses, external, custom, custom_index, rules, exceptions })
        } else {
            Err(problems)
        }
    }

    /// Whether its actions are applied.
    pub(crate) fn enforces(&self) -> bool {
        self.info.mode == EnforcementMode::Enforce
    }

    /// Makes it what its own tests want: enforced whatever its mode, and without exceptions, which come and go while
    /// the rules stay.
    pub(crate) fn into_tested(mut self) -> Self {
        Arc::make_mut(&mut self.info).mode = EnforcementMode::Enforce;
        self.exceptions.clear();
        self
    }

    pub(crate) fn applies_to(&self, surface: Surface) -> bool {
        self.surfaces.is_empty() || self.surfaces.contains(&surface)
    }

    /// The score from which the findings of a detector outside of the engine count; `None` when it is not used. As of the
    /// built-in ones, an exact id has the last word, and of families the lowest threshold.
    pub(crate) fn external_threshold(&self, detector: &str) -> Option<f64> {
        let of = |exact: bool| {
            let used = self.external.iter().filter(move |(selector, _)| selector.family().is_none() == exact);
            used.filter(|(selector, _)| selector.matches(detector))
                .map(|(_, least)| *least)
                .min_by(f64::total_cmp)
        };
        of(true).or_else(|| of(false))
    }

    /// Whether it uses what a recogniser outside of the engine may find.
    pub(crate) fn asks(&self, recogniser: &str) -> bool {
        let all = Selector(format!("{EXTERNAL}{recogniser}.*"));
        self.external.iter().any(|(selector, _)| selector.overlaps(&all))
    }

    /// Whether it uses what only others than this recogniser may find.
    pub(crate) fn asks_others(&self, recogniser: Option<&str>) -> bool {
        let all = recogniser.map(|name| Selector(format!("{EXTERNAL}{name}.*")));
        self.external.iter().any(|(used, _)| all.as_ref().is_none_or(|all| !used.overlaps(all)))
    }

    /// The policy, for people.
    #[must_use]
    pub fn info(&self) -> &PolicyInfo {
        &self.info
    }

    /// Its rules, for people.
    pub fn rules(&self) -> impl Iterator<Item = &RuleInfo> {
        self.rules.iter().map(|rule| rule.info.as_ref())
    }

    /// Its exceptions, those that have ended included.
    pub fn exceptions(&self) -> impl Iterator<Item = &ExceptionInfo> {
        self.exceptions.iter().map(Arc::as_ref)
    }
}

/// Detectors that a policy uses: by id, their place and threshold.
type Uses<'a> = BTreeMap<&'a str, (DetectorIndex, f64)>;

/// Detectors outside of the engine.
fn compile_external(policy: &BundledPolicy, problems: &mut Vec<PolicyProblem>) -> Vec<(Selector, f64)> {
    let mut external: Vec<(Selector, f64)> = Vec::new();
    for (index, detector) in policy.detectors.iter().enumerate() {
        if !Selector::is_meant(&detector.id) {
            continue;
        }
        let path = format!("spec.detectors[{index}].id");
        match Selector::parse(&detector.id) {
            None => problems.push(problem(
                path,
                format!("`{}` names no detector outside of the engine", named(&detector.id)),
                SELECTORS,
            )),
            Some(selector) if external.iter().any(|(other, _)| *other == selector) => {
                problems.push(problem(path, "this detector is listed twice", "Keep one of the two."));
            }
            Some(selector) => external.push((selector, detector.min_score)),
        }
    }
    external
}

/// Expands families. An exact id has the last word over a family that holds it.
fn compile_uses<'a>(
    policy: &'a BundledPolicy,
    problems: &mut Vec<PolicyProblem>,
) -> (Uses<'a>, HashMap<String, usize>) {
    let catalogue = detectors::catalogue();
    let mut uses = Uses::new();
    let mut exact = HashSet::new();
    let mut seen = HashSet::new();
    for (index, detector) in policy.detectors.iter().enumerate() {
        if Selector::is_meant(&detector.id) {
            continue;
        }
        let path = format!("spec.detectors[{index}].id");
        if !seen.insert(detector.id.as_str()) {
            problems.push(problem(path, "this detector is listed twice", "Keep one of the two."));
            continue;
        }
        let is_family = detector.id.ends_with(".*");
        let mut known = false;
        for entry in catalogue.matching(&detector.id) {
            known = true;
            let Some(place) = BuiltIn::get().index_of(entry.id.as_ref()) else { continue };
            if is_family && exact.contains(entry.id.as_ref()) {
                continue;
            }
            if !is_family {
                exact.insert(entry.id.as_ref());
            }
            let threshold = (DetectorIndex::BuiltIn(place), detector.min_score);
            uses.entry(entry.id.as_ref())
                // Two families that overlap: the lower threshold sees more.
                .and_modify(|held| {
                    if !is_family || threshold.1 < held.1 {
                        *held = threshold
                    }
                })
                .or_insert(threshold);
        }
        if !known {
            let ids = catalogue.iter().map(|entry| entry.id.as_ref());
            let hint = match nearest(&detector.id, ids) {
                Some(near) => format!("Did you mean `{near}`?"),
                None => "Use an id of the detector catalogue, or a family such as `pii.*` or `secret.*`."
                    .to_owned(),
            };
            problems.push(problem(path, format!("there is no detector `{}`", named(&detector.id)), hint));
        }
    }
    let mut custom_index = HashMap::new();
    for (index, custom) in policy.custom_detectors.iter().enumerate() {
        if custom_index.insert(custom.id.clone(), index).is_some() {
            problems.push(problem(
                format!("spec.customDetectors[{index}].id"),
                "another detector of this policy has this id",
                "Give each detector an id of its own.",
            ));
        }
        uses.insert(custom.id.as_str(), (DetectorIndex::Custom(index), 0.0));
    }
    (uses, custom_index)
}

fn compile_custom(policy: &BundledPolicy, problems: &mut Vec<PolicyProblem>) -> Option<DetectorSet> {
    if policy.custom_detectors.is_empty() {
        return None;
    }
    let error = match DetectorSet::compile(std::iter::empty(), &policy.custom_detectors) {
        Ok(set) => return Some(set),
        Err(error) => error,
    };
    // The set names its first problem; people want all of them.
    let before = problems.len();
    for (index, custom) in policy.custom_detectors.iter().enumerate() {
        if let Err(error) = detectors::compile_pattern(&custom.pattern) {
            problems.push(problem(
                format!("spec.customDetectors[{index}].pattern"),
                error.to_string(),
                "Use a smaller expression: bounded repetitions, few alternatives, no look-around or back-references.",
            ));
        }
    }
    if problems.len() == before {
        problems.push(problem("spec.customDetectors", error.to_string(), "Mend or remove the detector."));
    }
    None
}

fn compile_rule(
    rule: &PolicyRule,
    path: &str,
    uses: (&Uses<'_>, &[(Selector, f64)]),
    problems: &mut Vec<PolicyProblem>,
) -> CompiledRule {
    let transforms =
        matches!(rule.action.r#type, ActionType::Mask | ActionType::Tokenize | ActionType::Redact);
    let mut groups = Vec::with_capacity(rule.when.any.len());
    for (position, group) in rule.when.any.iter().enumerate() {
        let path = format!("{path}.when.any[{position}]");
        let mut compiled = Group { findings: Vec::new(), context: Vec::new() };
        for (position, leaf) in group.all.iter().enumerate() {
            let path = format!("{path}.all[{position}]");
            if let Some(finding) = &leaf.finding {
                let (detectors, external) =
                    compile_detectors(finding, &format!("{path}.finding"), uses, problems);
                compiled.findings.push(FindingTest {
                    negated: leaf.not,
                    detectors,
                    external,
                    min_score: finding.min_score,
                    at_least: usize::try_from(finding.at_least).unwrap_or(usize::MAX),
                });
            }
            if let Some(field) = &leaf.field {
                check_field(field.name, &field.r#in, &format!("{path}.field"), problems);
                let test = ContextProperty::Field { name: field.name, values: field.r#in.clone() };
                compiled.context.push(ContextTest { negated: leaf.not, test });
            }
            if let Some(use_case) = &leaf.use_case {
                for (index, provision) in use_case.provisions.iter().enumerate() {
                    check_provision(provision, &format!("{path}.useCase.provisions[{index}]"), problems);
                }
                let test = ContextProperty::UseCase {
                    classes: use_case.classes.clone(),
                    provisions: use_case.provisions.clone(),
                };
                compiled.context.push(ContextTest { negated: leaf.not, test });
            }
        }
        if transforms && !compiled.findings.iter().any(|test| !test.negated) {
            problems.push(problem(
                format!("{path}.all"),
                "mask, tokenize and redact change findings, and this group names none",
                "Add a finding that is not negated, or choose flag, requireApproval or block.",
            ));
        }
        groups.push(compiled);
    }
    let mut references = Vec::with_capacity(rule.references.len());
    for (index, reference) in rule.references.iter().enumerate() {
        match cite(reference) {
            Some(citation) => references.push(citation),
            None => problems.push(unknown_reference(
                &reference.law,
                &reference.r#ref,
                &format!("{path}.references[{index}]"),
            )),
        }
    }
    for (text, language) in [(&rule.description.fr, "fr"), (&rule.description.en, "en")] {
        if text.trim().is_empty() {
            problems.push(problem(
                format!("{path}.description.{language}"),
                "the description is empty",
                "Say what the rule demands and why; people whose text it stops read it.",
            ));
        }
    }
    CompiledRule {
        info: Arc::new(RuleInfo {
            id: rule.id.clone(),
            severity: rule.severity,
            action: rule.action.r#type,
            description: rule.description.clone(),
            condition: describe::condition(&rule.when),
            risks_covered: rule.risks_covered.clone(),
            references,
        }),
        effect: Effect::from(&rule.action),
        weight: rule.risk_weight,
        groups,
    }
}

/// A policy that looks for tone must itself refuse to have it judge people at work (Regulation (EU) 2024/1689,
/// Article 5(1)(f)): a rule that blocks such uses whatever else holds.
fn check_tone(policy: &BundledPolicy, uses: &Uses<'_>, problems: &mut Vec<PolicyProblem>) {
    if !uses.keys().any(|id| id.starts_with("tone.")) {
        return;
    }
    let refuses = |leaves: &[Leaf]| match leaves {
        [Leaf { not: false, use_case: Some(wanted), .. }] => {
            wanted.classes.contains(&UseCaseClass::Prohibited)
                && (wanted.provisions.is_empty()
                    || wanted.provisions.iter().any(|one| one == EMOTIONS_AT_WORK))
        }
        _ => false,
    };
    let is_refused = policy.rules.iter().any(|rule| {
        rule.action.r#type == ActionType::Block && rule.when.any.iter().any(|group| refuses(&group.all))
    });
    if !is_refused {
        problems.push(problem(
            "spec.detectors",
            "a policy that looks for tone must refuse to have it judge people at work",
            format!(
                "Add a rule with the action block whose condition is `useCase: {{classes: [prohibited], provisions: \
                 [\"{EMOTIONS_AT_WORK}\"]}}` alone, or do without tone."
            ),
        ));
    }
}

fn compile_detectors(
    finding: &FindingMatch,
    path: &str,
    (uses, used_outside): (&Uses<'_>, &[(Selector, f64)]),
    problems: &mut Vec<PolicyProblem>,
) -> (Vec<(DetectorIndex, f64)>, Vec<Selector>) {
    let mut detectors = BTreeMap::new();
    let mut external: Vec<Selector> = Vec::new();
    for (index, wanted) in finding.detectors.iter().enumerate() {
        if Selector::is_meant(wanted) {
            let path = format!("{path}.detectors[{index}]");
            match Selector::parse(wanted) {
                None => problems.push(problem(
                    path,
                    format!("`{}` names no detector outside of the engine", named(wanted)),
                    SELECTORS,
                )),
                Some(selector) if external.iter().any(|other| other.covers(&selector)) => {
                    problems.push(problem(path, COVERED, "Remove it."));
                }
                Some(selector) if used_outside.iter().any(|(used, _)| used.overlaps(&selector)) => {
                    external.push(selector);
                }
                Some(_) => problems.push(problem(
                    path,
                    format!("the policy does not use a detector `{}`", named(wanted)),
                    "List it in spec.detectors.",
                )),
            }
            continue;
        }
        let prefix = wanted.strip_suffix('*').filter(|prefix| prefix.ends_with('.'));
        let before = detectors.len();
        let mut known = false;
        for (id, (place, threshold)) in uses {
            if *id == wanted || prefix.is_some_and(|prefix| id.starts_with(prefix)) {
                known = true;
                detectors.insert(*place, threshold.max(finding.min_score));
            }
        }
        if !known {
            let hint = match nearest(wanted, uses.keys().copied()) {
                Some(near) => format!("Did you mean `{near}`?"),
                None => "List it in spec.detectors or define it in spec.customDetectors.".to_owned(),
            };
            problems.push(problem(
                format!("{path}.detectors[{index}]"),
                format!("the policy does not use a detector `{}`", named(wanted)),
                hint,
            ));
        } else if detectors.len() == before {
            problems.push(problem(format!("{path}.detectors[{index}]"), COVERED, "Remove it."));
        }
    }
    (detectors.into_iter().collect(), external)
}

/// Fields with a closed set of values must not name others: such a rule would never match, or always.
fn check_field(name: RequestField, values: &[String], path: &str, problems: &mut Vec<PolicyProblem>) {
    let allowed: &[&str] = match name {
        RequestField::Surface => &["prompt.input", "prompt.output", "crm.note"],
        RequestField::Locale => &["fr", "en"],
        RequestField::UseCase | RequestField::Purpose | RequestField::Role => return,
    };
    for (index, value) in values.iter().enumerate() {
        if !allowed.contains(&value.as_str()) {
            problems.push(problem(
                format!("{path}.in[{index}]"),
                "the field never has this value",
                format!("Use one of: {}.", allowed.join(", ")),
            ));
        }
    }
}

/// A provision that a leaf or a test names belongs to the AI Act.
pub(crate) fn check_provision(provision: &str, path: &str, problems: &mut Vec<PolicyProblem>) {
    if resolve(EU_AI_ACT, provision).is_none() {
        problems.push(unknown_reference(EU_AI_ACT, provision, path));
    }
}

/// The problem of a reference that the law catalogue does not hold.
pub(crate) fn unknown_reference(law: &str, provision: &str, path: &str) -> PolicyProblem {
    let laws: Vec<&str> = super::law::laws().map(|law| law.id.as_str()).collect();
    let Some(known) = super::law::laws().find(|known| known.id == law) else {
        let hint = match nearest(law, laws.iter().copied()) {
            Some(near) => format!("Did you mean `{near}`?"),
            None => format!("Use one of: {}.", laws.join(", ")),
        };
        return problem(path, format!("the law catalogue holds no law `{}`", named(law)), hint);
    };
    let refs: Vec<&str> = known.provisions.iter().map(|entry| entry.r#ref.as_str()).collect();
    let hint = match nearest(provision, refs.iter().copied()) {
        Some(near) => format!("Did you mean `{near}`?"),
        None => format!("Use one of: {}.", refs.join(", ")),
    };
    problem(path, format!("the law catalogue holds no provision `{}` of `{law}`", named(provision)), hint)
}
