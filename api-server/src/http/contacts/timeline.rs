//! `GET /contacts/{id}/timeline`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_service::problem::{Problem, Query};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Id, Page, Paging, page};
use crate::http::views::EntryView;
use crate::services::{Services, timeline};

/// Paging.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// Most entries (1 to 200, default 50).
    limit: Option<u32>,
    /// Cursor: where to go on.
    after: Option<String>,
}

/// Read a contact's timeline.
///
/// Interactions and assessments, newest first; of both what you may read.
#[utoipa::path(
    get,
    path = "/contacts/{id}/timeline",
    tag = "contacts",
    operation_id = "read_timeline",
    params(("id" = Uuid, Path, description = "Identifier"), Parameters),
    responses((status = 200, description = "A page", body = Page<EntryView>)),
    extensions(("x-permission" = json!("contact.read")))
)]
pub async fn timeline(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    Query(query): Query<Parameters>,
) -> Result<Response, Problem> {
    let limit = Paging { limit: query.limit, after: None, sort: None, count: None }.limit()?;
    let listing =
        timeline::read(&services, &caller, id, query.after.as_deref(), limit).await.map_err(problem)?;
    Ok(page::<_, EntryView>(listing, limit))
}
