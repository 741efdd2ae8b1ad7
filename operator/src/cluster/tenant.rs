//! A `CrmTenant` in; its keys, databases and everything that runs out, and a status that says how far each part is.
//!
//! In five steps: dereference, validate, build, apply, status. Every exit writes the status; a wait is a condition and
//! no failure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, ResourceExt};
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource};
use novacrm_crds::CrmTenant;
use novacrm_crds::compliance_policy::PolicyProblem;
use novacrm_crds::conditions::{
    READY, REASON_DELETION_UNCONFIRMED, REASON_DUMP_FAILED, REASON_FAILED, REASON_MISSING_API,
    REASON_NAMESPACE_TERMINATING, REASON_SIGNING_KEY,
};
use novacrm_crds::crm_tenant::{BundleReference, CrmTenantStatus, DatabaseType};
use novacrm_service::error::chain;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::apply::{self, Desired};
use super::rules::Given;
use super::watch::{Guarded, Head, Source, WatchError, list_once};
use super::{Cluster, Error, RESYNC, write_status};
use crate::crm_tenant::build::{
    Resources, SECRETS_DIGEST, Settings, Surroundings, build, build_all, is_rolled_out, migration,
    secret_names, serving,
};
use crate::crm_tenant::database::{self, DatabaseError, Outcome, Prepared, Server};
use crate::crm_tenant::dereference::{Dereferenced, Lookup, dereference};
use crate::crm_tenant::generate::{self, Secrets, digests};
use crate::crm_tenant::status::{Authenticity, FOREIGN_IS_TOLD_FOR, Observation, Progress, status};
use crate::crm_tenant::validate::{BundleRevision, Validated, validate};
use crate::crm_tenant::{
    ADOPT_ANNOTATION, SEND_LABEL, SEND_TO_RECOGNISER, SERVER_NAMESPACES_ANNOTATION, limits, names,
};
use crate::problem;

/// Field manager of everything that runs for a tenant.
const MANAGER: &str = "novacrm-operator/crmtenant";
/// Field manager of a tenant's Secrets.
const SECRET_MANAGER: &str = "novacrm-operator/crmtenant-secrets";
/// Field manager of a tenant's status.
const STATUS_MANAGER: &str = "novacrm-operator/crmtenant-status";
/// Field manager of `replicas` on their way from the operator to an autoscaler.
const REPLICAS_MANAGER: &str = "novacrm-operator/crmtenant-replicas";
/// Label of the Secrets by which the platform team names database servers to the operator.
pub const SERVER_LABEL: &str = "novacrm.io/database-server";
/// How soon a tenant is looked at again that waits for something no watch tells of.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// The kinds that are applied, watched, and pruned.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        ApiResource::erase::<Ingress>(&()),
        ApiResource::erase::<Job>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<Role>(&()),
        ApiResource::erase::<RoleBinding>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
    ]
}

/// `Cluster` of `postgresql.cnpg.io/v1`.
pub(super) const POSTGRESQL_CLUSTER: &str = "Cluster";
/// `ServiceMonitor` of `monitoring.coreos.com/v1`.
const SERVICE_MONITOR: &str = "ServiceMonitor";

/// Objects of a kind that a cluster may lack of which a tenant may have so many, of so many bytes each. It has one.
const MOST_OPTIONAL: usize = 16;
const LARGEST_OPTIONAL: usize = 256 * 1024;

/// The kinds that a cluster may lack.
fn optional_kinds() -> [ApiResource; 3] {
    [
        ("postgresql.cnpg.io", POSTGRESQL_CLUSTER, "clusters"),
        ("gateway.networking.k8s.io", "HTTPRoute", "httproutes"),
        ("monitoring.coreos.com", SERVICE_MONITOR, "servicemonitors"),
    ]
    .map(|(group, kind, plural)| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural)
    })
}

/// Brings one tenant to where it should be.
///
/// # Errors
/// When the API server or the database server refuses something; it is tried again.
pub async fn reconcile(object: Arc<Guarded<CrmTenant>>, cluster: Arc<Cluster>) -> Result<Action, Error> {
    let Ok(tenant) = &object.0 else {
        let problem = match super::watch::is_crowded(object.as_ref()) {
            true => problem(
                "metadata.namespace",
                "the namespace holds more CrmTenants than the operator keeps, and only the oldest of them can run",
                "Delete this one, or move it to a namespace of its own.",
            ),
            false => problem(
                "spec",
                "this is not a CrmTenant that this release of the operator can read",
                "Apply it with the schema of this release; `kubectl apply --server-side --dry-run=server` names the field.",
            ),
        };
        let before = cluster.status_before(object.as_ref(), |tenant| tenant.status.clone());
        let generation = object.meta().generation.unwrap_or_default();
        let observed =
            Observation { problems: vec![problem], ..Observation::of(generation, before.as_ref()) };
        cluster.report_tenant(object.as_ref(), before.as_ref(), &observed).await?;
        return Ok(Action::await_change());
    };
    let work = Work { cluster: &cluster, tenant, namespace: tenant.namespace().unwrap_or_default() };
    if tenant.metadata.deletion_timestamp.is_some() {
        return work.leave(object.as_ref()).await;
    }
    let (observed, outcome) = work.run().await;
    cluster.report_tenant(object.as_ref(), tenant.status.as_ref(), &observed).await?;
    outcome
}

/// What an error says of which part.
pub(super) fn part_of(error: &Error) -> (&'static str, Progress) {
    let part = match error {
        Error::Database(_) => "Database",
        Error::Generate(_) => "Keys",
        Error::Api { .. } | Error::Apply(_) | Error::NotReady(_) => "Objects",
    };
    let progress = match error {
        Error::Database(why) => Progress::Blocked(why.reason(), chain(error)),
        Error::Generate(why) => Progress::Blocked(why.reason(), chain(error)),
        _ => Progress::Failed(chain(error)),
    };
    (part, progress)
}

/// The database server that a tenant names, as the platform team described it.
#[derive(Clone)]
pub(super) struct DatabaseServer {
    /// Its administrator's address, password included.
    pub(super) url: Zeroizing<String>,
    pub(super) address: Server,
    /// The namespaces whose tenants may use it; all when absent.
    pub(super) namespaces: Option<String>,
}

/// Kinds that a cluster may lack, and the tenant's objects of each.
pub(super) type Optional = BTreeMap<String, Option<(ApiResource, Vec<DynamicObject>)>>;

/// What a tenant refers to, once it was fetched.
struct Fetched {
    server: Option<DatabaseServer>,
    older_tenants: usize,
    release: String,
    taken_hostnames: Vec<String>,
    confirmed_adoption: Option<String>,
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

    fn may_use_database_server(&self, _name: &str, namespace: &str) -> bool {
        let namespaces = self.server.as_ref().and_then(|server| server.namespaces.as_ref());
        namespaces.is_none_or(|list| limits::is_listed(list, namespace))
    }

    fn taken_hostnames(&self, _tenant: &CrmTenant) -> Vec<String> {
        self.taken_hostnames.clone()
    }

    fn confirmed_adoption(&self, _namespace: &str) -> Option<String> {
        self.confirmed_adoption.clone()
    }

    fn release(&self) -> &str {
        &self.release
    }

    fn tenants_in(&self, _namespace: &str) -> usize {
        self.older_tenants.saturating_add(1)
    }
}

pub(super) struct Work<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) tenant: &'a CrmTenant,
    pub(super) namespace: String,
}

impl Work<'_> {
    /// What is known at the end, and whether it worked.
    async fn run(&self) -> (Observation, Result<Action, Error>) {
        // Until this process has combined the policies, the engines have what the status says.
        let known = self.tenant.status.as_ref().and_then(|status| status.bundle.clone());
        let given = self.cluster.given_to(&self.namespace);
        let authenticity = match &given {
            None => Authenticity::Unknown,
            Some(Given { foreign: Some(foreign), .. })
                if OffsetDateTime::now_utc() - foreign.at < FOREIGN_IS_TOLD_FOR =>
            {
                Authenticity::Foreign(foreign.message.clone())
            }
            Some(_) => Authenticity::Authentic,
        };
        let given = given.unwrap_or_else(|| Given {
            bundle: known.map(|bundle| (bundle.digest, bundle.sequence)),
            ..Given::default()
        });
        let generation = self.tenant.metadata.generation.unwrap_or_default();
        let mut observed = Observation {
            bundle: given.bundle.map(|(digest, sequence)| BundleReference { digest, sequence }),
            rules: authenticity,
            ..Observation::of(generation, self.tenant.status.as_ref())
        };
        let unsigned = self.cluster.signing.keys().err();
        let can_build = unsigned.is_none();
        let rules = match (unsigned, &observed.bundle, given.held_back) {
            (Some(why), ..) => Progress::Blocked(REASON_SIGNING_KEY, why),
            (None, _, Some((_, why))) => Progress::Failed(why),
            (None, Some(_), None) => Progress::Available,
            (None, None, None) => Progress::Progressing("the policies are being combined".to_owned()),
        };
        observed.parts.push(("Rules", rules));
        if !can_build {
            // Pods that trust no key would take no rules. What runs goes on.
            return (observed, Ok(Action::requeue(SOON)));
        }
        let outcome = self.steps(&mut observed).await;
        observed.parts.extend(outcome.as_ref().err().map(part_of));
        (observed, outcome)
    }

    async fn steps(&self, observed: &mut Observation) -> Result<Action, Error> {
        // Before anything is made that it would hold.
        self.hold().await?;
        let (fetched, dereferenced) = self.dereference().await?;
        let config = &self.cluster.config;
        let validated =
            validate(self.tenant, &dereferenced, &config.policy_namespace, &config.settings.limits);
        let validated = match validated {
            Ok(validated) => validated,
            Err(problems) => {
                observed.problems = problems;
                // What ran before goes on. A server that is named later is not seen by any watch.
                return Ok(Action::requeue(SOON * 6));
            }
        };
        let now = OffsetDateTime::now_utc();
        let mut wanted = secret_names(&validated);
        if validated.spec().database.r#type == DatabaseType::CloudNativePg {
            wanted.push(names::CLOUD_NATIVE_PG_CA.to_owned());
        }
        let mut secrets = self.secrets(&wanted).await?;
        observed.problems = self.check_sent(&secrets);
        if !observed.problems.is_empty() {
            return Ok(Action::requeue(SOON * 6));
        }
        observed.hostnames = match validated.spec().exposure {
            Some(_) => validated.spec().hostnames.clone(),
            None => Vec::new(),
        };
        let due = generate::plan(&validated, &secrets, now, &mut rand::rng())?;
        for secret in due {
            self.write_secret(secret, &mut secrets).await?;
        }
        let optional = self.optional().await?;
        let settings = Settings {
            service_monitors: optional.get(SERVICE_MONITOR).is_some_and(Option::is_some),
            ..self.cluster.settings()
        };
        let deployments: Vec<Deployment> = [names::ENGINE, names::API]
            .into_iter()
            .filter_map(|name| self.live_as("Deployment", name))
            .collect();
        let mut surroundings = Surroundings {
            database_port: fetched.server.as_ref().map_or(5432, |server| server.address.port),
            migrated: observed.migrated.clone().or_else(|| serving(&deployments)),
            digests: digests(&contents(&secrets)),
        };
        let cluster = build(&validated, &settings, &surroundings).postgresql_clusters;
        self.write_optional(&cluster, &optional, observed).await?;
        let database = match self.database_server(&validated, fetched.server, &secrets, &optional) {
            Ok(server) => self.databases(&validated, server, &mut secrets, &deployments, &settings).await?,
            Err(waiting) => waiting,
        };
        let prepared = database.is_available();
        observed.parts.push(("Database", database));
        if !prepared {
            return Ok(Action::requeue(SOON));
        }
        if observed.bundle.is_none() {
            // An engine without rules could only refuse.
            return Ok(Action::await_change());
        }
        surroundings.digests = digests(&contents(&secrets));
        if let Some(waiting) = self.awaits_sent(&secrets) {
            observed.parts.push(("Engine", Progress::Progressing(waiting)));
            return Ok(Action::requeue(SOON * 3));
        }
        let mut resources = build(&validated, &settings, &surroundings);
        let migrations = self.jobs_progress(&resources.jobs);
        if migrations == Progress::Available {
            observed.migrated = match validated.spec().suspend {
                true => surroundings.migrated.clone(),
                false => Some(migration(&validated, &settings)),
            };
            surroundings.migrated.clone_from(&observed.migrated);
            resources = build(&validated, &settings, &surroundings);
        }
        observed.parts.push(("Migrations", migrations));
        let progress = self.apply(resources, &optional, observed).await?;
        observed.parts.extend(progress);
        observed.suspended = validated.spec().suspend
            && deployments
                .iter()
                .all(|live| live.status.as_ref().is_none_or(|status| status.replicas.unwrap_or(0) == 0));
        let waiting = observed.parts.iter().any(|(_, progress)| !progress.is_available());
        Ok(Action::requeue(if waiting { SOON * 3 } else { RESYNC }))
    }

    /// How many tenants of the namespace were there before this one.
    pub(super) fn older_tenants(&self) -> usize {
        let name = self.tenant.name_any();
        let tenants = self.cluster.tenants_in(&self.namespace);
        tenants.iter().position(|(_, other)| *other == name).unwrap_or_default()
    }

    async fn dereference(&self) -> Result<(Fetched, Dereferenced), Error> {
        let older_tenants = self.older_tenants();
        let server = match &self.tenant.spec.database.managed {
            Some(managed) => self.server(&managed.server_ref.name).await?,
            None => None,
        };
        let fetched = Fetched {
            server,
            older_tenants,
            release: self.cluster.config.settings.version.clone(),
            taken_hostnames: self.cluster.taken_hostnames(self.tenant),
            confirmed_adoption: self.confirmed_adoption().await?,
        };
        let dereferenced = dereference(self.tenant, &fetched);
        Ok((fetched, dereferenced))
    }

    /// What the platform team confirmed on the Namespace. It is read where the tenant asks to take something over, which is
    /// seldom.
    async fn confirmed_adoption(&self) -> Result<Option<String>, Error> {
        if self.tenant.spec.adopt_tenant_id.is_none() {
            return Ok(None);
        }
        let api: Api<Namespace> = Api::all(self.cluster.client.clone());
        // Listed by its name, which the operator may; it may not get it.
        let selection = ListParams::default().fields(&format!("metadata.name={}", self.namespace));
        let found = api.list_metadata(&selection).await.map_err(Error::api("reading the Namespace"))?;
        Ok(found.items.first().and_then(|namespace| namespace.annotations().get(ADOPT_ANNOTATION).cloned()))
    }

    /// Whether the Secrets whose values go to somebody else are meant for it.
    fn check_sent(&self, secrets: &[Secret]) -> Vec<PolicyProblem> {
        let reference = self.tenant.spec.recogniser.as_ref().and_then(|one| one.key_secret_ref.as_ref());
        let found = reference.and_then(|key| secrets.iter().find(|secret| secret.name_any() == key.name));
        let unmarked = found
            .filter(|secret| secret.labels().get(SEND_LABEL).map(String::as_str) != Some(SEND_TO_RECOGNISER));
        let problem = unmarked.map(|_| {
            problem(
                "spec.recogniser.keySecretRef.name",
                "this Secret does not say that it may be sent to a recogniser",
                "Have whoever owns the Secret give it the label `novacrm.io/send-to: recogniser`.",
            )
        });
        problem.into_iter().collect()
    }

    /// A Secret that is sent to somebody else and is not there: nothing is made that would take it unseen.
    fn awaits_sent(&self, secrets: &[Secret]) -> Option<String> {
        let key = self.tenant.spec.recogniser.as_ref()?.key_secret_ref.as_ref()?;
        let missing = !secrets.iter().any(|secret| secret.name_any() == key.name);
        missing.then(|| format!("there is no Secret {} yet, which the recogniser's key is in", key.name))
    }

    /// The Secret in the operator's namespace that describes a database server. It is read once for all tenants, and
    /// again when the watch tells of another version.
    pub(super) async fn server(&self, name: &str) -> Result<Option<DatabaseServer>, Error> {
        let namespace = &self.cluster.config.settings.operator_namespace;
        let watched = self.cluster.servers.get(&ObjectRef::new(name).within(namespace));
        let version = watched.and_then(|server| server.resource_version());
        if let Some(server) = self.cluster.known_server(name, version.as_deref()) {
            return Ok(Some(server));
        }
        let api: Api<Secret> = Api::namespaced(self.cluster.client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(Error::api("reading the database server"))?;
        let Some(secret) = found else { return Ok(None) };
        if secret.labels().get(SERVER_LABEL).map(String::as_str) != Some("true") {
            return Ok(None);
        }
        let mut content = generate::content(&secret);
        let url = content.remove("url").ok_or(DatabaseError::Address)?;
        let url = Zeroizing::new(url.trim().to_owned());
        let roots = content.remove(names::DATABASE_ROOTS).map(|roots| roots.to_string());
        let namespaces = secret.annotations().get(SERVER_NAMESPACES_ANNOTATION).cloned();
        let server = DatabaseServer { address: Server::of(&url, roots)?, url, namespaces };
        self.cluster.learn_server(name, secret.resource_version(), &server);
        Ok(Some(server))
    }

    /// Secrets of the namespace, as far as they are there: those that the operator made in one request, and others by
    /// their names. They are read and not taken from a store, because passwords are decided by what they say.
    pub(super) async fn secrets(&self, names: &[String]) -> Result<Vec<Secret>, Error> {
        let api: Api<Secret> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        // Others may have the label too, and are passed over one by one.
        let ours = Source::whole(api.clone()).labels(super::MANAGED);
        let mut found: Vec<Secret> = Vec::new();
        let listed = list_once(&ours, |object| {
            if Head::of(object).is_ok_and(|head| names.contains(&head.name)) {
                found.extend(serde_json::from_str::<Secret>(object.get()).ok());
            }
        });
        listed.await.map_err(Error::listing("reading the Secrets"))?;
        for name in names {
            if !found.iter().any(|secret| secret.metadata.name.as_ref() == Some(name)) {
                found.extend(api.get_opt(name).await.map_err(Error::api("reading a Secret"))?);
            }
        }
        Ok(found)
    }

    /// Never applied: created when absent, replaced at the version that was read.
    pub(super) async fn write_secret(&self, secret: Secret, known: &mut Vec<Secret>) -> Result<(), Error> {
        let api: Api<Secret> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let parameters =
            PostParams { field_manager: Some(SECRET_MANAGER.to_owned()), ..PostParams::default() };
        let written = match secret.metadata.resource_version {
            None => api.create(&parameters, &secret).await,
            Some(_) => api.replace(&secret.name_any(), &parameters, &secret).await,
        };
        match written {
            Ok(written) => {
                known.retain(|one| one.metadata.name != written.metadata.name);
                known.push(written);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Err(Error::NotReady("somebody else wrote a Secret"))
            }
            Err(error) => Err(Error::api("writing a Secret")(error)),
        }
    }

    /// The server on which the operator makes the tenant's databases; `None` where the platform team made them. Or what
    /// it waits for.
    pub(super) fn database_server(
        &self,
        validated: &Validated,
        managed: Option<DatabaseServer>,
        secrets: &[Secret],
        optional: &Optional,
    ) -> Result<Option<DatabaseServer>, Progress> {
        match validated.spec().database.r#type {
            DatabaseType::Managed => Ok(managed),
            DatabaseType::Existing => {
                let there: BTreeSet<String> = secrets.iter().map(ResourceExt::name_any).collect();
                match secret_names(validated).into_iter().find(|name| !there.contains(name)) {
                    None => Ok(None),
                    Some(name) => Err(Progress::Progressing(format!("there is no Secret {name} yet"))),
                }
            }
            DatabaseType::CloudNativePg => {
                let live = optional.get(POSTGRESQL_CLUSTER).and_then(Option::as_ref);
                let ready = live
                    .into_iter()
                    .flat_map(|(_, objects)| objects)
                    .filter(|object| object.name_any() == names::DATABASE)
                    .any(|object| {
                        let ready = object.data.pointer("/status/readyInstances");
                        ready.and_then(serde_json::Value::as_i64).is_some_and(|ready| ready > 0)
                    });
                let contents = contents(secrets);
                let authority = contents.get(names::CLOUD_NATIVE_PG_CA);
                database::cloud_native_pg(
                    &self.namespace,
                    contents.get(names::DATABASE_ADMINISTRATOR),
                    authority,
                )
                .filter(|_| ready)
                .map(|(address, url)| Some(DatabaseServer { address, url, namespaces: None }))
                .ok_or_else(|| Progress::Progressing("CloudNativePG starts the cluster".to_owned()))
            }
        }
    }

    /// Brings databases, roles and logins to where they should be, then the Secret that says how they are reached. What
    /// this process did already for the same server and logins is not done again.
    async fn databases(
        &self,
        validated: &Validated,
        server: Option<DatabaseServer>,
        secrets: &mut Vec<Secret>,
        deployments: &[Deployment],
        settings: &Settings,
    ) -> Result<Progress, Error> {
        let (Some(server), Some(days)) = (server, validated.spec().database.rotate_after_days()) else {
            return Ok(Progress::Available);
        };
        let all = contents(secrets);
        let rolled_out = self.uses_logins(validated, settings, &all, deployments);
        let Prepared { mut plan, secret, step } = database::prepare(
            validated.identity(),
            &server.address,
            all.get(names::DATABASE),
            time::Duration::days(days.into()),
            rolled_out,
            OffsetDateTime::now_utc(),
            &mut rand::rng(),
        );
        plan.limits = settings.connections_of(validated.spec());
        let mut hasher = Sha256::new_with_prefix(server.url.as_bytes());
        for limit in [plan.limits.api, plan.limits.audit, plan.limits.migrator] {
            hasher.update(limit.to_be_bytes());
        }
        for (key, value) in &secret {
            hasher.update(key);
            hasher.update(value.as_bytes());
        }
        let wanted: [u8; 32] = hasher.finalize().into();
        let done = |map: &BTreeMap<String, ([u8; 32], Progress)>| {
            map.get(&self.namespace).filter(|(done, _)| *done == wanted).map(|(_, progress)| progress.clone())
        };
        if let Some(progress) = done(&self.cluster.provisioned.lock().unwrap_or_else(PoisonError::into_inner))
        {
            return Ok(progress);
        }
        let outcome = database::ensure_databases(&server.url, &server.address, &plan).await?;
        tracing::info!(namespace = self.namespace, ?step, ?outcome, "databases");
        if all.get(names::DATABASE) != Some(&secret) {
            let there = secrets.iter().find(|one| one.metadata.name.as_deref() == Some(names::DATABASE));
            let object = generate::write(validated, names::DATABASE, secret, there);
            self.write_secret(object, secrets).await?;
        }
        let mut map = self.cluster.provisioned.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = database_progress(&server.address, &outcome);
        map.insert(self.namespace.clone(), (wanted, progress.clone()));
        Ok(progress)
    }

    /// Whether every pod was made with the logins that the Secret has now.
    fn uses_logins(
        &self,
        validated: &Validated,
        settings: &Settings,
        secrets: &Secrets,
        live: &[Deployment],
    ) -> bool {
        let digest = |deployment: &Deployment| {
            let template = deployment.spec.as_ref()?.template.metadata.as_ref()?;
            template.annotations.as_ref()?.get(SECRETS_DIGEST).cloned()
        };
        let surroundings = Surroundings { digests: digests(secrets), ..Surroundings::default() };
        let wanted = build_all(validated, settings, &surroundings).deployments;
        live.iter().all(|live| {
            let wanted = wanted.iter().find(|wanted| wanted.metadata.name == live.metadata.name);
            is_rolled_out(live) && wanted.is_some_and(|wanted| digest(wanted) == digest(live))
        })
    }

    /// Kinds that a cluster may lack, with the tenant's objects of each; `None` for a kind that this cluster has not, or
    /// that the operator may not use. They are few and seldom, so they are listed and not watched.
    pub(super) async fn optional(&self) -> Result<Optional, Error> {
        let mut kinds = Optional::new();
        for resource in optional_kinds() {
            if self.cluster.is_known_to_lack(&resource.kind) {
                kinds.insert(resource.kind, None);
                continue;
            }
            let scope = Some(self.namespace.clone());
            let ours = Source::dynamic(&self.cluster.client, &scope, &resource, true).labels(super::MANAGED);
            let mut there = Vec::new();
            let listed = list_once(&ours, |object| {
                let is_one_too_many = there.len() >= MOST_OPTIONAL || object.get().len() > LARGEST_OPTIONAL;
                let name = Head::of(object).map(|head| head.name).unwrap_or_default();
                if name.starts_with(super::shelf::PREFIX) && !is_one_too_many {
                    there.extend(serde_json::from_str::<DynamicObject>(object.get()).ok());
                }
            });
            let found = match listed.await {
                Ok(()) => Some((resource.clone(), there)),
                // By code: of a group that is not served, the API server knows not even a reason.
                Err(WatchError::Api(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => {
                    self.cluster.lacks(&resource.kind);
                    None
                }
                Err(error) => return Err(Error::listing("reading objects of an optional kind")(error)),
            };
            kinds.insert(resource.kind, found);
        }
        Ok(kinds)
    }

    async fn write_optional(
        &self,
        objects: &[DynamicObject],
        optional: &Optional,
        observed: &mut Observation,
    ) -> Result<(), Error> {
        for object in objects {
            let Some(types) = &object.types else { continue };
            let Some((resource, live)) = optional.get(&types.kind).and_then(Option::as_ref) else {
                let why = format!(
                    "this cluster has no {} ({}), or the operator may not use it",
                    types.kind, types.api_version
                );
                observed.parts.push(("Objects", Progress::Blocked(REASON_MISSING_API, why)));
                continue;
            };
            let live = live.iter().find(|live| live.metadata.name == object.metadata.name);
            let desired = Desired::dynamic(resource.clone(), object.clone());
            desired.apply(&self.cluster.client, live, MANAGER).await?;
        }
        Ok(())
    }

    /// Writes what differs, in the order in which it is needed, and deletes what is no longer built.
    async fn apply(
        &self,
        resources: Resources,
        optional: &Optional,
        observed: &mut Observation,
    ) -> Result<Vec<(&'static str, Progress)>, Error> {
        let Resources {
            secrets: _,
            config_maps: _,
            service_accounts,
            roles,
            role_bindings,
            // Before the databases.
            postgresql_clusters: _,
            jobs,
            deployments,
            horizontal_pod_autoscalers,
            services,
            ingresses,
            http_routes,
            service_monitors,
            network_policies,
            pod_disruption_budgets,
        } = resources;
        for autoscaler in &horizontal_pod_autoscalers {
            self.hand_over_replicas(autoscaler).await?;
        }
        let mut objects = Vec::new();
        desired(&mut objects, &service_accounts)?;
        desired(&mut objects, &roles)?;
        desired(&mut objects, &role_bindings)?;
        desired(&mut objects, &network_policies)?;
        desired(&mut objects, &services)?;
        desired(&mut objects, &pod_disruption_budgets)?;
        desired(&mut objects, &jobs)?;
        desired(&mut objects, &deployments)?;
        desired(&mut objects, &horizontal_pod_autoscalers)?;
        desired(&mut objects, &ingresses)?;
        for object in &objects {
            self.write(object).await?;
        }
        let others = [http_routes, service_monitors].concat();
        self.write_optional(&others, optional, observed).await?;
        let mut wanted: BTreeSet<(String, String)> =
            objects.iter().map(|object| (object.resource.kind.clone(), object.name())).collect();
        wanted.extend(others.iter().map(|object| {
            let kind = object.types.as_ref().map(|types| types.kind.clone());
            (kind.unwrap_or_default(), object.name_any())
        }));
        self.prune(&wanted, optional).await?;
        let mut progress = Vec::new();
        for (part, name) in [("Engine", names::ENGINE), ("Api", names::API)] {
            progress.push((part, self.deployment_progress(name)));
        }
        Ok(progress)
    }

    /// Before the field `replicas` of a Deployment is given up to an autoscaler that is about to be made: the API server
    /// sets a field that nobody holds any more to its default, which would be one pod. So another manager holds it at
    /// what it is, until the autoscaler changes it.
    async fn hand_over_replicas(&self, autoscaler: &HorizontalPodAutoscaler) -> Result<(), Error> {
        let name = autoscaler.name_any();
        let deployment: Option<Deployment> = self.live_as("Deployment", &name);
        let replicas = deployment.and_then(|deployment| deployment.spec?.replicas);
        let Some(replicas) = replicas.filter(|_| self.live("HorizontalPodAutoscaler", &name).is_none())
        else {
            return Ok(());
        };
        let spec = &autoscaler.spec;
        let replicas = replicas.min(spec.max_replicas).max(spec.min_replicas.unwrap_or(1));
        let patch = serde_json::json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "spec": { "replicas": replicas },
        });
        let api: Api<Deployment> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let params = PatchParams::apply(REPLICAS_MANAGER).force();
        apply::patch(&self.cluster.client, &api, &name, None, &params, &Patch::Apply(&patch))
            .await
            .map_err(Error::api("handing replicas over to the autoscaler"))
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

    pub(super) fn live(&self, kind: &str, name: &str) -> Option<Arc<DynamicObject>> {
        self.cluster.live(kind, &self.namespace, name)
    }

    pub(super) fn live_as<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Option<T> {
        self.cluster.live_as(kind, &self.namespace, name)
    }

    async fn prune(&self, wanted: &BTreeSet<(String, String)>, optional: &Optional) -> Result<(), Error> {
        for (resource, live) in self.superfluous(wanted, optional) {
            apply::delete(&self.cluster.client, &resource, &live).await?;
        }
        Ok(())
    }

    /// What was built for this tenant once and is no longer.
    fn superfluous(
        &self,
        wanted: &BTreeSet<(String, String)>,
        optional: &Optional,
    ) -> Vec<(ApiResource, DynamicObject)> {
        let uid = self.tenant.uid().unwrap_or_default();
        let is_unwanted = |resource: &ApiResource, name: &str| {
            let rules = name == names::BUNDLE || name == names::BUNDLE_PREVIOUS;
            !rules && !wanted.contains(&(resource.kind.clone(), name.to_owned()))
        };
        let mut found = Vec::new();
        // What a Job wrote is kept for a day; then it deletes itself.
        for shelf in self.cluster.owned.values() {
            let resource = shelf.resource();
            for (name, kept) in shelf.of(&self.namespace) {
                let ours = kept.tenants.contains(&uid) && !(resource.kind == "Job" && kept.is_done);
                if ours && is_unwanted(resource, &name) {
                    found.push((resource.clone(), shelf.read(&self.namespace, &name, &kept)));
                }
            }
        }
        for (resource, objects) in optional.values().flatten() {
            for live in objects {
                let ours = live.namespace().as_deref() == Some(&self.namespace)
                    && live.owner_references().iter().any(|owner| owner.uid == uid);
                if ours && is_unwanted(resource, &live.name_any()) {
                    found.push((resource.clone(), live.clone()));
                }
            }
        }
        found
    }

    fn jobs_progress(&self, jobs: &[Job]) -> Progress {
        for job in jobs {
            let name = job.name_any();
            let live: Option<Job> = self.live_as("Job", &name);
            let is = |kind: &str| live.as_ref().is_some_and(|live| is(live, kind));
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
            return match self.tenant.spec.suspend {
                true => Progress::Available,
                false => Progress::Progressing("it waits for the databases".to_owned()),
            };
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

/// Databases that are prepared, and what the platform team should know of their server.
fn database_progress(server: &Server, outcome: &Outcome) -> Progress {
    let mut notes = Vec::new();
    if !server.is_verified() {
        notes.push(
            "Connections do not verify the server's certificate: sslmode is not verify-full in the server's address."
                .to_owned(),
        );
    }
    if !outcome.open.is_empty() {
        notes.push(format!(
            "Every login may connect to the databases {} of the server: revoke that right (REVOKE CONNECT ON DATABASE … \
             FROM PUBLIC) as their owner, which the operator is not.",
            outcome.open.join(" and ")
        ));
    }
    match notes.is_empty() {
        true => Progress::Available,
        false => Progress::AvailableWith(format!("It serves. {}", notes.join(" "))),
    }
}

/// Whether a condition of a Job holds.
pub(super) fn is(job: &Job, kind: &str) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == kind && condition.status == "True")
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

/// What Secrets hold, by name.
pub(super) fn contents(secrets: &[Secret]) -> Secrets {
    secrets.iter().map(|secret| (secret.name_any(), generate::content(secret))).collect()
}

impl Cluster {
    /// An object of a kind that we own, as the watch knows it.
    fn live(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<DynamicObject>> {
        self.owned.get(kind)?.object(namespace, name).map(Arc::new)
    }

    /// The same, as its own type. ConfigMaps are followed by their metadata, and there is none here.
    pub(super) fn live_as<T: DeserializeOwned>(&self, kind: &str, namespace: &str, name: &str) -> Option<T> {
        if kind == "ConfigMap" {
            return None;
        }
        let object = self.live(kind, namespace, name)?;
        serde_json::to_value(object.as_ref()).ok().and_then(|value| serde_json::from_value(value).ok())
    }

    /// Those of a tenant's host names that overlap with one that another tenant holds. It holds what its status says that
    /// it is reached under; of two that hold one, or that none holds yet, it is the older tenant's.
    fn taken_hostnames(&self, tenant: &CrmTenant) -> Vec<String> {
        if tenant.spec.exposure.is_none() {
            return Vec::new();
        }
        let rank =
            |one: &CrmTenant| (one.creation_timestamp().map(|time| time.0), one.namespace(), one.name_any());
        let holds = |one: &CrmTenant, host: &str| {
            let held = one.status.iter().flat_map(|status| &status.hostnames);
            held.into_iter().any(|held| limits::overlap(held, host))
        };
        let asks = |one: &CrmTenant, host: &str| {
            one.spec.exposure.is_some() && one.spec.hostnames.iter().any(|asked| limits::overlap(asked, host))
        };
        let others: Vec<_> =
            self.tenants.all().filter(|other| other.meta().uid != tenant.metadata.uid).collect();
        let others: Vec<&CrmTenant> = others.iter().filter_map(|other| other.0.as_ref().ok()).collect();
        let is_taken = |host: &&String| {
            // Who holds one name holds no wildcard over it.
            let held = tenant.status.iter().flat_map(|status| &status.hostnames);
            let mine = held.into_iter().any(|held| limits::covers(held, host));
            others.iter().any(|other| match holds(other, host) {
                held if held == mine => (held || asks(other, host)) && rank(other) < rank(tenant),
                held => held,
            })
        };
        tenant.spec.hostnames.iter().filter(is_taken).cloned().collect()
    }

    /// A database server as it was read at a version of its Secret.
    fn known_server(&self, name: &str, version: Option<&str>) -> Option<DatabaseServer> {
        let known = self.known_servers.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, server) = known.get(name)?;
        (Some(read.as_str()) == version).then(|| server.clone())
    }

    fn learn_server(&self, name: &str, version: Option<String>, server: &DatabaseServer) {
        if let Some(version) = version {
            let mut known = self.known_servers.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(name.to_owned(), (version, server.clone()));
        }
    }

    /// Writes a tenant's status, when it changed.
    pub(super) async fn report_tenant(
        &self,
        object: &Guarded<CrmTenant>,
        before: Option<&CrmTenantStatus>,
        observed: &Observation,
    ) -> Result<(), Error> {
        let now = status(observed, before, OffsetDateTime::now_utc());
        if before == Some(&now) {
            return Ok(());
        }
        write_status::<CrmTenant>(&self.client, STATUS_MANAGER, &super::watch::key_of(object), &now).await?;
        self.status_written(object, &now);
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
                (
                    true,
                    REASON_FAILED
                    | REASON_DELETION_UNCONFIRMED
                    | REASON_DUMP_FAILED
                    | REASON_NAMESPACE_TERMINATING,
                ) => (EventType::Warning, condition.message),
                (true, _) => (EventType::Normal, condition.message),
            };
            self.event(object, kind, &condition.reason, "Reconcile", &note).await;
        }
        Ok(())
    }
}
