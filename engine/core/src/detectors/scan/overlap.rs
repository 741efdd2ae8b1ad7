//! In: findings as the detectors made them. Out: those that stay, by start (see the module above for the rule).

use std::collections::HashSet;

use super::Found;
use crate::text::Readings;

/// How far before a misread finding one that reads it right may start, in bytes.
const MAX_MISREAD: usize = 1024;

/// Drops every finding that lies inside another of at least its score; but only a secret hides a secret.
pub(super) fn resolve(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|a, b| {
        (a.range.start, b.range.end)
            .cmp(&(b.range.start, a.range.end))
            .then_with(|| b.score.total_cmp(&a.score))
            .then_with(|| a.entry.id.cmp(&b.entry.id))
    });
    let mut kept: Vec<Found> = Vec::with_capacity(found.len());
    // Places in `kept` of what reaches beyond the current start. Detectors overlap only a few deep, so this is
    // short whatever the length of the text.
    let mut open: Vec<usize> = Vec::new();
    for candidate in found {
        open.retain(|at| kept.get(*at).is_some_and(|other| other.range.end > candidate.range.start));
        let covers = |at: &&usize| {
            kept.get(**at)
                .filter(|other| other.is_secret() || !candidate.is_secret())
                .is_some_and(|other| other.range.end >= candidate.range.end && other.score >= candidate.score)
        };
        match open.iter().find(covers).copied() {
            None => {
                open.push(kept.len());
                kept.push(candidate);
            }
            // The same value, once as it is written and once as it reads: the latter is the value.
            Some(at) => {
                if let Some(other) = kept.get_mut(at)
                    && candidate.is_undone
                    && !other.is_undone
                    && other.range == candidate.range
                    && other.entry.id == candidate.entry.id
                {
                    other.value = candidate.value;
                }
            }
        }
    }
    kept
}

/// Puts the findings of all readings together, in bytes of the primary reading; each list without overlaps of its
/// own. `opaque` are those behind a token that stands for all that is in it.
pub(super) fn join(
    readings: &Readings<'_>,
    mut primary: Vec<Found>,
    mut undone: Vec<Found>,
    opaque: Vec<Found>,
) -> Vec<Found> {
    undone.sort_by_key(|found| found.range.start);
    // Longest finding behind an escape, so that what may overlap a misread one is searched for nearby only.
    let longest = undone.iter().map(|found| found.range.len()).max().unwrap_or(0).min(MAX_MISREAD);
    primary.retain(|found| {
        if !readings.is_misread(&found.range) {
            return true;
        }
        let first = undone.partition_point(|other| other.range.start + longest < found.range.start);
        !undone
            .get(first..)
            .unwrap_or_default()
            .iter()
            .take_while(|other| other.range.start < found.range.end)
            .any(|other| other.range.end > found.range.start && other.entry.id == found.entry.id)
    });
    primary.append(&mut undone);
    let mut kept = resolve(primary);
    let mut seen = HashSet::new();
    let mut tokens: Vec<Found> = opaque
        .into_iter()
        .filter(|found| {
            seen.insert((found.entry.id.as_ref(), found.range.start, found.range.end, found.value.clone()))
        })
        .collect();
    if !tokens.is_empty() {
        tokens.sort_by_key(|found| found.range.start);
        let mut from = 0;
        tokens.retain(|token| {
            while kept.get(from).is_some_and(|other| other.range.end <= token.range.start) {
                from += 1;
            }
            !kept
                .get(from..)
                .unwrap_or_default()
                .iter()
                .take_while(|other| other.range.start <= token.range.start)
                .any(|other| {
                    other.entry.id == token.entry.id
                        && other.range.end >= token.range.end
                        && other.score >= token.score
                })
        });
        kept.append(&mut tokens);
        kept.sort_by_key(|found| found.range.start);
    }
    kept
}
