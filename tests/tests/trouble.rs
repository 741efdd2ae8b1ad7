//! What goes wrong while the system runs or before it starts: a killed engine, a killed database, a role that may
//! not, a port in use, a folder in use or damaged, a broken manifest. Always a clear answer, and nothing that was
//! acknowledged is lost.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use novacrm_tests::system::{Api, Options, PATIENCE, System, french_prompt, programs};
use reqwest::{Client, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn options() -> Options {
    Options { programs: programs(), unprivileged: true, front_end: false, scratch: None }
}

/// Asks again until the answer is the wanted one.
async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a client was told.
struct Told {
    status: StatusCode,
    kind: String,
    retry_after: Option<u64>,
    body: Value,
}

impl Told {
    fn is_refusal(&self, code: &str) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
            && self.kind == "application/problem+json"
            && self.retry_after.is_some_and(|seconds| seconds > 0)
            && self.body["code"] == code
    }
}

/// Seven clients that have prompts assessed, each its next one when the last was answered.
struct Load {
    enough: Arc<AtomicBool>,
    refused: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Vec<Told>>>,
}

impl Load {
    fn start(system: &System, api: &Api) -> Self {
        let (enough, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let url = system.url("/api/v1/assessments");
        let clients = (0..7).map(|_| {
            let (enough, refused) = (enough.clone(), refused.clone());
            let (url, token) = (url.clone(), api.token().to_owned());
            tokio::spawn(async move {
                let client = Client::new();
                let body = json!({ "prompt": french_prompt(), "use_case": "sales-drafting" });
                let mut told = Vec::new();
                while !enough.load(Ordering::Relaxed) {
                    let key = hex::encode(rand::random::<[u8; 16]>());
                    let request = client.post(&url).bearer_auth(&token).header("idempotency-key", key);
                    let answer = request.json(&body).send().await.expect("the API itself must always answer");
                    let header = |name: &str| {
                        answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
                    };
                    let (status, retry_after) = (answer.status(), header("retry-after"));
                    let retry_after = retry_after.map(|seconds| seconds.parse().unwrap());
                    let kind = header("content-type").unwrap_or_default();
                    let body = answer.json().await.unwrap_or_default();
                    refused.fetch_or(status != StatusCode::CREATED, Ordering::Relaxed);
                    told.push(Told { status, kind, retry_after, body });
                }
                told
            })
        });
        let clients = clients.collect();
        Self { enough, refused, clients }
    }

    fn somebody_was_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    async fn end(self) -> Vec<Told> {
        self.enough.store(true, Ordering::Relaxed);
        let mut told = Vec::new();
        for client in self.clients {
            told.extend(client.await.unwrap());
        }
        told
    }
}

/// As the kernel does when memory runs out.
fn kill(system: &System, program: &str) {
    for id in system.processes(program) {
        // It fails only when the process is gone.
        let _ = kill_process(Pid::from_raw(id).unwrap(), Signal::KILL);
    }
}

async fn it_assesses_again(api: &Api) {
    until("the system assesses again", || async {
        let (status, _) = api.assess("Bonjour").await.ok()?;
        (status == StatusCode::CREATED).then_some(())
    })
    .await;
}

/// Every acknowledged assessment has its record in the log, and the log is intact.
async fn every_acknowledged_record_is_there(system: &System, told: &[Told], export: &str) {
    until("the audit log is complete and intact", || async {
        let output = system.audit(&["verify", "--output", "json"]).unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).ok()?;
        // The export reaches to the newest checkpoint.
        let complete = report["pending"] == 0 && report["covered"] == report["records"];
        (output.status.success() && complete).then_some(())
    })
    .await;
    let folder = system.scratch().join(export);
    let output = system.audit(&["export", "--to", folder.to_str().unwrap()]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut log = String::new();
    read(&folder.join("tile/entries"), &mut log);
    let acknowledged: BTreeSet<&str> = told
        .iter()
        .filter(|told| told.status == StatusCode::CREATED)
        .map(|told| told.body["audit_record_id"].as_str().expect("a verdict names its record"))
        .collect();
    assert!(!acknowledged.is_empty(), "nothing was acknowledged");
    let lost: Vec<_> = acknowledged.into_iter().filter(|id| !log.contains(*id)).collect();
    assert_eq!(lost, Vec::<&str>::new(), "acknowledged, and not in the log");
}

fn read(path: &Path, text: &mut String) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            read(&entry.unwrap().path(), text);
        }
    } else {
        text.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap()));
    }
}

#[tokio::test]
async fn what_is_killed_under_load_comes_back_and_loses_nothing() {
    let system = System::start(options()).await.unwrap();
    let api = system.log_in().await.unwrap();

    // The engine, again and again until somebody noticed: a short absence is bridged by asking again.
    let load = Load::start(&system, &api);
    it_assesses_again(&api).await;
    until("somebody is refused", || async {
        kill(&system, "novacrm-engine");
        load.somebody_was_refused().then_some(())
    })
    .await;
    it_assesses_again(&api).await;
    let told = load.end().await;
    let strange: Vec<_> = told
        .iter()
        .filter(|told| told.status != StatusCode::CREATED && !told.is_refusal("engine_unavailable"))
        .map(|told| (told.status, &told.body))
        .collect();
    assert!(strange.is_empty(), "neither a verdict nor a refusal: {strange:?}");
    every_acknowledged_record_is_there(&system, &told, "after-engine").await;

    // The database, under both the API and the engine.
    let load = Load::start(&system, &api);
    it_assesses_again(&api).await;
    kill(&system, "postgres");
    until("somebody is refused", || async { load.somebody_was_refused().then_some(()) }).await;
    it_assesses_again(&api).await;
    let told = load.end().await;
    let strange: Vec<_> = told
        .iter()
        .filter(|told| told.status != StatusCode::CREATED)
        .filter(|told| !told.status.is_server_error() || told.kind != "application/problem+json")
        .map(|told| (told.status, &told.body))
        .collect();
    assert!(strange.is_empty(), "neither a verdict nor a problem of ours: {strange:?}");
    every_acknowledged_record_is_there(&system, &told, "after-postgres").await;
    assert!(system.said().contains("PostgreSQL ended"), "the terminal tells nothing: {}", system.said());

    a_role_reaches_no_further_than_it_may(&system, &api).await;

    // The folder of a running system is for that one alone.
    let (code, said) = refused(system.up_command());
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("another `up` is using") && said.contains("--data-dir"), "{said}");
    assert_eq!(api.get("/contacts?limit=1").await.unwrap().0, StatusCode::OK, "the running one must go on");

    a_damaged_folder_is_named(system).await;
}

/// Runs an `up` that must end by itself; its exit code, and what it said on standard error, which must be one line.
fn refused(mut command: Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("novacrm-operator: ") && said.lines().count() == 1, "not one sentence: {said}");
    (output.status.code(), format!("{told}{said}"))
}

async fn a_role_reaches_no_further_than_it_may(system: &System, direction: &Api) {
    let (email, password) =
        (format!("{:016x}@acme.example", rand::random::<u64>()), hex::encode(rand::random::<[u8; 12]>()));
    let user = json!({ "email": email, "display_name": "Vente", "role": "sales", "password": password });
    let (status, made) = direction.post("/users", &user).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let sales = Api::log_in(system, &email, &password).await.unwrap();
    let (_, verdict) = direction.assess("Bonjour").await.unwrap();
    let assessment = format!("/assessments/{}", verdict["id"].as_str().unwrap());
    let colleague = format!("/users/{}", made["id"].as_str().unwrap());
    assert_eq!(sales.get("/contacts?limit=1").await.unwrap().0, StatusCode::OK);
    for (path, expected) in [("/users", 403), (colleague.as_str(), 403), (assessment.as_str(), 404)] {
        let (status, problem) = sales.get(path).await.unwrap();
        assert_eq!(status.as_u16(), expected, "{path}: {problem}");
        assert!(problem["code"].is_string() && problem["trace_id"].is_string(), "{problem}");
    }
    let (status, problem) = sales.post("/users", &user).await.unwrap();
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
}

async fn a_damaged_folder_is_named(mut system: System) {
    system.stop().await.unwrap();
    let memory = system.data().join("memory.json");
    let whole = std::fs::read(&memory).unwrap();
    std::fs::write(&memory, &whole[..whole.len() / 2]).unwrap();
    let (code, said) = refused(system.up_command());
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("memory.json is damaged") && said.contains("reset"), "{said}");
    std::fs::write(&memory, &whole).unwrap();

    let version = find(&system.data(), "PG_VERSION").expect("a database");
    std::fs::remove_file(version).unwrap();
    let (code, said) = refused(system.up_command());
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("is damaged") && said.contains("PG_VERSION"), "{said}");
}

/// A file of this name in the nearest folder.
fn find(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    let mut open = std::collections::VecDeque::from([folder.to_owned()]);
    while let Some(folder) = open.pop_front() {
        let file = folder.join(name);
        if file.is_file() {
            return Some(file);
        }
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        open.extend(entries.filter(|path| path.is_dir()));
    }
    None
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let system = System::prepare(options()).unwrap();
    let _taken = TcpListener::bind(("127.0.0.1", system.port())).unwrap();
    let (code, said) = refused(system.up_command());
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains(&format!("port {} is in use", system.port())) && said.contains("--port"), "{said}");
}

#[test]
fn a_broken_manifest_at_the_first_start_is_explained_and_nothing_runs() {
    let system = System::prepare(options()).unwrap();
    let file = system.manifests().join("tenant.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("  locale: fr\n", "  locale: klingon\n")).unwrap();
    let (code, said) = refused(system.up_command());
    assert_eq!(code, Some(3), "{said}");
    for wanted in ["REFUSED", "tenant.yaml", "spec.locale"] {
        assert!(said.contains(wanted), "{wanted} is missing: {said}");
    }
    for program in ["novacrm-engine", "novacrm-api-server", "postgres"] {
        assert_eq!(system.processes(program), Vec::<i32>::new(), "{program} runs");
    }
}
