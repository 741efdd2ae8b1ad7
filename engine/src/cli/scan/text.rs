//! In: bytes of a file as they are read. Out: text, and where each place of it stands in the file.
//!
//! UTF-8 is the rule; a byte order mark makes it UTF-16. A byte that is no UTF-8 is read as windows-1252, so that
//! an old French file is scanned, too, and every byte of a file has a place in its text.

/// A place in a file; lines and columns count from 1, columns in code points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) byte: u64,
    pub(super) code_point: u64,
    pub(super) line: u64,
    pub(super) column: u64,
}

impl Position {
    /// The start of a file, or of a part of it that starts with this line.
    pub(super) fn at_line(line: u64) -> Self {
        Self { byte: 0, code_point: 0, line, column: 1 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// Decoded text that knows how many bytes of the file each character takes.
#[derive(Clone, Debug)]
pub(super) struct Text {
    string: String,
    encoding: Encoding,
    /// Places in `string` of characters that are a single byte of a file in UTF-8, in order.
    odd: Vec<usize>,
}

impl Text {
    pub(super) fn as_str(&self) -> &str {
        &self.string
    }

    pub(super) fn len(&self) -> usize {
        self.string.len()
    }

    /// The text before a place, which stands between two characters.
    pub(super) fn head(&self, end: usize) -> Self {
        let odd = self.odd.iter().copied().take_while(|at| *at < end).collect();
        let string = self.string.get(..end).unwrap_or(&self.string).to_owned();
        Self { string, encoding: self.encoding, odd }
    }

    /// Drops the text before a place, which stands between two characters.
    pub(super) fn drop_head(&mut self, end: usize) {
        if self.string.is_char_boundary(end) {
            self.string.drain(..end);
            self.odd.retain(|at| *at >= end);
            self.odd.iter_mut().for_each(|at| *at -= end);
        }
    }

    /// Where `to` stands, when `from` stands at `position`.
    pub(super) fn advance(&self, position: Position, from: usize, to: usize) -> Position {
        let passed = self.string.get(from..to).unwrap_or_default();
        let code_points = count(passed.bytes(), starts_char);
        let bytes = match self.encoding {
            Encoding::Utf8 if self.odd.is_empty() => passed.len(),
            Encoding::Utf8 => {
                let first = self.odd.partition_point(|at| *at < from);
                let odd = self.odd.iter().skip(first).take_while(|at| **at < to);
                let more: usize = odd
                    .filter_map(|at| self.string.get(*at..)?.chars().next())
                    .map(|character| character.len_utf8() - 1)
                    .sum();
                passed.len() - more
            }
            // What takes four bytes of UTF-8 takes two units of UTF-16.
            _ => 2 * (code_points + count(passed.bytes(), |byte| byte >= 0xf0)),
        };
        let lines = count(passed.bytes(), |byte| byte == b'\n');
        let column = match passed.rfind('\n') {
            Some(at) => 1 + count(passed.bytes().skip(at + 1), starts_char) as u64,
            None => position.column + code_points as u64,
        };
        Position {
            byte: position.byte + bytes as u64,
            code_point: position.code_point + code_points as u64,
            line: position.line + lines as u64,
            column,
        }
    }

    /// The next place at or before `at` that stands between two characters.
    pub(super) fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.string.len());
        while !self.string.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

fn count(bytes: impl Iterator<Item = u8>, wanted: impl Fn(u8) -> bool) -> usize {
    bytes.filter(|byte| wanted(*byte)).count()
}

/// Whether a byte of UTF-8 starts a character.
fn starts_char(byte: u8) -> bool {
    byte & 0b1100_0000 != 0b1000_0000
}

/// Bytes that a text file does not hold where a reader looks first. This is how git tells, too.
const SNIFFED: usize = 8000;

/// Whether what starts with these bytes is no text.
pub(super) fn is_binary(start: &[u8]) -> bool {
    encoding(start) == Encoding::Utf8 && holds_zero(start)
}

/// Whether there is a zero byte where a reader looks first; in lines of a patch that alone tells what is no text.
pub(super) fn holds_zero(start: &[u8]) -> bool {
    start.iter().take(SNIFFED).any(|byte| *byte == 0)
}

fn encoding(start: &[u8]) -> Encoding {
    match start {
        // The byte order mark of UTF-32 starts like that of UTF-16; nothing writes it.
        [0xff, 0xfe, 0, 0, ..] => Encoding::Utf8,
        [0xff, 0xfe, ..] => Encoding::Utf16Le,
        [0xfe, 0xff, ..] => Encoding::Utf16Be,
        _ => Encoding::Utf8,
    }
}

/// Turns pieces of a file into one text.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Bytes of a character whose others have not come yet.
    pending: Vec<u8>,
    started: bool,
    text: Text,
}

impl Decoder {
    pub(super) fn new() -> Self {
        let text = Text { string: String::new(), encoding: Encoding::Utf8, odd: Vec::new() };
        Self { pending: Vec::new(), started: false, text }
    }

    /// Decodes lines that were cut at the byte of a line break, which UTF-16 does not survive: whatever they start
    /// with, they are UTF-8 or windows-1252.
    pub(super) fn of_lines() -> Self {
        Self { started: true, ..Self::new() }
    }

    /// What was decoded and not dropped yet.
    pub(super) fn text(&self) -> &Text {
        &self.text
    }

    pub(super) fn text_mut(&mut self) -> &mut Text {
        &mut self.text
    }

    pub(super) fn into_text(self) -> Text {
        self.text
    }

    /// Decodes a piece. The first one holds a whole byte order mark, if there is one.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.started {
            self.started = true;
            self.text.encoding = encoding(bytes);
        }
        if self.pending.is_empty() {
            self.decode(bytes, false);
        } else {
            let mut whole = std::mem::take(&mut self.pending);
            whole.extend_from_slice(bytes);
            self.decode(&whole, false);
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.decode(&pending, true);
    }

    fn decode(&mut self, bytes: &[u8], last: bool) {
        match self.text.encoding {
            Encoding::Utf8 => self.utf8(bytes, last),
            Encoding::Utf16Le => self.utf16(bytes, last, u16::from_le_bytes),
            Encoding::Utf16Be => self.utf16(bytes, last, u16::from_be_bytes),
        }
    }

    fn utf8(&mut self, mut bytes: &[u8], last: bool) {
        loop {
            let error = match std::str::from_utf8(bytes) {
                Ok(text) => return self.text.string.push_str(text),
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at_checked(error.valid_up_to()).unwrap_or((bytes, &[]));
            self.text.string.push_str(std::str::from_utf8(valid).unwrap_or_default());
            if error.error_len().is_none() && !last {
                self.pending = rest.to_vec();
                return;
            }
            let (odd, rest) =
                rest.split_at_checked(error.error_len().unwrap_or(rest.len())).unwrap_or((rest, &[]));
            for byte in odd {
                self.text.odd.push(self.text.string.len());
                self.text.string.push(windows_1252(*byte));
            }
            bytes = rest;
        }
    }

    fn utf16(&mut self, bytes: &[u8], last: bool, unit: fn([u8; 2]) -> u16) {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let mut units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        let is_cut = units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit));
        if !last {
            let kept = rest.len() + if is_cut { 2 } else { 0 };
            self.pending = bytes.get(bytes.len() - kept..).unwrap_or_default().to_vec();
            if is_cut {
                units.pop();
            }
        }
        let decoded = char::decode_utf16(units);
        self.text.string.extend(decoded.map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
}

/// The bytes 0x80 to 0x9f of windows-1252; the five that it leaves open are as in ISO 8859-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

fn windows_1252(byte: u8) -> char {
    let special = byte.checked_sub(0x80).and_then(|at| WINDOWS_1252.get(usize::from(at)));
    special.copied().unwrap_or(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(pieces: &[&[u8]]) -> Text {
        let mut decoder = Decoder::new();
        pieces.iter().for_each(|piece| decoder.push(piece));
        decoder.finish();
        decoder.text().clone()
    }

    fn at(text: &Text, place: usize) -> (u64, u64, u64, u64) {
        let position = text.advance(Position::at_line(1), 0, place);
        (position.byte, position.code_point, position.line, position.column)
    }

    #[test]
    fn a_place_is_told_in_bytes_code_points_line_and_column() {
        let text = decoded(&["né\n€ à 𝄞x".as_bytes()]);
        let place = text.as_str().find('x').unwrap();
        assert_eq!(at(&text, place), (place as u64, 8, 2, 6));
        assert_eq!(at(&text, 0), (0, 0, 1, 1));
    }

    #[test]
    fn a_character_cut_between_pieces_is_whole() {
        let bytes = "a€𝄞é".as_bytes();
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(decoded(&[first, second]).as_str(), "a€𝄞é", "{cut}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_read_as_windows_1252_and_keep_their_places() {
        let text = decoded(&[b"Andr\xe9 doit 5 \x80\nN\xb0 7, ", "é\u{e9} fin".as_bytes(), b" \xc3"]);
        assert_eq!(text.as_str(), "André doit 5 €\nN° 7, éé fin Ã");
        let place = text.as_str().find("7").unwrap();
        assert_eq!(at(&text, place), (18, 18, 2, 4));
        let place = text.as_str().find("fin").unwrap();
        assert_eq!(at(&text, place), (26, 24, 2, 10));
        assert_eq!(at(&text, text.len()).0, 31);
    }

    #[test]
    fn utf16_is_known_by_its_byte_order_mark() {
        for unit in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
            let bytes: Vec<u8> = "\u{feff}né\r\n𝄞x".encode_utf16().flat_map(unit).collect();
            assert!(!is_binary(&bytes));
            for cut in 2..bytes.len() {
                let (first, second) = bytes.split_at(cut);
                let text = decoded(&[first, second]);
                assert_eq!(text.as_str(), "\u{feff}né\r\n𝄞x", "{cut}");
                assert_eq!(at(&text, text.as_str().find('x').unwrap()), (14, 6, 2, 2));
            }
        }
    }

    #[test]
    fn dropping_the_head_leaves_the_rest_in_its_places() {
        let mut text = decoded(&[b"\xe9\xe9\n\xe9 abc\xe9x"]);
        let head = text.advance(Position::at_line(1), 0, 5);
        text.drop_head(5);
        let position = text.advance(head, 0, text.as_str().find('x').unwrap());
        assert_eq!((position.byte, position.line, position.column), (9, 2, 7));
        assert_eq!(text.head(2).len(), 2);
    }

    #[test]
    fn a_null_byte_is_no_text() {
        assert!(is_binary(b"PNG\0"));
        assert!(is_binary(&[0xff, 0xfe, 0, 0, b'a', 0, 0, 0]));
        assert!(!is_binary(b"\xff\xfea\0"));
        assert!(!is_binary(b""));
    }
}
