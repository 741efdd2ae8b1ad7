//! One policy in; the same policy with the promise that engines can enforce it, or every problem, out.

use std::collections::HashSet;
use std::sync::Arc;

use novacrm_crds::compliance_policy::{
    ActionType, CompliancePolicySpec, Given, GivenFinding, GivenUseCase, PolicyTest, UseCaseClass,
};
use novacrm_crds::crm_tenant::{CrmTenantSpec, Locale, RegisteredClass};
use novacrm_crds::{Bilingual, CompliancePolicy, CrmTenant, LawReference};
use semver::Version;
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;

use super::compile::{CompiledPolicy, check_provision, unknown_reference};
use super::law::{EU_AI_ACT, cite};
use super::manifest::{Manifest, read_object};
use super::problem::{PolicyProblem, named, nearest, problem};
use super::schema::validate_written;
use crate::bundle::{BundledPolicy, digest};
use crate::classification::RegisteredUse;
use crate::pipeline::{Context, Decision, Request, Secrets, decide};
use crate::{ExternalDetector, ExternalFinding, Span};

/// The schema's message for an update that does not raise the version.
pub(crate) const MUST_GROW: &str = "spec.version must grow whenever the spec changes; to go back, apply the old content as a new, higher version";
/// As the schema of `CrmTenant` has it.
pub(crate) const TYPE_STAYS: &str = "the type of a tenant's database cannot change";
/// As the schema of `CrmTenant` has it.
pub(crate) const SERVER_STAYS: &str = "the server of a tenant's databases cannot change";

/// How every message about a test that fails begins.
pub const TEST_FAILS: &str = "the test fails";

/// How long judging a policy may take: less than this, of a processor's time.
pub const JUDGING_LIMIT: std::time::Duration = std::time::Duration::from_secs(1);

/// Whether judging may go on; `false` once it took [`JUDGING_LIMIT`].
pub type MayGoOn<'a> = &'a dyn Fn() -> bool;

/// Whom a policy applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every tenant that `tenantSelector` matches: the policy lives in the operator's policy namespace.
    Organisation,
    /// The tenant of its own namespace; it must not select others.
    Tenant,
}

/// A policy that passed [`check`].
#[derive(Clone, Debug)]
pub struct CheckedPolicy {
    namespace: String,
    name: String,
    spec: Arc<CompliancePolicySpec>,
}

impl CheckedPolicy {
    /// For tests of what an engine makes of a policy that should never have got there.
    #[cfg(test)]
    pub(crate) fn unchecked(policy: &CompliancePolicy) -> Self {
        Self {
            namespace: policy.metadata.namespace.clone().unwrap_or_default(),
            name: policy.metadata.name.clone().unwrap_or_default(),
            spec: Arc::new(policy.spec.clone()),
        }
    }

    /// Namespace of the object.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Name of the object.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was checked.
    #[must_use]
    pub fn spec(&self) -> &CompliancePolicySpec {
        &self.spec
    }

    /// SHA-256 of the spec's canonical JSON, as `sha256:<hex>`: the identity of the revision.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(self.spec.as_ref())
    }
}

/// Judges a policy: name and namespace, schema, rules across fields, detectors and patterns, law references, documentation, and the
/// policy's own tests.
///
/// # Errors
/// Every problem, by field path. They name fields, never values.
pub fn check(policy: &CompliancePolicy, scope: Scope) -> Result<CheckedPolicy, Vec<PolicyProblem>> {
    check_within(policy, scope, &|| true)
}

/// [`check`] for a policy that nobody accepted yet: compiling it and running its tests must not take too long. Whoever calls
/// brings the clock, and begins to measure after [`warm_up`]; `may_go_on` is asked after the policy was compiled and after
/// each of its tests.
///
/// # Errors
/// As [`check`]; the tests are not run to their end once they may not go on.
pub fn check_within(
    policy: &CompliancePolicy,
    scope: Scope,
    may_go_on: MayGoOn<'_>,
) -> Result<CheckedPolicy, Vec<PolicyProblem>> {
    let (name, namespace) = (policy.metadata.name.as_deref(), policy.metadata.namespace.as_deref());
    let mut problems = validate_written("CompliancePolicy", name, namespace, &policy.spec);
    match check_references(policy, scope, may_go_on) {
        Ok(checked) if problems.is_empty() => Ok(checked),
        Ok(_) => Err(problems),
        Err(found) => {
            // An engine judges some of what the schema says again, in the same words; people want them once.
            let again = |one: &PolicyProblem| problems.contains(one);
            let new: Vec<PolicyProblem> = found.into_iter().filter(|one| !again(one)).collect();
            problems.extend(new);
            Err(problems)
        }
    }
}

/// The part of [`check`] that the schema does not cover.
pub(crate) fn check_references(
    policy: &CompliancePolicy,
    scope: Scope,
    may_go_on: MayGoOn<'_>,
) -> Result<CheckedPolicy, Vec<PolicyProblem>> {
    let spec = &policy.spec;
    let mut problems = Vec::new();
    if let Err(found) = version(&spec.version) {
        problems.push(found);
    }
    if scope == Scope::Tenant && spec.tenant_selector.is_some() {
        problems.push(problem(
            "spec.tenantSelector",
            "only a policy in the policy namespace can select tenants",
            "Remove it; the policy applies to the tenant of its own namespace.",
        ));
    }
    if scope == Scope::Organisation && spec.tenant_selector.is_none() {
        problems.push(problem(
            "spec.tenantSelector",
            "an organisation policy must say which tenants it applies to",
            "Add `tenantSelector: {}` for all tenants, or labels of their Namespaces under matchLabels.",
        ));
    }
    let checked = CheckedPolicy {
        namespace: policy.metadata.namespace.clone().unwrap_or_default(),
        name: policy.metadata.name.clone().unwrap_or_default(),
        spec: Arc::new(spec.clone()),
    };
    check_exceptions(spec, &mut problems);
    let sound_tests = check_tests(spec, &mut problems);
    match CompiledPolicy::compile(&BundledPolicy::from(&checked)) {
        Ok(_) if !may_go_on() => problems.push(too_slow()),
        Ok(compiled) if sound_tests => run_tests(spec, compiled.into_tested(), may_go_on, &mut problems),
        Ok(_) => {}
        Err(found) => problems.extend(found),
    }
    if problems.is_empty() { Ok(checked) } else { Err(problems) }
}

/// A semantic version without build metadata, which has no order.
fn version(text: &str) -> Result<Version, PolicyProblem> {
    let hint = "Use a semantic version such as 1.2.0 (semver.org), without build metadata.";
    match Version::parse(text) {
        Ok(version) if version.build.is_empty() => Ok(version),
        Ok(_) => Err(problem("spec.version", "build metadata has no order", hint)),
        Err(_) => Err(problem("spec.version", "this is not a semantic version", hint)),
    }
}

/// Judges a change: a spec that changes must have a higher version.
///
/// # Errors
/// The problem, at `spec.version`.
pub fn check_update(old: &CompliancePolicySpec, new: &CompliancePolicySpec) -> Result<(), PolicyProblem> {
    if old == new {
        return Ok(());
    }
    let newer = version(&new.version)?;
    match version(&old.version) {
        // What is in the cluster may stem from before this check; anything sound may replace it.
        Err(_) => Ok(()),
        Ok(older) if newer > older => Ok(()),
        Ok(older) => Err(problem(
            "spec.version",
            MUST_GROW,
            format!("Raise it above {older}; describe the change in spec.changelog."),
        )),
    }
}

/// Judges a change of a tenant: it keeps the databases it began with. Another type or server would be an empty CRM
/// beside the one with the records.
///
/// # Errors
/// The problem, below `spec.database`.
pub fn check_tenant_update(old: &CrmTenantSpec, new: &CrmTenantSpec) -> Result<(), PolicyProblem> {
    let (old, new) = (&old.database, &new.database);
    let hint = "Put back the former value. To move the records, make a tenant in a namespace of its own and import them.";
    if old.r#type != new.r#type {
        return Err(problem("spec.database.type", TYPE_STAYS, hint));
    }
    match (&old.managed, &new.managed) {
        (Some(old), Some(new)) if old.server_ref != new.server_ref => {
            Err(problem("spec.database.managed.serverRef.name", SERVER_STAYS, hint))
        }
        _ => Ok(()),
    }
}

/// Judges a tenant: name and namespace, schema, rules across fields, and the provisions its register cites.
///
/// # Errors
/// Every problem, by field path.
pub fn check_tenant(tenant: &CrmTenant) -> Result<(), Vec<PolicyProblem>> {
    let (name, namespace) = (tenant.metadata.name.as_deref(), tenant.metadata.namespace.as_deref());
    let mut problems = validate_written("CrmTenant", name, namespace, &tenant.spec);
    problems.extend(check_tenant_references(&tenant.spec));
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

pub(crate) fn check_tenant_references(spec: &CrmTenantSpec) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    for (index, entry) in spec.ai_use_cases.iter().enumerate() {
        for (position, reference) in entry.provisions.iter().enumerate() {
            if cite(reference).is_none() {
                let path = format!("spec.aiUseCases[{index}].provisions[{position}]");
                problems.push(unknown_reference(&reference.law, &reference.r#ref, &path));
            }
        }
    }
    problems
}

/// What no engine needs of an exception, and every auditor.
fn check_exceptions(spec: &CompliancePolicySpec, problems: &mut Vec<PolicyProblem>) {
    for (index, exception) in spec.exceptions.iter().enumerate() {
        let texts = [
            ("reason", &exception.reason, "Say why the rules may be waived for a while."),
            ("ticket", &exception.ticket, "Name the ticket or document that holds the decision."),
            ("requestedBy", &exception.requested_by, "Name who asked for the exception."),
            ("approvedBy", &exception.approved_by, "Name who approved the exception."),
        ];
        for (field, _, hint) in texts.into_iter().filter(|(_, text, _)| text.trim().is_empty()) {
            problems.push(problem(format!("spec.exceptions[{index}].{field}"), "the field is blank", hint));
        }
    }
}

/// Whether the tests are complete and refer to what exists. `false` when running them would only repeat that.
fn check_tests(spec: &CompliancePolicySpec, problems: &mut Vec<PolicyProblem>) -> bool {
    let before = problems.len();
    let rules: Vec<&str> = spec.rules.iter().map(|rule| rule.id.as_str()).collect();
    let mut names = HashSet::new();
    for (index, test) in spec.tests.iter().enumerate() {
        let path = format!("spec.tests[{index}]");
        if !names.insert(test.name.as_str()) {
            let path = format!("{path}.name");
            problems.push(problem(path, "another test has this name", "Give each test a name of its own."));
        }
        let mut listed = HashSet::new();
        for (position, id) in test.expect.rules.iter().enumerate() {
            let path = format!("{path}.expect.rules[{position}]");
            if !rules.contains(&id.as_str()) {
                let hint = match nearest(id, rules.iter().copied()) {
                    Some(near) => format!("Did you mean `{near}`?"),
                    None => "Name rules of this policy by their id.".to_owned(),
                };
                problems.push(problem(path, format!("the policy has no rule `{}`", named(id)), hint));
            } else if !listed.insert(id.as_str()) {
                problems.push(problem(path, "the rule is named twice", "Keep one of the two."));
            }
        }
        for (position, given) in test.given.external_findings.iter().enumerate() {
            let path = format!("{path}.given.externalFindings[{position}]");
            if ExternalDetector::of_id(&given.detector).is_err() {
                problems.push(problem(
                    format!("{path}.detector"),
                    format!("`{}` names no detector outside of the engine", named(&given.detector)),
                    "Name one as `external.RECOGNISER.TYPE`, such as `external.presidio.person`.",
                ));
            } else if !test.given.text.contains(given.value.as_str()) {
                problems.push(problem(
                    format!("{path}.value"),
                    "the text of the test does not hold these words",
                    "Quote them as they stand in given.text.",
                ));
            }
        }
        if let Some(given) = &test.given.use_case {
            for (position, provision) in given.provisions.iter().enumerate() {
                let path = format!("{path}.given.useCase.provisions[{position}]");
                check_provision(provision, &path, problems);
            }
        }
        if test.expect.output.is_some() && test.expect.action >= ActionType::RequireApproval {
            problems.push(problem(
                format!("{path}.expect.output"),
                "nothing leaves under this action",
                "Remove the output, or expect another action.",
            ));
        }
    }
    let sound = problems.len() == before;
    for (index, rule) in spec.rules.iter().enumerate() {
        let names_it = |test: &&PolicyTest| test.expect.rules.contains(&rule.id);
        let positive = spec.tests.iter().any(|test| names_it(&test));
        let negative = spec.tests.iter().any(|test| !names_it(&test));
        let lacks = match (positive, negative) {
            (true, true) => continue,
            (false, _) => ("a positive test", "Add a test whose expect.rules names it."),
            (true, false) => ("a negative test", "Add a test in which it does not match."),
        };
        let message = format!("the rule `{}` has not got {}", named(&rule.id), lacks.0);
        problems.push(problem(format!("spec.rules[{index}].id"), message, lacks.1));
    }
    sound
}

/// Runs the policy's tests on the policy alone.
fn run_tests(
    spec: &CompliancePolicySpec,
    compiled: CompiledPolicy,
    may_go_on: MayGoOn<'_>,
    problems: &mut Vec<PolicyProblem>,
) {
    let tested = Tested::new(compiled);
    for (index, test) in spec.tests.iter().enumerate() {
        let decision = tested.decide(&test.given);
        compare(test, &decision, &format!("spec.tests[{index}].expect"), problems);
        if !may_go_on() {
            problems.push(too_slow());
            return;
        }
    }
}

/// A policy alone, without its exceptions, as its tests ask it.
pub(super) struct Tested {
    policies: [Arc<CompiledPolicy>; 1],
    secrets: Secrets,
}

impl Tested {
    fn new(compiled: CompiledPolicy) -> Self {
        Self { policies: [Arc::new(compiled)], secrets: Secrets::of_tests() }
    }

    /// A policy that was found to be sound.
    pub(super) fn of(policy: &CheckedPolicy) -> Option<Self> {
        let compiled = CompiledPolicy::compile(&BundledPolicy::from(policy)).ok()?;
        Some(Self::new(compiled.into_tested()))
    }

    pub(super) fn decide(&self, given: &Given) -> Decision {
        let external: Vec<ExternalFinding> =
            given.external_findings.iter().filter_map(|one| supposed(one, &given.text)).collect();
        let request = Request {
            text: &given.text,
            external: &external,
            surface: given.surface,
            use_case: given.use_case.as_ref().map(|given| given.id.as_str()),
            purpose: given.purpose.as_deref(),
            role: given.role.as_deref(),
            locale: Locale::Fr,
            document: "",
            // Nothing in a policy without exceptions depends on the time.
            now: OffsetDateTime::UNIX_EPOCH,
        };
        let use_case = given.use_case.as_ref().and_then(registered).map(Arc::new);
        let context = Context { request: &request, use_case };
        decide(&self.policies, &context, Some(&self.secrets), None)
    }
}

/// What a test supposes a recogniser outside of the engine to have seen; `None` when the words are not in the text, or the
/// detector is none.
fn supposed(given: &GivenFinding, text: &str) -> Option<ExternalFinding> {
    let detector = ExternalDetector::of_id(&given.detector).ok()?;
    let (before, _) = text.split_once(given.value.as_str())?;
    let start = before.chars().count();
    let span = Span { start, end: start + given.value.chars().count() };
    Some(ExternalFinding { detector, span, score: given.score })
}

/// That a policy takes too long to judge.
#[must_use]
pub fn too_slow() -> PolicyProblem {
    problem(
        "spec.tests",
        "compiling the policy and running its tests takes longer than 1 second",
        "Use fewer or shorter tests and simpler patterns, or split the policy.",
    )
}

/// Makes what every judgement needs and only the first one makes, such as the compiled detectors.
pub fn warm_up() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let sample = json!({
            "apiVersion": "novacrm.io/v1alpha1",
            "kind": "CompliancePolicy",
            "metadata": { "name": "sample", "namespace": "sample" },
            "spec": {
                "version": "1.0.0",
                "changelog": "First version.",
                "owner": { "team": "Sample", "contact": "sample" },
                "detectors": [{ "id": "pii.*" }, { "id": "secret.*" }],
                "rules": [{
                    "id": "SAMPLE-1",
                    "severity": "low",
                    "riskWeight": 1,
                    "description": { "fr": "Exemple.", "en": "Sample." },
                    "risksCovered": ["data-leak"],
                    "references": [{ "law": "gdpr", "ref": "5(1)(c)" }],
                    "when": { "any": [{ "all": [{ "finding": { "detectors": ["pii.email"] } }] }] },
                    "action": { "type": "flag" },
                }],
                "tests": [
                    { "name": "found", "given": { "text": "a@acme.example, +33 1 99 00 12 34" },
                      "expect": { "action": "flag", "rules": ["SAMPLE-1"] } },
                    { "name": "not found", "given": { "text": "-" }, "expect": { "action": "allow" } },
                ],
            },
        });
        if let (Some(Manifest::CompliancePolicy(policy)), _) = read_object(sample) {
            drop(check(&policy, Scope::Tenant));
        }
    });
}

/// The use as a test supposes it to be registered. Its purpose is the test's own business.
fn registered(given: &GivenUseCase) -> Option<RegisteredUse> {
    let class = match given.class {
        UseCaseClass::Unregistered => return None,
        UseCaseClass::Minimal => RegisteredClass::Minimal,
        UseCaseClass::Limited => RegisteredClass::Limited,
        UseCaseClass::HighRisk => RegisteredClass::HighRisk,
        UseCaseClass::Prohibited => RegisteredClass::Prohibited,
    };
    let provision = |provision: &String| LawReference { law: EU_AI_ACT.to_owned(), r#ref: provision.clone() };
    Some(RegisteredUse {
        id: given.id.clone(),
        display_name: Bilingual { fr: given.id.clone(), en: given.id.clone() },
        purpose: String::new(),
        class,
        provisions: given.provisions.iter().map(provision).collect(),
    })
}

fn compare(test: &PolicyTest, decision: &Decision, path: &str, problems: &mut Vec<PolicyProblem>) {
    let matched: Vec<&str> = decision.matched.iter().map(|entry| entry.rule.id.as_str()).collect();
    let rules = if matched.is_empty() {
        "no rule matched".to_owned()
    } else {
        format!("matched: {}", matched.join(", "))
    };
    let decided = wire_name(&decision.action);
    let kinds: Vec<&str> = decision.findings.iter().map(|one| one.finding.kind.as_ref()).collect();
    let found = if kinds.is_empty() {
        "nothing was found".to_owned()
    } else {
        format!("found: {}", kinds.join(", "))
    };
    let hint = format!("Decided: {decided}; {rules}; {found}. Mend the rule or the test.");
    if test.expect.action != decision.action {
        let message = format!("{TEST_FAILS}: expected {}, decided {decided}", wire_name(&test.expect.action));
        problems.push(problem(format!("{path}.action"), message, hint.clone()));
    }
    let expected: HashSet<&str> = test.expect.rules.iter().map(String::as_str).collect();
    if expected != matched.iter().copied().collect() {
        let missing: Vec<&str> =
            test.expect.rules.iter().map(String::as_str).filter(|id| !matched.contains(id)).collect();
        let extra: Vec<&str> = matched.iter().copied().filter(|id| !expected.contains(id)).collect();
        let mut parts = Vec::new();
        if !missing.is_empty() {
            parts.push(format!("did not match: {}", missing.join(", ")));
        }
        if !extra.is_empty() {
            parts.push(format!("matched as well: {}", extra.join(", ")));
        }
        let message = format!("{TEST_FAILS}: {}", parts.join("; "));
        problems.push(problem(format!("{path}.rules"), message, hint.clone()));
    }
    if let Some(expected) = &test.expect.output
        && decision.output.as_ref() != Some(expected)
    {
        // The texts hold made-up identifiers at best, so the place is told and not what stands there.
        let message = match &decision.output {
            None => format!("{TEST_FAILS}: nothing leaves under the action decided"),
            Some(output) => {
                let same = output.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
                format!("{TEST_FAILS}: the output differs from character {} on", same + 1)
            }
        };
        problems.push(problem(format!("{path}.output"), message, hint));
    }
}

/// The name of an action as policies write it.
fn wire_name(action: &impl Serialize) -> String {
    match serde_json::to_value(action) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
