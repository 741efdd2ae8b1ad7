//! `serve`: the environment in, a running server until a signal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use novacrm_service::{serve, shutdown, telemetry};

use super::Failure;
use crate::audit::{Database, Durability};
use crate::bundle::{self, ConfigMaps, Files};
use crate::server::{self, Rules, Settings};

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
    /// ConfigMap with the bundle of rules, in the tenant's namespace, watched through the Kubernetes API
    #[arg(long, env = "NOVACRM_BUNDLE_CONFIG_MAP")]
    bundle_config_map: Option<String>,
    /// ConfigMap with the bundle before
    #[arg(long, env = "NOVACRM_BUNDLE_CONFIG_MAP_PREVIOUS", requires = "bundle_config_map")]
    bundle_config_map_previous: Option<String>,
    /// Folder with the bundle of rules; with a ConfigMap, what is used while the Kubernetes API is away
    #[arg(long, env = "NOVACRM_BUNDLE_DIR", required_unless_present = "bundle_config_map")]
    bundle_dir: Option<PathBuf>,
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
    let files =
        arguments.bundle_dir.as_deref().map(|dir| Files::new(dir, arguments.bundle_previous_dir.as_deref()));
    let rules = match (arguments.bundle_config_map, files) {
        (Some(name), files) => {
            let previous = arguments.bundle_config_map_previous.as_deref();
            let maps = ConfigMaps::new(bundle::client().await?, &arguments.tenant, &name, previous);
            Rules::ConfigMaps(Box::new(maps), files)
        }
        (None, Some(files)) => Rules::Files(files),
        (None, None) => return Err("neither NOVACRM_BUNDLE_CONFIG_MAP nor NOVACRM_BUNDLE_DIR is set".into()),
    };
    let settings = Settings {
        tenant: arguments.tenant,
        listener: serve::bind(arguments.listen)?,
        admin_listener: serve::bind(arguments.admin_listen)?,
        tls_dir: arguments.tls_dir,
        keys_dir: arguments.keys_dir,
        rules,
        database: Database::new(&arguments.audit_database_url, Durability::Required)?,
        budget: server::BUDGET,
    };
    server::run(settings, stop).await?;
    Ok(ExitCode::SUCCESS)
}
