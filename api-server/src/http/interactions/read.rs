//! `GET /interactions/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use novacrm_api_domain::interaction::Interaction;
use novacrm_service::problem::Problem;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Id, item};
use crate::http::views::InteractionView;
use crate::services::{Services, records};

/// Read an interaction.
#[utoipa::path(
    get,
    path = "/interactions/{id}",
    tag = "interactions",
    operation_id = "read_interaction",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tag you have")
    ),
    responses(
        (status = 200, description = "The record", body = InteractionView),
        (status = 304, description = "You have it already")
    ),
    extensions(("x-permission" = json!("interaction.read")))
)]
pub async fn read(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let record = records::read::<Interaction>(&services, &caller, id).await.map_err(problem)?;
    Ok(item(&headers, record.meta.version, &InteractionView::from(record)))
}
