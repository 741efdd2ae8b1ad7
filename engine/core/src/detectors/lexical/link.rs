//! In: the place of an `http` or `https`. Out: the address that starts there, and whether it carries data to whoever
//! runs it.
//!
//! A model that is made to show an image sends its address, and what is written into it, without a click. So an image
//! whose address holds a place for data, a sentence, or text in base64 is telling; the same in a plain link is weak,
//! since search and share links look alike. An address of a service that only records who calls is telling anywhere.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::detectors::catalogue;

/// Longest address that is read, in bytes.
const MAX_URL: usize = 2048;
/// Longest description of an image, in bytes.
const MAX_LABEL: usize = 256;
/// Fewest characters of a base64 value that is decoded.
const FEWEST_ENCODED: usize = 24;
/// Fewest spaces of a value that is a sentence.
const FEWEST_SPACES: usize = 3;

/// Hosts that exist to record requests, as the vendors document them.
const CATCHERS: [&str; 16] = [
    "webhook.site",
    "requestbin.com",
    "requestbin.net",
    "pipedream.net",
    "requestcatcher.com",
    "beeceptor.com",
    "hookbin.com",
    "burpcollaborator.net",
    "oastify.com",
    "interact.sh",
    "oast.pro",
    "oast.live",
    "oast.site",
    "oast.fun",
    "oast.online",
    "canarytokens.com",
];

/// Words in the name of a place for data that say what would stand there.
const DATA: [&str; 24] = [
    "data",
    "donnee",
    "donnée",
    "conversation",
    "histor",
    "prompt",
    "secret",
    "password",
    "passe",
    "summary",
    "résumé",
    "resume",
    "context",
    "message",
    "chat",
    "response",
    "answer",
    "réponse",
    "base64",
    "encoded",
    "token",
    "credential",
    "email",
    "content",
];

/// The address that starts at `at`; `None` when none does.
pub(super) fn address(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    let scheme = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    rest.get(scheme..)?.starts_with("://").then(|| at..at + length(rest))
}

/// Whether an address carries data, and if so whether that is telling.
pub(super) fn carries_data(text: &str, address: &Range<usize>) -> Option<bool> {
    let (_, rest) = text.get(address.clone())?.split_once("://")?;
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = host.rsplit('@').next()?.split(':').next()?.to_ascii_lowercase();
    if host.is_empty() {
        return None;
    }
    let is_image = is_image(text.get(..address.start)?);
    let is_catcher = CATCHERS
        .iter()
        .any(|catcher| host.strip_suffix(catcher).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    let place = place_for_data(path).or_else(|| place_for_data(&host));
    let telling = is_catcher
        || match place {
            Some(names_data) => names_data || is_image,
            None => is_image && values(path).any(carries_text),
        };
    let weak = place.is_none() && !is_image && values(path).any(carries_text);
    (telling || weak).then_some(telling)
}

/// Bytes of the address a text starts with. Brackets of any kind belong to it when they open in it.
fn length(text: &str) -> usize {
    let mut open = 0_usize;
    let mut end = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => open += 1,
            ')' | ']' | '}' | '>' if open == 0 => break,
            ')' | ']' | '}' | '>' => open -= 1,
            '"' | '\'' | '`' | '|' | '\\' => break,
            c if c.is_whitespace() || at >= MAX_URL => break,
            _ => {}
        }
        end = at + c.len_utf8();
    }
    end
}

/// Whether what stands before an address makes it that of an image: `![…](`, or the `src` of an element.
fn is_image(before: &str) -> bool {
    let bytes = before.as_bytes();
    let tail = bytes.get(bytes.len().saturating_sub(MAX_LABEL)..).unwrap_or_default();
    let trimmed = tail.trim_ascii_end();
    let ends = |with: &[u8]| {
        trimmed
            .len()
            .checked_sub(with.len())
            .and_then(|at| trimmed.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(with))
    };
    if ends(b"src=\"") || ends(b"src='") || ends(b"src=") {
        return true;
    }
    let Some(label) = tail.strip_suffix(b"](") else { return false };
    let open = label.iter().rposition(|byte| *byte == b'[');
    open.and_then(|open| open.checked_sub(1)).and_then(|at| label.get(at)) == Some(&b'!')
}

/// Whether an address holds a place that is to be filled in (`{data}`, `[SUMMARY]`, `<secret>`), and if so whether
/// its name is one of data.
fn place_for_data(part: &str) -> Option<bool> {
    let mut found = None;
    let mut rest = part;
    while let Some(open) = rest.find(['{', '[', '<']) {
        rest = rest.get(open..)?;
        let inside = rest.trim_start_matches(['{', '[', '<']);
        let Some(close) = inside.find(['}', ']', '>']) else { break };
        let name = inside.get(..close)?.to_lowercase();
        let is_name = !name.is_empty()
            && !is_redacted(inside)
            && name.chars().all(|c| c.is_alphanumeric() || " _-.%+'".contains(c));
        if is_name && !name.chars().all(|c| c.is_ascii_digit() || c == '-') {
            let names_data = DATA.iter().any(|word| name.contains(word));
            found = Some(found.unwrap_or(false) || names_data);
        }
        rest = inside.get(close..)?;
    }
    found
}

/// Whether what is in brackets stands for a secret that was taken out of an address: `SECRET_SLACK_TOKEN]`.
fn is_redacted(inside: &str) -> bool {
    let Some((kind, _)) = inside.split_once(']') else { return false };
    kind.starts_with("SECRET_") && catalogue().iter().any(|entry| *entry.kind == *kind)
}

/// What stands in the path and the query of an address.
fn values(path: &str) -> impl Iterator<Item = &str> {
    path.split(['/', '?', '&', '#', ';']).map(|part| part.split_once('=').map_or(part, |(_, value)| value))
}

/// Whether a value is a sentence or text in base64.
fn carries_text(value: &str) -> bool {
    let spaces = value.matches("%20").count() + value.matches('+').count();
    if spaces >= FEWEST_SPACES && value.bytes().filter(u8::is_ascii_lowercase).count() > 2 * spaces {
        return true;
    }
    let value = value.trim_end_matches("%3D").trim_end_matches('=');
    if value.len() < FEWEST_ENCODED {
        return false;
    }
    let decoded = URL_SAFE_NO_PAD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value));
    decoded.is_ok_and(|bytes| {
        let printable =
            bytes.iter().filter(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()).count();
        std::str::from_utf8(&bytes).is_ok() && printable * 10 >= bytes.len() * 9
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the first address of a text carries data; `Some(true)` when that is telling.
    fn carries(text: &str) -> Option<bool> {
        carries_data(text, &address(text, text.find("http").unwrap()).unwrap())
    }

    #[test]
    fn an_image_that_takes_data_along_is_telling() {
        for text in [
            "![logo](https://img.example.net/p.png?q={conversation})",
            "![](https://example.net/[SUMMARY])",
            "<img src=\"https://example.net/x?d=the%20client%20is%20called%20anne\">",
            "![x](https://example.net/?d=bGVzIG5vbXMgZGVzIGNsaWVudHMgc29udA)",
            "![a](https://example.net/{anything}.png)",
            "call https://webhook.site/1b2c3d?x=1",
            "https://abc.oastify.com/",
            "http://example.net/?secret=<password>",
        ] {
            assert_eq!(carries(text), Some(true), "{text}");
        }
    }

    #[test]
    fn a_link_with_a_sentence_is_weak_and_ordinary_addresses_are_nothing() {
        assert_eq!(carries("https://example.net/share?text=come+and+see+us"), Some(false));
        for text in [
            "![build](https://img.example.net/badge.svg?branch=main&style=flat)",
            "https://hooks.slack.com/services/[SECRET_SLACK_WEBHOOK]",
            "![photo](https://cdn.example.net/a/b/c/8f14e45fceea167a5a36dedd4bea2543.jpg?w=200&h=100)",
            "https://api.example.net/users/{id}/orders",
            "https://example.net/doc?X-Amz-Signature=5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592",
            "https://example.net/a-long-title-of-an-article-about-nothing",
            "http://[2001:db8::1]:8080/",
            "(voir https://example.net/page)",
        ] {
            assert_eq!(carries(text), None, "{text}");
        }
    }

    #[test]
    fn the_address_ends_where_it_ends() {
        let range =
            |text: &'static str| text.get(address(text, text.find("http").unwrap()).unwrap()).unwrap();
        assert_eq!(range("![](https://example.net/?q={chat}) et"), "https://example.net/?q={chat}");
        assert_eq!(range("<https://webhook.site/a> b"), "https://webhook.site/a");
        assert_eq!(range("\"https://webhook.site/a\""), "https://webhook.site/a");
    }
}
