//! `PATCH /contacts/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use novacrm_api_domain::contact::ContactInput;
use novacrm_api_domain::user::Locale;
use novacrm_service::problem::{Json, Problem};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Id, IfMatch, item, present, set};
use crate::http::views::ContactView;
use crate::services::{Services, contacts};

/// A merge patch (RFC 7396): what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ContactPatch)]
pub struct Patch {
    /// First name.
    #[serde(default, deserialize_with = "present")]
    first_name: Option<String>,
    /// Last name.
    #[serde(default, deserialize_with = "present")]
    last_name: Option<String>,
    /// Email; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    /// Phone; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    phone: Option<Option<String>>,
    /// Job title; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    job_title: Option<Option<String>>,
    /// Locale.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    locale: Option<Locale>,
    /// Organisation id; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Uuid>)]
    organisation_id: Option<Option<Uuid>>,
    /// Do not contact.
    #[serde(default, deserialize_with = "present")]
    do_not_contact: Option<bool>,
    /// The user who answers for it.
    #[serde(default, deserialize_with = "present")]
    owner_id: Option<Uuid>,
}

/// Change a contact.
#[utoipa::path(
    patch,
    path = "/contacts/{id}",
    tag = "contacts",
    operation_id = "change_contact",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("If-Match" = String, Header, description = "Entity tag you saw")
    ),
    request_body = Patch,
    responses((status = 200, description = "It was changed", body = ContactView)),
    extensions(("x-permission" = json!("contact.update")))
)]
pub async fn change(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    Json(patch): Json<Patch>,
) -> Result<Response, Problem> {
    let owner_id = patch.owner_id;
    let change = move |input: &mut ContactInput| {
        set(&mut input.first_name, patch.first_name);
        set(&mut input.last_name, patch.last_name);
        set(&mut input.email, patch.email);
        set(&mut input.phone, patch.phone);
        set(&mut input.job_title, patch.job_title);
        set(&mut input.locale, patch.locale);
        set(&mut input.organisation_id, patch.organisation_id);
        set(&mut input.do_not_contact, patch.do_not_contact);
    };
    let record = contacts::change(&services, &caller, id, &expected, Box::new(change), owner_id)
        .await
        .map_err(problem)?;
    Ok(item(&HeaderMap::new(), record.meta.version, &ContactView::from(record)))
}
