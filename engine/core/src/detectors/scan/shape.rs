//! In: an expression of the catalogue. Out: a small program that matches it at one place of a text.
//!
//! Most secrets are a prefix and runs of characters of a class. A general engine spends more on starting such a
//! search, and keeps more memory for it, than the search is worth: there are hundreds of expressions, each tried
//! at a few places only. What a shape cannot say (assertions, classes beyond ASCII) is left to the `regex` crate.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::byte_at;

/// Longest run of one class, in bytes; also what an open repetition is cut to.
const MAX_RUN: u32 = 4096;
/// Most copies of a group that is repeated.
const MAX_COPIES: u32 = 8;
/// Most steps of one attempt; a run counts one step for each 16 bytes. Beyond it, there is no match.
const BUDGET: usize = 2048;
/// A class with more ranges than this is a Unicode property, whose part beyond ASCII matters.
const MAX_RANGES: usize = 100;

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Set([u64; 4]);

impl Set {
    fn of(byte: u8) -> Self {
        let mut set = Self::default();
        set.add(byte);
        set
    }

    fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }

    fn join(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(word, other)| word & other != 0)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Bytes(Box<[u8]>),
    /// From `min` to `max` bytes of the set, as many as possible; `firm` when fewer could not help what follows.
    Run {
        set: Set,
        min: u32,
        max: u32,
        firm: bool,
    },
    /// First as if the first were next, then the second.
    Split(usize, usize),
    Jump(usize),
    Open,
    Close,
    Done,
}

/// An expression as a program.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    steps: Box<[Step]>,
    /// What a match can start with.
    first: Set,
}

/// Where a shape matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Matched {
    pub(super) end: usize,
    /// The group `value`, or all of it.
    pub(super) value: (usize, usize),
}

impl Shape {
    /// The program of an expression, when it is a shape.
    pub(super) fn new(expression: &Hir) -> Option<Self> {
        let mut steps = Vec::new();
        push(&mut steps, expression)?;
        steps.push(Step::Done);
        for at in 0..steps.len() {
            let mut follow = Set::default();
            // Behind the last run nothing follows, and the longest match is wanted.
            let open_end = collect_first(&steps, at + 1, &mut follow, 0);
            if let Some(Step::Run { set, firm, .. }) = steps.get_mut(at) {
                *firm = !follow.meets(set) || (open_end && follow == Set::default());
            }
        }
        let mut first = Set::default();
        let may_be_empty = collect_first(&steps, 0, &mut first, 0);
        (!may_be_empty).then_some(Self { steps: steps.into(), first })
    }

    /// Matches at `at`, the way the expression prefers first, where the match may end.
    pub(super) fn match_at(
        &self,
        bytes: &[u8],
        at: usize,
        may_end: impl Fn(&[u8], usize) -> bool,
    ) -> Option<Matched> {
        if !self.first.has(byte_at(bytes, at)) {
            return None;
        }
        let mut budget = BUDGET;
        // Where to go on when a way fails: step, position, least position of a run that can give back.
        let mut others: Vec<(usize, usize, usize, Option<usize>)> = Vec::new();
        let (mut step, mut place, mut open, mut close) = (0, at, None, None);
        loop {
            budget = budget.checked_sub(1)?;
            let went_on = match self.steps.get(step)? {
                Step::Bytes(wanted) => {
                    let matches = bytes.get(place..).is_some_and(|rest| rest.starts_with(wanted));
                    place += wanted.len();
                    matches
                }
                Step::Run { set, min, max, firm } => {
                    let rest = bytes.get(place..).unwrap_or_default();
                    let rest = rest.get(..rest.len().min(*max as usize)).unwrap_or_default();
                    let length = rest.iter().position(|byte| !set.has(*byte)).unwrap_or(rest.len());
                    budget = budget.checked_sub(length / 16)?;
                    let least = place + *min as usize;
                    place += length;
                    if place > least && !firm {
                        others.push((step + 1, place - 1, least, open));
                    }
                    place >= least
                }
                Step::Split(first, second) => {
                    others.push((*second, place, place, open));
                    step = *first;
                    continue;
                }
                Step::Jump(to) => {
                    step = *to;
                    continue;
                }
                Step::Open => {
                    open = Some(place);
                    true
                }
                Step::Close => {
                    close = Some(place);
                    true
                }
                Step::Done if !may_end(bytes, close.unwrap_or(place)) => false,
                Step::Done => {
                    return Some(Matched { end: place, value: open.zip(close).unwrap_or((at, place)) });
                }
            };
            if went_on {
                step += 1;
                continue;
            }
            let (next, from, least, opened) = others.pop()?;
            if from > least {
                others.push((next, from - 1, least, opened));
            }
            (step, place, open) = (next, from, opened);
        }
    }
}

fn push(steps: &mut Vec<Step>, expression: &Hir) -> Option<()> {
    match expression.kind() {
        HirKind::Empty => {}
        HirKind::Literal(literal) => steps.push(Step::Bytes(literal.0.clone())),
        HirKind::Class(class) => {
            steps.push(Step::Run { set: set_of(class)?, min: 1, max: 1, firm: false });
        }
        HirKind::Look(_) => return None,
        HirKind::Capture(group) => {
            let is_value = group.name.as_deref() == Some("value");
            if is_value {
                steps.push(Step::Open);
            }
            push(steps, &group.sub)?;
            if is_value {
                steps.push(Step::Close);
            }
        }
        HirKind::Concat(parts) => {
            for part in parts {
                push(steps, part)?;
            }
        }
        HirKind::Alternation(ways) => {
            let (last, ways) = ways.split_last()?;
            let mut ends = Vec::new();
            for way in ways {
                let split = steps.len();
                steps.push(Step::Done);
                push(steps, way)?;
                ends.push(steps.len());
                steps.push(Step::Done);
                let after = steps.len();
                *steps.get_mut(split)? = Step::Split(split + 1, after);
            }
            push(steps, last)?;
            let after = steps.len();
            for end in ends {
                *steps.get_mut(end)? = Step::Jump(after);
            }
        }
        HirKind::Repetition(repetition) => {
            if !repetition.greedy {
                return None;
            }
            let single = match repetition.sub.kind() {
                HirKind::Class(class) => Some(set_of(class)?),
                HirKind::Literal(literal) if literal.0.len() == 1 => {
                    literal.0.first().map(|byte| Set::of(*byte))
                }
                _ => None,
            };
            let max = repetition.max.unwrap_or(MAX_RUN);
            if let Some(set) = single {
                steps.push(Step::Run { set, min: repetition.min, max: max.min(MAX_RUN), firm: false });
                return (repetition.min <= MAX_RUN).then_some(());
            }
            let max = repetition.max.unwrap_or(MAX_COPIES);
            if max > MAX_COPIES {
                return None;
            }
            let mut splits = Vec::new();
            for copy in 0..max {
                if copy >= repetition.min {
                    splits.push(steps.len());
                    steps.push(Step::Done);
                }
                push(steps, &repetition.sub)?;
            }
            let after = steps.len();
            for split in splits {
                *steps.get_mut(split)? = Step::Split(split + 1, after);
            }
        }
    }
    Some(())
}

/// The bytes of a class. What lies beyond ASCII in a class of few ranges has been folded by the normalisation
/// (digits of other scripts, kinds of spaces, the Kelvin sign).
fn set_of(class: &Class) -> Option<Set> {
    let mut set = Set::default();
    let mut add = |first: u32, last: u32| {
        for byte in first..=last.min(0x7f) {
            set.add(u8::try_from(byte).unwrap_or(0));
        }
    };
    match class {
        Class::Unicode(class) => {
            let ranges = class.ranges();
            if ranges.len() > MAX_RANGES || ranges.last().is_some_and(|last| last.end() == char::MAX) {
                return None;
            }
            for range in ranges {
                add(u32::from(range.start()), u32::from(range.end()));
            }
        }
        Class::Bytes(_) => return None,
    }
    (set != Set::default()).then_some(set)
}

/// Adds what can come first from a step on; answers whether that may be nothing.
fn collect_first(steps: &[Step], at: usize, first: &mut Set, depth: usize) -> bool {
    let mut at = at;
    // Steps only ever lead forwards, so this ends; the bound is for the stack.
    if depth > 64 {
        first.join(&Set([u64::MAX; 4]));
        return false;
    }
    loop {
        match steps.get(at) {
            None | Some(Step::Done) => return true,
            Some(Step::Bytes(bytes)) => {
                if let Some(byte) = bytes.first() {
                    first.add(*byte);
                }
                return false;
            }
            Some(Step::Run { set, min, .. }) => {
                first.join(set);
                if *min > 0 {
                    return false;
                }
                at += 1;
            }
            Some(Step::Split(one, other)) => {
                let left = collect_first(steps, *one, first, depth + 1);
                let right = collect_first(steps, *other, first, depth + 1);
                return left || right;
            }
            Some(Step::Jump(to)) => at = *to,
            Some(Step::Open | Step::Close) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    fn shape(expression: &str) -> Shape {
        Shape::new(&regex_syntax::parse(expression).unwrap()).unwrap()
    }

    const EXPRESSIONS: [&str; 12] = [
        "ab[0-9]{2,4}",
        "a(?:b|cd|ce)+",
        "a[ab]*b",
        "a(?P<value>[a-c]{1,3})c",
        "(?:a|ab)(?:c|bcd)?d*",
        "(?i:ab-?)c{0,2}",
        "a{2,}b?",
        "(?:ab){1,3}a",
        "[ab]+[bc]+c",
        "a(?:b[0-9]{2}|[bc]{1,2})d?",
        "(?:a-|b-){0,3}[a-c]{2}",
        "a[0-9a-c]{3,5}(?:-[a-c]{2})?",
    ];

    proptest! {
        #[test]
        fn a_shape_matches_what_the_expression_matches(text in "[abcd019-]{0,14}", which in 0..EXPRESSIONS.len()) {
            let expression = EXPRESSIONS[which];
            let expected = Regex::new(&format!(r"\A(?:{expression})")).unwrap().captures(&text).map(|found| {
                let whole = found.get(0).unwrap();
                let value = found.name("value").unwrap_or(whole);
                Matched { end: whole.end(), value: (value.start(), value.end()) }
            });
            prop_assert_eq!(shape(expression).match_at(text.as_bytes(), 0, |_, _| true), expected, "{} on {}", expression, text);
        }
    }

    #[test]
    fn what_is_no_shape_is_left_to_the_general_engine() {
        for expression in [r"\bab", r"[^a]b", r"\w+", "a.b", "(?:ab){1,40}", "a*"] {
            assert!(Shape::new(&regex_syntax::parse(expression).unwrap()).is_none(), "{expression}");
        }
    }

    #[test]
    fn another_way_is_tried_when_a_match_may_not_end() {
        let ends = |bytes: &[u8], end: usize| !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
        let found = shape("[a-z]{3}|[a-z]{5}").match_at(b"abcde", 0, ends);
        assert_eq!(found.map(|found| found.end), Some(5));
        assert_eq!(shape("[a-z]{3}|[a-z]{5}").match_at(b"abcdef", 0, ends), None);
    }

    #[test]
    fn an_attempt_that_gives_back_without_end_gives_up() {
        let text = "a".repeat(4000);
        assert_eq!(shape("[a]{1,}[a]{1,}[a]{1,}b").match_at(text.as_bytes(), 0, |_, _| true), None);
    }
}
