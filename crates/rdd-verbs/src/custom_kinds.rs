//! The life of a CustomResourceDefinition, and with it of its kind.
//!
//! ```text
//! written ──settle──▶ established, served ──delete──▶ terminating ──objects gone──▶ removed, not served
//! ```
//!
//! *Settling* takes the stored CRDs and makes the world fit: it decides on the names, puts the kind into the
//! registry, and only then writes the status that says so. A client that sees `Established` can therefore
//! use the kind at once. It looks only at what is stored: a request, a start, and the loop that follows all CRDs run
//! the same path, and what one of them could not finish the next one does.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rdd_api::{GroupVersionResource, Reason, Status, object};
use rdd_registry::builtin::CLEANUP_FINALIZER;
use rdd_registry::crd;
use rdd_registry::set_condition;
use rdd_store::{Expect, Prefix, Start, WatchEnd, WriteError};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::object::Object;
use crate::options::{Caller, DeleteOptions, ListOptions, Target, WriteOptions};
use crate::verbs::{Verbs, key, store_failure};
use crate::view;

/// How long until what failed is tried again; twice as long each time, up to the most.
const RETRY: Duration = Duration::from_secs(1);
const MOST_RETRY: Duration = Duration::from_secs(60);

fn crds() -> GroupVersionResource {
    GroupVersionResource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

impl Verbs {
    /// Serves the kinds of all stored CRDs.
    pub(crate) async fn load_custom_kinds(&self) -> Result<(), Status> {
        let _lock = self.custom_kinds_lock().lock().await;
        self.settle_crds().await
    }

    async fn all_crds(&self) -> Result<Vec<Object>, Status> {
        Ok(self.list_objects(&self.target(&crds())?, &ListOptions::default()).await?.items)
    }

    /// Makes the world fit a CRD that was just written, and returns its last state. The caller holds the
    /// lock of the custom kinds.
    pub(crate) async fn settle_crd(&self, written: Object) -> Result<Object, Status> {
        let (settled, _) = self.settle_one(&written).await?;
        // Somebody may have waited for a name that it has given up.
        if let Err(status) = self.settle_crds().await {
            // This request is done, and its event wakes the loop, which tries again.
            tracing::warn!(%status, "the names of other custom kinds are not settled");
        }
        Ok(settled)
    }

    /// Makes the world fit all stored CRDs. Writes nothing where it fits. One that fails stops no other. The caller
    /// holds the lock of the custom kinds.
    async fn settle_crds(&self) -> Result<(), Status> {
        let mut all = self.all_crds().await?;
        let names: HashSet<&str> = all.iter().map(|crd| object::name(crd)).collect();
        for kind in self.registry().kinds().iter() {
            if let Some(custom) = kind.custom.as_ref().filter(|custom| !names.contains(custom.name.as_str())) {
                self.registry().remove_custom(&custom.name);
            }
        }
        // A name that one gets or gives up may be what another one waits for. Nobody takes a name that is taken, so
        // each round but the last ends the wait of at least one.
        for _ in 0..=all.len() {
            let (mut wrote, mut failed) = (false, None);
            for crd in &all {
                match self.settle_one(crd).await {
                    Ok((_, changed)) => wrote |= changed,
                    Err(status) => failed = Some(status),
                }
            }
            match failed {
                Some(status) => return Err(status),
                None if !wrote => break,
                None => all = self.all_crds().await?,
            }
        }
        Ok(())
    }

    /// Makes the world fit one CRD. Returns its last state, and whether that was written here.
    async fn settle_one(&self, known: &Object) -> Result<(Object, bool), Status> {
        let target = self.target(&crds())?.named(object::name(known));
        let version = target.version()?;
        loop {
            let Some(entry) = self.store().snapshot().get(&key(&target, target.name_text())) else {
                self.registry().remove_custom(target.name_text());
                return Ok((known.clone(), false));
            };
            let present = view::object(&entry, &target.kind, version);
            let settled = if crd::has_its_names(&present) {
                present.clone()
            } else {
                let others: Vec<Arc<Value>> = self.all_crds().await?.iter().map(|o| o.value().clone()).collect();
                Object::new(crd::with_names(&present, &others, self.now()))
            };
            // First the routes, then the word that they are there.
            let kinds = self.registry().kinds();
            let served = kinds.by_group_resource(text(&settled, "/spec/group"), text(&settled, "/spec/names/plural"));
            let served = served.and_then(|kind| kind.custom.as_ref());
            // A kind that stays the same keeps what was decoded with it.
            if served.is_none_or(|custom| custom.stamp != crd::stamp(&settled))
                && let Some(kind) = crd::compile(&settled)
            {
                self.registry().set_custom(kind);
            }
            if settled == present {
                return Ok((present, false));
            }
            let bytes = view::to_storage(&settled, &target.kind).to_string();
            match self.store().put(entry.key.clone(), bytes.into(), Expect::Revision(entry.revision), None).await {
                Ok(entry) => return Ok((view::object(&entry, &target.kind, version), true)),
                Err(WriteError::Conflict { .. }) => {}
                Err(error) => {
                    return Err(store_failure(&error, &target.kind.group_resource(), target.name_text()));
                }
            }
        }
    }

    /// Keeps the world fitting the CRDs: settles what requests could not, and finishes deletions, which empties the
    /// kind (finalizers are honoured) and then lets go of the CRD. Runs until `stop` is done.
    pub async fn run_custom_kinds(self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut changes = match self.store().watch(Prefix::everything(), Start::Now) {
            Ok(changes) => changes,
            Err(error) => {
                tracing::error!(%error, "custom kinds cannot be followed");
                return;
            }
        };
        let mut pause = RETRY;
        loop {
            let mut waiting = false;
            let retry = match self.step_of_custom_kinds(&mut waiting).await {
                Ok(()) => {
                    pause = RETRY;
                    None
                }
                Err(status) => {
                    tracing::warn!(%status, "a custom kind is not settled, or its deletion not finished");
                    let at = Instant::now() + pause;
                    pause = (pause * 2).min(MOST_RETRY);
                    Some(at)
                }
            };
            // While objects are in the way any write may be the one that takes them out of it.
            loop {
                tokio::select! {
                    () = &mut stop => return,
                    () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => break,
                    event = changes.next() => match event {
                        Ok(event) if waiting || is_crd_key(event.entry.key.as_str()) => break,
                        Ok(_) => {}
                        Err(WatchEnd::Closed) => return,
                        Err(WatchEnd::Lagged) => match self.store().watch(Prefix::everything(), Start::Now) {
                            Ok(fresh) => {
                                changes = fresh;
                                break;
                            }
                            Err(_) => return,
                        },
                    },
                }
            }
        }
    }

    /// Takes every CRD one step on; notes whether one waits for its objects. One that fails stops no other.
    async fn step_of_custom_kinds(&self, waiting: &mut bool) -> Result<(), Status> {
        let lock = self.custom_kinds_lock().lock().await;
        let mut outcome = self.settle_crds().await;
        drop(lock);
        for object in self.all_crds().await? {
            let ours = object::finalizers(&object).any(|f| f == CLEANUP_FINALIZER);
            if object::is_terminating(&object) && ours {
                match self.finish_crd(&object).await {
                    Ok(finished) => *waiting |= !finished,
                    Err(status) => outcome = Err(status),
                }
            }
        }
        outcome
    }

    async fn finish_crd(&self, present: &Object) -> Result<bool, Status> {
        let caller = Caller::system("system:serviceaccount:kube-system:custom-resource-finalizer");
        let (group, plural) = (text(present, "/spec/group"), text(present, "/status/acceptedNames/plural"));
        // Who marked the CRD holds the lock until the registry says so too.
        let lock = self.custom_kinds_lock().lock().await;
        let kinds = self.registry().kinds();
        drop(lock);
        let kind = kinds
            .by_group_resource(group, plural)
            .filter(|k| k.custom.as_ref().is_some_and(|c| c.uid == object::uid(present)));
        if let Some(kind) = kind {
            if kind.custom.as_ref().is_some_and(|custom| !custom.terminating) {
                // Creates still go on: what is emptied now would not stay so.
                return Err(Status::internal(format!("{group}/{plural} is served as if it were not deleted")));
            }
            let message = "CustomResource deletion is in progress";
            self.set_terminating(&caller, present, "True", "InstanceDeletionInProgress", message).await?;
            // Creates that saw the kind alive end first, later ones are refused.
            self.custom_creates().settled(object::name(present)).await;
            let target = Target {
                version: kind.storage_version().name.clone(),
                kind: kind.clone(),
                namespace: None,
                name: None,
                subresource: None,
            };
            self.delete_objects(&caller, &target, &DeleteOptions::default(), &ListOptions::default()).await?;
            if !self.list_objects(&target, &ListOptions::default()).await?.items.is_empty() {
                return Ok(false);
            }
        }
        let message = "removed all instances";
        self.set_terminating(&caller, present, "False", "InstanceDeletionCompleted", message).await?;
        let target = self.target(&crds())?.named(object::name(present));
        let latest = match self.read(&target) {
            Ok(latest) => latest,
            Err(status) if status.is(&Reason::NOT_FOUND) => return Ok(true),
            Err(status) => return Err(status),
        };
        let mut next = latest.into_value();
        if let Some(Value::Array(finalizers)) = object::metadata_mut(&mut next).get_mut("finalizers") {
            finalizers.retain(|f| f != CLEANUP_FINALIZER);
        }
        match self.update(&caller, &target, next, &WriteOptions::default()).await {
            Ok(_) => Ok(true),
            // Somebody else changed it; that change wakes us again.
            Err(status) if status.is(&Reason::CONFLICT) || status.is(&Reason::NOT_FOUND) => Ok(true),
            Err(status) => Err(status),
        }
    }

    async fn set_terminating(
        &self,
        caller: &Caller,
        present: &Object,
        status: &str,
        reason: &str,
        message: &str,
    ) -> Result<(), Status> {
        let target = self.target(&crds())?.named(object::name(present)).subresource("status");
        let mut next = match self.read(&target) {
            Ok(latest) => latest.into_value(),
            Err(status) if status.is(&Reason::NOT_FOUND) => return Ok(()),
            Err(status) => return Err(status),
        };
        set_condition(&mut next, "Terminating", status, reason, message, self.now());
        match self.update(caller, &target, next, &WriteOptions::default()).await {
            Err(status) if !status.is(&Reason::CONFLICT) && !status.is(&Reason::NOT_FOUND) => Err(status),
            _ => Ok(()),
        }
    }
}

fn is_crd_key(key: &str) -> bool {
    key.starts_with("apiextensions.k8s.io/customresourcedefinitions/")
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}
