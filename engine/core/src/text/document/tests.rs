use proptest::prelude::*;

use super::*;
use crate::text::Readings;

/// The path to the first place of a part.
fn path(text: &str, part: &str) -> String {
    let readings = Readings::new(text);
    let at = readings.primary().as_str().find(part).unwrap();
    readings.path(at, |_| false).unwrap_or_default()
}

/// The names that announce a part, nearest first.
fn names(text: &str, part: &str) -> Vec<String> {
    let readings = Readings::new(text);
    let read = readings.primary().as_str();
    let at = read.find(part).unwrap();
    readings.names(&(at..at + part.len())).map(|name| read.get(name.clone()).unwrap().to_owned()).collect()
}

#[test]
fn every_structure_has_its_path() {
    for (text, part, expected) in [
        (r#"{"client": {"iban": "V1", "n": [1, {"tel": "V2"}]}}"#, "V1", "$.client.iban"),
        (r#"{"client": {"iban": "V1", "n": [1, {"tel": "V2"}]}}"#, "V2", "$.client[*][1].tel"),
        (r#"[{"date de naissance": "V1"}]"#, "V1", "$[0]['date de naissance']"),
        ("{'courriel': 'V1'}", "V1", "$.courriel"),
        (r#"{"a": 12345, "b": "cut off V1"#, "12345", "$.a"),
        ("{\"a\": \"x\"}\n{\"tel\": \"V1\"}", "V1", "$.tel"),
        ("2024-11-22 INFO saved {\"tel\": \"V1\"} in 3 ms", "V1", "$.tel"),
        ("nir,nom,tel\n1,é,V1\n2,b,V2\n", "V1", "row 1, column tel"),
        ("nir;nom;tel\r\n1;é;V1\r\n2;b;V2\r\n", "V2", "row 2, column tel"),
        ("First Name,Last Name,Phone Number\na,b,V1\n", "V1", "row 1, column Phone Number"),
        ("id,nom,zzz\n1,\"a, \"\"b\"\"\",V1\n", "V1", "row 1, column 3"),
        ("Voici :\n\n| Nom | Tél |\n|---|:--|\n| a | V1 |\n", "V1", "row 1, column Tél"),
        ("From: a <V1>\r\nSubject: x\r\n\r\nbody V2", "V1", "header From"),
        (
            "Subject: x\nContent-Type: multipart/mixed; boundary=\"b1\"\n\n--b1\n\nun\n--b1\nContent-Type: \
             text/html\n\n<p>V1</p>\n--b1--\n",
            "V1",
            "part 2 > p",
        ),
        (
            "<table><tr><th>Nom</th><th>IBAN</th></tr><tr><td>a</td><td>V1</td></tr></table>",
            "V1",
            "row 1, column IBAN",
        ),
        ("<form><input name=\"email\" value=\"V1\"></form>", "V1", "input@value"),
        ("client:\n  iban: V1\n  tel: V2\n", "V2", "key client.tel"),
        ("[smtp]\npassword = V1\n", "V1", "key smtp.password"),
        ("2024-11-22T10:00:00Z level=info user.email=V1 status=200", "V1", "key user.email"),
    ] {
        assert_eq!(path(text, part), expected, "{text}");
    }
}

#[test]
fn plain_text_has_no_path() {
    for text in ["Bonjour V1", "{V1}", "un, deux, V1\nou bien", "a < V1 > b", "", "[V1]"] {
        assert_eq!(path(&format!("{text} V1"), "V1"), "", "{text}");
    }
}

#[test]
fn a_path_holds_no_value() {
    for (text, part, expected) in [
        (r#"{"anne@exemple.fr": {"tel": "V1"}}"#, "V1", "$[*].tel"),
        (r#"{"0612345678": "V1"}"#, "V1", "$[*]"),
        (r#"{"Anne Martin": "V1"}"#, "V1", "$[*]"),
        (r#"{"dupont": "V1"}"#, "V1", "$[*]"),
        (r#"{"client_dupont": "V1"}"#, "V1", "$[*]"),
        (r#"{"tel0612": "V1"}"#, "V1", "$[*]"),
        (r#"{"06 12 34 56 78": "V1"}"#, "V1", "$[*]"),
        (r#"{"12": "V1"}"#, "V1", "$[*]"),
        ("martin: V1", "V1", "key *"),
        ("token Zk3Lq8Wm5T=V1", "V1", "key *"),
        ("nom,dupont\nmartin,V1\n", "V1", "row 1, column 2"),
        ("<dupont>V1</dupont>", "V1", "*"),
        ("<p dupont=\"V1\">", "V1", "p@*"),
        // Data without a header.
        ("Dupont,Paris,V1\nMartin,Lyon,V2\n", "V2", ""),
    ] {
        assert_eq!(path(text, part), expected, "{text}");
    }
}

#[test]
fn names_that_announce_are_the_nearest_ones() {
    for (text, part, expected) in [
        (r#"{"clients": [{"tel": ["06", "07"]}]}"#, "07", vec!["tel", "clients"]),
        ("nom;tel\na;06\nb;07\n", "07", vec!["tel"]),
        ("<table><tr><th>IBAN</th></tr><tr><td>V1</td></tr></table>", "V1", vec!["IBAN"]),
        ("<label>IBAN</label> <input value=\"V1\">", "V1", vec!["value", "IBAN"]),
        ("client:\n  iban:\n    - V1\n", "V1", vec![]),
        ("level=info iban=V1", "V1", vec!["iban"]),
        // What is empty says nothing, and takes nobody's place.
        (r#"{"tel": {"": {"": {"": "V1"}}}}"#, "V1", vec!["tel"]),
        ("<p =\"V1\">", "V1", vec![]),
        // A sentence may go on to something else.
        ("note: il a appelé au V1 hier", "V1", vec![]),
    ] {
        assert_eq!(names(text, part), expected, "{text}");
    }
}

#[test]
fn a_name_is_words_that_names_usually_have() {
    let read = |name: &str| {
        let mut read = Vec::new();
        words(name, |word| {
            read.push(word.to_owned());
            true
        })
        .then_some(read)
    };
    for (name, expected) in [
        ("dateOfBirth", Some(vec!["date", "of", "birth"])),
        ("Numéro de sécurité", Some(vec!["numero", "de", "securite"])),
        ("STRASSE_2", Some(vec!["strasse"])),
        ("straße", Some(vec!["strasse"])),
        ("cœur-tel", Some(vec!["coeur", "tel"])),
        ("tel061", None),
        ("", None),
        ("06 12", None),
        ("a@b", None),
        ("[a]", None),
        ("a b c d e f g", None),
    ] {
        let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(read(name), expected, "{name}");
    }
    assert!(usual::is_usual("date_naissance") && usual::is_usual("N° tel"));
    assert!(!usual::is_usual("de la") && !usual::is_usual("Dupont"));
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"a\":",
        "'",
        "\"",
        ",",
        ":",
        "=",
        "\n",
        "\r\n",
        "nom;tel\n",
        "x;y\n",
        "From: ",
        "<td",
        ">",
        "</table>",
        "<tr>",
        "<input name=\"",
        "|",
        "|---|\n",
        "é",
        "\u{200b}",
        "clé: ",
        "k=v ",
        "\\",
        "--b",
        " ",
        "boundary=b",
    ]);
    proptest::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read_and_its_fields_lie_in_it_in_order(text in pieces()) {
        let document = Document::read(&text);
        let mut last = 0;
        for field in &document.fields {
            prop_assert!(last <= field.range.start && field.range.start < field.range.end);
            prop_assert!(text.get(field.range.clone()).is_some(), "{:?} of {text:?}", field.range);
            for name in document.names(&field.range) {
                prop_assert!(text.get(name.clone()).is_some());
            }
            last = field.range.end;
        }
        last = 0;
        for (range, _) in &document.parts {
            prop_assert!(last <= range.start && text.get(range.clone()).is_some());
            last = range.end;
        }
        for at in 0..=text.len() {
            document.path(&text, at, |_| true);
        }
    }

    #[test]
    fn a_path_is_made_of_words_of_the_list(text in pieces()) {
        let document = Document::read(&text);
        for field in &document.fields {
            let path = document.path(&text, field.range.start, |_| false).unwrap();
            let ours = ["row", "column", "header", "part", "key"];
            for word in path.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
                prop_assert!(ours.contains(&word) || words(word, usual::has), "{path}");
            }
        }
    }
}

#[test]
fn hostile_structures_stay_linear() {
    for unit in [
        "{\"a\":",
        "[",
        "[[1],",
        "<a b=\"",
        "<td>",
        "a,b\n",
        "|",
        "k=v ",
        "k: v\n",
        "\"",
        "From: x\n",
        "--b\n",
        "{",
    ] {
        let nodes = |count: usize| {
            let text = unit.repeat(count / unit.len());
            let document = Document::read(&text);
            document.nodes.len() + document.fields.len()
        };
        assert!(nodes(200_000) <= 200_000, "{unit}");
    }
}
