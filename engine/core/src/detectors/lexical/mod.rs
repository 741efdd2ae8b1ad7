//! In: text and the families asked for. Out: what the lexical detectors see in it: special categories of personal
//! data, prompts that attack, tone.
//!
//! Words rather than structures tell these, so they are found apart from identifiers: the text is read once, word by
//! word ([`words`]), and where a word stands that a [`term`] starts with, the term is tried. Only then is looked for
//! what makes it likelier, a *cue* (`elle est …`, `diagnosed with …`), and for what rules it out, an *exception*
//! (`tropique du cancer`), a few words before and behind and never beyond the sentence. So text without such words
//! costs one pass over its bytes, and hostile text a bounded amount for each word.
//!
//! Findings of one lexical detector never overlap each other: the surer one stays, then the longer. They neither hide
//! findings of other detectors nor are hidden by them, so a family that nobody asks for need not be looked for.

mod hidden;
mod link;
mod term;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::ops::{BitOr, Range};
use std::sync::LazyLock;

use super::entry::{Alone, Lexicon, Structure, Terms};
use super::scan::Found;
use super::{Entry, Find, catalogue};
use crate::Span;
use crate::text::Readings;
use term::{Lists, Term};
use words::{Vocabulary, Word, Words};

/// How many words before a term a cue or an exception may start.
const BEFORE: usize = 12;
/// How many words from its first one on a term or a cue behind it may take. Terms are shorter by their own limits.
const AHEAD: usize = 48;
/// Words that are held at a time, so that memory does not grow with the text.
const HELD: usize = 2048;

/// A set of lexical families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Families(u8);

impl Families {
    /// The family of a detector, by its id; empty when it is not a lexical one.
    pub(crate) fn of(id: &str) -> Self {
        match id.split_once('.') {
            Some(("special", _)) => Self(1),
            Some(("prompt", _)) => Self(2),
            Some(("tone", _)) => Self(4),
            _ => Self(0),
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Families {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The lexical part of the catalogue, compiled.
struct Compiled {
    entries: Vec<&'static Entry>,
    vocabulary: Vocabulary,
    terms: Vec<Looked>,
    /// By number of a word: the terms that may start with it.
    by_word: Vec<Vec<u32>>,
    /// Cues and exceptions.
    sets: Vec<Near>,
    /// `http` and `https`, in front of what may be a link, and the entry of such links.
    schemes: Vec<u32>,
    link: Option<usize>,
    hidden: Option<usize>,
}

/// A term that is looked for.
struct Looked {
    term: Term,
    entry: usize,
    family: Families,
    /// What it is worth alone.
    score: f64,
    /// The cues that raise it to the entry's `context`, and what rules it out.
    cues: Vec<usize>,
    except: Option<usize>,
}

/// Terms that are looked for near others.
#[derive(Default)]
struct Near {
    terms: Vec<Term>,
    by_word: HashMap<u32, Vec<u32>>,
    /// Those that may start with any capitalised word.
    capital: Vec<u32>,
}

static COMPILED: LazyLock<Compiled> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the catalogue is part of the binary, and the tests compile it")]
    Compiled::new(catalogue().iter().filter(|entry| !Families::of(&entry.id).is_empty()).collect())
        .expect("the terms of the catalogue compile")
});

/// What the detectors of some families see in all readings of a text that keep its words, in bytes of the primary
/// one. What a further reading adds to what stands in the primary one is left out.
pub(super) fn scan(readings: &Readings<'_>, families: Families) -> Vec<Found> {
    if families.is_empty() {
        return Vec::new();
    }
    let mut found = scan_text(readings.primary().as_str(), families);
    for reading in readings.further().filter(|reading| reading.keeps_words()) {
        for one in scan_text(reading.as_str(), families) {
            let Some(sighting) = readings.sighting(reading, one.range.clone()) else { continue };
            if one.score >= reading.least_score() {
                found.push(Found { range: sighting.range, is_undone: true, ..one });
            }
        }
    }
    settle(found)
}

/// What the detectors of some families see in one reading, by detector and place.
fn scan_text(text: &str, families: Families) -> Vec<Found> {
    let compiled = &*COMPILED;
    let words = Vec::with_capacity(HELD.min(text.len() / 4));
    let mut scan = Scan { compiled, text, families, words, links_done: 0, found: Vec::new() };
    scan.read();
    settle(scan.found)
}

/// Something seen in a text as it was sent.
#[derive(Debug)]
pub(super) struct FoundHidden {
    pub(super) entry: &'static Entry,
    /// Code points of the original.
    pub(super) span: Span,
    pub(super) score: f64,
    pub(super) value: String,
}

/// What the detectors of some families see in the text as it was sent and is gone when it is normalised.
pub(super) fn scan_hidden(original: &str, families: Families) -> Vec<FoundHidden> {
    let compiled = &*COMPILED;
    let entry = compiled.hidden.and_then(|index| compiled.entries.get(index));
    let Some(entry) = entry.filter(|entry| families.has(Families::of(&entry.id))) else { return Vec::new() };
    hidden::runs(original)
        .into_iter()
        .map(|run| FoundHidden { entry, span: run.span, score: worth(entry, run.telling), value: run.value })
        .filter(|found| found.score > 0.0)
        .collect()
}

/// What a finding is worth without a cue.
fn worth(entry: &Entry, telling: bool) -> f64 {
    if telling { entry.score.base } else { entry.score.weak.unwrap_or(entry.score.base) }
}

impl Compiled {
    fn new(entries: Vec<&'static Entry>) -> Result<Self, String> {
        let mut compiled = Self {
            vocabulary: Vocabulary::default(),
            terms: Vec::new(),
            by_word: Vec::new(),
            sets: Vec::new(),
            schemes: Vec::new(),
            link: None,
            hidden: None,
            entries: Vec::new(),
        };
        // Entries share lists of cues; equal ones are compiled once.
        let mut known: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            match &entry.find {
                Find::Lexicon(lexicon) => compiled
                    .add(index, entry, lexicon, &mut known)
                    .map_err(|why| format!("{}: {why}", entry.id))?,
                Find::Structure(Structure::DataLink) => compiled.link = Some(index),
                Find::Structure(Structure::HiddenText) => compiled.hidden = Some(index),
                _ => return Err(format!("{}: a lexical detector cannot find in this way", entry.id)),
            }
        }
        for scheme in ["http", "https"] {
            if let Some(word) = Words::new(scheme).next_raw() {
                compiled.schemes.push(compiled.vocabulary.intern(word.hash));
            }
        }
        compiled.entries = entries;
        compiled.vocabulary.freeze();
        compiled.by_word = vec![Vec::new(); compiled.vocabulary.len()];
        for (index, looked) in compiled.terms.iter().enumerate() {
            for word in looked.term.first_words().unwrap_or_default() {
                if let Some(terms) = compiled.by_word.get_mut(index_of(word)) {
                    terms.push(u32::try_from(index).unwrap_or(u32::MAX));
                    terms.dedup();
                }
            }
        }
        Ok(compiled)
    }

    fn add(
        &mut self,
        index: usize,
        entry: &'static Entry,
        lexicon: &'static Lexicon,
        known: &mut BTreeMap<Vec<&'static str>, usize>,
    ) -> Result<(), String> {
        let lists = lists_of(lexicon);
        let mut near = |sources: Vec<&'static str>, vocabulary: &mut Vocabulary, sets: &mut Vec<Near>| {
            if let Some(place) = known.get(&sources) {
                return Ok::<_, String>(*place);
            }
            sets.push(Near::new(&sources, &lists, vocabulary)?);
            known.insert(sources, sets.len() - 1);
            Ok(sets.len() - 1)
        };
        let mut cues = BTreeMap::new();
        for (name, of_name) in &lexicon.cues {
            let sources = of_name.values().flatten().map(String::as_str).collect();
            cues.insert(name.as_str(), near(sources, &mut self.vocabulary, &mut self.sets)?);
        }
        let except: Vec<_> = lexicon.except.values().flatten().map(String::as_str).collect();
        let except = match except.is_empty() {
            true => None,
            false => Some(near(except, &mut self.vocabulary, &mut self.sets)?),
        };
        for group in &lexicon.terms {
            let of_group = group
                .cues
                .iter()
                .map(|name| {
                    cues.get(name.as_str()).copied().ok_or_else(|| format!("there are no cues `{name}`"))
                })
                .collect::<Result<Vec<_>, _>>()?;
            for source in group.words.values().flatten() {
                let term = Term::parse(source, &lists, &mut self.vocabulary)?;
                if term.first_words().is_none() || term.behind || term.reach > 0 {
                    return Err(format!("term `{source}`: it must start and end with a word"));
                }
                let score = match group.alone {
                    Alone::Sure => entry.score.base,
                    Alone::Weak => worth(entry, false),
                    Alone::Nothing => 0.0,
                };
                let family = Families::of(&entry.id);
                self.terms.push(Looked { term, entry: index, family, score, cues: of_group.clone(), except });
            }
        }
        Ok(())
    }
}

/// The lists of an entry, of all languages at once.
fn lists_of(lexicon: &Lexicon) -> Lists {
    let of_all = |words: &Terms| words.values().flatten().cloned().collect();
    lexicon.lists.iter().map(|(name, words)| (name.clone(), of_all(words))).collect()
}

impl Near {
    fn new(sources: &[&str], lists: &Lists, vocabulary: &mut Vocabulary) -> Result<Self, String> {
        let mut near = Self::default();
        for source in sources {
            let term = Term::parse(source, lists, vocabulary)?;
            let index = u32::try_from(near.terms.len()).unwrap_or(u32::MAX);
            match term.first_words() {
                Some(words) => {
                    for word in words {
                        near.by_word.entry(word).or_default().push(index);
                    }
                }
                None => near.capital.push(index),
            }
            near.terms.push(term);
        }
        Ok(near)
    }

    /// The terms that may start with a word.
    fn starting<'n>(&'n self, word: &Word) -> impl Iterator<Item = &'n Term> {
        let known = self.by_word.get(&word.id).map_or(&[][..], Vec::as_slice);
        let capital = if word.is_capital() { self.capital.as_slice() } else { &[] };
        known.iter().chain(capital).filter_map(|index| self.terms.get(index_of(*index)))
    }
}

fn index_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// One text being scanned.
struct Scan<'t> {
    compiled: &'static Compiled,
    text: &'t str,
    families: Families,
    words: Vec<Word>,
    /// Byte up to which addresses were read.
    links_done: usize,
    found: Vec<Found>,
}

impl Scan<'_> {
    fn read(&mut self) {
        let mut reader = Words::new(self.text);
        let mut next = 0;
        while let Some(word) = reader.next(&self.compiled.vocabulary) {
            self.words.push(word);
            if self.words.len() >= HELD {
                self.tries(next, self.words.len() - AHEAD);
                let gone = self.words.len() - AHEAD - BEFORE;
                self.words.drain(..gone);
                next = BEFORE;
            }
        }
        self.tries(next, self.words.len());
    }

    /// Tries all terms at a range of words.
    fn tries(&mut self, from: usize, to: usize) {
        for at in from..to {
            let Some(word) = self.words.get(at) else { return };
            let Some(terms) = self.compiled.by_word.get(index_of(word.id)) else { continue };
            if self.compiled.schemes.contains(&word.id) && word.range.start >= self.links_done {
                self.link(word.range.start);
            }
            for index in terms {
                let Some(looked) = self.compiled.terms.get(index_of(*index)) else { continue };
                if self.families.has(looked.family)
                    && let Some(end) = looked.term.end(self.text, &self.words, at, self.words.len())
                {
                    self.weigh(looked, at, end);
                }
            }
        }
    }

    fn link(&mut self, at: usize) {
        let entry = self.compiled.link.and_then(|index| self.compiled.entries.get(index));
        let Some(entry) = entry.filter(|entry| self.families.has(Families::of(&entry.id))) else { return };
        let Some(range) = link::address(self.text, at) else { return };
        self.links_done = range.end;
        let Some(telling) = link::carries_data(self.text, &range) else { return };
        let score = worth(entry, telling);
        if score > 0.0 {
            let value = self.text.get(range.clone()).unwrap_or_default().to_owned();
            self.found.push(Found { entry, range, score, value, is_undone: false });
        }
    }

    /// Notes a term that stands at a range of words, when it is worth something there.
    fn weigh(&mut self, looked: &Looked, start: usize, end: usize) {
        let Some(entry) = self.compiled.entries.get(looked.entry) else { return };
        if looked.except.is_some_and(|set| self.is_exception(set, start, end)) {
            return;
        }
        let mut score = looked.score;
        if entry.score.context > score && looked.cues.iter().any(|set| self.has_cue(*set, start, end)) {
            score = entry.score.context;
        }
        let (Some(first), Some(last)) = (self.words.get(start), self.words.get(end.saturating_sub(1))) else {
            return;
        };
        if score > 0.0 {
            let range = looked.term.literal_range(first).unwrap_or(first.range.start..last.range.end);
            let value = self.text.get(range.clone()).unwrap_or_default().to_lowercase();
            self.found.push(Found { entry, range, score, value, is_undone: false });
        }
    }

    fn is_exception(&self, set: usize, start: usize, end: usize) -> bool {
        let Some(set) = self.compiled.sets.get(set) else { return false };
        (start.saturating_sub(BEFORE)..end).any(|at| {
            self.words.get(at).is_some_and(|word| {
                set.starting(word).any(|term| {
                    term.end(self.text, &self.words, at, self.words.len())
                        .is_some_and(|end| end + term.reach > start)
                })
            })
        })
    }

    fn has_cue(&self, set: usize, start: usize, end: usize) -> bool {
        let Some(set) = self.compiled.sets.get(set) else { return false };
        let one_sentence = |range: Range<usize>| {
            self.words.get(range).unwrap_or_default().iter().all(|word| !word.is_after_break())
        };
        let before = (start.saturating_sub(BEFORE)..start).rev().any(|at| {
            self.words.get(at).is_some_and(|word| {
                set.starting(word).filter(|term| !term.behind).any(|term| {
                    term.end(self.text, &self.words, at, start)
                        .is_some_and(|behind| start - behind <= term.reach && one_sentence(behind..start + 1))
                })
            })
        });
        before
            || (end..self.words.len().min(end + BEFORE)).any(|at| {
                self.words.get(at).is_some_and(|word| {
                    set.starting(word).filter(|term| term.behind && at - end <= term.reach).any(|term| {
                        one_sentence(end..at + 1)
                            && term.end(self.text, &self.words, at, self.words.len()).is_some()
                    })
                })
            })
    }
}

/// Leaves one of the findings of a detector that overlap: the surer, then the longer, then the first.
fn settle(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|a, b| {
        (&a.entry.id, a.range.start, b.range.end).cmp(&(&b.entry.id, b.range.start, a.range.end))
    });
    let mut kept: Vec<Found> = Vec::with_capacity(found.len());
    for one in found {
        match kept.last_mut() {
            Some(last) if last.entry.id == one.entry.id && one.range.start < last.range.end => {
                if one.score > last.score || (one.score >= last.score && one.range.len() > last.range.len()) {
                    *last = one;
                }
            }
            _ => kept.push(one),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with the terms of the catalogue, all at once.
    #[test]
    fn every_term_of_the_catalogue_compiles_and_no_two_words_share_a_hash() {
        let mut wrong = Vec::new();
        let mut seen: HashMap<u64, String> = HashMap::new();
        for entry in catalogue().iter() {
            let Find::Lexicon(lexicon) = &entry.find else { continue };
            let lists = lists_of(lexicon);
            let of_groups = lexicon.terms.iter().map(|group| &group.words);
            let sets = of_groups.chain(lexicon.cues.values()).chain([&lexicon.except]);
            for source in sets.flat_map(|set| set.values().flatten()) {
                if let Err(why) = Term::parse(source, &lists, &mut Vocabulary::default()) {
                    wrong.push(format!("{}: {why}", entry.id));
                }
                let mut words = Words::new(source);
                while let Some(word) = words.next_raw() {
                    let folded = words::fold(source.get(word.range.clone()).unwrap());
                    let held = seen.entry(word.hash).or_insert_with(|| folded.clone());
                    assert_eq!(*held, folded);
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        Compiled::new(catalogue().iter().filter(|entry| !Families::of(&entry.id).is_empty()).collect())
            .unwrap();
    }
}
