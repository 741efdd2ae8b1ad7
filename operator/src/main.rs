//! Starts the operator.

use std::process::ExitCode;

/// Many tenants that come at once are many short-lived objects on many threads; this allocator gives their memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    novacrm_operator::cli::main(std::env::args_os())
}
