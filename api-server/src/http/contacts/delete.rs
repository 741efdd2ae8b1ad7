//! `DELETE /contacts/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use novacrm_api_domain::contact::Contact;
use novacrm_service::problem::Problem;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Id, IfMatch};
use crate::services::{Services, records};

/// Delete a contact.
///
/// It can be restored.
#[utoipa::path(
    delete,
    path = "/contacts/{id}",
    tag = "contacts",
    operation_id = "delete_contact",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("If-Match" = String, Header, description = "Entity tag you saw")
    ),
    responses((status = 204, description = "It is deleted")),
    extensions(("x-permission" = json!("contact.delete")))
)]
pub async fn delete(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, Problem> {
    records::remove::<Contact>(&services, &caller, id, &expected).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}
