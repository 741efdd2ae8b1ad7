//! In: a line that may be the header of a table. Out: the cells of the rows behind it.
//!
//! A first line is a header when its cells are names, at least half of them usual ones, and the next line has as
//! many cells: without that, what looks like a header may be data, and stays plain text.

use std::ops::Range;

use super::usual::is_usual;
use super::{Document, MAX_NAME, Step, byte_at, is_name, trim, unquoted};

/// Most columns of a table; its longest header and row, in bytes.
const MAX_COLUMNS: usize = 256;
const MAX_HEADER: usize = 4096;
const MAX_ROW: usize = 8192;

/// Reads a table whose header is the line at `at`; answers where it ends, or nothing when there is none.
pub(super) fn read(
    document: &mut Document,
    text: &str,
    range: Range<usize>,
    parent: Option<usize>,
) -> Option<usize> {
    let bytes = text.as_bytes();
    // Most lines are told from a header by what stands before their first delimiter.
    let first_end = line_end(bytes, range.start, range.end.min(range.start + MAX_HEADER));
    let line = bytes.get(range.start..first_end)?;
    let start = line.get(..line.len().min(MAX_NAME + 4))?;
    let first = memchr::memchr3(b'\t', b';', b',', start).or_else(|| memchr::memchr(b'|', start))?;
    if !is_title(text, &unquoted(bytes, trim(text, range.start..range.start + first))) {
        return None;
    }
    let delimiter = [b'\t', b';', b',', b'|']
        .into_iter()
        .map(|delimiter| (memchr::memchr_iter(delimiter, line).count(), delimiter))
        .max_by_key(|(count, _)| *count)
        .filter(|(count, _)| (1..MAX_COLUMNS).contains(count))?
        .1;
    let is_framed = delimiter == b'|' && line.starts_with(b"|");
    let mut names = Vec::new();
    let mut at = row(text, range.start, range.end, delimiter, is_framed, &mut names)?;
    if !names.iter().all(|cell| is_title(text, cell)) {
        return None;
    }
    let mut cells = Vec::with_capacity(names.len());
    let mut number = 0;
    if delimiter == b'|' {
        // The line below the header of a Markdown table (GitHub Flavored Markdown, section 4.10).
        let end = line_end(bytes, at, range.end);
        let rule = bytes.get(at..end)?;
        let is_rule = rule.contains(&b'-') && rule.iter().all(|byte| b"|-: \t\r".contains(byte));
        if !is_rule {
            return None;
        }
        at = end + 1;
    } else {
        let usual = names.iter().filter(|cell| text.get((*cell).clone()).is_some_and(is_usual)).count();
        row(text, at, range.end, delimiter, is_framed, &mut cells)?;
        if usual * 2 < names.len() || cells.len() != names.len() {
            return None;
        }
    }
    while at < range.end && !document.is_full() {
        let Some(end) = row(text, at, range.end, delimiter, is_framed, &mut cells) else { break };
        if cells.len() != names.len() {
            break;
        }
        number += 1;
        let of_row = document.node(parent, Step::Row(number), None);
        for (place, (cell, name)) in cells.drain(..).zip(&names).enumerate() {
            let node = document.node(Some(of_row), Step::Column(place + 1), Some(name.clone()));
            document.field(cell, node);
        }
        at = end;
    }
    (number > 0).then_some(at.min(range.end))
}

fn line_end(bytes: &[u8], at: usize, end: usize) -> usize {
    let rest = bytes.get(at..end).unwrap_or_default();
    at + memchr::memchr(b'\n', rest).unwrap_or(rest.len())
}

/// Whether a cell of the first line may be the name of a column: a name, or nothing.
fn is_title(text: &str, cell: &Range<usize>) -> bool {
    cell.is_empty() || text.get(cell.clone()).is_some_and(is_name)
}

/// Reads the cells of the row at `at` and answers where the next starts; nothing at the end or when it is too long.
/// Quotation marks around a cell are as RFC 4180 has them.
fn row(
    text: &str,
    at: usize,
    end: usize,
    delimiter: u8,
    is_framed: bool,
    cells: &mut Vec<Range<usize>>,
) -> Option<usize> {
    cells.clear();
    let bytes = text.as_bytes().get(..end)?;
    if at >= end || matches!(byte_at(bytes, at), b'\n' | b'\r') {
        return None;
    }
    let limit = end.min(at + MAX_ROW);
    let mut place = at;
    if is_framed {
        while byte_at(bytes, place).is_ascii_whitespace() {
            place += 1;
        }
        if byte_at(bytes, place) != delimiter {
            return None;
        }
        place += 1;
    }
    loop {
        let start = place;
        let mut inner = None;
        if byte_at(bytes, place) == b'"' && delimiter != b'|' {
            let mut close = place + 1;
            loop {
                close += memchr::memchr(b'"', bytes.get(close..limit)?)?;
                if byte_at(bytes, close + 1) != b'"' {
                    break;
                }
                close += 2;
            }
            inner = Some(place + 1..close);
            place = close + 1;
        }
        let rest = bytes.get(place..limit).unwrap_or_default();
        let length = memchr::memchr2(delimiter, b'\n', rest);
        if length.is_none() && limit < end {
            return None;
        }
        place += length.unwrap_or(rest.len());
        cells.push(inner.unwrap_or_else(|| trim(text, start..place)));
        if cells.len() > MAX_COLUMNS {
            return None;
        }
        if byte_at(bytes, place) == delimiter {
            place += 1;
            // The frame at the end of a row is no cell.
            if is_framed {
                let rest = bytes.get(place..).unwrap_or_default();
                let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
                if matches!(rest.get(blanks), None | Some(b'\n')) {
                    return Some(place + blanks + 1);
                }
            }
        } else {
            return Some(place + 1);
        }
    }
}
