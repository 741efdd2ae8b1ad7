//! In: a source of randomness. Out: identifiers that are well formed and belong to nobody in particular, by the
//! rules of those who issue them; and the same with a wrong checksum.

use rand::Rng;
use rand::seq::IndexedRandom;

/// One of several; of none, an empty one.
pub fn pick<T: Copy + Default>(rng: &mut impl Rng, of: &[T]) -> T {
    of.choose(rng).copied().unwrap_or_default()
}

/// Decimal digits.
pub fn digits(rng: &mut impl Rng, count: usize) -> String {
    (0..count).map(|_| char::from(b'0' + rng.random_range(0..10))).collect()
}

fn letters(rng: &mut impl Rng, count: usize, of: &str) -> String {
    let of: Vec<char> = of.chars().collect();
    (0..count).filter_map(|_| of.choose(rng)).collect()
}

fn values(digits: &str) -> Vec<u32> {
    digits.chars().filter_map(|c| c.to_digit(36)).collect()
}

fn weighted(digits: &str, weights: &[u32]) -> u32 {
    values(digits).iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

fn remainder(digits: &str, by: u64) -> u64 {
    values(digits).iter().fold(0, |rest, digit| {
        let base = if *digit > 9 { 100 } else { 10 };
        (rest * base + u64::from(*digit)) % by
    })
}

/// The digit that completes a number under the Luhn formula (ISO/IEC 7812-1, annex B).
fn luhn(body: &str) -> u32 {
    let sum: u32 = values(body)
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let doubled = if place % 2 == 0 { digit * 2 } else { *digit };
            doubled / 10 + doubled % 10
        })
        .sum();
    (10 - sum % 10) % 10
}

/// A number whose last digit is another one.
pub fn spoiled(number: &str) -> String {
    let mut chars: Vec<char> = number.chars().collect();
    if let Some(last) = chars.iter_mut().rev().find(|c| c.is_ascii_digit()) {
        *last = char::from(b'0' + ((*last as u8 - b'0') + 3) % 10);
    }
    chars.into_iter().collect()
}

/// Digits in groups.
pub fn grouped(number: &str, lengths: &[usize], separator: &str) -> String {
    let mut rest = number;
    let mut groups = Vec::new();
    for length in lengths {
        let Some((group, after)) = rest.split_at_checked(*length) else { break };
        groups.push(group);
        rest = after;
    }
    if !rest.is_empty() {
        groups.push(rest);
    }
    groups.join(separator)
}

/// French social security number with its key (INSEE).
pub fn nir(rng: &mut impl Rng) -> String {
    let sex = rng.random_range(1..=2);
    let year = rng.random_range(30..=99);
    let month = rng.random_range(1..=12);
    let (place, counts_as) = match rng.random_range(0..12) {
        0 => ("2A".to_owned(), "19".to_owned()),
        1 => ("2B".to_owned(), "18".to_owned()),
        _ => {
            let place = format!("{:02}", rng.random_range(1..=95));
            let place = if place == "20" { "21".to_owned() } else { place };
            (place.clone(), place)
        }
    };
    let rest = format!("{:03}{:03}", rng.random_range(1..=600), rng.random_range(1..=999));
    let head = format!("{sex}{year:02}{month:02}");
    let key = 97 - remainder(&format!("{head}{counts_as}{rest}"), 97);
    format!("{head}{place}{rest}{key:02}")
}

/// French company number (INSEE).
pub fn siren(rng: &mut impl Rng) -> String {
    let body = format!("{}{}", rng.random_range(3..=9), digits(rng, 7));
    format!("{body}{}", luhn(&body))
}

/// French establishment number (INSEE).
pub fn siret(rng: &mut impl Rng) -> String {
    let body = format!("{}{:04}", siren(rng), rng.random_range(1..=400));
    format!("{body}{}", luhn(&body))
}

/// French VAT number (CGI, article 286 ter): the key is (12 + 3 × (SIREN mod 97)) mod 97.
pub fn vat_fr(rng: &mut impl Rng) -> String {
    let siren = siren(rng);
    let key = (12 + 3 * remainder(&siren, 97)) % 97;
    format!("FR{key:02}{siren}")
}

/// Payment card number of a network and length that exist.
pub fn card(rng: &mut impl Rng) -> String {
    let (prefix, length) =
        *[("4", 16), ("51", 16), ("54", 16), ("2315", 16), ("37", 15), ("4", 16), ("6011", 16)]
            .choose(rng)
            .unwrap_or(&("4", 16));
    let body = format!("{prefix}{}", digits(rng, length - 1 - prefix.len()));
    format!("{body}{}", luhn(&body))
}

/// International bank account number with the national check digits where the country has them (ISO 13616).
pub fn iban(rng: &mut impl Rng) -> String {
    let (country, account) = match rng.random_range(0..10) {
        0..=4 => {
            // RIB: 89 × bank + 15 × branch + 3 × account + key is a multiple of 97.
            let (bank, branch, number) = (digits(rng, 5), digits(rng, 5), digits(rng, 11));
            let sum = 89 * remainder(&bank, 1 << 40)
                + 15 * remainder(&branch, 1 << 40)
                + 3 * remainder(&number, 1 << 40);
            ("FR", format!("{bank}{branch}{number}{:02}", 97 - sum % 97))
        }
        5 | 6 => ("DE", digits(rng, 18)),
        7 => {
            let body = digits(rng, 10);
            let key = match remainder(&body, 97) {
                0 => 97,
                key => key,
            };
            ("BE", format!("{body}{key:02}"))
        }
        8 => {
            let (bank, account) = (digits(rng, 8), digits(rng, 10));
            let weights = [1, 2, 4, 8, 5, 10, 9, 7, 3, 6];
            let key = |number: &str| match 11 - weighted(number, &weights) % 11 {
                10 => 1,
                11 => 0,
                key => key,
            };
            let keys = format!("{}{}", key(&format!("00{bank}")), key(&account));
            ("ES", format!("{bank}{keys}{account}"))
        }
        _ => ("GB", format!("{}{}", letters(rng, 4, "ABCDEGHKLMNPRSTW"), digits(rng, 14))),
    };
    let key = 98 - remainder(&format!("{account}{country}00"), 97);
    format!("{country}{key:02}{account}")
}

/// German tax identification number (ISO/IEC 7064, MOD 11,10): one digit twice, one not at all.
pub fn de_tax_id(rng: &mut impl Rng) -> String {
    let mut pool: Vec<u32> = (0..10).collect();
    for place in (1..10).rev() {
        pool.swap(place, rng.random_range(0..=place));
    }
    pool.truncate(9);
    let twice = pool.get(rng.random_range(0..9)).copied().unwrap_or(1);
    pool.insert(rng.random_range(0..=9), twice);
    if pool.first() == Some(&0) {
        pool.rotate_left(1);
    }
    // A pair at the front and one at the end may have been rotated apart; the count of digits is what matters.
    let product = pool.iter().fold(10, |product, digit| {
        let sum = match (digit + product) % 10 {
            0 => 10,
            sum => sum,
        };
        sum * 2 % 11
    });
    let check = (11 - product) % 10;
    pool.iter().map(ToString::to_string).collect::<String>() + &check.to_string()
}

const DNI: &str = "TRWAGMYFPDXBNJZSQVHLCKE";

fn dni_letter(number: u32) -> char {
    DNI.chars().nth((number % 23) as usize).unwrap_or('T')
}

/// Spanish tax number of a citizen (Real Decreto 1065/2007): the number modulo 23 names the letter.
pub fn es_nif(rng: &mut impl Rng) -> String {
    let number = rng.random_range(10_000_000..80_000_000);
    format!("{number}{}", dni_letter(number))
}

/// Spanish number of a foreigner: X, Y, Z stand for 0, 1, 2 in front.
pub fn es_nie(rng: &mut impl Rng) -> String {
    let (kind, number) = (rng.random_range(0..3_u32), rng.random_range(1_000_000..9_999_999));
    format!(
        "{}{number}{}",
        ["X", "Y", "Z"].get(kind as usize).unwrap_or(&"X"),
        dni_letter(kind * 10_000_000 + number)
    )
}

/// Italian tax code (DM 23 dicembre 1976): the letter is a weighted sum of the fifteen before it.
pub fn it_fiscal_code(rng: &mut impl Rng) -> String {
    let consonants = "BCDFGLMNPRSTVZ";
    let month = letters(rng, 1, "ABCDEHLMPRST");
    let female = if rng.random_bool(0.5) { 40 } else { 0 };
    let body = format!(
        "{}{}{:02}{month}{:02}{}{:03}",
        letters(rng, 3, consonants),
        letters(rng, 3, consonants),
        rng.random_range(40..=99),
        rng.random_range(1..=28) + female,
        letters(rng, 1, "ABCDEFGHL"),
        rng.random_range(100..=899),
    );
    let odd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let sum: u32 = values(&body)
        .iter()
        .enumerate()
        .map(|(place, value)| {
            let value = if *value > 9 { value - 10 } else { *value };
            if place % 2 == 0 { odd.get(value as usize).copied().unwrap_or(0) } else { value }
        })
        .sum();
    format!("{body}{}", char::from(b'A' + u8::try_from(sum % 26).unwrap_or(0)))
}

/// Dutch citizen service number: the eleven test.
pub fn nl_bsn(rng: &mut impl Rng) -> String {
    loop {
        let body = format!("{}{}", rng.random_range(1..=8), digits(rng, 7));
        let check = weighted(&body, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
        if check < 10 {
            return format!("{body}{check}");
        }
    }
}

/// Portuguese tax number of a person.
pub fn pt_nif(rng: &mut impl Rng) -> String {
    let body = format!("{}{}", rng.random_range(1..=2), digits(rng, 7));
    let check = match 11 - weighted(&body, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11 {
        check @ 0..=9 => check,
        _ => 0,
    };
    format!("{body}{check}")
}

/// Polish personal number.
pub fn pl_pesel(rng: &mut impl Rng) -> String {
    let body = format!(
        "{:02}{:02}{:02}{}",
        rng.random_range(40..=99),
        rng.random_range(1..=12),
        rng.random_range(1..=28),
        digits(rng, 4)
    );
    let check = (10 - weighted(&body, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10) % 10;
    format!("{body}{check}")
}

/// British national insurance number (HMRC, NIM39110).
pub fn uk_nino(rng: &mut impl Rng) -> String {
    format!(
        "{}{}{}{}",
        pick(rng, &["AB", "CE", "JG", "HL", "PW", "SY", "WM", "TA"]),
        digits(rng, 6),
        pick(rng, &["A", "B", "C", "D"]),
        ""
    )
}

/// British NHS number: the modulus eleven of the NHS Data Dictionary.
pub fn uk_nhs(rng: &mut impl Rng) -> String {
    loop {
        let body = format!("{}{}", rng.random_range(4..=7), digits(rng, 8));
        let check = (11 - weighted(&body, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
        if check < 10 {
            return format!("{body}{check}");
        }
    }
}

/// French number plate since 2009: no I, O, U.
pub fn plate_fr(rng: &mut impl Rng) -> String {
    let of = "ABCDEFGHJKLMNPQRSTVWXYZ";
    let separator = pick(rng, &["-", "-", " "]);
    format!(
        "{}{separator}{}{separator}{}",
        letters(rng, 2, of),
        format_args!("{:03}", rng.random_range(1..=999)),
        letters(rng, 2, of)
    )
}

/// A telephone number as people of a language write it.
pub fn phone(rng: &mut impl Rng, language: &str) -> String {
    let rest = |rng: &mut _, count| digits(rng, count);
    match language {
        "en" => match rng.random_range(0..3) {
            0 => format!("+44 7{} {}", rest(rng, 3), rest(rng, 6)),
            1 => format!("07{} {}", rest(rng, 3), rest(rng, 6)),
            _ => format!("+44 20 7{} {}", rest(rng, 3), rest(rng, 4)),
        },
        "de" => match rng.random_range(0..2) {
            0 => format!("+49 151 {}", rng.random_range(10_000_000..99_999_999)),
            _ => format!("+49 30 {}", rng.random_range(1_000_000..9_999_999)),
        },
        "es" => format!("+34 6{} {} {}", rest(rng, 2), rest(rng, 3), rest(rng, 3)),
        "it" => format!("+39 33{} {}", rng.random_range(1..9), rest(rng, 7)),
        "nl" => format!("+31 6 {}", rng.random_range(10_000_000..59_999_999)),
        "pt" => format!("+351 91{} {} {}", rest(rng, 1), rest(rng, 3), rest(rng, 3)),
        "pl" => {
            format!("+48 6{} {} {}", rng.random_range(1..=9).to_string() + "2", rest(rng, 3), rest(rng, 3))
        }
        _ => {
            let line = rng.random_range(1..=7);
            let pairs: Vec<String> = (0..4).map(|_| rest(rng, 2)).collect();
            match rng.random_range(0..5) {
                0 => format!("0{line}{}", pairs.concat()),
                1 => format!("0{line} {}", pairs.join(" ")),
                2 => format!("0{line}.{}", pairs.join(".")),
                3 => format!("+33 {line} {}", pairs.join(" ")),
                _ => format!("+33{line}{}", pairs.concat()),
            }
        }
    }
}

/// An internet address of the kind that belongs to somebody.
pub fn ip(rng: &mut impl Rng) -> String {
    if rng.random_bool(0.8) {
        let mut part = || rng.random_range(1..=254_u8);
        format!("{}.{}.{}.{}", 60 + part() % 120, part(), part(), part())
    } else {
        format!(
            "2001:db8:{:x}:{:x}::{:x}",
            rng.random_range(1..65_535),
            rng.random_range(1..65_535),
            rng.random_range(1..65_535)
        )
    }
}

/// A date as people of a language write one.
pub fn date(rng: &mut impl Rng, language: &str, years: std::ops::Range<u32>) -> String {
    let (day, month, year) =
        (rng.random_range(1..=28), rng.random_range(1..=12_usize), rng.random_range(years));
    let months: [&str; 12] = match language {
        "fr" => [
            "janvier",
            "février",
            "mars",
            "avril",
            "mai",
            "juin",
            "juillet",
            "août",
            "septembre",
            "octobre",
            "novembre",
            "décembre",
        ],
        "de" => [
            "Januar",
            "Februar",
            "März",
            "April",
            "Mai",
            "Juni",
            "Juli",
            "August",
            "September",
            "Oktober",
            "November",
            "Dezember",
        ],
        "en" => [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ],
        _ => [""; 12],
    };
    let name = months.get(month - 1).copied().unwrap_or_default();
    match rng.random_range(0..4) {
        0 if !name.is_empty() && language == "de" => format!("{day}. {name} {year}"),
        0 if !name.is_empty() => format!("{day} {name} {year}"),
        1 if language == "de" || language == "pl" => format!("{day:02}.{month:02}.{year}"),
        1 if language == "nl" => format!("{day:02}-{month:02}-{year}"),
        2 => format!("{year}-{month:02}-{day:02}"),
        _ => format!("{day:02}/{month:02}/{year}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_examples_have_the_check_digits_that_are_made_here() {
        assert_eq!(luhn("7992739871"), 3);
        assert_eq!(dni_letter(12_345_678), 'Z');
        assert_eq!(weighted("11122233", &[9, 8, 7, 6, 5, 4, 3, 2]) % 11, 3);
        assert_eq!(remainder("3214282912345698765432161182", 97), 1);
    }

    #[test]
    fn spoiling_changes_one_digit() {
        assert_eq!(spoiled("DE12 3"), "DE12 6");
        assert_eq!(spoiled("FR9X"), "FR2X");
    }
}
