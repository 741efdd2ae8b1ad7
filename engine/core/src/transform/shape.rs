//! A number of a type with a form of its own, and a key, in; a number of the same form that is none, and the first one
//! again, out.
//!
//! The digits that carry something are encrypted with FF1 (NIST SP 800-38G, AES-256, the type as tweak), which gives as
//! many digits. What only checks them is left out and put in again at the end: in a token it is always wrong, so that no
//! machine takes it for somebody's card or account, and reading it back it is computed anew. Separators stay where they
//! were.
//!
//! | type | encrypted | in a token |
//! | --- | --- | --- |
//! | `CARD`, `SIREN_FR`, `SIRET_FR` | all but the last digit | the last digit is 5 off the Luhn formula's |
//! | `NIR_FR`, 15 digits | the first 13 | the key is 98 or 99, which no number has |
//! | `IBAN` whose account number is digits alone | the account number | the check digits are 00, which no number has |
//! | `PHONE` in its national form, ten digits from 0 | the last nine | the first digit is 9 |
//!
//! Whatever does not fit has no such token. Nothing tells a token from any other number, and nothing tells whether it
//! was changed: who wants it read back has to say that it is one.

use aes::Aes256;
use fpe::ff1::{FF1, FlexibleNumeralString};

/// Least digits that are encrypted: FF1 wants a million possible values.
const MIN_DIGITS: usize = 6;

/// The form of a type.
#[derive(Clone, Copy)]
enum Form {
    Luhn,
    Nir,
    Iban,
    Phone,
}

impl Form {
    fn of(kind: &str) -> Option<Self> {
        match kind {
            "CARD" | "SIREN_FR" | "SIRET_FR" => Some(Self::Luhn),
            "NIR_FR" => Some(Self::Nir),
            "IBAN" => Some(Self::Iban),
            "PHONE" => Some(Self::Phone),
            _ => None,
        }
    }
}

/// A number taken apart: digits before what is encrypted, what is encrypted, digits behind it.
struct Parts<'d> {
    before: &'d [u8],
    payload: &'d [u8],
    behind: &'d [u8],
}

fn parts(form: Form, digits: &[u8]) -> Option<Parts<'_>> {
    let (before, behind) = match form {
        Form::Luhn if (9..=19).contains(&digits.len()) => (0, 1),
        Form::Nir if digits.len() == 15 => (0, 2),
        Form::Iban if (10..=32).contains(&digits.len()) => (2, 0),
        Form::Phone if digits.len() == 10 => (1, 0),
        _ => return None,
    };
    let (before, rest) = digits.split_at_checked(before)?;
    let (payload, behind) = rest.split_at_checked(rest.len().checked_sub(behind)?)?;
    (payload.len() >= MIN_DIGITS).then_some(Parts { before, payload, behind })
}

/// What stands for a value of a type. Without a key, in the tests of policies, every digit is 0. `None` when the value
/// has not the form.
pub(super) fn hide(kind: &str, value: &str, key: Option<&[u8; 32]>) -> Option<String> {
    let form = Form::of(kind)?;
    let digits = digits_of(form, value)?;
    let Parts { before, payload, behind } = parts(form, &digits)?;
    let real = check_digits(form, kind, value, payload)?;
    if real != (before.to_vec(), behind.to_vec()) {
        // Not as it would be read back.
        return None;
    }
    let Some(key) = key else { return Some(with_digits(value, &vec![0; digits.len()])) };
    let hidden = crypt(key, kind, payload, true)?;
    let (before, behind) = wrong_digits(form, &hidden);
    Some(with_digits(value, &[before, hidden, behind].concat()))
}

/// The value that a token of a type stands for; `None` when [`hide`] never writes it.
pub(super) fn show(kind: &str, token: &str, key: &[u8; 32]) -> Option<String> {
    let form = Form::of(kind)?;
    let digits = digits_of(form, token)?;
    let Parts { before, payload, behind } = parts(form, &digits)?;
    if wrong_digits(form, payload) != (before.to_vec(), behind.to_vec()) {
        return None;
    }
    let shown = crypt(key, kind, payload, false)?;
    let (before, behind) = check_digits(form, kind, token, &shown)?;
    Some(with_digits(token, &[before, shown, behind].concat()))
}

fn crypt(key: &[u8; 32], kind: &str, digits: &[u8], hide: bool) -> Option<Vec<u8>> {
    let cipher = FF1::<Aes256>::new(key, 10).ok()?;
    let numerals: Vec<u16> = digits.iter().copied().map(u16::from).collect();
    let numerals = FlexibleNumeralString::from(numerals);
    let out = match hide {
        true => cipher.encrypt(kind.as_bytes(), &numerals),
        false => cipher.decrypt(kind.as_bytes(), &numerals),
    };
    Vec::<u16>::from(out.ok()?).into_iter().map(|digit| u8::try_from(digit).ok()).collect()
}

/// The digits of a value, when it is nothing but digits and what separates them; of an IBAN behind its country.
fn digits_of(form: Form, value: &str) -> Option<Vec<u8>> {
    let rest = match form {
        Form::Iban => {
            let (country, rest) = value.split_at_checked(2)?;
            country.bytes().all(|byte| byte.is_ascii_alphabetic()).then_some(rest)?
        }
        Form::Luhn | Form::Nir | Form::Phone => value,
    };
    let is_separator = |byte: u8| b" .-/()".contains(&byte);
    let fits = rest.bytes().all(|byte| byte.is_ascii_digit() || is_separator(byte));
    fits.then(|| rest.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect())
}

/// The value with other digits.
fn with_digits(value: &str, digits: &[u8]) -> String {
    let mut digits = digits.iter();
    let other = |c: char| match c {
        '0'..='9' => digits.next().map_or(c, |digit| char::from(b'0' + digit)),
        _ => c,
    };
    value.chars().map(other).collect()
}

/// The digits before and behind a payload that a real number has.
fn check_digits(form: Form, kind: &str, value: &str, payload: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    Some(match form {
        Form::Luhn => {
            if kind == "SIRET_FR" && luhn(payload.get(..8)?) != *payload.get(8)? {
                // Only La Poste has numbers like that, and a rule of its own for their last digit.
                return None;
            }
            (Vec::new(), vec![luhn(payload)])
        }
        Form::Nir => (Vec::new(), two_digits(97 - remainder(payload, 0))),
        Form::Iban => {
            // ISO 13616: the country as two numbers from 10 on and 00 behind the account number.
            let country = value.bytes().take(2).map(|letter| letter.to_ascii_uppercase());
            let country = country.flat_map(|letter| two_digits(u32::from(letter.saturating_sub(b'A')) + 10));
            let country: Vec<u8> = country.chain([0, 0]).collect();
            (two_digits(98 - remainder(&country, remainder(payload, 0))), Vec::new())
        }
        Form::Phone => (vec![0], Vec::new()),
    })
}

/// The same in a token.
fn wrong_digits(form: Form, payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    match form {
        Form::Luhn => (Vec::new(), vec![(luhn(payload) + 5) % 10]),
        Form::Nir => {
            // Fifteen digits can be those of a card; of two numbers in a row one at most keeps the Luhn formula.
            let is_card = luhn(&[payload, &[9]].concat()) == 8;
            (Vec::new(), vec![9, if is_card { 9 } else { 8 }])
        }
        Form::Iban => (vec![0, 0], Vec::new()),
        Form::Phone => (vec![9], Vec::new()),
    }
}

fn two_digits(number: u32) -> Vec<u8> {
    [number / 10 % 10, number % 10].into_iter().filter_map(|digit| u8::try_from(digit).ok()).collect()
}

/// What a number that begins with `before` and goes on with `digits` leaves when it is divided by 97.
fn remainder(digits: &[u8], before: u32) -> u32 {
    digits.iter().fold(before, |held, digit| (held * 10 + u32::from(*digit)) % 97)
}

/// The digit that completes a number under the Luhn formula (ISO/IEC 7812-1).
fn luhn(payload: &[u8]) -> u8 {
    let sum: u32 = payload
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(*digit);
            match place % 2 {
                0 => digit * 2 / 10 + digit * 2 % 10,
                _ => digit,
            }
        })
        .sum();
    u8::try_from((10 - sum % 10) % 10).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::FingerprintKey;
    use crate::detectors::{DetectorSet, catalogue};
    use crate::text::Readings;

    const KEY: [u8; 32] = [5; 32];

    /// Made-up numbers whose checksums hold.
    const NUMBERS: [(&str, &str); 11] = [
        ("CARD", "4111 1111 1111 1111"),
        ("CARD", "378282246310005"),
        ("SIREN_FR", "732 829 320"),
        ("SIRET_FR", "732 829 320 00074"),
        ("NIR_FR", "2 69 05 49 588 157 80"),
        ("IBAN", "FR76 3000 6000 0112 3456 7890 189"),
        ("IBAN", "DE89370400440532013000"),
        ("IBAN", "be68 5390 0754 7034"),
        ("PHONE", "06 12 34 56 78"),
        ("PHONE", "01.98.76.54.32"),
        ("PHONE", "0612345678"),
    ];

    fn shape_of(value: &str) -> String {
        value.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
    }

    #[test]
    fn a_token_has_the_form_of_its_value_and_shows_it_again() {
        for (kind, value) in NUMBERS {
            let token = hide(kind, value, Some(&KEY)).unwrap_or_else(|| panic!("{kind} {value}"));
            assert_eq!(shape_of(&token), shape_of(value));
            assert_ne!(token, value);
            assert_eq!(show(kind, &token, &KEY).as_deref(), Some(value), "{kind} {token}");
            assert_ne!(show(kind, &token, &[6; 32]).as_deref(), Some(value));
            assert_eq!(show(kind, value, &KEY), None, "a value is no token: {value}");
            assert_eq!(hide(kind, value, None), Some(shape_of(value)));
        }
    }

    #[test]
    fn what_could_not_be_read_back_has_no_such_token() {
        for (kind, value) in [
            ("CARD", "4111 1111 1111 1112"),
            ("SIRET_FR", "356 000 000 09075"),
            ("NIR_FR", "2 69 05 2A 588 157 60"),
            ("NIR_FR", "2690549588157"),
            ("IBAN", "GB82 WEST 1234 5698 7654 32"),
            ("PHONE", "+33 6 12 34 56 78"),
            ("CARD", "４１１１ 1111 1111 1111"),
            ("EMAIL", "0612345678"),
            ("IBAN", ""),
            ("IBAN", "é"),
        ] {
            assert_eq!(hide(kind, value, Some(&KEY)), None, "{kind} {value}");
        }
    }

    proptest! {
        #[test]
        fn no_token_is_a_real_number_of_its_type(digits in proptest::collection::vec(0u8..10, 13), key in any::<[u8; 32]>()) {
            let text = |digits: &[u8]| digits.iter().map(|digit| char::from(b'0' + digit)).collect::<String>();
            let card = [&[4, 9], digits.as_slice()].concat();
            let nir = [&digits[..], &two_digits(97 - remainder(&digits, 0))].concat();
            let numbers = [
                ("CARD", text(&[&card[..], &[luhn(&card)]].concat())),
                ("NIR_FR", text(&nir)),
            ];
            let set = DetectorSet::compile(catalogue().iter().map(|entry| &*entry.id), &[]).unwrap();
            for (kind, number) in numbers {
                let token = hide(kind, &number, Some(&key)).unwrap();
                prop_assert_eq!(show(kind, &token, &key), Some(number));
                let text = format!("carte {token} sécurité sociale {token}");
                let found = set.scan(&Readings::new(&text), &FingerprintKey::new([0; 32]));
                prop_assert!(found.iter().all(|one| !["CARD", "NIR_FR"].contains(&&*one.kind)), "{token}: {found:?}");
            }
        }

        #[test]
        fn any_text_can_be_given(kind in "(CARD|NIR_FR|IBAN|PHONE|SIRET_FR)", text in "[A-Z]{0,2}[0-9 .é]{0,40}") {
            if let Some(token) = hide(&kind, &text, Some(&KEY)) {
                prop_assert_eq!(show(&kind, &token, &KEY), Some(text.clone()));
            }
            std::hint::black_box(show(&kind, &text, &KEY));
        }
    }
}
