//! `novacrm-test-postgres -- COMMAND…`: runs a command with `DATABASE_URL` naming a throwaway PostgreSQL.
//!
//! In: a command. Out: its exit code; the server and its data are gone afterwards, also after Ctrl-C.
//! `novacrm-test-postgres --programs` only prints the folder that PostgreSQL is installed in, downloading it first.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use novacrm_operator::local::postgres::{Options, Programs, start, unprivileged_account};
use novacrm_tests::command;
use tokio::signal::unix::{SignalKind, signal};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).skip_while(|word| word == "--").collect();
    match run(&words).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "novacrm-test-postgres: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(words: &[OsString]) -> Result<u8, Error> {
    if words.is_empty() {
        return Err("usage: novacrm-test-postgres --programs | -- COMMAND [ARGUMENT …]".into());
    }
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "two providers of cryptography")?;
    if words == ["--programs"] {
        let folder = Programs::find(None).folder().await?;
        writeln!(std::io::stdout(), "{}", folder.parent().unwrap_or(&folder).display())?;
        return Ok(0);
    }
    // A parent that is ended by a signal would leave the server behind: asked to end while it starts, it is dropped.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let folder = tempfile::Builder::new().prefix("novacrm-postgres.").tempdir()?;
    let options = Options {
        programs: Programs::find(None),
        folder: folder.path().to_owned(),
        account: unprivileged_account()?,
        port: None,
        guardian: None,
    };
    let server = tokio::select! {
        server = start(&options) => server?,
        _ = terminate.recv() => return Ok(1),
        _ = interrupt.recv() => return Ok(1),
    };
    let code = command::run(words, &[("DATABASE_URL", server.url("postgres").into())]).await;
    server.stop().await?;
    Ok(code?)
}
