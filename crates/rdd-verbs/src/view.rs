//! From stored bytes to objects, decoded once per revision and version.

use std::sync::Mutex;

use bytes::Bytes;
use rdd_api::Status;
use rdd_registry::{Kind, Version};
use rdd_store::Entry;
use serde_json::{Value, json};

use crate::managed;
use crate::object::Object;

/// The decoded forms of one entry. Few: one per version that somebody asks for.
#[derive(Default)]
struct Views(Mutex<Vec<(u64, String, Object)>>);

/// Returns the object of an entry at a version. Shared by all who ask.
pub(crate) fn object(entry: &Entry, kind: &Kind, version: &Version) -> Object {
    let views = entry.view(|_| Views::default());
    let find = |views: &[(u64, String, Object)]| {
        views.iter().find(|(id, name, _)| *id == kind.id && *name == version.name).map(|(_, _, object)| object.clone())
    };
    if let Some(found) = find(&views.0.lock().expect("no holder of this lock panics")) {
        return found;
    }
    // Decoded outside of the lock; two readers may do it at once, and the first to come back wins.
    let made = Object::new(decode(entry, kind, version));
    let mut views = views.0.lock().expect("no holder of this lock panics");
    if let Some(found) = find(&views) {
        return found;
    }
    if kind.custom.is_some() {
        // What an older state of the table made is asked for no more.
        views.retain(|(id, _, _)| *id == kind.id);
    }
    views.push((kind.id, version.name.clone(), made.clone()));
    made
}

fn decode(entry: &Entry, kind: &Kind, version: &Version) -> Value {
    let mut object: Value = serde_json::from_slice(&entry.bytes).unwrap_or_else(|error| {
        // Only the verbs write, so this is a damaged file; the object stays visible, so that it can be deleted.
        tracing::error!(key = %entry.key, %error, "a stored object cannot be read");
        json!({"metadata": {"name": entry.key.name(), "namespace": entry.key.namespace()}})
    });
    kind.strategy.decode(&mut object);
    convert(&mut object, kind, version);
    if kind.custom.is_some() {
        version.schema.drop_nulls_and_default(&mut object);
    }
    rdd_api::object::metadata_mut(&mut object)
        .insert("resourceVersion".to_owned(), json!(entry.revision.0.to_string()));
    object
}

/// Makes an object one of another version of its kind.
pub(crate) fn convert(object: &mut Value, kind: &Kind, version: &Version) {
    let api_version = kind.api_version(&version.name);
    let differs = rdd_api::object::api_version(object) != api_version;
    if differs || rdd_api::object::kind(object) != kind.kind {
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind.kind);
    }
    if differs && kind.custom.is_some() {
        version.schema.prune(object);
    }
}

/// The largest object, as stored: what a PUT could carry.
pub const OBJECT_LIMIT: usize = 3 * 1024 * 1024;

/// Prints the stored form of an object, unless that is too large. `before` is how large it was: what was let in
/// once may shrink, lose its finalizers and keep its size. Managed fields are the first to give way.
pub(crate) fn to_bytes(mut stored: Value, before: usize) -> Result<(Value, Bytes), Status> {
    let mut text = stored.to_string();
    if text.len() > OBJECT_LIMIT.max(before) && managed::take(&mut stored).is_some() {
        text = stored.to_string();
    }
    if text.len() > OBJECT_LIMIT.max(before) {
        return Err(Status::too_large(OBJECT_LIMIT));
    }
    Ok((stored, text.into()))
}

/// Makes the stored form of an object of the request's version.
pub(crate) fn to_storage(object: &Value, kind: &Kind) -> Value {
    let mut stored = object.clone();
    kind.strategy.encode(&mut stored);
    if kind.custom.is_some() {
        let version = kind.storage_version();
        convert(&mut stored, kind, version);
        version.schema.drop_nulls_and_default(&mut stored);
    } else if kind.storage.group != kind.group {
        // The only kind that is stored under another one's name is the Event of events.k8s.io.
        stored["apiVersion"] = json!("v1");
    }
    rdd_api::object::metadata_mut(&mut stored).remove("resourceVersion");
    stored
}
