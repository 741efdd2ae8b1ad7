//! In: a file with what is known, and findings. Out: which of them are known, without the file telling what they are.
//!
//! A finding is known by its path, its detector and its value, so it stays known when its line moves. Kept is a
//! keyed hash of the three. The salt stands in the file: it keeps two baselines from being compared and makes
//! prepared tables useless, but who has the file can try out values that are few, such as telephone numbers. A key
//! that is kept elsewhere prevents that.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use novacrm_engine_core::{Finding, FingerprintKey};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The version of the file's form.
const VERSION: u32 = 1;

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum BaselineError {
    #[error("the baseline {} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the baseline {} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{} is no baseline of this program: {reason}", path.display())]
    Form { path: PathBuf, reason: String },
    #[error("the baseline {} was made with a key; name it with --baseline-key", .0.display())]
    NeedsKey(PathBuf),
    #[error("the baseline {} was made without a key, or with another one", .0.display())]
    OtherKey(PathBuf),
}

/// What stands in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u32,
    /// 16 bytes in hexadecimal.
    salt: String,
    /// Tells whether the right key is at hand, without telling anything else of it; absent without a key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    key_check: Option<String>,
    findings: BTreeSet<String>,
}

/// Findings that are known.
#[derive(Debug)]
pub(super) struct Baseline {
    salt: [u8; 16],
    has_key: bool,
    key: FingerprintKey,
    known: BTreeSet<String>,
}

impl Baseline {
    /// One that knows nothing, with a salt of its own.
    pub(super) fn empty(key: Option<&[u8; 32]>) -> Self {
        let salt = uuid::Uuid::new_v4().into_bytes();
        Self { salt, has_key: key.is_some(), key: derive(salt, key), known: BTreeSet::new() }
    }

    /// Reads a file.
    pub(super) fn read(path: &Path, key: Option<&[u8; 32]>) -> Result<Self, BaselineError> {
        let bytes =
            std::fs::read(path).map_err(|source| BaselineError::Read { path: path.to_owned(), source })?;
        let refused = |reason: String| BaselineError::Form { path: path.to_owned(), reason };
        let form: Form = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
        if form.version != VERSION {
            return Err(refused(format!("it has version {}, known is {VERSION}", form.version)));
        }
        let mut salt = [0; 16];
        hex::decode_to_slice(&form.salt, &mut salt).map_err(|error| refused(format!("salt: {error}")))?;
        let has_key = key.is_some();
        let baseline = Self { salt, has_key, key: derive(salt, key), known: form.findings };
        match (form.key_check, baseline.key_check()) {
            (Some(_), None) => Err(BaselineError::NeedsKey(path.to_owned())),
            (stored, own) if stored != own => Err(BaselineError::OtherKey(path.to_owned())),
            _ => Ok(baseline),
        }
    }

    /// Forgets everything; a new file of the same salt differs from the old one only where findings do.
    pub(super) fn forget(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.known)
    }

    /// The key that findings must be made with.
    pub(super) fn key(&self) -> &FingerprintKey {
        &self.key
    }

    /// What a finding is known by.
    pub(super) fn print(&self, path: &str, finding: &Finding) -> String {
        let place = format!("{path}\0{}", finding.detector);
        self.key.fingerprint(&place, &finding.fingerprint.to_string()).to_string()
    }

    pub(super) fn knows(&self, print: &str) -> bool {
        self.known.contains(print)
    }

    pub(super) fn add(&mut self, print: String) {
        self.known.insert(print);
    }

    /// Writes the file, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<usize, BaselineError> {
        let form = Form {
            version: VERSION,
            salt: hex::encode(self.salt),
            key_check: self.key_check(),
            findings: self.known.clone(),
        };
        let failed = |source| BaselineError::Write { path: path.to_owned(), source };
        let mut bytes = serde_json::to_vec_pretty(&form).map_err(|error| failed(error.into()))?;
        bytes.push(b'\n');
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let beside = PathBuf::from(name);
        let written = std::fs::File::create(&beside)
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&beside, path));
        if written.is_err() {
            // The first failure is the one to tell.
            let _ = std::fs::remove_file(&beside);
        }
        written.map_err(failed)?;
        Ok(self.known.len())
    }

    fn key_check(&self) -> Option<String> {
        self.has_key.then(|| self.key.fingerprint("key", "check").to_string())
    }
}

/// HMAC-SHA-256 of the salt under the key; the salt alone counts where there is none.
fn derive(salt: [u8; 16], key: Option<&[u8; 32]>) -> FingerprintKey {
    let mut derived = [0; 32];
    // HMAC takes keys of any length, so this cannot fail.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.map_or(&[], |key| key.as_slice())) {
        mac.update(b"novacrm-engine scan baseline 1\0");
        mac.update(&salt);
        derived = mac.finalize().into_bytes().into();
    }
    FingerprintKey::new(derived)
}

#[cfg(test)]
mod tests {
    use novacrm_engine_core::Span;

    use super::*;

    fn finding(baseline: &Baseline, value: &str) -> Finding {
        Finding {
            detector: "pii.email".into(),
            kind: "EMAIL".into(),
            path: None,
            span: Span { start: 0, end: 1 },
            score: 1.0,
            fingerprint: baseline.key().fingerprint("EMAIL", value),
        }
    }

    #[test]
    fn a_finding_is_known_by_path_detector_and_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        let mut baseline = Baseline::empty(None);
        let print = baseline.print("a", &finding(&baseline, "x@example.org"));
        baseline.add(print);
        baseline.write(&path).unwrap();
        let read = Baseline::read(&path, None).unwrap();
        assert!(read.knows(&read.print("a", &finding(&read, "x@example.org"))));
        assert!(!read.knows(&read.print("b", &finding(&read, "x@example.org"))));
        assert!(!read.knows(&read.print("a", &finding(&read, "y@example.org"))));
        let mut other = finding(&read, "x@example.org");
        other.detector = "pii.other".into();
        assert!(!read.knows(&read.print("a", &other)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_same_findings_look_different_in_two_baselines() {
        let (one, two) = (Baseline::empty(None), Baseline::empty(None));
        let print = |baseline: &Baseline| baseline.print("a", &finding(baseline, "x@example.org"));
        assert_ne!(print(&one), print(&two));
    }

    #[test]
    fn a_baseline_needs_the_key_it_was_made_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        Baseline::empty(Some(&[7; 32])).write(&path).unwrap();
        assert!(Baseline::read(&path, Some(&[7; 32])).is_ok());
        assert!(matches!(Baseline::read(&path, None), Err(BaselineError::NeedsKey(_))));
        assert!(matches!(Baseline::read(&path, Some(&[8; 32])), Err(BaselineError::OtherKey(_))));
        Baseline::empty(None).write(&path).unwrap();
        assert!(matches!(Baseline::read(&path, Some(&[7; 32])), Err(BaselineError::OtherKey(_))));
    }

    #[test]
    fn what_is_no_baseline_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        assert!(matches!(Baseline::read(&path, None), Err(BaselineError::Read { .. })));
        for text in [
            "",
            "{}",
            r#"{"version":2,"salt":"","findings":[]}"#,
            r#"{"version":1,"salt":"00","findings":[]}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Baseline::read(&path, None), Err(BaselineError::Form { .. })), "{text}");
        }
    }
}
