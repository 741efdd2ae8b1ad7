//! Passwords: Argon2id with the parameters of OWASP's password storage cheat sheet (19 MiB, two passes, one lane), off
//! the async threads and in bounded queues; and which passwords are refused.
//!
//! Hashing is what a log-in costs. Whoever is known (a device that logged in before, a user with a session) waits in one
//! queue, everybody else in another, each with a worker of its own; so strangers never delay those who are known. A
//! queue is bounded, and so is the part of it that one source may fill: whoever finds it full is refused at once.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::{Output, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use novacrm_api_domain::field::Fault;
use novacrm_api_domain::user::check_password;
use rand::TryRngCore;
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::ServiceError;
use super::attempts::Source;

/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over the memory.
const PASSES: u32 = 2;
/// Requests in a queue at most, the one whose password is hashed included.
pub const QUEUE: usize = 32;
/// Slots of a queue that one source, device or user may take.
pub const QUEUE_SHARE: usize = 2;
/// Seconds after which a queue that was full has room: it takes less to empty it.
const RETRY_AFTER: u32 = 1;

/// Guesses below which a password is taken for a common one: what zxcvbn calls "somewhat guessable" (score 2) and less.
const LEAST_GUESSES_LOG10: f64 = 8.0;

/// Characters of a password that are looked at. What is hard to guess up to there is hard to guess; more would cost
/// time that grows faster than the length.
const ESTIMATED: usize = 40;
/// Characters that a password has at least beside such words.
const LEAST_BESIDE_CONTEXT: usize = 8;

/// Words that passwords of this product's users are made of, beside the lists of zxcvbn (English words, names, the
/// 30,000 passwords that leaks showed most often): the product, French keyboards and French words for what it is.
const WORDS: [&str; 14] = [
    "novacrm",
    "azertyuiop",
    "qsdfghjklm",
    "wxcvbn",
    "azerty",
    "motdepasse",
    "passe",
    "bonjour",
    "soleil",
    "bienvenue",
    "entreprise",
    "administrateur",
    "direction",
    "conformite",
];

/// Who waits for a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// A device that logged in before, or a user with a session.
    Known(Uuid),
    /// Anybody else.
    Stranger(Source),
}

/// A bounded queue before one worker. No one may fill more than a share of it, so it is fair.
struct Queue {
    worker: Semaphore,
    occupancy: Mutex<Occupancy>,
}

#[derive(Default)]
struct Occupancy {
    taken: usize,
    by: HashMap<Waiting, usize>,
}

/// A slot in a queue, given back when it is dropped.
pub struct Slot {
    queue: Arc<Queue>,
    who: Waiting,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot(…)")
    }
}

impl Queue {
    fn new() -> Arc<Self> {
        Arc::new(Self { worker: Semaphore::new(1), occupancy: Mutex::default() })
    }

    fn occupancy(&self) -> MutexGuard<'_, Occupancy> {
        self.occupancy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot, or `None` when the queue or the share of it is full.
    fn enter(self: &Arc<Self>, who: Waiting) -> Option<Slot> {
        let mut occupancy = self.occupancy();
        let own = occupancy.by.get(&who).copied().unwrap_or_default();
        if occupancy.taken >= QUEUE || own >= QUEUE_SHARE {
            return None;
        }
        occupancy.taken += 1;
        occupancy.by.insert(who, own + 1);
        Some(Slot { queue: Arc::clone(self), who })
    }
}

impl Slot {
    /// Waits for one's turn.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, ServiceError> {
        let closed = |_| ServiceError::Internal("password hashing stopped");
        self.queue.worker.acquire().await.map_err(closed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut occupancy = self.queue.occupancy();
        occupancy.taken = occupancy.taken.saturating_sub(1);
        match occupancy.by.get_mut(&self.who) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                occupancy.by.remove(&self.who);
            }
        }
    }
}

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    known: Arc<Queue>,
    strangers: Arc<Queue>,
    /// What the passwords of unknown accounts are checked against, so that they take as long.
    decoy: Arc<str>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(…)")
    }
}

impl Passwords {
    /// Makes the decoy.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> Result<Self, ServiceError> {
        Ok(Self { known: Queue::new(), strangers: Queue::new(), decoy: decoy()?.into() })
    }

    /// Checks and hashes a new password, which was sent as `field`. `context` is what a guesser knows of its holder:
    /// their address and name, what the tenant is called.
    ///
    /// # Errors
    /// When the password is refused (see [`check`]), the queue is full, or the system has no random numbers or memory.
    pub async fn hash(
        &self,
        field: &'static str,
        password: &str,
        who: Waiting,
        context: &[&str],
    ) -> Result<String, ServiceError> {
        check_password(password).map_err(|fault| ServiceError::field(field, fault))?;
        let context: Vec<String> = context.iter().map(|&text| text.to_owned()).collect();
        let password = Zeroizing::new(password.to_owned());
        let hashed = run(self.enter(who)?, move || {
            let context: Vec<&str> = context.iter().map(String::as_str).collect();
            check(&password, &context).map_err(|fault| ServiceError::field(field, fault))?;
            hash(password.as_bytes())
        });
        hashed.await?
    }

    /// Takes a slot in a queue, before anything else is done for a request.
    ///
    /// # Errors
    /// When the queue, or the share of who asks, is full.
    pub fn enter(&self, who: Waiting) -> Result<Slot, ServiceError> {
        let queue = match who {
            Waiting::Known(_) => &self.known,
            Waiting::Stranger(_) => &self.strangers,
        };
        queue.enter(who).ok_or(ServiceError::Busy { retry_after: RETRY_AFTER })
    }

    /// Whether the password belongs to the hash. Without a hash it takes as long and says no.
    ///
    /// # Errors
    /// When the machine refuses the work.
    pub async fn verify(
        &self,
        slot: Slot,
        password: &str,
        stored: Option<&str>,
    ) -> Result<bool, ServiceError> {
        let known = stored.is_some();
        let stored = stored.map_or_else(|| Arc::clone(&self.decoy), Arc::from);
        let password = Zeroizing::new(password.as_bytes().to_vec());
        let matches = run(slot, move || verify(&password, &stored)).await?;
        Ok(known && matches)
    }
}

/// Does work when the turn of a slot has come.
async fn run<T: Send + 'static>(
    slot: Slot,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServiceError> {
    // Forgotten here and given back by the work: a request that is broken off does not free the worker early.
    slot.turn().await?.forget();
    let worker = Worker(slot);
    let work = tokio::task::spawn_blocking(move || {
        let _worker = worker;
        work()
    });
    work.await.map_err(|_| ServiceError::Internal("password hashing stopped"))
}

/// The worker of a queue, freed when it is dropped.
struct Worker(Slot);

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.queue.worker.add_permits(1);
    }
}

/// Refuses a password that guessers try first (NIST SP 800-63B-4, section 3.1.1.2: a blocklist of commonly used,
/// expected or compromised passwords, and context-specific words). Patterns are found too: repetitions, sequences,
/// keyboard rows, dates, and such words with a few characters added.
///
/// # Errors
/// [`Fault::CommonPassword`].
pub fn check(password: &str, context: &[&str]) -> Result<(), Fault> {
    let parts = context.iter().flat_map(|text| text.split(|char: char| !char.is_alphanumeric()));
    let whole = context.iter().copied();
    // Shorter ones are in everything.
    let words = parts.chain(whole).filter(|word| word.chars().count() >= 3).chain(WORDS);
    let mut words: Vec<String> = words.map(str::to_lowercase).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let left = words.iter().fold(password.to_lowercase(), |left, word| left.replace(word.as_str(), ""));
    if left.chars().count() < LEAST_BESIDE_CONTEXT {
        return Err(Fault::CommonPassword);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let beginning: String = password.chars().take(ESTIMATED).collect();
    let guesses = zxcvbn::zxcvbn(&beginning, &words).guesses_log10();
    if guesses < LEAST_GUESSES_LOG10 { Err(Fault::CommonPassword) } else { Ok(()) }
}

fn argon2() -> Result<Argon2<'static>, ServiceError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None)
        .map_err(|_| ServiceError::Internal("parameters of Argon2 are wrong"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &[u8]) -> Result<String, ServiceError> {
    let mut salt = [0; 16];
    fill(&mut salt)?;
    let salt =
        SaltString::encode_b64(&salt).map_err(|_| ServiceError::Internal("a salt cannot be written"))?;
    let hash = argon2()?
        .hash_password(password, &salt)
        .map_err(|_| ServiceError::Internal("a password cannot be hashed"))?;
    Ok(hash.to_string())
}

/// A hash of no known password: noise where the result of the work would stand, so that the start of a process does
/// not have to do it.
fn decoy() -> Result<String, ServiceError> {
    let unwritable = |_| ServiceError::Internal("a decoy cannot be written");
    let (mut salt, mut noise) = ([0; 16], [0; 32]);
    fill(&mut salt)?;
    fill(&mut noise)?;
    let salt = SaltString::encode_b64(&salt).map_err(unwritable)?;
    let decoy = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: argon2()?.params().try_into().map_err(unwritable)?,
        salt: Some(salt.as_salt()),
        hash: Some(Output::new(&noise).map_err(unwritable)?),
    };
    Ok(decoy.to_string())
}

fn verify(password: &[u8], stored: &str) -> bool {
    PasswordHash::new(stored).is_ok_and(|stored| Argon2::default().verify_password(password, &stored).is_ok())
}

fn fill(bytes: &mut [u8]) -> Result<(), ServiceError> {
    rand::rngs::OsRng
        .try_fill_bytes(bytes)
        .map_err(|_| ServiceError::Internal("the system has no random numbers"))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn stranger(number: u32) -> Waiting {
        Waiting::Stranger(Source::of(Some(IpAddr::V4(Ipv4Addr::from_bits(number)))))
    }

    #[test]
    fn a_queue_is_bounded_and_nobody_fills_more_than_a_share() {
        let queue = Queue::new();
        let mut slots: Vec<_> = (0..10).filter_map(|_| queue.enter(stranger(1))).collect();
        assert_eq!(slots.len(), QUEUE_SHARE);
        slots.extend((2..100).filter_map(|number| queue.enter(stranger(number))));
        assert_eq!(slots.len(), QUEUE);
        assert!(queue.enter(stranger(200)).is_none());
        slots.clear();
        assert!(queue.enter(stranger(200)).is_some());
        assert!(queue.occupancy().by.is_empty(), "nothing is kept of who left");
    }

    #[tokio::test]
    async fn whoever_finds_the_queue_full_is_refused_at_once_and_known_users_still_get_one() {
        let passwords = Passwords::new().unwrap();
        let _worker = passwords.strangers.worker.acquire().await.unwrap();
        let waiting: Vec<_> = (0..32)
            .map(|number| {
                let passwords = passwords.clone();
                tokio::spawn(
                    async move { passwords.verify(passwords.enter(stranger(number))?, "x", None).await },
                )
            })
            .collect();
        while passwords.strangers.occupancy().taken < QUEUE {
            tokio::task::yield_now().await;
        }
        let refused = passwords.enter(stranger(99)).err();
        assert!(matches!(refused, Some(ServiceError::Busy { retry_after: 1.. })), "{refused:?}");
        let slot = passwords.enter(Waiting::Known(Uuid::nil())).unwrap();
        let known = passwords.verify(slot, "x", None).await;
        assert!(!known.unwrap());
        for request in &waiting {
            request.abort();
        }
        for request in waiting {
            assert!(request.await.unwrap_err().is_cancelled());
        }
        assert_eq!(passwords.strangers.occupancy().taken, 0, "who breaks off leaves the queue");
    }

    #[test]
    fn passwords_that_guessers_try_first_are_refused() {
        let context = ["camille.durand@ateliers-brume.example", "Camille Durand", "Ateliers Brume"];
        for common in [
            "password1234",
            "aaaaaaaaaaaaaa",
            "123456789012",
            "azertyuiop123",
            "motdepasse2026",
            "MotDePasse123!",
            "qwertyuiop12",
            "NovaCRM-2026!",
            "camille.durand1",
            "ateliersbrume1",
            "AteliersBrume!",
            "durand-camille",
            "iloveyou2026!",
        ] {
            assert_eq!(check(common, &context), Err(Fault::CommonPassword), "{common}");
        }
        for good in [
            "une phrase de passe de test",
            "correct horse battery staple",
            "Kq7vTzR2mWxL9pDa",
            "quatre vélos bleus au grenier",
            "\u{1F989}\u{1F33F}\u{1F9ED}\u{1F955}\u{1F6B2}\u{1F9C0}\u{1F4DA}\u{1FA81}\u{1F9F5}\u{1F3BB}\u{1F9CA}\u{1F50B}",
        ] {
            assert_eq!(check(good, &context), Ok(()), "{good}");
        }
        // As long as a password may be, and longer than what is looked at.
        assert_eq!(check(&"k7Qz vélo ".repeat(25), &[]), Ok(()));
    }

    #[test]
    fn the_decoy_costs_what_a_real_hash_costs_and_no_password_fits() {
        let (real, decoy) = (hash(b"une phrase de passe").unwrap(), decoy().unwrap());
        assert!(verify(b"une phrase de passe", &real));
        assert!(!verify(b"une phrase de passe", &decoy));
        let (real, decoy) = (PasswordHash::new(&real).unwrap(), PasswordHash::new(&decoy).unwrap());
        assert_eq!((decoy.algorithm, decoy.version), (real.algorithm, real.version));
        assert_eq!(decoy.params, real.params);
        let lengths = |hash: &PasswordHash<'_>| (hash.salt.unwrap().as_str().len(), hash.hash.unwrap().len());
        assert_eq!(lengths(&decoy), lengths(&real));
    }
}
