//! What requests and answers have in common: identifiers, versions, repeated requests, pages.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use novacrm_service::problem::{self, Problem, Text};
use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcOffset};
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
use super::caller::Authenticated;
use super::error::{problem, query};
use crate::services::Services;
use crate::services::list::{LIMIT_DEFAULT, LIMIT_MAX, ListRequest, Listing};
use crate::services::once::{Answer, OnceKey, Reply};
use crate::services::tokens::Caller;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The identifier in a path. One that cannot exist is not found.
#[derive(Clone, Copy, Debug)]
pub struct Id(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(id) =
            Path::<Uuid>::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
        Ok(Self(id))
    }
}

/// The versions that `If-Match` names (RFC 9110, section 13.1.1). There is no `*`: who changes a record says which
/// version they saw.
#[derive(Clone, Debug)]
pub struct IfMatch(pub Vec<i64>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut tags = parts.headers.get_all(header::IF_MATCH).iter().peekable();
        let required = || {
            Problem::new(
                StatusCode::PRECONDITION_REQUIRED,
                "version_required",
                "Version requise",
                "Version required",
            )
            .detail(Text::new(
                "Envoyez dans `If-Match` l'ETag reçu à la lecture de l'objet.",
                "Send the ETag you got when you read the record in `If-Match`.",
            ))
        };
        if tags.peek().is_none() {
            return Err(required());
        }
        let mut versions = Vec::new();
        for tag in tags.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')) {
            match tag.trim() {
                "*" => return Err(required()),
                // A weak or foreign tag matches nothing.
                tag => versions.extend(strong(tag)),
            }
        }
        Ok(Self(versions))
    }
}

/// The version of a strong entity tag.
fn strong(tag: &str) -> Option<i64> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

fn etag(version: i64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Who sends a request without a body, and the `Idempotency-Key` it comes with.
#[derive(Clone, Debug)]
pub struct Bare {
    /// Who.
    pub caller: Caller,
    /// Under which key.
    pub key: Option<OnceKey>,
}

impl FromRequestParts<App> for Bare {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        let key = once_key(app, parts, caller.user, b"")?;
        Ok(Self { caller, key })
    }
}

/// Who sends a body, the body, and the `Idempotency-Key` it comes with. Who asks is checked before the body is read.
#[derive(Debug)]
pub struct Posted<T> {
    /// Who.
    pub caller: Caller,
    /// What.
    pub body: T,
    /// Under which key.
    pub key: Option<OnceKey>,
}

impl<T: DeserializeOwned> FromRequest<App> for Posted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Authenticated(caller) = Authenticated::from_request_parts(&mut parts, app).await?;
        Self::read(caller, parts, body, app).await
    }
}

impl<T: DeserializeOwned> Posted<T> {
    /// Reads the body of somebody who is known.
    ///
    /// # Errors
    /// When it is too long, breaks off or is not the JSON that is expected, or the key has another form.
    pub(super) async fn read(caller: Caller, parts: Parts, body: Body, app: &App) -> Result<Self, Problem> {
        let kept = parts.clone();
        problem::json_type(&kept.headers)?;
        let bytes = novacrm_service::body::read(Request::from_parts(parts, body)).await?;
        let key = once_key(app, &kept, caller.user, &bytes)?;
        Ok(Self { caller, body: problem::parse(&bytes)?, key })
    }
}

fn once_key(app: &App, parts: &Parts, user: Uuid, body: &[u8]) -> Result<Option<OnceKey>, Problem> {
    let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|byte| (0x20..0x7f).contains(&byte)))
        .ok_or_else(|| {
            Problem::bad_request(Text::new(
                "`Idempotency-Key` : 1 à 255 caractères ASCII imprimables.",
                "`Idempotency-Key` must have 1 to 255 printable ASCII characters.",
            ))
        })?;
    let services = Arc::<Services>::from_ref(app);
    services.seal.key(user, parts.method.as_str(), parts.uri.path(), key, body).map(Some).map_err(problem)
}

/// A problem for an operation that cannot do without the key.
#[must_use]
pub fn key_required() -> Problem {
    Problem::bad_request(Text::new(
        "L'en-tête `Idempotency-Key` est requis pour cette opération.",
        "The header `Idempotency-Key` is required for this operation.",
    ))
}

/// A record with its entity tag, or 304 when the reader has it.
pub fn item<T: Serialize>(headers: &HeaderMap, version: i64, view: &T) -> Response {
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|tag| {
            let tag = tag.trim();
            tag == "*" || strong(tag.strip_prefix("W/").unwrap_or(tag)) == Some(version)
        });
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { axum::Json(view).into_response() };
    private(response.headers_mut());
    response.headers_mut().insert(header::ETAG, etag(version));
    response
}

/// JSON for one reader.
pub fn data<T: Serialize>(view: &T) -> Response {
    let mut response = axum::Json(view).into_response();
    private(response.headers_mut());
    response
}

fn private(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization, Cookie, Accept-Language"));
}

/// Writes a record as a reply.
pub fn reply<T: Serialize>(view: &T, status: u16, version: Option<i64>, location: String) -> Reply {
    // A view is made of texts, numbers and times, which can always be written.
    let body = serde_json::to_string(view).unwrap_or_default();
    Reply { status, version, location: (status == 201).then_some(location), body }
}

/// A reply that was made now, or kept from an earlier request.
#[must_use]
pub fn answer(answer: Answer) -> Response {
    let Answer { reply, replayed } = answer;
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let empty = reply.body.is_empty();
    let mut response = (status, Body::from(reply.body)).into_response();
    let headers = response.headers_mut();
    if empty {
        headers.remove(header::CONTENT_TYPE);
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    private(headers);
    if let Some(version) = reply.version {
        headers.insert(header::ETAG, etag(version));
    }
    if let Some(Ok(location)) = reply.location.map(HeaderValue::try_from) {
        headers.insert(header::LOCATION, location);
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// Whether all that match are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Count {
    /// No.
    #[default]
    None,
    /// Yes.
    Exact,
}

/// The paging parameters of a list.
#[derive(Clone, Debug)]
pub struct Paging {
    /// Most records.
    pub limit: Option<u32>,
    /// Where to go on.
    pub after: Option<String>,
    /// The sort.
    pub sort: Option<String>,
    /// Whether to count.
    pub count: Option<Count>,
}

impl Paging {
    /// The limit.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn limit(&self) -> Result<u32, Problem> {
        match self.limit {
            None => Ok(LIMIT_DEFAULT),
            Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Some(_) => Err(query(
                "limit",
                Text::made(format!("de 1 à {LIMIT_MAX}"), format!("must be from 1 to {LIMIT_MAX}")),
            )),
        }
    }

    /// A request for a list.
    ///
    /// # Errors
    /// When the limit is out of range.
    pub fn request<F>(self, filter: F) -> Result<ListRequest<F>, Problem> {
        let limit = self.limit()?;
        let count = self.count == Some(Count::Exact);
        Ok(ListRequest { filter, sort: self.sort, after: self.after, limit, count })
    }
}

/// Longest text to search for, in characters.
const SEARCH_MAX: usize = 200;

/// Checks a text to search for. PostgreSQL cannot take U+0000.
///
/// # Errors
/// When it is too long or holds control characters.
pub fn search(name: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.chars().count() > SEARCH_MAX || text.chars().any(char::is_control) => Err(query(
            name,
            Text::made(
                format!("au plus {SEARCH_MAX} caractères, sans caractère de contrôle"),
                format!("at most {SEARCH_MAX} characters, no control characters"),
            ),
        )),
        other => Ok(other.filter(|text| !text.trim().is_empty())),
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T: ToSchema> {
    /// The records.
    pub data: Vec<T>,
    /// Where to go on.
    pub page: PageInfo,
    /// How many records match, when `count=exact` was asked.
    pub count: Option<i64>,
}

/// Where a page stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageInfo {
    /// Cursor for `after`; null on the last page.
    pub next: Option<String>,
    /// Most records of a page.
    pub limit: u32,
}

/// Writes a page.
pub fn page<T, V: Serialize + ToSchema + From<T>>(listing: Listing<T>, limit: u32) -> Response {
    data(&Page {
        data: listing.records.into_iter().map(V::from).collect(),
        page: PageInfo { next: listing.next, limit },
        count: listing.count,
    })
}

/// Reads a field of a merge patch (RFC 7396) that is there: `null` only where the type allows it.
///
/// # Errors
/// Those of the type.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// As [`present`], for a time.
///
/// # Errors
/// When it is not a time of RFC 3339.
pub fn present_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OffsetDateTime>, D::Error> {
    time::serde::rfc3339::deserialize(deserializer).map(Some)
}

/// Puts what a merge patch gives in the place of what was there; what it leaves out stays.
pub fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

/// A time as it is stored: in UTC, in whole microseconds.
#[must_use]
pub fn to_utc(at: OffsetDateTime) -> OffsetDateTime {
    // A time at the very end of the calendar may have no form in UTC; it is refused as too far away in any case.
    let at = at.checked_to_offset(UtcOffset::UTC).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.replace_microsecond(at.microsecond()).unwrap_or(at)
}
