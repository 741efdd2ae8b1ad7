//! What leaves of a text that comes in pieces.

use novacrm_crds::compliance_policy::{Action, FailureMode, TokenScope};
use proptest::prelude::*;

use super::super::tests::{action, bundle, detector, finding, key, policy, request, rule};
use super::*;
use crate::bundle::BundledPolicy;
use crate::pipeline::analyze;
use crate::transform::Restorer;

const IBAN: &str = "FR76 3000 6000 0112 3456 7890 189";

/// A policy that does `kind` with account numbers and codes.
fn policy_of(kind: ActionType) -> BundledPolicy {
    let action =
        Action { scope: (kind == ActionType::Tokenize).then_some(TokenScope::Document), ..action(kind, 0) };
    let when = vec![vec![finding(&["pii.iban", "custom.code"], 1)]];
    policy("p", vec![detector("code", "PRJ-[0-9]{4}")], vec![rule("R", when, action, 50)])
}

fn compiled(kind: ActionType) -> CompiledBundle {
    bundle(vec![policy_of(kind)], Vec::new())
}

fn step(stream: &mut Stream, bundle: &CompiledBundle, is_last: bool) -> Part {
    let inspected = stream.arrived().inspect(bundle, &request(""), &key(), is_last, None);
    stream.release(inspected, is_last)
}

/// What left, what was last decided, and the most that was held back after a decision.
fn run(bundle: &CompiledBundle, pieces: &[&str]) -> (String, Part, usize) {
    let mut stream = Stream::new(1 << 20, None);
    let (mut out, mut most) = (String::new(), 0);
    for piece in pieces {
        stream.push(piece).unwrap();
        if stream.is_due() {
            let part = step(&mut stream, bundle, false);
            out.push_str(part.decision.output.as_deref().unwrap_or_default());
            most = most.max(stream.held());
            if stream.is_over() {
                return (out, part, most);
            }
        }
    }
    let part = step(&mut stream, bundle, true);
    out.push_str(part.decision.output.as_deref().unwrap_or_default());
    (out, part, most)
}

fn cut(text: &str, size: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.char_indices().nth(size).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[test]
fn what_leaves_in_parts_is_what_would_leave_at_once() {
    let filler = "Voici un texte ordinaire, sans rien de particulier à trouver. ".repeat(9);
    let text = format!("{filler}{IBAN} puis PRJ-1234. {filler}Encore {IBAN}, é PRJ-9999 {filler}");
    for kind in [ActionType::Redact, ActionType::Tokenize, ActionType::Mask, ActionType::Flag] {
        let bundle = compiled(kind);
        let whole = analyze(&bundle, &Request { text: &text, ..request("") }, &key());
        for size in [1, 7, 64, 300, 5000] {
            let (out, last, most) = run(&bundle, &cut(&text, size));
            assert_eq!(Some(&out), whole.output.as_ref(), "{kind:?} in pieces of {size}");
            assert_eq!((&last.decision.findings, last.late), (&whole.findings, 0));
            assert!(most <= HOLD_BYTES + STEP_BYTES, "{most}");
        }
    }
}

#[test]
fn nothing_leaves_that_was_not_inspected() {
    let mut stream = Stream::new(1 << 20, None);
    let bundle = compiled(ActionType::Redact);
    stream.push(&"mot ".repeat(128)).unwrap();
    assert!(!stream.is_due());
    stream.push("un de plus ").unwrap();
    assert!(stream.is_due());
    let part = step(&mut stream, &bundle, false);
    assert_eq!(part.decision.output.as_deref(), Some("mot mot "));
    stream.push(IBAN).unwrap();
    assert!(!stream.is_due());
    assert_eq!(stream.held(), 512 - 8 + 11 + IBAN.len());
}

#[test]
fn a_refusal_stops_all_that_has_not_left() {
    let filler = "mot ".repeat(400);
    let text = format!("{filler}{IBAN} {filler}");
    for kind in [ActionType::Block, ActionType::RequireApproval] {
        let (out, part, _) = run(&compiled(kind), &cut(&text, 40));
        assert_eq!(part.decision.action, kind);
        assert_eq!(part.decision.output, None);
        assert!(filler.starts_with(&out) && out.len() > 500, "{out}");
    }
}

#[test]
fn a_block_that_has_not_ended_is_held_back() {
    let filler = "mot ".repeat(400);
    let header = format!("-----BEGIN {} KEY-----\n", "PRIVATE");
    let body = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2\n".repeat(40);
    let text = format!("{filler}{header}{body}");
    let mut stream = Stream::new(1 << 20, None);
    stream.push(&text).unwrap();
    let part = step(&mut stream, &compiled(ActionType::Redact), false);
    assert_eq!(part.decision.output, Some(filler));
}

#[test]
fn what_offers_no_end_follows_the_failure_mode() {
    let endless = "x".repeat(MAX_HELD_BYTES + 1);
    let part = |mode| {
        let mut policy = policy_of(ActionType::Redact);
        policy.enforcement.failure_mode = mode;
        let mut stream = Stream::new(1 << 20, None);
        stream.push(&endless).unwrap();
        let part = step(&mut stream, &bundle(vec![policy], Vec::new()), false);
        (
            part.decision.action,
            part.decision.uninspected,
            part.decision.output.map(|out| out.len()),
            stream.is_over(),
        )
    };
    let why = Some(Uninspected::TooLarge);
    assert_eq!(part(FailureMode::Block), (ActionType::Block, why, None, true));
    let left = MAX_HELD_BYTES + 1 - HOLD_BYTES;
    assert_eq!(part(FailureMode::Allow), (ActionType::Flag, why, Some(left), false));
}

#[test]
fn what_cannot_be_inspected_in_time_leaves_or_not_by_the_failure_mode() {
    for (mode, left) in [(FailureMode::Block, None), (FailureMode::Allow, Some("é mot"))] {
        let mut policy = policy_of(ActionType::Redact);
        policy.enforcement.failure_mode = mode;
        let mut stream = Stream::new(100, None);
        stream.push("é mot").unwrap();
        assert_eq!(stream.push(&"x".repeat(100)), Err(TooLong));
        let part =
            stream.give_up(&bundle(vec![policy], Vec::new()), &request(""), Uninspected::TimeOut, false);
        assert_eq!(part.decision.output.as_deref(), left);
        assert_eq!((stream.is_over(), stream.held()), if left.is_some() { (false, 0) } else { (true, 6) });
    }
}

#[test]
fn a_value_longer_than_what_is_held_back_is_counted_as_late() {
    let long = detector("long", "DEBUT( [a-z]+)+ FIN");
    let when = vec![vec![finding(&["custom.long"], 1)]];
    let policy = BundledPolicy {
        custom_detectors: vec![long],
        ..policy("p", Vec::new(), vec![rule("R", when, action(ActionType::Redact, 0), 50)])
    };
    let text = format!("DEBUT{} FIN.", " mot".repeat(600));
    let (out, last, _) = run(&bundle(vec![policy], Vec::new()), &cut(&text, 100));
    assert_eq!(last.late, 1);
    assert!(out.ends_with("[T_LONG]."), "{out}");
}

#[test]
fn tokens_that_came_are_restored_and_tokens_made_on_the_way_are_not() {
    let bundle = compiled(ActionType::Tokenize);
    let question = analyze(&bundle, &Request { text: IBAN, ..request("") }, &key()).output.unwrap();
    let other = IBAN.replace("0112", "0113");
    let mut stream = Stream::new(1 << 20, Some(Restorer::new(key().token.tokens(""), &[])));
    let filler = "mot ".repeat(300);
    let mut out = String::new();
    for piece in cut(&format!("{filler}{question} PRJ-1234 {filler}{question}{other}[."), 11) {
        stream.push(piece).unwrap();
        if stream.is_due() {
            out.push_str(&step(&mut stream, &bundle, false).decision.output.unwrap_or_default());
        }
    }
    out.push_str(&step(&mut stream, &bundle, true).decision.output.unwrap());
    assert!(out.starts_with(&format!("{filler}{IBAN} [T_CODE:")), "{out}");
    assert!(out.ends_with(&format!("{filler}{IBAN}{other}[.")), "{out}");
    assert_eq!(stream.restorer().unwrap().restored().counts["IBAN"], 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn however_it_comes_the_same_leaves_and_is_restored(
        words in proptest::collection::vec(
            prop_oneof![
                6 => "[a-zé]{1,9}",
                1 => Just(IBAN.to_owned()),
                1 => "PRJ-[0-9]{4}",
                1 => "[\\[\\]:.\\n]{1,3}",
            ],
            0..300,
        ),
        sizes in proptest::collection::vec(1..200_usize, 1..20),
    ) {
        let text = words.join(" ");
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let at = rest.char_indices().nth(*size).map_or(rest.len(), |(at, _)| at);
            let (piece, after) = rest.split_at(at);
            pieces.push(piece);
            rest = after;
        }
        let bundle = compiled(ActionType::Tokenize);
        let whole = analyze(&bundle, &Request { text: &text, ..request("") }, &key());
        let (out, last, _) = run(&bundle, &pieces);
        prop_assert_eq!(Some(&out), whole.output.as_ref());
        prop_assert_eq!(last.late, 0);
        let mut restorer = Restorer::new(key().token.tokens(""), &[]);
        let restored = restorer.push(&out) + &restorer.finish();
        prop_assert_eq!(restored, text);
        let found: u64 = restorer.restored().counts.values().sum();
        prop_assert_eq!(found as usize, whole.findings.len());
        prop_assert_eq!(restorer.restored().foreign, 0);
    }
}
