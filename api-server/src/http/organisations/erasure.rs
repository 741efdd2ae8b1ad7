//! `POST /organisations/{id}/erasure`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::organisation::Organisation;
use novacrm_service::problem::Problem;

use crate::http::error::problem;
use crate::http::exchange::{Bare, Id, answer};
use crate::services::{Services, erasure};

/// Erase an organisation.
///
/// For good, deleted or not (GDPR, article 17): its contacts stay, and no longer name it.
/// Kept replies that show it are removed. Honours `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/organisations/{id}/erasure",
    tag = "organisations",
    operation_id = "erase_organisation",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the request repeatable")
    ),
    responses((status = 204, description = "It is erased")),
    extensions(("x-permission" = json!("organisation.erase")))
)]
pub async fn erase(
    State(services): State<Arc<Services>>,
    Bare { caller, key }: Bare,
    Id(id): Id,
) -> Result<Response, Problem> {
    erasure::erase::<Organisation>(&services, &caller, id, key.as_ref()).await.map(answer).map_err(problem)
}
