//! In: a text that says it is in ROT13. Out: its letters moved by thirteen places.

use super::{Layer, Places, Word, byte_at};

/// How far behind the word that names the cipher the text may reach, in bytes.
const REACH: usize = 256;

pub(super) struct Turned<'t> {
    text: &'t str,
    places: Places,
    done: usize,
}

impl<'t> Turned<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, places: Places::new(Layer::Turned), done: 0 }
    }

    /// A word with a digit in it.
    pub(super) fn word(&mut self, word: &Word<'_>) {
        let before = self.text.as_bytes().get(..word.range.start).unwrap_or_default();
        let is_named = word.bytes.eq_ignore_ascii_case(b"rot13")
            || (word.bytes == b"13"
                && matches!(word.gap, b"-" | b" " | b"_")
                && before.len() > 3
                && before
                    .get(before.len() - 4..before.len() - 1)
                    .is_some_and(|rot| rot.eq_ignore_ascii_case(b"rot")));
        if is_named && word.range.end >= self.done {
            self.turn(word.range.end);
        }
    }

    fn turn(&mut self, from: usize) {
        let bytes = self.text.as_bytes();
        let end = bytes.len().min(from + REACH);
        let mut at = from;
        let mut turned = String::new();
        while at < end {
            let start = at;
            turned.clear();
            while byte_at(bytes, at).is_ascii_alphabetic() && at < end {
                turned.push(char::from(turn(byte_at(bytes, at))));
                at += 1;
            }
            if at > start {
                self.places.push(start..at, &turned);
            } else {
                at += 1;
            }
        }
        self.done = end;
    }

    pub(super) fn places(self) -> Places {
        self.places
    }
}

fn turn(letter: u8) -> u8 {
    let first = if letter.is_ascii_uppercase() { b'A' } else { b'a' };
    first + (letter - first + 13) % 26
}
