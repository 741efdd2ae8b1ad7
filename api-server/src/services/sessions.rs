//! What is known of sessions for a few seconds, so that a read need not ask the database each time whether its session
//! still holds: a session in, what it may do now out.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use novacrm_api_domain::user::Role;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// How long a read may go by what was known: so long a session that another replica ended can still read.
pub const KNOWN_FOR: Duration = Duration::seconds(3);
/// Sessions that are kept at most.
const KEPT: usize = 16_384;

/// A session that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Whose.
    pub user: Uuid,
    /// The role they have now.
    pub role: Role,
    /// They must choose a password before they may do anything else.
    pub password_must_change: bool,
}

/// Sessions that held a moment ago.
pub struct LiveSessions(Mutex<LruCache<Uuid, (Live, OffsetDateTime)>>);

impl fmt::Debug for LiveSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveSessions(…)")
    }
}

impl Default for LiveSessions {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(NonZeroUsize::new(KEPT).unwrap_or(NonZeroUsize::MIN))))
    }
}

impl LiveSessions {
    fn kept(&self) -> MutexGuard<'_, LruCache<Uuid, (Live, OffsetDateTime)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a session, if that is fresh enough.
    #[must_use]
    pub fn get(&self, session: Uuid, now: OffsetDateTime) -> Option<Live> {
        let (live, seen) = self.kept().get(&session).copied()?;
        // A clock that was put back makes nothing fresh.
        (seen <= now && now - seen < KNOWN_FOR).then_some(live)
    }

    /// Keeps what the database said at a moment.
    pub fn keep(&self, session: Uuid, live: Live, asked: OffsetDateTime) {
        self.kept().put(session, (live, asked));
    }

    /// Forgets a session that ended.
    pub fn forget(&self, session: Uuid) {
        self.kept().pop(&session);
    }

    /// Forgets all sessions of a user who was changed.
    pub fn forget_user(&self, user: Uuid) {
        let mut kept = self.kept();
        let gone: Vec<_> =
            kept.iter().filter(|(_, (live, _))| live.user == user).map(|(id, _)| *id).collect();
        for session in gone {
            kept.pop(&session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_session_is_forgotten_after_seconds_or_at_once() {
        let (sessions, now) = (LiveSessions::default(), OffsetDateTime::UNIX_EPOCH);
        let [user, one, two] = [1, 2, 3].map(Uuid::from_u128);
        let live = Live { user, role: Role::Sales, password_must_change: false };
        sessions.keep(one, live, now);
        sessions.keep(two, live, now);
        assert_eq!(sessions.get(one, now + KNOWN_FOR - Duration::milliseconds(1)), Some(live));
        assert_eq!(sessions.get(one, now + KNOWN_FOR), None);
        assert_eq!(sessions.get(one, now - Duration::seconds(1)), None, "a clock that was put back");
        sessions.forget(one);
        assert_eq!((sessions.get(one, now), sessions.get(two, now)), (None, Some(live)));
        sessions.forget_user(user);
        assert_eq!(sessions.get(two, now), None);
    }
}
