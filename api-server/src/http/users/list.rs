//! `GET /users`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::user::Role;
use novacrm_service::problem::{Problem, Query};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Count, Page, Paging, page, search};
use crate::http::views::UserView;
use crate::services::users::UserFilter;
use crate::services::{Services, users};

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
    /// `sales`, `ops`, `compliance` or `direction`.
    #[param(value_type = Option<String>)]
    role: Option<Role>,
    /// Whether they may log in.
    active: Option<bool>,
}

/// List users.
#[utoipa::path(
    get,
    path = "/users",
    tag = "users",
    operation_id = "list_users",
    params(Parameters),
    responses((status = 200, description = "A page", body = Page<UserView>)),
    extensions(("x-permission" = json!("user.read")))
)]
pub async fn list(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Query(query): Query<Parameters>,
) -> Result<Response, Problem> {
    let filter = UserFilter { q: search("q", query.q)?, role: query.role, active: query.active };
    let paging = Paging { limit: query.limit, after: query.after, sort: query.sort, count: query.count };
    let request = paging.request(filter)?;
    let listing = users::list(&services, &caller, &request).await.map_err(problem)?;
    Ok(page::<_, UserView>(listing, request.limit))
}
