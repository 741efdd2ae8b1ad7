//! `GET /interactions`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::interaction::Interaction;
use novacrm_api_domain::interaction::Kind;
use novacrm_service::problem::{Problem, Query};
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Count, Page, Paging, page, search};
use crate::http::views::InteractionView;
use crate::services::interactions::InteractionFilter;
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
    /// Part of the subject, without regard to accents.
    q: Option<String>,
    /// With whom.
    contact_id: Option<Uuid>,
    /// Owner.
    owner_id: Option<Uuid>,
    /// `call`, `email`, `meeting`, `chat` or `note`.
    #[param(value_type = Option<String>)]
    kind: Option<Kind>,
    /// Happened after this time.
    #[serde(default, with = "time::serde::rfc3339::option")]
    occurred_after: Option<OffsetDateTime>,
    /// Happened before this time.
    #[serde(default, with = "time::serde::rfc3339::option")]
    occurred_before: Option<OffsetDateTime>,
}

/// List interactions.
///
/// Live records that are visible to you, in pages.
#[utoipa::path(
    get,
    path = "/interactions",
    tag = "interactions",
    operation_id = "list_interactions",
    params(Parameters),
    responses((status = 200, description = "A page", body = Page<InteractionView>)),
    extensions(("x-permission" = json!("interaction.read")))
)]
pub async fn list(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Query(query): Query<Parameters>,
) -> Result<Response, Problem> {
    let filter = InteractionFilter {
        q: search("q", query.q)?,
        contact_id: query.contact_id,
        owner_id: query.owner_id,
        kind: query.kind,
        occurred_after: query.occurred_after,
        occurred_before: query.occurred_before,
    };
    let paging = Paging { limit: query.limit, after: query.after, sort: query.sort, count: query.count };
    let request = paging.request(filter)?;
    let listing = records::list::<Interaction>(&services, &caller, &request).await.map_err(problem)?;
    Ok(page::<_, InteractionView>(listing, request.limit))
}
