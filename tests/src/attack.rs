//! Clients that try to take a server's connections, memory and time from everybody else.
//!
//! An attack goes on until it is ended, or for as many requests as it is given. It counts what its requests were answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// The address on this machine that attackers come from, so that limits per source tell them from other users.
const SOURCE: &str = "127.0.0.2:0";
/// A refused attacker comes back after this time. All of them share the machine with the server, so that a loop without
/// a pause would measure how fast the machine makes connections.
const PAUSE: Duration = Duration::from_millis(250);
/// Length of a long body or prompt, in bytes.
const LONG: usize = 1_000_000;

/// The body of a long prompt, made once: attackers share the machine with those whose time is measured.
static PROMPT: LazyLock<String> =
    LazyLock::new(|| json!({ "prompt": long_text(), "use_case": "sales-drafting" }).to_string());
/// The body of a long text for the engine.
static TEXT: LazyLock<String> =
    LazyLock::new(|| json!({ "text": long_text(), "use_case": "sales-drafting" }).to_string());

/// What attackers do, each over and over.
#[derive(Clone, Debug)]
pub enum Attack {
    /// Announce a log-in of 1 MB and send all of it but the end.
    UnfinishedLogIns,
    /// Log in with a body that comes byte by byte.
    SlowLogIns,
    /// Connect and send nothing.
    IdleConnections,
    /// Begin HTTP/2 and send nothing more than that.
    IdleHttp2,
    /// Log in with another made-up address each time.
    LogIns,
    /// Send prompts of 1 MB to the API with this access token.
    LongPrompts {
        /// Whose prompts.
        token: String,
    },
    /// Send texts of 1 MB to the engine, as an API that somebody else controls.
    LongTexts {
        /// Speaks with the API's certificate.
        client: reqwest::Client,
        /// `https://…/v1/analyze`.
        url: String,
    },
}

/// What came of the requests of an attack: how many were answered with which status. 0 counts connections that ended
/// without an answer.
pub type Answers = BTreeMap<u16, usize>;

/// An attack that goes on.
#[derive(Debug)]
pub struct Running {
    attackers: JoinSet<()>,
    answers: Arc<Mutex<Answers>>,
}

impl Attack {
    /// Begins with so many attackers, each with a connection of its own.
    #[must_use]
    pub fn begin(self, server: SocketAddr, attackers: usize) -> Running {
        LazyLock::force(&PROMPT);
        LazyLock::force(&TEXT);
        let answers = Arc::new(Mutex::new(Answers::new()));
        let mut running = JoinSet::new();
        for number in 0..attackers {
            let (attack, answers) = (self.clone(), Arc::clone(&answers));
            running.spawn(async move {
                for round in 0_u64.. {
                    let status = attack.once(server, number, round).await.unwrap_or_default();
                    *answers.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Running { attackers: running, answers }
    }

    async fn once(&self, server: SocketAddr, number: usize, round: u64) -> std::io::Result<u16> {
        match self {
            Self::UnfinishedLogIns => {
                let mut stream = log_in(server, LONG).await?;
                // The server may stop reading or hang up at any moment.
                let _ = stream.write_all(&vec![b' '; LONG - 1]).await;
                answer(&mut stream).await
            }
            Self::SlowLogIns => {
                let mut stream = log_in(server, 1000).await?;
                loop {
                    tokio::select! {
                        status = answer(&mut stream) => return status,
                        () = tokio::time::sleep(Duration::from_millis(500)) => {}
                    }
                    stream.write_all(b" ").await?;
                }
            }
            Self::IdleConnections => answer(&mut connect(server).await?).await,
            Self::IdleHttp2 => {
                let mut stream = connect(server).await?;
                // RFC 9113, section 3.4: the preface and an empty SETTINGS frame.
                stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
                let mut bytes = [0; 512];
                while stream.read(&mut bytes).await? > 0 {}
                Ok(0)
            }
            Self::LogIns => {
                let email = format!("attacker-{number}-{round}@acme.example");
                let body = json!({ "email": email, "password": "made up by an attacker" }).to_string();
                let mut stream = log_in(server, body.len()).await?;
                stream.write_all(body.as_bytes()).await?;
                answer(&mut stream).await
            }
            Self::LongPrompts { token } => {
                let body = PROMPT.as_bytes();
                let mut stream = connect(server).await?;
                let head = format!(
                    "POST /api/v1/assessments HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                     authorization: Bearer {token}\r\nidempotency-key: {number}-{round}-{}\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n",
                    std::process::id(),
                    body.len()
                );
                stream.write_all(head.as_bytes()).await?;
                let _ = stream.write_all(body).await;
                answer(&mut stream).await
            }
            Self::LongTexts { client, url } => {
                let request = client.post(url).header("content-type", "application/json").body(TEXT.as_str());
                let sent = request.send().await.map_err(std::io::Error::other)?;
                let status = sent.status().as_u16();
                let _ = sent.bytes().await;
                Ok(status)
            }
        }
    }
}

impl Running {
    /// What was answered so far.
    #[must_use]
    pub fn answers(&self) -> Answers {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the attack.
    pub async fn end(mut self) -> Answers {
        self.attackers.shutdown().await;
        self.answers()
    }
}

async fn connect(server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Ok(source) = SOURCE.parse() {
        socket.bind(source)?;
    }
    socket.connect(server).await
}

/// A connection with the head of a log-in whose body has so many bytes.
async fn log_in(server: SocketAddr, length: usize) -> std::io::Result<TcpStream> {
    let mut stream = connect(server).await?;
    let head = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

/// The status of the answer; 0 when the server closes the connection instead.
async fn answer(stream: &mut TcpStream) -> std::io::Result<u16> {
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    let status =
        std::str::from_utf8(&head).ok().and_then(|head| head.strip_prefix("HTTP/1.1 ")?.parse().ok());
    Ok(status.unwrap_or_default())
}

/// A text of [`LONG`] bytes with something to find in each sentence.
fn long_text() -> String {
    let sentence =
        "Relancer Mme Martin au 06 12 34 56 78, IBAN FR76 3000 6000 0112 3456 7890 189, avant le 31 mars. ";
    sentence.chars().cycle().take(LONG).collect()
}
