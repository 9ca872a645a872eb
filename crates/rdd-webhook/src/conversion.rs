//! Objects between the versions of their kind, and as they are after a webhook changed them.

use rdd_admission::Attributes;
use rdd_registry::Kinds;
use serde_json::{Value, json};

/// Makes an object of the request one of another version of its kind, without what that does not know.
pub(crate) fn to_version(object: &Value, request: &Attributes, version: &str, kinds: &Kinds) -> Value {
    let mut object = object.clone();
    if version != request.resource.version {
        let group = &request.resource.group;
        object["apiVersion"] = json!(if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") });
        settle(&mut object, request, version, kinds);
    }
    object
}

/// Takes away what a version does not know, and fills in its defaults.
pub(crate) fn settle(object: &mut Value, request: &Attributes, version: &str, kinds: &Kinds) {
    // The object of some subresources is of another kind.
    if matches!(request.subresource.as_deref(), None | Some("status"))
        && let Some(kind) = kinds.by_group_resource(&request.resource.group, &request.resource.resource)
        && let Some(version) = kind.version(version)
    {
        version.schema.prune(object);
        version.schema.drop_nulls_and_default(object);
    }
}
