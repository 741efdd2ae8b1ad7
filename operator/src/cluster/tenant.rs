//! A `CrmTenant` in; its keys, databases and everything that runs out, and a status that says how far each part is.
//!
//! In five steps: dereference, validate, build, apply, status. Every exit writes the status; a wait is a condition and
//! no failure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ApiResource, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Api, Client, Resource};
use novacrm_crds::CrmTenant;
use novacrm_crds::conditions::READY;
use novacrm_crds::crm_tenant::{BundleReference, CrmTenantStatus};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::apply::{self, Desired};
use super::watch::Guarded;
use super::{Cluster, Error, RESYNC, chain};
use crate::crm_tenant::build::{Resources, build, secrets};
use crate::crm_tenant::database::{self, Passwords, Server};
use crate::crm_tenant::dereference::{Dereferenced, Lookup, dereference};
use crate::crm_tenant::generate::{Content, Secrets, generate};
use crate::crm_tenant::names;
use crate::crm_tenant::status::{Observation, Progress, status};
use crate::crm_tenant::validate::{BundleRevision, Validated, validate};
use crate::problem;

/// Field manager of everything that runs for a tenant.
const MANAGER: &str = "novacrm-operator/crmtenant";
/// Field manager of a tenant's status.
const STATUS_MANAGER: &str = "novacrm-operator/crmtenant-status";
/// Label of the Secrets by which the platform team names database servers to the operator.
pub const SERVER_LABEL: &str = "novacrm.io/database-server";
/// How soon a tenant is looked at again that waits for something no watch tells of.
const SOON: Duration = Duration::from_secs(10);

/// The kinds that are applied, watched, and pruned.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<Job>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
    ]
}

/// Brings one tenant to where it should be.
///
/// # Errors
/// When the API server or the database server refuses something; it is tried again.
pub async fn reconcile(object: Arc<Guarded<CrmTenant>>, cluster: Arc<Cluster>) -> Result<Action, Error> {
    let Ok(tenant) = &object.0 else {
        let problem = problem(
            "spec",
            "this is not a CrmTenant that this release of the operator can read",
            "Apply it with the schema of this release; `kubectl apply --server-side --dry-run=server` names the field.",
        );
        let observed = Observation {
            generation: object.meta().generation.unwrap_or_default(),
            bundle: None,
            problems: vec![problem],
            parts: Vec::new(),
        };
        cluster.report_tenant(object.as_ref(), None, &observed).await?;
        return Ok(Action::await_change());
    };
    if tenant.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let work = Work { cluster: &cluster, tenant, namespace: tenant.namespace().unwrap_or_default() };
    let (observed, outcome) = work.run().await;
    cluster.report_tenant(object.as_ref(), tenant.status.as_ref(), &observed).await?;
    outcome
}

/// The database server that a tenant names, as the platform team described it.
#[derive(Clone)]
struct DatabaseServer {
    options: PgConnectOptions,
    address: Server,
}

/// What a tenant refers to, once it was fetched.
struct Fetched {
    server: Option<DatabaseServer>,
    older_tenants: usize,
}

impl Lookup for Fetched {
    // The rules of a tenant are a controller of their own.
    fn policies_of(&self, _namespace: &str) -> Vec<novacrm_engine_core::policy::CheckedPolicy> {
        Vec::new()
    }

    fn bundles_of(&self, _namespace: &str) -> Vec<BundleRevision> {
        Vec::new()
    }

    fn has_database_server(&self, _name: &str) -> bool {
        self.server.is_some()
    }

    fn tenants_in(&self, _namespace: &str) -> usize {
        self.older_tenants.saturating_add(1)
    }
}

struct Work<'a> {
    cluster: &'a Cluster,
    tenant: &'a CrmTenant,
    namespace: String,
}

impl Work<'_> {
    /// What is known at the end, and whether it worked.
    async fn run(&self) -> (Observation, Result<Action, Error>) {
        let given = self.cluster.given_to(&self.namespace).unwrap_or_default();
        let mut observed = Observation {
            generation: self.tenant.metadata.generation.unwrap_or_default(),
            bundle: given.bundle.map(|(digest, sequence)| BundleReference { digest, sequence }),
            problems: Vec::new(),
            parts: Vec::new(),
        };
        let rules = match (&observed.bundle, given.held_back) {
            (_, Some((_, why))) => Progress::Failed(why),
            (Some(_), None) => Progress::Available,
            (None, None) => Progress::Progressing("the policies are being combined".to_owned()),
        };
        observed.parts.push(("Rules", rules));
        let outcome = self.steps(&mut observed).await;
        if let Err(error) = &outcome {
            let part = match error {
                Error::Database(_) => "Database",
                Error::Generate(_) => "Keys",
                Error::Api { .. } | Error::Apply(_) | Error::NotReady(_) => "Objects",
            };
            observed.parts.push((part, Progress::Failed(chain(error))));
        }
        (observed, outcome)
    }

    async fn steps(&self, observed: &mut Observation) -> Result<Action, Error> {
        let (fetched, dereferenced) = self.dereference().await?;
        let validated = match validate(self.tenant, &dereferenced, &self.cluster.config.policy_namespace) {
            Ok(validated) => validated,
            Err(problems) => {
                observed.problems = problems;
                // What ran before goes on. A server that is named later is not seen by any watch.
                return Ok(Action::requeue(SOON * 6));
            }
        };
        let Some(server) = fetched.server else { return Ok(Action::requeue(SOON)) };
        let content = self.keys(&validated, &server).await?;
        self.databases(&server, &content).await?;
        observed.parts.push(("Database", Progress::Available));
        let resources = build(&validated, &self.cluster.config.settings);
        if observed.bundle.is_none() {
            // An engine without rules could only refuse.
            return Ok(Action::await_change());
        }
        let progress = self.apply(resources).await?;
        observed.parts.extend(progress);
        let waiting = observed.parts.iter().any(|(_, progress)| *progress != Progress::Available);
        Ok(Action::requeue(if waiting { SOON * 3 } else { RESYNC }))
    }

    async fn dereference(&self) -> Result<(Fetched, Dereferenced), Error> {
        let name = self.tenant.name_any();
        let tenants = self.cluster.tenants_in(&self.namespace);
        let older_tenants = tenants.iter().position(|(_, other)| *other == name).unwrap_or_default();
        let server = match &self.tenant.spec.database.managed {
            Some(managed) => self.server(&managed.server_ref.name).await?,
            None => None,
        };
        let fetched = Fetched { server, older_tenants };
        let dereferenced = dereference(self.tenant, &fetched);
        Ok((fetched, dereferenced))
    }

    /// The Secret in the operator's namespace that describes a database server.
    async fn server(&self, name: &str) -> Result<Option<DatabaseServer>, Error> {
        let namespace = &self.cluster.config.settings.operator_namespace;
        let api: Api<Secret> = Api::namespaced(self.cluster.client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(Error::api("reading the database server"))?;
        let Some(secret) = found else { return Ok(None) };
        if secret.labels().get(SERVER_LABEL).map(String::as_str) != Some("true") {
            return Ok(None);
        }
        let url = secret.data.as_ref().and_then(|data| data.get("url"));
        let parsed = url
            .and_then(|ByteString(bytes)| std::str::from_utf8(bytes).ok())
            .and_then(|url| url.trim().parse::<PgConnectOptions>().ok());
        Ok(parsed.map(|options| DatabaseServer {
            address: Server { host: options.get_host().to_owned(), port: options.get_port() },
            options,
        }))
    }

    /// Makes the keys that are absent and renews the certificates that are due.
    async fn keys(&self, validated: &Validated, server: &DatabaseServer) -> Result<Secrets, Error> {
        let api: Api<Secret> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let mut objects = BTreeMap::new();
        for reference in secrets(validated) {
            let found = api.get_opt(&reference.name).await.map_err(Error::api("reading a Secret"))?;
            objects.insert(reference.name, found);
        }
        let existing: Secrets = objects
            .iter()
            .filter_map(|(name, object)| Some((name.clone(), content(object.as_ref()?))))
            .collect();
        let made = generate(
            &self.namespace,
            &validated.spec().auth.bootstrap_admin.password_secret_ref,
            &existing,
            &server.address,
            OffsetDateTime::now_utc(),
            &mut rand::rng(),
        )?;
        for (name, content) in &made {
            let there = objects.get(name).and_then(Option::as_ref);
            let mut secret = Secret {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    namespace: Some(self.namespace.clone()),
                    labels: Some(self.labels(name)),
                    ..ObjectMeta::default()
                },
                data: Some(
                    content
                        .iter()
                        .map(|(key, value)| (key.clone(), ByteString(value.as_bytes().to_vec())))
                        .collect(),
                ),
                ..Secret::default()
            };
            // Never applied again: made once when absent, renewed at the version that was read.
            let written = match there {
                None => api.create(&PostParams::default(), &secret).await,
                Some(there) => {
                    secret.metadata = there.metadata.clone();
                    secret.type_.clone_from(&there.type_);
                    api.replace(name, &PostParams::default(), &secret).await
                }
            };
            match written {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                    return Err(Error::NotReady("somebody else wrote a Secret"));
                }
                Err(error) => return Err(Error::api("writing a Secret")(error)),
            }
        }
        let mut all = existing;
        all.extend(made);
        Ok(all)
    }

    fn labels(&self, name: &str) -> BTreeMap<String, String> {
        [
            ("app.kubernetes.io/name", name),
            ("app.kubernetes.io/part-of", "novacrm"),
            ("app.kubernetes.io/managed-by", "novacrm-operator"),
            ("novacrm.io/tenant", &self.namespace),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// Prepares the databases, when this process has not done so for these passwords and this server.
    async fn databases(&self, server: &DatabaseServer, secrets: &Secrets) -> Result<(), Error> {
        let urls = secrets.get(names::DATABASE);
        let passwords = Passwords::keep_or_make(urls, &mut rand::rng());
        let mut hasher = Sha256::new();
        for (key, value) in urls.into_iter().flatten() {
            hasher.update(key);
            hasher.update(value.as_bytes());
        }
        let wanted: [u8; 32] = hasher.finalize().into();
        let done = |map: &BTreeMap<String, [u8; 32]>| map.get(&self.namespace) == Some(&wanted);
        if done(&self.cluster.provisioned.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        database::provision(&server.options, &self.namespace, &passwords).await?;
        let mut map = self.cluster.provisioned.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(self.namespace.clone(), wanted);
        Ok(())
    }

    /// Writes what differs, in the order in which it is needed, and deletes what is no longer built. Deployments wait
    /// for the Jobs that prepare their databases.
    async fn apply(&self, resources: Resources) -> Result<Vec<(&'static str, Progress)>, Error> {
        let Resources {
            secrets: _,
            config_maps: _,
            service_accounts,
            jobs,
            deployments,
            services,
            network_policies,
            pod_disruption_budgets,
        } = resources;
        let mut first = Vec::new();
        desired(&mut first, &service_accounts)?;
        desired(&mut first, &network_policies)?;
        desired(&mut first, &services)?;
        desired(&mut first, &pod_disruption_budgets)?;
        desired(&mut first, &jobs)?;
        let mut last = Vec::new();
        desired(&mut last, &deployments)?;
        for object in &first {
            self.write(object).await?;
        }
        let prepared = self.jobs_progress(&jobs);
        if prepared == Progress::Available {
            for object in &last {
                self.write(object).await?;
            }
        }
        let wanted: BTreeSet<(String, String)> =
            first.iter().chain(&last).map(|object| (object.resource.kind.clone(), object.name())).collect();
        self.prune(&wanted).await?;
        let mut progress = vec![("Migrations", prepared)];
        for (part, name) in [("Engine", names::ENGINE), ("Api", names::API)] {
            progress.push((part, self.deployment_progress(name)));
        }
        Ok(progress)
    }

    async fn write(&self, object: &Desired) -> Result<(), Error> {
        let live = self.live(&object.resource.kind, &object.name());
        let wrote = object.apply(&self.cluster.client, live.as_deref(), MANAGER).await?;
        if wrote {
            tracing::info!(
                namespace = self.namespace,
                kind = object.resource.kind,
                name = object.name(),
                "applied"
            );
        }
        Ok(())
    }

    fn live(&self, kind: &str, name: &str) -> Option<Arc<DynamicObject>> {
        let (resource, index) = self.cluster.owned.get(kind)?;
        let reference =
            kube::runtime::reflector::ObjectRef::new_with(name, resource.clone()).within(&self.namespace);
        index.get(&reference)
    }

    fn live_as<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Option<T> {
        let object = self.live(kind, name)?;
        serde_json::to_value(object.as_ref()).ok().and_then(|value| serde_json::from_value(value).ok())
    }

    async fn prune(&self, wanted: &BTreeSet<(String, String)>) -> Result<(), Error> {
        let uid = self.tenant.uid().unwrap_or_default();
        for (kind, (resource, index)) in &self.cluster.owned {
            for live in index.all() {
                let ours = live.namespace().as_deref() == Some(&self.namespace)
                    && live.owner_references().iter().any(|owner| owner.uid == uid);
                let name = live.name_any();
                let rules = name == names::BUNDLE || name == names::BUNDLE_PREVIOUS;
                if ours && !rules && !wanted.contains(&(kind.clone(), name)) {
                    apply::delete(&self.cluster.client, resource, &live).await?;
                }
            }
        }
        Ok(())
    }

    fn jobs_progress(&self, jobs: &[Job]) -> Progress {
        for job in jobs {
            let name = job.name_any();
            let live: Option<Job> = self.live_as("Job", &name);
            let status = live.and_then(|job| job.status).unwrap_or_default();
            let is = |kind: &str| {
                let conditions = status.conditions.iter().flatten();
                conditions.into_iter().any(|condition| condition.type_ == kind && condition.status == "True")
            };
            if is("Failed") {
                let why = format!(
                    "Job {name} failed; `kubectl logs job/{name}` says why. What ran before goes on."
                );
                return Progress::Failed(why);
            }
            if !is("Complete") {
                return Progress::Progressing(format!("Job {name} prepares a database"));
            }
        }
        Progress::Available
    }

    fn deployment_progress(&self, name: &str) -> Progress {
        let Some(deployment) = self.live_as::<Deployment>("Deployment", name) else {
            return Progress::Progressing("it waits for the databases".to_owned());
        };
        let status = deployment.status.unwrap_or_default();
        let wanted = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let overdue = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.reason.as_deref() == Some("ProgressDeadlineExceeded"));
        if let Some(condition) = overdue {
            let why = condition.message.clone().unwrap_or_default();
            return Progress::Failed(format!("Deployment {name} does not get on: {why}"));
        }
        let seen = status.observed_generation >= deployment.metadata.generation;
        let updated = status.updated_replicas.unwrap_or_default();
        let available = status.available_replicas.unwrap_or_default();
        if seen && updated >= wanted && available >= wanted {
            return Progress::Available;
        }
        Progress::Progressing(format!("{available} of {wanted} pods of Deployment {name} are available"))
    }
}

fn desired<K>(into: &mut Vec<Desired>, objects: &[K]) -> Result<(), Error>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + serde::Serialize,
{
    for object in objects {
        into.push(Desired::of(object)?);
    }
    Ok(())
}

/// What a Secret holds, as text; keys with other content are left out.
fn content(secret: &Secret) -> Content {
    let data = secret.data.iter().flatten();
    data.filter_map(|(key, ByteString(bytes))| {
        Some((key.clone(), Zeroizing::new(std::str::from_utf8(bytes).ok()?.to_owned())))
    })
    .collect()
}

impl Cluster {
    /// Writes a tenant's status, when it changed.
    async fn report_tenant(
        &self,
        object: &Guarded<CrmTenant>,
        before: Option<&CrmTenantStatus>,
        observed: &Observation,
    ) -> Result<(), Error> {
        let now = status(observed, before, OffsetDateTime::now_utc());
        if before == Some(&now) {
            return Ok(());
        }
        let (namespace, name) = super::watch::key_of(object);
        write_status(&self.client, &namespace, &name, &now).await?;
        let ready = |status: &CrmTenantStatus| {
            status.conditions.iter().find(|condition| condition.type_ == READY).cloned()
        };
        let (former, condition) = (before.and_then(ready), ready(&now));
        let Some(condition) = condition else { return Ok(()) };
        let same = former.is_some_and(|former| {
            (former.status, former.reason) == (condition.status.clone(), condition.reason.clone())
        });
        if !same {
            let refused: Vec<String> = observed.problems.iter().map(crate::in_words).collect();
            let (kind, note) = match (refused.is_empty(), condition.reason.as_str()) {
                (false, _) => (EventType::Warning, refused.join("\n")),
                (true, novacrm_crds::conditions::REASON_FAILED) => (EventType::Warning, condition.message),
                (true, _) => (EventType::Normal, condition.message),
            };
            self.event(object, kind, &condition.reason, "Reconcile", &note).await;
        }
        Ok(())
    }
}

async fn write_status(
    client: &Client,
    namespace: &str,
    name: &str,
    status: &CrmTenantStatus,
) -> Result<(), Error> {
    let api: Api<CrmTenant> = Api::namespaced(client.clone(), namespace);
    let patch = serde_json::json!({
        "apiVersion": format!("{}/{}", novacrm_crds::GROUP, novacrm_crds::VERSION),
        "kind": "CrmTenant",
        "status": status,
    });
    let params = PatchParams::apply(STATUS_MANAGER).force();
    match api.patch_status(name, &params, &Patch::Apply(&patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(|_| ()).map_err(Error::api("writing the status")),
    }
}
