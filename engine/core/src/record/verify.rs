//! Verification: records, the hashes recorded for them and signed checkpoints in; damage out.
//!
//! Everything is recomputed from the records. Between two checkpoints there are two accounts of the log: the
//! records themselves and the leaf hashes recorded beside them. Where they differ, the checkpoint says which of
//! them is right, so a damaged record is told from a damaged hash; where they agree with each other and not with
//! the checkpoint, both were rewritten, and the range between the checkpoints is named.

use std::collections::HashMap;

use serde::Serialize;
use tlog_tiles::Tile;
use uuid::Uuid;

use super::entry::record_id;
use super::log::{Checkpoint, CheckpointVerifier, Frontier, Hash, leaf_hash};
use super::tiles::{CHECKPOINT_PATH, TILE_WIDTH, entries_path, hashes_path, parse_entries, parse_hashes};

/// How much damage is listed one by one; the rest is counted.
const MAX_LISTED: usize = 1000;

/// What kind of damage it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DamageKind {
    /// The record is there and its content changed.
    Edited,
    /// The record is gone.
    Deleted,
    /// The record stands where another one belongs.
    Reordered,
    /// The end of the log is gone.
    Truncated,
    /// Records and hashes were changed together; they do not add up to the checkpoint.
    Rewritten,
    /// The checkpoint is not what the log's key signed, or is missing.
    ForgedCheckpoint,
    /// A recorded hash changed; the records it stands for are intact.
    Hash,
}

impl DamageKind {
    /// The kind as people write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Reordered => "reordered",
            Self::Truncated => "truncated",
            Self::Rewritten => "rewritten",
            Self::ForgedCheckpoint => "forged checkpoint",
            Self::Hash => "hash changed",
        }
    }
}

/// One damage, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// What happened.
    pub kind: DamageKind,
    /// Sequence number of the record, or of the first one concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Identifier of the record where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// What differs from what; no content of a record.
    pub detail: String,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records that were read.
    pub records: u64,
    /// Records that a verified checkpoint covers.
    pub covered: u64,
    /// Verified checkpoints.
    pub checkpoints: u64,
    /// Damage, in the order of the log, at most 1,000.
    pub damages: Vec<Damage>,
    /// Damage beyond that.
    pub more: u64,
}

impl Report {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.damages.is_empty()
    }
}

/// A verified checkpoint to hold the log against.
#[derive(Clone, Debug)]
pub struct Anchor {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The right edge of the tree at that size, if it was kept; used only when it adds up to the signed root.
    pub frontier: Option<Frontier>,
}

/// One place in the log, as it was found.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The leaf hash recorded for it.
    pub recorded: Option<Hash>,
    /// The record.
    pub body: Body<'a>,
    /// The identifier recorded beside it.
    pub id: Option<Uuid>,
}

/// The record at a place.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// It is there.
    Present(&'a [u8]),
    /// It is not there.
    Missing,
    /// It lies behind a damage that is reported already and cannot be told apart from it.
    Unreadable,
}

struct Mismatch {
    sequence: u64,
    id: Option<Uuid>,
    recorded: Option<Hash>,
    actual: Option<Hash>,
}

/// Verifies a log place by place.
pub struct LogVerifier {
    anchors: std::iter::Peekable<std::vec::IntoIter<Anchor>>,
    actual: Frontier,
    recorded: Frontier,
    covered: u64,
    checkpoints: u64,
    lost: bool,
    mismatches: Vec<Mismatch>,
    report: Vec<Damage>,
    more: u64,
}

impl LogVerifier {
    /// Holds the log against verified checkpoints, in any order.
    #[must_use]
    pub fn new(mut anchors: Vec<Anchor>) -> Self {
        anchors.retain(|anchor| anchor.checkpoint.size > 0);
        anchors.sort_by_key(|anchor| anchor.checkpoint.size);
        Self {
            anchors: anchors.into_iter().peekable(),
            actual: Frontier::default(),
            recorded: Frontier::default(),
            covered: 0,
            checkpoints: 0,
            lost: false,
            mismatches: Vec::new(),
            report: Vec::new(),
            more: 0,
        }
    }

    /// Takes the next place.
    pub fn push(&mut self, place: Place<'_>) {
        let sequence = self.actual.size() + 1;
        let actual = match place.body {
            Body::Present(body) => Some(leaf_hash(body)),
            Body::Missing => None,
            Body::Unreadable => place.recorded,
        };
        if actual.is_none() || actual != place.recorded {
            let named = match place.body {
                Body::Present(body) => record_id(body),
                _ => None,
            };
            let id = place.id.or(named);
            self.mismatches.push(Mismatch { sequence, id, recorded: place.recorded, actual });
        }
        let nothing = Hash([0; 32]);
        self.actual.push(actual.unwrap_or(nothing));
        self.recorded.push(place.recorded.or(actual).unwrap_or(nothing));
        while let Some(anchor) = self.anchors.next_if(|anchor| anchor.checkpoint.size == sequence) {
            self.close(&anchor);
        }
    }

    /// Adds a damage that was found elsewhere.
    pub fn note(&mut self, damage: Damage) {
        if self.report.len() < MAX_LISTED {
            self.report.push(damage);
        } else {
            self.more += 1;
        }
    }

    /// Ends the log.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let records = self.actual.size();
        let uncovered = std::mem::take(&mut self.mismatches);
        self.classify(&uncovered);
        if let Some(anchor) = self.anchors.last() {
            let damage = Damage {
                kind: DamageKind::Truncated,
                sequence: Some(records + 1),
                id: None,
                detail: format!("{} records were signed, {records} are there", anchor.checkpoint.size),
            };
            self.report.push(damage);
        }
        self.report.sort_by_key(|damage| damage.sequence);
        Report {
            records,
            covered: self.covered,
            checkpoints: self.checkpoints,
            damages: self.report,
            more: self.more,
        }
    }

    fn close(&mut self, anchor: &Anchor) {
        let Checkpoint { size, root } = anchor.checkpoint;
        let mismatches = std::mem::take(&mut self.mismatches);
        if self.actual.root() == root {
            for mismatch in &mismatches {
                self.note(Damage {
                    kind: DamageKind::Hash,
                    sequence: Some(mismatch.sequence),
                    id: mismatch.id,
                    detail: "the hash recorded for it changed; the record is what was signed".to_owned(),
                });
            }
            self.recorded = self.actual.clone();
            self.covered = size;
            self.checkpoints += 1;
            return;
        }
        if self.recorded.root() == root {
            self.actual = self.recorded.clone();
            self.covered = size;
            self.checkpoints += 1;
        } else {
            if mismatches.is_empty() && !self.lost {
                self.note(Damage {
                    kind: DamageKind::Rewritten,
                    sequence: Some(self.covered + 1),
                    id: None,
                    detail: format!(
                        "records {} to {size} and their hashes agree with each other, not with the checkpoint",
                        self.covered + 1
                    ),
                });
            }
            // The tree itself is lost from here on, unless its right edge was kept.
            match anchor.frontier.as_ref().filter(|kept| kept.size() == size && kept.root() == root) {
                Some(kept) => {
                    self.actual = kept.clone();
                    self.recorded = kept.clone();
                    self.covered = size;
                    self.lost = false;
                }
                None => self.lost = true,
            }
        }
        self.classify(&mismatches);
    }

    /// Names each record that differs from what was recorded for it.
    fn classify(&mut self, mismatches: &[Mismatch]) {
        let home: HashMap<[u8; 32], u64> =
            mismatches.iter().filter_map(|m| Some((m.recorded?.0, m.sequence))).collect();
        let mut rest = mismatches;
        while let Some((first, after)) = rest.split_first() {
            // A deleted record lets the ones behind it move up, and the last place of them is empty.
            let moved = rest
                .windows(2)
                .take_while(|pair| match pair {
                    [here, next] => {
                        next.sequence == here.sequence + 1
                            && here.actual.is_some()
                            && here.actual == next.recorded
                    }
                    _ => false,
                })
                .count();
            let gap = rest.get(moved).is_some_and(|last| last.actual.is_none());
            if moved > 0 && gap {
                self.note(Damage {
                    kind: DamageKind::Deleted,
                    sequence: Some(first.sequence),
                    // Not the one that stands in its place now.
                    id: None,
                    detail: format!("it is gone, and the {moved} behind it moved up"),
                });
                rest = rest.get(moved + 1..).unwrap_or_default();
                continue;
            }
            let (kind, detail) = match first.actual {
                None => (DamageKind::Deleted, "it is gone".to_owned()),
                Some(actual) => match home.get(&actual.0) {
                    Some(home) => {
                        (DamageKind::Reordered, format!("here stands the record of sequence {home}"))
                    }
                    None => (DamageKind::Edited, "its content is not what was recorded".to_owned()),
                },
            };
            self.note(Damage { kind, sequence: Some(first.sequence), id: first.id, detail });
            rest = after;
        }
    }
}

/// Verifies an exported log from its files and the log's public key alone. `read` gives the bytes of a path,
/// `None` when there is no such file; `kept` are further signed checkpoints of the same log that somebody kept.
///
/// # Errors
/// Only those of `read`; damage is in the report.
pub fn verify_export<E>(
    verifier: &CheckpointVerifier,
    kept: &[Checkpoint],
    mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>, E>,
) -> Result<Report, E> {
    let opened = match read(CHECKPOINT_PATH)? {
        Some(note) => verifier.open(&note).map_err(|error| error.to_string()),
        None => Err("the file `checkpoint` is missing".to_owned()),
    };
    let checkpoint = match opened {
        Ok(checkpoint) => checkpoint,
        Err(detail) => {
            let mut log = LogVerifier::new(Vec::new());
            log.note(Damage { kind: DamageKind::ForgedCheckpoint, sequence: None, id: None, detail });
            return Ok(log.finish());
        }
    };
    let anchors = std::iter::once(&checkpoint).chain(kept);
    let anchors = anchors.map(|checkpoint| Anchor { checkpoint: *checkpoint, frontier: None }).collect();
    let mut log = LogVerifier::new(anchors);

    // Hashes of the next level up, computed from the level below.
    let mut above = Vec::new();
    let width = TILE_WIDTH as u64;
    for n in 0..checkpoint.size.div_ceil(width) {
        let here = usize::try_from((checkpoint.size - n * width).min(width)).unwrap_or(TILE_WIDTH);
        let path = hashes_path(0, n, here);
        let hashes = read(&path)?.and_then(|bytes| parse_hashes(&bytes, here));
        let bundle_path = entries_path(n, here);
        let bundle = read(&bundle_path)?;
        if bundle.is_none() && hashes.is_none() && n > 0 {
            // The rest of the log is gone; `finish` says so.
            break;
        }
        if hashes.is_none() {
            log.note(hash_damage(&path, n * width + 1));
        }
        let (mut entries, left_over) = bundle.as_deref().map(parse_entries).unwrap_or_default();
        let surplus = entries.len().saturating_sub(here);
        entries.truncate(here);
        let framed = left_over.is_empty() && surplus == 0;
        let mut damaged = false;
        let mut leaves = Vec::with_capacity(here);
        for place in 0..here {
            let recorded = hashes.as_ref().and_then(|hashes| hashes.get(place)).copied();
            let body = match entries.get(place) {
                Some(entry) => Body::Present(entry),
                None if framed => Body::Missing,
                None if damaged => Body::Unreadable,
                None => Body::Present(left_over),
            };
            let actual = match body {
                Body::Present(body) => Some(leaf_hash(body)),
                Body::Missing | Body::Unreadable => None,
            };
            // Without its tile a record is held against the checkpoint alone.
            let recorded = recorded.or(actual);
            damaged |= actual != recorded;
            leaves.extend(recorded.unwrap_or(Hash([0; 32])).0);
            log.push(Place { recorded, body, id: None });
        }
        if !framed && !damaged {
            log.note(Damage {
                kind: DamageKind::Edited,
                sequence: Some(n * width + here as u64),
                id: None,
                detail: format!("{bundle_path} goes on after its last record"),
            });
        }
        if here == TILE_WIDTH {
            above.push(Tile::subtree_hash(&leaves));
        }
    }
    let mut level = 1;
    while !above.is_empty() {
        let mut next = Vec::new();
        for (n, hashes) in (0_u64..).zip(above.chunks(TILE_WIDTH)) {
            let path = hashes_path(level, n, hashes.len());
            let computed: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
            if read(&path)?.as_deref() != Some(&computed) {
                let span = width.saturating_pow(u32::try_from(level + 1).unwrap_or(u32::MAX));
                log.note(hash_damage(&path, n.saturating_mul(span) + 1));
            }
            if hashes.len() == TILE_WIDTH {
                next.push(Tile::subtree_hash(&computed));
            }
        }
        above = next;
        level += 1;
    }
    Ok(log.finish())
}

fn hash_damage(path: &str, sequence: u64) -> Damage {
    let detail = format!("{path} is missing or does not add up");
    Damage { kind: DamageKind::Hash, sequence: Some(sequence), id: None, detail }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::record::entry::tests::sample;
    use crate::record::log::tests::key;
    use crate::record::tiles::{File, TileBuilder};

    type Files = BTreeMap<String, Vec<u8>>;

    fn bodies(count: u64) -> Vec<Vec<u8>> {
        (1..=count).map(|n| sample(u128::from(n)).encode().unwrap().body).collect()
    }

    fn export(bodies: &[Vec<u8>]) -> Files {
        let mut builder = TileBuilder::default();
        let mut frontier = Frontier::default();
        let mut files = Vec::new();
        for body in bodies {
            builder.push(body, leaf_hash(body), &mut files).unwrap();
            frontier.push(leaf_hash(body));
        }
        builder.finish(&mut files);
        let mut files: Files = files.into_iter().map(|File { path, bytes }| (path, bytes)).collect();
        files.insert(CHECKPOINT_PATH.to_owned(), key().sign(&frontier).unwrap().into_bytes());
        files
    }

    fn verify(files: &Files) -> Report {
        let verifier = CheckpointVerifier::new(&key().verifier_line()).unwrap();
        let Ok(report) = verify_export(&verifier, &[], |path| Ok::<_, Infallible>(files.get(path).cloned()));
        report
    }

    fn bundle(bodies: &[Vec<u8>]) -> Vec<u8> {
        let frame = |body: &Vec<u8>| [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat();
        bodies.iter().flat_map(frame).collect()
    }

    fn kinds(report: &Report) -> Vec<(DamageKind, Option<u64>)> {
        report.damages.iter().map(|damage| (damage.kind, damage.sequence)).collect()
    }

    #[test]
    fn an_untouched_export_is_intact_at_every_size_around_a_tile() {
        for count in [0, 1, 2, 255, 256, 257, 512, 700] {
            let report = verify(&export(&bodies(count)));
            assert!(report.is_intact(), "{count}: {report:?}");
            assert_eq!(report.records, count);
        }
    }

    #[test]
    fn an_edited_record_is_named_by_sequence_and_id() {
        let mut all = bodies(300);
        let mut files = export(&all);
        all[299] = String::from_utf8(all[299].clone()).unwrap().replace("redact", "allows").into_bytes();
        files.insert("tile/entries/001.p/44".to_owned(), bundle(&all[256..]));
        let report = verify(&files);
        assert_eq!(kinds(&report), [(DamageKind::Edited, Some(300))]);
        assert_eq!(report.damages[0].id, Some(Uuid::from_u128(300)));
    }

    #[test]
    fn a_deleted_record_is_named_and_those_behind_it_are_not() {
        let mut all = bodies(20);
        let mut files = export(&all);
        all.remove(4);
        files.insert("tile/entries/000.p/20".to_owned(), bundle(&all));
        assert_eq!(kinds(&verify(&files)), [(DamageKind::Deleted, Some(5))]);
        all.pop();
        files.insert("tile/entries/000.p/20".to_owned(), bundle(&all));
        let report = verify(&files);
        assert!(kinds(&report).contains(&(DamageKind::Deleted, Some(20))), "{report:?}");
    }

    #[test]
    fn two_records_in_each_others_place_are_both_named() {
        let mut all = bodies(20);
        let mut files = export(&all);
        all.swap(6, 7);
        files.insert("tile/entries/000.p/20".to_owned(), bundle(&all));
        let named = [(DamageKind::Reordered, Some(7)), (DamageKind::Reordered, Some(8))];
        assert_eq!(kinds(&verify(&files)), named);
    }

    #[test]
    fn a_log_without_its_end_is_truncated() {
        let mut files = export(&bodies(700));
        files.retain(|path, _| !path.contains("/002"));
        let report = verify(&files);
        assert!(kinds(&report).contains(&(DamageKind::Truncated, Some(513))), "{report:?}");
    }

    #[test]
    fn a_log_rewritten_with_all_its_hashes_is_found() {
        let mut all = bodies(20);
        let genuine = export(&all);
        all[2] = all[3].clone();
        let mut files = export(&all);
        files.insert(CHECKPOINT_PATH.to_owned(), genuine[CHECKPOINT_PATH].clone());
        assert_eq!(kinds(&verify(&files)), [(DamageKind::Rewritten, Some(1))]);
    }

    #[test]
    fn a_log_cut_back_and_signed_again_is_found_by_a_checkpoint_that_was_kept() {
        let all = bodies(20);
        let verifier = CheckpointVerifier::new(&key().verifier_line()).unwrap();
        let kept = verifier.open(&export(&all)[CHECKPOINT_PATH]).unwrap();
        let files = export(&all[..10]);
        let Ok(report) =
            verify_export(&verifier, &[kept], |path| Ok::<_, Infallible>(files.get(path).cloned()));
        assert_eq!(kinds(&report), [(DamageKind::Truncated, Some(11))]);
    }

    #[test]
    fn a_missing_checkpoint_or_another_key_is_a_forged_checkpoint() {
        let mut files = export(&bodies(3));
        files.remove(CHECKPOINT_PATH);
        assert_eq!(kinds(&verify(&files)), [(DamageKind::ForgedCheckpoint, None)]);
    }

    #[test]
    fn a_log_signed_at_many_sizes_is_verified_on_after_a_rewritten_range() {
        let all = bodies(30);
        let mut frontier = Frontier::default();
        let mut anchors = Vec::new();
        for body in &all {
            frontier.push(leaf_hash(body));
            if frontier.size().is_multiple_of(10) {
                let checkpoint = Checkpoint { size: frontier.size(), root: frontier.root() };
                anchors.push(Anchor { checkpoint, frontier: Some(frontier.clone()) });
            }
        }
        let mut log = LogVerifier::new(anchors);
        for (n, body) in all.iter().enumerate() {
            let body: &[u8] = if n == 14 { b"forged" } else { body };
            let recorded = if n == 24 { leaf_hash(b"other") } else { leaf_hash(body) };
            log.push(Place { recorded: Some(recorded), body: Body::Present(body), id: None });
        }
        let report = log.finish();
        assert_eq!(kinds(&report), [(DamageKind::Rewritten, Some(11)), (DamageKind::Hash, Some(25))]);
        assert_eq!(report.covered, 30);
    }

    /// The record that a byte of a bundle belongs to, its length prefix included.
    fn owner(bodies: &[Vec<u8>], mut at: usize) -> u64 {
        for (n, body) in (1..).zip(bodies) {
            if at < body.len() + 2 {
                return n;
            }
            at -= body.len() + 2;
        }
        panic!("beyond the bundle")
    }

    #[test]
    fn every_changed_byte_of_a_small_export_is_found_and_its_record_named() {
        let all = bodies(3);
        let files = export(&all);
        assert!(verify(&files).is_intact());
        for (path, bytes) in &files {
            for at in 0..bytes.len() {
                let mut forged = files.clone();
                forged.get_mut(path).unwrap()[at] ^= 1;
                let report = verify(&forged);
                assert!(!report.is_intact(), "{path} byte {at}");
                if path.contains("entries") {
                    let named = report.damages[0].sequence;
                    assert_eq!(named, Some(owner(&all, at)), "{path} byte {at}: {report:?}");
                    assert_eq!(report.damages[0].kind, DamageKind::Edited);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_changed_byte_of_a_larger_export_is_found(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let all = bodies(600);
            let mut files = export(&all);
            let path = files.keys().nth(file.index(files.len())).unwrap().clone();
            let bytes = files.get_mut(&path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let report = verify(&files);
            prop_assert!(!report.is_intact(), "{} byte {}", path, at);
            if let Some(n) = path.strip_prefix("tile/entries/") {
                let first = n.split('.').next().unwrap().parse::<usize>().unwrap() * 256;
                let record = first as u64 + owner(&all[first..], at);
                prop_assert_eq!(report.damages[0].sequence, Some(record));
            }
        }

        #[test]
        fn files_of_any_content_never_panic(checkpoint_size in 0_u64..600, junk in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut frontier = Frontier::default();
            for n in 0..checkpoint_size {
                frontier.push(leaf_hash(&n.to_be_bytes()));
            }
            let note = key().sign(&frontier).unwrap().into_bytes();
            let verifier = CheckpointVerifier::new(&key().verifier_line()).unwrap();
            let Ok(report) = verify_export(&verifier, &[], |path| {
                Ok::<_, Infallible>(Some(if path == CHECKPOINT_PATH { note.clone() } else { junk.clone() }))
            });
            prop_assert_eq!(report.is_intact(), checkpoint_size == 0);
        }
    }
}
