//! Paths of manifests in; the files they name, and the text of each, out.

use std::io;
use std::path::{Path, PathBuf};

use novacrm_engine_core::policy::PolicyProblem;

/// Why a file cannot be read; it is no problem of what it holds.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the folder {} holds no .yaml, .yml or .json file", .0.display())]
    Empty(PathBuf),
}

/// The files named, and those in the folders named, without hidden ones, in a fixed order.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ReadError> {
    let mut files = Vec::new();
    for path in paths {
        let metadata =
            std::fs::metadata(path).map_err(|source| ReadError::Read { path: path.clone(), source })?;
        if metadata.is_dir() {
            let before = files.len();
            search(path, &mut files)?;
            if files.len() == before {
                return Err(ReadError::Empty(path.clone()));
            }
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Searches a folder. Links to folders are not followed, so the search always ends.
fn search(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), ReadError> {
    let failed = |source| ReadError::Read { path: folder.to_owned(), source };
    let mut entries: Vec<std::fs::DirEntry> =
        std::fs::read_dir(folder).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_dir() {
            search(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|ending| ending == "yaml" || ending == "yml" || ending == "json")
        {
            files.push(path);
        }
    }
    Ok(())
}

/// A file's text; what is no text is a problem of the file.
pub(super) fn read(path: &Path) -> Result<Result<String, PolicyProblem>, ReadError> {
    let bytes = std::fs::read(path).map_err(|source| ReadError::Read { path: path.to_owned(), source })?;
    Ok(String::from_utf8(bytes).map_err(|error| PolicyProblem {
        path: String::new(),
        message: format!("byte {} is not UTF-8", error.utf8_error().valid_up_to() + 1),
        hint: "Save the file as UTF-8.".to_owned(),
        file: Some(path.display().to_string()),
        line: None,
        column: None,
    }))
}
