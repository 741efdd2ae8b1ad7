//! Starts the operator.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == "__exec") {
        return execute(arguments.collect());
    }
    ExitCode::SUCCESS
}

/// `__exec SIGNAL PARENT -- PROGRAM ARGUMENTS…`
fn execute(arguments: Vec<OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let signal = arguments.next().and_then(|word| word.to_str().and_then(|word| word.parse().ok()));
    let parent = arguments.next().and_then(|word| word.to_str().and_then(|word| word.parse().ok()));
    let (Some(signal), Some(parent)) = (signal, parent) else { return ExitCode::from(2) };
    let program: Vec<OsString> = arguments.skip_while(|word| word == "--").collect();
    let _error = novacrm_operator::local::exec::become_program(signal, parent, &program);
    ExitCode::from(127)
}
