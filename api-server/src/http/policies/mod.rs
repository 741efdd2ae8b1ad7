//! The policies in force.

pub mod read;
