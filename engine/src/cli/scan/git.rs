//! In: what `git` writes about a history or about what is staged. Out: windows on the lines that were added, each
//! with some lines around it as context.
//!
//! The installed `git` is asked for patches; how they are written is fixed by options, whatever its configuration
//! says. A merge is compared with all of its parents, so what a merge alone brought in is seen.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::patch::{Event, PatchError, Patches};
use super::{Seen, Send, Source, SourceError};

/// Lines around an addition: as many as context words reach, in most texts.
const CONTEXT_LINES: &str = "--unified=3";

/// What of a repository is scanned.
#[derive(Debug)]
pub(super) struct Repository {
    /// The repository, or a folder in it; where the command runs when absent.
    pub(super) folder: Option<PathBuf>,
    pub(super) wanted: Wanted,
}

#[derive(Debug)]
pub(super) enum Wanted {
    /// What the next commit would add.
    Staged,
    /// What the commits of a range added, such as `main..HEAD`; every commit when absent.
    History(Option<String>),
}

impl Source for Repository {
    fn produce(&self, seen: &Seen, send: &mut Send<'_>) -> Result<(), SourceError> {
        let mut command = self.command()?;
        let mut git = command.spawn().map_err(SourceError::Git)?;
        let patches = git.stdout.take().map(|stdout| BufReader::with_capacity(256 << 10, stdout));
        let mut tell = |event| {
            match event {
                Event::Window(window) => send(window)?,
                Event::Commit => _ = seen.commits.add(1),
                Event::File => _ = seen.files.add(1),
                Event::Binary => _ = seen.binary.add(1),
            }
            Ok(())
        };
        let parsed = patches.map_or(Ok(()), |patches| Patches::new(patches, &mut tell).read());
        if parsed.is_err() {
            // Nobody reads on; git may be in the middle of a long history.
            let _ = git.kill();
        }
        let status = git.wait().map_err(SourceError::Git)?;
        parsed.map_err(|error| match error {
            PatchError::Read(error) => SourceError::Git(error),
            PatchError::Stopped => SourceError::Stopped,
        })?;
        if status.success() { Ok(()) } else { Err(SourceError::GitStatus(status)) }
    }
}

impl Repository {
    fn command(&self) -> Result<Command, SourceError> {
        let mut git = Command::new("git");
        if let Some(folder) = &self.folder {
            git.arg("-C").arg(folder);
        }
        for setting in ["core.quotePath=false", "log.showRoot=true", "diff.suppressBlankEmpty=false"] {
            git.args(["-c", setting]);
        }
        let patches = [
            "--patch",
            CONTEXT_LINES,
            "--inter-hunk-context=0",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--no-relative",
            "--find-renames",
            "--submodule=short",
            "--src-prefix=a/",
            "--dst-prefix=b/",
        ];
        match &self.wanted {
            Wanted::Staged => {
                git.args(["diff", "--cached"]).args(patches).arg("--");
            }
            Wanted::History(range) => {
                git.args(["log", "--format=commit %H %cI", "--no-show-signature", "--no-notes"])
                    .args(["--diff-merges=dense-combined"])
                    .args(patches);
                match range {
                    // What starts like an option is none.
                    Some(range) => git.args(["--end-of-options", range]),
                    None => git.arg("--all"),
                };
                git.arg("--");
            }
        }
        git.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(git)
    }
}
