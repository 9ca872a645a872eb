//! Empties namespaces that are being deleted, and lets them go when nothing is left.
//!
//! Level-triggered: each pass looks at every terminating namespace, deletes what it finds, and tells in
//! the conditions what is left. While something is left any write may change that, so any write starts
//! the next pass; otherwise only a namespace that begins to terminate does.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rdd_api::{GroupVersionResource, Reason, Status, object};
use rdd_registry::Kind;
use rdd_registry::builtin::KUBERNETES_FINALIZER;
use rdd_registry::set_condition;
use rdd_verbs::{Caller, DeleteOptions, ListOptions, Object, Target, Verbs, WatchEvent, WatchOptions, WriteOptions};
use serde_json::{Value, json};

/// How long until a pass that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until `stop` is done.
pub async fn run(verbs: Verbs, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    loop {
        let seen = verbs.revision();
        let outcome = tokio::select! {
            () = &mut stop => return,
            outcome = pass(&verbs) => outcome,
        };
        let next = async {
            match outcome {
                Ok(Outcome::Done) => terminating_after(&verbs, seen).await,
                Ok(Outcome::Waiting) => verbs.changed_after(seen).await,
                Err(status) => {
                    tracing::warn!(%status, "namespaces cannot be emptied");
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        tokio::select! {
            () = &mut stop => return,
            () = next => {}
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// No namespace is terminating.
    Done,
    /// Something is left that others must let go.
    Waiting,
}

fn caller() -> Caller {
    Caller::system("system:serviceaccount:kube-system:namespace-controller")
}

fn namespaces(verbs: &Verbs) -> Result<Target, Status> {
    verbs.target(&GroupVersionResource::new("", "v1", "namespaces"))
}

/// Waits for a namespace that begins to terminate.
async fn terminating_after(verbs: &Verbs, revision: u64) {
    let options = WatchOptions { resource_version: revision.to_string(), ..WatchOptions::default() };
    let Ok(target) = namespaces(verbs) else { return };
    // A watch that ends, or cannot begin, is a reason to look again.
    let Ok(mut events) = verbs.watch(&target, &options).await else { return tokio::time::sleep(RETRY).await };
    while let Some(event) = events.next().await {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) if object::is_terminating(&object) => return,
            WatchEvent::Error(_) => return,
            _ => {}
        }
    }
}

async fn pass(verbs: &Verbs) -> Result<Outcome, Status> {
    let mut outcome = Outcome::Done;
    for namespace in verbs.list(&namespaces(verbs)?, &ListOptions::default()).await?.items {
        if object::is_terminating(&namespace) && !empty_and_finalize(verbs, &namespace).await? {
            outcome = Outcome::Waiting;
        }
    }
    Ok(outcome)
}

/// What is left in a namespace.
#[derive(Default)]
struct Left {
    objects: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    failures: Vec<String>,
}

/// Returns whether there is nothing more to do for the namespace.
async fn empty_and_finalize(verbs: &Verbs, namespace: &Object) -> Result<bool, Status> {
    let name = object::name(namespace);
    let finalizers = namespace.pointer("/spec/finalizers").and_then(Value::as_array);
    if !finalizers.is_some_and(|f| f.iter().any(|f| f == KUBERNETES_FINALIZER)) {
        return Ok(true);
    }
    // Creates that saw the namespace alive end first; later ones are refused.
    verbs.chain().namespaces().settled(name).await;
    let left = empty(verbs, name).await;
    if !left.objects.is_empty() || !left.failures.is_empty() {
        tell(verbs, name, &left).await?;
        return Ok(false);
    }
    finalize(verbs, name).await
}

async fn empty(verbs: &Verbs, namespace: &str) -> Left {
    let mut left = Left::default();
    let mut seen = HashSet::new();
    let kinds = verbs.registry().kinds();
    for kind in kinds.iter().filter(|k| k.is_namespaced() && k.supports("deletecollection")) {
        if !seen.insert(kind.storage.clone()) {
            continue;
        }
        if let Err(status) = empty_kind(verbs, kind, namespace, &mut left).await {
            left.failures.push(status.message);
        }
    }
    left
}

async fn empty_kind(verbs: &Verbs, kind: &Arc<Kind>, namespace: &str, left: &mut Left) -> Result<(), Status> {
    let target = Target {
        version: kind.storage_version().name.clone(),
        kind: kind.clone(),
        namespace: Some(namespace.to_owned()),
        name: None,
        subresource: None,
    };
    let all = ListOptions::default();
    verbs.delete_collection(&caller(), &target, &DeleteOptions::background(), &all).await?;
    let remaining = verbs.list(&target, &all).await?.items;
    if !remaining.is_empty() {
        left.objects.insert(kind.group_resource().to_string(), remaining.len());
    }
    for finalizer in remaining.iter().flat_map(|object| object::finalizers(object)) {
        *left.finalizers.entry(finalizer.to_owned()).or_default() += 1;
    }
    Ok(())
}

/// Writes what is left into the conditions.
async fn tell(verbs: &Verbs, name: &str, left: &Left) -> Result<(), Status> {
    let target = namespaces(verbs)?.named(name).subresource("status");
    let Some(mut next) = found(verbs.get(&target))? else { return Ok(()) };
    let now = verbs.clock().now();
    let list = |of: &BTreeMap<String, usize>, text: &dyn Fn(&str, usize) -> String| {
        of.iter().map(|(name, count)| text(name, *count)).collect::<Vec<_>>().join(", ")
    };
    let mut set = |kind: &str, status: bool, reason: &str, message: &str| {
        set_condition(&mut next, kind, if status { "True" } else { "False" }, reason, message, now);
    };
    let discovered = "All resources successfully discovered";
    set("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", discovered);
    let parsed = "All legacy kube types successfully parsed";
    set("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions", parsed);
    if left.failures.is_empty() {
        let message = "All content successfully deleted, may be waiting on finalization";
        set("NamespaceDeletionContentFailure", false, "ContentDeleted", message);
    } else {
        let message = format!(
            "Failed to delete all resource types, {} remaining: {}",
            left.failures.len(),
            left.failures.join(", ")
        );
        set("NamespaceDeletionContentFailure", true, "ContentDeletionFailed", &message);
    }
    let objects = list(&left.objects, &|name, count| format!("{name} has {count} resource instances"));
    set("NamespaceContentRemaining", true, "SomeResourcesRemain", &format!("Some resources are remaining: {objects}"));
    if left.finalizers.is_empty() {
        let message = "All content-preserving finalizers finished";
        set("NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", message);
    } else {
        let finalizers = list(&left.finalizers, &|name, count| format!("{name} in {count} resource instances"));
        let message = format!("Some content in the namespace has finalizers remaining: {finalizers}");
        set("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", &message);
    }
    written(verbs.update(&caller(), &target, next, &WriteOptions::default()).await.map(|_| ()))
}

/// Removes the finalizer that kept the namespace. Returns whether it is done.
async fn finalize(verbs: &Verbs, name: &str) -> Result<bool, Status> {
    let target = namespaces(verbs)?.named(name);
    let Some(mut next) = found(verbs.get(&target))? else { return Ok(true) };
    let finalizers: Vec<Value> = next
        .pointer("/spec/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|f| *f != KUBERNETES_FINALIZER)
        .cloned()
        .collect();
    next["spec"] = json!({"finalizers": finalizers});
    let target = target.subresource("finalize");
    written(verbs.update(&caller(), &target, next, &WriteOptions::default()).await.map(|_| ()))?;
    Ok(true)
}

fn found(result: Result<Object, Status>) -> Result<Option<Value>, Status> {
    match result {
        Ok(object) => Ok(Some(object.into_value())),
        Err(status) if status.is(&Reason::NOT_FOUND) => Ok(None),
        Err(status) => Err(status),
    }
}

/// What others wrote meanwhile wakes the next pass, so losing to them is no failure.
fn written(result: Result<(), Status>) -> Result<(), Status> {
    match result {
        Err(status) if status.is(&Reason::CONFLICT) || status.is(&Reason::NOT_FOUND) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
