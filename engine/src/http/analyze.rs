//! `POST /v1/analyze`: a text in; what was decided out, after its record is durable.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use novacrm_engine_core::ExternalFinding;
use novacrm_engine_core::pipeline::{self, Decision};
use novacrm_engine_wire::{AnalyzeRequest, AnalyzeResponse, MAX_TEXT_BYTES, is_name};
use novacrm_service::problem::{Json, Problem, ProblemBody, Text};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Decider, Engine, audit_unavailable, convert, external, record};
use crate::audit::append::{Appended, NewRecord, NewReply};
use crate::audit::read::{Kept, kept_reply};
use crate::audit::reply::KEPT;
use crate::bundle::InForce;

/// Longest reference to a person.
const MAX_REFERENCE: usize = 256;

/// Decide on a text. The decision is recorded durably before it is answered.
#[utoipa::path(post, path = "/v1/analyze", request_body = AnalyzeRequest, responses(
    (status = 200, description = "What was decided", body = AnalyzeResponse),
    (status = 400, description = "Not JSON, or not UTF-8", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Only the tenant's API may ask", body = ProblemBody, content_type = "application/problem+json"),
    (status = 408, description = "The body comes too slowly", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "`bundle_behind`, `request_id_reused` or `request_id_spent`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, description = "The body is longer than 8 MiB; or `recogniser_too_large`: the text than an external recogniser that must be heard may be sent", body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "A field is unknown or not valid", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "`audit_unavailable`, `no_bundle`, `overloaded` or `recogniser_unavailable`; nothing was decided", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn analyze(
    _: Decider,
    State(engine): State<Arc<Engine>>,
    Json(request): Json<AnalyzeRequest>,
) -> Result<Json<AnalyzeResponse>, Problem> {
    validate(&request)?;
    let in_force = engine.in_force()?;
    not_behind(request.minimum_sequence, &in_force)?;
    // A request with an id is recognised by its fields; the order they were sent in is without meaning.
    let fields = match request.request_id {
        Some(_) => serde_json::to_vec(&request).map_err(internal)?,
        None => Vec::new(),
    };
    let id = Uuid::now_v7();
    // A text that belongs to no document is one of its own.
    let document: Arc<str> = request.document.clone().unwrap_or_else(|| id.to_string()).into();
    let request = Arc::new(request);
    let heard = external::hear(&engine, &in_force, &request, &request.text).await?;
    let started = Instant::now();
    // One moment for the decision, its answer and its record: none shows an exception that had ended by then.
    let decided_at = OffsetDateTime::now_utc();
    let decision = decide(&engine, &in_force, &request, heard.findings, &document, decided_at).await;
    let took = started.elapsed();

    let head = record::Head {
        id,
        recorded_at: decided_at,
        tenant: &engine.tenant,
        request: &request,
        text_length: request.text.chars().count(),
        part: None,
        bundle: &in_force.bundle,
        key: &engine.keys.commitment,
    };
    let (entry, salts) = record::of(head, &decision, &decision.findings, heard.unheard, None);
    let encoded = entry.encode().map_err(internal)?;
    let response = convert::response(id, decided_at, decision, heard.unheard, &document, &in_force.bundle);
    let reply = match request.request_id {
        None => None,
        Some(request_id) => {
            let answer = serde_json::to_vec(&response).map_err(internal)?;
            Some(NewReply {
                request_id,
                body_mac: engine.keys.reply.body_mac(&fields),
                sealed: engine.keys.reply.seal(request_id, &answer).map_err(internal)?,
                expires_at: decided_at + KEPT,
            })
        }
    };
    let appended = engine.appender.append(NewRecord { id, encoded, salts, reply }).await;
    match (appended.map_err(|error| audit_unavailable(&error))?, request.request_id) {
        (Appended::Duplicate, Some(request_id)) => replay(&engine, request_id, &fields).await.map(Json),
        _ => {
            engine.metrics.decided(response.action, response.findings.len(), response.uninspected, took);
            Ok(Json(response))
        }
    }
}

/// Decides off the async threads and within the time budget.
async fn decide(
    engine: &Engine,
    in_force: &Arc<InForce>,
    request: &Arc<AnalyzeRequest>,
    external: Vec<ExternalFinding>,
    document: &Arc<str>,
    now: OffsetDateTime,
) -> Decision {
    let uninspected =
        |why| pipeline::uninspected(&in_force.bundle, &convert::request(request, &[], document, now), why);
    if request.text.len() > MAX_TEXT_BYTES {
        return uninspected(pipeline::Uninspected::TooLarge);
    }
    let stale = engine.bundles.is_stale(in_force);
    let inspecting = async {
        let permit = engine.inspections.turn(request.text.len()).await?;
        let (in_force, request, keys) = (Arc::clone(in_force), Arc::clone(request), Arc::clone(&engine.keys));
        let document = Arc::clone(document);
        let inspection = tokio::task::spawn_blocking(move || {
            // An inspection that overruns its time keeps its place, so that many of them cannot pile up.
            let _permit = permit;
            let asked = convert::request(&request, &external, &document, now);
            if stale {
                pipeline::analyze_stale(&in_force.bundle, &asked, &keys.decision)
            } else {
                pipeline::analyze(&in_force.bundle, &asked, &keys.decision)
            }
        });
        inspection.await.ok()
    };
    match tokio::time::timeout(engine.budget, inspecting).await {
        Ok(Some(decision)) => decision,
        // A time-out, or a defect of the inspection itself: neither may let a text pass uninspected.
        Ok(None) | Err(_) => uninspected(pipeline::Uninspected::TimeOut),
    }
}

/// The answer that an earlier request with this id was given.
async fn replay(engine: &Engine, request_id: Uuid, fields: &[u8]) -> Result<AnalyzeResponse, Problem> {
    let conflict = |code, fr, en, detail| Problem::new(StatusCode::CONFLICT, code, fr, en).detail(detail);
    match kept_reply(&engine.reader, request_id).await.map_err(|error| audit_unavailable(&error))? {
        Kept::Spent => Err(conflict(
            "request_id_spent",
            "Identifiant de requête périmé",
            "Request id spent",
            Text::new(
                "Cette requête a reçu sa réponse il y a plus de 24 heures ; prenez un nouvel identifiant.",
                "This request was answered more than 24 hours ago; use another id.",
            ),
        )),
        Kept::Reply { body_mac, .. } if !engine.keys.reply.same_body(&body_mac, fields) => Err(conflict(
            "request_id_reused",
            "Identifiant de requête déjà utilisé",
            "Request id reused",
            Text::new(
                "Une autre requête porte déjà cet identifiant.",
                "Another request has this id already.",
            ),
        )),
        Kept::Reply { sealed, .. } => {
            let answer = engine.keys.reply.open(request_id, &sealed).map_err(internal)?;
            serde_json::from_slice(&answer).map_err(internal)
        }
    }
}

/// Refuses a caller who knows newer rules than these.
pub(super) fn not_behind(minimum: Option<u64>, in_force: &InForce) -> Result<(), Problem> {
    let sequence = in_force.bundle.sequence();
    match minimum {
        Some(minimum) if minimum > sequence => Err(behind(minimum, sequence)),
        _ => Ok(()),
    }
}

fn behind(minimum: u64, sequence: u64) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "bundle_behind",
        "Règles pas encore à jour",
        "Rules not up to date yet",
    )
    .detail(Text::new(
        "Ce moteur n'applique pas encore les règles demandées.",
        "This engine does not enforce the rules asked for yet.",
    ))
    .member("minimum_sequence", minimum)
    .member("sequence", sequence)
    .retry_after(1)
}

pub(super) fn validate(request: &AnalyzeRequest) -> Result<(), Problem> {
    let mut problem = None;
    let mut blame = |pointer: &str, fr: &'static str, en: &'static str| {
        let before = problem.take().unwrap_or_else(Problem::validation);
        problem = Some(before.field(pointer, "invalid_value", Text::new(fr, en)));
    };
    // These words stand in the record, so they may not hold anything a person typed.
    let names = [
        ("/use_case", request.use_case.as_deref()),
        ("/purpose", request.purpose.as_deref()),
        ("/actor/role", request.actor.as_ref().map(|actor| actor.role.as_str())),
    ];
    for (pointer, name) in names {
        if name.is_some_and(|name| !is_name(name)) {
            blame(
                pointer,
                "attendu : 1 à 128 lettres minuscules, chiffres, `-`, `_` ou `.`, en commençant par une lettre ou un chiffre",
                "expected 1 to 128 lower-case letters, digits, `-`, `_` or `.`, starting with a letter or digit",
            );
        }
    }
    let references = [
        ("/actor/id", request.actor.as_ref().map(|actor| actor.id.as_str())),
        ("/subject", request.subject.as_deref()),
        ("/document", request.document.as_deref()),
    ];
    for (pointer, reference) in references {
        if reference.is_some_and(|reference| reference.is_empty() || reference.len() > MAX_REFERENCE) {
            blame(pointer, "attendu : 1 à 256 octets", "expected 1 to 256 bytes");
        }
    }
    problem.map_or(Ok(()), Err)
}

pub(super) fn internal(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "a request could not be handled");
    Problem::internal()
}
