//! Reading request bodies within bounds of size, time and memory.
//!
//! All bodies that a process holds at the same time share one budget ([`Bodies`]). A handler reads its body with
//! [`read`], after it has checked who asks: the declared length is reserved before the first byte is read, and stays
//! reserved until the request is answered. A body may take ten seconds, and one more for each 64 KiB that have come.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::problem::{Problem, Text};

/// What the bodies of all requests of a process may take together, unless it says otherwise, in bytes.
pub const BUDGET_BYTES: usize = 16 * 1024 * 1024;
/// Longest body where nothing else is said, in bytes.
pub const LIMIT_BYTES: usize = 64 * 1024;
/// How long a request waits for its part of the budget.
const WAIT: Duration = Duration::from_secs(2);
/// How long a body may take whatever its length.
const TIME: Duration = Duration::from_secs(10);
/// Slowest transfer beyond that, in bytes per second.
const RATE: u32 = 64 * 1024;

/// Longest body of the routes that `Extension(Limit(…))` is a layer of, in bytes. The innermost limit of a route holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub usize);

/// The budget for the request bodies of a process. Cheap to clone; all clones are one budget.
#[derive(Clone, Debug)]
pub struct Bodies {
    budget: Arc<Semaphore>,
    bytes: usize,
    refused: Family<RefusedLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: &'static str,
}

impl Bodies {
    /// A budget of so many bytes. Registers `http_bodies_refused` (by `too_large`, `too_slow` and `no_memory`).
    #[must_use]
    pub fn new(bytes: usize, registry: &mut Registry) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let refused = Family::default();
        registry.register("http_bodies_refused", "Request bodies that were not read whole", refused.clone());
        Self { budget: Arc::new(Semaphore::new(bytes)), bytes, refused }
    }

    /// Lets the body of a request be read from this budget. What is reserved for it is given back when the last
    /// clone of the answer is dropped.
    pub(crate) fn admit(&self, request: &mut Request) -> Option<Reserved> {
        if request.body().is_end_stream() {
            return None;
        }
        let reserved = Reserved { bodies: self.clone(), permits: Arc::default() };
        request.extensions_mut().insert(reserved.clone());
        Some(reserved)
    }

    fn refuse(&self, reason: &'static str, problem: Problem) -> Problem {
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
        problem
    }
}

/// What one request has reserved.
#[derive(Clone, Debug)]
pub(crate) struct Reserved {
    bodies: Bodies,
    permits: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Reserved {
    /// Waits for so many bytes of the budget.
    async fn wait(&self, bytes: usize) -> Option<()> {
        // A body may be longer than the whole budget where a test or a setting makes the budget small.
        let bytes = u32::try_from(bytes.min(self.bodies.bytes)).ok()?;
        let acquiring = Arc::clone(&self.bodies.budget).acquire_many_owned(bytes);
        self.keep(timeout(WAIT, acquiring).await.ok()?.ok()?);
        Some(())
    }

    /// Takes more of the budget at once or not at all: whoever holds a part of it must not wait for another part.
    fn take(&self, bytes: usize) -> Option<()> {
        let bytes = u32::try_from(bytes).ok()?;
        self.keep(Arc::clone(&self.bodies.budget).try_acquire_many_owned(bytes).ok()?);
        Some(())
    }

    fn keep(&self, permit: OwnedSemaphorePermit) {
        let mut held = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(held) => held.merge(permit),
            None => *held = Some(permit),
        }
    }
}

/// Reads the whole body of a request that passed [`crate::problem::Pipeline::wrap`].
///
/// # Errors
/// 413 when it is longer than the route's limit; 408 when it comes too slowly; 503 `overloaded` when the process has
/// no memory for it; 400 when it breaks off.
pub async fn read(request: Request) -> Result<Bytes, Problem> {
    let (parts, mut body) = request.into_parts();
    let limit = parts.extensions.get::<Limit>().map_or(LIMIT_BYTES, |limit| limit.0);
    let Some(reserved) = parts.extensions.get::<Reserved>() else {
        // Without the middleware there is no budget; there is no body either when it saw none.
        return if body.is_end_stream() { Ok(Bytes::new()) } else { Err(Problem::internal()) };
    };
    let bodies = &reserved.bodies;
    let declared = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if declared.is_some_and(|bytes| bytes > limit) {
        return Err(bodies.refuse("too_large", Problem::too_large()));
    }
    let mut room = declared.unwrap_or_default();
    reserved.wait(room).await.ok_or_else(|| bodies.refuse("no_memory", overloaded()))?;
    let began = Instant::now();
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    let mut length = 0_usize;
    loop {
        let came = u32::try_from(length).unwrap_or(u32::MAX);
        let deadline = began + TIME + Duration::from_secs(1) * came / RATE;
        let frame = timeout_at(deadline, body.frame()).await;
        let frame = frame.map_err(|_| bodies.refuse("too_slow", too_slow()))?;
        let Some(frame) = frame else { break };
        let broken = |_| Problem::bad_request(Text::new("Le corps s'interrompt.", "The body breaks off."));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > limit {
            return Err(bodies.refuse("too_large", Problem::too_large()));
        }
        if length > room {
            reserved.take(length - room).ok_or_else(|| bodies.refuse("no_memory", overloaded()))?;
            room = length;
        }
        if length == data.len() {
            first = data;
            continue;
        }
        if !first.is_empty() {
            whole.reserve(declared.unwrap_or(length));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.into() })
}

/// 408: the client sends too slowly.
#[must_use]
pub fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "request_timeout",
        "Délai d'attente dépassé",
        "Request timed out",
    )
    .detail(Text::new(
        "Le corps de la requête arrive trop lentement.",
        "The body of the request comes too slowly.",
    ))
}

/// 503: there is too much to do at this moment.
#[must_use]
pub fn overloaded() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Service surchargé", "Service overloaded")
        .detail(Text::new(
            "Trop de requêtes sont en cours ; réessayez dans un instant.",
            "Too many requests are under way; try again in a moment.",
        ))
        .retry_after(1)
}
