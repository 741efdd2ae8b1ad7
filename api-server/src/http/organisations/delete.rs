//! `DELETE /organisations/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use novacrm_api_domain::organisation::Organisation;
use novacrm_service::problem::Problem;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Id, IfMatch};
use crate::services::{Services, records};

/// Delete an organisation.
///
/// It can be restored.
#[utoipa::path(
    delete,
    path = "/organisations/{id}",
    tag = "organisations",
    operation_id = "delete_organisation",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("If-Match" = String, Header, description = "Entity tag you saw")
    ),
    responses((status = 204, description = "It is deleted")),
    extensions(("x-permission" = json!("organisation.delete")))
)]
pub async fn delete(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, Problem> {
    records::remove::<Organisation>(&services, &caller, id, &expected).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}
