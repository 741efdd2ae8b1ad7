//! Cursors: a place in a list as an opaque text, signed and bound to the tenant, the list, its sort and filters.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

use super::ServiceError;
use super::keys::Key;

/// Longest cursor that is looked at, in bytes.
const LONGEST: usize = 2048;
/// Bytes of the signature that are kept: 128 bits.
const SIGNATURE: usize = 16;

/// Signs cursors.
#[derive(Debug)]
pub struct Cursors {
    key: Key,
    tenant: String,
}

impl Cursors {
    /// Cursors of a tenant.
    #[must_use]
    pub fn new(key: Key, tenant: &str) -> Self {
        Self { key, tenant: tenant.to_owned() }
    }

    /// Writes a position as a cursor.
    ///
    /// # Errors
    /// Never in practice: a position can always be written.
    pub fn seal<P: Serialize>(&self, binding: &[u8], position: &P) -> Result<String, ServiceError> {
        let content = serde_json::to_vec(position)
            .map_err(|_| ServiceError::Internal("a position cannot be written"))?;
        let signature = self.mac(binding, &content)?.finalize().into_bytes();
        let mut bytes = signature.get(..SIGNATURE).unwrap_or_default().to_vec();
        bytes.extend_from_slice(&content);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a cursor.
    ///
    /// # Errors
    /// When it was not made here, for this binding.
    pub fn open<P: DeserializeOwned>(&self, binding: &[u8], cursor: &str) -> Result<P, ServiceError> {
        if cursor.len() > LONGEST {
            return Err(ServiceError::CursorInvalid);
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| ServiceError::CursorInvalid)?;
        let (signature, content) = bytes.split_at_checked(SIGNATURE).ok_or(ServiceError::CursorInvalid)?;
        self.mac(binding, content)?
            .verify_truncated_left(signature)
            .map_err(|_| ServiceError::CursorInvalid)?;
        serde_json::from_slice(content).map_err(|_| ServiceError::CursorInvalid)
    }

    fn mac(&self, binding: &[u8], content: &[u8]) -> Result<Hmac<Sha256>, ServiceError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.bytes())
            .map_err(|_| ServiceError::Internal("a key of the wrong length"))?;
        for part in [self.tenant.as_bytes(), binding, content] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors(tenant: &str) -> Cursors {
        Cursors::new(Key::new([7; 32]), tenant)
    }

    #[test]
    fn a_cursor_opens_only_for_its_own_tenant_and_binding() {
        let cursor = cursors("a").seal(b"list", &1_u32).unwrap();
        assert_eq!(cursors("a").open::<u32>(b"list", &cursor).unwrap(), 1);
        assert!(cursors("b").open::<u32>(b"list", &cursor).is_err());
        assert!(cursors("a").open::<u32>(b"other", &cursor).is_err());
    }

    proptest! {
        #[test]
        fn any_change_of_a_cursor_is_noticed(position in any::<u64>(), at in 0_usize..20, flip in 1_u8..=255) {
            let cursor = cursors("a").seal(b"list", &position).unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let opened = cursors("a").open::<u64>(b"list", &URL_SAFE_NO_PAD.encode(bytes));
            prop_assert!(matches!(opened, Err(ServiceError::CursorInvalid)));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let opened = cursors("a").open::<u64>(b"list", &text);
            prop_assert!(opened.is_err());
        }
    }
}
