//! Tables of messages: which number is which JSON field, and of what type.

use serde_json::{Map, Value, json};

/// One message: a Go struct of the Kubernetes API.
#[derive(Debug)]
pub struct Message {
    /// The Go type's name, as in `ObjectMeta`. For error texts.
    pub name: &'static str,
    /// The fields.
    pub fields: &'static [Field],
}

/// One field of a [`Message`].
#[derive(Debug)]
pub struct Field {
    /// The protobuf field number.
    pub number: u32,
    /// The JSON name.
    pub name: &'static str,
    /// The type of the field, or of one element of it.
    pub kind: Type,
    /// When a value is written as JSON.
    pub presence: Presence,
    /// How a strategic merge patch treats the field.
    pub merge: Merge,
}

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// `string`.
    String,
    /// `bool`.
    Bool,
    /// `int32`.
    Int32,
    /// `int64`.
    Int64,
    /// `double`.
    Double,
    /// `[]byte`, base64 in JSON.
    Bytes,
    /// Another message.
    Message(&'static Message),
    /// `metav1.Time`.
    Time,
    /// `metav1.MicroTime`.
    MicroTime,
    /// `intstr.IntOrString`.
    IntOrString,
    /// A message whose field 1 holds JSON text: `RawExtension`, `FieldsV1`, `apiextensions.JSON`.
    Json,
    /// `apiextensions.JSONSchemaPropsOrBool` and `…OrArray`: a schema (at the given number), or
    /// what else it may be.
    SchemaOrBool(&'static Message),
    /// See [`Type::SchemaOrBool`].
    SchemaOrArray(&'static Message),
    /// `map[string]` of a scalar type or a message.
    Map(&'static Type),
}

/// When a field stands in the JSON form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A Go value with `omitempty`: its zero value is left out.
    NonZero,
    /// A Go pointer: whatever was sent is kept, zero included.
    Pointer,
    /// A Go value without `omitempty`: kept when it was sent.
    Always,
    /// A list.
    Repeated,
    /// A message of its own whose fields stand among ours in JSON, as an embedded Go struct does.
    Inline,
}

/// `x-kubernetes-patch-strategy` and `-merge-key` of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Lists are replaced, maps are merged.
    Atomic,
    /// A list of objects, merged by this key.
    ByKey(&'static str),
    /// A list of scalars, merged as a set.
    AsSet,
}

impl Message {
    /// Returns the field with this number.
    pub fn field(&self, number: u32) -> Option<&Field> {
        self.fields.iter().find(|f| f.number == number)
    }

    /// Returns the OpenAPI v3 schema of the message, complete and without references, with
    /// `x-kubernetes-patch-strategy` and `x-kubernetes-patch-merge-key` where lists merge.
    ///
    /// Messages that contain themselves (`JSONSchemaProps`) become objects that keep unknown fields.
    pub fn schema(&'static self) -> Value {
        self.schema_below(&mut Vec::new())
    }

    fn schema_below(&'static self, above: &mut Vec<&'static str>) -> Value {
        if above.contains(&self.name) || self.name == "JSONSchemaProps" {
            return json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        }
        above.push(self.name);
        let mut properties = Map::new();
        for field in self.fields {
            let mut one = field.kind.schema(above);
            if field.presence == Presence::Inline {
                if let Value::Object(fields) = one["properties"].take() {
                    properties.extend(fields);
                }
                continue;
            }
            let mut schema = match field.presence {
                Presence::Repeated => json!({"type": "array", "items": one}),
                _ => one,
            };
            match field.merge {
                Merge::Atomic => {}
                Merge::AsSet => schema["x-kubernetes-patch-strategy"] = json!("merge"),
                Merge::ByKey(key) => {
                    schema["x-kubernetes-patch-strategy"] = json!("merge");
                    schema["x-kubernetes-patch-merge-key"] = json!(key);
                }
            }
            properties.insert(field.name.to_owned(), schema);
        }
        above.pop();
        json!({"type": "object", "properties": properties})
    }
}

impl Type {
    fn schema(self, above: &mut Vec<&'static str>) -> Value {
        match self {
            Type::String => json!({"type": "string"}),
            Type::Bool => json!({"type": "boolean"}),
            Type::Int32 => json!({"type": "integer", "format": "int32"}),
            Type::Int64 => json!({"type": "integer", "format": "int64"}),
            Type::Double => json!({"type": "number", "format": "double"}),
            Type::Bytes => json!({"type": "string", "format": "byte"}),
            Type::Message(message) => message.schema_below(above),
            Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
            Type::IntOrString => json!({"x-kubernetes-int-or-string": true}),
            Type::Json => json!({"x-kubernetes-preserve-unknown-fields": true}),
            Type::SchemaOrBool(_) | Type::SchemaOrArray(_) => json!({"x-kubernetes-preserve-unknown-fields": true}),
            Type::Map(value) => json!({"type": "object", "additionalProperties": value.schema(above)}),
        }
    }
}

/// A `omitempty` field.
pub(super) const fn field(number: u32, name: &'static str, kind: Type) -> Field {
    Field { number, name, kind, presence: Presence::NonZero, merge: Merge::Atomic }
}

/// A pointer field.
pub(super) const fn pointer(number: u32, name: &'static str, kind: Type) -> Field {
    Field { number, name, kind, presence: Presence::Pointer, merge: Merge::Atomic }
}

/// A field without `omitempty`.
pub(super) const fn always(number: u32, name: &'static str, kind: Type) -> Field {
    Field { number, name, kind, presence: Presence::Always, merge: Merge::Atomic }
}

/// A list.
pub(super) const fn list(number: u32, name: &'static str, kind: Type) -> Field {
    Field { number, name, kind, presence: Presence::Repeated, merge: Merge::Atomic }
}

/// A message whose fields stand among ours in JSON.
pub(super) const fn inline(number: u32, message: &'static Message) -> Field {
    let kind = Type::Message(message);
    Field { number, name: message.name, kind, presence: Presence::Inline, merge: Merge::Atomic }
}

/// A list that merges.
pub(super) const fn merged(number: u32, name: &'static str, kind: Type, merge: Merge) -> Field {
    Field { number, name, kind, presence: Presence::Repeated, merge }
}
