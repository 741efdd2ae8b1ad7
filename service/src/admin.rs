//! The admin port: `/healthz` (alive), `/readyz` (ready, or why not) and `/metrics` (Prometheus text).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::registry::Registry;

/// What a process needs to be ready, part by part. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<RwLock<BTreeMap<&'static str, Option<String>>>>);

impl Readiness {
    /// Names the parts; none of them is ready yet.
    #[must_use]
    pub fn new(parts: &[&'static str]) -> Self {
        let starting = parts.iter().map(|part| (*part, Some("starting".to_owned()))).collect();
        Self(Arc::new(RwLock::new(starting)))
    }

    /// The part is ready.
    pub fn ready(&self, part: &'static str) {
        self.set(part, None);
    }

    /// The part is not ready, and why. The reason is shown on `/readyz`; it must not hold values of requests.
    pub fn not_ready(&self, part: &'static str, reason: impl Into<String>) {
        self.set(part, Some(reason.into()));
    }

    fn set(&self, part: &'static str, reason: Option<String>) {
        let mut parts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = parts.insert(part, reason.clone());
        match reason {
            None if before != Some(None) => tracing::info!(part, "ready"),
            Some(reason) if before != Some(Some(reason.clone())) => tracing::warn!(part, reason, "not ready"),
            _ => {}
        }
    }

    /// The parts that are not ready, with the reason.
    #[must_use]
    pub fn missing(&self) -> BTreeMap<&'static str, String> {
        let parts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        parts.iter().filter_map(|(part, reason)| Some((*part, reason.clone()?))).collect()
    }
}

/// The routes of the admin port.
pub fn router(readiness: Readiness, registry: Registry) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(metrics).with_state(Arc::new(registry)))
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let missing = readiness.missing();
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({ "ready": missing.is_empty(), "missing": missing }))).into_response()
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
