//! The whole system as a person starts it: `novacrm-operator up` on a copy of `examples/quickstart`, with a data
//! folder, ports and a database of its own. It ends, with all it started, when it is dropped.

use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take on a busy machine of two cores before it counts as never.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How long an answer may take; a server that hangs is a failure.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no running system.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// The machine refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ended or never got ready; what it said.
    #[error("{what}\n{said}")]
    Failed {
        /// What was waited for.
        what: String,
        /// What the process said.
        said: String,
    },
    /// A request failed.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// An answer was not the expected one.
    #[error("{what}: status {status}: {body}")]
    Status {
        /// What was asked.
        what: String,
        /// What came.
        status: StatusCode,
        /// What it said.
        body: String,
    },
}

/// How to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where our programs are.
    pub programs: PathBuf,
    /// Run as the account `nobody` (when the tests run as root).
    pub unprivileged: bool,
    /// Serve the exported front end.
    pub front_end: bool,
    /// Where its folder stands; among the temporary files when absent.
    pub scratch: Option<PathBuf>,
}

/// A running system.
#[derive(Debug)]
pub struct System {
    options: Options,
    child: Option<Child>,
    folder: TempDir,
    port: u16,
    log_filter: Option<String>,
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).canonicalize().unwrap_or_default()
}

/// The folder of the programs that were built with the running test or benchmark.
#[must_use]
pub fn programs() -> PathBuf {
    let current = std::env::current_exe().unwrap_or_default();
    let folder = current.parent().unwrap_or(Path::new("."));
    if folder.ends_with("deps") { folder.parent().unwrap_or(folder).to_owned() } else { folder.to_owned() }
}

/// The account of nobody on every Debian, Fedora and Alpine.
const NOBODY: u32 = 65534;

impl System {
    /// Starts the system of `examples/quickstart` and waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer; with what it said.
    pub async fn start(options: Options) -> Result<Self, SystemError> {
        let mut system = Self::prepare(options)?;
        system.up().await?;
        Ok(system)
    }

    /// Makes everything that [`System::up`] needs, and starts nothing.
    ///
    /// # Errors
    /// When a file cannot be copied or no port is free.
    pub fn prepare(options: Options) -> Result<Self, SystemError> {
        // It fails only when it was done before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let scratch = options.scratch.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("novacrm-system.").tempdir_in(scratch)?;
        copy(&repository().join("examples/quickstart"), &folder.path().join("manifests"))?;
        let mut options = options;
        if options.unprivileged {
            // The programs may stand below a home folder that others cannot enter.
            let programs = folder.path().join("bin");
            std::fs::create_dir(&programs)?;
            for name in ["novacrm-operator", "novacrm-engine", "novacrm-api-server"] {
                std::fs::copy(options.programs.join(name), programs.join(name))?;
            }
            options.programs = programs;
            own(folder.path())?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self { options, child: None, folder, port, log_filter: None })
    }

    /// Filters the logs of all processes at the next start, as `NOVACRM_LOG` does.
    pub fn filter_logs(&mut self, filter: &str) {
        self.log_filter = Some(filter.to_owned());
    }

    /// Starts it again on the same data, after [`System::stop`].
    ///
    /// # Errors
    /// As [`System::start`].
    pub async fn up(&mut self) -> Result<(), SystemError> {
        let mut command = self.up_command();
        let said = std::fs::File::create(self.said_path())?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        self.child = Some(command.spawn()?);
        let started = Instant::now();
        let client = Client::new();
        let probe = self.url("/api/v1/openapi.json");
        loop {
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
            if ended.is_some() || started.elapsed() > PATIENCE {
                let what = if ended.is_some() { "`up` ended" } else { "`up` never got ready" };
                let said = format!("{}\n{}", self.said(), self.logs());
                return Err(SystemError::Failed { what: what.to_owned(), said });
            }
            let answer = client.get(&probe).send().await;
            if answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
                && self.said().contains("is ready\n")
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The command that [`System::up`] runs.
    #[must_use]
    pub fn up_command(&self) -> Command {
        let mut command = self.operator();
        command.arg("up").arg("-f").arg(self.manifests()).arg("--data-dir").arg(self.data());
        command.arg("--port").arg(self.port.to_string());
        if self.options.front_end {
            command.arg("--static-dir").arg(repository().join("frontend/out"));
        }
        if let Some(filter) = &self.log_filter {
            command.env("NOVACRM_LOG", filter);
        }
        command
    }

    /// The port of the web server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as Ctrl-C would, and waits.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> Result<(), SystemError> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(&child, Signal::INT);
        let started = Instant::now();
        while child.try_wait()?.is_none() {
            if started.elapsed() > PATIENCE {
                child.kill()?;
                return Err(SystemError::Failed { what: "`up` did not end".to_owned(), said: self.said() });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// A command of the operator, as the account that runs the system.
    #[must_use]
    pub fn operator(&self) -> Command {
        self.program("novacrm-operator")
    }

    /// A command of one of our programs, as the account that runs the system.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.options.programs.join(name));
        command.current_dir(self.folder.path());
        if self.options.unprivileged && rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY).env("HOME", self.folder.path());
        }
        command
    }

    /// Runs `novacrm-engine audit …` against the tenant's audit database.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn audit(&self, arguments: &[&str]) -> Result<Output, SystemError> {
        let database = self.secret("novacrm-database", "audit-url")?;
        let keys = self.data().join("secrets/acme/novacrm-engine-keys");
        let mut command = self.program("novacrm-engine");
        command.arg("audit").args(arguments);
        command.env("NOVACRM_AUDIT_DATABASE_URL", database).env("NOVACRM_KEYS_DIR", keys);
        command.env("NOVACRM_TENANT", "acme");
        Ok(command.output()?)
    }

    /// The folder of the manifests, which `up` watches.
    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder of the system's account for whatever a test makes.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The value of a Secret of the tenant.
    ///
    /// # Errors
    /// When there is none.
    pub fn secret(&self, name: &str, key: &str) -> Result<String, SystemError> {
        Ok(std::fs::read_to_string(self.data().join("secrets/acme").join(name).join(key))?
            .trim_end()
            .to_owned())
    }

    /// The address of a path of the web server.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What `up` said in the terminal so far.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.said_path()).unwrap_or_default()
    }

    /// The logs of all processes.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut logs = String::new();
        let mut open = vec![self.data().join("logs")];
        while let Some(path) = open.pop() {
            match std::fs::read_dir(&path) {
                Ok(entries) => open.extend(entries.filter_map(Result::ok).map(|entry| entry.path())),
                Err(_) => logs.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default())),
            }
        }
        logs
    }

    fn said_path(&self) -> PathBuf {
        self.folder.path().join("up.log")
    }

    /// What `novacrm-operator status -o json` says.
    ///
    /// # Errors
    /// When it says nothing that can be read.
    pub fn status(&self) -> Result<Value, SystemError> {
        let output =
            self.operator().args(["status", "-o", "json", "--data-dir"]).arg(self.data()).output()?;
        serde_json::from_slice(&output.stdout).map_err(|error| SystemError::Failed {
            what: format!("`status` printed no JSON: {error}"),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Logs in as the first account.
    ///
    /// # Errors
    /// When that fails.
    pub async fn log_in(&self) -> Result<Api, SystemError> {
        let password = self.secret("acme-admin", "password")?;
        Api::log_in(self, "admin@acme.example", &password).await
    }

    /// Process ids of a program that this system started.
    #[must_use]
    pub fn processes(&self, program: &str) -> Vec<i32> {
        let data = self.data().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
            let command = String::from_utf8_lossy(&read("cmdline")).into_owned();
            let mut words = command.split('\0');
            let first = words.next().unwrap_or_default();
            let ours = String::from_utf8_lossy(&read("environ")).contains(&data) || command.contains(&data);
            if ours && Path::new(first).file_name().is_some_and(|name| name == program) {
                found.push(id);
            }
        }
        found
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(&child, Signal::INT);
            let started = Instant::now();
            while matches!(child.try_wait(), Ok(None)) && started.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It fails only when the process is gone.
        let _ = kill_process(pid, signal);
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn own(path: &Path) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))?;
        if path.is_dir() {
            for entry in std::fs::read_dir(path)? {
                own(&entry?.path())?;
            }
        }
    }
    Ok(())
}

/// `host:port` of the engine of a running system.
///
/// # Errors
/// When it does not run.
pub fn engine_address(system: &System) -> io::Result<String> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "the engine is not running");
    let engine = system.processes("novacrm-engine").first().copied().ok_or_else(missing)?;
    let environment = std::fs::read(format!("/proc/{engine}/environ"))?;
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let listen = environment.split('\0').find_map(|pair| pair.strip_prefix("NOVACRM_LISTEN="));
    Ok(listen.ok_or_else(missing)?.replace("0.0.0.0", "127.0.0.1"))
}

/// A client with the API's certificate, and the address of the engine's `/v1/analyze` for it.
///
/// # Errors
/// When the engine does not run or the certificate cannot be read.
pub fn engine_client(system: &System) -> Result<(Client, String), Box<dyn std::error::Error + Send + Sync>> {
    let folder = system.data().join("secrets/acme/novacrm-api-tls");
    let read = |name: &str| std::fs::read(folder.join(name));
    let config = novacrm_service::tls::client_config(&read("ca.crt")?, &read("tls.crt")?, &read("tls.key")?)?;
    let client = Client::builder().tls_backend_preconfigured(config).timeout(ANSWER_TIMEOUT).build()?;
    let port = engine_address(system)?.rsplit(':').next().unwrap_or_default().to_owned();
    Ok((client, format!("https://localhost:{port}/v1/analyze")))
}

/// The CRM API as somebody who is logged in.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    token: String,
    client: Client,
}

impl Api {
    /// Logs in.
    ///
    /// # Errors
    /// When that fails.
    pub async fn log_in(system: &System, email: &str, password: &str) -> Result<Self, SystemError> {
        Self::log_in_at(&system.url(""), email, password).await
    }

    /// Logs in at an address, such as `http://10.96.0.7:8080`. Where somebody else chose the password, it is changed as
    /// the API demands; later calls with the same one know that.
    ///
    /// # Errors
    /// When that fails.
    pub async fn log_in_at(address: &str, email: &str, password: &str) -> Result<Self, SystemError> {
        let chosen = format!("{password} choisi par son titulaire");
        match Self::session(address, email, password).await {
            Ok((api, false)) => Ok(api),
            Ok((api, true)) => {
                let body = json!({ "current_password": password, "new_password": chosen });
                let (status, body) = api.post("/auth/password", &body).await?;
                if status == StatusCode::OK {
                    return Ok(api);
                }
                let what = "change of the first password".to_owned();
                Err(SystemError::Status { what, status, body: body.to_string() })
            }
            Err(SystemError::Status { status: StatusCode::UNAUTHORIZED, .. }) => {
                Self::session(address, email, &chosen).await.map(|(api, _)| api)
            }
            Err(error) => Err(error),
        }
    }

    /// A session, and whether its holder must change their password first.
    async fn session(address: &str, email: &str, password: &str) -> Result<(Self, bool), SystemError> {
        // It fails only when it was done before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = format!("{address}/api/v1");
        let client = Client::builder().timeout(ANSWER_TIMEOUT).build()?;
        let body = json!({ "email": email, "password": password });
        let answer = client.post(format!("{base}/auth/login")).json(&body).send().await?;
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        let must_change = body.get("password_change_required") == Some(&Value::Bool(true));
        match body.get("access_token").and_then(Value::as_str) {
            Some(token) => Ok((Self { base, token: token.to_owned(), client }, must_change)),
            None => Err(SystemError::Status { what: "login".to_owned(), status, body: body.to_string() }),
        }
    }

    /// The access token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// `GET`.
    ///
    /// # Errors
    /// When there is no answer in JSON.
    pub async fn get(&self, path: &str) -> Result<(StatusCode, Value), SystemError> {
        let answer = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token).send().await?;
        Ok((answer.status(), answer.json().await?))
    }

    /// `POST` with an `Idempotency-Key` of its own.
    ///
    /// # Errors
    /// When there is no answer in JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(StatusCode, Value), SystemError> {
        let key = hex::encode(rand::random::<[u8; 16]>());
        let request = self.client.post(format!("{}{path}", self.base)).header("idempotency-key", key);
        let answer = request.bearer_auth(&self.token).json(body).send().await?;
        Ok((answer.status(), answer.json().await?))
    }

    /// Has a prompt assessed.
    ///
    /// # Errors
    /// When there is no answer in JSON.
    pub async fn assess(&self, prompt: &str) -> Result<(StatusCode, Value), SystemError> {
        self.post("/assessments", &json!({ "prompt": prompt, "use_case": "sales-drafting" })).await
    }
}

/// A prompt in French with a NIR, an IBAN and a GitHub token, all made up. The token is made here, so that no
/// scanner of this repository takes it for a real one.
#[must_use]
pub fn french_prompt() -> String {
    let token = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    format!(
        "Prépare une relance pour Mme Martin, NIR 2 85 05 78 006 084 41, IBAN FR76 3000 6000 0112 3456 7890 189, et \
         teste avec le jeton {token}."
    )
}
