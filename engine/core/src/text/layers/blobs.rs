//! In: long tokens of a narrow alphabet. Out: the text they encode, when it is text.
//!
//! Base64 (RFC 4648, both alphabets, with or without padding, wrapped or not), base32, and hexadecimal (unbroken,
//! or byte by byte with a separator). What decodes to anything but text in UTF-8 (or UTF-16, as PowerShell sends
//! it) is left alone; the first bytes tell, so a token that is no text costs next to nothing.

use std::ops::Range;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Layer, Places, Word, byte_at, class, hex_byte, hex_digit, is_text};

/// Fewest characters of a token that is decoded: nine bytes in base64.
const MIN_TOKEN: usize = 12;
/// Fewest characters of a line of a wrapped token, but for the last.
const MIN_LINE: usize = 24;
/// Fewest bytes written one by one.
const MIN_PAIRS: usize = 8;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

pub(super) struct Blobs<'t> {
    text: &'t str,
    places: Places,
    /// The token being read: words joined by single characters of the alphabets.
    run: Range<usize>,
    /// Bytes written one by one: where they start and end, how many, and what stands between them.
    pairs: (Range<usize>, usize, &'t [u8]),
    /// Where the last token ended that was decoded.
    done: usize,
}

impl<'t> Blobs<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, places: Places::new(Layer::Blobs), run: 0..0, pairs: (0..0, 0, &[]), done: 0 }
    }

    pub(super) fn word(&mut self, word: &Word<'t>) {
        let joins = word.gap.len() <= 2 && word.gap.iter().all(|byte| b"+/-_".contains(byte));
        if joins && !self.run.is_empty() {
            self.run.end = word.range.end;
        } else {
            self.token();
            self.run = word.range.clone();
        }
        if word.bytes.len() == 2 && word.all & class::HEX != 0 {
            let (range, count, gap) = &mut self.pairs;
            if *count > 0 && (*count == 1 || *gap == word.gap) && is_pair_gap(word.gap) {
                *gap = word.gap;
                *count += 1;
                range.end = word.range.end;
            } else {
                self.bytes();
                self.pairs = (word.range.clone(), 1, &[]);
            }
        } else if self.pairs.1 > 0 {
            self.bytes();
        }
    }

    pub(super) fn places(mut self) -> Places {
        self.token();
        self.bytes();
        self.places
    }

    /// Decodes the token that was read.
    fn token(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.len() < MIN_TOKEN || run.start < self.done {
            return;
        }
        if self.decode(run.clone()) {
            return;
        }
        // What joins its words may be punctuation rather than part of it: a path, a list, a name.
        let bytes = self.text.as_bytes();
        let mut start = run.start;
        for at in run.clone() {
            let is_end = at + 1 == run.end;
            if is_end || b"/-_+".contains(&byte_at(bytes, at)) {
                let part = start..if is_end { run.end } else { at };
                if part.len() >= MIN_TOKEN && part.len() < run.len() {
                    self.decode(part);
                }
                start = at + 1;
            }
        }
    }

    fn decode(&mut self, run: Range<usize>) -> bool {
        let bytes = self.text.as_bytes();
        let Some(token) = bytes.get(run.clone()) else { return false };
        let decoded = if let Some(text) = hex(token) {
            Some((run.clone(), text))
        } else if starts_as_base64(token) {
            let (range, joined) = self.wrapped(&run);
            let whole = joined.and_then(|joined| base64(&joined)).map(|text| (range, text));
            // What stands on the next line may be a word of its own.
            let found = whole.or_else(|| base64(token).map(|text| (run.clone(), text)));
            found.map(|(range, text)| (padded(bytes, range), text))
        } else {
            base32(token).map(|text| (padded(bytes, run.clone()), text))
        };
        let Some((range, text)) = decoded else { return false };
        self.done = range.end;
        self.places.push(range, &text);
        true
    }

    /// A token together with the lines it goes on over, when each but the last is as long as the first.
    fn wrapped(&self, run: &Range<usize>) -> (Range<usize>, Option<Vec<u8>>) {
        let bytes = self.text.as_bytes();
        let mut joined = None;
        let mut range = run.clone();
        if run.len() < MIN_LINE {
            return (range, joined);
        }
        while let Some(next) = line_behind(bytes, range.end) {
            let length = bytes
                .get(next..bytes.len().min(next + run.len() + 1))
                .unwrap_or_default()
                .iter()
                .take_while(|byte| is_base64(**byte))
                .count();
            let ends =
                matches!(byte_at(bytes, next + length), b'\n' | b'\r' | b'=' | b'"' | b'\'' | b' ' | 0);
            if length == 0 || length > run.len() || !ends {
                break;
            }
            let line = bytes.get(next..next + length).unwrap_or_default();
            joined.get_or_insert_with(|| bytes.get(run.clone()).unwrap_or_default().to_vec()).extend(line);
            range.end = next + length;
            if length < run.len() {
                break;
            }
        }
        (range, joined)
    }

    /// Decodes the bytes that were read one by one.
    fn bytes(&mut self) {
        let (range, count, _) = std::mem::take(&mut self.pairs);
        if count < MIN_PAIRS || range.start < self.done {
            return;
        }
        let bytes = self.text.as_bytes();
        let digits: Vec<u8> = bytes
            .get(range.clone())
            .unwrap_or_default()
            .iter()
            .copied()
            .filter(|byte| hex_digit(*byte).is_some())
            .collect();
        if let Some(text) = hex(&digits) {
            self.done = range.end;
            self.places.push(range, &text);
        }
    }
}

/// Whether bytes that are written one by one are separated like this.
fn is_pair_gap(gap: &[u8]) -> bool {
    matches!(gap, b" " | b":" | b"-" | b"," | b", " | b";")
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

/// A range with the padding behind it.
fn padded(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let padding = bytes.get(range.end..).unwrap_or_default().iter().take(6).take_while(|byte| **byte == b'=');
    range.start..range.end + padding.count()
}

/// Where the text of the next line starts when a line ends at `at`, behind what quotes or indents it.
fn line_behind(bytes: &[u8], at: usize) -> Option<usize> {
    let mut next = match (byte_at(bytes, at), byte_at(bytes, at + 1)) {
        (b'\n', _) => at + 1,
        (b'\r', b'\n') => at + 2,
        _ => return None,
    };
    let most = next + 16;
    while next < most && matches!(byte_at(bytes, next), b' ' | b'\t' | b'>') {
        next += 1;
    }
    Some(next)
}

/// Bytes that a text can hold.
fn is_text_byte(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || matches!(byte, b'\t' | b'\n' | b'\r')
}

/// Whether the first bytes of a token in base64 are text: they are UTF-8, or every second is zero.
fn starts_as_base64(token: &[u8]) -> bool {
    let mut head = [0; 9];
    let Some(first) = token.get(..12) else { return false };
    let engine = if first.iter().any(|byte| b"-_".contains(byte)) { &BASE64_URL } else { &BASE64 };
    if engine.decode_slice(first, &mut head).is_err() {
        return false;
    }
    is_text_head(&head)
}

/// Whether the first bytes of something are the first bytes of a text.
fn is_text_head(head: &[u8]) -> bool {
    if head.iter().skip(1).step_by(2).all(|byte| *byte == 0) {
        return head.iter().step_by(2).all(|byte| is_text_byte(*byte));
    }
    head.iter().all(|byte| is_text_byte(*byte))
        && match std::str::from_utf8(head) {
            Ok(_) => true,
            // A character that goes on behind the head.
            Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
        }
}

fn base64(token: &[u8]) -> Option<String> {
    let engine = if token.iter().any(|byte| b"-_".contains(byte)) { &BASE64_URL } else { &BASE64 };
    // A length of one more than a multiple of four encodes nothing; its last character is not part of it.
    let token = if token.len() % 4 == 1 { token.get(..token.len() - 1)? } else { token };
    text(engine.decode(token).ok()?)
}

fn hex(token: &[u8]) -> Option<String> {
    if !token.len().is_multiple_of(2) || token.len() < 2 * MIN_PAIRS {
        return None;
    }
    let mut decoded = Vec::with_capacity(token.len() / 2);
    for at in (0..token.len()).step_by(2) {
        let byte = hex_byte(token, at)?;
        decoded.push(byte);
        if decoded.len() == MIN_PAIRS && !is_text_head(&decoded) {
            return None;
        }
    }
    text(decoded)
}

/// RFC 4648, section 6.
fn base32(token: &[u8]) -> Option<String> {
    if token.len() < 16 || !matches!(token.len() % 8, 0 | 2 | 4 | 5 | 7) {
        return None;
    }
    let mut decoded = Vec::with_capacity(token.len() * 5 / 8);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in token {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(value)) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            decoded.push(u8::try_from(bits >> count & 0xff).ok()?);
            if decoded.len() == MIN_PAIRS && !is_text_head(&decoded) {
                return None;
            }
        }
    }
    text(decoded)
}

/// Decoded bytes as text, when they are.
fn text(decoded: Vec<u8>) -> Option<String> {
    let is_wide = decoded.len() >= 8 && decoded.iter().skip(1).step_by(2).all(|byte| *byte == 0);
    let text = if is_wide {
        decoded.iter().step_by(2).map(|byte| char::from(*byte)).collect()
    } else {
        String::from_utf8(decoded).ok()?
    };
    text.chars().all(is_text).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let mut blobs = Blobs::new(text);
        let (mut before, mut at) = (0, 0);
        let bytes = text.as_bytes();
        while at < bytes.len() {
            let start = at;
            let (mut any, mut all) = (0, u8::MAX);
            while at < bytes.len() && super::super::class_of(bytes[at]) & class::WORD != 0 {
                any |= super::super::class_of(bytes[at]);
                all &= super::super::class_of(bytes[at]);
                at += 1;
            }
            if at > start {
                blobs.word(&Word {
                    range: start..at,
                    bytes: &bytes[start..at],
                    any,
                    all,
                    gap: &bytes[before..start],
                });
                before = at;
            }
            at += 1;
        }
        let places = blobs.places();
        places
            .list()
            .iter()
            .map(|place| {
                (text.get(place.range.clone()).unwrap().to_owned(), places.reading(place).to_owned())
            })
            .collect()
    }

    #[test]
    fn tokens_that_encode_text_are_read_whole() {
        for (sent, token, text) in [
            ("x Ym9uam91ciDDoCB0b3Vz y", "Ym9uam91ciDDoCB0b3Vz", "bonjour à tous"),
            ("x Ym9uam91ciBib25qb3Vy= y", "Ym9uam91ciBib25qb3Vy=", "bonjour bonjour"),
            ("/u/Ym9uam91ciBib25qb3Vy/x", "Ym9uam91ciBib25qb3Vy", "bonjour bonjour"),
            ("626f6e6a6f757220", "626f6e6a6f757220", "bonjour "),
            ("62 6f 6e 6a 6f 75 72 21", "62 6f 6e 6a 6f 75 72 21", "bonjour!"),
            ("MJXW42TPOVZCC===", "MJXW42TPOVZCC", ""),
            ("MJXW42TPOVZCAYTPNZVG65LS", "MJXW42TPOVZCAYTPNZVG65LS", "bonjour bonjour"),
            ("YgBvAG4AagBvAHUAcgA=", "YgBvAG4AagBvAHUAcgA=", "bonjour"),
        ] {
            let found = read(sent);
            if text.is_empty() {
                assert!(found.is_empty(), "{sent}: {found:?}");
            } else {
                assert_eq!(found, [(token.to_owned(), text.to_owned())], "{sent}");
            }
        }
    }

    #[test]
    fn a_wrapped_token_is_one() {
        let text = "Ym9uam91ciDDoCB0b3VzLCBl\nbmNvcmUgdW5lIGZvaXMgw6Ag\n  dG91cw==\nfin";
        let found = read(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].1, "bonjour à tous, encore une fois à tous");
        assert!(found[0].0.ends_with("=="));
    }

    #[test]
    fn what_encodes_no_text_is_left_alone() {
        for text in [
            "anticonstitutionnellement",
            "3f786850e387550fdab836ed7e6dc881de23001b",
            "550e8400-e29b-41d4-a716-446655440000",
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB",
            "10 20 30 40 50 60 70 80 90",
        ] {
            assert!(read(text).is_empty(), "{text}: {:?}", read(text));
        }
    }
}
