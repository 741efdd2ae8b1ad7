//! In: windows of groups. Out: the identifier of the catalogue that each of them is, if any.
//!
//! The shapes of all identifiers are kept by their length, with masks of where letters and digits stand, so a window
//! is compared with few of them, and by two machine instructions each. What the shape admits is judged by grouping,
//! then checksum, then context. Where several identifiers fit the same symbols, the one whose context word is nearest
//! wins; without such a word, the higher score.

use super::super::{Check, Entry, Find, Identifier, Needs};
use super::Scan;
use super::checksum::{Verdict, judge};
use super::groups::{MAX_SYMBOLS, Window, is_amount, is_tied};

/// The identifiers of the catalogue, compiled.
pub(super) struct Identifiers {
    rules: Vec<Rule>,
    /// By length: those that are digits alone, and those that may hold letters.
    readings: Vec<[Vec<Reading>; 2]>,
}

/// One identifier.
struct Rule {
    /// Index of the catalogue entry.
    entry: usize,
    check: Option<Check>,
    needs: Needs,
}

/// What an identifier looks like without separators, and the groups it is written in.
#[derive(Clone)]
struct Reading {
    rule: usize,
    /// Bit by bit: where a letter must stand, and where a digit.
    letters: u32,
    digits: u32,
    /// Symbols that are given.
    literals: Vec<(usize, u8)>,
    /// How many letters are given at the front.
    prefix: usize,
    groupings: Vec<Grouping>,
}

/// Lengths of groups and what joins them; a space stands for any separator, the same throughout.
#[derive(Clone)]
struct Grouping {
    lengths: Vec<u8>,
    separators: Vec<u8>,
}

/// How a window is grouped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grouped {
    AsDeclared,
    Unbroken,
    Otherwise,
}

/// An identifier that a window may be.
pub(super) struct Candidate {
    entry: usize,
    score: f64,
    /// It is grouped as one of its shapes, or unbroken.
    is_regular: bool,
    /// Bytes between the value and its nearest context word.
    distance: Option<usize>,
}

impl Identifiers {
    pub(super) fn new(entries: &[&Entry]) -> Self {
        let mut rules = Vec::new();
        let mut readings: Vec<[Vec<Reading>; 2]> = Vec::new();
        readings.resize_with(MAX_SYMBOLS + 1, Default::default);
        for (index, entry) in entries.iter().enumerate() {
            let Find::Identifier(Identifier { shapes, check, needs }) = &entry.find else { continue };
            for shape in shapes.iter().flat_map(|shape| expand(shape)) {
                let (reading, length) = Reading::new(rules.len(), &shape);
                let Some(of_length) = readings.get_mut(length) else { continue };
                let [digits, others] = of_length;
                let all = (1_u32 << length) - 1;
                for list in
                    [(reading.letters == 0).then_some(digits), (reading.digits != all).then_some(others)]
                {
                    let Some(list) = list else { continue };
                    match list.iter_mut().find(|other| other.is_like(&reading)) {
                        Some(other) => other.groupings.extend_from_slice(&reading.groupings),
                        None => list.push(reading.clone()),
                    }
                }
            }
            rules.push(Rule { entry: index, check: *check, needs: *needs });
        }
        Self { rules, readings }
    }
}

/// A shape with and without each of its optional spaces.
pub(super) fn expand(shape: &str) -> Vec<String> {
    match shape.split_once('~') {
        None => vec![shape.to_owned()],
        Some((before, after)) => expand(after)
            .into_iter()
            .flat_map(|after| [format!("{before}{after}"), format!("{before} {after}")])
            .collect(),
    }
}

impl Reading {
    fn new(rule: usize, shape: &str) -> (Self, usize) {
        let mut reading =
            Self { rule, letters: 0, digits: 0, literals: Vec::new(), prefix: 0, groupings: Vec::new() };
        let mut grouping = Grouping { lengths: vec![0], separators: Vec::new() };
        let mut at = 0;
        for symbol in shape.bytes() {
            match symbol {
                b' ' | b'.' | b'-' | b'/' => {
                    grouping.separators.push(symbol);
                    grouping.lengths.push(0);
                    continue;
                }
                b'#' => reading.digits |= 1 << at,
                b'@' => reading.letters |= 1 << at,
                b'*' => {}
                literal => {
                    if literal.is_ascii_digit() {
                        reading.digits |= 1 << at;
                    } else {
                        reading.letters |= 1 << at;
                    }
                    reading.literals.push((at, literal));
                }
            }
            at += 1;
            if let Some(length) = grouping.lengths.last_mut() {
                *length += 1;
            }
        }
        let prefix = reading
            .literals
            .iter()
            .zip(0..)
            .take_while(|((at, literal), place)| at == place && literal.is_ascii_uppercase());
        // One letter is part of the number: it stands for a kind or for a digit.
        reading.prefix = Some(prefix.count()).filter(|letters| *letters > 1).unwrap_or(0);
        reading.groupings.push(grouping);
        (reading, at)
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.rule, self.letters, self.digits, &self.literals)
            == (other.rule, other.letters, other.digits, &other.literals)
    }

    fn admits(&self, window: &Window, symbols: &[u8]) -> bool {
        window.letters & self.digits == 0
            && self.letters & !window.letters == 0
            && self.literals.iter().all(|(at, literal)| symbols.get(*at) == Some(literal))
    }

    fn grouped(&self, window: &Window) -> Grouped {
        if window.is_unbroken() {
            Grouped::Unbroken
        } else if self.groupings.iter().any(|grouping| grouping.is_of(window)) {
            Grouped::AsDeclared
        } else {
            Grouped::Otherwise
        }
    }
}

impl Grouping {
    fn is_of(&self, window: &Window) -> bool {
        if *self.lengths != *window.lengths() {
            return false;
        }
        let mut free = None;
        let mut at = 0;
        for ((declared, found), length) in self.separators.iter().zip(window.separators()).zip(&self.lengths)
        {
            let is_word = is_letters(window, at, usize::from(*length));
            at += usize::from(*length);
            if *declared != b' ' {
                if declared != found {
                    return false;
                }
            } else if !(is_word && *found == b' ') && *free.get_or_insert(*found) != *found {
                // Behind a prefix of letters a space may stand whatever joins the digits.
                return false;
            }
        }
        true
    }
}

fn is_letters(window: &Window, at: usize, length: usize) -> bool {
    let mask = ((1_u32 << length) - 1) << at;
    window.letters & mask == mask
}

impl Scan<'_> {
    /// Notes the identifier that a window is, if any.
    pub(super) fn identifiers(&mut self, window: &Window) {
        let scanner = self.scanner;
        let symbols = window.symbols();
        let Some([digits, others]) = scanner.identifiers.readings.get(symbols.len()) else { return };
        let readings = if window.letters == 0 { digits } else { others };
        let mut best: Option<Candidate> = None;
        for reading in readings {
            if !reading.admits(window, symbols) {
                continue;
            }
            let Some(rule) = scanner.identifiers.rules.get(reading.rule) else { continue };
            if let Some(candidate) = self.candidate(window, rule, reading)
                && best.as_ref().is_none_or(|best| candidate.beats(best))
            {
                best = Some(candidate);
            }
        }
        if let Some(best) = best {
            self.push_scored(best.entry, window.range.clone(), best.score, window.text());
        }
    }

    fn candidate(&self, window: &Window, rule: &Rule, reading: &Reading) -> Option<Candidate> {
        let verdict = rule.check.map_or(Verdict::Proven, |check| {
            judge(check, window.symbols().get(reading.prefix..).unwrap_or_default())
        });
        if verdict == Verdict::Refused {
            return None;
        }
        let entry = self.scanner.entries.get(rule.entry)?;
        let grouped = reading.grouped(window);
        let distance = self.contexts.distance(rule.entry, &window.range);
        let is_whole = window.is_all && window.has_one_separator();
        let is_believed = match distance {
            // What proves nothing may be cut out of something longer.
            Some(_) if verdict == Verdict::Unproven => window.is_all && !is_tied(self.bytes, &window.range),
            Some(_) => grouped != Grouped::Otherwise || is_whole,
            None => {
                let stands_alone = verdict == Verdict::Proven
                    && match (rule.needs, grouped) {
                        (Needs::Context, _) | (_, Grouped::Otherwise) => false,
                        (Needs::Grouping, grouped) => {
                            grouped == Grouped::AsDeclared && (window.is_all || window.letters != 0)
                        }
                        (Needs::Nothing, _) => true,
                    };
                let is_shared = grouped == Grouped::Unbroken && entry.score.weak.is_some();
                stands_alone
                    && !(window.has_lower && rule.check.is_none())
                    && self.is_free(window, is_shared.then_some(rule.entry))
            }
        };
        if !is_believed {
            return None;
        }
        let score = &entry.score;
        let mut best = match grouped {
            Grouped::AsDeclared => score.base,
            Grouped::Unbroken | Grouped::Otherwise => score.weak.unwrap_or(score.base),
        };
        if verdict == Verdict::Proven {
            best = best.max(score.verified);
        }
        if distance.is_some() {
            best = best.max(score.context);
        }
        let is_regular = grouped != Grouped::Otherwise;
        (best > 0.0).then_some(Candidate { entry: rule.entry, score: best, is_regular, distance })
    }

    /// Whether nothing around a window says that it is something else, or part of it; `shared` is the entry when other
    /// numbers share its form.
    fn is_free(&self, window: &Window, shared: Option<usize>) -> bool {
        let is_part = window.has_twin || is_tied(self.bytes, &window.range);
        let is_sum = window.letters == 0 && is_amount(self.bytes, &window.range);
        let is_labelled = shared.is_some_and(|entry| {
            self.contexts.is_labelled(&window.range)
                || self.contexts.has_other_column(entry, window.range.start)
        });
        !is_part && !is_sum && !is_labelled
    }
}

impl Candidate {
    /// Whether this one is rather meant than another: by the nearer word, then the usual groups, then the score.
    fn beats(&self, other: &Self) -> bool {
        let far = usize::MAX;
        match self.distance.unwrap_or(far).cmp(&other.distance.unwrap_or(far)) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => (self.is_regular, self.score) > (other.is_regular, other.score),
        }
    }
}
