//! In: what may be a telephone number. Out: it is one, when the numbering plan of its country says so.
//!
//! The plans are those of libphonenumber (crate `phonenumber`), whose parser costs some microseconds, so only
//! candidates of a telling form come this far: behind `+` or `00`, and ten digits from 0 as France writes them.
//! National forms of other countries are not read: nothing in them tells a telephone number from any other.

use std::ops::Range;

use phonenumber::{Mode, country};

use super::{Form, Scan, Structure, byte_at, byte_before, check};

/// Fewest and most digits of a number with its country code (ITU-T E.164 limits it to fifteen).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// How many endings of one candidate are tried.
const TRIES: usize = 3;

impl Scan<'_> {
    /// Notes a number when the plan of its country, France unless it starts with `+`, has it.
    pub(super) fn phone(&mut self, range: Range<usize>, number: &str, form: Form) {
        if let Some(number) = valid(Some(country::Id::FR), number) {
            self.found(Structure::Phone, range, form, number);
        }
    }

    /// A number from the `+` at `at` (ITU-T E.123).
    pub(super) fn international_phone(&mut self, at: usize) {
        let before = byte_before(self.bytes, at);
        if check::is_word(before) || before == b'+' {
            return;
        }
        for (end, digits) in endings(self.bytes, at + 1) {
            if let Some(number) = valid(None, &format!("+{}", without_trunk_zero(&digits))) {
                self.found(Structure::Phone, at..end, Form::Telling, number);
                return;
            }
        }
    }
}

/// The number in the form of E.164 when it is one.
fn valid(country: Option<country::Id>, number: &str) -> Option<String> {
    let number = phonenumber::parse(country, number).ok()?;
    phonenumber::is_valid(&number).then(|| number.format().mode(Mode::E164).to_string())
}

/// Where a number from `at` may end and its digits until there, longest first.
fn endings(bytes: &[u8], at: usize) -> Vec<(usize, String)> {
    let mut endings = Vec::new();
    let mut digits = String::new();
    let mut place = at;
    loop {
        let byte = byte_at(bytes, place);
        let next = byte_at(bytes, place + 1);
        if byte.is_ascii_digit() {
            digits.push(char::from(byte));
            if !next.is_ascii_digit() && !check::is_word(next) && DIGITS.contains(&digits.len()) {
                endings.push((place + 1, digits.clone()));
            }
        } else {
            let goes_on = match byte {
                b' ' => matches!(next, b'0'..=b'9' | b'(' | b'-' | b'/'),
                b'.' | b'-' | b'/' => matches!(next, b'0'..=b'9' | b' ' | b'('),
                b'(' => next.is_ascii_digit(),
                b')' => matches!(next, b'0'..=b'9' | b' ' | b'.' | b'-' | b'/'),
                _ => false,
            };
            if !goes_on {
                break;
            }
        }
        // Fifteen digits, a separator or two between each: beyond that it is no number.
        if digits.len() > *DIGITS.end() + 1 || place > at + 48 {
            break;
        }
        place += 1;
    }
    endings.reverse();
    endings.truncate(TRIES);
    endings
}

/// Digits without the zero of `+33 (0)6 …`, which is dialled inside the country only.
fn without_trunk_zero(digits: &str) -> String {
    match digits.strip_prefix("330") {
        Some(rest) => format!("33{rest}"),
        None => digits.to_owned(),
    }
}
