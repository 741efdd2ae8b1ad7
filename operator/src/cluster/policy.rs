//! A `CompliancePolicy` in; its revision in the history, and a status that says who enforces it, out.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use kube::Resource;
use kube::core::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use novacrm_crds::compliance_policy::{CompliancePolicyStatus, PolicyProblem};
use novacrm_crds::conditions::{BREAK_GLASS_ANNOTATION, READY, REASON_ENFORCED, REASON_REVISION_UNREADABLE};
use novacrm_crds::{CompliancePolicy, CompliancePolicySpec};
use novacrm_engine_core::policy::{CheckedPolicy, check};
use time::OffsetDateTime;

use super::engines::{PolicyKey, Report};
use super::watch::{Guarded, Quota, is_crowded};
use super::{Cluster, Error, Judged, POLICIES_OF_A_TENANT, RESYNC, history, write_status};
use crate::compliance_policy::status::{EngineView, Observation, status};
use crate::compliance_policy::{build, dereference, validate};
use crate::problem;
use crate::turns::{Limits, Party};

/// Field manager of a policy's status.
const STATUS_MANAGER: &str = "novacrm-operator/compliancepolicy-status";

/// Reason of a policy that has no effect, since its namespace holds too many.
pub const REASON_TOO_MANY_POLICIES: &str = "TooManyPolicies";

/// Policies that are worked on at the same time, in all and of one namespace.
pub(super) const TURNS: Limits = Limits {
    capacity: 16,
    per_group: 12,
    per_party: 4,
    waiting_per_party: usize::MAX,
    waiting_per_group: usize::MAX,
    waiting: usize::MAX,
};
/// Policies that are judged at the same time: one of a namespace, and two of all tenants', so that the organisation's
/// never wait for theirs. Each keeps a core busy for as long as a judgement may take.
pub(super) const JUDGING: Limits = Limits { capacity: 3, per_group: 2, per_party: 1, ..TURNS };

/// What is in force of a policy.
#[derive(Clone, Debug)]
pub enum Active {
    /// Nothing: it was never accepted.
    None,
    /// This revision.
    Revision(CheckedPolicy),
    /// A revision was accepted once and this release cannot read it. Tenants keep the bundle they have, since
    /// leaving the policy out would loosen it.
    Unreadable,
}

impl Active {
    fn revision(&self) -> Option<&CheckedPolicy> {
        match self {
            Self::Revision(checked) => Some(checked),
            Self::None | Self::Unreadable => None,
        }
    }
}

/// What a policy refers to, in the stores.
struct Lookup<'a> {
    cluster: &'a Cluster,
    accepted: Option<CompliancePolicySpec>,
}

impl dereference::Lookup for Lookup<'_> {
    fn policy_namespace(&self) -> &str {
        &self.cluster.config.policy_namespace
    }

    fn tenant_namespaces(&self) -> Vec<String> {
        self.cluster.tenant_namespaces()
    }

    fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.cluster.labels_of(namespace)
    }

    fn accepted(&self, _namespace: &str, _name: &str) -> Option<CompliancePolicySpec> {
        self.accepted.clone()
    }
}

/// Brings one policy to where it should be.
///
/// # Errors
/// When the API server refuses something; it is tried again.
pub async fn reconcile(
    object: Arc<Guarded<CompliancePolicy>>,
    cluster: Arc<Cluster>,
) -> Result<Action, Error> {
    let key = super::watch::key_of(object.as_ref());
    let party = cluster.party(&key);
    let turn = cluster.policy_turns.turn(&party, 1).await;
    let _turn = turn.map_err(|_| Error::NotReady("too many policies are worked on"))?;
    // Boxed, so that those that wait for their turn are small.
    Box::pin(async {
        // One that is on its way out is in force until it is gone.
        let judged = cluster.judge(&key, &object).await?;
        cluster.report(&key, &object, &judged).await
    })
    .await?;
    Ok(Action::requeue(RESYNC))
}

impl Cluster {
    /// Whether a revision applies to the tenant in a namespace. One that cannot be read counts as applying to every
    /// tenant it could apply to.
    pub(super) fn applies(&self, key: &PolicyKey, active: &Active, namespace: &str) -> bool {
        let organisation = key.0 == self.config.policy_namespace;
        match active {
            Active::None => false,
            Active::Unreadable => organisation || key.0 == namespace,
            Active::Revision(checked) => {
                let lookup = Lookup { cluster: self, accepted: None };
                dereference::applies_to(&key.0, checked.spec(), namespace, &lookup)
            }
        }
    }

    /// With whom a policy takes turns: the organisation's among themselves, those of tenants by namespace.
    fn party(&self, (namespace, _): &PolicyKey) -> Party {
        let group = if *namespace == self.config.policy_namespace { "organisation" } else { "tenants" };
        (group.to_owned(), namespace.clone())
    }

    /// Judges a policy, unless this generation of it was judged already, and writes an accepted revision down.
    async fn judge(&self, key: &PolicyKey, object: &Guarded<CompliancePolicy>) -> Result<Judged, Error> {
        let uid = object.uid().unwrap_or_default();
        let seen = (uid.clone(), object.meta().generation.unwrap_or_default());
        let before = self.judged_of(key);
        if let Some(judged) = &before
            && judged.seen == seen
            && judged.is_crowded == is_crowded(object)
        {
            return Ok(judged.clone());
        }
        let began = std::time::Instant::now();
        let known = history::of(&self.revisions, &key.0, &uid);
        // What this process accepted a moment ago may not be in the store yet.
        let recent =
            before.as_ref().filter(|judged| judged.seen.0 == uid).and_then(|judged| judged.active.revision());
        let accepted = match (recent, known.first()) {
            (Some(checked), _) => Some(checked.spec().clone()),
            (None, Some(newest)) => history::read(&self.client, &key.0, newest)
                .await
                .map_err(Error::listing("reading the history"))?,
            (None, None) => None,
        };
        let outcome = match &object.0 {
            Ok(policy) => {
                let lookup = Lookup { cluster: self, accepted: accepted.clone() };
                let (owned, deref) = (policy.clone(), dereference::dereference(policy, &lookup));
                let turn = self.judging_turns.turn(&self.party(key), 1).await;
                let turn = turn.map_err(|_| Error::NotReady("too many policies are judged"))?;
                // The policy's own tests are work for a processor.
                let judging = tokio::task::spawn_blocking(move || {
                    let outcome = validate::validate(&owned, &deref);
                    drop(turn);
                    outcome
                });
                judging.await.unwrap_or_else(|_| Err(vec![defect()])).map(|checked| (policy, checked))
            }
            Err(_) if is_crowded(object) => Err(vec![too_many()]),
            Err(_) => Err(vec![unreadable()]),
        };
        let mut accepted_now = false;
        let (active, problems) = match outcome {
            Ok((policy, checked)) => {
                // The history of what is on its way out goes before it.
                let leaves = policy.metadata.deletion_timestamp.is_some();
                if !leaves && accepted.as_ref() != Some(&policy.spec) {
                    let number = policy.metadata.generation.unwrap_or_default();
                    history::record(&self.client, policy, number)
                        .await
                        .map_err(Error::api("writing the history"))?;
                    accepted_now = true;
                    self.metrics.accepted();
                    if !known.is_empty() {
                        self.on_their_way
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .insert(key.clone(), began);
                    }
                }
                (Active::Revision(checked), Vec::new())
            }
            Err(problems) => (self.last_good(key, accepted), problems),
        };
        let judged = Judged { seen, active, problems, is_crowded: is_crowded(object) };
        self.judged.write().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), judged.clone());
        if let Some(before) = &before {
            self.queue_rules_under(key, &before.active);
        }
        self.queue_rules_under(key, &judged.active);
        if accepted_now {
            // Last: the engines do not wait for it.
            history::prune(&self.client, &key.0, &known).await.map_err(Error::api("pruning the history"))?;
        }
        Ok(judged)
    }

    /// The accepted revision, by the checks of this release.
    fn last_good(&self, (namespace, name): &PolicyKey, accepted: Option<CompliancePolicySpec>) -> Active {
        let Some(spec) = accepted else { return Active::None };
        let mut policy = CompliancePolicy::new(name, spec);
        policy.metadata.namespace = Some(namespace.clone());
        let scope = dereference::scope(namespace, &self.config.policy_namespace);
        check(&policy, scope).map_or(Active::Unreadable, Active::Revision)
    }

    /// Writes the status, when it changed.
    async fn report(
        &self,
        key: &PolicyKey,
        object: &Guarded<CompliancePolicy>,
        judged: &Judged,
    ) -> Result<(), Error> {
        let before = self.status_before(object, |policy| policy.status.clone());
        let known = before.as_ref().is_some_and(|before| before.observed_generation == judged.seen.1);
        if known && self.is_hearing_engines(key, judged) {
            // A process that just began to ask knows less than the status says; the first answers bring it back.
            return Ok(());
        }
        let mut observed = self.observe_policy(key, judged);
        observed.break_glass = object.0.as_ref().is_ok_and(|policy| {
            policy.annotations().get(BREAK_GLASS_ANNOTATION) == Some(&policy.spec.version)
        });
        let mut now = status(&observed, before.as_ref(), OffsetDateTime::now_utc());
        if matches!(judged.active, Active::Unreadable) {
            for condition in now.conditions.iter_mut().filter(|condition| condition.type_ == READY) {
                REASON_REVISION_UNREADABLE.clone_into(&mut condition.reason);
            }
        }
        if is_crowded(object) {
            for condition in now.conditions.iter_mut().filter(|condition| condition.type_ == READY) {
                REASON_TOO_MANY_POLICIES.clone_into(&mut condition.reason);
            }
        }
        if before.as_ref() == Some(&now) {
            return Ok(());
        }
        write_status::<CompliancePolicy>(&self.client, STATUS_MANAGER, key, &now).await?;
        self.status_written(object, &now);
        self.measure(key, &now);
        self.tell_policy(object, before.as_ref(), &now).await;
        Ok(())
    }

    /// Observes how long a new revision took to every engine.
    fn measure(&self, key: &PolicyKey, now: &CompliancePolicyStatus) {
        let enforced = now.conditions.iter().any(|one| one.type_ == READY && one.reason == REASON_ENFORCED);
        if enforced {
            let began = self.on_their_way.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
            if let Some(began) = began {
                self.metrics.propagated(began.elapsed());
            }
        }
    }

    /// Whether an engine that the policy concerns was asked for the first time and has not answered yet.
    fn is_hearing_engines(&self, key: &PolicyKey, judged: &Judged) -> bool {
        self.tenant_namespaces().iter().any(|namespace| {
            self.applies(key, &judged.active, namespace)
                && self.engines.of(namespace).iter().any(Report::is_first_asked)
        })
    }

    fn observe_policy(&self, key: &PolicyKey, judged: &Judged) -> Observation {
        let active = judged.active.revision();
        let mut engines = Vec::new();
        let mut silent = Vec::new();
        let mut tenants = 0;
        for namespace in self.tenant_namespaces() {
            if !self.applies(key, &judged.active, &namespace) {
                continue;
            }
            tenants += 1;
            let reports = self.engines.of(&namespace);
            if reports.is_empty() {
                silent.push(namespace.clone());
            }
            engines.extend(active.into_iter().flat_map(|active| {
                reports.iter().map(|report| EngineView {
                    namespace: report.namespace.clone(),
                    pod: report.pod.clone(),
                    serving: crate::compliance_policy::status::serving(
                        active,
                        report.status.as_deref(),
                        report.away.as_deref(),
                    ),
                })
            }));
        }
        Observation {
            generation: judged.seen.1,
            active: active.map(build::revision),
            problems: judged.problems.clone(),
            break_glass: false,
            tenants,
            engines,
            silent,
        }
    }

    /// An Event when readiness changes, with the whole reason.
    async fn tell_policy(
        &self,
        object: &Guarded<CompliancePolicy>,
        before: Option<&CompliancePolicyStatus>,
        now: &CompliancePolicyStatus,
    ) {
        let ready = |status: &CompliancePolicyStatus| {
            status.conditions.iter().find(|condition| condition.type_ == READY).cloned()
        };
        let Some(condition) = ready(now) else { return };
        let former = before.and_then(ready);
        let known = former.is_some_and(|former| {
            (former.status, former.reason, former.observed_generation)
                == (condition.status.clone(), condition.reason.clone(), condition.observed_generation)
        });
        if known {
            return;
        }
        let refused = !now.problems.is_empty();
        let words: Vec<String> = now.problems.iter().map(crate::in_words).collect();
        let note = if refused { words.join("\n") } else { condition.message.clone() };
        let kind = if refused { EventType::Warning } else { EventType::Normal };
        self.event(object, kind, &condition.reason, "Judge", &note).await;
    }
}

fn too_many() -> PolicyProblem {
    let Quota { objects, bytes } = POLICIES_OF_A_TENANT;
    problem(
        "metadata.namespace",
        &format!(
            "the namespace holds more policies than the operator keeps of one: {objects}, which take {} MiB of memory in all; \
             the oldest are kept",
            bytes / (1024 * 1024)
        ),
        "Delete policies that are no longer needed, or join them.",
    )
}

fn unreadable() -> PolicyProblem {
    problem(
        "spec",
        "this is not a CompliancePolicy that this release of the operator can read",
        "Apply it with the schema of this release; `kubectl apply --server-side --dry-run=server` names the field.",
    )
}

fn defect() -> PolicyProblem {
    problem("spec", "the policy could not be judged; this is a defect of the operator", "Report it.")
}
