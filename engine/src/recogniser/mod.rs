//! In: a text. Out: what a recogniser outside of the engine says it saw in it, as findings of its own detectors; or why
//! it was not heard.
//!
//! Two kinds of service are understood ([`Api`]): one that speaks as Microsoft Presidio's analyzer does, and any chat
//! endpoint in the manner of OpenAI's. Either is off unless an address is given, is asked only where a policy in force
//! uses `external.*` on the surface, and can only add: its findings neither hide nor change those of the engine.
//!
//! # What is bounded
//! The time of a call, waiting for its turn included; the length of the text that is sent; the calls at a time; the
//! length of an answer and the findings in it. What an answer calls a finding is taken for one of a fixed list of types
//! or left out, so that no word of an answer reaches a record, a metric or a log.

mod answer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use novacrm_engine_core::{ExternalDetector, ExternalError, ExternalFinding, Span};
use novacrm_engine_wire::{Locale, Unheard};
use novacrm_service::answer::{self as received, AnswerError};
use novacrm_service::destination::{Guard, Refusal};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use answer::Entity;

/// Longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Most findings that an answer may hold.
const MAX_ENTITIES: usize = 1000;
/// How sure a finding is whose answer does not say.
const SCORE: f64 = 0.6;

/// What the recogniser speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Api {
    /// `{text, language}` in, `[{entity_type, start, end, score}]` out, as Presidio's analyzer does
    Presidio,
    /// Chat completions in the manner of OpenAI, whose message is such a list
    Chat,
}

/// What happens when the recogniser is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FailureMode {
    /// The engine decides by its own detectors, and says so
    Open,
    /// The request is refused; nothing is decided
    Closed,
}

/// Which recogniser is asked, and how.
#[derive(Debug)]
pub struct Settings {
    /// Its name in detectors: `external.<name>.<type>`.
    pub name: String,
    /// Where requests go, path included.
    pub url: Url,
    /// What it speaks.
    pub api: Api,
    /// The model that a chat endpoint is to use.
    pub model: String,
    /// Bearer token.
    pub key: Option<Zeroizing<String>>,
    /// Types that are taken, each as the service calls it or as `<theirs>=<ours>`.
    pub types: Vec<String>,
    /// Languages that the service knows, by their tags; of another one the first is named.
    pub languages: Vec<String>,
    /// How long a call may take, waiting for its turn included, which may take half of it.
    pub time_out: Duration,
    /// Longest text that is sent, in bytes.
    pub max_bytes: usize,
    /// Calls at a time.
    pub max_calls: usize,
    /// What happens when it is not heard.
    pub failure_mode: FailureMode,
    /// Whether it may be on this machine: only where everything runs on one.
    pub local: bool,
}

/// Why a recogniser cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum RecogniserError {
    /// The name or a type.
    #[error("the recogniser's name or a type of it cannot be that of a detector: {0}")]
    Detector(#[from] ExternalError),
    /// No types, no languages, or no calls.
    #[error("the recogniser needs at least one {0}")]
    None(&'static str),
    /// A chat endpoint without a model.
    #[error("a chat endpoint needs the name of a model")]
    Model,
    /// The address.
    #[error("the recogniser's address must begin with http:// or https:// and hold no user or password")]
    Address,
    /// The address is one that nothing may be sent to.
    #[error("the recogniser's address is refused: {0}")]
    Refused(#[from] Refusal),
    /// The HTTP client.
    #[error("no HTTP client can be made for the recogniser: {0}")]
    Client(#[from] reqwest::Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the label's values are the contract's snake_case names")]
enum Outcome {
    answered,
    too_large,
    busy,
    time_out,
    unavailable,
    unreadable,
    not_configured,
}

impl From<Unheard> for Outcome {
    fn from(why: Unheard) -> Self {
        match why {
            Unheard::TooLarge => Self::too_large,
            Unheard::Busy => Self::busy,
            Unheard::TimeOut => Self::time_out,
            Unheard::Unavailable => Self::unavailable,
            Unheard::Unreadable => Self::unreadable,
            Unheard::NotConfigured => Self::not_configured,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FateLabels {
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the label's values are snake_case names")]
enum Fate {
    taken,
    other_type,
    no_place,
}

#[derive(Clone, Debug)]
struct Metrics {
    calls: Family<OutcomeLabels, Counter>,
    entities: Family<FateLabels, Counter>,
    seconds: Histogram,
}

impl Metrics {
    fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Family::default(),
            entities: Family::default(),
            seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
        };
        registry.register(
            "engine_recogniser_calls",
            "Texts for the external recogniser, by what became of them",
            metrics.calls.clone(),
        );
        registry.register(
            "engine_recogniser_entities",
            "What the external recogniser answered, by what became of it",
            metrics.entities.clone(),
        );
        registry.register(
            "engine_recogniser_seconds",
            "Time a call of the external recogniser took",
            metrics.seconds.clone(),
        );
        metrics
    }
}

/// A recogniser that can be asked.
#[derive(Debug)]
pub struct Recogniser {
    settings: Settings,
    client: reqwest::Client,
    /// As the service calls it, and the detector it is here.
    types: Vec<(String, ExternalDetector)>,
    calls: Semaphore,
    metrics: Metrics,
}

impl Recogniser {
    /// Checks the settings; registers `engine_recogniser_…`.
    ///
    /// # Errors
    /// When they name nothing that can be asked.
    pub fn new(settings: Settings, registry: &mut Registry) -> Result<Self, RecogniserError> {
        let url = &settings.url;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some()
        {
            return Err(RecogniserError::Address);
        }
        if settings.api == Api::Chat && settings.model.is_empty() {
            return Err(RecogniserError::Model);
        }
        for (what, is_none) in [
            ("type", settings.types.is_empty()),
            ("language", settings.languages.is_empty()),
            ("call at a time", settings.max_calls == 0),
        ] {
            if is_none {
                return Err(RecogniserError::None(what));
            }
        }
        let types = settings.types.iter().map(|one| {
            let (theirs, ours) = one.split_once('=').unwrap_or((one, one));
            Ok((folded(theirs), ExternalDetector::new(&settings.name, ours)?))
        });
        let types = types.collect::<Result<_, ExternalError>>()?;
        // The name is judged by the operator; here it is the address that it leads to, each time a connection is opened.
        let guard = Guard::new(url, settings.local)?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .dns_resolver(Arc::new(guard))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(settings.time_out)
            .build()?;
        let calls = Semaphore::new(settings.max_calls);
        Ok(Self { settings, client, types, calls, metrics: Metrics::new(registry) })
    }

    /// Its name in detectors.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What happens when it is not heard.
    #[must_use]
    pub fn failure_mode(&self) -> FailureMode {
        self.settings.failure_mode
    }

    /// Asks about a text.
    ///
    /// # Errors
    /// Why it was not heard. Whatever it has seen by then is left out: half an answer looks like a whole one.
    pub async fn ask(&self, text: &str, locale: Locale) -> Result<Vec<ExternalFinding>, Unheard> {
        let answered = self.entities(text, locale).await;
        let outcome = match &answered {
            Ok(_) => Outcome::answered,
            Err(why) => Outcome::from(*why),
        };
        self.metrics.calls.get_or_create(&OutcomeLabels { outcome }).inc();
        Ok(self.findings(text, &answered?))
    }

    async fn entities(&self, text: &str, locale: Locale) -> Result<Vec<Entity>, Unheard> {
        if text.len() > self.settings.max_bytes {
            return Err(Unheard::TooLarge);
        }
        let started = Instant::now();
        // Half of the time is kept for the call, or one that waited would never have any.
        let turn = tokio::time::timeout(self.settings.time_out / 2, self.calls.acquire()).await;
        let _turn = turn.map_err(|_| Unheard::Busy)?.map_err(|_| Unheard::Busy)?;
        let left = self.settings.time_out.saturating_sub(started.elapsed());
        let answer = tokio::time::timeout(left, self.call(text, locale)).await;
        self.metrics.seconds.observe(started.elapsed().as_secs_f64());
        let answer = answer.map_err(|_| Unheard::TimeOut)??;
        let entities = match self.settings.api {
            Api::Presidio => answer::of_analyzer(&answer),
            Api::Chat => answer::of_chat(&answer),
        };
        entities.filter(|entities| entities.len() <= MAX_ENTITIES).ok_or_else(|| {
            // What it answered may hold the text, so only its length is told.
            tracing::warn!(
                answer_bytes = answer.len(),
                "an answer of the external recogniser cannot be read"
            );
            Unheard::Unreadable
        })
    }

    async fn call(&self, text: &str, locale: Locale) -> Result<Vec<u8>, Unheard> {
        let mut request = self.client.post(self.settings.url.clone()).json(&self.question(text, locale));
        if let Some(key) = &self.settings.key {
            request = request.bearer_auth(key.as_str());
        }
        let unreachable = |error: reqwest::Error| {
            let error = error.without_url();
            tracing::warn!(%error, "the external recogniser cannot be reached");
            if error.is_timeout() { Unheard::TimeOut } else { Unheard::Unavailable }
        };
        let response = request.send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            tracing::warn!(status, "the external recogniser refused a text");
            return Err(Unheard::Unavailable);
        }
        received::read(response, MAX_ANSWER_BYTES).await.map_err(|error| match error {
            AnswerError::Broken(error) => unreachable(error),
            AnswerError::TooLong(_) => {
                tracing::warn!(%error, "an answer of the external recogniser is too long");
                Unheard::Unreadable
            }
        })
    }

    fn question(&self, text: &str, locale: Locale) -> Value {
        let tag = match locale {
            Locale::Fr => "fr",
            Locale::En => "en",
        };
        let languages = &self.settings.languages;
        let language = languages.iter().find(|known| *known == tag).or(languages.first());
        match self.settings.api {
            Api::Presidio => json!({ "text": text, "language": language }),
            Api::Chat => {
                let types: Vec<&str> = self.types.iter().map(|(theirs, _)| theirs.as_str()).collect();
                json!({
                    "model": self.settings.model,
                    "temperature": 0,
                    "stream": false,
                    "response_format": { "type": "json_object" },
                    "messages": [
                        { "role": "system", "content": answer::instruction(&types) },
                        { "role": "user", "content": text },
                    ],
                })
            }
        }
    }

    /// What is taken of an answer. Its words are those of the configuration, its places lie in the text.
    fn findings(&self, text: &str, entities: &[Entity]) -> Vec<ExternalFinding> {
        let places = answer::Places::new(text);
        let count = |fate| self.metrics.entities.get_or_create(&FateLabels { fate }).inc();
        let mut findings = Vec::new();
        for entity in entities {
            let kind = folded(&entity.entity_type);
            let Some((_, detector)) = self.types.iter().find(|(theirs, _)| *theirs == kind) else {
                count(Fate::other_type);
                continue;
            };
            let Some((start, end)) = places.of(entity) else {
                count(Fate::no_place);
                continue;
            };
            count(Fate::taken);
            findings.push(ExternalFinding {
                detector: detector.clone(),
                span: Span { start, end },
                score: entity.score.filter(|score| score.is_finite()).unwrap_or(SCORE).clamp(0.0, 1.0),
            });
        }
        findings
    }
}

/// A type as it is compared.
fn folded(name: &str) -> String {
    name.trim().chars().map(|c| if c == '-' || c == ' ' { '_' } else { c.to_ascii_uppercase() }).collect()
}
