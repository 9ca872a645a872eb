//! One request as admission sees it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use rdd_api::{GroupVersionKind, GroupVersionResource, Status};
use serde_json::Value;

use crate::user::UserInfo;

/// What a request does. Patches count as updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed object.
    Update,
    /// A removed object, or one that starts to terminate.
    Delete,
    /// A connection to a subresource.
    Connect,
}

/// What undoes a plugin's own doing; see [`Attributes::if_refused`].
pub type Undo = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One request as admission sees it.
///
/// # Guarantees
///
/// * `object` is complete and defaulted at the request's version. On create it has no uid and no
///   creationTimestamp while plugins admit, and has them when they validate. It is `None` on delete.
/// * `old_object` is the stored state on update and delete, `None` on create.
/// * What was given to [`Attributes::hold`] lives until the write is durable, or has failed.
///
/// # Caveats
///
/// An update that loses a race is tried again with fresh attributes: plugins run once per attempt.
pub struct Attributes {
    /// What is done.
    pub operation: Operation,
    /// The kind, at the request's version.
    pub kind: GroupVersionKind,
    /// The resource, at the request's version.
    pub resource: GroupVersionResource,
    /// The subresource, as in `status`.
    pub subresource: Option<String>,
    /// The namespace; `None` for kinds without. For a Namespace, its own name.
    pub namespace: Option<String>,
    /// The name; empty on create with `generateName`.
    pub name: String,
    /// The object to be written. Plugins may change it in `admit`.
    pub object: Option<Value>,
    /// The object as stored.
    pub old_object: Option<Arc<Value>>,
    /// Who asks.
    pub user: UserInfo,
    /// Whether nothing will be stored. Side effects must be left out, or be dry-run too.
    pub dry_run: bool,
    held: Vec<Box<dyn Any + Send + Sync>>,
    undo: Mutex<Vec<Undo>>,
}

impl Attributes {
    /// Makes the attributes of an operation; the caller fills in the rest.
    pub fn new(operation: Operation, kind: GroupVersionKind, resource: GroupVersionResource, user: UserInfo) -> Self {
        Self {
            operation,
            kind,
            resource,
            subresource: None,
            namespace: None,
            name: String::new(),
            object: None,
            old_object: None,
            user,
            dry_run: false,
            held: Vec::new(),
            undo: Mutex::default(),
        }
    }

    /// Keeps `guard` (a lock's, a counter's) until the write is durable or has failed.
    pub fn hold(&mut self, guard: impl Any + Send + Sync) {
        self.held.push(Box::new(guard));
    }

    /// Runs `undo` if the write fails after all: a later plugin, validation or the store refuses it.
    /// Undoing happens in reverse order, before held guards are dropped.
    pub fn if_refused(&mut self, undo: impl Future<Output = ()> + Send + 'static) {
        self.undo.get_mut().expect("no holder of this lock panics").push(Box::pin(undo));
    }

    /// Ends a request that was stored: forgets the undoing, lets go of what is held.
    pub fn stored(self) {}

    /// Ends a request that failed: undoes, then lets go of what is held.
    pub async fn refused(self) {
        let undo = self.undo.into_inner().expect("no holder of this lock panics");
        for step in undo.into_iter().rev() {
            step.await;
        }
        drop(self.held);
    }

    /// Returns a 403 about this request's object.
    pub fn forbidden(&self, cause: &str) -> Status {
        Status::forbidden(&self.resource.group_resource(), &self.name, cause)
    }

    /// Returns whether the request is for `group` and `resource`, on the object itself.
    pub fn is_for(&self, group: &str, resource: &str) -> bool {
        self.subresource.is_none() && self.resource.group == group && self.resource.resource == resource
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attributes")
            .field("operation", &self.operation)
            .field("resource", &self.resource)
            .field("subresource", &self.subresource)
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("user", &self.user.name)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}
