//! Erasure (GDPR, articles 17 and 5(1)(e)): what was deleted is erased after a while, or at once on demand; verdicts are
//! kept for a while; and the engine is told to forget who was erased.
//!
//! Every replica does this. Work is taken in batches that skip what another replica works on. People whom the engine has
//! yet to forget wait in a queue of the database, so an engine that is away delays that and nothing else.

use novacrm_api_domain::permission::Verb;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::once::{self, Answer, OnceKey, Reply};
use super::ports::{Erased, Erasure, Life, Written};
use super::records::{self, Stored};
use super::tokens::Caller;
use super::{ServiceError, Services};

/// How long a deleted record can be restored, in days, when nothing is said.
pub const ERASURE_AFTER_DAYS: u16 = 30;
/// How long verdicts are kept, in days, when nothing is said.
pub const ASSESSMENT_RETENTION_DAYS: u16 = 365;
/// Records of each kind that one transaction erases.
pub const BATCH: u32 = 20;
/// Batches of one run; what is left is taken by the next one.
const BATCHES: u32 = 200;
/// After this time no request that began before an erasure can still reach the engine's log: it is longer than a
/// reservation lasts and than a call of the engine takes with all its attempts.
pub const SETTLED: Duration = Duration::minutes(5);
/// When people whom the engine did not forget are tried again.
const AGAIN: Duration = Duration::minutes(2);
/// People that the engine is told of at once.
const SUBJECTS: u32 = 50;

/// What is kept for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a deleted record can be restored before it is erased.
    pub deleted: Duration,
    /// How long a verdict is kept.
    pub assessments: Duration,
}

/// Erases a record for good, deleted or not, with what belongs to it: of a contact its interactions and the link of its
/// verdicts, and of every record the replies that are kept of it.
///
/// # Errors
/// When the caller may not, or it is not visible to them.
pub async fn erase<T: Stored>(
    services: &Services,
    caller: &Caller,
    id: Uuid,
    key: Option<&OnceKey>,
) -> Result<Answer, ServiceError> {
    let reach = records::allowed(caller, T::RESOURCE, Verb::Erase)?;
    if let Some(answer) = once::replay(services, key).await? {
        return Ok(answer);
    }
    let sight = records::sight(caller, T::RESOURCE, Verb::Read)?;
    let record: T = T::table(services).find(id, sight, Life::Any).await?.ok_or(ServiceError::NotFound)?;
    if !reach.covers(record.meta().owner_id) {
        return Err(records::forbidden(T::RESOURCE, Verb::Erase));
    }
    // The reply shows nothing of the record, so it may stay.
    let reply = Reply { status: 204, version: None, location: None, body: String::new() };
    let once = once::keep(services, key, &reply, Vec::new())?;
    match services.erasure.erase(T::RESOURCE, id, services.clock.now(), once.as_ref()).await? {
        Written::KeyTaken => return once::overtaken(services, key).await,
        written => records::done(written)?,
    }
    tracing::info!(kind = T::RESOURCE.as_str(), "a record was erased on demand");
    services.erased.notify_one();
    Ok(Answer { reply, replayed: false })
}

/// Erases what was deleted for longer than the rules let it stay, and removes verdicts that are too old.
///
/// # Errors
/// When the database is away; what was erased until then stays erased.
pub async fn run(tables: &dyn Erasure, now: OffsetDateTime, rules: Rules) -> Result<Erased, ServiceError> {
    let mut all = Erased::default();
    for _ in 0..BATCHES {
        let mut erased = tables.erase_deleted(now - rules.deleted, now, BATCH).await?;
        erased.assessments = tables.remove_assessments(now - rules.assessments, BATCH).await?;
        if erased == Erased::default() {
            break;
        }
        all += erased;
    }
    if all != Erased::default() {
        tracing::info!(
            contacts = all.contacts,
            organisations = all.organisations,
            interactions = all.interactions,
            assessments = all.assessments,
            "records were erased"
        );
    }
    Ok(all)
}

/// Tells the engine to forget the people who were erased: the salts that tie audit records to them. Returns how many
/// were told of.
///
/// # Errors
/// When the database or the engine is away; who was not told of is tried again later.
pub async fn forget(services: &Services) -> Result<u64, ServiceError> {
    let mut told = 0;
    loop {
        let now = services.clock.now();
        let subjects = services.erasure.take_subjects(now, now + AGAIN, SUBJECTS).await?;
        if subjects.is_empty() {
            return Ok(told);
        }
        let references: Vec<String> = subjects.iter().map(Uuid::to_string).collect();
        let mut after = None;
        loop {
            let next = services.engine.erase_subjects(&references, after).await?;
            // An engine that does not get on would be asked for ever.
            match next {
                Some(next) if after.is_none_or(|after| next > after) => after = Some(next),
                Some(_) => return Err(ServiceError::Internal("the engine's erasure does not get on")),
                None => break,
            }
        }
        services.erasure.subjects_done(&subjects, now).await?;
        told += u64::try_from(subjects.len()).unwrap_or_default();
    }
}
