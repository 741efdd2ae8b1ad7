//! The policies in force: the engine's view, kept for a moment so that many readers ask once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use novacrm_api_domain::permission::{Resource, Verb};
use novacrm_engine_wire::PoliciesInForce;
use tokio::sync::Mutex;

use super::records;
use super::tokens::Caller;
use super::{ServiceError, Services};

/// How old the view may be.
const KEPT: Duration = Duration::from_secs(2);

/// The last view.
#[derive(Debug, Default)]
pub struct PolicyCache(Mutex<Option<(Instant, Arc<PoliciesInForce>)>>);

/// The policies in force and the register of AI uses.
///
/// # Errors
/// When the caller may not read them, or the engine is away.
pub async fn read(services: &Services, caller: &Caller) -> Result<Arc<PoliciesInForce>, ServiceError> {
    records::allowed(caller, Resource::Policy, Verb::Read)?;
    // Held across the call: readers that come meanwhile wait for the same answer.
    let mut kept = services.policies.0.lock().await;
    if let Some((since, policies)) = kept.as_ref()
        && since.elapsed() < KEPT
    {
        return Ok(Arc::clone(policies));
    }
    let policies = Arc::new(services.engine.policies().await?);
    *kept = Some((Instant::now(), Arc::clone(&policies)));
    Ok(policies)
}
