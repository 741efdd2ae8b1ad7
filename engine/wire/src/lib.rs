//! The compliance engine's HTTP contract: every body it takes and gives, as plain serde types.
//!
//! A client of the engine needs this crate and nothing else of ours. Feature `openapi` adds the schemas to the
//! types; it is for the engine itself. Requests refuse unknown fields; answers may grow, so clients ignore what
//! they do not know. Times are RFC 3339 in UTC, identifiers UUIDv7, spans Unicode code points over the text as
//! sent with an exclusive end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// Longest text that is inspected, in bytes of UTF-8. Longer texts follow the strictest `failureMode` in force.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// Most tokens that keep a format that a request may name.
pub const MAX_LISTED_TOKENS: usize = 256;

/// Most people that a request to `POST /v1/subjects/erase` may name.
pub const MAX_ERASED_SUBJECTS: usize = 100;

/// Longest reference to a person, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 256;

/// Longest line of a request to `POST /v1/stream`, in bytes.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Longest identifier of a use of AI, a purpose or a role, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// Whether a word can be the identifier of a use of AI, a purpose or a role: lower-case ASCII letters, digits, `-`,
/// `_` and `.`, with a letter or digit first. The engine refuses any other (422).
#[must_use]
pub fn is_name(word: &str) -> bool {
    let letter_or_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    word.len() <= MAX_NAME_BYTES
        && word.as_bytes().first().is_some_and(letter_or_digit)
        && word.as_bytes().iter().all(|byte| letter_or_digit(byte) || b"-_.".contains(byte))
}

/// `POST /v1/analyze`: only `text` is needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalyzeRequest {
    /// The text to inspect.
    pub text: String,
    /// Where the text comes from or goes to.
    #[serde(default)]
    pub surface: Surface,
    /// Identifier of a registered use of AI. Absent or unknown: the use counts as unregistered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_case: Option<String>,
    /// Purpose the caller declares; that of the registered use when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Whom the text is about, as an opaque reference of the caller's; kept in the record as a salted commitment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Language of the person who asks.
    #[serde(default)]
    pub locale: Locale,
    /// The document that the text belongs to, as an opaque reference of the caller's, such as that of a conversation:
    /// what is tokenized with the scope `document` is replaced alike within it, and restored only under its name. Each
    /// text is a document of its own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The caller's identifier for this request (UUIDv7). The same id with the same body is answered from its
    /// record; with another body it is refused (409).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// The least bundle sequence the caller accepts; an engine that is behind answers 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_sequence: Option<u64>,
}

/// Who asks, as the caller knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Actor {
    /// Opaque identifier of the person; kept in the record as a salted commitment.
    pub id: String,
    /// Role, such as `sales`.
    pub role: String,
}

/// Where text meets AI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Surface {
    /// What a person asks a model.
    #[default]
    #[serde(rename = "prompt.input")]
    PromptInput,
    /// What a model answers.
    #[serde(rename = "prompt.output")]
    PromptOutput,
    /// Text kept in the CRM that a model may read later.
    #[serde(rename = "crm.note")]
    CrmNote,
}

/// Language of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Locale {
    /// French.
    #[default]
    Fr,
    /// English.
    En,
}

/// A text for people, in both languages of the product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bilingual {
    /// French.
    pub fr: String,
    /// English.
    pub en: String,
}

/// What happens to the text, loosest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Action {
    /// It passes.
    #[default]
    Allow,
    /// It passes, and the match is shown and recorded.
    Flag,
    /// Findings are replaced by `*`, but for the last characters.
    Mask,
    /// Findings are replaced by a token, hash or pseudonym, equal ones alike.
    Tokenize,
    /// Findings are replaced by their type.
    Redact,
    /// It is withheld until a person of one of the approver roles releases it.
    RequireApproval,
    /// It is refused.
    Block,
}

/// What stands in the place of a tokenized finding, the one that can be traced back furthest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TokenForm {
    /// The value, encrypted: `POST /v1/restore` puts it back. What is longer than 256 bytes is redacted.
    Token,
    /// 64 bits of a keyed hash.
    Hash,
    /// A short name of 40 bits, by keyed hash.
    Pseudonym,
}

/// Within what equal values are replaced alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TokenScope {
    /// All texts of the tenant.
    Tenant,
    /// One document.
    Document,
}

/// A token that keeps the format of its value. Nothing tells it from any other number, so it is restored only where the
/// request names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListedToken {
    /// Type of what it stands for, such as `CARD`.
    pub r#type: String,
    /// As it stands in the text.
    pub token: String,
    /// Where it counts.
    pub scope: TokenScope,
}

/// How grave a matched rule is, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Worth acting on.
    Medium,
    /// Must be acted on.
    High,
    /// Must never happen.
    Critical,
}

/// The answer to `POST /v1/analyze`: what was decided, by which rules, and the text that may leave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalyzeResponse {
    /// Identifier of the audit record, which is durable before this answer is sent.
    pub record_id: Uuid,
    /// When it was decided.
    #[serde(with = "time::serde::rfc3339")]
    pub decided_at: OffsetDateTime,
    /// The strictest action of all rules that matched.
    pub action: Action,
    /// Roles that may release the text, when the action is `require_approval`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// How much is at risk.
    pub risk: Risk,
    /// What was found, in the order of the text.
    pub findings: Vec<Finding>,
    /// The text that may leave: as sent, or with what was found masked, tokenized or redacted; absent when it is withheld
    /// or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The document that tokens in the output belong to, when there are some: `POST /v1/restore` needs its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The tokens in the output that keep the format of what they stand for, at most 256, for `POST /v1/restore`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<ListedToken>,
    /// The rules that matched, strictest first.
    pub rules: Vec<MatchedRule>,
    /// Rules that matched and did not act, since an exception waives them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<WaivedRule>,
    /// Rules of policies in shadow mode that would have matched; they decide nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<MatchedRule>,
    /// Why, for the person who asks: one or more sentences in each language.
    pub explanation: Bilingual,
    /// The use of AI as the tenant registered it; absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_case: Option<UseCase>,
    /// Why the text could not be inspected, when it could not; the strictest `failureMode` decided then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uninspected: Option<Uninspected>,
    /// Why the external recogniser that the rules look to was not heard, when it was not; the engine's own detectors alone
    /// decided then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard: Option<Unheard>,
    /// The rules in force when it was decided.
    pub bundle: BundleReference,
}

/// Why an external recogniser was not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Unheard {
    /// The text is longer than it may be sent.
    TooLarge,
    /// As many texts as may be were with it, for half the time that a call may take.
    Busy,
    /// It took too long.
    TimeOut,
    /// It could not be reached, or refused.
    Unavailable,
    /// What it answered is no answer.
    Unreadable,
    /// This engine knows none of the name that the rules look to.
    NotConfigured,
}

/// `POST /v1/restore`: a text with tokens of this tenant, such as a model's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreRequest {
    /// The text, of at most 1 MiB.
    pub text: String,
    /// The document whose tokens are to be restored beside those of the tenant, by the name it had when they were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Tokens that keep the format of what they stand for, as they were answered; at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<ListedToken>,
    /// Identifier of a registered use of AI, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_case: Option<String>,
    /// Purpose the caller declares, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Who is to read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Whom the text is about, as an opaque reference of the caller's; kept in the record as a salted commitment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Language of the person who is to read it.
    #[serde(default)]
    pub locale: Locale,
    /// The least bundle sequence the caller accepts; an engine that is behind answers 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_sequence: Option<u64>,
}

/// The answer to `POST /v1/restore`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreResponse {
    /// Identifier of the audit record, which is durable before this answer is sent.
    pub record_id: Uuid,
    /// When it was restored.
    #[serde(with = "time::serde::rfc3339")]
    pub restored_at: OffsetDateTime,
    /// The text, with what the tokens stand for.
    pub text: String,
    /// What was restored in it.
    pub restored: Restored,
}

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Restored {
    /// How many tokens of each type.
    pub counts: BTreeMap<String, u64>,
    /// How many tokens of this tenant were left as they are, since they are those of another document.
    pub foreign: u64,
}

/// The first line of a request to `POST /v1/stream`; every further one is a [`StreamPiece`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamStart {
    /// Where the text comes from or goes to; a model's answer when absent.
    #[serde(default = "prompt_output")]
    pub surface: Surface,
    /// Identifier of a registered use of AI. Absent or unknown: the use counts as unregistered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_case: Option<String>,
    /// Purpose the caller declares; that of the registered use when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Whom the text is about, as an opaque reference of the caller's; kept in the record as a salted commitment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Language of the person who asks.
    #[serde(default)]
    pub locale: Locale,
    /// The document that the text belongs to, as in [`AnalyzeRequest::document`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Whether tokens of the document and of the tenant that were in the text as it came are restored in what leaves.
    #[serde(default)]
    pub restore: bool,
    /// Tokens to be restored that keep the format of what they stand for, as they were answered; at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<ListedToken>,
    /// The least bundle sequence the caller accepts; an engine that is behind answers 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_sequence: Option<u64>,
}

fn prompt_output() -> Surface {
    Surface::PromptOutput
}

/// A piece of the text, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamPiece {
    /// The piece.
    pub text: String,
}

/// A line of the answer to `POST /v1/stream`: parts, and at the end either `end` or `problem`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum StreamLine {
    /// A part of the text that may leave.
    Part(StreamPart),
    /// What was decided on all of it; without `output` and `tokens`, since its parts have left. Its record is that of the
    /// last part.
    End(Box<AnalyzeResponse>),
    /// The stream broke off: nothing more leaves. A problem as in RFC 9457.
    Problem(serde_json::Value),
}

/// A part of a text that may leave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamPart {
    /// Identifier of the audit record, which is durable before the part is sent.
    pub record_id: Uuid,
    /// Number of the part, from 1.
    pub number: u64,
    /// First code point of the part in the text as it came, from 0.
    pub start: usize,
    /// One past its last code point.
    pub end: usize,
    /// The strictest action of all rules that have matched so far.
    pub action: Action,
    /// What leaves: as it came, or with what was found masked, tokenized or redacted, and restored where that was asked
    /// for. A token at its end may leave with the next part.
    pub text: String,
    /// What was found in the part.
    pub findings: Vec<Finding>,
    /// The tokens in the part that keep the format of what they stand for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<ListedToken>,
}

/// Why a text was not inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Uninspected {
    /// It is longer than [`MAX_TEXT_BYTES`].
    TooLarge,
    /// Inspection took longer than its budget.
    TimeOut,
    /// The rules are older than the least `maxStalenessSeconds` in force, without contact to their source.
    StaleBundle,
}

/// A documented, monotone score: one more finding never lowers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Risk {
    /// From 0 (nothing seen) to 100.
    pub score: u8,
    /// The score in words.
    pub level: RiskLevel,
}

/// The risk score in words, lowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RiskLevel {
    /// 0.
    #[default]
    None,
    /// 1 to 24.
    Low,
    /// 25 to 49.
    Medium,
    /// 50 to 74.
    High,
    /// 75 to 100.
    Critical,
}

/// Something found in the text; never its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// What it is, such as `IBAN` or `NIR_FR`.
    pub r#type: String,
    /// Identifier of the detector, such as `pii.iban`.
    pub detector: String,
    /// First code point, from 0.
    pub start: usize,
    /// One past the last code point.
    pub end: usize,
    /// Where it lies in the structure of the text, where that is JSON, a table, an e-mail, HTML or lines with keys:
    /// `$.client.iban`, `row 3, column tel`. It is made of words of a fixed list and holds no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How sure the detector is (0 to 1).
    pub score: f64,
    /// What happened to it.
    pub action: Action,
    /// What it is replaced by, when it is tokenized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<TokenForm>,
    /// HMAC-SHA-256 of the normalised value under the tenant's key (first 16 bytes, hex): the same value has the
    /// same fingerprint, and only within the tenant.
    pub fingerprint: String,
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MatchedRule {
    /// The policy it belongs to.
    pub policy: PolicyReference,
    /// Identifier within the policy.
    pub id: String,
    /// How grave.
    pub severity: Severity,
    /// What it asks for.
    pub action: Action,
    /// What it demands and why.
    pub description: Bilingual,
    /// The provisions it rests on.
    pub references: Vec<LawReference>,
    /// Indexes into `findings` of what made it match.
    pub findings: Vec<usize>,
}

/// A rule that matched and that an exception of its policy waives; the risk score still counts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaivedRule {
    /// The rule; its action is what it would have asked for.
    pub rule: MatchedRule,
    /// Identifier of the exception within the policy.
    pub exception: String,
    /// Where the exception is documented, such as the number of a ticket.
    pub ticket: String,
    /// When the exception ends.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// A policy by name and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyReference {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// `spec.version`.
    pub version: String,
}

/// A provision of a law or standard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LawReference {
    /// Identifier in the law catalogue, such as `gdpr`.
    pub law: String,
    /// The provision, such as `5(1)(c)`.
    pub r#ref: String,
    /// How people cite it, such as «RGPD, art. 5(1)(c)».
    pub citation: Bilingual,
    /// What it is about.
    pub title: Bilingual,
    /// Where the text stands.
    pub url: String,
}

/// A registered use of AI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UseCase {
    /// Identifier that requests name.
    pub id: String,
    /// What it is called.
    pub display_name: Bilingual,
    /// What it is for.
    pub purpose: String,
    /// Legal class under Regulation (EU) 2024/1689.
    pub class: UseCaseClass,
    /// The provisions the class rests on.
    pub provisions: Vec<LawReference>,
}

/// Legal class of a registered use of AI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum UseCaseClass {
    /// No specific duty.
    Minimal,
    /// Transparency duties (Article 50).
    Limited,
    /// High-risk (Article 6, Annex III).
    HighRisk,
    /// Prohibited practice (Article 5).
    Prohibited,
}

/// A bundle of rules by what identifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BundleReference {
    /// `sha256:<hex>` of its canonical JSON.
    pub digest: String,
    /// Grows with every bundle of the tenant.
    pub sequence: u64,
    /// The policies in it.
    pub policies: Vec<PolicyReference>,
}

/// `GET /v1/bundle`: what this engine enforces. With `?not=<digest>` the answer waits until another bundle is in
/// force or another one was refused, at most 30 seconds. A caller that asks again and again also says which refused
/// bundle it knows (`&refused=<digest>`, empty for none), so that nothing that happens between two of its questions
/// is lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BundleStatus {
    /// The bundle in force; absent while none was ever loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleReference>,
    /// Since when it is in force here.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// When the source of the rules was last reached.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub last_contact: Option<OffsetDateTime>,
    /// Why a newer bundle is not in force, when one was offered and refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<BundleError>,
    /// What is wrong with the source of the rules, when something is. What is in force stays in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceProblem>,
    /// Whether the source has been out of reach for longer than the least `maxStalenessSeconds` in force, so that
    /// the strictest `failureMode` decides.
    #[serde(default)]
    pub stale: bool,
}

/// What is wrong with the source of the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceProblem {
    /// What, in one word.
    pub reason: SourceProblemReason,
    /// What, for people.
    pub message: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// What can be wrong with the source of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SourceProblemReason {
    /// It cannot be reached, or refuses to answer.
    Unreachable,
    /// It was reached and offers no bundle.
    Missing,
}

/// Why a bundle was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BundleError {
    /// Digest of the refused bundle (of its bytes where it could not be read).
    pub digest: String,
    /// What is wrong, with the field path of the policy where there is one.
    pub message: String,
    /// When it was refused.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// `GET /v1/policies`: the rules in force, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoliciesInForce {
    /// The bundle they come from.
    pub bundle: BundleReference,
    /// The policies, by namespace and name.
    pub policies: Vec<PolicyView>,
    /// The register of AI uses, by id.
    pub use_cases: Vec<UseCase>,
}

/// A policy, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyView {
    /// Name and version.
    pub policy: PolicyReference,
    /// Whether it decides (`enforce`) or only records (`shadow`).
    pub mode: String,
    /// The team that answers for it.
    pub owner: String,
    /// How to reach them.
    pub contact: String,
    /// Its rules.
    pub rules: Vec<RuleView>,
    /// Its exceptions, those that have ended included.
    #[serde(default)]
    pub exceptions: Vec<ExceptionView>,
}

/// An exception of a policy, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExceptionView {
    /// Identifier within the policy.
    pub id: String,
    /// The rules it waives, by id.
    pub rules: Vec<String>,
    /// Registered uses of AI it is for, by id; all requests when empty.
    pub use_cases: Vec<String>,
    /// Roles it is for; all when empty.
    pub roles: Vec<String>,
    /// Where it is documented, such as the number of a ticket.
    pub ticket: String,
    /// When it ends.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// Whether it had not ended at the time of the answer.
    pub active: bool,
}

/// A rule, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleView {
    /// Identifier within the policy.
    pub id: String,
    /// How grave.
    pub severity: Severity,
    /// What it asks for.
    pub action: Action,
    /// What it demands and why.
    pub description: Bilingual,
    /// When it matches, as a sentence.
    pub condition: Bilingual,
    /// The risks it covers.
    pub risks_covered: Vec<String>,
    /// The provisions it rests on.
    pub references: Vec<LawReference>,
}

/// `GET /v1/events?after=<sequence>&limit=<n>&wait=<seconds>`: the audit log as an event stream, in order,
/// without gaps. Waits for the first event when there is none, at most `wait` (0 to 30) seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventPage {
    /// The events after the given sequence.
    pub events: Vec<Event>,
    /// What to pass as `after` next.
    pub next: u64,
}

/// An audit record and its place in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Place in the tenant's log, from 1; the leaf index is one less.
    pub sequence: u64,
    /// The record, as it was hashed.
    pub record: serde_json::Value,
}

/// `POST /v1/subjects/erase`: erase what ties audit records to people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EraseSubjectsRequest {
    /// The people, as requests named them in `subject`: 1 to 100 references.
    pub subjects: Vec<String>,
    /// Where to go on: `next` of the answer before; absent for the first request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// The answer to an [`EraseSubjectsRequest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EraseSubjectsResponse {
    /// Records that this request cut loose from the people.
    pub erased: u64,
    /// Where to go on; absent when every record was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}
