//! In: normalised text. Out: what the built-in detectors see in it, overlaps resolved.
//!
//! One pass of an Aho-Corasick automaton notes context words and tries the patterns whose literals it meets; one
//! pass over the words leads those with a digit, and every `+`, `(`, `@`, `:` and `°`, to the structures that may
//! start there. Each looks at a bounded window, so the whole is linear in the text.

mod address;
mod assignment;
mod bank;
mod birth;
mod check;
mod checksum;
mod context;
mod crypto;
mod groups;
mod identifier;
mod keyed;
mod lexicon;
mod names;
mod overlap;
mod pattern;
mod person;
mod phone;
mod place;
mod plan;
mod plausible;
mod postal;
mod secret;
mod shape;
mod table;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;

use super::{Category, Entry, Find, Structure, catalogue};
use crate::text::Readings;
use assignment::Assignment;
use context::{Contexts, LABELS, Speaks};
use groups::{Group, Lead, Word};
use identifier::Identifiers;
use keyed::{KeyedRule, Known};
use names::Columns;
use pattern::Rule;
pub(crate) use words::plain;

/// Something a built-in detector sees.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entry: &'static Entry,
    /// Bytes of the normalised text.
    pub(super) range: Range<usize>,
    pub(super) score: f64,
    /// The value without what its type ignores: what fingerprints are made of.
    pub(super) value: String,
    /// It was found in a further reading.
    pub(super) is_undone: bool,
}

impl Found {
    fn is_secret(&self) -> bool {
        self.entry.category == Category::Secret
    }
}

/// A mark at the start of a value that is not longer than this, in bytes, says little about whose it is.
const LEAST_MARK: usize = 3;
/// Most digits of a figure whose digits are counted.
const MOST_DIGITS: usize = 16;
/// Shortest name of a column that is made of several words, in bytes.
const LEAST_NAME: usize = 6;

/// How telling the form of a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A form that other things rarely have.
    Telling,
    /// A form that other things have as well.
    Weak,
}

/// What starts where a literal stands.
enum Use {
    /// A pattern is tried where it stands.
    Anchor(usize),
    /// A vendor's value is looked for behind a key with it.
    Name(usize),
    /// It is the name of a vendor whose values have a mark.
    Vendor,
    /// A credential or a password is looked for behind a key with it.
    Noun,
    /// A structure starts with it.
    Start(Structure),
}

/// What a literal is looked for for.
#[derive(Default)]
struct Literal {
    uses: Vec<Use>,
    /// Whom it speaks for as a context word.
    speaks: Vec<Speaks>,
}

/// The catalogue, compiled.
struct Scanner {
    values: Values,
    entries: Vec<&'static Entry>,
    rules: Vec<Rule>,
    keyed: Vec<KeyedRule>,
    structures: HashMap<Structure, usize>,
    /// Of all literals. As a DFA it takes 17 MB and as long to build as all the rest, and is no faster.
    automaton: NFA,
    start: StateID,
    /// By pattern of the automaton.
    literals: Vec<Literal>,
    identifiers: Identifiers,
}

/// What built-in detectors are needed for, apart from lexical ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Values {
    /// Nothing.
    #[default]
    None,
    /// Secrets alone, which nothing else hides: as they are found among all.
    Secrets,
    /// All.
    All,
}

impl Values {
    /// What a detector needs.
    pub(super) fn of(entry: &Entry) -> Self {
        match entry.category {
            Category::Sensitive | Category::PromptRisk | Category::Tone => Self::None,
            Category::Secret => Self::Secrets,
            Category::PersonalData | Category::Financial | Category::Organisation | Category::Network => {
                Self::All
            }
        }
    }
}

static ALL: LazyLock<Scanner> = LazyLock::new(|| Scanner::of(Values::All));
static SECRETS: LazyLock<Scanner> = LazyLock::new(|| Scanner::of(Values::Secrets));

/// What built-in detectors see in all readings, in bytes of the primary one, by start.
pub(super) fn built_in(readings: &Readings<'_>, values: Values) -> Vec<Found> {
    let scanner = match values {
        Values::None => return Vec::new(),
        Values::Secrets => &*SECRETS,
        Values::All => &*ALL,
    };
    let primary = scanner.scan(readings.primary().as_str(), Some(readings));
    let (mut undone, mut opaque) = (Vec::new(), Vec::new());
    for reading in readings.further() {
        for found in scanner.scan(reading.as_str(), None) {
            if found.score < reading.least_score()
                || (!reading.keeps_words() && is_told_by_words(found.entry))
            {
                continue;
            }
            let Some(sighting) = readings.sighting(reading, found.range.clone()) else { continue };
            let list = if sighting.is_opaque { &mut opaque } else { &mut undone };
            list.push(Found { range: sighting.range, is_undone: true, ..found });
        }
    }
    if undone.is_empty() && opaque.is_empty() {
        return primary;
    }
    overlap::join(readings, primary, undone, opaque)
}

/// Whether words rather than the form of a value tell what it is. Where layers join what stood apart, words are
/// chance.
fn is_told_by_words(entry: &Entry) -> bool {
    matches!(&*entry.kind, "PERSON" | "ADDRESS" | "DATE_OF_BIRTH")
        || matches!(
            entry.find,
            Find::Assigned(_) | Find::Structure(Structure::Credential | Structure::Password)
        )
}

impl Scanner {
    fn of(values: Values) -> Self {
        let entries = catalogue().iter().filter(|entry| {
            let needed = Values::of(entry);
            needed != Values::None && needed <= values
        });
        #[expect(
            clippy::expect_used,
            reason = "the catalogue is part of the binary, and the tests compile it"
        )]
        let scanner = Self::new(entries.collect(), values).expect("the patterns of the catalogue compile");
        scanner
    }

    fn new(entries: Vec<&'static Entry>, values: Values) -> Result<Self, Box<dyn std::error::Error>> {
        let mut rules = Vec::new();
        let mut keyed = Vec::new();
        let mut structures = HashMap::new();
        let mut literals: BTreeMap<String, Literal> = BTreeMap::new();
        if values == Values::All {
            for label in LABELS.iter().flat_map(|label| forms(label)) {
                literals.entry(label).or_default().speaks.push(Speaks::Label);
            }
        }
        for (index, entry) in entries.iter().enumerate() {
            // The words that announce a person are looked up where they stand.
            let words = entry.context.values().flatten();
            let noted = !matches!(entry.find, Find::Structure(Structure::Person));
            for word in words.filter(|_| noted).flat_map(|word| forms(word)) {
                literals.entry(word).or_default().speaks.push(Speaks::For(index));
            }
            let mut note = |literal: &str, what: Use| {
                literals.entry(literal.to_ascii_lowercase()).or_default().uses.push(what);
            };
            match &entry.find {
                Find::Structure(structure) => {
                    structures.insert(*structure, index);
                    match structure {
                        Structure::Authorization => note("authorization", Use::Start(*structure)),
                        Structure::CommandLine => {
                            for command in ["curl", "docker login", "sshpass"] {
                                note(command, Use::Start(*structure));
                            }
                        }
                        Structure::ConnectionString => note("://", Use::Start(*structure)),
                        Structure::Credential => {
                            for noun in keyed::KEPT.iter().flat_map(|noun| cases(noun)) {
                                note(&noun, Use::Noun);
                            }
                        }
                        Structure::KubernetesSecret => note("kind:", Use::Start(*structure)),
                        Structure::PrivateKey => note("-----BEGIN ", Use::Start(*structure)),
                        _ => {}
                    }
                }
                Find::Pattern(pattern) => {
                    for anchor in &pattern.anchors {
                        note(anchor, Use::Anchor(rules.len()));
                    }
                    if let Some(vendor) = keyed::vendor(entry) {
                        note(vendor, Use::Vendor);
                    }
                    rules.push(Rule::new(index, pattern)?);
                }
                Find::Identifier(_) => {}
                Find::Assigned(assigned) => {
                    for keyword in &assigned.keywords {
                        note(keyword, Use::Name(keyed.len()));
                    }
                    keyed.push(KeyedRule::new(index, assigned)?);
                }
                // Found apart, in `lexical`.
                Find::Lexicon(_) => {}
            }
        }
        let automaton = NFA::builder().ascii_case_insensitive(true).build(literals.keys())?;
        let start = automaton.start_state(Anchored::No)?;
        let literals = literals.into_values().collect();
        let identifiers = Identifiers::new(&entries);
        Ok(Self { values, entries, rules, keyed, structures, automaton, start, literals, identifiers })
    }

    /// `structure` is the text with its structure, where it is whole.
    fn scan(&'static self, text: &str, structure: Option<&Readings<'_>>) -> Vec<Found> {
        let mut scan = Scan {
            scanner: self,
            text,
            bytes: text.as_bytes(),
            contexts: Contexts::new(text, structure),
            found: Vec::new(),
            groups: Vec::new(),
            phone_end: 0,
            position_end: 0,
            assigned: None,
            kept_done: usize::MAX,
            command_done: 0,
            object_done: 0,
            columns: Columns::default(),
        };
        let mut starts = Vec::new();
        let mut state = self.start;
        for (last, &byte) in scan.bytes.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, byte);
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                for index in 0..self.automaton.match_len(state) {
                    let pattern = self.automaton.match_pattern(state, index);
                    let end = last + 1;
                    let range = end - self.automaton.pattern_len(pattern)..end;
                    if let Some(literal) = self.literals.get(pattern.as_usize()) {
                        self.literal(literal, range, &mut scan.contexts, &mut starts);
                    }
                }
            }
        }
        // Overlapping matches come by their end; skipping what was found needs them by their start.
        starts.sort_by_key(|(at, _)| *at);
        starts.dedup();
        scan.contexts.sort();
        scan.literals(&starts);
        if self.values == Values::All {
            scan.words();
            scan.births();
            scan.bank_codes();
            scan.names();
        }
        overlap::resolve(scan.found)
    }

    /// Notes a literal that stands in a text: as a context word, and as what may start there. Most literals stand
    /// inside of words: what cannot start there is not even noted.
    fn literal<'s>(
        &'s self,
        literal: &'s Literal,
        range: Range<usize>,
        contexts: &mut Contexts<'s>,
        starts: &mut Vec<(usize, Start)>,
    ) {
        let bytes = contexts.bytes();
        for of_literal in &literal.uses {
            let end = range.end;
            let start = match of_literal {
                Use::Anchor(rule)
                    if self.rules.get(*rule).is_some_and(|rule| rule.may_start_at(bytes, range.start)) =>
                {
                    Start::Rule(*rule, end)
                }
                Use::Name(rule) if keyed::is_name(bytes, &range) => Start::Name(*rule, end),
                Use::Vendor if keyed::is_name(bytes, &range) => Start::Vendor(end),
                Use::Noun if keyed::is_noun_end(bytes, &range) => Start::Noun(end),
                Use::Start(structure) => Start::Structure(*structure, end),
                Use::Anchor(_) | Use::Name(_) | Use::Vendor | Use::Noun => continue,
            };
            starts.push((range.start, start));
        }
        if !literal.speaks.is_empty() && context::is_word(bytes, &range) {
            contexts.push(range, &literal.speaks);
        }
    }
}

/// What starts where a literal stands, with where the literal ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Rule(usize, usize),
    Name(usize, usize),
    Vendor(usize),
    Noun(usize),
    Structure(Structure, usize),
}

/// One text being scanned.
struct Scan<'t> {
    scanner: &'static Scanner,
    text: &'t str,
    bytes: &'t [u8],
    contexts: Contexts<'t>,
    found: Vec<Found>,
    /// The chain being read; kept for its memory.
    groups: Vec<Group>,
    /// Where the last telephone number ends.
    phone_end: usize,
    /// Where the last position on the Earth ends.
    position_end: usize,
    /// The last word of a key that was read, and what is assigned to it.
    assigned: Option<(Range<usize>, Option<Assignment>)>,
    /// Where the value starts that was last judged as a credential or a password.
    kept_done: usize,
    /// Where the last command that was read for credentials ends.
    command_done: usize,
    /// Where the last Kubernetes object that was read ends.
    object_done: usize,
    /// The columns of the table that the text is.
    columns: Columns,
}

impl Scan<'_> {
    fn literals(&mut self, starts: &[(usize, Start)]) {
        let scanner = self.scanner;
        // A rule goes on behind what it matched last, whether it was accepted or not.
        let mut done = vec![0; scanner.rules.len()];
        let mut key_done = 0;
        let mut known = Known::default();
        for &(at, start) in starts {
            match start {
                Start::Rule(index, end) => {
                    let (Some(rule), Some(done)) = (scanner.rules.get(index), done.get_mut(index)) else {
                        continue;
                    };
                    if end - at > LEAST_MARK {
                        known.unmet.push(at);
                    }
                    if at < *done {
                        continue;
                    }
                    let Some(matched) = rule.try_at(self.text, at) else { continue };
                    *done = matched.end;
                    if let Some((range, form, verified)) = matched.value {
                        let value = self.slice(&range).to_owned();
                        known.found.push(range.start);
                        self.push(rule.entry, range, form, verified, value);
                    }
                }
                Start::Name(index, end) => {
                    if let Some(rule) = scanner.keyed.get(index) {
                        self.keyed(rule, &(at..end), &mut known);
                    }
                }
                Start::Vendor(end) => self.marked(&(at..end), &mut known),
                Start::Structure(Structure::Authorization, end) => self.authorization(&(at..end)),
                Start::Structure(Structure::CommandLine, _) => self.command_line(at),
                Start::Structure(Structure::ConnectionString, _) => self.connection_string(at),
                Start::Structure(Structure::KubernetesSecret, _) => self.kubernetes_secret(at),
                Start::Structure(Structure::PrivateKey, _) if at >= key_done => {
                    key_done = self.private_key(at).unwrap_or(at);
                }
                Start::Structure(..) | Start::Noun(_) => {}
            }
        }
        known.found.sort_unstable();
        known.unmet.sort_unstable();
        for &(at, start) in starts {
            if let Start::Noun(end) = start {
                self.kept(&(at..end), &known);
            }
        }
    }

    /// Reads the words with digits, and what other structures start with.
    fn words(&mut self) {
        let mut at = 0;
        let mut before = 0;
        let mut address_done = 0;
        let mut lead = Lead::default();
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' if !check::is_word(before) => {
                    let word = Word::at(self.bytes, at);
                    if matches!(byte_at(self.bytes, word.end), b':' | b'-' | b'.') {
                        self.mac(at);
                    }
                    if word.has_digit() {
                        at = self.chain(word, &lead);
                        lead.clear();
                    } else {
                        lead.push(word);
                        at = word.end;
                    }
                    before = byte_before(self.bytes, at);
                    continue;
                }
                b'+' => self.international_phone(at),
                b'(' => self.bracketed_phone(at),
                b'@' => self.email(at),
                b':' if at >= address_done => address_done = self.ip_v6(at, address_done),
                _ => {}
            }
            before = byte;
            at += 1;
        }
    }

    /// Notes a finding of a structure.
    fn found(&mut self, structure: Structure, range: Range<usize>, form: Form, value: String) {
        if let Some(&entry) = self.scanner.structures.get(&structure) {
            self.push(entry, range, form, false, value);
        }
    }

    fn push(&mut self, index: usize, range: Range<usize>, form: Form, verified: bool, value: String) {
        let Some(entry) = self.scanner.entries.get(index) else { return };
        let score = &entry.score;
        let mut best = if form == Form::Telling { score.base } else { score.weak.unwrap_or(score.base) };
        if verified {
            best = best.max(score.verified);
        }
        if score.context > best {
            // Whether a secret is one must not depend on words for anything else.
            let has_context = match entry.category {
                Category::Secret => self.contexts.has_own(index, &range),
                _ => self.contexts.near(index, &range),
            };
            if has_context {
                best = score.context;
            }
        }
        if best > 0.0 {
            self.push_scored(index, range, best, value);
        }
    }

    /// Notes a finding whose score is settled.
    fn push_scored(&mut self, index: usize, range: Range<usize>, score: f64, value: String) {
        if let Some(entry) = self.scanner.entries.get(index) {
            self.found.push(Found { entry, range, score, value, is_undone: false });
        }
    }

    /// Whether a context word of a structure stands near.
    fn has_context(&self, structure: Structure, range: &Range<usize>) -> bool {
        self.scanner.structures.get(&structure).is_some_and(|entry| self.contexts.near(*entry, range))
    }

    /// How many digits start at a place, counted up to [`MOST_DIGITS`].
    fn digits_at(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        rest.iter().take(MOST_DIGITS).take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn slice(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

/// A context word as it may stand in a text: in all its cases, and where it is several words, as the name of a column
/// or a variable.
fn forms(word: &str) -> Vec<String> {
    let mut forms = cases(word);
    if word.contains([' ', '-']) && word.len() >= LEAST_NAME {
        forms.extend(cases(&word.replace([' ', '-'], "_")));
        forms.extend(cases(&word.replace([' ', '-'], "")));
    }
    forms.sort();
    forms.dedup();
    forms
}

/// A word in the cases that the automaton tells apart, which folds ASCII letters only.
fn cases(word: &str) -> Vec<String> {
    let lower = word.to_lowercase();
    if lower.is_ascii() {
        return vec![lower];
    }
    let mut rest = lower.chars();
    let first: String = rest.next().into_iter().flat_map(char::to_uppercase).collect();
    let mut cases = vec![format!("{first}{}", rest.as_str()), lower.to_uppercase(), lower];
    cases.iter_mut().for_each(|case| case.make_ascii_lowercase());
    cases.sort();
    cases.dedup();
    cases
}

/// The byte at a place; 0, which is part of no value, beyond the end.
fn byte_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The byte before a place; 0 at the start.
fn byte_before(bytes: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(0, |at| byte_at(bytes, at))
}
