//! The charts, as people install them: what they render, what they refuse, and what becomes of them on a real API
//! server with Helm 3 and Helm 4; and how GitOps tools judge our kinds.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod gitops;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../common/helm.rs"]
mod helm;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../common/kubectl.rs"]
mod kubectl;
mod lifecycle;
mod render;
mod rights;
