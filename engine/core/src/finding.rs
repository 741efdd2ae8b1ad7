//! Findings: what a detector saw and where, never the value itself.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A range of Unicode code points over the text as sent; the end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First code point, from 0.
    pub start: usize,
    /// One past the last code point.
    pub end: usize,
}

/// Something a detector saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Identifier of the detector, such as `pii.iban`.
    pub detector: Arc<str>,
    /// What it is, such as `IBAN`.
    pub kind: Arc<str>,
    /// Where.
    pub span: Span,
    /// Where it lies in the structure of the text, such as `$.client.iban`; none where the text has none there. Its
    /// words are of a fixed list, so it holds no value.
    pub path: Option<Arc<str>>,
    /// How sure the detector is (0 to 1).
    pub score: f64,
    /// The same value has the same fingerprint, under one key.
    pub fingerprint: Fingerprint,
}

/// First 16 bytes of HMAC-SHA-256 (RFC 2104) over type, a zero byte and the normalised value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The tenant's key for fingerprints; wiped from memory when dropped.
#[derive(Clone)]
pub struct FingerprintKey(Arc<Zeroizing<[u8; 32]>>);

impl FingerprintKey {
    /// Takes 32 bytes of key material.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(Arc::new(Zeroizing::new(key)))
    }

    /// The fingerprint of a normalised value (separators removed, case folded where the type ignores it).
    #[must_use]
    pub fn fingerprint(&self, kind: &str, value: &str) -> Fingerprint {
        let mut fingerprint = [0; 16];
        // HMAC takes keys of any length, so this cannot fail; a zero fingerprint would only lose correlation.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_slice()) {
            mac.update(kind.as_bytes());
            mac.update(&[0]);
            mac.update(value.as_bytes());
            let digest = mac.finalize().into_bytes();
            for (to, from) in fingerprint.iter_mut().zip(digest) {
                *to = from;
            }
        }
        Fingerprint(fingerprint)
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(…)")
    }
}
