//! What a source tells, and what is in force after it.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use novacrm_engine_core::bundle::signed::{BundleKey, sign};
use novacrm_engine_core::bundle::{Bundle, MAX_SEQUENCE};
use serde_json::json;
use tokio::sync::mpsc;

use super::*;

const TENANT: &str = "acme";

/// A key that signs bundles, another one for each number.
fn key(number: u8) -> BundleKey {
    // PKCS #8 of an Ed25519 key is this prefix and the 32 bytes of the seed (RFC 8410 §7).
    let der = [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", [number; 32].as_slice()]
        .concat();
    let text = BASE64_STANDARD.encode(der);
    BundleKey::from_pem(&format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")).unwrap()
}

fn accepted() -> Accepted {
    Accepted { tenant: TENANT.to_owned(), keys: TrustedKeys::of(&[key(1)]).unwrap() }
}

/// A zstd frame of one raw block (RFC 8878 §3.1.1).
fn frame(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    let block = ((length << 3) | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0], length.to_le_bytes().as_slice(), &block[..3], text.as_bytes()].concat()
}

/// The bundle as the operator writes it.
fn signed(bundle: &Bundle) -> Vec<u8> {
    sign(&bundle.encode().unwrap(), &[key(1)]).unwrap()
}

/// A source that tells what a test tells it.
struct Told {
    observations: mpsc::UnboundedReceiver<Observation>,
    previous: Option<Vec<u8>>,
}

#[async_trait]
impl BundleSource for Told {
    async fn next(&mut self) -> Observation {
        match self.observations.recv().await {
            Some(observation) => observation,
            None => std::future::pending().await,
        }
    }

    async fn previous(&mut self) -> Option<Vec<u8>> {
        self.previous.clone()
    }
}

impl Following<Told> {
    /// Loads what waits, as following it does.
    async fn settle(&mut self) {
        let offer = self.waiting.take().unwrap();
        let loaded = self.load(offer).await;
        self.loaded(loaded).await;
    }
}

struct Followed {
    bundles: Bundles,
    tell: mpsc::UnboundedSender<Observation>,
    _stop: tokio_util::sync::DropGuard,
}

fn follow(previous: Option<Vec<u8>>, fallback: Option<&Path>) -> Followed {
    let (tell, observations) = mpsc::unbounded_channel();
    let bundles = Bundles::new(BundleMetrics::default());
    let stop = CancellationToken::new();
    let source = Told { observations, previous };
    let files = fallback.map(|dir| Files::new(dir, None));
    tokio::spawn(bundles.clone().follow(source, files, accepted(), stop.clone()));
    Followed { bundles, tell, _stop: stop.drop_guard() }
}

impl Followed {
    fn offers(&self, bytes: Vec<u8>) {
        self.tell.send(Observation::Offered { bytes, as_of: OffsetDateTime::now_utc() }).unwrap();
    }

    fn tells(&self, observation: Observation) {
        self.tell.send(observation).unwrap();
    }

    async fn until(&self, holds: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.bundles.status();
        let waiting = status.wait_for(holds);
        tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap().clone()
    }

    fn sequence(&self) -> Option<u64> {
        self.bundles.current().map(|in_force| in_force.bundle.sequence())
    }
}

/// A bundle whose one rule finds `pattern`.
fn bundle(sequence: u64, pattern: &str, staleness: u32) -> Bundle {
    let text = json!({"fr": "essai", "en": "test"});
    serde_json::from_value(json!({
        "format": 1, "tenant": TENANT, "sequence": sequence, "useCases": [],
        "policies": [{
            "namespace": "acme", "name": "test", "version": format!("{sequence}.0.0"),
            "owner": {"team": "tests", "contact": "tests@acme.example"},
            "enforcement": {"mode": "enforce", "failureMode": "block", "maxStalenessSeconds": staleness},
            "detectors": [],
            "customDetectors": [{
                "id": "custom.it", "type": "IT", "description": text, "pattern": pattern, "score": 0.9
            }],
            "rules": [{
                "id": "TEST-1", "severity": "high", "riskWeight": 50, "description": text,
                "risksCovered": ["leak"], "references": [{"law": "gdpr", "ref": "32"}],
                "when": {"any": [{"all": [{"finding": {"detectors": ["custom.it"]}}]}]},
                "action": {"type": "redact"}
            }]
        }]
    }))
    .unwrap()
}

fn good(sequence: u64) -> Bundle {
    bundle(sequence, "x+", 300)
}

fn encoded(sequence: u64) -> Vec<u8> {
    signed(&good(sequence))
}

fn broken(sequence: u64) -> Vec<u8> {
    signed(&bundle(sequence, "(", 300))
}

#[tokio::test]
async fn a_refused_bundle_keeps_the_last_good_one_and_names_policy_field_and_digest() {
    let it = follow(None, None);
    it.offers(encoded(1));
    it.until(|status| status.digest.is_some()).await;
    it.offers(broken(2));
    let status = it.until(|status| status.last_error.is_some()).await;
    let error = status.last_error.unwrap();
    assert_eq!(error.digest, bundle(2, "(", 300).digest());
    assert!(error.message.starts_with("acme/test: spec.customDetectors[0].pattern: "), "{}", error.message);
    assert_eq!(it.sequence(), Some(1));
    assert_eq!(it.bundles.metrics.refused(Refusal::invalid), 1);
    it.offers(encoded(3));
    it.until(|status| status.last_error.is_none()).await;
    assert_eq!((it.sequence(), it.bundles.metrics.sequence.get()), (Some(3), 3));
}

#[tokio::test]
async fn a_bundle_that_the_operator_did_not_sign_is_refused_and_stands_in_the_way_of_no_later_one() {
    let it = follow(None, None);
    it.offers(encoded(5));
    it.until(|status| status.digest.is_some()).await;
    let mut without_rules = good(MAX_SEQUENCE);
    without_rules.policies.clear();
    let bytes = without_rules.encode().unwrap();
    let mut changed = encoded(6);
    *changed.last_mut().unwrap() ^= 1;
    let mut others = good(9);
    others.tenant = "other".to_owned();
    let json = serde_json::to_string(&without_rules)
        .unwrap()
        .replace(&MAX_SEQUENCE.to_string(), &u64::MAX.to_string());
    let beyond = sign(&frame(&json), &[key(1)]).unwrap();
    for (offered, reason, why) in [
        (bytes.clone(), Refusal::unsigned, "the bundle is not signed"),
        (
            sign(&bytes, &[key(2)]).unwrap(),
            Refusal::signature,
            "the bundle is not signed by a key that is trusted",
        ),
        (changed, Refusal::signature, "the bundle was changed after it was signed"),
        (signed(&others), Refusal::tenant, "the bundle belongs to another tenant"),
        (beyond, Refusal::sequence, "the bundle has sequence 18446744073709551615"),
        (encoded(4), Refusal::older, "its sequence 4 is not after 5"),
        // Unsigned bytes that say what is in force.
        (good(5).encode().unwrap(), Refusal::unsigned, "the bundle is not signed"),
    ] {
        let before = it.bundles.metrics.refused(reason);
        it.offers(offered);
        let told =
            |status: &Status| status.last_error.as_ref().is_some_and(|error| error.message.starts_with(why));
        it.until(told).await;
        assert_eq!(it.bundles.metrics.refused(reason), before + 1, "{why}");
        assert_eq!(it.sequence(), Some(5), "{why}");
        // The right one is taken at once, whatever was refused before.
        it.offers(encoded(5));
        it.until(|status| status.last_error.is_none()).await;
    }
    it.offers(encoded(6));
    let newer = good(6).digest();
    it.until(|status| status.digest.as_ref() == Some(&newer)).await;
}

#[tokio::test]
async fn a_process_without_rules_takes_neither_a_foreign_bundle_nor_a_foreign_one_before() {
    let it = follow(Some(good(6).encode().unwrap()), None);
    it.offers(good(7).encode().unwrap());
    it.until(|status| status.last_error.is_some()).await;
    assert_eq!(it.sequence(), None);
    it.offers(encoded(1));
    it.until(|status| status.digest.is_some() && status.last_error.is_none()).await;
    assert_eq!(it.sequence(), Some(1));
}

#[tokio::test]
async fn of_bundles_that_come_in_while_one_is_compiled_only_the_newest_is() {
    let it = follow(None, None);
    for sequence in 1..=50 {
        it.offers(encoded(sequence));
    }
    let newest = good(50).digest();
    it.until(|status| status.digest.as_ref() == Some(&newest)).await;
    let mut text = String::new();
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register("swaps", "", it.bundles.metrics.swaps.clone());
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let swaps = text.lines().find_map(|line| line.strip_prefix("swaps_count ")).unwrap();
    assert!(swaps.parse::<u32>().unwrap() < 50, "{swaps}");
}

#[tokio::test]
async fn the_same_rules_under_another_number_have_been_in_force_since_they_first_were() {
    let it = follow(None, None);
    let mut rules = good(1);
    it.offers(signed(&rules));
    it.until(|status| status.digest.is_some()).await;
    let since = it.bundles.current().unwrap().since;
    rules.sequence = 2;
    it.offers(signed(&rules));
    let mut status = it.bundles.status();
    while it.sequence() != Some(2) {
        status.changed().await.unwrap();
    }
    assert_eq!(it.bundles.current().unwrap().since, since);
    it.offers(encoded(3));
    let other = good(3).digest();
    it.until(|status| status.digest.as_ref() == Some(&other)).await;
    assert!(it.bundles.current().unwrap().since > since);
}

#[tokio::test]
async fn a_process_without_rules_takes_those_before_and_goes_on_saying_why() {
    let it = follow(Some(encoded(6)), None);
    it.offers(broken(7));
    let status = it.until(|status| status.digest.is_some() && status.last_error.is_some()).await;
    assert_eq!(status.refused(), Some(bundle(7, "(", 300).digest().as_str()));
    assert_eq!(it.sequence(), Some(6));
}

#[tokio::test]
async fn a_process_with_rules_does_not_go_back_to_those_before() {
    let it = follow(Some(encoded(1)), None);
    it.offers(encoded(6));
    it.until(|status| status.digest.is_some()).await;
    it.offers(broken(7));
    it.until(|status| status.last_error.is_some()).await;
    assert_eq!(it.sequence(), Some(6));
}

#[tokio::test]
async fn a_bundle_that_is_gone_changes_nothing_and_is_told_until_one_is_offered() {
    let it = follow(None, None);
    it.offers(encoded(1));
    it.until(|status| status.digest.is_some()).await;
    it.tells(Observation::Missing("ConfigMap rules does not exist".to_owned()));
    let status = it.until(|status| status.source.is_some()).await;
    assert_eq!(status.source.as_ref().unwrap().reason, SourceProblemReason::Missing);
    assert_eq!(it.sequence(), Some(1));
    it.tells(Observation::Away("gone".to_owned()));
    it.until(Status::unreachable).await;
    it.tells(Observation::Missing("ConfigMap rules does not exist".to_owned()));
    it.until(|status| status.source.is_some() && !status.unreachable()).await;
    let contact = it.bundles.last_contact();
    it.tells(Observation::Reached);
    it.offers(encoded(1));
    it.until(|status| status.source.is_none()).await;
    assert!(it.bundles.last_contact() > contact);
}

#[tokio::test]
async fn the_moment_the_source_went_away_is_kept_while_reasons_change() {
    let it = follow(None, None);
    it.tells(Observation::Away("refused".to_owned()));
    let first = it.until(Status::unreachable).await.source.unwrap();
    it.tells(Observation::Away("no route".to_owned()));
    let told = |status: &Status| status.source.as_ref().is_some_and(|problem| problem.message == "no route");
    assert_eq!(it.until(told).await.source.unwrap().since, first.since);
}

#[tokio::test]
async fn files_count_only_while_the_source_is_away_and_where_they_are_newer() {
    let dir = tempfile::tempdir().unwrap();
    let publish = |sequence: u64| {
        std::fs::write(dir.path().join("new"), encoded(sequence)).unwrap();
        std::fs::rename(dir.path().join("new"), dir.path().join(BUNDLE_KEY)).unwrap();
    };
    publish(3);
    let it = follow(None, Some(dir.path()));
    it.offers(encoded(5));
    it.until(|status| status.digest.is_some()).await;
    assert_eq!(it.sequence(), Some(5));
    it.tells(Observation::Away("refused".to_owned()));
    publish(4);
    publish(6);
    let newer = good(6).digest();
    let status = it.until(|status| status.digest.as_ref() == Some(&newer)).await;
    assert_eq!(status.last_error, None, "an older file is no fault");
}

#[tokio::test]
async fn files_that_tell_what_is_known_are_no_contact() {
    let bundles = Bundles::new(BundleMetrics::default());
    let (_tell, observations) = mpsc::unbounded_channel();
    let source = Told { observations, previous: None };
    let mut following = Following::new(bundles.clone(), source, None, accepted());
    let offered =
        |sequence: u64, as_of: OffsetDateTime| Observation::Offered { bytes: encoded(sequence), as_of };
    let now = OffsetDateTime::now_utc();

    following.observed(offered(5, now)).await;
    following.settle().await;
    let contact = bundles.last_contact();
    assert!(contact.is_some());
    // As kubelet writes them, a while after the source gave the same.
    following.observed_of_fallback(offered(5, now + Duration::from_secs(60)));
    following.settle().await;
    assert_eq!(bundles.last_contact(), contact);

    following.observed_of_fallback(offered(6, now + Duration::from_secs(60)));
    following.settle().await;
    assert_eq!(bundles.current().unwrap().bundle.sequence(), 6);
    assert!(bundles.last_contact() > contact, "news is");
}

#[tokio::test]
async fn files_that_the_operator_did_not_sign_are_neither_rules_nor_contact() {
    let bundles = Bundles::new(BundleMetrics::default());
    let (_tell, observations) = mpsc::unbounded_channel();
    let source = Told { observations, previous: None };
    let mut following = Following::new(bundles.clone(), source, None, accepted());
    let now = OffsetDateTime::now_utc();
    following.observed(Observation::Offered { bytes: encoded(5), as_of: now }).await;
    following.settle().await;
    let contact = bundles.last_contact();

    let forged = good(6).encode().unwrap();
    let later = now + Duration::from_secs(60);
    following.observed_of_fallback(Observation::Offered { bytes: forged, as_of: later });
    following.settle().await;
    assert_eq!(bundles.current().unwrap().bundle.sequence(), 5);
    assert_eq!(bundles.last_contact(), contact);
    assert_eq!(bundles.metrics.refused(Refusal::unsigned), 1);
}

#[tokio::test]
async fn without_contact_the_age_of_the_files_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(BUNDLE_KEY);
    std::fs::write(&path, signed(&bundle(1, "x", 300))).unwrap();
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(hour_ago).unwrap();
    let it = follow(None, Some(dir.path()));
    it.tells(Observation::Away("refused".to_owned()));
    it.until(|status| status.digest.is_some()).await;
    assert!(it.bundles.is_stale(&it.bundles.current().unwrap()), "a restart makes no old rules fresh");
    it.tells(Observation::Reached);
    it.until(|status| status.source.is_none()).await;
    assert!(!it.bundles.is_stale(&it.bundles.current().unwrap()));
}
