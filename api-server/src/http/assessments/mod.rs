//! Assessments of prompts.

pub mod create;
pub mod read;
pub mod room;
