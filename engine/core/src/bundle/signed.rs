//! A bundle's compressed bytes and the operator's keys in, signed bytes out; signed bytes and public keys in, the
//! compressed bytes out, or why they are not authentic. Nothing is decompressed or parsed before it is verified.
//!
//! A signed bundle is a zstd stream whose first frame is a skippable frame (RFC 8878 §3.1.2). That frame holds a C2SP
//! signed note (<https://c2sp.org/signed-note>) over this text:
//!
//! ```text
//! novacrm.io/bundle/v1
//! sha256:<hex of everything after the skippable frame>
//! ```
//!
//! The first line separates these signatures from every other use of a key. A note may have the signatures of several
//! keys; one that is trusted is enough, so keys can be replaced without an interruption. A program that knows nothing
//! of signatures, such as `zstd -d`, skips the frame.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest, Sha256};
use signed_note::{
    Note, NoteError, Signer, StandardVerifier, Verifier, VerifierList, new_ed25519_verifier_key,
};

/// Name of every key that signs bundles, in verifier key lines and in signatures.
pub const KEY_NAME: &str = "novacrm.io/bundle";
/// Most keys that sign a bundle or are trusted.
pub const MAX_KEYS: usize = 8;
/// Most bytes of the note.
pub const MAX_NOTE_BYTES: usize = 4096;
/// First line of what is signed.
const CONTEXT: &str = "novacrm.io/bundle/v1";
/// The first of the magic numbers of skippable frames, as it is written.
const MAGIC: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The private key is not PKCS #8 PEM of an Ed25519 key.
    #[error("the key is not an Ed25519 private key in PKCS #8 PEM")]
    Private,
    /// The public key line is malformed, or of another use.
    #[error("public key {0} is not a verifier key line (`{KEY_NAME}+<id>+<key>`)")]
    Public(usize),
    /// No key at all.
    #[error("no public key is given")]
    None,
    /// More than [`MAX_KEYS`].
    #[error("{0} keys are given and at most {MAX_KEYS} may be")]
    TooMany(usize),
}

/// Why bytes are not an authentic bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("the bundle is not signed")]
    Missing,
    /// The signature is not one that [`sign`] writes.
    #[error("the signature of the bundle cannot be read")]
    Malformed,
    /// It is signed, by nobody who is trusted.
    #[error("the bundle is not signed by a key that is trusted")]
    Untrusted,
    /// A signature in the name of a trusted key was not made by that key.
    #[error("the signature of the bundle is not valid")]
    Invalid,
    /// The bytes are not those that were signed.
    #[error("the bundle was changed after it was signed")]
    Changed,
    /// It cannot be signed: there is no key, or there are too many.
    #[error("the bundle cannot be signed: between 1 and {MAX_KEYS} keys are needed")]
    Unsignable,
}

/// A key that signs bundles. Its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct BundleKey(Arc<Inner>);

struct Inner {
    id: u32,
    line: String,
    key: SigningKey,
}

impl fmt::Debug for BundleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BundleKey({}, …)", self.0.line)
    }
}

/// Two keys are equal when their public keys are.
impl PartialEq for BundleKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.line == other.0.line
    }
}

impl Eq for BundleKey {}

impl BundleKey {
    /// Takes an Ed25519 key as PKCS #8 PEM.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        Self::new(SigningKey::from_pkcs8_pem(pem).map_err(|_| KeyError::Private)?)
    }

    /// Takes an Ed25519 key.
    ///
    /// # Errors
    /// When it has no public key line, which every key has.
    pub fn new(key: SigningKey) -> Result<Self, KeyError> {
        let line = new_ed25519_verifier_key(KEY_NAME, &key.verifying_key());
        let id = StandardVerifier::new(&line).map_err(|_| KeyError::Private)?.key_id();
        Ok(Self(Arc::new(Inner { id, line, key })))
    }

    /// The line that verifies what this key signs (C2SP verifier key).
    #[must_use]
    pub fn public_line(&self) -> &str {
        &self.0.line
    }
}

impl Signer for BundleKey {
    fn name(&self) -> &str {
        KEY_NAME
    }

    fn key_id(&self) -> u32 {
        self.0.id
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ed25519_dalek::SignatureError> {
        Ok(self.0.key.try_sign(message)?.to_vec())
    }
}

/// Signs a bundle's compressed bytes with every key. Equal input is equal output.
///
/// # Errors
/// When there is no key, or more than [`MAX_KEYS`].
pub fn sign(payload: &[u8], keys: &[BundleKey]) -> Result<Vec<u8>, SignatureError> {
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err(SignatureError::Unsignable);
    }
    let mut note = Note::new(statement(payload).as_bytes(), &[]).map_err(|_| SignatureError::Unsignable)?;
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    note.add_sigs(&signers).map_err(|_| SignatureError::Unsignable)?;
    let note = note.to_bytes();
    let length = u32::try_from(note.len()).map_err(|_| SignatureError::Unsignable)?;
    Ok([MAGIC.as_slice(), &length.to_le_bytes(), &note, payload].concat())
}

fn statement(payload: &[u8]) -> String {
    format!("{CONTEXT}\nsha256:{}\n", hex::encode(Sha256::digest(payload)))
}

/// The public keys that are trusted to sign bundles.
#[derive(Clone)]
pub struct TrustedKeys(Vec<StandardVerifier>);

impl fmt::Debug for TrustedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.0.iter().map(|key| format!("{:08x}", key.key_id()));
        f.debug_tuple("TrustedKeys").field(&ids.collect::<Vec<_>>()).finish()
    }
}

impl TrustedKeys {
    /// Reads verifier key lines, separated by white space or commas.
    ///
    /// # Errors
    /// When there is none, one is malformed or of another use, or there are more than [`MAX_KEYS`].
    pub fn parse(lines: &str) -> Result<Self, KeyError> {
        let words = lines.split(|letter: char| letter.is_whitespace() || letter == ',');
        let mut keys: Vec<StandardVerifier> = Vec::new();
        for (index, line) in words.filter(|line| !line.is_empty()).enumerate() {
            let key = StandardVerifier::new(line).map_err(|_| KeyError::Public(index + 1))?;
            if key.name() != KEY_NAME {
                return Err(KeyError::Public(index + 1));
            }
            // A key that is given twice counts once.
            if !keys.iter().any(|known| known.key_id() == key.key_id()) {
                keys.push(key);
            }
        }
        match keys.len() {
            0 => Err(KeyError::None),
            count if count > MAX_KEYS => Err(KeyError::TooMany(count)),
            _ => Ok(Self(keys)),
        }
    }

    /// The public keys of keys that sign.
    ///
    /// # Errors
    /// As [`TrustedKeys::parse`].
    pub fn of(keys: &[BundleKey]) -> Result<Self, KeyError> {
        let lines: Vec<&str> = keys.iter().map(BundleKey::public_line).collect();
        Self::parse(&lines.join("\n"))
    }

    /// Verifies signed bytes; what was signed is returned. Hashes the bytes once and reads at most
    /// [`MAX_NOTE_BYTES`] of them as text.
    ///
    /// # Errors
    /// When they are not exactly what a trusted key signed.
    pub fn verify<'a>(&self, signed: &'a [u8]) -> Result<&'a [u8], SignatureError> {
        let rest = signed.strip_prefix(&MAGIC).ok_or(SignatureError::Missing)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(SignatureError::Malformed)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| SignatureError::Malformed)?;
        if length > MAX_NOTE_BYTES {
            return Err(SignatureError::Malformed);
        }
        let (note_bytes, payload) = rest.split_at_checked(length).ok_or(SignatureError::Malformed)?;
        let note = Note::from_bytes(note_bytes).map_err(|_| SignatureError::Malformed)?;
        // There is one way to write a note; other bytes with the same meaning are refused.
        if note.to_bytes() != note_bytes {
            return Err(SignatureError::Malformed);
        }
        let known = self.0.iter().map(|key| Box::new(key.clone()) as Box<dyn Verifier>).collect();
        note.verify(&VerifierList::new(known)).map_err(|error| match error {
            NoteError::UnverifiedNote => SignatureError::Untrusted,
            _ => SignatureError::Invalid,
        })?;
        if note.text() != statement(payload).as_bytes() {
            return Err(SignatureError::Changed);
        }
        Ok(payload)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn key(seed: u8) -> BundleKey {
        BundleKey::new(SigningKey::from_bytes(&[seed; 32])).unwrap()
    }

    fn trusted(keys: &[BundleKey]) -> TrustedKeys {
        TrustedKeys::of(keys).unwrap()
    }

    #[test]
    fn a_program_that_knows_no_signatures_reads_what_was_signed() {
        let packed = zstd::bulk::compress(b"rules", 9).unwrap();
        let signed = sign(&packed, &[key(1), key(2)]).unwrap();
        assert_eq!(zstd::decode_all(signed.as_slice()).unwrap(), b"rules");
    }

    #[test]
    fn what_nobody_signed_and_what_somebody_else_signed_are_told_apart() {
        let mine = trusted(&[key(1)]);
        let payload = zstd::bulk::compress(b"rules", 9).unwrap();
        assert_eq!(mine.verify(&payload), Err(SignatureError::Missing));
        assert_eq!(mine.verify(b""), Err(SignatureError::Missing));
        assert_eq!(mine.verify(&sign(&payload, &[key(2)]).unwrap()), Err(SignatureError::Untrusted));
        let mut changed = sign(&payload, &[key(1)]).unwrap();
        changed.push(0);
        assert_eq!(mine.verify(&changed), Err(SignatureError::Changed));
        // The name and id of a trusted key before a signature of another one.
        let forged = String::from_utf8_lossy(&sign(&payload, &[key(2)]).unwrap()[8..]).into_owned();
        let text = forged.split("\n\n").next().unwrap().to_owned() + "\n";
        let note = Note::new(
            text.as_bytes(),
            &[signed_note::Signature::new(KEY_NAME.to_owned(), key(1).key_id(), vec![7; 64]).unwrap()],
        )
        .unwrap()
        .to_bytes();
        let length = u32::try_from(note.len()).unwrap().to_le_bytes();
        let forged = [MAGIC.as_slice(), &length, &note, &payload].concat();
        assert_eq!(mine.verify(&forged), Err(SignatureError::Invalid));
    }

    #[test]
    fn a_signature_for_another_use_is_no_signature_of_a_bundle() {
        let payload = b"rules";
        // The same key and name over a text of another first line.
        let text = statement(payload).replace(CONTEXT, "novacrm.io/acme/audit");
        let mut note = Note::new(text.as_bytes(), &[]).unwrap();
        note.add_sigs(&[&key(1)]).unwrap();
        let note = note.to_bytes();
        let length = u32::try_from(note.len()).unwrap().to_le_bytes();
        let signed = [MAGIC.as_slice(), &length, &note, payload].concat();
        assert_eq!(trusted(&[key(1)]).verify(&signed), Err(SignatureError::Changed));
        assert!(matches!(
            TrustedKeys::parse(&key(1).public_line().replace(KEY_NAME, "novacrm.io/acme/audit")),
            Err(KeyError::Public(1))
        ));
    }

    #[test]
    fn keys_are_replaced_while_either_is_trusted() {
        let (old, new) = (key(1), key(2));
        let during = sign(b"rules", &[old.clone(), new.clone()]).unwrap();
        for pods in [vec![old.clone()], vec![old.clone(), new.clone()], vec![new.clone()]] {
            assert_eq!(trusted(&pods).verify(&during), Ok(b"rules".as_slice()));
        }
        let after = sign(b"rules", std::slice::from_ref(&new)).unwrap();
        assert_eq!(trusted(&[old.clone(), new]).verify(&after), Ok(b"rules".as_slice()));
        assert_eq!(trusted(&[old]).verify(&after), Err(SignatureError::Untrusted));
    }

    #[test]
    fn too_many_keys_and_none_are_refused() {
        let many: Vec<BundleKey> = (1..=9).map(key).collect();
        assert_eq!(sign(b"", &many), Err(SignatureError::Unsignable));
        assert_eq!(sign(b"", &[]), Err(SignatureError::Unsignable));
        assert!(matches!(TrustedKeys::of(&many), Err(KeyError::TooMany(9))));
        assert!(matches!(TrustedKeys::parse(" ,\n"), Err(KeyError::None)));
        let longest = sign(b"", &many[..MAX_KEYS]).unwrap();
        assert!(longest.len() <= MAX_NOTE_BYTES, "{}", longest.len());
        assert_eq!(trusted(&many[..1]).verify(&longest), Ok(b"".as_slice()));
    }

    #[test]
    fn a_private_key_is_never_shown() {
        assert_eq!(format!("{:?}", key(1)), format!("BundleKey({}, …)", key(1).public_line()));
    }

    proptest! {
        #[test]
        fn what_was_signed_is_verified(payload in prop::collection::vec(any::<u8>(), 0..2000), keys in 1u8..4) {
            let keys: Vec<BundleKey> = (1..=keys).map(key).collect();
            let signed = sign(&payload, &keys).unwrap();
            prop_assert_eq!(&signed, &sign(&payload, &keys).unwrap());
            for one in keys {
                prop_assert_eq!(trusted(&[one]).verify(&signed), Ok(payload.as_slice()));
            }
        }

        #[test]
        fn one_bit_that_is_changed_is_noticed(
            payload in prop::collection::vec(any::<u8>(), 0..300),
            place in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let mut signed = sign(&payload, &[key(1)]).unwrap();
            let place = place.index(signed.len());
            signed[place] ^= 1 << bit;
            prop_assert!(trusted(&[key(1)]).verify(&signed).is_err());
        }

        #[test]
        fn what_is_cut_off_is_noticed(payload in prop::collection::vec(any::<u8>(), 1..300), at in any::<prop::sample::Index>()) {
            let signed = sign(&payload, &[key(1)]).unwrap();
            prop_assert!(trusted(&[key(1)]).verify(&signed[..at.index(signed.len())]).is_err());
        }
    }
}
