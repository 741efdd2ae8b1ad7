//! `POST /auth/refresh`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_service::problem::{Json, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::SessionView;
use crate::http::caller::Visitor;
use crate::http::error::problem;
use crate::services::{ServiceError, Services, auth};

/// The token to exchange; that of the cookie when absent.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The refresh token.
    #[serde(default)]
    refresh_token: Option<String>,
}

/// Exchange a refresh token.
///
/// Each token is used once; using one again ends its session.
#[utoipa::path(
    post,
    path = "/auth/refresh",
    tag = "auth",
    operation_id = "refresh",
    request_body = Option<Refresh>,
    responses((status = 200, description = "The session goes on", body = SessionView)),
    security(()),
    extensions(("x-permission" = json!("public")))
)]
pub async fn refresh(
    State(services): State<Arc<Services>>,
    visitor: Visitor,
    body: Option<Json<Refresh>>,
) -> Result<Response, Problem> {
    visitor.same_origin()?;
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let token = body.refresh_token.or(visitor.refresh);
    let token = token.ok_or_else(|| problem(ServiceError::Unauthenticated))?;
    let granted = auth::refresh(&services, &token).await.map_err(problem)?;
    Ok(super::granted(granted, visitor.browser))
}
