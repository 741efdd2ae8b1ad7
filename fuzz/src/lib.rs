//! One function per fuzz target: bytes in; a panic when something that must always hold does not.
//!
//! `./task fuzz -- TARGET SECONDS` runs one. What stands in `corpus/TARGET` is where each run starts; it is made up,
//! small, and replayed by `./task test`.

mod core;
mod domain;
mod recogniser;
mod record;
mod scan;
mod wire;

pub use core::{
    bundle, detectors, document, pipeline, policy, readings, restore, signed, stream, text, transform,
};
pub use domain::domain;
pub use recogniser::recogniser;
pub use record::record;
pub use scan::{scan_patch, scan_text};
pub use wire::wire;
