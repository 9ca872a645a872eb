//! The shared definitions: metadata, `Status`, `DeleteOptions`, `Patch`, `Scale`.

use rdd_schema::protobuf::{DELETE_OPTIONS, LIST_META, OBJECT_META};
use serde_json::{Map, Value, json};

use super::language::Language;

const PREFIX: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// The name of a shared definition, as in `ObjectMeta`.
pub(super) fn name(short: &str) -> String {
    match short {
        "Scale" => "io.k8s.api.autoscaling.v1.Scale".to_owned(),
        other => format!("{PREFIX}{other}"),
    }
}

/// Returns all shared definitions.
pub(super) fn definitions(language: Language) -> Map<String, Value> {
    let mut object_meta = OBJECT_META.schema();
    object_meta["description"] = json!(
        "ObjectMeta is metadata that all persisted resources must have, which includes all objects users must create."
    );
    for (field, description) in OBJECT_META_FIELDS {
        object_meta["properties"][field]["description"] = json!(description);
    }
    let mut list_meta = LIST_META.schema();
    list_meta["description"] = json!(
        "ListMeta describes metadata that synthetic resources must have, including lists and various status objects."
    );
    let mut delete_options = DELETE_OPTIONS.schema();
    delete_options["description"] = json!("DeleteOptions may be provided when deleting an API object.");
    add_type(&mut delete_options);
    delete_options["x-kubernetes-group-version-kind"] =
        json!([{"group": "", "version": "v1", "kind": "DeleteOptions"}]);

    let patch = json!({
        "type": "object",
        "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
    });
    let pairs = [
        ("ObjectMeta", object_meta),
        ("ListMeta", list_meta),
        ("DeleteOptions", delete_options),
        ("Patch", patch),
        ("Status", status(language)),
        ("Scale", scale(language)),
    ];
    pairs.into_iter().map(|(short, schema)| (name(short), schema)).collect()
}

/// Adds `apiVersion` and `kind` to a schema.
pub(super) fn add_type(schema: &mut Value) {
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    schema["properties"]["apiVersion"] = json!({
        "type": "string",
        "description": "APIVersion defines the versioned schema of this representation of an object. Servers should \
                        convert recognized schemas to the latest internal value, and may reject unrecognized values.",
    });
    schema["properties"]["kind"] = json!({
        "type": "string",
        "description": "Kind is a string value representing the REST resource this object represents. Servers may \
                        infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase.",
    });
}

fn status(language: Language) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut schema = json!({
        "type": "object",
        "description": "Status is a return value for calls that don't return other objects.",
        "properties": {
            "metadata": language.property(&name("ListMeta"), "Standard list metadata."),
            "status": text("Status of the operation. One of: \"Success\" or \"Failure\"."),
            "message": text("A human-readable description of the status of this operation."),
            "reason": text("A machine-readable description of why this operation is in the \"Failure\" status."),
            "code": {"type": "integer", "format": "int32", "description": "Suggested HTTP return code, 0 if not set."},
            "details": {
                "type": "object",
                "description": "Extended data associated with the reason.",
                "properties": {
                    "name": text("The name of the resource."),
                    "group": text("The group of the resource."),
                    "kind": text("The kind of the resource."),
                    "uid": text("UID of the resource."),
                    "retryAfterSeconds": {"type": "integer", "format": "int32"},
                    "causes": {"type": "array", "items": {"type": "object", "properties": {
                        "reason": text("A machine-readable description of the cause."),
                        "message": text("A human-readable description of the cause."),
                        "field": text("The field that caused this error."),
                    }}},
                },
            },
        },
        "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Status"}],
    });
    add_type(&mut schema);
    schema
}

fn scale(language: Language) -> Value {
    let replicas = json!({"type": "integer", "format": "int32"});
    let mut schema = json!({
        "type": "object",
        "description": "Scale represents a scaling request for a resource.",
        "properties": {
            "metadata": language.property(&name("ObjectMeta"), "Standard object metadata."),
            "spec": {"type": "object", "properties": {"replicas": replicas.clone()}},
            "status": {"type": "object", "properties": {"replicas": replicas, "selector": {"type": "string"}}},
        },
        "x-kubernetes-group-version-kind": [{"group": "autoscaling", "version": "v1", "kind": "Scale"}],
    });
    add_type(&mut schema);
    schema
}

const OBJECT_META_FIELDS: [(&str, &str); 15] = [
    ("name", "Name must be unique within a namespace. Cannot be updated."),
    (
        "generateName",
        "GenerateName is an optional prefix, used by the server, to generate a unique name ONLY IF the Name field has not been provided.",
    ),
    ("namespace", "Namespace defines the space within which each name must be unique. Cannot be updated."),
    ("selfLink", "Deprecated: selfLink is a legacy read-only field that is no longer populated by the system."),
    ("uid", "UID is the unique in time and space value for this object. Populated by the system. Read-only."),
    (
        "resourceVersion",
        "An opaque value that represents the internal version of this object, for optimistic concurrency, change detection, and the watch operation. Populated by the system. Read-only.",
    ),
    (
        "generation",
        "A sequence number representing a specific generation of the desired state. Populated by the system. Read-only.",
    ),
    (
        "creationTimestamp",
        "CreationTimestamp is a timestamp representing the server time when this object was created. Populated by the system. Read-only.",
    ),
    (
        "deletionTimestamp",
        "DeletionTimestamp is RFC 3339 date and time at which this resource will be deleted. Populated by the system when a graceful deletion is requested. Read-only.",
    ),
    (
        "deletionGracePeriodSeconds",
        "Number of seconds allowed for this object to gracefully terminate before it will be removed from the system. Read-only.",
    ),
    ("labels", "Map of string keys and values that can be used to organize and categorize (scope and select) objects."),
    (
        "annotations",
        "Annotations is an unstructured key value map stored with a resource that may be set by external tools to store and retrieve arbitrary metadata.",
    ),
    (
        "ownerReferences",
        "List of objects depended by this object. If ALL objects in the list have been deleted, this object will be garbage collected.",
    ),
    (
        "finalizers",
        "Must be empty before the object is deleted from the registry. Each entry is an identifier for the responsible component that will remove the entry from the list.",
    ),
    (
        "managedFields",
        "ManagedFields maps workflow-id and version to the set of fields that are managed by that workflow.",
    ),
];
