//! In: a window. Out: what counts in it, with its places in the document, and never the value.

use std::sync::Arc;

use novacrm_engine_core::detectors::{Category, catalogue};
use novacrm_engine_core::transform::{self, Edit, Tokens};
use novacrm_engine_core::{Finding, FingerprintKey, Span};

use super::select::Selection;
use super::text::Position;
use super::window::{Origin, Window};

/// Longest masked preview, in code points.
const MAX_PREVIEW: usize = 80;

/// Letters and digits that a masked preview keeps at the end, unless who sees them may act with them.
const PREVIEW_KEEPS: u8 = 2;

/// A finding in a document.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub(super) origin: Arc<Origin>,
    pub(super) finding: Finding,
    /// What kind of thing it is; absent for a detector that a policy brings along.
    pub(super) category: Option<Category>,
    pub(super) start: Position,
    pub(super) end: Position,
    /// The value masked, when that is asked for.
    pub(super) preview: Option<String>,
}

/// How windows are scanned.
#[derive(Debug)]
pub(super) struct Scanner {
    pub(super) selection: Selection,
    pub(super) key: FingerprintKey,
    pub(super) preview: bool,
}

impl Scanner {
    /// What the window reports, in the order of the text.
    pub(super) fn scan(&self, window: &Window) -> Vec<Hit> {
        let text = window.text.as_str();
        let findings = self.selection.scan(text, &self.key);
        if findings.is_empty() {
            return Vec::new();
        }
        let mut places: Vec<usize> =
            findings.iter().flat_map(|finding| [finding.span.start, finding.span.end]).collect();
        places.sort_unstable();
        places.dedup();
        let places = Places::of(window, places);
        let hits = findings.into_iter().filter_map(|mut finding| {
            let (start_at, start) = places.get(finding.span.start)?;
            let (end_at, end) = places.get(finding.span.end)?;
            // The last line is that of the last character; a value may end with its line.
            let last = if end.column == 1 { end.line.saturating_sub(1) } else { end.line };
            if !window.core.contains(&start_at) || !window.counts(start.line, last.max(start.line)) {
                return None;
            }
            if !window.is_from_start() {
                // Rows would be counted from the wrong one, and what is above a key is not seen.
                finding.path = None;
            }
            let category = catalogue().get(&finding.detector).map(|entry| entry.category);
            let preview =
                self.preview.then(|| preview(text.get(start_at..end_at).unwrap_or_default(), category));
            Some(Hit { origin: Arc::clone(&window.origin), finding, category, start, end, preview })
        });
        hits.collect()
    }
}

/// Code points of a window, with where they stand.
struct Places(Vec<(usize, usize, Position)>);

impl Places {
    /// Of code points in ascending order.
    fn of(window: &Window, code_points: Vec<usize>) -> Self {
        let text = window.text.as_str();
        let mut found = Vec::with_capacity(code_points.len());
        let (mut at, mut passed, mut position) = (0, 0, window.base);
        for code_point in code_points {
            let rest = text.get(at..).unwrap_or_default();
            let to = rest.char_indices().nth(code_point - passed).map_or(text.len(), |(to, _)| at + to);
            position = window.text.advance(position, at, to);
            (at, passed) = (to, code_point);
            found.push((code_point, at, position));
        }
        Self(found)
    }

    fn get(&self, code_point: usize) -> Option<(usize, Position)> {
        let at = self.0.binary_search_by_key(&code_point, |(of, ..)| *of).ok()?;
        self.0.get(at).map(|(_, at, position)| (*at, *position))
    }
}

/// The value with its letters and digits masked, on one line.
fn preview(value: &str, category: Option<Category>) -> String {
    let keep_last = match category {
        // What kind of thing it is nobody knows, it must not be guessed, or its last word says as much as all of it.
        None | Some(Category::Secret | Category::Sensitive | Category::PromptRisk | Category::Tone) => 0,
        Some(Category::PersonalData | Category::Financial | Category::Organisation | Category::Network) => {
            PREVIEW_KEEPS
        }
    };
    let span = Span { start: 0, end: value.chars().count() };
    let masked = transform::apply(value, &[(span, Edit::Mask { keep_last })], &Tokens::placeholders()).text;
    let mut shown: String =
        masked.chars().take(MAX_PREVIEW).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if masked.chars().nth(MAX_PREVIEW).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::window::{Chunker, Cut};
    use super::*;

    fn scanner(preview: bool) -> Scanner {
        let selection = Selection::of_detectors(&[], 0.5).unwrap();
        Scanner { selection, key: FingerprintKey::new([3; 32]), preview }
    }

    fn windows(cut: Cut, document: &str, piece: usize) -> Vec<Window> {
        let origin = Origin { path: "a".to_owned(), commit: None, is_whole: true };
        let mut chunker = Chunker::new(cut, origin, 1);
        let mut windows: Vec<Window> =
            document.as_bytes().chunks(piece).flat_map(|piece| chunker.push(piece)).collect();
        windows.extend(chunker.finish());
        windows
    }

    #[test]
    fn a_hit_says_where_it_stands_in_every_unit() {
        let document = "Née à Orléans :\nécrire à jean.valjean@example.org vite";
        let cut = Cut { whole: 1000, core: 500, margin: 100 };
        let hits = scanner(true).scan(&windows(cut, document, 1000)[0]);
        assert_eq!(hits.len(), 1);
        let (start, end) = (hits[0].start, hits[0].end);
        assert_eq!((start.line, start.column, end.line, end.column), (2, 10, 2, 34));
        assert_eq!(start.code_point, 25);
        assert_eq!(start.byte as usize, document.find("jean").unwrap());
        assert_eq!(end.byte as usize, document.find(" vite").unwrap());
        assert_eq!(hits[0].preview.as_deref(), Some("****.*******@*******.*rg"));
    }

    #[test]
    fn a_path_is_told_where_the_document_is_seen_from_its_start() {
        let row = "{\"email\": \"jean.valjean@example.org\"},\n";
        let document = format!("{{\"clients\": [{}]}}", row.repeat(60));
        let cut = Cut { whole: 700, core: 300, margin: 200 };
        let windows = windows(cut, &document, 97);
        assert!(windows.len() > 3);
        let scanner = scanner(false);
        let paths: Vec<Option<String>> = windows
            .iter()
            .flat_map(|window| scanner.scan(window))
            .map(|hit| hit.finding.path.map(|path| path.to_string()))
            .collect();
        assert_eq!(paths.len(), 60);
        assert_eq!(paths[1].as_deref(), Some("$.clients[1].email"));
        assert_eq!(paths[59], None);
    }

    /// Values of many kinds, at every distance from a border, in windows so small that there are hundreds of borders.
    #[test]
    fn nothing_is_lost_or_told_twice_on_a_border() {
        let values = [
            "IBAN FR76 3000 6000 0112 3456 7890 189",
            "écrire à jean.valjean@example.org",
            "NIR 2 85 05 78 006 084 41",
            "tél. +33 1 99 00 12 34",
            "carte 4111 1111 1111 1111",
        ];
        let mut document = String::new();
        for index in 0..600 {
            document.push_str(values[index % values.len()]);
            document.push_str(&" é".repeat(index % 13));
            document.push_str(if index % 17 == 0 { "\n" } else { " ; " });
        }
        let scanner = scanner(false);
        let told = |cut: Cut, piece: usize| -> Vec<_> {
            let windows = windows(cut, &document, piece);
            let hits = windows.iter().flat_map(|window| scanner.scan(window));
            hits.map(|hit| (hit.start, hit.end, hit.finding.detector, hit.finding.score.to_bits())).collect()
        };
        let whole = told(Cut { whole: 1 << 20, core: 1 << 20, margin: 1 << 10 }, 1 << 20);
        assert!(whole.len() >= 600, "{}", whole.len());
        for core in [300, 301, 307, 1024] {
            let cut = Cut { whole: 700, core, margin: 400 };
            for piece in [97, 4096] {
                assert_eq!(told(cut, piece), whole, "core {core}, piece {piece}");
            }
        }
    }

    #[test]
    fn a_preview_of_a_secret_keeps_nothing_and_none_is_long() {
        assert_eq!(preview("abcd-1234", Some(Category::Secret)), "****-****");
        assert_eq!(preview("abcd-1234", Some(Category::PersonalData)), "****-**34");
        assert_eq!(preview("ab\ncd", None), "** **");
        assert_eq!(preview("cancer", Some(Category::Sensitive)), "******");
        assert_eq!(preview(&"x".repeat(500), None).chars().count(), MAX_PREVIEW + 1);
    }
}
