//! `PATCH /interactions/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use novacrm_api_domain::interaction::InteractionInput;
use novacrm_api_domain::interaction::{Direction, Kind};
use novacrm_service::problem::{Json, Problem};
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Id, IfMatch, item, present, present_time, set, to_utc};
use crate::http::views::InteractionView;
use crate::services::{Services, interactions};

/// A merge patch (RFC 7396): what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InteractionPatch)]
pub struct Patch {
    /// Kind.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    kind: Option<Kind>,
    /// Direction.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    direction: Option<Direction>,
    /// Occurred at.
    #[serde(default, deserialize_with = "present_time")]
    occurred_at: Option<OffsetDateTime>,
    /// Subject.
    #[serde(default, deserialize_with = "present")]
    subject: Option<String>,
    /// Body; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    body: Option<Option<String>>,
    /// The user who answers for it.
    #[serde(default, deserialize_with = "present")]
    owner_id: Option<Uuid>,
}

/// Change an interaction.
#[utoipa::path(
    patch,
    path = "/interactions/{id}",
    tag = "interactions",
    operation_id = "change_interaction",
    params(
        ("id" = Uuid, Path, description = "Identifier"),
        ("If-Match" = String, Header, description = "Entity tag you saw")
    ),
    request_body = Patch,
    responses((status = 200, description = "It was changed", body = InteractionView)),
    extensions(("x-permission" = json!("interaction.update")))
)]
pub async fn change(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    Json(patch): Json<Patch>,
) -> Result<Response, Problem> {
    let owner_id = patch.owner_id;
    let change = move |input: &mut InteractionInput| {
        set(&mut input.kind, patch.kind);
        set(&mut input.direction, patch.direction);
        set(&mut input.occurred_at, patch.occurred_at.map(to_utc));
        set(&mut input.subject, patch.subject);
        set(&mut input.body, patch.body);
    };
    let record = interactions::change(&services, &caller, id, &expected, Box::new(change), owner_id)
        .await
        .map_err(problem)?;
    Ok(item(&HeaderMap::new(), record.meta.version, &InteractionView::from(record)))
}
