//! `audit`: the log's schema, its export and its verification.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{Table, presets};
use novacrm_engine_core::record::verify::verify_export;
use novacrm_engine_core::record::{Checkpoint, CheckpointVerifier};
use novacrm_service::secret;

use super::Failure;
use crate::audit::read::{self, DatabaseReport};
use crate::audit::{self, Database, Durability};
use crate::keys::{PUBLIC_KEY_FILE, read_signing, read_verifier};

/// The environment variable with the engine's database.
const DATABASE: &str = "NOVACRM_AUDIT_DATABASE_URL";
/// The environment variable with the migrator's database.
const MIGRATION_DATABASE: &str = "NOVACRM_AUDIT_MIGRATION_DATABASE_URL";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring the audit database's schema up to date
    #[command(after_help = "Reads NOVACRM_AUDIT_MIGRATION_DATABASE_URL: the database, as its owner.")]
    Migrate,
    /// Write the log up to its newest checkpoint into a folder, for third parties
    #[command(
        after_help = "The folder holds C2SP tlog-tiles: `checkpoint`, `tile/<level>/…` and `tile/entries/…`. Whoever \
has it and the public key can verify it:\n\n  novacrm-engine audit export --to ./log\n  novacrm-engine audit verify \
--from ./log --public-key audit-public.key\n\nReads NOVACRM_AUDIT_DATABASE_URL."
    )]
    Export {
        /// Folder to write to; it must not hold an export already
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Write a last copy of a log that no engine writes to any more into a folder, with its public key
    #[command(
        after_help = "Gives records that wait their place and signs the log first. The folder then holds \
`audit-public.key` and, unless the log is empty, `log`, as `audit export` writes it. May be run again: a copy that is \
whole stays.\n\nReads NOVACRM_AUDIT_DATABASE_URL, NOVACRM_KEYS_DIR and NOVACRM_TENANT."
    )]
    Dump {
        /// Folder to write to
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// The tenant's id: its namespace
        #[arg(long, env = "NOVACRM_TENANT")]
        tenant: String,
        /// Folder with the log's keys
        #[arg(long, env = "NOVACRM_KEYS_DIR")]
        keys_dir: PathBuf,
    },
    /// Verify an exported log, or the log in the database
    #[command(
        after_help = "Examples:\n  novacrm-engine audit verify\n  novacrm-engine audit verify --from ./log \
--public-key audit-public.key\n  novacrm-engine audit verify --against checkpoint-of-last-month --output json\n\n\
Exit codes: 0 intact, 1 damaged, 2 the log cannot be read.\n\nWithout --from, reads NOVACRM_AUDIT_DATABASE_URL. The \
log's newest end is protected by what was kept elsewhere: keep a checkpoint out of reach of the database's \
administrator and name it with --against."
    )]
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Folder with an exported log; the database when absent
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// File with the log's public key; audit-public.key of NOVACRM_KEYS_DIR when absent
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere, which the log must still contain; may be given more than once
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// How to write the outcome
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Migrate => {
            audit::migrate(&url(MIGRATION_DATABASE)?).await?;
            writeln!(std::io::stdout().lock(), "The audit database's schema is up to date.")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Export { to } => export(&to).await,
        Command::Dump { to, tenant, keys_dir } => dump(&to, &tenant, &keys_dir).await,
        Command::Verify(arguments) => verify(&arguments).await,
    }
}

fn url(variable: &str) -> Result<String, Failure> {
    Ok(secret::read(variable)?)
}

/// The database for reading: whether it keeps what it commits is without meaning here.
fn database() -> Result<Database, Failure> {
    Ok(Database::new(&url(DATABASE)?, Durability::Volatile)?.unhurried())
}

async fn export(to: &Path) -> Result<ExitCode, Failure> {
    let records =
        read::export(&database()?.reader(), to, |done, of| progress("exported", done, Some(of))).await?;
    writeln!(std::io::stdout().lock(), "{records} records exported to {}.", to.display())?;
    Ok(ExitCode::SUCCESS)
}

async fn dump(to: &Path, tenant: &str, keys: &Path) -> Result<ExitCode, Failure> {
    let key = read_signing(keys, tenant)?;
    let records = read::dump(&database()?, &key, to, |done, of| progress("exported", done, Some(of))).await?;
    writeln!(std::io::stdout().lock(), "{records} records in {}.", to.display())?;
    Ok(ExitCode::SUCCESS)
}

async fn verify(arguments: &Verify) -> Result<ExitCode, Failure> {
    let key = match (&arguments.public_key, std::env::var_os("NOVACRM_KEYS_DIR")) {
        (Some(file), _) => file.clone(),
        (None, Some(dir)) => Path::new(&dir).join(PUBLIC_KEY_FILE),
        (None, None) => {
            return Err("name the log's public key with --public-key, or set NOVACRM_KEYS_DIR".into());
        }
    };
    let verifier = read_verifier(&key)?;
    let kept = arguments.against.iter().map(|file| kept(file, &verifier)).collect::<Result<Vec<_>, _>>()?;
    let report = match &arguments.from {
        Some(dir) => {
            if !dir.is_dir() {
                return Err(format!("{} is not a folder", dir.display()).into());
            }
            let read = |path: &str| match std::fs::read(dir.join(path)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(format!("{}: {error}", dir.join(path).display())),
            };
            DatabaseReport { log: verify_export(&verifier, &kept, read)?, pending: 0 }
        }
        None => {
            let pool = database()?.reader();
            read::verify(&pool, &verifier, &kept, |done| progress("verified", done, None)).await?
        }
    };
    let mut stdout = std::io::stdout().lock();
    match arguments.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut stdout, &report)?;
            writeln!(stdout)?;
        }
        Output::Table => table(&mut stdout, &report)?,
    }
    Ok(ExitCode::from(u8::from(!report.log.is_intact())))
}

fn kept(file: &Path, verifier: &CheckpointVerifier) -> Result<Checkpoint, Failure> {
    let note = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    verifier.open(&note).map_err(|error| format!("{}: {error}", file.display()).into())
}

fn table(out: &mut impl Write, DatabaseReport { log, pending }: &DatabaseReport) -> std::io::Result<()> {
    if log.is_intact() {
        write!(out, "Intact: {} records, {} covered by signed checkpoints", log.records, log.covered)?;
        return writeln!(out, ", {pending} waiting for their place.");
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "sequence",
        "record",
        "damage",
        "what is known",
    ]);
    for damage in &log.damages {
        table.add_row([
            damage.sequence.map(|sequence| sequence.to_string()).unwrap_or_default(),
            damage.id.map(|id| id.to_string()).unwrap_or_default(),
            damage.kind.as_str().to_owned(),
            damage.detail.clone(),
        ]);
    }
    writeln!(out, "DAMAGED: {} findings in {} records", log.damages.len() as u64 + log.more, log.records)?;
    writeln!(out, "{table}")?;
    if log.more > 0 {
        writeln!(out, "and {} more", log.more)?;
    }
    Ok(())
}

/// One line that rewrites itself, for people who watch.
fn progress(what: &str, done: u64, of: Option<u64>) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
        // Progress that cannot be shown changes nothing.
        let _ = write!(stderr, "\r{done}{of} records {what}\r");
    }
}
