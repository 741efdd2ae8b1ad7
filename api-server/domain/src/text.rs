//! Values with rules of their own: raw text in, a normalised value or a fault out.

use std::fmt;

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::field::Fault;

macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The normalised text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The normalised text, taken out.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }

            /// Takes a text that was validated before it was stored.
            #[must_use]
            pub fn stored(text: String) -> Self {
                Self(text)
            }
        }

        /// Never shows the value, so that no log line can.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

text_value! {
    /// A line of text of 1 to 200 characters: names, titles, subjects. Unicode NFC, no control characters.
    Line
}
text_value! {
    /// Text of several lines, of 1 to 20,000 characters.
    Prose
}
text_value! {
    /// An e-mail address as it was written; two addresses are the same account when their [`EmailAddress::key`]
    /// is.
    EmailAddress
}
text_value! {
    /// A telephone number in E.164 form, such as `+33123456789`.
    Phone
}
text_value! {
    /// A domain name in lower case, such as `exemple.fr`.
    Domain
}
text_value! {
    /// A SIREN: nine digits, the identifier of a French company (article R123-221 of the code de commerce).
    Siren
}
text_value! {
    /// A VAT number of a member state, upper case without spaces (Directive 2006/112/EC, article 215).
    VatNumber
}

/// Longest [`Line`], in characters.
pub const LINE_MAX: usize = 200;
/// Longest [`Prose`], in characters.
pub const PROSE_MAX: usize = 20_000;
/// Longest e-mail address, in bytes (RFC 5321, section 4.5.3.1.3, without the angle brackets).
pub const EMAIL_MAX: usize = 254;

impl Line {
    /// Trims, composes (NFC) and checks.
    ///
    /// # Errors
    /// When it is empty, too long or holds a control character.
    pub fn parse(raw: &str) -> Result<Self, Fault> {
        let text: String = raw.trim().nfc().collect();
        check_length(&text, LINE_MAX)?;
        if text.chars().any(is_hidden) {
            return Err(Fault::ControlCharacter);
        }
        Ok(Self(text))
    }
}

impl Prose {
    /// Composes (NFC) and checks; line breaks and tabs are allowed.
    ///
    /// # Errors
    /// When it is empty, too long or holds another control character.
    pub fn parse(raw: &str) -> Result<Self, Fault> {
        let text: String = raw.trim_end().nfc().collect();
        check_length(&text, PROSE_MAX)?;
        if text.chars().any(|char| is_hidden(char) && !matches!(char, '\n' | '\r' | '\t')) {
            return Err(Fault::ControlCharacter);
        }
        Ok(Self(text))
    }
}

fn check_length(text: &str, most: usize) -> Result<(), Fault> {
    match text.chars().count() {
        0 => Err(Fault::Empty),
        count if count > most => Err(Fault::TooLong(most)),
        _ => Ok(()),
    }
}

/// Control characters (U+0000 among them, which PostgreSQL cannot store), bidirectional overrides and isolates,
/// and the byte order mark: they make a name look like another one. Joiners stay, since real names need them.
fn is_hidden(char: char) -> bool {
    char.is_control() || matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

impl EmailAddress {
    /// Checks the form that mail systems in use accept: a dot-atom, `@`, a domain name (a subset of RFC 5321).
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(raw: &str) -> Result<Self, Fault> {
        let text = raw.trim();
        if text.len() > EMAIL_MAX {
            return Err(Fault::TooLong(EMAIL_MAX));
        }
        let (local, domain) = text.rsplit_once('@').ok_or(Fault::Email)?;
        let atom = |char: char| char.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(char);
        let local_fits =
            local.len() <= 64 && local.split('.').all(|part| !part.is_empty() && part.chars().all(atom));
        if !local_fits {
            return Err(Fault::Email);
        }
        let domain = Domain::parse(domain).map_err(|_| Fault::Email)?;
        Ok(Self(format!("{local}@{}", domain.0)))
    }

    /// The address in lower case: what makes it unique.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl Domain {
    /// Checks labels and length (RFC 1035, section 2.3.1); a name in use has at least two labels.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(raw: &str) -> Result<Self, Fault> {
        let text = raw.trim().trim_end_matches('.').to_ascii_lowercase();
        let label_fits = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|char| char.is_ascii_alphanumeric() || char == '-')
        };
        let last_is_a_name =
            text.rsplit('.').next().is_some_and(|last| last.chars().any(|char| char.is_ascii_alphabetic()));
        let fits =
            text.len() <= 253 && text.contains('.') && text.split('.').all(label_fits) && last_is_a_name;
        if fits { Ok(Self(text)) } else { Err(Fault::Domain) }
    }
}

impl Phone {
    /// Reads international (`+…`) and French national numbers and keeps the E.164 form.
    ///
    /// # Errors
    /// When no such number can exist.
    pub fn parse(raw: &str) -> Result<Self, Fault> {
        // No number in any notation is longer; it also bounds the work of the parser.
        if raw.len() > 40 {
            return Err(Fault::Phone);
        }
        // Only a number that names no country of its own is read as a French one: with a country beside it the parser
        // reads every number by that country's rules, and an Italian one loses the zero that belongs to it.
        let raw = raw.trim();
        let number = match raw.strip_prefix("00") {
            Some(rest) => phonenumber::parse(None, format!("+{rest}")),
            None => phonenumber::parse(None, raw)
                .or_else(|_| phonenumber::parse(Some(phonenumber::country::FR), raw)),
        };
        let number = number.map_err(|_| Fault::Phone)?;
        if !number.is_valid() || number.extension().is_some() {
            return Err(Fault::Phone);
        }
        Ok(Self(number.format().mode(phonenumber::Mode::E164).to_string()))
    }
}

impl Siren {
    /// Removes spaces and checks the last digit (Luhn).
    ///
    /// # Errors
    /// When it is no SIREN.
    pub fn parse(raw: &str) -> Result<Self, Fault> {
        let text: String = raw.chars().filter(|char| !char.is_whitespace()).collect();
        let digits = digits(&text).filter(|digits| digits.len() == 9).ok_or(Fault::Siren)?;
        let luhn: u32 = digits
            .iter()
            .rev()
            .enumerate()
            .map(|(place, digit)| match (place % 2, digit * 2) {
                (0, _) => *digit,
                (_, doubled) if doubled > 9 => doubled - 9,
                (_, doubled) => doubled,
            })
            .sum();
        if luhn.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0) {
            Ok(Self(text))
        } else {
            Err(Fault::Siren)
        }
    }
}

impl VatNumber {
    /// Removes spaces and dots, checks the country's prefix and, for France, the two-digit key:
    /// (12 + 3 × (SIREN mod 97)) mod 97. French keys of letters exist on paper only and are refused.
    ///
    /// # Errors
    /// When it is no such number.
    pub fn parse(raw: &str) -> Result<Self, Fault> {
        const MEMBERS: [&str; 28] = [
            "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "EL", "ES", "FI", "FR", "HR", "HU", "IE", "IT",
            "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK", "XI",
        ];
        let text: String = raw
            .chars()
            .filter(|char| !char.is_whitespace() && *char != '.')
            .map(|char| char.to_ascii_uppercase())
            .collect();
        let (country, number) = text.split_at_checked(2).ok_or(Fault::VatNumber)?;
        let number_fits =
            (2..=12).contains(&number.len()) && number.chars().all(|char| char.is_ascii_alphanumeric());
        if !MEMBERS.contains(&country) || !number_fits {
            return Err(Fault::VatNumber);
        }
        if country == "FR" {
            let (key, siren) = number.split_at_checked(2).ok_or(Fault::VatNumber)?;
            let siren = Siren::parse(siren).map_err(|_| Fault::VatNumber)?;
            let value: u64 = siren.0.parse().map_err(|_| Fault::VatNumber)?;
            if key.parse::<u64>() != Ok((12 + 3 * (value % 97)) % 97) {
                return Err(Fault::VatNumber);
            }
        }
        Ok(Self(text))
    }

    /// The SIREN inside a French number.
    #[must_use]
    pub fn siren(&self) -> Option<&str> {
        self.0.strip_prefix("FR").and_then(|number| number.get(2..))
    }
}

fn digits(text: &str) -> Option<Vec<u32>> {
    text.chars().map(|char| char.to_digit(10)).collect()
}

/// What searches and sorts compare: lower case, without accents, single spaces. `Éléonore  D'Arc` becomes
/// `eleonore d'arc`.
#[must_use]
pub fn fold(text: &str) -> String {
    let bare: String = text.nfkd().filter(|char| !is_combining_mark(*char)).collect();
    let lower = bare.to_lowercase().replace('œ', "oe").replace('æ', "ae").replace('ß', "ss");
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_trimmed_and_composed() {
        assert_eq!(Line::parse("  Ele\u{301}onore ").unwrap().as_str(), "Eléonore");
    }

    #[test]
    fn a_line_refuses_what_deceives_or_cannot_be_stored() {
        for raw in ["a\0b", "a\nb", "abc\u{202E}def", "\u{FEFF}x"] {
            assert_eq!(Line::parse(raw), Err(Fault::ControlCharacter), "{raw:?}");
        }
        assert_eq!(Line::parse(" \t "), Err(Fault::Empty));
        assert_eq!(Line::parse(&"é".repeat(LINE_MAX + 1)), Err(Fault::TooLong(LINE_MAX)));
        assert!(Line::parse(&"é".repeat(LINE_MAX)).is_ok());
    }

    #[test]
    fn e_mail_addresses_are_checked_and_their_domain_folded() {
        assert_eq!(EmailAddress::parse("Jean.Du+crm@Exemple.FR").unwrap().as_str(), "Jean.Du+crm@exemple.fr");
        for raw in
            ["", "@exemple.fr", "a@", "a@b", "a..b@exemple.fr", "a b@exemple.fr", "a@exemple.123", "é@x.fr"]
        {
            assert_eq!(EmailAddress::parse(raw), Err(Fault::Email), "{raw}");
        }
    }

    #[test]
    fn telephone_numbers_become_e164() {
        assert_eq!(Phone::parse("01 23 45 67 89").unwrap().as_str(), "+33123456789");
        assert_eq!(Phone::parse("+32 2 555 12 12").unwrap().as_str(), "+3225551212");
        assert_eq!(Phone::parse("+39 06 6982 1234").unwrap().as_str(), "+390669821234");
        assert_eq!(Phone::parse("0039 06 6982 1234").unwrap().as_str(), "+390669821234");
        assert_eq!(Phone::parse("(+39) 06 6982 1234").unwrap().as_str(), "+390669821234");
        for raw in [
            "12",
            "0000000000",
            "+999123",
            "appelez-moi",
            "01 23 45 67 89 ext. 3",
            "+39   0 0011 25 00 21 34",
        ] {
            assert_eq!(Phone::parse(raw), Err(Fault::Phone), "{raw}");
        }
    }

    #[test]
    fn siren_and_vat_numbers_need_their_check_digits() {
        assert_eq!(Siren::parse("732 829 320").unwrap().as_str(), "732829320");
        assert_eq!(Siren::parse("732829321"), Err(Fault::Siren));
        assert_eq!(Siren::parse("000000000"), Err(Fault::Siren));
        let vat = VatNumber::parse("fr 44 732 829 320").unwrap();
        assert_eq!((vat.as_str(), vat.siren()), ("FR44732829320", Some("732829320")));
        assert_eq!(VatNumber::parse("FR45732829320"), Err(Fault::VatNumber));
        assert_eq!(VatNumber::parse("US123456789"), Err(Fault::VatNumber));
        assert!(VatNumber::parse("DE123456789").is_ok());
        assert_eq!(VatNumber::parse("é"), Err(Fault::VatNumber));
    }

    #[test]
    fn folding_ignores_accents_case_and_spaces() {
        assert_eq!(fold("  Éléonore   D'ARC "), "eleonore d'arc");
        assert_eq!(fold("Cœur Noël"), "coeur noel");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic_and_what_passes_passes_again(raw in any::<String>()) {
            if let Ok(line) = Line::parse(&raw) { prop_assert_eq!(Line::parse(line.as_str()), Ok(line)); }
            if let Ok(text) = Prose::parse(&raw) { prop_assert_eq!(Prose::parse(text.as_str()), Ok(text)); }
            if let Ok(mail) = EmailAddress::parse(&raw) { prop_assert_eq!(EmailAddress::parse(mail.as_str()), Ok(mail)); }
            if let Ok(phone) = Phone::parse(&raw) { prop_assert_eq!(Phone::parse(phone.as_str()), Ok(phone)); }
            let _ = (Siren::parse(&raw), VatNumber::parse(&raw), Domain::parse(&raw));
            prop_assert_eq!(fold(&fold(&raw)), fold(&raw));
        }

        #[test]
        fn every_french_vat_number_made_of_a_siren_is_accepted(seed in 1_u64..99_999_999) {
            let siren = (0..10).map(|last| format!("{seed:08}{last}")).find(|text| Siren::parse(text).is_ok()).unwrap();
            let value: u64 = siren.parse().unwrap();
            let key = (12 + 3 * (value % 97)) % 97;
            let parsed = VatNumber::parse(&format!("FR{key:02}{siren}"));
            prop_assert!(parsed.is_ok());
        }
    }
}
