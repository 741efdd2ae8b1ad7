//! Shapes that both kinds use.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A semantic version (semver 2.0.0, items 2, 9 and 11) without build metadata. Its numbers fit into 64 bits, in Rust
/// and in the API server.
pub(crate) const VERSION_PATTERN: &str = concat!(
    r"^(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})",
    r"(-(0|[1-9][0-9]{0,17}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)",
    r"(\.(0|[1-9][0-9]{0,17}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?$"
);

/// A text for people, in both languages of the product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bilingual {
    /// French, the product's first language.
    #[schemars(length(min = 1, max = 1024))]
    pub fr: String,
    /// English.
    #[schemars(length(min = 1, max = 1024))]
    pub en: String,
}

/// A provision of a law or standard, resolved in the engine's law catalogue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct LawReference {
    /// Identifier of the law or standard in the catalogue, such as `gdpr`, `eu-ai-act` or `iso27001-2022`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9][a-z0-9-]*$"))]
    pub law: String,
    /// The provision within it, such as `5(1)(c)`, `annex-iii:4(a)` or `A.8.11`.
    #[schemars(length(min = 1, max = 64))]
    pub r#ref: String,
}

/// Namespaces by label: all pairs must match. An empty selector matches every namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Label keys and the values they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("default" = {}, "maxProperties" = 16, "additionalProperties" = serde_json::json!({ "type": "string", "maxLength": 63 })))]
    pub match_labels: BTreeMap<String, String>,
}

/// An object of the same namespace (or of the operator's, where the field says so), by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocalObjectReference {
    /// `metadata.name` of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyReference {
    /// `metadata.name` of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key within its `data`.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
