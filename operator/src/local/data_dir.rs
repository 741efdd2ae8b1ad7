//! The data folder of `up`: one owner, one user at a time; Secrets and ConfigMaps as files, written so that a
//! reader sees the old content or the new, never a part.
//!
//! ```text
//! novacrm-data       marks the folder as ours, with its layout
//! lock               held while `up` runs
//! memory.json        accepted revisions and bundles
//! status.json        what `status` shows
//! admin.json         where the running `up` answers
//! signing/<name>.key the keys that sign bundles
//! secrets/<namespace>/<name>/<key>        configmaps/<namespace>/<name>/<key>
//! logs/<namespace>/<process>.log          postgres/, or postgres-folder that says where
//! ```

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::ConfigMap;
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::crm_tenant::generate::{Content, Secrets};
use crate::local::postgres::{Account, reachable_for_others};
use crate::signing::{SigningError, SigningKeys};

const MARKER: &str = "novacrm-data";
const MARKER_TEXT: &str = "NovaCRM data, layout 1\n";
/// What `up` remembers of the manifests.
pub const MEMORY: &str = "memory.json";
/// What `status` shows.
pub const STATUS: &str = "status.json";
/// Where the running `up` answers.
pub const ADMIN: &str = "admin.json";

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The system refused.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else is in the folder.
    #[error("{} holds files and is no data folder of NovaCRM: name another one with --data-dir", .0.display())]
    Foreign(PathBuf),
    /// Another user's.
    #[error("{} belongs to user {owner}, and this is user {me}: run as that user, or name another folder with --data-dir", path.display())]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who asks.
        me: u32,
    },
    /// It is in use.
    #[error("another `up` is using {}: end it first, or name another folder with --data-dir", .0.display())]
    Locked(PathBuf),
    /// It does not exist.
    #[error("there is no data folder at {}: `up` makes it, --data-dir names another one", .0.display())]
    Absent(PathBuf),
    /// A file of ours is not what was written.
    #[error("{} is damaged: restore it from a backup, or start anew with `reset`", .0.display())]
    Damaged(PathBuf),
    /// Written by a newer release.
    #[error("{} was made by another release of NovaCRM: use that release", .0.display())]
    Layout(PathBuf),
}

/// The data folder, for the one process that holds its lock.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: fs::File,
}

impl DataDir {
    /// Opens the folder, making it when it is absent, and takes its lock.
    ///
    /// # Errors
    /// When it is somebody else's, something else's, in use, or cannot be written.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        make_folder(path)?;
        Self::take(path)
    }

    /// Opens a folder that exists.
    ///
    /// # Errors
    /// As [`DataDir::open`], and when it does not exist.
    pub fn existing(path: &Path) -> Result<Self, DataDirError> {
        if !path.exists() {
            return Err(DataDirError::Absent(path.to_owned()));
        }
        Self::take(path)
    }

    fn take(path: &Path) -> Result<Self, DataDirError> {
        let root = fs::canonicalize(path).map_err(failed("cannot open", path))?;
        let owner = fs::metadata(&root).map_err(failed("cannot open", &root))?.uid();
        let me = geteuid().as_raw();
        if owner != me {
            return Err(DataDirError::Owner { path: root, owner, me });
        }
        let marker = root.join(MARKER);
        match fs::read_to_string(&marker) {
            Ok(text) if text == MARKER_TEXT => {}
            Ok(_) => return Err(DataDirError::Layout(root)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut entries = fs::read_dir(&root).map_err(failed("cannot read", &root))?;
                if entries.next().is_some() {
                    return Err(DataDirError::Foreign(root));
                }
                write(&marker, MARKER_TEXT.as_bytes())?;
            }
            Err(error) => return Err(failed("cannot read", &marker)(error)),
        }
        let lock_path = root.join("lock");
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("cannot open", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::Locked(root)),
            Err(error) => Err(failed("cannot lock", &lock_path)(error.into())),
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The folder of a tenant's Secrets.
    #[must_use]
    pub fn secrets_dir(&self, namespace: &str) -> PathBuf {
        self.root.join("secrets").join(namespace)
    }

    /// The folder of a tenant's ConfigMaps.
    #[must_use]
    pub fn config_maps_dir(&self, namespace: &str) -> PathBuf {
        self.root.join("configmaps").join(namespace)
    }

    /// The log of a process.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn log(&self, namespace: &str, process: &str) -> Result<PathBuf, DataDirError> {
        let folder = self.root.join("logs").join(namespace);
        make_folder(&folder)?;
        Ok(folder.join(format!("{process}.log")))
    }

    /// The database's folder. For an account other than the caller's it must be reachable, so it is elsewhere
    /// when the data folder is in a private place such as root's home; a file then says where.
    ///
    /// # Errors
    /// When the place cannot be noted.
    pub fn postgres_folder(&self, account: Option<&Account>) -> Result<PathBuf, DataDirError> {
        let own = self.root.join("postgres");
        if account.is_none() || own.exists() {
            return Ok(own);
        }
        let note = self.root.join("postgres-folder");
        match fs::read_to_string(&note) {
            Ok(folder) => return Ok(PathBuf::from(folder.trim_end())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("cannot read", &note)(error)),
        }
        if self.root.parent().is_some_and(reachable_for_others) {
            // Others may pass through the folder and read nothing in it.
            fs::set_permissions(&self.root, fs::Permissions::from_mode(0o711))
                .map_err(failed("cannot open up", &self.root))?;
            return Ok(own);
        }
        let id = rand::random::<[u8; 8]>();
        let base = Path::new("/var/lib/novacrm");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(base)
            .map_err(failed("cannot make", base))?;
        let folder = base.join(hex::encode(Sha256::new().chain_update(id).finalize())).join("postgres");
        let parent = folder.parent().unwrap_or(base);
        fs::DirBuilder::new().mode(0o711).create(parent).map_err(failed("cannot make", parent))?;
        write(&note, folder.display().to_string().as_bytes())?;
        Ok(folder)
    }

    /// All Secrets of a tenant that exist.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read_secrets(&self, namespace: &str) -> Result<Secrets, DataDirError> {
        let folder = self.secrets_dir(namespace);
        let mut secrets = Secrets::new();
        for secret in entries(&folder)? {
            let mut content = Content::new();
            for file in entries(&secret)? {
                let value = fs::read_to_string(&file).map_err(failed("cannot read", &file))?;
                content.insert(file_name(&file), Zeroizing::new(value));
            }
            secrets.insert(file_name(&secret), content);
        }
        Ok(secrets)
    }

    /// The keys that sign bundles: every file of the folder `signing` whose name ends with `.key`. One is made where
    /// there is none.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or holds what is no key.
    pub fn signing_keys(&self) -> Result<SigningKeys, DataDirError> {
        let folder = self.root.join("signing");
        make_folder(&folder)?;
        let mut content = Content::new();
        for file in entries(&folder)? {
            let value = fs::read_to_string(&file).map_err(failed("cannot read", &file))?;
            content.insert(file_name(&file), Zeroizing::new(value));
        }
        if let Err(SigningError::Empty) = SigningKeys::read(&content) {
            let made = SigningKeys::generate(time::OffsetDateTime::now_utc(), &mut rand::rng())
                .map_err(|_| DataDirError::Damaged(folder.clone()))?;
            for (name, value) in &made {
                write(&folder.join(name), value.as_bytes())?;
            }
            content.extend(made);
        }
        SigningKeys::read(&content).map_err(|_| DataDirError::Damaged(folder))
    }

    /// Writes a Secret, readable for its owner alone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_secret(&self, namespace: &str, name: &str, content: &Content) -> Result<(), DataDirError> {
        let folder = self.secrets_dir(namespace).join(name);
        make_folder(&folder)?;
        for (key, value) in content {
            let path = folder.join(key);
            if fs::read(&path).is_ok_and(|before| before == value.as_bytes()) {
                continue;
            }
            write(&path, value.as_bytes())?;
        }
        Ok(())
    }

    /// Writes a ConfigMap. Answers whether anything changed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config_map(&self, namespace: &str, map: &ConfigMap) -> Result<bool, DataDirError> {
        let name = map.metadata.name.as_deref().unwrap_or_default();
        let folder = self.config_maps_dir(namespace).join(name);
        make_folder(&folder)?;
        let binary = map.binary_data.iter().flatten().map(|(key, value)| (key, value.0.as_slice()));
        let text = map.data.iter().flatten().map(|(key, value)| (key, value.as_bytes()));
        let mut changed = false;
        for (key, value) in binary.chain(text) {
            let path = folder.join(key);
            if fs::read(&path).is_ok_and(|before| before == value) {
                continue;
            }
            write(&path, value)?;
            changed = true;
        }
        Ok(changed)
    }

    /// Reads a JSON file of ours; `None` when it does not exist yet.
    ///
    /// # Errors
    /// When it is not what was written.
    pub fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DataDirError> {
        load(&self.root, name)
    }

    /// Writes a JSON file of ours.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, name: &str, value: &impl Serialize) -> Result<(), DataDirError> {
        let path = self.root.join(name);
        let mut text = serde_json::to_vec_pretty(value).map_err(|_| DataDirError::Damaged(path.clone()))?;
        text.push(b'\n');
        write(&path, &text)
    }

    /// Removes a file of ours; none is no error.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), DataDirError> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("cannot remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Deletes everything, the database included. The mark and the lock go last.
    ///
    /// # Errors
    /// When something cannot be deleted; what is left is still a data folder, so it can be tried again.
    pub fn delete(self) -> Result<(), DataDirError> {
        let note = self.root.join("postgres-folder");
        if let Ok(folder) = fs::read_to_string(&note) {
            let folder = PathBuf::from(folder.trim_end());
            // Only what `postgres_folder` could have made.
            if folder.starts_with("/var/lib/novacrm")
                && let Some(parent) = folder.parent()
                && parent.exists()
            {
                fs::remove_dir_all(parent).map_err(failed("cannot delete", parent))?;
            }
        }
        for path in entries(&self.root)? {
            if [MARKER, "lock"].contains(&file_name(&path).as_str()) {
                continue;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(failed("cannot delete", &path))?;
        }
        fs::remove_dir_all(&self.root).map_err(failed("cannot delete", &self.root))
    }
}

/// Reads a JSON file of a data folder without taking its lock.
///
/// # Errors
/// When it is there and cannot be read.
pub fn load<T: DeserializeOwned>(root: &Path, name: &str) -> Result<Option<T>, DataDirError> {
    let path = root.join(name);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|_| DataDirError::Damaged(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("cannot read", &path)(error)),
    }
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> DataDirError + use<> {
    let path = path.to_owned();
    move |source| DataDirError::File { what, path: path.clone(), source }
}

fn make_folder(path: &Path) -> Result<(), DataDirError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("cannot make", path))
}

/// Writes beside the place, makes it durable and renames.
fn write(path: &Path, content: &[u8]) -> Result<(), DataDirError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = folder.join(format!(".{}.new", file_name(path)));
    let attempt = || {
        let mut file =
            fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(folder)?.sync_all()
    };
    attempt().map_err(failed("cannot write", path))
}

/// What is in a folder, without what a broken write left; nothing when there is no folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataDirError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("cannot read", folder)(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("cannot read", folder))?.path();
        if !file_name(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let first = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(DataDirError::Locked(_))));
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_folder_of_somebody_elses_files_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::Foreign(_))));
        assert!(matches!(DataDir::existing(&folder.path().join("none")), Err(DataDirError::Absent(_))));
    }

    #[test]
    fn another_layout_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MARKER), "NovaCRM data, layout 2\n").unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::Layout(_))));
    }

    #[test]
    fn secrets_are_for_their_owner_alone_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        let content = Content::from([("a.key".to_owned(), Zeroizing::new("value".to_owned()))]);
        data.write_secret("acme", "keys", &content).unwrap();
        let path = data.secrets_dir("acme").join("keys");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path.join("a.key")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(data.read_secrets("acme").unwrap()["keys"], content);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        assert_eq!(data.load::<u32>(MEMORY).unwrap(), None);
        fs::write(data.path().join(MEMORY), "{").unwrap();
        let error = data.load::<u32>(MEMORY).unwrap_err().to_string();
        assert!(error.contains("memory.json is damaged"), "{error}");
    }

    #[test]
    fn delete_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let data = DataDir::open(&path).unwrap();
        data.write_secret("acme", "keys", &Content::new()).unwrap();
        data.delete().unwrap();
        assert!(!path.exists());
    }
}
