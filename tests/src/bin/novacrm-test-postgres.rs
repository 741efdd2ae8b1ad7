//! `novacrm-test-postgres -- COMMAND…`: runs a command with `DATABASE_URL` naming a throwaway PostgreSQL.
//!
//! In: a command. Out: its exit code; the server and its data are gone afterwards, also after Ctrl-C.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use novacrm_operator::local::postgres::{Options, Programs, start, unprivileged_account};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let command: Vec<OsString> = std::env::args_os().skip(1).skip_while(|word| word == "--").collect();
    match run(&command).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "novacrm-test-postgres: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(command: &[OsString]) -> Result<u8, Error> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("usage: novacrm-test-postgres -- COMMAND [ARGUMENT …]".into());
    };
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "two providers of cryptography")?;
    // A parent that is ended by a signal would leave the server behind.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let folder = tempfile::Builder::new().prefix("novacrm-postgres.").tempdir()?;
    let server = start(&Options {
        programs: Programs::find(None),
        folder: folder.path().to_owned(),
        account: unprivileged_account()?,
        port: None,
        guardian: None,
    })
    .await?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", server.url("postgres"))
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let status = tokio::select! {
        status = child.wait() => Some(status?),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    if status.is_none() {
        child.kill().await?;
    }
    server.stop().await?;
    Ok(status.and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
