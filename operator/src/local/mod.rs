//! The local runtime: the objects that `build` made become processes, files and a database on this machine.

pub mod data_dir;
pub mod exec;
pub mod postgres;
pub mod process;
pub mod rewrite;
pub mod up;
