//! `AdmissionReview` over HTTP in, the same with a response out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use kube::core::response::{Status, StatusCause, StatusDetails};
use kube::core::{DynamicObject, response::StatusSummary};
use novacrm_crds::GROUP;
use novacrm_crds::compliance_policy::PolicyProblem;
use tokio::sync::Semaphore;

use super::Lookup;
use super::judge::{Case, Judgement, Kind, judge};
use super::metrics::{Metrics, Verdict};
use crate::problem;

/// Where the API server posts its requests.
pub const PATH: &str = "/validate";

/// A request holds an object and its predecessor, of 1.5 MiB each at most (etcd's limit), as JSON.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Most problems that a refusal names.
const MAX_PROBLEMS: usize = 20;
/// Longest time to compile a policy and run its tests.
const LIMIT: Duration = Duration::from_secs(1);
/// Longest time to wait for the judgements before this one; with [`LIMIT`] below any webhook's time-out.
const QUEUE_LIMIT: Duration = Duration::from_secs(2);
/// Judgements at a time. Each keeps one core busy, and one that takes too long cannot be stopped.
const AT_ONCE: usize = 2;

/// What a request is judged with.
pub(super) struct Admission {
    pub(super) policy_namespace: String,
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) metrics: Metrics,
}

struct Shared {
    admission: Admission,
    judges: Arc<Semaphore>,
}

/// The webhook's routes.
pub(super) fn router(admission: Admission) -> Router {
    let shared = Shared { admission, judges: Arc::new(Semaphore::new(AT_ONCE)) };
    Router::new()
        .route(PATH, post(validate))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::new(shared))
}

async fn validate(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let started = Instant::now();
    let review: Option<AdmissionReview<DynamicObject>> = serde_json::from_slice(&body).ok();
    let Some(request) = review.and_then(|review| review.try_into().ok()) else {
        // What stands there may be anything; no word of it is repeated.
        return (StatusCode::BAD_REQUEST, "the body is no AdmissionReview with a request\n").into_response();
    };
    let (verdict, response) = answer(&shared, &request).await;
    let kind = Kind::of(&request);
    shared.admission.metrics.admission(kind, &request.operation, verdict, started.elapsed());
    Json(response.into_review()).into_response()
}

async fn answer(shared: &Shared, request: &AdmissionRequest<DynamicObject>) -> (Verdict, AdmissionResponse) {
    let mut response = AdmissionResponse::from(request);
    let Some(case) = Case::of(request) else { return (Verdict::admitted, response) };
    match in_time(shared, case).await {
        Ok(Judgement { problems, warnings }) => {
            response.warnings = (!warnings.is_empty()).then_some(warnings);
            if problems.is_empty() {
                return (Verdict::admitted, response);
            }
            response.allowed = false;
            response.result = refusal(request, &problems);
            (Verdict::refused, response)
        }
        Err(Unjudged::Slow) => {
            response.allowed = false;
            response.result = refusal(request, &[too_slow()]);
            (Verdict::failed, response)
        }
        Err(Unjudged::Busy) => {
            response.allowed = false;
            response.result =
                unavailable("the operator is judging other policies", 503, "ServiceUnavailable");
            (Verdict::failed, response)
        }
        Err(Unjudged::Broken) => {
            response.allowed = false;
            response.result = unavailable("the operator failed to judge this object", 500, "InternalError");
            (Verdict::failed, response)
        }
    }
}

/// Why there is no judgement.
enum Unjudged {
    Slow,
    Busy,
    Broken,
}

async fn in_time(shared: &Shared, case: Case) -> Result<Judgement, Unjudged> {
    let turn = tokio::time::timeout(QUEUE_LIMIT, Arc::clone(&shared.judges).acquire_owned());
    let permit = turn.await.map_err(|_| Unjudged::Busy)?.map_err(|_| Unjudged::Broken)?;
    let lookup = Arc::clone(&shared.admission.lookup);
    let policy_namespace = shared.admission.policy_namespace.clone();
    let judging = tokio::task::spawn_blocking(move || {
        let judgement = judge(case, &policy_namespace, lookup.as_ref());
        // Kept to the end even when nobody waits any more.
        drop(permit);
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

fn too_slow() -> PolicyProblem {
    problem(
        "spec.tests",
        "compiling the policy and running its tests takes longer than 1 second",
        "Use fewer or shorter tests and simpler patterns, or split the policy.",
    )
}

fn unavailable(message: &str, code: u16, reason: &str) -> Status {
    Status::failure(&format!("{message}; try again"), reason).with_code(code)
}

/// The first problems, each with field, message and mend; never a value.
fn refusal(request: &AdmissionRequest<DynamicObject>, problems: &[PolicyProblem]) -> Status {
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
            name: request.name.clone(),
            group: GROUP.to_owned(),
            kind: request.kind.kind.clone(),
            uid: String::new(),
            causes: causes.collect(),
            retry_after_seconds: 0,
        }),
    }
}
