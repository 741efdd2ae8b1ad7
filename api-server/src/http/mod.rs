//! HTTP: requests in, calls of use cases, JSON or problems out. Nothing is decided here.
//!
//! A route is registered from its documented handler, so the OpenAPI document cannot leave one out; a test refuses
//! one without a summary or a permission.

use std::sync::Arc;

use axum::extract::{FromRef, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use axum::{Extension, Router};
use novacrm_service::body::Limit;
use novacrm_service::problem::{self, Pipeline};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use self::assessments::concurrency::{Concurrency, Limits};
use self::proxies::TrustedProxies;
use crate::services::Services;

pub mod assessments;
pub mod auth;
pub mod caller;
pub mod contacts;
pub mod documentation;
pub mod error;
pub mod exchange;
pub mod interactions;
pub mod organisations;
pub mod policies;
pub mod proxies;
pub mod site;
pub mod users;
pub mod views;

/// Longest body, in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;
/// Longest body of an operation that works before anybody is logged in, and of a change of a password.
pub const CREDENTIALS_LIMIT: usize = 4 * 1024;
/// Longest body of an assessment: the engine decides about texts that are too long, so they must reach it. JSON may
/// double a text of line breaks and quotes.
pub const ASSESSMENT_LIMIT: usize = 2 * novacrm_engine_wire::MAX_TEXT_BYTES + 64 * 1024;

/// What handlers are given.
#[derive(Clone, Debug)]
pub struct App {
    services: Arc<Services>,
    proxies: TrustedProxies,
    assessments: Concurrency,
}

impl App {
    /// An app over the use cases.
    #[must_use]
    pub fn new(services: Arc<Services>) -> Self {
        Self {
            services,
            proxies: TrustedProxies::default(),
            assessments: Concurrency::new(Limits::default()),
        }
    }

    /// Believes these proxies on the address of a client.
    #[must_use]
    pub fn trusting(self, proxies: TrustedProxies) -> Self {
        Self { proxies, ..self }
    }

    /// Lets so many assessments run at the same time.
    #[must_use]
    pub fn limiting_assessments(self, limits: Limits) -> Self {
        Self { assessments: Concurrency::new(limits), ..self }
    }
}

impl FromRef<App> for Arc<Services> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.services)
    }
}

/// Refuses bodies longer than [`CREDENTIALS_LIMIT`]: before reading when the length is declared, otherwise as soon as
/// the limit is passed.
fn small(routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    routes.layer(Extension(Limit(CREDENTIALS_LIMIT)))
}

/// The operations, with their documentation.
#[must_use]
pub fn operations() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new()
        .routes(small(routes!(auth::login::login)))
        .routes(small(routes!(auth::refresh::refresh)))
        .routes(small(routes!(auth::password::change)))
        .routes(routes!(auth::logout::logout))
        .routes(routes!(auth::session::session))
        .routes(routes!(users::list::list, users::create::create))
        .routes(routes!(users::read::read, users::change::change))
        .routes(routes!(organisations::list::list, organisations::create::create))
        .routes(routes!(
            organisations::read::read,
            organisations::change::change,
            organisations::delete::delete
        ))
        .routes(routes!(organisations::restore::restore))
        .routes(routes!(organisations::erasure::erase))
        .routes(routes!(contacts::list::list, contacts::create::create))
        .routes(routes!(contacts::read::read, contacts::change::change, contacts::delete::delete))
        .routes(routes!(contacts::restore::restore))
        .routes(routes!(contacts::erasure::erase))
        .routes(routes!(contacts::timeline::timeline))
        .routes(routes!(interactions::list::list, interactions::create::create))
        .routes(routes!(interactions::read::read, interactions::change::change, interactions::delete::delete))
        .routes(routes!(interactions::restore::restore))
        .routes(routes!(interactions::erasure::erase))
        .routes(routes!(assessments::create::create).layer(Extension(Limit(ASSESSMENT_LIMIT))))
        .routes(routes!(assessments::read::read))
        .routes(routes!(policies::read::read));
    OpenApiRouter::with_openapi(documentation::base()).nest("/api/v1", api)
}

/// Everything the server answers.
pub fn router(app: App, site: Option<site::Site>, pipeline: Pipeline) -> Router {
    let (api, document) = operations().split_for_parts();
    let router = api.with_state(app).merge(documentation::router(documentation::finish(document)));
    let router = match site {
        Some(site) => router.fallback(move |request: Request| {
            let site = site.clone();
            async move { site.answer(&request) }
        }),
        None => router.fallback(problem::not_found),
    };
    pipeline.wrap(router, BODY_LIMIT).layer(axum::middleware::map_response(with_security_headers))
}

/// What browsers are told with every answer. The front end's pages bring a policy of their own; answers of the API
/// are data: a browser that shows one must run and embed nothing.
static SECURITY_HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Adds what the answer does not have.
async fn with_security_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.reserve(SECURITY_HEADERS.len());
    for (name, value) in &SECURITY_HEADERS {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    response
}
