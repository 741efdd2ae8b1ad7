//! `POST /interactions/{id}/restore`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_service::problem::Problem;

use crate::http::error::problem;
use crate::http::exchange::{Bare, Id, answer};
use crate::http::views::InteractionView;
use crate::services::{Services, records};

/// Restore an interaction.
///
/// Takes a deletion back; a record that lives is left as it is. Honours `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/interactions/{id}/restore",
    tag = "interactions",
    operation_id = "restore_interaction",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the request repeatable")
    ),
    responses((status = 200, description = "It lives", body = InteractionView)),
    extensions(("x-permission" = json!("interaction.delete")))
)]
pub async fn restore(
    State(services): State<Arc<Services>>,
    Bare { caller, key }: Bare,
    Id(id): Id,
) -> Result<Response, Problem> {
    records::restore(&services, &caller, id, key.as_ref(), super::render).await.map(answer).map_err(problem)
}
