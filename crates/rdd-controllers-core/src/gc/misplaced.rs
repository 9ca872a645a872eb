//! Tells that an object names an owner of another namespace, which cannot own it.

use rdd_api::time::format_time;
use rdd_api::{GroupVersionResource, object};
use rdd_verbs::{Caller, Object, OwnerReference, Verbs, WriteOptions};
use serde_json::json;

const COMPONENT: &str = "garbage-collector-controller";

/// Writes the Event. Its text is what kube-controller-manager writes.
pub(super) async fn tell(verbs: &Verbs, dependent: &Object, owner: &OwnerReference) {
    let namespace = object::namespace(dependent);
    let OwnerReference { api_version, kind, name, uid, .. } = owner;
    let message = format!(
        "ownerRef [{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}] does not exist in namespace \
         {namespace:?}"
    );
    let now = format_time(verbs.clock().now());
    let place = if namespace.is_empty() { "default" } else { namespace };
    let event = json!({
        "metadata": {"generateName": format!("{}-", object::name(dependent)), "namespace": place},
        "involvedObject": {
            "apiVersion": object::api_version(dependent), "kind": object::kind(dependent), "namespace": namespace,
            "name": object::name(dependent), "uid": object::uid(dependent),
        },
        "type": "Warning", "reason": "OwnerRefInvalidNamespace", "message": message,
        "source": {"component": COMPONENT}, "reportingComponent": COMPONENT,
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
    });
    let caller = Caller::system("system:serviceaccount:kube-system:generic-garbage-collector");
    let written = match verbs.target(&GroupVersionResource::new("", "v1", "events")) {
        Ok(target) => {
            verbs.create(&caller, &target.in_namespace(place), event, &WriteOptions::default()).await.map(drop)
        }
        Err(status) => Err(status),
    };
    if let Err(status) = written {
        // Who is told nothing sees the object go all the same.
        tracing::warn!(%status, "an event cannot be written");
    }
}
