//! In: lines. Out: the values of `key: value` and `key=value`, and the tables and JSON texts among them.

use std::ops::Range;

use super::{Document, Step, byte_at, html, is_name, json, table, trim, unquoted};

/// Longest key, in bytes.
const MAX_KEY: usize = 40;
/// Most pairs of a line, as logs write them.
const MAX_PAIRS: usize = 64;
/// Deepest indentation of keys that is followed.
const MAX_INDENT: usize = 16;

pub(super) fn read(document: &mut Document, text: &str, range: Range<usize>, parent: Option<usize>) {
    let bytes = text.as_bytes();
    // Keys without a value on their line, by indentation: those below belong to them.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut section = None;
    let mut at = range.start;
    // Whether a table may start here: at the first line, and behind an empty one.
    let mut is_fresh = true;
    while at < range.end && !document.is_full() {
        let rest = bytes.get(at..range.end).unwrap_or_default();
        let end = at + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = trim(text, at..end);
        if line.is_empty() {
            is_fresh = true;
            at = end + 1;
            continue;
        }
        let first = byte_at(bytes, line.start);
        if (is_fresh || first == b'|')
            && let Some(table_end) = table::read(document, text, line.start..range.end, parent)
        {
            at = table_end;
            continue;
        }
        is_fresh = false;
        if first == b'<' && html::starts(bytes.get(line.clone()).unwrap_or_default()) {
            html::read(document, text, line.start..range.end, parent);
            return;
        }
        if matches!(first, b'{' | b'[')
            && let Some(json_end) = json::read(document, text, line.start, parent)
        {
            at = json_end.max(line.start + 1);
            continue;
        }
        if first == b'[' && byte_at(bytes, line.end - 1) == b']' {
            let name = line.start + 1..line.end - 1;
            section = is_key(text, &name).then(|| document.node(parent, Step::Key, Some(name)));
            open.clear();
            at = end + 1;
            continue;
        }
        let dash = text.get(line.clone()).unwrap_or_default();
        let key_start =
            line.start + (dash.len() - dash.trim_start_matches(['-', '*', '>', '#', ' ', '\t']).len());
        let indent = key_start - at;
        open.retain(|(outer, _)| *outer < indent);
        let above = open.last().map(|(_, node)| *node).or(section).or(parent);
        let mut value_end = line.end;
        if let Some((key, value)) = pair(text, key_start..line.end) {
            let node = document.node(above, Step::Key, Some(key));
            if value.is_empty() {
                if open.len() < MAX_INDENT {
                    open.push((indent, node));
                }
            } else if let Some(start) = inner_json(bytes, &value)
                && let Some(json_end) = json::read(document, text, start, Some(node))
            {
                value_end = json_end;
            } else {
                pairs_or_field(document, text, value, node, above);
            }
        } else if let Some(start) = inner_json(bytes, &line)
            && let Some(json_end) = json::read(document, text, start, above)
        {
            value_end = json_end;
        } else {
            pairs(document, text, line.clone(), above);
        }
        at = if value_end > line.end { value_end } else { end + 1 };
    }
}

/// A key with what is behind its `:` or `=`.
fn pair(text: &str, line: Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
    let bytes = text.as_bytes();
    let head = bytes.get(line.start..line.end.min(line.start + MAX_KEY + 2))?;
    let sign = line.start + memchr::memchr2(b':', b'=', head)?;
    let is_sign = byte_at(bytes, sign) == b'='
        || sign + 1 == line.end
        || byte_at(bytes, sign + 1).is_ascii_whitespace();
    let key = unquoted(bytes, trim(text, line.start..sign));
    let value = unquoted(bytes, trim(text, sign + 1..line.end));
    (is_sign && is_key(text, &key)).then_some((key, value))
}

fn is_key(text: &str, key: &Range<usize>) -> bool {
    text.get(key.clone()).is_some_and(is_name)
}

/// Where JSON starts in a line: an object with a member.
fn inner_json(bytes: &[u8], line: &Range<usize>) -> Option<usize> {
    let of_line = bytes.get(line.clone())?;
    memchr::memchr2_iter(b'{', b'[', of_line)
        .take(4)
        .find(|at| {
            matches!(
                (byte_at(of_line, *at), byte_at(of_line, at + 1)),
                (b'{', b'"' | b'\'') | (b'[', b'{' | b'"')
            )
        })
        .map(|at| line.start + at)
}

/// The value of a line, or the pairs in it when its key was the first of several.
fn pairs_or_field(
    document: &mut Document,
    text: &str,
    value: Range<usize>,
    node: usize,
    above: Option<usize>,
) {
    let bytes = text.as_bytes();
    let of_value = bytes.get(value.clone()).unwrap_or_default();
    let has_more = memchr::memchr(b'=', of_value).is_some_and(|at| {
        at > 1
            && byte_at(of_value, at - 1).is_ascii_alphanumeric()
            && of_value.iter().take(at).any(|byte| *byte == b' ')
    });
    if !has_more {
        document.line(text, value, node);
        return;
    }
    let first =
        text.get(value.clone()).and_then(|value| value.find(' ')).map_or(value.end, |at| value.start + at);
    document.line(text, value.start..first, node);
    pairs(document, text, first..value.end, above);
}

/// `key=value` pairs in a line.
fn pairs(document: &mut Document, text: &str, line: Range<usize>, above: Option<usize>) {
    let bytes = text.as_bytes();
    let Some(of_line) = bytes.get(line.clone()) else { return };
    let mut done = line.start;
    for at in memchr::memchr_iter(b'=', of_line).take(MAX_PAIRS).map(|at| line.start + at) {
        if at < done {
            continue;
        }
        let before = bytes.get(done.max(at.saturating_sub(MAX_KEY))..at).unwrap_or_default();
        let length = before
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
            .count();
        let key = at - length..at;
        if key.is_empty() || !is_key(text, &key) {
            continue;
        }
        let quote = byte_at(bytes, at + 1);
        let rest = bytes.get(at + 1..line.end).unwrap_or_default();
        let value = if matches!(quote, b'"' | b'\'') {
            let inner = rest.get(1..).unwrap_or_default();
            at + 2..at + 2 + memchr::memchr(quote, inner).unwrap_or(inner.len())
        } else {
            at + 1
                ..at + 1
                    + rest
                        .iter()
                        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'&' | b';' | b','))
                        .unwrap_or(rest.len())
        };
        done = value.end;
        let node = document.node(above, Step::Key, Some(key));
        document.line(text, value, node);
    }
}
