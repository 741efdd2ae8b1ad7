//! In: where context words stand. Out: whether one stands near a value.

use std::ops::Range;

use super::{byte_at, byte_before};

/// How far before a value a context word counts, in bytes.
const BEFORE: usize = 64;
/// How far behind it, in bytes.
const BEHIND: usize = 24;

/// Context words by catalogue entry.
pub(super) struct Contexts {
    by_entry: Vec<Vec<Range<usize>>>,
}

impl Contexts {
    pub(super) fn new(entries: usize) -> Self {
        Self { by_entry: vec![Vec::new(); entries] }
    }

    pub(super) fn push(&mut self, entry: usize, word: Range<usize>) {
        if let Some(words) = self.by_entry.get_mut(entry) {
            words.push(word);
        }
    }

    pub(super) fn sort(&mut self) {
        for words in &mut self.by_entry {
            words.sort_by_key(|word| word.start);
        }
    }

    /// Whether a word of the entry ends at most [`BEFORE`] before the value or starts at most [`BEHIND`] after it.
    pub(super) fn near(&self, entry: usize, value: &Range<usize>) -> bool {
        let Some(words) = self.by_entry.get(entry) else { return false };
        let first = words.partition_point(|word| word.start < value.start.saturating_sub(2 * BEFORE));
        words.get(first..).unwrap_or_default().iter().take_while(|word| word.start <= value.end + BEHIND).any(
            |word| (word.end <= value.start && value.start - word.end <= BEFORE) || word.start >= value.end,
        )
    }
}

/// Whether a range is a whole word: no letter or digit touches it.
pub(super) fn is_word(bytes: &[u8], range: &Range<usize>) -> bool {
    let touches = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0xc3;
    // A byte of 0x80 to 0xbf before the word ends a character of any kind; the lead byte of most letters of
    // Latin scripts, which is what context words are made of, follows the word.
    !byte_before(bytes, range.start).is_ascii_alphanumeric() && !touches(byte_at(bytes, range.end))
}
