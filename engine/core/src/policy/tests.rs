//! What is refused, where, and in which words.

use std::collections::BTreeSet;

use novacrm_crds::{CompliancePolicy, DEFAULT_POLICY_NAMESPACE};
use serde::Deserialize;

use super::*;
use crate::bundle::{Bundle, CompiledBundle};

/// A sound policy; each row of the table below breaks it in one place.
const SOUND: &str = include_str!("../../testdata/policies/sound.yaml");
/// What is said of each place that can be broken; the file explains itself.
const BROKEN: &str = include_str!("../../testdata/policies/broken.yaml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Row {
    replace: String,
    by: String,
    path: String,
    message: String,
    held_by: Place,
}

/// The last place that can hold a broken policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Place {
    File,
    Request,
    Object,
    Bundle,
}

fn rows() -> Vec<Row> {
    serde_yaml::from_str(BROKEN).unwrap()
}

/// What is said, and not where in a file.
fn said(problems: &[PolicyProblem]) -> BTreeSet<(String, String, String)> {
    problems.iter().map(|one| (one.path.clone(), one.message.clone(), one.hint.clone())).collect()
}

fn problems_of(source: &str) -> Vec<PolicyProblem> {
    review(source, Some("policy.yaml"), DEFAULT_POLICY_NAMESPACE).problems
}

fn policy(source: &str) -> CompliancePolicy {
    let mut manifests = read_manifests(source, None).unwrap();
    match manifests.pop().unwrap().object {
        Manifest::CompliancePolicy(policy) => *policy,
        _ => panic!("not a policy"),
    }
}

/// A policy that the schema refuses, as an object that got past it.
fn policy_unchecked(source: &str) -> CompliancePolicy {
    serde_yaml::from_str(source).unwrap()
}

#[test]
fn a_sound_policy_has_no_problems() {
    assert_eq!(problems_of(SOUND), []);
    let checked = check(&policy(SOUND), Scope::Tenant).unwrap();
    assert!(checked.digest().starts_with("sha256:"));
}

/// No recogniser is asked in tests, so what one would see is supposed.
#[test]
fn a_test_supposes_what_comes_from_outside() {
    let with = |given: &str, expect: &str| {
        let source = SOUND
            .replacen("- {id: pii.iban, minScore: 0.6}", "- {id: external.ner.*, minScore: 0.6}", 1)
            .replacen("[custom.code], atLeast: 1", "[external.ner.person]", 1)
            .replacen("given: {text: \"Le dossier PRJ-1234 avance.\"}", given, 1)
            .replacen("output: \"Le dossier ***-**34 avance.\"", expect, 1);
        problems_of(&source)
    };
    let found =
        "given: {text: \"Voir Anne.\", externalFindings: [{detector: external.ner.person, value: Anne}]}";
    assert_eq!(with(found, "output: \"Voir **ne.\""), []);
    let unsure = found.replace("value: Anne", "value: Anne, score: 0.5");
    let problems = with(&unsure, "output: \"Voir **ne.\"");
    assert!(problems.iter().all(|one| one.path.starts_with("spec.tests[0].expect")), "{problems:?}");
    assert_eq!(problems.len(), 3);
}

#[test]
fn each_broken_policy_is_refused_at_its_place() {
    let mut failures = Vec::new();
    for Row { replace, by, path, message, .. } in rows() {
        assert!(SOUND.contains(&replace), "nothing to replace: {replace}");
        let problems = problems_of(&SOUND.replacen(&replace, &by, 1));
        let hit = problems.iter().any(|one| one.path == path && one.message.contains(&message));
        let placed =
            problems.iter().all(|one| one.line.is_some() && one.column.is_some() && one.file.is_some());
        let helpful = problems.iter().all(|one| !one.hint.is_empty() && !one.message.is_empty());
        if !hit || !placed || !helpful {
            failures.push(format!("{by}\n  wanted {path}: {message}\n  got {problems:#?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The problems that every place reports of one broken policy, as far as it can hold it.
fn last_place(source: &str) -> Result<Place, String> {
    let by_file = said(&problems_of(source));
    let (documents, syntax) = super::source::read(source);
    let [document] = documents.as_slice() else { return Ok(Place::File) };
    if !syntax.is_empty() || !document.problems.is_empty() {
        return Ok(Place::File);
    }
    let (manifest, schema) = read_object(document.value.clone());
    let Some(Manifest::CompliancePolicy(policy)) = manifest else {
        return if by_file == said(&schema) { Ok(Place::Request) } else { Err(format!("{schema:#?}")) };
    };
    let scope = match policy.metadata.namespace.as_deref() {
        Some(DEFAULT_POLICY_NAMESPACE) => Scope::Organisation,
        _ => Scope::Tenant,
    };
    let object = said(&check(&policy, scope).err().unwrap_or_default());
    let mut request = said(&schema);
    request.extend(object.clone());
    if by_file != request {
        return Err(format!("request: {request:#?}"));
    }
    // Fields that the kind does not have are gone from the object.
    if !object.is_subset(&by_file) {
        return Err(format!("object: {object:#?}"));
    }
    let bundled = CheckedPolicy::unchecked(&policy);
    let bundle = Bundle::assemble("acme", 1, [&bundled], []);
    let problems = CompiledBundle::compile(bundle).err().unwrap_or_default();
    let prefix = format!("{}/{}: ", bundled.namespace(), bundled.name());
    let engine: BTreeSet<_> = said(&problems)
        .into_iter()
        .map(|(path, message, hint)| (path.strip_prefix(&prefix).unwrap_or(&path).to_owned(), message, hint))
        .collect();
    if !engine.is_subset(&object) {
        return Err(format!("bundle: {engine:#?}"));
    }
    Ok(match (schema.is_empty(), engine.is_empty()) {
        (false, _) => Place::Request,
        (true, true) => Place::Object,
        (true, false) => Place::Bundle,
    })
}

#[test]
fn files_requests_objects_and_bundles_are_refused_with_the_same_words() {
    let rows = rows();
    let admitted_by_schema = rows.iter().filter(|row| row.held_by >= Place::Object).count();
    assert!(admitted_by_schema >= 100, "{admitted_by_schema}");
    let mut failures = Vec::new();
    for Row { replace, by, held_by, .. } in rows {
        match last_place(&SOUND.replacen(&replace, &by, 1)) {
            Ok(place) if place == held_by => {}
            outcome => failures.push(format!("{by}: wanted {held_by:?}, got {outcome:?}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_rule_without_a_negative_test_is_refused() {
    let always = SOUND.replace(
        "{text: Bonjour.}\n      expect: {action: allow}",
        "{text: PRJ-1111}\n      expect: {action: mask, rules: [CODE-1]}",
    );
    let always = always
        .replace("given: {text: Bonjour., useCase", "given: {text: PRJ-1111, useCase")
        .replace("rules: [USE-1]}", "rules: [USE-1, CODE-1]}");
    let problems = problems_of(&always);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].path, "spec.rules[0].id");
    assert!(problems[0].message.contains("a negative test"), "{}", problems[0].message);
}

#[test]
fn a_problem_points_at_line_and_column() {
    let problems = problems_of(&SOUND.replace("severity: high", "severity: hihg"));
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].line, problems[0].column), (Some(22), Some(17)));
    assert_eq!(problems[0].file.as_deref(), Some("policy.yaml"));
    assert!(problems[0].hint.contains("Did you mean `high`?"), "{}", problems[0].hint);
}

#[test]
fn all_problems_are_reported_at_once_and_in_order() {
    let broken = SOUND
        .replace("severity: high", "severity: hihg")
        .replace("law: gdpr", "law: gpdr")
        .replace("mode: enforce", "mode: enforced")
        .replace("contact:", "contcat:");
    let problems = problems_of(&broken);
    let paths: Vec<&str> = problems.iter().map(|one| one.path.as_str()).collect();
    for path in
        ["spec.owner.contcat", "spec.owner.contact", "spec.enforcement.mode", "spec.rules[0].severity"]
    {
        assert!(paths.contains(&path), "{path} in {paths:?}");
    }
    let lines: Vec<_> = problems.iter().map(|one| one.line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn problems_of_schema_and_of_references_are_reported_together() {
    let broken = SOUND.replace("changelog:", "changeLog: x\n  changelog:").replace("law: gdpr", "law: gpdr");
    let problems = problems_of(&broken);
    let paths: Vec<&str> = problems.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["spec.changeLog", "spec.rules[0].references[0]"]);
}

#[test]
fn messages_never_show_values() {
    let secret = format!("{}{}", "zq7", "canary9");
    for (from, to) in [
        ("severity: high", format!("severity: {secret}")),
        ("Le dossier PRJ-1234 avance.", secret.clone()),
        ("keepLast: 2", format!("keepLast: {secret}")),
        ("'PRJ-[0-9]{4}'", format!("'({secret}'")),
        ("version: 1.2.0", format!("version: {secret}")),
    ] {
        let problems = problems_of(&SOUND.replacen(from, &to, 1));
        assert!(!problems.is_empty(), "{from}");
        assert!(!format!("{problems:?}").contains(&secret), "{from}: {problems:?}");
    }
}

#[test]
fn several_documents_are_judged_each_by_itself() {
    let broken = SOUND.replace("severity: high", "severity: hihg");
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
    let review = review(&format!("{SOUND}---\n{broken}---\n{other}"), None, DEFAULT_POLICY_NAMESPACE);
    assert_eq!((review.policies.len(), review.others, review.problems.len()), (1, 1, 1));
    assert_eq!(review.problems[0].line, Some(22 + u32::try_from(SOUND.lines().count()).unwrap() + 1));
}

#[test]
fn json_is_read_with_line_and_column_too() {
    let value = serde_json::to_value(policy(SOUND)).unwrap();
    let json = serde_json::to_string_pretty(&value).unwrap();
    assert_eq!(problems_of(&json), []);
    let problems = problems_of(&json.replace("\"high\"", "\"hihg\""));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].line.is_some_and(|line| line > 1));
    let tabs = json.replace("  ", "\t");
    assert_eq!(problems_of(&tabs), []);
}

#[test]
fn a_yaml_bomb_is_refused_without_being_unfolded() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (name, former) in
        ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"])
    {
        bomb.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{former}"); 9].join(", ")));
    }
    let problems = problems_of(&bomb);
    assert!(problems.iter().any(|one| one.message.contains("anchor")), "{problems:?}");
    assert!(problems.iter().any(|one| one.message.contains("alias")), "{problems:?}");
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(
        problems_of(&deep)
            .iter()
            .any(|one| one.message.contains("nested deeper") || one.message.contains("well-formed"))
    );
    let wide = format!("[{}]", "1,".repeat(MAX_NODES + 10));
    assert!(problems_of(&wide).iter().any(|one| one.message.contains("more than")));
    let long = "#".repeat(MAX_SOURCE_BYTES + 1);
    assert!(problems_of(&long).iter().any(|one| one.message.contains("longer than")));
}

#[test]
fn an_empty_file_and_comments_hold_nothing() {
    for source in ["", "# nothing\n", "---\n---\n"] {
        assert_eq!(read_manifests(source, None).unwrap().len(), 0, "{source:?}");
    }
    assert_eq!(problems_of("just a sentence").len(), 1);
}

#[test]
fn the_tests_of_a_policy_run_without_its_exceptions() {
    let wide = SOUND.replace("      useCases: [sales-drafting]\n      roles: [sales]\n", "");
    assert_eq!(policy(&wide).spec.exceptions[0].roles.len(), 0);
    assert_eq!(problems_of(&wide), []);
}

#[test]
fn an_exception_that_has_ended_is_no_problem() {
    assert_eq!(problems_of(&SOUND.replace("2027-06-30T22:00:00Z", "2001-06-30T22:00:00Z")), []);
}

#[test]
fn what_schema_and_engine_say_alike_is_said_once() {
    let broken = SOUND.replace("2027-06-30T22:00:00Z", "tomorrow");
    let by_file = problems_of(&broken);
    let by_object = check(&policy_unchecked(&broken), Scope::Tenant).unwrap_err();
    for problems in [by_file, by_object] {
        let paths: Vec<&str> = problems.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(paths, ["spec.exceptions[0].expiresAt"]);
    }
}

#[test]
fn a_policy_that_looks_for_tone_refuses_to_have_it_judge_people_at_work() {
    let tone = SOUND.replace(
        "    - {id: pii.iban, minScore: 0.6}",
        "    - {id: pii.iban, minScore: 0.6}\n    - {id: \"tone.*\"}",
    );
    // Its rule against such uses holds for requests in French only.
    let problems = problems_of(&tone);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].path == "spec.detectors" && problems[0].message.contains("tone"), "{problems:?}");
    let refusing = tone.replace("              - field: {name: request.locale, in: [fr]}\n", "");
    assert_eq!(problems_of(&refusing), []);
}

#[test]
fn the_example_of_an_exception_is_a_sound_policy() {
    let source = include_str!("../../../../examples/exceptions/policy.yaml");
    let review = review(source, None, DEFAULT_POLICY_NAMESPACE);
    assert_eq!(review.problems, []);
    assert!(review.policies.iter().any(|one| !one.object.spec().exceptions.is_empty()));
}

#[test]
fn an_organisation_policy_may_select_tenants() {
    let organisation = SOUND
        .replace("namespace: acme", "namespace: novacrm-policies")
        .replace("  surfaces:", "  tenantSelector: {matchLabels: {region: eu}}\n  surfaces:");
    assert_eq!(problems_of(&organisation), []);
}

#[test]
fn a_changed_spec_needs_a_higher_version() {
    let old = policy(SOUND).spec;
    assert_eq!(check_update(&old, &old), Ok(()));
    let mut new = old.clone();
    new.changelog = "Second version.".to_owned();
    for (version, grows) in
        [("1.2.0", false), ("1.1.9", false), ("1.2.0-rc.1", false), ("1.2.1", true), ("1.10.0", true)]
    {
        new.version = version.to_owned();
        let outcome = check_update(&old, &new);
        assert_eq!(outcome.is_ok(), grows, "{version}");
        if let Err(problem) = outcome {
            assert_eq!((problem.path.as_str(), problem.message.as_str()), ("spec.version", check::MUST_GROW));
        }
    }
}

#[test]
fn a_tenant_is_judged_by_schema_rules_and_law() {
    let tenant = "apiVersion: novacrm.io/v1alpha1\nkind: CrmTenant\nmetadata: {name: acme, namespace: acme}\nspec:\n  \
                  displayName: ACME\n  database: {type: managed, managed: {serverRef: {name: default}}}\n  auth:\n    \
                  bootstrapAdmin: {email: admin@acme.example, displayName: Admin, passwordSecretRef: {name: a, key: b}}\n  \
                  aiUseCases:\n    - {id: screening, displayName: {fr: Tri, en: Screening}, purpose: recruitment, class: highRisk, provisions: [{law: eu-ai-act, ref: \"annex-iii:4(a)\"}]}\n";
    assert_eq!(problems_of(tenant), []);
    for (from, to, path) in [
        ("ref: \"annex-iii:4(a)\"", "ref: \"annex-iii:9(a)\"", "spec.aiUseCases[0].provisions[0]"),
        (", provisions: [{law: eu-ai-act, ref: \"annex-iii:4(a)\"}]", "", "spec.aiUseCases[0].provisions"),
        (", managed: {serverRef: {name: default}}", "", "spec.database.managed"),
        ("admin@acme.example", "admin", "spec.auth.bootstrapAdmin.email"),
    ] {
        let problems = problems_of(&tenant.replacen(from, to, 1));
        assert!(problems.iter().any(|one| one.path == path), "{path}: {problems:?}");
    }
    let twice = tenant.to_owned() + tenant.lines().last().unwrap() + "\n";
    assert!(problems_of(&twice).iter().any(|one| one.path == "spec.aiUseCases[1].id"));
}

#[test]
fn judging_ends_when_it_may_not_go_on_and_says_so() {
    let sound = policy(SOUND);
    let asked = std::cell::Cell::new(0);
    let at_most = |times: usize| {
        asked.set(0);
        let outcome = check_within(&sound, Scope::Tenant, &|| {
            asked.set(asked.get() + 1);
            asked.get() <= times
        });
        outcome.err()
    };
    assert_eq!(at_most(usize::MAX), None);
    // Once after it was compiled, then after each test.
    assert_eq!(asked.get(), sound.spec.tests.len() + 1);
    for times in 0..asked.get() {
        assert_eq!(at_most(times), Some(vec![too_slow()]), "{times}");
        assert_eq!(asked.get(), times + 1, "nothing is done after that");
    }
    let review = review_within(SOUND, Some("policy.yaml"), DEFAULT_POLICY_NAMESPACE, || || false);
    assert_eq!(said(&review.problems), said(&[too_slow()]));
    assert!(review.problems.iter().all(|one| one.line.is_some()), "{:?}", review.problems);
}
