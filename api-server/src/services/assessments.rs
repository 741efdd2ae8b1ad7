//! Assessments: a prompt goes to the compliance engine, its verdict to the contact's timeline. The prompt is not
//! stored, and the text that may leave only in the sealed reply.

use novacrm_api_domain::contact::Contact;
use novacrm_api_domain::field::Fault;
use novacrm_api_domain::permission::{Resource, Verb};
use novacrm_api_domain::user::Locale;
use novacrm_engine_wire as wire;
use time::OffsetDateTime;
use uuid::Uuid;

use super::once::{self, Answer, OnceKey, RESERVATION, Reply};
use super::ports::Reserved;
use super::records;
use super::tokens::Caller;
use super::{ServiceError, Services};

/// A verdict of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// UUIDv7.
    pub id: Uuid,
    /// Whom the prompt was about.
    pub contact_id: Option<Uuid>,
    /// Who asked.
    pub owner_id: Uuid,
    /// When.
    pub created_at: OffsetDateTime,
    /// What the engine answered. As stored it has no `output`, no tokens, no fingerprints and no paths.
    pub verdict: wire::AnalyzeResponse,
}

/// What is asked.
#[derive(Clone)]
pub struct Question {
    /// The text.
    pub prompt: String,
    /// Whom it is about.
    pub contact_id: Option<Uuid>,
    /// Which registered use of AI it belongs to.
    pub use_case: Option<String>,
    /// Language of the person who asks.
    pub locale: Locale,
}

/// Asks the engine about a prompt and keeps its verdict.
///
/// The idempotency key is reserved first, the engine called under the identifier of that reservation, and the
/// verdict stored together with the reply. Whatever breaks off in between, the next attempt calls the engine under
/// the same identifier and gets the same record.
///
/// # Errors
/// When the caller may not, the contact is not visible to them, or the engine gives no verdict.
pub async fn create(
    services: &Services,
    caller: &Caller,
    question: Question,
    key: &OnceKey,
    render: fn(&Assessment) -> Reply,
) -> Result<Answer, ServiceError> {
    records::allowed(caller, Resource::Assessment, Verb::Create)?;
    if let Some(answer) = once::replay(services, Some(key)).await? {
        return Ok(answer);
    }
    if question.prompt.trim().is_empty() {
        return Err(ServiceError::field("prompt", Fault::Empty));
    }
    if question.use_case.as_ref().is_some_and(|id| !wire::is_name(id)) {
        return Err(ServiceError::field("use_case", Fault::UnknownReference));
    }
    if let Some(contact) = question.contact_id {
        match records::read::<Contact>(services, caller, contact).await {
            Ok(_) => {}
            Err(ServiceError::NotFound) => {
                return Err(ServiceError::field("contact_id", Fault::UnknownReference));
            }
            Err(other) => return Err(other),
        }
    }
    let now = services.clock.now();
    let reserved =
        services.replies.reserve(&key.id, &key.request, now, now - RESERVATION, now + once::KEPT).await?;
    let run = match reserved {
        Reserved::Run(run) => run,
        Reserved::Taken => return once::overtaken(services, Some(key)).await,
    };
    match assess(services, caller, question, key, run, render).await {
        Ok(reply) => Ok(Answer { reply, replayed: false }),
        Err(error) => {
            if services.replies.release(&key.id).await.is_err() {
                tracing::warn!(run = %run, "a reservation could not be given back; it expires by itself");
            }
            Err(error)
        }
    }
}

async fn assess(
    services: &Services,
    caller: &Caller,
    question: Question,
    key: &OnceKey,
    run: Uuid,
    render: fn(&Assessment) -> Reply,
) -> Result<Reply, ServiceError> {
    let request = wire::AnalyzeRequest {
        text: question.prompt,
        surface: wire::Surface::PromptInput,
        use_case: question.use_case,
        purpose: None,
        actor: Some(wire::Actor { id: caller.user.to_string(), role: caller.role.as_str().to_owned() }),
        subject: question.contact_id.map(|id| id.to_string()),
        locale: match question.locale {
            Locale::Fr => wire::Locale::Fr,
            Locale::En => wire::Locale::En,
        },
        document: None,
        request_id: Some(run),
        minimum_sequence: None,
    };
    let verdict = services.engine.analyze(&request).await?;
    let mut assessment = Assessment {
        id: run,
        contact_id: question.contact_id,
        owner_id: caller.user,
        created_at: services.clock.now(),
        verdict,
    };
    let reply = render(&assessment);
    let shows = [assessment.id].into_iter().chain(assessment.contact_id).collect();
    let once = once::keep(services, Some(key), &reply, shows)?
        .ok_or(ServiceError::Internal("a reply without a key"))?;
    assessment.verdict.output = None;
    assessment.verdict.tokens.clear();
    for finding in &mut assessment.verdict.findings {
        finding.fingerprint.clear();
        finding.path = None;
    }
    services.assessments.insert(&assessment, &once).await?;
    Ok(reply)
}

/// A verdict, without text.
///
/// # Errors
/// When the caller may not read, or it is not visible to them, or is about a contact that is not.
pub async fn read(services: &Services, caller: &Caller, id: Uuid) -> Result<Assessment, ServiceError> {
    let visible = records::sight(caller, Resource::Assessment, Verb::Read)?;
    services.assessments.find(id, visible).await?.ok_or(ServiceError::NotFound)
}
