//! The two kinds of `novacrm.io/v1alpha1`: what a platform team and a compliance officer write.
//!
//! In: nothing. Out: Rust types, their OpenAPI schemas and the two `CustomResourceDefinition`s, all derived
//! from the same source. This crate has no client and no runtime in its tree; unknown fields are refused by the
//! schema (see [`schema`]), not by serde, so that an older reader survives a newer object.

mod common;
pub mod compliance_policy;
pub mod conditions;
pub mod crm_tenant;
pub mod schema;

pub use common::{Bilingual, LabelSelector, LawReference, LocalObjectReference, SecretKeyReference};
pub use compliance_policy::{CompliancePolicy, CompliancePolicySpec, CompliancePolicyStatus};
pub use crm_tenant::{CrmTenant, CrmTenantSpec, CrmTenantStatus};

/// The API group of both kinds.
pub const GROUP: &str = "novacrm.io";
/// The only version there is.
pub const VERSION: &str = "v1alpha1";
/// Where organisation policies live unless the operator is told otherwise.
pub const DEFAULT_POLICY_NAMESPACE: &str = "novacrm-policies";
