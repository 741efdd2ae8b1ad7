//! Text of manifests in; checked policies, or every problem with its place, out.
//!
//! The same checks serve the command line, the operator and (for what decides) the engine: [`read_manifests`]
//! reads files with line and column, [`check`] judges one policy, [`check_update`] its growth.

mod check;
mod compare;
pub(crate) mod compile;
mod describe;
mod exception;
pub mod lattice;
pub mod law;
mod manifest;
pub(crate) mod problem;
mod schema;
mod source;
#[cfg(test)]
mod tests;
pub(crate) mod words;

pub use check::{
    CheckedPolicy, JUDGING_LIMIT, MayGoOn, Scope, TEST_FAILS, check, check_tenant, check_tenant_update,
    check_update, check_within, too_slow, warm_up,
};
pub use compare::{Change, Comparison, Decided, Direction, Evidence, PolicyComparison, compare};
pub use compile::CompiledPolicy;
pub use exception::{ExceptionInfo, expiry};
pub use manifest::{Located, Manifest, Review, read_manifests, read_object, review, review_within};
pub use problem::PolicyProblem;
pub use source::{MAX_DEPTH, MAX_NODES, MAX_SOURCE_BYTES, Positions};
