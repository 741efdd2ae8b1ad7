//! A bundle's signed bytes in; compiled rules, or why they are refused, out. Off the async threads.
//!
//! The signature is verified first. A bundle that no trusted key signed is neither decompressed nor parsed, and changes
//! nothing that later bundles are compared with.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use novacrm_engine_core::bundle::signed::SignatureError;
use novacrm_engine_core::bundle::{BundleError as Unusable, CompiledBundle, Received};
use novacrm_engine_wire::BundleError;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{Accepted, InForce};
use crate::metrics::Refusal;

/// Problems of one bundle that are reported.
const MAX_PROBLEMS: usize = 20;

/// SHA-256 of bytes as they came.
pub(super) type RawDigest = [u8; 32];

/// Bytes that want to be the rules in force.
pub(super) struct Offer {
    bytes: Vec<u8>,
    pub(super) raw_digest: RawDigest,
    as_of: OffsetDateTime,
    fallback: bool,
    received: Instant,
}

impl Offer {
    pub(super) fn new(bytes: Vec<u8>, as_of: OffsetDateTime, fallback: bool) -> Self {
        let raw_digest = Sha256::digest(&bytes).into();
        Self { bytes, raw_digest, as_of, fallback, received: Instant::now() }
    }
}

/// What became of an offer.
pub(super) struct Loaded {
    pub(super) result: Result<CompiledBundle, Refused>,
    /// When the bundle was certainly the newest.
    pub(super) as_of: OffsetDateTime,
    /// Whether it came from the files that may lag behind.
    pub(super) fallback: bool,
    /// When it came in.
    pub(super) received: Instant,
}

/// Why an offer is not taken.
pub(super) struct Refused {
    pub(super) reason: Refusal,
    pub(super) error: BundleError,
}

/// Verifies, decodes, checks and compiles; what `in_force` compiled already is not compiled again.
pub(super) async fn load(offer: Offer, accepted: Arc<Accepted>, in_force: Option<Arc<InForce>>) -> Loaded {
    let Offer { bytes, raw_digest, as_of, fallback, received } = offer;
    let compiling = tokio::task::spawn_blocking(move || {
        compile(&bytes, &raw_digest, &accepted, in_force.as_deref(), fallback)
    });
    let result = compiling.await.unwrap_or_else(|_| {
        let message = "the bundle cannot be compiled; this is a defect of the engine".to_owned();
        Err(refused(Refusal::invalid, raw(&raw_digest), message))
    });
    Loaded { result, as_of, fallback, received }
}

fn compile(
    bytes: &[u8],
    raw_digest: &RawDigest,
    accepted: &Accepted,
    in_force: Option<&InForce>,
    fallback: bool,
) -> Result<CompiledBundle, Refused> {
    let received = Received::verify(bytes, &accepted.keys).map_err(|error| {
        let reason = match error {
            Unusable::Signature(SignatureError::Missing) => Refusal::unsigned,
            Unusable::Signature(_) => Refusal::signature,
            Unusable::Sequence(_) => Refusal::sequence,
            _ => Refusal::unreadable,
        };
        refused(reason, raw(raw_digest), error.to_string())
    })?;
    let digest = received.digest().to_owned();
    if received.bundle().tenant != accepted.tenant {
        let message = "the bundle belongs to another tenant".to_owned();
        return Err(refused(Refusal::tenant, digest, message));
    }
    let before = in_force.map(|in_force| &in_force.bundle);
    if let Some(before) = before {
        let (offered, current) = (received.bundle().sequence, before.sequence());
        // Files that lag behind tell nothing with what is known, not even that the source is there.
        let is_repeated = offered == current && (fallback || digest != before.digest());
        if offered < current || is_repeated {
            let message = format!("its sequence {offered} is not after {current}, which is in force");
            return Err(refused(Refusal::older, digest, message));
        }
    }
    CompiledBundle::compile_after(received, before).map_err(|problems| {
        let mut message = String::new();
        for problem in problems.iter().take(MAX_PROBLEMS) {
            // Writing into a String cannot fail.
            let _ = write!(
                message,
                "{}{}: {}",
                if message.is_empty() { "" } else { "; " },
                problem.path,
                problem.message
            );
        }
        if let Some(more) = problems.len().checked_sub(MAX_PROBLEMS).filter(|more| *more > 0) {
            let _ = write!(message, "; and {more} more");
        }
        refused(Refusal::invalid, digest, message)
    })
}

fn refused(reason: Refusal, digest: String, message: String) -> Refused {
    Refused { reason, error: BundleError { digest, message, at: OffsetDateTime::now_utc() } }
}

/// The name of a bundle that is not read.
fn raw(digest: &RawDigest) -> String {
    format!("sha256:{}", hex::encode(digest))
}
