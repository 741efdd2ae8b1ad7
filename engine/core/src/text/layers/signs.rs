//! In: words and brackets that stand for `@`, `.`, `-` and `_`. Out: the sign, when an address comes of it.
//!
//! A chain is such words with one token between each two. It is read when one of them is an `@` and what stands
//! behind it can be a domain. Words that are ordinary elsewhere (`at`, `point`) need company: brackets, capitals,
//! an unmistakable word such as `arobase`, or one of each kind.

use std::ops::Range;

use super::{Layer, Places, Word, byte_at, byte_before};

/// Longest token of a chain, in bytes.
const MAX_TOKEN: usize = 64;
/// Most words of a chain.
const MAX_CHAIN: usize = 16;

/// A word or bracket that may stand for a sign, with the blanks around it.
struct Mark {
    range: Range<usize>,
    sign: char,
    /// Nothing else is written like this.
    is_sure: bool,
    /// It stands in brackets.
    is_bracketed: bool,
}

pub(super) struct Signs<'t> {
    text: &'t str,
    marks: Vec<Mark>,
    places: Places,
}

impl<'t> Signs<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, marks: Vec::new(), places: Places::new(Layer::Signs) }
    }

    pub(super) fn word(&mut self, word: &Word<'_>) {
        if (3..=7).contains(&word.gap.len()) {
            self.bracket(word);
        }
        if word.bytes.len() > 11 {
            return;
        }
        let Some((sign, is_sure)) = sign(word.bytes) else { return };
        let bytes = self.text.as_bytes();
        let (mut start, mut end) = (word.range.start, word.range.end);
        let inner = start - blanks_before(bytes, start)..end + blanks_behind(bytes, end);
        let is_bracketed = closes(byte_before(bytes, inner.start), byte_at(bytes, inner.end));
        if is_bracketed {
            (start, end) = (inner.start - 1, inner.end + 1);
        } else if word.bytes.len() == 1 {
            return;
        }
        let is_loud = word.bytes.len() > 1
            && word.bytes.iter().all(u8::is_ascii_uppercase)
            && byte_at(bytes, end + 1).is_ascii_lowercase();
        let is_sure = is_sure || is_loud || (is_bracketed && word.bytes.len() > 1);
        self.mark(start..end, sign, is_sure, is_bracketed);
    }

    /// `[@]` or `(.)` between two words.
    fn bracket(&mut self, word: &Word<'_>) {
        let blanks = word.gap.iter().take_while(|byte| **byte == b' ').count();
        if let [open, sign @ (b'@' | b'.'), close] = word.gap.trim_ascii()
            && closes(*open, *close)
        {
            let start = word.range.start - word.gap.len() + blanks;
            self.mark(start..start + 3, char::from(*sign), *sign == b'@', true);
        }
    }

    fn mark(&mut self, range: Range<usize>, sign: char, is_sure: bool, is_bracketed: bool) {
        let bytes = self.text.as_bytes();
        let start = range.start - blanks_before(bytes, range.start);
        let end = range.end + blanks_behind(bytes, range.end);
        let is_apart = is_bracketed || (start < range.start && end > range.end);
        if !is_apart || !is_token(byte_before(bytes, start)) || !is_token(byte_at(bytes, end)) {
            return;
        }
        if let Some(last) = self.marks.last()
            && (self.marks.len() == MAX_CHAIN || !is_one_token(bytes, last.range.end..start))
        {
            self.end();
        }
        self.marks.push(Mark { range: start..end, sign, is_sure, is_bracketed });
    }

    /// A chain ends: it is read when it can be an address.
    fn end(&mut self) {
        let marks = std::mem::take(&mut self.marks);
        if self.is_address(&marks) {
            for mark in marks {
                self.places.push_char(mark.range, mark.sign);
            }
        }
    }

    fn is_address(&self, marks: &[Mark]) -> bool {
        let bytes = self.text.as_bytes();
        let Some((first, last)) = marks.first().zip(marks.last()) else { return false };
        let start = token_start(bytes, first.range.start);
        let end = token_end(bytes, last.range.end);
        let Some(tail) = self.text.get(last.range.end..end) else { return false };
        let tail = tail.trim_end_matches(['.', '-', '_']);
        let top = tail.rsplit(['.', '@']).next().unwrap_or_default();
        let between = self.text.get(start..end).unwrap_or_default();
        let has_at_sign = between.contains('@') && !marks.iter().any(|mark| mark.sign == '@');
        let at = marks.iter().position(|mark| mark.sign == '@');
        let has_dot = marks.iter().skip(at.map_or(0, |at| at + 1)).any(|mark| mark.sign == '.');
        if !is_top(top) || !(has_dot || tail.contains('.')) {
            return false;
        }
        let Some(at) = at.and_then(|at| marks.get(at)) else {
            // A real sign, and words behind it.
            return has_at_sign
                && marks.iter().all(|mark| mark.sign == '.' && (mark.is_bracketed || is_common_top(top)))
                && self.text.get(start..first.range.start).is_some_and(|head| head.contains('@'));
        };
        if marks.iter().any(|mark| mark.is_sure) {
            return true;
        }
        let local = self.text.get(token_start(bytes, at.range.start)..at.range.start).unwrap_or_default();
        is_common_top(top)
            && if has_dot {
                !is_plain_word(local)
            } else {
                local.contains(['.', '_']) || ends_in_digit(local)
            }
    }

    pub(super) fn places(mut self) -> Places {
        self.end();
        self.places
    }
}

/// The sign a word stands for, and whether it stands for nothing else.
fn sign(word: &[u8]) -> Option<(char, bool)> {
    let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
    match word.first()?.to_ascii_lowercase() {
        b'a' if is("at") || word == b"a" => Some(('@', false)),
        b'a' if ["arobase", "arobas", "arrobase", "arobaze", "arroba", "apenstaart"]
            .iter()
            .any(|known| is(known)) =>
        {
            Some(('@', true))
        }
        b'c' if is("chiocciola") => Some(('@', true)),
        b'd' if is("dot") => Some(('.', false)),
        b'd' if is("dash") => Some(('-', false)),
        b'h' if is("hyphen") => Some(('-', false)),
        b'k' if is("klammeraffe") => Some(('@', true)),
        b'p' if ["point", "punkt", "punto", "ponto", "punt"].iter().any(|known| is(known)) => {
            Some(('.', false))
        }
        b't' if is("tiret") => Some(('-', false)),
        b'u' if is("underscore") => Some(('_', false)),
        _ => None,
    }
}

fn closes(open: u8, close: u8) -> bool {
    matches!(
        (open, close),
        (b'[', b']') | (b'(', b')') | (b'{', b'}') | (b'<', b'>') | (b'_', b'_') | (b'*', b'*')
    )
}

fn blanks_before(bytes: &[u8], at: usize) -> usize {
    (0..2).take_while(|count| at > *count && byte_at(bytes, at - count - 1) == b' ').count()
}

fn blanks_behind(bytes: &[u8], at: usize) -> usize {
    (0..2).take_while(|count| byte_at(bytes, at + count) == b' ').count()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"._-+@".contains(&byte)
}

fn is_one_token(bytes: &[u8], range: Range<usize>) -> bool {
    range.len() <= MAX_TOKEN
        && bytes.get(range).is_some_and(|token| !token.is_empty() && token.iter().all(|byte| is_token(*byte)))
}

fn token_start(bytes: &[u8], at: usize) -> usize {
    let before = bytes.get(at.saturating_sub(MAX_TOKEN)..at).unwrap_or_default();
    at - before.iter().rev().take_while(|byte| is_token(**byte)).count()
}

fn token_end(bytes: &[u8], at: usize) -> usize {
    let behind = bytes.get(at..bytes.len().min(at + MAX_TOKEN)).unwrap_or_default();
    at + behind.iter().take_while(|byte| is_token(**byte)).count()
}

fn ends_in_digit(local: &str) -> bool {
    local.as_bytes().last().is_some_and(u8::is_ascii_digit)
}

fn is_top(label: &str) -> bool {
    (2..=12).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Top-level domains that prose may name after a word for a dot.
fn is_common_top(label: &str) -> bool {
    const COMMON: [&str; 30] = [
        "com", "org", "net", "info", "biz", "eu", "fr", "de", "es", "it", "nl", "be", "pt", "pl", "ch", "at",
        "uk", "ie", "lu", "se", "dk", "fi", "no", "cz", "gr", "ro", "io", "dev", "co", "us",
    ];
    COMMON.iter().any(|common| label.eq_ignore_ascii_case(common))
}

/// Words that come before `at` in prose.
fn is_plain_word(local: &str) -> bool {
    const WORDS: [&str; 24] = [
        "us",
        "me",
        "him",
        "her",
        "them",
        "it",
        "is",
        "are",
        "was",
        "look",
        "looking",
        "found",
        "online",
        "here",
        "site",
        "website",
        "page",
        "visit",
        "shop",
        "meet",
        "available",
        "hosted",
        "live",
        "located",
    ];
    WORDS.iter().any(|word| local.eq_ignore_ascii_case(word))
}
