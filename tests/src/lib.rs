//! What spans crates: a running system to test and to measure.

pub mod load;
pub mod system;
