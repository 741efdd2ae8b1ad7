//! In: a number. Out: the postal address it belongs to, from the street to the city.
//!
//! Three orders are known: the number before the street (`12 bis rue des Lilas`, `10 Downing Street`), behind it
//! (`Hauptstraße 12`, `Via Roma, 10`, `ul. Długa 5/7`), and a postcode with a city behind anything that has the form of
//! a street. From the street on, complements are stepped over until a postcode with its city, which belong to the
//! finding. A French postcode and its commune are checked against each other.

use std::ops::Range;

use super::lexicon::{self, COMMUNE, Folded, Role, WORD};
use super::words::{char_at, char_before, fold, is_capital, plain, role, skip_spaces, word_at, word_before};
use super::{Form, Scan, Structure, byte_at, byte_before};

/// Words of a street's name, and of a city's.
const MAX_STREET_WORDS: usize = 8;
const MAX_CITY_WORDS: usize = 7;
/// Complements between street and postcode, and the longest of them in bytes.
const MAX_COMPLEMENTS: usize = 3;
const MAX_COMPLEMENT: usize = 48;

/// Endings that make the name of a street of any word, in German and Dutch.
const STREET_ENDINGS: [&str; 21] = [
    "strasse",
    "str",
    "gasse",
    "allee",
    "platz",
    "weg",
    "ufer",
    "damm",
    "steig",
    "chaussee",
    "promenade",
    "straat",
    "laan",
    "plein",
    "gracht",
    "kade",
    "singel",
    "dreef",
    "steeg",
    "boulevard",
    "straatje",
];
/// Endings that do so only when a postcode and a city follow.
const WEAK_ENDINGS: [&str; 31] = [
    "ring",
    "pfad",
    "stieg",
    "hof",
    "markt",
    "graben",
    "berg",
    "wall",
    "tor",
    "garten",
    "feld",
    "wiese",
    "hohe",
    "grund",
    "brucke",
    "kamp",
    "zeile",
    "winkel",
    "pad",
    "dijk",
    "dam",
    "park",
    "plantsoen",
    "baan",
    "wal",
    "haven",
    "oord",
    "veld",
    "akker",
    "hoek",
    "erf",
];

/// Where an address ends, and whether its postcode and city fit.
#[derive(Clone, Copy, Debug)]
struct Locality {
    end: usize,
    verified: bool,
}

/// A street that was read.
#[derive(Clone, Copy, Debug)]
struct Street {
    start: usize,
    end: usize,
    /// Whether it is an address without a postcode behind it.
    alone: bool,
}

impl Scan<'_> {
    /// Reads the address that the number of `digits` digits at `at` belongs to, not before `done`. Where it ends.
    pub(super) fn postal(&mut self, at: usize, digits: usize, done: usize) -> Option<usize> {
        if digits == 0
            || digits > 5
            || matches!(byte_before(self.bytes, at), b'.' | b'_' | b'#' | b'+' | b'@')
        {
            return None;
        }
        let street = if digits <= 4 {
            self.number_first(at, digits).or_else(|| self.number_last(at, digits, done))
        } else {
            self.box_number(at, digits, done)
        };
        if let Some(mut street) = street {
            street.start = self.complements_before(street.start, done);
            let locality = self.locality_behind(street.end);
            return match locality {
                Some(locality) => {
                    self.address_found(street.start..locality.end, Form::Telling, locality.verified);
                    Some(locality.end)
                }
                None if street.alone => {
                    self.address_found(street.start..street.end, Form::Weak, false);
                    Some(street.end)
                }
                None => None,
            };
        }
        // A postcode and its city, behind something that has the form of a street.
        let from = self.prefix_start(at);
        let locality = self.postcode_and_city(from)?;
        let start = self.street_before(from, done)?;
        self.address_found(start..locality.end, Form::Telling, locality.verified);
        Some(locality.end)
    }

    fn address_found(&mut self, range: Range<usize>, form: Form, verified: bool) {
        let value = plain(self.slice(&range));
        if let Some(&entry) = self.scanner.structures.get(&Structure::PostalAddress) {
            self.push(entry, range, form, verified, value);
        }
    }

    /// `12 bis rue des Lilas`, `10 Downing Street`.
    fn number_first(&self, at: usize, digits: usize) -> Option<Street> {
        let text = self.text;
        let mut end = self.number_suffix(at + digits);
        if byte_at(self.bytes, end) == b',' {
            end += 1;
        }
        let next = skip_spaces(text, end, 2);
        if next == end || !char_at(text, next).is_some_and(char::is_alphabetic) {
            return None;
        }
        let word = word_at(text, next);
        if word.len() < 2 && !is_capital(text, next) {
            return None;
        }
        let folded = fold(text, &word);
        let of_word = lexicon::role(folded.as_bytes());
        if of_word.is(Role::STREET.or(Role::STREET_WEAK)) {
            let strong = of_word.is(Role::STREET);
            let mut name = word.end + usize::from(byte_at(self.bytes, word.end) == b'.');
            if folded.as_bytes() == b"rond" || folded.as_bytes() == b"lieu" {
                name = word_at(text, name + 1).end;
            }
            let (end, capital) = self.street_name(name)?;
            if !strong && !capital {
                return None;
            }
            return Some(Street { start: at, end, alone: strong && capital });
        }
        if !is_capital(text, next) {
            return None;
        }
        self.road(at, next)
    }

    /// `BP 40218`: a number of five digits is that of a box only behind such a word.
    fn box_number(&self, at: usize, digits: usize, done: usize) -> Option<Street> {
        let word = word_before(self.text, at - usize::from(byte_before(self.bytes, at) == b' '));
        let is_box = matches!(
            fold(self.text, &word).as_bytes(),
            b"bp" | b"cs" | b"tsa" | b"postfach" | b"postbus" | b"apartado"
        );
        (is_box && word.start >= done).then_some(Street { start: word.start, end: at + digits, alone: false })
    }

    /// Where complements before a street start: `Flat 3, 42 High Street`, `Résidence Les Oliviers, bât. C, 12 rue …`.
    fn complements_before(&self, at: usize, done: usize) -> usize {
        let mut start = at;
        for _ in 0..MAX_COMPLEMENTS {
            let mut end = start;
            while matches!(byte_before(self.bytes, end), b' ' | b',' | b'\n' | b'\r') && start - end < 4 {
                end -= 1;
            }
            if end == start
                || !self
                    .bytes
                    .get(end..start)
                    .unwrap_or_default()
                    .iter()
                    .any(|byte| matches!(byte, b',' | b'\n'))
            {
                break;
            }
            let from = end.saturating_sub(MAX_COMPLEMENT).max(done);
            let line = self.bytes.get(from..end).unwrap_or_default();
            let Some(boundary) =
                line.iter().rposition(|byte| matches!(byte, b',' | b'\n' | b':' | b';' | b'"' | b'(' | b'>'))
            else {
                break;
            };
            let first = skip_spaces(self.text, from + boundary + 1, 2);
            let word = word_at(self.text, first);
            if word.end > end || !role(self.text, &word).is(Role::COMPLEMENT) {
                break;
            }
            start = first;
        }
        start
    }

    /// What may stand behind a number: `12 bis`, `12-14`, `12/14`, `12a`, `12 B`.
    fn number_suffix(&self, at: usize) -> usize {
        let text = self.text;
        let mut end = at;
        if matches!(byte_at(self.bytes, end), b'-' | b'/') {
            let more = self.digits_at(end + 1);
            // `4/B`
            if more == 0
                && byte_at(self.bytes, end + 1).is_ascii_alphabetic()
                && !char_at(text, end + 2).is_some_and(char::is_alphanumeric)
            {
                return end + 2;
            }
            if (1..=4).contains(&more) && !char_at(text, end + 1 + more).is_some_and(char::is_alphanumeric) {
                return end + 1 + more;
            }
        }
        let next = skip_spaces(text, end, 1);
        let word = word_at(text, next);
        let is_suffix = match self.slice(&word) {
            "bis" | "ter" | "quater" | "quinquies" | "Bis" | "Ter" | "BIS" | "TER" | "B" | "T" | "Q" => true,
            letter if letter.len() == 1 => {
                letter
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || next == end && byte.is_ascii_lowercase())
                    && byte_at(self.bytes, word.end) != b'.'
                    && byte_at(self.bytes, word.end) != b'/'
            }
            _ => false,
        };
        if is_suffix {
            end = word.end;
        }
        end
    }

    /// The name of a street behind its type: where it ends, and whether it has a capital.
    fn street_name(&self, at: usize) -> Option<(usize, bool)> {
        let text = self.text;
        let mut end = None;
        let mut capital = false;
        let mut place = at;
        // Whether a word in small letters may be the name: right behind the type or a particle.
        let mut open = true;
        let mut needs_capital = false;
        for _ in 0..MAX_STREET_WORDS {
            let next = skip_spaces(text, place, 2);
            if next == place && place == at {
                return None;
            }
            if next == place && byte_before(self.bytes, place) != b'\'' {
                break;
            }
            let mut word = word_at(text, next);
            if word.is_empty() {
                break;
            }
            let digits = self.digits_at(next);
            if digits > 0 {
                let is_postcode = digits >= 5;
                if is_postcode || digits != word.len() || end.is_none() && open && digits > 2 {
                    break;
                }
                // `8 Mai 1945`: a number is part of the name when a word precedes or follows it.
                end = Some(word.end);
                place = word.end;
                open = false;
                continue;
            }
            // `d'Arc`, `l'Église`
            let folded = fold(text, &word);
            let of_word = lexicon::role(folded.as_bytes());
            if is_capital(text, next) {
                if ends_street(of_word) && end.is_some() {
                    break;
                }
                capital = true;
                open = false;
                needs_capital = false;
                // An abbreviation, such as `Gal.`
                if byte_at(self.bytes, word.end) == b'.'
                    && word.len() <= 4
                    && byte_at(self.bytes, word.end + 1) == b' '
                    && is_capital(text, word.end + 2)
                {
                    word.end += 1;
                }
                end = Some(word.end);
            } else if of_word.is(Role::STREET_PARTICLE) {
                open = true;
                needs_capital = of_word.is(Role::WEAK_PARTICLE);
            } else if matches!(self.slice(&(word.start..(word.start + 2).min(word.end))), "d'" | "l'") {
                capital |= is_capital(text, word.start + 2);
                open = false;
                end = Some(word.end);
            } else if open && !needs_capital && !folded.is_empty() {
                open = false;
                end = Some(word.end);
            } else {
                break;
            }
            place = word.end;
        }
        end.map(|end| (end, capital))
    }

    /// `10 Downing Street`: words in capitals of which the last is a type; or none is, and a British postcode follows.
    fn road(&self, start: usize, at: usize) -> Option<Street> {
        let text = self.text;
        let mut place = at;
        let mut end = at;
        let mut road = None;
        for count in 0..5 {
            let word = word_at(text, place);
            if word.is_empty() || !(is_capital(text, place) || matches!(self.slice(&word), "of" | "the")) {
                break;
            }
            let of_word = role(text, &word);
            if count == 0 && ends_street(of_word) {
                return None;
            }
            end = word.end;
            if count > 0 && of_word.is(Role::ROAD) {
                road = Some(word.end + usize::from(byte_at(self.bytes, word.end) == b'.' && word.len() <= 4));
            }
            let next = skip_spaces(text, word.end, 1);
            if next == word.end {
                break;
            }
            place = next;
        }
        match road {
            Some(road) => Some(Street { start, end: road, alone: false }),
            // Anything can be a road when a British postcode follows.
            None => self.british_behind(end).then_some(Street { start, end, alone: false }),
        }
    }

    fn british_behind(&self, at: usize) -> bool {
        let window = self.bytes.get(at..(at + 2 * MAX_COMPLEMENT).min(self.bytes.len())).unwrap_or_default();
        for (place, &byte) in (at..).zip(window) {
            match byte {
                b' ' | b',' | b'\n' if self.british_postcode(place + 1).is_some() => return true,
                b';' | b':' | b'(' | b'@' => return false,
                _ => {}
            }
        }
        false
    }

    /// Where a British postcode at `at` ends (BS 7666-2: an outward and an inward part).
    fn british_postcode(&self, at: usize) -> Option<usize> {
        let rest = self.bytes.get(at..(at + 8).min(self.bytes.len()))?;
        let letters = rest.iter().take(2).take_while(|byte| byte.is_ascii_uppercase()).count();
        if letters == 0 {
            return None;
        }
        let digits = rest.iter().skip(letters).take(2).take_while(|byte| byte.is_ascii_digit()).count();
        let mut length = letters + digits;
        if digits == 0 {
            return None;
        }
        if digits == 1 && byte_at(rest, length).is_ascii_uppercase() {
            length += 1;
        }
        if byte_at(rest, length) == b' ' {
            length += 1;
        }
        let inward = [byte_at(rest, length), byte_at(rest, length + 1), byte_at(rest, length + 2)];
        let [digit, first, second] = inward;
        let end = at + length + 3;
        (digit.is_ascii_digit()
            && first.is_ascii_uppercase()
            && second.is_ascii_uppercase()
            && !char_at(self.text, end).is_some_and(char::is_alphanumeric))
        .then_some(end)
    }

    /// `Hauptstraße 12`, `Via Roma, 10`, `ul. Długa 5/7`: the street before the number at `at`.
    fn number_last(&self, at: usize, digits: usize, done: usize) -> Option<Street> {
        let text = self.text;
        // `Calle Mayor, 3`, `Rua Augusta n.º 27`
        let mut end = at;
        let mut abbreviated = false;
        if byte_before(self.bytes, end) == b' ' {
            end -= 1;
            let word = word_before(text, end);
            if matches!(self.slice(&word), "n" | "n." | "nº" | "n.º" | "nr" | "nr." | "no." | "num." | "núm.")
            {
                end = word.start - usize::from(byte_before(self.bytes, word.start) == b' ');
                abbreviated = true;
            }
            if byte_before(self.bytes, end) == b',' {
                end -= 1;
                abbreviated = true;
            }
        }
        if end == at || end <= done {
            return None;
        }
        let nearest = word_before(text, end);
        if nearest.is_empty() {
            return None;
        }
        let nearest_folded = fold(text, &nearest);
        let capital = char_at(text, nearest.start).is_some_and(|c| c.is_uppercase() || c.is_numeric());
        let number_end = self.number_suffix(at + digits);
        let ends_with = |endings: &[&str]| {
            let word = nearest_folded.as_bytes();
            endings.iter().any(|ending| word.len() >= ending.len() + 2 && word.ends_with(ending.as_bytes()))
        };
        // `Hauptstraße 12`
        if capital && !abbreviated && (ends_with(&STREET_ENDINGS) || ends_with(&WEAK_ENDINGS)) {
            let start = self.german_start(nearest.start, done);
            return Some(Street { start, end: number_end, alone: ends_with(&STREET_ENDINGS) && digits <= 3 });
        }
        let of_nearest = lexicon::role(nearest_folded.as_bytes());
        if of_nearest.is(Role::STREET.or(Role::STREET_WEAK)) && capital && !abbreviated {
            // `Berliner Straße 5`, `Am Platz 3`; `BP 12`
            let before = word_before(
                text,
                nearest.start - usize::from(byte_before(self.bytes, nearest.start) == b' '),
            );
            let start = if !before.is_empty()
                && is_capital(text, before.start)
                && before.start >= done
                && !role(text, &before).is(Role::LABEL.or(Role::COMPLEMENT))
                && nearest.start > before.end
            {
                self.german_start(before.start, done)
            } else {
                nearest.start
            };
            return Some(Street {
                start,
                end: number_end,
                alone: start < nearest.start && digits <= 3 && of_nearest.is(Role::STREET),
            });
        }
        // `Via Roma 10`: back to the type.
        let mut place = nearest.clone();
        let mut words = 1;
        let mut german = None;
        loop {
            let of_word = role(text, &place);
            if words > 1 {
                let slash = byte_before(self.bytes, place.start) == b'/'
                    && byte_before(self.bytes, place.start.saturating_sub(1)).eq_ignore_ascii_case(&b'c');
                if of_word.is(Role::STREET.or(Role::STREET_WEAK)) {
                    let dotted = byte_before(self.bytes, place.end) == b'.';
                    let strong = of_word.is(Role::STREET)
                        && (dotted || is_capital(text, place.start) && place.len() > 2);
                    let short = place.len() == 1 && !dotted;
                    if short {
                        return None;
                    }
                    return Some(Street { start: place.start, end: number_end, alone: strong && capital });
                }
                if slash {
                    return Some(Street { start: place.start - 2, end: number_end, alone: true });
                }
                if of_word.is(Role::GERMAN_START) && is_capital(text, place.start) {
                    german = Some(place.start);
                }
            } else if byte_before(self.bytes, place.start) == b'/'
                && byte_before(self.bytes, place.start - 1).eq_ignore_ascii_case(&b'c')
            {
                // `C/Mayor 3`
                return Some(Street { start: place.start - 2, end: number_end, alone: true });
            }
            let plain_word = is_capital(text, place.start)
                || byte_at(self.bytes, place.start).is_ascii_digit()
                || of_word.is(Role::STREET_PARTICLE)
                || (words == 1 && !place.is_empty());
            if !plain_word || words > MAX_STREET_WORDS {
                break;
            }
            if byte_before(self.bytes, place.start) != b' ' {
                // `C/ Mayor 3`
                break;
            }
            let mut before = word_before(text, place.start - 1);
            if before.is_empty() && byte_before(self.bytes, place.start - 1) == b'/' && place.start >= 3 {
                // `C/ Mayor 3`
                let kind = word_before(text, place.start - 2);
                if self.slice(&kind).eq_ignore_ascii_case("c") {
                    return Some(Street { start: kind.start, end: number_end, alone: true });
                }
            }
            // `dell'Arte`: the apostrophe belongs to the word before.
            if before.is_empty() || before.start < done {
                break;
            }
            if byte_before(self.bytes, before.start) == b'\'' {
                before.start = word_before(text, before.start).start;
            }
            place = before;
            words += 1;
        }
        german.filter(|_| capital).map(|start| Street { start, end: number_end, alone: false })
    }

    /// Where a German street name starts whose last word starts at `at`: `An der Alten Mühlgasse`.
    fn german_start(&self, at: usize, done: usize) -> usize {
        let text = self.text;
        let mut start = at;
        let mut place = at;
        for _ in 0..3 {
            if byte_before(self.bytes, place) != b' ' {
                break;
            }
            let before = word_before(text, place - 1);
            if before.is_empty() || before.start < done {
                break;
            }
            let folded = fold(text, &before);
            if is_capital(text, before.start) && lexicon::role(folded.as_bytes()).is(Role::GERMAN_START) {
                start = before.start;
                break;
            }
            // `der`, `Alten`: only when one of the words above precedes.
            if !matches!(
                folded.as_bytes(),
                b"der" | b"den" | b"dem" | b"alten" | b"neuen" | b"hohen" | b"langen"
            ) {
                break;
            }
            place = before.start;
        }
        start
    }

    /// The postcode and city behind a street, over complements.
    fn locality_behind(&self, street_end: usize) -> Option<Locality> {
        let mut at = street_end;
        for _ in 0..=MAX_COMPLEMENTS {
            let next = self.separator(at)?;
            if let Some(found) = self.postcode_and_city(next).or_else(|| self.city_and_postcode(next)) {
                return Some(found);
            }
            at = self.complement(next)?;
        }
        None
    }

    /// Where commas, spaces, dashes, a bar or one line break behind a part of an address end.
    fn separator(&self, at: usize) -> Option<usize> {
        let mut end = at;
        let mut lines = 0;
        for &byte in self.bytes.get(at..(at + 12).min(self.bytes.len()))? {
            match byte {
                b' ' | b',' | b'-' | b'\t' | b'|' | b'\r' => {}
                b'\n' if lines == 0 => lines += 1,
                b'(' | b'/' if byte_before(self.bytes, end) == b' ' => {}
                _ => break,
            }
            end += 1;
        }
        (end > at).then_some(end)
    }

    /// Where a part of an address that is neither street nor city ends: at a comma or line break; or before a
    /// postcode in it.
    fn complement(&self, at: usize) -> Option<usize> {
        let text = self.text;
        if !char_at(text, at).is_some_and(|c| c.is_alphanumeric()) {
            return None;
        }
        let first = word_at(text, at);
        let known = role(text, &first).is(Role::COMPLEMENT);
        if !known && !is_capital(text, at) && !byte_at(self.bytes, at).is_ascii_digit() {
            return None;
        }
        for (end, &byte) in (at..).zip(self.bytes.get(at..(at + MAX_COMPLEMENT).min(self.bytes.len()))?) {
            match byte {
                b',' | b'\n' | b'|' => return Some(end),
                b':' | b';' | b'@' | b'=' | b'{' | b'}' | b'"' => return None,
                b'.' if byte_at(self.bytes, end + 1) == b' ' && !known && end - at > 5 => return None,
                b' ' if end > at
                    && byte_at(self.bytes, end + 1).is_ascii_digit()
                    && self.postcode_and_city(end + 1).is_some() =>
                {
                    return Some(end);
                }
                _ => {}
            }
        }
        None
    }

    /// Where the letters of a country before a postcode start: `F-75011`.
    fn prefix_start(&self, at: usize) -> usize {
        if byte_before(self.bytes, at) != b'-' {
            return at;
        }
        let word = word_before(self.text, at - 1);
        let is_prefix =
            (1..=3).contains(&word.len()) && self.slice(&word).bytes().all(|byte| byte.is_ascii_uppercase());
        if is_prefix { word.start } else { at }
    }

    /// `75011 Paris`, `1015 CJ Amsterdam`, `00-238 Warszawa`, `1100-053 Lisboa`, `CH-1201 Genève`.
    fn postcode_and_city(&self, at: usize) -> Option<Locality> {
        let mut place = at;
        let letters =
            self.bytes.get(at..)?.iter().take(3).take_while(|byte| byte.is_ascii_uppercase()).count();
        if letters > 0 {
            if byte_at(self.bytes, at + letters) != b'-' {
                return None;
            }
            place += letters + 1;
        }
        let digits = self.digits_at(place);
        let mut end = place + digits;
        let mut department = None;
        match digits {
            5 => department = self.bytes.get(place..place + 2),
            4 => {
                if byte_at(self.bytes, end) == b'-' {
                    if self.digits_at(end + 1) != 3 {
                        return None;
                    }
                    end += 4;
                } else {
                    let next = end + usize::from(byte_at(self.bytes, end) == b' ');
                    let is_dutch = byte_at(self.bytes, next).is_ascii_uppercase()
                        && byte_at(self.bytes, next + 1).is_ascii_uppercase()
                        && byte_at(self.bytes, next + 2) == b' ';
                    if is_dutch {
                        end = next + 2;
                    }
                }
            }
            2 if byte_at(self.bytes, end) == b'-' && self.digits_at(end + 1) == 3 => end += 4,
            3 if byte_at(self.bytes, end) == b' ' && self.digits_at(end + 1) == 2 => end += 3,
            2 if byte_at(self.bytes, end) == b' '
                && self.digits_at(end + 1) == 3
                && byte_at(self.bytes, end + 4) == b' ' =>
            {
                // `75 011 Paris`
                department = self.bytes.get(place..place + 2);
                end += 4;
            }
            _ => return None,
        }
        let city = skip_spaces(self.text, end, 2);
        if city == end {
            return None;
        }
        self.city(city, department)
    }

    /// The city at `at`; of a French postcode the commune is looked up.
    fn city(&self, at: usize, department: Option<&[u8]>) -> Option<Locality> {
        let text = self.text;
        let mut commune = Folded::default();
        for byte in department.unwrap_or_default() {
            commune.push(*byte);
        }
        let mut place = at;
        let mut end = None;
        let mut verified = None;
        for count in 0..MAX_CITY_WORDS {
            let mut word = word_at(text, place);
            // `'s-Hertogenbosch`
            if word.is_empty() && byte_at(self.bytes, place) == b'\'' {
                word = place..word_at(text, place + 1).end;
            }
            if word.is_empty() || word.len() < 2 && count == 0 {
                break;
            }
            let folded = fold(text, &word);
            for part in self.slice(&word).split(['-', '\'']).filter(|part| !part.is_empty()) {
                commune.push(b' ');
                match part {
                    "St" | "ST" | "st" => commune.push_word("saint"),
                    "Ste" | "STE" | "ste" => commune.push_word("sainte"),
                    _ => commune.push_word(part),
                }
            }
            let dotted = byte_at(self.bytes, word.end) == b'.'
                && matches!(folded.as_bytes(), b"st" | b"ste" | b"bad" | b"s");
            if dotted {
                word.end += 1;
            }
            if department.is_some() && lexicon::flags(commune.as_bytes()) & COMMUNE != 0 {
                verified = Some(word.end);
            }
            let small = !is_capital(text, word.start) && byte_at(self.bytes, word.start) != b'\'';
            let of_word = lexicon::role(folded.as_bytes());
            let particle = of_word.is(Role::CITY_PARTICLE);
            let elided =
                small && self.slice(&word).get(1..2) == Some("'") && is_capital(text, word.start + 2);
            if small && !elided {
                // A small word goes on to the next; the first one must be a known commune.
                if !particle && department.is_none_or(|_| count > 2) {
                    break;
                }
            } else if self.digits_at(word.start) > 0
                || count > 0 && (ends_street(of_word) || !self.is_of_city(&folded, &word))
            {
                break;
            } else {
                end = Some(word.end);
            }
            let next = skip_spaces(text, word.end, 1);
            if next == word.end {
                break;
            }
            place = next;
        }
        let known = verified.is_some();
        let mut end = verified.or(end)?;
        // A small word alone that is no commune is no city.
        if !(known || is_capital(text, at) || byte_at(self.bytes, at) == b'\'') {
            return None;
        }
        // `Cedex 09`, `Lyon 3e`, `(TO)`
        let next = skip_spaces(text, end, 1);
        let word = word_at(text, next);
        if self.slice(&word).eq_ignore_ascii_case("cedex") {
            end = word.end;
            let number = skip_spaces(text, end, 1);
            let digits = self.digits_at(number);
            if (1..=2).contains(&digits) {
                end = number + digits;
            }
        } else if byte_at(self.bytes, next) == b'('
            && byte_at(self.bytes, next + 1).is_ascii_uppercase()
            && byte_at(self.bytes, next + 2).is_ascii_uppercase()
            && byte_at(self.bytes, next + 3) == b')'
        {
            end = next + 4;
        }
        Some(Locality { end, verified: known })
    }

    /// Whether a word may go on the name of a city: one that is mere prose does not.
    fn is_of_city(&self, folded: &Folded, word: &Range<usize>) -> bool {
        let all_capitals = self.slice(word).chars().filter(|c| c.is_alphabetic()).all(char::is_uppercase);
        all_capitals || lexicon::flags(folded.as_bytes()) & WORD == 0 || word.len() >= 4
    }

    /// `London SW1A 2AA`, `Madrid 28013`, `Springfield, IL 62704`.
    fn city_and_postcode(&self, at: usize) -> Option<Locality> {
        let text = self.text;
        if let Some(end) = self.british_postcode(at) {
            return Some(Locality { end, verified: true });
        }
        let mut place = at;
        if role(text, &word_at(text, at)).is(Role::COMPLEMENT) {
            return None;
        }
        for count in 0..6 {
            let word = word_at(text, place);
            let is_city = is_capital(text, place) || count > 0 && role(text, &word).is(Role::CITY_PARTICLE);
            if word.is_empty() || !is_city {
                return None;
            }
            let mut next = word.end;
            if byte_at(self.bytes, next) == b',' || byte_at(self.bytes, next) == b'.' {
                next += 1;
            }
            let next = skip_spaces(text, next, 1);
            if next == word.end {
                return None;
            }
            if let Some(end) = self.british_postcode(next) {
                return Some(Locality { end, verified: true });
            }
            if self.digits_at(next) == 5 && !char_at(text, next + 5).is_some_and(char::is_alphanumeric) {
                // `Les Tilleuls, 38000 Grenoble`
                if self.postcode_and_city(next).is_some() {
                    return None;
                }
                // `MA 02110-1301`
                let more = byte_at(self.bytes, next + 5) == b'-' && self.digits_at(next + 6) == 4;
                return Some(Locality { end: next + if more { 10 } else { 5 }, verified: false });
            }
            place = next;
        }
        None
    }

    /// What has the form of a street before a postcode at `at`: a street type and a name, or a name and a number.
    fn street_before(&self, at: usize, done: usize) -> Option<usize> {
        let text = self.text;
        let mut place = at;
        while matches!(byte_before(self.bytes, place), b' ' | b',' | b'\n' | b'\r' | b'-' | b'\t')
            && at - place < 6
        {
            place -= 1;
        }
        if place == at || place <= done {
            return None;
        }
        let mut numbers = 0;
        let mut capitals = 0;
        let mut start = None;
        let mut first_number = false;
        for count in 0..MAX_STREET_WORDS {
            let word = word_before(text, place);
            if word.is_empty() || word.start < done {
                break;
            }
            let folded = fold(text, &word);
            let digits = folded.as_bytes().iter().take_while(|byte| byte.is_ascii_digit()).count();
            let of_word = lexicon::role(folded.as_bytes());
            if digits > 0 {
                if digits > 4 || folded.as_bytes().len() > digits + 1 {
                    break;
                }
                numbers += 1;
                if count == 0 {
                    first_number = true;
                    start = Some(word.start);
                } else if capitals > 0 && !first_number {
                    // `12 Les Hauts de Seine, 38000 Grenoble`
                    return Some(word.start);
                } else {
                    break;
                }
            } else if of_word.is(Role::STREET) && count > 0 && capitals > 0
                || of_word.is(Role::STREET_WEAK)
                    && of_word.is(Role::COMPLEMENT)
                    && count > 0
                    && capitals > 0
                    && word.len() > 1
            {
                return Some(word.start);
            } else if is_capital(text, word.start) {
                if of_word.is(Role::LABEL.or(Role::TITLE).or(Role::NAME_KEY).or(Role::GREETING))
                    || ends_street(of_word)
                {
                    break;
                }
                capitals += 1;
                start = Some(word.start);
            } else if !of_word.is(Role::STREET_PARTICLE) {
                break;
            }
            place = word.start;
            if byte_before(self.bytes, place) == b'\'' {
                place -= 1;
                continue;
            }
            if byte_before(self.bytes, place) != b' ' {
                break;
            }
            place -= 1;
        }
        let begins = start.filter(|_| first_number && numbers == 1 && (1..=3).contains(&capitals))?;
        let known_word = word_at(text, begins);
        let folded = fold(text, &known_word);
        // `Commande 12, 75011 Paris`: a single word of daily use is no street.
        (capitals > 1 || lexicon::flags(folded.as_bytes()) & WORD == 0)
            .then_some(begins)
            .filter(|_| !char_before(text, begins).is_some_and(char::is_alphanumeric))
    }
}

/// Words that stand behind an address rather than in it.
fn ends_street(of_word: Role) -> bool {
    of_word.is(Role::AFTER.or(Role::LABEL).or(Role::NAME_KEY).or(Role::GREETING).or(Role::SIGN_OFF))
}
