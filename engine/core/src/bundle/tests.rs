//! What bundles are made of, what is refused as one, and the quickstart decided by its own.

use novacrm_crds::DEFAULT_POLICY_NAMESPACE;
use novacrm_crds::compliance_policy::Surface;
use novacrm_crds::crm_tenant::Locale;
use time::OffsetDateTime;

use super::*;
use crate::FingerprintKey;
use crate::pipeline::{Keys, Request, analyze};
use crate::policy::review;
use crate::transform::TokenKey;

const QUICKSTART: [&str; 3] = [
    include_str!("../../../../examples/quickstart/tenant.yaml"),
    include_str!("../../../../examples/quickstart/policies/organisation-baseline.yaml"),
    include_str!("../../../../examples/quickstart/policies/acme-customer-data.yaml"),
];

/// The quickstart's policies and register.
fn quickstart() -> (Vec<CheckedPolicy>, Vec<RegisteredUse>) {
    let mut policies = Vec::new();
    let mut use_cases = Vec::new();
    for source in QUICKSTART {
        let review = review(source, None, DEFAULT_POLICY_NAMESPACE);
        assert_eq!(review.problems, []);
        policies.extend(review.policies.into_iter().map(|located| located.object));
        for tenant in review.tenants {
            use_cases.extend(tenant.object.spec.ai_use_cases.iter().map(RegisteredUse::from));
        }
    }
    (policies, use_cases)
}

fn bundle(sequence: u64) -> Bundle {
    let (policies, use_cases) = quickstart();
    Bundle::assemble("acme", sequence, &policies, use_cases)
}

#[test]
fn what_is_encoded_is_decoded() {
    let bundle = bundle(7);
    let received = Received::decode(&bundle.encode().unwrap()).unwrap();
    assert_eq!((received.bundle(), received.digest()), (&bundle, bundle.digest().as_str()));
}

#[test]
fn the_order_of_policies_is_without_meaning_and_the_sequence_no_part_of_the_digest() {
    let (mut policies, mut use_cases) = quickstart();
    let one = Bundle::assemble("acme", 1, &policies, use_cases.clone());
    policies.reverse();
    use_cases.reverse();
    let other = Bundle::assemble("acme", 2, &policies, use_cases.clone());
    assert_eq!(one.digest(), other.digest());
    assert_ne!(one.encode().unwrap(), other.encode().unwrap());
    use_cases.pop();
    assert_ne!(one.digest(), Bundle::assemble("acme", 1, &policies, use_cases).digest());
    assert_ne!(one.digest(), Bundle::assemble("other", 1, &policies, one.use_cases.clone()).digest());
}

#[test]
fn a_bundle_holds_neither_tests_nor_changelogs() {
    let json = String::from_utf8(zstd::decode_all(bundle(1).encode().unwrap().as_slice()).unwrap()).unwrap();
    assert!(!json.contains("First version") && !json.contains("a private key is refused"));
}

#[test]
fn of_an_exception_a_bundle_holds_what_decides_and_nobody_s_name() {
    let source = include_str!("../../testdata/policies/sound.yaml");
    let review = review(source, None, DEFAULT_POLICY_NAMESPACE);
    let policies: Vec<CheckedPolicy> = review.policies.into_iter().map(|located| located.object).collect();
    let json = serde_json::to_string(&Bundle::assemble("acme", 1, &policies, [])).unwrap();
    let exceptions = r#""exceptions":[{"id":"archive-2027","rules":["CODE-1"],"useCases":["sales-drafting"],"roles":["sales"],"ticket":"SEC-1234","expiresAt":"2027-06-30T22:00:00Z"}]"#;
    assert!(json.contains(exceptions), "{json}");
    for left_out in ["closed projects", "Sales operations", "Data protection officer"] {
        assert!(!json.contains(left_out), "{left_out}");
    }
}

#[test]
fn a_policy_without_exceptions_has_the_bytes_it_had_before_there_were_any() {
    assert!(!serde_json::to_string(&bundle(1)).unwrap().contains("exceptions"));
}

#[test]
fn what_is_no_bundle_is_refused() {
    let compressed = |json: &str| zstd::encode_all(json.as_bytes(), 1).unwrap();
    assert!(matches!(Bundle::decode(b"no zstd"), Err(BundleError::Compression(_))));
    assert!(matches!(Bundle::decode(&compressed("{}")), Err(BundleError::Shape { .. })));
    assert!(matches!(
        Bundle::decode(&compressed("{\"format\": 2, \"more\": 1}")),
        Err(BundleError::Format(2))
    ));
    let unknown = r#"{"format":1,"tenant":"a","sequence":1,"policies":[],"useCases":[],"exceptions":[]}"#;
    assert!(matches!(Bundle::decode(&compressed(unknown)), Err(BundleError::Shape { .. })));
    let mut cut = bundle(1).encode().unwrap();
    cut.truncate(cut.len() / 2);
    assert!(matches!(Bundle::decode(&cut), Err(BundleError::Compression(_))));
}

#[test]
fn a_sequence_number_that_not_every_reader_reads_exactly_is_refused() {
    let mut last = bundle(MAX_SEQUENCE);
    assert_eq!(Bundle::decode(&last.encode().unwrap()).unwrap().sequence, MAX_SEQUENCE);
    for sequence in [MAX_SEQUENCE + 1, u64::MAX] {
        let json = serde_json::to_string(&last).unwrap();
        let json = json.replace(&MAX_SEQUENCE.to_string(), &sequence.to_string());
        let bytes = zstd::encode_all(json.as_bytes(), 1).unwrap();
        assert!(matches!(Bundle::decode(&bytes), Err(BundleError::Sequence(found)) if found == sequence));
    }
    last.sequence += 1;
    assert!(matches!(last.encode(), Err(BundleError::Sequence(_))));
}

#[test]
fn a_bundle_is_verified_before_it_is_decompressed() {
    use super::signed::{sign, tests::key};

    let keys = TrustedKeys::of(&[key(1)]).unwrap();
    let good = bundle(3);
    let bytes = good.encode().unwrap();
    let received = Received::verify(&sign(&bytes, &[key(1)]).unwrap(), &keys).unwrap();
    assert_eq!((received.bundle(), received.digest()), (&good, good.digest().as_str()));
    let refused = |bytes: &[u8]| Received::verify(bytes, &keys).unwrap_err();
    assert!(matches!(refused(&bytes), BundleError::Signature(SignatureError::Missing)));
    let bomb = zstd::encode_all(std::io::repeat(b' ').take(1 << 30), 1).unwrap();
    let untrusted = sign(&bomb, &[key(2)]).unwrap();
    assert!(matches!(refused(&untrusted), BundleError::Signature(SignatureError::Untrusted)));
    assert!(matches!(refused(&sign(&bomb, &[key(1)]).unwrap()), BundleError::TooLong));
    assert!(matches!(refused(&vec![0; MAX_SIGNED_BYTES + 1]), BundleError::TooLarge(_)));
}

#[test]
fn a_decompression_bomb_is_stopped_at_the_limit() {
    let bomb = zstd::encode_all(std::io::repeat(b' ').take(1 << 30), 1).unwrap();
    assert!(bomb.len() < MAX_COMPRESSED_BYTES);
    assert!(matches!(Bundle::decode(&bomb), Err(BundleError::TooLong)));
}

#[test]
fn a_bad_policy_in_a_bundle_is_named_and_nothing_is_compiled() {
    let mut bad = bundle(1);
    bad.policies[1].rules[0].references[0].r#ref = "0".to_owned();
    let problems = CompiledBundle::compile(bad).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].path, "novacrm-policies/organisation-baseline: spec.rules[0].references[0]");
    let mut twice = bundle(1);
    twice.policies[1] = twice.policies[0].clone();
    assert!(CompiledBundle::compile(twice).unwrap_err().iter().any(|one| one.path == "policies[1]"));
    let mut uses = bundle(1);
    uses.use_cases[1].id = uses.use_cases[0].id.clone();
    assert_eq!(CompiledBundle::compile(uses).unwrap_err()[0].path, "useCases[1].id");
}

#[test]
fn only_what_changed_is_compiled_again() {
    let before = CompiledBundle::compile(bundle(1)).unwrap();
    let mut changed = bundle(2);
    changed.policies[1].version = "9.0.0".to_owned();
    let received = |bundle: &Bundle| Received::decode(&bundle.encode().unwrap()).unwrap();
    let after = CompiledBundle::compile_after(received(&changed), Some(&before)).unwrap();
    assert!(Arc::ptr_eq(&before.compiled_policies()[0], &after.compiled_policies()[0]));
    assert!(!Arc::ptr_eq(&before.compiled_policies()[1], &after.compiled_policies()[1]));
    assert_eq!(after.policies().nth(1).unwrap().info().version, "9.0.0");
    assert_eq!(after.digest(), CompiledBundle::compile(changed.clone()).unwrap().digest());
    changed.policies.remove(0);
    let less = CompiledBundle::compile_after(received(&changed), Some(&after)).unwrap();
    assert_eq!(less.compiled_policies().len(), 1);
    assert!(Arc::ptr_eq(&after.compiled_policies()[1], &less.compiled_policies()[0]));
}

#[test]
fn the_quickstart_s_prompt_may_leave_without_what_identifies_and_without_the_token() {
    let bundle = CompiledBundle::compile(bundle(1)).unwrap();
    let token = format!("{}{}", "ghp_", "0123456789abcdefghijABCDEFGHIJ012345");
    let text = format!(
        "Bonjour, prépare une relance pour Mme Durand (NIR 2 69 05 49 588 157 80, IBAN FR76 3000 6000 0112 3456 \
         7890 189). Le jeton du dépôt est {token}."
    );
    let request = Request {
        text: &text,
        external: &[],
        surface: Surface::PromptInput,
        use_case: Some("sales-drafting"),
        purpose: None,
        role: Some("sales"),
        locale: Locale::Fr,
        document: "",
        now: OffsetDateTime::UNIX_EPOCH,
    };
    let keys = Keys { fingerprint: FingerprintKey::new([1; 32]), token: TokenKey::new([2; 32]) };
    let decision = analyze(&bundle, &request, &keys);
    assert_eq!(decision.action, ActionType::Redact);
    assert_eq!(
        decision.output.as_deref(),
        Some(
            "Bonjour, prépare une relance pour Mme Durand (NIR [NIR_FR], IBAN **** **** **** **** **** ***0 189). Le \
             jeton du dépôt est [SECRET_GITHUB_TOKEN]."
        )
    );
    let rules: Vec<&str> = decision.matched.iter().map(|entry| entry.rule.id.as_str()).collect();
    assert_eq!(rules, ["ACME-NIR", "SEC-001", "ACME-BANK", "PII-001"]);
    assert_eq!(decision.use_case.unwrap().class, novacrm_crds::crm_tenant::RegisteredClass::Limited);
    let fr = &decision.explanation.fr;
    for part in [
        "Ce texte contient 1 IBAN, 1 numéro de sécurité sociale (NIR), 1 nom de personne et 1 jeton d’accès GitHub.",
        "remplacé par une étiquette : 1 numéro de sécurité sociale (NIR) et 1 jeton d’accès GitHub ; masqué : 1 IBAN.",
        "Règle ACME-NIR de la politique « acme-customer-data » (version 1.0.0)",
        "RGPD, art. 5(1)(c)",
        "dpo@acme.example",
    ] {
        assert!(fr.contains(part), "{part}\n{fr}");
    }
    assert!(!fr.contains("2 69") && !fr.contains(&token));
}

#[test]
fn people_can_read_every_condition_in_both_languages() {
    let bundle = CompiledBundle::compile(bundle(1)).unwrap();
    let mut conditions = Vec::new();
    for policy in bundle.policies() {
        for rule in policy.rules() {
            assert!(rule.condition.en.starts_with("When ") && rule.condition.fr.starts_with("Quand "));
            conditions.push((policy.info().name.clone(), rule.id.clone(), rule.condition.fr.clone()));
        }
    }
    let of = |id: &str| conditions.iter().find(|(_, rule, _)| rule == id).map(|(_, _, text)| text.as_str());
    assert_eq!(
        of("ACME-BULK"),
        Some(
            "Quand le texte contient au moins 10 éléments de ces types : adresse e-mail ou numéro de téléphone."
        )
    );
    assert_eq!(
        of("AIA-III"),
        Some("Quand l’usage de l’IA est à haut risque et que le canal est « question à un modèle ».")
    );
    assert_eq!(
        of("ACME-PROJECT"),
        Some("Quand le texte contient : custom.project-code et que le rôle n’est pas « direction ».")
    );
}
