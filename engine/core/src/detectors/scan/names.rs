//! In: a text. Out: what in it may be the name of a person or a postal address, handed to the modules that know.
//!
//! One walk: a capital at the start of a word may start a name, a number may belong to an address. All else is
//! stepped over.

use super::Scan;
use super::person::Token;
use super::words::{char_at, char_before};

impl Scan<'_> {
    pub(super) fn names(&mut self) {
        let text = self.text;
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
