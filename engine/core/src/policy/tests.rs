//! What is refused, where, and in which words.

use novacrm_crds::{CompliancePolicy, DEFAULT_POLICY_NAMESPACE};

use super::*;

/// A sound policy; each row of the table below breaks it in one place.
const SOUND: &str = r#"apiVersion: novacrm.io/v1alpha1
kind: CompliancePolicy
metadata:
  name: codes
  namespace: acme
spec:
  version: 1.2.0
  changelog: First version.
  owner: {team: Compliance, contact: compliance@acme.example}
  enforcement: {mode: enforce, failureMode: block, maxStalenessSeconds: 600}
  surfaces: [prompt.input, crm.note]
  detectors:
    - {id: pii.iban, minScore: 0.6}
  customDetectors:
    - id: custom.code
      type: PROJECT_CODE
      description: {fr: Code de projet., en: Project code.}
      pattern: 'PRJ-[0-9]{4}'
      score: 0.9
  rules:
    - id: CODE-1
      severity: high
      riskWeight: 40
      description: {fr: Masquer les codes., en: Mask codes.}
      risksCovered: [data-leak]
      references:
        - {law: gdpr, ref: "5(1)(c)"}
      when:
        any:
          - all:
              - finding: {detectors: [custom.code], atLeast: 1}
      action: {type: mask, keepLast: 2}
    - id: USE-1
      severity: critical
      riskWeight: 80
      description: {fr: Refuser., en: Refuse.}
      risksCovered: [prohibited-practice]
      references:
        - {law: eu-ai-act, ref: "5(1)(f)"}
      when:
        any:
          - all:
              - useCase: {classes: [prohibited], provisions: ["5(1)(f)"]}
              - field: {name: request.locale, in: [fr]}
      action: {type: block}
  tests:
    - name: a code is masked
      given: {text: "Le dossier PRJ-1234 avance."}
      expect: {action: mask, rules: [CODE-1], output: "Le dossier ***-**34 avance."}
    - name: nothing there
      given: {text: Bonjour.}
      expect: {action: allow}
    - name: prohibited
      given: {text: Bonjour., useCase: {id: mood, class: prohibited, provisions: ["5(1)(f)"]}}
      expect: {action: block, rules: [USE-1]}
"#;

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

#[test]
fn a_sound_policy_has_no_problems() {
    assert_eq!(problems_of(SOUND), []);
    let checked = check(&policy(SOUND), Scope::Tenant).unwrap();
    assert!(checked.digest().starts_with("sha256:"));
}

/// What is replaced, by what, and the path and a part of the message that come of it.
type Row = (&'static str, &'static str, &'static str, &'static str);

const BROKEN: &[Row] = &[
    // The envelope.
    ("novacrm.io/v1alpha1", "novacrm.io/v1", "apiVersion", "does not exist"),
    ("kind: CompliancePolicy", "kind: CompliancePolice", "kind", "there is no kind `CompliancePolice`"),
    ("kind: CompliancePolicy\n", "", "kind", "missing"),
    ("metadata:\n  name: codes\n  namespace: acme\n", "", "metadata", "no metadata"),
    ("  name: codes\n", "", "metadata.name", "no name"),
    ("name: codes", "name: Codes!", "metadata.name", "not a name"),
    ("namespace: acme", "namespace: 7", "metadata.namespace", "not a name"),
    (
        "  namespace: acme",
        "  namespace: acme\n  lables: {a: b}",
        "metadata.lables",
        "there is no field `lables`",
    ),
    ("  namespace: acme", "  namespace: acme\n  labels: {a: 1}", "metadata.labels.a", "must be a string"),
    // Unknown and missing fields, wrong types.
    ("  changelog: First version.\n", "", "spec.changelog", "missing"),
    ("changelog:", "changeLog:", "spec.changeLog", "there is no field"),
    ("changelog: First version.", "changelog: ''", "spec.changelog", "is empty"),
    ("changelog: First version.", "changelog:", "spec.changelog", "has no value"),
    ("changelog: First version.", "changelog: [a]", "spec.changelog", "must be a string, not a list"),
    ("{team: Compliance, ", "{", "spec.owner.team", "missing"),
    ("contact: compliance@acme.example", "contact: {a: b}", "spec.owner.contact", "must be a string"),
    ("mode: enforce", "mode: enforced", "spec.enforcement.mode", "not one of those allowed"),
    ("failureMode: block", "failureMode: open", "spec.enforcement.failureMode", "not one of those allowed"),
    (
        "maxStalenessSeconds: 600",
        "maxStalenessSeconds: 60",
        "spec.enforcement.maxStalenessSeconds",
        "out of range",
    ),
    (
        "maxStalenessSeconds: 600",
        "maxStalenessSeconds: 10m",
        "spec.enforcement.maxStalenessSeconds",
        "whole number",
    ),
    (
        "maxStalenessSeconds: 600",
        "maxStalenessSeconds: 600.5",
        "spec.enforcement.maxStalenessSeconds",
        "whole number",
    ),
    ("[prompt.input, crm.note]", "[prompt.inputs]", "spec.surfaces[0]", "not one of those allowed"),
    ("[prompt.input, crm.note]", "prompt.input", "spec.surfaces", "must be a list"),
    // Versions.
    ("version: 1.2.0", "version: 1.2", "spec.version", "must be a string, not a number"),
    ("version: 1.2.0", "version: v1.2.0", "spec.version", "form"),
    ("version: 1.2.0", "version: 01.2.0", "spec.version", "form"),
    ("version: 1.2.0", "version: 1.2.0+build", "spec.version", "build metadata"),
    ("version: 1.2.0", "version: 1.2.0-..", "spec.version", "not a semantic version"),
    // Scope.
    (
        "  surfaces:",
        "  tenantSelector: {}\n  surfaces:",
        "spec.tenantSelector",
        "only a policy in the policy namespace",
    ),
    ("namespace: acme", "namespace: novacrm-policies", "spec.tenantSelector", "must say which tenants"),
    // Detectors.
    ("id: pii.iban", "id: pii.ibann", "spec.detectors[0].id", "there is no detector `pii.ibann`"),
    ("id: pii.iban", "id: nothing.*", "spec.detectors[0].id", "there is no detector"),
    ("id: pii.iban", "id: PII", "spec.detectors[0].id", "form"),
    ("minScore: 0.6", "minScore: 1.5", "spec.detectors[0].minScore", "out of range"),
    ("minScore: 0.6", "minScore: high", "spec.detectors[0].minScore", "must be a number"),
    ("minScore: 0.6", "min_score: 0.6", "spec.detectors[0].min_score", "there is no field"),
    (
        "    - {id: pii.iban, minScore: 0.6}",
        "    - {id: pii.iban}\n    - {id: pii.iban}",
        "spec.detectors[1].id",
        "twice",
    ),
    ("    - {id: pii.iban, minScore: 0.6}", "    []", "spec.detectors", "needs at least 1 item"),
    ("id: custom.code", "id: code", "spec.customDetectors[0].id", "at least 8 characters"),
    ("id: custom.code", "id: mine.code", "spec.customDetectors[0].id", "form"),
    ("type: PROJECT_CODE", "type: project", "spec.customDetectors[0].type", "form"),
    ("score: 0.9", "score: 9", "spec.customDetectors[0].score", "out of range"),
    ("'PRJ-[0-9]{4}'", "'PRJ-[0-9'", "spec.customDetectors[0].pattern", ""),
    ("'PRJ-[0-9]{4}'", "'((a{1,100}){1,100}){1,100}'", "spec.customDetectors[0].pattern", ""),
    ("'PRJ-[0-9]{4}'", "'(?=PRJ)'", "spec.customDetectors[0].pattern", ""),
    (
        "  rules:\n    - id: CODE-1",
        "    - {id: custom.code, type: X_CODE, description: {fr: a, en: b}, pattern: x, score: 1}\n  rules:\n    - id: CODE-1",
        "spec.customDetectors[1].id",
        "another detector",
    ),
    // Rules.
    ("id: USE-1", "id: CODE-1", "spec.rules[1].id", "another rule"),
    ("id: CODE-1", "id: code_1", "spec.rules[0].id", "form"),
    ("severity: high", "severity: hihg", "spec.rules[0].severity", "not one of those allowed"),
    ("riskWeight: 40", "riskWeight: 400", "spec.rules[0].riskWeight", "out of range"),
    ("riskWeight: 40", "riskWeight: -1", "spec.rules[0].riskWeight", "out of range"),
    (
        "{fr: Masquer les codes., en: Mask codes.}",
        "{en: Mask codes.}",
        "spec.rules[0].description.fr",
        "missing",
    ),
    (
        "{fr: Masquer les codes., en: Mask codes.}",
        "{fr: a, en: ' '}",
        "spec.rules[0].description.en",
        "empty",
    ),
    ("risksCovered: [data-leak]", "risksCovered: []", "spec.rules[0].risksCovered", "at least 1 item"),
    ("risksCovered: [data-leak]", "risksCovered: [Data leak]", "spec.rules[0].risksCovered[0]", "form"),
    (
        "      references:\n        - {law: gdpr, ref: \"5(1)(c)\"}\n",
        "",
        "spec.rules[0].references",
        "missing",
    ),
    ("law: gdpr", "law: gpdr", "spec.rules[0].references[0]", "holds no law `gpdr`"),
    ("ref: \"5(1)(c)\"", "ref: \"5(1)(z)\"", "spec.rules[0].references[0]", "holds no provision `5(1)(z)`"),
    (
        "[custom.code], atLeast: 1",
        "[custom.cod]",
        "spec.rules[0].when.any[0].all[0].finding.detectors[0]",
        "does not use",
    ),
    (
        "[custom.code], atLeast: 1",
        "[pii.email]",
        "spec.rules[0].when.any[0].all[0].finding.detectors[0]",
        "does not use",
    ),
    (
        "[custom.code], atLeast: 1",
        "[custom.code, custom.*]",
        "spec.rules[0].when.any[0].all[0].finding.detectors[1]",
        "cover it",
    ),
    ("atLeast: 1", "atLeast: 0", "spec.rules[0].when.any[0].all[0].finding.atLeast", "out of range"),
    ("atLeast: 1", "atleast: 1", "spec.rules[0].when.any[0].all[0].finding.atleast", "there is no field"),
    (
        "- finding: {detectors",
        "- not: true\n                finding: {detectors",
        "spec.rules[0].when.any[0].all",
        "names none",
    ),
    (
        "- finding: {detectors: [custom.code], atLeast: 1}",
        "- not: true",
        "spec.rules[0].when.any[0].all[0]",
        "exactly one of",
    ),
    (
        "              - field:",
        "                field:",
        "spec.rules[1].when.any[0].all[0]",
        "exactly one of",
    ),
    ("in: [fr]", "in: [de]", "spec.rules[1].when.any[0].all[1].field.in[0]", "never has this value"),
    (
        "name: request.locale",
        "name: request.tenant",
        "spec.rules[1].when.any[0].all[1].field.name",
        "not one of those",
    ),
    (
        "classes: [prohibited], ",
        "classes: [forbidden], ",
        "spec.rules[1].when.any[0].all[0].useCase.classes[0]",
        "not one of those",
    ),
    (
        "classes: [prohibited], provisions: [\"5(1)(f)\"]",
        "classes: [prohibited], provisions: [\"5.1.f\"]",
        "spec.rules[1].when.any[0].all[0].useCase.provisions[0]",
        "holds no provision",
    ),
    (
        "action: {type: mask, keepLast: 2}",
        "action: {type: redact, keepLast: 2}",
        "spec.rules[0].action.keepLast",
        "mask",
    ),
    ("keepLast: 2", "keeplast: 2", "spec.rules[0].action.keeplast", "there is no field"),
    ("keepLast: 2", "keepLast: 9", "spec.rules[0].action.keepLast", "out of range"),
    ("type: mask", "type: tokenise", "spec.rules[0].action.type", "not one of those allowed"),
    (
        "action: {type: block}",
        "action: {type: requireApproval}",
        "spec.rules[1].action.approvers",
        "which needs them",
    ),
    (
        "action: {type: block}",
        "action: {type: block, approvers: [dpo]}",
        "spec.rules[1].action.approvers",
        "requireApproval",
    ),
    (
        "action: {type: block}",
        "action: {type: requireApproval, approvers: []}",
        "spec.rules[1].action.approvers",
        "at least 1",
    ),
    ("action: {type: block}", "action: block", "spec.rules[1].action", "must be a mapping, not a string"),
    // Tests.
    ("name: nothing there", "name: a code is masked", "spec.tests[1].name", "another test"),
    (
        "rules: [CODE-1], output",
        "rules: [CODE-2], output",
        "spec.tests[0].expect.rules[0]",
        "has no rule `CODE-2`",
    ),
    ("rules: [CODE-1], output", "rules: [CODE-1, CODE-1], output", "spec.tests[0].expect.rules[1]", "twice"),
    ("action: block, rules: [USE-1]", "action: block", "spec.rules[1].id", "a positive test"),
    (
        "action: mask, rules: [CODE-1]",
        "action: redact, rules: [CODE-1]",
        "spec.tests[0].expect.action",
        "expected redact, decided mask",
    ),
    (
        "action: mask, rules: [CODE-1]",
        "action: mask, rules: [CODE-1, USE-1]",
        "spec.tests[0].expect.rules",
        "did not match: USE-1",
    ),
    ("{text: Bonjour.}\n", "{text: PRJ-1111}\n", "spec.tests[1].expect.rules", "matched as well: CODE-1"),
    (
        "Le dossier ***-**34 avance.",
        "Le dossier ***-1234 avance.",
        "spec.tests[0].expect.output",
        "from character 16 on",
    ),
    ("rules: [USE-1]}", "rules: [USE-1], output: x}", "spec.tests[2].expect.output", "nothing leaves"),
    (
        "{id: mood, class: prohibited, provisions: [\"5(1)(f)\"]}",
        "{id: mood, class: minimal, provisions: [x]}",
        "spec.tests[2].given.useCase.provisions[0]",
        "holds no provision",
    ),
    ("given: {text: Bonjour.}", "given: {}", "spec.tests[1].given.text", "missing"),
    // YAML itself.
    ("team: Compliance", "team: yes", "spec.owner.team", "disagree"),
    ("riskWeight: 40", "riskWeight: 0x28", "spec.rules[0].riskWeight", "disagree what number"),
    ("riskWeight: 40", "riskWeight: 040", "spec.rules[0].riskWeight", "disagree what number"),
    ("riskWeight: 40", "riskWeight: .inf", "spec.rules[0].riskWeight", "not finite"),
    ("riskWeight: 40", "riskWeight: 40\n      riskWeight: 41", "spec.rules[0].riskWeight", "given twice"),
    ("in: [fr]", "in: &a [fr]", "", "an anchor"),
    ("in: [fr]", "in: [*a]", "", ""),
    ("team: Compliance", "team: !!str Compliance", "", "a tag"),
    ("    - {id: pii.iban, minScore: 0.6}", "    - {id: pii.iban", "", "not well-formed"),
    ("  version: 1.2.0", "\tversion: 1.2.0", "", "not well-formed"),
];

#[test]
fn each_broken_policy_is_refused_at_its_place() {
    assert!(BROKEN.len() >= 60);
    let mut failures = Vec::new();
    for (from, to, path, fragment) in BROKEN {
        assert_eq!(SOUND.matches(from).count().min(1), 1, "nothing to replace: {from}");
        let problems = problems_of(&SOUND.replacen(from, to, 1));
        let hit = problems.iter().any(|one| one.path == *path && one.message.contains(fragment));
        let placed =
            problems.iter().all(|one| one.line.is_some() && one.column.is_some() && one.file.is_some());
        let helpful = problems.iter().all(|one| !one.hint.is_empty() && !one.message.is_empty());
        if !hit || !placed || !helpful {
            failures.push(format!("{to}\n  wanted {path}: {fragment}\n  got {problems:#?}"));
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
