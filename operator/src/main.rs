//! Starts the operator.

use std::process::ExitCode;

fn main() -> ExitCode {
    novacrm_operator::cli::main(std::env::args_os())
}
