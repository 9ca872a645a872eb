//! What a kind is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdd_api::{GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
use rdd_schema::Schema;
use rdd_schema::protobuf::Message;
use rdd_schema::validation::NameFormat;
use serde_json::Value;

use crate::column::Column;
use crate::scale::Scale;
use crate::strategy::Strategy;

/// Whether objects live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace each.
    Namespaced,
    /// Outside of namespaces.
    Cluster,
}

/// How the write path treats a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Whether `metadata.generation` counts changes of what is wanted.
    pub generation: bool,
    /// Whether a PUT may come without resourceVersion.
    pub unconditional_update: bool,
    /// Whether a PUT to a missing name creates.
    pub create_on_update: bool,
    /// Whether a delete answers with the object instead of a `Status`.
    pub return_deleted: bool,
}

/// Where a kind's objects are stored. Two kinds may share it (both Event kinds do).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Storage {
    /// The group in the key.
    pub group: String,
    /// The resource in the key.
    pub resource: String,
}

/// A field that a field selector may name, beside `metadata.name` and `metadata.namespace`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectableField {
    /// The name in the selector, as in `status.phase`.
    pub name: String,
    /// The keys that lead to the value.
    pub path: Vec<String>,
}

impl SelectableField {
    /// A field whose name in the selector is its path.
    pub fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), path: name.split('.').map(str::to_owned).collect() }
    }

    /// A field whose path differs from its name in the selector.
    pub fn at(name: &str, path: &str) -> Self {
        Self { name: name.to_owned(), path: path.split('.').map(str::to_owned).collect() }
    }

    /// Returns the value as a selector compares it; empty if absent.
    pub fn value(&self, object: &Value) -> String {
        let mut at = object;
        for key in &self.path {
            match at.get(key) {
                Some(next) => at = next,
                None => return String::new(),
            }
        }
        match at {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }
}

/// One version of a kind.
#[derive(Clone, Debug)]
pub struct Version {
    /// The name, as in `v1alpha1`.
    pub name: String,
    /// Whether requests may use it.
    pub served: bool,
    /// Whether objects are stored at it. True for exactly one version.
    pub storage: bool,
    /// The schema. For built-in kinds it leaves `metadata` open, as for custom ones.
    pub schema: Arc<Schema>,
    /// The columns of a table, `Name` first.
    pub columns: Vec<Column>,
    /// Whether `status` is written by its own subresource.
    pub status_subresource: bool,
    /// The scale subresource.
    pub scale: Option<Scale>,
    /// What field selectors may name.
    pub selectable_fields: Vec<SelectableField>,
    /// The warning to send with each answer, for a deprecated version.
    pub deprecated: Option<String>,
    /// The Go type: how protobuf bodies are read and JSON types are checked; `None` for custom kinds.
    pub message: Option<&'static Message>,
}

/// The CustomResourceDefinition behind a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custom {
    /// The CRD's name.
    pub name: String,
    /// The CRD's uid.
    pub uid: String,
    /// Whether the CRD is being deleted: no creates, reduced discovery.
    pub terminating: bool,
    /// Differs whenever the CRD would make another kind; see [`crd::stamp`](crate::crd::stamp).
    pub stamp: String,
}

/// A kind: everything that the server must know to serve it.
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural name in URLs.
    pub resource: String,
    /// The singular, lower-case name.
    pub singular: String,
    /// The kind, in CamelCase.
    pub kind: String,
    /// The kind of lists.
    pub list_kind: String,
    /// Short names for people.
    pub short_names: Vec<String>,
    /// Categories, as in `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub scope: Scope,
    /// The versions, the preferred first.
    pub versions: Vec<Version>,
    /// The verbs on objects, in alphabetical order.
    pub verbs: Vec<&'static str>,
    /// Subresources beside `status` and `scale`, with their verbs.
    pub subresources: Vec<(&'static str, Vec<&'static str>)>,
    /// What names must look like.
    pub name_format: NameFormat,
    /// How writes are treated.
    pub manners: Manners,
    /// Defaults and validation of the kind's own.
    pub strategy: Arc<dyn Strategy>,
    /// Where the objects are.
    pub storage: Storage,
    /// How long an object lives after its last write; `None` for ever.
    pub ttl: Option<Duration>,
    /// The CRD, for a custom kind.
    pub custom: Option<Custom>,
    /// Tells this table entry from every other one, also from an older state of the same kind. Decoded
    /// objects are cached under it.
    pub id: u64,
}

/// Returns the verbs of a kind that has them all.
pub fn full_verbs() -> Vec<&'static str> {
    vec!["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
}

impl Kind {
    /// Returns a fresh value for [`Kind::id`].
    pub fn next_id() -> u64 {
        // A source of unequal numbers, not state: nothing depends on which ones are handed out.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns a version by name, served or not.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.name == name)
    }

    /// Returns the version that objects are stored at.
    pub fn storage_version(&self) -> &Version {
        self.versions.iter().find(|v| v.storage).or(self.versions.first()).expect("a kind has a version")
    }

    /// Returns whether objects live in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Returns the verbs that discovery tells. A kind whose CRD is being deleted offers only what helps to get rid of its
    /// objects, although updates go on so that finalizers can be removed.
    pub fn discovery_verbs(&self) -> Vec<&'static str> {
        let terminating = self.custom.as_ref().is_some_and(|c| c.terminating);
        let left = ["delete", "deletecollection", "get", "list", "watch"];
        self.verbs.iter().copied().filter(|verb| !terminating || left.contains(verb)).collect()
    }

    /// Returns whether the kind supports a verb.
    pub fn supports(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }

    /// Returns whether there are objects of the kind. Reviews are answered and forgotten.
    pub fn is_stored(&self) -> bool {
        self.supports("get")
    }

    /// Returns whether this is the core group's `resource`.
    pub fn is_core(&self, resource: &str) -> bool {
        self.group.is_empty() && self.resource == resource
    }

    /// Returns the group and resource.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.group.clone(), self.resource.clone())
    }

    /// Returns the group and kind.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group.clone(), kind: self.kind.clone() }
    }

    /// Returns the group and a version of it.
    pub fn group_version(&self, version: &str) -> GroupVersion {
        GroupVersion::new(self.group.clone(), version)
    }

    /// Returns the `apiVersion` text of a version.
    pub fn api_version(&self, version: &str) -> String {
        self.group_version(version).to_string()
    }

    /// Returns the full name of the kind at a version.
    pub fn gvk(&self, version: &str) -> GroupVersionKind {
        GroupVersionKind::new(self.group.clone(), version, self.kind.clone())
    }

    /// Returns the full name of the resource at a version.
    pub fn gvr(&self, version: &str) -> GroupVersionResource {
        GroupVersionResource::new(self.group.clone(), version, self.resource.clone())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind")
            .field("group", &self.group)
            .field("resource", &self.resource)
            .field("custom", &self.custom)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
