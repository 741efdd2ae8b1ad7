//! In: where context words stand. Out: the tables whose columns they name (CSV, tab-separated, Markdown).
//!
//! A line without figures whose cells a following line with figures repeats is the head of a table. A word in it
//! speaks for its column, however far below, and for nothing else.

use std::ops::Range;

use super::context::Speaks;
use super::{byte_at, byte_before};

/// Longest line that is read as cells, in bytes.
const MAX_LINE: usize = 512;
/// In which of the first lines below its head a table must have figures.
const FIRST_FIGURES: usize = 3;
/// What separates cells, and how many of them a line must have at least.
const SEPARATORS: [(u8, usize); 4] = [(b'\t', 1), (b';', 1), (b'|', 2), (b',', 2)];

/// A table with at least one named column.
pub(super) struct Table<'s> {
    /// The line with the names.
    head: Range<usize>,
    /// The lines below.
    body: Range<usize>,
    separator: u8,
    names: Vec<(usize, &'s [Speaks])>,
}

impl<'s> Table<'s> {
    /// The tables of a text, in order.
    pub(super) fn all(bytes: &[u8], words: &[(Range<usize>, &'s [Speaks])]) -> Vec<Self> {
        let mut tables: Vec<Self> = Vec::new();
        let mut done = 0;
        for (word, speaks) in words {
            if let Some(table) = tables.last_mut() {
                if table.names(word) {
                    let column = column(bytes, &table.head, word.start, table.separator);
                    table.names.push((column, *speaks));
                    continue;
                }
                if table.holds(word.start) {
                    continue;
                }
            }
            if word.start < done {
                continue;
            }
            let head = line_around(bytes, word);
            done = head.end.max(word.end);
            if let Some(mut table) = Self::below(bytes, head) {
                let column = column(bytes, &table.head, word.start, table.separator);
                table.names.push((column, *speaks));
                tables.push(table);
            }
        }
        tables
    }

    fn below(bytes: &[u8], head: Range<usize>) -> Option<Self> {
        let names = bytes.get(head.clone())?;
        let is_line =
            matches!(byte_before(bytes, head.start), b'\n' | 0) && byte_at(bytes, head.end) == b'\n';
        if !is_line || names.iter().any(u8::is_ascii_digit) {
            return None;
        }
        let (separator, count) = SEPARATORS.into_iter().find_map(|(separator, least)| {
            let count = count(names, separator);
            (count >= least).then_some((separator, count))
        })?;
        let mut body = head.end + 1..head.end + 1;
        let mut has_figures = false;
        let mut lines = 0;
        while body.end < bytes.len() && (has_figures || lines < FIRST_FIGURES) {
            let line = line_from(bytes, body.end);
            let cells = bytes.get(line.clone())?;
            let found = self::count(cells, separator);
            // Prose has commas, too, but not the same number in two lines.
            if line.len() > MAX_LINE || found < count || (separator == b',' && found != count) {
                break;
            }
            has_figures |= cells.iter().any(u8::is_ascii_digit);
            lines += 1;
            body.end = line.end + 1;
        }
        has_figures.then_some(Self { head, body, separator, names: Vec::new() })
    }

    pub(super) fn starts_at(&self) -> usize {
        self.head.start
    }

    pub(super) fn holds(&self, place: usize) -> bool {
        self.body.contains(&place)
    }

    /// Whether a word stands in the head, where it speaks for its column only.
    pub(super) fn names(&self, word: &Range<usize>) -> bool {
        self.head.contains(&word.start)
    }

    /// Whom the name of the column that holds a place speaks for.
    pub(super) fn speaks_at(&self, bytes: &[u8], place: usize) -> impl Iterator<Item = Speaks> {
        let line = line_around(bytes, &(place..place));
        let column = column(bytes, &line, place, self.separator);
        self.names
            .iter()
            .filter(move |(named, _)| *named == column)
            .flat_map(|(_, speaks)| speaks.iter().copied())
    }

    /// Whether a column is named for an entry.
    pub(super) fn has_column_of(&self, entry: usize) -> bool {
        self.names.iter().any(|(_, speaks)| speaks.contains(&Speaks::For(entry)))
    }

    /// Where the cells of the columns start that are named for an entry.
    pub(super) fn cells_of(&self, bytes: &[u8], entry: usize) -> Vec<usize> {
        let columns: Vec<usize> = self
            .names
            .iter()
            .filter(|(_, speaks)| speaks.contains(&Speaks::For(entry)))
            .map(|(column, _)| *column)
            .collect();
        let mut cells = Vec::new();
        let mut at = self.body.start;
        while at < self.body.end && !columns.is_empty() {
            let line = line_from(bytes, at);
            let mut column = 0;
            let mut is_quoted = false;
            let mut is_start = true;
            for place in line.clone() {
                let byte = byte_at(bytes, place);
                if is_start && !matches!(byte, b' ' | b'"') {
                    if columns.contains(&column) {
                        cells.push(place);
                    }
                    is_start = false;
                }
                is_quoted ^= byte == b'"';
                if byte == self.separator && !is_quoted {
                    column += 1;
                    is_start = true;
                }
            }
            at = line.end + 1;
        }
        cells
    }
}

/// The line around a range, no further than [`MAX_LINE`] either way.
fn line_around(bytes: &[u8], range: &Range<usize>) -> Range<usize> {
    let from = range.start.saturating_sub(MAX_LINE);
    let before = bytes.get(from..range.start).unwrap_or_default();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(from, |at| from + at + 1);
    let after = bytes.get(range.end..).unwrap_or_default();
    let length = after.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
    start..range.end + length.unwrap_or_else(|| after.len().min(MAX_LINE))
}

/// The line from its start.
fn line_from(bytes: &[u8], start: usize) -> Range<usize> {
    let rest = bytes.get(start..).unwrap_or_default();
    let length = rest.iter().take(MAX_LINE + 1).position(|byte| *byte == b'\n');
    start..start + length.unwrap_or_else(|| rest.len().min(MAX_LINE + 1))
}

/// How many separators stand in a line outside quotation marks.
fn count(line: &[u8], separator: u8) -> usize {
    let mut is_quoted = false;
    line.iter()
        .filter(|byte| {
            is_quoted ^= **byte == b'"';
            **byte == separator && !is_quoted
        })
        .count()
}

/// The number of the cell that holds a place of a line, from 0.
fn column(bytes: &[u8], line: &Range<usize>, place: usize, separator: u8) -> usize {
    count(bytes.get(line.start..place).unwrap_or_default(), separator)
}
