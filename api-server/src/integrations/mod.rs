//! Adapters to other services.

pub mod engine;
