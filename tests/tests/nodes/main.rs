//! What a platform team, a compliance officer and a salesperson do with a cluster whose pods run: on the node that
//! `novacrm-test-cluster --node` starts, or on the cluster that `NOVACRM_TEST_KUBECONFIG` names, whose Service addresses
//! this process must reach and whose nodes must have the images.
//!
//! Without one of these they are ignored. `./task test:cluster` runs the one of `short`, `./task test:cluster:full` each
//! of the others, in a cluster of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says what it measured"
)]

mod chaos;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../common/helm.rs"]
mod helm;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../common/kubectl.rs"]
mod kubectl;
mod life;
mod load;
mod machine;
mod many;
mod outside;
mod push;
#[path = "../common/scenario.rs"]
mod scenario;
mod short;
mod site;
