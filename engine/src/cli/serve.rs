//! `serve`: the environment in, a running server until a signal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use novacrm_service::{serve, shutdown, telemetry};

use super::Failure;
use crate::audit::{Database, Durability};
use crate::server::{self, Settings};

#[derive(Debug, Args)]
#[command(after_help = "All settings come from the environment; see ARCHITECTURE.md.")]
pub(super) struct Arguments {
    /// The tenant's id
    #[arg(long, env = "NOVACRM_TENANT")]
    tenant: String,
    /// Address of the service (mutual TLS)
    #[arg(long, env = "NOVACRM_LISTEN", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Address of probes and metrics (HTTP)
    #[arg(long, env = "NOVACRM_ADMIN_LISTEN", default_value = "0.0.0.0:9090")]
    admin_listen: SocketAddr,
    /// Folder with ca.crt, tls.crt and tls.key
    #[arg(long, env = "NOVACRM_TLS_DIR")]
    tls_dir: PathBuf,
    /// Folder with the engine's keys
    #[arg(long, env = "NOVACRM_KEYS_DIR")]
    keys_dir: PathBuf,
    /// Folder with the bundle of rules
    #[arg(long, env = "NOVACRM_BUNDLE_DIR")]
    bundle_dir: PathBuf,
    /// Folder with the bundle before
    #[arg(long, env = "NOVACRM_BUNDLE_PREVIOUS_DIR")]
    bundle_previous_dir: Option<PathBuf>,
    // From the environment only: it holds a password, and arguments are visible to others.
    #[arg(skip = std::env::var("NOVACRM_AUDIT_DATABASE_URL").unwrap_or_default())]
    audit_database_url: String,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    if arguments.audit_database_url.is_empty() {
        return Err("NOVACRM_AUDIT_DATABASE_URL is not set".into());
    }
    let _telemetry = telemetry::init("novacrm-engine")?;
    let stop = shutdown::on_signal()?;
    let settings = Settings {
        tenant: arguments.tenant,
        listener: serve::bind(arguments.listen)?,
        admin_listener: serve::bind(arguments.admin_listen)?,
        tls_dir: arguments.tls_dir,
        keys_dir: arguments.keys_dir,
        bundle_dir: arguments.bundle_dir,
        bundle_previous_dir: arguments.bundle_previous_dir,
        database: Database::new(&arguments.audit_database_url, Durability::Required)?,
        budget: server::BUDGET,
    };
    server::run(settings, stop).await?;
    Ok(ExitCode::SUCCESS)
}
