//! `POST /auth/logout`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use novacrm_service::problem::Problem;

use crate::http::caller::HasSession;
use crate::http::error::problem;
use crate::services::{Services, auth};

/// Log out.
///
/// Ends the session: its refresh token no longer holds, nothing can be changed with its access token, and reading with it
/// ends within three seconds.
#[utoipa::path(
    post,
    path = "/auth/logout",
    tag = "auth",
    operation_id = "logout",
    responses((status = 204, description = "The session ended")),
    extensions(("x-permission" = json!("session")))
)]
pub async fn logout(
    State(services): State<Arc<Services>>,
    HasSession(caller): HasSession,
) -> Result<Response, Problem> {
    auth::logout(&services, &caller).await.map_err(problem)?;
    Ok(super::forgotten(StatusCode::NO_CONTENT))
}
