//! In: the symbols of an identifier (ASCII digits and upper case letters, no separators). Out: whether the rules of
//! its scheme admit them.
//!
//! Each rule is one function over one slice, made of a few primitives: weighted sums, remainders, the Luhn formula
//! and the systems of ISO/IEC 7064. A slice that is too short or has a letter where a digit belongs is refused.

use super::super::Check;
use super::check::{digit_sum, luhn, remainder};

/// What a checksum says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It cannot be such an identifier.
    Refused,
    /// Nothing speaks against it, and nothing was proved: the form has no key, or an optional one does not hold.
    Unproven,
    /// Its key, or a structure that chance rarely makes, holds.
    Proven,
}

use Verdict::{Proven, Refused, Unproven};

fn proven(holds: bool) -> Verdict {
    if holds { Proven } else { Refused }
}

/// Judges symbols by a rule.
pub(super) fn judge(check: Check, symbols: &[u8]) -> Verdict {
    match check {
        Check::Luhn => proven(luhn(symbols) && !is_uniform(symbols)),
        Check::Nir => nir(symbols),
        Check::Siren => proven(siren(symbols)),
        Check::Siret => proven(siret(symbols)),
        Check::VatFr => vat_fr(symbols),
        Check::Rib => proven(rib(symbols)),
        Check::TaxNumberFr => proven(tax_number_fr(symbols)),
        Check::PlateFr => plate_fr(symbols),
        Check::IdCardFr => id_card_fr(symbols),
        Check::AtSocialSecurity => proven(at_social_security(symbols)),
        Check::AtVat => proven(at_vat(symbols)),
        Check::BeNationalNumber => proven(be_national_number(symbols)),
        Check::BeEnterprise => proven(be_enterprise(symbols)),
        Check::BgEgn => proven(bg_egn(symbols)),
        Check::BgVat => proven(bg_vat(symbols)),
        Check::ChAhv => proven(symbols.starts_with(b"756") && ean(symbols)),
        Check::ChUid => proven(ch_uid(symbols)),
        Check::CyVat => proven(cy_vat(symbols)),
        Check::CzBirthNumber if symbols.len() == 9 => cz_old_birth_number(symbols),
        Check::CzBirthNumber => proven(cz_birth_number(symbols)),
        Check::CzVat => proven(cz_vat(symbols)),
        Check::DeHealthInsurance => proven(de_health_insurance(symbols)),
        Check::DeIdCard => de_id_card(symbols),
        Check::DeLanr => proven(de_lanr(symbols)),
        Check::DeSocialSecurity => proven(de_social_security(symbols)),
        Check::DeTaxId => de_tax_id(symbols),
        Check::DkCpr => dk_cpr(symbols),
        Check::DkVat => proven(divides(symbols, &[2, 7, 6, 5, 4, 3, 2, 1], 11) && !symbols.starts_with(b"0")),
        Check::EePersonalCode => proven(ee_personal_code(symbols)),
        Check::EeVat => proven(divides(symbols, &[3, 7, 1, 3, 7, 1, 3, 7, 1], 10)),
        Check::GrAfm => proven(gr_afm(symbols)),
        Check::GrAmka => proven(is_day_month(symbols) && luhn(symbols)),
        Check::EsCif => proven(es_cif(symbols)),
        Check::EsNif if symbols.len() == 8 => {
            if es_nif(symbols) {
                Unproven
            } else {
                Refused
            }
        }
        Check::EsNif => proven(es_nif(symbols)),
        Check::EsVat => proven(es_nif(symbols) || es_cif(symbols)),
        Check::EsSocialSecurity => proven(es_social_security(symbols)),
        Check::FiBusinessId => proven(fi_business_id(symbols)),
        Check::FiPersonalIdentityCode => proven(fi_personal_identity_code(symbols)),
        Check::HuPersonalId => proven(hu_personal_id(symbols)),
        Check::HuSocialSecurity => proven(hu_social_security(symbols)),
        Check::HuTaxId => proven(hu_tax_id(symbols)),
        Check::HuVat => proven(hu_vat(symbols)),
        Check::IePps => proven(ie_pps(symbols)),
        Check::IeVat => proven(ie_vat(symbols)),
        Check::Imei => proven(luhn(symbols) && !is_uniform(symbols)),
        Check::Iso7064Mod1110 => proven(mod_11_10(symbols) && !is_uniform(symbols)),
        Check::ItFiscalCode => proven(it_fiscal_code(symbols)),
        Check::ItVat => proven(it_vat(symbols)),
        Check::Lei => proven(lei(symbols)),
        Check::LtVat => proven(lt_vat(symbols)),
        Check::LuNationalId => proven(lu_national_id(symbols)),
        Check::LuVat => proven(lu_vat(symbols)),
        Check::LvPersonalCode => lv_personal_code(symbols),
        Check::LvVat => proven(lv_vat(symbols)),
        Check::MtVat => {
            proven(divides(symbols, &[3, 4, 6, 7, 8, 9, 10, 1], 37) && !symbols.starts_with(b"0"))
        }
        Check::NlBsn => proven(nl_bsn(symbols)),
        Check::NlVat => proven(nl_vat(symbols)),
        Check::PlIdCard => proven(pl_id_card(symbols)),
        Check::PlNip => proven(pl_nip(symbols)),
        Check::PlPassport => proven(pl_passport(symbols)),
        Check::PlPesel => proven(pl_pesel(symbols)),
        Check::PlRegon => proven(pl_regon(symbols)),
        Check::PtCitizenCard => proven(pt_citizen_card(symbols)),
        Check::PtNif => proven(pt_nif(symbols)),
        Check::PtNiss => proven(pt_niss(symbols)),
        Check::RoCnp => proven(ro_cnp(symbols)),
        Check::RoVat => proven(ro_vat(symbols)),
        Check::SeOrganisation => proven(luhn(symbols) && symbols.get(2).is_some_and(|third| *third >= b'2')),
        Check::SeVat => proven(symbols.get(..10).is_some_and(luhn)),
        Check::SePersonnummer => proven(se_personnummer(symbols)),
        Check::SiEmso => proven(si_emso(symbols)),
        Check::SiTaxId => proven(si_tax_id(symbols)),
        Check::SkVat => proven(!symbols.starts_with(b"0") && number(symbols).is_some_and(|n| n % 11 == 0)),
        Check::UkDrivingLicence => proven(uk_driving_licence(symbols)),
        Check::UkNhs => proven(uk_nhs(symbols)),
        Check::UkNino if symbols.starts_with(b"ZZ") => Unproven,
        Check::UkNino => proven(uk_nino(symbols)),
        Check::UkUtr => proven(uk_utr(symbols)),
        Check::UkVat => proven(uk_vat(symbols)),
        Check::UkPlate => proven(uk_plate(symbols)),
        Check::Vin => vin(symbols),
    }
}

// Primitives.

fn digit(symbol: u8) -> Option<u32> {
    symbol.is_ascii_digit().then(|| u32::from(symbol - b'0'))
}

fn digit_at(symbols: &[u8], at: usize) -> Option<u32> {
    symbols.get(at).copied().and_then(digit)
}

/// Value of a symbol in base 36: digits as they are, `A` 10 to `Z` 35.
fn base_36(symbol: u8) -> Option<u32> {
    match symbol {
        b'0'..=b'9' => Some(u32::from(symbol - b'0')),
        b'A'..=b'Z' => Some(u32::from(symbol - b'A') + 10),
        _ => None,
    }
}

/// The number that digits write.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, symbol| Some(number * 10 + u64::from(digit(*symbol)?)))
}

fn number_at(symbols: &[u8], from: usize, count: usize) -> Option<u64> {
    number(symbols.get(from..from + count)?)
}

/// The sum of the first digits, each times its weight.
fn weighted(digits: &[u8], weights: &[u32]) -> Option<u32> {
    let digits = digits.get(..weights.len())?;
    digits.iter().zip(weights).try_fold(0, |sum, (symbol, weight)| Some(sum + digit(*symbol)? * weight))
}

/// Whether the weighted sum is a multiple of the modulus.
fn divides(digits: &[u8], weights: &[u32], modulus: u32) -> bool {
    digits.len() == weights.len() && weighted(digits, weights).is_some_and(|sum| sum.is_multiple_of(modulus))
}

/// Whether the last digit is the one given.
fn ends_with(digits: &[u8], key: u32) -> bool {
    digits.last().copied().and_then(digit) == Some(key)
}

/// Digit sums of the products of digits and weights, as the Luhn formula has them.
fn crossed(digits: &[u8], weights: &[u32]) -> Option<u32> {
    let digits = digits.get(..weights.len())?;
    digits.iter().zip(weights).try_fold(0, |sum, (symbol, weight)| {
        let product = digit(*symbol)? * weight;
        Some(sum + product / 10 + product % 10)
    })
}

/// Whether all symbols are the same: what people type where a number is asked.
fn is_uniform(symbols: &[u8]) -> bool {
    symbols.first().is_none_or(|first| symbols.iter().all(|symbol| symbol == first))
}

/// The check character system MOD 11,10 of ISO/IEC 7064.
fn mod_11_10(digits: &[u8]) -> bool {
    let Some((key, body)) = digits.split_last() else { return false };
    let product = body.iter().try_fold(10_u32, |product, symbol| {
        let sum = (digit(*symbol)? + product) % 10;
        Some(if sum == 0 { 10 } else { sum } * 2 % 11)
    });
    product.zip(digit(*key)).is_some_and(|(product, key)| (product + key) % 10 == 1)
}

/// The system MOD 97-10 of ISO/IEC 7064 over digits and letters, the key at the end.
fn mod_97_10<'s>(symbols: impl IntoIterator<Item = &'s u8>) -> bool {
    let rest = symbols.into_iter().try_fold(0_u32, |rest, symbol| {
        let value = base_36(*symbol)?;
        Some((rest * if value < 10 { 10 } else { 100 } + value) % 97)
    });
    rest == Some(1)
}

/// The check digit of GS1: weights 3 and 1 from the right.
fn ean(digits: &[u8]) -> bool {
    let sum =
        digits.iter().rev().enumerate().try_fold(0, |sum, (place, symbol)| {
            Some(sum + digit(*symbol)? * if place % 2 == 0 { 1 } else { 3 })
        });
    sum.is_some_and(|sum| sum % 10 == 0)
}

/// Whether a day can be in a month of any year.
fn is_day_of(day: u64, month: u64) -> bool {
    let last = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return false,
    };
    (1..=last).contains(&day)
}

/// Whether digits start with day and month.
fn is_day_month(digits: &[u8]) -> bool {
    number_at(digits, 0, 2).zip(number_at(digits, 2, 2)).is_some_and(|(day, month)| is_day_of(day, month))
}

/// Whether month and day stand at a place.
fn is_month_day(digits: &[u8], at: usize) -> bool {
    number_at(digits, at, 2)
        .zip(number_at(digits, at + 2, 2))
        .is_some_and(|(month, day)| is_day_of(day, month))
}

// France.

/// INSEE, definition c1409: sex, year, month, place, order, and the key that completes them to a multiple of 97.
/// Months 01 to 12, or 20, 30 to 42 and 50 to 99 when the month is unknown; 2A counts as 19 and 2B as 18; 7 and 8
/// are the first digits of provisional numbers (numéro identifiant d'attente).
fn nir(symbols: &[u8]) -> Verdict {
    match nir_body(symbols) {
        None => Refused,
        Some(_) if symbols.len() == 13 => Unproven,
        Some(body) => proven(number_at(symbols, 13, 2).is_some_and(|key| key == 97 - body % 97)),
    }
}

fn nir_body(symbols: &[u8]) -> Option<u64> {
    let mut body: [u8; 13] = symbols.get(..13)?.try_into().ok()?;
    let mut is_corsica = false;
    if let [.., b'2', letter @ (b'A' | b'B'), _, _, _, _, _, _] = &mut body {
        *letter = if *letter == b'A' { b'9' } else { b'8' };
        is_corsica = true;
    }
    if is_corsica && let Some(department) = body.get_mut(5) {
        *department = b'1';
    }
    let is_person = matches!(body.first(), Some(b'1'..=b'4' | b'7' | b'8'));
    let is_month = matches!(number_at(&body, 3, 2)?, 1..=12 | 20 | 30..=42 | 50..=99);
    let is_place = is_corsica || (number_at(&body, 5, 2)? != 0 && number_at(&body, 7, 3)? != 0);
    let is_order = number_at(&body, 10, 3)? != 0;
    (is_person && is_month && is_place && is_order).then(|| number(&body)).flatten()
}

/// INSEE: nine digits under the Luhn formula.
fn siren(symbols: &[u8]) -> bool {
    symbols.len() == 9 && luhn(symbols) && !is_uniform(symbols)
}

/// INSEE: a SIREN and five digits under the Luhn formula; for La Poste the digits sum up to a multiple of five.
fn siret(symbols: &[u8]) -> bool {
    let Some((company, _)) = symbols.split_at_checked(9) else { return false };
    siren(company) && (luhn(symbols) || (company == b"356000000" && digit_sum(symbols).is_multiple_of(5)))
}

/// Article 286 ter of the code général des impôts: behind FR a key and a SIREN. A key with a letter has no published formula.
fn vat_fr(symbols: &[u8]) -> Verdict {
    let (Some(key), Some(company)) = (symbols.get(..2), symbols.get(2..)) else { return Refused };
    let Some(value) = number(company) else { return Refused };
    match number(key) {
        Some(key) => proven(value != 0 && key == (12 + 3 * (value % 97)) % 97),
        None if key.iter().any(|symbol| matches!(symbol, b'I' | b'O')) => Refused,
        None if siren(company) => Unproven,
        None => Refused,
    }
}

/// Comité français d'organisation et de normalisation bancaires: the key completes the weighted parts to a multiple
/// of 97; letters count as digits, 1 to 9 from A, from J, and 2 to 9 from S.
fn rib(symbols: &[u8]) -> bool {
    let digits: Option<Vec<u8>> = symbols
        .iter()
        .map(|symbol| match symbol {
            b'0'..=b'9' => Some(*symbol),
            b'A'..=b'I' => Some(symbol - b'A' + b'1'),
            b'J'..=b'R' => Some(symbol - b'J' + b'1'),
            b'S'..=b'Z' => Some(symbol - b'S' + b'2'),
            _ => None,
        })
        .collect();
    digits.is_some_and(|digits| digits.len() == 23 && !is_uniform(&digits) && remainder(&digits, 97) == 0)
}

/// Direction générale des finances publiques: the last three digits are the first ten modulo 511.
fn tax_number_fr(symbols: &[u8]) -> bool {
    matches!(symbols.first(), Some(b'0'..=b'3'))
        && !is_uniform(symbols)
        && number_at(symbols, 0, 10)
            .zip(number_at(symbols, 10, 3))
            .is_some_and(|(body, key)| body % 511 == key)
}

/// Arrêté du 9 février 2009: two letters, three digits, two letters, none of them I, O or U, and no SS in front. Numbers of
/// before 2009 end in a department.
fn plate_fr(symbols: &[u8]) -> Verdict {
    if symbols.first().is_some_and(u8::is_ascii_digit) {
        let department = symbols.iter().rposition(u8::is_ascii_uppercase).and_then(|at| {
            let department = symbols.get(at + 1..)?;
            if matches!(symbols.get(at - 1..), Some([b'2', b'A' | b'B'])) {
                Some(20)
            } else {
                number(department)
            }
        });
        return match department {
            Some(1..=95 | 971..=976) if !symbols.starts_with(b"0") => Unproven,
            _ => Refused,
        };
    }
    let is_pair = |pair: Option<&[u8]>| {
        pair.is_some_and(|pair| !pair.iter().any(|letter| matches!(letter, b'I' | b'O' | b'U')))
    };
    proven(
        is_pair(symbols.get(..2))
            && is_pair(symbols.get(5..))
            && !symbols.starts_with(b"SS")
            && symbols.get(2..5) != Some(b"000"),
    )
}

/// Twelve digits from year and month of issue, or since 2021 nine symbols without vowels (ICAO Doc 9303).
fn id_card_fr(symbols: &[u8]) -> Verdict {
    let fits = if symbols.len() == 12 {
        number_at(symbols, 2, 2).is_some_and(|month| (1..=12).contains(&month))
    } else {
        has_letter_and_digit(symbols)
            && !symbols.iter().any(|symbol| matches!(symbol, b'A' | b'E' | b'I' | b'O' | b'U'))
    };
    if fits { Unproven } else { Refused }
}

fn has_letter_and_digit(symbols: &[u8]) -> bool {
    symbols.iter().any(u8::is_ascii_digit) && symbols.iter().any(u8::is_ascii_uppercase)
}

// Austria, Belgium, Bulgaria, Switzerland, Cyprus, Czechia.

/// ASVG § 31: the fourth digit is the weighted sum of the others modulo 11; the last six are a date of birth, with
/// months up to 15 where a day has run out of numbers.
fn at_social_security(symbols: &[u8]) -> bool {
    let sum = weighted(symbols, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]);
    let is_date = number_at(symbols, 4, 2).is_some_and(|day| (1..=31).contains(&day))
        && number_at(symbols, 6, 2).is_some_and(|month| (1..=15).contains(&month));
    is_date && !symbols.starts_with(b"0") && sum.map(|sum| sum % 11) == digit_at(symbols, 3)
}

/// The eight digits behind ATU.
fn at_vat(symbols: &[u8]) -> bool {
    crossed(symbols, &[1, 2, 1, 2, 1, 2, 1]).is_some_and(|sum| ends_with(symbols, (10 - (sum + 4) % 10) % 10))
}

/// Arrêté royal du 3 avril 1984: date of birth, serial number, and 97 minus their remainder; who was born from 2000
/// on has a 2 in front of them for it. Months have 20 or 40 added in the bis register.
fn be_national_number(symbols: &[u8]) -> bool {
    let (Some(body), Some(key)) = (number_at(symbols, 0, 9), number_at(symbols, 9, 2)) else { return false };
    let (Some(month), Some(day)) = (number_at(symbols, 2, 2), number_at(symbols, 4, 2)) else { return false };
    matches!(month, 0..=12 | 20..=32 | 40..=52)
        && day <= 31
        && body != 0
        && (key == 97 - body % 97 || key == 97 - (2_000_000_000 + body) % 97)
}

/// Ten digits, the last two of which are 97 minus the remainder of the first eight.
fn be_enterprise(symbols: &[u8]) -> bool {
    matches!(symbols, [b'0', b'1'..=b'9', ..] | [b'1', ..])
        && number_at(symbols, 0, 8)
            .zip(number_at(symbols, 8, 2))
            .is_some_and(|(body, key)| body != 0 && key == 97 - body % 97)
}

const EGN: [u32; 9] = [2, 4, 8, 5, 10, 9, 7, 3, 6];

/// Date of birth (months from 21 before 1900, from 41 since 2000), region and sex, weighted sum modulo 11.
fn bg_egn(symbols: &[u8]) -> bool {
    let (Some(month), Some(day)) = (number_at(symbols, 2, 2), number_at(symbols, 4, 2)) else { return false };
    month < 60
        && is_day_of(day, month % 20)
        && weighted(symbols, &EGN).is_some_and(|sum| ends_with(symbols, sum % 11 % 10))
}

/// The digits behind BG: nine of a company, or ten of a person, a foreigner or others.
fn bg_vat(symbols: &[u8]) -> bool {
    if symbols.len() == 9 {
        let first = weighted(symbols, &[1, 2, 3, 4, 5, 6, 7, 8]).map(|sum| sum % 11);
        let key = match first {
            Some(10) => weighted(symbols, &[3, 4, 5, 6, 7, 8, 9, 10]).map(|sum| sum % 11 % 10),
            other => other,
        };
        return key.is_some_and(|key| ends_with(symbols, key)) && !is_uniform(symbols);
    }
    let foreigner = weighted(symbols, &[21, 19, 17, 13, 11, 9, 7, 3, 1]).map(|sum| sum % 10);
    let other =
        weighted(symbols, &[4, 3, 2, 7, 6, 5, 4, 3, 2]).map(|sum| 11 - sum % 11).map(|key| match key {
            11 => 0,
            key => key,
        });
    bg_egn(symbols) || [foreigner, other].into_iter().flatten().any(|key| key < 10 && ends_with(symbols, key))
}

/// The nine digits behind CHE: weighted sum modulo 11.
fn ch_uid(symbols: &[u8]) -> bool {
    weighted(symbols, &[5, 4, 3, 2, 7, 6, 5, 4])
        .is_some_and(|sum| ends_with(symbols, (11 - sum % 11) % 11) && !is_uniform(symbols))
}

/// Eight digits and a letter: those at odd places are mapped, the sum modulo 26 is the letter.
fn cy_vat(symbols: &[u8]) -> bool {
    const ODD: [u32; 10] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21];
    let Some((letter, digits)) = symbols.split_last() else { return false };
    let sum = digits.iter().enumerate().try_fold(0, |sum, (place, symbol)| {
        let value = digit(*symbol)?;
        Some(sum + if place % 2 == 0 { *ODD.get(value as usize)? } else { value })
    });
    sum.is_some_and(|sum| base_36(*letter) == Some(sum % 26 + 10)) && !digits.starts_with(b"12")
}

/// Zákon č. 133/2000 Sb., § 13: year, month (50 more for women, 20 more when numbers ran out), day, and a number that
/// makes all ten digits a multiple of 11; until 1985 a remainder of 10 was written 0. The Slovak one is the same.
fn cz_birth_number(symbols: &[u8]) -> bool {
    let (Some(month), Some(day)) = (number_at(symbols, 2, 2), number_at(symbols, 4, 2)) else { return false };
    let month = match month {
        21..=32 => month - 20,
        51..=62 => month - 50,
        71..=82 => month - 70,
        month => month,
    };
    let (Some(all), Some(body)) = (number(symbols), number_at(symbols, 0, 9)) else { return false };
    symbols.len() == 10
        && is_day_of(day, month)
        && (all % 11 == 0 || (body % 11 == 10 && ends_with(symbols, 0)))
}

/// Nine digits without a key, for who was born before 1954.
fn cz_old_birth_number(symbols: &[u8]) -> Verdict {
    let (Some(month), Some(day)) = (number_at(symbols, 2, 2), number_at(symbols, 4, 2)) else {
        return Refused;
    };
    if is_day_of(day, if month > 50 { month - 50 } else { month }) { Unproven } else { Refused }
}

/// The digits behind CZ: eight of a company, or the birth number of a person.
fn cz_vat(symbols: &[u8]) -> bool {
    if symbols.len() != 8 {
        return cz_birth_number(symbols);
    }
    weighted(symbols, &[8, 7, 6, 5, 4, 3, 2])
        .is_some_and(|sum| ends_with(symbols, (11 - sum % 11) % 10) && !is_uniform(symbols))
}

// Germany.

/// BZSt: no leading zero; among the first ten digits one occurs twice or three times and every other at most once;
/// the last is the key by ISO/IEC 7064 MOD 11,10. Numbers for tests have a key and no repetition.
fn de_tax_id(symbols: &[u8]) -> Verdict {
    let Some((_, body)) = symbols.split_last() else { return Refused };
    let mut counts = [0_u8; 10];
    for symbol in body {
        if let Some(count) = digit(*symbol).and_then(|digit| counts.get_mut(digit as usize)) {
            *count += 1;
        }
    }
    let mut repeated = counts.iter().filter(|count| **count > 1);
    let repetition = (repeated.next(), repeated.next());
    match repetition {
        _ if symbols.starts_with(b"0") || is_uniform(symbols) || !mod_11_10(symbols) => Refused,
        (Some(2 | 3), None) => Proven,
        _ => Unproven,
    }
}

/// VKVV § 2: insurer, date of birth, initial, serial number; digit sums of the products, the initial as two digits.
fn de_social_security(symbols: &[u8]) -> bool {
    let (Some(head), Some(initial), Some(tail)) = (symbols.get(..8), symbols.get(8), symbols.get(9..)) else {
        return false;
    };
    let is_date = number_at(symbols, 2, 2)
        .is_some_and(|day| (1..=31).contains(&day) || (51..=81).contains(&day))
        && number_at(symbols, 4, 2).is_some_and(|month| (1..=12).contains(&month));
    let letter = u32::from(initial.wrapping_sub(b'A')) + 1;
    let (Some(first), Some(last)) = (crossed(head, &[2, 1, 2, 5, 7, 1, 2, 1]), crossed(tail, &[2, 1])) else {
        return false;
    };
    let (tens, ones) = (letter / 10 * 2, letter % 10);
    is_date && ends_with(symbols, (first + tens / 10 + tens % 10 + ones + last) % 10)
}

/// GKV-Spitzenverband: a letter as two digits and eight digits, weights 1 and 2, digit sums modulo 10.
fn de_health_insurance(symbols: &[u8]) -> bool {
    let Some((initial, rest)) = symbols.split_first() else { return false };
    let letter = u32::from(initial.wrapping_sub(b'A')) + 1;
    let ones = letter % 10 * 2;
    crossed(rest, &[1, 2, 1, 2, 1, 2, 1, 2])
        .is_some_and(|sum| ends_with(rest, (letter / 10 + ones / 10 + ones % 10 + sum) % 10))
}

/// PAuswG and PassG: nine symbols, the first a letter, without vowels and letters that resemble digits; a tenth
/// is their check digit (ICAO Doc 9303, weights 7, 3, 1).
fn de_id_card(symbols: &[u8]) -> Verdict {
    let Some(body) = symbols.get(..9) else { return Refused };
    let is_number = body.iter().all(|symbol| b"0123456789CFGHJKLMNPRTVWXYZ".contains(symbol))
        && has_letter_and_digit(body);
    match symbols.get(9) {
        _ if !is_number => Refused,
        None => Unproven,
        Some(key) => proven(icao(body) == digit(*key)),
    }
}

/// The check digit of machine-readable travel documents (ICAO Doc 9303, part 3, section 4.9).
fn icao(symbols: &[u8]) -> Option<u32> {
    let weights = [7, 3, 1].into_iter().cycle();
    let sum = symbols
        .iter()
        .zip(weights)
        .try_fold(0, |sum, (symbol, weight)| Some(sum + base_36(*symbol)? * weight));
    sum.map(|sum| sum % 10)
}

/// KBV: weights 4 and 9 over six digits, the seventh completes them to ten; two digits of the specialty follow.
fn de_lanr(symbols: &[u8]) -> bool {
    weighted(symbols, &[4, 9, 4, 9, 4, 9])
        .is_some_and(|sum| digit_at(symbols, 6) == Some((10 - sum % 10) % 10) && !is_uniform(symbols))
}

// Denmark to Finland.

/// CPR: date of birth and four digits; the weighted sum is a multiple of 11 for numbers of before October 2007.
fn dk_cpr(symbols: &[u8]) -> Verdict {
    if !is_day_month(symbols) {
        Refused
    } else if divides(symbols, &[4, 3, 2, 7, 6, 5, 4, 3, 2, 1], 11) {
        Proven
    } else {
        Unproven
    }
}

/// Estonia and Lithuania: sex and century, date of birth, serial number, two weighted sums modulo 11.
fn ee_personal_code(symbols: &[u8]) -> bool {
    let first = weighted(symbols, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]).map(|sum| sum % 11);
    let key = match first {
        Some(10) => weighted(symbols, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]).map(|sum| sum % 11 % 10),
        other => other,
    };
    matches!(symbols.first(), Some(b'1'..=b'8'))
        && is_month_day(symbols, 3)
        && key.is_some_and(|key| ends_with(symbols, key))
}

/// Greece: the digits as multiples of powers of two, modulo 11 and 10.
fn gr_afm(symbols: &[u8]) -> bool {
    weighted(symbols, &[256, 128, 64, 32, 16, 8, 4, 2])
        .is_some_and(|sum| ends_with(symbols, sum % 11 % 10) && !is_uniform(symbols))
}

const NIF_LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

/// Real Decreto 1553/2005: eight digits (seven behind X, Y, Z of foreigners or K, L, M) and the letter of their
/// remainder modulo 23.
fn es_nif(symbols: &[u8]) -> bool {
    let Some((letter, body)) = symbols.split_last() else { return false };
    let value = match body.split_first() {
        Some((b'X' | b'K' | b'L' | b'M', rest)) => number(rest),
        Some((b'Y', rest)) => number(rest).map(|value| 10_000_000 + value),
        Some((b'Z', rest)) => number(rest).map(|value| 20_000_000 + value),
        _ => number(body).filter(|value| *value != 0),
    };
    // A number below ten millions may be written without its leading zero.
    matches!(body.len(), 7 | 8)
        && value.is_some_and(|value| NIF_LETTERS.get((value % 23) as usize) == Some(letter))
}

/// Orden EHA/451/2008: a letter of the legal form, seven digits, and a digit or letter of control.
fn es_cif(symbols: &[u8]) -> bool {
    let (Some(form), Some(body), Some(control)) = (symbols.first(), symbols.get(1..8), symbols.get(8)) else {
        return false;
    };
    let Some(sum) = crossed(body, &[2, 1, 2, 1, 2, 1, 2]) else { return false };
    let key = (10 - sum % 10) % 10;
    let is_digit = digit(*control) == Some(key);
    let is_letter = b"JABCDEFGHI".get(key as usize) == Some(control);
    match form {
        b'A' | b'B' | b'E' | b'H' => is_digit,
        b'P' | b'Q' | b'R' | b'S' | b'N' | b'W' => is_letter,
        b'C' | b'D' | b'F' | b'G' | b'J' | b'U' | b'V' => is_digit || is_letter,
        _ => false,
    }
}

/// Seguridad Social: province, number, and the remainder modulo 97; a number below ten millions counts without its
/// leading zero.
fn es_social_security(symbols: &[u8]) -> bool {
    let (Some(province), Some(rest), Some(key)) =
        (number_at(symbols, 0, 2), number_at(symbols, 2, 8), number_at(symbols, 10, 2))
    else {
        return false;
    };
    let value = if rest < 10_000_000 { province * 10_000_000 + rest } else { province * 100_000_000 + rest };
    matches!(province, 1..=53 | 66) && rest != 0 && value % 97 == key
}

/// PRH: weighted sum modulo 11; a remainder of 1 is not issued.
fn fi_business_id(symbols: &[u8]) -> bool {
    weighted(symbols, &[7, 9, 10, 5, 8, 4, 2]).is_some_and(|sum| match sum % 11 {
        0 => ends_with(symbols, 0),
        1 => false,
        rest => ends_with(symbols, 11 - rest),
    })
}

/// DVV: date of birth, sign of the century (not part of the symbols when it is a hyphen), serial number, and the
/// character of their remainder modulo 31.
fn fi_personal_identity_code(symbols: &[u8]) -> bool {
    let tail = if symbols.len() == 11 { symbols.get(7..) } else { symbols.get(6..) };
    let is_century =
        symbols.len() == 10 || symbols.get(6).is_some_and(|sign| matches!(sign, b'A'..=b'F' | b'U'..=b'Y'));
    let (Some(date), Some(tail)) = (number_at(symbols, 0, 6), tail) else { return false };
    let (Some(serial), Some(key)) = (number_at(tail, 0, 3), tail.get(3)) else { return false };
    let character = b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(((date * 1000 + serial) % 31) as usize);
    is_century && is_day_month(symbols) && serial >= 2 && character == Some(key)
}

// Hungary to Malta.

/// Törvény 1996. évi XX.: sex and century, date of birth, serial number, and a sum weighted 1 to 10 or, since 1997,
/// 10 to 1.
fn hu_personal_id(symbols: &[u8]) -> bool {
    let up = weighted(symbols, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]).map(|sum| sum % 11);
    let down = weighted(symbols, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]).map(|sum| sum % 11);
    matches!(symbols.first(), Some(b'1'..=b'8'))
        && is_month_day(symbols, 3)
        && [up, down].into_iter().flatten().any(|key| key < 10 && ends_with(symbols, key))
}

/// TAJ: weights 3 and 7 modulo 10.
fn hu_social_security(symbols: &[u8]) -> bool {
    weighted(symbols, &[3, 7, 3, 7, 3, 7, 3, 7])
        .is_some_and(|sum| ends_with(symbols, sum % 10) && !is_uniform(symbols))
}

/// Adóazonosító jel: 8, days since 1867, serial number, sum weighted by place modulo 11.
fn hu_tax_id(symbols: &[u8]) -> bool {
    symbols.starts_with(b"8")
        && weighted(symbols, &[1, 2, 3, 4, 5, 6, 7, 8, 9]).is_some_and(|sum| ends_with(symbols, sum % 11))
}

/// The eight digits of the core number; where kind and county follow, they are in their ranges.
fn hu_vat(symbols: &[u8]) -> bool {
    let Some(core) = symbols.get(..8) else { return false };
    let is_kind = symbols.len() == 8 || matches!(symbols.get(8), Some(b'1'..=b'5'));
    is_kind
        && !is_uniform(core)
        && weighted(core, &[9, 7, 3, 1, 9, 7, 3]).is_some_and(|sum| ends_with(core, (10 - sum % 10) % 10))
}

/// Social Welfare Consolidation Act 2005: seven digits, the letter of their weighted sum modulo 23, and for numbers
/// since 2013 a second letter that counts nine times.
fn ie_pps(symbols: &[u8]) -> bool {
    let second = match symbols.get(8) {
        None => 0,
        Some(letter @ (b'A' | b'B' | b'H')) => u32::from(letter - b'A') + 1,
        Some(b'T' | b'W') => 0,
        Some(_) => return false,
    };
    weighted(symbols, &[8, 7, 6, 5, 4, 3, 2]).is_some_and(|sum| {
        b"WABCDEFGHIJKLMNOPQRSTUV".get(((sum + 9 * second) % 23) as usize) == symbols.get(7)
    })
}

/// Seven digits and one or two letters, or in the older form a letter in the second place.
fn ie_vat(symbols: &[u8]) -> bool {
    if symbols.get(1).is_some_and(u8::is_ascii_digit) {
        return ie_pps_like(symbols);
    }
    let (Some(first), Some(middle), Some(letter)) = (symbols.first(), symbols.get(2..7), symbols.get(7))
    else {
        return false;
    };
    let mut digits = [b'0'; 7];
    for (to, from) in digits.iter_mut().skip(1).zip(middle.iter().chain([first])) {
        *to = *from;
    }
    weighted(&digits, &[8, 7, 6, 5, 4, 3, 2])
        .is_some_and(|sum| b"WABCDEFGHIJKLMNOPQRSTUV".get((sum % 23) as usize) == Some(letter))
}

fn ie_pps_like(symbols: &[u8]) -> bool {
    let second = symbols.get(8).map_or(0, |letter| match letter {
        b'A'..=b'I' => u32::from(letter - b'A') + 1,
        _ => 0,
    });
    weighted(symbols, &[8, 7, 6, 5, 4, 3, 2]).is_some_and(|sum| {
        b"WABCDEFGHIJKLMNOPQRSTUV".get(((sum + 9 * second) % 23) as usize) == symbols.get(7)
    })
}

/// Decreto ministeriale 23 dicembre 1976: letters of the name, year, month, day (40 more for women), place, and the
/// letter of the mapped sum modulo 26. Where two people would share a code, digits become letters (omocodia).
fn it_fiscal_code(symbols: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let Some((key, body)) = symbols.split_last() else { return false };
    let figure = |symbol: u8| match symbol {
        b'0'..=b'9' => Some(u64::from(symbol - b'0')),
        _ => b"LMNPQRSTUV".iter().position(|letter| *letter == symbol).map(|place| place as u64),
    };
    let at = |place: usize| body.get(place).copied().and_then(figure);
    let day = at(9).zip(at(10)).map(|(tens, ones)| tens * 10 + ones);
    let are_figures = [6, 7, 12, 13, 14].into_iter().all(|place| at(place).is_some());
    let is_month = body.get(8).is_some_and(|letter| b"ABCDEHLMPRST".contains(letter));
    let sum = body.iter().enumerate().try_fold(0, |sum, (place, symbol)| {
        let value = base_36(*symbol)?;
        let value = if value < 10 { value } else { value - 10 };
        Some(sum + if place % 2 == 0 { *ODD.get(value as usize)? } else { value })
    });
    are_figures
        && is_month
        && day.is_some_and(|day| matches!(day, 1..=31 | 41..=71))
        && sum.is_some_and(|sum| base_36(*key) == Some(sum % 26 + 10))
}

/// Eleven digits under the Luhn formula; places eight to ten are the province of the office that issued it.
fn it_vat(symbols: &[u8]) -> bool {
    number_at(symbols, 7, 3).is_some_and(|office| matches!(office, 1..=100 | 120 | 121 | 888 | 999))
        && number_at(symbols, 0, 7).is_some_and(|serial| serial != 0)
        && luhn(symbols)
}

/// Nine or twelve digits: two weighted sums modulo 11; the digit before the key is 1.
fn lt_vat(symbols: &[u8]) -> bool {
    let Some(body) = symbols.len().checked_sub(1) else { return false };
    let sum = |shift: u32| {
        let weights: Vec<u32> = (0..body as u32).map(|place| 1 + (place + shift) % 9).collect();
        weighted(symbols, &weights).map(|sum| sum % 11)
    };
    let key = match sum(0) {
        Some(10) => sum(2).map(|rest| rest % 10),
        other => other,
    };
    body.checked_sub(1).and_then(|at| symbols.get(at)) == Some(&b'1')
        && key.is_some_and(|key| ends_with(symbols, key))
}

/// Loi du 19 juin 2013: date of birth, serial number, a Luhn digit over the first eleven and a Verhoeff digit over
/// the same.
fn lu_national_id(symbols: &[u8]) -> bool {
    let (Some(year), Some(first)) = (number_at(symbols, 0, 4), symbols.get(..12)) else { return false };
    let Some((body, last)) = symbols.get(..11).zip(symbols.get(12)) else { return false };
    (1850..=2100).contains(&year)
        && is_month_day(symbols, 4)
        && luhn(first)
        && verhoeff(body.iter().chain([last]))
}

/// The scheme of Verhoeff (1969), over the dihedral group of order ten.
fn verhoeff<'s>(symbols: impl DoubleEndedIterator<Item = &'s u8>) -> bool {
    const PERMUTATION: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let product = |a: u32, b: u32| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let rest = symbols.rev().enumerate().try_fold(0, |rest, (place, symbol)| {
        let mut value = digit(*symbol)?;
        for _ in 0..place % 8 {
            value = *PERMUTATION.get(value as usize)?;
        }
        Some(product(rest, value))
    });
    rest == Some(0)
}

/// Six digits and their remainder modulo 89.
fn lu_vat(symbols: &[u8]) -> bool {
    number_at(symbols, 0, 6)
        .zip(number_at(symbols, 6, 2))
        .is_some_and(|(body, key)| body != 0 && body % 89 == key)
}

/// Ministru kabineta noteikumi: date of birth, century, serial number and a weighted key; since July 2017 numbers start
/// with 32 and carry nothing.
fn lv_personal_code(symbols: &[u8]) -> Verdict {
    if matches!(symbols.first_chunk(), Some([b'3', b'2'..=b'9'])) {
        return Unproven;
    }
    let sum = weighted(symbols, &[10, 5, 8, 4, 2, 1, 6, 3, 7, 9]);
    let is_century = matches!(symbols.get(6), Some(b'0'..=b'2'));
    proven(
        is_day_month(symbols) && is_century && sum.is_some_and(|sum| ends_with(symbols, (1 + sum) % 11 % 10)),
    )
}

/// The eleven digits behind LV: of a company, or the code of a person.
fn lv_vat(symbols: &[u8]) -> bool {
    match symbols.first() {
        Some(b'4'..=b'9') => {
            weighted(symbols, &[9, 1, 4, 8, 3, 10, 2, 5, 7, 6, 1]).is_some_and(|sum| sum % 11 == 3)
        }
        _ => lv_personal_code(symbols) == Proven,
    }
}

// Netherlands to Slovenia.

/// Besluit burgerservicenummer: the weighted sum, the last digit subtracted, is a multiple of 11.
fn nl_bsn(symbols: &[u8]) -> bool {
    weighted(symbols, &[9, 8, 7, 6, 5, 4, 3, 2, 10])
        .is_some_and(|sum| symbols.len() == 9 && sum.is_multiple_of(11) && !is_uniform(symbols))
}

/// Behind NL nine digits, B, two digits: the digits as a citizen's number, or since 2020 the whole by MOD 97-10.
fn nl_vat(symbols: &[u8]) -> bool {
    symbols.get(..9).is_some_and(nl_bsn) || mod_97_10(b"NL".iter().chain(symbols))
}

/// Three letters and six digits, the first of which is the key: weights 7, 3, 1 around it.
fn pl_id_card(symbols: &[u8]) -> bool {
    let weights = [7, 3, 1, 9, 7, 3, 1, 7, 3];
    let sum = symbols
        .iter()
        .zip(weights)
        .try_fold(0, |sum, (symbol, weight)| Some(sum + base_36(*symbol)? * weight));
    symbols.len() == 9 && sum.is_some_and(|sum| sum % 10 == 0)
}

/// Two letters and seven digits, the first of which is the key.
fn pl_passport(symbols: &[u8]) -> bool {
    let weights = [7, 3, 9, 1, 7, 3, 1, 7, 3];
    let sum = symbols
        .iter()
        .zip(weights)
        .try_fold(0, |sum, (symbol, weight)| Some(sum + base_36(*symbol)? * weight));
    symbols.len() == 9 && sum.is_some_and(|sum| sum % 10 == 0)
}

/// Weighted sum modulo 11, the last digit.
fn pl_nip(symbols: &[u8]) -> bool {
    weighted(symbols, &[6, 5, 7, 2, 3, 4, 5, 6, 7])
        .is_some_and(|sum| ends_with(symbols, sum % 11) && sum % 11 < 10 && !is_uniform(symbols))
}

/// Ustawa o ewidencji ludności: date of birth (months from 21, 41, 61, 81 for other centuries), serial number, key.
fn pl_pesel(symbols: &[u8]) -> bool {
    let (Some(month), Some(day)) = (number_at(symbols, 2, 2), number_at(symbols, 4, 2)) else { return false };
    is_day_of(day, month % 20)
        && weighted(symbols, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3])
            .is_some_and(|sum| ends_with(symbols, (10 - sum % 10) % 10))
}

/// Nine digits, or fourteen for a local unit.
fn pl_regon(symbols: &[u8]) -> bool {
    let short = symbols.get(..9).is_some_and(|company| {
        weighted(company, &[8, 9, 2, 3, 4, 5, 6, 7])
            .is_some_and(|sum| ends_with(company, sum % 11 % 10) && !is_uniform(company))
    });
    short
        && (symbols.len() == 9
            || weighted(symbols, &[2, 4, 8, 5, 0, 9, 7, 3, 6, 1, 2, 4, 8])
                .is_some_and(|sum| ends_with(symbols, sum % 11 % 10)))
}

/// Cartão de cidadão: civil number with its digit, version of two letters, and a digit that makes the Luhn sum of
/// all, letters from 10, a multiple of ten.
fn pt_citizen_card(symbols: &[u8]) -> bool {
    let sum = symbols.iter().rev().enumerate().try_fold(0, |sum, (place, symbol)| {
        let value = base_36(*symbol)? * if place % 2 == 0 { 1 } else { 2 };
        Some(sum + if place % 2 == 1 && value > 9 { value - 9 } else { value })
    });
    symbols.len() == 12 && sum.is_some_and(|sum| sum % 10 == 0)
}

/// Decreto-Lei 14/2013: kind of person, weighted sum modulo 11.
fn pt_nif(symbols: &[u8]) -> bool {
    let is_kind = matches!(
        symbols,
        [b'1' | b'2' | b'3' | b'5' | b'6' | b'8', ..] | [b'4', b'5', ..] | [b'7' | b'9', ..]
    );
    is_kind
        && !is_uniform(symbols)
        && weighted(symbols, &[9, 8, 7, 6, 5, 4, 3, 2])
            .is_some_and(|sum| ends_with(symbols, (11 - sum % 11) % 11 % 10))
}

/// Segurança Social: primes as weights, nine minus the last figure of the sum.
fn pt_niss(symbols: &[u8]) -> bool {
    matches!(symbols.first(), Some(b'1' | b'2'))
        && weighted(symbols, &[29, 23, 19, 17, 13, 11, 7, 5, 3, 2])
            .is_some_and(|sum| ends_with(symbols, 9 - sum % 10))
}

/// Legea 105/1996: sex and century, date of birth, county, serial number, weighted sum modulo 11.
fn ro_cnp(symbols: &[u8]) -> bool {
    let county = number_at(symbols, 7, 2);
    matches!(symbols.first(), Some(b'1'..=b'9'))
        && is_month_day(symbols, 3)
        && county.is_some_and(|county| matches!(county, 1..=48 | 51 | 52 | 70 | 80..=83))
        && weighted(symbols, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9])
            .is_some_and(|sum| ends_with(symbols, if sum % 11 == 10 { 1 } else { sum % 11 }))
}

/// Two to ten digits: weights from the right, times ten modulo 11.
fn ro_vat(symbols: &[u8]) -> bool {
    let weights: [u32; 9] = [7, 5, 3, 2, 1, 7, 5, 3, 2];
    let Some(skip) = 10_usize.checked_sub(symbols.len()) else { return false };
    let Some(weights) = weights.get(skip..) else { return false };
    !symbols.starts_with(b"0")
        && weighted(symbols, weights).is_some_and(|sum| ends_with(symbols, sum * 10 % 11 % 10))
}

/// Skatteverket: date of birth (60 added to the day for coordination numbers), serial number, Luhn digit over ten.
fn se_personnummer(symbols: &[u8]) -> bool {
    let Some(ten) = symbols.len().checked_sub(10).and_then(|from| symbols.get(from..)) else { return false };
    let (Some(month), Some(day)) = (number_at(ten, 2, 2), number_at(ten, 4, 2)) else { return false };
    let is_century = symbols.len() == 10 || symbols.starts_with(b"19") || symbols.starts_with(b"20");
    is_century && is_day_of(if day > 60 { day - 60 } else { day }, month) && luhn(ten)
}

/// Zakon o centralnem registru prebivalstva: date of birth (year of three digits), region, serial number, key.
fn si_emso(symbols: &[u8]) -> bool {
    is_day_month(symbols)
        && number_at(symbols, 4, 3).is_some_and(|year| !(100..850).contains(&year))
        && weighted(symbols, &[7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2])
            .is_some_and(|sum| ends_with(symbols, (11 - sum % 11) % 11))
}

/// Zakon o davčnem postopku: no leading zero, weighted sum modulo 11.
fn si_tax_id(symbols: &[u8]) -> bool {
    !symbols.starts_with(b"0")
        && !is_uniform(symbols)
        && weighted(symbols, &[8, 7, 6, 5, 4, 3, 2])
            .is_some_and(|sum| ends_with(symbols, (11 - sum % 11) % 11 % 10) && sum % 11 != 0)
}

// United Kingdom.

/// DVLA: five characters of the surname (filled with 9), decade, month (50 more for women), day, year, initials,
/// a digit and two letters.
fn uk_driving_licence(symbols: &[u8]) -> bool {
    let (Some(name), Some(initials)) = (symbols.get(..5), symbols.get(11..13)) else { return false };
    let letters = name.iter().take_while(|symbol| symbol.is_ascii_uppercase()).count();
    let is_filled = |rest: &[u8]| rest.iter().all(|symbol| *symbol == b'9');
    let (Some(month), Some(day)) = (number_at(symbols, 6, 2), number_at(symbols, 8, 2)) else { return false };
    letters >= 1
        && name.get(letters..).is_some_and(is_filled)
        && is_day_of(day, if month > 50 { month - 50 } else { month })
        && matches!(initials, [b'A'..=b'Z', b'A'..=b'Z' | b'9'] | [b'9', b'9'])
}

/// NHS Data Dictionary: weighted sum modulo 11; a key of 10 is not issued.
fn uk_nhs(symbols: &[u8]) -> bool {
    divides(symbols, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1], 11) && !is_uniform(symbols)
}

/// HMRC NIM39110: two letters (not D, F, I, Q, U, V; O not second; some pairs are not used), six digits, A to D.
/// ZZ starts the numbers of forms and tests.
fn uk_nino(symbols: &[u8]) -> bool {
    let [first, second, .., suffix] = symbols else { return false };
    let excluded = |letter: &u8| matches!(letter, b'D' | b'F' | b'I' | b'Q' | b'U' | b'V');
    let pair = [*first, *second];
    !excluded(first)
        && !excluded(second)
        && *second != b'O'
        && ![b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].contains(&&pair)
        && matches!(suffix, b'A'..=b'D')
}

/// HMRC: the first digit is the key of the weighted rest.
fn uk_utr(symbols: &[u8]) -> bool {
    let Some((key, body)) = symbols.split_first() else { return false };
    weighted(body, &[6, 7, 8, 9, 10, 5, 4, 3, 2])
        .is_some_and(|sum| b"21987654321".get((sum % 11) as usize) == Some(key))
        && !is_uniform(symbols)
}

/// The nine digits behind GB (twelve for a branch): weighted sum with the key modulo 97, 55 added since 2010.
fn uk_vat(symbols: &[u8]) -> bool {
    let sum = weighted(symbols, &[8, 7, 6, 5, 4, 3, 2, 10, 1]);
    number_at(symbols, 0, 7).is_some_and(|body| body != 0)
        && sum.is_some_and(|sum| sum % 97 == 0 || (sum + 55) % 97 == 0)
}

/// DVLA INF104: two letters of the office, the half year, three letters; no I, Q or Z where they are not used.
fn uk_plate(symbols: &[u8]) -> bool {
    let [first, second, _, _, rest @ ..] = symbols else { return false };
    let office = |letter: &u8| !matches!(letter, b'I' | b'Q' | b'Z');
    office(first)
        && office(second)
        && number_at(symbols, 2, 2).is_some_and(|half| matches!(half, 2..=49 | 51..=99))
        && rest.iter().all(|letter| !matches!(letter, b'I' | b'Q'))
}

// International.

/// ISO 17442: the issuer, the entity and two check digits by MOD 97-10.
fn lei(symbols: &[u8]) -> bool {
    has_letter_and_digit(symbols) && mod_97_10(symbols)
}

/// ISO 3779 and 49 CFR 565.15: seventeen symbols without I, O and Q; the ninth is a key in North America and China,
/// optional elsewhere.
fn vin(symbols: &[u8]) -> Verdict {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |symbol: u8| match symbol {
        b'0'..=b'9' => Some(u32::from(symbol - b'0')),
        b'A'..=b'H' => Some(u32::from(symbol - b'A') + 1),
        b'J'..=b'N' => Some(u32::from(symbol - b'J') + 1),
        b'P' => Some(7),
        b'R' => Some(9),
        b'S'..=b'Z' => Some(u32::from(symbol - b'S') + 2),
        _ => None,
    };
    let sum =
        symbols.iter().zip(WEIGHTS).try_fold(0, |sum, (symbol, weight)| Some(sum + value(*symbol)? * weight));
    // No region of the world has 0.
    let is_number = symbols.len() == 17 && has_letter_and_digit(symbols) && !symbols.starts_with(b"0");
    let Some(sum) = sum.filter(|_| is_number) else { return Refused };
    // The last four symbols count the vehicles.
    let is_counted = symbols.get(13..).is_some_and(|tail| tail.iter().all(u8::is_ascii_digit));
    let key = symbols.get(8).copied();
    match sum % 11 {
        _ if !is_counted => Refused,
        10 if key == Some(b'X') => Proven,
        rest if rest < 10 && key.and_then(digit) == Some(rest) => Proven,
        _ => Unproven,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Specimens that the issuers publish, or that the schemes' descriptions compute.
    const SPECIMENS: &[(Check, &str)] = &[
        (Check::Luhn, "79927398713"),
        (Check::Lei, "213800KUD8LAJWSQ9D15"),
        (Check::Nir, "255081416802538"),
        (Check::Nir, "284052A12345632"),
        (Check::Siren, "732829320"),
        (Check::Siret, "73282932000074"),
        (Check::Siret, "35600000049837"),
        (Check::VatFr, "44732829320"),
        (Check::Rib, "20041010050500013M02606"),
        (Check::PlateFr, "AB123CD"),
        (Check::AtSocialSecurity, "1237010180"),
        (Check::AtVat, "13585627"),
        (Check::BeNationalNumber, "85073003328"),
        (Check::BeEnterprise, "0403019261"),
        (Check::BgEgn, "7523169263"),
        (Check::BgVat, "175074752"),
        (Check::ChAhv, "7569217076985"),
        (Check::ChUid, "100155212"),
        (Check::CyVat, "10259033P"),
        (Check::CzBirthNumber, "7103192745"),
        (Check::CzVat, "25123891"),
        (Check::DeHealthInsurance, "A123456780"),
        (Check::DeIdCard, "L01X00T471"),
        (Check::DeSocialSecurity, "15070649C103"),
        (Check::DeTaxId, "36574261809"),
        (Check::DkCpr, "2110625629"),
        (Check::DkVat, "13585628"),
        (Check::EePersonalCode, "36805280109"),
        (Check::EePersonalCode, "33309240064"),
        (Check::EeVat, "100931558"),
        (Check::GrAfm, "094259216"),
        (Check::GrAmka, "01013099997"),
        (Check::EsCif, "A13585625"),
        (Check::EsNif, "54362315K"),
        (Check::EsNif, "X2482300W"),
        (Check::EsVat, "B58818501"),
        (Check::EsSocialSecurity, "281234567840"),
        (Check::FiBusinessId, "20774740"),
        (Check::FiPersonalIdentityCode, "131052308T"),
        (Check::HuSocialSecurity, "123456788"),
        (Check::HuTaxId, "8071592153"),
        (Check::HuVat, "12892312"),
        (Check::IePps, "6433435F"),
        (Check::IePps, "6433435OA"),
        (Check::IeVat, "6433435F"),
        (Check::IeVat, "8D79739I"),
        (Check::Imei, "490154203237518"),
        (Check::Iso7064Mod1110, "33392005961"),
        (Check::Iso7064Mod1110, "136695976"),
        (Check::ItFiscalCode, "RCCMNL83S18D969H"),
        (Check::ItVat, "00743110157"),
        (Check::LtVat, "119511515"),
        (Check::LtVat, "100001919017"),
        (Check::LuVat, "15027442"),
        (Check::LvPersonalCode, "16117519997"),
        (Check::LvVat, "40003521600"),
        (Check::MtVat, "11679112"),
        (Check::NlBsn, "111222333"),
        (Check::NlVat, "004495445B01"),
        (Check::PlIdCard, "ABA300000"),
        (Check::PlNip, "8567346215"),
        (Check::PlPassport, "ZS0000177"),
        (Check::PlPesel, "44051401359"),
        (Check::PlRegon, "192598184"),
        (Check::PlRegon, "12345678512347"),
        (Check::PtCitizenCard, "000000000ZZ4"),
        (Check::PtNif, "501964843"),
        (Check::RoCnp, "1630615123457"),
        (Check::RoVat, "18547290"),
        (Check::SeOrganisation, "1234567897"),
        (Check::SePersonnummer, "8803200016"),
        (Check::SeVat, "123456789701"),
        (Check::SiEmso, "0101006500006"),
        (Check::SiTaxId, "50223054"),
        (Check::SkVat, "2022749619"),
        (Check::UkDrivingLicence, "MORGA657054SM9IJ"),
        (Check::UkNhs, "9434765919"),
        (Check::UkNino, "AB123456C"),
        (Check::UkUtr, "1955839661"),
        (Check::UkVat, "980780684"),
        (Check::UkPlate, "AB12CDE"),
        (Check::Vin, "1M8GDM9AXKP042788"),
    ];

    #[test]
    fn the_specimens_of_the_schemes_pass() {
        for (check, specimen) in SPECIMENS {
            assert_eq!(judge(*check, specimen.as_bytes()), Proven, "{check:?} {specimen}");
        }
    }

    #[test]
    fn what_has_no_key_is_never_proven() {
        for (check, symbols) in [
            (Check::Nir, "1841276451089"),
            (Check::PlateFr, "1234AB33"),
            (Check::IdCardFr, "880692310285"),
            (Check::IdCardFr, "X4RTBPFW4"),
            (Check::VatFr, "K7732829320"),
            (Check::DkCpr, "0101901234"),
            (Check::LvPersonalCode, "32712345678"),
            (Check::DeIdCard, "L01X00T47"),
            (Check::DeTaxId, "12345678903"),
            (Check::EsNif, "1111111G"),
            (Check::Vin, "VF3LBBHZHFS123456"),
        ] {
            assert_eq!(judge(check, symbols.as_bytes()), Unproven, "{check:?} {symbols}");
        }
    }

    #[test]
    fn a_structure_that_is_not_issued_is_refused() {
        for (check, symbols) in [
            (Check::Nir, "984127645108946"),
            (Check::Siren, "000000000"),
            (Check::PlateFr, "AI123CD"),
            (Check::PlateFr, "SS123CD"),
            (Check::DeTaxId, "01234567890"),
            (Check::DeTaxId, "12345678901"),
            (Check::UkNino, "GB123456C"),
            (Check::UkNino, "AB123456E"),
            (Check::ItVat, "00743119957"),
            (Check::PlPesel, "44133001350"),
            (Check::Vin, "1M8GDM9AXKPO42788"),
            (Check::Luhn, ""),
            (Check::Nir, "1"),
            (Check::DeSocialSecurity, "15070649"),
        ] {
            assert_eq!(judge(check, symbols.as_bytes()), Refused, "{check:?} {symbols}");
        }
    }

    /// Schemes whose modulus is a prime above the values of a digit, or that are built to find every single error.
    fn finds_every_single_error(check: Check) -> bool {
        matches!(
            check,
            Check::Luhn
                | Check::Lei
                | Check::Nir
                | Check::Siren
                | Check::Rib
                | Check::VatFr
                | Check::AtVat
                | Check::BeEnterprise
                | Check::ChAhv
                | Check::ChUid
                | Check::CzBirthNumber
                | Check::DkVat
                | Check::EeVat
                | Check::EsNif
                | Check::FiBusinessId
                | Check::GrAmka
                | Check::HuTaxId
                | Check::HuSocialSecurity
                | Check::HuVat
                | Check::IePps
                | Check::Imei
                | Check::Iso7064Mod1110
                | Check::ItFiscalCode
                | Check::ItVat
                | Check::LuVat
                | Check::MtVat
                | Check::NlBsn
                | Check::PlNip
                | Check::PlPesel
                | Check::SeOrganisation
                | Check::SePersonnummer
                | Check::SkVat
                | Check::UkNhs
        )
    }

    proptest! {
        #[test]
        fn one_other_digit_is_refused(
            (check, specimen) in proptest::sample::select(
                SPECIMENS.iter().filter(|(check, _)| finds_every_single_error(*check)).copied().collect::<Vec<_>>()
            ),
            at in any::<proptest::sample::Index>(),
            by in 1..10_u8,
        ) {
            let mut symbols = specimen.as_bytes().to_vec();
            let places: Vec<usize> = (0..symbols.len()).filter(|at| symbols[*at].is_ascii_digit()).collect();
            let at = places[at.index(places.len())];
            symbols[at] = (symbols[at] - b'0' + by) % 10 + b'0';
            prop_assert_eq!(judge(check, &symbols), Refused, "{:?} {}", check, String::from_utf8_lossy(&symbols));
        }

        #[test]
        fn any_symbols_are_judged(symbols in "[0-9A-Z]{0,26}", which in 0..SPECIMENS.len()) {
            judge(SPECIMENS[which].0, symbols.as_bytes());
        }
    }
}
