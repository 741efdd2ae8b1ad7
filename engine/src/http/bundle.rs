//! `GET /v1/bundle` and `GET /v1/policies`: the rules in force, for the operator and for people.

use std::sync::Arc;

use axum::extract::State;
use novacrm_engine_wire::{BundleStatus, PoliciesInForce};
use novacrm_service::problem::{Json, Problem, ProblemBody, Query};
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::IntoParams;

use super::{Engine, MAX_WAIT, Reader, convert};
use crate::bundle::Status;

/// What to wait for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// Digest the caller knows: the answer waits until another bundle is in force or another one was refused, at
    /// most 30 seconds.
    not: Option<String>,
    /// Digest of the refused bundle the caller knows, empty for none; that at the time of the request when absent.
    refused: Option<String>,
}

/// What this engine enforces.
#[utoipa::path(get, path = "/v1/bundle", params(Wait), responses(
    (status = 200, description = "The bundle in force and the last error", body = BundleStatus),
    (status = 403, description = "Only the tenant's API and the operator may ask", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn bundle(
    _: Reader,
    State(engine): State<Arc<Engine>>,
    Query(wait): Query<Wait>,
) -> Result<Json<BundleStatus>, Problem> {
    let mut status = engine.bundles.status();
    if let Some(not) = wait.not {
        let known = match wait.refused {
            Some(digest) => Some(digest).filter(|digest| !digest.is_empty()),
            None => status.borrow_and_update().refused().map(str::to_owned),
        };
        let news = status
            .wait_for(|status| status.digest.as_ref() != Some(&not) || status.refused() != known.as_deref());
        // No news within the time is an answer too.
        let _ = tokio::time::timeout(MAX_WAIT, news).await;
    }
    // The status first: it is written after the swap, so the rules shown are never older than what it says.
    let Status { last_error, source, .. } = status.borrow().clone();
    let in_force = engine.bundles.current();
    Ok(Json(BundleStatus {
        bundle: in_force.as_ref().map(|in_force| convert::bundle_reference(&in_force.bundle)),
        since: in_force.as_ref().map(|in_force| in_force.since),
        last_contact: engine.bundles.last_contact(),
        last_error,
        source,
        stale: in_force.as_ref().is_some_and(|in_force| engine.bundles.is_stale(in_force)),
    }))
}

/// The rules in force, for people.
#[utoipa::path(get, path = "/v1/policies", responses(
    (status = 200, description = "Policies and registered uses of AI", body = PoliciesInForce),
    (status = 403, description = "Only the tenant's API and the operator may ask", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "`no_bundle`", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn policies(
    _: Reader,
    State(engine): State<Arc<Engine>>,
) -> Result<Json<PoliciesInForce>, Problem> {
    let in_force = engine.in_force()?;
    Ok(Json(convert::policies(&in_force.bundle, OffsetDateTime::now_utc())))
}
