//! In: a word in Latin script. Out: its letters in lower case without marks, on the stack.

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

    /// Letters of Latin-1 and Latin Extended-A. Others are kept as a byte that no list has.
    fn push_marked(&mut self, c: char) {
        let plain = match c {
            'À'..='Å' | 'à'..='å' | 'Ā'..='ą' => b'a',
            'Ç' | 'ç' | 'Ć'..='č' => b'c',
            'Ď'..='đ' | 'Ð' | 'ð' => b'd',
            'È'..='Ë' | 'è'..='ë' | 'Ē'..='ě' => b'e',
            'Ĝ'..='ģ' => b'g',
            'Ĥ'..='ħ' => b'h',
            'Ì'..='Ï' | 'ì'..='ï' | 'Ĩ'..='ı' => b'i',
            'Ĵ' | 'ĵ' => b'j',
            'Ķ'..='ĸ' => b'k',
            'Ĺ'..='ł' => b'l',
            'Ñ' | 'ñ' | 'Ń'..='ŋ' => b'n',
            'Ò'..='Ö' | 'Ø' | 'ò'..='ö' | 'ø' | 'Ō'..='ő' => b'o',
            'Ŕ'..='ř' => b'r',
            'Ś'..='š' | 'Ș' | 'ș' => b's',
            'Ţ'..='ŧ' | 'Ț' | 'ț' => b't',
            'Ù'..='Ü' | 'ù'..='ü' | 'Ũ'..='ų' => b'u',
            'Ŵ' | 'ŵ' => b'w',
            'Ý' | 'ý' | 'ÿ' | 'Ŷ'..='Ÿ' => b'y',
            'Ź'..='ž' => b'z',
            'Æ' | 'æ' => {
                self.push(b'a');
                b'e'
            }
            'Œ' | 'œ' => {
                self.push(b'o');
                b'e'
            }
            'ß' | 'ẞ' => {
                self.push(b's');
                b's'
            }
            'Þ' | 'þ' => {
                self.push(b't');
                b'h'
            }
            'º' | 'ª' => return,
            _ => b'?',
        };
        self.push(plain);
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
