//! The command line: arguments and environment in, an exit code out.
//!
//! 0: done, and nothing is wrong; 1: something is wrong with what was looked at; 2: the command could not be
//! carried out.

mod audit;
mod diff;
mod files;
mod policy;
mod scan;
mod serve;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use novacrm_service::tls::install_provider;

/// Exit code for what could not be carried out.
const FAILED: u8 = 2;

/// The AI compliance engine: decides what may reach an AI, and records it.
#[derive(Debug, Parser)]
#[command(name = "novacrm-engine", version = novacrm_service::version!(), arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve decisions over mutual TLS
    Serve(Box<serve::Arguments>),
    /// Migrate, export or verify the audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Check, test and compare policies, as admission and the engines do
    Policy(policy::PolicyArgs),
    /// Find personal data and secrets in files, folders, a git history or standard input
    Scan(Box<scan::ScanArgs>),
    /// Write a completion script for a shell to standard output
    #[command(
        after_help = "Example:\n  novacrm-engine completions bash > /etc/bash_completion.d/novacrm-engine"
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Runs the process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    install_provider();
    let outcome = match arguments.command {
        Command::Serve(arguments) => runtime().and_then(|runtime| runtime.block_on(serve::run(*arguments))),
        Command::Audit(command) => runtime().and_then(|runtime| runtime.block_on(audit::run(command))),
        Command::Policy(arguments) => policy::run(
            &arguments,
            time::OffsetDateTime::now_utc(),
            &mut std::io::stdout().lock(),
            &mut std::io::stderr().lock(),
        ),
        Command::Scan(arguments) => scan::run(&arguments),
        Command::Completions { shell } => completions(shell),
    };
    outcome.unwrap_or_else(|error| {
        let mut stderr = std::io::stderr().lock();
        // Where standard error is closed there is nobody to tell.
        let _ = writeln!(stderr, "novacrm-engine: {error}");
        ExitCode::from(FAILED)
    })
}

/// What ends a command early; its message names its cause.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "novacrm-engine", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
