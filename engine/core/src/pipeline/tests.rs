//! What is decided, and the laws that hold for every set of policies and every text.

use std::sync::Arc;

use novacrm_crds::compliance_policy::{
    Action, ActionType, AllOf, CustomDetector, DetectorUse, Enforcement, EnforcementMode, FailureMode,
    FieldMatch, FindingMatch, Leaf, Owner, PolicyRule, RequestField, Severity, Surface, TokenForm,
    TokenScope, UseCaseClass, UseCaseMatch, When,
};
use novacrm_crds::crm_tenant::{Locale, RegisteredClass};
use novacrm_crds::{Bilingual, LawReference};
use proptest::prelude::*;
use time::Duration;
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;

use super::*;
use crate::Span;
use crate::bundle::{Bundle, BundledException, BundledPolicy, FORMAT};
use crate::classification::RegisteredUse;
use crate::detectors::catalogue;
use crate::transform::Restorer;

/// When every request of these tests is asked.
const NOW: OffsetDateTime = datetime!(2027-01-01 0:00 UTC);

fn both(text: &str) -> Bilingual {
    Bilingual { fr: text.to_owned(), en: text.to_owned() }
}

pub(super) fn key() -> Keys {
    Keys { fingerprint: FingerprintKey::new([7; 32]), token: TokenKey::new([8; 32]) }
}

pub(super) fn request(text: &str) -> Request<'_> {
    Request {
        text,
        external: &[],
        surface: Surface::PromptInput,
        use_case: None,
        purpose: None,
        role: Some("sales"),
        locale: Locale::Fr,
        document: "",
        now: NOW,
    }
}

pub(super) fn action(kind: ActionType, keep_last: u8) -> Action {
    Action {
        r#type: kind,
        keep_last: (kind == ActionType::Mask).then_some(keep_last),
        form: None,
        scope: None,
        preserve_format: None,
        approvers: (kind == ActionType::RequireApproval).then(|| vec!["compliance".to_owned()]),
    }
}

pub(super) fn finding(detectors: &[&str], at_least: u32) -> Leaf {
    let detectors = detectors.iter().map(|id| (*id).to_owned()).collect();
    Leaf { finding: Some(FindingMatch { detectors, at_least, min_score: 0.0 }), ..Leaf::default() }
}

pub(super) fn rule(id: &str, when: Vec<Vec<Leaf>>, action: Action, risk_weight: u8) -> PolicyRule {
    PolicyRule {
        id: id.to_owned(),
        severity: Severity::High,
        risk_weight,
        description: both("Règle d’essai."),
        risks_covered: vec!["test".to_owned()],
        references: vec![LawReference { law: "gdpr".to_owned(), r#ref: "5(1)(c)".to_owned() }],
        when: When { any: when.into_iter().map(|all| AllOf { all }).collect() },
        action,
    }
}

pub(super) fn detector(name: &str, pattern: &str) -> CustomDetector {
    CustomDetector {
        id: format!("custom.{name}"),
        r#type: format!("T_{}", name.to_uppercase()),
        description: both("Essai."),
        pattern: pattern.to_owned(),
        score: 0.8,
    }
}

pub(super) fn policy(
    name: &str,
    custom_detectors: Vec<CustomDetector>,
    rules: Vec<PolicyRule>,
) -> BundledPolicy {
    BundledPolicy {
        namespace: "acme".to_owned(),
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        owner: Owner { team: "Conformité".to_owned(), contact: "conformite@acme.example".to_owned() },
        enforcement: Enforcement::default(),
        surfaces: Vec::new(),
        detectors: vec![DetectorUse { id: "pii.iban".to_owned(), min_score: 0.5 }],
        custom_detectors,
        rules,
        exceptions: Vec::new(),
    }
}

pub(super) fn bundle(mut policies: Vec<BundledPolicy>, use_cases: Vec<RegisteredUse>) -> CompiledBundle {
    policies.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let bundle = Bundle { format: FORMAT, tenant: "acme".to_owned(), sequence: 1, policies, use_cases };
    CompiledBundle::compile(bundle).unwrap()
}

fn one(custom: Vec<CustomDetector>, rules: Vec<PolicyRule>) -> CompiledBundle {
    bundle(vec![policy("p", custom, rules)], Vec::new())
}

fn registered(class: RegisteredClass, provision: &str) -> RegisteredUse {
    RegisteredUse {
        id: "screening".to_owned(),
        display_name: both("Présélection"),
        purpose: "recruitment".to_owned(),
        class,
        provisions: vec![LawReference { law: "eu-ai-act".to_owned(), r#ref: provision.to_owned() }],
    }
}

/// An exception for all requests.
fn exception(id: &str, rules: &[&str], expires_at: OffsetDateTime) -> BundledException {
    BundledException {
        id: id.to_owned(),
        rules: rules.iter().map(|id| (*id).to_owned()).collect(),
        use_cases: Vec::new(),
        roles: Vec::new(),
        ticket: format!("T-{id}"),
        expires_at: expires_at.format(&Rfc3339).unwrap(),
    }
}

/// A policy that masks `aa`, with exceptions.
fn excepted(exceptions: Vec<BundledException>) -> BundledPolicy {
    let rules = vec![rule("R", vec![vec![finding(&["custom.a"], 1)]], action(ActionType::Mask, 0), 50)];
    BundledPolicy { exceptions, ..policy("p", vec![detector("a", "aa")], rules) }
}

#[test]
fn a_waived_rule_does_not_act_and_is_shown_with_its_exception() {
    let ends = datetime!(2027-06-30 22:00 UTC);
    let bundle = bundle(vec![excepted(vec![exception("archive", &["R"], ends)])], Vec::new());
    let decision = analyze(&bundle, &request("un aa"), &key());
    assert_eq!((decision.action, decision.output.as_deref()), (ActionType::Allow, Some("un aa")));
    assert_eq!((decision.risk.score, decision.findings.len(), decision.matched.len()), (40, 1, 0));
    let [waived] = decision.waived.as_slice() else { panic!("{:?}", decision.waived) };
    assert_eq!((waived.matched.rule.id.as_str(), waived.matched.findings.as_slice()), ("R", &[0][..]));
    assert_eq!((waived.exception.id.as_str(), waived.exception.ticket.as_str()), ("archive", "T-archive"));
    assert_eq!(
        decision.explanation.fr,
        "Ce texte contient 1 élément de type T_A. La règle R de la politique « p » (version 1.0.0) est suspendue par \
         l’exception « archive » (ticket T-archive) jusqu’au 30/06/2027 à 22:00 UTC. Aucune autre règle n’exige de \
         modification : le texte peut être transmis tel quel."
    );
    assert_eq!(
        decision.explanation.en,
        "This text contains 1 element of type T_A. Rule R of the policy “p” (version 1.0.0) is waived by the exception \
         “archive” (ticket T-archive) until 30 June 2027 at 22:00 UTC. No other rule asks for a change: the text may \
         be sent as it is."
    );
}

#[test]
fn an_exception_is_for_the_registered_uses_and_the_roles_it_names() {
    let narrow = BundledException {
        use_cases: vec!["screening".to_owned()],
        roles: vec!["direction".to_owned(), "sales".to_owned()],
        ..exception("x", &["R"], NOW + Duration::DAY)
    };
    let policies = vec![excepted(vec![narrow])];
    let registered = registered(RegisteredClass::HighRisk, "annex-iii:4(a)");
    let known = bundle(policies.clone(), vec![registered]);
    let unknown = bundle(policies, Vec::new());
    let waives = |bundle: &CompiledBundle, use_case, role| {
        let decision = analyze(bundle, &Request { use_case, role, ..request("aa") }, &key());
        !decision.waived.is_empty()
    };
    assert!(waives(&known, Some("screening"), Some("sales")));
    assert!(waives(&known, Some("screening"), Some("direction")));
    for (use_case, role) in [
        (Some("screening"), Some("support")),
        (Some("screening"), None),
        (Some("other"), Some("sales")),
        (None, Some("sales")),
    ] {
        assert!(!waives(&known, use_case, role), "{use_case:?} {role:?}");
    }
    // A use that nobody registered is only the caller's word.
    assert!(!waives(&unknown, Some("screening"), Some("sales")));
}

#[test]
fn of_several_exceptions_the_one_that_lasts_longest_is_shown() {
    let (soon, late) = (NOW + Duration::HOUR, NOW + Duration::DAY);
    let mut exceptions =
        vec![exception("a", &["R"], soon), exception("b", &["R"], late), exception("c", &["R"], NOW)];
    for _ in 0..exceptions.len() {
        exceptions.rotate_left(1);
        let bundle = bundle(vec![excepted(exceptions.clone())], Vec::new());
        let decision = analyze(&bundle, &request("aa"), &key());
        assert_eq!(decision.waived[0].exception.id, "b");
    }
}

#[test]
fn an_exception_waives_no_failure_mode() {
    let bundle = bundle(vec![excepted(vec![exception("x", &["R"], NOW + Duration::DAY)])], Vec::new());
    let decision = uninspected(&bundle, &request("aa"), Uninspected::TooLarge);
    assert_eq!((decision.action, decision.output), (ActionType::Block, None));
    let decision = analyze_stale(&bundle, &request("aa"), &key());
    assert_eq!((decision.action, decision.waived.len()), (ActionType::Block, 1));
}

#[test]
fn without_rules_that_match_everything_passes_unchanged() {
    let bundle = one(
        vec![detector("a", "aa")],
        vec![rule("R", vec![vec![finding(&["custom.a"], 1)]], action(ActionType::Block, 0), 50)],
    );
    let decision = analyze(&bundle, &request("bonjour"), &key());
    assert_eq!(decision.action, ActionType::Allow);
    assert_eq!(decision.output.as_deref(), Some("bonjour"));
    assert_eq!(decision.risk.score, 0);
    assert_eq!(decision.findings, []);
}

#[test]
fn a_refused_or_withheld_text_has_no_output() {
    for (kind, approvers) in
        [(ActionType::Block, vec![]), (ActionType::RequireApproval, vec!["compliance".to_owned()])]
    {
        let bundle = one(
            vec![detector("a", "aa")],
            vec![rule("R", vec![vec![finding(&["custom.a"], 1)]], action(kind, 0), 50)],
        );
        let decision = analyze(&bundle, &request("un aa"), &key());
        assert_eq!((decision.action, decision.output, decision.approvers), (kind, None, approvers));
        assert_eq!(decision.findings[0].action, kind);
    }
}

#[test]
fn the_strictest_action_and_the_least_kept_characters_win() {
    let mask =
        |id: &str, keep| rule(id, vec![vec![finding(&["custom.a"], 1)]], action(ActionType::Mask, keep), 10);
    let bundle = one(vec![detector("a", "[0-9]{8}")], vec![mask("R4", 4), mask("R1", 1)]);
    let decision = analyze(&bundle, &request("n° 12345678"), &key());
    assert_eq!(decision.output.as_deref(), Some("n° *******8"));
    let ids: Vec<&str> = decision.matched.iter().map(|entry| entry.rule.id.as_str()).collect();
    assert_eq!(ids, ["R1", "R4"]);
}

#[test]
fn masks_that_overlap_each_other_keep_nothing() {
    let mask = |id: &str, on: &str| rule(id, vec![vec![finding(&[on], 1)]], action(ActionType::Mask, 4), 10);
    let custom = vec![detector("a", "[0-9]{8}"), detector("b", "[0-9]{4}X[a-z]{4}")];
    let bundle = one(custom, vec![mask("A", "custom.a"), mask("B", "custom.b")]);
    let decision = analyze(&bundle, &request("12345678Xabcd"), &key());
    assert_eq!(decision.output.as_deref(), Some("*************"));
}

#[test]
fn shadow_policies_are_listed_and_decide_nothing() {
    let mut shadow = policy(
        "shadow",
        vec![detector("a", "aa")],
        vec![rule("S", vec![vec![finding(&["custom.a"], 1)]], action(ActionType::Block, 0), 100)],
    );
    shadow.enforcement.mode = EnforcementMode::Shadow;
    shadow.enforcement.failure_mode = FailureMode::Block;
    shadow.enforcement.max_staleness_seconds = 300;
    let mut open = policy(
        "open",
        vec![detector("b", "bb")],
        vec![rule("O", vec![vec![finding(&["custom.b"], 1)]], action(ActionType::Flag, 0), 10)],
    );
    open.enforcement.failure_mode = FailureMode::Allow;
    let bundle = bundle(vec![shadow, open], Vec::new());
    assert_eq!((bundle.failure_mode(), bundle.max_staleness_seconds()), (FailureMode::Allow, 3600));
    let decision = analyze(&bundle, &request("aa"), &key());
    assert_eq!((decision.action, decision.risk.score), (ActionType::Allow, 0));
    assert_eq!(decision.output.as_deref(), Some("aa"));
    assert_eq!(decision.shadow.len(), 1);
    assert_eq!(decision.shadow[0].findings, [0]);
    assert_eq!(decision.findings[0].action, ActionType::Allow);
}

#[test]
fn the_class_of_a_use_comes_from_the_register_alone() {
    let leaf = Leaf {
        use_case: Some(UseCaseMatch {
            classes: vec![UseCaseClass::HighRisk],
            provisions: vec!["annex-iii:4(a)".to_owned()],
        }),
        ..Leaf::default()
    };
    let unknown = Leaf {
        use_case: Some(UseCaseMatch { classes: vec![UseCaseClass::Unregistered], provisions: Vec::new() }),
        ..Leaf::default()
    };
    let rules = vec![
        rule("HIGH", vec![vec![leaf]], action(ActionType::RequireApproval, 0), 60),
        rule("NEW", vec![vec![unknown]], action(ActionType::Flag, 0), 5),
    ];
    let with = |provision| {
        bundle(
            vec![policy("p", vec![], rules.clone())],
            vec![registered(RegisteredClass::HighRisk, provision)],
        )
    };
    let ask =
        |bundle: &CompiledBundle, id| analyze(bundle, &Request { use_case: id, ..request("x") }, &key());
    let named = with("annex-iii:4(a)");
    let decision = ask(&named, Some("screening"));
    assert_eq!((decision.action, decision.risk.score), (ActionType::RequireApproval, 60));
    assert_eq!(decision.use_case.unwrap().id, "screening");
    assert!(
        decision.explanation.fr.contains("« Présélection » est à haut risque"),
        "{}",
        decision.explanation.fr
    );
    assert_eq!(ask(&with("annex-iii:5(b)"), Some("screening")).action, ActionType::Allow);
    for id in [None, Some("unknown")] {
        let decision = ask(&named, id);
        assert_eq!((decision.action, decision.use_case.is_none()), (ActionType::Flag, true));
    }
}

#[test]
fn the_purpose_is_that_of_the_registered_use_unless_declared() {
    let leaf = Leaf {
        field: Some(FieldMatch { name: RequestField::Purpose, r#in: vec!["recruitment".to_owned()] }),
        ..Leaf::default()
    };
    let rules = vec![rule("P", vec![vec![leaf]], action(ActionType::Flag, 0), 5)];
    let bundle = bundle(
        vec![policy("p", vec![], rules)],
        vec![registered(RegisteredClass::HighRisk, "annex-iii:4(a)")],
    );
    let ask =
        |use_case, purpose| analyze(&bundle, &Request { use_case, purpose, ..request("x") }, &key()).action;
    assert_eq!(ask(Some("screening"), None), ActionType::Flag);
    assert_eq!(ask(Some("screening"), Some("other")), ActionType::Allow);
    assert_eq!(ask(None, Some("recruitment")), ActionType::Flag);
    assert_eq!(ask(None, None), ActionType::Allow);
}

#[test]
fn a_policy_for_other_surfaces_sees_nothing() {
    let mut notes = policy(
        "notes",
        vec![detector("a", "aa")],
        vec![rule("N", vec![vec![finding(&["custom.a"], 1)]], action(ActionType::Block, 0), 100)],
    );
    notes.surfaces = vec![Surface::CrmNote];
    let bundle = bundle(vec![notes], Vec::new());
    let decision = analyze(&bundle, &request("aa"), &key());
    assert_eq!((decision.action, decision.findings.len()), (ActionType::Allow, 0));
    let note = Request { surface: Surface::CrmNote, ..request("aa") };
    assert_eq!(analyze(&bundle, &note, &key()).action, ActionType::Block);
}

#[test]
fn what_is_not_inspected_follows_the_strictest_failure_mode_and_the_use() {
    let rules = |weight| {
        vec![rule("R", vec![vec![finding(&["custom.a"], 1)]], action(ActionType::Redact, 0), weight)]
    };
    let mut open = policy("open", vec![detector("a", "aa")], rules(10));
    open.enforcement.failure_mode = FailureMode::Allow;
    let closed = policy("shut", vec![detector("a", "aa")], rules(10));
    let lenient = bundle(vec![open.clone()], Vec::new());
    let decision = uninspected(&lenient, &request("aa"), Uninspected::TooLarge);
    assert_eq!(decision.action, ActionType::Flag);
    assert_eq!(decision.output.as_deref(), Some("aa"));
    assert_eq!(decision.uninspected, Some(Uninspected::TooLarge));
    let strict = bundle(vec![open.clone(), closed], Vec::new());
    let decision = uninspected(&strict, &request("aa"), Uninspected::TimeOut);
    assert_eq!((decision.action, decision.output), (ActionType::Block, None));
    // A prohibited use stays refused, however long the text.
    let prohibited = Leaf {
        use_case: Some(UseCaseMatch { classes: vec![UseCaseClass::Prohibited], provisions: Vec::new() }),
        ..Leaf::default()
    };
    open.rules.push(rule("USE", vec![vec![prohibited]], action(ActionType::Block, 0), 100));
    let lenient = bundle(vec![open], vec![registered(RegisteredClass::Prohibited, "5(1)(f)")]);
    let of_use = Request { use_case: Some("screening"), ..request("aa") };
    assert_eq!(uninspected(&lenient, &of_use, Uninspected::TooLarge).action, ActionType::Block);
    // Old rules still see what they always saw.
    let decision = analyze_stale(&lenient, &request("un aa"), &key());
    assert_eq!(decision.output.as_deref(), Some("un [T_A]"));
    assert_eq!(decision.uninspected, Some(Uninspected::StaleBundle));
}

#[test]
fn a_bundle_without_policies_refuses_what_it_cannot_inspect_and_passes_the_rest() {
    let empty = bundle(Vec::new(), Vec::new());
    assert_eq!(analyze(&empty, &request("bonjour"), &key()).action, ActionType::Allow);
    assert_eq!(uninspected(&empty, &request("bonjour"), Uninspected::TooLarge).action, ActionType::Block);
}

#[test]
fn the_explanation_says_what_was_found_which_rule_why_and_whom_to_ask() {
    let bundle = one(
        vec![detector("a", "[0-9]{8}")],
        vec![rule("CODE-1", vec![vec![finding(&["custom.a"], 1)]], action(ActionType::Redact, 0), 50)],
    );
    let decision = analyze(&bundle, &request("codes 12345678 et 87654321"), &key());
    assert_eq!(
        decision.explanation.fr,
        "Ce texte contient 2 éléments de type T_A. Le texte peut être transmis après modification — remplacé par une \
         étiquette : 2 éléments de type T_A. Règle CODE-1 de la politique « p » (version 1.0.0) : Règle d’essai (RGPD, \
         art. 5(1)(c)). Une question ? Conformité (conformite@acme.example)."
    );
    assert_eq!(
        decision.explanation.en,
        "This text contains 2 elements of type T_A. The text may be sent after these changes — replaced by a label: 2 \
         elements of type T_A. Rule CODE-1 of the policy “p” (version 1.0.0): Règle d’essai (GDPR, Art. 5(1)(c)). \
         Questions? Conformité (conformite@acme.example)."
    );
    assert!(!decision.explanation.fr.contains("12345678"));
}

#[test]
fn equal_findings_of_two_policies_are_one_finding() {
    let of = |name: &str| {
        policy(
            name,
            vec![detector("a", "aa")],
            vec![rule("R", vec![vec![finding(&["custom.a"], 1)]], action(ActionType::Flag, 0), 50)],
        )
    };
    let two = bundle(vec![of("p"), of("q")], Vec::new());
    let decision = analyze(&two, &request("aa"), &key());
    assert_eq!((decision.findings.len(), decision.matched.len(), decision.risk.score), (1, 2, 40));
}

#[test]
fn thousands_of_findings_are_decided() {
    let bundle = one(
        vec![detector("a", "[0-9]{8}")],
        vec![rule("R", vec![vec![finding(&["custom.a"], 1)]], action(ActionType::Redact, 0), 50)],
    );
    let text = "12345678 ".repeat(20_000);
    let decision = analyze(&bundle, &request(&text), &key());
    assert_eq!(decision.findings.len(), 20_000);
    assert!(!decision.output.unwrap().contains('1'));
}

// ---- Laws ----

fn actions() -> impl Strategy<Value = Action> {
    let kind = prop_oneof![
        Just(ActionType::Allow),
        Just(ActionType::Flag),
        Just(ActionType::Mask),
        Just(ActionType::Tokenize),
        Just(ActionType::Redact),
        Just(ActionType::RequireApproval),
        Just(ActionType::Block),
    ];
    (kind, 0u8..=4, forms(), any::<bool>()).prop_map(|(kind, keep, form, tenant)| {
        let scope = if tenant { TokenScope::Tenant } else { TokenScope::Document };
        let is_token = kind == ActionType::Tokenize;
        Action { form: is_token.then_some(form), scope: is_token.then_some(scope), ..action(kind, keep) }
    })
}

fn forms() -> impl Strategy<Value = TokenForm> {
    prop_oneof![Just(TokenForm::Token), Just(TokenForm::Hash), Just(TokenForm::Pseudonym)]
}

/// Three detectors whose findings overlap each other in many ways.
fn detectors_of(variant: usize) -> Vec<CustomDetector> {
    let patterns = [["a+", "ab", "[abc]{3}"], ["b", "bc+", "a b"], ["ca", "c", "[ab]+"]];
    let of = patterns[variant % patterns.len()];
    ["x", "y", "z"].iter().zip(of).map(|(name, pattern)| detector(name, pattern)).collect()
}

fn leaves() -> impl Strategy<Value = Leaf> {
    let ids = proptest::sample::subsequence(vec!["custom.x", "custom.y", "custom.z"], 1..=2);
    let of_text = (ids, 1u32..4, proptest::bool::weighted(0.2))
        .prop_map(|(ids, at_least, not)| Leaf { not, ..finding(&ids, at_least) });
    let of_request = any::<bool>().prop_map(|not| Leaf {
        not,
        field: Some(FieldMatch { name: RequestField::Role, r#in: vec!["sales".to_owned()] }),
        ..Leaf::default()
    });
    prop_oneof![4 => of_text, 1 => of_request]
}

fn policies() -> impl Strategy<Value = BundledPolicy> {
    let rules = proptest::collection::vec(
        (proptest::collection::vec(proptest::collection::vec(leaves(), 1..3), 1..3), actions(), 0u8..=100),
        1..4,
    );
    ("[a-z]{6}", 0usize..3, rules, proptest::bool::weighted(0.1)).prop_map(
        |(name, variant, rules, shadow)| {
            let rules = rules.into_iter().enumerate().map(|(index, (mut when, action, weight))| {
                if (ActionType::Mask..=ActionType::Redact).contains(&action.r#type) {
                    when.iter_mut().for_each(|group| group.push(finding(&["custom.x"], 1)));
                }
                rule(&format!("R{index}"), when, action, weight)
            });
            let mut policy = policy(&name, detectors_of(variant), rules.collect());
            if shadow {
                policy.enforcement.mode = EnforcementMode::Shadow;
            }
            policy
        },
    )
}

/// Policies with names of their own.
fn sets() -> impl Strategy<Value = Vec<BundledPolicy>> {
    proptest::collection::vec(policies(), 1..5).prop_map(|mut policies| {
        for (index, policy) in policies.iter_mut().enumerate() {
            policy.name = format!("{}{index}", policy.name);
        }
        policies
    })
}

/// For each code point of the text whether it can be read in the output: letters are replaced by themselves or by
/// `*`, and what stands in brackets is none of them.
fn readable(text: &str, bundle: &CompiledBundle) -> Option<usize> {
    let output = analyze(bundle, &request(text), &key()).output?;
    let mut within = false;
    let is_readable = |c: char| {
        within = match c {
            '[' => true,
            ']' => false,
            _ => within,
        };
        !within && matches!(c, 'a' | 'b' | 'c')
    };
    Some(output.chars().map(is_readable).filter(|readable| *readable).count())
}

/// A policy that uses detectors outside of the engine, and redacts what the selectors name.
fn outside(name: &str, uses: &[(&str, f64)], selectors: &[&str]) -> BundledPolicy {
    let rules = vec![rule("R", vec![vec![finding(selectors, 1)]], action(ActionType::Redact, 0), 50)];
    let mut policy = policy(name, Vec::new(), rules);
    policy.detectors.extend(
        uses.iter().map(|(id, min_score)| DetectorUse { id: (*id).to_owned(), min_score: *min_score }),
    );
    policy
}

fn external(id: &str, start: usize, end: usize, score: f64) -> ExternalFinding {
    let detector = crate::ExternalDetector::of_id(id).unwrap();
    ExternalFinding { detector, span: Span { start, end }, score }
}

#[test]
fn what_comes_from_outside_is_decided_on_like_what_is_found() {
    let seen = [external("external.ner.person", 3, 7, 0.8), external("external.ner.location", 10, 15, 0.8)];
    let request = Request { external: &seen, ..request("De Anne à Paris.") };
    for (selector, output) in [
        ("external.*", "De [PERSON] à [LOCATION]."),
        ("external.ner.*", "De [PERSON] à [LOCATION]."),
        ("external.ner.person", "De [PERSON] à Paris."),
    ] {
        let bundle = bundle(vec![outside("p", &[("external.*", 0.5)], &[selector])], Vec::new());
        let decision = analyze(&bundle, &request, &key());
        assert_eq!(decision.output.as_deref(), Some(output), "{selector}");
        assert_eq!(decision.findings.len(), 2);
        assert_eq!(&*decision.findings[0].finding.detector, "external.ner.person");
        assert!(decision.risk.score > 0);
    }
    let narrow = bundle(vec![outside("p", &[("external.ner.person", 0.5)], &["external.*"])], Vec::new());
    assert_eq!(analyze(&narrow, &request, &key()).output.as_deref(), Some("De [PERSON] à Paris."));
    let nobody = one(
        Vec::new(),
        vec![rule("R", vec![vec![finding(&["pii.iban"], 1)]], action(ActionType::Flag, 0), 1)],
    );
    assert!(analyze(&nobody, &request, &key()).findings.is_empty(), "nobody looks for it");
}

#[test]
fn of_the_thresholds_for_what_comes_from_outside_an_exact_id_has_the_last_word() {
    let decided = |uses: &[(&str, f64)], score| {
        let seen = [external("external.ner.person", 0, 4, score)];
        let bundle = bundle(vec![outside("p", uses, &["external.*"])], Vec::new());
        analyze(&bundle, &Request { external: &seen, ..request("Anne") }, &key()).action
    };
    let exact = [("external.*", 0.2), ("external.ner.person", 0.9)];
    assert_eq!(decided(&exact, 0.8), ActionType::Allow);
    assert_eq!(decided(&exact, 0.9), ActionType::Redact);
    let families = [("external.*", 0.9), ("external.ner.*", 0.5)];
    assert_eq!(decided(&families, 0.4), ActionType::Allow);
    assert_eq!(decided(&families, 0.6), ActionType::Redact);
}

#[test]
fn a_recogniser_is_asked_only_where_a_policy_uses_it() {
    let mut notes = outside("p", &[("external.ner.person", 0.5)], &["external.*"]);
    notes.surfaces = vec![Surface::CrmNote];
    let bundle = bundle(vec![notes], Vec::new());
    assert!(bundle.asks("ner", Surface::CrmNote));
    assert!(!bundle.asks("ner", Surface::PromptInput));
    assert!(!bundle.asks("other", Surface::CrmNote) && !bundle.asks("ne", Surface::CrmNote));
    assert!(
        bundle.asks_others(None, Surface::CrmNote) && bundle.asks_others(Some("other"), Surface::CrmNote)
    );
    assert!(!bundle.asks_others(Some("ner"), Surface::CrmNote));
    assert!(!bundle.asks_others(None, Surface::PromptInput));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_comes_from_outside_only_adds(
        policies in sets(),
        text in "[abc ]{0,24}",
        seen in proptest::collection::vec((0usize..30, 0usize..30, -0.5f64..1.5, 0usize..3), 0..6),
    ) {
        let ids = ["external.ner.person", "external.ner.location", "external.other.person"];
        let seen: Vec<_> = seen.into_iter().map(|(start, end, score, id)| external(ids[id], start, end, score)).collect();
        let mut policies = policies;
        // A demand that something be absent is met less often, the more is seen: that is what it says.
        policies.iter_mut().flat_map(|one| &mut one.rules).flat_map(|one| &mut one.when.any).flat_map(|one| &mut one.all).for_each(|leaf| leaf.not = false);
        policies.push(outside("zz", &[("external.*", 0.0)], &["external.*"]));
        let bundle = bundle(policies, Vec::new());
        let without = analyze(&bundle, &request(&text), &key());
        let with = analyze(&bundle, &Request { external: &seen, ..request(&text) }, &key());
        prop_assert!(with.action >= without.action && with.risk.score >= without.risk.score);
        let own: Vec<_> = with.findings.iter().filter(|one| !one.finding.detector.starts_with("external.")).collect();
        prop_assert_eq!(own, without.findings.iter().collect::<Vec<_>>());
        let count = text.chars().count();
        for one in &with.findings {
            prop_assert!(one.finding.span.start < one.finding.span.end && one.finding.span.end <= count);
            prop_assert!((0.0..=1.0).contains(&one.finding.score));
        }
    }

    #[test]
    fn the_order_of_policies_rules_and_groups_never_matters(policies in sets(), text in "[abc ]{0,24}") {
        let mut turned = policies.clone();
        turned.reverse();
        for policy in &mut turned {
            policy.rules.reverse();
            policy.rules.iter_mut().for_each(|rule| rule.when.any.reverse());
        }
        let one = analyze(&bundle(policies, Vec::new()), &request(&text), &key());
        let other = analyze(&bundle(turned, Vec::new()), &request(&text), &key());
        // Sentences about conditions follow the order of the groups; nothing else may.
        let facts = |decision: &Decision| {
            let forms: Vec<_> = decision.findings.iter().map(|one| one.form).collect();
            let rules = |all: &[MatchedRule]| all.iter().map(|entry| (entry.policy.name.clone(), entry.rule.id.clone(), entry.findings.clone())).collect::<Vec<_>>();
            (decision.action, decision.approvers.clone(), decision.risk, decision.findings.clone(), (decision.output.clone(), forms), rules(&decision.matched), rules(&decision.shadow), decision.explanation.clone())
        };
        prop_assert_eq!(facts(&one), facts(&other));
    }

    #[test]
    fn one_more_policy_never_loosens(policies in sets(), text in "[abc ]{0,24}") {
        let fewer = bundle(policies[1..].to_vec(), Vec::new());
        let all = bundle(policies, Vec::new());
        let (before, after) = (analyze(&fewer, &request(&text), &key()), analyze(&all, &request(&text), &key()));
        prop_assert!(after.action >= before.action);
        prop_assert!(after.risk.score >= before.risk.score);
        for old in &before.findings {
            let kept = after.findings.iter().find(|new| new.finding == old.finding);
            prop_assert!(kept.is_some_and(|new| new.action >= old.action));
        }
        prop_assert!(before.output.is_some() || after.output.is_none());
        if let (Some(before), Some(after)) = (readable(&text, &fewer), readable(&text, &all)) {
            prop_assert!(after <= before, "{before} letters could be read, now {after}");
        }
    }

    #[test]
    fn the_same_policy_twice_decides_the_same(policy in policies(), text in "[abc ]{0,24}") {
        let mut twin = policy.clone();
        twin.name.push('2');
        let once = analyze(&bundle(vec![policy.clone()], Vec::new()), &request(&text), &key());
        let twice = analyze(&bundle(vec![policy, twin], Vec::new()), &request(&text), &key());
        prop_assert_eq!(once.action, twice.action);
        prop_assert_eq!(once.output, twice.output);
        prop_assert_eq!(once.findings, twice.findings);
    }

    #[test]
    fn more_text_never_lowers_the_score(policies in sets(), text in "[abc ]{0,16}", more in "[abc]{0,8}") {
        let bundle = bundle(policies, Vec::new());
        let short = analyze(&bundle, &request(&text), &key());
        let long = analyze(&bundle, &request(&format!("{text} . {more}")), &key());
        prop_assert!(long.risk.score >= short.risk.score);
    }

    #[test]
    fn an_exception_is_as_if_its_own_rules_allowed_and_touches_no_other(
        policies in sets(), chosen in proptest::collection::vec(any::<bool>(), 4), text in "[abc ]{0,24}"
    ) {
        let waives = |index: usize| chosen[index];
        let ids: Vec<String> =
            policies[0].rules.iter().enumerate().filter(|(index, _)| waives(*index)).map(|(_, rule)| rule.id.clone()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut excepted = policies.clone();
        excepted[0].exceptions.push(exception("x", &ids, NOW + Duration::SECOND));
        let mut lenient = policies.clone();
        for (_, rule) in lenient[0].rules.iter_mut().enumerate().filter(|(index, _)| waives(*index)) {
            rule.action = action(ActionType::Allow, 0);
        }
        let name = policies[0].name.clone();
        let enforces = policies[0].enforcement.mode == EnforcementMode::Enforce;
        let decide = |policies| analyze(&bundle(policies, Vec::new()), &request(&text), &key());
        let (before, after, allowed) = (decide(policies), decide(excepted), decide(lenient));
        let (waived, kept): (Vec<MatchedRule>, Vec<MatchedRule>) = before
            .matched
            .into_iter()
            .partition(|entry| enforces && entry.policy.name == name && ids.contains(&entry.rule.id.as_str()));
        prop_assert_eq!(&after.matched, &kept);
        prop_assert_eq!(after.waived.into_iter().map(|entry| entry.matched).collect::<Vec<_>>(), waived);
        prop_assert_eq!(after.shadow, before.shadow);
        prop_assert_eq!(after.risk, before.risk);
        prop_assert_eq!(after.action, allowed.action);
        prop_assert_eq!(after.approvers, allowed.approvers);
        prop_assert_eq!(after.output, allowed.output);
        prop_assert_eq!(after.findings, allowed.findings);
    }

    #[test]
    fn from_the_moment_it_ends_an_exception_decides_nothing(
        policies in sets(), age in 0i64..10_000_000, text in "[abc ]{0,24}"
    ) {
        let mut excepted = policies.clone();
        for policy in &mut excepted {
            let ids: Vec<&str> = policy.rules.iter().map(|rule| rule.id.as_str()).collect();
            let ended = exception("x", &ids, NOW - Duration::seconds(age));
            policy.exceptions.push(ended);
        }
        let decide = |policies| analyze(&bundle(policies, Vec::new()), &request(&text), &key());
        prop_assert_eq!(decide(policies), decide(excepted));
    }

    #[test]
    fn what_is_redacted_cannot_be_read(text in "[abc ]{0,32}") {
        let rules = vec![rule("R", vec![vec![finding(&["custom.x"], 1)]], action(ActionType::Redact, 0), 1)];
        let bundle = one(vec![detector("x", "a[bc]*")], rules);
        let decision = analyze(&bundle, &request(&text), &key());
        prop_assert!(!decision.output.unwrap().contains('a'));
    }
}

/// A policy that does one thing with all that the catalogue finds.
fn all_of(action: Action) -> CompiledBundle {
    let mut families: Vec<String> = catalogue()
        .iter()
        .filter_map(|entry| entry.id.split_once('.'))
        .map(|(family, _)| format!("{family}.*"))
        .collect();
    families.dedup();
    let wanted: Vec<&str> = families.iter().map(String::as_str).collect();
    // What reads moods must refuse to judge people at work.
    let prohibited = Leaf {
        use_case: Some(UseCaseMatch {
            classes: vec![UseCaseClass::Prohibited],
            provisions: vec!["5(1)(f)".to_owned()],
        }),
        ..Leaf::default()
    };
    let rules = vec![
        rule("ALL", vec![vec![finding(&wanted, 1)]], action, 10),
        rule("WORK", vec![vec![prohibited]], self::action(ActionType::Block, 0), 10),
    ];
    let detectors = families.iter().map(|id| DetectorUse { id: id.clone(), min_score: 0.0 }).collect();
    bundle(vec![BundledPolicy { detectors, ..policy("p", Vec::new(), rules) }], Vec::new())
}

/// Every action that changes a text, in every way.
fn changes() -> Vec<Action> {
    let tokenize = |form, scope, preserve_format| Action {
        form: Some(form),
        scope: Some(scope),
        preserve_format: Some(preserve_format),
        ..action(ActionType::Tokenize, 0)
    };
    vec![
        action(ActionType::Mask, 0),
        action(ActionType::Mask, 4),
        tokenize(TokenForm::Token, TokenScope::Document, false),
        tokenize(TokenForm::Token, TokenScope::Tenant, true),
        tokenize(TokenForm::Hash, TokenScope::Tenant, false),
        tokenize(TokenForm::Pseudonym, TokenScope::Document, false),
        action(ActionType::Redact, 0),
    ]
}

/// What a sentence of the catalogue's examples becomes, without the marks around what is found.
fn examples() -> Vec<String> {
    let examples = catalogue().iter().flat_map(|entry| &entry.examples.matches);
    examples.map(|example| example.text().replace(['⟦', '⟧'], "")).collect()
}

#[test]
fn masking_a_masked_text_changes_nothing() {
    let examples = examples();
    let mut failures = Vec::new();
    for change in changes() {
        let preserves = change.preserve_format == Some(true);
        let bundle = all_of(change);
        for example in &examples {
            let once = analyze(&bundle, &request(example), &key());
            let Some(output) = once.output else { continue };
            let twice = analyze(&bundle, &request(&output), &key());
            // A token that keeps the format has no mark; it is only no real number of its own type.
            let same = twice.output.as_deref() == Some(&*output) || (preserves && !once.tokens.is_empty());
            if !same {
                failures.push(format!("{output:?} became {:?}", twice.output.unwrap_or_default()));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), examples.len() * 7, failures.join("\n"));
}

#[test]
fn all_that_is_tokenized_is_restored() {
    for change in changes().into_iter().filter(|change| change.form == Some(TokenForm::Token)) {
        let bundle = all_of(change);
        for example in examples().iter().filter(|example| example.len() < 256) {
            let decision = analyze(&bundle, &request(example), &key());
            let mut restorer = Restorer::new(key().token.tokens(""), &decision.tokens);
            let restored = restorer.push(&decision.output.unwrap()) + &restorer.finish();
            assert_eq!(&restored, example);
        }
    }
}

#[test]
fn a_tokenized_finding_is_explained_by_its_form() {
    let tokenize = |form| Action { form: Some(form), ..action(ActionType::Tokenize, 0) };
    let rules =
        [(TokenForm::Token, "a"), (TokenForm::Hash, "b"), (TokenForm::Pseudonym, "c")].map(|(form, name)| {
            let id = format!("custom.{name}");
            rule(&name.to_uppercase(), vec![vec![finding(&[&id], 1)]], tokenize(form), 10)
        });
    let detectors = ["a", "b", "c"].map(|name| detector(name, &name.repeat(2)));
    let decision = analyze(&one(detectors.to_vec(), rules.to_vec()), &request("aa bb cc"), &key());
    assert!(
        decision.explanation.fr.contains(
            "après modification — remplacé par un pseudonyme : 1 élément de type T_C ; remplacé par une empreinte \
             irréversible : 1 élément de type T_B ; remplacé par un jeton réversible : 1 élément de type T_A."
        ),
        "{}",
        decision.explanation.fr
    );
    assert!(
        decision.explanation.en.contains(
            "after these changes — replaced by a pseudonym: 1 element of type T_C; replaced by an irreversible \
             fingerprint: 1 element of type T_B; replaced by a reversible token: 1 element of type T_A."
        ),
        "{}",
        decision.explanation.en
    );
}

#[test]
fn decisions_share_rules_instead_of_copying_them() {
    let bundle = one(
        vec![detector("a", "aa")],
        vec![rule("R", vec![vec![finding(&["custom.a"], 1)]], action(ActionType::Flag, 0), 50)],
    );
    let one = analyze(&bundle, &request("aa"), &key());
    let two = analyze(&bundle, &request("aa"), &key());
    assert!(Arc::ptr_eq(&one.matched[0].rule, &two.matched[0].rule));
}
