//! The compliance engine over mutual TLS.
//!
//! Every request carries its identifier, and the engine answers a repeated one from its record, so a lost answer may
//! be asked for again. Whatever goes wrong in the end is "unavailable": without a record there is no verdict.

use std::time::Duration;

use async_trait::async_trait;
use novacrm_engine_wire::{
    AnalyzeRequest, AnalyzeResponse, EraseSubjectsRequest, EraseSubjectsResponse, MAX_TEXT_BYTES,
    PoliciesInForce,
};
use novacrm_service::answer::{self, AnswerError};
use novacrm_service::telemetry;
use novacrm_service::tls::Identity;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use crate::services::ports::{ComplianceEngine, EngineError};

/// How long one attempt may take; the engine's own budget for a text is shorter.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer, in bytes: a text that JSON writes as six bytes for one, with what was found in it.
const ANSWER_BYTES: usize = 8 * MAX_TEXT_BYTES;
/// Attempts at a request.
const ATTEMPTS: u32 = 3;
/// Pause before the second attempt; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

/// A client of the engine.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    url: Url,
    calls: Family<CallLabels, Counter>,
    durations: Family<OperationLabels, Histogram, fn() -> Histogram>,
}

impl Engine {
    /// A client; registers `engine_calls` and `engine_call_duration_seconds`.
    pub fn new(identity: Identity, url: Url, registry: &mut Registry) -> Self {
        let engine = Self {
            identity,
            url,
            calls: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 14))),
        };
        registry.register("engine_calls", "Calls of the compliance engine", engine.calls.clone());
        registry.register(
            "engine_call_duration_seconds",
            "Time a call of the compliance engine took, with all its attempts",
            engine.durations.clone(),
        );
        engine
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        fill: impl Fn(RequestBuilder) -> RequestBuilder + Send,
    ) -> Result<T, EngineError> {
        let started = std::time::Instant::now();
        let mut pause = PAUSE;
        let mut attempt = 1;
        let result = loop {
            let result = self.attempt(method.clone(), path, &fill).await;
            if attempt == ATTEMPTS || !matches!(result, Err(EngineError::Unavailable)) {
                break result;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            attempt += 1;
        };
        let outcome = match &result {
            Ok(_) => "answered",
            Err(EngineError::Unavailable) => "unavailable",
            Err(EngineError::Refused(_)) => "refused",
            Err(EngineError::Unreadable) => "unreadable",
        };
        self.calls.get_or_create(&CallLabels { operation, outcome }).inc();
        self.durations.get_or_create(&OperationLabels { operation }).observe(started.elapsed().as_secs_f64());
        result
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        fill: &(impl Fn(RequestBuilder) -> RequestBuilder + Send),
    ) -> Result<T, EngineError> {
        let url = self.url.join(path).map_err(|_| EngineError::Unavailable)?;
        let mut headers = http::HeaderMap::new();
        telemetry::inject(&mut headers);
        let request = self.identity.client().request(method, url).timeout(TIMEOUT).headers(headers);
        let response = fill(request).send().await.map_err(|error| {
            // The error may hold the URL, which is ours, and never the body.
            tracing::warn!(%error, "the compliance engine cannot be reached");
            EngineError::Unavailable
        })?;
        match response.status() {
            StatusCode::OK | StatusCode::CREATED => {
                let body = answer::read(response, ANSWER_BYTES).await.map_err(|error| match error {
                    AnswerError::Broken(_) => EngineError::Unavailable,
                    AnswerError::TooLong(_) => {
                        tracing::error!(%error, "an answer of the engine is too long");
                        EngineError::Unreadable
                    }
                })?;
                serde_json::from_slice(&body).map_err(|error| {
                    tracing::error!(
                        line = error.line(),
                        column = error.column(),
                        "an answer of the engine cannot be read"
                    );
                    EngineError::Unreadable
                })
            }
            // Behind, busy or not ready: another pod, or this one in a moment, may answer.
            status
                if status.is_server_error()
                    || status == StatusCode::TOO_MANY_REQUESTS
                    || status == StatusCode::REQUEST_TIMEOUT =>
            {
                tracing::warn!(status = status.as_u16(), "the compliance engine gave no verdict");
                Err(EngineError::Unavailable)
            }
            status => {
                tracing::error!(status = status.as_u16(), "the compliance engine refused a request");
                Err(EngineError::Refused(status.as_u16()))
            }
        }
    }
}

#[async_trait]
impl ComplianceEngine for Engine {
    async fn analyze(&self, request: &AnalyzeRequest) -> Result<AnalyzeResponse, EngineError> {
        self.call("analyze", Method::POST, "/v1/analyze", |builder| builder.json(request)).await
    }

    async fn erase_subjects(
        &self,
        subjects: &[String],
        after: Option<u64>,
    ) -> Result<Option<u64>, EngineError> {
        let request = EraseSubjectsRequest { subjects: subjects.to_vec(), after };
        let answer: EraseSubjectsResponse = self
            .call("erase_subjects", Method::POST, "/v1/subjects/erase", |builder| builder.json(&request))
            .await?;
        Ok(answer.next)
    }

    async fn policies(&self) -> Result<PoliciesInForce, EngineError> {
        self.call("policies", Method::GET, "/v1/policies", |builder| builder).await
    }
}
