//! In: HTML. Out: its texts and the values of its attributes.
//!
//! A text is announced by the `label`, `th` or `dt` before it and, in a table, by the head of its column; the value
//! of an attribute by the other attributes of its tag that name it.

use std::ops::Range;

use super::{Document, Step, byte_at, trim};

/// Longest tag that is read, in bytes.
const MAX_TAG: usize = 1024;
/// Most attributes of a tag, and most columns of a table.
const MAX_ATTRIBUTES: usize = 32;
const MAX_COLUMNS: usize = 256;

/// Tags one of which HTML in other text starts with, and their longest name.
const TAGS: [&str; 28] = [
    "html", "head", "body", "table", "thead", "tbody", "tr", "td", "th", "div", "span", "p", "a", "ul", "ol",
    "li", "dl", "dt", "h1", "h2", "h3", "form", "label", "input", "section", "article", "br", "b",
];
const MAX_TAG_NAME: usize = 8;

/// What the tags so far say of the text behind them.
#[derive(Default)]
struct State {
    /// Name of the last element that was opened.
    tag: Range<usize>,
    /// The text of the last `label`, `th` or `dt`.
    label: Option<Range<usize>>,
    is_label: bool,
    /// In a table: the heads of its columns, and which row and column comes next.
    heads: Vec<Range<usize>>,
    row: Option<(usize, usize)>,
    rows: usize,
    column: usize,
}

pub(super) fn read(document: &mut Document, text: &str, range: Range<usize>, parent: Option<usize>) {
    let bytes = text.as_bytes();
    let Some(body) = bytes.get(range.clone()) else { return };
    let mut state = State { tag: range.start..range.start, ..State::default() };
    let mut done = range.start;
    for at in memchr::memchr_iter(b'<', body).map(|at| range.start + at) {
        if document.is_full() {
            return;
        }
        if at < done {
            continue;
        }
        let Some(end) = tag_end(bytes, at, range.end) else { continue };
        plain(document, text, done..at, parent, &mut state);
        tag(document, text, at..end, parent, &mut state);
        done = end;
    }
    plain(document, text, done..range.end, parent, &mut state);
}

/// Where the tag or comment at `at` ends; nothing when it is none, or longer than any.
fn tag_end(bytes: &[u8], at: usize, end: usize) -> Option<usize> {
    let rest = bytes.get(at..end.min(at + MAX_TAG))?;
    if rest.starts_with(b"<!--") {
        return Some(at + memchr::memmem::find(rest, b"-->")? + 3);
    }
    if !matches!(byte_at(rest, 1), b'!' | b'/' | b'?' | b'a'..=b'z' | b'A'..=b'Z') {
        return None;
    }
    let mut place = 1;
    for _ in 0..=MAX_ATTRIBUTES {
        place += memchr::memchr2(b'>', b'=', rest.get(place..)?)?;
        if byte_at(rest, place) == b'>' {
            return Some(at + place + 1);
        }
        place += 1;
        let quote = byte_at(rest, place);
        if matches!(quote, b'"' | b'\'') {
            place += memchr::memchr(quote, rest.get(place + 1..)?)? + 2;
        }
    }
    None
}

/// Text between tags.
fn plain(document: &mut Document, text: &str, range: Range<usize>, parent: Option<usize>, state: &mut State) {
    let range = trim(text, range);
    if range.is_empty() || state.tag.is_empty() {
        return;
    }
    if state.is_label {
        state.label = Some(range.clone());
    }
    let node = match state.row {
        Some((row, column)) if column > 0 => {
            let head = state.heads.get(column - 1).cloned();
            let of_row = document.node(parent, Step::Row(row), None);
            document.node(Some(of_row), Step::Column(column), head.or_else(|| state.label.clone()))
        }
        _ => {
            let label = if state.is_label { None } else { state.label.clone() };
            document.node(parent, Step::Element(state.tag.clone()), label)
        }
    };
    document.field(range.clone(), node);
    let name = text.get(state.tag.clone()).unwrap_or_default();
    if name.eq_ignore_ascii_case("th") && state.rows <= 1 && state.heads.len() < MAX_COLUMNS {
        state.heads.push(range);
    }
}

fn tag(document: &mut Document, text: &str, range: Range<usize>, parent: Option<usize>, state: &mut State) {
    let bytes = text.as_bytes();
    let is_end = byte_at(bytes, range.start + 1) == b'/';
    let start = range.start + 1 + usize::from(is_end);
    let rest = bytes.get(start..range.end).unwrap_or_default();
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    let name = start..start + length;
    let of_name = text.get(name.clone()).unwrap_or_default().to_ascii_lowercase();
    match (of_name.as_str(), is_end) {
        ("label" | "dt", _) => state.is_label = !is_end,
        ("th", _) => {
            // A head at the start of a row of data names that row.
            state.is_label = !is_end && state.rows > 1;
        }
        ("table", _) => {
            state.heads.clear();
            (state.rows, state.row, state.label) = (0, None, None);
        }
        ("tr", false) => {
            (state.rows, state.column, state.row) = (state.rows + 1, 0, None);
            if state.rows > 1 {
                state.label = None;
            }
        }
        ("td", false) => {
            state.column += 1;
            let rows_of_head = usize::from(!state.heads.is_empty());
            state.row = Some((state.rows.saturating_sub(rows_of_head).max(1), state.column));
        }
        ("td" | "tr", true) => state.row = None,
        ("dd" | "p" | "div" | "form" | "li" | "h1" | "h2" | "h3", true) => state.label = None,
        _ => {}
    }
    if is_end {
        return;
    }
    if length > 0 {
        state.tag = name.clone();
    }
    attributes(document, text, name.end..range.end, &name, parent, state);
}

/// The attributes of a tag, as fields.
fn attributes(
    document: &mut Document,
    text: &str,
    range: Range<usize>,
    tag: &Range<usize>,
    parent: Option<usize>,
    state: &State,
) {
    let bytes = text.as_bytes();
    let mut found: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    let mut at = range.start;
    while at < range.end && found.len() < MAX_ATTRIBUTES {
        let rest = bytes.get(at..range.end).unwrap_or_default();
        let Some(sign) = memchr::memchr(b'=', rest).map(|sign| at + sign) else { break };
        let before = bytes.get(at..sign).unwrap_or_default();
        let length = before
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':'))
            .count();
        let quote = byte_at(bytes, sign + 1);
        let value = if matches!(quote, b'"' | b'\'') {
            let inner = bytes.get(sign + 2..range.end).unwrap_or_default();
            sign + 2..sign + 2 + memchr::memchr(quote, inner).unwrap_or(inner.len())
        } else {
            let inner = bytes.get(sign + 1..range.end).unwrap_or_default();
            sign + 1
                ..sign
                    + 1
                    + inner
                        .iter()
                        .position(|byte| byte.is_ascii_whitespace() || *byte == b'>')
                        .unwrap_or(inner.len())
        };
        at = value.end + 1;
        found.push((sign - length..sign, value));
    }
    if found.is_empty() {
        return;
    }
    let names = ["name", "id", "aria-label", "placeholder", "title", "itemprop", "property"];
    let label = found
        .iter()
        .find(|(name, _)| {
            text.get(name.clone()).is_some_and(|name| names.contains(&name.to_ascii_lowercase().as_str()))
        })
        .map(|(_, value)| value.clone())
        .or_else(|| state.label.clone());
    let element = document.node(parent, Step::Element(tag.clone()), label);
    for (name, value) in found {
        let node = document.node(Some(element), Step::Attribute(name.clone()), Some(name));
        document.field(value, node);
    }
}

/// Whether a line starts as HTML does: with a tag that it has, a comment or a declaration.
pub(super) fn starts(line: &[u8]) -> bool {
    let [b'<', rest @ ..] = line else { return false };
    if matches!(rest, [b'!', b'-' | b'D' | b'd', ..] | [b'?', b'x', ..]) {
        return true;
    }
    let name =
        rest.get(..rest.iter().take(MAX_TAG_NAME).take_while(|byte| byte.is_ascii_alphanumeric()).count());
    let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else { return false };
    TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(name))
}
