//! People in a record: a name and a salt in, a commitment out.
//!
//! A commitment is HMAC-SHA-256 (RFC 2104) under the tenant's commitment key over the field's name, a zero byte,
//! a salt of 16 random bytes and the value. Each field of each record has a salt of its own, which is stored
//! beside the log and is no part of what is hashed into it. Who holds key and salt can show that a record
//! concerns a person; once the salt is erased nobody can, not even by trying every customer, and every proof over
//! the log stays valid. The same person has another commitment in each record, so records cannot be linked.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The salt of one field of one record, from a cryptographic random generator.
pub type Salt = [u8; 16];

/// The tenant's key for commitments; wiped from memory when dropped.
pub struct CommitmentKey(Zeroizing<[u8; 32]>);

impl CommitmentKey {
    /// Takes 32 bytes of key material.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// Commits to `value` in the field `field` (`actor`, `subject`), as lower-case hex.
    #[must_use]
    pub fn commit(&self, field: &str, salt: &Salt, value: &str) -> String {
        // HMAC takes keys of any length, so this cannot fail; an empty commitment would only lose the proof.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_slice()) else { return String::new() };
        mac.update(field.as_bytes());
        mac.update(&[0]);
        mac.update(salt);
        mac.update(value.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for CommitmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitmentKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_salt_field_key_or_value_gives_another_commitment() {
        let key = CommitmentKey::new([1; 32]);
        let base = key.commit("actor", &[2; 16], "anne");
        assert_eq!(base.len(), 64);
        assert_eq!(base, key.commit("actor", &[2; 16], "anne"));
        for other in [
            key.commit("actor", &[3; 16], "anne"),
            key.commit("subject", &[2; 16], "anne"),
            key.commit("actor", &[2; 16], "bernard"),
            CommitmentKey::new([9; 32]).commit("actor", &[2; 16], "anne"),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", CommitmentKey::new([7; 32])), "CommitmentKey(…)");
    }
}
