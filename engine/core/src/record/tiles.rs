//! The log as files: records and their leaf hashes in, the files of C2SP `tlog-tiles` out, and their parsing.
//!
//! - `tile/<level>/<N>[.p/<width>]`: up to 256 hashes of 32 bytes, each over 256^level records;
//! - `tile/entries/<N>[.p/<width>]`: up to 256 records, each after its length as 16 bits, big-endian;
//! - `checkpoint`: the signed note that all of them add up to.

use tlog_tiles::{HASH_SIZE, Hash, Tile};

/// Hashes or records in a full tile.
pub const TILE_WIDTH: usize = 256;
/// Path of the signed checkpoint.
pub const CHECKPOINT_PATH: &str = "checkpoint";

/// A file of the exported log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path below the export's folder, with `/`.
    pub path: String,
    /// What stands in it.
    pub bytes: Vec<u8>,
}

/// Path of the tile of hashes number `n` of a level.
#[must_use]
pub fn hashes_path(level: usize, n: u64, width: usize) -> String {
    path(&level.to_string(), n, width)
}

/// Path of the bundle of records number `n`.
#[must_use]
pub fn entries_path(n: u64, width: usize) -> String {
    path("entries", n, width)
}

/// Decimal groups of three, all but the last with an `x` before them, so that no folder grows large.
fn path(kind: &str, n: u64, width: usize) -> String {
    let mut groups = format!("{:03}", n % 1000);
    let mut rest = n / 1000;
    while rest > 0 {
        groups = format!("x{:03}/{groups}", rest % 1000);
        rest /= 1000;
    }
    let partial = if width == TILE_WIDTH { String::new() } else { format!(".p/{width}") };
    format!("tile/{kind}/{groups}{partial}")
}

/// Builds the files while records stream by, holding one tile per level.
#[derive(Debug, Default)]
pub struct TileBuilder {
    entries: Vec<u8>,
    levels: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    complete: u64,
    hashes: Vec<Hash>,
}

impl Level {
    fn bytes(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.0).collect()
    }
}

/// A record is longer than an entry of a bundle may be.
#[derive(Debug, thiserror::Error)]
#[error("a record of {0} bytes does not fit into the log's files")]
pub struct EntryTooLong(usize);

impl TileBuilder {
    /// Adds the next record; files that are complete now go to `out`. `recorded` is the leaf hash as the log
    /// recorded it, so an export carries a damage on instead of hiding it.
    ///
    /// # Errors
    /// When the record is longer than 65,535 bytes.
    pub fn push(&mut self, body: &[u8], recorded: Hash, out: &mut Vec<File>) -> Result<(), EntryTooLong> {
        let length = u16::try_from(body.len()).map_err(|_| EntryTooLong(body.len()))?;
        self.entries.extend(length.to_be_bytes());
        self.entries.extend(body);
        let mut hash = recorded;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Level::default());
            }
            let Some(current) = self.levels.get_mut(level) else { break };
            current.hashes.push(hash);
            if current.hashes.len() < TILE_WIDTH {
                break;
            }
            let bytes = current.bytes();
            hash = Tile::subtree_hash(&bytes);
            out.push(File { path: hashes_path(level, current.complete, TILE_WIDTH), bytes });
            if level == 0 {
                let path = entries_path(current.complete, TILE_WIDTH);
                out.push(File { path, bytes: std::mem::take(&mut self.entries) });
            }
            current.complete += 1;
            current.hashes.clear();
        }
        Ok(())
    }

    /// The tiles that are not full.
    pub fn finish(self, out: &mut Vec<File>) {
        for (number, level) in self.levels.iter().enumerate().filter(|(_, level)| !level.hashes.is_empty()) {
            let width = level.hashes.len();
            out.push(File { path: hashes_path(number, level.complete, width), bytes: level.bytes() });
            if number == 0 {
                let path = entries_path(level.complete, width);
                out.push(File { path, bytes: self.entries.clone() });
            }
        }
    }
}

/// The hashes of a tile; `None` when it has not exactly `width` of them.
pub(super) fn parse_hashes(bytes: &[u8], width: usize) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<HASH_SIZE>();
    (rest.is_empty() && hashes.len() == width).then(|| hashes.iter().copied().map(Hash).collect())
}

/// The records of a bundle, and what is left over where the lengths do not add up.
pub(super) fn parse_entries(mut bytes: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let Some((entry, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            break;
        };
        entries.push(entry);
        bytes = rest;
    }
    (entries, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::log::leaf_hash;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(hashes_path(0, 0, 256), "tile/0/000");
        assert_eq!(hashes_path(2, 1_234_067, 256), "tile/2/x001/x234/067");
        assert_eq!(entries_path(1_000, 112), "tile/entries/x001/000.p/112");
    }

    #[test]
    fn a_log_of_70_000_records_has_the_tiles_of_the_specification() {
        // The example of C2SP tlog-tiles: 273 full and one partial tile at level 0, 1 and 17 at level 1, 1 at 2.
        let mut builder = TileBuilder::default();
        let mut files = Vec::new();
        for n in 0..70_000_u32 {
            let body = n.to_be_bytes();
            builder.push(&body, leaf_hash(&body), &mut files).unwrap();
        }
        builder.finish(&mut files);
        let has = |path: &str| files.iter().any(|file| file.path == path);
        assert_eq!(files.iter().filter(|file| file.path.starts_with("tile/0/")).count(), 274);
        assert_eq!(files.iter().filter(|file| file.path.starts_with("tile/entries/")).count(), 274);
        for path in ["tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"] {
            assert!(has(path), "{path}");
        }
    }

    #[test]
    fn entries_come_back_as_they_went_in() {
        let mut builder = TileBuilder::default();
        let mut files = Vec::new();
        for body in [&b"a"[..], b"", b"ccc"] {
            builder.push(body, leaf_hash(body), &mut files).unwrap();
        }
        builder.finish(&mut files);
        let bundle = files.iter().find(|file| file.path == "tile/entries/000.p/3").unwrap();
        assert_eq!(parse_entries(&bundle.bytes), (vec![&b"a"[..], b"", b"ccc"], &b""[..]));
    }

    #[test]
    fn a_record_that_is_too_long_is_refused() {
        let body = vec![0; 65_536];
        assert!(TileBuilder::default().push(&body, leaf_hash(&body), &mut Vec::new()).is_err());
    }
}
