//! Passwords: Argon2id with the parameters of OWASP's password storage cheat sheet (19 MiB, two passes, one
//! lane), off the async threads and a few at a time, so that logins starve nothing else.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::{Output, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use rand::TryRngCore;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::ServiceError;

/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over the memory.
const PASSES: u32 = 2;
/// Hashes at the same time.
const CONCURRENT: usize = 2;

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
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
        Ok(Self { permits: Arc::new(Semaphore::new(CONCURRENT)), decoy: decoy()?.into() })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// When the system has no random numbers or memory.
    pub async fn hash(&self, password: &str) -> Result<String, ServiceError> {
        let password = Zeroizing::new(password.as_bytes().to_vec());
        self.run(move || hash(&password)).await?
    }

    /// Whether the password belongs to the hash. Without a hash it takes as long and says no.
    ///
    /// # Errors
    /// When the machine refuses the work.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, ServiceError> {
        let known = stored.is_some();
        let stored = stored.map_or_else(|| Arc::clone(&self.decoy), Arc::from);
        let password = Zeroizing::new(password.as_bytes().to_vec());
        let matches = self.run(move || verify(&password, &stored)).await?;
        Ok(known && matches)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        let stopped = |_| ServiceError::Internal("password hashing stopped");
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| ServiceError::Internal("password hashing stopped"))?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(stopped)
    }
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
    use super::*;

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
