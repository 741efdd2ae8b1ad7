//! A file or folder in, the text of its manifests out, and the objects in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_engine_core::policy::{Located, Manifest, read_manifests};

use crate::problem;

/// Most files that are read.
const MAX_FILES: usize = 10_000;

/// The text of all manifests, by path; equal texts mean that nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources(Vec<(String, Vec<u8>)>);

/// A file and what is in it.
#[derive(Clone, Debug)]
pub struct File {
    /// The path as the reader of a message knows it.
    pub path: String,
    /// The objects, or everything that is wrong with the file.
    pub outcome: Result<Vec<Located<Manifest>>, Vec<PolicyProblem>>,
}

/// Why manifests could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing to read.
    #[error("there is no manifest (*.yaml, *.yml or *.json) in {}", .0.display())]
    Empty(PathBuf),
    /// A folder that cannot be meant.
    #[error("there are more than {MAX_FILES} files in {}: name the folder of the manifests", .0.display())]
    TooMany(PathBuf),
}

/// Reads a file, or every `*.yaml`, `*.yml` and `*.json` under a folder, in the order of their paths. Names that
/// begin with a dot are left out, and so are links to folders, which could lead round in circles.
///
/// # Errors
/// When something cannot be read, or there is nothing.
pub fn read(root: &Path) -> Result<Sources, ManifestError> {
    let mut paths = Vec::new();
    collect(root, &mut paths, root)?;
    paths.sort();
    if paths.is_empty() {
        return Err(ManifestError::Empty(root.to_owned()));
    }
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        let text = fs::read(&path).map_err(|source| ManifestError::Read { path: path.clone(), source })?;
        sources.push((path.display().to_string(), text));
    }
    Ok(Sources(sources))
}

fn collect(path: &Path, paths: &mut Vec<PathBuf>, root: &Path) -> Result<(), ManifestError> {
    let failed = |source| ManifestError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.is_file() {
        paths.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let child = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_dir() {
            collect(&child, paths, root)?;
        } else if child.extension().is_some_and(|kind| kind == "yaml" || kind == "yml" || kind == "json")
            && child.is_file()
        {
            paths.push(child);
        }
        if paths.len() > MAX_FILES {
            return Err(ManifestError::TooMany(root.to_owned()));
        }
    }
    Ok(())
}

impl Sources {
    /// The objects of every file.
    #[must_use]
    pub fn parse(&self) -> Vec<File> {
        self.0.iter().map(|(path, bytes)| File { path: path.clone(), outcome: parse(path, bytes) }).collect()
    }
}

fn parse(path: &str, bytes: &[u8]) -> Result<Vec<Located<Manifest>>, Vec<PolicyProblem>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => read_manifests(text, Some(path)),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let mut problem = problem(
                "",
                "the file is not text in UTF-8",
                "Save it as UTF-8, without bytes of other encodings.",
            );
            problem.file = Some(path.to_owned());
            problem.line = u32::try_from(line).ok();
            Err(vec![problem])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_found_in_the_order_of_their_paths() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["b/2.yml", "a.yaml", "c.json", ".hidden.yaml", "notes.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = read(folder.path()).unwrap();
        let names: Vec<String> = found
            .0
            .iter()
            .map(|(path, _)| Path::new(path).strip_prefix(folder.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["a.yaml", "b/2.yml", "c.json"]);
    }

    #[test]
    fn an_empty_folder_and_a_missing_one_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path()), Err(ManifestError::Empty(_))));
        assert!(matches!(read(&folder.path().join("none")), Err(ManifestError::Read { .. })));
    }

    #[test]
    fn what_is_not_utf8_is_named_with_its_line() {
        let problems = parse("a.yaml", b"kind: x\n\xff").unwrap_err();
        assert_eq!((problems[0].file.as_deref(), problems[0].line), (Some("a.yaml"), Some(2)));
    }
}
