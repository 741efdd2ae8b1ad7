//! The CRM API: the single entry point of the front end.
//!
//! `http` takes requests and calls `services`, which decide over traits that `db` and `integrations` implement; the
//! entities and their rules are in `novacrm-api-domain`. A test walks the imports.

pub mod cli;
pub mod db;
pub mod http;
pub mod integrations;
pub mod server;
pub mod services;
