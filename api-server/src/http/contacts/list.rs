//! `GET /contacts`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::contact::Contact;
use novacrm_service::problem::{Problem, Query};
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Count, Page, Paging, page, search};
use crate::http::views::ContactView;
use crate::services::contacts::ContactFilter;
use crate::services::{Services, records};

/// Paging and filters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// Most records (1 to 200, default 50).
    limit: Option<u32>,
    /// Cursor: where to go on.
    after: Option<String>,
    /// Sort field, with `-` before it for descending order.
    sort: Option<String>,
    /// `exact` counts all that match.
    count: Option<Count>,
    /// Part of the name, without regard to accents.
    q: Option<String>,
    /// Where they work.
    organisation_id: Option<Uuid>,
    /// Owner.
    owner_id: Option<Uuid>,
    /// Exact e-mail address.
    email: Option<String>,
    /// Whether they want to be left alone.
    do_not_contact: Option<bool>,
    /// Changed after this time.
    #[serde(default, with = "time::serde::rfc3339::option")]
    updated_after: Option<OffsetDateTime>,
}

/// List contacts.
///
/// Live records that are visible to you, in pages.
#[utoipa::path(
    get,
    path = "/contacts",
    tag = "contacts",
    operation_id = "list_contacts",
    params(Parameters),
    responses((status = 200, description = "A page", body = Page<ContactView>)),
    extensions(("x-permission" = json!("contact.read")))
)]
pub async fn list(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Query(query): Query<Parameters>,
) -> Result<Response, Problem> {
    let filter = ContactFilter {
        q: search("q", query.q)?,
        organisation_id: query.organisation_id,
        owner_id: query.owner_id,
        email: search("email", query.email)?,
        do_not_contact: query.do_not_contact,
        updated_after: query.updated_after,
    };
    let paging = Paging { limit: query.limit, after: query.after, sort: query.sort, count: query.count };
    let request = paging.request(filter)?;
    let listing = records::list::<Contact>(&services, &caller, &request).await.map_err(problem)?;
    Ok(page::<_, ContactView>(listing, request.limit))
}
