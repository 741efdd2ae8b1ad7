//! In: patches as `git` writes them. Out: windows on the lines that were added, each with the lines around it.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use super::text::holds_zero;
use super::window::{CUT, Chunker, Commit, Origin, Window};
use super::work::Stopped;

/// Longest line of a patch that is no content, such as a path; a longer one is cut.
const MAX_HEADER: usize = 64 << 10;

/// What is met in patches.
pub(super) enum Event {
    /// Lines of a file, ready to scan.
    Window(Window),
    /// A commit starts.
    Commit,
    /// A file starts, which is there after the commit.
    File,
    /// What follows of a file is no text.
    Binary,
}

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum PatchError {
    #[error("git cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("stopped")]
    Stopped,
}

impl From<Stopped> for PatchError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// A hunk whose lines are being read.
struct Hunk {
    chunker: Chunker,
    /// Lines of each parent that are still to come.
    old: Vec<u64>,
    /// Lines of the result that are still to come.
    new: u64,
    /// The next line of the result.
    line: u64,
    /// Nothing was read of it yet.
    is_fresh: bool,
    is_binary: bool,
}

/// Reads patches.
pub(super) struct Patches<'a, R> {
    from: R,
    tell: &'a mut dyn FnMut(Event) -> Result<(), Stopped>,
    commit: Option<Arc<Commit>>,
    path: Option<String>,
}

impl<'a, R: BufRead> Patches<'a, R> {
    pub(super) fn new(from: R, tell: &'a mut dyn FnMut(Event) -> Result<(), Stopped>) -> Self {
        Self { from, tell, commit: None, path: None }
    }

    /// Reads to the end.
    pub(super) fn read(&mut self) -> Result<(), PatchError> {
        while let Some(line) = self.header()? {
            if let Some(commit) = line.strip_prefix(b"commit ") {
                let commit = String::from_utf8_lossy(commit);
                let (id, date) = commit.split_once(' ').unwrap_or((&commit, ""));
                self.commit = Some(Arc::new(Commit { id: id.to_owned(), date: date.to_owned() }));
                (self.tell)(Event::Commit)?;
            } else if line.starts_with(b"diff --") {
                self.path = None;
            } else if let Some(path) = line.strip_prefix(b"+++ ") {
                self.path = new_path(path);
                if self.path.is_some() {
                    (self.tell)(Event::File)?;
                }
            } else if line.starts_with(b"Binary files ") {
                (self.tell)(Event::Binary)?;
            } else if let Some(hunk) = self.hunk(&line) {
                self.hunk_lines(hunk)?;
            }
        }
        Ok(())
    }

    /// A line that is no content, without its end; `None` at the end.
    fn header(&mut self) -> Result<Option<Vec<u8>>, PatchError> {
        let mut line = Vec::new();
        let limit = MAX_HEADER as u64;
        (&mut self.from).take(limit).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() == MAX_HEADER {
            self.skip_line()?;
        }
        Ok(Some(line))
    }

    /// `@@ -1,2 +3,4 @@`, or with one more `@` and range for each further parent.
    fn hunk(&self, line: &[u8]) -> Option<Hunk> {
        let line = std::str::from_utf8(line.get(..line.len().min(512))?).unwrap_or_else(|error| {
            line.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or("")
        });
        let parents = line.bytes().take_while(|byte| *byte == b'@').count().checked_sub(1)?;
        let (marks, rest) = line.split_at_checked(parents + 1)?;
        let (ranges, _) = rest.strip_prefix(' ')?.split_once(marks)?;
        if parents == 0 {
            return None;
        }
        let mut ranges = ranges.split_ascii_whitespace();
        let old = ranges.by_ref().take(parents).map(|old| Some(range(old.strip_prefix('-')?)?.1));
        let old = old.collect::<Option<Vec<u64>>>()?;
        let (line, new) = range(ranges.next()?.strip_prefix('+')?)?;
        let origin = Origin { path: self.path.clone()?, commit: self.commit.clone(), is_whole: false };
        let chunker = Chunker::new(CUT, origin, line).only_added_lines();
        Some(Hunk { chunker, old, new, line, is_fresh: true, is_binary: false })
    }

    fn hunk_lines(&mut self, mut hunk: Hunk) -> Result<(), PatchError> {
        while hunk.new > 0 || hunk.old.iter().any(|left| *left > 0) {
            let Some(marks) = self.marks(hunk.old.len())? else { break };
            match marks.as_slice() {
                // `\ No newline at end of file`
                [b'\\', ..] => self.skip_line()?,
                marks if marks.contains(&b'-') => {
                    for (left, mark) in hunk.old.iter_mut().zip(marks) {
                        *left = left.saturating_sub(u64::from(*mark == b'-'));
                    }
                    self.skip_line()?;
                }
                marks => {
                    for (left, mark) in hunk.old.iter_mut().zip(marks) {
                        *left = left.saturating_sub(u64::from(*mark != b'+'));
                    }
                    if marks.len() == hunk.old.len() && marks.iter().all(|mark| *mark == b'+') {
                        hunk.chunker.add_line(hunk.line);
                    }
                    self.new_line(&mut hunk)?;
                    hunk.new = hunk.new.saturating_sub(1);
                    hunk.line += 1;
                }
            }
        }
        if hunk.is_binary {
            (self.tell)(Event::Binary)?;
            return Ok(());
        }
        if let Some(window) = hunk.chunker.finish() {
            (self.tell)(Event::Window(window))?;
        }
        Ok(())
    }

    /// Reads the marks at the start of a line of a hunk, one for each parent; `None` at the end. A line without any
    /// is a blank one that some version of git wrote without its marks.
    fn marks(&mut self, parents: usize) -> Result<Option<Vec<u8>>, PatchError> {
        let mut marks = Vec::with_capacity(parents);
        while marks.len() < parents {
            match self.from.fill_buf()?.first() {
                None if marks.is_empty() => return Ok(None),
                None | Some(b'\n') => break,
                Some(mark) => marks.push(*mark),
            }
            self.from.consume(1);
            if marks.first() == Some(&b'\\') {
                break;
            }
        }
        Ok(Some(marks))
    }

    /// Takes the rest of a line of the result, with its end.
    fn new_line(&mut self, hunk: &mut Hunk) -> Result<(), PatchError> {
        let mut windows = Vec::new();
        loop {
            let (is_end, length) = {
                let buffer = self.from.fill_buf()?;
                let end = buffer.iter().position(|byte| *byte == b'\n');
                let length = end.map_or(buffer.len(), |at| at + 1);
                let piece = buffer.get(..length).unwrap_or_default();
                if hunk.is_fresh && !piece.is_empty() {
                    hunk.is_fresh = false;
                    hunk.is_binary = holds_zero(piece);
                }
                if !hunk.is_binary {
                    windows.extend(hunk.chunker.push(piece));
                }
                (end.is_some() || buffer.is_empty(), length)
            };
            self.from.consume(length);
            for window in windows.drain(..) {
                (self.tell)(Event::Window(window))?;
            }
            if is_end {
                return Ok(());
            }
        }
    }

    /// Passes over the rest of a line.
    fn skip_line(&mut self) -> Result<(), PatchError> {
        loop {
            let buffer = self.from.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let is_end = end.is_some() || buffer.is_empty();
            let length = end.map_or(buffer.len(), |at| at + 1);
            self.from.consume(length);
            if is_end {
                return Ok(());
            }
        }
    }
}

/// `3,4` or `3`: where and how many.
fn range(text: &str) -> Option<(u64, u64)> {
    match text.split_once(',') {
        Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
        None => Some((text.parse().ok()?, 1)),
    }
}

/// The path behind `+++ `: `b/path`, in quotes when it holds what would not be told from the rest of the line;
/// `None` when the file is gone.
fn new_path(line: &[u8]) -> Option<String> {
    let unquoted = match line.strip_prefix(b"\"") {
        Some(quoted) => unquote(quoted),
        // A path with a space is followed by a tab.
        None => line.strip_suffix(b"\t").unwrap_or(line).to_vec(),
    };
    Some(String::from_utf8_lossy(unquoted.strip_prefix(b"b/")?).into_owned())
}

/// Undoes the quoting of C strings, up to the closing quote.
fn unquote(quoted: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => match bytes.next() {
                Some(octal @ b'0'..=b'7') => {
                    let mut value = octal - b'0';
                    while let Some(digit) = bytes.next_if(|byte| (b'0'..=b'7').contains(byte)) {
                        value = value.wrapping_mul(8).wrapping_add(digit - b'0');
                    }
                    plain.push(value);
                }
                Some(b'a') => plain.push(7),
                Some(b'b') => plain.push(8),
                Some(b't') => plain.push(b'\t'),
                Some(b'n') => plain.push(b'\n'),
                Some(b'v') => plain.push(11),
                Some(b'f') => plain.push(12),
                Some(b'r') => plain.push(b'\r'),
                Some(other) => plain.push(other),
                None => {}
            },
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges of lines")]
mod tests {
    use std::ops::Range;

    use super::*;

    /// Path, commit, first line, text, and which lines count.
    type Told = (String, Option<String>, u64, String, Vec<Range<u64>>);

    fn parsed(patch: impl AsRef<[u8]>) -> Vec<Told> {
        let mut windows = Vec::new();
        let mut tell = |event| {
            if let Event::Window(window) = event {
                windows.push(window);
            }
            Ok(())
        };
        Patches::new(patch.as_ref(), &mut tell).read().unwrap();
        let told = |window: Window| {
            let commit = window.origin.commit.as_ref().map(|commit| commit.id.clone());
            let text = window.text.as_str().to_owned();
            (window.origin.path.clone(), commit, window.base.line, text, window.lines.unwrap_or_default())
        };
        windows.into_iter().map(told).collect()
    }

    #[test]
    fn a_hunk_is_its_new_lines_of_which_the_added_ones_count() {
        let patch = "commit abc 2026-01-01T00:00:00Z\n\ndiff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n\
                     @@ -2,4 +2,5 @@ fn context\n one\n-two\n+zwei\n+--- a/no header\n \n four\n@@ -90 +92 @@\n-a\n+b\n\
                     \\ No newline at end of file\ncommit def 2026\n\ndiff --git a/y b/y\n--- /dev/null\n+++ b/y z\t\n\
                     @@ -0,0 +1 @@\n+new\n";
        assert_eq!(
            parsed(patch),
            [
                (
                    "x".into(),
                    Some("abc".into()),
                    2,
                    "one\nzwei\n--- a/no header\n\nfour\n".into(),
                    vec![3..5]
                ),
                ("x".into(), Some("abc".into()), 92, "b\n".into(), vec![92..93]),
                ("y z".into(), Some("def".into()), 1, "new\n".into(), vec![1..2]),
            ]
        );
    }

    #[test]
    fn of_a_merge_only_what_no_parent_had_counts() {
        let patch = "commit abc 2026\n\ndiff --cc x\nindex 1,2..3\n--- a/x\n+++ b/x\n@@@ -1,3 -1,2 +1,4 @@@\n  both\n\
                     - gone\n +theirs\n++evil\n+ ours\n";
        let windows = parsed(patch);
        assert_eq!(windows.len(), 1);
        assert_eq!(windows[0].3, "both\ntheirs\nevil\nours\n");
        assert_eq!(windows[0].4, [3..4]);
    }

    #[test]
    fn paths_in_quotes_are_undone_and_what_is_gone_has_none() {
        assert_eq!(new_path(br#""b/a\tb\"\\\303\251""#), Some("a\tb\"\\é".to_owned()));
        assert_eq!(new_path(b"/dev/null"), None);
        assert_eq!(new_path("b/été".as_bytes()), Some("été".to_owned()));
    }

    #[test]
    fn binary_content_is_left_out() {
        assert!(parsed("+++ b/x\n@@ -0,0 +1 @@\n+a\0b\n").is_empty());
        assert!(parsed(b"+++ b/x\n@@ -0,0 +1 @@\n+\xff\xfea\0\n").is_empty());
        assert!(parsed("diff --git a/x b/x\nBinary files a/x and b/x differ\n").is_empty());
    }

    #[test]
    fn what_is_no_patch_breaks_nothing() {
        for patch in
            ["@@", "@@@@@@@@ ", "@@ -1 +1", "@@ -a +b @@\n", "+++ ", "+++ b/x\n@@ -1,9 +1,9 @@\n+a", "\n\n@"]
        {
            parsed(patch);
        }
    }
}
