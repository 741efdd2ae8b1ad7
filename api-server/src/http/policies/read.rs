//! `GET /policies`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_engine_wire::PoliciesInForce;
use novacrm_service::problem::Problem;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::data;
use crate::services::{Services, policies};

/// Read the policies in force.
///
/// As the engine sees them, with the register of AI uses; a view may be two seconds old.
#[utoipa::path(
    get,
    path = "/policies",
    tag = "policies",
    operation_id = "read_policies",
    responses((status = 200, description = "The policies and the register", body = PoliciesInForce)),
    extensions(("x-permission" = json!("policy.read")))
)]
pub async fn read(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
) -> Result<Response, Problem> {
    let policies = policies::read(&services, &caller).await.map_err(problem)?;
    Ok(data(policies.as_ref()))
}
