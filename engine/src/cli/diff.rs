//! `novacrm-engine policy diff`: the policies before a change and after it in; what the change does, for who reviews it,
//! out.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use novacrm_crds::DEFAULT_POLICY_NAMESPACE;
use novacrm_engine_core::policy::{
    self, Change, CheckedPolicy, Comparison, Decided, Direction, Evidence, PolicyComparison, PolicyProblem,
    compare,
};
use serde::Serialize;
use serde_json::Value;

use super::files::{files, read};
use super::policy::{Failure, begin, json, write_problem};

/// Longest value that a table shows; the whole of it stands in the files.
const VALUE_LENGTH: usize = 60;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Policies before the change: a file, or a folder that is searched; an empty folder is none
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// Policies after the change
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Language of tables and Markdown
    #[arg(long, value_enum, default_value_t = Language::Fr)]
    lang: Language,
    /// Exit with 1 when a change goes this way or further: `unclear` fails on `looser` as well
    #[arg(long, value_enum, value_name = "DIRECTION")]
    fail_on: Option<FailOn>,
    /// Namespace whose policies apply to the whole organisation
    #[arg(long, value_name = "NAMESPACE", default_value = DEFAULT_POLICY_NAMESPACE)]
    policy_namespace: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For a terminal
    Table,
    /// For the comment of a pull request
    Markdown,
    /// For programs: one JSON object
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    /// French
    Fr,
    /// English
    En,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Something may leave that stayed before
    Looser,
    /// Somebody has to read whether it may
    Unclear,
}

/// What `--output json` writes.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    ok: bool,
    stricter: usize,
    looser: usize,
    unclear: usize,
    neutral: usize,
    problems: &'a [PolicyProblem],
    #[serde(flatten)]
    comparison: &'a Comparison,
}

/// Runs the command. Out: whether nothing is wrong with what was looked at.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<bool, Failure> {
    let mut problems = Vec::new();
    let before = policies(&arguments.before, &arguments.policy_namespace, &mut problems)?;
    let after = policies(&arguments.after, &arguments.policy_namespace, &mut problems)?;
    // A policy that cannot be read would seem to be gone.
    let comparison = if problems.is_empty() { compare(&before, &after) } else { Comparison::default() };
    let gate = match arguments.fail_on {
        None => 0,
        Some(FailOn::Looser) => comparison.count(Direction::Looser),
        Some(FailOn::Unclear) => comparison.count(Direction::Looser) + comparison.count(Direction::Unclear),
    };
    let ok = problems.is_empty() && gate == 0;
    if arguments.output == Output::Json {
        let outcome = Outcome {
            ok,
            stricter: comparison.count(Direction::Stricter),
            looser: comparison.count(Direction::Looser),
            unclear: comparison.count(Direction::Unclear),
            neutral: comparison.count(Direction::Neutral),
            problems: &problems,
            comparison: &comparison,
        };
        json(&outcome, out)?;
        return Ok(ok);
    }
    if !problems.is_empty() {
        for problem in &problems {
            write_problem(problem, "", out)?;
        }
        return Ok(false);
    }
    let words = Words { french: arguments.lang == Language::Fr };
    match arguments.output {
        Output::Markdown => out.write_all(markdown(&comparison, words).as_bytes())?,
        _ => out.write_all(table(&comparison, words).as_bytes())?,
    }
    Ok(ok)
}

/// The policies of a side, and the problems of those that have some.
fn policies(
    path: &PathBuf,
    policy_namespace: &str,
    problems: &mut Vec<PolicyProblem>,
) -> Result<Vec<CheckedPolicy>, Failure> {
    let empty = path.is_dir() && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if empty {
        return Ok(Vec::new());
    }
    let mut policies = Vec::new();
    for file in files(std::slice::from_ref(path))? {
        let name = file.display().to_string();
        match read(&file)? {
            Ok(source) => {
                let review = policy::review_within(&source, Some(&name), policy_namespace, begin);
                problems.extend(review.problems);
                policies.extend(review.policies.into_iter().map(|located| located.object));
            }
            Err(problem) => problems.push(problem),
        }
    }
    Ok(policies)
}

/// Words of the result, in one language.
#[derive(Clone, Copy)]
struct Words {
    french: bool,
}

impl Words {
    fn pick(self, french: &'static str, english: &'static str) -> &'static str {
        if self.french { french } else { english }
    }

    fn direction(self, direction: Direction) -> &'static str {
        match direction {
            Direction::Stricter => self.pick("plus strict", "stricter"),
            Direction::Looser => self.pick("PLUS SOUPLE", "LOOSER"),
            Direction::Unclear => self.pick("à lire", "to be read"),
            Direction::Neutral => self.pick("sans effet", "no effect"),
        }
    }

    fn headline(self, comparison: &Comparison) -> String {
        if comparison.policies.is_empty() {
            return self.pick("Aucune policy ne change.", "No policy changes.").to_owned();
        }
        let count = |direction| comparison.count(direction);
        let [looser, unclear, stricter, neutral] =
            [Direction::Looser, Direction::Unclear, Direction::Stricter, Direction::Neutral].map(count);
        if self.french {
            format!(
                "Changements : {looser} plus souple(s), {unclear} à lire, {stricter} plus strict(s), {neutral} sans effet."
            )
        } else {
            format!(
                "Changes: {looser} looser, {unclear} to be read, {stricter} stricter, {neutral} without effect."
            )
        }
    }

    fn heading(self, policy: &PolicyComparison) -> String {
        let name = format!("{}/{}", policy.namespace, policy.name);
        match (&policy.before, &policy.after) {
            (Some(before), Some(after)) => format!("{name} {before} → {after}"),
            (None, Some(after)) => format!("{name} {after} ({})", self.pick("nouvelle", "new")),
            (Some(before), None) => format!("{name} {before} ({})", self.pick("retirée", "removed")),
            (None, None) => name,
        }
    }

    /// What a test is decided before and after; where only the text differs, that.
    fn evidence(self, evidence: &Evidence) -> String {
        if evidence.before == evidence.after {
            let text = self.pick("un autre texte sort", "another text leaves");
            return format!("{} ; {text}", self.decided(&evidence.before));
        }
        format!("{} → {}", self.decided(&evidence.before), self.decided(&evidence.after))
    }

    fn decided(self, decided: &Decided) -> String {
        let action = serde_json::to_value(decided.action).unwrap_or_default();
        let action = action.as_str().unwrap_or_default().to_owned();
        if decided.rules.is_empty() { action } else { format!("{action} ({})", decided.rules.join(", ")) }
    }
}

/// What is read first comes first.
fn sorted(changes: &[Change]) -> Vec<&Change> {
    let rank = |direction| match direction {
        Direction::Looser => 0,
        Direction::Unclear => 1,
        Direction::Stricter => 2,
        Direction::Neutral => 3,
    };
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by_key(|change| rank(change.direction));
    sorted
}

/// A value on one line. Texts of tests are nobody's business here.
fn short(path: &str, value: Option<&Value>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    if path.starts_with("spec.tests") {
        return "…".to_owned();
    }
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > VALUE_LENGTH {
        line = line.chars().take(VALUE_LENGTH - 1).collect();
        line.push('…');
    }
    line
}

fn table(comparison: &Comparison, words: Words) -> String {
    let mut text = format!("{}\n", words.headline(comparison));
    for policy in &comparison.policies {
        let _ = writeln!(text, "\n{}", words.heading(policy));
        if let Some(refused) = &policy.refused {
            let _ = writeln!(text, "  ! {refused}");
        }
        let mut table = Table::new();
        table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        for change in sorted(&policy.changes) {
            table.add_row([
                format!(" {}", words.direction(change.direction)),
                change.path.clone(),
                short(&change.path, change.before.as_ref()),
                "→".to_owned(),
                short(&change.path, change.after.as_ref()),
            ]);
        }
        let _ = writeln!(text, "{}", table.trim_fmt());
        for evidence in &policy.evidence {
            let _ = writeln!(text, "  « {} » : {}", evidence.test, words.evidence(evidence));
        }
    }
    text
}

fn markdown(comparison: &Comparison, words: Words) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let code =
        |text: String| if text == "–" { text } else { format!("`{}`", cell(&text).replace('`', "'")) };
    let mut text = format!("**{}**\n", words.headline(comparison));
    for policy in &comparison.policies {
        let _ = writeln!(text, "\n### {}\n", cell(&words.heading(policy)));
        if let Some(changelog) = &policy.changelog {
            let _ = writeln!(text, "> {}\n", cell(changelog));
        }
        if let Some(refused) = &policy.refused {
            let label =
                words.pick("Le cluster refuserait ce changement", "The cluster would refuse this change");
            let _ = writeln!(text, "⚠️ {label}: {}\n", cell(refused));
        }
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |\n| --- | --- | --- | --- |",
            words.pick("effet", "effect"),
            words.pick("champ", "field"),
            words.pick("avant", "before"),
            words.pick("après", "after"),
        );
        for change in sorted(&policy.changes) {
            let direction = words.direction(change.direction);
            let loud = matches!(change.direction, Direction::Looser | Direction::Unclear);
            let _ = writeln!(
                text,
                "| {} | `{}` | {} | {} |",
                if loud { format!("**{direction}**") } else { direction.to_owned() },
                cell(&change.path),
                code(short(&change.path, change.before.as_ref())),
                code(short(&change.path, change.after.as_ref())),
            );
        }
        if !policy.evidence.is_empty() {
            let _ = writeln!(
                text,
                "\n{}\n",
                words.pick("Tests décidés autrement :", "Tests that are decided otherwise:")
            );
            for evidence in &policy.evidence {
                let _ = writeln!(text, "- {} : {}", cell(&evidence.test), words.evidence(evidence));
            }
        }
    }
    text
}
