//! `POST /auth/password`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_service::problem::{Json, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::SessionView;
use crate::http::caller::HasSession;
use crate::http::error::problem;
use crate::http::exchange::data;
use crate::services::{Services, auth};

/// A change of one's own password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordChange)]
pub struct Change {
    /// The password of now.
    current_password: String,
    /// The one to come: 12 to 256 characters, and not easy to guess.
    new_password: String,
}

/// Change your password.
///
/// Your other sessions end; the one you ask with goes on. Five wrong current passwords in a session are answered, then
/// one a minute. Takes no `Idempotency-Key`: once it was done, the current password is the new one.
#[utoipa::path(
    post,
    path = "/auth/password",
    tag = "auth",
    operation_id = "change_password",
    request_body = Change,
    responses((status = 200, description = "The session, which goes on", body = SessionView)),
    extensions(("x-permission" = json!("session")))
)]
pub async fn change(
    State(services): State<Arc<Services>>,
    HasSession(caller): HasSession,
    Json(change): Json<Change>,
) -> Result<Response, Problem> {
    let changed = auth::change_password(&services, &caller, &change.current_password, &change.new_password);
    let session = changed.await.map_err(problem)?;
    Ok(data(&SessionView::from(session)))
}
