//! Where keys come from: watches on objects, and nudges from elsewhere in the process.

use std::fmt;

use futures::stream::{BoxStream, StreamExt};
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

/// The namespace and the name of an object. The namespace of a cluster-scoped object is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The namespace, or nothing.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// Makes a key.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Returns the key of an object.
    pub fn of<K: Resource>(object: &K) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// Returns the keys that `map` makes of every object that is there, changes or goes. The stream does
/// not end: it reconnects, with backoff, and then shows every object again.
///
/// # Caveats
///
/// An object that goes while the watch is interrupted is not shown. Kinds for which that matters
/// carry a finalizer: then the last thing that is shown is an object with a deletion timestamp.
pub fn watch<K, Key, Keys>(
    api: Api<K>,
    config: watcher::Config,
    map: impl Fn(&K) -> Keys + Send + 'static,
) -> BoxStream<'static, Key>
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
    Key: Send + 'static,
    Keys: IntoIterator<Item = Key>,
    Keys::IntoIter: Send + 'static,
{
    let keys = move |event: Result<Event<K>, watcher::Error>| {
        let object = match event {
            Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => Some(object),
            Ok(Event::Init | Event::InitDone) => None,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "watch interrupted");
                None
            }
        };
        futures::stream::iter(object.map(|o| map(&o).into_iter()).into_iter().flatten())
    };
    watcher(api, config).default_backoff().flat_map(keys).boxed()
}

/// Asks a controller to look at a key, from anywhere in the process. Never blocks; the queue behind
/// it knows each key once.
#[derive(Debug)]
pub struct Nudge<K>(mpsc::UnboundedSender<K>);

impl<K> Clone for Nudge<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Send + 'static> Nudge<K> {
    /// Makes a nudge and the stream to hand to the controller.
    pub fn new() -> (Self, BoxStream<'static, K>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let stream = futures::stream::unfold(receiver, |mut r| async move { r.recv().await.map(|key| (key, r)) });
        (Self(sender), stream.boxed())
    }

    /// Asks for a look at `key`. Does nothing after the controller has ended.
    pub fn nudge(&self, key: K) {
        let _ended = self.0.send(key);
    }
}
