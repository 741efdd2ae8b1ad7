//! What is known already.

use crate::fixture::{EMAIL, Folder, IBAN};

#[test]
fn what_is_known_stays_known_when_it_moves_and_what_is_new_counts() {
    let folder = Folder::new();
    folder.write("a.txt", format!("{EMAIL}\n"));
    folder.write("b.txt", format!("IBAN {IBAN}\n"));
    let written = folder.scan(&["--write-baseline", "known.json", "."]);
    assert_eq!(written.code, 0, "{}", written.err);
    let known = || folder.scan(&["--baseline", "known.json", "--output", "json", "."]);
    let answer = known();
    assert_eq!((answer.code, &answer.json()["summary"]["known_findings"]), (0, &2.into()));
    folder.write("a.txt", format!("une ligne de plus\n\n   {EMAIL}\n"));
    assert_eq!(known().code, 0);
    folder.write("a.txt", "autre.personne@example.org\n");
    assert_eq!(known().places(), ["a.txt:1:1 EMAIL"]);
    folder.write("a.txt", "");
    folder.write("c.txt", format!("IBAN {IBAN}\n"));
    assert_eq!(known().places(), ["c.txt:1:6 IBAN"], "another file is another finding");
}

#[test]
fn writing_again_forgets_what_is_gone_and_changes_nothing_else() {
    let folder = Folder::new();
    let baseline = || std::fs::read_to_string(folder.path().join("known.json")).unwrap();
    folder.write("a.txt", format!("{EMAIL}, IBAN {IBAN}\n"));
    folder.scan(&["--write-baseline", "known.json", "."]);
    let first = baseline();
    folder.scan(&["--write-baseline", "known.json", "."]);
    assert_eq!(baseline(), first, "the file of known findings is no source of findings");
    folder.write("a.txt", format!("{EMAIL}\n"));
    folder.scan(&["--write-baseline", "known.json", "."]);
    let after = baseline();
    let lines: Vec<&str> = first.lines().collect();
    let gone = lines.len() - after.lines().count();
    assert_eq!(gone, 1, "{first}{after}");
    assert!(
        after.lines().all(|line| lines
            .iter()
            .any(|before| before.trim_end_matches(',') == line.trim_end_matches(',')))
    );
}

#[test]
fn a_baseline_with_a_key_needs_it() {
    let folder = Folder::new();
    folder.write("a.txt", EMAIL);
    folder.write("key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    folder.write("other", "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    assert_eq!(folder.scan(&["--baseline-key", "key", "--write-baseline", "known.json", "a.txt"]).code, 0);
    assert_eq!(folder.scan(&["--baseline-key", "key", "--baseline", "known.json", "a.txt"]).code, 0);
    for wrong in [
        &["--baseline", "known.json", "a.txt"][..],
        &["--baseline-key", "other", "--baseline", "known.json", "a.txt"],
    ] {
        let answer = folder.scan(wrong);
        assert_eq!(answer.code, 2);
        assert!(answer.err.contains("key"), "{}", answer.err);
    }
}

#[test]
fn a_scan_that_could_not_see_everything_writes_no_baseline() {
    let folder = Folder::new();
    let answer = folder.scan_stdin(
        &["--max-size-mib", "1", "--write-baseline", "known.json", "-"],
        &vec![b' '; (1 << 20) + 5],
    );
    assert_eq!(answer.code, 2);
    assert!(!folder.path().join("known.json").exists());
    assert_eq!(folder.scan(&["--baseline", "known.json", "-"]).code, 2);
}

#[test]
fn a_history_and_its_files_share_a_baseline() {
    let folder = Folder::new();
    folder.git(&["init", "--quiet", "."]);
    folder.write("d/a.txt", EMAIL);
    folder.commit("one");
    folder.scan(&["--write-baseline", "known.json", "."]);
    assert_eq!(folder.scan(&["--git", "--baseline", "known.json"]).code, 0);
    assert_eq!(folder.scan(&["--git"]).code, 1);
}
