//! In: a word in Latin script. Out: its letters in lower case without marks, on the stack.

use crate::detectors::letters;

/// Longest folded word, or phrase of a few words, in bytes.
const CAPACITY: usize = 48;

/// A folded word.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Folded {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Default for Folded {
    fn default() -> Self {
        Self { bytes: [0; CAPACITY], length: 0 }
    }
}

impl Folded {
    /// Words, each folded, with one space between them.
    pub(in super::super) fn of_words<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        let mut folded = Self::default();
        for word in words {
            if !folded.is_empty() {
                folded.push(b' ');
            }
            folded.push_word(word);
        }
        folded
    }

    pub(in super::super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(in super::super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends a byte; what exceeds the capacity is dropped, and such a word is in no list.
    pub(in super::super) fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length += 1;
        }
    }

    /// Appends the letters and digits of a word; hyphens, dots and apostrophes are left out.
    pub(in super::super) fn push_word(&mut self, word: &str) {
        for c in word.chars() {
            self.push_char(c);
        }
    }

    pub(in super::super) fn push_char(&mut self, c: char) {
        match c {
            'a'..='z' | '0'..='9' => self.push(c as u8),
            'A'..='Z' => self.push((c as u8).to_ascii_lowercase()),
            '\0'..='\u{7f}' => {}
            _ => self.push_marked(c),
        }
    }

    /// A letter without its marks. Of what has no plain letters a byte stays that no list has.
    fn push_marked(&mut self, c: char) {
        match letters::plain(c) {
            Some([letter, 0]) => self.push(letter),
            Some([first, second]) => {
                self.push(first);
                self.push(second);
            }
            None if matches!(c, 'º' | 'ª') => {}
            None => self.push(b'?'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_folds_to_its_plain_letters() {
        for (word, plain) in [
            ("Éléonore", "eleonore"),
            ("MÜLLER", "muller"),
            ("Łódź", "lodz"),
            ("Strauß", "strauss"),
            ("O'Neill", "oneill"),
            ("St.", "st"),
            ("Œuvre", "oeuvre"),
            ("Γιάννης", "???????"),
        ] {
            let mut folded = Folded::default();
            folded.push_word(word);
            assert_eq!(folded.as_bytes(), plain.as_bytes(), "{word}");
        }
    }

    #[test]
    fn a_word_without_end_is_cut() {
        let mut folded = Folded::default();
        folded.push_word(&"a".repeat(1000));
        assert_eq!(folded.as_bytes().len(), CAPACITY);
    }
}
