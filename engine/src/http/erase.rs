//! `POST /v1/subjects/erase`: references of people in; how many records can no longer be tied to them out.

use std::sync::Arc;

use axum::extract::State;
use novacrm_engine_wire::{
    EraseSubjectsRequest, EraseSubjectsResponse, MAX_ERASED_SUBJECTS, MAX_SUBJECT_BYTES,
};
use novacrm_service::problem::{Json, Problem, ProblemBody, Text};

use super::{Decider, Engine, audit_unavailable};
use crate::audit::erase;

/// Erase what ties audit records to people. A request looks at a bounded number of records; `next` says where to go on.
/// Repeating a request is harmless. The log itself does not change, and still verifies.
#[utoipa::path(post, path = "/v1/subjects/erase", request_body = EraseSubjectsRequest, responses(
    (status = 200, description = "What was erased, and where to go on", body = EraseSubjectsResponse),
    (status = 400, description = "Not JSON, or not UTF-8", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Only the tenant's API may ask", body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "A field is unknown or not valid", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "`audit_unavailable`; ask again", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn erase(
    _: Decider,
    State(engine): State<Arc<Engine>>,
    Json(request): Json<EraseSubjectsRequest>,
) -> Result<Json<EraseSubjectsResponse>, Problem> {
    if !(1..=MAX_ERASED_SUBJECTS).contains(&request.subjects.len()) {
        let count = Text::new("de 1 à 100 références", "expected 1 to 100 references");
        return Err(Problem::validation().field("/subjects", "invalid_value", count));
    }
    let bad = request.subjects.iter().position(|one| one.is_empty() || one.len() > MAX_SUBJECT_BYTES);
    if let Some(place) = bad {
        let length = Text::new("de 1 à 256 octets", "expected 1 to 256 bytes");
        return Err(Problem::validation().field(format!("/subjects/{place}"), "invalid_value", length));
    }
    let step = erase::subjects(
        &engine.reader,
        &engine.keys.commitment,
        &request.subjects,
        request.after.unwrap_or_default(),
    )
    .await
    .map_err(|error| audit_unavailable(&error))?;
    Ok(Json(EraseSubjectsResponse { erased: step.erased, next: step.next }))
}
