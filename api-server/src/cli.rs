//! The command line. Everything is also an environment variable; secrets are nothing else.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use novacrm_api_domain::user::Locale;
use novacrm_service::error::chain;
use novacrm_service::telemetry;
use url::Url;

use crate::db::{Database, archive, migrate};
use crate::http::assessments::concurrency::Limits;
use crate::http::documentation;
use crate::http::proxies::TrustedProxies;
use crate::server::{self, Config};
use crate::services::ports::{Erased, Erasure as _, Replies as _};
use crate::services::{Clock, SystemClock, erasure, setup};

/// The CRM API of a NovaCRM tenant.
#[derive(Debug, Parser)]
#[command(name = "novacrm-api-server", version = novacrm_service::version!(), about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API and the front end.
    Serve(Box<Serve>),
    /// Bring the CRM database to this version, make the first account, fill in demonstration data.
    Migrate(Migrate),
    /// Write every record of the CRM database into a folder, as of one moment.
    #[command(
        after_help = "The folder holds `manifest.json` and one compressed file per table, with their digests. It is \
complete when it is there; a dump that was cut off is begun anew.\n\nReads NOVACRM_DATABASE_URL."
    )]
    Dump {
        /// Folder to make.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Read a dump back into a database of the same version, whole or not at all.
    #[command(
        after_help = "The database must have been migrated by the release that the manifest names, and hold no \
record.\n\nReads NOVACRM_MIGRATION_DATABASE_URL: the database, as its owner."
    )]
    Restore {
        /// Folder with a dump.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Delete the records that the database holds.
        #[arg(long)]
        replace: bool,
    },
    /// Erase what was deleted long enough ago, and remove old assessments and expired replies, now.
    #[command(
        after_help = "A running server does the same by itself. The engine's audit log forgets the people who were erased \
as soon as a server runs.\n\nReads NOVACRM_DATABASE_URL."
    )]
    Purge(Retention),
    /// Write the OpenAPI document to standard output.
    Openapi,
    /// Write completions for a shell to standard output.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// Address of the API and the front end.
    #[arg(long, env = "NOVACRM_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Address of probes and metrics.
    #[arg(long, env = "NOVACRM_ADMIN_LISTEN", default_value = "0.0.0.0:9090")]
    admin_listen: SocketAddr,
    /// The tenant's id: its namespace.
    #[arg(long, env = "NOVACRM_TENANT")]
    tenant: String,
    /// What the tenant is called; its id when absent.
    #[arg(long, env = "NOVACRM_TENANT_NAME")]
    tenant_name: Option<String>,
    /// The compliance engine.
    #[arg(long, env = "NOVACRM_ENGINE_URL")]
    engine_url: Url,
    /// Folder with ca.crt, tls.crt and tls.key.
    #[arg(long, env = "NOVACRM_TLS_DIR")]
    tls_dir: PathBuf,
    /// Folder with token.key, cursor.key and idempotency.key.
    #[arg(long, env = "NOVACRM_KEYS_DIR")]
    keys_dir: PathBuf,
    /// Folder with the exported front end; none is served when absent.
    #[arg(long, env = "NOVACRM_STATIC_DIR")]
    static_dir: Option<PathBuf>,
    /// Networks of the proxies before this server (`10.0.0.0/8,2001:db8::/32`). What they say in `X-Forwarded-For` of
    /// the client's address is believed; of nobody else.
    #[arg(long, env = "NOVACRM_TRUSTED_PROXIES", default_value = "", hide_default_value = true)]
    trusted_proxies: TrustedProxies,
    /// Assessments of one user at the same time.
    #[arg(long, env = "NOVACRM_ASSESSMENTS_PER_USER", default_value_t = Limits::default().per_user)]
    assessments_per_user: NonZeroU32,
    /// Assessments of all users at the same time.
    #[arg(long, env = "NOVACRM_ASSESSMENTS_TOTAL", default_value_t = Limits::default().total)]
    assessments_total: NonZeroU32,
    /// Bytes of the bodies of assessments at the same time; one user may take half of them. Each byte costs some eight
    /// of memory.
    #[arg(long, env = "NOVACRM_ASSESSMENTS_BYTES", default_value_t = Limits::default().bytes)]
    assessments_bytes: NonZeroU32,
    #[command(flatten)]
    retention: Retention,
}

/// What is kept for how long.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Retention {
    /// Days after which a deleted record is erased for good; 0 erases it with the next run, within a minute.
    #[arg(long, value_name = "DAYS", env = "NOVACRM_ERASURE_AFTER_DAYS", default_value_t = erasure::ERASURE_AFTER_DAYS,
          value_parser = clap::value_parser!(u16).range(..=3650))]
    erasure_after_days: u16,
    /// Days for which assessments are kept.
    #[arg(long, value_name = "DAYS", env = "NOVACRM_ASSESSMENT_RETENTION_DAYS",
          default_value_t = erasure::ASSESSMENT_RETENTION_DAYS, value_parser = clap::value_parser!(u16).range(1..=3650))]
    assessment_retention_days: u16,
}

impl Retention {
    fn rules(self) -> erasure::Rules {
        erasure::Rules {
            deleted: time::Duration::days(self.erasure_after_days.into()),
            assessments: time::Duration::days(self.assessment_retention_days.into()),
        }
    }
}

#[derive(Debug, clap::Args)]
struct Migrate {
    /// Address of the first account; made only when there is none.
    #[arg(long, env = "NOVACRM_BOOTSTRAP_ADMIN_EMAIL")]
    admin_email: Option<String>,
    /// What its holder is called.
    #[arg(long, env = "NOVACRM_BOOTSTRAP_ADMIN_NAME")]
    admin_name: Option<String>,
    /// Whether its holder must choose a password at the first log-in. `optional` is for a person who starts the system
    /// for themselves.
    #[arg(long, env = "NOVACRM_BOOTSTRAP_ADMIN_PASSWORD_CHANGE", value_enum, default_value = "required")]
    admin_password_change: PasswordChange,
    /// The tenant's id: its namespace. The first password may not be made of it.
    #[arg(long, env = "NOVACRM_TENANT")]
    tenant: Option<String>,
    /// Language of its holder.
    #[arg(long, env = "NOVACRM_DEFAULT_LOCALE", value_enum, default_value = "fr")]
    locale: Language,
    /// Fill an empty CRM with fictitious records.
    #[arg(long, env = "NOVACRM_DEMO_DATA", action = clap::ArgAction::Set, default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    demo_data: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PasswordChange {
    Required,
    Optional,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Language {
    Fr,
    En,
}

/// A failure, told in one sentence.
type Failure = String;

/// Runs the command line.
#[must_use]
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => block_on(serving(*serve)),
        Command::Migrate(migrate) => block_on(migrating(migrate)),
        Command::Dump { to } => block_on(dumping(to)),
        Command::Restore { from, replace } => block_on(restoring(from, replace)),
        Command::Purge(retention) => block_on(purging(retention.rules())),
        Command::Openapi => openapi(),
        Command::Completions { shell } => completions(shell),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to tell when standard error is gone too.
            let _ = writeln!(std::io::stderr().lock(), "novacrm-api-server: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no threads can be started: {error}"))?;
    runtime.block_on(async {
        let _telemetry = telemetry::init("novacrm-api-server").map_err(|error| error.to_string())?;
        work.await
    })
}

/// A secret is read from a file or the environment: arguments are visible to every user of a machine.
fn secret(name: &str) -> Result<String, Failure> {
    novacrm_service::secret::read(name).map_err(|error| error.to_string())
}

async fn serving(serve: Serve) -> Result<(), Failure> {
    let config = Config {
        listen: serve.listen,
        admin_listen: serve.admin_listen,
        tenant_name: serve.tenant_name.unwrap_or_else(|| serve.tenant.clone()),
        tenant: serve.tenant,
        database_url: secret("NOVACRM_DATABASE_URL")?,
        engine_url: serve.engine_url,
        tls_dir: serve.tls_dir,
        keys_dir: serve.keys_dir,
        static_dir: serve.static_dir,
        retention: serve.retention.rules(),
        trusted_proxies: serve.trusted_proxies,
        assessments: Limits {
            per_user: serve.assessments_per_user,
            total: serve.assessments_total,
            bytes: serve.assessments_bytes,
        },
    };
    server::run(config).await.map_err(|error| error.to_string())
}

async fn migrating(options: Migrate) -> Result<(), Failure> {
    let url = secret("NOVACRM_MIGRATION_DATABASE_URL")?;
    migrate::run(&url).await.map_err(|error| error.to_string())?;
    tracing::info!(version = migrate::expected_version(), "the database is up to date");
    let database = Arc::new(Database::connect(&url).map_err(|error| error.to_string())?);
    let now = SystemClock.now();
    if let Some(email) = &options.admin_email {
        let password = secret("NOVACRM_BOOTSTRAP_ADMIN_PASSWORD")?;
        let name = options.admin_name.as_deref().unwrap_or("Administration");
        let locale = match options.locale {
            Language::Fr => Locale::Fr,
            Language::En => Locale::En,
        };
        let first = setup::FirstAccount {
            email,
            display_name: name,
            password: &password,
            locale,
            password_must_change: options.admin_password_change == PasswordChange::Required,
            tenant_name: options.tenant.as_deref().unwrap_or_default(),
        };
        let made = setup::first_account(database.as_ref(), now, &first)
            .await
            .map_err(|error| account_failure(&error))?;
        tracing::info!(made, "first account");
    }
    if options.demo_data {
        let made = setup::demo(database.as_ref(), now).await.map_err(|error| error.to_string())?;
        tracing::info!(made, "demonstration data");
    }
    Ok(())
}

async fn dumping(to: PathBuf) -> Result<(), Failure> {
    let url = secret("NOVACRM_DATABASE_URL")?;
    let manifest = archive::dump(&url, &to, SystemClock.now()).await.map_err(|error| chain(&error))?;
    say(&format!("{} records of {} tables in {}.", manifest.rows(), manifest.tables.len(), to.display()))
}

async fn restoring(from: PathBuf, replace: bool) -> Result<(), Failure> {
    let url = secret("NOVACRM_MIGRATION_DATABASE_URL")?;
    let manifest = archive::restore(&url, &from, replace).await.map_err(|error| chain(&error))?;
    say(&format!("{} records of {} tables restored.", manifest.rows(), manifest.tables.len()))
}

async fn purging(rules: erasure::Rules) -> Result<(), Failure> {
    let database = Database::connect(&secret("NOVACRM_DATABASE_URL")?).map_err(|error| error.to_string())?;
    let now = SystemClock.now();
    let mut all = Erased::default();
    loop {
        let erased = erasure::run(&database, now, rules).await.map_err(|error| error.to_string())?;
        if erased == Erased::default() {
            break;
        }
        all += erased;
    }
    let expired = database.purge(now).await.map_err(|error| error.to_string())?;
    let waiting = database.subjects_waiting().await.map_err(|error| error.to_string())?;
    say(&format!(
        "Erased: {} contacts, {} organisations, {} interactions. Removed: {} assessments, {expired} expired replies and \
         sessions. The engine has yet to forget {waiting} people.",
        all.contacts, all.organisations, all.interactions, all.assessments,
    ))
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{line}").map_err(|error| error.to_string())
}

/// Says which variable is wrong.
fn account_failure(error: &crate::services::ServiceError) -> Failure {
    let crate::services::ServiceError::Invalid(errors) = error else { return error.to_string() };
    let faults: Vec<_> = errors
        .iter()
        .map(|error| {
            let variable = match error.field {
                "email" => "NOVACRM_BOOTSTRAP_ADMIN_EMAIL",
                "password" => "NOVACRM_BOOTSTRAP_ADMIN_PASSWORD",
                _ => "NOVACRM_BOOTSTRAP_ADMIN_NAME",
            };
            format!("{variable} {}", error.fault.message().1)
        })
        .collect();
    faults.join("; ")
}

fn openapi() -> Result<(), Failure> {
    let text = documentation::text().map_err(|error| error.to_string())?;
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|error| error.to_string())
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "novacrm-api-server", &mut text);
    std::io::stdout().lock().write_all(&text).map_err(|error| error.to_string())
}
