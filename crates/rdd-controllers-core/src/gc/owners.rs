//! What has become of an object's owners, by live reads.

use rdd_api::{Reason, Status, object};
use rdd_verbs::{OwnerReference, Target, Verbs};
use serde_json::Value;

/// The owners of an object.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// Those that live.
    pub(super) solid: Vec<String>,
    /// Those that are gone, or cannot own the object where it is.
    pub(super) dangling: Vec<OwnerReference>,
    /// Those that wait for their dependents to go.
    pub(super) waiting: Vec<String>,
}

/// Why owners cannot be told apart.
#[derive(Debug)]
pub(super) enum Unresolved {
    /// A kind is not served.
    NotServed,
    /// A read failed.
    Failed(Status),
}

/// Reads the owner references of an object.
pub(super) fn references(object: &Value) -> Vec<OwnerReference> {
    let list = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let read = |reference: &Value| serde_json::from_value(reference.clone()).ok();
    list.into_iter().flatten().filter_map(read).collect()
}

/// Looks up the owners of an object. Those in `gone` are known to be gone also where their kind is not served any more.
pub(super) fn look_up(verbs: &Verbs, object: &Value, gone: &[String]) -> Result<Owners, Unresolved> {
    let mut owners = Owners::default();
    let kinds = verbs.registry().kinds();
    for reference in references(object) {
        let Some(kind) = kinds.kind(reference.group(), reference.version(), &reference.kind) else {
            if !gone.contains(&reference.uid) {
                return Err(Unresolved::NotServed);
            }
            owners.dangling.push(reference);
            continue;
        };
        let namespace = object::namespace(object);
        if kind.is_namespaced() && namespace.is_empty() {
            // A cluster-scoped object names an owner that lives in a namespace: nobody can say which one is meant, so it
            // keeps the object for good.
            owners.solid.push(reference.uid);
            continue;
        }
        let target = Target {
            kind: kind.clone(),
            version: reference.version().to_owned(),
            namespace: Some(namespace.to_owned()).filter(|_| kind.is_namespaced()),
            name: Some(reference.name.clone()),
            subresource: None,
        };
        match verbs.get(&target) {
            Ok(owner) if object::uid(&owner) != reference.uid => owners.dangling.push(reference),
            Ok(owner) if waits_for_dependents(&owner) => owners.waiting.push(reference.uid),
            Ok(_) => owners.solid.push(reference.uid),
            Err(status) if status.is(&Reason::NOT_FOUND) => owners.dangling.push(reference),
            Err(status) => return Err(Unresolved::Failed(status)),
        }
    }
    Ok(owners)
}

fn waits_for_dependents(owner: &Value) -> bool {
    object::is_terminating(owner) && object::finalizers(owner).any(|f| f == rdd_verbs::FOREGROUND_FINALIZER)
}
