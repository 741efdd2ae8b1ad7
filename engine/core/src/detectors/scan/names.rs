//! In: a text. Out: what in it may be the name of a person or a postal address, handed to the modules that know.
//!
//! One walk: a capital at the start of a word may start a name, a number may belong to an address. All else is
//! stepped over.

use super::person::{Before, Token};
use super::words::{char_at, char_before};
use super::{Scan, byte_before};

/// Longest header of a table, and longest line of it that is looked at, in bytes.
const MAX_LINE: usize = 1024;

/// The columns of a table whose header names persons: a bit for each of the first 64.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns {
    delimiter: u8,
    /// Where the header ends.
    header: usize,
    /// Columns of names, and of what may be named: `client`.
    names: u64,
    labels: u64,
}

impl Columns {
    /// What the header says of a cell that starts at a place.
    pub(super) fn before(&self, bytes: &[u8], start: usize) -> Option<Before> {
        if self.names | self.labels == 0 || start <= self.header {
            return None;
        }
        let mut cell = start;
        while matches!(byte_before(bytes, cell), b' ' | b'"' | b'\'') && start - cell < 3 {
            cell -= 1;
        }
        if byte_before(bytes, cell) != self.delimiter && byte_before(bytes, cell) != b'\n' {
            return None;
        }
        let line = bytes.get(cell.saturating_sub(MAX_LINE)..cell)?;
        let line = line.rsplit(|byte| *byte == b'\n').next()?;
        let column = line.iter().filter(|byte| **byte == self.delimiter).count();
        let bit = 1_u64.checked_shl(u32::try_from(column).ok()?)?;
        if self.names & bit != 0 {
            Some(Before::Key)
        } else if self.labels & bit != 0 {
            Some(Before::Label)
        } else {
            None
        }
    }
}

impl Scan<'_> {
    /// Reads the first line as the header of a table, when it looks like one.
    fn columns(&self) -> Columns {
        let nothing = Columns::default();
        let first = self.bytes.get(..self.bytes.len().min(MAX_LINE)).unwrap_or_default();
        let Some(header) = first.iter().position(|byte| *byte == b'\n') else { return nothing };
        let line = first.get(..header).unwrap_or_default();
        let count = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
        let Some(delimiter) = [b';', b'\t', b'|', b','].into_iter().max_by_key(|delimiter| count(*delimiter))
        else {
            return nothing;
        };
        if count(delimiter) == 0 || line.iter().any(|byte| byte.is_ascii_digit() || b"@:=.!?".contains(byte))
        {
            return nothing;
        }
        let mut columns = Columns { delimiter, header, ..nothing };
        let (mut named, mut at) = (0, 0);
        for (column, cell) in (0_u32..64).zip(line.split(|byte| *byte == delimiter)) {
            let mut end = at + cell.len();
            while matches!(byte_before(self.bytes, end), b' ' | b'"' | b'\'' | b'\r') && end > at {
                end -= 1;
            }
            let bit = 1 << column;
            match if end > at { self.key(end) } else { Before::Nothing } {
                Before::Key => columns.names |= bit,
                Before::Named => named |= bit,
                Before::Label => columns.labels |= bit,
                _ => {}
            }
            at += cell.len() + 1;
        }
        // Beside first names, `nom` is the surname.
        if columns.names == 0 {
            columns.labels |= named
        } else {
            columns.names |= named
        }
        columns
    }

    pub(super) fn names(&mut self) {
        let text = self.text;
        self.columns = self.columns();
        let mut tokens: Vec<Token> = Vec::new();
        let mut at = 0;
        // What lies in an address is no person.
        let mut address_done = 0;
        // Whether the character before was a letter or a digit.
        let mut inside = false;
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'a'..=b'z' => inside = true,
                b'0'..=b'9' => {
                    if !inside {
                        let digits =
                            self.bytes.iter().skip(at).take_while(|byte| byte.is_ascii_digit()).count();
                        if at >= address_done
                            && let Some(end) = self.postal(at, digits, address_done)
                        {
                            address_done = end;
                        }
                        at += digits;
                        inside = true;
                        continue;
                    }
                }
                b'A'..=b'Z' => {
                    if !inside {
                        at = self.person(at, &mut tokens, address_done).max(at + 1);
                        inside = char_before(text, at).is_some_and(char::is_alphanumeric);
                        continue;
                    }
                }
                0..=0x7f => {
                    if matches!(byte, b':' | b'=') {
                        self.lower_person(at);
                    }
                    inside = false;
                }
                _ => {
                    let Some(c) = char_at(text, at) else {
                        at += 1;
                        continue;
                    };
                    if !inside && c.is_uppercase() {
                        at = self.person(at, &mut tokens, address_done).max(at + c.len_utf8());
                        inside = char_before(text, at).is_some_and(char::is_alphanumeric);
                        continue;
                    }
                    inside = c.is_alphanumeric();
                    at += c.len_utf8();
                    continue;
                }
            }
            at += 1;
        }
    }
}
