//! `POST /assessments`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use novacrm_api_domain::user::Locale;
use novacrm_service::problem::Problem;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::concurrency::Admitted;
use crate::http::error::problem;
use crate::http::exchange::{Posted, answer, key_required, reply};
use crate::http::views::AssessmentView;
use crate::services::assessments::{Assessment, Question};
use crate::services::once::Reply;
use crate::services::{Services, assessments};

/// A prompt to be assessed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAssessment)]
pub struct New {
    /// The prompt; it is not stored.
    prompt: String,
    /// Whom it is about.
    #[serde(default)]
    contact_id: Option<Uuid>,
    /// Identifier of a registered use of AI.
    #[serde(default)]
    use_case: Option<String>,
    /// Language of the person who asks: `fr` (default) or `en`.
    #[serde(default)]
    #[schema(value_type = String)]
    locale: Locale,
}

/// Assess a prompt.
///
/// The compliance engine decides what may leave, and records it before it answers. The verdict is kept on the
/// contact's timeline, without the prompt. Needs `Idempotency-Key`. One user may have some assessments run at the same
/// time: 429 beyond that, 503 when all users together have too many; nothing was done then.
#[utoipa::path(
    post,
    path = "/assessments",
    tag = "assessments",
    operation_id = "create_assessment",
    params(("Idempotency-Key" = String, Header, description = "Makes the request repeatable")),
    request_body = New,
    responses((status = 201, description = "The verdict, with the text that may leave", body = AssessmentView)),
    extensions(("x-permission" = json!("assessment.create")))
)]
pub async fn create(
    State(services): State<Arc<Services>>,
    // The permit is kept until the engine has answered.
    Admitted { posted: Posted { caller, body: new, key }, permit: _permit }: Admitted<New>,
) -> Result<Response, Problem> {
    let key = key.ok_or_else(key_required)?;
    let question = Question {
        prompt: new.prompt,
        contact_id: new.contact_id,
        use_case: new.use_case,
        locale: new.locale,
    };
    assessments::create(&services, &caller, question, &key, render).await.map(answer).map_err(problem)
}

fn render(assessment: &Assessment) -> Reply {
    let location = format!("/api/v1/assessments/{}", assessment.id);
    reply(&AssessmentView::from(assessment.clone()), 201, None, location)
}
