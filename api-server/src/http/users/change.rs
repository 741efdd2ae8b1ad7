//! `PATCH /users/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use novacrm_api_domain::user::{Locale, Role, UserInput};
use novacrm_service::problem::{Json, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Id, IfMatch, item, present, set};
use crate::http::views::UserView;
use crate::services::{Services, users};

/// A merge patch (RFC 7396): what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserPatch)]
pub struct Patch {
    /// Address they log in with.
    #[serde(default, deserialize_with = "present")]
    email: Option<String>,
    /// What they are called.
    #[serde(default, deserialize_with = "present")]
    display_name: Option<String>,
    /// `sales`, `ops`, `compliance` or `direction`; another role ends their sessions.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
    /// `fr` or `en`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    locale: Option<Locale>,
    /// Whether they may log in; `false` ends their sessions.
    #[serde(default, deserialize_with = "present")]
    active: Option<bool>,
    /// A new password, of 12 to 256 characters and not easy to guess; it ends their sessions, and they must choose another
    /// at their next log-in. Not for one's own, see `POST /auth/password`.
    #[serde(default, deserialize_with = "present")]
    password: Option<String>,
}

/// Change a user.
///
/// The last active account of role `direction` cannot be taken away.
#[utoipa::path(
    patch,
    path = "/users/{id}",
    tag = "users",
    operation_id = "change_user",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("If-Match" = String, Header, description = "Entity tag you saw")
    ),
    request_body = Patch,
    responses((status = 200, description = "It was changed", body = UserView)),
    extensions(("x-permission" = json!("user.update")))
)]
pub async fn change(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    Json(patch): Json<Patch>,
) -> Result<Response, Problem> {
    let password = patch.password;
    let change = move |input: &mut UserInput| {
        set(&mut input.email, patch.email);
        set(&mut input.display_name, patch.display_name);
        set(&mut input.role, patch.role);
        set(&mut input.locale, patch.locale);
        set(&mut input.active, patch.active);
    };
    let user = users::change(&services, &caller, id, &expected, Box::new(change), password.as_deref())
        .await
        .map_err(problem)?;
    Ok(item(&HeaderMap::new(), user.meta.version, &UserView::from(user)))
}
