//! A recogniser outside of the engine: a real HTTP server that answers what each test wants.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use novacrm_engine::audit::MIGRATIONS;
use novacrm_engine::recogniser::{Api, FailureMode, RecogniserError, Settings};
use novacrm_engine_core::bundle::Bundle;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::fixture::{Tenant, bundle};
use crate::tokens::{left, records, stream};

/// Somebody of whom no built-in detector knows.
const NAME: &str = "Zqxw";

/// A server with the requests it was sent.
struct Service {
    url: String,
    asked: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    /// The most requests that were with it at a time.
    most: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    /// Answers every request alike, after a while.
    async fn answering(status: u16, answer: impl Into<String>, after: Duration) -> Self {
        let answer = answer.into();
        Self::of(move |_| (status, answer.clone()), after).await
    }

    async fn of(
        answer: impl Fn(&Value) -> (u16, String) + Clone + Send + Sync + 'static,
        after: Duration,
    ) -> Self {
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen, highest) = (Arc::clone(&asked), Arc::clone(&most));
        let handler = async move |headers: HeaderMap, body: Bytes| {
            highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let question: Value = serde_json::from_slice(&body).unwrap();
            let (status, answer) = answer(&question);
            seen.lock().unwrap().push((headers, question));
            tokio::time::sleep(after).await;
            now.fetch_sub(1, Ordering::SeqCst);
            (StatusCode::from_u16(status).unwrap(), answer)
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/analyze", listener.local_addr().unwrap());
        let app = Router::new().route("/analyze", post(handler));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, asked, most, task }
    }

    /// Sees the name wherever it stands.
    async fn seeing() -> Self {
        Self::of(|question| (200, seen(question["text"].as_str().unwrap()).to_string()), Duration::ZERO).await
    }

    fn asked(&self) -> Vec<(HeaderMap, Value)> {
        self.asked.lock().unwrap().clone()
    }

    fn settings(&self, failure_mode: FailureMode) -> Settings {
        settings(&self.url, failure_mode)
    }
}

fn seen(text: &str) -> Value {
    let code_points: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    text.match_indices(NAME)
        .map(|(at, _)| {
            let start = code_points.binary_search(&at).unwrap();
            json!({"entity_type": "PERSON", "start": start, "end": start + NAME.len(), "score": 0.85,
                   "analysis_explanation": null, "recognition_metadata": {"recognizer_name": "x"}})
        })
        .collect()
}

fn settings(url: &str, failure_mode: FailureMode) -> Settings {
    Settings {
        name: "ner".to_owned(),
        url: url.parse().unwrap(),
        api: Api::Presidio,
        model: String::new(),
        key: None,
        types: vec!["PERSON".to_owned(), "GPE=LOCATION".to_owned()],
        languages: vec!["fr".to_owned()],
        time_out: Duration::from_secs(10),
        max_bytes: 1 << 16,
        max_calls: 8,
        failure_mode,
        local: true,
    }
}

/// A rule that finds `CANARY-…` and what comes from outside, and redacts it.
fn asking(selector: &str) -> Bundle {
    let mut bundle = bundle(1, "redact", "1.0.0");
    let mut policy = serde_json::to_value(&bundle.policies[0]).unwrap();
    policy["detectors"] = json!([{"id": selector, "minScore": 0.5}]);
    policy["rules"][0]["when"]["any"][0]["all"][0]["finding"]["detectors"] =
        json!(["custom.canary", selector]);
    bundle.policies[0] = serde_json::from_value(policy).unwrap();
    bundle
}

fn prompt() -> Value {
    json!({"text": format!("é pour {NAME}.")})
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn what_an_analyzer_sees_is_decided_on_and_recorded_without_its_value(pool: PgPool) {
    let service = Service::seeing().await;
    let tenant = Tenant::new(pool);
    let mut settings = service.settings(FailureMode::Closed);
    settings.key = Some("a key".to_owned().into());
    let engine = tenant.asking_engine(&asking("external.*"), settings).await;
    let (status, answer) = engine.analyze(&prompt()).await;
    assert_eq!((status, &answer["output"]), (200, &json!("é pour [PERSON].")), "{answer}");
    let found = &answer["findings"][0];
    assert_eq!((&found["type"], &found["detector"]), (&json!("PERSON"), &json!("external.ner.person")));
    assert_eq!((&found["start"], &found["end"], &found["score"]), (&json!(7), &json!(11), &json!(0.85)));
    assert!(answer.get("unheard").is_none());
    let asked = service.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].1, json!({"text": format!("é pour {NAME}."), "language": "fr"}));
    assert_eq!(asked[0].0["authorization"], "Bearer a key");
    let record = &records(&tenant).await[0];
    assert_eq!(record["decision"]["findings"][0]["detector"], "external.ner.person");
    let metrics = engine.probe("/metrics").await.1;
    assert!(metrics.contains("engine_recogniser_calls_total{outcome=\"answered\"} 1"), "{metrics}");
    assert!(metrics.contains("engine_recogniser_entities_total{fate=\"taken\"} 1"), "{metrics}");
    for told in [record.to_string(), metrics, answer.to_string()] {
        assert!(!told.contains(NAME), "{told}");
    }
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_model_is_told_what_to_find_and_its_quotes_are_found(pool: PgPool) {
    let content = json!({"entities": [
        {"entity_type": "person", "text": NAME, "start": 0, "end": 4, "score": 0.9},
        {"entity_type": "GPE", "text": "pour"},
        {"entity_type": "PERSON", "text": "nobody who is there"},
    ]});
    let answer = json!({"choices": [{"message": {"content": content.to_string()}}]}).to_string();
    let service = Service::answering(200, answer, Duration::ZERO).await;
    let tenant = Tenant::new(pool);
    let mut settings = service.settings(FailureMode::Closed);
    settings.api = Api::Chat;
    settings.model = "small".to_owned();
    let engine = tenant.asking_engine(&asking("external.ner.*"), settings).await;
    let (_, answer) = engine.analyze(&prompt()).await;
    assert_eq!(answer["output"], "é [LOCATION] [PERSON].", "{answer}");
    let question = &service.asked()[0].1;
    assert_eq!((&question["model"], &question["temperature"]), (&json!("small"), &json!(0)));
    let messages = question["messages"].as_array().unwrap();
    assert!(messages[0]["content"].as_str().unwrap().contains("PERSON, GPE"));
    assert_eq!(messages[1]["content"], format!("é pour {NAME}."));
    let metrics = engine.probe("/metrics").await.1;
    assert!(metrics.contains("engine_recogniser_entities_total{fate=\"no_place\"} 1"), "{metrics}");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_text_is_sent_only_where_a_policy_uses_it(pool: PgPool) {
    let service = Service::seeing().await;
    let tenant = Tenant::new(pool);
    let mut bundle = asking("external.ner.person");
    bundle.policies[0].surfaces = serde_json::from_value(json!(["crm.note"])).unwrap();
    let engine = tenant.asking_engine(&bundle, service.settings(FailureMode::Closed)).await;
    assert_eq!(engine.analyze(&prompt()).await.1["action"], "allow");
    assert_eq!(engine.analyze(&json!({"text": "", "surface": "crm.note"})).await.1["action"], "allow");
    // What is too long to be inspected is for the failure mode of the policies, and stays here.
    let long = json!({"text": "x ".repeat(600_000), "surface": "crm.note"});
    assert_eq!(engine.analyze(&long).await.1["uninspected"], "too_large");
    assert_eq!(service.asked().len(), 0);
    let note = json!({"text": NAME, "surface": "crm.note"});
    assert_eq!(engine.analyze(&note).await.1["output"], "[PERSON]");
    assert_eq!(service.asked().len(), 1);
}

/// What can go wrong, and what it is called.
async fn failures() -> Vec<(Option<Service>, Settings, &'static str)> {
    let none = Duration::ZERO;
    let closed_port = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let mut failures = vec![(None, settings(&closed_port, FailureMode::Open), "unavailable")];
    for (status, answer, after, why) in [
        (500, String::new(), none, "unavailable"),
        (302, String::new(), none, "unavailable"),
        (200, format!("{NAME} is no list"), none, "unreadable"),
        (200, format!("[{}]", " ".repeat(2 << 20)), none, "unreadable"),
        (200, seen(&NAME.repeat(1001)).to_string(), none, "unreadable"),
        (200, "[]".to_owned(), Duration::from_secs(60), "time_out"),
    ] {
        let service = Service::answering(status, answer, after).await;
        let mut settings = service.settings(FailureMode::Open);
        if why == "time_out" {
            settings.time_out = Duration::from_millis(200);
        }
        failures.push((Some(service), settings, why));
    }
    let service = Service::seeing().await;
    let settings = Settings { max_bytes: 10, ..service.settings(FailureMode::Open) };
    failures.push((Some(service), settings, "too_large"));
    failures
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn open_goes_on_without_and_says_so(pool: PgPool) {
    let tenant = Tenant::new(pool);
    for (_service, settings, why) in failures().await {
        let engine = tenant.asking_engine(&asking("external.*"), settings).await;
        let (status, answer) = engine.analyze(&prompt()).await;
        assert_eq!((status, &answer["action"], &answer["unheard"]), (200, &json!("allow"), &json!(why)));
        assert_eq!(records(&tenant).await.last().unwrap()["decision"]["unheard"], why);
        let metrics = engine.probe("/metrics").await.1;
        assert!(
            metrics.contains(&format!("engine_recogniser_calls_total{{outcome=\"{why}\"}} 1")),
            "{metrics}"
        );
        engine.stop().await;
    }
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn closed_refuses_and_decides_nothing(pool: PgPool) {
    let tenant = Tenant::new(pool);
    for (_service, settings, why) in failures().await {
        let settings = Settings { failure_mode: FailureMode::Closed, ..settings };
        let engine = tenant.asking_engine(&asking("external.*"), settings).await;
        let (status, problem) = engine.analyze(&prompt()).await;
        let (wanted, code) = match why {
            "too_large" => (413, "recogniser_too_large"),
            _ => (503, "recogniser_unavailable"),
        };
        assert_eq!((status, &problem["code"], &problem["reason"]), (wanted, &json!(code), &json!(why)));
        assert!(!problem.to_string().contains(NAME));
        let (_, lines) = stream(&engine, &json!({}), &[&format!("{NAME} {}", "mot ".repeat(10))]).await;
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["problem"]["code"], code, "{lines:?}");
        engine.stop().await;
    }
    assert!(records(&tenant).await.is_empty());
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn no_more_texts_than_may_be_are_with_it_at_a_time(pool: PgPool) {
    let service = Service::answering(200, "[]", Duration::from_millis(50)).await;
    let tenant = Tenant::new(pool);
    let settings = Settings { max_calls: 2, ..service.settings(FailureMode::Closed) };
    let engine = tenant.asking_engine(&asking("external.*"), settings).await;
    let requests = (0..12).map(|_| async { engine.analyze(&prompt()).await.0 });
    assert_eq!(futures::future::join_all(requests).await, [200; 12]);
    assert_eq!((service.asked().len(), service.most.load(Ordering::SeqCst)), (12, 2));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn who_waits_too_long_for_a_turn_is_told_so(pool: PgPool) {
    let service = Service::answering(200, "[]", Duration::from_secs(60)).await;
    let tenant = Tenant::new(pool);
    let time_out = Duration::from_secs(3);
    let settings = Settings { max_calls: 1, time_out, ..service.settings(FailureMode::Open) };
    let engine = tenant.asking_engine(&asking("external.*"), settings).await;
    let requests = (0..2).map(|_| async { engine.analyze(&prompt()).await.1["unheard"].clone() });
    let mut told = futures::future::join_all(requests).await;
    told.sort_by_key(Value::to_string);
    assert_eq!(told, ["busy", "time_out"]);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_text_that_comes_in_pieces_is_seen_as_well(pool: PgPool) {
    let service = Service::seeing().await;
    let tenant = Tenant::new(pool);
    let engine = tenant.asking_engine(&asking("external.*"), service.settings(FailureMode::Closed)).await;
    let filler = "mot ".repeat(400);
    let (_, lines) = stream(&engine, &json!({}), &[&filler, "et ", "Zq", "xw ", &filler]).await;
    let (out, last) = left(&lines);
    assert_eq!(out, format!("{filler}et [PERSON] {filler}"));
    assert_eq!(last["end"]["findings"][0]["detector"], "external.ner.person");
    assert!(service.asked().len() > 1);
}

/// A service may be wrong in any way, and a text may bring it to say anything.
#[sqlx::test(migrator = "MIGRATIONS")]
async fn what_it_says_beyond_its_types_and_the_text_reaches_nothing(pool: PgPool) {
    let answer = json!([
        {"entity_type": NAME, "start": 7, "end": 11, "score": 1.0},
        {"entity_type": "PERSON", "start": 7, "end": 4000, "score": 1.0},
        {"entity_type": "PERSON", "start": 11, "end": 7, "score": 1.0},
        {"entity_type": "PERSON", "start": 7, "end": 11, "score": 1e300},
    ]);
    let service = Service::answering(200, answer.to_string(), Duration::ZERO).await;
    let tenant = Tenant::new(pool);
    let engine = tenant.asking_engine(&asking("external.*"), service.settings(FailureMode::Closed)).await;
    let (_, answer) = engine.analyze(&prompt()).await;
    assert_eq!(answer["findings"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(answer["findings"][0]["score"], 1.0);
    let metrics = engine.probe("/metrics").await.1;
    for (fate, count) in [("taken", 1), ("other_type", 1), ("no_place", 2)] {
        let line = format!("engine_recogniser_entities_total{{fate=\"{fate}\"}} {count}");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert!(!metrics.contains(NAME));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn an_engine_without_the_recogniser_that_a_policy_names_says_so(pool: PgPool) {
    let tenant = Tenant::new(pool);
    let engine = tenant.ready_engine(&asking("external.ner.*")).await;
    let (status, answer) = engine.analyze(&prompt()).await;
    assert_eq!((status, &answer["unheard"]), (200, &json!("not_configured")));
    engine.stop().await;
    let service = Service::seeing().await;
    let other = asking("external.other.person");
    let engine = tenant.asking_engine(&other, service.settings(FailureMode::Closed)).await;
    assert_eq!(engine.analyze(&prompt()).await.1["unheard"], "not_configured");
    assert_eq!(service.asked().len(), 0);
}

#[tokio::test]
async fn settings_that_nobody_can_be_asked_by_are_refused() {
    novacrm_service::tls::install_provider();
    let refused = |change: fn(&mut Settings)| {
        let mut settings = settings("http://localhost/analyze", FailureMode::Closed);
        change(&mut settings);
        let registry = &mut prometheus_client::registry::Registry::default();
        novacrm_engine::recogniser::Recogniser::new(settings, registry).map(drop)
    };
    assert!(refused(|_| {}).is_ok());
    assert!(matches!(refused(|s| s.name = "NER".to_owned()), Err(RecogniserError::Detector(_))));
    assert!(matches!(
        refused(|s| s.types = vec!["Anne Martin".to_owned()]),
        Err(RecogniserError::Detector(_))
    ));
    assert!(matches!(refused(|s| s.types.clear()), Err(RecogniserError::None("type"))));
    assert!(matches!(refused(|s| s.languages.clear()), Err(RecogniserError::None("language"))));
    assert!(matches!(refused(|s| s.max_calls = 0), Err(RecogniserError::None(_))));
    assert!(matches!(refused(|s| s.api = Api::Chat), Err(RecogniserError::Model)));
    for url in ["ftp://localhost/", "http://user:secret@localhost/"] {
        let mut settings = settings("http://localhost/", FailureMode::Closed);
        settings.url = url.parse().unwrap();
        let registry = &mut prometheus_client::registry::Registry::default();
        let error = novacrm_engine::recogniser::Recogniser::new(settings, registry).unwrap_err();
        assert!(matches!(error, RecogniserError::Address));
        assert!(!error.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn an_address_of_this_machine_or_of_a_metadata_service_is_refused_in_a_pod() {
    novacrm_service::tls::install_provider();
    for url in [
        "http://localhost/analyze",
        "http://127.0.0.1:3000/",
        "http://2130706433/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/",
        "https://kubernetes.default.svc/api",
        // In clear, and not to a private network.
        "http://93.184.216.34/",
    ] {
        let settings = Settings { local: false, ..settings(url, FailureMode::Open) };
        let registry = &mut prometheus_client::registry::Registry::default();
        let error = novacrm_engine::recogniser::Recogniser::new(settings, registry).unwrap_err();
        assert!(matches!(error, RecogniserError::Refused(_)), "{url}: {error}");
    }
}
