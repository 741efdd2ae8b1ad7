//! Admission as the API server meets it: one verdict everywhere, certificates that change under load, and nothing
//! else stopped when nobody answers.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod limits;
mod rotation;
mod server;
mod verdicts;
mod webhook;
