//! The face of the verbs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rdd_admission::{Admit, Chain, InFlight};
use rdd_api::time::Clock;
use rdd_api::{GroupResource, GroupVersionResource, Status};
use rdd_registry::Registry;
use rdd_store::{Key, Prefix, Revision, Store, WriteError};
use serde_json::Value;
use tokio_util::task::TaskTracker;

use crate::object::Object;
use crate::options::{
    Caller, DeleteOptions, Deleted, List, ListOptions, Patch, Target, WatchOptions, WatchStream, WriteOptions, Written,
};

/// The verbs of one API server. Cheap to clone.
#[derive(Clone)]
pub struct Verbs {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    registry: Arc<Registry>,
    chain: Chain,
    clock: Arc<dyn Clock>,
    custom_kinds: tokio::sync::Mutex<()>,
    custom_creates: InFlight,
    writes: TaskTracker,
}

impl Verbs {
    /// Makes the verbs over a store. Call [`Verbs::start`] before serving.
    pub fn new(store: Store, registry: Arc<Registry>, chain: Chain, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                registry,
                chain,
                clock,
                custom_kinds: tokio::sync::Mutex::default(),
                custom_creates: InFlight::default(),
                writes: TaskTracker::new(),
            }),
        }
    }

    /// Makes what must be there before the first request: the custom kinds of stored
    /// CustomResourceDefinitions, and the namespaces `default`, `kube-system`, `kube-public` and
    /// `kube-node-lease`.
    pub async fn start(&self) -> Result<(), Status> {
        self.load_custom_kinds().await?;
        self.seed_namespaces().await
    }

    /// Waits until the writes that are under way have ended. Call it before the store is closed.
    pub async fn drain(&self) {
        self.inner.writes.close();
        self.inner.writes.wait().await;
    }

    /// Waits until something is committed after `revision`. For loops that wait for a state of the world.
    pub async fn changed_after(&self, revision: u64) {
        const LONG: Duration = Duration::from_secs(3600);
        while self.inner.store.wait_for(Revision(revision + 1), LONG).await.is_err() {}
    }

    /// Carries out a write to its end, also if the caller goes away: a plugin's side effects and the two
    /// steps of a CustomResourceDefinition belong together.
    async fn carry_out<T: Send + 'static>(
        &self,
        write: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        match self.inner.writes.spawn(write).await {
            Ok(result) => result,
            Err(error) => Err(Status::internal(error)),
        }
    }

    /// Returns the registry.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.inner.registry
    }

    /// Returns the admission chain.
    pub fn chain(&self) -> &Chain {
        &self.inner.chain
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Returns the latest committed revision.
    pub fn revision(&self) -> u64 {
        self.inner.store.snapshot().revision().0
    }

    /// Returns whether the store takes writes, as far as its last one tells.
    pub fn can_write(&self) -> bool {
        self.store().unavailable().is_none()
    }

    /// Returns whether a resource is served at a version.
    pub fn is_served(&self, resource: &GroupVersionResource) -> bool {
        self.registry().kinds().resource(&resource.group, &resource.version, &resource.resource).is_some()
    }

    /// Returns the target of a resource, or a 404 if it is not served.
    pub fn target(&self, resource: &GroupVersionResource) -> Result<Target, Status> {
        Target::find(&self.registry().kinds(), &resource.group, &resource.version, &resource.resource)
            .ok_or_else(Status::no_such_path)
    }

    /// Returns an object, in its latest state.
    pub fn get(&self, target: &Target) -> Result<Object, Status> {
        self.read(target)
    }

    /// Returns an object, in a state not older than `resource_version` (as in the query).
    pub async fn get_not_older(&self, target: &Target, resource_version: &str) -> Result<Object, Status> {
        self.wait_for_parameter(resource_version).await?;
        self.read(target)
    }

    /// Returns the objects that the target and the selectors cover.
    pub async fn list(&self, target: &Target, options: &ListOptions) -> Result<List, Status> {
        self.list_objects(target, options).await
    }

    /// Follows the objects that the target and the selectors cover. Bad parameters fail at once; what fails
    /// later, or an expired revision, is the stream's last event.
    pub async fn watch(&self, target: &Target, options: &WatchOptions) -> Result<WatchStream, Status> {
        self.watch_objects(target, options).await
    }

    /// Creates an object.
    pub async fn create(
        &self,
        caller: &Caller,
        target: &Target,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let (verbs, caller, target, options) = (self.clone(), caller.clone(), target.clone(), options.clone());
        self.carry_out(async move { verbs.create_object(&caller, &target, body, &options).await }).await
    }

    /// Replaces an object, or the part of it that the target's subresource (`status`, `scale`, `finalize`) stands for.
    pub async fn update(
        &self,
        caller: &Caller,
        target: &Target,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let (verbs, caller, target, options) = (self.clone(), caller.clone(), target.clone(), options.clone());
        self.carry_out(async move { verbs.update_object(&caller, &target, body, &options).await }).await
    }

    /// Changes an object.
    pub async fn patch(
        &self,
        caller: &Caller,
        target: &Target,
        patch: Patch,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let (verbs, caller, target, options) = (self.clone(), caller.clone(), target.clone(), options.clone());
        self.carry_out(async move { verbs.patch_object(&caller, &target, patch, &options).await }).await
    }

    /// Deletes an object, or begins to.
    pub async fn delete(&self, caller: &Caller, target: &Target, options: &DeleteOptions) -> Result<Deleted, Status> {
        let (verbs, caller, target, options) = (self.clone(), caller.clone(), target.clone(), options.clone());
        self.carry_out(async move { verbs.delete_object(&caller, &target, &options).await }).await
    }

    /// Deletes the objects that a list would return, one by one, and returns them.
    pub async fn delete_collection(
        &self,
        caller: &Caller,
        target: &Target,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<List, Status> {
        let (verbs, caller, target) = (self.clone(), caller.clone(), target.clone());
        let (options, list) = (options.clone(), list.clone());
        self.carry_out(async move { verbs.delete_objects(&caller, &target, &options, &list).await }).await
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Serialises what depends on all CustomResourceDefinitions.
    pub(crate) fn custom_kinds_lock(&self) -> &tokio::sync::Mutex<()> {
        &self.inner.custom_kinds
    }

    /// Counts creates of custom objects, by the name of their CRD.
    pub(crate) fn custom_creates(&self) -> &InFlight {
        &self.inner.custom_creates
    }

    pub(crate) fn admit_context(&self) -> Admit {
        Admit::new(Arc::new(self.clone()), Arc::new(self.clone()))
    }
}

/// Returns the key of an object.
pub(crate) fn key(target: &Target, name: &str) -> Key {
    let storage = &target.kind.storage;
    Key::new(&storage.group, &storage.resource, target.namespace.as_deref(), name)
}

/// Returns the prefix of everything that a target without name covers.
pub(crate) fn prefix(target: &Target) -> Prefix {
    let storage = &target.kind.storage;
    match &target.namespace {
        Some(namespace) => Prefix::namespace(&storage.group, &storage.resource, namespace),
        None => Prefix::resource(&storage.group, &storage.resource),
    }
}

/// Says what a failed write means to the caller. Conflicts are the verbs' own to judge.
pub(crate) fn store_failure(error: &WriteError, resource: &GroupResource, name: &str) -> Status {
    match error {
        WriteError::Conflict { .. } => Status::modified(resource, name),
        WriteError::Unavailable { reason } => {
            let advice = if reason.contains("disk is full") { "; free some space, then try again" } else { "" };
            Status::unavailable(format!("the store cannot write: {reason}{advice}"), 1)
        }
        WriteError::Closed => Status::unavailable("the server is shutting down", 1),
    }
}
