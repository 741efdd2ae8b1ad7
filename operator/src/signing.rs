//! The operator's keys for bundles: what a Secret or a file holds in, keys that sign and the public lines that engines
//! verify with out.
//!
//! There may be several keys: every one of them signs, and engines trust every one of them. So a key is replaced in
//! two steps, each of which leaves the engines with rules that they accept: add the new key, wait until the engines
//! run with both, remove the old one.

use novacrm_engine_core::bundle::signed::{BundleKey, KeyError, MAX_KEYS, SignatureError, TrustedKeys, sign};
use rand::CryptoRng;
use time::OffsetDateTime;

use crate::crm_tenant::generate::Content;
use crate::pki::{PkiError, pem_of, signing_key};

/// Name of the Secret, in the operator's namespace.
pub const SECRET: &str = "novacrm-bundle-signing";
/// How the name of every entry ends that holds a key.
const SUFFIX: &str = ".key";

/// Why keys cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// No entry with a key.
    #[error("it holds no key: give it an entry whose name ends with `{SUFFIX}`")]
    Empty,
    /// More than [`MAX_KEYS`].
    #[error("it holds {0} keys and may hold {MAX_KEYS}: remove those that are no longer needed")]
    TooMany(usize),
    /// An entry that is no key.
    #[error("entry `{entry}`: {source}")]
    Entry {
        /// Its name.
        entry: String,
        /// Why.
        source: KeyError,
    },
    /// The public keys cannot be written; not for any key.
    #[error(transparent)]
    Public(#[from] KeyError),
    /// A key cannot be made.
    #[error(transparent)]
    Make(#[from] PkiError),
}

/// The keys that sign. Cheap to clone; equal when their public keys are.
#[derive(Clone, Debug)]
pub struct SigningKeys {
    keys: Vec<BundleKey>,
    trusted: TrustedKeys,
}

impl PartialEq for SigningKeys {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl Eq for SigningKeys {}

impl SigningKeys {
    /// Reads every entry whose name ends with `.key`, as Ed25519 keys in PKCS #8 PEM.
    ///
    /// # Errors
    /// When there is none, one cannot be read, or there are too many. Values are never told.
    pub fn read(content: &Content) -> Result<Self, SigningError> {
        let mut keys: Vec<BundleKey> = Vec::new();
        for (entry, pem) in content.iter().filter(|(entry, _)| entry.ends_with(SUFFIX)) {
            let key = BundleKey::from_pem(pem)
                .map_err(|source| SigningError::Entry { entry: entry.clone(), source })?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        match keys.len() {
            0 => Err(SigningError::Empty),
            count if count > MAX_KEYS => Err(SigningError::TooMany(count)),
            _ => Ok(Self { trusted: TrustedKeys::of(&keys)?, keys }),
        }
    }

    /// Makes the content of a new Secret or file: one key, named by the day.
    ///
    /// # Errors
    /// When the key cannot be written as PEM; not for any key.
    pub fn generate(now: OffsetDateTime, rng: &mut impl CryptoRng) -> Result<Content, SigningError> {
        let entry = format!("{}{SUFFIX}", now.date());
        Ok(Content::from([(entry, pem_of(&signing_key(rng))?)]))
    }

    /// Signs a bundle with every key.
    ///
    /// # Errors
    /// When it cannot be signed; not for any key.
    pub fn sign(&self, bundle: &[u8]) -> Result<Vec<u8>, SignatureError> {
        sign(bundle, &self.keys)
    }

    /// What verifies.
    #[must_use]
    pub fn trusted(&self) -> &TrustedKeys {
        &self.trusted
    }

    /// What engines are given: a verifier key line for each key, separated by commas.
    #[must_use]
    pub fn public_lines(&self) -> String {
        let lines: Vec<&str> = self.keys.iter().map(BundleKey::public_line).collect();
        lines.join(",")
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use zeroize::Zeroizing;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-12-01 12:00 UTC);

    #[test]
    fn a_new_secret_holds_a_key_that_signs_and_is_named_by_the_day() {
        let content = SigningKeys::generate(NOW, &mut rand::rng()).unwrap();
        assert_eq!(content.keys().collect::<Vec<_>>(), ["2026-12-01.key"]);
        let keys = SigningKeys::read(&content).unwrap();
        let signed = keys.sign(b"rules").unwrap();
        assert_eq!(
            TrustedKeys::parse(&keys.public_lines()).unwrap().verify(&signed),
            Ok(b"rules".as_slice())
        );
    }

    #[test]
    fn of_two_keys_each_signs_and_both_are_told_to_the_engines() {
        let old = SigningKeys::generate(NOW, &mut rand::rng()).unwrap();
        let mut both = old.clone();
        let (_, new) = SigningKeys::generate(NOW, &mut rand::rng()).unwrap().pop_first().unwrap();
        both.insert("new.key".to_owned(), new);
        both.insert("note".to_owned(), Zeroizing::new("what else is there is left alone".to_owned()));
        let (old, both) = (SigningKeys::read(&old).unwrap(), SigningKeys::read(&both).unwrap());
        assert_ne!(old, both);
        assert_eq!(both.public_lines().split(',').count(), 2);
        assert!(old.trusted().verify(&both.sign(b"rules").unwrap()).is_ok());
        assert!(both.trusted().verify(&old.sign(b"rules").unwrap()).is_ok());
    }

    #[test]
    fn what_is_no_key_is_named_and_not_shown() {
        let content = |entries: &[(&str, &str)]| -> Content {
            let entry =
                |(name, value): &(&str, &str)| ((*name).to_owned(), Zeroizing::new((*value).to_owned()));
            entries.iter().map(entry).collect()
        };
        assert!(matches!(SigningKeys::read(&content(&[("note", "x")])), Err(SigningError::Empty)));
        let error = SigningKeys::read(&content(&[("a.key", "fake-secret")])).unwrap_err().to_string();
        assert!(error.contains("`a.key`") && !error.contains("fake-secret"), "{error}");
        let mut many = Content::new();
        for number in 0..=MAX_KEYS {
            let (_, key) = SigningKeys::generate(NOW, &mut rand::rng()).unwrap().pop_first().unwrap();
            many.insert(format!("{number}.key"), key);
        }
        assert!(matches!(SigningKeys::read(&many), Err(SigningError::TooMany(_))));
    }
}
