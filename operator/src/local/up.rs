//! Manifests in, running tenants out: the objects that `build` made, as processes of this machine, until a signal
//! says enough. A change of a manifest changes what runs; a broken one changes nothing and is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::routing::get;
use k8s_openapi::api::core::v1::PodSpec;
use novacrm_crds::compliance_policy::{CompliancePolicyStatus, PolicyProblem};
use novacrm_crds::crm_tenant::{BundleReference, CrmTenantStatus};
use novacrm_engine_wire::BundleStatus;
use novacrm_service::{admin, serve, tls};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::compliance_policy;
use crate::compliance_policy::status::{EngineView, Serving};
use crate::crm_tenant::build::{Resources, Settings, Surroundings, build_all};
use crate::crm_tenant::database;
use crate::crm_tenant::generate::{GenerateError, Wanted, generate};
use crate::crm_tenant::status::Progress;
use crate::crm_tenant::validate::Validated;
use crate::crm_tenant::{self, ADMIN_PORT, API_PORT, ENGINE_PORT, IMAGE_STATIC_DIR, names};
use crate::in_words;
use crate::local::data_dir::{ADMIN, DataDir, DataDirError, MEMORY, STATUS};
use crate::local::postgres::{self, PostgresError, Programs, Server};
use crate::local::process::{Event, JobError, Place, State, Supervised, run_job};
use crate::local::rewrite::{Process, RewriteError, Site, process};
use crate::manifests::{self, ManifestError, Sources};
use crate::world::{self, Memory, World};

/// How often manifests are read.
const READ_EVERY: Duration = Duration::from_millis(250);
/// How often certificates are looked at.
const RENEW_EVERY: Duration = Duration::from_secs(3600);
/// Longest time that an engine is asked to wait with its answer, and some.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(40);
/// Pause after an engine could not be asked, or answered the same again.
const ENGINE_PAUSE: Duration = Duration::from_millis(200);
/// Names the first account, in the environment of the job that makes it.
const FIRST_ACCOUNT: &str = "NOVACRM_BOOTSTRAP_ADMIN_EMAIL";
/// Says there whether its holder must choose another password.
const FIRST_PASSWORD_CHANGE: &str = "NOVACRM_BOOTSTRAP_ADMIN_PASSWORD_CHANGE";

/// What `up` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// File or folder of manifests.
    pub manifests: PathBuf,
    /// Where data is kept.
    pub data_dir: PathBuf,
    /// The exported front end; none is served when absent.
    pub static_dir: Option<PathBuf>,
    /// Port of the first tenant's API.
    pub port: u16,
    /// Port for probes and `GET /status`; when absent 9090, or a free one when that is taken.
    pub admin_port: Option<u16>,
    /// Folder of an installed PostgreSQL's programs.
    pub postgres_bin: Option<PathBuf>,
    /// Namespace of the organisation's policies.
    pub policy_namespace: String,
    /// What tenants are built with, and may ask for.
    pub settings: Settings,
}

/// Why `up` could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// The manifests cannot be read.
    #[error(transparent)]
    Manifests(#[from] ManifestError),
    /// No tenant can be run.
    #[error("no tenant can be started: {0}")]
    NoTenant(&'static str),
    /// A port is taken.
    #[error("port {port} is in use by another program: end that program, or name another port with {option}")]
    PortInUse {
        /// The port.
        port: u16,
        /// What names another one.
        option: &'static str,
    },
    /// A program is missing.
    #[error("there is no program {}: build it with `cargo build --workspace --bins`", .0.display())]
    Program(PathBuf),
    /// The front end is missing.
    #[error("there is no exported front end in {}: build it with `./task frontend:build`, or leave out --static-dir", .0.display())]
    StaticDir(PathBuf),
    /// No database.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// A tenant's databases.
    #[error(transparent)]
    Database(#[from] database::DatabaseError),
    /// A tenant's keys.
    #[error("tenant {namespace}: {source}")]
    Generate {
        /// The tenant.
        namespace: String,
        /// What is wrong.
        source: GenerateError,
    },
    /// An object that cannot run here.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// A preparation failed.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// What `GET /status` answers and `status` shows: a `List` of objects with their statuses, and every problem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusList {
    /// `v1`.
    #[serde(rename = "apiVersion")]
    pub api_version: String,
    /// `List`.
    pub kind: String,
    /// `{apiVersion, kind, metadata, status}` of every object.
    pub items: Vec<serde_json::Value>,
    /// Every problem of every manifest.
    pub problems: Vec<PolicyProblem>,
}

/// Where a running `up` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminAddress {
    /// `http://127.0.0.1:9090`
    pub url: String,
}

/// Where progress is shown.
pub type Say<'a> = &'a mut dyn FnMut(&str);

/// What one engine says.
struct Report {
    namespace: String,
    status: Option<BundleStatus>,
}

struct Running {
    ports: BTreeMap<(String, u16), u16>,
    jobs: BTreeMap<String, Process>,
    processes: BTreeMap<String, (Process, Supervised)>,
    states: BTreeMap<String, State>,
    follow: CancellationToken,
    engine: Option<BundleStatus>,
    failure: Option<String>,
    suspended: bool,
    password_is_new: bool,
    announced: bool,
}

struct Up<'a> {
    options: &'a Options,
    data: DataDir,
    programs_dir: PathBuf,
    guardian: PathBuf,
    database: sqlx::postgres::PgConnectOptions,
    server: database::Server,
    sources: Option<Sources>,
    world: World,
    /// What objects are built with, the keys that sign bundles among it.
    settings: Settings,
    tenants: BTreeMap<String, Running>,
    events: mpsc::UnboundedSender<Event>,
    reports: mpsc::UnboundedSender<Report>,
    stop: CancellationToken,
    policies_before: BTreeMap<String, CompliancePolicyStatus>,
    tenants_before: BTreeMap<String, CrmTenantStatus>,
    shown: BTreeMap<String, String>,
    problems_shown: BTreeSet<String>,
    unreadable: Option<String>,
    status: Arc<ArcSwap<StatusList>>,
    readiness: admin::Readiness,
    say: Say<'a>,
}

/// Runs what the manifests describe until `stop` is cancelled.
///
/// # Errors
/// When it cannot start, or the database is lost for good. Everything that was started has then ended.
pub async fn up(options: &Options, stop: CancellationToken, say: Say<'_>) -> Result<(), UpError> {
    tls::install_provider();
    let data = DataDir::open(&options.data_dir)?;
    let guardian = std::env::current_exe()
        .map_err(|source| UpError::System { what: "cannot find this program", source })?;
    let programs_dir = guardian.parent().unwrap_or(Path::new(".")).to_owned();
    if let Some(folder) = &options.static_dir
        && !folder.join("index.html").is_file()
    {
        return Err(UpError::StaticDir(folder.clone()));
    }
    for program in ["novacrm-engine", "novacrm-api-server"] {
        let path = programs_dir.join(program);
        if !path.is_file() {
            return Err(UpError::Program(path));
        }
    }
    drop(listen(options.port, "--port")?);
    let admin_listener = match options.admin_port {
        Some(port) => listen(port, "--admin-port")?,
        None => match listen(ADMIN_PORT, "--admin-port") {
            Ok(listener) => listener,
            Err(_) => listen(0, "--admin-port")?,
        },
    };
    let sources = manifests::read(&options.manifests)?;
    let memory: Memory = data.load(MEMORY)?.unwrap_or_default();
    let before: StatusList = data.load(STATUS)?.unwrap_or_default();
    let settings = Settings { signing: Some(data.signing_keys()?), ..options.settings.clone() };

    say("PostgreSQL starts (the first time it is downloaded) …");
    let began = Instant::now();
    let account = postgres::unprivileged_account()?;
    let mut postgres_options = postgres::Options {
        programs: Programs::find(options.postgres_bin.clone()),
        folder: data.postgres_folder(account.as_ref())?,
        port: None,
        // Another account may not reach the place of this program, yet may run what this process runs.
        guardian: Some(if account.is_some() { PathBuf::from("/proc/self/exe") } else { guardian.clone() }),
        account,
    };
    let mut postgres = tokio::select! {
        server = postgres::start(&postgres_options) => server?,
        () = stop.cancelled() => return Ok(()),
    };
    postgres_options.port = Some(postgres.port());
    say(&format!("PostgreSQL is ready ({:.1} s)", began.elapsed().as_secs_f64()));

    let (events, mut event_source) = mpsc::unbounded_channel();
    let (reports, mut report_source) = mpsc::unbounded_channel();
    let readiness = admin::Readiness::new(&["tenants"]);
    let status = Arc::new(ArcSwap::from_pointee(before.clone()));
    let admin_stop = CancellationToken::new();
    let admin_task = start_admin(&data, admin_listener, &readiness, status.clone(), admin_stop.clone())?;
    let mut up = Up {
        options,
        programs_dir,
        guardian,
        database: postgres.connect_options("postgres"),
        server: database::Server {
            host: "127.0.0.1".to_owned(),
            port: postgres.port(),
            ssl_mode: None,
            roots: None,
        },
        sources: None,
        world: World { memory, ..World::default() },
        settings,
        tenants: BTreeMap::new(),
        events,
        reports,
        stop: stop.clone(),
        policies_before: statuses(&before, "CompliancePolicy"),
        tenants_before: statuses(&before, "CrmTenant"),
        shown: BTreeMap::new(),
        problems_shown: BTreeSet::new(),
        unreadable: None,
        status,
        readiness,
        data,
        say,
    };
    let outcome =
        up.run(sources, &mut postgres, &postgres_options, &mut event_source, &mut report_source).await;
    up.end().await;
    admin_stop.cancel();
    // Whatever became of the admin port, the database must still be ended.
    let _ = admin_task.await;
    let removed = up.data.remove(ADMIN);
    let stopped = postgres.stop().await;
    outcome?;
    stopped?;
    removed?;
    let kept = format!("Everything has ended. The data is kept in {}", up.data.path().display());
    (up.say)(&kept);
    Ok(())
}

fn start_admin(
    data: &DataDir,
    listener: TcpListener,
    readiness: &admin::Readiness,
    status: Arc<ArcSwap<StatusList>>,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<io::Result<()>>, UpError> {
    let failed = |source| UpError::System { what: "the admin port cannot be served", source };
    let address = listener.local_addr().map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    data.save(ADMIN, &AdminAddress { url: format!("http://{address}") })?;
    let registry = prometheus_client::registry::Registry::default();
    let app = admin::router(readiness.clone(), registry)
        .route("/status", get(async move || axum::Json(StatusList::clone(&status.load()))));
    Ok(tokio::spawn(serve::plain(listener, app, stop)))
}

impl Up<'_> {
    async fn run(
        &mut self,
        sources: Sources,
        postgres: &mut Server,
        postgres_options: &postgres::Options,
        events: &mut mpsc::UnboundedReceiver<Event>,
        reports: &mut mpsc::UnboundedReceiver<Report>,
    ) -> Result<(), UpError> {
        self.look(sources)?;
        if self.world.tenants.values().all(|tenant| tenant.active.is_none()) {
            self.show()?;
            return Err(UpError::NoTenant(if self.world.tenants.is_empty() {
                "the manifests hold no CrmTenant that can be read"
            } else {
                "the manifests are refused, and none was accepted before"
            }));
        }
        let namespaces: Vec<String> = self.active().map(|tenant| tenant.namespace().to_owned()).collect();
        for (index, namespace) in namespaces.iter().enumerate() {
            match self.apply(namespace, index == 0).await {
                Err(_) if self.stop.is_cancelled() => return Ok(()),
                outcome => outcome?,
            }
        }
        self.show()?;
        let mut ticks = tokio::time::interval(READ_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                why = postgres.exited() => {
                    (self.say)(&format!("PostgreSQL ended: {why}. It is started again."));
                    *postgres = postgres::start(postgres_options).await?;
                }
                Some(event) = events.recv() => self.on_event(event),
                Some(report) = reports.recv() => {
                    if let Some(running) = self.tenants.get_mut(&report.namespace) {
                        running.engine = report.status;
                    }
                }
                _ = ticks.tick() => {
                    self.reread().await?;
                    if renewed.elapsed() >= RENEW_EVERY {
                        renewed = Instant::now();
                        self.renew()?;
                    }
                }
            }
            self.show()?;
        }
    }

    fn active(&self) -> impl Iterator<Item = &Validated> {
        self.world.tenants.values().filter_map(|tenant| tenant.active.as_ref())
    }

    fn validated(&self, namespace: &str) -> Option<Validated> {
        self.active().find(|tenant| tenant.namespace() == namespace).cloned()
    }

    /// Judges the manifests. What is accepted is remembered before anything acts on it, so that no sequence
    /// number is ever used twice.
    fn look(&mut self, sources: Sources) -> Result<(), UpError> {
        let world = world::look(
            &self.world.memory,
            &sources.parse(),
            &self.options.policy_namespace,
            &self.settings.limits,
        );
        if world.memory != self.world.memory || self.sources.is_none() {
            self.data.save(MEMORY, &world.memory)?;
        }
        self.world = world;
        self.sources = Some(sources);
        Ok(())
    }

    async fn reread(&mut self) -> Result<(), UpError> {
        let sources = match manifests::read(&self.options.manifests) {
            Ok(sources) => sources,
            Err(error) => {
                // An editor may be between two steps of a save; what runs goes on.
                let message = error.to_string();
                if self.unreadable.as_ref() != Some(&message) {
                    (self.say)(&format!("{message}. What runs goes on."));
                    self.unreadable = Some(message);
                }
                return Ok(());
            }
        };
        self.unreadable = None;
        if self.sources.as_ref() == Some(&sources) {
            return Ok(());
        }
        self.look(sources)?;
        let wanted: BTreeSet<String> = self.active().map(|tenant| tenant.namespace().to_owned()).collect();
        let gone: Vec<String> = self.tenants.keys().filter(|name| !wanted.contains(*name)).cloned().collect();
        for namespace in gone {
            if let Some(running) = self.tenants.remove(&namespace) {
                running.end().await;
                (self.say)(&format!("{namespace}: the tenant is gone from the manifests; its data is kept"));
            }
        }
        for namespace in wanted {
            if let Err(error) = self.apply(&namespace, false).await {
                let message = error.to_string();
                (self.say)(&format!("{namespace}: {message}"));
                if let Some(running) = self.tenants.get_mut(&namespace) {
                    running.failure = Some(message);
                }
            }
        }
        Ok(())
    }

    /// Makes of the built objects what they are on this machine; what is as it should be is left alone.
    async fn apply(&mut self, namespace: &str, first: bool) -> Result<(), UpError> {
        let Some(tenant) = self.validated(namespace) else { return Ok(()) };
        if !self.tenants.contains_key(namespace) {
            let ports = self.assign_ports(first)?;
            self.tenants.insert(namespace.to_owned(), Running::new(ports));
        }
        let surroundings = Surroundings { database_port: self.server.port, ..Surroundings::default() };
        // Taken apart without `..`, so that a kind that was forgotten does not compile. What guards a cluster's
        // network and nodes, leads into it, or spreads over it has no counterpart on one machine, and its private
        // PostgreSQL stands for one by CloudNativePG.
        let Resources {
            secrets: _,
            mut config_maps,
            service_accounts: _,
            roles: _,
            role_bindings: _,
            postgresql_clusters: _,
            jobs,
            deployments,
            horizontal_pod_autoscalers: _,
            services,
            ingresses: _,
            http_routes: _,
            service_monitors: _,
            network_policies: _,
            pod_disruption_budgets: _,
        } = build_all(&tenant, &self.settings, &surroundings);

        let mut secrets = self.secrets(&tenant)?;
        // The one before first: whoever sees the new one finds the old one in its place.
        config_maps.sort_by_key(|map| map.metadata.name.as_deref() == Some(names::BUNDLE));
        for map in &config_maps {
            self.data.write_config_map(namespace, map)?;
        }
        if tenant.spec().suspend {
            self.suspend(namespace).await;
            return Ok(());
        }
        let running = self.tenants.get_mut(namespace);
        let ports = running.as_ref().map(|running| running.ports.clone()).unwrap_or_default();
        if running.is_some_and(|running| running.jobs.is_empty()) {
            (self.say)(&format!("{namespace}: databases are prepared …"));
            self.prepare_databases(&tenant, &mut secrets).await?;
        }
        let mut peers = BTreeMap::new();
        for service in &services {
            let name = service.metadata.name.as_deref().unwrap_or_default();
            for port in service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()) {
                let local =
                    u16::try_from(port.port).ok().and_then(|port| ports.get(&(name.to_owned(), port)));
                if let Some(local) = local {
                    let address = format!("{name}.{namespace}.svc:{}", port.port);
                    peers.insert(address, format!("127.0.0.1:{local}"));
                }
            }
        }
        let static_dir = match &self.options.static_dir {
            Some(folder) => Some(
                fs::canonicalize(folder)
                    .map_err(|source| UpError::System { what: "cannot open the front end", source })?,
            ),
            None => None,
        };
        let site = Site {
            secrets_dir: self.data.secrets_dir(namespace),
            config_maps_dir: self.data.config_maps_dir(namespace),
            secrets,
            programs_dir: self.programs_dir.clone(),
            ports,
            peers,
            image_folders: BTreeMap::from([(IMAGE_STATIC_DIR.to_owned(), static_dir)]),
        };
        for job in &jobs {
            // Its own name says what is in it; people know it, and its log, by what it is.
            let labels = job.metadata.labels.as_ref();
            let name =
                labels.and_then(|labels| labels.get("app.kubernetes.io/name")).map_or("", String::as_str);
            let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
            self.run_job(namespace, name, pod, &site).await?;
        }
        for deployment in &deployments {
            let name = deployment.metadata.name.as_deref().unwrap_or_default();
            let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
            self.run_deployment(namespace, name, pod, &site).await?;
        }
        self.follow(namespace)?;
        if let Some(running) = self.tenants.get_mut(namespace) {
            running.failure = None;
            running.suspended = false;
        }
        Ok(())
    }

    async fn suspend(&mut self, namespace: &str) {
        let Some(running) = self.tenants.get_mut(namespace) else { return };
        let ports = running.ports.clone();
        let former = std::mem::replace(running, Running::new(ports));
        running.suspended = true;
        if !former.suspended {
            (self.say)(&format!("{namespace}: the tenant is suspended; its data is kept"));
        }
        former.end().await;
    }

    /// Prepares the databases of a tenant that is about to start: so no process holds a former login.
    async fn prepare_databases(
        &mut self,
        tenant: &Validated,
        secrets: &mut crm_tenant::generate::Secrets,
    ) -> Result<(), UpError> {
        let Some(days) = tenant.spec().database.rotate_after_days() else { return Ok(()) };
        let database::Prepared { mut plan, secret, step: _ } = database::prepare(
            tenant.identity(),
            &self.server,
            secrets.get(names::DATABASE),
            time::Duration::days(days.into()),
            true,
            OffsetDateTime::now_utc(),
            &mut rand::rng(),
        );
        plan.limits = self.settings.connections_of(tenant.spec());
        database::provision(&self.database, &plan).await?;
        if secrets.get(names::DATABASE) != Some(&secret) {
            self.data.write_secret(tenant.namespace(), names::DATABASE, &secret)?;
            secrets.insert(names::DATABASE.to_owned(), secret);
        }
        Ok(())
    }

    /// Reads the tenant's Secrets, and writes those that are absent or due.
    fn secrets(&mut self, tenant: &Validated) -> Result<crm_tenant::generate::Secrets, UpError> {
        let namespace = tenant.namespace();
        let mut secrets = self.data.read_secrets(namespace)?;
        let admin = &tenant.spec().auth.bootstrap_admin.password_secret_ref;
        let had_password = secrets.get(&admin.name).is_some_and(|secret| secret.contains_key(&admin.key));
        let now = OffsetDateTime::now_utc();
        let made = generate(&Wanted::of(tenant), &secrets, now, &mut rand::rng())
            .map_err(|source| UpError::Generate { namespace: namespace.to_owned(), source })?;
        for (name, content) in &made {
            self.data.write_secret(namespace, name, content)?;
        }
        secrets.extend(made);
        if !had_password && let Some(running) = self.tenants.get_mut(namespace) {
            running.password_is_new = true;
        }
        Ok(secrets)
    }

    fn renew(&mut self) -> Result<(), UpError> {
        let tenants: Vec<Validated> = self.active().cloned().collect();
        for tenant in tenants {
            self.secrets(&tenant)?;
        }
        Ok(())
    }

    async fn run_job(
        &mut self,
        namespace: &str,
        name: &str,
        pod: Option<&PodSpec>,
        site: &Site,
    ) -> Result<(), UpError> {
        let Some(pod) = pod else { return Ok(()) };
        let mut process = process(name, pod, site)?;
        if process.env.contains_key(FIRST_ACCOUNT) {
            // Whoever starts the system has the first password from its terminal, and nobody else chose it.
            process.env.insert(FIRST_PASSWORD_CHANGE.to_owned(), "optional".to_owned());
        }
        let running = self.tenants.get(namespace);
        if running.is_some_and(|running| running.jobs.get(name) == Some(&process)) {
            return Ok(());
        }
        let place = self.place(namespace, name)?;
        run_job(&place, &process, &self.stop).await?;
        if let Some(running) = self.tenants.get_mut(namespace) {
            running.jobs.insert(name.to_owned(), process);
        }
        Ok(())
    }

    async fn run_deployment(
        &mut self,
        namespace: &str,
        name: &str,
        pod: Option<&PodSpec>,
        site: &Site,
    ) -> Result<(), UpError> {
        let Some(pod) = pod else { return Ok(()) };
        let process = process(name, pod, site)?;
        let place = self.place(namespace, name)?;
        let Some(running) = self.tenants.get_mut(namespace) else { return Ok(()) };
        if running.processes.get(name).is_some_and(|(former, _)| *former == process) {
            return Ok(());
        }
        if let Some((_, former)) = running.processes.remove(name) {
            (self.say)(&format!("{namespace}: {name} is started again with new settings"));
            former.stop().await;
        }
        running.states.insert(name.to_owned(), State::Starting("starting".to_owned()));
        let supervised = Supervised::start(place, process.clone(), self.events.clone());
        running.processes.insert(name.to_owned(), (process, supervised));
        Ok(())
    }

    fn place(&self, namespace: &str, name: &str) -> Result<Place, UpError> {
        Ok(Place {
            name: format!("{namespace}/{name}"),
            log: self.data.log(namespace, name)?,
            folder: self.data.path().to_owned(),
            guardian: self.guardian.clone(),
        })
    }

    /// One port for each port of each process. The API of the first tenant has the port that people know.
    fn assign_ports(&self, first: bool) -> Result<BTreeMap<(String, u16), u16>, UpError> {
        let taken: BTreeSet<u16> =
            self.tenants.values().flat_map(|running| running.ports.values().copied()).collect();
        let mut held = Vec::new();
        let api = if first {
            listen(self.options.port, "--port")?
        } else {
            let above = self.options.port.saturating_add(1)..=u16::MAX;
            above
                .filter(|port| !taken.contains(port))
                .find_map(|port| listen(port, "--port").ok())
                .ok_or(UpError::PortInUse { port: self.options.port, option: "--port" })?
        };
        let mut ports = BTreeMap::new();
        let mut assign = |name: &str, port: u16, listener: TcpListener| {
            let local = listener
                .local_addr()
                .map_err(|source| UpError::System { what: "cannot find a port", source })?;
            ports.insert((name.to_owned(), port), local.port());
            // Held until all are found, so that no two are the same.
            held.push(listener);
            Ok::<(), UpError>(())
        };
        assign(names::API, API_PORT, api)?;
        assign(names::API, ADMIN_PORT, listen(0, "--port")?)?;
        assign(names::ENGINE, ENGINE_PORT, listen(0, "--port")?)?;
        assign(names::ENGINE, ADMIN_PORT, listen(0, "--port")?)?;
        Ok(ports)
    }

    /// Asks the tenant's engine, for as long as the tenant runs, which bundle it enforces.
    fn follow(&mut self, namespace: &str) -> Result<(), UpError> {
        let folder = self.data.secrets_dir(namespace).join(names::OPERATOR_TLS);
        let reports = self.reports.clone();
        let Some(running) = self.tenants.get_mut(namespace) else { return Ok(()) };
        if running.follow.is_cancelled() {
            running.follow = CancellationToken::new();
            let stop = running.follow.clone();
            let port =
                running.ports.get(&(names::ENGINE.to_owned(), ENGINE_PORT)).copied().unwrap_or_default();
            let identity = tls::Identity::watch(&folder, stop.clone()).map_err(|error| UpError::System {
                what: "the operator's certificate cannot be used",
                source: io::Error::other(error),
            })?;
            tokio::spawn(ask_engine(namespace.to_owned(), port, identity, reports, stop));
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event) {
        let Some((namespace, name)) = event.name.split_once('/') else { return };
        let Some(running) = self.tenants.get_mut(namespace) else { return };
        if let State::Failed(why) = &event.state {
            (self.say)(&format!("{namespace}: {name} {why}"));
        }
        running.states.insert(name.to_owned(), event.state);
    }

    /// Brings the status up to date, and tells what changed.
    fn show(&mut self) -> Result<(), UpError> {
        let now = OffsetDateTime::now_utc();
        let mut items = Vec::new();
        let mut policies = BTreeMap::new();
        for (key, view) in &self.world.policies {
            let active = view.active.as_ref();
            let observed = compliance_policy::status::Observation {
                generation: view.metadata.generation.unwrap_or_default(),
                active: active.map(compliance_policy::build::revision),
                problems: view.problems.clone(),
                break_glass: false,
                tenants: view.tenants.len(),
                engines: view
                    .tenants
                    .iter()
                    .filter(|tenant| self.tenants.contains_key(*tenant))
                    .map(|tenant| self.engine_view(tenant, view))
                    .collect(),
                silent: Vec::new(),
            };
            let status = compliance_policy::status::status(&observed, self.policies_before.get(key), now);
            items.push(item("CompliancePolicy", &view.metadata, &status));
            policies.insert(key.clone(), status);
        }
        let mut tenants = BTreeMap::new();
        for (key, view) in &self.world.tenants {
            let namespace = view.metadata.namespace.as_deref().unwrap_or_default();
            let bundle = view.active.as_ref().map(|active| BundleReference {
                digest: active.bundle().current.digest.clone(),
                sequence: active.bundle().current.sequence,
            });
            let observed = crm_tenant::status::Observation {
                generation: view.metadata.generation.unwrap_or_default(),
                bundle,
                migrated: None,
                final_dump: None,
                hostnames: Vec::new(),
                problems: view.problems.clone(),
                // On one machine, only the user who runs `up` can write the rules.
                rules: crm_tenant::status::Authenticity::Unknown,
                suspended: self.tenants.get(namespace).is_some_and(|running| running.suspended),
                parts: self.tenants.get(namespace).map(Running::parts).unwrap_or_default(),
            };
            let status = crm_tenant::status::status(&observed, self.tenants_before.get(key), now);
            items.push(item("CrmTenant", &view.metadata, &status));
            tenants.insert(key.clone(), status);
        }
        self.tell_problems();
        self.tell_changes(&policies);
        self.announce();
        let all_ready = tenants.values().all(|status| is_ready(&status.conditions));
        if all_ready {
            self.readiness.ready("tenants");
        } else {
            self.readiness.not_ready("tenants", "not all tenants are available");
        }
        self.policies_before = policies;
        self.tenants_before = tenants;
        let list = StatusList {
            api_version: "v1".to_owned(),
            kind: "List".to_owned(),
            items,
            problems: self.world.problems.clone(),
        };
        if **self.status.load() != list {
            self.data.save(STATUS, &list)?;
            self.status.store(Arc::new(list));
        }
        Ok(())
    }

    /// Whether a tenant's engine serves the policy's active revision.
    fn engine_view(&self, namespace: &str, view: &world::PolicyView) -> EngineView {
        let reported = self.tenants.get(namespace).and_then(|running| running.engine.as_ref());
        let serving = match &view.active {
            Some(active) => compliance_policy::status::serving(active, reported, None),
            None => Serving::Behind { version: None, reason: "no revision is in force".to_owned() },
        };
        EngineView { namespace: namespace.to_owned(), pod: names::ENGINE.to_owned(), serving }
    }

    fn tell_problems(&mut self) {
        let mut now = BTreeSet::new();
        for problem in &self.world.problems {
            let text = in_words(problem);
            if !self.problems_shown.contains(&text) && !now.contains(&text) {
                (self.say)(&format!("REFUSED {text}"));
            }
            now.insert(text);
        }
        if now.is_empty() && !self.problems_shown.is_empty() {
            (self.say)("All manifests are sound again");
        } else if !now.is_empty() && now != self.problems_shown {
            (self.say)("The last good revision stays in force");
        }
        self.problems_shown = now;
    }

    fn tell_changes(&mut self, policies: &BTreeMap<String, CompliancePolicyStatus>) {
        for (key, status) in policies {
            let version = status.active.as_ref().map_or("", |active| active.version.as_str());
            let enforced = is_ready(&status.conditions);
            if enforced && self.shown.get(key).map(String::as_str) != Some(version) {
                let engines = status.engines.as_ref().map_or("0/0", |engines| engines.summary.as_str());
                (self.say)(&format!("policy {key} {version} is enforced (engines: {engines})"));
                self.shown.insert(key.clone(), version.to_owned());
            }
        }
        let gone: Vec<String> =
            self.shown.keys().filter(|key| !policies.contains_key(*key)).cloned().collect();
        for key in gone {
            (self.say)(&format!("policy {key} is gone from the manifests and no longer enforced"));
            self.shown.remove(&key);
        }
    }

    /// Tells once per tenant where it is and how to log in.
    fn announce(&mut self) {
        let active = self.world.tenants.values().filter_map(|tenant| tenant.active.as_ref());
        for tenant in active {
            let Some(running) = self.tenants.get_mut(tenant.namespace()) else { continue };
            if running.announced || !running.is_ready() {
                continue;
            }
            running.announced = true;
            let port = running.ports.get(&(names::API.to_owned(), API_PORT)).copied().unwrap_or_default();
            let web = match &self.options.static_dir {
                Some(_) => format!("http://localhost:{port}/"),
                None => "not served (give --static-dir)".to_owned(),
            };
            let admin = &tenant.spec().auth.bootstrap_admin;
            let reference = &admin.password_secret_ref;
            let file = self.data.secrets_dir(tenant.namespace()).join(&reference.name).join(&reference.key);
            let password = match fs::read_to_string(&file) {
                Ok(password) if running.password_is_new => password.trim().to_owned(),
                _ => format!("in {} (as it was at first)", file.display()),
            };
            running.password_is_new = false;
            let text = format!(
                "{} is ready\n  Web            {web}\n  API            http://localhost:{port}/api/v1\n  \
                 Documentation  http://localhost:{port}/api/v1/docs\n  Log in as      {}\n  Password       {password}\n  \
                 Ctrl-C ends everything and keeps the data",
                tenant.spec().display_name,
                admin.email
            );
            (self.say)(&text);
        }
    }

    async fn end(&mut self) {
        for (_, running) in std::mem::take(&mut self.tenants) {
            running.end().await;
        }
    }
}

impl Running {
    fn new(ports: BTreeMap<(String, u16), u16>) -> Self {
        let follow = CancellationToken::new();
        // Nobody asks the engine yet.
        follow.cancel();
        Self {
            ports,
            jobs: BTreeMap::new(),
            processes: BTreeMap::new(),
            states: BTreeMap::new(),
            follow,
            engine: None,
            failure: None,
            suspended: false,
            password_is_new: false,
            announced: false,
        }
    }

    fn is_ready(&self) -> bool {
        !self.states.is_empty() && self.states.values().all(|state| *state == State::Ready)
    }

    fn parts(&self) -> Vec<(&'static str, Progress)> {
        if self.suspended {
            return Vec::new();
        }
        let part = |name: &str| match self.states.get(name) {
            Some(State::Ready) => Progress::Available,
            Some(State::Starting(what)) => Progress::Progressing(what.clone()),
            Some(State::Failed(why)) => Progress::Failed(why.clone()),
            None => Progress::Progressing("it waits for the databases".to_owned()),
        };
        let database = match &self.failure {
            Some(why) => Progress::Failed(why.clone()),
            None if self.jobs.is_empty() => Progress::Progressing("databases are prepared".to_owned()),
            None => Progress::Available,
        };
        vec![("Database", database), ("Engine", part(names::ENGINE)), ("Api", part(names::API))]
    }

    /// Ends the API before the engine, so that no request finds half of its way.
    async fn end(mut self) {
        self.follow.cancel();
        for name in [names::API, names::ENGINE] {
            if let Some((_, process)) = self.processes.remove(name) {
                process.stop().await;
            }
        }
        for (_, (_, process)) in self.processes {
            process.stop().await;
        }
    }
}

async fn ask_engine(
    namespace: String,
    port: u16,
    identity: tls::Identity,
    reports: mpsc::UnboundedSender<Report>,
    stop: CancellationToken,
) {
    let mut last: Option<BundleStatus> = None;
    while !stop.is_cancelled() {
        let mut url = format!("https://127.0.0.1:{port}/v1/bundle");
        if let Some(bundle) = last.as_ref().and_then(|status| status.bundle.as_ref()) {
            // A digest is `sha256:<hex>`, which needs no encoding.
            url = format!("{url}?not={}", bundle.digest);
        }
        let ask = async {
            let answer = identity.client().get(&url).timeout(ENGINE_TIMEOUT).send().await?;
            answer.error_for_status()?.json::<BundleStatus>().await
        };
        let status = tokio::select! {
            answer = ask => answer.ok(),
            () = stop.cancelled() => return,
        };
        let same = status == last;
        if !same && reports.send(Report { namespace: namespace.clone(), status: status.clone() }).is_err() {
            return;
        }
        if same || status.is_none() {
            sleep(ENGINE_PAUSE).await;
        }
        last = status;
    }
}

fn listen(port: u16, option: &'static str) -> Result<TcpListener, UpError> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => UpError::PortInUse { port, option },
        _ => UpError::System { what: "cannot listen on the loopback interface", source },
    })
}

fn item(
    kind: &str,
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    status: &impl Serialize,
) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": format!("{}/{}", novacrm_crds::GROUP, novacrm_crds::VERSION),
        "kind": kind,
        "metadata": metadata,
        "status": status,
    })
}

/// The statuses of one kind in a list, by `namespace/name`.
fn statuses<T: serde::de::DeserializeOwned>(list: &StatusList, kind: &str) -> BTreeMap<String, T> {
    let text = |item: &serde_json::Value, pointer: &str| {
        item.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    list.items
        .iter()
        .filter(|item| text(item, "/kind") == kind)
        .filter_map(|item| {
            let key = format!("{}/{}", text(item, "/metadata/namespace"), text(item, "/metadata/name"));
            Some((key, serde_json::from_value(item.get("status")?.clone()).ok()?))
        })
        .collect()
}

fn is_ready(conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]) -> bool {
    conditions
        .iter()
        .any(|condition| condition.type_ == novacrm_crds::conditions::READY && condition.status == "True")
}
