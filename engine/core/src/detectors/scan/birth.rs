//! In: a word of birth. Out: the date that belongs to it.
//!
//! A date alone is anybody's; behind "né le", "geboren am" or the name of a column it is a date of birth. The first
//! date in the same sentence counts, in figures or with the name of the month in one of eight languages.

use std::ops::Range;

use super::groups::Word;
use super::{Form, Scan, Structure, byte_at, byte_before, check};

/// How far behind its word a date is looked for, in bytes.
const REACH: usize = 56;
/// How far before it: the longest date and a space.
const BEFORE: usize = 24;
/// Years that living people and their parents are born in.
const YEARS: std::ops::RangeInclusive<u32> = 1880..=2035;

/// Names of months in eight languages, each with what it is cut to; a word in the text may have a dot behind it.
const MONTHS: [&[&str]; 12] = [
    &[
        "janvier", "janv", "january", "jan", "januar", "jänner", "enero", "ene", "gennaio", "gen", "januari",
        "janeiro", "stycznia", "styczeń", "sty",
    ],
    &[
        "février",
        "fevrier",
        "févr",
        "fév",
        "february",
        "feb",
        "februar",
        "febrero",
        "febbraio",
        "februari",
        "fevereiro",
        "fev",
        "lutego",
        "luty",
        "lut",
    ],
    &["mars", "march", "mar", "märz", "mrz", "maart", "mrt", "marzo", "março", "marco", "marca", "marzec"],
    &["avril", "avr", "april", "apr", "abril", "abr", "aprile", "kwietnia", "kwiecień", "kwi"],
    &["mai", "may", "mayo", "maggio", "mag", "mei", "maio", "maja", "maj"],
    &["juin", "june", "jun", "juni", "junio", "giugno", "giu", "junho", "czerwca", "czerwiec", "cze"],
    &["juillet", "juil", "july", "jul", "juli", "julio", "luglio", "lug", "julho", "lipca", "lipiec", "lip"],
    &["août", "aout", "august", "aug", "agosto", "ago", "augustus", "sierpnia", "sierpień", "sie"],
    &[
        "septembre",
        "sept",
        "september",
        "sep",
        "septiembre",
        "settembre",
        "set",
        "setembro",
        "września",
        "wrzesień",
        "wrz",
    ],
    &[
        "octobre",
        "oct",
        "october",
        "oktober",
        "okt",
        "octubre",
        "ottobre",
        "ott",
        "outubro",
        "out",
        "października",
        "październik",
        "paź",
    ],
    &["novembre", "nov", "november", "noviembre", "novembro", "listopada", "listopad", "lis"],
    &[
        "décembre",
        "decembre",
        "déc",
        "december",
        "dec",
        "dezember",
        "dez",
        "diciembre",
        "dic",
        "dicembre",
        "dezembro",
        "grudnia",
        "grudzień",
        "gru",
    ],
];

/// A date that was read: year, month, day, and where it ends.
struct Date {
    year: u32,
    month: u32,
    day: u32,
    end: usize,
}

impl Scan<'_> {
    /// The dates that belong to words of birth.
    pub(super) fn births(&mut self) {
        let Some(&entry) = self.scanner.structures.get(&Structure::DateOfBirth) else { return };
        let mut dates: Vec<(Range<usize>, Date)> = self
            .contexts
            .of(entry)
            .filter_map(|word| self.date_behind(&word).or_else(|| self.date_before(&word)))
            .chain(
                self.contexts
                    .cells_of(entry)
                    .into_iter()
                    .filter_map(|at| self.date(at).map(|date| (at..date.end, date))),
            )
            .collect();
        dates.sort_by_key(|(range, _)| range.start);
        let mut done = 0;
        for (range, date) in dates {
            if range.start < done {
                continue;
            }
            done = range.end;
            let value = format!("{:04}-{:02}-{:02}", date.year, date.month, date.day);
            self.found(Structure::DateOfBirth, range, Form::Telling, value);
        }
    }

    fn date_behind(&self, word: &Range<usize>) -> Option<(Range<usize>, Date)> {
        let mut at = word.end;
        let until = (word.end + REACH).min(self.bytes.len());
        let mut lines = 0;
        while at < until {
            let byte = byte_at(self.bytes, at);
            if !byte.is_ascii_alphanumeric() {
                // Right behind its word a sign is that of a table or an abbreviation.
                let ends_sentence = at > word.end + 1
                    && (matches!(byte, b';' | b'!' | b'?')
                        || (byte == b'.' && byte_at(self.bytes, at + 1) == b' '));
                lines += usize::from(byte == b'\n');
                if ends_sentence || lines > 1 {
                    return None;
                }
                at += 1;
                continue;
            }
            if let Some(date) = self.date(at) {
                return Some((at..date.end, date));
            }
            let end = Word::at(self.bytes, at).end;
            // Another number that is no part of a name of a place.
            if byte.is_ascii_digit() && end - at > 5 {
                return None;
            }
            at = end;
        }
        None
    }

    /// «am 12.3.1984 geboren»
    fn date_before(&self, word: &Range<usize>) -> Option<(Range<usize>, Date)> {
        (word.start.saturating_sub(BEFORE)..word.start)
            .filter(|at| {
                byte_at(self.bytes, *at).is_ascii_digit() && !is_date_part(byte_before(self.bytes, *at))
            })
            .find_map(|at| {
                let date = self.date(at)?;
                let gap = self.bytes.get(date.end..word.start)?;
                (gap.len() <= 2 && gap.iter().all(|byte| matches!(byte, b' ' | b'(' | b',')))
                    .then_some((at..date.end, date))
            })
    }

    /// The date from a place at which a word starts.
    fn date(&self, at: usize) -> Option<Date> {
        let date = if byte_at(self.bytes, at).is_ascii_digit() {
            self.date_in_figures(at).or_else(|| self.date_with_name(at))
        } else {
            self.date_from_name(at)
        }?;
        let is_date =
            YEARS.contains(&date.year) && (1..=12).contains(&date.month) && (1..=31).contains(&date.day);
        let next = byte_at(self.bytes, date.end);
        let goes_on = next.is_ascii_digit() || (check::is_word(next) && next != b'T');
        (is_date && !goes_on).then_some(date)
    }

    /// `12/03/1984`, `12.3.84`, `1984-03-12`, `12. 3. 1984`, `19840312`, `12031984`.
    fn date_in_figures(&self, at: usize) -> Option<Date> {
        let (first, length, end) = self.figures(at)?;
        if length == 8 {
            let (year, rest) = (first / 10_000, first % 10_000);
            let starts_with_year = YEARS.contains(&year);
            let (year, month, day) = if starts_with_year {
                (year, rest / 100, rest % 100)
            } else {
                (first % 10_000, first / 10_000 % 100, first / 1_000_000)
            };
            return Some(Date { year, month, day, end });
        }
        let separator = byte_at(self.bytes, end);
        if !matches!(separator, b'/' | b'.' | b'-' | b' ') {
            return None;
        }
        let (second, second_length, second_end) = self.figures(self.behind(end, separator)?)?;
        let (third, third_length, end) = self.figures(self.behind(second_end, separator)?)?;
        match (length, second_length, third_length) {
            (4, 1..=2, 1..=2) => Some(Date { year: first, month: second, day: third, end }),
            (1..=2, 1..=2, 2 | 4) => {
                let year = match (third_length, third) {
                    (4, year) => year,
                    (_, year @ 0..=35) => 2000 + year,
                    (_, year) => 1900 + year,
                };
                // The month comes first where it cannot be the day.
                let (day, month) = if second > 12 { (second, first) } else { (first, second) };
                Some(Date { year, month, day, end })
            }
            _ => None,
        }
    }

    /// Where the next figures start behind a separator, which a space may follow.
    fn behind(&self, at: usize, separator: u8) -> Option<usize> {
        if byte_at(self.bytes, at) != separator {
            return None;
        }
        Some(at + 1 + usize::from(separator != b' ' && byte_at(self.bytes, at + 1) == b' '))
    }

    /// `12 mars 1984`, `1er mars 1984`, `12. März 1984`, `12 de marzo de 1984`, `12th of March, 1984`.
    fn date_with_name(&self, at: usize) -> Option<Date> {
        let (day, length, end) = self.figures(at)?;
        if length > 2 {
            return None;
        }
        let mut place = end;
        for ordinal in ["er", "st", "nd", "rd", "th", ".", "º", "°", "o", "e"] {
            if self.starts_with(place, ordinal) {
                place += ordinal.len();
                break;
            }
        }
        place = self.skip(place, &[" ", "-", "/", "de ", "of ", "d'"]);
        let (month, end) = self.month(place)?;
        let place = self.skip(end, &[".", ",", " ", "-", "/", "de ", "del ", "of "]);
        let (year, length, end) = self.figures(place)?;
        (length == 4).then_some(Date { year, month, day, end })
    }

    /// `March 12, 1984`.
    fn date_from_name(&self, at: usize) -> Option<Date> {
        let (month, end) = self.month(at)?;
        let (day, length, end) = self.figures(self.skip(end, &[".", " "]))?;
        if length > 2 {
            return None;
        }
        let place = self.skip(end, &["st", "nd", "rd", "th", ",", " "]);
        let (year, length, end) = self.figures(place)?;
        (length == 4).then_some(Date { year, month, day, end })
    }

    /// The number from a place, how many figures it has and where it ends.
    fn figures(&self, at: usize) -> Option<(u32, usize, usize)> {
        let digits = self.bytes.get(at..)?.iter().take(9).take_while(|byte| byte.is_ascii_digit());
        let (number, length) = digits
            .fold((0_u32, 0), |(number, length), byte| (number * 10 + u32::from(byte - b'0'), length + 1));
        matches!(length, 1 | 2 | 4 | 8).then_some((number, length, at + length))
    }

    /// The month whose name stands at a place, and where it ends.
    fn month(&self, at: usize) -> Option<(u32, usize)> {
        let rest = self.text.get(at..)?;
        let length =
            rest.char_indices().take(16).find(|(_, c)| !c.is_alphabetic()).map_or(rest.len(), |(end, _)| end);
        let word = rest.get(..length).filter(|word| (3..=16).contains(&word.len()))?.to_lowercase();
        let month = MONTHS.iter().position(|names| names.contains(&word.as_str()))?;
        Some((month as u32 + 1, at + length))
    }

    fn starts_with(&self, at: usize, word: &str) -> bool {
        self.bytes.get(at..at + word.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Skips a few words, each at most twice.
    fn skip(&self, mut at: usize, words: &[&str]) -> usize {
        for _ in 0..4 {
            match words.iter().find(|word| self.starts_with(at, word)) {
                Some(word) => at += word.len(),
                None => break,
            }
        }
        at
    }
}

/// Whether a byte before a date makes it part of a longer one.
fn is_date_part(byte: u8) -> bool {
    check::is_word(byte) || matches!(byte, b'/' | b'.' | b'-')
}
