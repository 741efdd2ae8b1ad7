//! In: a text. Out: where something in it is written in another way than it reads, and how it reads.
//!
//! Each layer names [`Places`] and never decides whether anything is found there. A layer that nothing
//! triggers costs its part of one pass over the bytes: `&`, `%`, `\`, `=` and line feeds are searched for, and
//! one walk over the words notices long tokens, lone characters, groups of digits, words that stand for digits
//! or for signs, and letters of scripts that look like Latin ones.

mod blobs;
mod escapes;
mod glyphs;
mod quoted;
mod signs;
mod spaced;
mod spelled;
mod turned;
mod wraps;

use std::ops::Range;

/// A way of writing that is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// HTML character references, percent-encoding, escape sequences of programming languages.
    Escapes,
    /// The quoted-printable transfer encoding.
    Quoted,
    /// Base64, base32 and hexadecimal.
    Blobs,
    /// Letters of other scripts, and letters in place of digits.
    Glyphs,
    /// `[at]`, `(dot)`, `arobase`, `point`.
    Signs,
    /// A separator between every character, or an unusual one between groups of digits.
    Spaced,
    /// Digits as words.
    Spelled,
    /// A line break inside a token.
    Joined,
    /// A line break between groups of digits.
    Continued,
    /// Letters moved by thirteen places.
    Turned,
}

impl Layer {
    /// Whether the whole stretch stands for whatever is found in it: a part of a base64 token is no value.
    pub(super) fn is_opaque(self) -> bool {
        self == Self::Blobs
    }

    /// Whether its places are sequences of which a part means nothing.
    pub(super) fn is_escape(self) -> bool {
        matches!(self, Self::Escapes | Self::Quoted)
    }

    /// The least score of a finding that counts behind this layer. Layers that join what stood apart make up
    /// values, so they ask for a form that tells, or for a word that announces the value.
    pub(super) fn least_score(self) -> f64 {
        match self {
            Self::Escapes | Self::Quoted | Self::Blobs => 0.0,
            Self::Spelled => 0.7,
            Self::Glyphs | Self::Signs | Self::Turned | Self::Spaced | Self::Joined => 0.85,
            Self::Continued => 0.9,
        }
    }

    /// Whether what is found by its words alone counts behind this layer.
    pub(super) fn keeps_words(self) -> bool {
        matches!(self, Self::Escapes | Self::Quoted | Self::Blobs)
    }
}

/// A stretch of a text and what it reads as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes of the text.
    pub(super) range: Range<usize>,
    /// Bytes of [`Places::readings`].
    reading: Range<usize>,
}

/// The places of one layer, in order, none overlapping another.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) layer: Layer,
    list: Vec<Place>,
    readings: String,
}

impl Places {
    fn new(layer: Layer) -> Self {
        Self { layer, list: Vec::new(), readings: String::new() }
    }

    /// Notes a place; one that overlaps the last is left out.
    fn push(&mut self, range: Range<usize>, reading: &str) {
        let start = self.readings.len();
        if self.list.last().is_none_or(|last| last.range.end <= range.start) {
            self.readings.push_str(reading);
            self.list.push(Place { range, reading: start..self.readings.len() });
        }
    }

    fn push_char(&mut self, range: Range<usize>, reading: char) {
        self.push(range, reading.encode_utf8(&mut [0; 4]));
    }

    pub(super) fn list(&self) -> &[Place] {
        &self.list
    }

    /// What a place reads as.
    pub(super) fn reading(&self, place: &Place) -> &str {
        self.readings.get(place.reading.clone()).unwrap_or_default()
    }
}

/// Kinds of a byte, as bits.
mod class {
    pub(super) const DIGIT: u8 = 1;
    pub(super) const HEX: u8 = 2;
    pub(super) const LETTER: u8 = 4;
    pub(super) const HIGH: u8 = 8;
    pub(super) const WORD: u8 = DIGIT | LETTER | HIGH;
}

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte: usize = 0;
    while byte < 256 {
        let of = byte as u8;
        let class = if of.is_ascii_digit() {
            class::DIGIT | class::HEX
        } else if of.is_ascii_hexdigit() {
            class::LETTER | class::HEX
        } else if of.is_ascii_alphabetic() {
            class::LETTER
        } else if of >= 0x80 {
            class::HIGH
        } else {
            0
        };
        #[expect(
            clippy::indexing_slicing,
            reason = "evaluated by the compiler, within the bounds of the loop"
        )]
        {
            classes[byte] = class;
        }
        byte += 1;
    }
    classes
};

fn class_of(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0)
}

/// Letters, digits and bytes beyond ASCII without anything between them.
struct Word<'t> {
    range: Range<usize>,
    bytes: &'t [u8],
    /// Kinds that occur in it.
    any: u8,
    /// Kinds that all its bytes are of.
    all: u8,
    /// What stands between it and the word before.
    gap: &'t [u8],
}

/// All places of a text, by layer.
pub(super) fn find(text: &str) -> Vec<Places> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut keep = |places: Places| {
        if !places.list.is_empty() {
            found.push(places);
        }
    };
    keep(escapes::find(text));
    keep(quoted::find(text));
    let mut blobs = blobs::Blobs::new(text);
    let mut spaced = spaced::Spaced::new(text);
    let mut signs = signs::Signs::new(text);
    let mut spelled = spelled::Spelled::new(text);
    let mut glyphs = glyphs::Glyphs::new(text);
    let mut turned = turned::Turned::new(text);
    let mut before = 0;
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let (mut any, mut all) = (0, u8::MAX);
        while let Some(byte) = bytes.get(at) {
            let class = class_of(*byte);
            if class & class::WORD == 0 {
                break;
            }
            any |= class;
            all &= class;
            at += 1;
        }
        if at > start {
            let word = Word {
                range: start..at,
                bytes: bytes.get(start..at).unwrap_or_default(),
                any,
                all,
                gap: bytes.get(before..start).unwrap_or_default(),
            };
            blobs.word(&word);
            spaced.word(&word);
            glyphs.word(&word);
            if any & class::DIGIT == 0 {
                spelled.word(&word);
                signs.word(&word);
            } else {
                spelled.end();
                turned.word(&word);
            }
            before = at;
        }
        at += 1;
    }
    keep(blobs.places());
    keep(spaced.places());
    keep(glyphs.places());
    keep(spelled.places());
    keep(signs.places());
    keep(turned.places());
    let (joined, continued) = wraps::find(text);
    keep(joined);
    keep(continued);
    found
}

/// The byte at a place; 0 beyond the end.
fn byte_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The byte before a place; 0 at the start.
fn byte_before(bytes: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(0, |at| byte_at(bytes, at))
}

/// The value of a hexadecimal digit.
fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The byte that two hexadecimal digits from `at` stand for.
fn hex_byte(bytes: &[u8], at: usize) -> Option<u8> {
    Some(hex_digit(byte_at(bytes, at))? << 4 | hex_digit(byte_at(bytes, at + 1))?)
}

/// Whether a character belongs into text: anything but controls that are no white space.
fn is_text(c: char) -> bool {
    !c.is_control() || matches!(c, '\t' | '\n' | '\r')
}

/// The character that starts with byte `first`, whose other bytes `next` gives; `None` when that is not UTF-8 or
/// no text. `next` is asked for at most three.
fn utf8(first: u8, mut next: impl FnMut() -> Option<u8>) -> Option<char> {
    let length = match first {
        0..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut sequence = [first, 0, 0, 0];
    for byte in sequence.iter_mut().take(length).skip(1) {
        *byte = next()?;
    }
    let c = std::str::from_utf8(sequence.get(..length)?).ok()?.chars().next()?;
    is_text(c).then_some(c)
}
