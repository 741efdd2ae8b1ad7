//! In: number words in a row, French or English. Out: the digits they dictate.

use std::ops::Range;

use super::{Layer, Places, Word};

/// Fewest words in a row, and fewest digits they come to.
const MIN_WORDS: usize = 5;
const MIN_DIGITS: usize = 9;
/// Most bytes between two of them.
const MAX_GAP: usize = 4;
/// Most words in a row; longer rows are read in parts.
const MAX_WORDS: usize = 64;

/// What a word stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// One digit.
    Digit(u8),
    /// Ten to nineteen.
    Teen(u8),
    /// Twenty to ninety; a digit may follow.
    Tens(u8),
    /// It joins a digit to the tens before: `vingt et un`.
    And,
    /// The digit behind it occurs several times.
    Times(u8),
    /// The sign before a country code.
    Plus,
}

pub(super) struct Spelled<'t> {
    text: &'t str,
    places: Places,
    row: Vec<(Range<usize>, Value)>,
}

impl<'t> Spelled<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, places: Places::new(Layer::Spelled), row: Vec::new() }
    }

    pub(super) fn word(&mut self, word: &Word<'_>) {
        let Some(value) = value_of(word.bytes) else { return self.end() };
        let goes_on = word.gap.len() <= MAX_GAP && self.row.len() < MAX_WORDS;
        if !self.row.is_empty() && !goes_on {
            self.end();
        }
        if !self.row.is_empty() || value != Value::And {
            self.row.push((word.range.clone(), value));
        }
    }

    /// A row ends.
    pub(super) fn end(&mut self) {
        if self.row.is_empty() {
            return;
        }
        while self
            .row
            .last()
            .is_some_and(|(_, value)| matches!(value, Value::And | Value::Times(_) | Value::Plus))
        {
            self.row.pop();
        }
        if self.row.len() >= MIN_WORDS {
            self.read();
        }
        self.row.clear();
    }

    pub(super) fn places(mut self) -> Places {
        self.end();
        self.places
    }

    fn read(&mut self) {
        let digits = digits(&self.row, self.text.as_bytes());
        if digits.trim_start_matches('+').len() < MIN_DIGITS {
            return;
        }
        let ends = self.row.first().zip(self.row.last());
        if let Some(((first, _), (last, _))) = ends {
            self.places.push(first.start..last.end, &grouped(&digits));
        }
    }
}

/// The digits that a row of words dictates.
fn digits(row: &[(Range<usize>, Value)], bytes: &[u8]) -> String {
    let mut digits = String::new();
    let mut push = |value: u8, two: bool| {
        if two {
            digits.push(char::from(b'0' + value / 10 % 10));
        }
        digits.push(char::from(b'0' + value % 10));
    };
    let value = |at: usize| row.get(at).map(|(_, value)| *value);
    // A sign or a line between two words says that they are two numbers.
    let is_apart = |at: usize| {
        let gap = row.get(at).zip(row.get(at + 1)).and_then(|((a, _), (b, _))| bytes.get(a.end..b.start));
        gap.is_none_or(|gap| gap != b" " && gap != b"-")
    };
    let mut at = 0;
    while let Some(first) = value(at) {
        let mut used = 1;
        match first {
            Value::Digit(4)
                if value(at + 1) == Some(Value::Tens(20)) && !is_apart(at) && is_french(row, at, bytes) =>
            {
                used = 2;
                push(80 + rest(&mut used, at, &value, &is_apart, true), true);
            }
            Value::Digit(digit) => push(digit, false),
            Value::Teen(10)
                if !is_apart(at)
                    && matches!(value(at + 1), Some(Value::Digit(7..=9)))
                    && is_dix(row, at, bytes) =>
            {
                used = 2;
                let unit =
                    value(at + 1).map_or(0, |value| if let Value::Digit(unit) = value { unit } else { 0 });
                push(10 + unit, true);
            }
            Value::Teen(teen) => push(teen, true),
            Value::Tens(tens) => {
                let with_teens = tens == 60 && is_french(row, at, bytes);
                push(tens + rest(&mut used, at, &value, &is_apart, with_teens), true);
            }
            Value::Times(times) => {
                if let Some(Value::Digit(digit)) = value(at + 1) {
                    used = 2;
                    for _ in 0..times {
                        push(digit, false);
                    }
                }
            }
            Value::And | Value::Plus => {}
        }
        at += used;
    }
    if value(0) == Some(Value::Plus) {
        digits.insert(0, '+');
    }
    digits
}

/// What follows tens and belongs to them.
fn rest(
    used: &mut usize,
    at: usize,
    value: &impl Fn(usize) -> Option<Value>,
    is_apart: &impl Fn(usize) -> bool,
    with_teens: bool,
) -> u8 {
    let mut next = at + *used;
    if is_apart(next - 1) {
        return 0;
    }
    let joined = value(next) == Some(Value::And);
    if joined {
        next += 1;
    }
    let rest = match value(next) {
        Some(Value::Digit(unit @ 1..=9)) if !joined || unit == 1 => unit,
        Some(Value::Teen(10)) if with_teens && !is_apart(next) => match value(next + 1) {
            Some(Value::Digit(unit @ 7..=9)) => {
                next += 1;
                10 + unit
            }
            _ => 10,
        },
        Some(Value::Teen(teen)) if with_teens => teen,
        _ => return 0,
    };
    *used = next + 1 - at;
    rest
}

fn word<'b>(row: &[(Range<usize>, Value)], at: usize, bytes: &'b [u8]) -> &'b [u8] {
    row.get(at).and_then(|(range, _)| bytes.get(range.clone())).unwrap_or_default()
}

/// Whether a word is French: `quatre` and `soixante`, which count on, rather than their English sisters.
fn is_french(row: &[(Range<usize>, Value)], at: usize, bytes: &[u8]) -> bool {
    let word = word(row, at, bytes);
    word.eq_ignore_ascii_case(b"quatre") || word.eq_ignore_ascii_case(b"soixante")
}

fn is_dix(row: &[(Range<usize>, Value)], at: usize, bytes: &[u8]) -> bool {
    word(row, at, bytes).eq_ignore_ascii_case(b"dix")
}

/// Digits in the groups that numbers of their count are written in.
fn grouped(digits: &str) -> String {
    let size = match digits.len() {
        10 if digits.starts_with('0') => 2,
        16 => 4,
        _ => return digits.to_owned(),
    };
    let mut grouped = String::with_capacity(digits.len() * 3 / 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && place % size == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

fn value_of(word: &[u8]) -> Option<Value> {
    if !(2..=9).contains(&word.len()) && word != b"o" && word != b"O" {
        return None;
    }
    let mut lower = [0; 9];
    for (to, from) in lower.iter_mut().zip(word) {
        *to = from.to_ascii_lowercase();
    }
    Some(match lower.get(..word.len())? {
        b"zero" | b"z\xc3\xa9ro" | b"z\xc3\x89ro" | b"oh" | b"o" => Value::Digit(0),
        b"un" | b"une" | b"one" => Value::Digit(1),
        b"deux" | b"two" => Value::Digit(2),
        b"trois" | b"three" => Value::Digit(3),
        b"quatre" | b"four" => Value::Digit(4),
        b"cinq" | b"five" => Value::Digit(5),
        b"six" => Value::Digit(6),
        b"sept" | b"seven" => Value::Digit(7),
        b"huit" | b"eight" => Value::Digit(8),
        b"neuf" | b"nine" => Value::Digit(9),
        b"dix" | b"ten" => Value::Teen(10),
        b"onze" | b"eleven" => Value::Teen(11),
        b"douze" | b"twelve" => Value::Teen(12),
        b"treize" | b"thirteen" => Value::Teen(13),
        b"quatorze" | b"fourteen" => Value::Teen(14),
        b"quinze" | b"fifteen" => Value::Teen(15),
        b"seize" | b"sixteen" => Value::Teen(16),
        b"seventeen" => Value::Teen(17),
        b"eighteen" => Value::Teen(18),
        b"nineteen" => Value::Teen(19),
        b"vingt" | b"vingts" | b"twenty" => Value::Tens(20),
        b"trente" | b"thirty" => Value::Tens(30),
        b"quarante" | b"forty" => Value::Tens(40),
        b"cinquante" | b"fifty" => Value::Tens(50),
        b"soixante" | b"sixty" => Value::Tens(60),
        b"septante" | b"seventy" => Value::Tens(70),
        b"huitante" | b"octante" | b"eighty" => Value::Tens(80),
        b"nonante" | b"ninety" => Value::Tens(90),
        b"et" | b"and" => Value::And,
        b"double" => Value::Times(2),
        b"triple" => Value::Times(3),
        b"plus" => Value::Plus,
        _ => return None,
    })
}
