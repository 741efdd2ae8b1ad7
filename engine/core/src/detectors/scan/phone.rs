//! In: what may be a telephone number. Out: it is one, when the numbering plan of a country says so.
//!
//! Behind `+` or `00` the number names its country (ITU-T E.123, E.164). A national form does not, so it is read as
//! one of several European countries: without a word that announces it only when it starts with the trunk prefix 0
//! and is grouped as its country groups it; otherwise near such a word.

use std::ops::Range;

use super::super::Find;
use super::groups::{Group, is_amount, is_joined, is_tied};
use super::plan::{is_international, is_national};
use super::{Form, Scan, Structure, byte_at, byte_before, check};

/// Most digits of a number with its country code (ITU-T E.164), and room for a prefix of two.
const MAX_DIGITS: usize = 17;

/// Countries whose national numbers start with a trunk zero (or keep the zero, as Italy), and the groups that they
/// are written in, the zero included.
///
/// Source: the national plans (ARCEP, Ofcom, Bundesnetzagentur, ACM, BIPT, BAKOM, RTR, ComReg, AGCOM) and the layouts
/// of ITU-T E.123 and DIN 5008.
const TRUNK_ZERO: &[(u16, &[&[u8]])] = &[
    (33, &[&[10], &[2, 2, 2, 2, 2], &[4, 2, 2, 2], &[4, 3, 3], &[1, 3, 3, 3], &[4, 6]]),
    (44, &[&[11], &[5, 6], &[5, 3, 3], &[3, 4, 4], &[4, 3, 4], &[4, 7], &[3, 8], &[5, 5]]),
    (
        49,
        &[
            &[3, 6],
            &[3, 7],
            &[3, 8],
            &[4, 5],
            &[4, 6],
            &[4, 7],
            &[4, 8],
            &[5, 5],
            &[5, 6],
            &[5, 7],
            &[3, 4, 4],
            &[4, 3, 4],
            &[4, 4, 4],
            &[4, 3, 2, 2],
            &[3, 2, 2, 2],
            &[3, 3, 2, 2],
            &[4, 2, 2, 2],
            &[3, 2, 2, 2, 2],
            &[4, 2, 2, 2, 2],
        ],
    ),
    (31, &[&[10], &[2, 8], &[3, 7], &[4, 6], &[2, 4, 4], &[3, 3, 4], &[3, 3, 2, 2], &[4, 2, 2, 2]]),
    (32, &[&[4, 2, 2, 2], &[3, 2, 2, 2], &[2, 3, 2, 2], &[4, 6], &[4, 3, 3], &[2, 7], &[3, 6]]),
    (41, &[&[10], &[3, 3, 2, 2], &[3, 7]]),
    (43, &[&[4, 6], &[4, 7], &[4, 8], &[2, 7], &[4, 3, 4], &[4, 3, 3], &[4, 2, 2, 2], &[4, 3, 2, 2]]),
    (353, &[&[10], &[3, 7], &[3, 3, 4], &[2, 7], &[2, 3, 4]]),
    (39, &[&[2, 7], &[2, 8], &[3, 6], &[3, 7], &[4, 6], &[2, 4, 4], &[2, 3, 4], &[3, 3, 4], &[4, 3, 3]]),
];
/// Countries whose numbers start with anything else, so they need a word that announces them.
const NO_TRUNK: &[u16] = &[34, 351, 48, 39, 30, 45, 47, 352, 420, 421, 356, 357, 370, 371, 372];
/// Those of [`TRUNK_ZERO`] with another trunk prefix, or that are rarely seen: near a word, too.
const OTHER_ZERO: &[u16] = &[46, 358, 385, 386, 40, 359];

/// A stretch of digits that may be a number.
struct Digits {
    symbols: [u8; MAX_DIGITS],
    length: usize,
}

impl Digits {
    fn new() -> Self {
        Self { symbols: [0; MAX_DIGITS], length: 0 }
    }

    fn push(&mut self, digits: &[u8]) -> bool {
        let Some(places) = self.symbols.get_mut(self.length..self.length + digits.len()) else {
            return false;
        };
        places.copy_from_slice(digits);
        self.length += digits.len();
        true
    }

    fn first(&self, count: usize) -> &[u8] {
        self.symbols.get(..count).unwrap_or_default()
    }
}

impl Scan<'_> {
    /// Numbers in a chain of groups, in their national form or behind 00.
    pub(super) fn phones(&mut self, groups: &[Group]) {
        let mut first = 0;
        while let Some(group) = groups.get(first) {
            let rest = groups.get(first..).unwrap_or_default();
            let is_start = !is_joined(group.separator)
                && byte_at(self.bytes, group.word.start).is_ascii_digit()
                && group.word.start >= self.phone_end;
            first += if is_start {
                self.phone_from(first.checked_sub(1).and_then(|at| groups.get(at)), rest)
            } else {
                1
            };
        }
    }

    /// The longest number from the first group; answers how many groups to go on by.
    fn phone_from(&mut self, before: Option<&Group>, groups: &[Group]) -> usize {
        let Some(first) = groups.first() else { return 1 };
        let start = first.word.start;
        let has_zero = byte_at(self.bytes, start) == b'0';
        let mut digits = Digits::new();
        let mut ends = [(0, 0); MAX_DIGITS];
        let mut count = 0;
        for group in groups {
            let word = self.bytes.get(group.word.start..group.word.end).unwrap_or_default();
            if !word.iter().all(u8::is_ascii_digit) || !digits.push(word) {
                break;
            }
            if let Some(place) = ends.get_mut(count) {
                *place = (group.word.end, digits.length);
            }
            count += 1;
        }
        // Nothing shorter than eight digits is told from a quantity.
        if digits.length < 8 || (!has_zero && !self.has_context(Structure::Phone, &(start..start + 1))) {
            return 1;
        }
        for (place, (end, length)) in ends.iter().take(count).enumerate().rev() {
            let after = groups.get(place + 1);
            if *length < 8 || after.is_some_and(|after| is_joined(after.separator)) {
                continue;
            }
            let Some(read) = groups.get(..=place) else { continue };
            let range = start..*end;
            if let Some((form, value)) = self.national(before, read, after, digits.first(*length), &range) {
                self.phone_end = *end;
                self.found(Structure::Phone, range, form, value);
                return place + 1;
            }
        }
        1
    }

    /// What a run of groups is as a telephone number.
    fn national(
        &self,
        before: Option<&Group>,
        groups: &[Group],
        after: Option<&Group>,
        digits: &[u8],
        range: &Range<usize>,
    ) -> Option<(Form, String)> {
        let is_unbroken = groups.len() == 1;
        let form = if is_unbroken { Form::Weak } else { Form::Telling };
        let twin = |inner: Option<&Group>, outer: Option<&Group>| {
            inner.zip(outer).is_some_and(|(inner, outer)| {
                self.is_number(outer)
                    && inner.word.end - inner.word.start == outer.word.end - outer.word.start
            })
        };
        // A part of something else stays one, whatever word stands near.
        if twin(groups.first(), before)
            || twin(groups.last(), after)
            || is_amount(self.bytes, range)
            || is_date(groups)
            || (is_unbroken && is_left_half(self.bytes, range.end))
            || matches!(byte_before(self.bytes, range.start), b'#' | b'@')
        {
            return None;
        }
        // Three groups and more are no number of an order; behind a word of letters and digits they are of a parcel.
        let is_cut = before.is_some_and(|before| !before.word.is_digits() && before.word.has_digit());
        let is_labelled = groups.len() < 3 && self.contexts.is_labelled(range);
        let is_free = !is_cut && !is_labelled && !is_tied(self.bytes, range);
        let has_context = || self.has_context(Structure::Phone, range);
        // A checksum and a word of its own say more than the word for a telephone.
        let is_other = self.found.iter().rev().take(8).any(|found| {
            found.range == *range
                && matches!(found.entry.find, Find::Identifier(_))
                && found.score >= found.entry.score.context
        });
        if let Some(number) = digits.strip_prefix(b"00") {
            // A decimal fraction has its zeros in two groups.
            let is_prefix = self.bytes.get(range.start..).is_some_and(|text| text.starts_with(b"00"));
            let is_number =
                is_prefix && number.len() >= 9 && has_one_separator(groups) && is_international(number);
            return (is_number && (is_free || has_context())).then(|| (form, international(number)));
        }
        if digits.windows(2).all(|pair| matches!(pair, [first, second] if first + 1 == *second)) {
            return None;
        }
        if let Some(rest) = digits.strip_prefix(b"0") {
            let lengths = || groups.iter().map(|group| group.word.end - group.word.start);
            let is_usual = TRUNK_ZERO.iter().any(|(code, groupings)| {
                groupings
                    .iter()
                    .any(|grouping| lengths().eq(grouping.iter().map(|length| usize::from(*length))))
                    && is_of(*code, digits, rest)
            }) && has_one_separator(groups);
            if is_usual && is_free || !is_other && has_context() && is_of_any(digits, rest) {
                let value = if rest.len() == 9 && is_national(33, rest) {
                    format!("+33{}", text(rest))
                } else {
                    text(digits)
                };
                return Some((form, value));
            }
            return None;
        }
        // Without the plus, the country code is a group of its own.
        let has_code = groups.first().is_some_and(|first| first.word.end - first.word.start <= 3);
        let is_number = NO_TRUNK.iter().any(|code| is_national(*code, digits))
            || ((has_code || is_unbroken) && (10..=12).contains(&digits.len()) && is_international(digits));
        (is_number && !is_other && has_context()).then(|| (form, text(digits)))
    }

    fn is_number(&self, group: &Group) -> bool {
        byte_at(self.bytes, group.word.start).is_ascii_digit()
    }

    /// A number from the `+` at `at` (ITU-T E.123).
    pub(super) fn international_phone(&mut self, at: usize) {
        let before = byte_before(self.bytes, at);
        if check::is_word(before) || before == b'+' || !byte_at(self.bytes, at + 1).is_ascii_digit() {
            return;
        }
        // `(+33) 6 …` starts with its bracket.
        let start = if before == b'(' { at - 1 } else { at };
        self.dialled(start, at + 1, is_international, |digits| format!("+{}", text(digits)));
    }

    /// A national number from the bracket at `at`: `(030) 901820`.
    pub(super) fn bracketed_phone(&mut self, at: usize) {
        if byte_at(self.bytes, at + 1) != b'0' || check::is_word(byte_before(self.bytes, at)) {
            return;
        }
        let is_number = |digits: &[u8]| {
            digits.strip_prefix(b"0").is_some_and(|rest| digits.len() >= 8 && is_of_any(digits, rest))
        };
        self.dialled(at, at + 1, is_number, text);
    }

    /// The longest stretch of digits, separators and brackets from `from` that is a number.
    fn dialled(
        &mut self,
        start: usize,
        from: usize,
        is_number: impl Fn(&[u8]) -> bool,
        value: impl Fn(&[u8]) -> String,
    ) {
        let mut digits = Digits::new();
        let mut ends = [(0, 0); MAX_DIGITS];
        let mut count = 0;
        let mut open = usize::from(start < from && byte_at(self.bytes, start) == b'(');
        let mut at = from;
        while at < from + 48 {
            let (byte, next) = (byte_at(self.bytes, at), byte_at(self.bytes, at + 1));
            let is_trunk_zero =
                byte == b'0' && byte_before(self.bytes, at) == b'(' && next == b')' && at > from;
            if byte.is_ascii_digit() {
                // The zero of `+33 (0)6 …` is dialled inside the country only.
                if !is_trunk_zero && !digits.push(&[byte]) {
                    break;
                }
                if !next.is_ascii_digit() && !check::is_word(next) && open == 0 {
                    if let Some(place) = ends.get_mut(count) {
                        *place = (at + 1, digits.length);
                    }
                    count += 1;
                }
            } else {
                let goes_on = match byte {
                    b' ' => matches!(next, b'0'..=b'9' | b'(' | b'-' | b'/'),
                    b'.' | b'-' | b'/' => matches!(next, b'0'..=b'9' | b' ' | b'('),
                    b'(' => next.is_ascii_digit() && open == 0,
                    b')' => open == 1 && matches!(next, b'0'..=b'9' | b' ' | b'.' | b'-' | b'/'),
                    _ => false,
                };
                if !goes_on {
                    break;
                }
                match byte {
                    b'(' => open = 1,
                    b')' => open = 0,
                    _ => {}
                }
            }
            at += 1;
        }
        for (end, length) in ends.iter().take(count).rev() {
            let all = digits.first(*length);
            if *length >= 7 && is_number(all) {
                let value = value(all);
                self.phone_end = *end;
                self.found(Structure::Phone, start..*end, Form::Telling, value);
                return;
            }
        }
        // Some write the trunk zero behind the country code without its brackets.
        for (end, length) in ends.iter().take(count).rev() {
            let mut without = Digits::new();
            let all = digits.first(*length);
            let Some(zero) = (2..=3).find(|at| all.get(*at) == Some(&b'0')) else { continue };
            let (Some(code), Some(rest)) = (all.get(..zero), all.get(zero + 1..)) else { continue };
            if *length >= 9
                && without.push(code)
                && without.push(rest)
                && is_number(without.first(length - 1))
            {
                let value = value(without.first(length - 1));
                self.phone_end = *end;
                self.found(Structure::Phone, start..*end, Form::Telling, value);
                return;
            }
        }
    }
}

/// Whether a number is one of a country of [`TRUNK_ZERO`]; Italy keeps the zero.
fn is_of(code: u16, digits: &[u8], rest: &[u8]) -> bool {
    is_national(code, if code == 39 { digits } else { rest })
}

fn is_of_any(digits: &[u8], rest: &[u8]) -> bool {
    TRUNK_ZERO.iter().any(|(code, _)| is_of(*code, digits, rest))
        || OTHER_ZERO.iter().any(|code| is_national(*code, rest))
}

/// Whether groups are a date in figures: nothing else has two groups of two digits and a year.
fn is_date(groups: &[Group]) -> bool {
    let [first, second, third] = groups else { return false };
    let length = |group: &Group| group.word.end - group.word.start;
    second.separator == third.separator
        && is_joined(second.separator)
        && matches!((length(first), length(second), length(third)), (1..=2, 1..=2, 4) | (4, 1..=2, 1..=2))
}

/// Whether a colon joins what ends here to letters or digits: an account and its key, not a number.
fn is_left_half(bytes: &[u8], end: usize) -> bool {
    byte_at(bytes, end) == b':' && check::is_word(byte_at(bytes, end + 1))
}

/// Whether all groups are joined alike, but for the area code at the front.
fn has_one_separator(groups: &[Group]) -> bool {
    let mut separators = groups.iter().skip(if groups.len() == 3 || groups.len() == 4 { 2 } else { 1 });
    let Some(first) = separators.next() else { return true };
    separators.all(|group| group.separator == first.separator)
}

fn international(number: &[u8]) -> String {
    format!("+{}", text(number))
}

fn text(digits: &[u8]) -> String {
    digits.iter().map(|digit| char::from(*digit)).collect()
}
