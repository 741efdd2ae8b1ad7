//! `GET /assessments/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_service::problem::Problem;

use crate::http::caller::Authenticated;
use crate::http::error::problem;
use crate::http::exchange::{Id, data};
use crate::http::views::AssessmentView;
use crate::services::{Services, assessments};

/// Read a verdict.
///
/// Without text.
#[utoipa::path(
    get,
    path = "/assessments/{id}",
    tag = "assessments",
    operation_id = "read_assessment",
    params(("id" = Uuid, Path, description = "Identifier")),
    responses((status = 200, description = "The verdict", body = AssessmentView)),
    extensions(("x-permission" = json!("assessment.read")))
)]
pub async fn read(
    State(services): State<Arc<Services>>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
) -> Result<Response, Problem> {
    let assessment = assessments::read(&services, &caller, id).await.map_err(problem)?;
    Ok(data(&AssessmentView::from(assessment)))
}
