//! What the three servers share, once: telemetry, mutual TLS with reload, probes and metrics, problem+json, errors
//! in words, shutdown. No product logic, and nothing of ours below it.

pub mod admin;
pub mod effort;
pub mod error;
pub mod problem;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
