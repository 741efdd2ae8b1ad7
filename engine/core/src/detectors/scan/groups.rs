//! In: a word with a digit in it. Out: what the chain of groups around it holds.
//!
//! A chain is words of letters and digits joined by one space, `.`, `-` or `/` (or two spaces): `FR76 3000 6000`,
//! `1 84 12 76`, `AB-123-CD`. Short words in capitals belong to it when they stand between or beside words with
//! digits. Every run of whole groups with few enough symbols is one window, and a window is looked up by its length
//! and the places of its letters. A group costs at most [`MAX_GROUPS`] windows, each of bounded length.

use std::net::Ipv4Addr;
use std::ops::Range;

use super::{Form, Scan, Structure, byte_at, byte_before, check};

/// Symbols of the longest window.
pub(super) const MAX_SYMBOLS: usize = 24;
/// Groups of the longest window: a number written digit by digit.
pub(super) const MAX_GROUPS: usize = 20;
/// Longest word without a digit that belongs to a chain.
const MAX_LETTERS: usize = 5;

/// A word of ASCII letters and digits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Word {
    pub(super) start: usize,
    pub(super) end: usize,
    has_digit: bool,
    has_letter: bool,
    has_lower: bool,
}

impl Word {
    /// The word from a place; empty where none starts.
    pub(super) fn at(bytes: &[u8], start: usize) -> Self {
        let mut word = Self { start, end: start, ..Self::default() };
        for byte in bytes.get(start..).unwrap_or_default() {
            match byte {
                b'0'..=b'9' => word.has_digit = true,
                b'A'..=b'Z' => word.has_letter = true,
                b'a'..=b'z' => (word.has_letter, word.has_lower) = (true, true),
                _ => break,
            }
            word.end += 1;
        }
        word
    }

    pub(super) fn has_digit(self) -> bool {
        self.has_digit
    }

    fn len(self) -> usize {
        self.end - self.start
    }

    pub(super) fn is_digits(self) -> bool {
        self.has_digit && !self.has_letter
    }
}

/// A word of a chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) word: Word,
    /// What joins it to the group before; 0 for the first.
    pub(super) separator: u8,
}

/// A run of whole groups.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) range: Range<usize>,
    symbols: [u8; MAX_SYMBOLS],
    length: usize,
    /// Bit by bit: which symbols are letters.
    pub(super) letters: u32,
    pub(super) has_lower: bool,
    lengths: [u8; MAX_GROUPS],
    separators: [u8; MAX_GROUPS],
    groups: usize,
    /// A group of as many digits stands next to it, so it may be cut out of a longer number.
    pub(super) has_twin: bool,
    /// No other group of the chain has a digit.
    pub(super) is_all: bool,
}

impl Window {
    fn new(start: usize) -> Self {
        Self {
            range: start..start,
            symbols: [0; MAX_SYMBOLS],
            length: 0,
            letters: 0,
            has_lower: false,
            lengths: [0; MAX_GROUPS],
            separators: [0; MAX_GROUPS],
            groups: 0,
            has_twin: false,
            is_all: false,
        }
    }

    /// Adds a group, unless the window would grow too long.
    fn push(&mut self, bytes: &[u8], group: &Group) -> bool {
        let word = bytes.get(group.word.start..group.word.end).unwrap_or_default();
        let (Some(places), Some(length), Some(separator)) = (
            self.symbols.get_mut(self.length..self.length + word.len()),
            self.lengths.get_mut(self.groups),
            self.separators.get_mut(self.groups),
        ) else {
            return false;
        };
        for (place, byte) in places.iter_mut().zip(word) {
            *place = byte.to_ascii_uppercase();
        }
        if group.word.has_letter {
            for (place, byte) in word.iter().enumerate() {
                self.letters |= u32::from(byte.is_ascii_alphabetic()) << (self.length + place);
            }
        }
        *length = word.len() as u8;
        *separator = group.separator;
        self.length += word.len();
        self.groups += 1;
        self.has_lower |= group.word.has_lower;
        self.range.end = group.word.end;
        true
    }

    /// Digits and letters, in upper case.
    pub(super) fn symbols(&self) -> &[u8] {
        self.symbols.get(..self.length).unwrap_or_default()
    }

    pub(super) fn lengths(&self) -> &[u8] {
        self.lengths.get(..self.groups).unwrap_or_default()
    }

    /// What stands between two groups.
    pub(super) fn separators(&self) -> &[u8] {
        self.separators.get(1..self.groups).unwrap_or_default()
    }

    pub(super) fn has_one_separator(&self) -> bool {
        let separators = self.separators();
        separators.iter().all(|separator| Some(separator) == separators.first())
    }

    pub(super) fn is_unbroken(&self) -> bool {
        self.groups == 1
    }

    pub(super) fn text(&self) -> String {
        self.symbols().iter().map(|symbol| char::from(*symbol)).collect()
    }
}

/// Words without digits that stood right before the current place.
#[derive(Default)]
pub(super) struct Lead {
    words: [Option<Word>; 2],
}

impl Lead {
    pub(super) fn push(&mut self, word: Word) {
        let [first, second] = &mut self.words;
        *first = second.take();
        *second = Some(word);
    }

    pub(super) fn clear(&mut self) {
        self.words = [None, None];
    }
}

impl Scan<'_> {
    /// Reads the chain around a word with a digit; answers where it ends.
    pub(super) fn chain(&mut self, word: Word, lead: &Lead) -> usize {
        if byte_at(self.bytes, word.end) == b'_' {
            // Glued to more, so it is part of something else.
            return word_end(self.bytes, word.end);
        }
        let mut groups = std::mem::take(&mut self.groups);
        groups.clear();
        self.lead(&mut groups, lead, word);
        let end = self.follow(&mut groups, word);
        let digits = groups.iter().filter(|group| group.word.has_digit).count();
        let mut bank_end = 0;
        for first in 0..groups.len() {
            let Some(rest) = groups.get(first..) else { break };
            let Some(group) = rest.first() else { break };
            if group.word.start < bank_end {
                continue;
            }
            if let Some(end) = self.account(rest) {
                bank_end = end;
                continue;
            }
            if group.word.len() > MAX_SYMBOLS {
                self.crypto(group.word.start..group.word.end);
                continue;
            }
            if group.word.is_digits() {
                self.ip_v4(rest);
                self.position_from(rest);
            }
            if is_joined(group.separator) {
                continue;
            }
            let before = first.checked_sub(1).and_then(|at| groups.get(at));
            self.windows(before, rest, digits);
        }
        self.phones(&groups);
        self.groups = groups;
        end
    }

    /// Short words right before the first one with a digit.
    fn lead(&self, groups: &mut Vec<Group>, lead: &Lead, word: Word) {
        let mut next = word;
        let mut found = [None, None];
        for (place, word) in found.iter_mut().zip(lead.words.iter().rev().flatten()) {
            let separator = byte_at(self.bytes, word.end);
            let is_part = word.end + 1 == next.start
                && matches!(separator, b' ' | b'.' | b'-' | b'/')
                && word.len() <= MAX_LETTERS
                && (!word.has_lower || separator == b'-');
            if !is_part {
                break;
            }
            *place = Some((*word, separator));
            next = *word;
        }
        let mut joint = 0;
        for (word, separator) in found.into_iter().rev().flatten() {
            groups.push(Group { word, separator: joint });
            joint = separator;
        }
        groups.push(Group { word, separator: joint });
    }

    /// The groups behind the first one; answers where the last with a digit ends.
    fn follow(&self, groups: &mut Vec<Group>, word: Word) -> usize {
        let mut last = word;
        let mut end = word.end;
        let mut kept = groups.len();
        loop {
            let width = match (byte_at(self.bytes, last.end), byte_at(self.bytes, last.end + 1)) {
                (b' ', b' ') => 2,
                (b' ' | b'.' | b'-' | b'/', _) => 1,
                _ => break,
            };
            let separator = byte_at(self.bytes, last.end);
            let next = Word::at(self.bytes, last.end + width);
            let is_glued = byte_at(self.bytes, next.end) == b'_';
            if next.len() == 0 || is_glued {
                break;
            }
            if !next.has_digit {
                let is_third = groups.len() >= kept + 2;
                if next.len() > MAX_LETTERS || is_third || (next.has_lower && separator != b'-') {
                    break;
                }
            }
            groups.push(Group { word: next, separator });
            last = next;
            if next.has_digit {
                end = next.end;
                kept = groups.len();
            }
        }
        end
    }

    /// All windows from the first of the groups.
    fn windows(&mut self, before: Option<&Group>, rest: &[Group], digits: usize) {
        let Some(first) = rest.first() else { return };
        let mut window = Window::new(first.word.start);
        let mut inside = 0;
        for (place, group) in rest.iter().enumerate() {
            if !window.push(self.bytes, group) {
                break;
            }
            inside += usize::from(group.word.has_digit);
            let after = rest.get(place + 1);
            if inside == 0 || after.is_some_and(|after| is_joined(after.separator)) {
                continue;
            }
            let twin = |inner: &Group, outer: Option<&Group>| {
                outer.is_some_and(|outer| {
                    inner.word.is_digits() && outer.word.has_digit && inner.word.len() == outer.word.len()
                })
            };
            window.has_twin = twin(first, before) || twin(group, after);
            window.is_all = inside == digits;
            self.identifiers(&window);
            if window.letters == 0 && window.length >= 12 {
                self.card(&window);
            }
        }
    }

    /// ISO/IEC 7812-1: an issuer's range, its lengths, the Luhn formula.
    fn card(&mut self, window: &Window) {
        if !is_issued(window.symbols()) || !check::luhn(window.symbols()) {
            return;
        }
        let usual: [&[u8]; 6] =
            [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3], &[4, 4, 4, 4, 2], &[4, 4, 4, 4, 1]];
        let is_usual = window.has_one_separator()
            && (usual.contains(&window.lengths()) || window.lengths().iter().all(|length| *length == 1));
        let has_context = self.has_context(Structure::Card, &window.range);
        let is_unbroken = window.is_unbroken();
        // Thirteen digits are as many as a European article number has, more than sixteen are any large number, and cards
        // of these lengths are rare.
        let needs_context = window.has_twin
            || !(14..=16).contains(&window.symbols().len())
            || !(is_usual || is_unbroken)
            || is_tied(self.bytes, &window.range)
            || (is_unbroken && self.contexts.is_labelled(&window.range));
        if needs_context && !has_context {
            return;
        }
        let form = if is_unbroken { Form::Weak } else { Form::Telling };
        self.found(Structure::Card, window.range.clone(), form, window.text());
    }

    /// A position whose first number the groups start with.
    fn position_from(&mut self, groups: &[Group]) {
        let Some(first) = groups.first().map(|group| group.word).filter(|word| word.len() <= 3) else {
            return;
        };
        let is_fraction =
            |group: &Group| group.separator == b'.' && group.word.is_digits() && group.word.len() >= 4;
        if groups.get(1).is_some_and(is_fraction) {
            self.position(first.start);
        } else if self.bytes.get(first.end..).is_some_and(|rest| rest.starts_with("°".as_bytes())) {
            self.position_in_degrees(first.start);
        }
    }

    /// Four decimal octets (RFC 6943, section 3.1.1, the strict form), from the first group.
    fn ip_v4(&mut self, groups: &[Group]) {
        let [first, octets @ ..] = groups else { return };
        let Some(octets) = octets.get(..3) else { return };
        let is_octet = |group: &Group| group.word.is_digits() && group.word.len() <= 3;
        if !is_octet(first) || !octets.iter().all(|group| group.separator == b'.' && is_octet(group)) {
            return;
        }
        let start = first.word.start;
        let end = octets.last().map_or(start, |group| group.word.end);
        let goes_on = byte_before(self.bytes, start) == b'.'
            || (byte_at(self.bytes, end) == b'.' && byte_at(self.bytes, end + 1).is_ascii_digit());
        if goes_on || is_version(self.bytes, start) {
            return;
        }
        // The parser refuses leading zeros and octets beyond 255.
        let Ok(address) = self.slice(&(start..end)).parse::<Ipv4Addr>() else { return };
        let is_special = address.is_unspecified() || address.is_loopback() || address.is_broadcast();
        let form = if is_special { Form::Weak } else { Form::Telling };
        self.found(Structure::Ip, start..end, form, address.to_string());
    }
}

/// Whether a separator ties two groups to one token.
pub(super) fn is_joined(separator: u8) -> bool {
    separator != b' ' && separator != 0
}

fn word_end(bytes: &[u8], mut at: usize) -> usize {
    while check::is_word(byte_at(bytes, at)) {
        at += 1;
    }
    at
}

/// Whether punctuation ties a range to more characters of the same token: a part number, a path, a decimal.
pub(super) fn is_tied(bytes: &[u8], range: &Range<usize>) -> bool {
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
pub(super) fn is_amount(bytes: &[u8], range: &Range<usize>) -> bool {
    let rest = bytes.get(range.end..).unwrap_or_default();
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let before = bytes.get(..range.start).unwrap_or_default();
    let before = before.strip_suffix(b" ").unwrap_or(before);
    let units: [&[u8]; 22] = [
        "€".as_bytes(),
        b"EUR",
        b"euro",
        b"$",
        "£".as_bytes(),
        b"USD",
        b"GBP",
        b"CHF",
        "zł".as_bytes(),
        b"PLN",
        b"%",
        b"k\xe2\x82\xac",
        b"unit",
        b"unid",
        b"pcs",
        "pièces".as_bytes(),
        "Stück".as_bytes(),
        b"stuks",
        b"sztuk",
        b"ms",
        b"kg",
        b"km",
    ];
    let signs: [&[u8]; 7] = ["€".as_bytes(), b"EUR", b"$", "£".as_bytes(), b"USD", b"GBP", b"CHF"];
    units.iter().any(|unit| rest.starts_with(unit)) || signs.iter().any(|sign| before.ends_with(sign))
}

/// Whether a dotted number is the version or the section of something: behind such a word, or a product token (RFC 9110,
/// section 10.1.5).
fn is_version(bytes: &[u8], start: usize) -> bool {
    if byte_before(bytes, start) == b'/'
        && start.checked_sub(2).is_some_and(|at| check::is_word(byte_at(bytes, at)))
    {
        return true;
    }
    let before = bytes.get(start.saturating_sub(20)..start).unwrap_or_default();
    let is_mark = |byte: &u8| byte.is_ascii_whitespace() || b":=-_`'\"(".contains(byte);
    let end = before.iter().rposition(|byte| !is_mark(byte)).map_or(0, |last| last + 1);
    let before = before.get(..end).unwrap_or_default();
    let word = before.rsplit(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    let words: [&[u8]; 18] = [
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
        b"section",
        b"sections",
        b"chapter",
        b"chapitre",
        b"clause",
        b"article",
        b"appendix",
        b"kernel",
    ];
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Whether an issuer has numbers of this range and length.
///
/// Source: the ranges the networks publish, as collected in <https://en.wikipedia.org/wiki/Payment_card_number>.
fn is_issued(digits: &[u8]) -> bool {
    let prefix = digits.get(..4).map_or(0, |prefix| {
        prefix.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit.wrapping_sub(b'0')))
    });
    let length = digits.len();
    match (prefix / 1000, prefix / 100, prefix / 10, prefix) {
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
