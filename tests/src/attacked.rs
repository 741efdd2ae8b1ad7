//! What other users, and the users of another tenant, notice of an attack.
//!
//! Two systems run on this machine, one per tenant. In each round a user of either tenant works without an attack and
//! then during one; the ratio of the two 99th percentiles is taken round by round.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::attack::Attack;
use crate::system::{Api, Options, System, SystemError, engine_client, programs};

/// Rounds of each attack.
const ROUNDS: usize = 3;
/// How long a user works, once without and once during the attack.
const WORK: Duration = Duration::from_secs(8);
/// A user does something this often.
const PACE: Duration = Duration::from_millis(20);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// One tenant's system and a user of it.
struct Tenant {
    system: System,
    user: Api,
}

impl Tenant {
    async fn start() -> Result<Self, Error> {
        let options = Options { programs: programs(), unprivileged: false, front_end: false, scratch: None };
        let system = System::start(options).await?;
        let user = system.log_in().await?;
        // The first requests make connections to the database and to the engine.
        work(&user, Duration::from_secs(1)).await?;
        Ok(Self { system, user })
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.system.port()))
    }
}

/// What a user experienced.
#[derive(Clone, Copy, Debug)]
struct Experience {
    p99: Duration,
    requests: usize,
    failures: usize,
}

/// Lists contacts, and has every fourth time a prompt assessed. A latency counts from the moment the request was due.
async fn work(user: &Api, time: Duration) -> Result<Experience, SystemError> {
    let began = Instant::now();
    let (mut latencies, mut failures) = (Vec::new(), 0);
    let mut due = began;
    while due < began + time {
        tokio::time::sleep_until(due.into()).await;
        let answer = if latencies.len() % 4 == 3 {
            user.assess("Relancer Mme Martin au 06 12 34 56 78 avant le 31 mars").await
        } else {
            user.get("/contacts?limit=20").await
        };
        if !answer.is_ok_and(|(status, _)| status.is_success()) {
            failures += 1;
        }
        latencies.push(due.elapsed());
        due += PACE;
        // Whoever waited for an answer does not make up for the time.
        due = due.max(Instant::now());
    }
    latencies.sort_unstable();
    let index = latencies.len() * 99 / 100;
    let p99 = latencies.get(index.min(latencies.len().saturating_sub(1))).copied().unwrap_or_default();
    Ok(Experience { p99, requests: latencies.len(), failures })
}

/// Measures every attack whose description holds `only`, and hands each line of the result to `say`.
///
/// # Errors
/// When a system does not start.
pub async fn measure(only: &str, say: &impl Fn(&str)) -> Result<(), Error> {
    let (attacked, other) = (Tenant::start().await?, Tenant::start().await?);
    let seller = seller(&attacked).await?;
    let (client, url) = engine_client(&attacked.system)?;
    let attacks = [
        ("unfinished log-ins of 1 MB", Attack::UnfinishedLogIns, 200),
        ("log-ins that come byte by byte", Attack::SlowLogIns, 400),
        ("idle connections", Attack::IdleConnections, 400),
        ("idle HTTP/2 connections", Attack::IdleHttp2, 400),
        ("log-ins with made-up addresses", Attack::LogIns, 100),
        ("prompts of 1 MB by one user", Attack::LongPrompts { token: seller.token().to_owned() }, 30),
        ("texts of 1 MB by the API itself", Attack::LongTexts { client, url }, 30),
    ];
    say(&format!(
        "\nA user's 99th percentile during an attack, {ROUNDS} rounds of {} s; goal: at most twice that without one",
        WORK.as_secs()
    ));
    say("  attack (attackers)                       user of the same tenant          user of another tenant");
    for (what, attack, attackers) in attacks.into_iter().filter(|(what, ..)| what.contains(only)) {
        let (mut same, mut another) = (Vec::new(), Vec::new());
        let mut answers = crate::attack::Answers::new();
        for _ in 0..ROUNDS {
            let quiet = tokio::try_join!(work(&attacked.user, WORK), work(&other.user, WORK))?;
            let running = attack.clone().begin(attacked.address(), attackers);
            let busy = tokio::try_join!(work(&attacked.user, WORK), work(&other.user, WORK))?;
            for (status, count) in running.end().await {
                *answers.entry(status).or_default() += count;
            }
            same.push((quiet.0, busy.0));
            another.push((quiet.1, busy.1));
        }
        say(&format!("  {:<40} {:<32} {}", format!("{what} ({attackers})"), show(&same), show(&another)));
        say(&format!("    attackers were answered {answers:?}"));
    }
    Ok(())
}

/// The median round: both percentiles, their ratio, and failures over all rounds.
fn show(rounds: &[(Experience, Experience)]) -> String {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let ratio =
        |(quiet, busy): &(Experience, Experience)| busy.p99.as_secs_f64() / quiet.p99.as_secs_f64().max(1e-6);
    let mut sorted = rounds.to_vec();
    sorted.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let Some(median) = sorted.get(sorted.len() / 2) else { return String::new() };
    let (requests, failures) =
        rounds.iter().fold((0, 0), |sum, (_, busy)| (sum.0 + busy.requests, sum.1 + busy.failures));
    let (quiet, busy) = (millis(median.0.p99), millis(median.1.p99));
    format!("{quiet:.1} -> {busy:.1} ms, x{:.1}, {failures}/{requests} failed", ratio(median))
}

/// Somebody of the attacked tenant who is not the user that is measured.
async fn seller(tenant: &Tenant) -> Result<Api, Error> {
    let password = hex::encode(rand::random::<[u8; 16]>());
    let account = json!({
        "email": "seller@acme.example", "display_name": "Sam Vendeur", "role": "sales", "password": password
    });
    let (status, answer) = tenant.user.post("/users", &account).await?;
    if !status.is_success() {
        return Err(format!("no account could be made: {status} {answer}").into());
    }
    Ok(Api::log_in(&tenant.system, "seller@acme.example", &password).await?)
}
