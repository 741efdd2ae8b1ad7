//! Both kinds on a real API server: what it accepts and refuses, where, and that the checks without a server
//! (`novacrm-engine policy lint`, the webhook, the reconcilers) judge alike.
//!
//! [`boundaries`] are derived from the schemas, so a field that enters a kind enters here. [`cases`] are written by
//! hand: the rules across fields, and samples of every pattern. [`updates`] compare two states of an object.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod boundaries;
mod breaking;
mod cases;
mod judge;
mod kstatus;
mod status;
mod updates;
