//! The engine's HTTP interface: mutual TLS peers in; decisions, rules and the audit log out.
//!
//! Routes are registered from the documented handlers, so `GET /v1/openapi.json` cannot drift from them.

mod analyze;
mod bundle;
mod convert;
mod erase;
mod events;
mod external;
mod inspections;
mod record;
mod restore;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::{Json, Router};
use novacrm_engine_wire::{StreamLine, StreamPiece};
use novacrm_service::problem::{Pipeline, Problem, ProblemBody, Text, not_found};
use novacrm_service::tls::Peer;
use sqlx::PgPool;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::audit::AuditError;
use crate::audit::append::Appender;
use crate::bundle::{Bundles, InForce};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::recogniser::Recogniser;

pub use inspections::Inspections;

/// Longest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Longest time a request may wait for something to happen.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// What handlers need.
#[derive(Debug)]
pub struct Engine {
    /// Whose engine it is.
    pub tenant: String,
    /// The rules in force.
    pub bundles: Bundles,
    /// The audit log, to write.
    pub appender: Appender,
    /// The audit log, to read.
    pub reader: PgPool,
    /// Keys for what decisions and records hold.
    pub keys: Arc<Keys>,
    /// What is counted.
    pub metrics: Metrics,
    /// The recogniser outside of the engine, where there is one.
    pub recogniser: Option<Recogniser>,
    /// Whose turn it is to be inspected.
    pub inspections: Inspections,
    /// How long the inspection of one text may take, waiting for its turn included.
    pub budget: Duration,
}

impl Engine {
    /// The rules in force.
    fn in_force(&self) -> Result<Arc<InForce>, Problem> {
        self.bundles.current().ok_or_else(|| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_bundle",
                "Aucune règle en vigueur",
                "No rules in force",
            )
            .detail(Text::new(
                "Ce moteur n'a encore reçu aucune règle utilisable ; rien n'est décidé sans règles.",
                "This engine has not received usable rules yet; nothing is decided without rules.",
            ))
            .retry_after(5)
        })
    }
}

#[derive(OpenApi)]
#[openapi(
    info(title = "NovaCRM compliance engine", description = "Decides what may reach an AI, and records it."),
    components(schemas(ProblemBody, StreamLine, StreamPiece))
)]
struct Document;

/// All routes, wrapped; `pipeline` holds the metrics of HTTP.
pub fn router(engine: Arc<Engine>, pipeline: Pipeline) -> Router {
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(analyze::analyze))
        .routes(routes!(restore::restore))
        .routes(routes!(stream::stream))
        .routes(routes!(bundle::bundle))
        .routes(routes!(bundle::policies))
        .routes(routes!(events::events))
        .routes(routes!(erase::erase))
        .with_state(engine)
        .split_for_parts();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    let router = router
        .route("/v1/openapi.json", axum::routing::get(openapi).with_state(Arc::new(document)))
        .fallback(not_found);
    pipeline.wrap(router, MAX_BODY_BYTES)
}

async fn openapi(
    _: Reader,
    State(document): State<Arc<utoipa::openapi::OpenApi>>,
) -> Json<utoipa::openapi::OpenApi> {
    Json(utoipa::openapi::OpenApi::clone(&document))
}

/// A peer that may have texts decided on: the tenant's API.
struct Decider;

/// A peer that may read rules and log: the tenant's API and the operator.
struct Reader;

fn peer<'a>(parts: &'a Parts, allowed: &[&str]) -> Result<&'a Peer, Problem> {
    parts.extensions.get::<Peer>().filter(|peer| allowed.contains(&&*peer.0)).ok_or_else(|| {
        Problem::new(StatusCode::FORBIDDEN, "peer_not_allowed", "Appelant non autorisé", "Caller not allowed")
            .detail(Text::new(
                "Le certificat de l'appelant ne permet pas cette opération.",
                "The caller's certificate does not permit this operation.",
            ))
    })
}

impl<S: Send + Sync> FromRequestParts<S> for Decider {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        peer(parts, &["api"]).map(|_| Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        peer(parts, &["api", "operator"]).map(|_| Self)
    }
}

/// The audit log cannot be used: a refusal, whatever any policy says.
fn audit_unavailable(error: &AuditError) -> Problem {
    tracing::error!(%error, "the audit log cannot be used");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "audit_unavailable",
        "Journal d'audit indisponible",
        "Audit log unavailable",
    )
    .detail(Text::new(
        "Rien ne peut être enregistré, donc rien n'est décidé. Réessayez dans un instant.",
        "Nothing can be recorded, so nothing is decided. Try again in a moment.",
    ))
    .retry_after(2)
}
