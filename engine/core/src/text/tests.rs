use proptest::prelude::*;

use super::*;

fn normalized(text: &str) -> String {
    NormalizedText::new(text).as_str().to_owned()
}

#[test]
fn what_has_one_safe_reading_is_unified() {
    for (sent, read) in [
        ("ＦＲ７６", "FR76"),
        ("12\u{200b}34\u{ad}56\u{feff}", "123456"),
        ("a\u{202e}b\u{2066}c", "abc"),
        ("06\u{a0}12\u{202f}34\u{2009}56", "06 12 34 56"),
        ("12‑34–56−78", "12-34-56-78"),
        ("a＠b．fr", "a@b.fr"),
        ("n’est", "n'est"),
        ("٣٤۵६", "3456"),
        ("𝟏𝟐①", "121"),
        ("ﬁn", "fin"),
        ("e\u{301}té", "été"),
    ] {
        assert_eq!(normalized(sent), read, "{sent:?}");
    }
}

#[test]
fn what_would_change_a_value_stays() {
    for text in ["10²", "n° 5¹", "½", "Ærø, Łódź, Crème brûlée", "Привет", "東京"] {
        assert_eq!(normalized(text), text);
    }
}

#[test]
fn spans_point_at_the_code_points_as_sent() {
    let text = NormalizedText::new("é\u{200b}１\u{200b}２ﬁ3");
    assert_eq!(text.as_str(), "é12fi3");
    assert_eq!(text.span(2..4), Span { start: 2, end: 5 });
    assert_eq!(text.span(4..5), Span { start: 5, end: 6 }, "half of a ligature is all of it");
    assert_eq!(text.span(6..7), Span { start: 6, end: 7 });
    assert_eq!(text.span(0..999), Span { start: 0, end: 7 });
    assert_eq!(text.span(3..3), Span { start: 4, end: 4 });
}

#[test]
fn a_stack_of_combining_marks_is_cut_into_bounded_clusters() {
    let text = format!("a{}", "\u{301}".repeat(100_000));
    let text = NormalizedText::new(&text);
    assert_eq!(text.span(0..text.as_str().len()), Span { start: 0, end: 100_001 });
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        proptest::sample::select(vec![
            "\u{200b}", "\u{ad}", "\u{301}", "\u{327}", "ﬁ", "１", "é", "\u{fdfa}", "a", "0", "\u{a0}", "가",
            "\u{1100}",
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..200).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn ascii_is_left_alone(text in "[ -~\n\t]{0,300}", start in 0..300_usize, length in 0..300_usize) {
        let normalized = NormalizedText::new(&text);
        prop_assert_eq!(normalized.as_str(), &text);
        if start + length <= text.len() {
            prop_assert_eq!(normalized.span(start..start + length), Span { start, end: start + length });
        }
    }

    #[test]
    fn spans_lie_in_the_text_and_grow_with_it(text in pieces()) {
        let normalized = NormalizedText::new(&text);
        let total = text.chars().count();
        let read = normalized.as_str();
        let mut last = Span { start: 0, end: 0 };
        for (at, c) in read.char_indices() {
            let span = normalized.span(at..at + c.len_utf8());
            prop_assert!(span.start < span.end && span.end <= total);
            prop_assert!(span.start >= last.start && span.end >= last.end);
            last = span;
        }
    }

    #[test]
    fn what_is_unchanged_points_at_itself(text in pieces()) {
        let normalized = NormalizedText::new(&text);
        let sent: Vec<char> = text.chars().collect();
        for (at, c) in normalized.as_str().char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()) {
            let span = normalized.span(at..at + c.len_utf8());
            let source: String = sent[span.start..span.end].iter().collect();
            prop_assert!(super::normalize(&source).0.contains(c), "{c:?} from {source:?}");
        }
    }
}
