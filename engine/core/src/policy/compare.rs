//! The policies before a change and after it in; what changes for people out.
//!
//! Each change has a direction. `stricter` and `looser` are said only where they hold for every text that the policy may
//! meet, whatever else applies to a tenant; what may be either is `unclear`. What a comparison does not know by name it
//! still reports, as unclear: no change of a spec is silent.
//!
//! The evidence is what the tests of both sides decide on each of them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use novacrm_crds::compliance_policy::{
    Action, ActionType, CompliancePolicySpec, EnforcementMode, FailureMode, PolicyTest,
};
use serde::Serialize;
use serde_json::Value;

use super::check::{CheckedPolicy, Tested, check_update};
use super::lattice::Effect;
use crate::pipeline::Decision;

/// What a change does to what may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// No text leaves that stayed before, and none leaves less changed.
    Stricter,
    /// No text stays that left before, and none leaves more changed.
    Looser,
    /// Either, depending on the text: somebody has to read it.
    Unclear,
    /// Decides nothing: words, tests, owner, version.
    Neutral,
}

impl Direction {
    /// The direction of the way back.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Stricter => Self::Looser,
            Self::Looser => Self::Stricter,
            other => other,
        }
    }

    fn of(order: Ordering) -> Self {
        match order {
            Ordering::Greater => Self::Stricter,
            Ordering::Less => Self::Looser,
            Ordering::Equal => Self::Neutral,
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The field, such as `spec.rules[ACME-BANK].action`.
    pub path: String,
    /// Its value before; absent when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Its value after; absent when it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// What it does.
    pub direction: Direction,
}

/// What a policy decides on a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// The action.
    pub action: ActionType,
    /// The rules that matched, sorted.
    pub rules: Vec<String>,
}

/// A test that the two sides decide differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Name of the test; its text is not repeated.
    pub test: String,
    /// Before.
    pub before: Decided,
    /// After.
    pub after: Decided,
    /// Whether another text may leave.
    pub other_output: bool,
}

/// One policy on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyComparison {
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub name: String,
    /// Version before; absent when the policy is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Version after; absent when the policy is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Why a cluster would refuse the change, which a higher version mends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What its author says of the new version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changelog: Option<String>,
    /// What changes, by path. A policy that is new or gone is one change of `spec`, without the values.
    pub changes: Vec<Change>,
    /// Tests of either side that are decided differently; those of a policy that is new or gone are not run.
    pub evidence: Vec<Evidence>,
}

/// All policies that differ, by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// How many are the same on both sides.
    pub same: usize,
    /// Those that are not.
    pub policies: Vec<PolicyComparison>,
}

impl Comparison {
    /// How many changes go in a direction.
    #[must_use]
    pub fn count(&self, direction: Direction) -> usize {
        let changes = self.policies.iter().flat_map(|policy| &policy.changes);
        changes.filter(|change| change.direction == direction).count()
    }
}

/// Compares two sets of policies, each without two of one namespace and name.
#[must_use]
pub fn compare(before: &[CheckedPolicy], after: &[CheckedPolicy]) -> Comparison {
    let index = |policies: &[CheckedPolicy]| -> BTreeMap<(String, String), CheckedPolicy> {
        let key = |policy: &CheckedPolicy| (policy.namespace().to_owned(), policy.name().to_owned());
        policies.iter().map(|policy| (key(policy), policy.clone())).collect()
    };
    let (before, after) = (index(before), index(after));
    let keys: BTreeSet<&(String, String)> = before.keys().chain(after.keys()).collect();
    let mut comparison = Comparison::default();
    for key in keys {
        let sides = (before.get(key), after.get(key));
        let changes = match sides {
            (Some(one), Some(other)) => changes(one.spec(), other.spec()),
            (Some(gone), None) => vec![whole(gone.spec(), false)],
            (None, Some(new)) => vec![whole(new.spec(), true)],
            (None, None) => Vec::new(),
        };
        if changes.is_empty() {
            comparison.same += 1;
            continue;
        }
        let both = sides.0.zip(sides.1);
        let version = |side: Option<&CheckedPolicy>| side.map(|policy| policy.spec().version.clone());
        comparison.policies.push(PolicyComparison {
            namespace: key.0.clone(),
            name: key.1.clone(),
            before: version(sides.0),
            after: version(sides.1),
            refused: both
                .and_then(|(one, other)| check_update(one.spec(), other.spec()).err())
                .map(|problem| format!("{} {}", problem.message, problem.hint)),
            changelog: sides.1.map(|policy| policy.spec().changelog.clone()),
            changes,
            evidence: both.map(|(one, other)| evidence(one, other)).unwrap_or_default(),
        });
    }
    comparison
}

/// A policy that is new or gone. One more policy can tighten and never loosen (see [`super::lattice`]).
fn whole(spec: &CompliancePolicySpec, new: bool) -> Change {
    let direction = match spec.enforcement.mode {
        EnforcementMode::Shadow => Direction::Neutral,
        EnforcementMode::Enforce if new => Direction::Stricter,
        EnforcementMode::Enforce => Direction::Looser,
    };
    Change { path: "spec".to_owned(), before: None, after: None, direction }
}

/// Lists whose entries have a name of their own, and the field that holds it.
const NAMED: [(&str, &str); 5] = [
    ("detectors", "id"),
    ("customDetectors", "id"),
    ("rules", "id"),
    ("exceptions", "id"),
    ("tests", "name"),
];

fn changes(before: &CompliancePolicySpec, after: &CompliancePolicySpec) -> Vec<Change> {
    let judge = Judge { before, after, negated: negates(before) || negates(after) };
    let (one, other) = (value(before), value(after));
    let mut changes = Vec::new();
    for field in keys(&one, &other) {
        let (one, other) = (one.get(&field), other.get(&field));
        if one == other {
            continue;
        }
        match NAMED.iter().find(|(name, _)| *name == field) {
            Some((_, id)) => judge.entries(&field, id, one, other, &mut changes),
            None if field == "enforcement" => {
                judge.fields("spec.enforcement", one, other, &mut changes, |name| judge.enforcement(name));
            }
            None => {
                let direction = judge.field(&field);
                push(&mut changes, format!("spec.{field}"), one, other, direction);
            }
        }
    }
    // In shadow a policy decides nothing, whatever it says.
    let shadow = |spec: &CompliancePolicySpec| spec.enforcement.mode == EnforcementMode::Shadow;
    if shadow(before) && shadow(after) {
        for change in &mut changes {
            change.direction = Direction::Neutral;
        }
    }
    changes
}

struct Judge<'a> {
    before: &'a CompliancePolicySpec,
    after: &'a CompliancePolicySpec,
    /// A rule matches because something is not found: then finding more may loosen.
    negated: bool,
}

impl Judge<'_> {
    fn field(&self, name: &str) -> Direction {
        match name {
            "version" | "changelog" | "owner" => Direction::Neutral,
            "surfaces" => {
                // None stands for all.
                let all = |surfaces: &[_]| surfaces.is_empty();
                let (before, after) = (&self.before.surfaces, &self.after.surfaces);
                let covers = |wide: &[_], narrow: &[_]| {
                    all(wide) || (!all(narrow) && narrow.iter().all(|one| wide.contains(one)))
                };
                either(covers(after, before), covers(before, after))
            }
            _ => Direction::Unclear,
        }
    }

    fn enforcement(&self, name: &str) -> Direction {
        let (before, after) = (&self.before.enforcement, &self.after.enforcement);
        match name {
            "mode" => match after.mode {
                EnforcementMode::Enforce => Direction::Stricter,
                EnforcementMode::Shadow => Direction::Looser,
            },
            "failureMode" => match after.failure_mode {
                FailureMode::Block => Direction::Stricter,
                FailureMode::Allow => Direction::Looser,
            },
            // Stale rules block; where they let everything pass, sooner is not stricter.
            "maxStalenessSeconds"
                if before.failure_mode == FailureMode::Block && after.failure_mode == FailureMode::Block =>
            {
                Direction::of(before.max_staleness_seconds.cmp(&after.max_staleness_seconds))
            }
            _ => Direction::Unclear,
        }
    }

    /// A list of entries with names.
    fn entries(
        &self,
        list: &str,
        id: &str,
        one: Option<&Value>,
        other: Option<&Value>,
        changes: &mut Vec<Change>,
    ) {
        let index = |side: Option<&Value>| -> BTreeMap<String, Value> {
            let entries = side.and_then(Value::as_array).into_iter().flatten();
            let name = |entry: &Value| entry.get(id).and_then(Value::as_str).map(str::to_owned);
            entries.filter_map(|entry| Some((name(entry)?, entry.clone()))).collect()
        };
        let (before, after) = (index(one), index(other));
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let begun = changes.len();
        for name in names {
            let path = format!("spec.{list}[{name}]");
            match (before.get(name), after.get(name)) {
                (Some(one), Some(other)) if one != other => {
                    self.fields(&path, Some(one), Some(other), changes, |field| {
                        self.entry(list, name, field, one, other)
                    });
                }
                (Some(_), Some(_)) | (None, None) => {}
                (one, other) => {
                    let direction = self.whole_entry(list);
                    let direction = if other.is_some() { direction } else { direction.reversed() };
                    push(changes, path, one, other, direction);
                }
            }
        }
        if changes.len() == begun {
            // The order of entries means nothing; it is another text all the same.
            push(changes, format!("spec.{list}"), one, other, Direction::Neutral);
        }
    }

    /// What one entry more does.
    fn whole_entry(&self, list: &str) -> Direction {
        match list {
            "rules" => Direction::Stricter,
            "detectors" | "customDetectors" if !self.negated => Direction::Stricter,
            "exceptions" => Direction::Looser,
            "tests" => Direction::Neutral,
            _ => Direction::Unclear,
        }
    }

    /// What another value in a field of an entry does.
    fn entry(&self, list: &str, name: &str, field: &str, one: &Value, other: &Value) -> Direction {
        let number = |side: &Value| side.get(field).and_then(Value::as_f64).unwrap_or_default();
        let words = ["description", "references", "risksCovered", "severity"];
        match (list, field) {
            ("tests", _) => Direction::Neutral,
            ("detectors", "minScore") if !self.negated => {
                Direction::of(number(one).total_cmp(&number(other)))
            }
            ("customDetectors", "score") if !self.negated => {
                Direction::of(number(other).total_cmp(&number(one)))
            }
            ("customDetectors", "description") => Direction::Neutral,
            ("rules", "action") => self.action(name),
            ("rules", "when") => self.when(name),
            // The weight is part of the risk that people are shown; no rule reads it.
            ("rules", "riskWeight") => Direction::Neutral,
            ("rules", field) if words.contains(&field) => Direction::Neutral,
            ("exceptions", "reason" | "ticket" | "requestedBy" | "approvedBy") => Direction::Neutral,
            ("exceptions", "expiresAt") => {
                let ends = |side: &Value| side.get(field).and_then(Value::as_str).and_then(super::expiry);
                match (ends(one), ends(other)) {
                    (Some(one), Some(other)) => Direction::of(one.cmp(&other)),
                    _ => Direction::Unclear,
                }
            }
            _ => Direction::Unclear,
        }
    }

    fn action(&self, rule: &str) -> Direction {
        let of = |spec: &CompliancePolicySpec| {
            let found = spec.rules.iter().find(|one| one.id == rule);
            found.map(|found| (found.action.clone(), Effect::from(&found.action)))
        };
        let (Some((one, before)), Some((other, after))) = (of(self.before), of(self.after)) else {
            return Direction::Unclear;
        };
        // Two that no order of the lattice tells apart, such as two texts of one flag.
        if before == after {
            return if without_order(&one) == without_order(&other) {
                Direction::Neutral
            } else {
                Direction::Unclear
            };
        }
        // More who may release a text, or fewer: whether that is stricter is for people to say.
        if before.approvers != after.approvers && before.action == after.action {
            return Direction::Unclear;
        }
        let mut joined = before.clone();
        joined.join(&after);
        // Approvers count only where approval is asked for; what is stronger than that needs none.
        joined.approvers.clone_from(if joined.action == after.action {
            &after.approvers
        } else {
            &before.approvers
        });
        either(joined == after, joined == before)
    }

    fn when(&self, rule: &str) -> Direction {
        let groups = |spec: &CompliancePolicySpec| {
            let found = spec.rules.iter().find(|one| one.id == rule);
            found.map(|found| found.when.any.clone()).unwrap_or_default()
        };
        let (before, after) = (groups(self.before), groups(self.after));
        let within = |few: &[_], many: &[_]| few.iter().all(|group| many.contains(group));
        either(within(&before, &after), within(&after, &before))
    }

    /// The fields of an object, one by one.
    fn fields(
        &self,
        path: &str,
        one: Option<&Value>,
        other: Option<&Value>,
        changes: &mut Vec<Change>,
        judge: impl Fn(&str) -> Direction,
    ) {
        let nothing = Value::Null;
        let (one, other) = (one.unwrap_or(&nothing), other.unwrap_or(&nothing));
        for field in keys(one, other) {
            let (one, other) = (one.get(&field), other.get(&field));
            if one != other {
                push(changes, format!("{path}.{field}"), one, other, judge(&field));
            }
        }
    }
}

/// Greater only, less only, or neither for sure.
fn either(stricter: bool, looser: bool) -> Direction {
    match (stricter, looser) {
        (true, true) => Direction::Neutral,
        (true, false) => Direction::Stricter,
        (false, true) => Direction::Looser,
        (false, false) => Direction::Unclear,
    }
}

/// An action without the approvers' order.
fn without_order(action: &Action) -> Action {
    let mut action = action.clone();
    if let Some(approvers) = &mut action.approvers {
        approvers.sort();
    }
    action
}

/// Whether some rule matches because something was not found.
fn negates(spec: &CompliancePolicySpec) -> bool {
    let leaves = spec.rules.iter().flat_map(|rule| &rule.when.any).flat_map(|group| &group.all);
    leaves.into_iter().any(|leaf| leaf.not && leaf.finding.is_some())
}

fn push(
    changes: &mut Vec<Change>,
    path: String,
    before: Option<&Value>,
    after: Option<&Value>,
    direction: Direction,
) {
    changes.push(Change { path, before: before.cloned(), after: after.cloned(), direction });
}

fn value(spec: &CompliancePolicySpec) -> Value {
    // A spec is JSON wherever it comes from.
    serde_json::to_value(spec).unwrap_or_default()
}

fn keys(one: &Value, other: &Value) -> BTreeSet<String> {
    let fields = [one, other].into_iter().filter_map(Value::as_object);
    fields.flat_map(|fields| fields.keys().cloned()).collect()
}

/// Tests of both sides, asked of both; of two that share a name, that of the side after.
fn evidence(before: &CheckedPolicy, after: &CheckedPolicy) -> Vec<Evidence> {
    let (Some(one), Some(other)) = (Tested::of(before), Tested::of(after)) else { return Vec::new() };
    let tests: BTreeMap<&str, &PolicyTest> = before
        .spec()
        .tests
        .iter()
        .chain(&after.spec().tests)
        .map(|test| (test.name.as_str(), test))
        .collect();
    let mut evidence = Vec::new();
    for (name, test) in tests {
        let (before, after) = (one.decide(&test.given), other.decide(&test.given));
        let other_output = before.output != after.output;
        let (before, after) = (decided(&before), decided(&after));
        if other_output || before != after {
            evidence.push(Evidence { test: name.to_owned(), before, after, other_output });
        }
    }
    evidence
}

fn decided(decision: &Decision) -> Decided {
    let mut rules: Vec<String> = decision.matched.iter().map(|one| one.rule.id.clone()).collect();
    rules.sort();
    Decided { action: decision.action, rules }
}

#[cfg(test)]
mod tests {
    use novacrm_crds::CompliancePolicy;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::policy::{Scope, check};

    fn policy(change: impl FnOnce(&mut Value)) -> CheckedPolicy {
        let text =
            json!({ "fr": "Un mot que cette règle cherche.", "en": "A word that this rule looks for." });
        let mut object = json!({
            "apiVersion": "novacrm.io/v1alpha1", "kind": "CompliancePolicy",
            "metadata": { "name": "contacts", "namespace": "acme" },
            "spec": {
                "version": "1.0.0", "changelog": "First version.",
                "owner": { "team": "Compliance", "contact": "compliance@acme.example" },
                "detectors": [{ "id": "pii.email", "minScore": 0.5 }, { "id": "pii.phone", "minScore": 0.5 }],
                "rules": [{
                    "id": "CONTACT", "severity": "high", "riskWeight": 50, "description": text,
                    "risksCovered": ["leak"], "references": [{ "law": "gdpr", "ref": "32" }],
                    "when": { "any": [{ "all": [{ "finding": { "detectors": ["pii.email"] } }] }] },
                    "action": { "type": "mask", "keepLast": 2 },
                }],
                "tests": [
                    { "name": "an address", "given": { "text": "À lea@example.org." },
                      "expect": { "action": "mask", "rules": ["CONTACT"] } },
                    { "name": "nothing", "given": { "text": "Rien." }, "expect": { "action": "allow" } },
                ],
            },
        });
        change(&mut object);
        let object: CompliancePolicy = serde_json::from_value(object).unwrap();
        check(&object, Scope::Tenant).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn changed(path: &str, value: Value) -> CheckedPolicy {
        policy(|object| *object.pointer_mut(path).unwrap() = value)
    }

    fn directions(before: &CheckedPolicy, after: &CheckedPolicy) -> Vec<(String, Direction)> {
        let compared = compare(std::slice::from_ref(before), std::slice::from_ref(after));
        let changes = compared.policies.into_iter().flat_map(|policy| policy.changes);
        changes.map(|change| (change.path, change.direction)).collect()
    }

    #[test]
    fn a_policy_more_tightens_and_one_less_loosens() {
        let one = [policy(|_| {})];
        assert_eq!(compare(&[], &one).count(Direction::Stricter), 1);
        assert_eq!(compare(&one, &[]).count(Direction::Looser), 1);
        let shadow = [policy(|object| object["spec"]["enforcement"] = json!({ "mode": "shadow" }))];
        assert_eq!(compare(&[], &shadow).count(Direction::Neutral), 1);
    }

    #[test]
    fn each_field_goes_the_way_it_goes() {
        let before = policy(|_| {});
        let rule = "/spec/rules/0";
        let cases = [
            (
                changed(&format!("{rule}/action/keepLast"), json!(0)),
                "spec.rules[CONTACT].action",
                Direction::Stricter,
            ),
            (
                changed(&format!("{rule}/action/keepLast"), json!(4)),
                "spec.rules[CONTACT].action",
                Direction::Looser,
            ),
            (
                changed("/spec/detectors/0/minScore", json!(0.4)),
                "spec.detectors[pii.email].minScore",
                Direction::Stricter,
            ),
            (
                changed("/spec/detectors/0/minScore", json!(0.6)),
                "spec.detectors[pii.email].minScore",
                Direction::Looser,
            ),
            (
                changed(
                    &format!("{rule}/when/any"),
                    json!([
                        { "all": [{ "finding": { "detectors": ["pii.email"] } }] },
                        { "all": [{ "finding": { "detectors": ["pii.phone"] } }] },
                    ]),
                ),
                "spec.rules[CONTACT].when",
                Direction::Stricter,
            ),
            (
                changed(
                    &format!("{rule}/when/any/0/all"),
                    json!([
                        { "finding": { "detectors": ["pii.email"] } },
                        { "field": { "name": "request.surface", "in": ["prompt.input"] } },
                    ]),
                ),
                "spec.rules[CONTACT].when",
                Direction::Unclear,
            ),
            (
                policy(|object| object["spec"]["enforcement"] = json!({ "failureMode": "allow" })),
                "spec.enforcement.failureMode",
                Direction::Looser,
            ),
            (
                policy(|object| object["spec"]["enforcement"] = json!({ "mode": "shadow" })),
                "spec.enforcement.mode",
                Direction::Looser,
            ),
            (
                policy(|object| object["spec"]["surfaces"] = json!(["prompt.input"])),
                "spec.surfaces",
                Direction::Looser,
            ),
            (
                changed(&format!("{rule}/severity"), json!("low")),
                "spec.rules[CONTACT].severity",
                Direction::Neutral,
            ),
            (changed("/spec/changelog", json!("Another.")), "spec.changelog", Direction::Neutral),
        ];
        for (after, path, direction) in cases {
            assert_eq!(directions(&before, &after), [(path.to_owned(), direction)]);
            assert_eq!(directions(&after, &before), [(path.to_owned(), direction.reversed())]);
        }
    }

    #[test]
    fn where_a_rule_asks_for_what_is_not_there_finding_more_is_unclear() {
        let negated = |score: f64| {
            policy(|object| {
                object["spec"]["rules"][0]["when"] = json!({ "any": [{ "all": [
                    { "finding": { "detectors": ["pii.email"] } },
                    { "not": true, "finding": { "detectors": ["pii.phone"] } },
                ] }] });
                object["spec"]["detectors"][1]["minScore"] = json!(score);
            })
        };
        let path = "spec.detectors[pii.phone].minScore".to_owned();
        assert_eq!(directions(&negated(0.5), &negated(0.4)), [(path, Direction::Unclear)]);
    }

    #[test]
    fn evidence_names_the_tests_that_are_decided_differently() {
        let before = policy(|_| {});
        let after = policy(|object| {
            object["spec"]["version"] = json!("1.1.0");
            object["spec"]["rules"][0]["action"] = json!({ "type": "redact" });
            object["spec"]["tests"][0]["expect"]["action"] = json!("redact");
        });
        let compared = compare(&[before], &[after]);
        let [one] = compared.policies.as_slice() else { panic!("{compared:#?}") };
        let [evidence] = one.evidence.as_slice() else { panic!("{one:#?}") };
        assert_eq!(evidence.test, "an address");
        assert_eq!((evidence.before.action, evidence.after.action), (ActionType::Mask, ActionType::Redact));
        assert!(evidence.other_output);
        assert_eq!(one.refused, None);
    }

    #[test]
    fn what_a_cluster_would_refuse_is_said() {
        let after = changed("/spec/changelog", json!("Another."));
        let compared = compare(&[policy(|_| {})], &[after]);
        assert!(
            compared.policies[0].refused.as_deref().is_some_and(|said| said.contains("version")),
            "{compared:#?}"
        );
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself_and_the_way_back_is_the_reverse(
            scores in prop::collection::vec(1_u8..=10, 2), other in prop::collection::vec(1_u8..=10, 2),
            weights in (0_u8..=100, 0_u8..=100), keeps in (0_u8..=4, 0_u8..=4),
        ) {
            let make = |scores: &[u8], weight: u8, keep: u8| policy(|object| {
                for (index, score) in scores.iter().enumerate() {
                    object["spec"]["detectors"][index]["minScore"] = json!(f64::from(*score) / 20.0);
                }
                object["spec"]["rules"][0]["riskWeight"] = json!(weight);
                object["spec"]["rules"][0]["action"]["keepLast"] = json!(keep);
            });
            let (before, after) = (make(&scores, weights.0, keeps.0), make(&other, weights.1, keeps.1));
            prop_assert!(directions(&before, &before).is_empty());
            let there = directions(&before, &after);
            prop_assert_eq!(there.is_empty(), before.spec() == after.spec());
            let back: Vec<_> = there.into_iter().map(|(path, direction)| (path, direction.reversed())).collect();
            prop_assert_eq!(directions(&after, &before), back);
        }
    }
}
