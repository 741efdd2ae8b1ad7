//! A throwaway folder, the program, and what it answered.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Made up; its check digits hold.
pub const IBAN: &str = "FR76 3000 6000 0112 3456 7890 189";
/// Made up.
pub const EMAIL: &str = "jean.valjean@example.org";

/// A key that no vendor gave out, in parts so that other scanners let it be.
pub fn token() -> String {
    ["sk_live_", "Zq3nV8xKw5TbR1yLc7PmD2hs"].concat()
}

/// A folder to scan.
pub struct Folder(TempDir);

/// What the program answered.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// `file:line:column type` of each finding of `--output json`.
    pub fn places(&self) -> Vec<String> {
        let json = self.json();
        let place = |found: &Value| {
            let text = |name: &str| found[name].as_str().unwrap().to_owned();
            format!("{}:{}:{} {}", text("file"), found["line"], found["column"], text("type"))
        };
        json["findings"].as_array().unwrap().iter().map(place).collect()
    }
}

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Runs `novacrm-engine scan` in the folder.
    pub fn scan(&self, arguments: &[&str]) -> Answer {
        self.scan_stdin(arguments, b"")
    }

    /// The same with something on standard input.
    pub fn scan_stdin(&self, arguments: &[&str], stdin: &[u8]) -> Answer {
        let mut child = Command::new(env!("CARGO_BIN_EXE_novacrm-engine"))
            .arg("scan")
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        // A program that needs no input may be gone before it is written.
        let writer = std::thread::spawn(move || drop(input.write_all(&stdin)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs git in the folder, with a configuration of its own; answers what it wrote.
    pub fn git<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgSign=false"])
            .args(["-c", "init.defaultBranch=main", "-c", "merge.conflictStyle=merge"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits everything; answers the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }
}
