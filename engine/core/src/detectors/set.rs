//! In: which built-in detectors a bundle asks for and the ones it brings along. Out: a set that scans text.

use std::collections::HashSet;
use std::ops::{BitOr, Range};
use std::sync::Arc;

use novacrm_crds::compliance_policy::CustomDetector;
use regex::Regex;
use thiserror::Error;

use super::pattern::{PatternError, compile_pattern};
use super::{Entry, Families, catalogue, lexical, names, scan};
use crate::text::Readings;
use crate::{Finding, FingerprintKey};

/// Why a set of detectors was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DetectorError {
    /// No built-in detector has the id, or is of the family.
    #[error("there is no built-in detector `{id}`; known are {known}")]
    Unknown {
        /// The id or family, as given.
        id: String,
        /// The ids of the same family, or the families.
        known: String,
    },
    /// Two custom detectors have the same id.
    #[error("the custom detector `{id}` is defined twice; give each an id of its own")]
    Duplicate {
        /// The id.
        id: String,
    },
    /// The score of a custom detector is not between 0 and 1.
    #[error("the score of the custom detector `{id}` is not between 0 and 1")]
    Score {
        /// The id.
        id: String,
    },
    /// The expression of a custom detector was refused.
    #[error("the expression of the custom detector `{id}` was refused: {reason}")]
    Pattern {
        /// The id.
        id: String,
        /// Why.
        #[source]
        reason: PatternError,
    },
}

/// What a text is looked through for, so that nothing is looked for that nobody asks for. It decides how much work a
/// scan is and never what one of the wanted detectors finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Lexical families.
    families: Families,
    /// What else is built in.
    values: scan::Values,
}

impl Wanted {
    /// What one built-in detector needs.
    pub(crate) fn of(entry: &Entry) -> Self {
        Self { families: Families::of(&entry.id), values: scan::Values::of(entry) }
    }
}

impl BitOr for Wanted {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self { families: self.families | other.families, values: self.values.max(other.values) }
    }
}

/// Detectors, compiled: cheap to share, costly to make.
#[derive(Debug)]
pub struct DetectorSet {
    built_in: HashSet<Arc<str>>,
    /// What all of the built-in ones need.
    wanted: Wanted,
    custom: Vec<Custom>,
}

#[derive(Debug)]
struct Custom {
    id: Arc<str>,
    kind: Arc<str>,
    regex: Regex,
    score: f64,
}

impl DetectorSet {
    /// Compiles a set: ids or families (`pii.*`) of built-in detectors, which may repeat, and custom detectors.
    ///
    /// # Errors
    /// When an id is unknown, a custom id repeats, or a custom score or expression is refused.
    pub fn compile<'a>(
        built_in: impl IntoIterator<Item = &'a str>,
        custom: &[CustomDetector],
    ) -> Result<Self, DetectorError> {
        let mut enabled = HashSet::new();
        let mut wanted = Wanted::default();
        for id in built_in {
            let mut known = false;
            for entry in catalogue().matching(id) {
                known = true;
                wanted = wanted | Wanted::of(entry);
                enabled.insert(Arc::clone(&entry.id));
            }
            if !known {
                return Err(DetectorError::Unknown { id: id.to_owned(), known: known_like(id) });
            }
        }
        let mut ids = HashSet::new();
        let custom = custom
            .iter()
            .map(|detector| {
                let id = &detector.id;
                if !ids.insert(id) {
                    return Err(DetectorError::Duplicate { id: id.clone() });
                }
                if !(0.0..=1.0).contains(&detector.score) {
                    return Err(DetectorError::Score { id: id.clone() });
                }
                let regex = compile_pattern(&detector.pattern)
                    .map_err(|reason| DetectorError::Pattern { id: id.clone(), reason })?;
                Ok(Custom {
                    id: id.as_str().into(),
                    kind: detector.r#type.as_str().into(),
                    regex,
                    score: detector.score,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { built_in: enabled, wanted, custom })
    }

    /// What the detectors of this set find in any reading of a text, by start, then end, then detector.
    #[must_use]
    pub fn scan(&self, readings: &Readings<'_>, key: &FingerprintKey) -> Vec<Finding> {
        self.scan_for(self.wanted, readings, key)
    }

    /// As [`scan`](Self::scan), but of the built-in detectors only those are sure to be heard that `wanted` names.
    pub(crate) fn scan_for(
        &self,
        wanted: Wanted,
        readings: &Readings<'_>,
        key: &FingerprintKey,
    ) -> Vec<Finding> {
        let text = readings.primary();
        let finding =
            |id: &Arc<str>, kind: &Arc<str>, range: Range<usize>, score: f64, value: &str| Finding {
                detector: Arc::clone(id),
                kind: Arc::clone(kind),
                path: readings.path(range.start, names::is_known).map(Arc::from),
                span: text.span(range),
                score,
                fingerprint: key.fingerprint(kind, value),
            };
        let mut findings = Vec::new();
        let values = scan::built_in(readings, wanted.values);
        for found in values.into_iter().chain(lexical::scan(readings, wanted.families)) {
            let entry = found.entry;
            if self.built_in.contains(&entry.id) {
                findings.push(finding(&entry.id, &entry.kind, found.range, found.score, &found.value));
            }
        }
        // What normalising leaves as it is hides nothing.
        if !wanted.families.is_empty() && text.as_str().len() != text.original().len() {
            for found in lexical::scan_hidden(text.original(), wanted.families) {
                let entry = found.entry;
                if self.built_in.contains(&entry.id) {
                    findings.push(Finding {
                        span: found.span,
                        path: None,
                        ..finding(&entry.id, &entry.kind, 0..0, found.score, &found.value)
                    });
                }
            }
        }
        for custom in &self.custom {
            for range in custom.matches(text.as_str()) {
                let value = text.as_str().get(range.clone()).unwrap_or_default();
                findings.push(finding(&custom.id, &custom.kind, range, custom.score, value));
            }
            for reading in readings.further().filter(|reading| custom.score >= reading.least_score()) {
                for range in custom.matches(reading.as_str()) {
                    let Some(sighting) = readings.sighting(reading, range.clone()) else { continue };
                    let value = reading.as_str().get(range).unwrap_or_default();
                    findings.push(finding(&custom.id, &custom.kind, sighting.range, custom.score, value));
                }
            }
        }
        findings
            .sort_by(|a, b| (a.span, &a.detector, a.fingerprint).cmp(&(b.span, &b.detector, b.fingerprint)));
        findings.dedup();
        findings
    }
}

impl Custom {
    fn matches(&self, text: &str) -> impl Iterator<Item = Range<usize>> {
        // Capture groups cost; without a group to narrow to, the plain search does.
        let narrows = self.regex.capture_names().flatten().any(|name| name == "value");
        let narrowed =
            narrows.then(|| self.regex.captures_iter(text).filter_map(|found| found.name("value")));
        let plain = (!narrows).then(|| self.regex.find_iter(text));
        narrowed
            .into_iter()
            .flatten()
            .chain(plain.into_iter().flatten())
            .map(|found| found.range())
            .filter(|range| !range.is_empty())
    }
}

/// What could have been meant: the detectors of the same family, or the families.
fn known_like(id: &str) -> String {
    let family = id.split_once('.').map(|(family, _)| format!("{family}.*"));
    let mut known: Vec<&str> =
        family.iter().flat_map(|family| catalogue().matching(family)).map(|entry| &*entry.id).collect();
    if known.is_empty() {
        known = catalogue()
            .iter()
            .filter_map(|entry| entry.id.split_once('.'))
            .map(|(family, _)| family)
            .collect();
        known.dedup();
        return known.iter().map(|family| format!("{family}.*")).collect::<Vec<_>>().join(", ");
    }
    known.join(", ")
}
