//! In: what a recogniser outside of the engine says it saw. Out: findings with fingerprints, like those of the engine's
//! own detectors.
//!
//! The core asks nobody: whoever calls it hands these findings over with the text. They are foreign input, so those that
//! do not lie in the text are left out. They have detectors of their own, `external.<recogniser>.<type>`, which a policy
//! selects as it does any other. Among themselves they are settled as built-in ones are: what lies wholly inside another
//! of the same recogniser with at least the same score is dropped. They neither hide nor change what the engine found by
//! itself, and nothing of that hides them, since a policy may look for the ones and not for the others.

use std::sync::Arc;

use crate::detectors::plain;
use crate::text::NormalizedText;
use crate::{Finding, FingerprintKey, Span};

/// What the ids of all external detectors begin with.
pub const EXTERNAL: &str = "external.";

/// Longest name of a recogniser and longest type, in bytes.
const MAX_NAME: usize = 48;

/// Why something cannot be an external detector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExternalError {
    /// The name of a recogniser.
    #[error("a recogniser's name has 1 to {MAX_NAME} lower-case letters, digits and `-` between them")]
    Name,
    /// A type.
    #[error("a type has 1 to {MAX_NAME} capital letters, digits and `_` between them, a letter first")]
    Kind,
    /// An id.
    #[error("an external detector is written `external.<recogniser>.<type>`, all in lower case")]
    Id,
}

/// What a recogniser outside of the engine finds, of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalDetector {
    id: Arc<str>,
    kind: Arc<str>,
}

impl ExternalDetector {
    /// The detector `external.<recogniser>.<type>`; the type is written `DATE_TIME`, in the id `date-time`.
    ///
    /// # Errors
    /// When one of the two has another form.
    pub fn new(recogniser: &str, kind: &str) -> Result<Self, ExternalError> {
        if !is_words(recogniser, '-', |c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
            return Err(ExternalError::Name);
        }
        let starts = kind.starts_with(|c: char| c.is_ascii_uppercase());
        if !starts || !is_words(kind, '_', |c| c.is_ascii_uppercase() || c.is_ascii_digit()) {
            return Err(ExternalError::Kind);
        }
        let id = format!("{EXTERNAL}{recogniser}.{}", kind.to_ascii_lowercase().replace('_', "-"));
        Ok(Self { id: id.into(), kind: kind.into() })
    }

    /// The detector of an id.
    ///
    /// # Errors
    /// When it is none.
    pub fn of_id(id: &str) -> Result<Self, ExternalError> {
        let (recogniser, kind) =
            id.strip_prefix(EXTERNAL).and_then(|rest| rest.split_once('.')).ok_or(ExternalError::Id)?;
        let detector = Self::new(recogniser, &kind.to_ascii_uppercase().replace('-', "_"))?;
        if *detector.id == *id { Ok(detector) } else { Err(ExternalError::Id) }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The type of what it finds.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

fn is_words(text: &str, separator: char, of_word: impl Fn(char) -> bool) -> bool {
    text.len() <= MAX_NAME && text.split(separator).all(|word| !word.is_empty() && word.chars().all(&of_word))
}

/// Something that a recogniser outside of the engine saw.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalFinding {
    /// What sees such things.
    pub detector: ExternalDetector,
    /// Where, in code points of the text.
    pub span: Span,
    /// How sure it is (0 to 1).
    pub score: f64,
}

/// The findings that lie in a text, settled among themselves, by place.
pub(crate) fn findings(external: &[ExternalFinding], text: &str, key: &FingerprintKey) -> Vec<Finding> {
    if external.is_empty() {
        return Vec::new();
    }
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let slice = |span: Span| text.get(*starts.get(span.start)?..*starts.get(span.end)?);
    let mut found: Vec<(&str, Finding)> = external
        .iter()
        .filter_map(|one| {
            let value = slice(one.span).filter(|value| !value.is_empty())?;
            let score = Some(one.score).filter(|score| score.is_finite())?.clamp(0.0, 1.0);
            let ExternalDetector { id, kind } = &one.detector;
            // As the built-in detectors of words read a value, so that the same value is known as the same.
            let fingerprint = key.fingerprint(kind, &plain(NormalizedText::new(value).as_str()));
            let finding = Finding {
                detector: Arc::clone(id),
                kind: Arc::clone(kind),
                span: one.span,
                path: None,
                score,
                fingerprint,
            };
            let recogniser = id.strip_prefix(EXTERNAL)?.split('.').next()?;
            Some((recogniser, finding))
        })
        .collect();
    // Outer before inner, of equal spans the surer, then the lower id, so that whatever hides another comes first.
    found.sort_by(|(_, a), (_, b)| {
        (a.span.start, std::cmp::Reverse(a.span.end))
            .cmp(&(b.span.start, std::cmp::Reverse(b.span.end)))
            .then(b.score.total_cmp(&a.score))
            .then_with(|| a.detector.cmp(&b.detector))
    });
    let mut kept: Vec<(&str, Finding)> = Vec::new();
    for (recogniser, one) in found {
        let is_hidden = kept.iter().rev().any(|(other, outer)| {
            *other == recogniser
                && outer.span.start <= one.span.start
                && one.span.end <= outer.span.end
                && outer.score >= one.score
        });
        if !is_hidden {
            kept.push((recogniser, one));
        }
    }
    kept.into_iter().map(|(_, finding)| finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &str, start: usize, end: usize, score: f64) -> ExternalFinding {
        ExternalFinding { detector: ExternalDetector::of_id(id).unwrap(), span: Span { start, end }, score }
    }

    fn told(text: &str, external: &[ExternalFinding]) -> Vec<(String, usize, usize)> {
        let key = FingerprintKey::new([1; 32]);
        let findings = findings(external, text, &key);
        findings.iter().map(|one| (one.detector.to_string(), one.span.start, one.span.end)).collect()
    }

    #[test]
    fn an_id_and_what_it_is_made_of_are_the_same() {
        let detector = ExternalDetector::new("presidio", "DATE_TIME").unwrap();
        assert_eq!((detector.id(), detector.kind()), ("external.presidio.date-time", "DATE_TIME"));
        assert_eq!(ExternalDetector::of_id(detector.id()), Ok(detector));
        for (name, kind, error) in [
            ("", "A", ExternalError::Name),
            ("Presidio", "A", ExternalError::Name),
            ("a.b", "A", ExternalError::Name),
            ("a-", "A", ExternalError::Name),
            ("a", "", ExternalError::Kind),
            ("a", "Anne Martin", ExternalError::Kind),
            ("a", "1A", ExternalError::Kind),
            ("a", "A__B", ExternalError::Kind),
        ] {
            assert_eq!(ExternalDetector::new(name, kind), Err(error), "{name} {kind}");
        }
        for id in ["external", "external.a", "external.a.B", "external.a.b.c", "pii.iban", "external.a.b_c"] {
            assert!(ExternalDetector::of_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn what_does_not_lie_in_the_text_is_left_out() {
        let of = |start, end, score| told("é Anne", &[finding("external.a.person", start, end, score)]).len();
        assert_eq!(of(2, 6, 0.5), 1);
        assert_eq!(of(0, 6, 7.0), 1, "a score beyond 1 is 1");
        for (start, end, score) in [
            (2, 7, 0.5),
            (6, 7, 0.5),
            (3, 3, 0.5),
            (4, 2, 0.5),
            (usize::MAX, usize::MAX, 0.5),
            (2, 6, f64::NAN),
        ] {
            assert_eq!(of(start, end, score), 0, "{start}..{end} {score}");
        }
    }

    #[test]
    fn what_lies_inside_another_of_the_same_recogniser_is_dropped_unless_it_is_surer() {
        let text = "Madame Anne Martin";
        let outer = ("external.a.person", 7, 18, 0.6);
        for (inner, kept) in [
            (("external.a.person", 7, 11, 0.6), false),
            (("external.a.org", 7, 11, 0.5), false),
            (("external.a.org", 12, 18, 0.7), true),
            (("external.b.person", 7, 11, 0.1), true),
            (("external.a.person", 0, 11, 0.1), true),
            (("external.a.person", 7, 18, 0.6), false),
        ] {
            let all = [outer, inner].map(|(id, start, end, score)| finding(id, start, end, score));
            assert_eq!(told(text, &all).len(), 1 + usize::from(kept), "{inner:?}");
        }
    }

    #[test]
    fn the_same_value_has_the_fingerprint_that_a_built_in_detector_gives_it() {
        let key = FingerprintKey::new([1; 32]);
        let text = "Anne  MARTIN et anne Martin";
        let found = findings(
            &[finding("external.a.person", 0, 12, 0.9), finding("external.b.person", 16, 27, 0.9)],
            text,
            &key,
        );
        assert_eq!(found[0].fingerprint, found[1].fingerprint);
        assert_eq!(found[0].fingerprint, key.fingerprint("PERSON", "anne martin"));
    }
}
