//! `POST /organisations/{id}/restore`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_service::problem::Problem;

use crate::http::error::problem;
use crate::http::exchange::{Bare, Id, answer};
use crate::http::views::OrganisationView;
use crate::services::{Services, records};

/// Restore an organisation.
///
/// Takes a deletion back; a record that lives is left as it is. Honours `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/organisations/{id}/restore",
    tag = "organisations",
    operation_id = "restore_organisation",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the request repeatable")
    ),
    responses((status = 200, description = "It lives", body = OrganisationView)),
    extensions(("x-permission" = json!("organisation.delete")))
)]
pub async fn restore(
    State(services): State<Arc<Services>>,
    Bare { caller, key }: Bare,
    Id(id): Id,
) -> Result<Response, Problem> {
    records::restore(&services, &caller, id, key.as_ref(), super::render).await.map(answer).map_err(problem)
}
