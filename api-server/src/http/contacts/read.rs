//! `GET /contacts/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use novacrm_api_domain::contact::Contact;
use novacrm_service::problem::Problem;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Id, item};
use crate::http::views::ContactView;
use crate::services::{Services, records};

/// Read a contact.
#[utoipa::path(
    get,
    path = "/contacts/{id}",
    tag = "contacts",
    operation_id = "read_contact",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tag you have")
    ),
    responses(
        (status = 200, description = "The record", body = ContactView),
        (status = 304, description = "You have it already")
    ),
    extensions(("x-permission" = json!("contact.read")))
)]
pub async fn read(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let record = records::read::<Contact>(&services, &caller, id).await.map_err(problem)?;
    Ok(item(&headers, record.meta.version, &ContactView::from(record)))
}
