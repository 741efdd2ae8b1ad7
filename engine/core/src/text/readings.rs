//! In: text as sent. Out: all that it may read as: the normalised text, and windows in which something was undone.
//!
//! # Which readings there are
//! The primary reading is the whole text, [normalised](NormalizedText). A further reading exists where a
//! [layer](super::layers) names places: the stretch around them, with what the places read as in their stead and
//! enough of the text around that the words that announce a value still stand before it. Places near each other
//! share a window, so all windows of a layer together are hardly longer than the text and what was decoded.
//! A further reading is read again in the same way (base64 in percent-encoding in JSON), to [`MAX_DEPTH`] layers
//! and, all readings of a text together, to [`MAX_GROWTH`] times its length: what lies deeper is not read.
//!
//! # What counts in a further reading
//! [`Readings::sighting`] answers for a range of a further reading which bytes of the primary one it stands for,
//! and nothing when it touches no place that was undone: that is seen in the primary reading as well, where its
//! surroundings are complete. For an opaque layer (base64), a part of a place stands for all of it.
//!
//! # What it costs
//! Without places, one pass over the bytes. With them, time and memory linear in the length of the text.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::OnceLock;

use super::document::Document;
use super::layers::{self, Layer, Place, Places};
use super::{Change, NormalizedText, normalize, original_end, original_start};

/// Most layers behind each other.
const MAX_DEPTH: usize = 4;
/// Most bytes of all further readings for each byte of the text, and for a short text in all.
const MAX_GROWTH: usize = 16;
const MIN_BUDGET: usize = 65_536;
/// Text around a place that its window holds, in bytes.
const BEFORE: usize = 96;
const BEHIND: usize = 48;
/// How much further a window goes to reach the end of a token, in bytes.
const STRETCH: usize = 256;
/// How near to a place that was undone another layer must have a place for their combination to be read.
const NEAR: usize = 48;

/// All that a text may read as.
#[derive(Clone, Debug)]
pub struct Readings<'t> {
    primary: NormalizedText<'t>,
    further: Vec<Reading>,
    /// Escape sequences in the primary reading, in order: bytes that mean something only together.
    sequences: Vec<Range<usize>>,
    /// The structure of the primary reading, once something asks for it.
    document: OnceLock<Document>,
}

/// A window of a text in which one layer more was undone.
#[derive(Clone, Debug)]
pub struct Reading {
    text: String,
    /// How what was decoded was normalised.
    folds: Vec<Change>,
    /// Which bytes, before they were normalised, stand for which bytes of the reading it was made from.
    changes: Vec<Change>,
    /// Byte of that reading at which the window starts.
    base: usize,
    /// What was undone, in bytes of this reading.
    undone: Vec<Range<usize>>,
    /// The further reading it was made from; none for the primary one.
    from: Option<usize>,
    /// Whether the window starts or ends within a token.
    is_cut: (bool, bool),
    layer: Layer,
    depth: usize,
    is_opaque: bool,
    least_score: f64,
    keeps_words: bool,
}

/// What a range of a further reading stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Bytes of the primary reading.
    pub range: Range<usize>,
    /// Whether the range is that of an encoded token of which the value is a part.
    pub is_opaque: bool,
}

impl<'t> Readings<'t> {
    /// Reads a text in every way. Time and memory are linear in its length.
    #[must_use]
    pub fn new(original: &'t str) -> Self {
        let primary = NormalizedText::new(original);
        let mut further: Vec<Reading> = Vec::new();
        let mut budget = (original.len() * MAX_GROWTH).max(MIN_BUDGET);
        let mut queue = VecDeque::new();
        let mut sequences = Vec::new();
        for places in layers::find(primary.as_str()) {
            if places.layer.is_escape() {
                sequences.extend(places.list().iter().map(|place| place.range.clone()));
            }
            add(&mut further, &mut queue, &mut budget, None, primary.as_str(), &places);
        }
        while let Some(index) = queue.pop_front() {
            let Some(reading) = further.get(index).filter(|reading| reading.depth < MAX_DEPTH) else {
                continue;
            };
            let reading = reading.clone();
            for places in layers::find(&reading.text) {
                add(&mut further, &mut queue, &mut budget, Some((index, &reading)), &reading.text, &places);
            }
        }
        sequences.sort_by_key(|sequence| sequence.start);
        Self { primary, further, sequences, document: OnceLock::new() }
    }

    /// The path to what starts at a byte of the primary reading, where that is JSON, a table, an e-mail, HTML or lines
    /// with keys: `$.client.iban`, `row 3, column tel`. A name stands in it only when each of its words is one that
    /// names usually have or that is known; so it never holds a value.
    #[must_use]
    pub fn path(&self, at: usize, is_known: impl Fn(&str) -> bool) -> Option<String> {
        self.document().path(self.primary.as_str(), at, is_known)
    }

    /// Where the names stand that the structure gives to a value, nearest first: its key or the head of its column.
    pub fn names(&self, value: &Range<usize>) -> impl Iterator<Item = &Range<usize>> {
        self.document().names(value)
    }

    fn document(&self) -> &Document {
        self.document.get_or_init(|| Document::read(self.primary.as_str()))
    }

    /// Whether a range of the primary reading starts or ends within an escape sequence, so that it is misread there.
    #[must_use]
    pub fn is_misread(&self, range: &Range<usize>) -> bool {
        let cuts = |at: usize| {
            let before = self.sequences.partition_point(|sequence| sequence.start < at);
            before.checked_sub(1).and_then(|last| self.sequences.get(last)).is_some_and(|last| at < last.end)
        };
        cuts(range.start) || cuts(range.end)
    }

    /// The whole text, normalised.
    #[must_use]
    pub fn primary(&self) -> &NormalizedText<'t> {
        &self.primary
    }

    /// The windows in which something was undone, outer layers first.
    pub fn further(&self) -> impl Iterator<Item = &Reading> {
        self.further.iter()
    }

    /// What a range of bytes of a further reading stands for; `None` when nothing that was undone is part of it or
    /// touches it, or when the window cuts it.
    #[must_use]
    pub fn sighting(&self, reading: &Reading, range: Range<usize>) -> Option<Sighting> {
        let is_cut =
            (reading.is_cut.0 && range.start == 0) || (reading.is_cut.1 && range.end >= reading.text.len());
        let first = reading.undone.partition_point(|undone| undone.end < range.start);
        let is_touched = reading.undone.get(first).is_some_and(|undone| undone.start <= range.end);
        if is_cut || !is_touched {
            return None;
        }
        let mut range = reading.outer(range);
        let mut from = reading.from;
        while let Some(outer) = from.and_then(|from| self.further.get(from)) {
            range = outer.outer(range);
            from = outer.from;
        }
        Some(Sighting { range, is_opaque: reading.is_opaque })
    }
}

impl Reading {
    /// The text of the window.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The least score of a finding that counts here: layers that join what stood apart ask for more.
    #[must_use]
    pub fn least_score(&self) -> f64 {
        self.least_score
    }

    /// Whether what is told by words alone (a name, an address) counts here.
    #[must_use]
    pub fn keeps_words(&self) -> bool {
        self.keeps_words
    }

    /// What bytes of this reading stand for in the one it was made from.
    fn outer(&self, range: Range<usize>) -> Range<usize> {
        let start = original_start(&self.changes, original_start(&self.folds, range.start));
        let end = original_end(&self.changes, original_end(&self.folds, range.end));
        let (start, end) = (self.base + start, self.base + end);
        start..end.max(start)
    }
}

/// Adds the windows around the places of one layer.
fn add(
    further: &mut Vec<Reading>,
    queue: &mut VecDeque<usize>,
    budget: &mut usize,
    from: Option<(usize, &Reading)>,
    text: &str,
    places: &Places,
) {
    for (range, of_window) in windows(text, places.list()) {
        if from.is_some_and(|(_, outer)| !is_news(outer, places.layer, of_window)) {
            continue;
        }
        let reading = read(text, range, places, of_window, from);
        let Some(left) = budget.checked_sub(reading.text.len()) else { return };
        *budget = left;
        queue.push_back(further.len());
        further.push(reading);
    }
}

/// Whether places in a further reading are not those of the reading it was made from: they came to light by what
/// was undone, or stand near it.
fn is_news(outer: &Reading, layer: Layer, places: &[Place]) -> bool {
    let near = if layer == outer.layer { 0 } else { NEAR };
    places.iter().any(|place| {
        let first = outer.undone.partition_point(|undone| undone.end + near < place.range.start);
        outer.undone.get(first).is_some_and(|undone| undone.start <= place.range.end + near)
    })
}

/// Windows around places, and the places in each. Windows do not overlap.
fn windows<'p>(text: &str, places: &'p [Place]) -> Vec<(Range<usize>, &'p [Place])> {
    let mut windows: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    let mut first = 0;
    while first < places.len() {
        let mut last = first;
        while let Some((here, next)) = places.get(last).zip(places.get(last + 1))
            && next.range.start <= here.range.end + BEFORE + BEHIND
        {
            last += 1;
        }
        let (Some(start), Some(end)) = (places.get(first), places.get(last)) else { break };
        let range = widen(text, start.range.start, end.range.end);
        match windows.last_mut() {
            Some((window, of_window)) if range.start <= window.end => {
                window.end = range.end;
                of_window.end = last + 1;
            }
            _ => windows.push((range, first..last + 1)),
        }
        first = last + 1;
    }
    windows
        .into_iter()
        .filter_map(|(range, of_window)| places.get(of_window).map(|places| (range, places)))
        .collect()
}

/// A range with the text around it, to the ends of its tokens when these are near.
fn widen(text: &str, start: usize, end: usize) -> Range<usize> {
    let bytes = text.as_bytes();
    let mut from = start.saturating_sub(BEFORE);
    let before = bytes.get(from.saturating_sub(STRETCH)..from).unwrap_or_default();
    if let Some(blank) = before.iter().rev().position(u8::is_ascii_whitespace) {
        from -= blank;
    } else {
        from -= before.len();
    }
    let mut to = (end + BEHIND).min(bytes.len());
    let behind = bytes.get(to..bytes.len().min(to + STRETCH)).unwrap_or_default();
    to += behind.iter().position(u8::is_ascii_whitespace).unwrap_or(behind.len());
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    while !text.is_char_boundary(to) {
        to += 1;
    }
    from..to
}

/// Reads a window with its places undone.
fn read(
    text: &str,
    window: Range<usize>,
    places: &Places,
    of_window: &[Place],
    from: Option<(usize, &Reading)>,
) -> Reading {
    let mut raw = String::with_capacity(window.len());
    let mut changes = Vec::with_capacity(of_window.len());
    let mut copied = window.start;
    for place in of_window {
        raw.push_str(text.get(copied..place.range.start).unwrap_or_default());
        let start = raw.len();
        raw.push_str(places.reading(place));
        let original = place.range.start - window.start..place.range.end - window.start;
        changes.push(Change { normalized: start..raw.len(), original });
        copied = place.range.end;
    }
    raw.push_str(text.get(copied..window.end).unwrap_or_default());
    let (raw, folds) = if raw.is_ascii() {
        (raw, Vec::new())
    } else {
        let (folded, folds) = normalize(&raw);
        (folded.into_owned(), folds)
    };
    let there: Vec<Change> = folds
        .iter()
        .map(|fold| Change { normalized: fold.original.clone(), original: fold.normalized.clone() })
        .collect();
    let undone = changes.iter().map(|change| {
        let Range { start, end } = change.normalized;
        let from = original_start(&there, start);
        from..if end > start { original_end(&there, end).max(from) } else { from }
    });
    let undone = undone.collect();
    let bytes = text.as_bytes();
    let is_inside = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        before.zip(bytes.get(at)).is_some_and(|(a, b)| !a.is_ascii_whitespace() && !b.is_ascii_whitespace())
    };
    let outer = from.map(|(_, outer)| outer);
    let outer_cut = outer.map_or((false, false), |outer| outer.is_cut);
    let layer = places.layer;
    Reading {
        is_cut: (
            is_inside(window.start) || (outer_cut.0 && window.start == 0),
            is_inside(window.end) || (outer_cut.1 && window.end == text.len()),
        ),
        text: raw,
        folds,
        changes,
        base: window.start,
        undone,
        from: from.map(|(index, _)| index),
        layer,
        depth: outer.map_or(0, |outer| outer.depth) + 1,
        is_opaque: layer.is_opaque() || outer.is_some_and(|outer| outer.is_opaque),
        least_score: layer.least_score().max(outer.map_or(0.0, |outer| outer.least_score)),
        keeps_words: layer.keeps_words() && outer.is_none_or(|outer| outer.keeps_words),
    }
}
