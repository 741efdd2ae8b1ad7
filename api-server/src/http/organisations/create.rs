//! `POST /organisations`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::organisation::OrganisationInput;
use novacrm_service::problem::Problem;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::error::problem;
use crate::http::exchange::{Posted, answer};
use crate::http::views::OrganisationView;
use crate::services::{Services, organisations};

/// An organisation to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOrganisation)]
pub struct New {
    /// Trade name.
    name: String,
    /// Domain of its web site and mail.
    #[serde(default)]
    domain: Option<String>,
    /// French company identifier.
    #[serde(default)]
    siren: Option<String>,
    /// European VAT number.
    #[serde(default)]
    vat_number: Option<String>,
    /// The user who answers for it; you when absent.
    #[serde(default)]
    owner_id: Option<Uuid>,
}

/// Make an organisation.
///
/// Honours `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/organisations",
    tag = "organisations",
    operation_id = "create_organisation",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request repeatable")),
    request_body = New,
    responses((status = 201, description = "It was made", body = OrganisationView)),
    extensions(("x-permission" = json!("organisation.create")))
)]
pub async fn create(
    State(services): State<Arc<Services>>,
    Posted { caller, body: new, key }: Posted<New>,
) -> Result<Response, Problem> {
    let owner_id = new.owner_id;
    let input = OrganisationInput {
        name: new.name,
        domain: new.domain,
        siren: new.siren,
        vat_number: new.vat_number,
    };
    organisations::create(&services, &caller, input, owner_id, key.as_ref(), super::render)
        .await
        .map(answer)
        .map_err(problem)
}
