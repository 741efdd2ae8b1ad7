//! The operator as it is deployed, on a real Kubernetes API server and a real PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "a test fails by panicking"
)]

mod attacks;
mod deletion;
mod drift;
mod engines;
mod foreign;
mod kills;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../common/kubectl.rs"]
mod kubectl;
mod leader;
mod lifecycle;
mod limits;
mod logins;
mod protection;
mod scale;
mod selection;
mod stage;
mod steady;
mod tenants;
mod unreadable;
