//! A tenant that is being deleted in; a last dump of it and, once that is whole, nothing else out.
//!
//! A finalizer stands only on a tenant whose `deletionPolicy` is `Delete`: databases and roles on a server are what
//! Kubernetes cannot collect. The way, each step of which may be done again wherever a former run ended:
//!
//! 1. It is confirmed by its id, in an annotation. Until then everything runs on.
//! 2. What runs ends, so that nothing is written after the dump.
//! 3. A Job of our own programs writes the dump to a volume. If it fails, everything stays as it is.
//! 4. The status says where the dump is. From here on data goes: databases, then roles, the mark of their tenant last.
//! 5. Keys and a PostgreSQL of the tenant's own are given to the tenant, for Kubernetes to collect them with it.
//! 6. The finalizer goes.
//!
//! `deletionPolicy: Retain` lets the tenant go at any point, with what is left of it kept.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Api, Resource};
use novacrm_crds::CrmTenant;
use novacrm_crds::conditions::{
    CONFIRM_DELETION_ANNOTATION, FINALIZER, REASON_DATABASE_REFUSED, REASON_DELETING,
    REASON_DELETION_UNCONFIRMED, REASON_DUMP_FAILED, REASON_LOST_KEY, REASON_NAMESPACE_TERMINATING,
};
use novacrm_crds::crm_tenant::{DatabaseType, DeletionPolicy, DumpReference};
use serde_json::{Value, json};

use super::tenant::{POSTGRESQL_CLUSTER, SOON, Work, contents, is, part_of};
use super::watch::Guarded;
use super::{Error, apply};
use crate::crm_tenant::build::{self, is_rolled_out, serving};
use crate::crm_tenant::database;
use crate::crm_tenant::generate::{TENANT_ID, is_ours};
use crate::crm_tenant::names;
use crate::crm_tenant::status::{Observation, Progress};
use crate::crm_tenant::validate::Validated;

/// Field manager of the finalizer, and of what is changed for a deletion.
const MANAGER: &str = "novacrm-operator/crmtenant-deletion";
/// The part of the status that says how far a deletion is.
const PART: &str = "Deletion";

/// What a tenant has that is deleted with it.
enum Holds {
    /// Databases and keys of its own, with what was recorded.
    Records,
    /// It came no further than its keys; databases may be there, and nothing is in them.
    Beginnings,
    /// What is there belongs to another tenant.
    Nothing,
}

impl Work<'_> {
    fn is_held(&self) -> bool {
        self.tenant.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
    }

    /// Puts the finalizer on a tenant whose data is to be deleted with it, and takes it off any other.
    pub(super) async fn hold(&self) -> Result<(), Error> {
        let deletes = self.tenant.spec.deletion_policy == DeletionPolicy::Delete;
        if deletes == self.is_held() { Ok(()) } else { self.set_finalizer(deletes).await }
    }

    async fn set_finalizer(&self, held: bool) -> Result<(), Error> {
        let mut finalizers = self.tenant.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        finalizers.extend(held.then(|| FINALIZER.to_owned()));
        let patch = json!({ "metadata": {
            "uid": self.tenant.uid(),
            "resourceVersion": self.tenant.resource_version(),
            "finalizers": finalizers,
        }});
        let api: Api<CrmTenant> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let name = self.tenant.name_any();
        let client = &self.cluster.client;
        match apply::patch(client, &api, &name, None, &params, &Patch::Merge(&patch)).await {
            Ok(()) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                Err(Error::NotReady("somebody else changed the tenant"))
            }
            Err(error) => Err(Error::api("changing the finalizer")(error)),
        }
    }

    /// Brings a tenant that is being deleted to its end.
    pub(super) async fn leave(&self, object: &Guarded<CrmTenant>) -> Result<Action, Error> {
        if !self.is_held() {
            // Kubernetes collects what runs; what has no owner stays.
            return Ok(Action::await_change());
        }
        if self.tenant.spec.deletion_policy == DeletionPolicy::Retain {
            self.set_finalizer(false).await?;
            return Ok(Action::await_change());
        }
        let generation = self.tenant.metadata.generation.unwrap_or_default();
        let mut observed = Observation::of(generation, self.tenant.status.as_ref());
        let (progress, outcome) = match self.delete(&mut observed).await {
            Ok(Some((progress, action))) => ((PART, progress), Ok(action)),
            Ok(None) => {
                tracing::info!(namespace = self.namespace, dump = ?observed.final_dump, "the tenant is deleted");
                let note = match &observed.final_dump {
                    Some(DumpReference { claim_name, folder }) => format!(
                        "Databases and keys are deleted. The last dump is in folder {folder} of \
                         PersistentVolumeClaim {claim_name}."
                    ),
                    None => "The tenant left no data.".to_owned(),
                };
                self.cluster.event(object, EventType::Normal, REASON_DELETING, "Delete", &note).await;
                self.set_finalizer(false).await?;
                return Ok(Action::await_change());
            }
            Err(error) => (part_of(&error), Err(error)),
        };
        observed.parts.push(progress);
        self.cluster.report_tenant(object, self.tenant.status.as_ref(), &observed).await?;
        outcome
    }

    /// The next step of a deletion; `None` when nothing is left to do.
    async fn delete(&self, observed: &mut Observation) -> Result<Option<(Progress, Action)>, Error> {
        let id = self.tenant.uid().unwrap_or_default();
        if self.tenant.annotations().get(CONFIRM_DELETION_ANNOTATION) != Some(&id) {
            let (namespace, name) = (&self.namespace, self.tenant.name_any());
            let why = format!(
                "everything runs on until it is confirmed that databases and keys go too: `kubectl annotate crmtenant \
                 --namespace {namespace} {name} {CONFIRM_DELETION_ANNOTATION}={id}`. To keep them, set \
                 spec.deletionPolicy to Retain."
            );
            let progress = Progress::Blocked(REASON_DELETION_UNCONFIRMED, why);
            return Ok(Some((progress, Action::await_change())));
        }
        let validated = Validated::leaving(self.tenant, &self.cluster.config.settings.version);
        let secrets = self.secrets(&build::secret_names(&validated)).await?;
        let holds = if observed.final_dump.is_some() {
            // What is missing since then is what this deletion took.
            self.holds_others(&secrets).unwrap_or(Holds::Records)
        } else {
            match self.holds(observed, &secrets) {
                Ok(holds) => holds,
                Err(progress) => return Ok(Some((progress, Action::requeue(SOON * 6)))),
            }
        };
        if matches!(holds, Holds::Nothing) {
            return Ok(None);
        }
        if let Some(waiting) = self.stop().await? {
            return Ok(Some((Progress::Progressing(waiting), Action::requeue(SOON))));
        }
        if observed.final_dump.is_none() && matches!(holds, Holds::Records) {
            return self.dump(observed, &validated).await.map(Some);
        }
        if let Some(progress) = self.delete_databases(&validated).await? {
            return Ok(Some((progress, Action::requeue(SOON * 6))));
        }
        self.give_away(&secrets).await?;
        Ok(None)
    }

    /// Whether what is there is another tenant's.
    fn holds_others(&self, secrets: &[Secret]) -> Option<Holds> {
        let contents = contents(secrets);
        let keys = contents.get(names::ENGINE_KEYS);
        let marked = keys.and_then(|keys| keys.get(TENANT_ID)).map(|id| id.as_str());
        let foreign = marked.is_some() && marked != self.tenant.uid().as_deref();
        (self.older_tenants() > 0 || foreign).then_some(Holds::Nothing)
    }

    /// What the tenant has; or why that cannot be said.
    fn holds(&self, observed: &Observation, secrets: &[Secret]) -> Result<Holds, Progress> {
        if let Some(holds) = self.holds_others(secrets) {
            return Ok(holds);
        }
        let is_there = |name: &str| secrets.iter().any(|secret| secret.name_any() == name);
        let deployments: Vec<Deployment> =
            [names::ENGINE, names::API].iter().filter_map(|name| self.live_as("Deployment", name)).collect();
        // A database of the operator's making has nothing in it before there is an address of it.
        let records = match self.tenant.spec.database.r#type {
            DatabaseType::Existing => observed.migrated.is_some() || serving(&deployments).is_some(),
            DatabaseType::Managed | DatabaseType::CloudNativePg => {
                observed.migrated.is_some() || is_there(names::DATABASE)
            }
        };
        if !records {
            return Ok(Holds::Beginnings);
        }
        let needed: Vec<&str> = match self.tenant.spec.database.r#type {
            DatabaseType::Existing => vec![names::ENGINE_KEYS],
            _ => vec![names::ENGINE_KEYS, names::DATABASE],
        };
        match needed.iter().find(|name| !is_there(name)) {
            None => Ok(Holds::Records),
            Some(missing) => {
                let why = format!(
                    "Secret {missing} is gone, and without it there is no last dump. Nothing was deleted. Restore it, or \
                     set spec.deletionPolicy to Retain to keep what is left."
                );
                Err(Progress::Blocked(REASON_LOST_KEY, why))
            }
        }
    }

    /// Ends what runs; says what still does.
    async fn stop(&self) -> Result<Option<String>, Error> {
        let mut waiting = None;
        for name in [names::ENGINE, names::API] {
            if let (Some(live), Some(shelf)) = (
                self.live("HorizontalPodAutoscaler", name),
                self.cluster.owned.get("HorizontalPodAutoscaler"),
            ) {
                apply::delete(&self.cluster.client, shelf.resource(), &live).await?;
            }
            let Some(deployment) = self.live_as::<Deployment>("Deployment", name) else { continue };
            if deployment.spec.as_ref().and_then(|spec| spec.replicas) != Some(0) {
                let api: Api<Deployment> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
                let patch = json!({ "spec": { "replicas": 0 } });
                let params =
                    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
                match apply::patch(&self.cluster.client, &api, name, None, &params, &Patch::Merge(&patch))
                    .await
                {
                    Ok(()) => {}
                    Err(kube::Error::Api(status)) if status.is_not_found() => continue,
                    Err(error) => return Err(Error::api("ending what runs")(error)),
                }
                waiting = Some(format!("Deployment {name} ends"));
            } else if !is_rolled_out(&deployment) {
                waiting = Some(format!("Deployment {name} ends"));
            }
        }
        if let Some(shelf) = self.cluster.owned.get("Job") {
            let migrates =
                |name: &str| name.starts_with(names::ENGINE_MIGRATE) || name.starts_with(names::API_MIGRATE);
            let found = shelf.of(&self.namespace).into_iter().filter(|(name, _)| migrates(name));
            let mut jobs = found.filter_map(|(name, _)| self.live_as::<Job>("Job", &name));
            if let Some(job) = jobs.find(|job| !is(job, "Complete") && !is(job, "Failed")) {
                waiting = Some(format!("Job {} ends", job.name_any()));
            }
        }
        Ok(waiting)
    }

    /// Has the last dump made; notes it when it is whole.
    async fn dump(
        &self,
        observed: &mut Observation,
        validated: &Validated,
    ) -> Result<(Progress, Action), Error> {
        let build::Dump { reference, claim, job } = build::dump(validated, &self.cluster.config.settings);
        let name = job.name_any();
        let Some(live) = self.live_as::<Job>("Job", &name) else {
            if let Some(claim) = claim
                && let Some(blocked) = self.create::<PersistentVolumeClaim>(&claim).await?
            {
                return Ok((blocked, Action::requeue(SOON * 6)));
            }
            if let Some(blocked) = self.create::<Job>(&job).await? {
                return Ok((blocked, Action::requeue(SOON * 6)));
            }
            return Ok((self.dumping(&name, &reference), Action::requeue(SOON)));
        };
        if is(&live, "Complete") {
            let progress =
                format!("the last dump is in folder {} of claim {}", reference.folder, reference.claim_name);
            observed.final_dump = Some(reference);
            // Nothing is deleted before the status says where the dump is.
            return Ok((Progress::Progressing(progress), Action::requeue(std::time::Duration::ZERO)));
        }
        if is(&live, "Failed") {
            let namespace = &self.namespace;
            let why = format!(
                "the last dump failed, and nothing was deleted. `kubectl logs --namespace {namespace} job/{name} \
                 --all-containers` says why. Delete the Job to try again, or set spec.deletionPolicy to Retain to keep \
                 databases and keys and let the tenant go."
            );
            return Ok((Progress::Blocked(REASON_DUMP_FAILED, why), Action::await_change()));
        }
        Ok((self.dumping(&name, &reference), Action::requeue(SOON * 3)))
    }

    fn dumping(&self, job: &str, to: &DumpReference) -> Progress {
        Progress::Progressing(format!(
            "Job {job} writes the last dump to folder {} of claim {}",
            to.folder, to.claim_name
        ))
    }

    /// Creates an object that is not there; says what stands against it.
    async fn create<K>(&self, object: &K) -> Result<Option<Progress>, Error>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match api.create(&params, object).await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(kube::Error::Api(status)) if is_terminating(&status) => {
                let why = "the namespace is being deleted too, so no last dump can be made in it. Nothing was deleted on \
                           the database server. Set spec.deletionPolicy to Retain to keep the databases and let both go; \
                           next time delete the tenant first and its namespace afterwards."
                    .to_owned();
                Ok(Some(Progress::Blocked(REASON_NAMESPACE_TERMINATING, why)))
            }
            Err(error) => Err(Error::api("making the last dump")(error)),
        }
    }

    /// Deletes databases and roles on a server of the platform team's; says what stands against it.
    async fn delete_databases(&self, validated: &Validated) -> Result<Option<Progress>, Error> {
        let Some(managed) = &self.tenant.spec.database.managed else { return Ok(None) };
        let name = &managed.server_ref.name;
        let Some(server) = self.server(name).await? else {
            let why = format!(
                "the operator knows no database server {name} any more, so databases and roles cannot be deleted. Describe \
                 it again, or set spec.deletionPolicy to Retain to leave them."
            );
            return Ok(Some(Progress::Blocked(REASON_DATABASE_REFUSED, why)));
        };
        let outcome = database::drop_databases(&server.url, &server.address, &validated.identity()).await?;
        tracing::info!(namespace = self.namespace, ?outcome, "databases deleted");
        Ok(None)
    }

    /// Gives the tenant what would outlive it, so that Kubernetes collects it with the tenant. The dump is not among it.
    async fn give_away(&self, secrets: &[Secret]) -> Result<(), Error> {
        let Some(owner) = self.tenant.controller_owner_ref(&()) else { return Ok(()) };
        // Kept by nobody: it must not hold the tenant.
        let owner = OwnerReference { block_owner_deletion: None, ..owner };
        let mut known = secrets.to_vec();
        for secret in secrets.iter().filter(|secret| is_ours(secret)) {
            if secret.owner_references().is_empty() {
                let mut secret = secret.clone();
                secret.owner_references_mut().push(owner.clone());
                self.write_secret(secret, &mut known).await?;
            }
        }
        if self.tenant.spec.database.r#type != DatabaseType::CloudNativePg {
            return Ok(());
        }
        let optional = self.optional().await?;
        let Some((resource, live)) = optional.get(POSTGRESQL_CLUSTER).and_then(Option::as_ref) else {
            return Ok(());
        };
        let mut clusters = live.iter().filter(|live| live.name_any() == names::DATABASE);
        if clusters.any(|cluster| cluster.owner_references().is_empty()) {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.cluster.client.clone(), &self.namespace, resource);
            let patch: Value = json!({ "metadata": { "ownerReferences": [owner] } });
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            match api.patch(names::DATABASE, &params, &Patch::Merge(&patch)).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                other => drop(other.map_err(Error::api("giving the PostgreSQL to the tenant"))?),
            }
        }
        Ok(())
    }
}

/// Whether a request was refused because its namespace is being deleted.
fn is_terminating(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}
