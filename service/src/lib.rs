//! What the three servers share, once: telemetry, mutual TLS with reload, probes and metrics, problem+json, errors
//! in words, shutdown. No product logic, and nothing of ours below it.

pub mod admin;
pub mod answer;
pub mod body;
mod connections;
pub mod destination;
pub mod effort;
pub mod error;
pub mod problem;
pub mod secret;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod tls;

/// What `--version` says: the version of the crate that asks, and the commit where the build was told it, in
/// `NOVACRM_BUILD` (as `scripts/images` does). A build that knows none is not made again with each commit.
#[macro_export]
macro_rules! version {
    () => {
        match option_env!("NOVACRM_BUILD") {
            Some(build) => build,
            None => env!("CARGO_PKG_VERSION"),
        }
    };
}
