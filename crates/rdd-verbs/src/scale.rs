//! The scale subresource: requests carry a `Scale`, the store holds the whole object.

use rdd_api::{Status, object};
use rdd_registry::{Scale, wanted_replicas};
use serde_json::{Value, json};

use crate::decode::normalize;
use crate::object::Object;
use crate::options::Target;

/// Returns what a request for the target sees of a stored object: its Scale, or all of it.
pub(crate) fn seen(target: &Target, whole: Object) -> Result<Object, Status> {
    match target.scale() {
        Some(scale) => scale.of(&whole).map(Object::new).map_err(Status::internal),
        None => Ok(whole),
    }
}

/// Returns what a write to the target starts from.
pub(crate) fn before(target: &Target, whole: &Object) -> Result<Object, Status> {
    match target.scale() {
        Some(scale) => scale.of_or_zero(whole).map(Object::new).map_err(Status::internal),
        None => Ok(whole.clone()),
    }
}

/// Returns the configuration of the whole object that an applied configuration of the target means.
pub(crate) fn config(target: &Target, sent: &Value) -> Result<Value, Status> {
    let Some(scale) = target.scale() else { return Ok(sent.clone()) };
    let kind = &target.kind;
    let mut whole = json!({
        "apiVersion": kind.api_version(&target.version), "kind": kind.kind, "metadata": {"name": target.name_text()},
    });
    if sent.pointer("/spec/replicas").is_none() {
        return Err(Status::bad_request("Scale: spec.replicas is missing in the applied configuration"));
    }
    scale.set(&mut whole, wanted_replicas(sent));
    Ok(whole)
}

/// Takes from a sent Scale the only thing that it may change.
pub(crate) fn shape(sent: &mut Value, old: &Value) {
    let mut whole = old.clone();
    whole["spec"] = json!({"replicas": wanted_replicas(sent)});
    *sent = whole;
}

/// Carries a Scale over to the stored object.
pub(crate) fn write(target: &Target, scale: &Scale, sent: &Value, old: &Value) -> Result<Value, Status> {
    let kind = &target.exchanged().kind;
    let errors = kind.strategy.validate_update(sent, old);
    if !errors.is_empty() {
        return Err(Status::invalid(&kind.group_kind(), object::name(old), &errors));
    }
    let mut whole = old.clone();
    scale.set(&mut whole, wanted_replicas(sent));
    normalize(target, &mut whole)?;
    // A schema that does not know the path has pruned what was written there.
    if scale.of(&whole).is_err() {
        let text = format!("the spec replicas field {:?} cannot be empty", scale.spec_replicas_path);
        return Err(Status::bad_request(text));
    }
    Ok(whole)
}
