//! What spans crates: a running system and a real Kubernetes API to test on and to measure.

pub mod cluster;
pub mod command;
pub mod detection;
pub mod flux;
pub mod load;
pub mod propagation;
pub mod system;
pub mod tools;
