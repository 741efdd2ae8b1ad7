//! In: a place in a text. Out: the characters and words around it. Every look is bounded.

use std::ops::Range;

use super::lexicon::{self, Folded, Role};

/// Longest word that is looked at backwards, in bytes.
const MAX_WORD: usize = 40;

/// The character at a place.
pub(super) fn char_at(text: &str, at: usize) -> Option<char> {
    match text.as_bytes().get(at) {
        Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
        _ => text.get(at..)?.chars().next(),
    }
}

/// The character before a place.
pub(super) fn char_before(text: &str, at: usize) -> Option<char> {
    match text.as_bytes().get(at.checked_sub(1)?) {
        Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
        _ => text.get(..at)?.chars().next_back(),
    }
}

/// Where a run of spaces, at most `most`, ends.
pub(super) fn skip_spaces(text: &str, at: usize, most: usize) -> usize {
    let bytes = text.as_bytes().get(at..).unwrap_or_default();
    at + bytes.iter().take(most).take_while(|byte| **byte == b' ').count()
}

/// The word that starts at a place: letters and digits, hyphens and apostrophes between them. Empty when there is none;
/// cut at [`MAX_WORD`].
pub(super) fn word_at(text: &str, at: usize) -> Range<usize> {
    let mut end = at;
    let mut joint = false;
    for (place, c) in text.get(at..).unwrap_or_default().char_indices() {
        if place >= MAX_WORD {
            break;
        }
        if c.is_alphanumeric() {
            end = at + place + c.len_utf8();
            joint = false;
        } else if matches!(c, '-' | '\'') && !joint && place > 0 {
            joint = true;
        } else {
            break;
        }
    }
    at..end
}

/// The word that ends at a place, with the dots, hyphens, apostrophes and underscores in it.
pub(super) fn word_before(text: &str, at: usize) -> Range<usize> {
    let mut start = at;
    for (place, c) in text.get(..at).unwrap_or_default().char_indices().rev() {
        if at - place > MAX_WORD || !(c.is_alphanumeric() || matches!(c, '.' | '-' | '\'' | '_' | 'º' | 'ª'))
        {
            break;
        }
        start = place;
    }
    start..at
}

/// A word without case, marks and dots.
pub(super) fn fold(text: &str, word: &Range<usize>) -> Folded {
    let mut folded = Folded::default();
    folded.push_word(text.get(word.clone()).unwrap_or_default());
    folded
}

/// What part a word plays.
pub(super) fn role(text: &str, word: &Range<usize>) -> Role {
    lexicon::role(fold(text, word).as_bytes())
}

/// Whether a word starts with a capital.
pub(super) fn is_capital(text: &str, at: usize) -> bool {
    char_at(text, at).is_some_and(char::is_uppercase)
}

/// A value as its fingerprint is made: lower case, one space where any white space or comma was.
pub(crate) fn plain(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    for word in value.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.extend(word.chars().flat_map(char::to_lowercase));
    }
    plain
}
