use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use novacrm_crds::compliance_policy::CustomDetector;
use proptest::prelude::*;

use super::*;
use crate::text::Readings;
use crate::{Finding, FingerprintKey, Span};

fn key() -> FingerprintKey {
    FingerprintKey::new([7; 32])
}

fn all() -> DetectorSet {
    DetectorSet::compile(catalogue().iter().map(|entry| &*entry.id), &[]).unwrap()
}

fn scan(text: &str) -> Vec<Finding> {
    all().scan(&Readings::new(text), &key())
}

/// Types of what counts at the usual threshold, in the order of the text.
fn kinds(text: &str) -> Vec<String> {
    scan(text).iter().filter(|finding| finding.score >= 0.5).map(|finding| finding.kind.to_string()).collect()
}

fn custom(id: &str, pattern: &str) -> CustomDetector {
    CustomDetector {
        id: id.to_owned(),
        r#type: "DOSSIER".to_owned(),
        description: Bilingual { fr: "Dossier".to_owned(), en: "File".to_owned() },
        pattern: pattern.to_owned(),
        score: 0.8,
    }
}

/// An example without its marks, and the span between them.
fn unmark(marked: &str) -> (String, Option<Span>) {
    let place = |mark| marked.chars().position(|c| c == mark);
    let span = place('⟦').zip(place('⟧')).map(|(start, end)| Span { start, end: end - 1 });
    (marked.replace(['⟦', '⟧'], ""), span)
}

#[test]
fn every_entry_finds_its_own_examples_exactly_and_nothing_in_its_counterexamples() {
    let mut wrong = Vec::new();
    for entry in catalogue().iter() {
        for example in &entry.examples.matches {
            let (text, span) = unmark(&example.text());
            let findings: Vec<_> =
                scan(&text).into_iter().filter(|finding| finding.detector == entry.id).collect();
            if findings.len() != 1 || Some(findings[0].span) != span {
                wrong.push(format!("{}: {text}: {span:?} but found {findings:?}", entry.id));
            }
        }
        for example in &entry.examples.weak {
            let (text, span) = unmark(&example.text());
            let findings: Vec<_> =
                scan(&text).into_iter().filter(|finding| finding.detector == entry.id).collect();
            if findings.len() != 1 || Some(findings[0].span) != span || findings[0].score >= 0.5 {
                wrong.push(format!("{}: weak: {text}: {span:?} but found {findings:?}", entry.id));
            }
        }
        for example in &entry.examples.no_match {
            let text = example.text();
            if let Some(finding) = scan(&text).iter().find(|finding| finding.detector == entry.id) {
                wrong.push(format!("{}: {text}: found {finding:?}", entry.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_entry_is_complete() {
    let entries: Vec<_> = catalogue().iter().collect();
    assert!(entries.windows(2).all(|pair| pair[0].id < pair[1].id), "sorted and unique");
    let kinds: BTreeSet<_> = entries.iter().map(|entry| &entry.kind).collect();
    assert_eq!(kinds.len(), entries.len(), "one type each");
    assert!(entries.iter().filter(|entry| entry.category == Category::Secret).count() >= 300);
    for entry in entries {
        let id = &entry.id;
        semver::Version::parse(&entry.version).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert!(
            entry.description.fr.ends_with('.') && entry.description.en.ends_with('.'),
            "{id}: sentences"
        );
        assert!(!entry.risks_covered.is_empty(), "{id}: risks");
        assert!(entry.source.url.starts_with("https://") && !entry.source.title.is_empty(), "{id}: source");
        assert!(!entry.examples.matches.is_empty() && !entry.examples.no_match.is_empty(), "{id}: examples");
        let score = &entry.score;
        assert!(score.base > 0.0 && score.weak.unwrap_or(0.0) <= score.base, "{id}: scores");
        assert!(
            [score.base, score.context, score.verified].iter().all(|score| (0.0..=1.0).contains(score)),
            "{id}"
        );
        let has_cues = matches!(&entry.find, Find::Lexicon(lexicon) if !lexicon.cues.is_empty());
        assert_eq!(
            score.context > 0.0,
            !entry.context.is_empty() || has_cues,
            "{id}: context words and their score go together"
        );
        assert_eq!(entry.category == Category::Secret, entry.kind.starts_with("SECRET_"), "{id}: type");
        if let Find::Pattern(pattern) = &entry.find {
            assert!(!pattern.anchors.is_empty(), "{id}: anchors");
            assert!(
                pattern.anchors.iter().all(|anchor| anchor.len() >= 3),
                "{id}: anchors cost when they are short"
            );
        }
    }
}

#[test]
fn a_selector_names_one_detector_or_a_family() {
    let ids = |selector| catalogue().matching(selector).map(|entry| entry.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids("pii.iban"), ["pii.iban"]);
    assert!(ids("pii.*").len() >= 9 && ids("pii.*").iter().all(|id| id.starts_with("pii.")));
    assert!(ids("pii").is_empty() && ids("*").is_empty() && ids("pii.ib*").is_empty());
    assert!(catalogue().get("pii.iban").is_some() && catalogue().get("pii.nothing").is_none());
}

#[test]
fn a_wrong_set_says_what_is_wrong() {
    let compile = |ids: &[&str], custom: &[CustomDetector]| {
        DetectorSet::compile(ids.iter().copied(), custom).unwrap_err().to_string()
    };
    assert!(compile(&["pii.ibann"], &[]).contains("pii.iban"));
    assert!(compile(&["nothing.*"], &[]).contains("pii.*, prompt.*, secret.*"));
    let twice = [custom("custom.one", "a"), custom("custom.one", "b")];
    assert!(compile(&[], &twice).contains("twice"));
    assert!(compile(&[], &[custom("custom.one", "a*")]).contains("mandatory"));
    let score = CustomDetector { score: f64::NAN, ..custom("custom.one", "a") };
    assert!(compile(&[], &[score]).contains("between 0 and 1"));
}

#[test]
fn a_custom_detector_is_narrowed_by_its_value_group() {
    let set = DetectorSet::compile([], &[custom("custom.dossier", r"dossier (?P<value>[0-9]{6})")]).unwrap();
    let findings = set.scan(&Readings::new("été : dossier 123456, dossier 42"), &key());
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].span, &*findings[0].kind), (Span { start: 14, end: 20 }, "DOSSIER"));
}

#[test]
fn a_custom_detector_hides_nothing() {
    let set = DetectorSet::compile(["pii.*"], &[custom("custom.all", "(?s).+")]).unwrap();
    let findings = set.scan(&Readings::new("écrire à a.b@example.com"), &key());
    assert!(findings.iter().any(|finding| &*finding.kind == "EMAIL"));
}

#[test]
fn the_longer_reading_wins_over_the_one_inside_it() {
    for (text, expected) in [
        ("SIREN et SIRET : 732 829 320 00074", vec!["SIRET_FR"]),
        ("SIREN 732 829 320, SIRET 732 829 320 00074", vec!["SIREN_FR", "SIRET_FR"]),
        ("carte ou IBAN FR76 3000 6000 0112 3456 7890 189", vec!["IBAN"]),
        ("SIREN, TVA FR44732829320", vec!["VAT_FR"]),
        ("appeler, NIR 1 84 12 76 451 089 46", vec!["NIR_FR"]),
        ("carte 3782 822463 10005", vec!["CARD"]),
        ("écrire à 4111111111111111@example.com", vec!["EMAIL"]),
        ("postgres://crm:h7Gt-q2LmZ9@db.example.com/x", vec!["SECRET_URL_PASSWORD"]),
    ] {
        assert_eq!(kinds(text), expected, "{text}");
    }
}

#[test]
fn numbers_that_only_look_alike_are_left_alone() {
    for text in [
        "EAN 4006381333931",
        "horodatage 1732300000 puis 1732300000123",
        "commande 20241122190919",
        "facture FA-2024-000123 du 12/05/2024, 1 234 567,89 €",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "550e8400-e29b-41d4-a716-446655440000",
        "version 10.4.3.2 du 2024-11-22T19:09:19Z",
        "suivi 1Z 999 AA1 01 2345 6784",
        "de 100 000 à 250 000 personnes, soit 12,5 %",
    ] {
        assert_eq!(kinds(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn wrong_checksums_and_labelled_numbers_are_left_alone() {
    for text in [
        "Dossier 2 61 03 28 878 045 84, ce n'est pas un numéro de sécurité sociale",
        "SIREN 732 829 321 et SIRET 732 829 320 00075",
        "IBAN FR76 3000 6000 0112 3456 7890 188",
        "carte 4111 1111 1111 1112",
        "SIREN : voir la commande 732829320",
        "NIF do cliente em falta, encomenda 260750549",
        "BSN onbekend, bestelnummer 111222333",
        "Order number 9434765919, tracking 1Z999AA10123456784",
        "Lot AB123CD, réf. AB123456C",
        "EAN 3662000000014 puis ISBN 978-2-07-036822-8",
        "epoch 1700000000, ts=1700000000123",
        "Quantités : 30 23 38 19 puis 32 13 10 41",
        "du 01.02.2024 au 03.02.2024, 12:34:56",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "v2.22.27 (build 20241122.3), port 8080",
        "<path d=\"M 4 8 c 0.425782 0.351563 0.488282 0.980469 0.148438 0.710938\"/>",
        "[0.03125, 0.136718, 0.449218, 0.710938]",
        "0.03125 0.136718 et 0 016.934 12 2.926",
        "RFC 2616, sections 3.3.2.11 et #section-9.3.2.5",
        "abcdefghij0123456789, \"0123456789\"",
        "0x3FF000000000000, 4562746939482794594",
    ] {
        assert_eq!(kinds(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn an_address_is_one_finding_and_its_postcode_is_no_identifier() {
    let text = "5 Franklin St, Boston MA 02110-1301";
    let spans: Vec<_> = scan(text).iter().map(|finding| (finding.kind.to_string(), finding.span)).collect();
    assert_eq!(spans, [("ADDRESS".to_owned(), Span { start: 0, end: text.len() })]);
}

#[test]
fn the_nearest_word_decides_what_a_number_is() {
    // Nine digits that a SIREN, a Portuguese NIF and a Dutch BSN may all have.
    let number = (100_000_000_u64..1_000_000_000)
        .map(|number| number.to_string())
        .find(|number| {
            ["SIREN", "NIF", "BSN"].iter().all(|word| kinds(&format!("{word} {number}")).len() == 1)
        })
        .unwrap();
    for (text, expected) in [
        (format!("SIREN {number}"), "SIREN_FR"),
        (format!("NIF {number}"), "PT_NIF"),
        (format!("BSN {number}"), "NL_BSN"),
        (format!("SIREN inconnu, NIF : {number}"), "PT_NIF"),
        (format!("NIF ? SIREN ? BSN : {number}"), "NL_BSN"),
        // Groups decide where one word speaks for several: a Swedish number has other groups.
        ("NI number 050 725 4589".to_owned(), "UK_NHS"),
    ] {
        assert_eq!(kinds(&text), [expected], "{text}");
    }
}

#[test]
fn a_word_announces_a_list_and_not_the_next_field() {
    assert_eq!(kinds("SIREN : 732829320 et 404833048"), ["SIREN_FR", "SIREN_FR"]);
    assert_eq!(kinds("SIREN : 732829320, capital social 404833048"), ["SIREN_FR"]);
    assert_eq!(kinds(r#"{"siren": "732829320", "total": 404833048}"#), ["SIREN_FR"]);
    assert_eq!(kinds(r#"{"total": 404833048, "siren": "732829320"}"#), ["SIREN_FR"]);
}

#[test]
fn the_name_of_a_column_speaks_for_what_stands_in_it() {
    let csv = "id;nom;telephone;bsn;date_naissance;date_commande\n\
        111222333;Ana;612 345 678;111222333;12/03/1984;13/03/2024\n\
        123456782;Luis;792056028;123456782;1971-06-02;14/03/2024\n";
    let row = ["PERSON", "PHONE", "NL_BSN", "DATE_OF_BIRTH"];
    assert_eq!(kinds(csv), [row, row].concat());
    let markdown = "| Client | Naissance | Commande |\n|---|---|---|\n| Ana | 12.03.1984 | 111222333 |\n";
    assert_eq!(kinds(markdown), ["PERSON", "DATE_OF_BIRTH"]);
    let quoted = "\"name\",\"siren\",\"order\"\n\"A, B\",\"732829320\",\"404833048\"\n";
    assert_eq!(kinds(quoted), ["SIREN_FR"]);
    let other = "id;siret\n73282932000074;35600000049837\n";
    assert_eq!(kinds(other), ["SIRET_FR"]);
    let orders = "order_id,quantity,ean\n0612345678,1,4006381333931\n";
    assert_eq!(kinds(orders), Vec::<String>::new());
}

#[test]
fn secrets_by_themselves_are_those_among_all() {
    let alone = DetectorSet::compile(["secret.*"], &[]).unwrap();
    let all = DetectorSet::compile(["secret.*", "pii.*"], &[]).unwrap();
    let examples =
        || catalogue().iter().flat_map(|entry| entry.examples.matches.iter().chain(&entry.examples.no_match));
    let texts: Vec<String> = examples().map(|example| unmark(&example.text()).0).collect();
    // By themselves, and beside each other.
    let beside = texts.windows(3).map(|three| three.join(" "));
    let encoded = texts.iter().map(|text| format!("a {} b", STANDARD.encode(text)));
    for text in texts.iter().cloned().chain(beside).chain(encoded) {
        let readings = Readings::new(&text);
        let mut among = all.scan(&readings, &key());
        among.retain(|finding| finding.detector.starts_with("secret."));
        assert_eq!(alone.scan(&readings, &key()), among, "{text}");
    }
}

#[test]
fn a_context_word_raises_the_score() {
    let score = |text| scan(text)[0].score;
    assert!(score("carte 4111111111111111") > score("texte 4111111111111111"));
    assert!(score("SIREN 732 829 320") > score("texte 732 829 320"));
}

#[test]
fn a_github_checksum_raises_the_score_and_its_absence_hides_nothing() {
    let entry = catalogue().get("secret.github-token").unwrap();
    let scores: Vec<_> =
        entry.examples.matches.iter().map(|example| scan(&unmark(&example.text()).0)[0].score).collect();
    assert_eq!(scores, [entry.score.verified, entry.score.base]);
}

#[test]
fn a_disguised_value_has_the_span_and_the_fingerprint_of_the_plain_one() {
    let plain = scan("IBAN FR7630006000011234567890189");
    for (text, end) in [
        ("IBAN FR76 3000 6000 0112 3456 7890 189", 38),
        ("IBAN fr76\u{a0}3000\u{202f}6000 0112 3456 7890 189", 38),
        ("IBAN FR76\u{200b}30006\u{ad}00001123\u{feff}4567890189", 35),
        ("IBAN ＦＲ７６３０００６００００１１２３４５６７８９０１８９", 32),
    ] {
        let found = scan(text);
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(found[0].span, Span { start: 5, end }, "{text}");
        assert_eq!(found[0].fingerprint, plain[0].fingerprint, "{text}");
    }
}

#[test]
fn a_value_that_a_line_break_cuts_is_one() {
    for (text, kind) in [
        ("carte 4111 1111\n 1111 1111", "CARD"),
        ("carte=4111 1111 \n1111 1111.", "CARD"),
        ("iban=FR76300060000112\n34567890189\nsuite", "IBAN"),
        ("SIRET 7328293\n2000074, à jour", "SIRET_FR"),
        ("TVA FR4473\n2829320, à jour", "VAT_FR"),
        ("> SIRET 732 829\r\n> 320 00074", "SIRET_FR"),
    ] {
        assert_eq!(kinds(text), [kind], "{text:?}");
        assert!(kinds(&text.replace('\n', "\nA : ")).is_empty(), "{text:?}");
    }
}

#[test]
fn what_stands_on_the_line_behind_an_encoded_value_does_not_hide_it() {
    let encoded = STANDARD.encode("IBAN FR76 3000 6000 0112 3456 7890 189");
    for behind in ["", "\nsuite", "\nok\n", "\r\nvaleur=2"] {
        assert_eq!(
            kinds(&format!("valeur={}{behind}", encoded.trim_end_matches('='))),
            ["IBAN"],
            "{behind:?}"
        );
    }
}

#[test]
fn fingerprints_differ_by_value_and_by_key() {
    let email =
        |name: &str, key| all().scan(&Readings::new(&format!("{name}@example.com")), &key)[0].fingerprint;
    assert_eq!(email("Anne", key()), email("anne", key()));
    assert_ne!(email("anne", key()), email("jean", key()));
    assert_ne!(email("anne", key()), email("anne", FingerprintKey::new([8; 32])));
}

#[test]
fn a_secret_behind_an_escape_sequence_is_found() {
    let token = format!("gh{}_{}", "p", "Zk3Lq8Wm5Tn2Rv7Xs4Bd9Fg6Hj1Kc0PaYeUi");
    for text in
        [format!(r"x\n{token}"), format!("q%3D{token}"), format!("\"{token}\""), format!("token={token}")]
    {
        assert_eq!(kinds(&text), ["SECRET_GITHUB_TOKEN"], "{text}");
    }
    assert_eq!(kinds(&format!("x{token}")), Vec::<String>::new());
}

/// Values of every kind, for properties.
fn values() -> Vec<(String, String)> {
    catalogue()
        .iter()
        .flat_map(|entry| {
            entry.examples.matches.iter().map(|example| (entry.id.to_string(), unmark(&example.text()).0))
        })
        .collect()
}

proptest! {
    #[test]
    fn any_text_is_scanned_and_every_span_lies_in_it(text in any::<String>()) {
        let length = text.chars().count();
        for finding in scan(&text) {
            prop_assert!(finding.span.start < finding.span.end && finding.span.end <= length);
            prop_assert!(finding.score > 0.0 && finding.score <= 1.0);
        }
    }

    #[test]
    fn text_of_the_characters_that_detectors_look_at_is_scanned(text in "[0-9A-Fa-f .:/@+()\u{200b}é€-]{0,200}") {
        let length = text.chars().count();
        let findings = scan(&text);
        prop_assert!(findings.iter().all(|finding| finding.span.end <= length));
        prop_assert!(findings.windows(2).all(|pair| pair[0].span <= pair[1].span));
    }

    #[test]
    fn text_before_or_after_never_loses_a_finding(
        which in 0..values().len(),
        before in "[a-zé ,]{0,80}|[0-9 ]{0,40}",
        after in "[a-zé ,]{0,80}|[0-9 ]{0,40}",
    ) {
        let (id, value) = values().swap_remove(which);
        let text = format!("{before}.\n\n{value}\n\n.{after}");
        prop_assert!(scan(&text).iter().any(|finding| *finding.detector == *id), "{id} in {text}");
    }

    #[test]
    fn enabling_more_detectors_never_loses_a_finding(
        chosen in proptest::collection::vec(0..values().len(), 1..6),
        enabled in proptest::collection::vec(0..catalogue().iter().count(), 1..6),
    ) {
        let values = values();
        let text = chosen.iter().map(|at| values[*at].1.as_str()).collect::<Vec<_>>().join(" ");
        let text = Readings::new(&text);
        let ids: Vec<_> = catalogue().iter().map(|entry| &*entry.id).collect();
        let few = DetectorSet::compile(enabled.iter().map(|at| ids[*at]), &[]).unwrap().scan(&text, &key());
        let many = all().scan(&text, &key());
        prop_assert!(few.iter().all(|finding| many.contains(finding)));
    }
}

#[test]
fn passwords_are_found_in_sentences_and_in_code_and_talk_of_them_is_not() {
    for (text, value) in [
        ("Le mot de passe est Soleil-4782!", "Soleil-4782!"),
        ("mon mdp c'est tournesol88", "tournesol88"),
        ("Mot de passe provisoire : « Lune&Soleil7 »", "Lune&Soleil7"),
        ("login: jdupont / pass: Zx81-kq", "Zx81-kq"),
        ("The password for the VPN is Harbour_51x.", "Harbour_51x"),
        ("Das Passwort lautet Sommer2024!", "Sommer2024!"),
        ("Server=db;User Id=sa;Password=Kd93-lsPq;Encrypt=true", "Kd93-lsPq"),
        ("jdbc:mysql://db/crm?user=app&password=Kd93lsPq2", "Kd93lsPq2"),
        ("spring.datasource.password=Kd93lsPq2", "Kd93lsPq2"),
        ("auth: { user: 'crm', pass: 'Zq8-kdpL2' }", "Zq8-kdpL2"),
    ] {
        let found: Vec<_> =
            scan(text).into_iter().filter(|finding| &*finding.kind == "SECRET_PASSWORD").collect();
        let start =
            text.chars().count() - text.split_once(value).unwrap().1.chars().count() - value.chars().count();
        assert_eq!(
            found.iter().map(|finding| finding.span).collect::<Vec<_>>(),
            [Span { start, end: start + value.chars().count() }],
            "{text}"
        );
    }
    for text in [
        "Votre mot de passe a été réinitialisé, merci de le changer avant le 12/05/2025.",
        "Le mot de passe est obligatoire et doit contenir 12 caractères.",
        "password must be at least 12 characters",
        "pass : 4 jours à 120 €",
        "La clé API est dans le coffre.",
        "const token = await getToken(user.id);",
        "let password = prompt('Password?');",
        "this.secretKey = this.config.get('SECRET_KEY');",
        "if (password === confirmPassword) {",
        "PASSWORD_MIN_LENGTH=12",
        "password: !vault |",
        "token budget is 4096 tokens per request",
        "integrity: sha512-Zk3Lq8Wm5Tn2Rv7Xs4Bd9Fg6Hj1Kc0PaYeUi",
    ] {
        assert_eq!(kinds(text), Vec::<String>::new(), "{text}");
    }
}

/// The kinds of what is found, with their paths.
fn paths(text: &str) -> Vec<(String, Option<String>)> {
    scan(text)
        .into_iter()
        .filter(|finding| finding.score >= 0.5)
        .map(|finding| (finding.kind.to_string(), finding.path.map(|path| path.to_string())))
        .collect()
}

#[test]
fn a_finding_names_the_path_to_it() {
    for (text, kind, path) in [
        (r#"{"client": {"email": "a.b@exemple.fr"}}"#, "EMAIL", "$.client.email"),
        ("id;siren\n7;732829320\n", "SIREN_FR", "row 1, column siren"),
        ("Subject: x\nTo: Zoé <a.b@exemple.fr>\n\nBonjour", "EMAIL", "header To"),
        ("<form><input name=\"mail\" value=\"a.b@exemple.fr\"></form>", "EMAIL", "input@value"),
        ("ts=1 level=info user.email=a.b@exemple.fr", "EMAIL", "key user.email"),
        // The word is known from the catalogue.
        ("steuernummer: a.b@exemple.fr", "EMAIL", "key steuernummer"),
    ] {
        let found = paths(text);
        assert!(found.contains(&(kind.to_owned(), Some(path.to_owned()))), "{text}: {found:?}");
    }
    assert_eq!(paths("écrire à a.b@exemple.fr"), [("EMAIL".to_owned(), None)]);
}

#[test]
fn what_is_encoded_in_a_part_of_an_e_mail_has_the_path_of_the_part() {
    let text = "Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b1\"\n\n--b1\n\nBonjour\n--b1\n\
                Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n\
                Vm90cmUgSUJBTiA6IEZSNzYgMzAwMCA2MDAwIDAxMTIgMzQ1NiA3ODkwIDE4OQ==\n--b1--\n";
    assert_eq!(paths(text), [("IBAN".to_owned(), Some("part 2".to_owned()))]);
}

#[test]
fn the_name_of_a_value_is_context_however_far_it_is() {
    let filler = r#""un autre texte qui n'annonce rien du tout", "#.repeat(6);
    for text in [
        format!(r#"{{"telephones": [{filler}"06.12345678"]}}"#),
        format!(r#"{{"siren": [{filler}"732829320"]}}"#),
        format!(r#"{{"siren": {{"value": [{filler}"732829320"]}}}}"#),
        format!(
            "<table><tr><th>Nom</th><th>SIREN</th></tr>{}<tr><td>x</td><td>732829320</td></tr></table>",
            "<tr><td>un nom</td><td>inconnu</td></tr>".repeat(9)
        ),
    ] {
        assert_eq!(paths(&text).len(), 1, "{text}");
    }
    for text in [
        format!(r#"{{"commandes": [{filler}"732829320"]}}"#),
        format!(r#"{{"siren": {{"commande": [{filler}"732829320"]}}}}"#),
        format!(r#"{{"siren": {{"autre": [{filler}"732829320"]}}}}"#),
    ] {
        assert_eq!(paths(&text), [], "{text}");
    }
}

#[test]
fn structure_around_a_text_never_loses_a_finding() {
    for (id, text) in values().into_iter().filter(|(_, text)| !text.contains(['"', '\\', '\n', '<', '>'])) {
        for (before, after) in [
            ("{\"note\": \"", "\"}"),
            ("[{\"a\": 1}, {\"b\": [\"", "\"]}]"),
            ("<p>", "</p>"),
            ("<table><tr><th>note</th></tr><tr><td>", "</td></tr></table>"),
            ("Subject: x\n\n", "\n"),
            ("id,note\n1,\"", "\"\n"),
            ("| id | note |\n|---|---|\n| 1 | ", " |\n"),
            ("note: ", "\n"),
        ] {
            let text = format!("{before}{text}{after}");
            assert!(scan(&text).iter().any(|finding| *finding.detector == *id), "{id} in {text}");
        }
    }
}
