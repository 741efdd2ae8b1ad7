//! The command line: arguments in, an exit code out.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use novacrm_crds::DEFAULT_POLICY_NAMESPACE;
use novacrm_service::destination::{Destinations, HostPattern, api_server};
use novacrm_service::error::chain;
use novacrm_service::{shutdown, telemetry};

use crate::admission::{ClientAuthorities, Lives};
use crate::cluster::Config;
use crate::cluster::leader::Timing;
use crate::cluster::run::{self, Process, Webhook};
use crate::crm_tenant::build::{Settings, Surroundings, build_all};
use crate::crm_tenant::database::ConnectionLimits;
use crate::crm_tenant::limits::{Limits, Size};
use crate::manifests;
use crate::render::render;
use crate::world::{self, Memory};

mod policy;

/// Done.
const DONE: u8 = 0;
/// It failed while running, or (`status`) something is not ready.
const FAILED: u8 = 1;
/// Manifests are refused.
const REFUSED: u8 = 3;
/// Something is in the way: a port, a missing program, the data folder.
const IN_THE_WAY: u8 = 4;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  it failed while running; `status`: something is not ready
  2  the command line is wrong
  3  manifests are refused
  4  something is in the way: a port in use, a missing program or object, a data folder that cannot be used";

const EXAMPLES: &str = "Examples:
  novacrm-operator up -f examples/quickstart --static-dir frontend/out
  novacrm-operator render -f examples/quickstart > objects.yaml
  novacrm-operator status -o json
  novacrm-operator policy history organisation-baseline
  novacrm-operator crds | kubectl apply --server-side -f -

`novacrm-operator <command> --help` tells the exit codes.";

/// Turns CrmTenant and CompliancePolicy manifests into running CRMs.
#[derive(Debug, Parser)]
#[command(name = "novacrm-operator", version = novacrm_service::version!(), after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reconcile both kinds in a cluster, until a signal
    Run(Box<RunArgs>),
    /// Look back at policies of a cluster, and go back
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Print the Kubernetes objects that manifests stand for, without any secret
    Render(RenderArgs),
    /// Run what manifests describe on this machine, until Ctrl-C; a changed manifest takes effect at once
    #[cfg(feature = "local")]
    Up(UpArgs),
    /// Show what is enforced, and why not, when not
    #[cfg(feature = "local")]
    Status(StatusArgs),
    /// Delete the data of `up`, after asking
    #[cfg(feature = "local")]
    Reset(ResetArgs),
    /// Print both CustomResourceDefinitions as YAML, or write them to files
    Crds {
        /// Write a file per definition into this folder instead
        #[arg(long, value_name = "DIR")]
        output_dir: Option<PathBuf>,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct ManifestArgs {
    /// File or folder of manifests
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    manifests: PathBuf,
    /// Namespace of the organisation's policies
    #[arg(long, value_name = "NAME", default_value = DEFAULT_POLICY_NAMESPACE)]
    policy_namespace: String,
}

/// What tenants may ask for.
#[derive(Debug, Args)]
#[command(next_help_heading = "What tenants may ask for")]
struct LimitArgs {
    /// Hosts that recognisers may be at: names, `*.` and the end of names, `*`; `{namespace}` is the tenant's
    #[arg(long, value_name = "PATTERN,…", env = "NOVACRM_RECOGNISER_HOSTS", value_delimiter = ',', default_value = "*.{namespace}.svc", value_parser = host_pattern)]
    recogniser_hosts: Vec<HostPattern>,
    /// Images of PostgreSQL that tenants may choose, or beginnings of their names [default: none]
    #[arg(long, value_name = "NAME,…", env = "NOVACRM_IMAGES", value_delimiter = ',')]
    images: Vec<String>,
    /// Host names that tenants may be reached under, as patterns
    #[arg(long, value_name = "PATTERN,…", env = "NOVACRM_HOSTNAMES", value_delimiter = ',', default_value = "*", value_parser = host_pattern)]
    hostnames: Vec<HostPattern>,
    /// Most pods of a part
    #[arg(long, value_name = "COUNT", env = "NOVACRM_MAX_REPLICAS", default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=100))]
    max_replicas: i32,
    /// Most servers of a PostgreSQL cluster
    #[arg(long, value_name = "COUNT", env = "NOVACRM_MAX_INSTANCES", default_value_t = 5, value_parser = clap::value_parser!(i32).range(1..=9))]
    max_instances: i32,
    /// Most processor time of a pod, in cores
    #[arg(long, value_name = "QUANTITY", env = "NOVACRM_MAX_CPU", default_value = "8")]
    max_cpu: Size,
    /// Most memory of a pod
    #[arg(long, value_name = "QUANTITY", env = "NOVACRM_MAX_MEMORY", default_value = "16Gi")]
    max_memory: Size,
    /// Largest volume
    #[arg(long, value_name = "QUANTITY", env = "NOVACRM_MAX_STORAGE", default_value = "1Ti")]
    max_storage: Size,
    /// Database connections of a tenant's application, at least; more where more pods need them
    #[arg(long, value_name = "COUNT", env = "NOVACRM_DATABASE_CONNECTIONS", default_value_t = 32, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    database_connections: i32,
    /// Database connections of a tenant's migrator
    #[arg(long, value_name = "COUNT", env = "NOVACRM_MIGRATOR_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(i32).range(2..=100))]
    migrator_connections: i32,
}

fn host_pattern(text: &str) -> Result<HostPattern, String> {
    HostPattern::new(text)
}

/// A network in CIDR notation (RFC 4632, section 3.1; RFC 4291, section 2.3), such as `10.0.0.0/8`.
fn network(text: &str) -> Result<String, String> {
    let parts = text
        .split_once('/')
        .and_then(|(address, length)| Some((address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?)));
    let most = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    match parts {
        Some((address, length)) if length <= most(address) => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is no network such as `10.0.0.0/8` or `2001:db8::/32`")),
    }
}

/// `<name>:<version>=sha256:<hex>`
fn image_digest(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("`{text}` is none of `<name>:<version>=sha256:<64 digits>`");
    let (image, digest) = text.split_once('=').ok_or_else(wrong)?;
    let hex = digest.strip_prefix("sha256:").ok_or_else(wrong)?;
    let is_hex =
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (is_hex && image.contains(':')).then(|| (image.to_owned(), digest.to_owned())).ok_or_else(wrong)
}

impl LimitArgs {
    /// The settings that they make; `local` where everything runs on one machine.
    fn settings(self, local: bool) -> Settings {
        let refused = if local { Vec::new() } else { api_server() };
        Settings {
            limits: Limits {
                destinations: Destinations { hosts: self.recogniser_hosts, local, refused },
                images: self.images.into_iter().filter(|image| !image.is_empty()).collect(),
                hostnames: self.hostnames,
                max_replicas: self.max_replicas,
                max_instances: self.max_instances,
                max_cpu: self.max_cpu,
                max_memory: self.max_memory,
                max_storage: self.max_storage,
            },
            connections: ConnectionLimits {
                api: self.database_connections,
                audit: self.database_connections,
                migrator: self.migrator_connections,
            },
            ..Settings::default()
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
struct RunArgs {
    /// Namespace the operator runs in
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    namespace: String,
    /// Name of this process among its replicas
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pod_name: String,
    /// Namespace of the organisation's policies
    #[arg(long, value_name = "NAME", env = "NOVACRM_POLICY_NAMESPACE", default_value = DEFAULT_POLICY_NAMESPACE)]
    policy_namespace: String,
    /// Look at these namespaces only, beside the policy namespace
    #[arg(long, value_name = "NAME,…", env = "NOVACRM_WATCH_NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// Registry and path of the images of tenants, such as `registry.example/novacrm`
    #[arg(long, value_name = "PREFIX", env = "NOVACRM_IMAGE_REPOSITORY")]
    image_repository: Option<String>,
    /// Version of the images of tenants [default: that of the operator]
    #[arg(long, value_name = "TAG", env = "NOVACRM_IMAGE_VERSION")]
    image_version: Option<String>,
    /// Digests of images of tenants, each as `<name>:<version>=sha256:…`
    #[arg(long, value_name = "IMAGE=DIGEST,…", env = "NOVACRM_IMAGE_DIGESTS", value_delimiter = ',', value_parser = image_digest)]
    image_digests: Vec<(String, String)>,
    /// Networks of the proxies before the APIs of tenants, whose `X-Forwarded-For` they believe
    #[arg(long, value_name = "NETWORK,…", env = "NOVACRM_TENANT_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    trusted_proxies: Vec<String>,
    /// Days after which the APIs of tenants erase deleted records for good [default: that of the API]
    #[arg(long, value_name = "DAYS", env = "NOVACRM_TENANT_ERASURE_AFTER_DAYS", value_parser = clap::value_parser!(u16).range(..=3650))]
    erasure_after_days: Option<u16>,
    /// Days for which the APIs of tenants keep assessments [default: that of the API]
    #[arg(long, value_name = "DAYS", env = "NOVACRM_TENANT_ASSESSMENT_RETENTION_DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
    assessment_retention_days: Option<u16>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Address of probes and metrics (HTTP)
    #[arg(long, value_name = "ADDRESS", env = "NOVACRM_ADMIN_ADDRESS", default_value = "0.0.0.0:9090")]
    admin_address: SocketAddr,
    /// Address of the admission webhook (HTTPS), such as 0.0.0.0:9443; none is served when empty
    #[arg(long, value_name = "ADDRESS", env = "NOVACRM_WEBHOOK_ADDRESS", default_value = "")]
    webhook_address: String,
    /// File of authorities (PEM): the webhook then hears only callers with a certificate of theirs
    #[arg(long, value_name = "PATH", env = "NOVACRM_WEBHOOK_CLIENT_CA")]
    webhook_client_ca: Option<PathBuf>,
    /// Name of the Service in front of the webhook
    #[arg(
        long,
        value_name = "NAME",
        env = "NOVACRM_WEBHOOK_SERVICE",
        default_value = "novacrm-operator-webhook"
    )]
    webhook_service: String,
    /// Name of the ValidatingWebhookConfiguration
    #[arg(
        long,
        value_name = "NAME",
        env = "NOVACRM_WEBHOOK_CONFIGURATION",
        default_value = "novacrm-operator"
    )]
    webhook_configuration: String,
    /// Name of the Lease by which replicas agree on who leads
    #[arg(long, value_name = "NAME", env = "NOVACRM_LEASE", default_value = "novacrm-operator")]
    lease: String,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
struct RenderArgs {
    #[command(flatten)]
    manifests: ManifestArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

#[cfg(feature = "local")]
#[derive(Debug, Args)]
struct DataArgs {
    /// Folder for data, keys and logs
    #[arg(long, value_name = "DIR", env = "NOVACRM_DATA_DIR", default_value = ".novacrm")]
    data_dir: PathBuf,
}

#[cfg(feature = "local")]
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
struct UpArgs {
    #[command(flatten)]
    manifests: ManifestArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// The exported front end to serve
    #[arg(long, value_name = "DIR")]
    static_dir: Option<PathBuf>,
    /// Port of the first tenant; further tenants have the next free ones
    #[arg(long, value_name = "PORT", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Port for probes and `GET /status` [default: 9090, or a free one]
    #[arg(long, value_name = "PORT")]
    admin_port: Option<u16>,
    /// Folder of an installed PostgreSQL's programs, 15 or newer; without it PostgreSQL is downloaded once
    /// [env: NOVACRM_POSTGRES_BIN]
    #[arg(long, value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
}

#[cfg(feature = "local")]
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
struct StatusArgs {
    #[command(flatten)]
    data: DataArgs,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[cfg(feature = "local")]
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
struct ResetArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What ends a command early.
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(code: u8, message: impl ToString) -> Self {
        Self { code, message: message.to_string() }
    }
}

/// Runs the command line.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    #[cfg(feature = "local")]
    if arguments.get(1).is_some_and(|word| word == "__exec") {
        return execute(arguments.into_iter().skip(2).collect());
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output, complaints to standard error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = match cli.command {
        Command::Run(args) => run_operator(*args),
        Command::Policy(command) => policy::run(command),
        Command::Render(args) => run_render(&args.manifests, &args.limits.settings(false)),
        #[cfg(feature = "local")]
        Command::Up(args) => local::up(args),
        #[cfg(feature = "local")]
        Command::Status(args) => local::status(&args),
        #[cfg(feature = "local")]
        Command::Reset(args) => local::reset(&args),
        Command::Crds { output_dir } => crds(output_dir.as_deref()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "novacrm-operator", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // Nothing is left to be done when even this cannot be written.
            let _ = writeln!(io::stderr().lock(), "novacrm-operator: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn print(text: &str) -> Result<u8, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read the output has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(DONE),
        Err(error) => Err(Failure::new(FAILED, format!("cannot write: {error}"))),
        Ok(()) => Ok(DONE),
    }
}

fn crds(folder: Option<&Path>) -> Result<u8, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(FAILED, error);
    let mut out = String::new();
    for definition in novacrm_crds::schema::definitions() {
        let yaml = serde_yaml::to_string(&definition).map_err(|error| failed(&error))?;
        match folder {
            Some(folder) => {
                let path = folder.join(novacrm_crds::schema::file_name(&definition));
                std::fs::write(&path, yaml)
                    .map_err(|error| failed(&format!("cannot write {}: {error}", path.display())))?;
            }
            None => {
                out.push_str("---\n");
                out.push_str(&yaml);
            }
        }
    }
    print(&out)
}

fn run_operator(args: RunArgs) -> Result<u8, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(FAILED, chain(error));
    let _telemetry = telemetry::init("novacrm-operator").map_err(|error| failed(&error))?;
    novacrm_service::tls::install_provider();
    let clients = args.webhook_client_ca.as_deref().map(client_authorities).transpose()?;
    let webhook = match args.webhook_address.as_str() {
        "" => None,
        address => Some(Webhook {
            address: address.parse().map_err(|_| {
                Failure::new(2, "--webhook-address is no address and port, such as 0.0.0.0:9443")
            })?,
            service: args.webhook_service,
            configuration: args.webhook_configuration,
            lives: Lives::default(),
            clients,
        }),
    };
    let defaults = args.limits.settings(false);
    let settings = Settings {
        image_digests: args.image_digests.into_iter().collect(),
        trusted_proxies: args.trusted_proxies,
        erasure_after_days: args.erasure_after_days,
        assessment_retention_days: args.assessment_retention_days,
        version: args.image_version.unwrap_or(defaults.version),
        operator_namespace: args.namespace,
        image_repository: args.image_repository,
        ..defaults
    };
    let process = Process {
        config: Config {
            policy_namespace: args.policy_namespace,
            watch_namespaces: args.watch_namespaces.into_iter().filter(|name| !name.is_empty()).collect(),
            settings,
            identity: args.pod_name,
        },
        admin_address: args.admin_address,
        webhook,
        lease: args.lease,
        timing: Timing::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(FAILED, error))?;
    runtime.block_on(async {
        let stop = shutdown::on_signal().map_err(|error| failed(&error))?;
        let client = kube::Client::try_default().await.map_err(|error| failed(&error))?;
        run::run(client, process, stop).await.map_err(|error| failed(&error))?;
        Ok(DONE)
    })
}

/// Reads the authorities of the webhook's callers.
fn client_authorities(path: &Path) -> Result<ClientAuthorities, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(2, format!("--webhook-client-ca: {}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    ClientAuthorities::new(&text).map_err(|error| failed(&error))
}

fn run_render(args: &ManifestArgs, settings: &Settings) -> Result<u8, Failure> {
    let sources = manifests::read(&args.manifests).map_err(|error| Failure::new(REFUSED, error))?;
    let world = world::look(&Memory::default(), &sources.parse(), &args.policy_namespace, &settings.limits);
    if !world.problems.is_empty() {
        let problems: Vec<String> = world.problems.iter().map(crate::in_words).collect();
        return Err(Failure::new(REFUSED, format!("the manifests are refused\n{}", problems.join("\n"))));
    }
    let mut out = String::new();
    for tenant in world.tenants.values().filter_map(|tenant| tenant.active.as_ref()) {
        let resources = build_all(tenant, settings, &Surroundings::default());
        let objects = render(tenant.namespace(), &resources).map_err(|error| Failure::new(FAILED, error))?;
        out.push_str(&objects);
    }
    print(&out)
}

/// `__exec SIGNAL PARENT -- PROGRAM ARGUMENTS…`: see [`crate::local::exec`].
#[cfg(feature = "local")]
fn execute(arguments: Vec<OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let mut word = || arguments.next().and_then(|word| word.into_string().ok());
    let signal = word().and_then(|word| word.parse().ok());
    let parent = word().and_then(|word| word.parse().ok());
    let (Some(signal), Some(parent)) = (signal, parent) else { return ExitCode::from(2) };
    let program: Vec<OsString> = arguments.skip(1).collect();
    let error = crate::local::exec::become_program(signal, parent, &program);
    // Standard error is the log of the program that should have run.
    let _ = writeln!(io::stderr().lock(), "FATAL: the program could not be started: {error}");
    ExitCode::from(127)
}

#[cfg(feature = "local")]
mod local {
    use std::fmt::Write as _;
    use std::io::IsTerminal as _;
    use std::time::Duration;

    use comfy_table::presets::NOTHING;

    use super::*;
    use crate::local::data_dir::{ADMIN, DataDir, STATUS, load};
    use crate::local::up::{self, AdminAddress, Options, StatusList, UpError};

    pub(super) fn up(args: UpArgs) -> Result<u8, Failure> {
        let options = Options {
            manifests: args.manifests.manifests,
            data_dir: args.data.data_dir,
            static_dir: args.static_dir,
            port: args.port,
            admin_port: args.admin_port,
            postgres_bin: args.postgres_bin,
            policy_namespace: args.manifests.policy_namespace,
            settings: args.limits.settings(true),
        };
        // One thread: the kernel ends the processes when the thread that started them ends, so that must be the
        // one that lives as long as the program.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(FAILED, error))?;
        let mut say = |text: &str| {
            // A closed terminal must not end the system.
            let _ = writeln!(io::stdout().lock(), "{text}");
        };
        let outcome = runtime.block_on(async {
            let stop = shutdown::on_signal()
                .map_err(|source| UpError::System { what: "cannot handle signals", source })?;
            up::up(&options, stop, &mut say).await
        });
        outcome.map(|()| DONE).map_err(|error| Failure::new(exit_code(&error), error))
    }

    fn exit_code(error: &UpError) -> u8 {
        match error {
            UpError::Manifests(_) | UpError::NoTenant(_) => REFUSED,
            UpError::Data(_)
            | UpError::PortInUse { .. }
            | UpError::Program(_)
            | UpError::StaticDir(_)
            | UpError::Postgres(_) => IN_THE_WAY,
            UpError::Database(_)
            | UpError::Generate { .. }
            | UpError::Rewrite(_)
            | UpError::Job(_)
            | UpError::System { .. } => FAILED,
        }
    }

    pub(super) fn status(args: &StatusArgs) -> Result<u8, Failure> {
        let folder = &args.data.data_dir;
        let unusable = |error: crate::local::data_dir::DataDirError| Failure::new(IN_THE_WAY, error);
        let address: Option<AdminAddress> = load(folder, ADMIN).map_err(unusable)?;
        let (list, running) = match address.and_then(|address| ask(&address)) {
            Some(list) => (list, true),
            None => {
                let last: Option<StatusList> = load(folder, STATUS).map_err(unusable)?;
                let last = last.ok_or_else(|| {
                    Failure::new(IN_THE_WAY, format!("nothing was run yet with data in {}", folder.display()))
                })?;
                (last, false)
            }
        };
        let text = match args.output {
            Output::Json => serde_json::to_string_pretty(&list)
                .map(|text| text + "\n")
                .map_err(|error| Failure::new(FAILED, error))?,
            Output::Table => table(&list, running),
        };
        print(&text)?;
        Ok(if running && list.items.iter().all(|item| condition(item, "Ready").0 == "True") {
            DONE
        } else {
            FAILED
        })
    }

    /// Asks the running `up`; `None` when there is none.
    fn ask(address: &AdminAddress) -> Option<StatusList> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        novacrm_service::tls::install_provider();
        runtime.block_on(async {
            let client =
                reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().ok()?;
            client.get(format!("{}/status", address.url)).send().await.ok()?.json().await.ok()
        })
    }

    fn condition(item: &serde_json::Value, kind: &str) -> (String, String, String) {
        let text = |condition: &serde_json::Value, field: &str| {
            condition.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        item.pointer("/status/conditions")
            .and_then(serde_json::Value::as_array)
            .into_iter()
            .flatten()
            .find(|condition| text(condition, "type") == kind)
            .map(|found| (text(found, "status"), text(found, "reason"), text(found, "message")))
            .unwrap_or_default()
    }

    fn table(list: &StatusList, running: bool) -> String {
        let mut out = String::new();
        if !running {
            let _ = writeln!(out, "Nothing runs; this is what was last.");
        }
        let mut table = comfy_table::Table::new();
        table.load_preset(NOTHING);
        table.set_header(["KIND", "NAME", "VERSION", "READY", "REASON", "ENGINES", "MESSAGE"]);
        let at = |item: &serde_json::Value, pointer: &str| {
            item.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        for item in &list.items {
            let (ready, reason, message) = condition(item, "Ready");
            let version = match item.pointer("/status/bundle/sequence").and_then(serde_json::Value::as_u64) {
                Some(sequence) => format!("bundle {sequence}"),
                None => at(item, "/status/active/version"),
            };
            table.add_row([
                at(item, "/kind"),
                format!("{}/{}", at(item, "/metadata/namespace"), at(item, "/metadata/name")),
                version,
                ready,
                reason,
                at(item, "/status/engines/summary"),
                message,
            ]);
        }
        let _ = writeln!(out, "{table}");
        for problem in &list.problems {
            let _ = writeln!(out, "{}", crate::in_words(problem));
        }
        out
    }

    pub(super) fn reset(args: &ResetArgs) -> Result<u8, Failure> {
        let data = DataDir::existing(&args.data.data_dir).map_err(|error| Failure::new(IN_THE_WAY, error))?;
        if !args.yes && !confirmed(data.path())? {
            return print("Nothing was deleted.\n");
        }
        let path = data.path().to_owned();
        data.delete().map_err(|error| Failure::new(FAILED, error))?;
        print(&format!("{} is deleted.\n", path.display()))
    }

    fn confirmed(path: &Path) -> Result<bool, Failure> {
        if !io::stdin().is_terminal() {
            return Err(Failure::new(2, "nobody can be asked here: say --yes to delete without asking"));
        }
        print(&format!("Delete all tenants, keys and audit logs in {}? [y/N] ", path.display()))?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(|error| Failure::new(FAILED, error))?;
        Ok(["y", "yes", "o", "oui"].contains(&answer.trim().to_lowercase().as_str()))
    }
}
