//! In: a text as sent and what to do to which spans of it. Out: the text that may leave.
//!
//! Spans may come in any order, overlap, repeat or reach beyond the text. Every code point that any edit covers
//! is replaced, never more than once: overlapping edits are joined, and the strictest edit of the group applies
//! to the whole of it. Redacting is stricter than masking, and masking is stricter the less it keeps.
//!
//! - [`Edit::Redact`] writes the label in brackets: `[IBAN]`. A group with several labels names each once, in the
//!   order of the text: `[IBAN, CARD]`.
//! - [`Edit::Mask`] writes `*` for each letter and digit and keeps what separates them, so a reader still sees
//!   what kind of value it was. Of the letters and digits the last `keep_last` stay, but never more than half of
//!   the value. A value of separators alone is masked wholly.
//!
//! Code points that render as nothing (zero-width and the like) inside an edited span are dropped with it, so
//! they cannot carry anything out.

use crate::Span;
use crate::text::NormalizedText;

/// What happens to a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Letters and digits become `*`, but for the last ones.
    Mask {
        /// How many letters and digits stay at the end; at most half of the value does.
        keep_last: u8,
    },
    /// The value becomes its label in brackets.
    Redact {
        /// What stands in the brackets, such as `IBAN`. Never the value.
        label: &'a str,
    },
}

/// Spans that overlap, as one.
struct Group<'a> {
    span: Span,
    /// Labels of the redacted spans in it, in the order of the text; when empty it is masked.
    labels: Vec<&'a str>,
    keep_last: u8,
}

/// Applies edits to a text. Total: any spans are accepted, what lies beyond the text is ignored.
#[must_use]
pub fn apply(original: &str, edits: &[(Span, Edit<'_>)]) -> String {
    let mut out = String::with_capacity(original.len());
    let mut rest = original;
    let mut at = 0;
    for group in join(edits) {
        let (kept, after) = split_at_code_point(rest, group.span.start - at);
        let (value, after) = split_at_code_point(after, group.span.end - group.span.start);
        out.push_str(kept);
        if value.is_empty() {
            // The span starts at or beyond the end of the text.
        } else if group.labels.is_empty() {
            mask(value, group.keep_last, &mut out);
        } else {
            out.push('[');
            out.push_str(&group.labels.join(", "));
            out.push(']');
        }
        rest = after;
        at = group.span.end;
    }
    out.push_str(rest);
    out
}

fn join<'a>(edits: &[(Span, Edit<'a>)]) -> Vec<Group<'a>> {
    let mut edits: Vec<_> = edits.iter().filter(|(span, _)| span.start < span.end).collect();
    edits.sort_by_key(|(span, _)| *span);
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (span, edit) in edits {
        let group = match groups.last_mut() {
            Some(last) if span.start < last.span.end => {
                last.span.end = last.span.end.max(span.end);
                last
            }
            _ => {
                groups.push(Group { span: *span, labels: Vec::new(), keep_last: u8::MAX });
                let Some(new) = groups.last_mut() else { continue };
                new
            }
        };
        match edit {
            Edit::Mask { keep_last } => group.keep_last = group.keep_last.min(*keep_last),
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

fn mask(value: &str, keep_last: u8, out: &mut String) {
    // What is kept is counted on the value as it reads, so that marks and ignorable code points do not count.
    let value = NormalizedText::new(value);
    let value = value.as_str();
    let total = value.chars().filter(|c| c.is_alphanumeric()).count();
    if value.chars().all(is_separator) {
        out.extend(value.chars().map(|_| '*'));
        return;
    }
    let mut hidden = total - usize::from(keep_last).min(total / 2);
    for c in value.chars() {
        if !c.is_alphanumeric() {
            out.push(if is_separator(c) { c } else { '*' });
        } else if hidden > 0 {
            hidden -= 1;
            out.push('*');
        } else {
            out.push(c);
        }
    }
}

/// Characters that only structure a value. Anything else, such as the `/` and `+` of a base64 secret or a
/// symbol of a password, may be part of it.
fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | '@' | ':' | '\n' | '(' | ')')
}

#[cfg(test)]
mod tests;
