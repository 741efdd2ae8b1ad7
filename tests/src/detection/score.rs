//! In: what is in the texts of a set and what a detector found. Out: the figures.
//!
//! A finding counts as right when its type is that of the label and the two share at least half of what they cover
//! together (intersection over union). A hard negative is hit when a finding of a structured type covers half of it.

use std::collections::BTreeMap;

use super::{Labelled, Record};

/// Types whose values have a structure; names and addresses have not.
const SOFT: [&str; 5] = ["PERSON", "ADDRESS", "DATE", "URL", "ORGANIZATION"];
const FRENCH: [&str; 5] = ["NIR_FR", "SIREN_FR", "SIRET_FR", "VAT_FR", "PLATE_FR"];
/// Types that are no secrets, by how they begin or end.
const PERSONAL: [&str; 13] = [
    "EMAIL",
    "PHONE",
    "PERSON",
    "ADDRESS",
    "DATE_OF_BIRTH",
    "IP",
    "MAC",
    "CARD",
    "IBAN",
    "SPECIAL_",
    "PROMPT_",
    "TONE_",
    "BIC",
];

/// Right, wrong and missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Found and there.
    pub right: usize,
    /// Found and not there.
    pub wrong: usize,
    /// There and not found.
    pub missed: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.missed += other.missed;
    }

    /// Of what was found, the share that is there (1 when nothing was found).
    #[must_use]
    pub fn precision(self) -> f64 {
        share(self.right, self.right + self.wrong)
    }

    /// Of what is there, the share that was found (1 when nothing is there).
    #[must_use]
    pub fn recall(self) -> f64 {
        share(self.right, self.right + self.missed)
    }

    /// The harmonic mean of the two.
    #[must_use]
    pub fn f1(self) -> f64 {
        share(2 * self.right, 2 * self.right + self.wrong + self.missed)
    }
}

/// A part of a whole; 1 of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of texts are far below 2^52")]
#[must_use]
pub fn share(part: usize, of: usize) -> f64 {
    if of == 0 { 1.0 } else { part as f64 / of as f64 }
}

/// The figures on texts with personal data.
#[derive(Clone, Debug, Default)]
pub struct PersonalData {
    /// By type.
    pub types: BTreeMap<String, Counts>,
    /// By kind of hard negative: hit, and all.
    pub negatives: BTreeMap<String, (usize, usize)>,
}

impl PersonalData {
    /// All types together.
    #[must_use]
    pub fn all(&self) -> Counts {
        self.sum(|_| true)
    }

    /// The types that have a structure.
    #[must_use]
    pub fn structured(&self) -> Counts {
        self.sum(|kind| !SOFT.contains(&kind) && kind != "DATE_OF_BIRTH")
    }

    /// The identifiers of France.
    #[must_use]
    pub fn french(&self) -> Counts {
        self.sum(|kind| FRENCH.contains(&kind))
    }

    /// The share of hard negatives that were hit.
    #[must_use]
    pub fn negatives_hit(&self) -> f64 {
        let (hit, all) = self.negatives.values().fold((0, 0), |(hit, all), (h, a)| (hit + h, all + a));
        if all == 0 { 0.0 } else { share(hit, all) }
    }

    fn sum(&self, wanted: impl Fn(&str) -> bool) -> Counts {
        let mut sum = Counts::default();
        for (_, counts) in self.types.iter().filter(|(kind, _)| wanted(kind)) {
            sum.add(*counts);
        }
        sum
    }
}

fn overlap(a: &Labelled, b: &Labelled) -> usize {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}

fn agreement(a: &Labelled, b: &Labelled) -> f64 {
    let shared = overlap(a, b);
    share(shared, a.end - a.start + b.end - b.start - shared)
}

/// Scores findings on texts with personal data. `found` has the findings of each record, in their order. Types that
/// occur in no record of the set count neither way.
#[must_use]
pub fn personal_data(records: &[Record], found: &[Vec<Labelled>]) -> PersonalData {
    let mut figures = PersonalData::default();
    for label in records.iter().flat_map(|record| &record.spans) {
        figures.types.entry(label.kind.clone()).or_default();
    }
    for (record, findings) in records.iter().zip(found) {
        let mut taken = vec![false; findings.len()];
        for label in &record.spans {
            let best = findings
                .iter()
                .enumerate()
                .filter(|(place, finding)| finding.kind == label.kind && taken.get(*place) == Some(&false))
                .map(|(place, finding)| (agreement(label, finding), place))
                .filter(|(agreement, _)| *agreement >= 0.5)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let counts = figures.types.entry(label.kind.clone()).or_default();
            match best {
                Some((_, place)) => {
                    counts.right += 1;
                    if let Some(taken) = taken.get_mut(place) {
                        *taken = true;
                    }
                }
                None => counts.missed += 1,
            }
        }
        for (finding, _) in findings.iter().zip(&taken).filter(|(_, taken)| !**taken) {
            if let Some(counts) = figures.types.get_mut(&finding.kind) {
                counts.wrong += 1;
            }
        }
        for label in &record.not {
            let (hit, all) = figures.negatives.entry(label.kind.clone()).or_default();
            *all += 1;
            *hit += usize::from(findings.iter().any(|finding| {
                !SOFT.contains(&finding.kind.as_str())
                    && 2 * overlap(label, finding) >= label.end - label.start
            }));
        }
    }
    figures
}

/// By disguise: found with the right type and span, and all. Any type of secret is right for a secret.
#[must_use]
pub fn disguised(records: &[Record], found: &[Vec<Labelled>]) -> BTreeMap<String, (usize, usize)> {
    let mut figures: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (record, findings) in records.iter().zip(found) {
        for label in &record.spans {
            let right = |finding: &Labelled| {
                let same = if is_secret(&label.kind) {
                    is_secret(&finding.kind)
                } else {
                    finding.kind == label.kind
                };
                same && agreement(label, finding) >= 0.5
            };
            let transform = record.transform.clone().unwrap_or_default();
            let (hit, all) = figures.entry(transform).or_default();
            *all += 1;
            *hit += usize::from(findings.iter().any(right));
        }
    }
    figures
}

/// The share of texts in which nothing was found.
#[must_use]
pub fn silent(found: &[Vec<Labelled>]) -> f64 {
    share(found.iter().filter(|findings| findings.is_empty()).count(), found.len())
}

/// Secrets: found, all, and texts without any in which one was reported, all of these.
#[must_use]
pub fn secrets(records: &[Record], found: &[Vec<Labelled>]) -> ((usize, usize), (usize, usize)) {
    let (mut there, mut near) = ((0, 0), (0, 0));
    for (record, findings) in records.iter().zip(found) {
        let mut secrets = findings.iter().filter(|finding| is_secret(&finding.kind));
        if record.negative {
            near.1 += 1;
            near.0 += usize::from(secrets.next().is_some());
        } else {
            let secrets: Vec<&Labelled> = secrets.collect();
            for label in &record.spans {
                there.1 += 1;
                there.0 += usize::from(secrets.iter().any(|finding| overlap(label, finding) > 0));
            }
        }
    }
    (there, near)
}

/// Whether a type names a secret.
#[must_use]
pub fn is_secret(kind: &str) -> bool {
    let is_country = |kind: &str| {
        kind.ends_with("_FR") || (kind.as_bytes().get(2) == Some(&b'_') && !kind.starts_with("SECRET"))
    };
    !is_country(kind) && !PERSONAL.iter().any(|known| kind.starts_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(start: usize, end: usize, kind: &str) -> Labelled {
        Labelled { start, end, kind: kind.to_owned() }
    }

    #[test]
    fn a_finding_is_right_once_and_what_nothing_explains_is_wrong() {
        let record = Record {
            id: String::new(),
            text: "x".repeat(40),
            spans: vec![label(0, 10, "IBAN"), label(20, 30, "PERSON")],
            not: vec![label(32, 36, "order")],
            transform: None,
            negative: false,
        };
        let found = vec![vec![
            label(1, 10, "IBAN"),
            label(0, 9, "IBAN"),
            label(32, 36, "IBAN"),
            label(25, 34, "PERSON"),
        ]];
        let figures = personal_data(&[record], &found);
        assert_eq!(figures.types["IBAN"], Counts { right: 1, wrong: 2, missed: 0 });
        assert_eq!(figures.types["PERSON"], Counts { right: 0, wrong: 1, missed: 1 });
        assert_eq!(figures.negatives["order"], (1, 1));
        assert!((figures.structured().f1() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn secrets_are_told_from_personal_data_by_their_type() {
        assert!(is_secret("SECRET_GITHUB_TOKEN") && is_secret("aws-access-token"));
        assert!(
            !is_secret("NIR_FR")
                && !is_secret("UK_NHS")
                && !is_secret("IBAN")
                && !is_secret("SPECIAL_HEALTH")
        );
    }
}
