//! What spans crates: a running system and a real Kubernetes API to test on and to measure.

pub mod attack;
pub mod attacked;
pub mod cluster;
pub mod command;
pub mod detection;
pub mod flux;
pub mod load;
pub mod memory;
pub mod propagation;
pub mod system;
pub mod tools;
