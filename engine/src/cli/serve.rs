//! `serve`: the environment in, a running server until a signal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use novacrm_engine_core::bundle::signed::TrustedKeys;
use novacrm_service::{secret, serve, shutdown, telemetry};
use zeroize::Zeroizing;

use super::Failure;
use crate::audit::{Database, Durability};
use crate::bundle::{self, ConfigMaps, Files};
use crate::recogniser::{self, Api, FailureMode};
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
    /// Public keys of the operator (C2SP verifier key lines, separated by white space or commas); a bundle that none of
    /// them signed is refused
    #[arg(long, env = "NOVACRM_BUNDLE_PUBLIC_KEYS", value_name = "LINES", value_parser = TrustedKeys::parse)]
    bundle_public_keys: TrustedKeys,
    #[command(flatten)]
    recogniser: RecogniserArguments,
}

/// An external recogniser; none is asked without an address.
#[derive(Debug, Args)]
#[command(next_help_heading = "External recogniser")]
struct RecogniserArguments {
    /// Where texts are posted that policies use `external.*` on, such as http://presidio:3000/analyze
    #[arg(long, env = "NOVACRM_RECOGNISER_URL", value_name = "URL")]
    recogniser_url: Option<reqwest::Url>,
    /// What it speaks
    #[arg(long, env = "NOVACRM_RECOGNISER_API", value_enum, default_value = "presidio")]
    recogniser_api: Api,
    /// Its name in detectors: external.NAME.TYPE
    #[arg(long, env = "NOVACRM_RECOGNISER_NAME", value_name = "NAME", default_value = "presidio")]
    recogniser_name: String,
    /// The model that a chat endpoint is to use
    #[arg(long, env = "NOVACRM_RECOGNISER_MODEL", value_name = "MODEL", default_value = "")]
    recogniser_model: String,
    /// Types that are taken, as it calls them or THEIRS=OURS; others are counted and left out
    #[arg(
        long,
        env = "NOVACRM_RECOGNISER_TYPES",
        value_name = "TYPE,…",
        value_delimiter = ',',
        default_value = "PERSON,LOCATION,ORGANIZATION,NRP"
    )]
    recogniser_types: Vec<String>,
    /// Languages that it knows
    #[arg(
        long,
        env = "NOVACRM_RECOGNISER_LANGUAGES",
        value_name = "TAG,…",
        value_delimiter = ',',
        default_value = "fr,en"
    )]
    recogniser_languages: Vec<String>,
    /// How long a call may take, waiting for its turn included, in milliseconds
    #[arg(long, env = "NOVACRM_RECOGNISER_TIME_OUT_MS", value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    recogniser_time_out_ms: u64,
    /// Longest text that is sent, in bytes
    #[arg(long, env = "NOVACRM_RECOGNISER_MAX_BYTES", value_name = "BYTES", default_value_t = 64 << 10)]
    recogniser_max_bytes: usize,
    /// Calls at a time
    #[arg(long, env = "NOVACRM_RECOGNISER_MAX_CALLS", value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    recogniser_max_calls: u16,
    /// What happens when it is not heard
    #[arg(long, env = "NOVACRM_RECOGNISER_FAILURE_MODE", value_enum, default_value = "closed")]
    recogniser_failure_mode: FailureMode,
    /// The recogniser may be on this machine; its address is refused without this
    #[arg(long, env = "NOVACRM_RECOGNISER_LOCAL", action = clap::ArgAction::SetTrue, value_parser = clap::builder::FalseyValueParser::new())]
    recogniser_local: bool,
}

impl RecogniserArguments {
    fn settings(self) -> Result<Option<recogniser::Settings>, Failure> {
        let Some(url) = self.recogniser_url else { return Ok(None) };
        Ok(Some(recogniser::Settings {
            url,
            api: self.recogniser_api,
            name: self.recogniser_name,
            model: self.recogniser_model,
            key: secret::find("NOVACRM_RECOGNISER_KEY")?.map(Zeroizing::new),
            types: self.recogniser_types,
            languages: self.recogniser_languages,
            time_out: Duration::from_millis(self.recogniser_time_out_ms),
            max_bytes: self.recogniser_max_bytes,
            max_calls: self.recogniser_max_calls.into(),
            failure_mode: self.recogniser_failure_mode,
            local: self.recogniser_local,
        }))
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let database_url = secret::read("NOVACRM_AUDIT_DATABASE_URL")?;
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
        bundle_keys: arguments.bundle_public_keys,
        database: Database::new(&database_url, Durability::Required)?,
        budget: server::BUDGET,
        recogniser: arguments.recogniser.settings()?,
    };
    server::run(settings, stop).await?;
    Ok(ExitCode::SUCCESS)
}
