//! The tree over the records: leaf hashes in, roots and signed checkpoints out.
//!
//! Hashes are those of RFC 6962 §2.1. A checkpoint is a C2SP `tlog-checkpoint` (origin, size, root) in a C2SP
//! signed note, under Ed25519. The key's name is the log's origin, `novacrm.io/<tenant>/audit`.

use std::fmt;

use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer as _, SigningKey};
use signed_note::{Note, Signer, StandardVerifier, Verifier, VerifierList, new_ed25519_verifier_key};
pub use tlog_tiles::Hash;
use tlog_tiles::{EMPTY_HASH, HASH_SIZE, node_hash};

/// The hash of a record's bytes as a leaf.
#[must_use]
pub fn leaf_hash(body: &[u8]) -> Hash {
    tlog_tiles::record_hash(body)
}

/// The origin of a tenant's log, which is also the name of its key.
#[must_use]
pub fn origin(tenant: &str) -> String {
    format!("novacrm.io/{tenant}/audit")
}

/// The right edge of a tree: the roots of its complete subtrees, largest first. Enough to append and to know the
/// root, in at most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(left, hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.peaks.iter().copied().rev().reduce(|right, left| node_hash(left, right)).unwrap_or(EMPTY_HASH)
    }

    /// The hashes, one after the other, to resume from.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.peaks.iter().flat_map(|hash| hash.0).collect()
    }

    /// Resumes from `size` and [`Self::to_bytes`]; `None` when they do not fit together.
    #[must_use]
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (hashes, rest) = bytes.as_chunks::<HASH_SIZE>();
        let fits = rest.is_empty() && hashes.len() == size.count_ones() as usize;
        fits.then(|| Self { size, peaks: hashes.iter().copied().map(Hash).collect() })
    }
}

/// What a checkpoint says: the log had this root at this size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checkpoint {
    /// How many records.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

/// Why a key or a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The private key is not PKCS #8 PEM of an Ed25519 key.
    #[error("the signing key is not an Ed25519 key in PKCS #8 PEM")]
    SigningKey,
    /// The public key line is malformed.
    #[error("the public key is not a C2SP verifier key line (`<origin>+<id>+<key>`): {0}")]
    VerifierKey(signed_note::VerifierError),
    /// The origin is no name for a key.
    #[error("the log's origin may hold neither white space nor `+`")]
    Origin,
    /// The note is malformed, or signed by somebody else, or changed.
    #[error("the checkpoint is not signed by this log's key: {0}")]
    Note(#[from] signed_note::NoteError),
    /// The signed text is no checkpoint.
    #[error("the signed text is not a checkpoint")]
    Malformed,
    /// It belongs to another log.
    #[error("the checkpoint belongs to another log ({0})")]
    Origins(String),
}

/// The key that signs a log's checkpoints. Its memory is wiped when it is dropped.
pub struct CheckpointKey {
    origin: String,
    id: u32,
    key: SigningKey,
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointKey({}, …)", self.origin)
    }
}

impl CheckpointKey {
    /// Takes an Ed25519 key as PKCS #8 PEM.
    ///
    /// # Errors
    /// When it is none, or the origin is no name for a key.
    pub fn from_pem(origin: &str, pem: &str) -> Result<Self, CheckpointError> {
        let key = SigningKey::from_pkcs8_pem(pem).map_err(|_| CheckpointError::SigningKey)?;
        Self::new(origin, key)
    }

    /// Takes an Ed25519 key.
    ///
    /// # Errors
    /// When the origin is no name for a key.
    pub fn new(origin: &str, key: SigningKey) -> Result<Self, CheckpointError> {
        if !signed_note::is_key_name_valid(origin) {
            return Err(CheckpointError::Origin);
        }
        let line = new_ed25519_verifier_key(origin, &key.verifying_key());
        let id = StandardVerifier::new(&line).map_err(CheckpointError::VerifierKey)?.key_id();
        Ok(Self { origin: origin.to_owned(), id, key })
    }

    /// The line that verifies what this key signs (C2SP signed-note verifier key).
    #[must_use]
    pub fn verifier_line(&self) -> String {
        new_ed25519_verifier_key(&self.origin, &self.key.verifying_key())
    }

    /// Signs the state of a tree; the result is a signed note.
    ///
    /// # Errors
    /// When the note cannot be made; not for any tree.
    pub fn sign(&self, tree: &Frontier) -> Result<String, CheckpointError> {
        let checkpoint = tlog_tiles::Checkpoint::new(&self.origin, tree.size(), tree.root(), "")
            .map_err(|_| CheckpointError::Malformed)?;
        let mut note = Note::new(&checkpoint.to_bytes(), &[])?;
        note.add_sigs(&[self])?;
        String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Malformed)
    }
}

impl Signer for CheckpointKey {
    fn name(&self) -> &str {
        &self.origin
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ed25519_dalek::SignatureError> {
        Ok(self.key.try_sign(message)?.to_vec())
    }
}

/// Verifies a log's checkpoints from its public key alone.
#[derive(Clone)]
pub struct CheckpointVerifier(StandardVerifier);

impl fmt::Debug for CheckpointVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointVerifier({})", self.0.name())
    }
}

impl CheckpointVerifier {
    /// Takes a verifier key line; white space around it does no harm.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(line: &str) -> Result<Self, CheckpointError> {
        StandardVerifier::new(line.trim()).map(Self).map_err(CheckpointError::VerifierKey)
    }

    /// The log's origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.0.name()
    }

    /// Reads a signed checkpoint. Bytes that say the same in another way are refused.
    ///
    /// # Errors
    /// When it is malformed, not signed by this key, or of another log.
    pub fn open(&self, note: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let parsed = Note::from_bytes(note)?;
        parsed.verify(&VerifierList::new(vec![Box::new(self.0.clone())]))?;
        let checkpoint = tlog_tiles::Checkpoint::from_bytes(parsed.text())
            .map_err(|tlog_tiles::MalformedCheckpointError| CheckpointError::Malformed)?;
        if parsed.to_bytes() != note {
            return Err(CheckpointError::Malformed);
        }
        if checkpoint.origin() != self.origin() {
            return Err(CheckpointError::Origins(checkpoint.origin().to_owned()));
        }
        Ok(Checkpoint { size: checkpoint.size(), root: *checkpoint.hash() })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn key() -> CheckpointKey {
        CheckpointKey::new("novacrm.io/acme/audit", SigningKey::from_bytes(&[7; 32])).unwrap()
    }

    /// RFC 6962 §2.1, word for word.
    fn tree_hash(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => EMPTY_HASH,
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(tree_hash(&leaves[..split]), tree_hash(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_rfc_6962_at_every_size() {
        let mut frontier = Frontier::default();
        let mut leaves = Vec::new();
        for n in 0..200_u32 {
            assert_eq!(frontier.root(), tree_hash(&leaves), "size {n}");
            let leaf = leaf_hash(&n.to_be_bytes());
            frontier.push(leaf);
            leaves.push(leaf);
        }
    }

    #[test]
    fn the_known_roots_of_the_certificate_transparency_tests_hold() {
        // Inputs and roots of the test vectors of google/certificate-transparency (merkletree).
        let inputs = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let mut frontier = Frontier::default();
        for input in inputs {
            frontier.push(leaf_hash(&hex::decode(input).unwrap()));
        }
        let root = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
        assert_eq!(hex::encode(frontier.root().0), root);
    }

    #[test]
    fn a_checkpoint_opens_with_its_own_key_only() {
        let mut tree = Frontier::default();
        tree.push(leaf_hash(b"one"));
        let note = key().sign(&tree).unwrap();
        let verifier = CheckpointVerifier::new(&key().verifier_line()).unwrap();
        assert_eq!(verifier.open(note.as_bytes()).unwrap(), Checkpoint { size: 1, root: tree.root() });
        let stranger = CheckpointKey::new("novacrm.io/acme/audit", SigningKey::from_bytes(&[8; 32])).unwrap();
        let stranger = CheckpointVerifier::new(&stranger.verifier_line()).unwrap();
        assert!(stranger.open(note.as_bytes()).is_err());
    }

    #[test]
    fn every_changed_byte_of_a_checkpoint_is_refused() {
        let mut tree = Frontier::default();
        tree.push(leaf_hash(b"one"));
        let note = key().sign(&tree).unwrap().into_bytes();
        let verifier = CheckpointVerifier::new(&key().verifier_line()).unwrap();
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut forged = note.clone();
                forged[at] ^= 1 << bit;
                assert!(verifier.open(&forged).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_frontier_resumes_from_its_bytes(before in 0_u64..300, after in 0_u64..20) {
            let mut whole = Frontier::default();
            for n in 0..before {
                whole.push(leaf_hash(&n.to_be_bytes()));
            }
            let mut resumed = Frontier::from_bytes(whole.size(), &whole.to_bytes()).unwrap();
            for n in 0..after {
                whole.push(leaf_hash(&n.to_be_bytes()));
                resumed.push(leaf_hash(&n.to_be_bytes()));
            }
            prop_assert_eq!(whole.root(), resumed.root());
        }

        #[test]
        fn bytes_that_are_no_frontier_are_refused(size in any::<u64>(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let fits = bytes.len() == size.count_ones() as usize * HASH_SIZE;
            prop_assert_eq!(Frontier::from_bytes(size, &bytes).is_some(), fits);
        }

        #[test]
        fn opening_what_is_no_checkpoint_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(CheckpointVerifier::new(&key().verifier_line()).unwrap().open(&bytes).is_err());
        }
    }
}
