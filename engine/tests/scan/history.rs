//! Git histories and what is staged.

use crate::fixture::{Answer, EMAIL, Folder, IBAN};

/// `path:line:column type` and the commit of each finding.
fn found(answer: &Answer) -> Vec<(String, String)> {
    let json = answer.json();
    let commits =
        json["findings"].as_array().unwrap().iter().map(|one| one["commit"].as_str().unwrap().to_owned());
    answer.places().into_iter().zip(commits).collect()
}

fn repository() -> Folder {
    let folder = Folder::new();
    folder.git(&["init", "--quiet", "."]);
    folder
}

#[test]
fn a_value_that_was_removed_is_found_where_it_was_added() {
    let folder = repository();
    folder.write("conf/app.ini", "[mail]\nfrom=\n\n# fin\n");
    folder.commit("empty");
    folder.write("conf/app.ini", format!("[mail]\nfrom={EMAIL}\n\n# fin\n"));
    let leak = folder.commit("leak");
    folder.write("conf/app.ini", "[mail]\nfrom=\n\n# fin\n");
    let clean = folder.commit("clean");
    let place = "conf/app.ini:2:6 EMAIL".to_owned();
    let all = folder.scan(&["--git", "--output", "json"]);
    assert_eq!((all.code, found(&all)), (1, vec![(place.clone(), leak.clone())]));
    assert_eq!(all.json()["summary"]["commits"], 3);
    assert!(all.json()["findings"][0].get("byte_start").is_none(), "offsets within a file are not known");
    assert_eq!(folder.scan(&["."]).code, 0);
    assert_eq!(folder.scan(&["--git", &format!("{leak}..{clean}")]).code, 0);
    assert_eq!(folder.scan(&["--git", &format!("{leak}~1..HEAD")]).code, 1);
    let table = folder.scan(&["--git", "HEAD"]);
    assert!(table.out.contains(&format!(" in {} of 20", leak.get(..12).unwrap())), "{}", table.out);
}

#[test]
fn a_value_next_to_a_change_counts_once_for_the_commit_that_added_it() {
    let folder = repository();
    folder.write("a.txt", format!("un\n{EMAIL}\ntrois\n"));
    let first = folder.commit("first");
    folder.write("a.txt", format!("un\n{EMAIL}\nquatre\n"));
    folder.commit("next line");
    folder.git(&["mv", "a.txt", "b.txt"]);
    folder.commit("rename");
    assert_eq!(found(&folder.scan(&["--git", "--output", "json"])), [("a.txt:2:1 EMAIL".to_owned(), first)]);
}

#[test]
fn context_on_an_unchanged_line_counts() {
    let folder = repository();
    let key = |body: &str| format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    folder.write("key.pem", key("MIIB"));
    folder.commit("short");
    let body = "MIIBVQIBADANBgkqhkiG9w0BAQEFAASCAT8wggE7AgEAAkEAq7BFUpkGp3+LQmlQ";
    folder.write("key.pem", key(body));
    let leak = folder.commit("whole");
    let answer = folder.scan(&["--git", "--output", "json", "--detectors", "secret.*"]);
    let last = found(&answer);
    assert!(last.iter().any(|(place, commit)| *commit == leak && place.starts_with("key.pem:")), "{last:?}");
}

#[test]
fn what_a_merge_brought_in_by_itself_is_found() {
    let folder = repository();
    folder.write("a.txt", "un\ndeux\ntrois\n");
    folder.commit("base");
    folder.git(&["checkout", "--quiet", "-b", "side"]);
    folder.write("a.txt", "un\ndeux\nTROIS\n");
    folder.commit("side");
    folder.git(&["checkout", "--quiet", "main"]);
    folder.write("a.txt", "UN\ndeux\ntrois\n");
    folder.commit("main");
    folder.git(&["merge", "--quiet", "--no-commit", "--no-ff", "side"]);
    folder.write("a.txt", format!("UN\n{EMAIL}\nTROIS\n"));
    let merge = folder.commit("merge");
    assert_eq!(found(&folder.scan(&["--git", "--output", "json"])), [("a.txt:2:1 EMAIL".to_owned(), merge)]);
}

#[test]
fn other_branches_and_odd_names_are_seen() {
    let folder = repository();
    folder.write("plain.txt", "rien\n");
    folder.commit("base");
    folder.git(&["checkout", "--quiet", "-b", "side"]);
    folder.write("été à la \"mer\"\t/b c.txt", EMAIL);
    folder.write("image.bin", [b"\0".as_slice(), EMAIL.as_bytes()].concat());
    let side = folder.commit("side");
    folder.git(&["checkout", "--quiet", "main"]);
    let answer = folder.scan(&["--git", "--output", "json"]);
    assert_eq!(found(&answer), [("été à la \"mer\"\t/b c.txt:1:1 EMAIL".to_owned(), side)]);
    assert_eq!(answer.json()["summary"]["binary_files"], 1);
    let table = folder.scan(&["--git"]);
    assert!(!table.out.contains('\t'), "a name controls no terminal: {}", table.out);
    assert_eq!(folder.scan(&["--git", "main"]).code, 0);
}

#[test]
fn a_repository_elsewhere_is_named_by_its_folder() {
    let (folder, other) = (repository(), Folder::new());
    folder.write("a.txt", EMAIL);
    folder.commit("one");
    let path = folder.path().to_str().unwrap();
    assert_eq!(other.scan(&["--git", path]).code, 1);
    assert_eq!(other.scan(&["--git", "HEAD", path]).code, 1);
    let nowhere = other.scan(&["--git"]);
    assert_eq!((nowhere.code, nowhere.out.as_str()), (2, ""));
    assert!(nowhere.err.contains("git failed"), "{}", nowhere.err);
    assert_eq!(folder.scan(&["--git", "no-such-branch"]).code, 2);
    assert_eq!(folder.scan(&["--git=--output=pwned"]).code, 2);
    assert!(!folder.path().join("pwned").exists(), "a range is no option");
}

#[test]
fn settings_of_the_user_change_nothing() {
    let folder = repository();
    for (name, value) in [
        ("diff.noprefix", "true"),
        ("diff.external", "false"),
        ("color.ui", "always"),
        ("diff.context", "0"),
        ("diff.suppressBlankEmpty", "true"),
        ("log.showRoot", "false"),
        ("diff.relative", "true"),
        ("log.showSignature", "true"),
        ("core.quotePath", "true"),
    ] {
        folder.git(&["config", name, value]);
    }
    folder.write("é/a.txt", format!("\n\n{EMAIL}\n\n"));
    folder.git(&["add", "--all"]);
    let staged = folder.scan(&["--staged", "--output", "json"]);
    assert_eq!(staged.places(), ["é/a.txt:3:1 EMAIL"], "{}", staged.err);
    folder.commit("one");
    assert_eq!(folder.scan(&["--git", "--output", "json"]).places(), ["é/a.txt:3:1 EMAIL"]);
}

#[test]
fn staged_is_what_the_next_commit_would_add() {
    let folder = repository();
    folder.write("a.txt", "un\n");
    assert_eq!(folder.scan(&["--staged"]).code, 0, "not staged yet");
    folder.write("a.txt", format!("un\nIBAN {IBAN}\n"));
    folder.git(&["add", "a.txt"]);
    folder.write("a.txt", format!("un\nIBAN {IBAN}\n{EMAIL}\n"));
    let answer = folder.scan(&["--staged", "--output", "json"]);
    assert_eq!((answer.code, answer.places()), (1, vec!["a.txt:2:6 IBAN".to_owned()]));
    folder.commit("all");
    assert_eq!(folder.scan(&["--staged"]).code, 0);
}

/// What pre-commit does with the repository's hook, by hand: a hook that runs the program stops the commit.
#[test]
fn as_a_hook_it_stops_a_commit() {
    let folder = repository();
    let hook = format!("#!/bin/sh\nexec {} scan --staged\n", env!("CARGO_BIN_EXE_novacrm-engine"));
    folder.write(".git/hooks/pre-commit", hook);
    let path = folder.path().join(".git/hooks/pre-commit");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    folder.write("a.txt", "rien\n");
    folder.commit("passes");
    folder.write("a.txt", EMAIL);
    let commit = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| folder.commit("stopped")));
    assert!(commit.is_err());
    assert_eq!(folder.git(&["rev-list", "--count", "HEAD"]), "1");
    let hooks =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../.pre-commit-hooks.yaml")).unwrap();
    assert!(hooks.contains("entry: novacrm-engine scan --staged"), "{hooks}");
}
