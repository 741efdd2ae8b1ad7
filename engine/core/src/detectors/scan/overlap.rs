//! In: findings as the detectors made them. Out: those that stay, by start (see the module above for the rule).

use super::Found;

/// Drops every finding that lies inside another of at least its score.
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
        let covered = open
            .iter()
            .filter_map(|at| kept.get(*at))
            .any(|other| other.range.end >= candidate.range.end && other.score >= candidate.score);
        if !covered {
            open.push(kept.len());
            kept.push(candidate);
        }
    }
    kept
}
