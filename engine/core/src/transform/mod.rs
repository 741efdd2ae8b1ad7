//! In: a text as sent and what to do to which spans of it. Out: the text that may leave; and from an answer with
//! tokens in it the answer with what they stand for ([`Restorer`]).
//!
//! Spans may come in any order, overlap, repeat or reach beyond the text. Every code point that any edit covers
//! is replaced, never more than once: overlapping edits are joined, and the strictest edit of the group applies
//! to the whole of it. Redacting is stricter than tokenizing, which is stricter than masking; masking is stricter the
//! less it keeps, and what is tokenized in several ways is in the strictest of each property.
//!
//! - [`Edit::Redact`] writes the label in brackets: `[IBAN]`. A group with several labels names each once, in the
//!   order of the text: `[IBAN, CARD]`.
//! - [`Edit::Tokenize`] writes a token, hash or pseudonym (see `token`), with the first type of a group. What is too
//!   long for a token is redacted.
//! - [`Edit::Mask`] writes `*` for each letter and digit and keeps what separates them, so a reader still sees
//!   what kind of value it was. Of the letters and digits the last `keep_last` stay, but never more than half of
//!   the value, and none before an `@`, where they would read as an address. A value of separators alone is masked
//!   wholly.
//!
//! Code points that render as nothing (zero-width and the like) inside a span that is masked or redacted are dropped
//! with it, so they cannot carry anything out; in a token they are encrypted like all the rest.

mod restore;
mod shape;
mod token;

use crate::policy::lattice::Tokenize;
use crate::text::NormalizedText;
use crate::{Fingerprint, Span};

pub use restore::{ListedToken, MAX_LISTED, MAX_LISTED_BYTES, Restored, Restorer};
pub(crate) use token::Written;
pub use token::{MAX_TOKEN_BYTES, MAX_VALUE_BYTES, TokenKey, Tokens};
use token::{StandIn, Value};

/// What happens to a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Letters and digits become `*`, but for the last ones.
    Mask {
        /// How many letters and digits stay at the end; at most half of the value does.
        keep_last: u8,
    },
    /// Something else stands for the value.
    Tokenize {
        /// Type of the value, such as `IBAN`.
        kind: &'a str,
        /// Of the normalised value.
        fingerprint: Fingerprint,
        /// What stands for it.
        how: Tokenize,
    },
    /// The value becomes its label in brackets.
    Redact {
        /// What stands in the brackets, such as `IBAN`. Never the value.
        label: &'a str,
    },
}

/// A text after its edits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The text that may leave.
    pub text: String,
    /// The tokens in it that keep the format of what they stand for, each once, in the order of the text: who wants
    /// them read back must name them.
    pub listed: Vec<ListedToken>,
}

/// Spans that overlap, as one.
struct Group<'a> {
    span: Span,
    /// Whether all of them are the same span.
    is_one: bool,
    /// Labels of the redacted spans in it, in the order of the text; when empty it is tokenized or masked.
    labels: Vec<&'a str>,
    /// The first type that is tokenized, and how, over all.
    tokenize: Option<(&'a str, Tokenize)>,
    fingerprints: Vec<Fingerprint>,
    keep_last: u8,
}

/// Applies edits to a text. Total: any spans are accepted, what lies beyond the text is ignored.
#[must_use]
pub fn apply(original: &str, edits: &[(Span, Edit<'_>)], tokens: &Tokens) -> Applied {
    let mut text = String::with_capacity(original.len());
    let listed = apply_to(original, edits, tokens, |segment| match segment {
        Segment::Kept(kept) => text.push_str(kept),
        Segment::Put(put) => text.push_str(&put),
    });
    Applied { text, listed }
}

/// A piece of a text after its edits.
pub(crate) enum Segment<'t> {
    /// As it was sent.
    Kept(&'t str),
    /// In the place of something.
    Put(String),
}

/// As [`apply`], piece by piece. Returns [`Applied::listed`].
pub(crate) fn apply_to(
    original: &str,
    edits: &[(Span, Edit<'_>)],
    tokens: &Tokens,
    mut take: impl FnMut(Segment<'_>),
) -> Vec<ListedToken> {
    let mut listed = Vec::new();
    let mut rest = original;
    let mut at = 0;
    for group in join(edits) {
        let span = group.span;
        let (kept, after) = split_at_code_point(rest, span.start - at);
        let (value, after) = split_at_code_point(after, span.end - span.start);
        take(Segment::Kept(kept));
        // Else the span starts at or beyond the end of the text.
        if !value.is_empty() {
            let keep_last = if after.starts_with('@') { 0 } else { group.keep_last };
            take(Segment::Put(replace(value, &Group { keep_last, ..group }, tokens, &mut listed)));
        }
        rest = after;
        at = span.end;
    }
    take(Segment::Kept(rest));
    listed
}

fn replace(value: &str, group: &Group<'_>, tokens: &Tokens, listed: &mut Vec<ListedToken>) -> String {
    let mut labels = group.labels.as_slice();
    if let Some((kind, how)) = &group.tokenize
        && labels.is_empty()
    {
        // Two detectors that saw the same are one finding by its first name.
        let seen = if group.is_one { group.fingerprints.get(..1) } else { None };
        let fingerprints = seen.unwrap_or(&group.fingerprints);
        let value = Value { kind, text: value, fingerprints, is_one: group.is_one };
        match tokens.stand_in(&value, *how) {
            Some(StandIn::Bracketed(token)) => return token,
            Some(StandIn::Shaped(token)) => {
                let one = ListedToken { kind: (*kind).to_owned(), token, scope: how.scope };
                if listed.contains(&one) {
                    return one.token;
                }
                if listed.len() < MAX_LISTED {
                    listed.push(one.clone());
                    return one.token;
                }
                // Nobody could name more of them; one in brackets needs no name.
                let how = Tokenize { preserve_format: false, ..*how };
                if let Some(StandIn::Bracketed(token)) = tokens.stand_in(&value, how) {
                    return token;
                }
            }
            None => {}
        }
        labels = std::slice::from_ref(kind);
    }
    if labels.is_empty() { mask(value, group.keep_last) } else { format!("[{}]", labels.join(", ")) }
}

fn join<'a>(edits: &[(Span, Edit<'a>)]) -> Vec<Group<'a>> {
    let mut edits: Vec<_> = edits.iter().filter(|(span, _)| span.start < span.end).collect();
    edits.sort_by_key(|(span, _)| *span);
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (span, edit) in edits {
        let group = match groups.last_mut() {
            Some(last) if span.start < last.span.end => {
                last.is_one &= *span == last.span;
                last.span.end = last.span.end.max(span.end);
                last
            }
            _ => {
                groups.push(Group {
                    span: *span,
                    is_one: true,
                    labels: Vec::new(),
                    tokenize: None,
                    fingerprints: Vec::new(),
                    keep_last: u8::MAX,
                });
                let Some(new) = groups.last_mut() else { continue };
                new
            }
        };
        match edit {
            Edit::Mask { keep_last } => group.keep_last = group.keep_last.min(*keep_last),
            Edit::Tokenize { kind, fingerprint, how } => {
                group.tokenize = match group.tokenize {
                    Some((kind, held)) => Some((kind, held.join(*how))),
                    None => Some((kind, *how)),
                };
                group.fingerprints.push(*fingerprint);
            }
            Edit::Redact { label } if group.labels.contains(label) => {}
            Edit::Redact { label } => group.labels.push(label),
        }
    }
    groups
}

/// Splits before code point `count`; what is beyond the end is empty.
fn split_at_code_point(text: &str, count: usize) -> (&str, &str) {
    let at = text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    text.split_at_checked(at).unwrap_or((text, ""))
}

fn mask(value: &str, keep_last: u8) -> String {
    // What is kept is counted on the value as it reads, so that marks and ignorable code points do not count.
    let value = NormalizedText::new(value);
    let value = value.as_str();
    let total = value.chars().filter(|c| c.is_alphanumeric()).count();
    if value.chars().all(is_separator) {
        return value.chars().map(|_| '*').collect();
    }
    let mut hidden = total - usize::from(keep_last).min(total / 2);
    let masked = |c: char| match c {
        _ if !c.is_alphanumeric() => {
            if is_separator(c) {
                c
            } else {
                '*'
            }
        }
        _ if hidden > 0 => {
            hidden -= 1;
            '*'
        }
        _ => c,
    };
    value.chars().map(masked).collect()
}

/// Characters that only structure a value. Anything else, such as the `/` and `+` of a base64 secret or a
/// symbol of a password, may be part of it.
fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | '@' | ':' | '\n' | '(' | ')')
}

#[cfg(test)]
mod tests;
