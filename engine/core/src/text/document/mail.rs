//! In: text that may start with the headers of an e-mail. Out: headers, parts and what is in them.

use std::ops::Range;

use super::{Document, Step, byte_at, html, json, lines, trim};

/// Headers one of which an e-mail starts with, in lower case (RFC 5322, RFC 2045).
const KNOWN: [&str; 22] = [
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "reply-to",
    "sender",
    "received",
    "return-path",
    "delivered-to",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "dkim-signature",
    "in-reply-to",
    "references",
    "x-mailer",
    "user-agent",
    "list-unsubscribe",
];
/// Longest name of a header, and most bytes of one header with its continuations.
const MAX_NAME: usize = 64;
const MAX_HEADER: usize = 16_384;
/// Deepest nesting of parts.
const MAX_PARTS_DEPTH: usize = 4;

/// Reads an e-mail from `at`; answers whether it is one.
pub(super) fn read(document: &mut Document, text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    let head = bytes.get(at..bytes.len().min(at + MAX_NAME)).unwrap_or_default();
    let Some(name) = memchr::memchr(b':', head).and_then(|colon| head.get(..colon)) else { return false };
    if !KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) {
        return false;
    }
    entity(document, text, at..text.len(), None, 0);
    true
}

/// Headers and a body.
fn entity(document: &mut Document, text: &str, range: Range<usize>, parent: Option<usize>, depth: usize) {
    let bytes = text.as_bytes();
    let mut at = range.start;
    let mut kind = Range { start: at, end: at };
    let mut is_encoded = false;
    while at < range.end && !document.is_full() {
        let end = line_end(bytes, at, range.end);
        let line = trim(text, at..end);
        if line.is_empty() {
            at = end + 1;
            break;
        }
        let Some(colon) = bytes.get(at..end.min(at + MAX_NAME)).and_then(|line| memchr::memchr(b':', line))
        else {
            break;
        };
        let name = at..at + colon;
        if !bytes.get(name.clone()).is_some_and(|name| !name.is_empty() && name.iter().all(is_name_byte)) {
            break;
        }
        // Lines that go on start with a blank.
        let mut value_end = end;
        while value_end < range.end.min(at + MAX_HEADER)
            && matches!(byte_at(bytes, value_end + 1), b' ' | b'\t')
        {
            value_end = line_end(bytes, value_end + 1, range.end);
        }
        let value = trim(text, name.end + 1..value_end);
        let of_name = text.get(name.clone()).unwrap_or_default();
        if of_name.eq_ignore_ascii_case("content-type") {
            kind = value.clone();
        } else if of_name.eq_ignore_ascii_case("content-transfer-encoding") {
            let encoding = text.get(value.clone()).unwrap_or_default();
            is_encoded = ["base64", "quoted-printable"].iter().any(|one| encoding.eq_ignore_ascii_case(one));
        }
        let node = document.node(parent, Step::Header, Some(name));
        document.field(value, node);
        at = value_end + 1;
    }
    let kind = text.get(kind).unwrap_or_default();
    let body = at.min(range.end)..range.end;
    let boundary = boundary(kind).filter(|_| depth < MAX_PARTS_DEPTH);
    if boundary.is_none()
        && let Some(part) = parent
    {
        document.parts.push((body.clone(), part));
    }
    match boundary {
        Some(boundary) => parts(document, text, body, parent, boundary, depth),
        // Its structure is that of another reading.
        None if is_encoded => {}
        None if kind.get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case("text/html")) => {
            html::read(document, text, body, parent);
        }
        None => {
            let start = trim(text, body.clone()).start;
            let end = match byte_at(bytes, start) {
                b'{' | b'[' => json::read(document, text, start, parent),
                _ => None,
            };
            lines::read(document, text, end.unwrap_or(start).min(body.end)..body.end, parent);
        }
    }
}

/// The parts between the lines of a boundary (RFC 2046, section 5.1).
fn parts(
    document: &mut Document,
    text: &str,
    range: Range<usize>,
    parent: Option<usize>,
    boundary: &str,
    depth: usize,
) {
    let mark = format!("--{boundary}");
    let Some(body) = text.get(range.clone()) else { return };
    let mut start = None;
    let mut number = 0;
    let marks = memchr::memmem::find_iter(body.as_bytes(), mark.as_bytes()).map(|at| range.start + at);
    for at in marks.chain([range.end]) {
        if document.is_full() {
            break;
        }
        if let Some(start) = start {
            number += 1;
            let node = document.node(parent, Step::Part(number), None);
            entity(document, text, start..at, Some(node), depth + 1);
        }
        let behind = at + mark.len();
        if text.as_bytes().get(behind..behind + 2) == Some(b"--") {
            break;
        }
        start = Some((line_end(text.as_bytes(), behind.min(range.end), range.end) + 1).min(range.end));
    }
}

/// The boundary that a content type names.
fn boundary(kind: &str) -> Option<&str> {
    let at = kind.to_ascii_lowercase().find("boundary=")? + 9;
    let rest = kind.get(at..)?;
    let boundary = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split([';', ' ', '\r', '\n', '\t']).next()?,
    };
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

fn is_name_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn line_end(bytes: &[u8], at: usize, end: usize) -> usize {
    let rest = bytes.get(at..end).unwrap_or_default();
    at + memchr::memchr(b'\n', rest).unwrap_or(rest.len())
}
