//! `GET /users/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use novacrm_service::problem::Problem;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Id, item};
use crate::http::views::UserView;
use crate::services::{Services, users};

/// Read a user.
#[utoipa::path(
    get,
    path = "/users/{id}",
    tag = "users",
    operation_id = "read_user",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tag you have")
    ),
    responses(
        (status = 200, description = "The user", body = UserView),
        (status = 304, description = "You have it already")
    ),
    extensions(("x-permission" = json!("user.read")))
)]
pub async fn read(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = users::read(&services, &caller, id).await.map_err(problem)?;
    Ok(item(&headers, user.meta.version, &UserView::from(user)))
}
