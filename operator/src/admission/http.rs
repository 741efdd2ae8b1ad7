//! `AdmissionReview` over HTTP in, the same with a response out.
//!
//! Callers are strangers unless their certificates are verified, so memory and time are bounded before anything of a
//! request is read: its size is known first ([`MAX_BODY_BYTES`]), then it waits for room among the bodies that are held
//! ([`BODIES`]), is read within [`RECEIVE_LIMIT`], and waits for its turn to be judged ([`JUDGES`]). Callers by address and
//! namespaces take turns, so a flood of one leaves the others their part.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use http_body_util::BodyExt as _;
use kube::core::response::{Status, StatusCause, StatusDetails, StatusSummary};
use novacrm_crds::GROUP;
use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_engine_core::policy::{JUDGING_LIMIT, too_slow};
use serde::Serialize;
use tokio::time::timeout_at;

use super::Lookup;
use super::judge::{Case, Judgement, Kind, Review, judge};
use super::metrics::{Metrics, Verdict};
use crate::turns::{Limits, Turn, Turns};

/// Where the API server posts its requests.
pub const PATH: &str = "/validate";

/// Largest request: an object and its predecessor of 1.5 MiB each, the most that etcd stores (`--max-request-bytes`,
/// default 1.5 MiB, <https://etcd.io/docs/v3.6/dev-guide/limit/>), and 0.5 MiB for who asked and how. What is larger could
/// not be stored.
const MAX_BODY_BYTES: usize = 7 * 512 * 1024;
/// Bodies are counted in units of so many bytes; the smallest counts as one.
const UNIT_BYTES: usize = 64 * 1024;
/// Bodies that are held at the same time: 16 MiB, of which one caller may have 12 MiB.
const BODIES: Limits = Limits {
    capacity: 256,
    per_group: 192,
    per_party: 192,
    waiting_per_party: 64,
    waiting_per_group: 64,
    waiting: 256,
};
/// A body of more bytes is large: of one namespace one is judged and one waits, so that they leave room for the others'.
const LARGE_BYTES: usize = 256 * 1024;
const LARGE: Limits = Limits { capacity: 64, per_party: 1, waiting_per_party: 1, ..BODIES };
/// Judgements at a time, and for one namespace. Each keeps one core busy, for as long as [`LIMIT`] and one test of a
/// policy.
const JUDGES: Limits = Limits {
    capacity: 2,
    per_group: 2,
    per_party: 1,
    waiting_per_party: 8,
    waiting_per_group: 64,
    waiting: 256,
};
/// Most problems that a refusal names.
const MAX_PROBLEMS: usize = 20;
/// Longest time to wait for room and to receive a body.
const RECEIVE_LIMIT: Duration = Duration::from_millis(1500);
/// Longest time to wait for the judgements before this one.
const QUEUE_LIMIT: Duration = Duration::from_secs(2);
/// Longest time to compile a policy and run its tests; the three together are below the chart's time-out.
const LIMIT: Duration = JUDGING_LIMIT;

/// What a request is judged with.
pub(super) struct Admission {
    pub(super) policy_namespace: String,
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) metrics: Metrics,
}

struct Shared {
    admission: Admission,
    bodies: Turns,
    large: Turns,
    judges: Turns,
}

impl Shared {
    fn new(admission: Admission) -> Self {
        Self { admission, bodies: Turns::new(BODIES), large: Turns::new(LARGE), judges: Turns::new(JUDGES) }
    }
}

/// The webhook's routes.
pub(super) fn router(admission: Admission) -> Router {
    Router::new().route(PATH, post(validate)).with_state(Arc::new(Shared::new(admission)))
}

/// A request that was received, with the room that it takes.
struct Received {
    body: Bytes,
    /// Address of the caller; empty where it is not known.
    source: String,
    _room: Turn,
}

/// Why a request was not received. None of these answers repeats anything of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unreceived {
    TooLarge,
    TooSlow,
    Crowded,
    Broken,
}

impl IntoResponse for Unreceived {
    fn into_response(self) -> Response {
        let (code, text) = match self {
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than any AdmissionReview\n")
            }
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n"),
            Self::Crowded => {
                (StatusCode::SERVICE_UNAVAILABLE, "too many requests are under way; try again\n")
            }
            Self::Broken => (StatusCode::BAD_REQUEST, "the body broke off\n"),
        };
        (code, text).into_response()
    }
}

async fn validate(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let started = Instant::now();
    match receive(&shared, request).await {
        Ok(received) => review(&shared, received, started).await,
        Err(unreceived) => {
            shared.admission.metrics.unreceived();
            unreceived.into_response()
        }
    }
}

/// Waits for room for a request's body, then reads it.
async fn receive(shared: &Shared, request: Request) -> Result<Received, Unreceived> {
    let deadline = tokio::time::Instant::now() + RECEIVE_LIMIT;
    let most = announced(request.headers())?;
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let source = address.map(|info| info.0.ip().to_canonical().to_string()).unwrap_or_default();
    let party = (source.clone(), String::new());
    let room = timeout_at(deadline, shared.bodies.turn(&party, most.div_ceil(UNIT_BYTES)));
    let room = room.await.map_err(|_| Unreceived::Crowded)?.map_err(|_| Unreceived::Crowded)?;
    let body = timeout_at(deadline, read(request.into_body(), most));
    let body = body.await.map_err(|_| Unreceived::TooSlow)??;
    Ok(Received { body, source, _room: room })
}

/// How many bytes a body has at most.
fn announced(headers: &HeaderMap) -> Result<usize, Unreceived> {
    let Some(length) = headers.get(header::CONTENT_LENGTH) else { return Ok(MAX_BODY_BYTES) };
    let length = length.to_str().ok().and_then(|text| text.parse::<usize>().ok());
    length.filter(|length| *length <= MAX_BODY_BYTES).ok_or(Unreceived::TooLarge)
}

/// Reads a body into one piece of memory.
async fn read(mut body: Body, most: usize) -> Result<Bytes, Unreceived> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unreceived::Broken)?.into_data() else { continue };
        let length = bytes.len().saturating_add(data.len());
        if length > most {
            return Err(Unreceived::TooLarge);
        }
        if length > bytes.capacity() {
            // Not more than was announced, which is what there is room for.
            let wanted = length.max(bytes.capacity().saturating_mul(2)).min(most);
            bytes.reserve_exact(wanted.saturating_sub(bytes.len()));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

async fn review(shared: &Shared, received: Received, started: Instant) -> Response {
    let case = Case::of(&received.body);
    let Some(case) = case else {
        // What stands there may be anything; no word of it is repeated.
        return (StatusCode::BAD_REQUEST, "the body is no AdmissionReview with a request\n").into_response();
    };
    let (verdict, answer) = answer(shared, &case, received).await;
    shared.admission.metrics.admission(case.kind, &case.operation, verdict, started.elapsed());
    let review = Review::answer(&answer);
    Json(review).into_response()
}

/// What is answered to one request (`admission.k8s.io/v1`, `AdmissionResponse`).
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    uid: String,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

async fn answer(shared: &Shared, case: &Case, received: Received) -> (Verdict, Answer) {
    let mut answer = Answer { uid: case.uid.clone(), allowed: true, status: None, warnings: Vec::new() };
    if !case.may_be_judged() {
        return (Verdict::admitted, answer);
    }
    let (verdict, refused) = match in_time(shared, case, received).await {
        Ok(Judgement { problems, warnings }) => {
            answer.warnings = warnings;
            if problems.is_empty() {
                return (Verdict::admitted, answer);
            }
            (Verdict::refused, refusal(case, &problems))
        }
        Err(Unjudged::Slow) => (Verdict::failed, refusal(case, &[too_slow()])),
        Err(Unjudged::Busy) => (
            Verdict::failed,
            unavailable("the operator is judging other policies", 503, "ServiceUnavailable"),
        ),
        Err(Unjudged::Broken) => {
            (Verdict::failed, unavailable("the operator failed to judge this object", 500, "InternalError"))
        }
    };
    answer.allowed = false;
    answer.status = Some(refused);
    (verdict, answer)
}

/// Why there is no judgement.
enum Unjudged {
    Slow,
    Busy,
    Broken,
}

async fn in_time(shared: &Shared, case: &Case, received: Received) -> Result<Judgement, Unjudged> {
    let deadline = tokio::time::Instant::now() + QUEUE_LIMIT;
    let party = (received.source.clone(), case.namespace.clone());
    let turn = async |turns: &Turns| {
        let turn = timeout_at(deadline, turns.turn(&party, 1)).await;
        turn.map_err(|_| Unjudged::Busy)?.map_err(|_| Unjudged::Busy)
    };
    let large = match received.body.len() > LARGE_BYTES {
        true => Some(turn(&shared.large).await?),
        false => None,
    };
    let permit = turn(&shared.judges).await?;
    let lookup = Arc::clone(&shared.admission.lookup);
    let policy_namespace = shared.admission.policy_namespace.clone();
    let judging = tokio::task::spawn_blocking(move || {
        let judgement = judge(&received.body, &policy_namespace, lookup.as_ref());
        // Kept to the end even when nobody waits any more.
        drop((permit, large, received));
        judgement
    });
    match tokio::time::timeout(LIMIT, judging).await {
        Ok(Ok(judgement)) => Ok(judgement),
        Ok(Err(_)) => {
            tracing::error!("a judgement panicked");
            Err(Unjudged::Broken)
        }
        Err(_) => Err(Unjudged::Slow),
    }
}

fn unavailable(message: &str, code: u16, reason: &str) -> Status {
    Status::failure(&format!("{message}; try again"), reason).with_code(code)
}

/// The first problems, each with field, message and mend; never a value.
fn refusal(case: &Case, problems: &[PolicyProblem]) -> Status {
    let named = problems.iter().take(MAX_PROBLEMS);
    let lines: Vec<String> =
        named.clone().map(|one| format!("{}: {}. {}", one.path, one.message, one.hint)).collect();
    let mut message = lines.join("\n");
    if let Some(more) = problems.len().checked_sub(MAX_PROBLEMS).filter(|more| *more > 0) {
        message.push_str(&format!("\nand {more} more"));
    }
    let causes = named.map(|one| StatusCause {
        reason: "FieldValueInvalid".to_owned(),
        message: format!("{}. {}", one.message, one.hint),
        field: one.path.clone(),
    });
    Status {
        status: Some(StatusSummary::Failure),
        code: 422,
        message,
        reason: "Invalid".to_owned(),
        metadata: None,
        details: Some(StatusDetails {
            name: case.name.clone(),
            group: GROUP.to_owned(),
            kind: case.kind.map_or("", Kind::name).to_owned(),
            uid: String::new(),
            causes: causes.collect(),
            retry_after_seconds: 0,
        }),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use serde_json::{Value, json};

    use super::*;

    struct Everything;

    impl Lookup for Everything {
        fn has_database_server(&self, _: &str) -> bool {
            true
        }

        fn tenants_in(&self, _: &str) -> Vec<String> {
            Vec::new()
        }
    }

    fn shared() -> Shared {
        let admission = Admission {
            policy_namespace: "novacrm-policies".to_owned(),
            lookup: Arc::new(Everything),
            metrics: Metrics::register(&mut Registry::default()),
        };
        Shared::new(admission)
    }

    fn sound() -> Value {
        serde_yaml::from_str(include_str!("../../../engine/core/testdata/policies/sound.yaml")).unwrap()
    }

    fn create(namespace: &str, object: &Value) -> Request {
        let review = json!({ "request": {
            "uid": "1",
            "kind": { "group": GROUP, "version": "v1alpha1", "kind": "CompliancePolicy" },
            "resource": { "group": GROUP, "version": "v1alpha1", "resource": "compliancepolicies" },
            "name": "codes", "namespace": namespace, "operation": "CREATE", "userInfo": {}, "object": object,
        }});
        Request::new(review.to_string().into())
    }

    /// Code, message and number of causes of the answer; the code of one that admits is 0.
    async fn said(shared: &Arc<Shared>, request: Request) -> (u16, String, usize) {
        let response = validate(State(shared.clone()), request).await;
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let review: Value = serde_json::from_slice(&body).unwrap();
        let answer = &review["response"];
        assert_eq!(answer["uid"], "1");
        let status = &answer["status"];
        assert_eq!(answer["allowed"], status.is_null());
        let code = status["code"].as_u64().unwrap_or_default().try_into().unwrap();
        let causes = status["details"]["causes"].as_array().map_or(0, Vec::len);
        (code, status["message"].as_str().unwrap_or_default().to_owned(), causes)
    }

    #[tokio::test]
    async fn a_refusal_names_the_first_problems_and_how_many_more_there_are() {
        let mut policy = sound();
        let rule = policy["spec"]["rules"][0].clone();
        let many: Vec<Value> = (0..30).map(|_| rule.clone()).collect();
        policy["spec"]["rules"] = many.into();
        let (code, message, causes) = said(&Arc::new(shared()), create("acme", &policy)).await;
        assert_eq!((code, causes), (422, MAX_PROBLEMS));
        assert!(message.ends_with(" more"), "{message}");
        assert_eq!(message.lines().count(), MAX_PROBLEMS + 1);
    }

    /// A policy whose own tests take longer than a judgement may.
    fn slow() -> Value {
        let mut policy = sound();
        // Each expression has to be followed letter by letter through all of every text.
        let custom = |index: usize| {
            json!({ "id": format!("custom.slow-{index}"), "type": "SLOW", "description": { "fr": "a", "en": "b" },
                    "pattern": r"\b(\w+[-é])+\d{9}\b", "score": 0.9 })
        };
        let detectors = policy["spec"]["customDetectors"].as_array_mut().unwrap();
        detectors.extend((0..8).map(custom));
        let tests = policy["spec"]["tests"].as_array_mut().unwrap();
        let text = "évé-né-".repeat(580);
        tests.extend((0..500).map(|index| {
            json!({ "name": format!("long {index}"), "given": { "text": text }, "expect": { "action": "allow" } })
        }));
        policy
    }

    #[tokio::test]
    async fn a_policy_that_takes_too_long_is_refused_and_the_next_one_is_not() {
        let shared = Arc::new(shared());
        let (code, message, _) = said(&shared, create("acme", &slow())).await;
        // Stopped by the judge, or no longer waited for.
        assert_eq!(code, 422);
        assert!(message.starts_with("spec.tests: "), "{message}");
        assert!(message.contains("longer than 1 second"));
        assert_eq!(said(&shared, create("globex", &sound())).await.0, 0);
        // Of its own namespace, one is judged at a time.
        while said(&shared, create("acme", &sound())).await.0 == 503 {}
        assert_eq!(said(&shared, create("acme", &sound())).await.0, 0);
    }

    #[tokio::test]
    async fn a_namespace_that_floods_turns_itself_away_and_nobody_else() {
        let shared = Arc::new(shared());
        // Warm, so that the time below is that of the policies.
        assert_eq!(said(&shared, create("acme", &sound())).await.0, 0);
        let flood: Vec<_> = (0..40)
            .map(|_| {
                let shared = shared.clone();
                tokio::spawn(async move { said(&shared, create("loud", &slow())).await.0 })
            })
            .collect();
        // All that may wait do.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(said(&shared, create("quiet", &sound())).await.0, 0, "it has a turn of its own");
        let codes: Vec<u16> =
            futures::future::join_all(flood).await.into_iter().map(Result::unwrap).collect();
        assert!(codes.iter().all(|code| [422, 503].contains(code)), "{codes:?}");
        assert!(codes.contains(&503), "what could not be judged in time was refused: {codes:?}");
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_too_slow_or_broken_off_is_refused_before_it_is_held() {
        let shared = Arc::new(shared());
        let code = async |request: Request| validate(State(shared.clone()), request).await.status();
        let mut large = Request::new(Body::empty());
        large.headers_mut().insert(header::CONTENT_LENGTH, (MAX_BODY_BYTES + 1).into());
        assert_eq!(code(large).await, StatusCode::PAYLOAD_TOO_LARGE);
        let unannounced = Request::new(Body::from_stream(futures::stream::repeat_with(|| {
            Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b' '; 64 * 1024]))
        })));
        assert_eq!(code(unannounced).await, StatusCode::PAYLOAD_TOO_LARGE);
        let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::convert::Infallible>>());
        assert_eq!(code(Request::new(never)).await, StatusCode::REQUEST_TIMEOUT);
        let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]);
        assert_eq!(code(Request::new(Body::from_stream(broken))).await, StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn a_body_that_is_no_review_is_told_so_without_repeating_it() {
        let request = Request::new(Body::from("{\"secret\":1}"));
        let response = validate(State(Arc::new(shared())), request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
}
