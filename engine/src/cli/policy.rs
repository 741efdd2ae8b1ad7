//! `novacrm-engine policy lint|test|diff`: files of manifests in; every problem with file, line and column, or the
//! outcome of every test, out.
//!
//! A file that cannot be read is no problem of a policy; it ends the command.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use novacrm_crds::compliance_policy::PolicyException;
use novacrm_crds::{CompliancePolicy, DEFAULT_POLICY_NAMESPACE};
use novacrm_engine_core::policy::{self, CheckedPolicy, Manifest, PolicyProblem, Scope};
use novacrm_service::effort::Effort;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::files::{ReadError, files, read};

/// How long before its end an exception is warned of.
const ENDS_SOON: Duration = Duration::days(7);

/// Checks and tests policies, as a pull request, admission and the engines do.
#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Finds every problem of policies and tenants: syntax, schema, references, documentation, tests
    #[command(
        after_help = "Exceptions that have ended or end within 7 days are warnings on standard error.\n\nExamples:\n  \
                            novacrm-engine policy lint policies/\n  novacrm-engine policy lint \
                            --output json policy.yaml tenant.yaml\n\nExit codes: 0 no problems, 1 problems, 2 a file \
                            could not be read"
    )]
    Lint(Input),
    /// Runs the tests that policies bring along and shows the outcome of each
    #[command(
        after_help = "Examples:\n  novacrm-engine policy test policies/\n  novacrm-engine policy test --output \
                            json policy.yaml\n\nExit codes: 0 all tests pass, 1 a test fails or a policy has other \
                            problems, 2 a file could not be read"
    )]
    Test(Input),
    /// Says what a change of policies does: what becomes stricter or looser, and which tests are decided otherwise
    #[command(
        after_help = "`looser` and `stricter` are said only where they hold for every text; the rest is to be read. What stands \
                            in tests is not shown.\n\nExamples:\n  git worktree add ../before origin/main\n  \
                            novacrm-engine policy diff ../before/policies policies --output markdown\n  novacrm-engine \
                            policy diff before.yaml after.yaml --lang en --fail-on looser\n\nExit codes: 0 compared, 1 a \
                            policy has problems or a change goes the way of --fail-on, 2 a file could not be read"
    )]
    Diff(super::diff::Arguments),
}

#[derive(Debug, Args)]
struct Input {
    /// Files, or folders that are searched for .yaml, .yml and .json files
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Namespace whose policies apply to the whole organisation
    #[arg(long, value_name = "NAMESPACE", default_value = DEFAULT_POLICY_NAMESPACE)]
    policy_namespace: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people: one line per problem or test
    Table,
    /// For programs: one JSON object
    Json,
}

/// Why the command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the result cannot be written")]
    Write(#[from] io::Error),
    #[error("the result cannot be written")]
    Json(#[from] serde_json::Error),
}

/// Runs the command and writes its result to `out`, warnings to `warnings`.
pub(super) fn run(
    args: &PolicyArgs,
    now: OffsetDateTime,
    out: &mut dyn Write,
    warnings: &mut dyn Write,
) -> Result<ExitCode, super::Failure> {
    let sound = match &args.command {
        Command::Lint(input) => lint(input, now, out, warnings)?,
        Command::Test(input) => test(input, out)?,
        Command::Diff(arguments) => super::diff::run(arguments, out)?,
    };
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What `policy lint --output json` writes.
#[derive(Debug, Default, Serialize)]
struct LintResult {
    ok: bool,
    files: usize,
    policies: usize,
    tenants: usize,
    problems: Vec<PolicyProblem>,
}

fn lint(
    input: &Input,
    now: OffsetDateTime,
    out: &mut dyn Write,
    warnings: &mut dyn Write,
) -> Result<bool, Failure> {
    let mut result = LintResult::default();
    let mut seen = HashMap::new();
    for path in files(&input.paths)? {
        result.files += 1;
        let name = path.display().to_string();
        let source = match read(&path)? {
            Ok(source) => source,
            Err(problem) => {
                result.problems.push(problem);
                continue;
            }
        };
        let review = policy::review_within(&source, Some(&name), &input.policy_namespace, begin);
        result.policies += review.policies.len();
        result.tenants += review.tenants.len();
        result.problems.extend(review.problems);
        for located in &review.policies {
            for warning in endings(&located.object, now) {
                let warning = located.locate(warning);
                let (line, column) = (warning.line.unwrap_or(1), warning.column.unwrap_or(1));
                writeln!(warnings, "{name}:{line}:{column}: warning: {}: {}", warning.path, warning.message)?;
                writeln!(warnings, "    {}", warning.hint)?;
            }
            let id = (located.object.namespace().to_owned(), located.object.name().to_owned());
            if let Some(other) = seen.insert(id, name.clone()) {
                result.problems.push(
                    located.locate(PolicyProblem {
                        path: "metadata.name".to_owned(),
                        message: format!("{other} holds a policy of this name and namespace, too"),
                        hint: "Rename or remove one of the two; in a cluster one would replace the other."
                            .to_owned(),
                        file: None,
                        line: None,
                        column: None,
                    }),
                );
            }
        }
    }
    result.ok = result.problems.is_empty();
    match input.output {
        Output::Json => json(&result, out)?,
        Output::Table => {
            for problem in &result.problems {
                write_problem(problem, "", out)?;
            }
            writeln!(
                out,
                "{}, {} and {} without problems: {} found",
                counted(result.files, "file", "files"),
                counted(result.policies, "policy", "policies"),
                counted(result.tenants, "tenant", "tenants"),
                counted(result.problems.len(), "problem", "problems"),
            )?;
        }
    }
    Ok(result.ok)
}

/// Begins to measure how long a policy is judged, as the operator does; says whether that may go on.
pub(super) fn begin() -> impl Fn() -> bool {
    policy::warm_up();
    let effort = Effort::begin(policy::JUDGING_LIMIT);
    move || !effort.is_spent()
}

/// Warnings of exceptions that have ended or soon will. An ended one is in nobody's way; people should know all the
/// same that the rules act again, or are about to.
fn endings(policy: &CheckedPolicy, now: OffsetDateTime) -> Vec<PolicyProblem> {
    let exceptions = policy.spec().exceptions.iter().enumerate();
    let warning = |(index, exception): (usize, &PolicyException)| {
        let ends = policy::expiry(&exception.expires_at)?;
        let (message, hint) = if ends <= now {
            (
                format!("the exception `{}` has ended; its rules act again", exception.id),
                "Remove it, or have it approved anew under another id.",
            )
        } else if ends - now <= ENDS_SOON {
            (
                format!("the exception `{}` ends within {} days", exception.id, ENDS_SOON.whole_days()),
                "Make sure that what it was for is done; its rules then act again by themselves.",
            )
        } else {
            return None;
        };
        Some(PolicyProblem {
            path: format!("spec.exceptions[{index}].expiresAt"),
            message,
            hint: hint.to_owned(),
            file: None,
            line: None,
            column: None,
        })
    };
    exceptions.filter_map(warning).collect()
}

/// What `policy test --output json` writes.
#[derive(Debug, Default, Serialize)]
struct TestResult {
    ok: bool,
    policies: Vec<TestedPolicy>,
    /// Problems that are not the outcome of a test; policies that have some are not tested.
    problems: Vec<PolicyProblem>,
}

#[derive(Debug, Serialize)]
struct TestedPolicy {
    namespace: String,
    name: String,
    version: String,
    file: String,
    tests: Vec<TestOutcome>,
}

#[derive(Debug, Serialize)]
struct TestOutcome {
    name: String,
    passed: bool,
    problems: Vec<PolicyProblem>,
}

fn test(input: &Input, out: &mut dyn Write) -> Result<bool, Failure> {
    let mut result = TestResult::default();
    for path in files(&input.paths)? {
        let name = path.display().to_string();
        let manifests = match read(&path)? {
            Ok(source) => policy::read_manifests(&source, Some(&name)),
            Err(problem) => Err(vec![problem]),
        };
        let manifests = match manifests {
            Ok(manifests) => manifests,
            Err(problems) => {
                result.problems.extend(problems);
                continue;
            }
        };
        for located in manifests {
            let Manifest::CompliancePolicy(object) = &located.object else { continue };
            let scope = match object.metadata.namespace.as_deref() {
                Some(namespace) if namespace == input.policy_namespace => Scope::Organisation,
                _ => Scope::Tenant,
            };
            let problems = match policy::check_within(object, scope, &begin()) {
                Ok(_) => Vec::new(),
                Err(problems) => problems.into_iter().map(|one| located.locate(one)).collect(),
            };
            match outcomes(object, problems) {
                Ok(tests) => result.policies.push(TestedPolicy {
                    namespace: object.metadata.namespace.clone().unwrap_or_default(),
                    name: object.metadata.name.clone().unwrap_or_default(),
                    version: object.spec.version.clone(),
                    file: name.clone(),
                    tests,
                }),
                Err(problems) => result.problems.extend(problems),
            }
        }
    }
    let (mut passed, mut failed) = (0, 0);
    for outcome in result.policies.iter().flat_map(|policy| &policy.tests) {
        if outcome.passed { passed += 1 } else { failed += 1 }
    }
    result.ok = failed == 0 && result.problems.is_empty();
    match input.output {
        Output::Json => json(&result, out)?,
        Output::Table => {
            for policy in &result.policies {
                writeln!(out, "{}/{} {} ({})", policy.namespace, policy.name, policy.version, policy.file)?;
                for outcome in &policy.tests {
                    writeln!(out, "  {} {}", if outcome.passed { "pass" } else { "FAIL" }, outcome.name)?;
                    for problem in &outcome.problems {
                        write_problem(problem, "       ", out)?;
                    }
                }
            }
            for problem in &result.problems {
                write_problem(problem, "", out)?;
            }
            let problems = counted(result.problems.len(), "problem", "problems");
            writeln!(out, "{passed} passed, {failed} failed, {problems} besides")?;
        }
    }
    Ok(result.ok)
}

/// The outcome of each test, or the problems because of which none was run.
fn outcomes(
    object: &CompliancePolicy,
    problems: Vec<PolicyProblem>,
) -> Result<Vec<TestOutcome>, Vec<PolicyProblem>> {
    let mut tests: Vec<TestOutcome> = object
        .spec
        .tests
        .iter()
        .map(|test| TestOutcome { name: test.name.clone(), passed: true, problems: Vec::new() })
        .collect();
    let mut others = Vec::new();
    for problem in problems {
        let index = problem
            .message
            .starts_with(policy::TEST_FAILS)
            .then(|| problem.path.strip_prefix("spec.tests["))
            .flatten()
            .and_then(|rest| rest.split_once(']'))
            .and_then(|(index, _)| index.parse::<usize>().ok());
        match index.and_then(|index| tests.get_mut(index)) {
            Some(outcome) => {
                outcome.passed = false;
                outcome.problems.push(problem);
            }
            None => others.push(problem),
        }
    }
    if others.is_empty() { Ok(tests) } else { Err(others) }
}

pub(super) fn write_problem(problem: &PolicyProblem, indent: &str, out: &mut dyn Write) -> io::Result<()> {
    let file = problem.file.as_deref().unwrap_or("-");
    let (line, column) = (problem.line.unwrap_or(1), problem.column.unwrap_or(1));
    let path = if problem.path.is_empty() { String::new() } else { format!("{}: ", problem.path) };
    writeln!(out, "{indent}{file}:{line}:{column}: {path}{}", problem.message)?;
    writeln!(out, "{indent}    {}", problem.hint)
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

pub(super) fn json(value: &impl Serialize, out: &mut dyn Write) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use time::macros::datetime;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: PolicyArgs,
    }

    const POLICY: &str = r#"apiVersion: novacrm.io/v1alpha1
kind: CompliancePolicy
metadata: {name: codes, namespace: acme}
spec:
  version: 1.0.0
  changelog: First version.
  owner: {team: Compliance, contact: compliance@acme.example}
  detectors: [{id: pii.iban}]
  customDetectors:
    - {id: custom.code, type: PROJECT_CODE, description: {fr: Code., en: Code.}, pattern: 'PRJ-[0-9]{4}', score: 0.9}
  rules:
    - id: CODE-1
      severity: high
      riskWeight: 40
      description: {fr: Masquer les codes., en: Mask codes.}
      risksCovered: [data-leak]
      references: [{law: gdpr, ref: "5(1)(c)"}]
      when: {any: [{all: [{finding: {detectors: [custom.code]}}]}]}
      action: {type: mask}
  tests:
    - {name: a code is masked, given: {text: PRJ-1234}, expect: {action: mask, rules: [CODE-1]}}
    - {name: nothing there, given: {text: Bonjour.}, expect: {action: allow}}
"#;

    /// The exit code, or what ended the command; and what was written.
    struct Ran {
        code: Result<ExitCode, String>,
        out: String,
        warnings: String,
    }

    fn ran(arguments: &[&str]) -> Ran {
        let cli = Cli::try_parse_from(["policy"].iter().chain(arguments)).unwrap();
        let (mut out, mut warnings) = (Vec::new(), Vec::new());
        let now = datetime!(2027-01-10 12:00 UTC);
        let code = run(&cli.args, now, &mut out, &mut warnings).map_err(|failure| failure.to_string());
        Ran { code, out: String::from_utf8(out).unwrap(), warnings: String::from_utf8(warnings).unwrap() }
    }

    fn file(folder: &tempfile::TempDir, name: &str, content: &str) -> String {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    #[test]
    fn sound_policies_pass_both_commands() {
        let folder = tempfile::tempdir().unwrap();
        file(&folder, "a/policy.yaml", POLICY);
        let path = folder.path().display().to_string();
        let lint = ran(&["lint", &path]);
        assert_eq!(lint.code, Ok(ExitCode::SUCCESS), "{}", lint.out);
        assert_eq!(lint.out, "1 file, 1 policy and 0 tenants without problems: 0 problems found\n");
        let test = ran(&["test", &path]);
        assert_eq!(test.code, Ok(ExitCode::SUCCESS), "{}", test.out);
        assert!(test.out.contains("  pass a code is masked\n"), "{}", test.out);
        assert!(test.out.ends_with("2 passed, 0 failed, 0 problems besides\n"), "{}", test.out);
    }

    #[test]
    fn lint_shows_file_line_and_column() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "policy.yaml", &POLICY.replace("severity: high", "severity: hgih"));
        let lint = ran(&["lint", &path]);
        assert_eq!(lint.code, Ok(ExitCode::from(1)));
        let wanted =
            format!("{path}:13:17: spec.rules[0].severity: this value is not one of those allowed\n");
        assert!(lint.out.starts_with(&wanted), "{}", lint.out);
        assert!(lint.out.contains("Did you mean `high`?"), "{}", lint.out);
        let json: serde_json::Value =
            serde_json::from_str(&ran(&["lint", "--output", "json", &path]).out).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!((&json["problems"][0]["line"], &json["problems"][0]["column"]), (&13.into(), &17.into()));
    }

    #[test]
    fn a_failing_test_is_named_with_what_was_decided() {
        let folder = tempfile::tempdir().unwrap();
        let path =
            file(&folder, "policy.yaml", &POLICY.replace("{action: mask, rules", "{action: redact, rules"));
        let test = ran(&["test", &path]);
        assert_eq!(test.code, Ok(ExitCode::from(1)));
        assert!(test.out.contains("  FAIL a code is masked\n"), "{}", test.out);
        assert!(test.out.contains("expected redact, decided mask"), "{}", test.out);
        let json: serde_json::Value =
            serde_json::from_str(&ran(&["test", "--output", "json", &path]).out).unwrap();
        assert_eq!(json["policies"][0]["tests"][0]["passed"], false);
        assert_eq!(json["policies"][0]["tests"][1]["passed"], true);
    }

    #[test]
    fn diff_says_what_a_change_does_in_words_for_people_and_for_programs() {
        let folder = tempfile::tempdir().unwrap();
        let before = file(&folder, "before.yaml", POLICY);
        let changed =
            POLICY.replace("version: 1.0.0", "version: 1.1.0").replace("{type: mask}", "{type: flag}");
        let after =
            file(&folder, "after.yaml", &changed.replace("{action: mask, rules", "{action: flag, rules"));
        let table = ran(&["diff", &before, &after]);
        assert_eq!(table.code, Ok(ExitCode::SUCCESS), "{}", table.out);
        for wanted in
            ["1 plus souple(s)", "acme/codes 1.0.0 → 1.1.0", "PLUS SOUPLE  spec.rules[CODE-1].action"]
        {
            assert!(table.out.contains(wanted), "{wanted}: {}", table.out);
        }
        let markdown =
            ran(&["diff", &before, &after, "--output", "markdown", "--lang", "en", "--fail-on", "looser"]);
        assert_eq!(markdown.code, Ok(ExitCode::from(1)));
        assert!(
            markdown.out.contains("- a code is masked : mask (CODE-1) → flag (CODE-1)\n"),
            "{}",
            markdown.out
        );
        assert!(!markdown.out.contains("PRJ-1234"), "the text of a test is shown: {}", markdown.out);
        let json: serde_json::Value =
            serde_json::from_str(&ran(&["diff", &before, &after, "--output", "json"]).out).unwrap();
        assert_eq!((&json["ok"], &json["looser"]), (&true.into(), &1.into()));
        // The way back is stricter, and lower than what the cluster has.
        let back = ran(&["diff", &after, &before, "--lang", "en", "--fail-on", "unclear"]);
        assert_eq!(back.code, Ok(ExitCode::SUCCESS), "{}", back.out);
        assert!(back.out.contains("1 stricter") && back.out.contains("higher version"), "{}", back.out);
    }

    #[test]
    fn diff_compares_nothing_while_a_policy_has_problems() {
        let folder = tempfile::tempdir().unwrap();
        let before = file(&folder, "before.yaml", POLICY);
        let after = file(&folder, "after.yaml", &POLICY.replace("severity: high", "severity: hgih"));
        let diff = ran(&["diff", &before, &after]);
        assert_eq!(diff.code, Ok(ExitCode::from(1)));
        assert!(
            diff.out.starts_with(&format!("{after}:13:17: ")) && !diff.out.contains("plus souple"),
            "{}",
            diff.out
        );
    }

    #[test]
    fn diff_takes_an_empty_folder_for_no_policy() {
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("none");
        std::fs::create_dir(&none).unwrap();
        let after = file(&folder, "after.yaml", POLICY);
        let diff = ran(&["diff", none.to_str().unwrap(), &after, "--lang", "en"]);
        assert!(
            diff.out.contains("acme/codes 1.0.0 (new)") && diff.out.contains("1 stricter"),
            "{}",
            diff.out
        );
    }

    #[test]
    fn lint_warns_of_exceptions_that_have_ended_or_soon_will_and_passes() {
        let folder = tempfile::tempdir().unwrap();
        let mut policy = POLICY.replace("  tests:\n", "  exceptions:\n  tests:\n");
        let ends = ["2027-01-10T12:00:00Z", "2027-01-17T13:00:00+01:00", "2027-01-17T12:00:01Z"];
        for (index, ends) in ends.iter().enumerate().rev() {
            let exception = format!(
                "  exceptions:\n    - {{id: x{index}, rules: [CODE-1], reason: r, ticket: t, requestedBy: a, approvedBy: b, expiresAt: \"{ends}\"}}\n"
            );
            policy = policy.replace("  exceptions:\n", &exception);
        }
        let path = file(&folder, "policy.yaml", &policy);
        let lint = ran(&["lint", &path]);
        assert_eq!(lint.code, Ok(ExitCode::SUCCESS), "{}", lint.out);
        let warned: Vec<&str> = lint.warnings.lines().step_by(2).collect();
        let place = |line: u32, index: usize| {
            format!("{path}:{line}:97: warning: spec.exceptions[{index}].expiresAt")
        };
        assert_eq!(
            warned,
            [
                format!("{}: the exception `x0` has ended; its rules act again", place(21, 0)),
                format!("{}: the exception `x1` ends within 7 days", place(22, 1)),
            ]
        );
        let json = ran(&["lint", "--output", "json", &path]);
        assert!(serde_json::from_str::<serde_json::Value>(&json.out).is_ok());
        assert_eq!(json.warnings, lint.warnings);
    }

    #[test]
    fn two_policies_of_one_name_are_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        file(&folder, "a.yaml", POLICY);
        file(&folder, "b.yaml", POLICY);
        let lint = ran(&["lint", &folder.path().display().to_string()]);
        assert_eq!(lint.code, Ok(ExitCode::from(1)));
        assert!(lint.out.contains("b.yaml:3:"), "{}", lint.out);
    }

    #[test]
    fn what_cannot_be_read_is_told_apart_from_problems() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.yaml").display().to_string();
        let lint = ran(&["lint", &missing]);
        assert_eq!(lint.code, Err(format!("{missing} cannot be read")));
        let empty = ran(&["test", &folder.path().display().to_string()]);
        assert!(empty.code.is_err_and(|failure| failure.contains("holds no .yaml")));
        let path = folder.path().join("latin.yaml");
        std::fs::write(&path, b"a: \xe9").unwrap();
        let latin = ran(&["lint", &path.display().to_string()]);
        assert_eq!(latin.code, Ok(ExitCode::from(1)));
        assert!(latin.out.contains("byte 4 is not UTF-8"), "{}", latin.out);
    }

    #[test]
    fn a_command_without_files_is_a_usage_error() {
        assert!(Cli::try_parse_from(["policy", "lint"]).is_err());
    }

    #[test]
    fn a_policy_whose_tests_take_too_long_is_refused_in_the_words_of_admission() {
        let sound = policy::read_manifests(POLICY, None).unwrap().pop().unwrap().object;
        let Manifest::CompliancePolicy(sound) = sound else { panic!("no policy") };
        let mut object = serde_json::to_value(*sound).unwrap();
        // Each expression has to be followed letter by letter through all of every text.
        let slow = |index: usize| {
            serde_json::json!({
                "id": format!("custom.slow-{index}"), "type": "SLOW", "description": { "fr": "a", "en": "b" },
                "pattern": r"\b(\w+[-é])+\d{9}\b", "score": 0.9,
            })
        };
        object["spec"]["customDetectors"].as_array_mut().unwrap().extend((0..8).map(slow));
        let text = "évé-né-".repeat(580);
        let tests = (0..500).map(|index| {
            serde_json::json!({ "name": format!("long {index}"), "given": { "text": text }, "expect": { "action": "allow" } })
        });
        object["spec"]["tests"].as_array_mut().unwrap().extend(tests);
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "policy.json", &object.to_string());
        for command in ["lint", "test"] {
            let ran = ran(&[command, &path]);
            assert_eq!(ran.code, Ok(ExitCode::from(1)), "{}", ran.out);
            let wanted = format!("spec.tests: {}", policy::too_slow().message);
            assert!(ran.out.contains(&wanted), "{command}: {}", ran.out);
        }
    }
}
