//! Follows how all objects hang together: their owners, and what keeps them from being deleted.
//!
//! For the garbage collector. One cursor on the store's ring covers all kinds, so that the changes come in the order in
//! which they happened and no kind, old or new, is missed. Of each object only metadata is read, and nothing is kept.

use std::fmt;

use rdd_api::Status;
use rdd_store::{Entry, EventKind, Key, Prefix, Start, WatchEnd};
use serde::Deserialize;
use tokio::task::yield_now;

use crate::options::Target;
use crate::verbs::Verbs;

/// After about so many bytes of stored objects the first look gives way to requests.
const TURN: usize = 128 * 1024;

/// Where an object is, whether or not its kind is served. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ObjectKey(Key);

impl ObjectKey {
    /// Makes the key of an object.
    pub fn new(group: &str, resource: &str, namespace: Option<&str>, name: &str) -> Self {
        Self(Key::new(group, resource, namespace, name))
    }

    /// Returns the API group, empty for the core group.
    pub fn group(&self) -> &str {
        self.0.group()
    }

    /// Returns the namespace, if the object lies in one.
    pub fn namespace(&self) -> Option<&str> {
        self.0.namespace()
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.0.name()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// The owner's `apiVersion`.
    pub api_version: String,
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
    /// The owner's uid.
    pub uid: String,
    /// Whether a foreground deletion of the owner waits for the object.
    pub block_owner_deletion: Option<bool>,
}

impl OwnerReference {
    /// Returns the owner's API group, empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Returns the owner's version.
    pub fn version(&self) -> &str {
        self.api_version.split_once('/').map_or(self.api_version.as_str(), |(_, version)| version)
    }

    /// Returns whether a foreground deletion of the owner waits for the object.
    pub fn blocks(&self) -> bool {
        self.block_owner_deletion == Some(true)
    }
}

/// What an object says about its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMetadata {
    /// Where the object is.
    pub key: ObjectKey,
    /// The kind.
    pub kind: String,
    /// The uid.
    pub uid: String,
    /// The owners.
    pub owners: Vec<OwnerReference>,
    /// The finalizers.
    pub finalizers: Vec<String>,
    /// Whether the object is being deleted.
    pub terminating: bool,
}

/// One change, in the order of revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataChange {
    /// The object is there, new or changed.
    Present(ObjectMetadata),
    /// The object is gone. This was its last state.
    Gone(ObjectMetadata),
}

/// Why a [`MetadataWatch`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataWatchEnd {
    /// Its owner was too slow, and must begin anew.
    Lagged,
    /// The store was closed.
    Closed,
}

/// The changes of all objects; see [`Verbs::watch_metadata`].
pub struct MetadataWatch {
    verbs: Verbs,
    events: rdd_store::Watch,
}

impl Verbs {
    /// Returns all objects as they are now, and a watch of what happens to them from here on. Objects that end by
    /// themselves (Events) are left out.
    pub async fn watch_metadata(&self) -> Result<(Vec<ObjectMetadata>, MetadataWatch), Status> {
        let snapshot = self.store().snapshot();
        let start = Start::After(snapshot.revision());
        let events = self.store().watch(Prefix::everything(), start).map_err(Status::internal)?;
        let (mut present, mut turn) = (Vec::new(), 0);
        for entry in snapshot.range(&Prefix::everything(), None) {
            present.extend(self.metadata(&entry));
            turn += entry.bytes.len();
            if turn > TURN {
                turn = 0;
                yield_now().await;
            }
        }
        Ok((present, MetadataWatch { verbs: self.clone(), events }))
    }

    /// Returns the object at a key, at the version that it is stored at; `None` while its kind is not served.
    pub fn target_of(&self, key: &ObjectKey) -> Option<Target> {
        let kind = self.registry().kinds().by_group_resource(key.group(), key.0.resource())?.clone();
        Some(Target {
            version: kind.storage_version().name.clone(),
            kind,
            namespace: key.namespace().map(str::to_owned),
            name: Some(key.name().to_owned()),
            subresource: None,
        })
    }

    fn metadata(&self, entry: &Entry) -> Option<ObjectMetadata> {
        let kinds = self.registry().kinds();
        let kind = kinds.by_group_resource(entry.key.group(), entry.key.resource());
        if kind.is_some_and(|kind| kind.ttl.is_some()) {
            return None;
        }
        read(entry)
    }
}

impl MetadataWatch {
    /// Returns the next change, as soon as there is one. May be cancelled: nothing is lost.
    pub async fn next(&mut self) -> Result<MetadataChange, MetadataWatchEnd> {
        loop {
            let event = self.events.next().await.map_err(|end| match end {
                WatchEnd::Lagged => MetadataWatchEnd::Lagged,
                WatchEnd::Closed => MetadataWatchEnd::Closed,
            })?;
            let Some(metadata) = self.verbs.metadata(&event.entry) else { continue };
            return Ok(match event.kind {
                EventKind::Created | EventKind::Modified => MetadataChange::Present(metadata),
                EventKind::Deleted => MetadataChange::Gone(metadata),
            });
        }
    }
}

#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    kind: String,
    metadata: StoredMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredMetadata {
    uid: String,
    #[serde(default)]
    owner_references: Option<Vec<OwnerReference>>,
    #[serde(default)]
    finalizers: Option<Vec<String>>,
    #[serde(default)]
    deletion_timestamp: Option<serde::de::IgnoredAny>,
}

fn read(entry: &Entry) -> Option<ObjectMetadata> {
    match serde_json::from_slice::<Stored>(&entry.bytes) {
        Ok(Stored { kind, metadata }) => Some(ObjectMetadata {
            key: ObjectKey(entry.key.clone()),
            kind,
            uid: metadata.uid,
            owners: metadata.owner_references.unwrap_or_default(),
            finalizers: metadata.finalizers.unwrap_or_default(),
            terminating: metadata.deletion_timestamp.is_some(),
        }),
        Err(error) => {
            // Only the verbs write, so this is a damaged file. What cannot be read owns nothing and is owned by nobody.
            tracing::error!(key = %entry.key, %error, "the metadata of a stored object cannot be read");
            None
        }
    }
}
