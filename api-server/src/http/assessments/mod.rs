//! Assessments of prompts.

pub mod concurrency;
pub mod create;
pub mod read;
