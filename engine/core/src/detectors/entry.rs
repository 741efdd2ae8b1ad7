//! In: the YAML of the detector catalogue. Out: its entries as data. `build.rs` reads the catalogue with these
//! same types, so an entry that does not fit them fails the build.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Bilingual;

/// A built-in detector: what it finds, on whose authority, and the examples it is tested with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Identifier, such as `pii.iban`; the part before the first dot is its family.
    pub id: Arc<str>,
    /// Semantic version; grows with every change of what is found or how it is scored.
    pub version: String,
    /// Name of what it finds, such as `IBAN`.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// What kind of thing that is.
    pub category: Category,
    /// What it finds and how, for people.
    pub description: Bilingual,
    /// Risks that finding it covers, in the vocabulary of policies.
    pub risks_covered: Vec<String>,
    /// The standard or the vendor's documentation the detector is built from.
    pub source: Source,
    /// How it is found.
    pub find: Find,
    /// How sure a finding is.
    pub score: Score,
    /// Words that make the reading likelier when they stand near, by language (ISO 639-1; `any` for all).
    #[serde(default)]
    pub context: BTreeMap<String, Vec<String>>,
    /// What must be found and what must not.
    pub examples: Examples,
}

/// What kind of thing a detector finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Category {
    /// It identifies a person or is part of their private life (GDPR, Article 4(1)).
    PersonalData,
    /// Money can be moved or paid with it.
    Financial,
    /// It identifies a legal entity, which may be a person who trades under their own name.
    Organisation,
    /// It identifies a device or a connection.
    Network,
    /// Who holds it may act as somebody else.
    Secret,
    /// It tells of a person what may be processed by way of exception only (GDPR, Articles 9 and 10).
    Sensitive,
    /// It is meant to make a model do what its operator does not want.
    PromptRisk,
    /// It is how something is said.
    Tone,
}

/// Where the rules of a detector come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Title of the standard or page.
    pub title: String,
    /// Where it stands.
    pub url: String,
}

/// How a detector finds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Find {
    /// By a structure that code knows.
    Structure(Structure),
    /// By an expression tried where a literal stands.
    Pattern(Pattern),
    /// By its shapes and a checksum.
    Identifier(Identifier),
    /// By the name of whom it belongs to, in the key that it is assigned to.
    Assigned(Assigned),
    /// By words and what stands near them.
    Lexicon(Lexicon),
}

/// Structures that need code of their own: registries, parsers, numbering plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Structure {
    /// Value of an `Authorization` header.
    Authorization,
    /// Business identifier code of a bank.
    Bic,
    /// Payment card number.
    Card,
    /// Credentials given to a command: `curl -u`, `docker login -p`, `sshpass -p`.
    CommandLine,
    /// User information of a URL.
    ConnectionString,
    /// Random value behind a key that says it is a secret.
    Credential,
    /// Address of a cryptocurrency.
    Crypto,
    /// Date behind a word of birth.
    DateOfBirth,
    /// Address that carries data to whoever runs it.
    DataLink,
    /// E-mail address.
    Email,
    /// Latitude and longitude.
    Gps,
    /// Characters that nobody sees and that carry a text.
    HiddenText,
    /// International bank account number.
    Iban,
    /// Internet address, version 4 or 6.
    Ip,
    /// Value of a Kubernetes `Secret`.
    KubernetesSecret,
    /// Hardware address of a network interface.
    Mac,
    /// Password behind a key or in a sentence.
    Password,
    /// Name of a person.
    Person,
    /// Telephone number.
    Phone,
    /// Postal address.
    PostalAddress,
    /// Private key in PEM armour.
    PrivateKey,
}

/// A value of fixed length whose shapes and checksum tell it from other numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identifier {
    /// The forms it is written in: `#` is a digit, `@` a letter, `*` either, other letters and digits are themselves;
    /// a space is a space, `.`, `-` or `/`, the same throughout; these three are themselves; `~` may be a space or
    /// nothing. The form without any separator is always one of them.
    pub shapes: Vec<String>,
    /// What the symbols must pass; letters that are given at the front, two or more, are a prefix it does not see.
    #[serde(default)]
    pub check: Option<Check>,
    /// What it needs to be believed.
    #[serde(default)]
    pub needs: Needs,
}

/// What an identifier needs beyond its shape and checksum, because other numbers pass them by chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Needs {
    /// Nothing: chance rarely passes.
    #[default]
    Nothing,
    /// To be grouped as one of its shapes, or a context word.
    Grouping,
    /// A context word.
    Context,
}

/// Checksums and structures of identifiers, named after their scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each is documented where it is computed, in the checksums of the scanner")]
pub enum Check {
    AtSocialSecurity,
    AtVat,
    BeEnterprise,
    BeNationalNumber,
    BgEgn,
    BgVat,
    ChAhv,
    ChUid,
    CyVat,
    CzBirthNumber,
    CzVat,
    DeHealthInsurance,
    DeIdCard,
    DeLanr,
    DeSocialSecurity,
    DeTaxId,
    DkCpr,
    DkVat,
    EePersonalCode,
    EeVat,
    EsCif,
    EsNif,
    EsSocialSecurity,
    EsVat,
    FiBusinessId,
    FiPersonalIdentityCode,
    GrAfm,
    GrAmka,
    HuPersonalId,
    HuSocialSecurity,
    HuTaxId,
    HuVat,
    IdCardFr,
    IePps,
    IeVat,
    Imei,
    Iso7064Mod1110,
    ItFiscalCode,
    ItVat,
    Lei,
    LtVat,
    LuNationalId,
    LuVat,
    Luhn,
    LvPersonalCode,
    LvVat,
    MtVat,
    Nir,
    NlBsn,
    NlVat,
    PlIdCard,
    PlNip,
    PlPassport,
    PlPesel,
    PlRegon,
    PlateFr,
    PtCitizenCard,
    PtNif,
    PtNiss,
    Rib,
    RoCnp,
    RoVat,
    SeOrganisation,
    SePersonnummer,
    SeVat,
    SiEmso,
    SiTaxId,
    Siren,
    Siret,
    SkVat,
    TaxNumberFr,
    UkDrivingLicence,
    UkNhs,
    UkNino,
    UkPlate,
    UkUtr,
    UkVat,
    VatFr,
    Vin,
}

/// An expression and the literals it is tried at, so that text without the literals costs nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pattern {
    /// Literals a match starts with, at least three bytes each.
    pub anchors: Vec<String>,
    /// Bytes of the match before the literal, for a value whose mark stands inside it.
    #[serde(default)]
    pub lead: usize,
    /// Whether the anchors are found in any case (the expression says for itself whether it ignores case).
    #[serde(default)]
    pub ignore_case: bool,
    /// Whether a match that stands alone, neither assigned nor quoted nor in a URL, is of a weak form: the value is
    /// public in some of its uses.
    #[serde(default)]
    pub needs_company: bool,
    /// The expression, anchored at the literal. A group named `value` narrows the finding.
    pub regex: String,
    /// Least Shannon entropy of the value, in bits per character; below it, it is a placeholder.
    #[serde(default)]
    pub min_entropy: f64,
    /// What else the value must pass.
    #[serde(default)]
    pub validator: Option<Validator>,
}

/// A value without a mark of its own, known by the key it is assigned to: `travisci_token: '…'`, `TRAVIS_TOKEN := "…"`,
/// JSON, YAML, XML, headers, command lines. Code knows what an assignment looks like; the entry says whose it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Assigned {
    /// Names of the vendor or product in the key, at least three bytes each, in any case.
    pub keywords: Vec<String>,
    /// The expression of the value.
    pub value: String,
    /// Whether any key with the name will do; otherwise the key is the name alone, or says that it holds a secret.
    #[serde(default)]
    pub any_key: bool,
    /// Least Shannon entropy of the value, in bits per character; a part of what its length allows when absent.
    #[serde(default)]
    pub min_entropy: Option<f64>,
    /// What else the value must pass.
    #[serde(default)]
    pub validator: Option<Validator>,
}

/// Terms by language (ISO 639-1; `any` for all), as `detectors/lexical/term.rs` reads them.
pub type Terms = BTreeMap<String, Vec<String>>;

/// Words and phrases, what makes them likelier and what rules them out. All languages count at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lexicon {
    /// Lists of words that terms name as `@list`.
    #[serde(default)]
    pub lists: BTreeMap<String, Terms>,
    /// Terms that make others likelier, by name. One that begins with a gap stands behind what it is a cue for, any
    /// other before it, with at most as many words between as its gap says.
    #[serde(default)]
    pub cues: BTreeMap<String, Terms>,
    /// What is found.
    pub terms: Vec<TermGroup>,
    /// Terms that rule out what overlaps them.
    #[serde(default)]
    pub except: Terms,
}

/// Terms that are worth the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermGroup {
    /// What a term tells without a cue.
    #[serde(default)]
    pub alone: Alone,
    /// Names of the cues with which a term is worth the score `context`.
    #[serde(default)]
    pub cues: Vec<String>,
    /// The terms.
    pub words: Terms,
}

/// What a term tells without a cue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Alone {
    /// Enough: it is worth the score `base`.
    Sure,
    /// Little: it is worth `weak`.
    #[default]
    Weak,
    /// Nothing: only with a cue it is found.
    Nothing,
}

/// What a value must pass beyond its expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Validator {
    /// CRC-32 in the last six characters, in base 62; a wrong one lowers the score.
    GithubChecksum,
    /// CRC-32 of what precedes the last `_`, little-endian in the eight hexadecimal digits behind it; a wrong one
    /// lowers the score.
    GrafanaChecksum,
    /// It decodes from base64 to a value whose header decodes to a JSON object.
    JwtBase64,
    /// The header decodes to a JSON object that names an algorithm other than `none`.
    JwtHeader,
    /// The header decodes to a JSON object that names the algorithm `none`.
    JwtUnsigned,
    /// At least two digits and two letters occur behind the mark.
    LettersAndDigits,
    /// Upper and lower case letters and digits all occur.
    MixedAlphabet,
}

/// How sure a finding is (0 to 1): the highest that applies. A score of 0 is not reported.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// The structure alone.
    pub base: f64,
    /// The structure alone, in a form that other things share (unbroken digits); as `base` when absent.
    #[serde(default)]
    pub weak: Option<f64>,
    /// A context word stands near.
    #[serde(default)]
    pub context: f64,
    /// An optional checksum holds.
    #[serde(default)]
    pub verified: f64,
}

/// Examples that the detector is tested with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Examples {
    /// Texts with the value between `⟦` and `⟧`.
    #[serde(rename = "match")]
    pub matches: Vec<Example>,
    /// Texts with what is seen between `⟦` and `⟧`, below the usual threshold of 0.5.
    #[serde(default)]
    pub weak: Vec<Example>,
    /// Texts in which the detector must see nothing.
    pub no_match: Vec<Example>,
}

/// A text, whole or in parts: a made-up secret in parts does not set off other scanners.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Example {
    /// The text.
    Whole(String),
    /// Parts of the text, joined without anything between them.
    Parts(Vec<String>),
}

impl Example {
    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Whole(text) => text.clone(),
            Self::Parts(parts) => parts.concat(),
        }
    }
}
