//! Kinds in, stores that follow the API server out, with a call for every object that came, changed or went.
//!
//! An object that cannot be read does not stop the others: it is stored as what could be read of it.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use kube::core::{DeserializeGuard, PartialObjectMeta, ResourceExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Lookup, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

/// An object of a kind of ours, or what could be read of it.
pub type Guarded<K> = DeserializeGuard<K>;

/// What of the cluster is looked at: all of it, or a namespace.
pub type Scope = Option<String>;

/// An API of a kind within a scope.
pub fn api<K>(client: &kube::Client, scope: &Scope) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Follows all objects that a selection yields until `stop`. `changed` is called after the store holds the change;
/// its second argument is whether the object is gone.
pub fn follow<K>(
    api: Api<K>,
    selection: watcher::Config,
    kind: K::DynamicType,
    stop: CancellationToken,
    changed: impl Fn(&K, bool) + Send + 'static,
) -> Store<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Clone + Debug + Eq + std::hash::Hash + Unpin + Send + Sync,
{
    let writer = reflector::store::Writer::new(kind.clone());
    let store = writer.as_reader();
    let before = store.clone();
    let name = K::kind(&kind).into_owned();
    let mut events = Box::pin(
        watcher(api, selection)
            .default_backoff()
            .modify(|object| object.managed_fields_mut().clear())
            .take_until(stop.cancelled_owned()),
    );
    tokio::spawn(async move {
        let mut writer = writer;
        // Objects of an initial list; those that the store holds and the list does not are gone.
        let mut listed: Vec<K> = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let mut gone: Vec<Arc<K>> = Vec::new();
                    let mut came: Vec<K> = Vec::new();
                    match &event {
                        Event::Init => listed.clear(),
                        Event::InitApply(object) => listed.push(object.clone()),
                        Event::InitDone => {
                            came = std::mem::take(&mut listed);
                            gone = before.state();
                            gone.retain(|old| !came.iter().any(|new| same(old.as_ref(), new, &kind)));
                        }
                        Event::Apply(object) => came.push(object.clone()),
                        Event::Delete(object) => gone.push(Arc::new(object.clone())),
                    }
                    writer.apply_watcher_event(&event);
                    gone.iter().for_each(|object| changed(object, true));
                    came.iter().for_each(|object| changed(object, false));
                }
                Err(error) => tracing::warn!(kind = name, %error, "the watch broke off; it is begun again"),
            }
        }
    });
    store
}

/// Tells of all objects that a selection yields until `stop`, by their metadata, and keeps none: `changed` is called for each when the watch
/// begins, or begins anew, and whenever one comes, changes or goes. One that goes between two watches is missed.
pub fn hear<K>(
    api: Api<PartialObjectMeta<K>>,
    selection: watcher::Config,
    stop: CancellationToken,
    changed: impl Fn(&PartialObjectMeta<K>, bool) + Send + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = Box::pin(watcher(api, selection).default_backoff().take_until(stop.cancelled_owned()));
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init | Event::InitDone) => {}
                Ok(Event::InitApply(object) | Event::Apply(object)) => changed(&object, false),
                Ok(Event::Delete(object)) => changed(&object, true),
                Err(error) => {
                    let kind = K::kind(&()).into_owned();
                    tracing::warn!(kind, %error, "the watch broke off; it is begun again");
                }
            }
        }
    });
}

fn same<K: Resource>(a: &K, b: &K, kind: &K::DynamicType) -> bool
where
    K::DynamicType: Clone + Debug + Eq + std::hash::Hash,
{
    let reference = |object: &K| ObjectRef::<K>::from_obj_with(object, kind.clone());
    reference(a) == reference(b)
}

/// Several stores of one kind, as one.
#[derive(Clone)]
pub struct Index<K: Lookup + Clone + 'static>(pub Vec<Store<K>>)
where
    K::DynamicType: Clone + Eq + std::hash::Hash;

impl<K> Index<K>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Clone + Eq + std::hash::Hash,
{
    /// Every object.
    pub fn all(&self) -> impl Iterator<Item = Arc<K>> + '_ {
        self.0.iter().flat_map(Store::state)
    }

    /// One object.
    pub fn get(&self, reference: &ObjectRef<K>) -> Option<Arc<K>> {
        self.0.iter().find_map(|store| store.get(reference))
    }

    /// Waits until every store has seen its first list.
    pub async fn ready(&self) {
        for store in &self.0 {
            // Fails only when the writer is gone, which is when everything ends.
            let _ = store.wait_until_ready().await;
        }
    }
}

/// The namespace and name of an object; the first is empty for what has none.
#[must_use]
pub fn key_of(object: &impl ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}
