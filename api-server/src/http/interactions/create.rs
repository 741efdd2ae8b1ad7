//! `POST /interactions`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::interaction::InteractionInput;
use novacrm_api_domain::interaction::{Direction, Kind};
use novacrm_service::problem::Problem;
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::error::problem;
use crate::http::exchange::{Posted, answer, to_utc};
use crate::http::views::InteractionView;
use crate::services::{Services, interactions};

/// An interaction to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewInteraction)]
pub struct New {
    /// With whom.
    contact_id: Uuid,
    /// `call`, `email`, `meeting`, `chat` or `note`.
    #[schema(value_type = String)]
    kind: Kind,
    /// `inbound`, `outbound` or `internal`.
    #[schema(value_type = String)]
    direction: Direction,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: OffsetDateTime,
    /// What it was about, in a line.
    subject: String,
    /// What was said.
    #[serde(default)]
    body: Option<String>,
    /// The user who answers for it; you when absent.
    #[serde(default)]
    owner_id: Option<Uuid>,
}

/// Make an interaction.
///
/// Honours `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/interactions",
    tag = "interactions",
    operation_id = "create_interaction",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request repeatable")),
    request_body = New,
    responses((status = 201, description = "It was made", body = InteractionView)),
    extensions(("x-permission" = json!("interaction.create")))
)]
pub async fn create(
    State(services): State<Arc<Services>>,
    Posted { caller, body: new, key }: Posted<New>,
) -> Result<Response, Problem> {
    let owner_id = new.owner_id;
    let input = InteractionInput {
        contact_id: new.contact_id,
        kind: new.kind,
        direction: new.direction,
        occurred_at: to_utc(new.occurred_at),
        subject: new.subject,
        body: new.body,
    };
    interactions::create(&services, &caller, input, owner_id, key.as_ref(), super::render)
        .await
        .map(answer)
        .map_err(problem)
}
