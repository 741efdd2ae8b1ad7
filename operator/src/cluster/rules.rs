//! A `CrmTenant` and the policies that apply to it in; the two ConfigMaps that its engines take their rules from out.
//!
//! The bundle before is written first, so an engine that starts at any moment finds a bundle that was whole. Both are
//! replaced at the version that was read: of two writers one must read again, so no sequence number stands for two
//! bundles.
//!
//! Everybody who may write ConfigMaps in the tenant's namespace can write these two. So the operator believes only what it
//! signed. It takes the highest number that was given out from signed bundles, from the status (`crmtenants/status` is a
//! right of its own) and from this process. It replaces bundles that somebody else wrote, and reports them in the status,
//! in an Event, in the log and in a counter.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use novacrm_crds::CrmTenant;
use novacrm_crds::conditions::{REASON_FOREIGN_BUNDLE, RULES_AUTHENTIC};
use novacrm_engine_core::bundle::signed::SignatureError;
use novacrm_engine_core::bundle::{Bundle, BundleError, Received, RegisteredUse};
use novacrm_engine_core::policy::{CheckedPolicy, check_tenant};
use time::OffsetDateTime;

use super::policy::Active;
use super::watch::Guarded;
use super::{Cluster, Error, RESYNC};
use crate::condition::rfc3339;
use crate::crm_tenant::validate::{BundleRevision, Bundles, Combined};
use crate::crm_tenant::{build, names};
use crate::signing::SigningKeys;

/// Why a bundle counts as somebody else's.
pub(super) const FOREIGN_REASONS: [&str; 5] = [UNSIGNED, SIGNATURE, OTHER_TENANT, OLDER, UNREADABLE];
const UNSIGNED: &str = "unsigned";
const SIGNATURE: &str = "signature";
const OTHER_TENANT: &str = "tenant";
const OLDER: &str = "older";
const UNREADABLE: &str = "unreadable";

/// What the engines of a tenant are given, and why not more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// Digest and sequence number of the bundle.
    pub bundle: Option<(String, u64)>,
    /// Reason and message for why the bundle is not what the policies say.
    pub held_back: Option<(&'static str, String)>,
    /// The last bundle that this process found and that the operator had not written.
    pub foreign: Option<Foreign>,
}

/// A bundle that somebody else had written.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreign {
    /// When it was found.
    pub at: OffsetDateTime,
    /// Why it counts as somebody else's; of [`FOREIGN_REASONS`].
    reason: &'static str,
    /// What was found, for people.
    pub message: String,
}

/// What one of the ConfigMaps holds.
enum Held {
    /// Nothing: there is no such ConfigMap.
    Nothing,
    /// A bundle that the operator signed for this tenant.
    Authentic(BundleRevision),
    /// Something else: a reason of [`FOREIGN_REASONS`], and what it is.
    Foreign(&'static str, String),
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
    let mut given = cluster.combine(tenant, &namespace).await?;
    let former = cluster.given_to(&namespace).and_then(|former| former.foreign);
    given.foreign = given.foreign.or(former);
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
            // A policy speaks for its own namespace, unless it is the organisation's: others keep nobody waiting.
            if key.0 != namespace && key.0 != self.config.policy_namespace {
                continue;
            }
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
        let Ok(keys) = self.signing.keys() else {
            return Err(Error::NotReady("there are no keys that sign rules"));
        };
        let policies = self.policies_for(namespace)?;
        // The register of a tenant that is refused is no reason to hold the policies back.
        let is_refused = check_tenant(tenant).is_err();
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let read = |name: &'static str| {
            let api = api.clone();
            async move { api.get_opt(name).await.map_err(Error::api("reading the rules in force")) }
        };
        let there = futures::try_join!(read(names::BUNDLE), read(names::BUNDLE_PREVIOUS))?;
        let (there, [current, previous]) = look(there, keys, namespace.to_owned()).await?;

        let status = tenant.status.as_ref();
        let told = status.and_then(|status| status.bundle.as_ref());
        let given = self.given_to(namespace).and_then(|given| given.bundle);
        // The highest number that is known from where nobody else writes.
        let recorded = told.map(|bundle| bundle.sequence).max(given.as_ref().map(|(_, sequence)| *sequence));
        let mut foreign = Vec::new();
        let current = match current {
            Held::Authentic(revision) if Some(revision.sequence) < recorded => {
                let what = format!("older rules (number {})", revision.sequence);
                foreign.push((names::BUNDLE, OLDER, what));
                None
            }
            Held::Authentic(revision) => Some(revision),
            Held::Foreign(reason, what) => {
                foreign.push((names::BUNDLE, reason, what));
                None
            }
            Held::Nothing => None,
        };
        let previous = match previous {
            Held::Authentic(revision) => Some(revision),
            Held::Foreign(reason, what) => {
                foreign.push((names::BUNDLE_PREVIOUS, reason, what));
                None
            }
            Held::Nothing => None,
        };
        // A former release, which did not sign, wrote unsigned bundles, and no condition about them.
        let is_of_former_release = told.is_some()
            && status.is_some_and(|status| status.conditions.iter().all(|one| one.type_ != RULES_AUTHENTIC));
        foreign.retain(|(_, reason, _)| *reason != UNSIGNED || !is_of_former_release);
        let mut foreign = found_foreign(&foreign, OffsetDateTime::now_utc());

        let as_given = |held_back| {
            let last = current.as_ref().map(|last| (last.digest.clone(), last.sequence));
            let known = told.map(|told| (told.digest.clone(), told.sequence));
            Given { bundle: last.or(given).or(known), held_back, foreign: foreign.clone() }
        };
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
        let uses: Vec<RegisteredUse> = if is_refused {
            let last = current.as_ref().or(previous.as_ref());
            let last = last.and_then(|last| Bundle::decode(&last.bytes).ok());
            last.map(|bundle| bundle.use_cases).unwrap_or_default()
        } else {
            tenant.spec.ai_use_cases.iter().map(RegisteredUse::from).collect()
        };
        let combined = combine(namespace, policies, uses).await?;
        let is_lost = current.is_none() && (recorded.is_some() || previous.is_some() || foreign.is_some());
        // The status may lag behind the last number that was given out, and engines refuse a bundle that is not newer than
        // theirs. The clock in milliseconds is above every number: no operator writes that many bundles.
        let clock = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        let clock = if is_lost { u64::try_from(clock).unwrap_or_default() } else { 0 };
        let floor = recorded.unwrap_or_default().max(clock);
        let known: Vec<BundleRevision> = current.iter().chain(&previous).cloned().collect();
        let next = tokio::task::spawn_blocking(move || combined.after(&known, floor));
        let next = match next.await {
            Ok(Ok(next)) => next,
            Ok(Err(problem)) => {
                let why =
                    format!("{} {} The engines keep the rules they have.", problem.message, problem.hint);
                return Ok(as_given(Some((novacrm_crds::conditions::REASON_TOO_LARGE, why))));
            }
            Err(_) => return Err(Error::NotReady("the rules could not be combined")),
        };
        let given = Some((next.current.digest.clone(), next.current.sequence));
        let is_new = current.as_ref() != Some(&next.current);
        let wrote = self.write_bundles(&api, tenant, next, there).await?;
        if wrote && let Some((digest, sequence)) = &given {
            self.metrics.bundle_written();
            tracing::info!(namespace, digest, sequence, is_new, "rules written");
        }
        if let Some(foreign) = &mut foreign {
            foreign.message.push_str(" The operator replaced it.");
            self.metrics.foreign_bundle(foreign.reason);
            tracing::error!(
                namespace,
                reason = foreign.reason,
                "rules that somebody else wrote were replaced"
            );
            self.event(tenant, EventType::Warning, REASON_FOREIGN_BUNDLE, "Repair", &foreign.message).await;
        }
        Ok(Given { bundle: given, held_back: None, foreign })
    }

    /// Writes the ConfigMaps that are not as they should be. Says whether it wrote one.
    async fn write_bundles(
        &self,
        api: &Api<ConfigMap>,
        tenant: &CrmTenant,
        mut next: Bundles,
        (current, previous): Maps,
    ) -> Result<bool, Error> {
        // The first bundle is its own predecessor.
        next.previous.get_or_insert_with(|| next.current.clone());
        let (tenant, settings) = (tenant.clone(), self.settings());
        let made = tokio::task::spawn_blocking(move || build::bundle_config_maps(&tenant, &next, &settings));
        let made = made.await.map_err(|_| Error::NotReady("the rules could not be signed"))?;
        let mut wrote = false;
        for mut wanted in made.into_iter().rev() {
            let there = if wanted.name_any() == names::BUNDLE { &current } else { &previous };
            if there.as_ref().is_some_and(|there| holds(there, &wanted)) {
                continue;
            }
            let written = match there {
                None => api.create(&PostParams::default(), &wanted).await,
                // An immutable ConfigMap cannot be changed back; it is deleted and made again.
                Some(there) if there.immutable == Some(true) => {
                    let preconditions =
                        Preconditions { uid: there.uid(), resource_version: there.resource_version() };
                    let gone = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                    match api.delete(&wanted.name_any(), &gone).await {
                        Ok(_) => api.create(&PostParams::default(), &wanted).await,
                        Err(error) => Err(error),
                    }
                }
                Some(there) => {
                    wanted.metadata.resource_version = there.resource_version();
                    api.replace(&wanted.name_any(), &PostParams::default(), &wanted).await
                }
            };
            match written {
                Ok(_) => wrote = true,
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                    return Err(Error::NotReady("somebody else wrote the rules"));
                }
                Err(error) => return Err(Error::api("writing the rules")(error)),
            }
        }
        Ok(wrote)
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

/// What was found, in one; `None` when nothing was.
fn found_foreign(found: &[(&str, &'static str, String)], at: OffsetDateTime) -> Option<Foreign> {
    let (_, reason, _) = found.first()?;
    let all: Vec<String> =
        found.iter().map(|(name, _, what)| format!("ConfigMap {name} held {what}")).collect();
    let message = format!(
        "{}: {}. The operator did not write that. Engines take only rules that the operator signed. Find out who may write \
         ConfigMaps in this namespace.",
        rfc3339(at).unwrap_or_default(),
        all.join(", ")
    );
    Some(Foreign { at, reason, message })
}

/// The ConfigMaps of the rules in force and of those before, as far as they are there.
type Maps = (Option<ConfigMap>, Option<ConfigMap>);

/// Both ConfigMaps, and what they hold. Signatures and bundles are work for a processor.
async fn look(there: Maps, keys: SigningKeys, namespace: String) -> Result<(Maps, [Held; 2]), Error> {
    let looking = tokio::task::spawn_blocking(move || {
        let held = [&there.0, &there.1].map(|map| held(map.as_ref(), &keys, &namespace));
        (there, held)
    });
    looking.await.map_err(|_| Error::NotReady("the rules in force could not be looked at"))
}

fn held(config_map: Option<&ConfigMap>, keys: &SigningKeys, namespace: &str) -> Held {
    let Some(config_map) = config_map else { return Held::Nothing };
    let content = config_map.binary_data.as_ref().and_then(|data| data.get(names::BUNDLE_KEY));
    let Some(ByteString(signed)) = content else {
        return Held::Foreign(UNREADABLE, "no bundle".to_owned());
    };
    // Nothing of it is decompressed or parsed before it is verified.
    match Received::verify(signed, keys.trusted()) {
        Ok(received) if received.bundle().tenant != namespace => {
            Held::Foreign(OTHER_TENANT, "the bundle of another tenant".to_owned())
        }
        Ok(received) => {
            let (sequence, digest) = (received.bundle().sequence, received.digest().to_owned());
            // It was verified a moment ago.
            let bytes = keys.trusted().verify(signed).unwrap_or_default().to_vec();
            Held::Authentic(BundleRevision { sequence, digest, bytes })
        }
        Err(error) => {
            let reason = match error {
                BundleError::Signature(SignatureError::Missing) => UNSIGNED,
                BundleError::Signature(_) => SIGNATURE,
                _ => UNREADABLE,
            };
            Held::Foreign(reason, format!("something that is not authentic ({error})"))
        }
    }
}

/// Whether a ConfigMap is as it should be. What others add to its metadata is left alone.
fn holds(there: &ConfigMap, wanted: &ConfigMap) -> bool {
    fn has_all<'a>(
        there: &BTreeMap<String, String>,
        mut wanted: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> bool {
        wanted.all(|(key, value)| there.get(key) == Some(value))
    }
    let none = BTreeMap::new();
    let owners = |map: &ConfigMap| map.metadata.owner_references.clone().unwrap_or_default();
    there.binary_data == wanted.binary_data
        && there.data.as_ref().is_none_or(BTreeMap::is_empty)
        && there.immutable != Some(true)
        && has_all(there.metadata.labels.as_ref().unwrap_or(&none), wanted.labels().iter())
        && has_all(there.metadata.annotations.as_ref().unwrap_or(&none), wanted.annotations().iter())
        && owners(wanted).iter().all(|owner| owners(there).iter().any(|one| one.uid == owner.uid))
}
