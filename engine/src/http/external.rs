//! In: a text about to be decided on. Out: what the external recogniser saw in it, where there is one and the rules look to
//! it; why it was not heard; or a refusal, where the engine is told not to decide without it.

use axum::http::StatusCode;
use novacrm_engine_core::ExternalFinding;
use novacrm_engine_wire::{AnalyzeRequest, MAX_TEXT_BYTES, Unheard};
use novacrm_service::problem::{Problem, Text};

use super::{Engine, convert};
use crate::bundle::InForce;
use crate::recogniser::{FailureMode, Recogniser};

/// What came from outside.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) findings: Vec<ExternalFinding>,
    pub(super) unheard: Option<Unheard>,
}

/// Asks about a text, which need not be that of the request.
pub(super) async fn hear(
    engine: &Engine,
    in_force: &InForce,
    request: &AnalyzeRequest,
    text: &str,
) -> Result<Heard, Problem> {
    let surface = convert::surface(request.surface);
    let bundle = &in_force.bundle;
    // Whom nobody set up cannot fail; but nobody is to think that it was heard.
    let name = engine.recogniser.as_ref().map(Recogniser::name);
    let missing = bundle.asks_others(name, surface).then_some(Unheard::NotConfigured);
    let silent = Ok(Heard { findings: Vec::new(), unheard: missing });
    let Some(recogniser) = &engine.recogniser else { return silent };
    // What is too long to be inspected is not sent anywhere; the failure mode of the policies decides on it.
    if text.is_empty() || text.len() > MAX_TEXT_BYTES || !bundle.asks(recogniser.name(), surface) {
        return silent;
    }
    match (recogniser.ask(text, request.locale).await, recogniser.failure_mode()) {
        (Ok(findings), _) => Ok(Heard { findings, unheard: missing }),
        (Err(why), FailureMode::Open) => Ok(Heard { findings: Vec::new(), unheard: Some(why) }),
        (Err(why), FailureMode::Closed) => Err(unheard(why)),
    }
}

fn unheard(why: Unheard) -> Problem {
    let (status, code, detail) = match why {
        Unheard::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "recogniser_too_large",
            Text::new(
                "Le texte est plus long que ce qui peut être soumis au service de reconnaissance ; rien n'est décidé sans lui.",
                "The text is longer than the external recogniser may be sent; nothing is decided without it.",
            ),
        ),
        Unheard::Busy
        | Unheard::TimeOut
        | Unheard::Unavailable
        | Unheard::Unreadable
        | Unheard::NotConfigured => (
            StatusCode::SERVICE_UNAVAILABLE,
            "recogniser_unavailable",
            Text::new(
                "Le service de reconnaissance n'a pas répondu ; rien n'est décidé sans lui. Réessayez dans un instant.",
                "The external recogniser gave no answer; nothing is decided without it. Try again in a moment.",
            ),
        ),
    };
    let problem =
        Problem::new(status, code, "Service de reconnaissance sans réponse", "External recogniser not heard")
            .detail(detail)
            .member("reason", serde_json::to_value(why).unwrap_or_default());
    if status == StatusCode::SERVICE_UNAVAILABLE { problem.retry_after(2) } else { problem }
}
