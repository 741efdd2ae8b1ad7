//! The engine's server and command line around `novacrm-engine-core`, which decides.
//!
//! A request passes [`http`], is decided by the bundle in force ([`bundle`]), recorded ([`audit`]) and answered, in
//! this order. `main.rs` only calls [`cli`].

pub mod audit;
pub mod bundle;
pub mod cli;
pub mod http;
pub mod keys;
pub mod metrics;
pub mod recogniser;
pub mod server;
