//! No secret and no personal data where it does not belong: made-up values go into the running system by every way
//! that takes input, in good requests and in bad ones, and then everything that comes out or is kept is searched for
//! them, in the forms they could have taken on the way.
//!
//! What this does not show: spans that an exporter would send, and forms that no needle here has (compressed,
//! encrypted).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use novacrm_tests::system::{Options, PATIENCE, System, programs};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use rand::Rng;
use rand::distr::{Alphanumeric, SampleString};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};

/// A value that must not turn up, with a name that may.
#[derive(Clone)]
struct Canary {
    name: &'static str,
    text: String,
}

fn canary(name: &'static str, text: String) -> Canary {
    Canary { name, text }
}

fn letters(count: usize) -> String {
    let mut rng = rand::rng();
    (0..count).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

fn digits(count: usize) -> String {
    let mut rng = rand::rng();
    (0..count).map(|_| char::from(rng.random_range(b'0'..=b'9'))).collect()
}

fn alphanumeric(count: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), count)
}

/// French, with the check digits of ISO 13616 and of the RIB, in groups of four.
fn iban() -> String {
    let (bank, branch, account) = (digits(5), digits(5), digits(11));
    let number = |text: &str| text.parse::<u64>().unwrap();
    let key = 97 - (89 * number(&bank) + 15 * number(&branch) + 3 * number(&account)) % 97;
    let bban = format!("{bank}{branch}{account}{key:02}");
    // FR is 15 27 in the numbering of the standard.
    let check = 98 - format!("{bban}152700").parse::<u128>().unwrap() % 97;
    let compact = format!("FR{check:02}{bban}");
    compact.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(" ")
}

/// French social security number with its key, as it is printed on a card.
fn nir() -> String {
    let mut rng = rand::rng();
    let (year, month) = (rng.random_range(0..100), rng.random_range(1..=12));
    let (commune, order) = (rng.random_range(1..900), rng.random_range(1..999));
    let body = format!("2{year:02}{month:02}78{commune:03}{order:03}");
    let key = 97 - body.parse::<u64>().unwrap() % 97;
    format!("2 {year:02} {month:02} 78 {commune:03} {order:03} {key:02}")
}

/// One of each kind.
struct Flock {
    token: Canary,
    iban: Canary,
    nir: Canary,
    email: Canary,
    password: Canary,
    word: Canary,
}

impl Flock {
    fn new() -> Self {
        Self {
            token: canary("token", format!("ghp_{}", alphanumeric(36))),
            iban: canary("IBAN", iban()),
            nir: canary("NIR", nir()),
            email: canary("e-mail", format!("{}@{}.fr", letters(12), letters(12))),
            password: canary(
                "password",
                format!("{}%{}/{}", alphanumeric(9), alphanumeric(9), alphanumeric(9)),
            ),
            word: canary("word", letters(18)),
        }
    }

    fn all(&self) -> [&Canary; 6] {
        [&self.token, &self.iban, &self.nir, &self.email, &self.password, &self.word]
    }

    /// A sentence with all of them, and SQL.
    fn prompt(&self) -> String {
        let [token, iban, nir, email, password, word] = self.all().map(|canary| canary.text.as_str());
        format!(
            "Bonjour {word}, écris à {email} : NIR {nir}, IBAN {iban}, jeton {token}, mot de passe : {password} \
             '); DROP TABLE contact; -- \" \\ \u{200b} €"
        )
    }
}

/// Looks for canaries in the forms they could have taken.
struct Search {
    needles: AhoCorasick,
    names: Vec<String>,
}

/// Letters and digits alone, so that separators do not hide anything.
fn bare(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}

/// What of a text's base64 does not depend on what stands before and after it, for each of the three alignments.
fn base64_forms(text: &[u8]) -> Vec<String> {
    (0..3)
        .flat_map(|shift: usize| {
            let mut shifted = vec![0; shift];
            shifted.extend_from_slice(text);
            let (from, to) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
            let cut = move |encoded: String| encoded.get(from..to).unwrap().to_owned();
            [cut(STANDARD_NO_PAD.encode(&shifted)), cut(URL_SAFE_NO_PAD.encode(&shifted))]
        })
        .collect()
}

impl Search {
    fn new(canaries: &[Canary]) -> Self {
        let (mut forms, mut names) = (Vec::new(), Vec::new());
        for canary in canaries {
            let compact: String = canary.text.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
            let mut wanted = BTreeSet::new();
            for text in [&canary.text, &compact] {
                wanted.extend([text.clone(), hex::encode(text)]);
                wanted.extend(base64_forms(text.as_bytes()));
                wanted.insert(utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
            }
            // Its parts: what stands between separators and is long enough to be no coincidence, and both halves.
            let parts = canary.text.split(|c: char| !c.is_ascii_alphanumeric());
            wanted.extend(parts.filter(|part| part.len() >= 9).map(str::to_owned));
            let (first, second) = compact.split_at(compact.len() / 2);
            wanted
                .extend([first, second].iter().filter(|half| half.len() >= 9).map(|half| (*half).to_owned()));
            for form in wanted {
                forms.push(form.to_ascii_lowercase());
                names.push(format!(
                    "{} as {}",
                    canary.name,
                    if form == canary.text { "sent" } else { "another form" }
                ));
            }
        }
        let needles = AhoCorasick::builder().ascii_case_insensitive(true).build(&forms).unwrap();
        Self { needles, names }
    }

    /// Names of what is in there, never the values.
    fn find(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let mut found = BTreeSet::new();
        let decoded: Vec<u8> = percent_decode(bytes).collect();
        for form in [bytes, &decoded, &bare(bytes)] {
            for hit in self.needles.find_iter(form) {
                found.insert(format!("{place}: {}", self.names[hit.pattern().as_usize()]));
            }
        }
        found.into_iter().collect()
    }
}

/// Sends requests, and keeps every problem that comes back.
struct Sender {
    client: Client,
    base: String,
    token: String,
    problems: Vec<String>,
}

impl Sender {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    /// As [`Sender::request`], without a token.
    fn stranger(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).header("idempotency-key", alphanumeric(16)).json(body)
    }

    async fn send(&mut self, request: RequestBuilder) -> (StatusCode, Value) {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), format!("{:?}", answer.headers()));
        let body = answer.text().await.unwrap();
        if !status.is_success() {
            self.problems.push(format!("{status} {headers} {body}"));
        }
        let body = serde_json::from_str(&body).unwrap_or_default();
        (status, body)
    }

    /// Sends what must be refused with this status.
    async fn refused(&mut self, status: u16, request: RequestBuilder) {
        let (got, body) = self.send(request).await;
        assert_eq!(got.as_u16(), status, "{body}");
        assert!(body["code"].is_string() && body["trace_id"].is_string(), "no problem: {body}");
    }

    async fn made(&mut self, request: RequestBuilder) -> Value {
        let (status, body) = self.send(request).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body
    }
}

#[test]
fn the_search_finds_what_is_planted_in_every_form() {
    let flock = Flock::new();
    for planted in flock.all() {
        let search = Search::new(std::slice::from_ref(planted));
        let text = planted.text.as_str();
        let spaced: String = text.chars().flat_map(|c| [c, ' ']).collect();
        for form in [
            format!("before {text} after"),
            text.to_uppercase(),
            spaced,
            bare(text.as_bytes()).iter().map(|byte| char::from(*byte)).collect(),
            hex::encode(format!("xy{text}z")),
            utf8_percent_encode(&format!("/a?b={text}&c"), NON_ALPHANUMERIC).to_string(),
            STANDARD_NO_PAD.encode(format!("{text}!")),
            STANDARD_NO_PAD.encode(format!("1{text}!")),
            URL_SAFE_NO_PAD.encode(format!("12{text}!")),
        ] {
            assert!(
                !search.find("here", form.as_bytes()).is_empty(),
                "{} is not found in {form}",
                planted.name
            );
        }
        assert_eq!(search.find("here", b"nothing to be found in this text 0123456789"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn no_secret_and_no_personal_data_is_where_it_does_not_belong() {
    let mut system = System::prepare(Options {
        programs: programs(),
        unprivileged: true,
        front_end: false,
        scratch: None,
    })
    .unwrap();
    system.filter_logs("debug");
    system.up().await.unwrap();
    let api = system.log_in().await.unwrap();
    let mut sender = Sender {
        // The server ends a connection whose body it would not read; none is used twice.
        client: Client::builder().pool_max_idle_per_host(0).build().unwrap(),
        base: system.url("/api/v1"),
        token: api.token().to_owned(),
        problems: Vec::new(),
    };

    // What stands in prompts and in what is refused belongs nowhere; a contact's data in the CRM's database alone.
    let (gone, kept) = (Flock::new(), Flock::new());
    records(&mut sender, &kept).await;
    let records = prompts(&mut sender, &gone).await;
    bodies(&mut sender, &gone).await;
    heads(&mut sender, &gone).await;
    strangers(&mut sender, &gone).await;
    broken_http(&system, &mut sender, &gone);

    let token = canary("the access token", api.token().to_owned());
    let password = canary("the first password", system.secret("acme-admin", "password").unwrap());
    let nowhere: Vec<Canary> = gone.all().into_iter().cloned().chain([token, password]).collect();
    let outputs: Vec<Canary> = nowhere.iter().chain(kept.all()).cloned().collect();
    let (nowhere, outputs) = (Search::new(&nowhere), Search::new(&outputs));

    let exported = exported(&system, records).await;
    let mut found = Vec::new();
    let mut searched = 0;
    let mut look = |search: &Search, place: &str, bytes: &[u8]| {
        assert!(!bytes.is_empty(), "{place} is empty, so nothing was searched");
        searched += bytes.len();
        found.extend(search.find(place, bytes));
    };
    look(&outputs, "problems", sender.problems.join("\n").as_bytes());
    look(&outputs, "status", system.status().unwrap().to_string().as_bytes());
    look(&outputs, "exported audit log", &exported);
    for (place, text) in metrics(&system).await {
        look(&outputs, &place, text.as_bytes());
    }
    look(&outputs, "audit database", dump(&system, "audit-migration-url").await.as_bytes());
    let crm = dump(&system, "api-migration-url").await;
    look(&nowhere, "CRM database", crm.as_bytes());
    // The password that was made for the first account is shown once, in the terminal.
    let said = system.said().replace(&system.secret("acme-admin", "password").unwrap(), "");
    look(&outputs, "terminal", said.as_bytes());
    let logs = files(&system.data(), &|path| path.extension().is_some_and(|kind| kind == "log"));
    assert!(logs.len() >= 5, "engine, API, two migrations and PostgreSQL have logs: {}", logs.len());
    for (place, bytes) in &logs {
        look(&outputs, place, bytes);
    }
    assert!(system.logs().contains("\"level\":\"DEBUG\""), "the logs are not those of the debug level");
    // The database's own files hold the contacts, and in its write-ahead log everything that was ever written.
    let raw = files(&system.data(), &|path| !path.to_string_lossy().contains("/secrets/"));
    for (place, bytes) in raw.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        look(&nowhere, place, bytes);
    }
    assert_eq!(found, Vec::<String>::new());
    assert!(searched > 1_000_000, "only {searched} bytes were searched");
    assert!(
        !outputs.find("", crm.as_bytes()).is_empty(),
        "the search does not even find the contacts that stand in the CRM database"
    );
}

/// Contacts and their interactions: made, refused, changed, deleted.
async fn records(sender: &mut Sender, kept: &Flock) {
    let sql = format!("'); DROP TABLE contact; -- {}", kept.word.text);
    let contact = json!({ "first_name": sql, "last_name": kept.word.text, "email": kept.email.text,
        "job_title": kept.iban.text });
    let made = sender.made(sender.post("/contacts", &contact)).await;
    let path = format!("/contacts/{}", made["id"].as_str().unwrap());
    let unknown =
        json!({ "last_name": "A", "first_name": "B", "owner_id": made["id"], "job_title": kept.nir.text });
    sender.refused(422, sender.post("/contacts", &unknown)).await;
    let patch = json!({ "job_title": format!("{} {}", kept.nir.text, sql) });
    let change =
        |tag: &str| sender.request(Method::PATCH, &path).header("if-match", tag.to_owned()).json(&patch);
    let (stale, good) = (change("\"77\""), change("\"1\""));
    sender.refused(412, stale).await;
    assert_eq!(sender.send(good).await.0, StatusCode::OK);
    let note = json!({ "contact_id": made["id"], "kind": "note", "direction": "internal",
        "occurred_at": "2026-01-01T00:00:00Z", "subject": sql, "body": kept.prompt() });
    let interaction = sender.made(sender.post("/interactions", &note)).await;
    let listed = sender
        .request(Method::GET, "/contacts")
        .query(&[("q", &kept.word.text), ("email", &kept.email.text)]);
    let (status, page) = sender.send(listed).await;
    assert_eq!((status, page["data"].as_array().map(Vec::len)), (StatusCode::OK, Some(1)), "{page}");
    let interaction = format!("/interactions/{}", interaction["id"].as_str().unwrap());
    for (path, expected) in [(path, 204), (interaction, 403)] {
        let (status, body) =
            sender.send(sender.request(Method::DELETE, &path).header("if-match", "\"2\"")).await;
        assert_eq!(status.as_u16(), expected, "{path}: {body}");
    }
}

/// Prompts; answers how many were decided about.
async fn prompts(sender: &mut Sender, gone: &Flock) -> usize {
    let mut decided = 0;
    let mut actions = BTreeSet::new();
    let text = gone.prompt();
    for (prompt, use_case) in [
        (format!("Bonjour {}", gone.word.text), json!("sales-drafting")),
        (format!("IBAN {}", gone.iban.text), json!("sales-drafting")),
        (text.clone(), json!("sales-drafting")),
        (text.clone(), json!("staff-emotion-analysis")),
        (text.clone(), json!(null)),
        // An identifier that could be one, and is none.
        (text.clone(), json!(gone.word.text)),
        (text.repeat(1 + 1024 * 1024 / text.len()), json!("sales-drafting")),
    ] {
        let body = json!({ "prompt": prompt, "use_case": use_case });
        let verdict = sender.made(sender.post("/assessments", &body)).await;
        let path = format!("/assessments/{}", verdict["id"].as_str().unwrap());
        assert_eq!(sender.send(sender.request(Method::GET, &path)).await.0, StatusCode::OK);
        actions.insert(verdict["action"].as_str().unwrap().to_owned());
        decided += 1;
    }
    assert!(actions.len() >= 3, "prompts must be decided about in several ways: {actions:?}");
    for canary in gone.all() {
        let body = json!({ "prompt": text, "use_case": format!("Ab {}", canary.text) });
        sender.refused(422, sender.post("/assessments", &body)).await;
    }
    let long = json!({ "prompt": text.repeat(3 * 1024 * 1024 / text.len()), "use_case": "sales-drafting" });
    // The answer may come, and the connection end, while the client still sends.
    if let Ok(answer) = sender.post("/assessments", &long).send().await {
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        sender.problems.push(answer.text().await.unwrap_or_default());
    }
    sender.refused(400, sender.request(Method::POST, "/assessments").json(&json!({ "prompt": text }))).await;
    decided
}

/// Bodies that cannot be understood.
async fn bodies(sender: &mut Sender, gone: &Flock) {
    for value in gone.all().map(|canary| canary.text.as_str()) {
        for path in ["/contacts", "/interactions", "/organisations", "/users", "/assessments", "/auth/login"]
        {
            let malformed = [
                json!(value).to_string(),
                json!([value, value]).to_string(),
                json!({ value: value }).to_string(),
                json!({ "first_name": { value: [value] }, "prompt": [value], "subject": 7, "email": { "a": value } })
                    .to_string(),
                json!({ "kind": value, "role": value, "locale": value, "contact_id": value, "use_case": [value] })
                    .to_string(),
                format!("{{\"prompt\": \"{value}\", \"last_name\": {value}"),
                format!("{{\"prompt\": \"a\", \"prompt\": \"{value}\", \"prompt\": {value:?}}}"),
                value.to_owned(),
                String::new(),
            ];
            for body in malformed {
                let request = sender.post(path, &json!(null)).body(body);
                let (status, body) = sender.send(request).await;
                assert!([400, 422].contains(&status.as_u16()), "{path}: {status} {body}");
            }
            let mut invalid = format!("{{\"prompt\": \"{value}").into_bytes();
            invalid.extend_from_slice(b"\xff\xfe\"}");
            let (status, body) = sender.send(sender.post(path, &json!(null)).body(invalid)).await;
            assert!([400, 422].contains(&status.as_u16()), "{path}: {status} {body}");
            let form =
                sender.post(path, &json!(null)).header("content-type", format!("text/{}", alphanumeric(4)));
            let (status, _) = sender.send(form.body(value.to_owned())).await;
            assert!(status.is_client_error(), "{path}: {status}");
        }
    }
    let user = json!({ "email": gone.email.text, "display_name": "\u{7}", "role": "sales",
        "password": gone.password.text });
    sender.refused(422, sender.post("/users", &user)).await;
}

/// Paths, query parameters and headers.
async fn heads(sender: &mut Sender, gone: &Flock) {
    for value in gone.all().map(|canary| canary.text.as_str()) {
        let encoded = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
        for path in ["/contacts/", "/interactions/", "/assessments/", "/users/", "/nothing/", "/contacts/a/"]
        {
            sender.refused(404, sender.request(Method::GET, &format!("{path}{encoded}"))).await;
        }
        sender.refused(404, sender.request(Method::GET, &format!("/contacts/{encoded}/timeline"))).await;
        let method = Method::from_bytes(format!("X{}", alphanumeric(3)).as_bytes()).unwrap();
        sender.refused(405, sender.request(method, "/contacts").query(&[("q", value)])).await;
        for name in
            ["after", "limit", "sort", "count", "organisation_id", "updated_after", "do_not_contact", value]
        {
            sender.refused(400, sender.request(Method::GET, "/contacts").query(&[(name, value)])).await;
        }
        for name in [
            "traceparent",
            "tracestate",
            "accept-language",
            "user-agent",
            "referer",
            "cookie",
            "x-request-id",
            "x-forwarded-for",
            "baggage",
            "if-none-match",
        ] {
            let request = sender.request(Method::GET, "/contacts?limit=1").header(name, value);
            assert_eq!(sender.send(request).await.0, StatusCode::OK, "{name}");
        }
        let nameless = json!({ "first_name": "", "last_name": "" });
        let request = sender.post("/contacts", &nameless).header("idempotency-key", value);
        let (status, body) = sender.send(request).await;
        assert!(status.is_client_error(), "{status} {body}");
        // A key that is kept: the same one again answers from memory, with another body it is refused.
        let reply = |text: &str| {
            let key = sender.request(Method::POST, "/assessments").header("idempotency-key", value);
            key.json(&json!({ "prompt": text, "use_case": "sales-drafting" }))
        };
        let (first, again, other) = (reply("Bonjour"), reply("Bonjour"), reply(value));
        sender.made(first).await;
        sender.made(again).await;
        sender.refused(422, other).await;
    }
}

/// Who is not logged in, or pretends to be.
async fn strangers(sender: &mut Sender, gone: &Flock) {
    for value in gone.all().map(|canary| canary.text.as_str()) {
        let encoded = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
        // A token of the right form, that nobody signed.
        let head = URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256", "typ": "JWT", "kid": value }).to_string());
        let claims = URL_SAFE_NO_PAD.encode(json!({ "sub": value, "exp": 9_999_999_999_u64 }).to_string());
        let forged = format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode(value));
        for header in [
            format!("Bearer {value}"),
            format!("Basic {value}"),
            format!("Bearer {forged}"),
            value.to_owned(),
        ] {
            let request = sender.stranger(Method::GET, "/contacts").header("authorization", header);
            sender.refused(401, request).await;
        }
        let cookie = format!("__Host-novacrm_access={encoded}; __Host-novacrm_refresh={forged}");
        let request = sender.stranger(Method::GET, "/contacts").header("cookie", &cookie);
        sender.refused(401, request).await;
        let request = sender.stranger(Method::POST, "/auth/refresh").header("cookie", &cookie);
        sender.refused(401, request).await;
        let request = sender.stranger(Method::POST, "/auth/refresh").json(&json!({ "refresh_token": value }));
        sender.refused(401, request).await;
        let wrong = json!({ "email": format!("{}@exemple.fr", letters(8)), "password": value });
        sender.refused(401, sender.stranger(Method::POST, "/auth/login").json(&wrong)).await;
        let unknown = json!({ "email": value, "password": gone.password.text, value: value });
        sender.refused(422, sender.stranger(Method::POST, "/auth/login").json(&unknown)).await;
        let foreign =
            sender.stranger(Method::POST, "/auth/login").header("origin", format!("https://{encoded}.fr"));
        sender.refused(403, foreign.json(&wrong)).await;
    }
    let wrong = json!({ "email": gone.email.text, "password": gone.password.text });
    for expected in [401, 401, 401, 401, 401, 429] {
        sender.refused(expected, sender.stranger(Method::POST, "/auth/login").json(&wrong)).await;
    }
    let wrong = json!({ "email": "admin@acme.example", "password": gone.password.text });
    sender.refused(401, sender.stranger(Method::POST, "/auth/login").json(&wrong)).await;
}

/// What is no HTTP, or hardly.
fn broken_http(system: &System, sender: &mut Sender, gone: &Flock) {
    for value in gone.all().map(|canary| canary.text.as_str()) {
        for text in [
            format!("{value}\r\n\r\n"),
            format!("GET /{value} HTTP/9.9\r\nhost: {value}\r\n\r\n"),
            format!("GET /api/v1/contacts HTTP/1.1\r\nhost: a\r\n{value}\u{1}: {value}\u{0}\r\n\r\n"),
            format!("POST /api/v1/assessments HTTP/1.1\r\nhost: a\r\ncontent-length: {value}\r\n\r\n{value}"),
            format!(
                "POST /api/v1/auth/login HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{value}\r\n"
            ),
        ] {
            let mut stream = TcpStream::connect(("127.0.0.1", system.port())).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            let mut answer = Vec::new();
            // The server may as well cut the connection without a word, even before all is said.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut answer);
            sender.problems.push(String::from_utf8_lossy(&answer).into_owned());
        }
    }
}

/// The exported audit log, once it holds as many records as decisions were answered.
async fn exported(system: &System, at_least: usize) -> Vec<u8> {
    let started = Instant::now();
    let report = loop {
        let output = system.audit(&["verify", "--output", "json"]).unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() && report["pending"] == 0 && report["covered"] == report["records"] {
            break report;
        }
        assert!(started.elapsed() < PATIENCE, "the audit log is never complete: {report}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(report["records"].as_u64().unwrap() >= at_least as u64, "{report}");
    let folder = system.scratch().join("export");
    let output = system.audit(&["export", "--to", folder.to_str().unwrap()]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut all: Vec<u8> = files(&folder, &|_| true).into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert!(String::from_utf8_lossy(&all).contains("\"surface\""), "no record in the export");
    all.extend_from_slice(&output.stdout);
    all.extend_from_slice(report.to_string().as_bytes());
    all
}

/// `/metrics` of every process of ours.
async fn metrics(system: &System) -> Vec<(String, String)> {
    let admin: Value =
        serde_json::from_slice(&std::fs::read(system.data().join("admin.json")).unwrap()).unwrap();
    let mut urls = vec![("operator".to_owned(), admin["url"].as_str().unwrap().to_owned())];
    for program in ["novacrm-engine", "novacrm-api-server"] {
        let [id] = system.processes(program)[..] else { panic!("not one {program}") };
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let address = environment.split('\0').find_map(|pair| pair.strip_prefix("NOVACRM_ADMIN_LISTEN="));
        urls.push((program.to_owned(), format!("http://{}", address.unwrap())));
    }
    let mut texts = Vec::new();
    for (program, url) in urls {
        let answer = reqwest::get(format!("{url}/metrics")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{program}");
        texts.push((format!("metrics of {program}"), answer.text().await.unwrap()));
    }
    texts
}

/// Every row of every table of a database, as text.
async fn dump(system: &System, url: &str) -> String {
    let url = system.secret("novacrm-database", url).unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let tables = sqlx::query(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables \
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    );
    let tables = tables.fetch_all(&mut connection).await.unwrap();
    assert!(tables.len() > 2, "no tables");
    let mut text = String::new();
    for table in tables {
        let table: String = table.get(0);
        // Bytes are shown as hexadecimal digits, which the search knows.
        let query = format!("SELECT row_to_json(t)::text || t::text FROM {table} t");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&mut connection).await.unwrap();
        for row in rows {
            text.push_str(&row.get::<String, _>(0));
            text.push('\n');
        }
    }
    text
}

/// The files below a folder that are wanted, with what is in them.
fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<(String, Vec<u8>)> {
    let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if wanted(&path) {
            // A running database removes files of its own.
            let place = path.strip_prefix(folder).unwrap().display().to_string();
            found.extend(std::fs::read(&path).ok().map(|bytes| (place, bytes)));
        }
    }
    found
}
