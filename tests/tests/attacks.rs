//! Attackers take what they can of a running system whose processes may use as much memory as their containers may by
//! default, and no more. The attacks end in refusals, the processes live on, and others are served.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use novacrm_tests::attack::{Answers, Attack};
use novacrm_tests::memory::{DEFAULT_LIMIT, Limited};
use novacrm_tests::system::{Api, Options, System, programs};
use serde_json::json;

/// How long each attack goes on.
const ATTACK: Duration = Duration::from_secs(6);

/// A running system whose engine and API are limited as their containers are.
struct Site {
    system: System,
    user: Api,
    limited: Vec<(&'static str, Limited)>,
}

impl Site {
    async fn start() -> Self {
        let options = Options { programs: programs(), unprivileged: false, front_end: false, scratch: None };
        let system = System::start(options).await.unwrap();
        let limited = ["novacrm-engine", "novacrm-api-server"].map(|program| {
            let pid = system.processes(program)[0];
            (program, Limited::process(pid, DEFAULT_LIMIT).unwrap())
        });
        if rustix::process::geteuid().is_root() {
            assert!(
                limited.iter().all(|(_, limited)| limited.is_enforced()),
                "no control groups can be made"
            );
        }
        // The first requests make connections to the database and to the engine.
        let user = system.log_in().await.unwrap();
        assert_eq!(user.get("/contacts?limit=5").await.unwrap().0, 200);
        assert_eq!(user.assess("Bonjour").await.unwrap().0, 201);
        Self { system, user, limited: limited.into() }
    }

    fn api(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.system.port()))
    }

    /// The last errors in the logs of all processes.
    fn complaints(&self) -> String {
        let logs = self.system.logs();
        let is_error = |line: &&str| line.contains("FATAL") || line.contains(r#""level":"ERROR""#);
        let errors: Vec<&str> = logs.lines().filter(is_error).collect();
        errors.iter().rev().take(5).copied().collect::<Vec<_>>().join("\n")
    }

    /// Attacks until [`ATTACK`] is over; meanwhile the user works on and is answered each time.
    async fn withstand(&self, what: &str, attack: Attack, attackers: usize) -> Answers {
        let user = &self.user;
        let running = attack.begin(self.api(), attackers);
        let began = Instant::now();
        let mut worked = 0;
        while began.elapsed() < ATTACK {
            let (status, answer) = user.get("/contacts?limit=5").await.unwrap();
            assert_eq!(status, 200, "{what}: a list: {answer}; {}", self.complaints());
            let (status, answer) = user.assess("Relancer Mme Martin au 06 12 34 56 78").await.unwrap();
            assert_eq!(status, 201, "{what}: a prompt: {answer}; {}", self.complaints());
            assert_eq!(answer["verdict"]["uninspected"], json!(null), "{what}: {answer}");
            worked += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let answers = running.end().await;
        let peaks: Vec<_> =
            self.limited.iter().map(|(program, limited)| (*program, limited.peak())).collect();
        let told = format!(
            "{attackers} attackers were answered {answers:?}; the user worked {worked} times; {peaks:?}"
        );
        let _ = writeln!(std::io::stdout().lock(), "{what}: {told}");
        for (program, limited) in &self.limited {
            assert!(!limited.breached(), "{what}: {program} needed more than {DEFAULT_LIMIT} bytes");
        }
        answers
    }
}

/// Whether attackers got no success. Those that only hold connections may be left waiting.
fn refused(answers: &Answers) -> bool {
    answers.keys().all(|status| !(200..300).contains(status))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attacks_from_outside_end_in_refusals_and_users_work_on() {
    let site = Site::start().await;
    for (what, attack, attackers) in [
        ("unfinished log-ins", Attack::UnfinishedLogIns, 200),
        ("slow log-ins", Attack::SlowLogIns, 700),
        ("idle connections", Attack::IdleConnections, 700),
        ("idle HTTP/2 connections", Attack::IdleHttp2, 700),
        ("log-ins with other addresses", Attack::LogIns, 100),
    ] {
        let answers = site.withstand(what, attack, attackers).await;
        assert!(refused(&answers), "{what}: {answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_prompts_of_one_user_leave_memory_and_time_to_others() {
    let site = Site::start().await;
    let password = hex::encode(rand::random::<[u8; 16]>());
    let account = json!({
        "email": "seller@acme.example", "display_name": "Sam Vendeur", "role": "sales", "password": password
    });
    let (status, answer) = site.user.post("/users", &account).await.unwrap();
    assert_eq!(status, 201, "{answer}");
    let seller = Api::log_in(&site.system, "seller@acme.example", &password).await.unwrap();
    let attack = Attack::LongPrompts { token: seller.token().to_owned() };
    let answers = site.withstand("long prompts", attack, 30).await;
    let refusals: usize = answers.iter().filter(|(status, _)| **status >= 400).map(|(_, count)| count).sum();
    assert!(refusals > 0, "nothing was refused: {answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_texts_that_an_api_sends_straight_to_the_engine_leave_it_running() {
    let site = Site::start().await;
    let (client, url) = novacrm_tests::system::engine_client(&site.system).unwrap();
    let attack = Attack::LongTexts { client, url };
    let answers = site.withstand("long texts", attack, 30).await;
    assert!(answers.values().sum::<usize>() > 0, "nothing was answered");
}
