//! In: a word that starts with two letters. Out: an IBAN or a French VAT number.

use std::ops::Range;

use super::{Form, Scan, Structure, byte_at, check};

/// Longest IBAN that the registry allows.
const MAX_IBAN: usize = 34;

impl Scan<'_> {
    /// Reads an IBAN or a French VAT number from the letter at `at`.
    pub(super) fn bank(&mut self, at: usize) {
        let Some((country, places)) = prefix(self.bytes, at) else { return };
        if let Some(length) = iban_length(country)
            && let Some((range, value)) = take(self.bytes, at, length)
            && check::iban(&value)
        {
            self.found(Structure::Iban, range, Form::Telling, text(&value));
        }
        if country == *b"FR" && places == 2 {
            self.vat_fr(at);
        }
    }

    /// Article 286 ter of the code général des impôts: FR, a key, a SIREN.
    fn vat_fr(&mut self, at: usize) {
        let Some((range, value)) = take(self.bytes, at, 13) else { return };
        let (Some(key), Some(siren)) = (value.get(2..4), value.get(4..)) else { return };
        if !siren.iter().all(u8::is_ascii_digit) {
            return;
        }
        let form = if key.iter().all(u8::is_ascii_digit) {
            if check::remainder(key, 100) != (12 + 3 * check::remainder(siren, 97)) % 97 {
                return;
            }
            Form::Telling
        } else {
            // A key with a letter has no published formula.
            if !check::luhn(siren) {
                return;
            }
            Form::Weak
        };
        self.found(Structure::VatFr, range, form, text(&value));
    }
}

fn text(value: &[u8]) -> String {
    value.iter().map(|byte| char::from(*byte)).collect()
}

/// The two letters at `at`, in upper case, when two digits or a key follow; and how many bytes they take.
fn prefix(bytes: &[u8], at: usize) -> Option<([u8; 2], usize)> {
    let first = byte_at(bytes, at).to_ascii_uppercase();
    let gap = usize::from(byte_at(bytes, at + 1) == b' ');
    let second = byte_at(bytes, at + 1 + gap).to_ascii_uppercase();
    if !second.is_ascii_uppercase() {
        return None;
    }
    let mut after = at + 2 + gap;
    if byte_at(bytes, after) == b' ' {
        after += 1;
    }
    // A VAT key may hold letters, but never two of them.
    let (key, next) = (byte_at(bytes, after), byte_at(bytes, after + 1));
    let has_digit = key.is_ascii_digit() || next.is_ascii_digit();
    has_digit.then_some(([first, second], 2 + gap))
}

/// `count` letters and digits from `at`, in upper case, a single space, `-` or `.` allowed between two of them.
/// Nothing when more follow without a gap.
fn take(bytes: &[u8], at: usize, count: usize) -> Option<(Range<usize>, Vec<u8>)> {
    let mut value = Vec::with_capacity(MAX_IBAN);
    let mut place = at;
    loop {
        let byte = byte_at(bytes, place);
        if byte.is_ascii_alphanumeric() {
            value.push(byte.to_ascii_uppercase());
            place += 1;
            if value.len() == count {
                break;
            }
        } else if matches!(byte, b' ' | b'-' | b'.') && byte_at(bytes, place + 1).is_ascii_alphanumeric() {
            place += 1;
        } else {
            return None;
        }
    }
    (!check::is_word(byte_at(bytes, place))).then_some((at..place, value))
}

/// Length of the IBANs of a country.
///
/// Source: the IBAN registry of SWIFT, the registration authority of ISO 13616, release 97 (2024).
fn iban_length(country: [u8; 2]) -> Option<usize> {
    Some(match &country {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FI" | b"FK" | b"FO" | b"GL" | b"NL" | b"SD" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"MN" | b"XK" => 20,
        b"CH" | b"HR" | b"LI" | b"LV" => 21,
        b"BG" | b"BH" | b"CR" | b"DE" | b"GB" | b"GE" | b"IE" | b"ME" | b"RS" | b"VA" => 22,
        b"AE" | b"GI" | b"IL" | b"IQ" | b"OM" | b"SO" | b"TL" => 23,
        b"AD" | b"CZ" | b"ES" | b"MD" | b"PK" | b"RO" | b"SA" | b"SE" | b"SK" | b"TN" | b"VG" => 24,
        b"LY" | b"PT" | b"ST" => 25,
        b"IS" | b"TR" => 26,
        b"BI" | b"DJ" | b"FR" | b"GR" | b"IT" | b"MC" | b"MR" | b"SM" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"GT" | b"HU" | b"LB" | b"NI" | b"PL" | b"SV" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" | b"YE" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => return None,
    })
}
