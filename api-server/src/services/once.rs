//! Requests that may be repeated: the reply to an `Idempotency-Key` is kept for a day, sealed, in the same
//! transaction as the change it tells of.

use std::fmt;

use hmac::{Hmac, Mac};
use rand::TryRngCore;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::keys::Key;
use super::{ServiceError, Services};

/// How long replies are kept.
pub const KEPT: Duration = Duration::hours(24);
/// After this time whoever reserved a key is taken for gone. Longer than an engine call with all its retries.
pub const RESERVATION: Duration = Duration::seconds(60);

/// A request that may be repeated, by hashes: who asks what under which key, and with which body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceKey {
    pub(super) id: [u8; 32],
    pub(super) request: [u8; 32],
}

/// A reply, as it is sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Version of the record, for its entity tag.
    pub version: Option<i64>,
    /// Where the record is found.
    pub location: Option<String>,
    /// JSON.
    pub body: String,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A reply to be kept with a change.
#[derive(Clone, Debug)]
pub struct Once {
    /// Hash of who asks what under which key.
    pub id: [u8; 32],
    /// Keyed hash of the body.
    pub request: [u8; 32],
    /// The sealed reply.
    pub reply: Vec<u8>,
    /// The records that the reply shows something of; it is removed when one of them is erased.
    pub subjects: Vec<Uuid>,
    /// When it may be removed.
    pub expires_at: OffsetDateTime,
}

/// A reply, and whether it was kept from before.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The reply.
    pub reply: Reply,
    /// It answers an earlier request with the same key.
    pub replayed: bool,
}

/// Seals replies with AES-256-GCM, and hashes bodies under the same tenant's key: a plain hash would let a reader
/// of the database guess short texts.
pub struct Seal {
    cipher: LessSafeKey,
    hash: Key,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// A seal under a key.
    ///
    /// # Errors
    /// Never in practice: the key has the length the cipher needs.
    pub fn new(key: &Key) -> Result<Self, ServiceError> {
        let derive = |label: &[u8]| -> Result<[u8; 32], ServiceError> {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes())
                .map_err(|_| ServiceError::Internal("a key of the wrong length"))?;
            mac.update(label);
            Ok(mac.finalize().into_bytes().into())
        };
        let cipher = UnboundKey::new(&AES_256_GCM, &derive(b"reply")?)
            .map_err(|_| ServiceError::Internal("a key of the wrong length"))?;
        Ok(Self { cipher: LessSafeKey::new(cipher), hash: Key::new(derive(b"request")?) })
    }

    /// The hashes of a request.
    ///
    /// # Errors
    /// Never in practice.
    pub fn key(
        &self,
        user: Uuid,
        method: &str,
        path: &str,
        key: &str,
        body: &[u8],
    ) -> Result<OnceKey, ServiceError> {
        let mut id = Sha256::new();
        for part in [user.as_bytes().as_slice(), method.as_bytes(), path.as_bytes(), key.as_bytes()] {
            id.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            id.update(part);
        }
        let mut request = Hmac::<Sha256>::new_from_slice(self.hash.bytes())
            .map_err(|_| ServiceError::Internal("a key of the wrong length"))?;
        request.update(body);
        Ok(OnceKey { id: id.finalize().into(), request: request.finalize().into_bytes().into() })
    }

    fn seal(&self, key: &OnceKey, reply: &Reply) -> Result<Vec<u8>, ServiceError> {
        let failed = |_| ServiceError::Internal("a reply cannot be sealed");
        let mut nonce = [0; NONCE_LEN];
        rand::rngs::OsRng
            .try_fill_bytes(&mut nonce)
            .map_err(|_| ServiceError::Internal("the system has no random numbers"))?;
        let mut bytes =
            serde_json::to_vec(reply).map_err(|_| ServiceError::Internal("a reply cannot be written"))?;
        self.cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(key.id), &mut bytes)
            .map_err(failed)?;
        Ok([nonce.as_slice(), &bytes].concat())
    }

    fn open(&self, key: &OnceKey, sealed: &[u8]) -> Result<Reply, ServiceError> {
        let failed = || ServiceError::Internal("a kept reply cannot be opened");
        let (nonce, content) = sealed.split_at_checked(NONCE_LEN).ok_or_else(failed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
        let mut bytes = content.to_vec();
        let plain = self.cipher.open_in_place(nonce, Aad::from(key.id), &mut bytes).map_err(|_| failed())?;
        serde_json::from_slice(plain).map_err(|_| failed())
    }
}

/// The kept reply to a request that was answered before.
///
/// # Errors
/// When the key was used for another body, or the request still runs.
pub(super) async fn replay(
    services: &Services,
    key: Option<&OnceKey>,
) -> Result<Option<Answer>, ServiceError> {
    let Some(key) = key else { return Ok(None) };
    let Some(kept) = services.replies.find(&key.id, services.clock.now()).await? else { return Ok(None) };
    if kept.request != key.request {
        return Err(ServiceError::KeyReused);
    }
    let Some(sealed) = kept.reply else { return Ok(None) };
    Ok(Some(Answer { reply: services.seal.open(key, &sealed)?, replayed: true }))
}

/// The answer of the request that took the key in the meantime.
pub(super) async fn overtaken(services: &Services, key: Option<&OnceKey>) -> Result<Answer, ServiceError> {
    replay(services, key).await?.ok_or(ServiceError::KeyInFlight)
}

/// What to keep with a change; `subjects` are the records that the reply shows something of.
pub(super) fn keep(
    services: &Services,
    key: Option<&OnceKey>,
    reply: &Reply,
    subjects: Vec<Uuid>,
) -> Result<Option<Once>, ServiceError> {
    key.map(|key| {
        Ok(Once {
            id: key.id,
            request: key.request,
            reply: services.seal.seal(key, reply)?,
            subjects,
            expires_at: services.clock.now() + KEPT,
        })
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_reply_opens_only_under_its_own_key_and_shows_nothing() {
        let seal = Seal::new(&Key::new([1; 32])).unwrap();
        let reply = Reply {
            status: 201,
            version: Some(1),
            location: None,
            body: "{\"output\":\"texte\"}".to_owned(),
        };
        let key = seal.key(Uuid::nil(), "POST", "/a", "k", b"{}").unwrap();
        let other = seal.key(Uuid::nil(), "POST", "/a", "l", b"{}").unwrap();
        let sealed = seal.seal(&key, &reply).unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"texte"));
        assert_eq!(seal.open(&key, &sealed).unwrap(), reply);
        assert!(seal.open(&other, &sealed).is_err());
        assert!(Seal::new(&Key::new([2; 32])).unwrap().open(&key, &sealed).is_err());
        assert!(seal.open(&key, &sealed[..sealed.len() - 1]).is_err());
    }
}
