//! `novacrm-engine scan` as its users run it: the built program, files, repositories made here, exit codes.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod baseline;
mod files;
mod fixture;
mod history;
mod jsonl;
mod sarif;
