//! In: text as sent. Out: the text detectors read, with a map back to the code points of what was sent.
//!
//! The same number can be written with full-width digits, behind zero-width characters, with a no-break space
//! of any width or with a dash that only looks like one. [`NormalizedText`] undoes what has one safe reading:
//!
//! - default-ignorable code points (zero-width, bidirectional controls, soft hyphen, variation selectors, tags)
//!   are dropped, so nothing can be hidden between two digits;
//! - space separators become a space, line and paragraph separators a line feed, dashes `-`, dots `.`,
//!   quotation marks that stand for an apostrophe `'`;
//! - decimal digits of other scripts become ASCII digits;
//! - everything else goes through NFKC (Unicode Standard Annex #15), one character and its combining marks at
//!   a time. Superscripts, subscripts and fractions stay as they are: a footnote mark behind an account number
//!   is not a digit of it.
//!
//! ASCII is left alone and costs one scan. For other text the map holds one entry per *change*, not per
//! character, so an accented text of any length costs little more than its copy.

//!
//! What has more than one reading (an escape sequence, base64, spelled digits …) is not touched there; [`Readings`]
//! adds what it may read as.

mod document;
mod fold;
mod layers;
mod readings;

use std::borrow::Cow;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use crate::Span;
use fold::Fold;

pub(crate) use document::words;
pub use readings::{Reading, Readings, Sighting};

/// Combining marks that are normalised with their base character; the limit is that of the Stream-Safe Text
/// Format (Unicode Standard Annex #15, section 13). It bounds the work on absurd stacks of marks.
const MAX_COMBINING_MARKS: usize = 30;

/// Bytes of the original between two entries of the code point index.
const BLOCK: usize = 128;

/// A text as detectors read it.
#[derive(Clone, Debug)]
pub struct NormalizedText<'t> {
    original: &'t str,
    text: Cow<'t, str>,
    /// Where the two texts differ, in order; between two changes they are equal byte for byte.
    changes: Vec<Change>,
    /// Code points of the original before each multiple of [`BLOCK`] bytes; empty when it is ASCII.
    code_points: Vec<usize>,
}

/// Bytes of the normalised text that stand for other bytes of the original.
#[derive(Clone, Debug)]
struct Change {
    normalized: Range<usize>,
    original: Range<usize>,
}

impl<'t> NormalizedText<'t> {
    /// Normalises a text. Time and memory are linear in its length.
    #[must_use]
    pub fn new(original: &'t str) -> Self {
        if original.is_ascii() {
            return Self {
                original,
                text: Cow::Borrowed(original),
                changes: Vec::new(),
                code_points: Vec::new(),
            };
        }
        let (text, changes) = normalize(original);
        Self { original, text, changes, code_points: index_code_points(original) }
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text as sent.
    #[must_use]
    pub fn original(&self) -> &'t str {
        self.original
    }

    /// The code points of the original behind a range of bytes of the normalised text.
    ///
    /// Whatever stands for part of a character covers all of it; a range beyond the end is cut there.
    #[must_use]
    pub fn span(&self, bytes: Range<usize>) -> Span {
        let end = bytes.end.min(self.text.len());
        let start = bytes.start.min(end);
        let first = self.code_point(original_start(&self.changes, start));
        let last = if end == start { first } else { self.code_point(original_end(&self.changes, end)) };
        Span { start: first, end: last.max(first) }
    }

    /// Code points of the original before a byte of it.
    fn code_point(&self, byte: usize) -> usize {
        let block = byte / BLOCK;
        let Some(before) = self.code_points.get(block) else { return byte };
        let bytes = self.original.as_bytes().get(block * BLOCK..byte).unwrap_or_default();
        before + bytes.iter().filter(|byte| is_char_start(**byte)).count()
    }
}

/// Byte of the original at which what byte `at` of the other text stands for starts.
fn original_start(changes: &[Change], at: usize) -> usize {
    let before = changes.partition_point(|change| change.normalized.start <= at);
    match before.checked_sub(1).and_then(|last| changes.get(last)) {
        Some(change) if at < change.normalized.end => change.original.start,
        Some(change) => change.original.end + (at - change.normalized.end),
        None => at,
    }
}

/// Byte of the original at which what the byte before `at` of the other text stands for ends.
fn original_end(changes: &[Change], at: usize) -> usize {
    let before = changes.partition_point(|change| change.normalized.start < at);
    match before.checked_sub(1).and_then(|last| changes.get(last)) {
        Some(change) if at <= change.normalized.end => change.original.end,
        Some(change) => change.original.end + (at - change.normalized.end),
        None => at,
    }
}

/// Whether a byte of UTF-8 starts a character.
fn is_char_start(byte: u8) -> bool {
    byte & 0b1100_0000 != 0b1000_0000
}

fn index_code_points(original: &str) -> Vec<usize> {
    let mut index = Vec::with_capacity(original.len() / BLOCK + 1);
    let mut seen = 0;
    for block in original.as_bytes().chunks(BLOCK) {
        index.push(seen);
        seen += block.iter().filter(|byte| is_char_start(**byte)).count();
    }
    // The end of a text that fills its last block lies in the block after it.
    index.push(seen);
    index
}

fn normalize(original: &str) -> (Cow<'_, str>, Vec<Change>) {
    let mut text = String::with_capacity(original.len());
    let mut changes: Vec<Change> = Vec::new();
    // Start of the original bytes that were read but not yet copied.
    let mut copied = 0;
    let mut next = 0;
    let mut folded = String::new();
    while let Some((at, cluster)) = next_cluster(original, next) {
        next = at + cluster.len();
        folded.clear();
        let mut chars = cluster.chars();
        match (chars.next(), chars.next()) {
            (Some(alone), None) => match fold::fold(alone) {
                Fold::Keep => continue,
                Fold::Drop => {}
                Fold::To(to) => folded.push(to),
                Fold::Compose => folded.extend(cluster.nfkc()),
            },
            _ => folded.extend(cluster.nfkc()),
        }
        if folded == cluster {
            continue;
        }
        text.push_str(original.get(copied..at).unwrap_or_default());
        let start = text.len();
        text.push_str(&folded);
        changes.push(Change { normalized: start..text.len(), original: at..next });
        copied = next;
    }
    if changes.is_empty() {
        return (Cow::Borrowed(original), changes);
    }
    text.push_str(original.get(copied..).unwrap_or_default());
    (Cow::Owned(text), changes)
}

/// The next character from a byte on that is not ASCII, or is followed by combining marks, with these marks and where
/// it starts.
fn next_cluster(text: &str, from: usize) -> Option<(usize, &str)> {
    let other = text.as_bytes().get(from..)?.iter().position(|byte| !byte.is_ascii())? + from;
    let first = text.get(other..)?.chars().next()?;
    // Marks belong to what stands before them, ASCII too.
    let (start, mut end) = match other.checked_sub(1) {
        Some(before) if before >= from && is_mark(first) => (before, other),
        _ => (other, other + first.len_utf8()),
    };
    for mark in text.get(end..)?.chars().take(MAX_COMBINING_MARKS).take_while(|c| is_mark(*c)) {
        end += mark.len_utf8();
    }
    text.get(start..end).map(|cluster| (start, cluster))
}

/// Whether a character is a combining mark; the first of them is U+0300.
fn is_mark(c: char) -> bool {
    c >= '\u{300}' && canonical_combining_class(c) != 0
}

#[cfg(test)]
mod tests;
