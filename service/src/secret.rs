//! Secrets that a process is given: the name of an environment variable in, its value out. The variable with `_FILE`
//! after its name names a file instead, whose content is the value: a file is in no crash dump and in no list of
//! processes. Arguments hold no secret, since every user of a machine sees them.

use std::io;

/// Why there is no secret. No variant holds it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Neither variable is set.
    #[error("set the environment variable {0}_FILE (the name of a file) or {0}")]
    Missing(String),
    /// Both are.
    #[error("both environment variables {0} and {0}_FILE are set: set one of them")]
    Twice(String),
    /// The file cannot be read.
    #[error("the file that the environment variable {0}_FILE names cannot be read: {1}")]
    File(String, #[source] io::Error),
}

/// Reads a secret; `None` where there is none. Line ends at its end are left out.
///
/// # Errors
/// When two are given, or the file cannot be read.
pub fn find(name: &str) -> Result<Option<String>, SecretError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let file = variable(&format!("{name}_FILE"));
    match (variable(name), file) {
        (Some(_), Some(_)) => Err(SecretError::Twice(name.to_owned())),
        (Some(value), None) => Ok(Some(value)),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| SecretError::File(name.to_owned(), error))?;
            let text = text.trim_end_matches(['\n', '\r']);
            Ok((!text.is_empty()).then(|| text.to_owned()))
        }
        (None, None) => Ok(None),
    }
}

/// Reads a secret that must be there.
///
/// # Errors
/// As [`find`], and when there is none.
pub fn read(name: &str) -> Result<String, SecretError> {
    find(name)?.ok_or_else(|| SecretError::Missing(name.to_owned()))
}
