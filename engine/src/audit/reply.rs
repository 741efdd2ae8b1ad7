//! Answers that a caller may ask for again: an answer in, an encrypted one out, and back.
//!
//! An answer may carry text, so it is kept for 24 hours only, under XChaCha20-Poly1305 with a random nonce, bound
//! to its request id. The request itself is not kept: an HMAC of it tells whether another body came with the same
//! id. Both use keys derived from the tenant's reply key, so one key serves one purpose.

use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

/// How long an answer can be asked for again.
pub const KEPT: time::Duration = time::Duration::hours(24);
const NONCE: usize = 24;

/// The tenant's keys for replies, wiped from memory when dropped.
pub struct ReplyKey {
    cipher: XChaCha20Poly1305,
    mac: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for ReplyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplyKey(…)")
    }
}

/// The reply cannot be sealed or opened: another key, or it was changed.
#[derive(Debug, thiserror::Error)]
#[error("a kept answer cannot be opened: it was sealed under another key, or it was changed")]
pub struct ReplyError;

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length, so this cannot fail.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl ReplyKey {
    /// Takes 32 bytes of key material.
    #[must_use]
    pub fn new(key: &Zeroizing<[u8; 32]>) -> Self {
        let sealing = Zeroizing::new(hmac(key, &[b"novacrm reply sealing v1"]));
        let mac = Zeroizing::new(hmac(key, &[b"novacrm reply request v1"]));
        Self { cipher: XChaCha20Poly1305::new(sealing.as_slice().into()), mac }
    }

    /// What tells one request body from another.
    #[must_use]
    pub fn body_mac(&self, body: &[u8]) -> [u8; 32] {
        hmac(&self.mac, &[body])
    }

    /// Whether a kept code is that of this body.
    #[must_use]
    pub fn same_body(&self, kept: &[u8], body: &[u8]) -> bool {
        self.body_mac(body).ct_eq(kept).into()
    }

    /// Encrypts an answer; the nonce stands before it.
    ///
    /// # Errors
    /// When the answer is longer than the cipher takes (256 GiB).
    pub fn seal(&self, request_id: Uuid, answer: &[u8]) -> Result<Vec<u8>, ReplyError> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload { msg: answer, aad: request_id.as_bytes() };
        let sealed = self.cipher.encrypt(&nonce, payload).map_err(|_| ReplyError)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Decrypts an answer.
    ///
    /// # Errors
    /// When it was sealed under another key or for another request, or was changed.
    pub fn open(&self, request_id: Uuid, sealed: &[u8]) -> Result<Vec<u8>, ReplyError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(ReplyError)?;
        let payload = Payload { msg: sealed, aad: request_id.as_bytes() };
        self.cipher.decrypt(<&XNonce>::from(nonce), payload).map_err(|_| ReplyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> ReplyKey {
        ReplyKey::new(&Zeroizing::new([n; 32]))
    }

    #[test]
    fn an_answer_opens_under_its_own_key_and_request_only() {
        let id = Uuid::from_u128(1);
        let sealed = key(1).seal(id, b"answer").unwrap();
        assert_eq!(key(1).open(id, &sealed).unwrap(), b"answer");
        assert!(key(2).open(id, &sealed).is_err());
        assert!(key(1).open(Uuid::from_u128(2), &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key(1).open(id, &changed).is_err(), "byte {at}");
        }
        assert!(key(1).open(id, b"short").is_err());
    }

    #[test]
    fn bodies_are_told_apart() {
        let mac = key(1).body_mac(b"one");
        assert!(key(1).same_body(&mac, b"one"));
        assert!(!key(1).same_body(&mac, b"two"));
        assert!(!key(2).same_body(&mac, b"one"));
    }
}
