//! `CompliancePolicy`: documented, versioned, tested rules over the use of AI.
//!
//! Every policy that applies to a tenant is combined with the others and the strictest action wins, whatever
//! their order, so a policy can tighten what others say and never loosen it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Bilingual, LabelSelector, LawReference, VERSION_PATTERN};

/// A spec that changes must have a higher version, by the precedence of semver 2.0.0 (item 11). CEL knows semantic
/// versions since Kubernetes 1.34; the comparison written out in strings and numbers would exceed the budget
/// that the API server grants a rule.
///
/// What is left out must equal its default written out, as it does in Rust: so a field that is left out when it says
/// nothing has that default in the schema.
const VERSION_GROWS: &str = "self == oldSelf || semver(self.version).isGreaterThan(semver(oldSelf.version))";

/// Rules that decide what may leave through a use of AI.
///
/// In the operator's policy namespace it is an organisation policy and applies to every tenant whose Namespace
/// matches `tenantSelector`; elsewhere it applies to the tenant of its own namespace.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "novacrm.io",
    version = "v1alpha1",
    kind = "CompliancePolicy",
    plural = "compliancepolicies",
    shortname = "cpol",
    category = "novacrm",
    namespaced,
    status = "CompliancePolicyStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.version"}"#,
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.enforcement.mode"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Engines","type":"string","jsonPath":".status.engines.summary"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(VERSION_GROWS).message("spec.version must grow whenever the spec changes; to go back, apply the old content as a new, higher version").field_path(".version"))]
pub struct CompliancePolicySpec {
    /// Semantic version of the policy (semver 2.0.0 without build metadata, which has no order). It must grow whenever
    /// the spec changes; going back is a new version with the old content.
    #[schemars(length(min = 5, max = 64), regex(pattern = VERSION_PATTERN))]
    pub version: String,
    /// What changed in this version and why, for the reader of the pull request.
    #[schemars(length(min = 1, max = 1024))]
    pub changelog: String,
    /// Who answers for the policy.
    pub owner: Owner,
    /// How the policy is enforced.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// Which tenants an organisation policy applies to, by the labels of their Namespace. Ignored elsewhere is
    /// not an option: outside the policy namespace the field is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_selector: Option<LabelSelector>,
    /// Where the policy applies; every surface when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("default" = []))]
    pub surfaces: Vec<Surface>,
    /// What the policy looks for: built-in detectors by id, with thresholds of the policy's own.
    #[schemars(length(min = 1, max = 512))]
    pub detectors: Vec<DetectorUse>,
    /// Detectors that the policy brings along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("default" = []))]
    pub custom_detectors: Vec<CustomDetector>,
    /// The rules; order is without meaning.
    #[schemars(length(min = 1, max = 256))]
    pub rules: Vec<PolicyRule>,
    /// Rules of this policy that are waived for a while. An exception ends by itself at `expiresAt`; it may stay in
    /// the policy after that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub exceptions: Vec<PolicyException>,
    /// The policy's own tests, which run as if there were no exceptions. Each rule needs one that names it (positive)
    /// and one that does not (negative).
    #[schemars(length(min = 1, max = 512))]
    pub tests: Vec<PolicyTest>,
}

/// Who answers for a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Owner {
    /// The team, as the organisation names it.
    #[schemars(length(min = 1, max = 128))]
    pub team: String,
    /// How to reach them: an address or a channel, shown to users whose prompt was refused.
    #[schemars(length(min = 1, max = 256))]
    pub contact: String,
}

/// How a policy is enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Enforcement {
    /// `enforce` decides; `shadow` only records what it would have decided.
    #[serde(default)]
    pub mode: EnforcementMode,
    /// What happens to content that cannot be inspected, and to all content once the rules are older than
    /// `maxStalenessSeconds` without contact. Among the policies in force, `block` wins.
    #[serde(default)]
    pub failure_mode: FailureMode,
    /// How long an engine may go on without contact to the source of its rules, in seconds.
    #[serde(default = "default_max_staleness_seconds")]
    #[schemars(range(min = 300, max = 604_800))]
    pub max_staleness_seconds: u32,
}

impl Default for Enforcement {
    fn default() -> Self {
        Self {
            mode: EnforcementMode::default(),
            failure_mode: FailureMode::default(),
            max_staleness_seconds: default_max_staleness_seconds(),
        }
    }
}

fn default_max_staleness_seconds() -> u32 {
    3600
}

/// Whether a policy decides or only observes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EnforcementMode {
    /// The policy's actions are applied.
    #[default]
    Enforce,
    /// The policy's actions are recorded, not applied.
    Shadow,
}

/// What happens to what cannot be inspected. Ordered: `block` is stricter.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum FailureMode {
    /// It passes, is counted and audited.
    Allow,
    /// It is refused, counted and audited.
    #[default]
    Block,
}

/// Where text meets AI.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
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

/// A built-in detector as a policy uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DetectorUse {
    /// Identifier in the detector catalogue, such as `pii.iban`, or a whole family: `pii.*`, `secret.*`. What a
    /// recogniser outside of the engine finds is `external.<recogniser>.<type>`, `external.<recogniser>.*` or
    /// `external.*`.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-z0-9]+([.-][a-z0-9]+)*(\.\*)?$"))]
    pub id: String,
    /// Findings below this score do not count for this policy (0 to 1).
    #[serde(default = "default_min_score")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_score: f64,
}

fn default_min_score() -> f64 {
    0.5
}

/// A detector that a policy brings along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CustomDetector {
    /// Identifier, unique within the policy; rules refer to it.
    #[schemars(length(min = 8, max = 128), regex(pattern = r"^custom\.[a-z0-9]+([.-][a-z0-9]+)*$"))]
    pub id: String,
    /// Name of what it finds, as in the answer of the engine.
    #[schemars(length(min = 3, max = 64), regex(pattern = r"^[A-Z][A-Z0-9_]*$"))]
    pub r#type: String,
    /// What it finds, for people.
    pub description: Bilingual,
    /// Regular expression (RE2 syntax as of the `regex` crate; no look-around, no back-references). A group
    /// named `value` narrows the finding to that group.
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: String,
    /// Score of a finding (0 to 1).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub score: f64,
}

/// One rule: when it matches, its action is a floor for what happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    /// Identifier, unique within the policy and stable over its versions.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Z0-9]+(-[A-Z0-9]+)*$"))]
    pub id: String,
    /// How grave a match is.
    pub severity: Severity,
    /// Weight of one match in the risk score (0 to 100).
    #[schemars(range(min = 0, max = 100))]
    pub risk_weight: u8,
    /// What the rule demands and why, for people.
    pub description: Bilingual,
    /// The risks the rule covers, in the organisation's own words.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"))
    )]
    pub risks_covered: Vec<String>,
    /// The provisions that ask for the rule.
    #[schemars(length(min = 1, max = 16))]
    pub references: Vec<LawReference>,
    /// When the rule matches.
    pub when: When,
    /// What happens then.
    pub action: Action,
}

/// Severity of a rule, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
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

/// A condition in disjunctive normal form: any of the groups, all of a group's leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct When {
    /// The groups, of which one is enough.
    #[schemars(length(min = 1, max = 16))]
    pub any: Vec<AllOf>,
}

/// Leaves that must all hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AllOf {
    /// The leaves.
    #[schemars(length(min = 1, max = 16))]
    pub all: Vec<Leaf>,
}

/// One test. Exactly one of `finding`, `field` and `useCase` is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.finding), has(self.field), has(self.useCase)].filter(x, x).size() == 1", "exactly one of finding, field and useCase must be set"))]
pub struct Leaf {
    /// Turns the test round.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub not: bool,
    /// The text holds findings. A leaf that is not negated also says which findings the action applies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<FindingMatch>,
    /// A field of the request has one of the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldMatch>,
    /// The registered use of AI is of a kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_case: Option<UseCaseMatch>,
}

/// Findings by detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingMatch {
    /// Detectors the policy uses (`spec.detectors`, `spec.customDetectors`), or families of them (`pii.*`).
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    pub detectors: Vec<String>,
    /// How many findings it takes.
    #[serde(default = "default_at_least")]
    #[schemars(range(min = 1, max = 1000))]
    pub at_least: u32,
    /// Findings below this score do not count (0 to 1); the detector's threshold holds as well.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_score: f64,
}

fn default_at_least() -> u32 {
    1
}

/// A field of the request and the values it may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldMatch {
    /// Which field.
    pub name: RequestField,
    /// One of these values.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    pub r#in: Vec<String>,
}

/// The fields of a request that a rule can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RequestField {
    /// Where the text comes from or goes to, such as `prompt.input`.
    #[serde(rename = "request.surface")]
    Surface,
    /// Identifier of the registered use of AI.
    #[serde(rename = "request.useCase")]
    UseCase,
    /// The purpose the caller declares.
    #[serde(rename = "request.purpose")]
    Purpose,
    /// Role of the person who asks, such as `sales`.
    #[serde(rename = "request.role")]
    Role,
    /// Language of the person who asks: `fr` or `en`.
    #[serde(rename = "request.locale")]
    Locale,
}

/// Registered uses of AI by their class under Regulation (EU) 2024/1689.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UseCaseMatch {
    /// One of these legal classes. `unregistered` stands for a use that the tenant has not registered.
    #[schemars(length(min = 1, max = 8))]
    pub classes: Vec<UseCaseClass>,
    /// And, when given, one of these provisions, such as `5(1)(f)` or `annex-iii:5(b)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 64)), extend("default" = []))]
    pub provisions: Vec<String>,
}

/// Legal class of a use of AI under Regulation (EU) 2024/1689, as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UseCaseClass {
    /// The tenant has not registered the use.
    Unregistered,
    /// No specific duty.
    Minimal,
    /// Transparency duties (Article 50).
    Limited,
    /// High-risk (Article 6, Annex III).
    HighRisk,
    /// Prohibited practice (Article 5).
    Prohibited,
}

/// What happens when a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.keepLast) || self.type == 'mask'").message("keepLast belongs to an action of type mask").field_path(".keepLast"))]
#[x_kube(validation = Rule::new("self.type == 'tokenize' || !(has(self.form) || has(self.scope) || has(self.preserveFormat))").message("form, scope and preserveFormat belong to an action of type tokenize").field_path(".form"))]
#[x_kube(validation = Rule::new("!has(self.preserveFormat) || !self.preserveFormat || !has(self.form) || self.form == 'token'").message("only a token can keep the format of what it stands for").field_path(".preserveFormat"))]
#[x_kube(validation = Rule::new("has(self.approvers) == (self.type == 'requireApproval')").message("approvers belong to an action of type requireApproval, which needs them").field_path(".approvers"))]
pub struct Action {
    /// The kind of action.
    pub r#type: ActionType,
    /// How many characters a mask leaves readable at the end of a finding; the least of all rules wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4))]
    pub keep_last: Option<u8>,
    /// What `tokenize` puts in the place of a finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<TokenForm>,
    /// Within what `tokenize` replaces equal values alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<TokenScope>,
    /// Whether a token looks like what it stands for, digit for digit, where the type of the finding has such a form
    /// (CARD, IBAN, NIR_FR, PHONE, SIREN_FR, SIRET_FR); false when absent, and only where all rules ask for it. The
    /// checksum of such a token is always wrong, so that nothing takes it for a real number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserve_format: Option<bool>,
    /// Roles that may release the text; the union of all rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 64)))]
    pub approvers: Option<Vec<String>>,
}

/// The kinds of action, loosest first: `block` > `requireApproval` > `redact` > `tokenize` > `mask` > `flag` >
/// `allow`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum ActionType {
    /// Nothing happens.
    #[default]
    Allow,
    /// The text passes and the match is shown and recorded.
    Flag,
    /// The findings are replaced by `*`, but for the last characters.
    Mask,
    /// The findings are replaced by a token, hash or pseudonym, as in `[IBAN:k7f3…]`: equal ones by equal ones.
    Tokenize,
    /// The findings are replaced by their type, as in `[IBAN]`.
    Redact,
    /// The text is withheld until a person of one of the roles releases it.
    RequireApproval,
    /// The text is refused.
    Block,
}

/// What stands in the place of a tokenized finding, `token` when absent. Of several rules the one that can be traced
/// back least wins, so `pseudonym` over `hash` over `token`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum TokenForm {
    /// The value itself, encrypted under a key of the scope: `POST /v1/restore` puts it back.
    #[default]
    Token,
    /// 64 bits of a keyed hash. Nothing leads back to the value.
    Hash,
    /// A short name of 40 bits, by keyed hash. Nothing leads back to the value.
    Pseudonym,
}

/// Within what equal values are replaced alike, `document` when absent. Of several rules `document` wins over
/// `tenant`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum TokenScope {
    /// All texts of the tenant.
    Tenant,
    /// One document, which the caller names, such as a conversation; one text when it names none.
    #[default]
    Document,
}

/// A waiver of rules of the same policy until a moment. While it lasts the rules do not act on the requests it covers:
/// their matches are shown and recorded as waived, and count in the risk score. What other policies say of the same
/// text holds as ever, so an exception of a tenant loosens nothing that the organisation demands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.requestedBy.trim().lowerAscii() != self.approvedBy.trim().lowerAscii()").message("an exception must be approved by somebody else than who asked for it").field_path(".approvedBy"))]
pub struct PolicyException {
    /// Identifier, unique within the policy; answers and audit records name it.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub id: String,
    /// The rules of this policy that are waived, by id.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 64)))]
    pub rules: Vec<String>,
    /// Registered uses of AI it is for, by id; all requests when empty. A use that the tenant has not registered is
    /// covered by no exception that names uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"))
    )]
    pub use_cases: Vec<String>,
    /// Roles of the person who asks that it is for, such as `sales`; all when empty. With `useCases`, both must fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9][a-z0-9._-]*$"))
    )]
    pub roles: Vec<String>,
    /// Why the rules may be waived, for the reader of the pull request and the auditor.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Where the decision is documented, such as the number of a ticket. Answers and audit records show it, so it
    /// must not name a person.
    #[schemars(length(min = 1, max = 128))]
    pub ticket: String,
    /// Who asked for it.
    #[schemars(length(min = 1, max = 128))]
    pub requested_by: String,
    /// Who approved it: somebody else.
    #[schemars(length(min = 1, max = 128))]
    pub approved_by: String,
    /// When it ends (RFC 3339, such as `2027-06-30T22:00:00Z`). Each engine goes by its own clock.
    #[schemars(length(min = 1, max = 40), extend("format" = "date-time"))]
    pub expires_at: String,
}

/// A test of the policy, run wherever the policy is compiled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyTest {
    /// What the test shows.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The request.
    pub given: Given,
    /// What this policy alone must decide.
    pub expect: Expect,
}

/// A made-up request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Given {
    /// The text. Test data only: made-up identifiers, never those of a person.
    #[schemars(length(max = 4096))]
    pub text: String,
    /// Where the text comes from or goes to.
    #[serde(default)]
    pub surface: Surface,
    /// The registered use of AI the request names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_case: Option<GivenUseCase>,
    /// The purpose the caller declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub purpose: Option<String>,
    /// Role of the person who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub role: Option<String>,
    /// What recognisers outside of the engine are supposed to see; in tests none is asked.
    // The server is to fill in nothing: it would in every stored policy, and the operator before this field refuses it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub external_findings: Vec<GivenFinding>,
}

/// A finding that a test supposes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GivenFinding {
    /// The detector, such as `external.presidio.person`.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^external\.[a-z0-9]+(-[a-z0-9]+)*\.[a-z0-9]+(-[a-z0-9]+)*$")
    )]
    pub detector: String,
    /// The words it sees: where they stand first in the text.
    #[schemars(length(min = 1, max = 256))]
    pub value: String,
    /// How sure it is (0 to 1).
    #[serde(default = "default_given_score")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub score: f64,
}

fn default_given_score() -> f64 {
    0.85
}

/// A use of AI as a test supposes it to be registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GivenUseCase {
    /// Its identifier.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// Its legal class.
    pub class: UseCaseClass,
    /// The provisions the class rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)), extend("default" = []))]
    pub provisions: Vec<String>,
}

/// What a test expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expect {
    /// The action for the request.
    pub action: ActionType,
    /// Exactly the rules that match, in any order.
    #[serde(default)]
    #[schemars(length(max = 256), inner(length(min = 1, max = 64)))]
    pub rules: Vec<String>,
    /// The text that may leave, when the test cares. Keys have no part in tests, so `…` stands for what follows the
    /// type in a token, hash or pseudonym (`[IBAN:…]`), and `0` for each digit of a token that keeps the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub output: Option<String>,
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompliancePolicyStatus {
    /// The generation this status speaks of (-1: none yet).
    #[serde(default = "crate::schema::unobserved")]
    pub observed_generation: i64,
    /// The revision that engines enforce; the last good one when the spec is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveRevision>,
    /// How far the revision has got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<EngineCounts>,
    /// Why the spec was refused; empty when it was not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub problems: Vec<PolicyProblem>,
    /// `Ready`, `Reconciling`, `Stalled`, `Validated`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A revision of a policy that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActiveRevision {
    /// `spec.version` of the revision.
    #[schemars(length(max = 64))]
    pub version: String,
    /// SHA-256 of the revision's canonical JSON, as `sha256:<hex>`.
    #[schemars(length(max = 80))]
    pub digest: String,
}

/// How many engines serve a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EngineCounts {
    /// Engines that should serve it.
    pub ready: u32,
    /// Engines that do.
    pub serving: u32,
    /// Both, for the printer column: `serving/ready`.
    #[schemars(length(max = 32))]
    pub summary: String,
    /// Since when all of them do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub since: Option<String>,
    /// The oldest version that one of them still serves, when not all serve this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub oldest: Option<String>,
    /// Those that do not serve it, and tenants without a Ready engine; the first 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub behind: Vec<EngineBehind>,
}

/// An engine that does not serve a revision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct EngineBehind {
    /// Namespace of its tenant.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Its pod; absent when the tenant has no Ready engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod: Option<String>,
    /// Why it does not serve the revision.
    #[schemars(length(max = 512))]
    pub reason: String,
}

/// Why a spec was refused: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyProblem {
    /// Field path, such as `spec.rules[2].action.type`.
    #[schemars(length(max = 256))]
    pub path: String,
    /// What is wrong. Names fields, never values.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// How to mend it.
    #[schemars(length(max = 1024))]
    pub hint: String,
    /// File the object was read from, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub file: Option<String>,
    /// Line in that file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in that line, from 1, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}
