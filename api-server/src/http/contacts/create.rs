//! `POST /contacts`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::contact::ContactInput;
use novacrm_api_domain::user::Locale;
use novacrm_service::problem::Problem;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::error::problem;
use crate::http::exchange::{Posted, answer};
use crate::http::views::ContactView;
use crate::services::{Services, contacts};

/// A contact to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewContact)]
pub struct New {
    /// First name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// E-mail address.
    #[serde(default)]
    email: Option<String>,
    /// Telephone number, international or French national.
    #[serde(default)]
    phone: Option<String>,
    /// What the person does.
    #[serde(default)]
    job_title: Option<String>,
    /// The language to write in: `fr` (default) or `en`.
    #[serde(default)]
    #[schema(value_type = String)]
    locale: Locale,
    /// Where the person works.
    #[serde(default)]
    organisation_id: Option<Uuid>,
    /// The person asked to be left alone.
    #[serde(default)]
    do_not_contact: bool,
    /// The user who answers for it; you when absent.
    #[serde(default)]
    owner_id: Option<Uuid>,
}

/// Make a contact.
///
/// Honours `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/contacts",
    tag = "contacts",
    operation_id = "create_contact",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request repeatable")),
    request_body = New,
    responses((status = 201, description = "It was made", body = ContactView)),
    extensions(("x-permission" = json!("contact.create")))
)]
pub async fn create(
    State(services): State<Arc<Services>>,
    Posted { caller, body: new, key }: Posted<New>,
) -> Result<Response, Problem> {
    let owner_id = new.owner_id;
    let input = ContactInput {
        first_name: new.first_name,
        last_name: new.last_name,
        email: new.email,
        phone: new.phone,
        job_title: new.job_title,
        locale: new.locale,
        organisation_id: new.organisation_id,
        do_not_contact: new.do_not_contact,
    };
    contacts::create(&services, &caller, input, owner_id, key.as_ref(), super::render)
        .await
        .map(answer)
        .map_err(problem)
}
