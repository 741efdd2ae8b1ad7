//! In: characters that stand alone one behind another, or groups of digits with unusual separators between them.
//! Out: the same without the separators, or with spaces.

use std::ops::Range;

use super::{Layer, Places, Word, byte_at, byte_before, class};

/// Fewest lone characters in a row.
const MIN_LONE: usize = 8;
/// Fewest groups in a row, and their longest.
const MIN_GROUPS: usize = 4;
const MAX_GROUP: usize = 5;
/// Longest separator of groups, in bytes.
const MAX_GAP: usize = 3;

pub(super) struct Spaced<'t> {
    text: &'t str,
    places: Places,
    /// Words of one character in a row.
    lone: (Range<usize>, usize),
    /// Groups of digits in a row with the same separator: where the gaps are, and how many.
    groups: (Vec<Range<usize>>, &'t [u8]),
    /// Whether the last word may be a group.
    was_group: bool,
    end: usize,
}

impl<'t> Spaced<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            places: Places::new(Layer::Spaced),
            lone: (0..0, 0),
            groups: (Vec::new(), &[]),
            was_group: false,
            end: 0,
        }
    }

    pub(super) fn word(&mut self, word: &Word<'t>) {
        if word.bytes.len() == 1 && (self.lone.1 == 0 || word.gap.len() <= 7) {
            let (range, count) = &mut self.lone;
            if *count == 0 {
                *range = word.range.clone();
            }
            range.end = word.range.end;
            *count += 1;
        } else if self.lone.1 > 0 {
            self.lone();
            if word.bytes.len() == 1 {
                self.lone = (word.range.clone(), 1);
            }
        }
        let is_group = word.bytes.len() <= MAX_GROUP
            && word.bytes.len() > 1
            && (word.all & class::DIGIT != 0
                || (!self.was_group && word.any & class::DIGIT != 0 && word.bytes.iter().all(is_upper)));
        let gap = self.end..word.range.start;
        if is_group && self.was_group && is_group_gap(word.gap) {
            if self.groups.1 != word.gap {
                self.groups();
                self.groups.1 = word.gap;
            }
            self.groups.0.push(gap);
        } else if !self.groups.0.is_empty() {
            self.groups();
        }
        self.was_group = is_group;
        self.end = word.range.end;
    }

    pub(super) fn places(mut self) -> Places {
        self.lone();
        self.groups();
        self.places
    }

    /// Reads lone characters as one token.
    fn lone(&mut self) {
        let (range, count) = std::mem::take(&mut self.lone);
        if count < MIN_LONE {
            return;
        }
        let bytes = self.text.as_bytes();
        let separator = byte_at(bytes, range.start + 1);
        if !b" -_.*/|,~".contains(&separator) || !self.text.is_char_boundary(range.start + 1) {
            return;
        }
        let range = self.grow(range, separator);
        // A word of one letter may stand next to the token.
        let range = trim_words(bytes, range);
        // What stands between two characters: the separator, or a few of it where a group ends.
        let mut at = range.start + 1;
        while at < range.end {
            let width = bytes.get(at..range.end).unwrap_or_default();
            let width = width.iter().take_while(|byte| **byte == separator).count();
            if width == 0 || !self.text.is_char_boundary(at) {
                at += 1;
                continue;
            }
            let is_character = separator != b' ' && width == 3;
            let reading = match width {
                _ if is_character => {
                    std::str::from_utf8(bytes.get(at..at + 1).unwrap_or_default()).unwrap_or("")
                }
                1 => "",
                _ => " ",
            };
            self.places.push(at..at + width, reading);
            at += width + 1;
        }
    }

    /// A range of lone characters with the signs around it that are written in the same way.
    fn grow(&self, range: Range<usize>, separator: u8) -> Range<usize> {
        let bytes = self.text.as_bytes();
        let is_lone = |byte: u8| byte.is_ascii_graphic() && byte != separator;
        let Range { mut start, mut end } = range;
        while start >= 2
            && byte_before(bytes, start) == separator
            && is_lone(byte_at(bytes, start - 2))
            && matches!(byte_before(bytes, start - 2), 0 | b' ' | b'\n' | b':' | b'=' | b'"')
            && b"+(@#".contains(&byte_at(bytes, start - 2))
        {
            start -= 2;
        }
        while byte_at(bytes, end) == separator
            && is_lone(byte_at(bytes, end + 1))
            && byte_at(bytes, end + 2) == separator
            && b")@.-_".contains(&byte_at(bytes, end + 1))
            && byte_at(bytes, end + 3).is_ascii_alphanumeric()
            && !byte_at(bytes, end + 4).is_ascii_alphanumeric()
        {
            end += 4;
        }
        start..end
    }

    /// Reads spaces in place of the separators of groups.
    fn groups(&mut self) {
        let gaps = std::mem::take(&mut self.groups.0);
        if gaps.len() + 1 >= MIN_GROUPS {
            for gap in gaps {
                self.places.push(gap, " ");
            }
        }
    }
}

fn is_upper(byte: &u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_uppercase()
}

/// Whether groups of digits may be separated like this without being read so anyway.
fn is_group_gap(gap: &[u8]) -> bool {
    (1..=MAX_GAP).contains(&gap.len())
        && gap.iter().all(|byte| b" -_.*/|,~+:\\".contains(byte))
        && !matches!(gap, b" " | b"-" | b"." | b"/" | b"  " | b"   ")
}

/// A range without words of one letter at its ends that its neighbours tell from the token.
fn trim_words(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = range;
    let is_word = |byte: u8| matches!(byte, b'a' | b'y' | b'A' | b'Y' | b'I' | b'o' | b'e' | b'i' | b'u');
    let two = |at: usize| byte_at(bytes, at);
    if end >= start + 3 && is_word(two(end - 1)) && two(end - 3).is_ascii_digit() {
        end -= 2;
    }
    if end >= start + 3 && is_word(two(start)) && two(start + 2).is_ascii_digit() {
        start += 2;
    }
    start..end
}
