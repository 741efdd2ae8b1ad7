//! CRM entities and their rules: raw values in, validated entities or field errors out.
//!
//! Knows no framework: no HTTP, no SQL, no clock. A record is validated as a whole, on creation and after a
//! change, so no rule can be passed by in two steps.

pub mod contact;
pub mod field;
pub mod interaction;
pub mod organisation;
pub mod permission;
pub mod record;
pub mod text;
pub mod user;
