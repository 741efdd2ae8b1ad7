//! In: a decimal fraction, or a degree sign. Out: a position on the Earth (ISO 6709).
//!
//! Two decimal fractions of at least four places with a comma between them that can be latitude and longitude are a
//! position: four places are eleven metres, which no other pair of numbers is usually written with. In a longer row of
//! numbers, such as a drawing, or without the comma, they need a word. One alone counts behind its name.

use std::ops::Range;

use super::{Form, Scan, Structure, byte_at, byte_before, check};

/// Fewest decimal places, eleven metres of latitude.
const PLACES: usize = 4;

/// A number of degrees and where it ends.
struct Angle {
    degrees: f64,
    end: usize,
}

impl Scan<'_> {
    /// A position from the decimal fraction at a place.
    pub(super) fn position(&mut self, at: usize) {
        if at < self.position_end {
            return;
        }
        let signed = match byte_before(self.bytes, at) {
            b'-' | b'+' if !check::is_word(byte_before(self.bytes, at - 1)) => at - 1,
            byte if check::is_word(byte) || matches!(byte, b'.' | b'-') => return,
            _ => at,
        };
        let Some(first) = self.fraction(signed) else { return };
        let first_end = self.hemisphere(first.end);
        let second = self.gap(first_end).and_then(|at| Some((at, self.fraction(at)?)));
        let (range, form) = match second {
            Some((from, second)) if first.degrees.abs() <= 90.0 && second.degrees.abs() <= 180.0 => {
                let range = signed..self.hemisphere(second.end);
                let is_pair = self.slice(&(first_end..from)).contains([',', ';']) && !self.is_in_row(&range);
                if !is_pair && !self.has_context(Structure::Gps, &range) {
                    self.position_end = range.end;
                    return;
                }
                (range, Form::Telling)
            }
            // In JSON and tables the two stand apart, each behind its name.
            _ if first.degrees.abs() <= 180.0 && self.is_named(&(signed..first.end)) => {
                (signed..first.end, Form::Weak)
            }
            _ => return,
        };
        self.position_end = range.end;
        let value = self.slice(&range).to_owned();
        self.found(Structure::Gps, range, form, value);
    }

    /// `48°51'24.5"N 2°21'07"E` from the number before the degree sign.
    pub(super) fn position_in_degrees(&mut self, at: usize) {
        if at < self.position_end {
            return;
        }
        let Some(first) = self.sexagesimal(at) else { return };
        let second = self.gap(first.end).and_then(|at| self.sexagesimal(at));
        let Some(second) = second.filter(|second| first.degrees <= 90.0 && second.degrees <= 180.0) else {
            return;
        };
        let range = at..second.end;
        self.position_end = range.end;
        let value = self.slice(&range).to_owned();
        self.found(Structure::Gps, range, Form::Telling, value);
    }

    /// Whether more numbers stand before or behind.
    fn is_in_row(&self, range: &Range<usize>) -> bool {
        let is_gap = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let before =
            self.bytes.get(..range.start).unwrap_or_default().iter().rev().take(4).find(|byte| !is_gap(byte));
        let behind =
            self.bytes.get(range.end..).unwrap_or_default().iter().take(4).find(|byte| !is_gap(byte));
        before.is_some_and(u8::is_ascii_digit)
            || behind.is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+'))
    }

    fn is_named(&self, range: &Range<usize>) -> bool {
        self.scanner
            .structures
            .get(&Structure::Gps)
            .and_then(|entry| self.contexts.distance(*entry, range))
            .is_some_and(|distance| distance <= 6)
    }

    fn fraction(&self, at: usize) -> Option<Angle> {
        let mut end = at + usize::from(matches!(byte_at(self.bytes, at), b'-' | b'+'));
        let whole = self.digits_at(end);
        end += whole;
        if !(1..=3).contains(&whole) || byte_at(self.bytes, end) != b'.' {
            return None;
        }
        let places = self.digits_at(end + 1);
        end += 1 + places;
        if !(PLACES..=15).contains(&places) || check::is_word(byte_at(self.bytes, end)) {
            return None;
        }
        let degrees = self.slice(&(at..end)).parse().ok()?;
        Some(Angle { degrees, end })
    }

    /// Behind a degree sign and the letter of a hemisphere (`O` for west in French), if they follow.
    fn hemisphere(&self, at: usize) -> usize {
        let mut end = at;
        if self.starts(end, "°") {
            end += "°".len();
        }
        let letter = end + usize::from(byte_at(self.bytes, end) == b' ');
        let is_letter = matches!(byte_at(self.bytes, letter), b'N' | b'S' | b'E' | b'W' | b'O')
            && !check::is_word(byte_at(self.bytes, letter + 1));
        if is_letter { letter + 1 } else { end }
    }

    /// Behind what stands between two angles.
    fn gap(&self, at: usize) -> Option<usize> {
        let length = self
            .bytes
            .get(at..)?
            .iter()
            .take(4)
            .take_while(|byte| matches!(byte, b' ' | b',' | b';' | b'/'))
            .count();
        (1..=3).contains(&length).then_some(at + length)
    }

    fn sexagesimal(&self, at: usize) -> Option<Angle> {
        let mut end = at;
        let mut degrees = 0.0;
        for (unit, marks) in
            [(1.0, &["°"][..]), (60.0, &["'", "′", "’"][..]), (3600.0, &["\"", "″", "''", "′′", "”"][..])]
        {
            let from = end + usize::from(unit > 1.0 && byte_at(self.bytes, end) == b' ');
            let mut stop = from + self.digits_at(from);
            if stop == from {
                break;
            }
            if byte_at(self.bytes, stop) == b'.' {
                stop += 1 + self.digits_at(stop + 1);
            }
            let Some(mark) = marks.iter().find(|mark| self.starts(stop, mark)) else { break };
            let value: f64 = self.slice(&(from..stop)).parse().ok()?;
            if unit > 1.0 && value >= 60.0 {
                return None;
            }
            degrees += value / unit;
            end = stop + mark.len();
        }
        // The degrees alone may be those of a temperature.
        let letter = self.hemisphere(end);
        (end > at && letter > end).then_some(Angle { degrees, end: letter })
    }

    fn starts(&self, at: usize, word: &str) -> bool {
        self.bytes.get(at..).is_some_and(|rest| rest.starts_with(word.as_bytes()))
    }
}
