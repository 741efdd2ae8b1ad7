//! `POST /users`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::user::{Locale, Role, UserInput};
use novacrm_service::problem::Problem;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::error::problem;
use crate::http::exchange::{Posted, answer};
use crate::http::views::UserView;
use crate::services::{Services, users};

/// A user to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUser)]
pub struct New {
    /// Address they log in with.
    email: String,
    /// What they are called.
    display_name: String,
    /// `sales`, `ops`, `compliance` or `direction`.
    #[schema(value_type = String)]
    role: Role,
    /// `fr` (default) or `en`.
    #[serde(default)]
    #[schema(value_type = String)]
    locale: Locale,
    /// Their first password, of 12 to 256 characters and not easy to guess; they must choose another at their first log-in.
    password: String,
}

/// Make a user.
///
/// Honours `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/users",
    tag = "users",
    operation_id = "create_user",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request repeatable")),
    request_body = New,
    responses((status = 201, description = "It was made", body = UserView)),
    extensions(("x-permission" = json!("user.create")))
)]
pub async fn create(
    State(services): State<Arc<Services>>,
    Posted { caller, body: new, key }: Posted<New>,
) -> Result<Response, Problem> {
    let input = UserInput {
        email: new.email,
        display_name: new.display_name,
        role: new.role,
        locale: new.locale,
        active: true,
    };
    users::create(&services, &caller, input, &new.password, key.as_ref(), super::render)
        .await
        .map(answer)
        .map_err(problem)
}
