//! The register of AI uses in, the legal class of a request's use out (Regulation (EU) 2024/1689).
//!
//! The class belongs to a use that the tenant registered, never to a prompt. A use that is not in the register
//! is `unregistered`, which is not the same as harmless: policies may refuse it.

use novacrm_crds::compliance_policy::UseCaseClass;
use novacrm_crds::crm_tenant::{AiUseCase, RegisteredClass};
use novacrm_crds::{Bilingual, LawReference};
use serde::{Deserialize, Serialize};

use crate::policy::law::EU_AI_ACT;

/// A use of AI as the tenant registered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisteredUse {
    /// Identifier that requests name.
    pub id: String,
    /// What it is called.
    pub display_name: Bilingual,
    /// What it is for.
    pub purpose: String,
    /// Its legal class.
    pub class: RegisteredClass,
    /// The provisions the class rests on.
    pub provisions: Vec<LawReference>,
}

impl From<&AiUseCase> for RegisteredUse {
    fn from(entry: &AiUseCase) -> Self {
        Self {
            id: entry.id.clone(),
            display_name: entry.display_name.clone(),
            purpose: entry.purpose.clone(),
            class: entry.class,
            provisions: entry.provisions.clone(),
        }
    }
}

/// The class as policies see it.
#[must_use]
pub fn class_of(registered: Option<&RegisteredUse>) -> UseCaseClass {
    match registered.map(|registered| registered.class) {
        None => UseCaseClass::Unregistered,
        Some(RegisteredClass::Minimal) => UseCaseClass::Minimal,
        Some(RegisteredClass::Limited) => UseCaseClass::Limited,
        Some(RegisteredClass::HighRisk) => UseCaseClass::HighRisk,
        Some(RegisteredClass::Prohibited) => UseCaseClass::Prohibited,
    }
}

/// The provisions of the AI Act that a use rests on, as leaves of rules name them.
pub fn provisions_of(registered: Option<&RegisteredUse>) -> impl Iterator<Item = &str> {
    registered
        .into_iter()
        .flat_map(|registered| &registered.provisions)
        .filter(|reference| reference.law == EU_AI_ACT)
        .map(|reference| reference.r#ref.as_str())
}
