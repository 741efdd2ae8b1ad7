use proptest::prelude::*;

use super::*;

const fn span(start: usize, end: usize) -> Span {
    Span { start, end }
}

/// The text that may leave; keys have no part in it.
fn apply(original: &str, edits: &[(Span, Edit<'_>)]) -> String {
    super::apply(original, edits, &TokenKey::new([1; 32]).tokens("")).text
}

const IBAN: Edit<'static> = Edit::Redact { label: "IBAN" };

#[test]
fn each_edit_does_what_it_says() {
    for (text, edit, at, expected) in [
        ("IBAN FR76 3000", IBAN, span(5, 14), "IBAN [IBAN]"),
        (
            "carte 4111 1111 1111 1111.",
            Edit::Mask { keep_last: 4 },
            span(6, 25),
            "carte **** **** **** 1111.",
        ),
        ("a@b.fr", Edit::Mask { keep_last: 0 }, span(0, 6), "*@*.**"),
        ("abcd", Edit::Mask { keep_last: 200 }, span(0, 4), "**cd"),
        ("x", Edit::Mask { keep_last: 1 }, span(0, 1), "*"),
        ("à été", Edit::Mask { keep_last: 1 }, span(2, 5), "à **é"),
        ("a:b12@c", Edit::Mask { keep_last: 1 }, span(2, 5), "a:***@c"),
        ("!?", Edit::Mask { keep_last: 1 }, span(0, 2), "**"),
        ("a+b/c", Edit::Mask { keep_last: 0 }, span(0, 5), "*****"),
        ("１２３４", Edit::Mask { keep_last: 2 }, span(0, 4), "**34"),
    ] {
        assert_eq!(apply(text, &[(at, edit)]), expected, "{text}");
    }
}

#[test]
fn overlapping_edits_are_joined_and_the_strictest_applies_to_all_of_them() {
    let text = "0123456789";
    let mask = |keep_last| Edit::Mask { keep_last };
    assert_eq!(apply(text, &[(span(4, 8), mask(2)), (span(2, 6), IBAN)]), "01[IBAN]89");
    assert_eq!(apply(text, &[(span(0, 6), mask(4)), (span(4, 10), mask(1))]), "*********9");
    let card = Edit::Redact { label: "CARD" };
    assert_eq!(
        apply(text, &[(span(3, 5), card), (span(2, 4), IBAN), (span(2, 4), IBAN)]),
        "01[IBAN, CARD]56789"
    );
    assert_eq!(apply(text, &[(span(2, 4), IBAN), (span(4, 6), card)]), "01[IBAN][CARD]6789");
}

#[test]
fn spans_beyond_the_text_are_cut() {
    let reversed = Span { start: 3, end: 1 };
    assert_eq!(apply("ab", &[(span(1, usize::MAX), IBAN), (span(5, 9), IBAN), (reversed, IBAN)]), "a[IBAN]");
    assert_eq!(apply("", &[(span(0, 9), IBAN)]), "");
}

fn edits() -> impl Strategy<Value = Vec<(Span, Edit<'static>)>> {
    let edit = prop_oneof![
        any::<u8>().prop_map(|keep_last| Edit::Mask { keep_last }),
        proptest::sample::select(vec!["A", "B"]).prop_map(|label| Edit::Redact { label }),
    ];
    let ends = prop_oneof![9 => 0..40_usize, 1 => any::<usize>()];
    proptest::collection::vec(((ends.clone(), ends).prop_map(|(start, end)| Span { start, end }), edit), 0..8)
}

proptest! {
    #[test]
    fn any_edits_apply_to_any_text(text in any::<String>(), edits in edits()) {
        std::hint::black_box(apply(&text, &edits));
    }

    #[test]
    fn the_order_of_edits_does_not_matter(text in "[a-z0-9é ]{0,40}", edits in edits()) {
        let mut turned = edits.clone();
        turned.reverse();
        let masks: Vec<_> = edits.iter().filter(|(_, edit)| matches!(edit, Edit::Mask { .. })).copied().collect();
        let mut turned_masks = masks.clone();
        turned_masks.reverse();
        prop_assert_eq!(apply(&text, &masks), apply(&text, &turned_masks));
        prop_assert_eq!(apply(&text, &edits).replace(['A', 'B'], ""), apply(&text, &turned).replace(['A', 'B'], ""));
    }

    #[test]
    fn nothing_redacted_is_left(edits in edits()) {
        // Each code point occurs once, so any that is left would be seen.
        let text: Vec<char> = ('\u{100}'..'\u{128}').collect();
        let out = apply(&text.iter().collect::<String>(), &edits);
        for (at, c) in text.iter().enumerate() {
            let redacted = edits.iter().any(|(span, edit)| matches!(edit, Edit::Redact { .. }) && (span.start..span.end).contains(&at));
            let touched = edits.iter().any(|(span, _)| (span.start..span.end).contains(&at));
            prop_assert!(!(redacted && out.contains(*c)), "{c} is left in {out}");
            prop_assert!(touched || out.contains(*c), "{c} is lost from {out}");
        }
    }

    #[test]
    fn masking_twice_is_masking_once(value in "[A-Za-z0-9 .@:-]{1,40}") {
        let all = span(0, value.chars().count());
        let once = apply(&value, &[(all, Edit::Mask { keep_last: 0 })]);
        prop_assert_eq!(apply(&once, &[(all, Edit::Mask { keep_last: 0 })]).replace('*', ""), once.replace('*', ""));
    }

    #[test]
    fn a_mask_keeps_at_most_half(value in "\\PC{1,40}", keep_last in any::<u8>()) {
        let all = span(0, value.chars().count());
        let kept = apply(&value, &[(all, Edit::Mask { keep_last })]).chars().filter(|c| c.is_alphanumeric()).count();
        let total = NormalizedText::new(&value).as_str().chars().filter(|c| c.is_alphanumeric()).count();
        prop_assert!(kept <= total / 2);
    }
}
