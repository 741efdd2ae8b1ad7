//! The operator as it is deployed, on a real Kubernetes API server and a real PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "a test fails by panicking"
)]

mod engines;
mod lifecycle;
mod stage;
