//! `metadata` of any object: its schema, and the decoding that a Go server does by types.

use std::sync::LazyLock;

use rdd_api::Status;
use serde_json::Value;

use crate::node::Node;
use crate::protobuf;
use crate::protobuf::{Message, Presence, Type};

static SCHEMA: LazyLock<Node> = LazyLock::new(|| Node::read(&protobuf::OBJECT_META.schema()));

pub(crate) fn schema() -> &'static Node {
    &SCHEMA
}

/// Returns whether the root of every object carries this field without declaring it.
pub(crate) fn is_implicit(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata")
}

/// A value of a type that Go's decoder cannot put into the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("json: cannot unmarshal {found} into Go struct field {field} of type {wanted}")]
pub struct TypeError {
    /// The JSON type that stands there.
    pub found: &'static str,
    /// Where, as in `ObjectMeta.metadata.labels`.
    pub field: String,
    /// The Go type.
    pub wanted: String,
}

impl From<&TypeError> for Status {
    fn from(error: &TypeError) -> Self {
        Status::bad_request(error.to_string())
    }
}

/// Checks that `metadata` decodes into ObjectMeta; nulls count as absent. Unknown fields are pruning's business.
pub fn coerce(object: &Value) -> Result<(), TypeError> {
    match object.get("metadata") {
        None | Some(Value::Null) => Ok(()),
        Some(metadata) => check(&protobuf::OBJECT_META, metadata, "ObjectMeta.metadata"),
    }
}

/// Checks that a built-in kind's object decodes into its Go type. Answer a failure with 400.
pub fn check_types(message: &'static Message, object: &Value) -> Result<(), TypeError> {
    check(message, object, message.name)
}

fn check(message: &'static Message, value: &Value, path: &str) -> Result<(), TypeError> {
    let map = match value {
        Value::Object(map) => map,
        Value::Null => return Ok(()),
        other => return Err(mismatch(other, path, format!("v1.{}", message.name))),
    };
    for field in message.fields {
        if let (Presence::Inline, Type::Message(message)) = (field.presence, field.kind) {
            check(message, value, path)?;
            continue;
        }
        let Some(value) = map.get(field.name) else { continue };
        let path = format!("{path}.{}", field.name);
        match (field.presence, value) {
            (_, Value::Null) => {}
            (Presence::Repeated, Value::Array(items)) => {
                items.iter().try_for_each(|item| check_type(field.kind, item, &path))?;
            }
            (Presence::Repeated, other) => return Err(mismatch(other, &path, format!("[]{}", go_type(field.kind)))),
            (_, value) => check_type(field.kind, value, &path)?,
        }
    }
    Ok(())
}

fn check_type(kind: Type, value: &Value, path: &str) -> Result<(), TypeError> {
    let fits = match (kind, value) {
        (_, Value::Null) => true,
        (Type::Message(message), value) => return check(message, value, path),
        (Type::Map(of), Value::Object(map)) => return map.values().try_for_each(|v| check_type(*of, v, path)),
        (Type::String | Type::Bytes, Value::String(_)) | (Type::Bool, Value::Bool(_)) => true,
        (Type::Time | Type::MicroTime, Value::String(text)) => rdd_api::time::parse_time(text).is_some(),
        (Type::Int32, Value::Number(n)) => n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        (Type::Int64, Value::Number(n)) => n.as_i64().is_some(),
        (Type::Double, Value::Number(_)) | (Type::IntOrString, Value::Number(_) | Value::String(_)) => true,
        (Type::Json | Type::SchemaOrBool(_) | Type::SchemaOrArray(_), _) => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err(mismatch(value, path, go_type(kind))) }
}

fn mismatch(value: &Value, field: &str, wanted: String) -> TypeError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    TypeError { found, field: field.to_owned(), wanted }
}

fn go_type(kind: Type) -> String {
    match kind {
        Type::String => "string".into(),
        Type::Bool => "bool".into(),
        Type::Int32 => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Double => "float64".into(),
        Type::Bytes => "[]uint8".into(),
        Type::Message(message) => format!("v1.{}", message.name),
        Type::Time => "v1.Time".into(),
        Type::MicroTime => "v1.MicroTime".into(),
        Type::IntOrString => "intstr.IntOrString".into(),
        Type::Json | Type::SchemaOrBool(_) | Type::SchemaOrArray(_) => "interface {}".into(),
        Type::Map(of) => format!("map[string]{}", go_type(*of)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_of_the_wrong_type_is_told_as_go_tells_it() {
        let check = |object: Value, expect: &str| {
            let got = coerce(&object).err().map(|e| e.to_string()).unwrap_or_default();
            assert_eq!(got, expect);
        };
        check(json!({"metadata": {"name": "a", "labels": null, "creationTimestamp": null}}), "");
        check(
            json!({"metadata": {"labels": {"a": 1}}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        );
        check(
            json!({"metadata": {"finalizers": "x"}}),
            "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.finalizers of type []string",
        );
    }
}
