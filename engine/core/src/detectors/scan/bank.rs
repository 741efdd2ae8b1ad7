//! In: a chain of groups, or a word that announces a bank. Out: an IBAN or a BIC.

use std::ops::Range;

use super::groups::Group;
use super::{Form, Scan, Structure, byte_at, check};

/// Longest IBAN that ISO 13616 allows.
const MAX_IBAN: usize = 34;
/// How far behind its name a BIC is looked for, in bytes.
const BIC_REACH: usize = 40;

impl Scan<'_> {
    /// An IBAN from the first of the groups; answers where it ends.
    pub(super) fn account(&mut self, groups: &[Group]) -> Option<usize> {
        let first = groups.first()?.word;
        let at = first.start;
        let country =
            [byte_at(self.bytes, at), byte_at(self.bytes, at + 1)].map(|byte| byte.to_ascii_uppercase());
        let key = if first.end == at + 2 { groups.get(1)?.word.start } else { at + 2 };
        let has_key =
            byte_at(self.bytes, key).is_ascii_digit() && byte_at(self.bytes, key + 1).is_ascii_digit();
        if !has_key || !country.iter().all(u8::is_ascii_uppercase) {
            return None;
        }
        let structure = iban_structure(country)?;
        let (range, value, length) =
            take(self.bytes, at, 4 + parts(structure).map(|(count, _)| count).sum::<usize>())?;
        let value = value.get(..length)?;
        if !check::iban(value) || !fits(structure, value.get(4..)?) {
            return None;
        }
        let end = range.end;
        let text = value.iter().map(|byte| char::from(*byte)).collect();
        self.found(Structure::Iban, range, Form::Telling, text);
        Some(end)
    }

    /// The codes that stand behind their name (ISO 9362): nothing in eight capitals alone tells them from a word.
    pub(super) fn bank_codes(&mut self) {
        let Some(&entry) = self.scanner.structures.get(&Structure::Bic) else { return };
        let words: Vec<_> = self.contexts.of(entry).collect();
        let mut done = 0;
        for word in words {
            let mut at = word.end;
            while at < (word.end + BIC_REACH).min(self.bytes.len()) {
                let end = word_end(self.bytes, at);
                if end == at {
                    at += 1;
                    continue;
                }
                let code = self.bytes.get(at..end).unwrap_or_default();
                if at >= done && is_bic(code) {
                    let value = self.slice(&(at..end)).to_owned();
                    self.found(Structure::Bic, at..end, Form::Telling, value);
                    done = end;
                    break;
                }
                at = end;
            }
        }
    }
}

fn word_end(bytes: &[u8], mut at: usize) -> usize {
    while check::is_word(byte_at(bytes, at)) {
        at += 1;
    }
    at
}

/// ISO 9362: four letters of the institution, a country, two symbols of the place, three of the branch or none.
fn is_bic(code: &[u8]) -> bool {
    let (Some(institution), Some(country), Some(rest)) = (code.get(..4), code.get(4..6), code.get(6..))
    else {
        return false;
    };
    matches!(code.len(), 8 | 11)
        && institution.iter().all(u8::is_ascii_uppercase)
        && COUNTRIES.split(' ').any(|known| known.as_bytes() == country)
        && rest.iter().all(|symbol| symbol.is_ascii_uppercase() || symbol.is_ascii_digit())
}

/// `count` letters and digits from `at`, in upper case, a single space, `-` or `.` allowed between two of them; how
/// many. Nothing when more follow without a gap.
fn take(bytes: &[u8], at: usize, count: usize) -> Option<(Range<usize>, [u8; MAX_IBAN], usize)> {
    let mut value = [0; MAX_IBAN];
    let mut place = at;
    let mut length = 0;
    while length < count {
        let byte = byte_at(bytes, place);
        if byte.is_ascii_alphanumeric() {
            *value.get_mut(length)? = byte.to_ascii_uppercase();
            length += 1;
            place += 1;
        } else if matches!(byte, b' ' | b'-' | b'.') && byte_at(bytes, place + 1).is_ascii_alphanumeric() {
            place += 1;
        } else {
            return None;
        }
    }
    (!check::is_word(byte_at(bytes, place))).then_some((at..place, value, length))
}

/// The parts of a structure: how many symbols of which class.
fn parts(structure: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut count = 0;
    structure.bytes().filter_map(move |byte| {
        if byte.is_ascii_digit() {
            count = count * 10 + usize::from(byte - b'0');
            None
        } else {
            Some((std::mem::take(&mut count), byte))
        }
    })
}

/// Whether the account behind country and key has the structure of its country.
fn fits(structure: &str, account: &[u8]) -> bool {
    let mut rest = account;
    parts(structure).all(|(count, class)| {
        let Some((part, tail)) = rest.split_at_checked(count) else { return false };
        rest = tail;
        part.iter().all(|symbol| match class {
            b'n' => symbol.is_ascii_digit(),
            b'a' => symbol.is_ascii_uppercase(),
            _ => true,
        })
    })
}

/// The structure of the account numbers of a country: `n` digits, `a` letters, `c` either.
fn iban_structure(country: [u8; 2]) -> Option<&'static str> {
    let at = ACCOUNTS.binary_search_by_key(&&country, |(known, _)| *known).ok()?;
    ACCOUNTS.get(at).map(|(_, structure)| *structure)
}

/// Source: the IBAN registry of SWIFT, the registration authority of ISO 13616, release 101.
#[rustfmt::skip]
const ACCOUNTS: &[(&[u8; 2], &str)] = &[
    (b"AD", "8n12c"), (b"AE", "19n"), (b"AL", "8n16c"), (b"AT", "16n"), (b"AZ", "4a20c"), (b"BA", "16n"),
    (b"BE", "12n"), (b"BG", "4a6n8c"), (b"BH", "4a14c"), (b"BI", "23n"), (b"BR", "23n1a1c"),
    (b"BY", "4c4n16c"), (b"CH", "5n12c"), (b"CR", "18n"), (b"CY", "8n16c"), (b"CZ", "20n"), (b"DE", "18n"),
    (b"DJ", "23n"), (b"DK", "14n"), (b"DO", "4c20n"), (b"EE", "16n"), (b"EG", "25n"), (b"ES", "20n"),
    (b"FI", "14n"), (b"FK", "2a12n"), (b"FO", "14n"), (b"FR", "10n11c2n"), (b"GB", "4a14n"),
    (b"GE", "2a16n"), (b"GI", "4a15c"), (b"GL", "14n"), (b"GR", "7n16c"), (b"GT", "24c"), (b"HN", "4a20n"),
    (b"HR", "17n"), (b"HU", "24n"), (b"IE", "4a14n"), (b"IL", "19n"), (b"IQ", "4a15n"), (b"IS", "22n"),
    (b"IT", "1a10n12c"), (b"JO", "4a4n18c"), (b"KW", "4a22c"), (b"KZ", "3n13c"), (b"LB", "4n20c"),
    (b"LC", "4a24c"), (b"LI", "5n12c"), (b"LT", "16n"), (b"LU", "3n13c"), (b"LV", "4a13c"), (b"LY", "21n"),
    (b"MC", "10n11c2n"), (b"MD", "20c"), (b"ME", "18n"), (b"MK", "3n10c2n"), (b"MN", "16n"),
    (b"MR", "23n"), (b"MT", "4a5n18c"), (b"MU", "4a19n3a"), (b"NI", "4a20n"), (b"NL", "4a10n"),
    (b"NO", "11n"), (b"OM", "3n16c"), (b"PK", "4a16c"), (b"PL", "24n"), (b"PS", "4a21c"), (b"PT", "21n"),
    (b"QA", "4a21c"), (b"RO", "4a16c"), (b"RS", "18n"), (b"RU", "14n15c"), (b"SA", "2n18c"),
    (b"SC", "4a20n3a"), (b"SD", "14n"), (b"SE", "20n"), (b"SI", "15n"), (b"SK", "20n"),
    (b"SM", "1a10n12c"), (b"SO", "19n"), (b"ST", "21n"), (b"SV", "4a20n"), (b"TL", "19n"), (b"TN", "20n"),
    (b"TR", "6n16c"), (b"UA", "6n19c"), (b"VA", "18n"), (b"VG", "4a16n"), (b"XK", "16n"),
    (b"YE", "4a4n18c"),
];

/// The codes of ISO 3166-1, and XK, which SWIFT uses for Kosovo.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR \
    BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES \
    ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN \
    IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG \
    MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL \
    PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF \
    TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_every_structure_is_readable() {
        assert!(ACCOUNTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (country, structure) in ACCOUNTS {
            let length: usize = parts(structure).map(|(count, _)| count).sum();
            assert!((11..=30).contains(&length), "{country:?}");
            assert!(COUNTRIES.split(' ').any(|known| known.as_bytes() == country.as_slice()), "{country:?}");
        }
    }

    #[test]
    fn an_account_has_the_structure_of_its_country() {
        assert!(fits("10n11c2n", b"20041010050500013M02606"));
        assert!(!fits("4a14n", b"WES112345698765432"));
        assert!(!fits("4a14n", b"WEST1234569876543"));
    }

    #[test]
    fn a_bank_code_names_a_country() {
        assert!(is_bic(b"BNPAFRPP") && is_bic(b"BNPAFRPPXXX") && is_bic(b"DEUTDEFF500"));
        assert!(!is_bic(b"BANKXXFF") && !is_bic(b"BNPAFRPPXX") && !is_bic(b"bnpafrpp"));
    }
}
