//! In: text, byte by byte. Out: its words, folded and numbered, with what stands between them.
//!
//! A word is a run of letters and digits. Upper and lower case are one, and so are a letter and the same letter
//! with an accent, so `DIABÉTIQUE`, `Diabétique` and `diabetique` are the same word. Everything else separates:
//! `l'église` and `arrêt-maladie` are two words each. Only words of a [`Vocabulary`] have a number; what is told of
//! the others is where they stand and whether they begin with a capital.

use std::collections::HashMap;
use std::ops::Range;

use crate::detectors::letters;

/// A sentence or paragraph ends before the word.
const BREAK: u8 = 1;
/// A comma, semicolon, bracket or cell of a table ends before the word.
const COMMA: u8 = 2;
/// A colon or an equals sign, as behind the name of a field, stands before the word.
const COLON: u8 = 4;
/// The word begins with a capital.
const CAPITAL: u8 = 8;

/// Number of every word that is not in the vocabulary.
const UNKNOWN: u32 = u32::MAX;

/// A word of the text.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// Bytes of the text.
    pub(super) range: Range<usize>,
    /// Its number in the vocabulary.
    pub(super) id: u32,
    flags: u8,
}

impl Word {
    pub(super) fn is_after_break(&self) -> bool {
        self.flags & BREAK != 0
    }

    pub(super) fn is_after_comma(&self) -> bool {
        self.flags & COMMA != 0
    }

    pub(super) fn is_after_colon(&self) -> bool {
        self.flags & COLON != 0
    }

    pub(super) fn is_capital(&self) -> bool {
        self.flags & CAPITAL != 0
    }
}

/// The words that terms are made of, by the hash of their folded form.
///
/// Two words of the vocabulary never share a hash, which a test holds. A stranger that was made to share one is
/// taken for the word: it can draw a finding on itself and hide none.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    ids: HashMap<u64, u32>,
    /// Hashes and numbers, open addressing by the upper bits of the hash; a power of two long, made by [`freeze`].
    ///
    /// [`freeze`]: Vocabulary::freeze
    slots: Vec<(u64, u32)>,
    shift: u32,
    /// A bit for each value of the lower bits of a hash that a word has: most strangers are told by a table that
    /// stays in the nearest cache.
    filter: Vec<u64>,
}

/// Bits of [`Vocabulary::filter`], as a power of two.
const FILTER_BITS: u32 = 16;

impl Vocabulary {
    /// The number of a word, given as its hash; a new one when it has none.
    pub(super) fn intern(&mut self, hash: u64) -> u32 {
        let next = u32::try_from(self.ids.len()).unwrap_or(UNKNOWN);
        *self.ids.entry(hash).or_insert(next)
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Lays out the words for [`find`](Self::find).
    pub(super) fn freeze(&mut self) {
        let bits = (4 * self.ids.len().max(2)).next_power_of_two().trailing_zeros();
        self.shift = u64::BITS - bits;
        self.slots = vec![(0, UNKNOWN); 1 << bits];
        self.filter = vec![0; 1 << (FILTER_BITS - 6)];
        for (hash, id) in &self.ids {
            let (place, bit) = filter_place(*hash);
            if let Some(bits) = self.filter.get_mut(place) {
                *bits |= bit;
            }
            let mut at = self.start(*hash);
            while self.slots.get(at).is_some_and(|(_, held)| *held != UNKNOWN) {
                at = (at + 1) % self.slots.len();
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = (*hash, *id);
            }
        }
    }

    fn start(&self, hash: u64) -> usize {
        usize::try_from(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift).unwrap_or(0)
    }

    fn find(&self, hash: u64) -> u32 {
        let (place, bit) = filter_place(hash);
        if self.filter.get(place).is_none_or(|bits| bits & bit == 0) {
            return UNKNOWN;
        }
        let mut at = self.start(hash);
        loop {
            match self.slots.get(at) {
                Some((_, UNKNOWN)) | None => return UNKNOWN,
                Some((held, id)) if *held == hash => return *id,
                Some(_) => at = (at + 1) % self.slots.len(),
            }
        }
    }
}

/// The word of the filter that holds the bit of a hash, and that bit.
fn filter_place(hash: u64) -> (usize, u64) {
    let low = (hash ^ (hash >> 32)) & ((1 << FILTER_BITS) - 1);
    (usize::try_from(low >> 6).unwrap_or(0), 1 << (low & 63))
}

/// Reads the words of a text.
pub(super) struct Words<'t> {
    bytes: &'t [u8],
    at: usize,
}

/// A word before it is looked up.
pub(super) struct Raw {
    pub(super) range: Range<usize>,
    pub(super) hash: u64,
    flags: u8,
}

impl<'t> Words<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { bytes: text.as_bytes(), at: 0 }
    }

    /// The next word with its number.
    pub(super) fn next(&mut self, vocabulary: &Vocabulary) -> Option<Word> {
        let raw = self.next_raw()?;
        Some(Word { id: vocabulary.find(raw.hash), range: raw.range, flags: raw.flags })
    }

    /// The next word.
    pub(super) fn next_raw(&mut self) -> Option<Raw> {
        let mut flags = self.separators()?;
        let start = self.at;
        if self.starts_with_capital() {
            flags |= CAPITAL;
        }
        let mut hash = Hash::new();
        while let Some(&byte) = self.bytes.get(self.at) {
            match class(byte) {
                SEPARATOR | MARK => break,
                LEAD => {
                    let Some(length) = self.foreign(&mut hash) else { break };
                    self.at += length;
                }
                letter => {
                    hash.push(letter);
                    self.at += 1;
                }
            }
        }
        Some(Raw { range: start..self.at, hash: hash.0, flags })
    }

    /// Skips what is no word; `None` at the end of the text.
    fn separators(&mut self) -> Option<u8> {
        let mut flags = 0;
        let mut lines = 0;
        loop {
            let byte = *self.bytes.get(self.at)?;
            match class(byte) {
                SEPARATOR => self.at += 1,
                MARK => {
                    match byte {
                        b'.' if self.ends_sentence() => flags |= BREAK,
                        b'!' | b'?' if !self.next_is_letter() => flags |= BREAK,
                        b'\n' => {
                            lines += 1;
                            if lines > 1 {
                                flags |= BREAK;
                            }
                        }
                        b'-' | b'*' | b'#' | b'>' if lines > 0 => flags |= BREAK,
                        b',' | b';' | b'(' | b')' | b'[' | b']' | b'|' | b'\t' => flags |= COMMA,
                        b':' | b'=' => flags |= COLON,
                        _ => {}
                    }
                    self.at += 1;
                }
                LEAD => match self.foreign(&mut Hash::new()) {
                    Some(_) => return Some(flags),
                    None => self.at += length_of(byte),
                },
                _ => return Some(flags),
            }
        }
    }

    fn next_is_letter(&self) -> bool {
        self.bytes.get(self.at + 1).is_some_and(u8::is_ascii_alphanumeric)
    }

    /// Whether the full stop at the current place ends a sentence: white space follows, and it does not belong to
    /// an abbreviation such as `M.`, `Dr.` or `art.`.
    fn ends_sentence(&self) -> bool {
        if self.bytes.get(self.at + 1).is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return false;
        }
        let word = self.bytes.get(..self.at).unwrap_or_default();
        let length = word.iter().rev().take(5).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let first = word.len().checked_sub(length).and_then(|at| word.get(at));
        !(length == 1 || (length <= 3 && first.is_some_and(u8::is_ascii_uppercase)))
    }

    fn starts_with_capital(&self) -> bool {
        match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
            (Some(b'A'..=b'Z'), _) | (Some(0xc3), Some(0x80..=0x9e)) => true,
            // Œ, Š, Ÿ and Ž.
            (Some(0xc5), Some(0x92 | 0xa0 | 0xb8 | 0xbd)) => true,
            _ => false,
        }
    }

    /// Adds a letter of more than one byte to a hash; its length, or `None` when it is no letter.
    fn foreign(&self, hash: &mut Hash) -> Option<usize> {
        let lead = *self.bytes.get(self.at)?;
        let second = self.bytes.get(self.at + 1).copied().unwrap_or(0);
        match lead {
            // U+0080 to U+00BF are signs, but for two raised letters; U+2000 to U+2FFF are signs as well.
            0xc2 if second != 0xaa && second != 0xba => return None,
            0xe2 => return None,
            // U+00C0 to U+00FF: letters but for × and ÷.
            0xc3 => hash.push_plain(letters::plain(char::from(0xc0 | (second & 0x3f)))?),
            // Œ and œ.
            0xc5 if second == 0x92 || second == 0x93 => hash.push_plain(*b"oe"),
            _ => {
                let length = length_of(lead);
                for byte in self.bytes.get(self.at..self.at + length).unwrap_or_default() {
                    hash.push(*byte);
                }
            }
        }
        Some(length_of(lead))
    }
}

/// Bytes of a character, by its first one.
fn length_of(lead: u8) -> usize {
    match lead {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

/// White space and signs.
const SEPARATOR: u8 = 0;
/// A sign that tells something.
const MARK: u8 = 1;
/// The first byte of a longer character.
const LEAD: u8 = 2;

/// What a byte is to a reader of words: one of the above, or a letter or digit, folded.
const CLASSES: [u8; 256] = {
    let mut classes = [SEPARATOR; 256];
    let mut rest: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    while let [letter, others @ ..] = rest {
        set(&mut classes, *letter, *letter);
        set(&mut classes, letter.to_ascii_uppercase(), *letter);
        rest = others;
    }
    let mut rest: &[u8] = b".!?\n-*#>,;()[]|\t:=";
    while let [mark, others @ ..] = rest {
        set(&mut classes, *mark, MARK);
        rest = others;
    }
    let mut lead = 0xc0;
    while lead < 0xff {
        set(&mut classes, lead, LEAD);
        lead += 1;
    }
    classes
};

/// `classes[byte] = class`, for a place that always exists.
const fn set(classes: &mut [u8; 256], byte: u8, class: u8) {
    if let Some((_, [place, ..])) = classes.split_at_mut_checked(byte as usize) {
        *place = class;
    }
}

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(SEPARATOR)
}

/// A hash of folded letters, rolled along as they are read.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn push(&mut self, byte: u8) {
        // FNV-1a.
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    /// A letter, or two of them.
    fn push_plain(&mut self, letters: [u8; 2]) {
        for letter in letters.into_iter().filter(|letter| *letter != 0) {
            self.push(letter);
        }
    }
}

/// A word as it is hashed.
#[cfg(test)]
pub(super) fn fold(word: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    let ligatures = word.to_lowercase().replace('œ', "oe").replace('æ', "ae").replace('ß', "ss");
    ligatures.nfd().filter(|c| !unicode_normalization::char::is_combining_mark(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(&str, Raw)> {
        let mut words = Words::new(text);
        std::iter::from_fn(|| words.next_raw())
            .map(|raw| (text.get(raw.range.clone()).unwrap(), raw))
            .collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let words: Vec<_> = read("L'église d’Ars, arrêt-maladie: <|im_start|>2x — fin€")
            .into_iter()
            .map(|(word, _)| word)
            .collect();
        assert_eq!(words, ["L", "église", "d", "Ars", "arrêt", "maladie", "im", "start", "2x", "fin"]);
    }

    #[test]
    fn case_and_accents_are_without_meaning() {
        for (one, other) in [
            ("DIABÉTIQUE", "diabetique"),
            ("cœur", "COEUR"),
            ("Straße", "strasse"),
            ("Ça", "ca"),
            ("naïve", "naive"),
            ("ÆTHER", "aether"),
        ] {
            assert_eq!(read(one)[0].1.hash, read(other)[0].1.hash, "{one}");
        }
        assert_ne!(read("été")[0].1.hash, read("éta")[0].1.hash);
        assert_ne!(read("даже")[0].1.hash, read("если")[0].1.hash);
    }

    #[test]
    fn what_stands_between_words_is_told() {
        let flags = |text: &str| read(text).into_iter().map(|(_, raw)| raw.flags).collect::<Vec<_>>();
        assert_eq!(flags("un. deux"), [0, BREAK]);
        assert_eq!(flags("M. Durand, Dr. Roux"), [CAPITAL, CAPITAL, CAPITAL | COMMA, CAPITAL]);
        assert_eq!(flags("exemple.fr v1.2?a=1"), [0, 0, 0, 0, 0, COLON]);
        assert_eq!(flags("fini ! Élodie"), [0, BREAK | CAPITAL]);
        assert_eq!(flags("une\nligne\n\nautre\n- point"), [0, 0, BREAK, BREAK]);
        assert_eq!(flags("\"religion\": \"x\";y"), [0, COLON, COMMA]);
    }
}
