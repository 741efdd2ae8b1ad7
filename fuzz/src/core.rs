//! The text, the detectors, the policies and the decision.

use std::sync::LazyLock;

use novacrm_crds::compliance_policy::{ActionType, Surface, TokenScope};
use novacrm_crds::crm_tenant::Locale;
use novacrm_engine_core::bundle::signed::{BundleKey, TrustedKeys, sign};
use novacrm_engine_core::bundle::{Bundle, CompiledBundle, Received};
use novacrm_engine_core::detectors::{DetectorSet, catalogue};
use novacrm_engine_core::pipeline::stream::{Part, Stream};
use novacrm_engine_core::pipeline::{self, Keys, Request, Uninspected};
use novacrm_engine_core::text::{NormalizedText, Readings};
use novacrm_engine_core::transform::{self, Edit, ListedToken, Restorer, TokenKey, Tokens};
use novacrm_engine_core::{Finding, FingerprintKey, Span, policy as policies};
use time::OffsetDateTime;

static KEY: LazyLock<FingerprintKey> = LazyLock::new(|| FingerprintKey::new([7; 32]));
static KEYS: LazyLock<Keys> =
    LazyLock::new(|| Keys { fingerprint: KEY.clone(), token: TokenKey::new([8; 32]) });

/// Every range of the text as it reads has its place in the text as sent.
pub fn text(data: &[u8]) {
    let [from, length, data @ ..] = data else { return };
    let original = String::from_utf8_lossy(data);
    let text = NormalizedText::new(&original);
    let count = original.chars().count();
    let whole = text.span(0..text.as_str().len());
    assert!(whole.start <= whole.end && whole.end <= count, "{whole:?} of {count}");
    let start = usize::from(*from) * text.as_str().len() / 256;
    let end = start + usize::from(*length);
    let part = text.span(start..end);
    assert!(part.start <= part.end && part.end <= whole.end, "{part:?} of {whole:?}");
    // Further on in one is further on in the other.
    let behind = text.span(end..end + 8);
    assert!(behind.start >= part.start && behind.end >= part.end, "{behind:?} behind {part:?}");
}

/// What any reading behind a disguise stands for lies in the text; a range of a further reading has one place.
pub fn readings(data: &[u8]) {
    let [from, length, data @ ..] = data else { return };
    let original = String::from_utf8_lossy(data);
    let readings = Readings::new(&original);
    let primary = readings.primary().as_str();
    for reading in readings.further() {
        let size = reading.as_str().len();
        let start = usize::from(*from) * size / 256;
        for range in [0..size, start..(start + usize::from(*length)).min(size)] {
            if let Some(sighting) = readings.sighting(reading, range) {
                let found = sighting.range;
                assert!(found.start <= found.end && found.end <= primary.len(), "{found:?}");
                let span = readings.primary().span(found);
                assert!(span.start <= span.end && span.end <= original.chars().count());
            }
        }
    }
}

/// The structure of any text is told for any of its places, in words of a bounded number: names stand in the text, and
/// where nothing is known besides, what a path shows is no longer than the names that it may be made of.
pub fn document(data: &[u8]) {
    let [from, length, data @ ..] = data else { return };
    let original = String::from_utf8_lossy(data);
    let readings = Readings::new(&original);
    let text = readings.primary().as_str();
    let start = usize::from(*from) * text.len() / 256;
    for at in [0, start, start + usize::from(*length), text.len()] {
        let shown = readings.path(at, |_| false);
        let all = readings.path(at, |_| true);
        assert_eq!(shown.is_some(), all.is_some());
        for path in shown.iter().chain(&all) {
            assert!(!path.is_empty() && path.len() < 4096, "{} bytes", path.len());
            assert!(!path.contains(char::is_control));
        }
        let value = at.min(text.len())..(at + usize::from(*length)).min(text.len());
        for name in readings.names(&value) {
            assert!(text.get(name.clone()).is_some_and(|name| !name.is_empty()), "{name:?}");
        }
    }
}

static ALL: LazyLock<DetectorSet> = LazyLock::new(|| {
    DetectorSet::compile(catalogue().iter().map(|entry| &*entry.id), &[]).expect("the catalogue compiles")
});

fn check(findings: &[Finding], text: &str) {
    let count = text.chars().count();
    for finding in findings {
        let Span { start, end } = finding.span;
        assert!(start < end && end <= count, "{} at {start}..{end} of {count}", finding.detector);
        assert!(finding.score > 0.0 && finding.score <= 1.0, "{} {}", finding.detector, finding.score);
    }
    assert!(findings.is_sorted_by_key(|finding| finding.span), "findings come in the order of the text");
}

/// Findings lie in the text, are sure to some degree, and are the same twice.
pub fn detectors(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let findings = ALL.scan(&Readings::new(&text), &KEY);
    check(&findings, &text);
    assert_eq!(findings, ALL.scan(&Readings::new(&text), &KEY));
}

/// Edits of any spans give a text, and nothing outside of them changes.
pub fn transform(data: &[u8]) {
    let [count, data @ ..] = data else { return };
    let count = usize::from(count % 8);
    let (places, data) = data.split_at(data.len().min(count * 3));
    let text = String::from_utf8_lossy(data);
    let edits: Vec<(Span, Edit<'_>)> = places
        .as_chunks::<3>()
        .0
        .iter()
        .map(|[start, length, how]| {
            let span = Span { start: usize::from(*start), end: usize::from(*start) + usize::from(*length) };
            let edit = match how {
                0..128 => Edit::Mask { keep_last: *how },
                128..192 => Edit::Redact { label: "IBAN" },
                _ => Edit::Redact { label: "CARD" },
            };
            (span, edit)
        })
        .collect();
    let out = transform::apply(&text, &edits, &Tokens::placeholders()).text;
    let covers = |at: usize| edits.iter().any(|(span, _)| span.start <= at && at < span.end);
    let before: String =
        text.chars().enumerate().take_while(|(at, _)| !covers(*at)).map(|(_, c)| c).collect();
    assert!(out.starts_with(&before));
    let last = text.chars().count();
    let after: Vec<char> =
        text.chars().rev().enumerate().take_while(|(at, _)| !covers(last - 1 - at)).map(|(_, c)| c).collect();
    assert!(out.ends_with(&after.iter().rev().collect::<String>()));
}

/// A text with anything that looks like a token is restored alike however it is cut; what is no token stays.
pub fn restore(data: &[u8]) {
    let [piece, data @ ..] = data else { return };
    let text = String::from_utf8_lossy(data);
    let tokens = || KEYS.token.tokens("fuzz");
    let listed: Vec<ListedToken> = text
        .split_ascii_whitespace()
        .take(4)
        .map(|token| ListedToken {
            kind: "CARD".to_owned(),
            token: token.to_owned(),
            scope: TokenScope::Document,
        })
        .collect();
    let mut whole = Restorer::new(tokens(), &listed);
    let wanted = whole.push(&text) + &whole.finish();
    let mut cut = Restorer::new(tokens(), &listed);
    let mut got = String::new();
    let characters: Vec<char> = text.chars().collect();
    for piece in characters.chunks(usize::from(*piece % 64) + 1) {
        got += &cut.push(&piece.iter().collect::<String>());
    }
    got += &cut.finish();
    assert_eq!(got, wanted);
    assert_eq!(cut.restored(), whole.restored());
    assert_eq!(cut.held(), 0);
    if !text.contains('[') && listed.is_empty() {
        assert_eq!(wanted, text);
    }
}

/// The policies that [`pipeline`] decides by.
const POLICIES: &str = include_str!("../policies.yaml");

static BUNDLE: LazyLock<CompiledBundle> = LazyLock::new(|| {
    let review = policies::review(POLICIES, None, "novacrm-policies");
    assert!(review.problems.is_empty(), "{:?}", review.problems);
    let bundle = Bundle::assemble("acme", 1, review.policies.iter().map(|located| &located.object), []);
    CompiledBundle::compile(bundle).expect("checked policies compile")
});

fn asked(text: &str, surface: Surface) -> Request<'_> {
    Request {
        text,
        external: &[],
        surface,
        use_case: None,
        purpose: None,
        role: None,
        locale: Locale::Fr,
        document: "fuzz",
        now: OffsetDateTime::UNIX_EPOCH,
    }
}

/// A decision is whole: findings lie in the text, what is withheld is not given, what is given is given twice alike.
pub fn pipeline(data: &[u8]) {
    let [surface, data @ ..] = data else { return };
    let text = String::from_utf8_lossy(data);
    let surface = match surface % 3 {
        0 => Surface::PromptInput,
        1 => Surface::PromptOutput,
        _ => Surface::CrmNote,
    };
    let request = asked(&text, surface);
    let decision = pipeline::analyze(&BUNDLE, &request, &KEYS);
    let findings: Vec<Finding> = decision.findings.iter().map(|decided| decided.finding.clone()).collect();
    check(&findings, &text);
    assert_eq!(decision.output.is_some(), decision.action < ActionType::RequireApproval);
    let strongest = decision.findings.iter().map(|decided| decided.action).max();
    assert!(strongest.is_none_or(|strongest| strongest <= decision.action));
    if let Some(output) = &decision.output {
        let changes = decision.findings.iter().any(|decided| decided.action > ActionType::Flag);
        assert!(changes || *output == *text, "what nothing changes leaves as it came");
    }
    let restorable = |action| matches!(action, ActionType::Allow | ActionType::Flag | ActionType::Tokenize);
    if let Some(output) = &decision.output
        && decision.findings.iter().all(|decided| restorable(decided.action))
    {
        let mut restorer = Restorer::new(KEYS.token.tokens("fuzz"), &decision.tokens);
        let restored = restorer.push(output) + &restorer.finish();
        assert_eq!(restored, *text, "what was tokenized comes back");
    }
    for rule in &decision.matched {
        assert!(rule.findings.iter().all(|index| *index < decision.findings.len()));
    }
    assert_eq!(decision, pipeline::analyze(&BUNDLE, &request, &KEYS));
    let unseen = pipeline::uninspected(&BUNDLE, &request, Uninspected::TimeOut);
    assert!(unseen.findings.is_empty() && unseen.action >= ActionType::Flag);
}

/// A text in pieces of any length is decided on part by part: the parts follow each other without a gap, nothing leaves
/// behind a refusal, and the last decision is that on the whole text.
pub fn stream(data: &[u8]) {
    let [size, data @ ..] = data else { return };
    let text = String::from_utf8_lossy(data);
    let mut stream = Stream::new(1 << 20, None);
    let mut left = 0;
    let step = |stream: &mut Stream, is_last: bool, left: &mut usize| -> Part {
        let asked = asked("", Surface::PromptOutput);
        let inspected = stream.arrived().inspect(&BUNDLE, &asked, &KEYS, is_last, None);
        let part = stream.release(inspected, is_last);
        assert_eq!(part.span.start, *left);
        assert!(part.span.end >= part.span.start && part.findings.end <= part.decision.findings.len());
        assert!(part.decision.output.is_some() || part.span.end == part.span.start);
        *left = part.span.end;
        part
    };
    let characters: Vec<char> = text.chars().collect();
    for piece in characters.chunks(usize::from(*size) * 4 + 1) {
        stream.push(&piece.iter().collect::<String>()).expect("it is shorter than the limit");
        if stream.is_due() {
            let part = step(&mut stream, false, &mut left);
            if stream.is_over() {
                assert!(part.decision.action >= ActionType::RequireApproval);
                return;
            }
        }
    }
    let part = step(&mut stream, true, &mut left);
    let whole = pipeline::analyze(&BUNDLE, &asked(&text, Surface::PromptOutput), &KEYS);
    assert_eq!((part.decision.action, part.decision.findings), (whole.action, whole.findings));
    assert!(part.decision.output.is_none() || left == characters.len());
}

/// A manifest of any form is judged, and each problem has a place in the file.
pub fn policy(data: &[u8]) {
    let source = String::from_utf8_lossy(data);
    let review = policies::review(&source, Some("policy.yaml"), "novacrm-policies");
    // A carriage return alone breaks a line, too (YAML 1.2.2, section 5.4).
    let lines = source.replace("\r\n", "\n").replace('\r', "\n").lines().count().max(1) + 1;
    for problem in &review.problems {
        assert!(!problem.message.is_empty() && !problem.hint.is_empty());
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&(line as usize))), "{problem:?}");
    }
    for located in &review.policies {
        let bundle = Bundle::assemble("acme", 1, [&located.object], []);
        assert!(CompiledBundle::compile(bundle).is_ok(), "what was checked compiles");
    }
}

/// A bundle of any bytes is refused, or compiles or not; what was read is written and read alike. Half of the inputs
/// are JSON that is packed here, since nothing that is changed at random within compressed bytes gets far.
pub fn bundle(data: &[u8]) {
    let [choice, data @ ..] = data else { return };
    let packed = match choice % 2 {
        0 => data.to_vec(),
        _ => zstd::encode_all(data, 1).expect("memory takes what it is given"),
    };
    let Ok(bundle) = Bundle::decode(&packed) else { return };
    let bytes = bundle.encode().expect("what was read can be written");
    let again = Bundle::decode(&bytes).expect("what was written can be read");
    assert_eq!(again.digest(), bundle.digest());
    let _ = CompiledBundle::compile(bundle);
}

/// Thirty-two times the byte 7, as PKCS #8.
const TEST_KEY: &str = concat!(
    "-----BEGIN ",
    "PRIVATE KEY-----\n",
    "MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n",
    "-----END ",
    "PRIVATE KEY-----\n"
);

static BUNDLE_KEY: LazyLock<BundleKey> =
    LazyLock::new(|| BundleKey::from_pem(TEST_KEY).expect("the key can be read"));
static TRUSTED: LazyLock<TrustedKeys> =
    LazyLock::new(|| TrustedKeys::of(std::slice::from_ref(&*BUNDLE_KEY)).expect("the key has a public line"));

/// Bytes are an authentic bundle only as the key signed them. A third of the inputs are signed here and then changed in
/// one place, a third are signed and left alone, and the rest are taken as they are.
pub fn signed(data: &[u8]) {
    let [choice, from, to, data @ ..] = data else { return };
    let again = |payload: &[u8]| sign(payload, std::slice::from_ref(&*BUNDLE_KEY)).expect("it can be signed");
    let offered = match choice % 3 {
        0 => data.to_vec(),
        1 => again(data),
        _ => {
            let mut offered = again(data);
            let place = usize::from(u16::from_be_bytes([*from, *to])) % offered.len();
            offered[place] ^= choice | 1;
            assert!(TRUSTED.verify(&offered).is_err(), "a change at {place} is not noticed");
            offered
        }
    };
    match TRUSTED.verify(&offered) {
        Ok(payload) => assert_eq!(offered, again(payload), "there is one way to sign a bundle"),
        Err(_) => assert!(choice % 3 != 1, "what was signed is verified"),
    }
    let _ = Received::verify(&offered, &TRUSTED);
    if let Ok(lines) = std::str::from_utf8(data) {
        let _ = TrustedKeys::parse(lines);
    }
}
