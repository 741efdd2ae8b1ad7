//! The engine as its peers see it: real PostgreSQL, real TLS, real files.

mod bundles;
mod canary;
mod fixture;
mod http;
mod log;
