//! A decision in; why, for the person who asked, in French and English, out. Types and counts, never values.

use std::collections::{BTreeMap, BTreeSet};

use novacrm_crds::Bilingual;
use novacrm_crds::compliance_policy::{ActionType, TokenForm, UseCaseClass};

use super::{Decision, MatchedRule, Uninspected, WaivedRule};
use crate::policy::words::{both, counted, list, moment, name_of_class};

/// Rules that are explained in full; the others are counted.
const EXPLAINED_RULES: usize = 4;

/// The whole explanation. `class` is given when a rule that looks at the use of AI matched.
pub(super) fn explain(decision: &Decision, class: Option<UseCaseClass>) -> Bilingual {
    let mut sentences = Vec::new();
    if let Some(why) = decision.uninspected {
        sentences.push(not_inspected(why));
    }
    if let Some(found) = found(decision) {
        sentences.push(found);
    }
    if let Some(class) = class {
        sentences.push(use_of_ai(decision, class));
    }
    sentences.extend(decision.waived.iter().take(EXPLAINED_RULES).map(waiver));
    if let Some(more) = decision.waived.len().checked_sub(EXPLAINED_RULES).filter(|more| *more > 0) {
        sentences.push(if more > 1 {
            both(
                &format!("{more} autres règles sont suspendues par une exception."),
                &format!("{more} other rules are waived by an exception as well."),
            )
        } else {
            both(
                "1 autre règle est suspendue par une exception.",
                "1 other rule is waived by an exception as well.",
            )
        });
    }
    sentences.push(outcome(decision));
    sentences.extend(decision.matched.iter().take(EXPLAINED_RULES).map(reason));
    if let Some(more) = decision.matched.len().checked_sub(EXPLAINED_RULES).filter(|more| *more > 0) {
        let (s, verb) = if more > 1 { ("s", "apply") } else { ("", "applies") };
        sentences.push(both(
            &format!("{more} autre{s} règle{s} s’applique{}.", if more > 1 { "nt" } else { "" }),
            &format!("{more} other rule{s} {verb} as well."),
        ));
    }
    sentences.extend(advice(decision));
    Bilingual {
        fr: sentences.iter().map(|one| one.fr.as_str()).collect::<Vec<_>>().join(" "),
        en: sentences.iter().map(|one| one.en.as_str()).collect::<Vec<_>>().join(" "),
    }
}

fn not_inspected(why: Uninspected) -> Bilingual {
    match why {
        Uninspected::TooLarge => {
            both("Ce texte est trop long pour être contrôlé.", "This text is too long to be inspected.")
        }
        Uninspected::TimeOut => both(
            "Ce texte n’a pas pu être contrôlé dans le temps imparti.",
            "This text could not be inspected in time.",
        ),
        Uninspected::StaleBundle => both(
            "Les règles connues de ce service sont trop anciennes pour que l’on s’y fie seules.",
            "The rules this service knows are too old to be relied on alone.",
        ),
    }
}

/// So many findings of each type, as one list.
fn counts<'a>(kinds: impl Iterator<Item = &'a str>) -> Option<Bilingual> {
    let mut by_kind: BTreeMap<&str, usize> = BTreeMap::new();
    for kind in kinds {
        *by_kind.entry(kind).or_default() += 1;
    }
    let parts: Vec<Bilingual> = by_kind.into_iter().map(|(kind, count)| counted(kind, count)).collect();
    (!parts.is_empty()).then(|| list(&parts, false))
}

fn found(decision: &Decision) -> Option<Bilingual> {
    let what = counts(decision.findings.iter().map(|one| one.finding.kind.as_ref()))?;
    Some(both(&format!("Ce texte contient {}.", what.fr), &format!("This text contains {}.", what.en)))
}

fn use_of_ai(decision: &Decision, class: UseCaseClass) -> Bilingual {
    let words = name_of_class(class);
    match &decision.use_case {
        Some(registered) => both(
            &format!("L’usage de l’IA « {} » est {}.", registered.display_name.fr, words.fr),
            &format!("The use of AI “{}” is {}.", registered.display_name.en, words.en),
        ),
        None => both(
            &format!("Cet usage de l’IA est {} de votre organisation.", words.fr),
            &format!("This use of AI is {} by your organisation.", words.en),
        ),
    }
}

fn outcome(decision: &Decision) -> Bilingual {
    match decision.action {
        ActionType::Allow if !decision.waived.is_empty() => both(
            "Aucune autre règle n’exige de modification : le texte peut être transmis tel quel.",
            "No other rule asks for a change: the text may be sent as it is.",
        ),
        ActionType::Allow if decision.findings.is_empty() => both(
            "Aucune règle ne s’y oppose : le texte peut être transmis tel quel.",
            "No rule stands against it: the text may be sent as it is.",
        ),
        ActionType::Allow => both(
            "Aucune règle n’exige de modification : le texte peut être transmis tel quel.",
            "No rule asks for a change: the text may be sent as it is.",
        ),
        ActionType::Flag => both(
            "Le texte peut être transmis tel quel ; le constat est enregistré.",
            "The text may be sent as it is; the observation is recorded.",
        ),
        ActionType::Mask | ActionType::Tokenize | ActionType::Redact => changes(decision),
        ActionType::RequireApproval => {
            let roles: Vec<Bilingual> = decision
                .approvers
                .iter()
                .map(|role| both(&format!("« {role} »"), &format!("“{role}”")))
                .collect();
            let roles = list(&roles, true);
            both(
                &format!(
                    "Rien n’a été transmis : une personne ayant le rôle {} doit d’abord l’approuver.",
                    roles.fr
                ),
                &format!("Nothing was sent: a person with the role {} must approve it first.", roles.en),
            )
        }
        ActionType::Block => both(
            "La demande est refusée et rien n’a été transmis.",
            "The request is refused and nothing was sent.",
        ),
    }
}

/// What was redacted, tokenized and masked.
fn changes(decision: &Decision) -> Bilingual {
    let of = |action: ActionType, form: Option<TokenForm>| {
        let touched = decision.findings.iter().filter(move |one| one.action == action && one.form == form);
        counts(touched.map(|one| one.finding.kind.as_ref()))
    };
    let named = [
        (ActionType::Redact, None, both("remplacé par une étiquette", "replaced by a label")),
        (
            ActionType::Tokenize,
            Some(TokenForm::Pseudonym),
            both("remplacé par un pseudonyme", "replaced by a pseudonym"),
        ),
        (
            ActionType::Tokenize,
            Some(TokenForm::Hash),
            both("remplacé par une empreinte irréversible", "replaced by an irreversible fingerprint"),
        ),
        (
            ActionType::Tokenize,
            Some(TokenForm::Token),
            both("remplacé par un jeton réversible", "replaced by a reversible token"),
        ),
        (ActionType::Mask, None, both("masqué", "masked")),
    ];
    let mut parts = Vec::new();
    for (action, form, name) in named {
        if let Some(what) = of(action, form) {
            parts.push(both(&format!("{} : {}", name.fr, what.fr), &format!("{}: {}", name.en, what.en)));
        }
    }
    let fr: Vec<&str> = parts.iter().map(|part| part.fr.as_str()).collect();
    let en: Vec<&str> = parts.iter().map(|part| part.en.as_str()).collect();
    both(
        &format!("Le texte peut être transmis après modification — {}.", fr.join(" ; ")),
        &format!("The text may be sent after these changes — {}.", en.join("; ")),
    )
}

/// Which rule does not act, by which exception, documented where and until when.
fn waiver(entry: &WaivedRule) -> Bilingual {
    let MatchedRule { policy, rule, .. } = &entry.matched;
    let exception = &entry.exception;
    let until = moment(exception.expires_at);
    both(
        &format!(
            "La règle {} de la politique « {} » (version {}) est suspendue par l’exception « {} » (ticket {}) jusqu’au {}.",
            rule.id, policy.name, policy.version, exception.id, exception.ticket, until.fr
        ),
        &format!(
            "Rule {} of the policy “{}” (version {}) is waived by the exception “{}” (ticket {}) until {}.",
            rule.id, policy.name, policy.version, exception.id, exception.ticket, until.en
        ),
    )
}

/// Which rule of which policy, and on what ground.
fn reason(entry: &MatchedRule) -> Bilingual {
    let MatchedRule { policy, rule, .. } = entry;
    let citations: Vec<&Bilingual> = rule.references.iter().map(|reference| &reference.citation).collect();
    let fr: Vec<&str> = citations.iter().map(|citation| citation.fr.as_str()).collect();
    let en: Vec<&str> = citations.iter().map(|citation| citation.en.as_str()).collect();
    both(
        &format!(
            "Règle {} de la politique « {} » (version {}) : {} ({}).",
            rule.id,
            policy.name,
            policy.version,
            rule.description.fr.trim().trim_end_matches('.'),
            fr.join(" ; ")
        ),
        &format!(
            "Rule {} of the policy “{}” (version {}): {} ({}).",
            rule.id,
            policy.name,
            policy.version,
            rule.description.en.trim().trim_end_matches('.'),
            en.join("; ")
        ),
    )
}

/// What to do, when there is something to do: the owners of the rules that decided.
fn advice(decision: &Decision) -> Option<Bilingual> {
    if decision.action < ActionType::Mask {
        return None;
    }
    let deciding: BTreeSet<(&str, &str)> = decision
        .matched
        .iter()
        .filter(|entry| entry.rule.action == decision.action)
        .map(|entry| (entry.policy.owner.team.as_str(), entry.policy.owner.contact.as_str()))
        .collect();
    let owners: Vec<Bilingual> = deciding
        .iter()
        .map(|(team, contact)| both(&format!("{team} ({contact})"), &format!("{team} ({contact})")))
        .collect();
    let owners = list(&owners, true);
    let has_findings = decision.matched.iter().any(|entry| !entry.findings.is_empty());
    Some(match decision.action {
        ActionType::Block if owners.fr.is_empty() => both(
            "Réessayez plus tard ou avec un texte plus court ; si cela persiste, prévenez votre administrateur.",
            "Try again later or with a shorter text; if that does not help, tell your administrator.",
        ),
        ActionType::Block if has_findings => both(
            &format!("Reformulez sans ces éléments, ou adressez-vous à : {}.", owners.fr),
            &format!("Rephrase without these elements, or turn to: {}.", owners.en),
        ),
        _ => both(&format!("Une question ? {}.", owners.fr), &format!("Questions? {}.", owners.en)),
    })
}
