//! Sessions.

use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use novacrm_api_domain::permission::Permission;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::{ACCESS_COOKIE, DEVICE_COOKIE, REFRESH_COOKIE};
use crate::services::auth::{Granted, Session};
use crate::services::tokens::{ACCESS_LIFETIME, DEVICE_LIFETIME, SESSION_LIFETIME};

pub mod login;
pub mod logout;
pub mod password;
pub mod refresh;
pub mod session;

/// A session. Tokens are only in answers to programs; browsers get them as cookies that scripts cannot read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionView {
    /// To be sent as `Authorization: Bearer …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// Seconds that the access token holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<i64>,
    /// To be used once, for the next pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// For browsers: to be sent as `X-CSRF-Token` with every request that changes something.
    csrf_token: String,
    /// Who.
    user: SessionUser,
    /// What the role may do.
    permissions: Vec<String>,
    /// Where.
    tenant: Tenant,
    /// Somebody else chose the password: until it is changed with `POST /auth/password`, every other operation answers
    /// 403 `password_change_required`.
    password_change_required: bool,
}

/// Who a session belongs to.
#[derive(Debug, Serialize, ToSchema)]
struct SessionUser {
    /// UUIDv7.
    id: Uuid,
    /// Address they log in with.
    email: String,
    /// What they are called.
    display_name: String,
    /// `sales`, `ops`, `compliance` or `direction`.
    role: &'static str,
    /// `fr` or `en`.
    locale: &'static str,
}

/// The tenant, as it is shown to people.
#[derive(Debug, Serialize, ToSchema)]
struct Tenant {
    /// What it is called.
    name: String,
}

impl From<Session> for SessionView {
    fn from(session: Session) -> Self {
        let (meta, details) = (session.user.meta, session.user.details);
        Self {
            access_token: None,
            token_type: None,
            expires_in: None,
            refresh_token: None,
            csrf_token: session.csrf_token,
            user: SessionUser {
                id: meta.id,
                email: details.email.into_string(),
                display_name: details.display_name.into_string(),
                role: details.role.as_str(),
                locale: details.locale.as_str(),
            },
            permissions: session.permissions.iter().map(Permission::to_string).collect(),
            tenant: Tenant { name: session.tenant_name },
            password_change_required: session.password_must_change,
        }
    }
}

/// A new pair of tokens: as cookies, and to programs in the body too.
fn granted(granted: Granted, browser: bool) -> Response {
    let access = cookie(ACCESS_COOKIE, &granted.access_token, ACCESS_LIFETIME.whole_seconds());
    let refresh = cookie(REFRESH_COOKIE, &granted.refresh_token, SESSION_LIFETIME.whole_seconds());
    let device = granted.device.map(|device| cookie(DEVICE_COOKIE, &device, DEVICE_LIFETIME.whole_seconds()));
    let mut view = SessionView::from(granted.session);
    if !browser {
        view.access_token = Some(granted.access_token);
        view.token_type = Some("Bearer");
        view.expires_in = Some(ACCESS_LIFETIME.whole_seconds());
        view.refresh_token = Some(granted.refresh_token);
    }
    let mut response = axum::Json(view).into_response();
    set(response.headers_mut(), [access, refresh].into_iter().chain(device));
    response
}

/// Takes the cookies of a session away. That of the device stays: it lets nobody in.
fn forgotten(response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    set(response.headers_mut(), [cookie(ACCESS_COOKIE, "", 0), cookie(REFRESH_COOKIE, "", 0)]);
    response
}

fn set(headers: &mut HeaderMap, cookies: impl IntoIterator<Item = String>) {
    for cookie in cookies.into_iter().filter_map(|cookie| HeaderValue::try_from(cookie).ok()) {
        headers.append(SET_COOKIE, cookie);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// The prefix `__Host-` binds a cookie to this host and to HTTPS (RFC 6265bis, section 4.1.3.2).
fn cookie(name: &str, value: &str, max_age: i64) -> String {
    format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; Secure; SameSite=Lax")
}
