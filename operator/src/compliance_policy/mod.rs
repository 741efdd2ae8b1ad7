//! `CompliancePolicy`: from one manifest to a revision that tenants are given, and to what its status says.

pub mod build;
pub mod dereference;
pub mod rollback;
pub mod status;
pub mod validate;
