//! Logs as JSON lines on standard output, traces by OTLP when an endpoint is named.
//!
//! In: `NOVACRM_LOG` (a filter in `tracing` syntax, `info` when absent) and `OTEL_EXPORTER_OTLP_ENDPOINT`.
//! Out: a guard that flushes what is left when it is dropped.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `NOVACRM_LOG` is not a filter.
    #[error("NOVACRM_LOG is not a valid filter (try `info` or `info,novacrm_engine=debug`): {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The exporter for traces could not be made.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Something else already took the process's logs.
    #[error("logging was started twice: {0}")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// Flushes traces when it is dropped.
#[derive(Debug)]
#[must_use = "telemetry stops when the guard is dropped"]
pub struct TelemetryGuard(Option<SdkTracerProvider>);

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Starts logs, and traces when `OTEL_EXPORTER_OTLP_ENDPOINT` is set. Call once, inside the runtime.
///
/// # Errors
/// When the filter or the endpoint cannot be used, or logging was started before.
pub fn init(service: &'static str) -> Result<TelemetryGuard, TelemetryError> {
    let filter = match std::env::var("NOVACRM_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(filter)?,
        _ => EnvFilter::new("info"),
    };
    let logs = tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false);
    let provider = match std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT") {
        Some(endpoint) if !endpoint.is_empty() => {
            let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build()?;
            let resource = Resource::builder().with_service_name(service).build();
            Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
        }
        _ => None,
    };
    EXPORTING.store(provider.is_some(), Ordering::Relaxed);
    let traces = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(service)));
    tracing_subscriber::registry().with(filter).with(logs).with(traces).try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        // The message of a panic may hold anything; the place is enough to find it.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Ok(TelemetryGuard(provider))
}

/// Whether spans are exported, and ids of traces therefore come from the exporter's library.
static EXPORTING: AtomicBool = AtomicBool::new(false);

/// Opens the span of a request within its W3C trace: the caller's when it sent `traceparent`, else a new one.
///
/// `open` makes the span for a trace id. The id is known before the span where nothing is exported, which spares
/// rewriting the span's fields on every request.
pub(crate) fn request_span(headers: &HeaderMap, open: impl FnOnce(&str) -> Span) -> (Span, String) {
    let parent = || TraceContextPropagator::new().extract(&Headers(headers));
    if EXPORTING.load(Ordering::Relaxed) {
        let span = open("");
        // It fails only for a span that is not exported, which then belongs to no trace.
        let _ = span.set_parent(parent());
        let id = span.context().span().span_context().trace_id().to_string();
        span.record("trace_id", id.as_str());
        return (span, id);
    }
    let remote = headers.contains_key("traceparent").then(|| parent().span().span_context().trace_id());
    let id = match remote {
        Some(id) if id != opentelemetry::TraceId::INVALID => id,
        _ => opentelemetry::TraceId::from(rand_id()),
    };
    let id = id.to_string();
    (open(&id), id)
}

fn rand_id() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    // Ids must differ, not be secret; the standard library seeds each state at random.
    let half = || u128::from(RandomState::new().hash_one(std::time::Instant::now()));
    (half() << 64) | half() | 1
}

/// Adds `traceparent` of the current span to the headers of an outgoing request.
pub fn inject(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut HeadersMut(headers));
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) =
            (axum::http::HeaderName::try_from(key), axum::http::HeaderValue::try_from(value))
        {
            self.0.insert(name, value);
        }
    }
}
