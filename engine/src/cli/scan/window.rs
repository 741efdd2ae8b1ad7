//! In: a document of any length, in pieces. Out: windows of bounded length that together show each of its places
//! once, with enough around it that whatever starts there is seen whole and in its context.
//!
//! A window is a core between two margins. Windows overlap by their margins; what starts in the core of one is that
//! window's to report, so nothing is lost on a border and nothing is told twice. A document that fits is one window.

use std::ops::Range;
use std::sync::Arc;

use super::text::{Decoder, Position, Text};

/// How documents are cut, in bytes of text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Up to which length a document is one window, so that its structure is seen whole.
    pub(super) whole: usize,
    /// How long the core of a window is otherwise.
    pub(super) core: usize,
    /// How much is seen before and behind the core: what is longer than this may be cut.
    pub(super) margin: usize,
}

/// The cut that scans use. A window and what detectors make of it stay below some megabytes.
pub(super) const CUT: Cut = Cut { whole: 2 << 20, core: 1 << 20, margin: 32 << 10 };

/// How far a border moves to stand behind a line.
const TO_LINE: usize = 4 << 10;

/// Where a document comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Path as it is told, with `/`.
    pub(super) path: String,
    /// The commit that added the lines.
    pub(super) commit: Option<Arc<Commit>>,
    /// Whether the document is the whole file, so that offsets count from its start.
    pub(super) is_whole: bool,
}

/// A commit of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) id: String,
    /// When it was made (RFC 3339).
    pub(super) date: String,
}

/// A part of a document.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) origin: Arc<Origin>,
    pub(super) text: Text,
    /// Where the text starts in the document.
    pub(super) base: Position,
    /// Which part of the text is this window's to report.
    pub(super) core: Range<usize>,
    /// The lines that count, in order, when not all do.
    pub(super) lines: Option<Vec<Range<u64>>>,
}

impl Window {
    /// Bytes of the document that this window and no other reports.
    pub(super) fn bytes(&self) -> u64 {
        let start = self.text.advance(self.base, 0, self.core.start);
        self.text.advance(start, self.core.start, self.core.end).byte - start.byte
    }

    /// Whether the text starts where the document does, so that its structure can be told.
    pub(super) fn is_from_start(&self) -> bool {
        self.base == Position::at_line(1)
    }

    /// Whether something between two lines counts.
    pub(super) fn counts(&self, first: u64, last: u64) -> bool {
        self.lines.as_ref().is_none_or(|lines| {
            let behind = lines.partition_point(|run| run.end <= first);
            lines.get(behind).is_some_and(|run| run.start <= last)
        })
    }
}

/// Cuts one document.
#[derive(Debug)]
pub(super) struct Chunker {
    cut: Cut,
    origin: Arc<Origin>,
    decoder: Decoder,
    base: Position,
    core_start: usize,
    is_cut: bool,
    lines: Option<Vec<Range<u64>>>,
}

impl Chunker {
    pub(super) fn new(cut: Cut, origin: Origin, first_line: u64) -> Self {
        Self {
            cut,
            origin: Arc::new(origin),
            decoder: Decoder::new(),
            base: Position::at_line(first_line),
            core_start: 0,
            is_cut: false,
            lines: None,
        }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Says that only the lines named with [`Self::add_line`] count, which come as a patch shows them.
    pub(super) fn only_added_lines(mut self) -> Self {
        self.lines = Some(Vec::new());
        self.decoder = Decoder::of_lines();
        self
    }

    /// Names a line that counts; they come in order.
    pub(super) fn add_line(&mut self, line: u64) {
        let Some(lines) = &mut self.lines else { return };
        match lines.last_mut() {
            Some(run) if run.end == line => run.end += 1,
            _ => lines.push(line..line + 1),
        }
    }

    /// Takes the next piece; answers the windows that are complete with it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Window> {
        self.decoder.push(bytes);
        let mut windows = Vec::new();
        loop {
            let needed = self.core_start + self.cut.core + self.cut.margin;
            let ready = if self.is_cut { needed } else { needed.max(self.cut.whole) };
            if self.decoder.text().len() <= ready {
                return windows;
            }
            self.is_cut = true;
            windows.push(self.next());
        }
    }

    /// The document is at its end; answers the last window, if there is anything in it.
    pub(super) fn finish(mut self) -> Option<Window> {
        self.decoder.finish();
        let text = self.decoder.into_text();
        let core = self.core_start..text.len();
        let Self { origin, base, lines, .. } = self;
        (!core.is_empty()).then_some(Window { origin, text, base, core, lines })
    }

    fn next(&mut self) -> Window {
        let text = self.decoder.text();
        let end = text.boundary(self.core_start + self.cut.core);
        let from = text.boundary(end.saturating_sub(TO_LINE.min(self.cut.core / 2)));
        let behind_line = text.as_str().get(from..end).and_then(|near| near.rfind('\n'));
        let core_end = behind_line.map_or(end, |at| from + at + 1);
        let window = Window {
            origin: Arc::clone(&self.origin),
            text: text.head(text.boundary(core_end + self.cut.margin)),
            base: self.base,
            core: self.core_start..core_end,
            lines: self.lines.clone(),
        };
        let keep = text.boundary(core_end.saturating_sub(self.cut.margin));
        let to = text.boundary(keep + TO_LINE.min(self.cut.margin / 2));
        let behind_line = text.as_str().get(keep..to).and_then(|near| near.find('\n'));
        let keep = behind_line.map_or(keep, |at| keep + at + 1);
        self.base = text.advance(self.base, 0, keep);
        self.core_start = core_end - keep;
        self.decoder.text_mut().drop_head(keep);
        if let Some(lines) = &mut self.lines {
            let line = self.base.line;
            lines.retain(|run| run.end > line);
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Cut = Cut { whole: 300, core: 100, margin: 40 };

    fn origin() -> Origin {
        Origin { path: "a".to_owned(), commit: None, is_whole: true }
    }

    fn windows(document: &[u8], piece: usize) -> Vec<Window> {
        let mut chunker = Chunker::new(SMALL, origin(), 1);
        let mut windows = Vec::new();
        for piece in document.chunks(piece) {
            windows.extend(chunker.push(piece));
        }
        windows.extend(chunker.finish());
        windows
    }

    #[test]
    fn a_document_that_fits_is_one_window() {
        let all = windows(&[b'a'; 300], 7);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].core.clone(), all[0].base.byte, all[0].bytes()), (0..300, 0, 300));
        assert!(windows(b"", 7).is_empty());
    }

    #[test]
    fn the_cores_show_each_byte_once_and_the_margins_what_is_around() {
        let mut document = Vec::new();
        for index in 0..400 {
            document.extend_from_slice(format!("é{index} \u{1d11e}").as_bytes());
            document.extend_from_slice(if index % 9 == 0 { b"\n" } else { b"\xe9 " });
        }
        let text = String::from_utf8_lossy(&document).into_owned();
        for piece in [1, 13, 64, 5000] {
            let all = windows(&document, piece);
            assert!(all.len() > 20);
            let mut seen = 0;
            for (index, window) in all.iter().enumerate() {
                let start = window.text.advance(window.base, 0, window.core.start);
                assert_eq!(start.byte, seen, "window {index} of pieces of {piece}");
                let before = &document[..seen as usize];
                assert_eq!(start.line, 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64);
                let decoded = String::from_utf8_lossy(before);
                let column = decoded.rsplit('\n').next().unwrap().chars().count() as u64 + 1;
                assert_eq!((start.code_point, start.column), (decoded.chars().count() as u64, column));
                seen += window.bytes();
                assert!(window.text.len() < 2 * SMALL.margin + SMALL.core + 4);
                let after = window.text.len() - window.core.end;
                assert!(after + 3 >= SMALL.margin || index + 1 == all.len(), "{after}");
                assert!(window.core.start >= SMALL.margin / 2 || index == 0);
            }
            assert_eq!(seen, document.len() as u64);
        }
        assert!(!text.is_empty());
    }

    #[test]
    fn what_is_held_stays_bounded() {
        let mut chunker = Chunker::new(SMALL, origin(), 1);
        let mut held = 0;
        for _ in 0..1000 {
            chunker.push(&[b'x'; 50]);
            held = held.max(chunker.decoder.text().len());
        }
        assert!(held <= SMALL.whole + 50, "{held}");
    }

    #[test]
    fn only_named_lines_count() {
        let mut chunker = Chunker::new(SMALL, origin(), 10).only_added_lines();
        chunker.add_line(11);
        chunker.add_line(12);
        chunker.add_line(15);
        chunker.push(b"a\nb\nc\nd\ne\nf\n");
        let window = chunker.finish().unwrap();
        let counted: Vec<u64> = (9..18).filter(|line| window.counts(*line, *line)).collect();
        assert_eq!(counted, [11, 12, 15]);
        assert!(window.counts(10, 11) && window.counts(13, 15) && !window.counts(13, 14));
    }
}
