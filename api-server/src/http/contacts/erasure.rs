//! `POST /contacts/{id}/erasure`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::contact::Contact;
use novacrm_service::problem::Problem;

use crate::http::error::problem;
use crate::http::exchange::{Bare, Id, answer};
use crate::services::{Services, erasure};

/// Erase a contact.
///
/// For good, deleted or not (GDPR, article 17): its interactions go with it, and its assessments no longer name it.
/// Kept replies that show it are removed. Honours `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/contacts/{id}/erasure",
    tag = "contacts",
    operation_id = "erase_contact",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the request repeatable")
    ),
    responses((status = 204, description = "It is erased")),
    extensions(("x-permission" = json!("contact.erase")))
)]
pub async fn erase(
    State(services): State<Arc<Services>>,
    Bare { caller, key }: Bare,
    Id(id): Id,
) -> Result<Response, Problem> {
    erasure::erase::<Contact>(&services, &caller, id, key.as_ref()).await.map(answer).map_err(problem)
}
