//! The record of one decision: plain data in, canonical JSON and its leaf hash out.
//!
//! A record holds what was decided, by which rules and about what kinds of data; never the text, never a value
//! from it. Spans and keyed fingerprints stand for the findings, salted commitments for the people.

use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::log::{Hash, leaf_hash};

/// Version of the record's shape; it changes when a reader of the former one would misread the new one.
pub const SCHEMA: &str = "novacrm.io/audit-record/v1";

/// Longest encoded record in bytes: an entry of a tile has a length prefix of 16 bits (C2SP `tlog-tiles`).
pub const MAX_RECORD_BYTES: usize = 65_535;

/// What is recorded of one decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Identifier of the record (UUIDv7).
    pub id: Uuid,
    /// The tenant whose log it stands in.
    pub tenant: String,
    /// When it was decided.
    #[serde(with = "time::serde::rfc3339")]
    pub recorded_at: OffsetDateTime,
    /// What happened.
    pub kind: Kind,
    /// What was asked.
    pub request: RequestFacts,
    /// What was decided; absent when nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionFacts>,
    /// What was restored; absent when nothing was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restoration: Option<RestorationFacts>,
    /// The rules in force.
    pub bundle: BundleFacts,
    /// Version of the engine that decided.
    pub engine: String,
}

/// Kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An analysis was decided.
    Decision,
    /// Tokens were restored to what they stand for.
    Restoration,
}

/// What was asked, without the text.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RequestFacts {
    /// The caller's identifier of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// Where text meets AI, such as `prompt.input`.
    pub surface: String,
    /// The use of AI that the caller named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_case: Option<String>,
    /// The purpose that the caller declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Role of the person who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Language of the person who asked.
    pub locale: String,
    /// Length of the text in Unicode code points.
    pub text_length: usize,
    /// Commitment to the person who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Commitment to the person the text is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Which part of a text that came in pieces this is about; absent for a text that came as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<PartFacts>,
}

/// A part of a text that came in pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartFacts {
    /// Identifier of the text, the same in all records of its parts.
    pub stream: Uuid,
    /// Number of the part, from 1.
    pub number: u64,
    /// First code point that leaves with it.
    pub start: usize,
    /// One past the last code point.
    pub end: usize,
    /// Whether nothing follows.
    pub last: bool,
    /// Findings that reach into parts that had left.
    #[serde(skip_serializing_if = "is_zero")]
    pub late: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What was restored: how much of what, never a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestorationFacts {
    /// How many tokens of each type.
    pub counts: BTreeMap<String, u64>,
    /// How many tokens were left as they were, since they are those of another document.
    pub foreign: u64,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DecisionFacts {
    /// The strictest action of all rules that matched.
    pub action: String,
    /// Roles that may release the text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// Risk score, 0 to 100.
    pub risk_score: u8,
    /// The score in words.
    pub risk_level: String,
    /// Legal class of the registered use, when it is registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_case_class: Option<String>,
    /// Why the text was not inspected, when it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uninspected: Option<String>,
    /// Why the external recogniser that the rules look to was not heard, when it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unheard: Option<String>,
    /// How many findings there were of each type; complete even when `findings` is cut.
    pub finding_counts: BTreeMap<String, u64>,
    /// What was found, in the order of the text.
    pub findings: Vec<FindingFacts>,
    /// The rules that matched, strictest first.
    pub rules: Vec<RuleFacts>,
    /// Rules that matched and did not act, since an exception waives them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<WaivedFacts>,
    /// Rules in shadow mode that would have matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<RuleFacts>,
    /// How many there were of each list that had to be cut to fit into the log; absent when all is there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub truncated: BTreeMap<&'static str, u64>,
}

/// A finding, without its value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FindingFacts {
    /// What it is, such as `IBAN`.
    pub r#type: String,
    /// Identifier of the detector.
    pub detector: String,
    /// First code point.
    pub start: usize,
    /// One past the last code point.
    pub end: usize,
    /// How sure the detector is (0 to 1).
    pub score: f64,
    /// Keyed fingerprint of the normalised value.
    pub fingerprint: String,
    /// What happened to it.
    pub action: String,
    /// What it was replaced by, when it was tokenized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleFacts {
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub policy: String,
    /// Version of the policy.
    pub version: String,
    /// Identifier of the rule within it.
    pub id: String,
    /// How grave.
    pub severity: String,
    /// What it asked for.
    pub action: String,
}

/// A rule that matched and that an exception of its policy waives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WaivedFacts {
    /// The rule.
    #[serde(flatten)]
    pub rule: RuleFacts,
    /// Identifier of the exception within the policy.
    pub exception: String,
    /// Where the exception is documented.
    pub ticket: String,
    /// When the exception ends.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// The rules in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BundleFacts {
    /// `sha256:<hex>` of the bundle's canonical JSON.
    pub digest: String,
    /// Its place among the tenant's bundles.
    pub sequence: u64,
}

/// A record as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedRecord {
    /// Canonical JSON, at most [`MAX_RECORD_BYTES`].
    pub body: Vec<u8>,
    /// RFC 6962 leaf hash of `body`.
    pub leaf: Hash,
}

/// Why a record has no encoding.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A value has no canonical JSON.
    #[error("the record has no canonical JSON: {0}")]
    Canonical(#[from] serde_json::Error),
    /// It is too long even with all its lists cut.
    #[error("the record is {0} bytes long without its lists; the log takes {MAX_RECORD_BYTES}")]
    TooLong(usize),
}

impl Record {
    /// Encodes the record. When it is too long for the log, the longest of its lists is halved until it fits;
    /// `truncated` then holds the former length, and `finding_counts` stays complete.
    ///
    /// # Errors
    /// When a number is not finite, or the record does not fit even without its lists.
    pub fn encode(mut self) -> Result<EncodedRecord, EncodeError> {
        loop {
            let body = serde_json_canonicalizer::to_vec(&self)?;
            if body.len() <= MAX_RECORD_BYTES {
                let leaf = leaf_hash(&body);
                return Ok(EncodedRecord { body, leaf });
            }
            if !self.decision.as_mut().is_some_and(DecisionFacts::cut) {
                return Err(EncodeError::TooLong(body.len()));
            }
        }
    }
}

impl DecisionFacts {
    /// Halves the longest list; false when all are empty.
    fn cut(&mut self) -> bool {
        let lengths = [
            ("findings", self.findings.len()),
            ("rules", self.rules.len()),
            ("waived", self.waived.len()),
            ("shadow", self.shadow.len()),
        ];
        let Some((list, length)) = lengths.into_iter().filter(|(_, n)| *n > 0).max_by_key(|(_, n)| *n) else {
            return false;
        };
        self.truncated.entry(list).or_insert(length as u64);
        match list {
            "findings" => self.findings.truncate(length / 2),
            "rules" => self.rules.truncate(length / 2),
            "waived" => self.waived.truncate(length / 2),
            _ => self.shadow.truncate(length / 2),
        }
        true
    }
}

/// The identifier a stored record gives itself; absent when the bytes are no record.
#[must_use]
pub fn record_id(body: &[u8]) -> Option<Uuid> {
    #[derive(serde::Deserialize)]
    struct Head {
        id: Uuid,
    }
    serde_json::from_slice::<Head>(body).ok().map(|head| head.id)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(n: u128) -> Record {
        Record {
            schema: SCHEMA,
            id: Uuid::from_u128(n),
            tenant: "acme".into(),
            recorded_at: OffsetDateTime::UNIX_EPOCH,
            kind: Kind::Decision,
            request: RequestFacts {
                surface: "prompt.input".into(),
                locale: "fr".into(),
                text_length: 42,
                ..RequestFacts::default()
            },
            decision: Some(DecisionFacts {
                action: "redact".into(),
                risk_score: 80,
                risk_level: "critical".into(),
                finding_counts: BTreeMap::from([("IBAN".into(), 1)]),
                findings: vec![FindingFacts {
                    r#type: "IBAN".into(),
                    detector: "pii.iban".into(),
                    start: 3,
                    end: 30,
                    score: 0.95,
                    fingerprint: "00112233445566778899aabbccddeeff".into(),
                    action: "redact".into(),
                    form: None,
                }],
                ..DecisionFacts::default()
            }),
            restoration: None,
            bundle: BundleFacts { digest: "sha256:00".into(), sequence: 7 },
            engine: "0.1.0".into(),
        }
    }

    #[test]
    fn the_encoding_is_canonical_and_names_its_schema_and_id() {
        let encoded = sample(5).encode().unwrap();
        let text = String::from_utf8(encoded.body.clone()).unwrap();
        assert!(
            text.starts_with(
                r#"{"bundle":{"digest":"sha256:00","sequence":7},"decision":{"action":"redact","#
            )
        );
        assert!(text.contains(r#""schema":"novacrm.io/audit-record/v1""#));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json_canonicalizer::to_vec(&value).unwrap(), encoded.body);
        assert_eq!(record_id(&encoded.body), Some(Uuid::from_u128(5)));
        assert_eq!(encoded.leaf, leaf_hash(&encoded.body));
    }

    #[test]
    fn a_record_that_is_too_long_loses_list_items_but_no_count() {
        let mut record = sample(1);
        let decision = record.decision.as_mut().unwrap();
        decision.findings = vec![decision.findings[0].clone(); 100_000];
        decision.finding_counts.insert("IBAN".into(), 100_000);
        let encoded = record.encode().unwrap();
        assert!(encoded.body.len() <= MAX_RECORD_BYTES);
        let value: serde_json::Value = serde_json::from_slice(&encoded.body).unwrap();
        assert_eq!(value["decision"]["truncated"]["findings"], 100_000);
        assert_eq!(value["decision"]["finding_counts"]["IBAN"], 100_000);
        assert!(value["decision"]["findings"].as_array().unwrap().len() > 100);
    }

    #[test]
    fn a_waived_rule_is_recorded_with_its_exception_and_cut_like_the_others() {
        let mut record = sample(1);
        assert!(!String::from_utf8(record.clone().encode().unwrap().body).unwrap().contains("waived"));
        let rule = RuleFacts {
            namespace: "acme".into(),
            policy: "codes".into(),
            version: "1.0.0".into(),
            id: "CODE-1".into(),
            severity: "high".into(),
            action: "mask".into(),
        };
        let waived = WaivedFacts {
            rule,
            exception: "archive-2027".into(),
            ticket: "SEC-1234".into(),
            expires_at: time::macros::datetime!(2027-06-30 22:00 UTC),
        };
        record.decision.as_mut().unwrap().waived = vec![waived; 1_000];
        let value: serde_json::Value = serde_json::from_slice(&record.encode().unwrap().body).unwrap();
        assert_eq!(value["decision"]["truncated"]["waived"], 1_000);
        assert_eq!(
            value["decision"]["waived"][0],
            serde_json::json!({
                "namespace": "acme", "policy": "codes", "version": "1.0.0", "id": "CODE-1", "severity": "high",
                "action": "mask", "exception": "archive-2027", "ticket": "SEC-1234",
                "expires_at": "2027-06-30T22:00:00Z",
            })
        );
    }

    #[test]
    fn a_record_that_cannot_fit_is_refused() {
        let mut record = sample(1);
        record.tenant = "t".repeat(MAX_RECORD_BYTES);
        assert!(matches!(record.encode(), Err(EncodeError::TooLong(_))));
    }

    #[test]
    fn bytes_that_are_no_record_have_no_id() {
        assert_eq!(record_id(b"{}"), None);
        assert_eq!(record_id(&[0xff, 0x00]), None);
    }
}
