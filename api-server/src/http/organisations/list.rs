//! `GET /organisations`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::organisation::Organisation;
use novacrm_service::problem::{Problem, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Count, Page, Paging, page, search};
use crate::http::views::OrganisationView;
use crate::services::organisations::OrganisationFilter;
use crate::services::{Services, records};

/// Paging and filters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// Most records (1 to 200, default 50).
    limit: Option<u32>,
    /// Cursor: where to go on.
    after: Option<String>,
    /// Sort field, with `-` before it for descending order.
    sort: Option<String>,
    /// `exact` counts all that match.
    count: Option<Count>,
    /// Part of the name, without regard to accents.
    q: Option<String>,
    /// Owner.
    owner_id: Option<Uuid>,
}

/// List organisations.
///
/// Live records that are visible to you, in pages.
#[utoipa::path(
    get,
    path = "/organisations",
    tag = "organisations",
    operation_id = "list_organisations",
    params(Parameters),
    responses((status = 200, description = "A page", body = Page<OrganisationView>)),
    extensions(("x-permission" = json!("organisation.read")))
)]
pub async fn list(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Query(query): Query<Parameters>,
) -> Result<Response, Problem> {
    let filter = OrganisationFilter { q: search("q", query.q)?, owner_id: query.owner_id };
    let paging = Paging { limit: query.limit, after: query.after, sort: query.sort, count: query.count };
    let request = paging.request(filter)?;
    let listing = records::list::<Organisation>(&services, &caller, &request).await.map_err(problem)?;
    Ok(page::<_, OrganisationView>(listing, request.limit))
}
