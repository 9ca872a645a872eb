//! Patch: how each kind of patch makes the next object.

use rdd_api::{Reason, Status};
use rdd_merge::{ListStrategy, MergeKeys, PatchError, SchemaKeys, json_patch, merge_patch, strategic};
use rdd_registry::builtin::object_meta;
use serde_json::Value;

use crate::options::{Patch, Target};

/// Applies a patch to an object.
pub(crate) fn apply(target: &Target, old: &Value, patch: &Patch) -> Result<Value, Status> {
    match patch {
        Patch::Json(patch) => json_patch(old, patch).map_err(|error| failed(&error)),
        Patch::Merge(patch) => {
            if !patch.is_object() {
                return Err(Status::bad_request("invalid JSON patch: a merge patch must be a JSON object"));
            }
            let mut next = old.clone();
            merge_patch(&mut next, patch);
            Ok(next)
        }
        Patch::Strategic(patch) => {
            let keys = ObjectKeys(SchemaKeys::new(target.version()?.schema.raw()));
            strategic(old, patch, &keys).map_err(|error| failed(&error))
        }
        Patch::Apply { .. } => Err(Status::internal("an apply patch came through")),
    }
}

/// Returns whether a patch sets the resourceVersion, and so must not be tried on a later state.
pub(crate) fn pins_revision(patch: &Patch) -> bool {
    match patch {
        Patch::Json(operations) => operations.as_array().into_iter().flatten().any(|operation| {
            let sets = operation.get("op").and_then(Value::as_str).is_some_and(|op| op == "add" || op == "replace");
            sets && operation.get("path").and_then(Value::as_str) == Some("/metadata/resourceVersion")
        }),
        Patch::Merge(patch) | Patch::Strategic(patch) => !rdd_api::object::resource_version(patch).is_empty(),
        Patch::Apply { .. } => false,
    }
}

fn failed(error: &PatchError) -> Status {
    match error {
        PatchError::Malformed(text) => Status::bad_request(text),
        PatchError::TooLarge(text) => Status::new(413, Reason::REQUEST_ENTITY_TOO_LARGE, text),
        PatchError::MissingMergeKey(text) => Status::internal(text),
        // Upstream tells no more than this.
        PatchError::Unprocessable(_) => {
            let text = "the server rejected our request due to an error in our request";
            let mut status = Status::new(422, Reason::INVALID, text);
            status.details = Some(Box::default());
            status
        }
    }
}

/// The merge keys of a whole object: schemas of kinds leave `metadata` open.
struct ObjectKeys<'a>(SchemaKeys<'a>);

impl MergeKeys for ObjectKeys<'_> {
    fn list(&self, name: &str) -> ListStrategy {
        self.0.list(name)
    }

    fn retains_keys(&self, name: &str) -> bool {
        self.0.retains_keys(name)
    }

    fn below(&self, name: &str) -> Box<dyn MergeKeys + '_> {
        if name == "metadata" { Box::new(SchemaKeys::new(object_meta())) } else { self.0.below(name) }
    }
}
