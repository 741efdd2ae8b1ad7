//! Kinds in, stores that follow the API server out, with a call for every object that came, changed or went.
//!
//! Whoever may write to a namespace decides how many objects of a kind there are and how large they are. So none of it
//! decides how much memory this takes: a list is read page by page, and a page that is too large is asked for again in
//! smaller ones; of two pages or large events at most, each of one object where it must be, anything is held as it came;
//! and a [`Sink`] keeps of each object what is needed of it before the next one is looked at.
//!
//! An object that cannot be read does not stop the others: it is stored as what could be read of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use http::HeaderValue;
use http::header::ACCEPT_ENCODING;
use kube::api::{ApiResource, DynamicObject, ListParams, WatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, ObjectMeta, PartialObjectMeta, Request, ResourceExt};
use kube::runtime::reflector::{self, Lookup, ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::weight::weigh;

/// An object of a kind of ours, or what could be read of it.
pub type Guarded<K> = DeserializeGuard<K>;

/// What of the cluster is looked at: all of it, or a namespace.
pub type Scope = Option<String>;

/// Objects of the first page of a list, and the most of any.
const PAGE_OBJECTS: u32 = 128;
/// Most bytes of a page of several objects, and of an event that needs no permit.
const PAGE_BYTES: usize = 512 * 1024;
/// Most bytes of one object as JSON: etcd stores 1.5 MiB (`--max-request-bytes`), as Protobuf, of which a character may
/// become six in JSON (`\u003c`).
const OBJECT_BYTES: usize = 12 * 1024 * 1024;
/// Pages and large events that are held at the same time, whatever they are of.
static LARGE: Semaphore = Semaphore::const_new(2);
/// Longest time without a byte while a page or a large event is read.
const STALLED: Duration = Duration::from_secs(30);
/// How long a watch lasts, in seconds; then it is resumed.
const WATCH_SECONDS: u32 = 290;
/// First and longest pause before a watch that broke off is begun again.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why a list or watch broke off.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The API server refused it or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// A selector is no selector.
    #[error("the request cannot be written: {0}")]
    Request(#[source] kube::core::request::Error),
    /// The connection broke off.
    #[error("the answer cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The answer is no list or event.
    #[error("the answer is not what the API server promises: {0}")]
    Shape(#[from] serde_json::Error),
    /// An object is larger than any that the API server stores.
    #[error("an object is larger than {OBJECT_BYTES} bytes")]
    TooLarge,
    /// Nothing came for too long.
    #[error("the answer does not go on")]
    Stalled,
    /// The API server said that the watch is over, with this code.
    #[error("the API server ended the watch with {0}")]
    Ended(u16),
}

/// What is followed.
#[derive(Clone)]
pub struct Source {
    client: Client,
    kind: String,
    url: String,
    labels: Option<String>,
    fields: Option<String>,
    is_whole: bool,
}

impl Source {
    /// The objects of an API, whole.
    pub fn whole<K: Resource>(api: Api<K>) -> Self
    where
        K::DynamicType: Default,
    {
        let kind = K::kind(&K::DynamicType::default()).into_owned();
        let url = api.resource_url().to_owned();
        Self { client: api.into_client(), kind, url, labels: None, fields: None, is_whole: true }
    }

    /// The metadata of the objects of an API: the API server leaves out the rest.
    pub fn metadata<K: Resource>(api: Api<K>) -> Self
    where
        K::DynamicType: Default,
    {
        Self { is_whole: false, ..Self::whole(api) }
    }

    /// Only those with these labels.
    #[must_use]
    pub fn labels(self, selector: &str) -> Self {
        Self { labels: Some(selector.to_owned()), ..self }
    }

    /// Only those with these fields.
    #[must_use]
    pub fn fields(self, selector: &str) -> Self {
        Self { fields: Some(selector.to_owned()), ..self }
    }

    /// The objects of a kind that is known by name only, within a scope; of some the metadata.
    #[must_use]
    pub fn dynamic(client: &Client, scope: &Scope, resource: &ApiResource, is_whole: bool) -> Self {
        let api: Api<DynamicObject> = match scope {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
            None => Api::all_with(client.clone(), resource),
        };
        let url = api.resource_url().to_owned();
        let kind = resource.kind.clone();
        Self { client: api.into_client(), kind, url, labels: None, fields: None, is_whole }
    }

    /// Lists everything, and gives each object to `put` as it comes. The version of the list, to watch from.
    async fn list(&self, mut put: impl FnMut(&RawValue)) -> Result<String, WatchError> {
        let mut params = ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            limit: Some(PAGE_OBJECTS),
            ..ListParams::default()
        };
        let mut buffer = Vec::new();
        loop {
            let limit = params.limit.unwrap_or(1);
            // The permit is held until the page is digested.
            let permit = LARGE.acquire().await;
            let most = if limit == 1 { OBJECT_BYTES } else { PAGE_BYTES };
            match self.page(&params, most, &mut buffer).await {
                Err(WatchError::TooLarge) if limit > 1 => {
                    params.limit = Some((limit / 4).max(1));
                    continue;
                }
                other => other?,
            }
            let page: Page<'_> = serde_json::from_slice(&buffer)?;
            page.items.into_iter().flatten().for_each(&mut put);
            let (next, version) = (page.metadata.r#continue, page.metadata.resource_version);
            buffer = Vec::new();
            drop(permit);
            params.continue_token = next.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                return Ok(version.unwrap_or_default());
            }
            params.limit = Some(limit.saturating_mul(2).min(PAGE_OBJECTS));
        }
    }

    async fn page(&self, params: &ListParams, most: usize, buffer: &mut Vec<u8>) -> Result<(), WatchError> {
        let request = Request::new(&self.url);
        let request = if self.is_whole { request.list(params) } else { request.list_metadata(params) };
        buffer.clear();
        let answer = self.client.request_stream(request.map_err(WatchError::Request)?);
        let answer = timeout(STALLED, answer).await.map_err(|_| WatchError::Stalled)??;
        let mut answer = pin!(answer.take(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1)));
        let read = timeout(STALLED, answer.read_to_end(buffer)).await;
        read.map_err(|_| WatchError::Stalled)??;
        if buffer.len() > most { Err(WatchError::TooLarge) } else { Ok(()) }
    }

    /// Opens a watch.
    async fn watch(&self, version: &str) -> Result<impl AsyncBufRead + use<>, WatchError> {
        let params = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = Request::new(&self.url);
        let request = if self.is_whole {
            request.watch(&params, version)
        } else {
            request.watch_metadata(&params, version)
        };
        let mut request = request.map_err(WatchError::Request)?;
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let opened = timeout(STALLED, self.client.request_stream(request)).await;
        Ok(opened.map_err(|_| WatchError::Stalled)??)
    }
}

#[derive(Deserialize)]
struct Page<'a> {
    metadata: PageMetadata,
    /// Of a list of metadata without objects, the API server writes `null`.
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    #[serde(default)]
    r#continue: Option<String>,
    #[serde(default)]
    resource_version: Option<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    r#type: String,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What every object says of itself, as far as it is needed to keep it in order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Head {
    /// Its name.
    pub name: String,
    /// Its namespace; empty for what has none.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
    /// RFC 3339; texts of this form sort as the times do. What is no object has none.
    pub creation_timestamp: Option<String>,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// Since when it is on its way out.
    pub deletion_timestamp: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
}

#[derive(Deserialize)]
struct Headed {
    metadata: Head,
}

impl Head {
    /// Reads it out of an object.
    ///
    /// # Errors
    /// When it is no object.
    pub fn of(object: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Headed>(object.get()).map(|headed| headed.metadata)
    }

    fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }

    /// As metadata of an object of which nothing else is kept.
    #[must_use]
    pub fn metadata(self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name),
            namespace: Some(self.namespace).filter(|namespace| !namespace.is_empty()),
            uid: Some(self.uid),
            resource_version: Some(self.resource_version),
            creation_timestamp: self
                .creation_timestamp
                .and_then(|time| serde_json::from_value(time.into()).ok()),
            generation: self.generation,
            deletion_timestamp: self.deletion_timestamp,
            ..ObjectMeta::default()
        }
    }
}

/// Takes what a list or watch yields. What it does not copy is gone when the call returns.
pub trait Sink: Send + 'static {
    /// A list begins.
    fn begin(&mut self);
    /// An object of the list.
    fn listed(&mut self, object: &RawValue);
    /// The list is complete.
    fn complete(&mut self);
    /// An object that came or changed.
    fn changed(&mut self, object: &RawValue);
    /// An object that went, as it was.
    fn gone(&mut self, object: &RawValue);
    /// Objects to be asked for, by namespace and name, since there is room for them now.
    fn wanted(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }
    /// Whether an object that is asked for is gone by now.
    fn missing(&mut self, _key: &(String, String)) {}
}

/// Follows a source until `stop`. Each namespace that comes from `look` is listed once more.
pub async fn pump(
    source: Source,
    mut sink: impl Sink,
    mut look: mpsc::UnboundedReceiver<Source>,
    stop: CancellationToken,
) {
    let mut version: Option<String> = None;
    let mut pause = PAUSE;
    let follow = async {
        loop {
            let outcome = async {
                let from = match &version {
                    Some(version) => version.clone(),
                    None => {
                        sink.begin();
                        let from = source.list(|object| sink.listed(object)).await?;
                        sink.complete();
                        from
                    }
                };
                version = Some(from.clone());
                fetch(&source, &mut sink).await?;
                let lines = source.watch(&from).await?;
                pause = PAUSE;
                events(&source, lines, &mut version, &mut sink, &mut look).await
            };
            let Err(error) = outcome.await else { continue };
            if let WatchError::Ended(410) = error {
                version = None;
            }
            if let WatchError::Api(kube::Error::Api(status)) = &error
                && status.code == 410
            {
                version = None;
            }
            tracing::warn!(kind = source.kind, %error, "the watch broke off; it is begun again");
            sleep(pause.mul_f64(1.0 + rand::random::<f64>() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    tokio::select! {
        () = follow => {}
        () = stop.cancelled() => {}
    }
}

/// Reads events until the watch ends.
async fn events(
    source: &Source,
    lines: impl AsyncBufRead,
    version: &mut Option<String>,
    sink: &mut impl Sink,
    look: &mut mpsc::UnboundedReceiver<Source>,
) -> Result<(), WatchError> {
    let mut lines = pin!(lines);
    let mut line = Vec::new();
    loop {
        let permit = tokio::select! {
            // What was read of a line stays in the buffer when the other branch is taken.
            read = next_line(&mut lines, &mut line) => match read? {
                Some(permit) => permit,
                None => return Ok(()),
            },
            Some(within) = look.recv(), if line.is_empty() => {
                within.list(|object| sink.changed(object)).await?;
                continue;
            }
        };
        let event: Line<'_> = serde_json::from_slice(&line)?;
        if event.r#type == "ERROR" {
            let status: Code = serde_json::from_str(event.object.get()).unwrap_or_default();
            return Err(WatchError::Ended(status.code));
        }
        let seen = Head::of(event.object)?.resource_version;
        match event.r#type.as_str() {
            "ADDED" | "MODIFIED" => sink.changed(event.object),
            "DELETED" => sink.gone(event.object),
            _ => {}
        }
        if !seen.is_empty() {
            *version = Some(seen);
        }
        line = Vec::new();
        drop(permit);
        fetch(source, sink).await?;
    }
}

#[derive(Default, Deserialize)]
struct Code {
    #[serde(default)]
    code: u16,
}

/// Reads a line; `None` at the end. A large one is read with a permit, which is handed over.
async fn next_line(
    lines: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> Result<Option<Option<SemaphorePermit<'static>>>, WatchError> {
    let mut permit = None;
    loop {
        // A line that is begun comes to its end; between two of them there may be silence.
        let idle = if line.is_empty() { Duration::from_secs(u64::from(WATCH_SECONDS) + 5) } else { STALLED };
        let Ok(part) = timeout(idle, lines.fill_buf()).await else {
            return if line.is_empty() { Ok(None) } else { Err(WatchError::Stalled) };
        };
        let part = part?;
        if part.is_empty() {
            return Ok(None);
        }
        let end = part.iter().position(|byte| *byte == b'\n');
        let length = end.unwrap_or(part.len());
        if line.len().saturating_add(length) > OBJECT_BYTES {
            return Err(WatchError::TooLarge);
        }
        line.extend_from_slice(part.get(..length).unwrap_or_default());
        let used = end.map_or(length, |end| end.saturating_add(1));
        lines.consume_unpin(used);
        match end {
            Some(_) if line.is_empty() => {}
            Some(_) => return Ok(Some(permit)),
            None if permit.is_none() && line.len() > PAGE_BYTES => permit = LARGE.acquire().await.ok(),
            None => {}
        }
    }
}

/// Lists a source once, and gives each object to `put` as it comes.
///
/// # Errors
/// When the API server refuses it or cannot be reached.
pub async fn list_once(source: &Source, put: impl FnMut(&RawValue)) -> Result<(), WatchError> {
    source.list(put).await.map(|_| ())
}

/// Asks for the objects that a sink has room for now.
async fn fetch(source: &Source, sink: &mut impl Sink) -> Result<(), WatchError> {
    loop {
        let wanted = sink.wanted();
        if wanted.is_empty() {
            return Ok(());
        }
        for key in wanted {
            let one = format!("metadata.name={},metadata.namespace={}", key.1, key.0);
            let mut found = false;
            source
                .clone()
                .fields(&one)
                .list(|object| {
                    found = true;
                    sink.changed(object);
                })
                .await?;
            if !found {
                sink.missing(&key);
            }
        }
    }
}

/// An API of a kind within a scope.
pub fn api<K>(client: &Client, scope: &Scope) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Follows a source until `stop` into a store. `keep` reads what is kept of an object; `changed` is called after the
/// store holds the change, its second argument is whether the object is gone; `listed` once a list is complete and told.
pub fn follow<K>(
    source: Source,
    stop: CancellationToken,
    keep: impl Fn(&RawValue) -> Option<K> + Send + 'static,
    changed: impl Fn(&K, bool) + Send + 'static,
    listed: impl Fn() + Send + 'static,
) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let writer = reflector::store::Writer::new(());
    let store = writer.as_reader();
    let sink = Stored { writer, store: store.clone(), seen: BTreeSet::new(), keep, changed, listed };
    tokio::spawn(pump(source, sink, closed(), stop));
    store
}

/// Follows a source of a kind of ours until `stop`, like [`follow`]. Of a namespace `limits` says how much is kept whole;
/// beyond that the youngest objects are kept as [`crowded`], until there is room for them.
pub fn follow_guarded<K>(
    source: Source,
    stop: CancellationToken,
    limits: impl Fn(&str) -> Quota + Send + 'static,
    changed: impl Fn(&Guarded<K>, bool) + Send + 'static,
    listed: impl Fn() + Send + 'static,
) -> Store<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let writer = reflector::store::Writer::new(());
    let store = writer.as_reader();
    let stored = Stored { writer, store: store.clone(), seen: BTreeSet::new(), keep: (), changed, listed };
    let sink =
        Rationed { stored, limits, known: BTreeMap::new(), is_listing: false, wanted: BTreeSet::new() };
    tokio::spawn(pump(source, sink, closed(), stop));
    store
}

/// Tells of all objects that a source yields until `stop`, by what identifies them, and keeps none: `changed` is called for
/// each when the watch begins, or begins anew, and whenever one comes, changes or goes. One that goes between two watches
/// is missed.
pub fn hear(
    source: Source,
    stop: CancellationToken,
    changed: impl Fn((String, String), bool) + Send + 'static,
) {
    tokio::spawn(pump(source, Heard(changed), closed(), stop));
}

fn closed() -> mpsc::UnboundedReceiver<Source> {
    mpsc::unbounded_channel().1
}

struct Heard<F>(F);

impl<F: Fn((String, String), bool) + Send + 'static> Heard<F> {
    fn tell(&self, object: &RawValue, gone: bool) {
        if let Ok(head) = Head::of(object) {
            (self.0)(head.key(), gone);
        }
    }
}

impl<F: Fn((String, String), bool) + Send + 'static> Sink for Heard<F> {
    fn begin(&mut self) {}

    fn listed(&mut self, object: &RawValue) {
        self.tell(object, false);
    }

    fn complete(&mut self) {}

    fn changed(&mut self, object: &RawValue) {
        self.tell(object, false);
    }

    fn gone(&mut self, object: &RawValue) {
        self.tell(object, true);
    }
}

struct Stored<K, R, C, L>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    writer: reflector::store::Writer<K>,
    store: Store<K>,
    /// Namespace and name of what was listed so far.
    seen: BTreeSet<(String, String)>,
    keep: R,
    changed: C,
    listed: L,
}

impl<K, R, C, L> Stored<K, R, C, L>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    C: Fn(&K, bool) + Send + 'static,
    L: Fn() + Send + 'static,
{
    fn put(&mut self, object: K, is_listing: bool) {
        let event = match is_listing {
            true => Event::InitApply(object),
            false => Event::Apply(object),
        };
        self.writer.apply_watcher_event(&event);
        match &event {
            Event::InitApply(object) => drop(self.seen.insert(key_of(object))),
            Event::Apply(object) => (self.changed)(object, false),
            Event::Init | Event::InitDone | Event::Delete(_) => {}
        }
    }

    fn take(&mut self, key: &(String, String)) {
        let reference = ObjectRef::new(&key.1).within(&key.0);
        let reference = if key.0.is_empty() { ObjectRef::new(&key.1) } else { reference };
        if let Some(object) = self.store.get(&reference) {
            self.writer.apply_watcher_event(&Event::Delete(K::clone(&object)));
            (self.changed)(&object, true);
        }
    }

    fn start(&mut self) {
        self.seen.clear();
        self.writer.apply_watcher_event(&Event::Init);
    }

    fn finish(&mut self) {
        let mut gone = self.store.state();
        gone.retain(|object| !self.seen.contains(&key_of(object.as_ref())));
        self.seen.clear();
        self.writer.apply_watcher_event(&Event::InitDone);
        gone.iter().for_each(|object| (self.changed)(object, true));
        self.store.state().iter().for_each(|object| (self.changed)(object, false));
        (self.listed)();
    }
}

impl<K, R, C, L> Sink for Stored<K, R, C, L>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    R: Fn(&RawValue) -> Option<K> + Send + 'static,
    C: Fn(&K, bool) + Send + 'static,
    L: Fn() + Send + 'static,
{
    fn begin(&mut self) {
        self.start();
    }

    fn listed(&mut self, object: &RawValue) {
        if let Some(object) = (self.keep)(object) {
            self.put(object, true);
        }
    }

    fn complete(&mut self) {
        self.finish();
    }

    fn changed(&mut self, object: &RawValue) {
        if let Some(object) = (self.keep)(object) {
            self.put(object, false);
        }
    }

    fn gone(&mut self, object: &RawValue) {
        if let Ok(head) = Head::of(object) {
            self.take(&head.key());
        }
    }
}

/// How much of a namespace is kept whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// So many objects.
    pub objects: usize,
    /// So many bytes of memory in all, by the estimate of [`weigh`].
    pub bytes: usize,
}

/// What stands for an object that is not kept, since its namespace holds too many.
const CROWDED: &str = "the namespace holds too many objects of this kind";

/// Whether an object is one of too many in its namespace, of which no more is kept than that it is there.
#[must_use]
pub fn is_crowded<K>(object: &Guarded<K>) -> bool {
    object.0.as_ref().is_err_and(|invalid| invalid.error == CROWDED)
}

fn crowded<K>(head: Head) -> Guarded<K> {
    DeserializeGuard(Err(InvalidObject { error: CROWDED.to_owned(), metadata: head.metadata() }))
}

/// When an object was made, and its name: the order in which objects of a namespace are kept.
type Age = (String, String);

struct Ration {
    head: Head,
    bytes: usize,
    is_whole: bool,
}

/// Keeps objects whole up to the quota of their namespace, the oldest first.
struct Rationed<K, R, C, L, Q>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    stored: Stored<Guarded<K>, R, C, L>,
    limits: Q,
    known: BTreeMap<String, BTreeMap<Age, Ration>>,
    is_listing: bool,
    wanted: BTreeSet<(String, String)>,
}

impl<K, R, C, L, Q> Rationed<K, R, C, L, Q>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    C: Fn(&Guarded<K>, bool) + Send + 'static,
    L: Fn() + Send + 'static,
    Q: Fn(&str) -> Quota + Send + 'static,
{
    fn put(&mut self, object: &RawValue) {
        let Ok(head) = Head::of(object) else { return };
        self.forget(&head.key());
        let namespace = head.namespace.clone();
        let age = (head.creation_timestamp.clone().unwrap_or_default(), head.name.clone());
        let bytes = weigh(object).unwrap_or(usize::MAX);
        let ration = Ration { head: head.clone(), bytes, is_whole: false };
        self.known.entry(namespace.clone()).or_default().insert(age.clone(), ration);
        self.wanted.remove(&head.key());
        let fits = self.settle(&namespace, Some(&age));
        let read = match fits {
            true => slim(read_guarded(object, head)),
            false => crowded(head),
        };
        self.stored.put(read, self.is_listing);
    }

    /// Takes from those that are too young for the quota and notes who has room now; says whether the newcomer has.
    fn settle(&mut self, namespace: &str, newcomer: Option<&Age>) -> bool {
        let quota = (self.limits)(namespace);
        let (mut objects, mut bytes, mut fits) = (0_usize, 0_usize, false);
        let mut without: Vec<Head> = Vec::new();
        for (age, ration) in self.known.get_mut(namespace).into_iter().flatten() {
            let total = bytes.saturating_add(ration.bytes);
            let has_room = objects < quota.objects && total <= quota.bytes && ration.bytes < usize::MAX;
            if has_room {
                (objects, bytes) = (objects.saturating_add(1), total);
            }
            if newcomer == Some(age) {
                (fits, ration.is_whole) = (has_room, has_room);
            } else if has_room != ration.is_whole {
                let key = ration.head.key();
                if has_room {
                    self.wanted.insert(key);
                } else {
                    self.wanted.remove(&key);
                    ration.is_whole = false;
                    without.push(ration.head.clone());
                }
            }
        }
        for head in without {
            self.stored.put(crowded(head), self.is_listing);
        }
        fits
    }

    fn forget(&mut self, (namespace, name): &(String, String)) {
        if let Some(known) = self.known.get_mut(namespace) {
            known.retain(|(_, other), _| other != name);
            if known.is_empty() {
                self.known.remove(namespace);
            }
        }
    }
}

impl<K, R, C, L, Q> Sink for Rationed<K, R, C, L, Q>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    R: Send + 'static,
    C: Fn(&Guarded<K>, bool) + Send + 'static,
    L: Fn() + Send + 'static,
    Q: Fn(&str) -> Quota + Send + 'static,
{
    fn begin(&mut self) {
        self.known.clear();
        self.wanted.clear();
        self.is_listing = true;
        self.stored.start();
    }

    fn listed(&mut self, object: &RawValue) {
        self.put(object);
    }

    fn complete(&mut self) {
        self.is_listing = false;
        self.stored.finish();
    }

    fn changed(&mut self, object: &RawValue) {
        self.put(object);
    }

    fn gone(&mut self, object: &RawValue) {
        if let Ok(head) = Head::of(object) {
            self.missing(&head.key());
        }
    }

    fn wanted(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.wanted).into_iter().collect()
    }

    fn missing(&mut self, key: &(String, String)) {
        self.wanted.remove(key);
        self.forget(key);
        self.stored.take(key);
        self.settle(&key.0, None);
    }
}

/// Reads an object of a kind of ours; what cannot be read is kept as that it is there. Unlike the [`DeserializeGuard`] does
/// it, no tree is made of it on the way.
fn read_guarded<K: Resource + DeserializeOwned>(object: &RawValue, head: Head) -> Guarded<K> {
    DeserializeGuard(
        serde_json::from_str::<K>(object.get())
            .map_err(|error| InvalidObject { error: error.to_string(), metadata: head.metadata() }),
    )
}

/// Takes off what nobody reads of a kind of ours: labels, and annotations of others.
fn slim<K: Resource>(mut object: Guarded<K>) -> Guarded<K> {
    let group = format!("{}/", novacrm_crds::GROUP);
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    metadata.labels = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| name.starts_with(&group));
    }
    object
}

/// Of an object what identifies it, and its labels.
#[must_use]
pub fn identity_and_labels<K>(object: &RawValue) -> Option<PartialObjectMeta<K>> {
    #[derive(Deserialize)]
    struct Labelled {
        metadata: Labels,
    }
    #[derive(Deserialize)]
    struct Labels {
        #[serde(default)]
        labels: Option<BTreeMap<String, String>>,
    }
    let labels = serde_json::from_str::<Labelled>(object.get()).ok()?.metadata.labels;
    let metadata = ObjectMeta { labels, ..Head::of(object).ok()?.metadata() };
    Some(PartialObjectMeta { types: None, metadata, _phantom: PhantomData })
}

/// Several stores of one kind, as one.
#[derive(Clone)]
pub struct Index<K: Lookup + Clone + 'static>(pub Vec<Store<K>>)
where
    K::DynamicType: Clone + Eq + Hash;

impl<K> Index<K>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Clone + Eq + Hash,
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

#[cfg(test)]
mod tests {
    use futures::io::Cursor;
    use novacrm_crds::CompliancePolicy;
    use serde_json::{Value, json};

    use super::*;

    const QUOTA: Quota = Quota { objects: 2, bytes: 10 * 1024 * 1024 };

    fn raw(value: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(value).unwrap()
    }

    /// A policy that was made at a second.
    fn policy(name: &str, second: u32) -> Value {
        let text = include_str!("../../../engine/core/testdata/policies/sound.yaml");
        let mut policy: Value = serde_yaml::from_str(text).unwrap();
        policy["metadata"] = json!({
            "name": name, "namespace": "acme", "uid": name, "resourceVersion": "1",
            "creationTimestamp": format!("2026-12-01T12:00:{second:02}Z"),
            "labels": { "a": "b" },
            "annotations": { "example.com/a": "b", "novacrm.io/break-glass": "1" },
        });
        policy
    }

    type Told = Arc<std::sync::Mutex<Vec<(String, bool)>>>;

    fn rationed() -> (Store<Guarded<CompliancePolicy>>, Told, impl Sink) {
        let writer = reflector::store::Writer::new(());
        let store = writer.as_reader();
        let told = Told::default();
        let tell = told.clone();
        let changed = move |object: &Guarded<CompliancePolicy>, gone: bool| {
            tell.lock().unwrap().push((object.name_any(), gone));
        };
        let stored =
            Stored { writer, store: store.clone(), seen: BTreeSet::new(), keep: (), changed, listed: || () };
        let sink = Rationed {
            stored,
            limits: |_: &str| QUOTA,
            known: BTreeMap::new(),
            is_listing: false,
            wanted: BTreeSet::new(),
        };
        (store, told, sink)
    }

    /// Names of what is kept whole, and of what is not.
    fn kept(store: &Store<Guarded<CompliancePolicy>>) -> (Vec<String>, Vec<String>) {
        let mut all = store.state();
        all.sort_by_key(|object| object.name_any());
        let (whole, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|object| object.0.is_ok());
        assert!(rest.iter().all(|object| is_crowded(object)));
        let names = |all: Vec<Arc<Guarded<CompliancePolicy>>>| all.iter().map(|one| one.name_any()).collect();
        (names(whole), names(rest))
    }

    #[test]
    fn the_oldest_are_kept_whole_in_whatever_order_they_come() {
        let (store, told, mut sink) = rationed();
        sink.begin();
        for (name, second) in [("d", 4), ("a", 1), ("c", 3), ("b", 2)] {
            sink.listed(&raw(&policy(name, second)));
        }
        sink.complete();
        assert_eq!(kept(&store), (vec!["a".into(), "b".into()], vec!["c".into(), "d".into()]));
        assert_eq!(told.lock().unwrap().len(), 4, "each is told of once");
        let whole = store.get(&ObjectRef::new("a").within("acme")).unwrap();
        assert_eq!(whole.meta().labels, None);
        assert_eq!(whole.annotations().keys().collect::<Vec<_>>(), ["novacrm.io/break-glass"]);
        assert!(sink.wanted().is_empty());

        sink.gone(&raw(&policy("a", 1)));
        assert_eq!(sink.wanted(), [("acme".to_owned(), "c".to_owned())], "there is room for the next one");
        sink.changed(&raw(&policy("c", 3)));
        assert_eq!(kept(&store), (vec!["b".into(), "c".into()], vec!["d".into()]));
        assert!(sink.wanted().is_empty());
        // One that went before it was asked for makes room for another.
        sink.gone(&raw(&policy("b", 2)));
        let wanted = sink.wanted();
        assert_eq!(wanted, [("acme".to_owned(), "d".to_owned())]);
        sink.missing(&wanted[0]);
        assert_eq!(kept(&store), (vec!["c".into()], Vec::new()));
    }

    #[test]
    fn what_would_take_too_much_memory_is_not_kept_and_in_nobodys_way() {
        let (store, _, mut sink) = rationed();
        let mut heavy = policy("a", 1);
        heavy["spec"]["rules"] = vec![json!([]); 400_000].into();
        sink.changed(&raw(&heavy));
        sink.changed(&raw(&policy("b", 2)));
        sink.changed(&raw(&policy("c", 3)));
        assert_eq!(kept(&store), (vec!["b".into(), "c".into()], vec!["a".into()]));
        sink.changed(&raw(&policy("a", 1)));
        assert_eq!(kept(&store), (vec!["a".into(), "b".into()], vec!["c".into()]));
    }

    #[tokio::test]
    async fn lines_are_read_whole_and_large_ones_with_a_permit() {
        let large = "x".repeat(PAGE_BYTES * 3);
        let mut lines = Cursor::new(format!("small\n\n{large}\nrest").into_bytes());
        let mut line = Vec::new();
        assert!(next_line(&mut lines, &mut line).await.unwrap().unwrap().is_none());
        assert_eq!(line, b"small");
        line.clear();
        // A reader that hands out all at once needs no permit any more when it is done.
        assert!(next_line(&mut lines, &mut line).await.unwrap().is_some());
        assert_eq!(line.len(), large.len());
        line.clear();
        assert!(next_line(&mut lines, &mut line).await.unwrap().is_none(), "a line that breaks off is none");
        let mut endless = Cursor::new(vec![b'x'; OBJECT_BYTES + 1]);
        line.clear();
        assert!(matches!(next_line(&mut endless, &mut line).await, Err(WatchError::TooLarge)));
    }

    #[test]
    fn a_bookmark_and_an_object_without_a_time_have_a_head() {
        let bookmark =
            json!({ "kind": "Pod", "metadata": { "resourceVersion": "7", "creationTimestamp": null } });
        assert_eq!(Head::of(&raw(&bookmark)).unwrap().resource_version, "7");
    }
}
