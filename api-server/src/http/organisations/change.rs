//! `PATCH /organisations/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use novacrm_api_domain::organisation::OrganisationInput;
use novacrm_service::problem::{Json, Problem};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Id, IfMatch, item, present, set};
use crate::http::views::OrganisationView;
use crate::services::{Services, organisations};

/// A merge patch (RFC 7396): what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrganisationPatch)]
pub struct Patch {
    /// Name.
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    /// Domain; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    domain: Option<Option<String>>,
    /// Siren; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    siren: Option<Option<String>>,
    /// Vat number; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    vat_number: Option<Option<String>>,
    /// The user who answers for it.
    #[serde(default, deserialize_with = "present")]
    owner_id: Option<Uuid>,
}

/// Change an organisation.
#[utoipa::path(
    patch,
    path = "/organisations/{id}",
    tag = "organisations",
    operation_id = "change_organisation",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("If-Match" = String, Header, description = "Entity tag you saw")
    ),
    request_body = Patch,
    responses((status = 200, description = "It was changed", body = OrganisationView)),
    extensions(("x-permission" = json!("organisation.update")))
)]
pub async fn change(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    Json(patch): Json<Patch>,
) -> Result<Response, Problem> {
    let owner_id = patch.owner_id;
    let change = move |input: &mut OrganisationInput| {
        set(&mut input.name, patch.name);
        set(&mut input.domain, patch.domain);
        set(&mut input.siren, patch.siren);
        set(&mut input.vat_number, patch.vat_number);
    };
    let record = organisations::change(&services, &caller, id, &expected, Box::new(change), owner_id)
        .await
        .map_err(problem)?;
    Ok(item(&HeaderMap::new(), record.meta.version, &OrganisationView::from(record)))
}
