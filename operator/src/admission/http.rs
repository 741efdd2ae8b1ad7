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
use novacrm_engine_core::policy::{JUDGING_LIMIT, too_slow};
use tokio::sync::Semaphore;

use super::Lookup;
use super::judge::{Case, Judgement, Kind, judge};
use super::metrics::{Metrics, Verdict};

/// Where the API server posts its requests.
pub const PATH: &str = "/validate";

/// A request holds an object and its predecessor, of 1.5 MiB each at most (etcd's limit), as JSON.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Most problems that a refusal names.
const MAX_PROBLEMS: usize = 20;
/// Longest time to compile a policy and run its tests.
const LIMIT: Duration = JUDGING_LIMIT;
/// Longest time to wait for the judgements before this one; with [`LIMIT`] below any webhook's time-out.
const QUEUE_LIMIT: Duration = Duration::from_secs(2);
/// Judgements at a time. Each keeps one core busy, for as long as [`LIMIT`] and one test of a policy.
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
        Shared { admission, judges: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    fn sound() -> Value {
        serde_yaml::from_str(include_str!("../../../engine/core/testdata/policies/sound.yaml")).unwrap()
    }

    fn create(object: &Value) -> AdmissionRequest<DynamicObject> {
        serde_json::from_value(json!({
            "uid": "1",
            "kind": { "group": GROUP, "version": "v1alpha1", "kind": "CompliancePolicy" },
            "resource": { "group": GROUP, "version": "v1alpha1", "resource": "compliancepolicies" },
            "name": "codes", "namespace": "acme", "operation": "CREATE", "userInfo": {}, "object": object,
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_refusal_names_the_first_problems_and_how_many_more_there_are() {
        let mut policy = sound();
        let rule = policy["spec"]["rules"][0].clone();
        let many: Vec<Value> = (0..30).map(|_| rule.clone()).collect();
        policy["spec"]["rules"] = many.into();
        let (verdict, response) = answer(&shared(), &create(&policy)).await;
        assert_eq!(verdict, Verdict::refused);
        assert_eq!(response.result.details.unwrap().causes.len(), MAX_PROBLEMS);
        assert!(response.result.message.ends_with(" more"), "{}", response.result.message);
        assert_eq!(response.result.message.lines().count(), MAX_PROBLEMS + 1);
    }

    #[tokio::test]
    async fn a_policy_that_takes_too_long_is_refused_and_the_next_one_is_not() {
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
        let shared = shared();
        let started = Instant::now();
        let (verdict, response) = answer(&shared, &create(&policy)).await;
        // Stopped by the judge, or no longer waited for.
        assert_ne!(verdict, Verdict::admitted, "{:?} after {:?}", response.result, started.elapsed());
        assert!(response.result.message.starts_with("spec.tests: "), "{}", response.result.message);
        assert!(response.result.message.contains("longer than 1 second"));
        let (verdict, _) = answer(&shared, &create(&sound())).await;
        assert_eq!(verdict, Verdict::admitted);
    }

    #[tokio::test]
    async fn a_body_that_is_no_review_is_told_so_without_repeating_it() {
        let response = validate(State(Arc::new(shared())), Bytes::from_static(b"{\"secret\":1}")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
}
