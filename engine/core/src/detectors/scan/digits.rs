//! In: a chain of groups of digits. Out: the numbers that its checksums and its grouping admit.
//!
//! A chain is groups of digits joined by one space, `.`, `-` or `/` (or two spaces). Every run of whole groups
//! with few enough digits is one window, and each structure says whether it reads the window as one of its own.
//! A chain costs at most [`MAX_DIGITS`] windows for each group, each of bounded length.

use std::net::Ipv4Addr;
use std::ops::Range;

use super::{Form, Scan, Structure, byte_at, byte_before, check};

/// Digits of the longest number read here: a payment card (ISO/IEC 7812-1).
const MAX_DIGITS: usize = 19;

/// One group of digits; with `2A` or `2B` in it when it may be part of a Corsican NIR.
struct Group {
    range: Range<usize>,
    /// What joins it to the group before; 0 for the first.
    separator: u8,
    has_letter: bool,
}

/// A run of whole groups.
struct Window<'c> {
    groups: &'c [Group],
    range: Range<usize>,
    /// The digits (and the letter of Corsica, in upper case).
    symbols: Vec<u8>,
    has_letter: bool,
    /// Something that is not a space ties it to more of the same token.
    is_tied: bool,
    /// A group of the same length stands next to it, so it may be cut out of a longer number.
    has_twin: bool,
    /// The whole chain.
    is_all: bool,
}

impl Window<'_> {
    fn lengths(&self) -> impl Iterator<Item = usize> {
        self.groups.iter().map(|group| group.range.len())
    }

    fn is_grouped_as(&self, lengths: &[usize]) -> bool {
        self.lengths().eq(lengths.iter().copied())
    }

    fn has_one_separator(&self) -> bool {
        let mut separators = self.groups.iter().skip(1).map(|group| group.separator);
        let first = separators.next();
        separators.all(|separator| Some(separator) == first)
    }

    fn text(&self) -> String {
        self.symbols.iter().map(|symbol| char::from(*symbol)).collect()
    }
}

impl Scan<'_> {
    /// Reads the chain whose first digit is at `at`; answers where it ends.
    pub(super) fn digits(&mut self, at: usize) -> usize {
        let (chain, end) = chain(self.bytes, at);
        for first in 0..chain.len() {
            let mut symbols = Vec::with_capacity(MAX_DIGITS);
            let mut has_letter = false;
            for last in first..chain.len() {
                let (Some(groups), Some(group)) = (chain.get(first..=last), chain.get(last)) else { break };
                symbols.extend(self.bytes.get(group.range.clone()).unwrap_or_default());
                if symbols.len() > MAX_DIGITS {
                    break;
                }
                has_letter |= group.has_letter;
                let before = groups.first();
                let after = chain.get(last + 1);
                let range = before.map_or(0, |group| group.range.start)..group.range.end;
                let joined = |separator: u8| separator != b' ' && separator != 0;
                let twin = |inner: Option<&Group>, outer: Option<&Group>| match (inner, outer) {
                    (Some(inner), Some(outer)) => inner.range.len() == outer.range.len(),
                    _ => false,
                };
                let left_joined = before.is_some_and(|group| joined(group.separator));
                let right_joined = after.is_some_and(|group| joined(group.separator));
                let window = Window {
                    groups,
                    symbols: symbols.to_ascii_uppercase(),
                    has_letter,
                    is_tied: left_joined || right_joined || is_tied(self.bytes, &range),
                    has_twin: twin(before, first.checked_sub(1).and_then(|at| chain.get(at)))
                        || twin(Some(group), after),
                    is_all: first == 0 && after.is_none(),
                    range,
                };
                self.window(&window, left_joined, right_joined);
            }
        }
        end
    }

    fn window(&mut self, window: &Window<'_>, left_joined: bool, right_joined: bool) {
        match (window.symbols.len(), window.has_letter) {
            (13 | 15, _) if !left_joined && !right_joined => self.nir(window),
            _ => {}
        }
        if window.has_letter {
            return;
        }
        if window.groups.len() == 4 {
            self.ip_v4(window);
        }
        if left_joined || right_joined {
            return;
        }
        match window.symbols.len() {
            9 => self.siren(window),
            10 => self.national_phone(window),
            14 => self.siret(window),
            _ => {}
        }
        match window.symbols.len() {
            11..=15 if window.symbols.starts_with(b"00") => self.prefixed_phone(window),
            12..=19 => self.card(window),
            _ => {}
        }
    }

    /// ISO/IEC 7812-1: an issuer's range, its lengths, the Luhn formula.
    fn card(&mut self, window: &Window<'_>) {
        if !is_issued(&window.symbols) || !check::luhn(&window.symbols) {
            return;
        }
        let usual: [&[usize]; 6] =
            [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3], &[4, 4, 4, 4, 2], &[4, 4, 4, 4, 1]];
        let is_usual = window.has_one_separator()
            && (usual.iter().any(|lengths| window.is_grouped_as(lengths))
                || window.lengths().all(|length| length == 1));
        let has_context = self.has_context(Structure::Card, &window.range);
        let is_unbroken = window.groups.len() == 1;
        // Thirteen digits are as many as a European article number has, and cards of that length are rare.
        let needs_context =
            window.is_tied || window.has_twin || window.symbols.len() < 14 || !(is_usual || is_unbroken);
        if needs_context && !has_context {
            return;
        }
        let form = if is_unbroken { Form::Weak } else { Form::Telling };
        self.found(Structure::Card, window.range.clone(), form, window.text());
    }

    /// INSEE: sex, year, month, place, order, and the key that completes them to a multiple of 97.
    fn nir(&mut self, window: &Window<'_>) {
        let Some(body) = nir_body(&window.symbols) else { return };
        let key = window.symbols.get(13..).unwrap_or_default();
        let form = if key.is_empty() {
            Form::Weak
        } else if check::remainder(key, 1000) == 97 - check::remainder(&body, 97) {
            Form::Telling
        } else {
            return;
        };
        // More digits behind it are a wrong key, or another number altogether.
        if key.is_empty() && (window.is_tied || !window.is_all) {
            return;
        }
        self.found(Structure::Nir, window.range.clone(), form, window.text());
    }

    /// INSEE: nine digits under the Luhn formula.
    fn siren(&mut self, window: &Window<'_>) {
        if window.symbols.iter().all(|digit| *digit == b'0') || !check::luhn(&window.symbols) {
            return;
        }
        let is_grouped = window.is_grouped_as(&[3, 3, 3]) && window.has_one_separator();
        let has_context = self.has_context(Structure::Siren, &window.range);
        let stands_alone = window.is_all && !window.is_tied && !is_amount(self.bytes, &window.range);
        if has_context || (is_grouped && stands_alone) {
            let form = if is_grouped { Form::Telling } else { Form::Weak };
            self.found(Structure::Siren, window.range.clone(), form, window.text());
        }
    }

    /// INSEE: a SIREN and five digits under the Luhn formula; La Poste has a rule of its own.
    fn siret(&mut self, window: &Window<'_>) {
        let Some((siren, _)) = window.symbols.split_at_checked(9) else { return };
        let is_la_poste = siren == b"356000000" && check::digit_sum(&window.symbols).is_multiple_of(5);
        let is_luhn = check::luhn(&window.symbols) && check::luhn(siren) && siren != b"000000000";
        if !is_luhn && !is_la_poste {
            return;
        }
        let has_context = self.has_context(Structure::Siret, &window.range);
        let is_grouped = window.is_grouped_as(&[3, 3, 3, 5]) || window.is_grouped_as(&[9, 5]);
        let stands_alone = !window.is_tied && !window.has_twin && !is_amount(self.bytes, &window.range);
        if has_context || (stands_alone && (is_grouped || window.groups.len() == 1)) {
            let form = if is_grouped { Form::Telling } else { Form::Weak };
            self.found(Structure::Siret, window.range.clone(), form, window.text());
        }
    }

    /// Ten digits from 0, as ARCEP's numbering plan writes them.
    fn national_phone(&mut self, window: &Window<'_>) {
        if !window.symbols.starts_with(b"0") || window.symbols.starts_with(b"00") {
            return;
        }
        let usual: [&[usize]; 6] =
            [&[10], &[2, 2, 2, 2, 2], &[4, 2, 2, 2], &[4, 3, 3], &[1, 3, 3, 3], &[4, 6]];
        let is_usual =
            usual.iter().any(|lengths| window.is_grouped_as(lengths)) && window.has_one_separator();
        let is_out_of_place = window.is_tied || window.has_twin || is_amount(self.bytes, &window.range);
        if (!is_usual || is_out_of_place) && !self.has_context(Structure::Phone, &window.range) {
            return;
        }
        let form = if window.groups.len() == 1 { Form::Weak } else { Form::Telling };
        self.phone(window.range.clone(), &window.text(), form);
    }

    /// A number behind the international prefix 00 (ITU-T E.123).
    fn prefixed_phone(&mut self, window: &Window<'_>) {
        if window.is_tied && !self.has_context(Structure::Phone, &window.range) {
            return;
        }
        let Some(number) = window.text().get(2..).map(|number| format!("+{number}")) else { return };
        let form = if window.groups.len() == 1 { Form::Weak } else { Form::Telling };
        self.phone(window.range.clone(), &number, form);
    }

    /// Four decimal octets (RFC 6943, section 3.1.1, the strict form).
    fn ip_v4(&mut self, window: &Window<'_>) {
        let dotted = window.groups.iter().skip(1).all(|group| group.separator == b'.');
        let Window { range, .. } = window;
        let goes_on = byte_before(self.bytes, range.start) == b'.'
            || (byte_at(self.bytes, range.end) == b'.'
                && byte_at(self.bytes, range.end + 1).is_ascii_digit());
        if !dotted
            || goes_on
            || window.lengths().any(|length| length > 3)
            || is_version(self.bytes, range.start)
        {
            return;
        }
        // The parser refuses leading zeros and octets beyond 255.
        let Ok(address) = self.slice(range).parse::<Ipv4Addr>() else { return };
        let is_special = address.is_unspecified() || address.is_loopback() || address.is_broadcast();
        let form = if is_special { Form::Weak } else { Form::Telling };
        self.found(Structure::Ip, range.clone(), form, address.to_string());
    }
}

/// The chain of groups from `at`, and where the next one may start.
fn chain(bytes: &[u8], mut at: usize) -> (Vec<Group>, usize) {
    let mut chain: Vec<Group> = Vec::new();
    let mut separator = 0;
    loop {
        let (end, has_letter) = group(bytes, at);
        if check::is_word(byte_at(bytes, end)) {
            // Glued to letters, so it is part of something else.
            return (chain, word_end(bytes, end));
        }
        chain.push(Group { range: at..end, separator, has_letter });
        let width = match (byte_at(bytes, end), byte_at(bytes, end + 1)) {
            (b' ', b' ') => 2,
            (b' ' | b'.' | b'-' | b'/', _) => 1,
            _ => return (chain, end),
        };
        if !byte_at(bytes, end + width).is_ascii_digit() {
            return (chain, end);
        }
        separator = byte_at(bytes, end);
        at = end + width;
    }
}

/// The end of the group from `at`, and whether it holds the letter of Corsica.
fn group(bytes: &[u8], at: usize) -> (usize, bool) {
    let mut end = at;
    let mut has_letter = false;
    loop {
        let byte = byte_at(bytes, end);
        let is_corsica = matches!(byte, b'A' | b'B' | b'a' | b'b')
            && !has_letter
            && byte_before(bytes, end) == b'2'
            && matches!(byte_at(bytes, end + 1), b'0'..=b'9' | b' ' | b'.' | b'-');
        if is_corsica {
            has_letter = true;
        } else if !byte.is_ascii_digit() {
            return (end, has_letter);
        }
        end += 1;
    }
}

fn word_end(bytes: &[u8], mut at: usize) -> usize {
    while check::is_word(byte_at(bytes, at)) {
        at += 1;
    }
    at
}

/// Whether punctuation ties a range to more characters of the same token: a part number, a path, a decimal.
fn is_tied(bytes: &[u8], range: &Range<usize>) -> bool {
    let before = byte_before(bytes, range.start);
    let second = range.start.checked_sub(2).map_or(0, |at| byte_at(bytes, at));
    let after = byte_at(bytes, range.end);
    let next = byte_at(bytes, range.end + 1);
    let left = match before {
        b'-' | b'/' | b'_' => check::is_word(second),
        b'.' | b',' => second.is_ascii_digit(),
        b'#' | b'+' | b'@' | b'*' => true,
        _ => false,
    };
    let right = match after {
        b'-' | b'/' | b'_' => check::is_word(next),
        b'.' | b',' => next.is_ascii_digit(),
        b'@' | b'*' => true,
        _ => false,
    };
    left || right
}

/// Whether a sign of money or a unit stands right before or behind a number.
fn is_amount(bytes: &[u8], range: &Range<usize>) -> bool {
    let rest = bytes.get(range.end..).unwrap_or_default();
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let before = bytes.get(..range.start).unwrap_or_default();
    let before = before.strip_suffix(b" ").unwrap_or(before);
    let units: [&[u8]; 8] =
        ["€".as_bytes(), b"EUR", b"euro", b"$", "£".as_bytes(), b"USD", b"%", b"k\xe2\x82\xac"];
    let signs: [&[u8]; 5] = ["€".as_bytes(), b"EUR", b"$", "£".as_bytes(), b"USD"];
    units.iter().any(|unit| rest.starts_with(unit)) || signs.iter().any(|sign| before.ends_with(sign))
}

/// Whether a dotted number is the version of something: behind such a word, or a product token (RFC 9110,
/// section 10.1.5).
fn is_version(bytes: &[u8], start: usize) -> bool {
    if byte_before(bytes, start) == b'/'
        && start.checked_sub(2).is_some_and(|at| check::is_word(byte_at(bytes, at)))
    {
        return true;
    }
    let before = bytes.get(start.saturating_sub(16)..start).unwrap_or_default();
    let before = before.trim_ascii_end();
    let before =
        before.strip_suffix(b":").or_else(|| before.strip_suffix(b"=")).unwrap_or(before).trim_ascii_end();
    let word = before.rsplit(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    let words: [&[u8]; 10] = [
        b"v",
        b"ver",
        b"version",
        b"versions",
        b"release",
        b"build",
        b"firmware",
        b"rev",
        b"revision",
        b"patch",
    ];
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Whether an issuer has numbers of this range and length.
///
/// Source: the ranges the networks publish, as collected in <https://en.wikipedia.org/wiki/Payment_card_number>.
fn is_issued(digits: &[u8]) -> bool {
    let prefix =
        |length: usize| digits.get(..length).map_or(0, |prefix| check::remainder(prefix, u64::MAX / 16));
    let length = digits.len();
    match (prefix(1), prefix(2), prefix(3), prefix(4)) {
        // Visa
        (4, ..) => matches!(length, 13 | 16 | 19),
        // Mastercard
        (_, 51..=55, ..) | (.., 2221..=2720) => length == 16,
        // American Express
        (_, 34 | 37, ..) => length == 15,
        // Diners Club
        (_, 36 | 38 | 39, ..) | (.., 300..=305, _) | (.., 3095) => (14..=19).contains(&length),
        // JCB
        (.., 3528..=3589) => (16..=19).contains(&length),
        // Discover
        (.., 6011) | (.., 644..=649, _) | (_, 65, ..) => (16..=19).contains(&length),
        // UnionPay
        (_, 62, ..) => (16..=19).contains(&length),
        // Maestro
        (.., 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761 | 6762 | 6763) => (12..=19).contains(&length),
        _ => false,
    }
}

/// The thirteen digits that the key is computed from, when sex, month, place and order are possible.
///
/// Source: INSEE, definition c1409 (numéro d'inscription au répertoire): months 01 to 12, or 20, 30 to 42 and 50
/// to 99 when the month is unknown; for the key, 2A counts as 19 and 2B as 18.
fn nir_body(symbols: &[u8]) -> Option<Vec<u8>> {
    let mut body = symbols.get(..13)?.to_vec();
    if !symbols.get(13..)?.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (place, letter) = (body.get(5).copied()?, body.get(6).copied()?);
    let corsica = match letter {
        b'A' => Some(b'9'),
        b'B' => Some(b'8'),
        _ => None,
    };
    if let Some(digit) = corsica {
        if place != b'2' {
            return None;
        }
        *body.get_mut(5)? = b'1';
        *body.get_mut(6)? = digit;
    }
    if !body.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |range: Range<usize>| body.get(range).map(|digits| check::remainder(digits, 1000));
    let is_person = matches!(body.first(), Some(b'1'..=b'4' | b'7' | b'8'));
    let is_month = matches!(number(3..5)?, 1..=12 | 20 | 30..=42 | 50..=99);
    let is_place = corsica.is_some() || (number(5..7)? != 0 && number(7..10)? != 0);
    let is_order = number(10..13)? != 0;
    (is_person && is_month && is_place && is_order).then_some(body)
}
