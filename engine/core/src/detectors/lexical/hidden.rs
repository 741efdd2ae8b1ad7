//! In: the text as sent. Out: runs of characters that nobody sees and that can carry a text to a model.
//!
//! Normalising drops such characters, so this looks at the original. Tag characters repeat ASCII without being drawn
//! (Unicode Standard, section 23.9), variation selectors can stand for bytes, and zero-width characters for bits. The
//! flags of England, Scotland and Wales are written with tags, and writing in Persian or with emoji takes a few
//! zero-width joiners, so a few of those are nothing.

use crate::Span;

/// Fewest tags or variation selectors of planes 14 in a row.
const FEWEST_TAGS: usize = 4;
/// Most tags of a flag, its end included.
const MOST_FLAG_TAGS: usize = 7;
/// Fewest zero-width characters in a row: two bytes, if each is a bit.
const FEWEST_BITS: usize = 16;

/// Something unseen.
pub(super) struct Hidden {
    /// Code points of the original.
    pub(super) span: Span,
    /// Whether it has hardly any other use than to hide.
    pub(super) telling: bool,
    /// What the tags of it spell.
    pub(super) value: String,
}

/// A run of unseen characters as it grows.
#[derive(Default)]
struct Run {
    start: usize,
    tags: usize,
    bits: usize,
    overrides: usize,
    behind_flag: bool,
    value: String,
}

/// The runs of a text, in order.
pub(super) fn runs(original: &str) -> Vec<Hidden> {
    let mut found = Vec::new();
    if !may_hide(original) {
        return found;
    }
    let mut run: Option<Run> = None;
    let mut before = ' ';
    let mut place = 0;
    for c in original.chars() {
        let kind = kind(c);
        if kind == Kind::Seen {
            found.extend(run.take().and_then(|run| run.end(place)));
        } else {
            let run = run.get_or_insert_with(|| Run {
                start: place,
                behind_flag: before == '\u{1f3f4}',
                ..Run::default()
            });
            match kind {
                Kind::Tag => {
                    run.tags += 1;
                    run.value.extend(u32::from(c).checked_sub(0xe0000).and_then(char::from_u32));
                }
                Kind::Selector => run.tags += 1,
                Kind::Bit => run.bits += 1,
                Kind::Override => run.overrides += 1,
                Kind::Seen => {}
            }
        }
        before = c;
        place += 1;
    }
    found.extend(run.and_then(|run| run.end(place)));
    found
}

/// Whether any unseen character stands in a text. All of them start with one of three bytes of UTF-8, which few
/// texts have.
fn may_hide(text: &str) -> bool {
    memchr::memchr3_iter(0xe2, 0xef, 0xf3, text.as_bytes())
        .filter_map(|at| text.get(at..)?.chars().next())
        .any(|c| kind(c) != Kind::Seen)
}

impl Run {
    fn end(self, end: usize) -> Option<Hidden> {
        let is_flag = self.behind_flag && self.tags <= MOST_FLAG_TAGS;
        let telling = (self.tags >= FEWEST_TAGS && !is_flag) || self.bits >= FEWEST_BITS;
        (telling || self.overrides > 0).then_some(Hidden {
            span: Span { start: self.start, end },
            telling,
            value: self.value,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Seen,
    Tag,
    Selector,
    Bit,
    Override,
}

fn kind(c: char) -> Kind {
    match c {
        '\u{e0020}'..='\u{e007f}' => Kind::Tag,
        '\u{e0100}'..='\u{e01ef}' => Kind::Selector,
        '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => Kind::Bit,
        // The only bidirectional controls that write letters in another order than they are drawn.
        '\u{202d}' | '\u{202e}' => Kind::Override,
        _ => Kind::Seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> String {
        text.chars().filter_map(|c| char::from_u32(0xe0000 + u32::from(c))).collect()
    }

    #[test]
    fn a_text_in_tags_is_seen_and_read() {
        let text = format!("Bonjour{} !", tags("send all"));
        let found = runs(&text);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].span, found[0].telling), (Span { start: 7, end: 15 }, true));
        assert_eq!(found[0].value, "send all");
    }

    #[test]
    fn no_unseen_character_is_passed_over() {
        for c in (char::MIN..=char::MAX).filter(|c| kind(*c) != Kind::Seen) {
            assert!(may_hide(&format!("é{c}")), "{c:?}");
        }
        assert!(!may_hide("l’été à 20 €"));
    }

    #[test]
    fn flags_joiners_and_marks_of_order_are_no_text() {
        for text in [
            format!("\u{1f3f4}{}\u{e007f}", tags("gbeng")),
            "👩\u{200d}👩\u{200d}👧\u{200d}👦".to_owned(),
            "می\u{200c}خواهم".to_owned(),
            "\u{feff}début".to_owned(),
        ] {
            assert!(runs(&text).is_empty(), "{text}");
        }
        assert!(!runs("abc\u{202e}fdp.exe")[0].telling);
        assert!(runs(&"\u{200b}\u{200c}".repeat(10))[0].telling);
    }
}
