//! `GET /auth/session`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_service::problem::Problem;

use super::SessionView;
use crate::http::caller::HasSession;
use crate::http::error::problem;
use crate::http::exchange::data;
use crate::services::{Services, auth};

/// Read your session.
///
/// Without tokens.
#[utoipa::path(
    get,
    path = "/auth/session",
    tag = "auth",
    operation_id = "read_session",
    responses((status = 200, description = "The session", body = SessionView)),
    extensions(("x-permission" = json!("session")))
)]
pub async fn session(
    State(services): State<Arc<Services>>,
    HasSession(caller): HasSession,
) -> Result<Response, Problem> {
    let session = auth::session(&services, &caller).await.map_err(problem)?;
    Ok(data(&SessionView::from(session)))
}
