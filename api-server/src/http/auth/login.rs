//! `POST /auth/login`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_service::problem::{Json, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::SessionView;
use crate::http::caller::Visitor;
use crate::http::error::problem;
use crate::services::auth::Visit;
use crate::services::{Services, auth};

/// Who logs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Address of the account.
    email: String,
    /// Its password.
    password: String,
}

/// Log in.
///
/// Failed attempts are limited, per account and source and per source, never so that somebody else cannot log in; a
/// browser that logged in before shows a cookie and has a limit of its own. 429 when too many failed, 503 when too many
/// are waiting. Programs get the tokens in the body; browsers, which send `Origin`, get them as cookies alone.
#[utoipa::path(
    post,
    path = "/auth/login",
    tag = "auth",
    operation_id = "login",
    request_body = Credentials,
    responses((status = 200, description = "A session", body = SessionView)),
    security(()),
    extensions(("x-permission" = json!("public")))
)]
pub async fn login(
    State(services): State<Arc<Services>>,
    visitor: Visitor,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Problem> {
    visitor.same_origin()?;
    let visit = Visit { address: visitor.address, device: visitor.device.as_deref() };
    let granted =
        auth::login(&services, &credentials.email, &credentials.password, visit).await.map_err(problem)?;
    Ok(super::granted(granted, visitor.browser))
}
