//! `POST /v1/stream`: a text in, line by line as it comes; the parts of it that may leave out, each after its record is
//! durable. Both bodies are JSON Lines: a [`StreamStart`] and [`StreamPiece`]s in, [`StreamLine`]s out.
//!
//! One bundle decides the whole text. What the request does wrong before the answer begins is a problem; after that it
//! is a line `problem`, and nothing more leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use novacrm_engine_core::ExternalFinding;
use novacrm_engine_core::pipeline::stream::{Inspected, Part, Stream};
use novacrm_engine_core::pipeline::{Decision, Uninspected};
use novacrm_engine_core::record::entry::PartFacts;
use novacrm_engine_core::transform::{Restored, Restorer};
use novacrm_engine_wire::{
    AnalyzeRequest, MAX_LINE_BYTES, MAX_TEXT_BYTES, StreamLine, StreamPart, StreamPiece, StreamStart, Unheard,
};
use novacrm_service::body::{overloaded, too_slow};
use novacrm_service::problem::{Asked, Problem, ProblemBody, Text, parse};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::analyze::{internal, not_behind, validate};
use super::inspections::Turn;
use super::restore::validate_listed;
use super::{Decider, Engine, MAX_BODY_BYTES, audit_unavailable, convert, external, record};
use crate::audit::append::NewRecord;
use crate::bundle::InForce;

/// JSON Lines.
const MEDIA_TYPE: &str = "application/x-ndjson";
/// How long the next line of a request may take.
const IDLE: Duration = Duration::from_secs(60);
/// Lines that wait for a reader.
const AHEAD: usize = 4;

/// Decide on a text while it comes. Each part is recorded durably before it is sent.
///
/// The request is one `StreamStart` and then any number of `StreamPiece`, a line each; the answer is `part` lines while
/// the request goes on, and one `end` or `problem`. What has not been inspected is held back: a part leaves when 512
/// bytes behind it have been inspected too.
#[utoipa::path(post, path = "/v1/stream",
    request_body(content = StreamStart, content_type = "application/x-ndjson", description = "A `StreamStart`, then `StreamPiece`s, one a line"),
    responses(
    (status = 200, description = "`StreamLine`s, one a line", body = StreamLine, content_type = "application/x-ndjson"),
    (status = 400, description = "The first line is not JSON, or not UTF-8", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Only the tenant's API may ask", body = ProblemBody, content_type = "application/problem+json"),
    (status = 408, description = "No line came for a minute", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "`bundle_behind`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, description = "A line is longer than 64 KiB, or the body than 8 MiB", body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, description = "Not JSON Lines", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "A field is unknown or not valid", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "`no_bundle` or `overloaded`; nothing was decided", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn stream(
    _: Decider,
    State(engine): State<Arc<Engine>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Result<Response, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Type de contenu non pris en charge",
            "Unsupported media type",
        )
        .detail(Text::new(
            "Envoyez du JSON ligne par ligne avec l'en-tête `Content-Type: application/x-ndjson`.",
            "Send JSON line by line with the header `Content-Type: application/x-ndjson`.",
        )));
    }
    let place = engine.inspections.stream().ok_or_else(overloaded)?;
    let room = engine.inspections.stream_bytes(0).ok_or_else(overloaded)?;
    let mut lines = Lines::new(request.into_body());
    let first = lines.next().await?.unwrap_or_default();
    let start: StreamStart = parse(&first)?;
    validate_listed(&start.tokens)?;
    let request = AnalyzeRequest {
        text: String::new(),
        surface: start.surface,
        use_case: start.use_case,
        purpose: start.purpose,
        actor: start.actor,
        subject: start.subject,
        locale: start.locale,
        document: start.document,
        request_id: None,
        minimum_sequence: start.minimum_sequence,
    };
    validate(&request)?;
    let in_force = engine.in_force()?;
    not_behind(request.minimum_sequence, &in_force)?;
    let id = Uuid::now_v7();
    let document: Arc<str> = request.document.clone().unwrap_or_else(|| id.to_string()).into();
    let restorer = start.restore.then(|| {
        let listed: Vec<_> = start.tokens.iter().map(convert::unlisted).collect();
        Restorer::new(engine.keys.decision.token.tokens(&document), &listed)
    });
    let deciding = Deciding {
        text: Stream::new(MAX_TEXT_BYTES, restorer),
        engine,
        in_force,
        request: Arc::new(request),
        document,
        id,
        parts: 0,
        told: Restored::default(),
        _place: place,
        room,
    };
    let (out, coming) = mpsc::channel(AHEAD);
    tokio::spawn(deciding.run(lines, out, asked));
    let body = futures::stream::unfold(coming, |mut coming: mpsc::Receiver<Bytes>| async move {
        coming.recv().await.map(|line| (Ok::<_, std::convert::Infallible>(line), coming))
    });
    let mut response = Body::from_stream(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The lines of a body, each as soon as it is there.
struct Lines {
    body: BodyDataStream,
    held: Vec<u8>,
    /// Bytes of `held` that hold no line feed.
    searched: usize,
    taken: usize,
    is_over: bool,
}

impl Lines {
    fn new(body: Body) -> Self {
        Self { body: body.into_data_stream(), held: Vec::new(), searched: 0, taken: 0, is_over: false }
    }

    /// The next line that is not empty, without its line feed; `None` when there is none.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        loop {
            let unseen = self.held.get(self.searched..).unwrap_or_default();
            if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
                let rest = self.held.split_off(self.searched + at + 1);
                let line = std::mem::replace(&mut self.held, rest);
                self.searched = 0;
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            self.searched = self.held.len();
            if self.held.len() > MAX_LINE_BYTES {
                return Err(Problem::too_large());
            }
            if self.is_over {
                let line = std::mem::take(&mut self.held);
                self.searched = 0;
                return Ok((!line.trim_ascii().is_empty()).then_some(line));
            }
            let next = tokio::time::timeout(IDLE, self.body.try_next()).await.map_err(|_| too_slow())?;
            let broken = Text::new("Le corps s'interrompt.", "The body breaks off.");
            match next.map_err(|_| Problem::bad_request(broken))? {
                Some(bytes) => {
                    self.taken += bytes.len();
                    if self.taken > MAX_BODY_BYTES {
                        return Err(Problem::too_large());
                    }
                    self.held.extend_from_slice(&bytes);
                }
                None => self.is_over = true,
            }
        }
    }
}

/// A text on its way, and what it is decided by.
struct Deciding {
    text: Stream,
    engine: Arc<Engine>,
    in_force: Arc<InForce>,
    request: Arc<AnalyzeRequest>,
    document: Arc<str>,
    id: Uuid,
    parts: u64,
    /// What was restored, as far as it is recorded.
    told: Restored,
    /// The place among the streams.
    _place: Turn,
    /// The room that the text takes of their budget.
    room: Turn,
}

/// Nobody reads the answer any more.
struct Gone;

impl Deciding {
    async fn run(mut self, mut lines: Lines, out: mpsc::Sender<Bytes>, asked: Asked) {
        let ended = self.parts(&mut lines, &out).await;
        if let Err(problem) = ended {
            let body = serde_json::to_value(problem.into_body(&asked)).unwrap_or_default();
            let _ = send(&out, &StreamLine::Problem(body)).await;
        }
    }

    /// Decides part after part; returns when nothing more is to be said.
    async fn parts(&mut self, lines: &mut Lines, out: &mpsc::Sender<Bytes>) -> Result<(), Problem> {
        loop {
            let Some(line) = lines.next().await? else {
                self.part(true, None, out).await?;
                return Ok(());
            };
            let piece: StreamPiece = parse(&line)?;
            self.room.merge(self.engine.inspections.stream_bytes(piece.text.len()).ok_or_else(overloaded)?);
            if self.text.push(&piece.text).is_err() {
                // What lies beyond is not taken, whatever the failure mode.
                self.part(true, Some(Uninspected::TooLarge), out).await?;
                return Ok(());
            }
            if self.text.is_due() && self.part(false, None, out).await? {
                return Ok(());
            }
        }
    }

    /// Decides on what has come, records it and sends what may leave. Whether that was all.
    async fn part(
        &mut self,
        is_last: bool,
        failure: Option<Uninspected>,
        out: &mpsc::Sender<Bytes>,
    ) -> Result<bool, Problem> {
        let heard =
            external::hear(&self.engine, &self.in_force, &self.request, self.text.arrived().text()).await?;
        let started = Instant::now();
        let now = OffsetDateTime::now_utc();
        let stale = self.engine.bundles.is_stale(&self.in_force).then_some(Uninspected::StaleBundle);
        let part = match self.inspect(heard.findings, is_last, failure.or(stale), now).await {
            Some(inspected) => self.text.release(inspected, is_last),
            None => {
                let asked = convert::request(&self.request, &[], &self.document, now);
                self.text.give_up(&self.in_force.bundle, &asked, Uninspected::TimeOut, is_last)
            }
        };
        let took = started.elapsed();
        if part.decision.output.is_none() && !self.text.is_over() {
            // Nothing to be decided yet: all is held back.
            return Ok(false);
        }
        let Part { mut decision, span, findings, late } = part;
        let (id, is_over) = (Uuid::now_v7(), self.text.is_over());
        let text = decision.output.take().unwrap_or_default();
        let tokens = std::mem::take(&mut decision.tokens);
        self.parts += 1;
        let restored = self.text.restorer().map(|restorer| since(&self.told, restorer.restored()));
        let head = record::Head {
            id,
            recorded_at: now,
            tenant: &self.engine.tenant,
            request: &self.request,
            text_length: span.end - span.start,
            part: Some(PartFacts {
                stream: self.id,
                number: self.parts,
                start: span.start,
                end: span.end,
                last: is_over,
                late,
            }),
            bundle: &self.in_force.bundle,
            key: &self.engine.keys.commitment,
        };
        // The last record of a refusal tells what stopped the text, which lies in what did not leave.
        let end = if is_over { decision.findings.len() } else { findings.end };
        let of_part = decision.findings.get(findings.start..end).unwrap_or_default();
        let (entry, salts) = record::of(head, &decision, of_part, heard.unheard, restored.as_ref());
        let encoded = entry.encode().map_err(internal)?;
        let appended = self.engine.appender.append(NewRecord { id, encoded, salts, reply: None }).await;
        appended.map_err(|error| audit_unavailable(&error))?;
        let action = convert::action(decision.action);
        let uninspected = decision.uninspected.map(convert::uninspected);
        self.engine.metrics.decided(action, of_part.len(), uninspected, took);
        if let Some(restored) = &restored {
            self.engine.metrics.restored(restored.counts.values().sum());
        }
        if let Some(restorer) = self.text.restorer() {
            self.told = restorer.restored().clone();
        }
        if !text.is_empty() {
            let line = StreamLine::Part(StreamPart {
                record_id: id,
                number: self.parts,
                start: span.start,
                end: span.end,
                action,
                text,
                findings: of_part.iter().map(convert::finding).collect(),
                tokens: tokens.into_iter().map(convert::listed).collect(),
            });
            if send(out, &line).await.is_err() {
                return Err(Problem::internal());
            }
        }
        if is_over {
            let end = self.end(id, now, decision, heard.unheard);
            let _ = send(out, &end).await;
        }
        Ok(is_over)
    }

    fn end(&self, id: Uuid, now: OffsetDateTime, decision: Decision, unheard: Option<Unheard>) -> StreamLine {
        let answer = convert::response(id, now, decision, unheard, &self.document, &self.in_force.bundle);
        StreamLine::End(Box::new(answer))
    }

    /// Inspects what has come, off the async threads and within the time budget.
    async fn inspect(
        &self,
        external: Vec<ExternalFinding>,
        is_last: bool,
        failure: Option<Uninspected>,
        now: OffsetDateTime,
    ) -> Option<Inspected> {
        let inspecting = async {
            let permit = self.engine.inspections.turn(self.text.arrived().text().len()).await?;
            let (in_force, request) = (Arc::clone(&self.in_force), Arc::clone(&self.request));
            let (document, keys) = (Arc::clone(&self.document), Arc::clone(&self.engine.keys));
            let arrived = self.text.arrived().clone();
            let inspection = tokio::task::spawn_blocking(move || {
                // An inspection that overruns its time keeps its place, so that many of them cannot pile up.
                let _permit = permit;
                let asked = convert::request(&request, &external, &document, now);
                arrived.inspect(&in_force.bundle, &asked, &keys.decision, is_last, failure)
            });
            inspection.await.ok()
        };
        tokio::time::timeout(self.engine.budget, inspecting).await.ok().flatten()
    }
}

async fn send(out: &mpsc::Sender<Bytes>, line: &StreamLine) -> Result<(), Gone> {
    let mut bytes = serde_json::to_vec(line).map_err(|_| Gone)?;
    bytes.push(b'\n');
    out.send(bytes.into()).await.map_err(|_| Gone)
}

/// What was restored since then.
fn since(then: &Restored, now: &Restored) -> Restored {
    let mut news = now.clone();
    for (kind, count) in &mut news.counts {
        *count -= then.counts.get(kind).copied().unwrap_or_default();
    }
    news.counts.retain(|_, count| *count > 0);
    news.foreign -= then.foreign;
    news
}
