//! A `CrmTenant` and the policies that apply to it in; the two ConfigMaps that its engines take their rules from out.
//!
//! The bundle before is written first, so an engine that starts at any moment finds a bundle that was whole. Both are
//! replaced at the version that was read: of two writers one must read again, so no sequence number stands for two
//! bundles.

use std::sync::{Arc, PoisonError};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use kube::core::ResourceExt;
use kube::runtime::controller::Action;
use novacrm_crds::CrmTenant;
use novacrm_engine_core::bundle::{Bundle, Received, RegisteredUse};
use novacrm_engine_core::policy::{CheckedPolicy, check_tenant};

use super::policy::Active;
use super::watch::Guarded;
use super::{Cluster, Error, RESYNC};
use crate::crm_tenant::validate::{BundleRevision, Bundles, Combined};
use crate::crm_tenant::{build, names};

/// Annotation of both ConfigMaps: the highest number that was given out. It stands on the bundle before while the
/// new one is not written yet, so a number is known though its bundle was lost before any status told of it.
const HIGHEST: &str = "novacrm.io/highest-sequence";

/// What the engines of a tenant are given, and why not more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// Digest and sequence number of the bundle.
    pub bundle: Option<(String, u64)>,
    /// Reason and message for why the bundle is not what the policies say.
    pub held_back: Option<(&'static str, String)>,
}

/// Brings one tenant's rules to where they should be.
///
/// # Errors
/// When the API server refuses something; it is tried again.
pub async fn reconcile(object: Arc<Guarded<CrmTenant>>, cluster: Arc<Cluster>) -> Result<Action, Error> {
    let (namespace, name) = super::watch::key_of(object.as_ref());
    // Of several tenants in a namespace the oldest holds; the others are refused.
    let holds = cluster.tenants_in(&namespace).first().is_some_and(|(_, first)| *first == name);
    let Ok(tenant) = &object.0 else { return Ok(Action::await_change()) };
    if !holds || tenant.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let given = cluster.combine(tenant, &namespace).await?;
    let before = cluster
        .bundles
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(namespace.clone(), given.clone());
    if before.as_ref() != Some(&given) {
        cluster.queue_tenant(&namespace);
    }
    Ok(Action::requeue(RESYNC))
}

impl Cluster {
    /// The revisions that apply to a tenant; the error is a policy of which none can be read.
    fn policies_for(&self, namespace: &str) -> Result<Result<Vec<CheckedPolicy>, String>, Error> {
        let mut found = Vec::new();
        for policy in self.policies.all() {
            let key = super::watch::key_of(policy.as_ref());
            // One that nobody has looked at yet must not be left out.
            let judged = self.judged_of(&key).ok_or(Error::NotReady("not all policies were judged yet"))?;
            if !self.applies(&key, &judged.active, namespace) {
                continue;
            }
            match judged.active {
                Active::Revision(checked) => found.push(checked),
                Active::Unreadable => return Ok(Err(format!("{}/{}", key.0, key.1))),
                Active::None => {}
            }
        }
        Ok(Ok(found))
    }

    async fn combine(&self, tenant: &CrmTenant, namespace: &str) -> Result<Given, Error> {
        let policies = self.policies_for(namespace)?;
        // The register of a tenant that is refused is no reason to hold the policies back.
        let is_refused = check_tenant(tenant).is_err();
        // A lost ConfigMap must not bring old numbers back: engines refuse what is not newer than what they have.
        let floor =
            tenant.status.as_ref().and_then(|status| status.bundle.as_ref()).map(|bundle| bundle.sequence);
        let mut combined = None;
        if let Ok(policies) = &policies
            && !is_refused
        {
            let uses = tenant.spec.ai_use_cases.iter().map(RegisteredUse::from).collect();
            let made = combine(namespace, policies.clone(), uses).await?;
            // Mostly the rules in force are these, and the watch knows them. Where it is late, it tells of that, and
            // they are looked at again.
            let watched = |name| self.live_as::<ConfigMap>("ConfigMap", namespace, name);
            let floor = floor.max(watched(names::BUNDLE_PREVIOUS).as_ref().and_then(highest));
            let last = watched(names::BUNDLE).as_ref().and_then(revision);
            if let Some(last) = last.filter(|last| made.is(last, floor.unwrap_or_default())) {
                return Ok(Given { bundle: Some((last.digest, last.sequence)), held_back: None });
            }
            combined = Some(made);
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let read = |name: &'static str| {
            let api = api.clone();
            async move { api.get_opt(name).await.map_err(Error::api("reading the rules in force")) }
        };
        let (current, previous) = futures::try_join!(read(names::BUNDLE), read(names::BUNDLE_PREVIOUS))?;
        let known: Vec<BundleRevision> =
            [&current, &previous].into_iter().flatten().filter_map(revision).collect();
        let last = known.first();
        let as_given =
            |held_back| Given { bundle: last.map(|last| (last.digest.clone(), last.sequence)), held_back };
        let policies = match policies {
            Ok(policies) => policies,
            Err(policy) => {
                let why = format!(
                    "No revision of policy {policy} can be read by this release. The engines keep the rules they have; \
                     apply a new version of the policy."
                );
                return Ok(as_given(Some((novacrm_crds::conditions::REASON_REVISION_UNREADABLE, why))));
            }
        };
        let combined = match combined {
            Some(combined) => combined,
            None => {
                let uses = last.and_then(|last| Bundle::decode(&last.bytes).ok());
                combine(namespace, policies, uses.map(|bundle| bundle.use_cases).unwrap_or_default()).await?
            }
        };
        let floor = floor.max(previous.as_ref().and_then(highest));
        let known_for = known.clone();
        let next = tokio::task::spawn_blocking(move || combined.after(&known_for, floor.unwrap_or_default()));
        let next = match next.await {
            Ok(Ok(next)) => next,
            Ok(Err(problem)) => {
                let why =
                    format!("{} {} The engines keep the rules they have.", problem.message, problem.hint);
                return Ok(as_given(Some((novacrm_crds::conditions::REASON_TOO_LARGE, why))));
            }
            Err(_) => return Err(Error::NotReady("the rules could not be combined")),
        };
        let given =
            Given { bundle: Some((next.current.digest.clone(), next.current.sequence)), held_back: None };
        if current.as_ref().and_then(revision).as_ref() == Some(&next.current) {
            return Ok(given);
        }
        self.write_bundles(&api, tenant, &next, (current, previous)).await?;
        self.metrics.bundle_written();
        tracing::info!(
            namespace,
            digest = next.current.digest,
            sequence = next.current.sequence,
            "new rules"
        );
        Ok(given)
    }

    async fn write_bundles(
        &self,
        api: &Api<ConfigMap>,
        tenant: &CrmTenant,
        next: &Bundles,
        (current, previous): (Option<ConfigMap>, Option<ConfigMap>),
    ) -> Result<(), Error> {
        let mut both = next.clone();
        // The first bundle is its own predecessor, so that its number is known twice too.
        both.previous.get_or_insert_with(|| next.current.clone());
        let made = build::bundle_config_maps(tenant, &both, &self.config.settings);
        for mut wanted in made.into_iter().rev() {
            let there = if wanted.name_any() == names::BUNDLE { &current } else { &previous };
            wanted.annotations_mut().insert(HIGHEST.to_owned(), next.current.sequence.to_string());
            let written = match there {
                None => api.create(&PostParams::default(), &wanted).await,
                Some(there) => {
                    wanted.metadata.resource_version = there.resource_version();
                    api.replace(&wanted.name_any(), &PostParams::default(), &wanted).await
                }
            };
            match written {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                    return Err(Error::NotReady("somebody else wrote the rules"));
                }
                Err(error) => return Err(Error::api("writing the rules")(error)),
            }
        }
        Ok(())
    }
}

/// Puts rules together where it holds nobody up.
async fn combine(
    namespace: &str,
    policies: Vec<CheckedPolicy>,
    uses: Vec<RegisteredUse>,
) -> Result<Combined, Error> {
    let namespace = namespace.to_owned();
    let combined = tokio::task::spawn_blocking(move || Combined::of(&namespace, &policies, uses));
    combined.await.map_err(|_| Error::NotReady("the rules could not be combined"))
}

/// The highest number that was given out when this was written.
fn highest(config_map: &ConfigMap) -> Option<u64> {
    config_map.annotations().get(HIGHEST)?.parse().ok()
}

/// Reads a bundle back; `None` when somebody damaged it.
fn revision(config_map: &ConfigMap) -> Option<BundleRevision> {
    let ByteString(bytes) = config_map.binary_data.as_ref()?.get(names::BUNDLE_KEY)?;
    let received = Received::decode(bytes).ok()?;
    let (sequence, digest) = (received.bundle().sequence, received.digest().to_owned());
    Some(BundleRevision { sequence, digest, bytes: bytes.clone() })
}
