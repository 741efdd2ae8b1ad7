//! `POST /interactions/{id}/erasure`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::interaction::Interaction;
use novacrm_service::problem::Problem;

use crate::http::error::problem;
use crate::http::exchange::{Bare, Id, answer};
use crate::services::{Services, erasure};

/// Erase an interaction.
///
/// For good, deleted or not (GDPR, article 17): its contact stays.
/// Kept replies that show it are removed. Honours `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/interactions/{id}/erasure",
    tag = "interactions",
    operation_id = "erase_interaction",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the request repeatable")
    ),
    responses((status = 204, description = "It is erased")),
    extensions(("x-permission" = json!("interaction.erase")))
)]
pub async fn erase(
    State(services): State<Arc<Services>>,
    Bare { caller, key }: Bare,
    Id(id): Id,
) -> Result<Response, Problem> {
    erasure::erase::<Interaction>(&services, &caller, id, key.as_ref()).await.map(answer).map_err(problem)
}
