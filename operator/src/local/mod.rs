//! The local runtime: the objects that `build` made become processes, files and a database on this machine.

pub mod exec;
pub mod postgres;
