//! The operator as it is deployed, on a real Kubernetes API server and a real PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "a test fails by panicking"
)]

mod deletion;
mod drift;
mod engines;
mod kills;
mod leader;
mod lifecycle;
mod logins;
mod scale;
mod selection;
mod stage;
mod steady;
mod tenants;
mod unreadable;
