//! The audit record and the log it stands in: a decision in, canonical bytes and hashes out; an exported log in,
//! its damage out.
//!
//! - [`entry`]: the record, schema-versioned, as canonical JSON (RFC 8785) that never exceeds what one entry of a
//!   tile may hold.
//! - [`commitment`]: people in a record, as salted commitments that erasing the salt makes unlinkable.
//! - [`log`]: the Merkle tree over the records (RFC 6962) and its signed checkpoints (C2SP `tlog-checkpoint`).
//! - [`tiles`]: the log as files (C2SP `tlog-tiles`), written from leaves and read back.
//! - [`verify`]: which records were edited, deleted or reordered, and which checkpoint was forged.

pub mod commitment;
pub mod entry;
pub mod log;
pub mod tiles;
pub mod verify;

pub use entry::{EncodedRecord, Record};
pub use log::{Checkpoint, CheckpointKey, CheckpointVerifier, Frontier, Hash};
pub use verify::{Damage, Report};
