//! Errors as `application/problem+json` (RFC 9457), and the middleware every request passes.
//!
//! A handler answers `Result<_, Problem>`. [`Pipeline::wrap`] writes it in the reader's language, adds the path
//! and the trace, and turns everything that is not a handler's doing (404, 405, 413, a panic) into the same
//! form. A problem never holds a value from a request: field errors name the field and what was expected.

use std::any::Any;
use std::borrow::Cow;
use std::time::Instant;

use axum::extract::{FromRequest, FromRequestParts, MatchedPath, OptionalFromRequest, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use utoipa::ToSchema;

use crate::body::{self, Bodies, Limit};

/// Where the kinds of problem are documented.
const TYPE_BASE: &str = "https://novacrm.io/problems/";

/// A text in both languages of the product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// French.
    pub fr: Cow<'static, str>,
    /// English.
    pub en: Cow<'static, str>,
}

impl Text {
    /// A text that is known beforehand.
    #[must_use]
    pub const fn new(fr: &'static str, en: &'static str) -> Self {
        Self { fr: Cow::Borrowed(fr), en: Cow::Borrowed(en) }
    }

    /// A text that is made up on the way.
    #[must_use]
    pub fn made(fr: impl Into<String>, en: impl Into<String>) -> Self {
        Self { fr: Cow::Owned(fr.into()), en: Cow::Owned(en.into()) }
    }

    fn pick(self, english: bool) -> String {
        if english { self.en.into_owned() } else { self.fr.into_owned() }
    }
}

/// Something that went wrong with a request, for the person or program that sent it.
#[derive(Clone, Debug)]
pub struct Problem(Box<Content>);

#[derive(Clone, Debug)]
struct Content {
    status: StatusCode,
    code: &'static str,
    title: Text,
    detail: Option<Text>,
    errors: Vec<FieldProblem>,
    members: serde_json::Map<String, serde_json::Value>,
    headers: HeaderMap,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// JSON pointer (RFC 6901) into the body, or the name of the query parameter or header.
    pub pointer: String,
    /// Stable code for programs.
    pub code: &'static str,
    /// What is wrong; never the value.
    pub message: Text,
}

/// The body of a problem (RFC 9457, section 3), as it is sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `https://novacrm.io/problems/<code>`.
    r#type: String,
    /// The kind of problem in words.
    title: String,
    /// HTTP status.
    status: u16,
    /// What went wrong this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The path that was asked, with the route's word in place of whatever is no identifier.
    instance: String,
    /// Stable code for programs.
    code: &'static str,
    /// Trace to look for in the logs.
    trace_id: String,
    /// Which fields, where fields are to blame.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldBody>,
    /// What some kinds add.
    #[serde(flatten)]
    members: serde_json::Map<String, serde_json::Value>,
}

/// What is wrong with one field, as it is sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub struct FieldBody {
    /// JSON pointer into the body, or the name of the query parameter or header.
    pointer: String,
    /// Stable code for programs.
    code: &'static str,
    /// What is wrong with it.
    message: String,
}

impl Problem {
    /// A kind of problem: its HTTP status, stable code and title.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, fr: &'static str, en: &'static str) -> Self {
        Self(Box::new(Content {
            status,
            code,
            title: Text::new(fr, en),
            detail: None,
            errors: Vec::new(),
            members: serde_json::Map::new(),
            headers: HeaderMap::new(),
        }))
    }

    /// Says what went wrong this time.
    #[must_use]
    pub fn detail(mut self, detail: Text) -> Self {
        self.0.detail = Some(detail);
        self
    }

    /// Names a field to blame.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>, code: &'static str, message: Text) -> Self {
        self.0.errors.push(FieldProblem { pointer: pointer.into(), code, message });
        self
    }

    /// Adds a member of its own, as RFC 9457, section 3.2 allows.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Says after how many seconds another try makes sense.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// 404.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Introuvable", "Not found")
    }

    /// 400: the request cannot be read.
    #[must_use]
    pub fn bad_request(detail: Text) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "Requête illisible", "Unreadable request")
            .detail(detail)
    }

    /// 422: the request can be read and says something that is not allowed.
    #[must_use]
    pub fn validation() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
            "Des champs ne sont pas valides",
            "Some fields are not valid",
        )
    }

    /// 413.
    #[must_use]
    pub fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "Corps trop volumineux",
            "Body too large",
        )
    }

    /// 500. The reason goes to the log, not to the reader; log it before.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Erreur interne", "Internal error").detail(
            Text::new(
                "La requête n'a pas pu être traitée ; l'identifiant de trace permet de retrouver la cause.",
                "The request could not be handled; the trace id leads to the cause.",
            ),
        )
    }

    /// The body, for an answer that had begun when it happened.
    #[must_use]
    pub fn into_body(self, asked: &Asked) -> ProblemBody {
        let content = *self.0;
        let english = asked.english;
        ProblemBody {
            r#type: format!("{TYPE_BASE}{}", content.code),
            title: content.title.pick(english),
            status: content.status.as_u16(),
            detail: content.detail.map(|detail| detail.pick(english)),
            instance: asked.instance.clone(),
            code: content.code,
            trace_id: asked.trace_id.clone(),
            errors: content
                .errors
                .into_iter()
                .map(|error| FieldBody {
                    pointer: error.pointer,
                    code: error.code,
                    message: error.message.pick(english),
                })
                .collect(),
            members: content.members,
        }
    }

    fn render(mut self, asked: &Asked) -> Response {
        let (status, english) = (self.0.status, asked.english);
        let own = std::mem::take(&mut self.0.headers);
        let mut response = (status, axum::Json(self.into_body(asked))).into_response();
        let headers = response.headers_mut();
        headers.extend(own);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(if english { "en" } else { "fr" }));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// What a problem needs to know of its request. Handlers find it as `Extension<Asked>`.
#[derive(Clone, Debug)]
pub struct Asked {
    english: bool,
    instance: String,
    trace_id: String,
}

impl IntoResponse for Problem {
    /// Leaves the writing to [`Pipeline::wrap`], which knows the reader's language and the trace.
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A JSON body. Refuses other media types (415), invalid JSON or UTF-8 (400), fields that are unknown, missing or of
/// the wrong type (422).
#[derive(Clone, Copy, Debug, Default)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        json_type(request.headers())?;
        parse(&body::read(request).await?).map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        if media_type(request.headers()).is_none() {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Checks that a body is announced as JSON.
///
/// # Errors
/// 415.
pub fn json_type(headers: &HeaderMap) -> Result<(), Problem> {
    let accepted = media_type(headers).is_some_and(|kind| {
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    });
    if accepted {
        return Ok(());
    }
    let problem = Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Type de contenu non pris en charge",
        "Unsupported media type",
    );
    Err(problem.detail(Text::new(
        "Envoyez du JSON avec l'en-tête `Content-Type: application/json`.",
        "Send JSON with the header `Content-Type: application/json`.",
    )))
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Reads a JSON object; see [`Json`] for what is refused.
///
/// # Errors
/// 400 or 422, naming the place and never a value.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let malformed = |line: usize, column: usize| {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_json", "JSON invalide", "Invalid JSON").detail(
            Text::made(
                format!("Le corps n'est pas du JSON valide en UTF-8 (ligne {line}, colonne {column})."),
                format!("The body is not valid JSON in UTF-8 (line {line}, column {column})."),
            ),
        )
    };
    // Every body is an object. Where serde expects one, it would take an array too, its values as the fields in order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        let message = Text::new("valeur inattendue ; attendu : un objet", "expected an object");
        return Err(Problem::validation().field("", "invalid_type", message));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        match error.classify() {
            serde_json::error::Category::Data => {
                let (code, message) = field_message(&error.to_string(), error.line(), error.column());
                Problem::validation().field(known_part(&pointer, code), code, message)
            }
            _ => malformed(error.line(), error.column()),
        }
    })?;
    deserializer.end().map_err(|error| malformed(error.line(), error.column()))?;
    Ok(value)
}

/// The name of an unknown field is the sender's own word, so the pointer stops at its parent.
fn known_part<'a>(pointer: &'a str, code: &str) -> &'a str {
    match code {
        "unknown_field" => pointer.rsplit_once('/').map_or("", |(parent, _)| parent),
        _ => pointer,
    }
}

/// A JSON pointer (RFC 6901) to where reading stopped.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
    }
    pointer
}

/// What serde says, without what the sender said: its messages quote the offending value.
fn field_message(message: &str, line: usize, column: usize) -> (&'static str, Text) {
    let expected = |marker: &str| {
        let tail = message.rsplit_once(marker).map(|(_, tail)| tail)?;
        Some(tail.split(" at line ").next().unwrap_or(tail).to_owned())
    };
    if message.starts_with("unknown field") {
        let known = expected("expected ").unwrap_or_default();
        return (
            "unknown_field",
            Text::made(
                format!("champ inconnu (ligne {line}, colonne {column}) ; attendu : {known}"),
                format!("unknown field (line {line}, column {column}); expected {known}"),
            ),
        );
    }
    if let Some(rest) = message.strip_prefix("missing field `") {
        let name = rest.split('`').next().unwrap_or_default();
        return (
            "missing_field",
            Text::made(format!("le champ `{name}` manque"), format!("the field `{name}` is missing")),
        );
    }
    match expected(", expected ") {
        Some(expected) => (
            "invalid_type",
            Text::made(format!("valeur inattendue ; attendu : {expected}"), format!("expected {expected}")),
        ),
        None => ("invalid_value", Text::new("valeur non valide", "not a valid value")),
    }
}

/// Query parameters. Refuses unknown, repeated and invalid ones (400).
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(deserializer).map(Self).map_err(|error| {
            let name = pointer(error.path()).trim_start_matches('/').to_owned();
            let (code, message) = field_message(&error.into_inner().to_string(), 1, 1);
            let name = known_part(&name, code).to_owned();
            let problem = Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_query",
                "Paramètre de requête non valide",
                "Invalid query parameter",
            );
            problem.field(name, code, message)
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: &'static str,
}

/// The middleware of a server, with its metrics.
#[derive(Clone, Debug)]
pub struct Pipeline {
    bodies: Bodies,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
}

impl Pipeline {
    /// Registers `http_requests` and `http_request_duration_seconds` (by matched route, never by path), and what
    /// [`Bodies::new`] registers. Bodies share [`body::BUDGET_BYTES`].
    pub fn new(registry: &mut Registry) -> Self {
        Self::with_budget(body::BUDGET_BYTES, registry)
    }

    /// [`Pipeline::new`], where the bodies of all requests may take so many bytes together.
    pub fn with_budget(bytes: usize, registry: &mut Registry) -> Self {
        let pipeline = Self {
            bodies: Bodies::new(bytes, registry),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0005, 2.0, 14))),
        };
        registry.register("http_requests", "Requests answered", pipeline.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from the head of a request to the head of its answer",
            pipeline.durations.clone(),
        );
        pipeline
    }

    /// Wraps all routes: trace and log, problems in the reader's language, panics, bodies of at most `body_limit`
    /// bytes where a route has no limit of its own. Unless the router has a fallback of its own, give it [`not_found`].
    pub fn wrap(self, router: Router, body_limit: usize) -> Router {
        // One layer: the router boxes and clones each one for every request.
        let layer = ServiceBuilder::new()
            .layer(axum::middleware::from_fn_with_state(self, handle))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(Extension(Limit(body_limit)));
        router.method_not_allowed_fallback(method_not_allowed).layer(layer)
    }
}

/// A fallback for what no route matches.
pub async fn not_found() -> Problem {
    Problem::not_found()
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "Méthode non permise",
        "Method not allowed",
    )
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    // The payload may hold anything, so it goes nowhere; the panic hook has logged the place.
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

async fn handle(State(pipeline): State<Pipeline>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let (span, trace_id) = crate::telemetry::request_span(request.headers(), |trace_id| {
        tracing::info_span!("request", method, route, trace_id)
    });
    let english = prefers_english(request.headers());
    let instance = instance(&route, request.uri().path());
    let asked = Asked { english, instance, trace_id: trace_id.clone() };
    request.extensions_mut().insert(asked.clone());
    let reserved = pipeline.bodies.admit(&mut request);

    let mut response = next.run(request).instrument(span.clone()).await;
    drop(reserved);
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.render(&asked);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let status = response.status();
    let seconds = started.elapsed().as_secs_f64();
    pipeline.durations.get_or_create(&RouteLabels { route: route.clone(), method }).observe(seconds);
    let labels = RequestLabels { route: route.clone(), method, status: status_class(status) };
    pipeline.requests.get_or_create(&labels).inc();
    let (status, duration_ms) = (status.as_u16(), seconds * 1000.0);
    // One line for each answer that somebody may have to look into; the rest is counted.
    match status {
        500.. => {
            tracing::warn!(parent: &span, method, route, status, duration_ms, trace_id, "request failed")
        }
        400.. => {
            tracing::info!(parent: &span, method, route, status, duration_ms, trace_id, "request refused")
        }
        _ => tracing::debug!(parent: &span, method, route, status, duration_ms, trace_id, "request answered"),
    }
    response
}

/// The path of a problem. What matched no route, and a parameter that is no identifier of ours, is the sender's own
/// word and may hold anything: the route stands for it.
fn instance(route: &str, path: &str) -> String {
    let is_identifier =
        |part: &str| part.len() == 36 && part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let parts = route.split('/').zip(path.split('/'));
    parts.map(|(known, sent)| if is_identifier(sent) { sent } else { known }).collect::<Vec<_>>().join("/")
}

/// A closed set: a method is the sender's own word.
fn method_label(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

/// French unless English is asked for with a higher weight (RFC 9110, section 12.5.4).
fn prefers_english(headers: &HeaderMap) -> bool {
    let weight = |language: &str| {
        let header =
            headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        header
            .split(',')
            .filter_map(|range| {
                let mut parts = range.trim().split(';');
                let tag = parts.next()?.trim();
                let primary = tag.split('-').next()?;
                let quality = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok());
                primary.eq_ignore_ascii_case(language).then_some(quality.unwrap_or(1.0))
            })
            .fold(0.0, f32::max)
    };
    weight("en") > weight("fr")
}
