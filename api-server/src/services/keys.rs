//! Keys of 32 bytes, wiped when they are dropped and never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A secret of 32 bytes.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("{path}: {source}; NOVACRM_KEYS_DIR must hold token.key, cursor.key and idempotency.key")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not hold 32 bytes in base64.
    #[error("{path}: must hold 32 random bytes in base64; make one with `openssl rand -base64 32`")]
    Form {
        /// Which file.
        path: PathBuf,
    },
}

impl Key {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a key from a file: 32 bytes in base64, white space around them.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn read(dir: &Path, name: &str) -> Result<Self, KeyError> {
        let path = dir.join(name);
        let text = std::fs::read_to_string(&path)
            .map(Zeroizing::new)
            .map_err(|source| KeyError::File { path: path.clone(), source })?;
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        bytes.map(Self::new).ok_or(KeyError::Form { path })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}
