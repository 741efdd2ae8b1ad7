//! How many assessments run at the same time, and how many bytes of prompts are held for them: a request's head in, a
//! permit or a refusal out, before any of its body is read.
//!
//! A prompt costs some eight times its bytes of memory on its way to the engine and back. One user may take half of the
//! bytes at most, so there is memory for another's request. A refusal comes at once and changes nothing: the same request
//! with the same `Idempotency-Key` may be sent again.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, StatusCode, header};
use novacrm_service::problem::{Problem, Text};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::http::caller::Authenticated;
use crate::http::error::busy;
use crate::http::exchange::Posted;
use crate::http::{ASSESSMENT_LIMIT, App};

/// Seconds until a refused request makes sense again: an assessment takes some ten milliseconds.
const RETRY_AFTER: u32 = 1;
/// What a body counts at least: an assessment has a verdict, however short its prompt is.
const LEAST_BYTES: u64 = 4 * 1024;

/// How much may run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Assessments of one user.
    pub per_user: NonZeroU32,
    /// Assessments of all users.
    pub total: NonZeroU32,
    /// Bytes of bodies of all users.
    pub bytes: NonZeroU32,
}

impl Default for Limits {
    /// Eight of one user, 64 in total, 8 MiB of bodies.
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self { per_user: number(8), total: number(64), bytes: number(8 * 1024 * 1024) }
    }
}

/// What runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Running {
    assessments: u32,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Taken {
    all: Running,
    by: HashMap<Uuid, Running>,
}

/// The permits of all users.
#[derive(Clone, Debug)]
pub struct Concurrency {
    limits: Limits,
    taken: Arc<Mutex<Taken>>,
}

/// A permit, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    taken: Arc<Mutex<Taken>>,
    user: Uuid,
    bytes: u64,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    /// The user has enough running.
    User,
    /// All users have.
    Everybody,
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Concurrency {
    /// Limits concurrency to so much.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, taken: Arc::default() }
    }

    /// Takes a permit for a body of so many bytes. A body that is longer than a share of the bytes gets one while nothing
    /// else of that share runs.
    fn enter(&self, user: Uuid, bytes: u64) -> Result<Permit, Full> {
        let bytes = bytes.max(LEAST_BYTES);
        let most = u64::from(self.limits.bytes.get());
        let fits = |running: Running, assessments: NonZeroU32, most: u64| {
            running.assessments < assessments.get()
                && (running.assessments == 0 || running.bytes.saturating_add(bytes) <= most)
        };
        let mut taken = lock(&self.taken);
        let own = taken.by.get(&user).copied().unwrap_or_default();
        if !fits(own, self.limits.per_user, most / 2) {
            return Err(Full::User);
        }
        if !fits(taken.all, self.limits.total, most) {
            return Err(Full::Everybody);
        }
        let more = |running: Running| Running {
            assessments: running.assessments.saturating_add(1),
            bytes: running.bytes.saturating_add(bytes),
        };
        taken.all = more(taken.all);
        taken.by.insert(user, more(own));
        Ok(Permit { taken: Arc::clone(&self.taken), user, bytes })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let less = |running: Running| Running {
            assessments: running.assessments.saturating_sub(1),
            bytes: running.bytes.saturating_sub(self.bytes),
        };
        let mut taken = lock(&self.taken);
        taken.all = less(taken.all);
        match taken.by.get(&self.user).map(|own| less(*own)) {
            Some(own) if own.assessments > 0 => {
                taken.by.insert(self.user, own);
            }
            _ => {
                taken.by.remove(&self.user);
            }
        }
    }
}

/// Bytes that a body may have: what its head says, or the most that is read where it says nothing.
fn length(headers: &HeaderMap) -> u64 {
    let most = u64::try_from(ASSESSMENT_LIMIT).unwrap_or(u64::MAX);
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    declared.unwrap_or(most).min(most)
}

/// As [`Posted`], with a permit that was taken before the body was read.
#[derive(Debug)]
pub struct Admitted<T> {
    /// Who sends what.
    pub posted: Posted<T>,
    /// To be kept until the answer is made.
    pub permit: Permit,
}

impl<T: DeserializeOwned> FromRequest<App> for Admitted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Authenticated(caller) = Authenticated::from_request_parts(&mut parts, app).await?;
        let permit =
            app.assessments.enter(caller.user, length(&parts.headers)).map_err(|full| match full {
                Full::User => Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_assessments",
                    "Trop d'analyses en cours",
                    "Too many assessments under way",
                )
                .detail(Text::new(
                    "Attendez la réponse à vos analyses en cours avant d'en demander d'autres.",
                    "Wait for the answers to your assessments before you ask for more.",
                ))
                .retry_after(RETRY_AFTER),
                Full::Everybody => busy(RETRY_AFTER),
            })?;
        let posted = Posted::read(caller, parts, body, app).await?;
        Ok(Self { posted, permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concurrency(per_user: u32, total: u32, bytes: u32) -> Concurrency {
        let number = |number| NonZeroU32::new(number).unwrap();
        Concurrency::new(Limits { per_user: number(per_user), total: number(total), bytes: number(bytes) })
    }

    #[test]
    fn one_user_leaves_permits_for_others_in_number_and_in_bytes() {
        let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
        let concurrency = concurrency(3, 5, 1 << 20);
        let mut permits: Vec<_> = (0..3).map(|_| concurrency.enter(one, 100).unwrap()).collect();
        assert_eq!(concurrency.enter(one, 100).unwrap_err(), Full::User);
        permits.extend((0..2).map(|_| concurrency.enter(two, 100).unwrap()));
        assert_eq!(concurrency.enter(three, 100).unwrap_err(), Full::Everybody);
        permits.clear();

        permits.push(concurrency.enter(one, 400 << 10).unwrap());
        assert_eq!(concurrency.enter(one, 200 << 10).unwrap_err(), Full::User, "half of the bytes");
        permits.push(concurrency.enter(two, 500 << 10).unwrap());
        assert_eq!(concurrency.enter(three, 200 << 10).unwrap_err(), Full::Everybody);
        permits.clear();
        let taken = lock(&concurrency.taken);
        assert_eq!((taken.all, taken.by.len()), (Running::default(), 0), "nothing is kept of who left");
    }

    #[test]
    fn a_body_that_is_longer_than_the_share_is_taken_alone() {
        let [one, two] = [1, 2].map(Uuid::from_u128);
        let concurrency = concurrency(3, 5, 1 << 20);
        let _permit = concurrency.enter(one, 10 << 20).unwrap();
        assert_eq!(concurrency.enter(one, 1).unwrap_err(), Full::User);
        assert_eq!(concurrency.enter(two, 1).unwrap_err(), Full::Everybody);
    }

    #[test]
    fn a_body_without_a_length_counts_as_the_longest() {
        let mut headers = HeaderMap::new();
        assert_eq!(length(&headers), ASSESSMENT_LIMIT as u64);
        headers.insert(header::CONTENT_LENGTH, "1000".parse().unwrap());
        assert_eq!(length(&headers), 1000);
    }
}
