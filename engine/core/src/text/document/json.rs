//! In: a `{` or `[`. Out: the members and elements from there, as far as it is JSON (RFC 8259).
//!
//! Single quotes (as Python writes them), comments aside, trailing commas and a cut-off end are all read.

use std::ops::Range;

use super::{Document, Step, byte_at};

/// Deepest nesting that is read.
const MAX_NESTING: usize = 128;

/// A value that contains others.
struct Open {
    node: usize,
    /// Of an array, how many elements came before; `None` for an object.
    index: Option<usize>,
    /// Of an object, the key whose value comes next.
    key: Option<Range<usize>>,
}

/// Reads the JSON text from `at`; answers where it ends, or nothing when it is none: no member or string in it, or
/// it starts within what was tried before and was none.
pub(super) fn read(document: &mut Document, text: &str, at: usize, parent: Option<usize>) -> Option<usize> {
    if at < document.no_json_before {
        return None;
    }
    let bytes = text.as_bytes();
    let (nodes, fields) = (document.nodes.len(), document.fields.len());
    let mut stack: Vec<Open> = Vec::new();
    let mut place = at;
    let mut is_json = false;
    loop {
        while byte_at(bytes, place).is_ascii_whitespace() {
            place += 1;
        }
        if document.is_full() {
            break;
        }
        let byte = byte_at(bytes, place);
        match byte {
            b'{' | b'[' => {
                if stack.len() >= MAX_NESTING {
                    break;
                }
                let node = node_of_value(document, &mut stack, parent);
                stack.push(Open { node, index: (byte == b'[').then_some(0), key: None });
                place += 1;
            }
            b'}' | b']' => {
                stack.pop();
                place += 1;
                if stack.is_empty() {
                    break;
                }
            }
            b',' => place += 1,
            b'"' | b'\'' => {
                let Some(end) = string_end(bytes, place) else {
                    // No such mark follows: what comes is no JSON either.
                    document.no_json_before = text.len();
                    break;
                };
                let inner = place + 1..end - 1;
                let colon = end
                    + bytes
                        .get(end..)
                        .unwrap_or_default()
                        .iter()
                        .take(8)
                        .take_while(|byte| byte.is_ascii_whitespace())
                        .count();
                let is_key = stack.last().is_some_and(|open| open.index.is_none() && open.key.is_none());
                if is_key {
                    if byte_at(bytes, colon) != b':' {
                        break;
                    }
                    is_json = true;
                    if let Some(open) = stack.last_mut() {
                        open.key = Some(inner);
                    }
                    place = colon + 1;
                } else {
                    is_json |= stack.len() > 1 || byte_at(bytes, at) == b'[' && byte == b'"';
                    let node = node_of_value(document, &mut stack, parent);
                    document.field(inner, node);
                    place = end;
                }
            }
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') => {
                let rest = bytes.get(place..).unwrap_or_default();
                let is_end = |byte: &u8| {
                    byte.is_ascii_whitespace() || matches!(byte, b',' | b'}' | b']' | b':' | b'"')
                };
                let end = place + rest.iter().position(is_end).unwrap_or(rest.len());
                if stack.last().is_none_or(|open| open.index.is_none() && open.key.is_none()) {
                    break;
                }
                let node = node_of_value(document, &mut stack, parent);
                document.field(place..end, node);
                place = end;
            }
            _ => break,
        }
    }
    if is_json {
        return Some(place.min(text.len()));
    }
    document.no_json_before = document.no_json_before.max(place);
    document.nodes.truncate(nodes);
    document.fields.truncate(fields);
    None
}

/// The step to the value that comes next.
fn node_of_value(document: &mut Document, stack: &mut [Open], parent: Option<usize>) -> usize {
    let Some(open) = stack.last_mut() else { return document.node(parent, Step::Root, None) };
    match &mut open.index {
        Some(index) => {
            let node = document.node(Some(open.node), Step::Index(*index), None);
            *index += 1;
            node
        }
        None => {
            let key = open.key.take();
            document.node(Some(open.node), Step::Member, key)
        }
    }
}

/// Where the string from the quotation mark at `at` ends.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let quote = byte_at(bytes, at);
    let mut place = at + 1;
    loop {
        place += memchr::memchr2(quote, b'\\', bytes.get(place..)?)?;
        if byte_at(bytes, place) == quote {
            return Some(place + 1);
        }
        place += 2;
    }
}
