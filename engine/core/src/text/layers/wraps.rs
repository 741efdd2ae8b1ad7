//! In: line feeds. Out: nothing, where one breaks a token in two; a space, where one stands between two groups of
//! digits of one number.

use super::{Layer, Places};

/// Longest token on either side that is looked at, in bytes.
const MAX_TOKEN: usize = 128;
/// Deepest indentation or quotation of the line behind, in bytes.
const MAX_INDENT: usize = 16;

/// Places where a token goes on, and where a number does.
pub(super) fn find(text: &str) -> (Places, Places) {
    let bytes = text.as_bytes();
    let mut joined = Places::new(Layer::Joined);
    let mut continued = Places::new(Layer::Continued);
    for feed in memchr::memchr_iter(b'\n', bytes) {
        let line = bytes.get(feed.saturating_sub(MAX_TOKEN)..feed).unwrap_or_default();
        let end = feed - line.iter().rev().take_while(|byte| matches!(**byte, b' ' | b'\t' | b'\r')).count();
        let rest = bytes.get(feed + 1..bytes.len().min(feed + 1 + MAX_INDENT)).unwrap_or_default();
        let next = feed + 1 + rest.iter().take_while(|byte| matches!(**byte, b' ' | b'\t' | b'>')).count();
        let line = bytes.get(end.saturating_sub(MAX_TOKEN)..end).unwrap_or_default();
        let behind = bytes.get(next..bytes.len().min(next + MAX_TOKEN)).unwrap_or_default();
        if !line.last().is_some_and(|byte| is_token(*byte))
            || !behind.first().is_some_and(|byte| is_token(*byte))
        {
            continue;
        }
        // A key in front of it and what ends a sentence behind it are no part of a token.
        let head =
            line.rsplit(|byte| is_blank(*byte) || b"=:\"'(<".contains(byte)).next().unwrap_or_default();
        let tail = behind.split(|byte| is_blank(*byte)).next().unwrap_or_default();
        let punctuation = tail.iter().rev().take_while(|byte| b".,;:!?)\"'>".contains(byte)).count();
        let tail = tail.get(..tail.len() - punctuation).unwrap_or_default();
        if is_cut(head, tail) {
            joined.push(end..next, "");
        }
        if is_number_cut(line, tail) {
            continued.push(end..next, " ");
        }
    }
    (joined, continued)
}

fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-+/@.=".contains(&byte)
}

/// Whether two pieces look like one token: an address without the end of its domain, a random token, a number.
fn is_cut(head: &[u8], tail: &[u8]) -> bool {
    if let Some(at) = head.iter().position(|byte| *byte == b'@') {
        let domain = head.get(at + 1..).unwrap_or_default();
        return at > 0 && (!domain.contains(&b'.') || domain.last() == Some(&b'.'));
    }
    let digits = |piece: &[u8]| piece.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = |piece: &[u8]| piece.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let is_random = |piece: &[u8]| {
        let has = |what: fn(&u8) -> bool| piece.iter().any(what);
        piece.len() >= 8
            && letters(piece) > 2
            && (digits(piece) > 1
                || has(|byte| b"_-".contains(byte))
                || has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase))
    };
    if is_random(head) && is_random(tail) {
        return true;
    }
    let is_number = |piece: &[u8]| {
        digits(piece) >= 4 && letters(piece) <= 4 && piece.iter().all(u8::is_ascii_alphanumeric)
    };
    is_number(head) && is_number(tail)
}

/// Whether two groups of digits end a line and one starts the next.
fn is_number_cut(line: &[u8], tail: &[u8]) -> bool {
    let is_group = |group: &[u8]| {
        (1..=5).contains(&group.len())
            && group.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            && group.iter().any(u8::is_ascii_digit)
    };
    let mut groups = line.rsplit(|byte| b" .-=:".contains(byte));
    let tail = tail.split(|byte| matches!(byte, b'.' | b'-' | b',' | b';')).next().unwrap_or_default();
    groups.next().is_some_and(is_group) && groups.next().is_some_and(is_group) && is_group(tail)
}
