//! The engine's keys: `NOVACRM_KEYS_DIR` in, typed keys out; nothing of them is ever shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use novacrm_engine_core::FingerprintKey;
use novacrm_engine_core::pipeline;
use novacrm_engine_core::record::commitment::CommitmentKey;
use novacrm_engine_core::record::log::{CheckpointError, CheckpointKey, CheckpointVerifier, origin};
use novacrm_engine_core::transform::TokenKey;
use zeroize::Zeroizing;

use crate::audit::reply::ReplyKey;

/// File with the log's verifier key line.
pub const PUBLIC_KEY_FILE: &str = "audit-public.key";

/// All keys of an engine.
#[derive(Debug)]
pub struct Keys {
    /// For fingerprints of findings and for tokens.
    pub decision: pipeline::Keys,
    /// For commitments to people.
    pub commitment: CommitmentKey,
    /// For kept answers.
    pub reply: ReplyKey,
    /// For checkpoints.
    pub signing: Arc<CheckpointKey>,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not 32 bytes in base64.
    #[error("{0}: expected 32 bytes in base64")]
    Symmetric(PathBuf),
    /// Not a key of the log.
    #[error("{path}: {source}")]
    Log {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: CheckpointError,
    },
    /// The public key is not that of the private one.
    #[error("{0}: not the public key of this tenant's audit-signing.key")]
    Pair(PathBuf),
}

impl Keys {
    /// Reads all keys of a tenant.
    ///
    /// # Errors
    /// Names the file that is missing or cannot be used.
    pub fn read(dir: &Path, tenant: &str) -> Result<Self, KeyError> {
        let signing = read_signing(dir, tenant)?;
        Ok(Self {
            decision: pipeline::Keys {
                fingerprint: FingerprintKey::new(*symmetric(dir, "fingerprint.key")?),
                token: TokenKey::new(*symmetric(dir, "tokenization.key")?),
            },
            commitment: CommitmentKey::new(*symmetric(dir, "commitment.key")?),
            reply: ReplyKey::new(&symmetric(dir, "reply.key")?),
            signing: Arc::new(signing),
        })
    }
}

/// Reads the key that signs a log; the public one beside it must be its own.
///
/// # Errors
/// When a file is missing or holds no key.
pub fn read_signing(dir: &Path, tenant: &str) -> Result<CheckpointKey, KeyError> {
    let path = dir.join("audit-signing.key");
    let signing = CheckpointKey::from_pem(&origin(tenant), &text(&path)?)
        .map_err(|source| KeyError::Log { path, source })?;
    let public = dir.join(PUBLIC_KEY_FILE);
    if text(&public)?.trim() != signing.verifier_line() {
        return Err(KeyError::Pair(public));
    }
    Ok(signing)
}

/// Reads the key that verifies a log.
///
/// # Errors
/// When the file is missing or holds no verifier key line.
pub fn read_verifier(path: &Path) -> Result<CheckpointVerifier, KeyError> {
    CheckpointVerifier::new(&text(path)?).map_err(|source| KeyError::Log { path: path.to_owned(), source })
}

fn text(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let read = std::fs::read_to_string(path).map(Zeroizing::new);
    read.map_err(|source| KeyError::File { path: path.to_owned(), source })
}

fn symmetric(dir: &Path, name: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    read_symmetric(&dir.join(name))
}

/// Reads a symmetric key.
///
/// # Errors
/// When the file is missing or does not hold 32 bytes in base64.
pub fn read_symmetric(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let encoded = text(path)?;
    let decoded = BASE64_STANDARD.decode(encoded.trim()).map(Zeroizing::new).ok();
    let key = decoded.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
    key.map(Zeroizing::new).ok_or_else(|| KeyError::Symmetric(path.to_owned()))
}
