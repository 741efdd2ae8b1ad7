//! The OpenAPI document, and pages to browse it.

use std::sync::Arc;

use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use novacrm_service::problem::{FieldBody, ProblemBody};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::caller::ACCESS_COOKIE;

/// Where the document is found.
const PATH: &str = "/api/v1/openapi.json";
/// The pages run the vendored scripts alone; they set styles from script and show pictures from `data:`.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// What the document says before the operations are added.
pub(super) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("NovaCRM API")
        .version("1")
        .description(Some("Conventions: docs/api/design.md. Every error is `application/problem+json`."))
        .license(Some(utoipa::openapi::License::new("Apache-2.0")))
        .build();
    let mut components = Components::new();
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build()),
    );
    components.add_security_scheme(
        "cookie",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(ACCESS_COOKIE))),
    );
    for (name, schema) in
        [(ProblemBody::name(), ProblemBody::schema()), (FieldBody::name(), FieldBody::schema())]
    {
        components.schemas.insert(name.into_owned(), schema);
    }
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// Adds what all operations share: who may call them, and the problems they may answer.
pub(super) fn finish(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        let operations = [
            (&mut item.get, READ),
            (&mut item.post, POST),
            (&mut item.patch, CHANGE),
            (&mut item.delete, CHANGE),
        ];
        for (operation, problems) in operations {
            if let Some(operation) = operation {
                describe(operation, problems);
            }
        }
    }
    document
}

/// Problems of any operation.
const ANY: &[(&str, &str)] = &[
    ("400", "The request cannot be read"),
    ("401", "Not authenticated"),
    ("403", "Not allowed"),
    ("404", "It does not exist, or is not visible to you"),
    ("500", "Something of ours failed; the trace id leads to the cause"),
    ("503", "A part of the system is away; see Retry-After"),
];
const READ: &[(&str, &str)] = &[];
const POST: &[(&str, &str)] = &[
    ("409", "A duplicate, or a request with the same key is under way"),
    ("413", "The body is too large"),
    ("415", "The body is not JSON"),
    ("422", "Fields are not valid, or the key was used for another request"),
    ("429", "Too many attempts; see Retry-After"),
];
const CHANGE: &[(&str, &str)] = &[
    ("409", "A duplicate, or the last administrator"),
    ("412", "The record changed meanwhile; see current_etag"),
    ("413", "The body is too large"),
    ("415", "The body is not JSON"),
    ("422", "Fields are not valid"),
    ("428", "If-Match is missing"),
];

fn describe(operation: &mut Operation, problems: &[(&str, &str)]) {
    for (status, description) in ANY.iter().chain(problems) {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build();
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/problem+json", content)
            .build();
        operation.responses.responses.insert((*status).to_owned(), RefOr::T(response));
    }
    if operation.security.is_none() {
        let none: [String; 0] = [];
        operation.security = Some(vec![
            utoipa::openapi::security::SecurityRequirement::new("bearer", none.clone()),
            utoipa::openapi::security::SecurityRequirement::new("cookie", none),
        ]);
    }
}

/// The document of all operations.
#[must_use]
pub fn document() -> OpenApi {
    finish(super::operations().into_openapi())
}

/// The document, and pages to browse it.
pub(super) fn router(document: OpenApi) -> Router {
    let document = Arc::new(document);
    let ui = Router::from(SwaggerUi::new("/api/v1/docs").config(Config::from(PATH)));
    let policy =
        SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Router::new()
        .route(PATH, get(move || async move { Json(document.as_ref().clone()).into_response() }))
        .merge(ui.layer(policy))
}

/// The document as text, as it is committed.
///
/// # Errors
/// Never in practice.
pub fn text() -> Result<String, serde_json::Error> {
    document().to_pretty_json().map(|text| text + "\n")
}
