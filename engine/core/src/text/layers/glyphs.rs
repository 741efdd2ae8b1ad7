//! In: words with letters of other scripts, or letters among digits. Out: the Latin letters and the digits they
//! are drawn like.
//!
//! A token is read in Latin when it mixes scripts and every foreign letter of it has a Latin twin: a word in
//! Cyrillic or Greek alone stays what it is. Twins are those of Unicode Technical Standard 39 (confusables.txt)
//! that are drawn alike in usual fonts.

use std::ops::Range;

use super::{Layer, Places, Word, byte_at, byte_before, class};

/// Longest token that is looked at around a letter, in bytes.
const MAX_TOKEN: usize = 256;

pub(super) struct Glyphs<'t> {
    text: &'t str,
    places: Places,
    /// Where the last token ended that was looked at.
    done: usize,
}

impl<'t> Glyphs<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, places: Places::new(Layer::Glyphs), done: 0 }
    }

    pub(super) fn word(&mut self, word: &Word<'_>) {
        if word.range.start < self.done {
            return;
        }
        if word.any & class::HIGH != 0 && word.bytes.iter().copied().any(may_start_twin) {
            self.token(word.range.start, mixed);
        } else if word.any & class::DIGIT != 0
            && word.any & class::LETTER != 0
            && word.bytes.len() <= 40
            && is_digit_like(word.bytes)
        {
            self.digits(word);
        }
    }

    /// Looks at the token around a place, as a whole.
    fn token(&mut self, at: usize, is_disguised: fn(&str) -> bool) {
        let bytes = self.text.as_bytes();
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b"@._-+%".contains(&byte);
        let (mut start, mut end) = (at, at);
        while at - start < MAX_TOKEN && start > self.done && is_part(byte_before(bytes, start)) {
            start -= 1;
        }
        while end - at < MAX_TOKEN && end < bytes.len() && is_part(byte_at(bytes, end)) {
            end += 1;
        }
        self.done = end;
        let token = trim(self.text, start..end);
        let Some(text) = self.text.get(token.clone()) else { return };
        if !is_disguised(text) {
            return;
        }
        for (place, c) in text.char_indices() {
            if let Some(latin) = twin(c) {
                let at = token.start + place;
                self.places.push_char(at..at + c.len_utf8(), latin);
            }
        }
    }

    /// Letters among digits: `O6 l2`.
    fn digits(&mut self, word: &Word<'_>) {
        for (place, byte) in word.bytes.iter().enumerate() {
            let digit = match byte {
                b'O' | b'o' => '0',
                b'l' | b'I' | b'i' => '1',
                _ => continue,
            };
            // Two letters at the start name a country.
            if place < 2 && word.bytes.get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_alphabetic)) {
                continue;
            }
            let at = word.range.start + place;
            self.places.push_char(at..at + 1, digit);
        }
    }

    pub(super) fn places(self) -> Places {
        self.places
    }
}

/// A range without what is cut of the characters at its ends.
fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let (mut start, mut end) = (range.start, range.end);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    while end > start && !text.is_char_boundary(end) {
        end -= 1;
    }
    start..end
}

/// Whether a byte starts a letter of a script with twins: Latin extensions, Greek, Cyrillic, Armenian, Cherokee,
/// Lisu.
fn may_start_twin(byte: u8) -> bool {
    matches!(byte, 0xc4 | 0xc6 | 0xc9 | 0xcd..=0xd6 | 0xe1 | 0xea)
}

/// Whether a token is Latin with twins in it.
fn mixed(token: &str) -> bool {
    let (mut latin, mut twins) = (false, false);
    for c in token.chars() {
        if twin(c).is_some() {
            twins = true;
        } else if c.is_ascii_alphanumeric() {
            latin = true;
        } else if c.is_alphabetic() && !('\u{c0}'..='\u{24f}').contains(&c) {
            return false;
        }
    }
    latin && twins
}

/// Whether a word is digits but for letters that are drawn like one. A country may stand before them.
fn is_digit_like(word: &[u8]) -> bool {
    let rest = match word {
        [first, second, rest @ ..]
            if first.is_ascii_uppercase() && second.is_ascii_uppercase() && rest.len() > 1 =>
        {
            rest
        }
        _ => word,
    };
    let letters = rest.iter().filter(|byte| !byte.is_ascii_digit()).count();
    letters > 0
        && letters < rest.len()
        && rest.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'O' | b'o' | b'l' | b'I' | b'i'))
}

/// The Latin letter a letter is drawn like.
fn twin(c: char) -> Option<char> {
    Some(match c {
        'а' | 'ɑ' | 'α' => 'a',
        'Ь' | 'Ƅ' => 'b',
        'с' | 'ϲ' | 'ᴄ' => 'c',
        'ԁ' | 'ɗ' => 'd',
        'е' | 'ҽ' => 'e',
        'ɡ' | 'ց' => 'g',
        'һ' | 'հ' => 'h',
        'і' | 'ı' | 'ι' | 'ɩ' => 'i',
        'ј' | 'ϳ' => 'j',
        'ӏ' => 'l',
        'ո' => 'n',
        'о' | 'ο' | 'օ' | 'ᴏ' | 'σ' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'г' | 'ᴦ' => 'r',
        'ѕ' | 'ꜱ' => 's',
        'ս' | 'υ' | 'ᴜ' => 'u',
        'ν' | 'ѵ' | 'ᴠ' => 'v',
        'ѡ' | 'ԝ' | 'ա' | 'ᴡ' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' | 'ү' => 'y',
        'ᴢ' => 'z',
        'А' | 'Α' | 'Ꭺ' | 'ꓮ' => 'A',
        'В' | 'Β' | 'Ᏼ' | 'ꓐ' => 'B',
        'С' | 'Ϲ' | 'Ꮯ' | 'ꓚ' => 'C',
        'Ꭰ' | 'ꓓ' => 'D',
        'Е' | 'Ε' | 'Ꭼ' | 'ꓰ' => 'E',
        'Ϝ' | 'ꓝ' => 'F',
        'Ԍ' | 'Ꮐ' | 'ꓖ' => 'G',
        'Н' | 'Η' | 'Ꮋ' | 'ꓧ' => 'H',
        'І' | 'Ι' | 'Ӏ' | 'ꓲ' => 'I',
        'Ј' | 'Ϳ' | 'Ꭻ' | 'ꓙ' => 'J',
        'К' | 'Κ' | 'Ꮶ' | 'ꓗ' => 'K',
        'Ꮮ' | 'ꓡ' => 'L',
        'М' | 'Μ' | 'Ꮇ' | 'ꓟ' => 'M',
        'Ν' | 'ꓠ' => 'N',
        'О' | 'Ο' | 'Օ' | 'ꓳ' => 'O',
        'Р' | 'Ρ' | 'Ꮲ' | 'ꓑ' => 'P',
        'Ԛ' => 'Q',
        'Ʀ' | 'Ꮢ' | 'ꓣ' => 'R',
        'Ѕ' | 'Տ' | 'Ꮪ' | 'ꓢ' => 'S',
        'Т' | 'Τ' | 'Ꭲ' | 'ꓔ' => 'T',
        'Ս' | 'ꓴ' => 'U',
        'Ѵ' | 'Ꮩ' | 'ꓦ' => 'V',
        'Ԝ' | 'Ꮃ' | 'ꓪ' => 'W',
        'Х' | 'Χ' | 'ꓫ' => 'X',
        'Υ' | 'Ү' | 'ꓬ' => 'Y',
        'Ζ' | 'Ꮓ' | 'ꓜ' => 'Z',
        _ => return None,
    })
}
