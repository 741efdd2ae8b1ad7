//! `POST /v1/restore`: a text with tokens in; the text with what they stand for out, after its record is durable.

use std::sync::Arc;

use axum::extract::State;
use novacrm_engine_core::transform::{MAX_LISTED_BYTES, Restorer};
use novacrm_engine_wire::{
    AnalyzeRequest, ListedToken, MAX_LISTED_TOKENS, MAX_TEXT_BYTES, RestoreRequest, RestoreResponse, Surface,
};
use novacrm_service::problem::{Json, Problem, ProblemBody, Text};
use time::OffsetDateTime;
use uuid::Uuid;

use super::analyze::{internal, not_behind, validate};
use super::{Decider, Engine, audit_unavailable, convert, record};
use crate::audit::append::NewRecord;

/// Restore the tokens in a text. What was restored is recorded durably before it is answered.
#[utoipa::path(post, path = "/v1/restore", request_body = RestoreRequest, responses(
    (status = 200, description = "The text, restored", body = RestoreResponse),
    (status = 400, description = "Not JSON, or not UTF-8", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Only the tenant's API may ask", body = ProblemBody, content_type = "application/problem+json"),
    (status = 408, description = "The body comes too slowly", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "`bundle_behind`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, description = "The text is longer than 1 MiB, or the body than 8 MiB", body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "A field is unknown or not valid", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "`audit_unavailable`, `no_bundle` or `overloaded`; nothing was restored", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn restore(
    _: Decider,
    State(engine): State<Arc<Engine>>,
    Json(request): Json<RestoreRequest>,
) -> Result<Json<RestoreResponse>, Problem> {
    let RestoreRequest { text, document, tokens, minimum_sequence, .. } = request;
    let asked = AnalyzeRequest {
        text: String::new(),
        surface: Surface::PromptOutput,
        use_case: request.use_case,
        purpose: request.purpose,
        actor: request.actor,
        subject: request.subject,
        locale: request.locale,
        document,
        request_id: None,
        minimum_sequence,
    };
    validate(&asked)?;
    validate_listed(&tokens)?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(Problem::too_large());
    }
    let in_force = engine.in_force()?;
    not_behind(minimum_sequence, &in_force)?;
    let restored_at = OffsetDateTime::now_utc();
    let text_length = text.chars().count();
    let restoring = {
        let permit = engine.inspections.turn(text.len()).await.ok_or_else(Problem::internal)?;
        let keys = Arc::clone(&engine.keys);
        let document = asked.document.clone().unwrap_or_default();
        let listed: Vec<_> = tokens.iter().map(convert::unlisted).collect();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut restorer = Restorer::new(keys.decision.token.tokens(&document), &listed);
            let restored = restorer.push(&text) + &restorer.finish();
            (restored, restorer.restored().clone())
        })
    };
    let (text, restored) = restoring.await.map_err(internal)?;

    let id = Uuid::now_v7();
    let head = record::Head {
        id,
        recorded_at: restored_at,
        tenant: &engine.tenant,
        request: &asked,
        text_length,
        part: None,
        bundle: &in_force.bundle,
        key: &engine.keys.commitment,
    };
    let (entry, salts) = record::restoration(head, &restored);
    let encoded = entry.encode().map_err(internal)?;
    let appended = engine.appender.append(NewRecord { id, encoded, salts, reply: None }).await;
    appended.map_err(|error| audit_unavailable(&error))?;
    engine.metrics.restored(restored.counts.values().sum());
    Ok(Json(RestoreResponse { record_id: id, restored_at, text, restored: convert::restored(&restored) }))
}

pub(super) fn validate_listed(tokens: &[ListedToken]) -> Result<(), Problem> {
    if tokens.len() > MAX_LISTED_TOKENS {
        let most = Text::new("au plus 256 jetons", "at most 256 tokens");
        return Err(Problem::validation().field("/tokens", "invalid_value", most));
    }
    match tokens.iter().position(|one| one.token.is_empty() || one.token.len() > MAX_LISTED_BYTES) {
        None => Ok(()),
        Some(place) => Err(Problem::validation().field(
            format!("/tokens/{place}/token"),
            "invalid_value",
            Text::new("attendu : 1 à 64 octets", "expected 1 to 64 bytes"),
        )),
    }
}
