//! Who asks: a bearer token, or the cookies of a browser with its CSRF token and origin.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use novacrm_service::problem::{Problem, Text};

use super::App;
use super::error::{forbidden, problem};
use crate::services::auth::Wanted;
use crate::services::tokens::Caller;
use crate::services::{ServiceError, Services, auth};

/// Cookie that holds the access token.
pub const ACCESS_COOKIE: &str = "__Host-novacrm_access";
/// Cookie that holds the refresh token.
pub const REFRESH_COOKIE: &str = "__Host-novacrm_refresh";
/// Header that holds the CSRF token.
const CSRF_HEADER: &str = "x-csrf-token";

/// Cookie that tells that this browser logged in to an account before.
pub const DEVICE_COOKIE: &str = "__Host-novacrm_device";

/// Who asks. Their session must hold: a change looks it up, a read believes what was known of it a few seconds ago. A
/// browser that changes something must prove that the request comes from our own pages. Somebody who must choose a
/// password first is refused.
#[derive(Clone, Copy, Debug)]
pub struct Authenticated(pub Caller);

impl FromRequestParts<App> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        authenticate(parts, app, false).await.map(Self)
    }
}

/// As [`Authenticated`], and also somebody who must choose a password first: for what they need to do so or to leave.
#[derive(Clone, Copy, Debug)]
pub struct HasSession(pub Caller);

impl FromRequestParts<App> for HasSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        authenticate(parts, app, true).await.map(Self)
    }
}

async fn authenticate(parts: &Parts, app: &App, before_password_change: bool) -> Result<Caller, Problem> {
    let services = Arc::<Services>::from_ref(app);
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    let caller = match (bearer(&parts.headers), cookie(&parts.headers, ACCESS_COOKIE)) {
        (Some(token), _) => auth::caller(&services, token).map_err(problem)?,
        (None, Some(token)) => {
            let caller = auth::caller(&services, token).map_err(problem)?;
            let token = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
            let proven = token.is_some_and(|token| services.tokens.csrf_matches(caller.session, token));
            if !reads {
                same_origin(parts)?;
                if !proven {
                    return Err(forbidden(
                        "csrf_failed",
                        Text::new(
                            "L'en-tête `X-CSRF-Token` manque ou n'appartient pas à cette session.",
                            "The header `X-CSRF-Token` is missing or does not belong to this session.",
                        ),
                    ));
                }
            }
            caller
        }
        (None, None) => return Err(problem(ServiceError::Unauthenticated)),
    };
    let wanted = Wanted { change: !reads, before_password_change };
    auth::confirm(&services, caller, wanted).await.map_err(problem)
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Whether a browser sends the request. All of them name the origin of a request that may change something.
pub(super) fn from_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// Refuses what another site's page sends.
///
/// # Errors
/// 403 when `Origin` names another host, or `Sec-Fetch-Site` says so.
pub(super) fn same_origin(parts: &Parts) -> Result<(), Problem> {
    let text = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text("host").or_else(|| parts.uri.authority().map(axum::http::uri::Authority::as_str));
    let origin_fits = text("origin")
        .is_none_or(|origin| origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host));
    let fetch_fits = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    if origin_fits && fetch_fits {
        return Ok(());
    }
    Err(forbidden(
        "foreign_origin",
        Text::new("La requête vient d'un autre site.", "The request comes from another site."),
    ))
}

/// The headers and origin of a request, for operations that work before anybody is logged in.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Address of the client, if known: that of the peer, or what trusted proxies say.
    pub address: Option<IpAddr>,
    /// A browser sends it.
    pub browser: bool,
    /// The refresh token in its cookies.
    pub refresh: Option<String>,
    /// The device in its cookies.
    pub device: Option<String>,
    origin: Result<(), Problem>,
}

impl Visitor {
    /// Refuses what another site's page sends.
    ///
    /// # Errors
    /// 403.
    pub fn same_origin(&self) -> Result<(), Problem> {
        self.origin.clone()
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        Ok(Self {
            address: app.proxies.client(peer, &parts.headers),
            browser: from_browser(&parts.headers),
            refresh: cookie(&parts.headers, REFRESH_COOKIE).map(str::to_owned),
            device: cookie(&parts.headers, DEVICE_COOKIE).map(str::to_owned),
            origin: same_origin(parts),
        })
    }
}
