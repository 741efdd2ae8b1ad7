//! The NovaCRM operator: manifests in, Kubernetes objects or running processes out.
//!
//! Each kind is handled in named steps: `dereference → validate → build → status`. Validate and build are pure;
//! `render` prints what they build and `up` (feature `local`) runs it on this machine.

#[cfg(feature = "local")]
pub mod local;
