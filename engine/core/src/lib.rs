//! What the compliance engine decides with: text in, findings, score, decision and record out.
//!
//! No IO, no clock, no runtime, no client: time and keys are handed in, so the same compiler and the same
//! decision serve the engine, the command line, the operator and (later) admission.

mod finding;
pub mod record;

pub use finding::{Finding, Fingerprint, FingerprintKey, Span};
