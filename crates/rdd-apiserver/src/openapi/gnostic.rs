//! OpenAPI v2 as protobuf: gnostic's `openapi.v2.Document`, the only form that kubectl up to 1.28
//! asks for.
//!
//! Takes the JSON document apart and writes the fields by number (`gnostic/openapiv2/OpenAPIv2.proto`).
//! Vendor extensions travel as YAML text, which JSON is. What no client reads (security, tags) is
//! left out.

use serde_json::{Map, Value};

/// The media type of the answer. With a dot: the `@` that clients ask with breaks their own parser.
pub(crate) const CONTENT_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The media type that clients ask for.
pub(crate) const ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// Encodes an OpenAPI v2 document.
pub(crate) fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, &document["swagger"]);
    out.message(2, |info| {
        info.text(1, &document["info"]["title"]);
        info.text(2, &document["info"]["version"]);
    });
    out.message(8, |paths| {
        for (name, item) in entries(&document["paths"]) {
            paths.named(2, name, |out| path_item(out, item));
        }
    });
    out.message(9, |definitions| {
        for (name, item) in entries(&document["definitions"]) {
            definitions.named(1, name, |out| schema(out, item));
        }
    });
    out.0
}

fn path_item(out: &mut Message, item: &Value) {
    for (number, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(operation) = item.get(method) {
            out.message(number, |out| self::operation(out, operation));
        }
    }
    for one in items(&item["parameters"]) {
        out.message(9, |out| parameter(out, one));
    }
}

fn operation(out: &mut Message, operation: &Value) {
    out.text(3, &operation["description"]);
    out.text(5, &operation["operationId"]);
    for one in items(&operation["produces"]) {
        out.text(6, one);
    }
    for one in items(&operation["consumes"]) {
        out.text(7, one);
    }
    for one in items(&operation["parameters"]) {
        out.message(8, |out| parameter(out, one));
    }
    out.message(9, |out| {
        for (code, response) in entries(&operation["responses"]) {
            // NamedResponseValue{1 name, 2 ResponseValue{1 Response{1 description, 2 SchemaItem{1 Schema}}}}
            out.named(1, code, |out| {
                out.message(1, |out| {
                    out.text(1, &response["description"]);
                    if let Some(body) = response.get("schema") {
                        out.message(2, |out| out.message(1, |out| schema(out, body)));
                    }
                });
            });
        }
    });
    extensions(out, 13, operation);
}

/// `ParametersItem{1 Parameter{1 BodyParameter | 2 NonBodyParameter}}`.
fn parameter(out: &mut Message, parameter: &Value) {
    let place = parameter["in"].as_str().unwrap_or_default();
    out.message(1, |out| match place {
        "body" => out.message(1, |out| {
            out.text(1, &parameter["description"]);
            out.text(2, &parameter["name"]);
            out.text(3, &parameter["in"]);
            out.flag(4, &parameter["required"]);
            out.message(5, |out| schema(out, &parameter["schema"]));
        }),
        // The query form has `allowEmptyValue` before the type, the path form has not.
        _ => out.message(2, |out| {
            let (number, kind) = if place == "path" { (4, 5) } else { (3, 6) };
            out.message(number, |out| {
                out.flag(1, &parameter["required"]);
                out.text(2, &parameter["in"]);
                out.text(3, &parameter["description"]);
                out.text(4, &parameter["name"]);
                out.text(kind, &parameter["type"]);
            });
        }),
    });
}

fn schema(out: &mut Message, schema: &Value) {
    out.text(1, &schema["$ref"]);
    out.text(2, &schema["format"]);
    out.text(3, &schema["title"]);
    out.text(4, &schema["description"]);
    if let Some(default) = schema.get("default") {
        out.message(5, |out| any(out, default));
    }
    out.double(6, &schema["multipleOf"]);
    out.double(7, &schema["maximum"]);
    out.flag(8, &schema["exclusiveMaximum"]);
    out.double(9, &schema["minimum"]);
    out.flag(10, &schema["exclusiveMinimum"]);
    out.integer(11, &schema["maxLength"]);
    out.integer(12, &schema["minLength"]);
    out.text(13, &schema["pattern"]);
    out.integer(14, &schema["maxItems"]);
    out.integer(15, &schema["minItems"]);
    out.flag(16, &schema["uniqueItems"]);
    out.integer(17, &schema["maxProperties"]);
    out.integer(18, &schema["minProperties"]);
    for one in items(&schema["required"]) {
        out.text(19, one);
    }
    for one in items(&schema["enum"]) {
        out.message(20, |out| any(out, one));
    }
    match schema.get("additionalProperties") {
        Some(allowed @ Value::Bool(_)) => out.message(21, |out| out.flag(2, allowed)),
        Some(values) => out.message(21, |out| out.message(1, |out| self::schema(out, values))),
        None => {}
    }
    if let Some(kind) = schema.get("type").filter(|t| t.as_str().is_some_and(|t| !t.is_empty())) {
        out.message(22, |out| out.text(1, kind));
    }
    if let Some(item) = schema.get("items") {
        out.message(23, |out| out.message(1, |out| self::schema(out, item)));
    }
    for one in items(&schema["allOf"]) {
        out.message(24, |out| self::schema(out, one));
    }
    if let Some(properties) = schema.get("properties") {
        out.message(25, |out| {
            for (name, property) in entries(properties) {
                out.named(1, name, |out| self::schema(out, property));
            }
        });
    }
    extensions(out, 31, schema);
}

fn extensions(out: &mut Message, number: u32, object: &Value) {
    for (name, value) in entries(object).filter(|(name, _)| name.starts_with("x-")) {
        out.named(number, name, |out| any(out, value));
    }
}

/// `Any{2 yaml}`.
fn any(out: &mut Message, value: &Value) {
    out.bytes(2, format!("{value}\n").as_bytes());
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A protobuf message that is being written. Absent values write nothing.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, number: u32, wire_type: u64) {
        self.varint(u64::from(number) << 3 | wire_type);
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, number: u32, value: &Value) {
        if let Some(text) = value.as_str().filter(|t| !t.is_empty()) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn flag(&mut self, number: u32, value: &Value) {
        if value == &Value::Bool(true) {
            self.tag(number, 0);
            self.varint(1);
        }
    }

    fn integer(&mut self, number: u32, value: &Value) {
        if let Some(value) = value.as_i64().filter(|v| *v != 0) {
            self.tag(number, 0);
            self.varint(value.cast_unsigned());
        }
    }

    fn double(&mut self, number: u32, value: &Value) {
        if let Some(value) = value.as_f64().filter(|v| *v != 0.0) {
            self.tag(number, 1);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn message(&mut self, number: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }

    /// A `Named…{1 name, 2 value}`.
    fn named(&mut self, number: u32, name: &str, write: impl FnOnce(&mut Message)) {
        self.message(number, |out| {
            out.bytes(1, name.as_bytes());
            out.message(2, write);
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definition_is_encoded_by_field_number() {
        let document = json!({"swagger": "2.0", "definitions": {"A": {"type": "object", "x-a": {"b": 1}}}});
        let bytes = encode(&document);
        assert!(bytes.starts_with(b"\x0a\x032.0"), "swagger");
        let yaml = b"\x12\x08{\"b\":1}\n";
        assert!(bytes.windows(yaml.len()).any(|w| w == yaml), "an extension is YAML text");
        let kind = b"\xb2\x01\x08\x0a\x06object";
        assert!(bytes.windows(kind.len()).any(|w| w == kind), "type is field 22");
    }
}
