//! In: paths of files and folders, or a reader. Out: windows on their text; what is not scanned is counted.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use ignore::overrides::OverrideBuilder;

use super::text::is_binary;
use super::window::{CUT, Chunker, Origin};
use super::{Seen, Send, Source, SourceError};

/// How much is read at a time.
const BLOCK: usize = 128 << 10;

/// What standard input is called.
const STDIN: &str = "<stdin>";

/// Files and folders to scan.
#[derive(Debug)]
pub(super) struct Paths {
    /// `-` is standard input.
    pub(super) paths: Vec<PathBuf>,
    /// What .gitignore names is scanned, too.
    pub(super) no_ignore: bool,
    /// What is left out of folders, as in a .gitignore file.
    pub(super) exclude: Vec<String>,
    /// Files of this command, whose content is known to be no finding.
    pub(super) own: Vec<PathBuf>,
    /// Longer files are left out.
    pub(super) max_bytes: u64,
}

impl Source for Paths {
    fn produce(&self, seen: &Seen, send: &mut Send<'_>) -> Result<(), SourceError> {
        for path in &self.paths {
            if path.as_os_str() == "-" {
                let origin = Origin { path: STDIN.to_owned(), commit: None, is_whole: true };
                let failed = |error| SourceError::Path { path: PathBuf::from(STDIN), error };
                read(io::stdin().lock(), origin, self.max_bytes, seen, send)?.map_err(failed)?;
                continue;
            }
            let metadata =
                std::fs::metadata(path).map_err(|error| SourceError::Path { path: path.clone(), error })?;
            if metadata.is_dir() {
                self.folder(path, seen, send)?;
            } else {
                self.file(path, seen, send)?;
            }
        }
        Ok(())
    }
}

impl Paths {
    fn folder(&self, folder: &Path, seen: &Seen, send: &mut Send<'_>) -> Result<(), SourceError> {
        let mut exclude = OverrideBuilder::new(folder);
        for glob in &self.exclude {
            let refused = |error| SourceError::Exclude { glob: glob.clone(), error };
            exclude.add(&format!("!{glob}")).map_err(refused)?;
        }
        let exclude = exclude.build().map_err(|error| SourceError::Exclude { glob: String::new(), error })?;
        // Within a repository git's rules hold, and the .gitignore files above count as well. A folder that is
        // not in one has those in it, and whatever lies above is somebody else's.
        let in_repository = std::path::absolute(folder)
            .is_ok_and(|folder| folder.ancestors().any(|above| above.join(".git").exists()));
        let walk = WalkBuilder::new(folder)
            .hidden(false)
            .ignore(false)
            .git_ignore(!self.no_ignore)
            .parents(in_repository && !self.no_ignore)
            .require_git(in_repository)
            // What is found must not depend on who looks.
            .git_global(false)
            .git_exclude(false)
            .overrides(exclude)
            .filter_entry(|entry| entry.file_name() != ".git")
            .sort_by_file_path(Path::cmp)
            .build();
        for entry in walk {
            match entry {
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                    if !self.is_own(entry.path()) {
                        self.file(entry.path(), seen, send)?;
                    }
                }
                // What it leads to is scanned where it lies, if it lies within.
                Ok(entry) if entry.path_is_symlink() => _ = seen.links.add(1),
                // Folders, sockets and the like hold no text of their own.
                Ok(_) => {}
                Err(error) => seen.unreadable(&error),
            }
        }
        Ok(())
    }

    fn is_own(&self, path: &Path) -> bool {
        let is_same = |own: &PathBuf| match (own.canonicalize(), path.canonicalize()) {
            (Ok(own), Ok(path)) => own == path,
            _ => false,
        };
        self.own.iter().any(|own| own.file_name() == path.file_name() && is_same(own))
    }

    fn file(&self, path: &Path, seen: &Seen, send: &mut Send<'_>) -> Result<(), SourceError> {
        let failed = |error: io::Error| seen.unreadable(&format!("{}: {error}", path.display()));
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => {
                failed(error);
                return Ok(());
            }
        };
        match file.metadata() {
            Ok(metadata) if metadata.len() > self.max_bytes => {
                seen.too_large.add(1);
                return Ok(());
            }
            Ok(_) => {}
            Err(error) => {
                failed(error);
                return Ok(());
            }
        }
        let origin = Origin { path: told(path), commit: None, is_whole: true };
        if let Err(error) = read(file, origin, self.max_bytes, seen, send)? {
            failed(error);
        }
        Ok(())
    }
}

/// A path as it is told: with `/`, and without a `./` that says nothing.
fn told(path: &Path) -> String {
    let path = path.strip_prefix(".").unwrap_or(path);
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/").replacen("//", "/", 1)
}

/// Reads a document up to a length. The inner error is of the document alone.
fn read(
    mut from: impl Read,
    origin: Origin,
    max_bytes: u64,
    seen: &Seen,
    send: &mut Send<'_>,
) -> Result<io::Result<()>, SourceError> {
    let mut chunker = Chunker::new(CUT, origin, 1);
    let mut block = vec![0; BLOCK];
    let mut total = 0;
    loop {
        let length = match fill(&mut from, &mut block) {
            Ok(length) => length,
            Err(error) => return Ok(Err(error)),
        };
        let bytes = block.get(..length).unwrap_or_default();
        if total == 0 {
            if is_binary(bytes) {
                seen.binary.add(1);
                return Ok(Ok(()));
            }
            seen.files.add(1);
        }
        total += length as u64;
        if total > max_bytes {
            // It has no length that could have been asked for, or it grew.
            let path = &chunker.origin().path;
            seen.unreadable(&format!("{path}: longer than {max_bytes} bytes; the rest was not scanned"));
            break;
        }
        for window in chunker.push(bytes) {
            send(window)?;
        }
        if length < block.len() {
            break;
        }
    }
    if let Some(window) = chunker.finish() {
        send(window)?;
    }
    Ok(Ok(()))
}

/// Reads until the block is full or the end is reached.
fn fill(from: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_without_what_says_nothing() {
        for (path, wanted) in
            [("./a/b", "a/b"), ("a", "a"), ("/a/b", "/a/b"), ("../a", "../a"), ("./../a", "../a")]
        {
            assert_eq!(told(Path::new(path)), wanted);
        }
    }
}
