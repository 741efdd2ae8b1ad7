//! What the compliance engine decides with: text in, findings, score, decision and record out.
//!
//! No IO, no clock, no runtime, no client: time and keys are handed in, so the same compiler and the same
//! decision serve the engine, the command line, the operator and (later) admission.

pub mod bundle;
pub mod classification;
pub mod detectors;
mod external;
mod finding;
pub mod pipeline;
pub mod policy;
pub mod record;
pub mod risk;
pub mod text;
pub mod transform;

pub use external::{ExternalDetector, ExternalError, ExternalFinding};
pub use finding::{Finding, Fingerprint, FingerprintKey, Span};
