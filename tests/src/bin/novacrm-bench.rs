//! `novacrm-bench [api|engine|memory|start …]`: what the system costs, beside its floors, on this machine.
//! `novacrm-bench detection [--only PART] [--peers DIR] [--corpora DIR]`: how well and how fast detectors find; the
//! parts are quality, speed, long (documents) and latency.
//! `novacrm-bench attacks [WORDS]`: what other users notice while somebody attacks; only the attacks with these words.
//! `novacrm-bench propagation [--engines N] [--policies N] [--changes N]`: how long a policy takes to every engine,
//! on the cluster and the database server that the environment names.
//!
//! It starts the release build as `up` does, fills the CRM with made-up contacts and prints tables: each figure
//! as the median of interleaved rounds, with the least and the most. A ratio to the floor is taken round by round,
//! so it holds when the machine's speed drifts. The load generator, the servers and PostgreSQL share the machine,
//! so the figures are ratios and not records; nothing here says how the system behaves at a rate it cannot keep.
//! All that it started ends with it, also after Ctrl-C and SIGTERM.

use std::io::Write;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use novacrm_tests::attacked;
use novacrm_tests::detection::{peers, report};
use novacrm_tests::load::{Load, Measured};
use novacrm_tests::propagation::{self, Sample, Size};
use novacrm_tests::system::{Options, System, engine_address, french_prompt, programs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sqlx::{Connection, PgConnection};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

type Error = Box<dyn std::error::Error + Send + Sync>;

const ROUNDS: usize = 5;
const SECONDS: u64 = 4;
/// As many clients of the API as of its floor.
const API_CONNECTIONS: usize = 16;
const ENGINE_CONNECTIONS: usize = 32;
const CONTACTS: i32 = 100_000;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("novacrm-bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

async fn run() -> Result<(), Error> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "two providers of cryptography")?;
    // Ended by a signal, it would leave the servers behind: they end when what uses them is dropped.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let size = match wanted.split_first() {
        Some((part, flags)) if part == "propagation" => Some(size(flags)?),
        _ => None,
    };
    if let Some((part, flags)) = wanted.split_first()
        && part == "detection"
    {
        return detection(flags).await;
    }
    let is_attacks = wanted.first().is_some_and(|part| part == "attacks");
    let all = ["memory", "start", "api", "engine"];
    let unknown = wanted.iter().find(|name| !all.contains(&name.as_str()));
    if let Some(unknown) = unknown.filter(|_| size.is_none() && !is_attacks) {
        return Err(format!(
            "unknown part {unknown}; use {}, or attacks, detection, or propagation",
            all.join(", ")
        )
        .into());
    }
    let want = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let parts = async {
        if let Some(size) = size {
            return propagation(size).await;
        }
        if is_attacks {
            return attacked::measure(wanted.get(1).map_or("", String::as_str), &say).await;
        }
        let system = System::start(Options {
            programs: programs(),
            unprivileged: false,
            front_end: false,
            scratch: None,
        })
        .await?;
        if want("memory") {
            memory(&system).await;
        }
        if want("start") {
            start(&system).await?;
        }
        if want("api") {
            api(&system).await?;
        }
        if want("engine") {
            engine(&system).await?;
        }
        Ok(())
    };
    tokio::select! {
        result = parts => result,
        _ = terminate.recv() => Err("terminated".into()),
        _ = interrupt.recv() => Err("interrupted".into()),
    }
}

/// A figure over the rounds.
struct Figure(Vec<f64>);

impl Figure {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    fn show(&self, unit: &str, digits: usize) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{:.digits$}{unit} ({least:.digits$} to {most:.digits$})", self.median())
    }
}

// ---- memory and start ------------------------------------------------------------------------------------------

/// Resident memory of the idle processes, ten seconds after they got ready.
async fn memory(system: &System) {
    tokio::time::sleep(Duration::from_secs(10)).await;
    say("\nResident memory, idle (VmRSS)");
    let mut together = 0;
    for program in ["novacrm-engine", "novacrm-api-server", "novacrm-operator"] {
        let resident: u64 = system.processes(program).iter().map(|id| resident_kib(*id)).max().unwrap_or(0);
        if program != "novacrm-operator" {
            together += resident;
        }
        say(&format!("  {program:<20} {:>6.1} MB", mb(resident)));
    }
    say(&format!("  engine and api-server together {:.1} MB (goal: below 64)", mb(together)));
}

#[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^52")]
fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

fn resident_kib(id: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// From the start of a process to its `/readyz`, beside a running database.
async fn start(system: &System) -> Result<(), Error> {
    say("\nCold start to ready, without the database");
    for program in ["novacrm-engine", "novacrm-api-server"] {
        let Some(id) = system.processes(program).first().copied() else { return Err("not running".into()) };
        let mut figure = Figure(Vec::new());
        for _ in 0..ROUNDS {
            figure.0.push(start_once(&programs().join(program), id).await?);
        }
        say(&format!("  {program:<20} {} (goal: below 1)", figure.show(" s", 3)));
    }
    Ok(())
}

/// Starts a second process like the given one, on other ports, and ends it.
async fn start_once(program: &Path, like: i32) -> Result<f64, Error> {
    let environment = std::fs::read(format!("/proc/{like}/environ"))?;
    let command = std::fs::read(format!("/proc/{like}/cmdline"))?;
    let words = |bytes: &[u8]| -> Vec<String> {
        bytes
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    };
    let port =
        || -> Result<u16, Error> { Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) };
    let admin = port()?;
    let mut started = Command::new(program);
    started.kill_on_drop(true);
    started.args(words(&command).into_iter().skip(1)).env_clear().stdout(Stdio::null()).stderr(Stdio::null());
    started.envs(words(&environment).iter().filter_map(|pair| pair.split_once('=')));
    started.env("NOVACRM_LISTEN", format!("127.0.0.1:{}", port()?));
    started.env("NOVACRM_ADMIN_LISTEN", format!("127.0.0.1:{admin}"));
    let begun = Instant::now();
    let mut child = started.spawn()?;
    let client = reqwest::Client::new();
    let ready = loop {
        let answer = client.get(format!("http://127.0.0.1:{admin}/readyz")).send().await;
        if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            break begun.elapsed().as_secs_f64();
        }
        if begun.elapsed() > Duration::from_secs(30) || child.try_wait()?.is_some() {
            return Err(format!("{} never got ready", program.display()).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    child.kill().await?;
    Ok(ready)
}

// ---- API -------------------------------------------------------------------------------------------------------

const COLUMNS: &str = "c.id, c.first_name, c.last_name, c.email, c.phone, c.job_title, c.locale, c.organisation_id, \
     o.name AS organisation_name, c.do_not_contact, c.owner_id, c.version, c.created_at, c.created_by, c.updated_at, \
     c.updated_by, c.deleted_at FROM contacts c LEFT JOIN organisations o ON o.id = c.organisation_id";

async fn api(system: &System) -> Result<(), Error> {
    let migrator = system.secret("novacrm-database", "api-migration-url")?;
    let mut connection = PgConnection::connect(&migrator).await?;
    fill(&mut connection).await?;
    let id: String = sqlx::query_scalar("SELECT id::text FROM contacts WHERE last_name = 'Bench4711'")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;

    let folder = system.scratch();
    let get = folder.join("get.sql");
    std::fs::write(
        &get,
        format!(
            "SELECT {COLUMNS} WHERE c.id = :id AND (NULL::uuid IS NULL OR c.owner_id = NULL) AND c.deleted_at IS NULL;\n"
        ),
    )?;
    let list = folder.join("list.sql");
    let order = "WHERE c.deleted_at IS NULL ORDER BY c.updated_at DESC, c.id DESC LIMIT 51";
    std::fs::write(&list, format!("SELECT {COLUMNS} {order};\n"))?;

    let database = system.secret("novacrm-database", "api-url")?;
    let token = system.log_in().await?.token().to_owned();
    say(&format!(
        "\nAPI beside `pgbench -M prepared` with the same SQL, {API_CONNECTIONS} connections each, {CONTACTS} contacts, \
         {ROUNDS} rounds of {SECONDS} s"
    ));
    for (name, path, script) in [
        ("GET contact", format!("/api/v1/contacts/{id}"), &get),
        ("list 50", "/api/v1/contacts?limit=50&sort=-updated_at".to_owned(), &list),
    ] {
        let (mut floor, mut rate, mut ratio, mut p99) =
            (Figure(Vec::new()), Figure(Vec::new()), Figure(Vec::new()), Figure(Vec::new()));
        for _ in 0..ROUNDS {
            let below = pgbench(&database, script, &[("id", &id)], API_CONNECTIONS).await?;
            let measured = wrk(&system.url(&path), &token).await?;
            floor.0.push(below);
            rate.0.push(measured.0);
            ratio.0.push(measured.0 / below * 100.0);
            p99.0.push(measured.1);
        }
        say(&format!("  {name}"));
        say(&format!("    floor   {}", floor.show("/s", 0)));
        say(&format!("    API     {}, p99 {}", rate.show("/s", 0), p99.show(" ms", 2)));
        say(&format!("    ratio   {} (below 35 % is a defect, 45 % the goal)", ratio.show(" %", 1)));
    }
    Ok(())
}

/// Contacts by the thousand, straight into the table; their names fold to themselves.
async fn fill(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO contacts (id, first_name, last_name, search, sort, locale, organisation_id, do_not_contact, owner_id, \
             version, created_at, created_by, updated_at, updated_by)
         SELECT gen_random_uuid(), 'Prénom' || i, 'Bench' || i, 'prenom' || i || ' bench' || i, 'bench' || i || ' prenom' || i, \
             'fr', (SELECT id FROM organisations LIMIT 1), false, u.id, 1, now() - i * interval '1 second', u.id, \
             now() - i * interval '1 second', u.id
         FROM generate_series(1, $1) i, (SELECT id FROM users LIMIT 1) u",
    )
    .bind(CONTACTS)
    .execute(&mut *connection)
    .await?;
    sqlx::query("ANALYZE contacts").execute(connection).await?;
    Ok(())
}

/// Transactions per second of pgbench.
async fn pgbench(
    database: &str,
    script: &Path,
    variables: &[(&str, &str)],
    clients: usize,
) -> Result<f64, Error> {
    let mut command = Command::new(installed("pgbench", "postgresql-contrib")?);
    command.args([
        "-n",
        "-M",
        "prepared",
        "-T",
        &SECONDS.to_string(),
        "-c",
        &clients.to_string(),
        "-j",
        "2",
        "-f",
    ]);
    command.arg(script);
    for (name, value) in variables {
        command.arg("-D").arg(format!("{name}={value}"));
    }
    let output = command.arg(database).kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    let rate =
        said.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
    rate.ok_or_else(|| format!("pgbench said no rate: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Requests per second and the 99th percentile in milliseconds, as wrk measures them: like pgbench a small C program
/// with two threads, so that the machine is shared alike.
async fn wrk(url: &str, token: &str) -> Result<(f64, f64), Error> {
    let output = Command::new(installed("wrk", "wrk")?)
        .args(["-t2", &format!("-c{API_CONNECTIONS}"), &format!("-d{SECONDS}s"), "--latency", "-H"])
        .arg(format!("Authorization: Bearer {token}"))
        .arg(url)
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name).map(str::trim));
    if after("Non-2xx or 3xx responses:").is_some() || after("Socket errors:").is_some() {
        return Err(format!("not every answer was a success:\n{said}").into());
    }
    let rate = after("Requests/sec:").and_then(|rate| rate.parse().ok());
    match (rate, after("99%").and_then(milliseconds)) {
        (Some(rate), Some(p99)) => Ok((rate, p99)),
        _ => Err(format!("wrk said no rate:\n{said}").into()),
    }
}

/// A time as wrk writes it: `1.23ms`, `456.00us`, `1.02s`.
fn milliseconds(time: &str) -> Option<f64> {
    [("ms", 1.0), ("us", 0.001), ("s", 1000.0)]
        .into_iter()
        .find_map(|(unit, factor)| Some(time.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

/// A program on the PATH or where Debian keeps PostgreSQL's.
fn installed(program: &str, package: &str) -> Result<std::path::PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let folders = debian.map(|entry| entry.path().join("bin")).chain(std::env::split_paths(&path));
    let mut programs = folders.map(|folder| folder.join(program));
    programs
        .find(|program| program.is_file())
        .ok_or_else(|| format!("{program} is missing (Debian: apt-get install {package})").into())
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method.parse().unwrap_or_default();
    *request.uri_mut() = path.parse().unwrap_or_default();
    request.headers_mut().insert("host", hyper::header::HeaderValue::from_static("localhost"));
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) =
            (name.parse::<hyper::header::HeaderName>(), value.parse::<hyper::header::HeaderValue>())
        {
            request.headers_mut().insert(name, value);
        }
    }
    request
}

fn millis(measured: &Measured, share: f64) -> f64 {
    measured.quantile(share).as_secs_f64() * 1000.0
}

// ---- engine ----------------------------------------------------------------------------------------------------

async fn engine(system: &System) -> Result<(), Error> {
    let load = engine_load(system)?;
    let body = analysis()?;

    let insert = system.scratch().join("commit.sql");
    let record = "x".repeat(1500);
    std::fs::write(&insert, format!("INSERT INTO bench_commit VALUES ('{record}');\n"))?;
    let migrator = system.secret("novacrm-database", "audit-migration-url")?;
    let mut connection = PgConnection::connect(&migrator).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS bench_commit (body text NOT NULL)")
        .execute(&mut connection)
        .await?;

    say(&format!(
        "\nEngine: prompts of 4 kB with the durable record, {ENGINE_CONNECTIONS} connections over mutual TLS, beside the \
         commits of the same PostgreSQL, {ROUNDS} rounds of {SECONDS} s"
    ));
    let (mut one, mut many, mut rate, mut p50, mut p99) =
        (Figure(Vec::new()), Figure(Vec::new()), Figure(Vec::new()), Figure(Vec::new()), Figure(Vec::new()));
    for _ in 0..ROUNDS {
        one.0.push(pgbench(&migrator, &insert, &[], 1).await?);
        many.0.push(pgbench(&migrator, &insert, &[], ENGINE_CONNECTIONS).await?);
        let measured = load.run(analyze(&body)).await?;
        rate.0.push(measured.rate);
        p50.0.push(millis(&measured, 0.5));
        p99.0.push(millis(&measured, 0.99));
    }
    sqlx::query("DROP TABLE bench_commit").execute(&mut connection).await?;
    say(&format!("  commits, one connection    {}", one.show("/s", 0)));
    say(&format!("  commits, {ENGINE_CONNECTIONS} connections   {}", many.show("/s", 0)));
    say(&format!("  decisions                  {} (goal: at least 2,000)", rate.show("/s", 0)));
    say(&format!(
        "  latency                    p50 {}, p99 {} (goal: below 20)",
        p50.show(" ms", 1),
        p99.show(" ms", 1)
    ));
    Ok(())
}

/// The engine as the API asks it, as fast as it answers.
fn engine_load(system: &System) -> Result<Load, Error> {
    Ok(Load {
        address: engine_address(system)?,
        tls: Some(Arc::new(identity(&system.data().join("secrets/acme/novacrm-api-tls"))?)),
        connections: ENGINE_CONNECTIONS,
        duration: Duration::from_secs(SECONDS),
        pace: None,
        expected: StatusCode::OK,
    })
}

fn analysis() -> Result<Bytes, Error> {
    let question = serde_json::json!({ "text": four_kilobytes(), "use_case": "sales-drafting" });
    Ok(Bytes::from(serde_json::to_vec(&question)?))
}

fn analyze(body: &Bytes) -> impl Fn(usize, usize) -> Request<Full<Bytes>> + Clone + Send + 'static {
    let body = body.clone();
    move |_, _| request("POST", "/v1/analyze", &[("content-type", "application/json")], body.clone())
}

fn identity(folder: &Path) -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.crt"))?)?;
    let chain = CertificateDer::pem_file_iter(folder.join("tls.crt"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join("tls.key"))?;
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key)?)
}

/// A prompt of 4 kB: the French one with a NIR, an IBAN and a token, and a letter around it.
fn four_kilobytes() -> String {
    let filler = "Bonjour, merci de préparer une réponse courtoise au client au sujet du contrat 2024-118, dont l'échéance \
                  est au mois de mars ; la remise de 12 % reste valable jusqu'au 31. ";
    let mut text = french_prompt();
    while text.len() < 4096 - filler.len() {
        text.push_str(filler);
    }
    text
}

// ---- detection -------------------------------------------------------------------------------------------------

/// What is measured of detection.
const DETECTION: [&str; 4] = ["speed", "quality", "long", "latency"];
/// Requests a second that the latency of detection is measured at.
const PACE: f64 = 1000.0;

/// How well and how fast detectors find, in this process, beside other detectors where they are installed, and
/// through HTTP and TLS with the audit database in memory.
async fn detection(flags: &[String]) -> Result<(), Error> {
    let (mut peers, mut corpora, mut only) = (Vec::new(), None, None);
    for pair in flags.chunks(2) {
        let [flag, value] = pair else { return Err("each flag needs a value".into()) };
        match flag.as_str() {
            "--peers" => peers = peers::installed(Path::new(value)),
            "--corpora" => corpora = Some(Path::new(value)),
            "--only" if DETECTION.contains(&value.as_str()) => only = Some(value.as_str()),
            "--only" => return Err(format!("unknown part {value}; use {}", DETECTION.join(", ")).into()),
            _ => return Err(format!("unknown flag {flag}; use --only, --peers, --corpora").into()),
        }
    }
    let want = |part: &str| only.is_none_or(|only| only == part);
    // Speed first, since it says how long the catalogue takes to compile.
    if want("speed") {
        report::speed(&peers, &say)?;
    }
    if want("quality") {
        report::quality(&peers, corpora, &say)?;
    }
    if want("long") {
        report::long(&programs(), &say)?;
    }
    if want("latency") {
        paced().await?;
    }
    Ok(())
}

/// The latency of decisions on 4 kB at a given rate, with the databases in memory: what is left is the engine.
async fn paced() -> Result<(), Error> {
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        say("\n/dev/shm is missing, so there is no RAM disk for the audit database: no latency measured");
        return Ok(());
    }
    let system = System::start(Options {
        programs: programs(),
        unprivileged: false,
        front_end: false,
        scratch: Some(memory.to_owned()),
    })
    .await?;
    let load = Load { pace: Some(PACE), duration: Duration::from_secs(3 * SECONDS), ..engine_load(&system)? };
    let body = analysis()?;
    say(&format!(
        "\nEngine at {PACE}/s: 4 kB, mutual TLS, the audit database on a RAM disk, {ROUNDS} rounds"
    ));
    let (mut p50, mut p99, mut rate) = (Figure(Vec::new()), Figure(Vec::new()), Figure(Vec::new()));
    for _ in 0..ROUNDS {
        let measured = load.run(analyze(&body)).await?;
        rate.0.push(measured.rate);
        p50.0.push(millis(&measured, 0.5));
        p99.0.push(millis(&measured, 0.99));
    }
    say(&format!("  answered  {}", rate.show("/s", 0)));
    say(&format!("  latency   p50 {}, p99 {} (goal: below 5)", p50.show(" ms", 2), p99.show(" ms", 2)));
    Ok(())
}

// ---- propagation -----------------------------------------------------------------------------------------------

/// What the product promises of the way of a policy to every engine.
const PROPAGATION_GOALS: &str = "goals: p50 below 250 ms, p99 below 1,000 ms";

fn size(flags: &[String]) -> Result<Size, Error> {
    let mut size = Size { engines: 20, policies: 500, changes: 200 };
    for pair in flags.chunks(2) {
        let [flag, value] = pair else { return Err("each flag needs a number".into()) };
        let value = value.parse().map_err(|_| format!("{flag} needs a number, not {value}"))?;
        match flag.as_str() {
            "--engines" => size.engines = value,
            "--policies" => size.policies = value,
            "--changes" => size.changes = value,
            _ => return Err(format!("unknown flag {flag}; use --engines, --policies, --changes").into()),
        }
    }
    Ok(size)
}

/// From the answer to the write of a policy until every engine acknowledged it.
async fn propagation(size: Size) -> Result<(), Error> {
    let Size { engines, policies, changes } = size;
    say(&format!(
        "\nA policy on its way: {engines} engines, {policies} policies on one tenant, {changes} changes"
    ));
    let outcome = propagation::measure(size, |line| say(&format!("  {line}"))).await?;
    say("  from the answer to the write of the policy until …           p50      p99      max");
    type Part = fn(&Sample) -> Duration;
    let rows: [(&str, Part); 3] = [
        ("the tenant's rules are written", |sample| sample.bundle),
        ("the first engine acknowledges", |sample| sample.first),
        ("the last engine acknowledges", |sample| sample.last),
    ];
    for (what, of) in rows {
        let mut times: Vec<Duration> = outcome.samples.iter().map(of).collect();
        times.sort();
        let [p50, p99, max] = [50, 99, 100].map(|percent| percentile(&times, percent).as_secs_f64() * 1e3);
        say(&format!("    {what:<52} {p50:>6.0} ms {p99:>6.0} ms {max:>6.0} ms"));
    }
    say(&format!("  {PROPAGATION_GOALS}"));
    say(&format!("  {} decisions were by the version that the engine had acknowledged", outcome.decisions));
    say("  the operator's histogram novacrm_operator_policy_propagation_seconds:");
    outcome.histogram.iter().for_each(|line| say(&format!("    {line}")));
    Ok(())
}

/// The least of the sorted times that so many percent of them do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
