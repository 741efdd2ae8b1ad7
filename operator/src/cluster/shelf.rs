//! The namespaces that hold tenants, and what the operator made in them.
//!
//! Anybody may give their objects the operator's label. So only those in a namespace with a tenant are kept, by names that
//! the operator gives or with the tenant as their owner; of each the text of at most [`TEXT_BYTES`], of at most [`OBJECTS`]
//! of a kind and namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use kube::Client;
use kube::api::{ApiResource, DynamicObject, TypeMeta};
use kube::core::ObjectMeta;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};

use super::watch::{Head, Scope, Sink, Source};

/// Most bytes that are kept of an object, without what its managers manage. The largest that the operator makes take a
/// quarter.
const TEXT_BYTES: usize = 64 * 1024;
/// Most objects of a kind that are kept of a namespace. The most are Jobs, which stay for a day.
const OBJECTS: usize = 256;
/// What the names of all objects begin with that the operator makes.
pub const PREFIX: &str = "novacrm-";

/// The namespaces that hold a tenant. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct TenantNamespaces(Arc<Known>);

struct Known {
    client: Client,
    /// Uids of the tenants of a namespace, by their names.
    tenants: RwLock<BTreeMap<String, BTreeMap<String, String>>>,
    followers: RwLock<Vec<Follower>>,
    /// How many scopes were listed.
    listed: watch::Sender<usize>,
}

/// Who has a namespace looked at as soon as it holds a tenant.
struct Follower {
    resource: ApiResource,
    selector: String,
    is_whole: bool,
    look: mpsc::UnboundedSender<Source>,
    forget: Box<dyn Fn(&str) + Send + Sync>,
}

impl TenantNamespaces {
    /// None yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let listed = watch::channel(0).0;
        Self(Arc::new(Known { client, tenants: RwLock::default(), followers: RwLock::default(), listed }))
    }

    /// A tenant came, changed or went.
    pub fn tell(&self, (namespace, name): &(String, String), uid: &str, gone: bool) {
        let mut tenants = self.0.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let before = tenants.get(namespace).is_some_and(|tenants| !tenants.is_empty());
        let there = tenants.entry(namespace.clone()).or_default();
        if gone {
            there.remove(name);
        } else {
            there.insert(name.clone(), uid.to_owned());
        }
        let now = !there.is_empty();
        if !now {
            tenants.remove(namespace);
        }
        drop(tenants);
        if before == now {
            return;
        }
        let followers = self.0.followers.read().unwrap_or_else(PoisonError::into_inner);
        for follower in followers.iter() {
            if now {
                let scope = Some(namespace.clone());
                let source = Source::dynamic(&self.0.client, &scope, &follower.resource, follower.is_whole);
                // Nobody takes it up when everything ends.
                let _ = follower.look.send(source.labels(&follower.selector));
            } else {
                (follower.forget)(namespace);
            }
        }
    }

    /// The tenants of a scope are known.
    pub fn listed(&self) {
        self.0.listed.send_modify(|scopes| *scopes = scopes.saturating_add(1));
    }

    /// Waits until the tenants of so many scopes are known.
    pub async fn ready(&self, scopes: usize) {
        // Fails only when everything ends.
        let _ = self.0.listed.subscribe().wait_for(|listed| *listed >= scopes).await;
    }

    /// Whether a namespace holds a tenant.
    #[must_use]
    pub fn holds(&self, namespace: &str) -> bool {
        self.0.tenants.read().unwrap_or_else(PoisonError::into_inner).contains_key(namespace)
    }

    /// Those of some uids that are of tenants of the namespace.
    #[must_use]
    pub fn among(&self, namespace: &str, uids: Vec<String>) -> Vec<String> {
        let tenants = self.0.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let known = tenants.get(namespace);
        let mut found = uids;
        found.retain(|uid| known.is_some_and(|tenants| tenants.values().any(|known| known == uid)));
        found
    }

    /// Has objects of a kind looked at in each namespace from when it holds a tenant; `forget` is called when it holds
    /// none any more.
    pub fn follow(
        &self,
        resource: &ApiResource,
        selector: &str,
        is_whole: bool,
        forget: impl Fn(&str) + Send + Sync + 'static,
    ) -> mpsc::UnboundedReceiver<Source> {
        let (look, receiver) = mpsc::unbounded_channel();
        let follower = Follower {
            resource: resource.clone(),
            selector: selector.to_owned(),
            is_whole,
            look,
            forget: Box::new(forget),
        };
        self.0.followers.write().unwrap_or_else(PoisonError::into_inner).push(follower);
        receiver
    }
}

/// Owners and completion of an object.
#[derive(Deserialize)]
struct Facts {
    metadata: Owned,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Owned {
    owner_references: Vec<Owner>,
}

/// An owner of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it is the one that made it.
    pub controller: bool,
}

/// The owners of an object.
#[must_use]
pub fn owners_of(object: &RawValue) -> Vec<Owner> {
    let facts = serde_json::from_str::<Facts>(object.get());
    facts.map(|facts| facts.metadata.owner_references).unwrap_or_default()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    completion_time: Option<serde::de::IgnoredAny>,
}

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its uid.
    pub uid: String,
    /// Whether it is a Job that is complete.
    pub is_done: bool,
    /// Uids of the tenants of the namespace that own it.
    pub tenants: Vec<String>,
    /// The object as JSON; none where only metadata is followed, or it is too large.
    text: Option<Box<str>>,
}

/// What the operator made of a kind.
pub struct Shelf {
    resource: ApiResource,
    kept: RwLock<BTreeMap<String, BTreeMap<String, Kept>>>,
    listed: watch::Sender<usize>,
}

impl Shelf {
    /// An empty one.
    #[must_use]
    pub fn new(resource: ApiResource) -> Self {
        Self { resource, kept: RwLock::default(), listed: watch::channel(0).0 }
    }

    /// What kind it is of.
    #[must_use]
    pub fn resource(&self) -> &ApiResource {
        &self.resource
    }

    /// Waits until so many scopes were listed.
    pub async fn ready(&self, scopes: usize) {
        // Fails only when everything ends.
        let _ = self.listed.subscribe().wait_for(|listed| *listed >= scopes).await;
    }

    /// What is kept of an object.
    #[must_use]
    pub fn kept(&self, namespace: &str, name: &str) -> Option<Kept> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(namespace)?.get(name).cloned()
    }

    /// An object as the watch knows it. Of one that is followed by its metadata or is too large it is no more than that
    /// it is there.
    #[must_use]
    pub fn object(&self, namespace: &str, name: &str) -> Option<DynamicObject> {
        self.kept(namespace, name).map(|kept| self.read(namespace, name, &kept))
    }

    /// Names of what is there in a namespace, with what is kept of it.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Vec<(String, Kept)> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(namespace).into_iter().flatten();
        found.map(|(name, kept)| (name.clone(), kept.clone())).collect()
    }

    /// Forgets a namespace.
    pub fn forget(&self, namespace: &str) {
        self.kept.write().unwrap_or_else(PoisonError::into_inner).remove(namespace);
    }

    /// An object of which this was kept.
    #[must_use]
    pub fn read(&self, namespace: &str, name: &str, kept: &Kept) -> DynamicObject {
        let text = kept.text.as_ref().and_then(|text| serde_json::from_str(text).ok());
        text.unwrap_or_else(|| DynamicObject {
            types: Some(TypeMeta {
                api_version: self.resource.api_version.clone(),
                kind: self.resource.kind.clone(),
            }),
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                uid: Some(kept.uid.clone()),
                ..ObjectMeta::default()
            },
            data: serde_json::Value::Object(serde_json::Map::new()),
        })
    }
}

/// Fills a [`Shelf`] with the objects of a scope.
pub struct Shelved<F> {
    shelf: Arc<Shelf>,
    scope: Scope,
    tenants: TenantNamespaces,
    is_whole: bool,
    changed: F,
    seen: BTreeSet<(String, String)>,
    is_listing: bool,
}

impl<F: Fn((String, String), bool) + Send + 'static> Shelved<F> {
    /// `changed` is called after the shelf holds a change, with namespace and name and whether the object is gone.
    pub fn new(
        shelf: Arc<Shelf>,
        scope: Scope,
        tenants: TenantNamespaces,
        is_whole: bool,
        changed: F,
    ) -> Self {
        Self { shelf, scope, tenants, is_whole, changed, seen: BTreeSet::new(), is_listing: false }
    }

    fn put(&mut self, object: &RawValue) {
        let Ok(head) = Head::of(object) else { return };
        if !self.tenants.holds(&head.namespace) {
            return;
        }
        let Ok(facts) = serde_json::from_str::<Facts>(object.get()) else { return };
        let owners: Vec<String> =
            facts.metadata.owner_references.into_iter().map(|owner| owner.uid).collect();
        let tenants = self.tenants.among(&head.namespace, owners);
        if tenants.is_empty() && !head.name.starts_with(PREFIX) {
            return;
        }
        let kept = Kept {
            uid: head.uid,
            is_done: facts.status.is_some_and(|status| status.completion_time.is_some()),
            tenants,
            text: if self.is_whole { text(object) } else { None },
        };
        let key = (head.namespace, head.name);
        {
            let mut all = self.shelf.kept.write().unwrap_or_else(PoisonError::into_inner);
            let there = all.entry(key.0.clone()).or_default();
            if there.len() >= OBJECTS && !there.contains_key(&key.1) {
                return;
            }
            there.insert(key.1.clone(), kept);
        }
        if self.is_listing {
            self.seen.insert(key.clone());
        }
        (self.changed)(key, false);
    }

    fn take(&mut self, key: (String, String)) {
        let gone = {
            let mut all = self.shelf.kept.write().unwrap_or_else(PoisonError::into_inner);
            let Some(there) = all.get_mut(&key.0) else { return };
            let gone = there.remove(&key.1).is_some();
            if there.is_empty() {
                all.remove(&key.0);
            }
            gone
        };
        if gone {
            (self.changed)(key, true);
        }
    }
}

impl<F: Fn((String, String), bool) + Send + 'static> Sink for Shelved<F> {
    fn begin(&mut self) {
        self.seen.clear();
        self.is_listing = true;
    }

    fn listed(&mut self, object: &RawValue) {
        self.put(object);
    }

    fn complete(&mut self) {
        self.is_listing = false;
        let seen = std::mem::take(&mut self.seen);
        let gone: Vec<(String, String)> = {
            let all = self.shelf.kept.read().unwrap_or_else(PoisonError::into_inner);
            let within = |namespace: &&String| self.scope.as_ref().is_none_or(|scope| scope == *namespace);
            let all = all.iter().filter(|(namespace, _)| within(namespace));
            let keys =
                all.flat_map(|(namespace, there)| there.keys().map(|name| (namespace.clone(), name.clone())));
            keys.filter(|key| !seen.contains(key)).collect()
        };
        gone.into_iter().for_each(|key| self.take(key));
        self.shelf.listed.send_modify(|scopes| *scopes = scopes.saturating_add(1));
    }

    fn changed(&mut self, object: &RawValue) {
        self.put(object);
    }

    fn gone(&mut self, object: &RawValue) {
        if let Ok(head) = Head::of(object) {
            self.take((head.namespace, head.name));
        }
    }
}

/// An object as text without what its managers manage; none when it is too large.
fn text(object: &RawValue) -> Option<Box<str>> {
    type Fields<'a> = BTreeMap<String, &'a RawValue>;
    let mut fields: Fields<'_> = serde_json::from_str(object.get()).ok()?;
    let metadata = fields.remove("metadata")?;
    let mut metadata: Fields<'_> = serde_json::from_str(metadata.get()).ok()?;
    metadata.remove("managedFields");
    let metadata = serde_json::value::to_raw_value(&metadata).ok()?;
    fields.insert("metadata".to_owned(), &metadata);
    let size: usize = fields.values().map(|value| value.get().len()).sum();
    if size > TEXT_BYTES {
        return None;
    }
    serde_json::to_string(&fields).ok().map(String::into_boxed_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shelved(is_whole: bool) -> (Arc<Shelf>, TenantNamespaces, impl Sink) {
        novacrm_service::tls::install_provider();
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let tenants = TenantNamespaces::new(Client::try_from(config).unwrap());
        tenants.tell(&("acme".to_owned(), "acme".to_owned()), "tenant", false);
        let resource = ApiResource::erase::<k8s_openapi::api::apps::v1::Deployment>(&());
        let shelf = Arc::new(Shelf::new(resource));
        let sink = Shelved::new(shelf.clone(), None, tenants.clone(), is_whole, |_, _| ());
        (shelf, tenants, sink)
    }

    fn object(namespace: &str, name: &str, owner: &str, text: &str) -> Box<RawValue> {
        serde_json::value::to_raw_value(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "namespace": namespace, "name": name, "uid": format!("{namespace}/{name}"),
                "managedFields": [{ "manager": "m".repeat(TEXT_BYTES) }],
                "ownerReferences": [{ "apiVersion": "v1", "kind": "CrmTenant", "name": "a", "uid": owner }],
            },
            "spec": { "replicas": 2, "text": text },
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn only_what_is_a_tenants_is_kept_and_of_large_objects_that_they_are_there() {
        let (shelf, tenants, mut sink) = shelved(true);
        sink.begin();
        for (namespace, name, owner) in [
            ("acme", "novacrm-api", "tenant"),
            ("acme", "former", "tenant"),
            ("acme", "another", "somebody"),
            ("elsewhere", "novacrm-api", "tenant"),
        ] {
            sink.listed(&object(namespace, name, owner, ""));
        }
        sink.listed(&object("acme", "novacrm-engine", "tenant", &"x".repeat(TEXT_BYTES)));
        sink.complete();
        let names: Vec<String> = shelf.of("acme").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["former", "novacrm-api", "novacrm-engine"]);
        assert!(shelf.of("elsewhere").is_empty());
        let api = shelf.object("acme", "novacrm-api").unwrap();
        assert_eq!(api.data["spec"]["replicas"], 2);
        assert!(api.metadata.managed_fields.is_none());
        let engine = shelf.object("acme", "novacrm-engine").unwrap();
        assert_eq!(engine.metadata.uid.as_deref(), Some("acme/novacrm-engine"));
        assert_eq!(engine.data, json!({}));

        sink.begin();
        sink.listed(&object("acme", "novacrm-api", "tenant", ""));
        sink.complete();
        assert_eq!(shelf.of("acme").len(), 1, "what is not listed any more is gone");
        tenants.tell(&("acme".to_owned(), "acme".to_owned()), "tenant", true);
        sink.changed(&object("acme", "novacrm-api", "tenant", ""));
        assert!(shelf.of("acme").len() <= 1, "it is not added to without a tenant");
    }

    #[tokio::test]
    async fn a_namespace_with_too_many_objects_keeps_the_first() {
        let (shelf, _, mut sink) = shelved(false);
        for index in 0..OBJECTS + 10 {
            sink.changed(&object("acme", &format!("novacrm-{index}"), "tenant", ""));
        }
        assert_eq!(shelf.of("acme").len(), OBJECTS);
    }
}
