//! `GET /v1/events`: the audit log as an event stream, in order and without gaps.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use novacrm_engine_wire::EventPage;
use novacrm_service::problem::{Json, Problem, ProblemBody, Query, Text};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Engine, MAX_WAIT, Reader, audit_unavailable};
use crate::audit::read;

/// How often the log is looked at while a caller waits: any engine of the tenant may have written.
const POLL: Duration = Duration::from_millis(200);

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// The last sequence number the caller has; 0 for the beginning.
    #[serde(default)]
    after: u64,
    /// Most events of one answer, 1 to 1000.
    #[serde(default = "default_limit")]
    limit: u16,
    /// Seconds to wait for the first event when there is none, 0 to 30.
    #[serde(default)]
    wait: u64,
}

fn default_limit() -> u16 {
    100
}

/// The records after a place in the log.
#[utoipa::path(get, path = "/v1/events", params(Page), responses(
    (status = 200, description = "Records, oldest first", body = EventPage),
    (status = 400, description = "A parameter is not valid", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Only the tenant's API and the operator may ask", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "`audit_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn events(
    _: Reader,
    State(engine): State<Arc<Engine>>,
    Query(page): Query<Page>,
) -> Result<Json<EventPage>, Problem> {
    if !(1..=1000).contains(&page.limit) || page.wait > MAX_WAIT.as_secs() || page.after > i64::MAX as u64 {
        return Err(Problem::bad_request(Text::new(
            "`limit` va de 1 à 1000, `wait` de 0 à 30.",
            "`limit` is 1 to 1000, `wait` 0 to 30.",
        )));
    }
    let until = tokio::time::Instant::now() + Duration::from_secs(page.wait);
    loop {
        let read = read::events(&engine.reader, page.after, page.limit).await;
        let events = read.map_err(|error| audit_unavailable(&error))?;
        if !events.events.is_empty() || tokio::time::Instant::now() + POLL > until {
            return Ok(Json(events));
        }
        tokio::time::sleep(POLL).await;
    }
}
