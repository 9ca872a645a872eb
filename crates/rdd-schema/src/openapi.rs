//! The published forms of a schema.

use serde_json::{Map, Value};

/// OpenAPI v3 is what schemas are written in; nothing is lost.
pub(crate) fn v3(raw: &Value) -> Value {
    raw.clone()
}

/// OpenAPI v2 has no `nullable`, no `oneOf`, and no object that keeps unknown fields: such places
/// become places about which nothing is said.
pub(crate) fn v2(raw: &Value) -> Value {
    let root_keeps_unknown = raw.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if root_keeps_unknown {
        return serde_json::json!({"type": "object"});
    }
    let mut out = raw.clone();
    simplify(&mut out);
    out
}

/// Returns whether a parent may still require the field.
fn simplify(schema: &mut Value) -> bool {
    let Some(map) = schema.as_object_mut() else { return true };
    for keyword in ["allOf", "oneOf", "anyOf", "not"] {
        map.remove(keyword);
    }
    let nullable = map.remove("nullable") == Some(Value::Bool(true));
    let keeps_unknown = map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if nullable || keeps_unknown {
        for keyword in ["type", "items", "properties", "required"] {
            map.remove(keyword);
        }
    }
    if map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        map.remove("type");
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        let dropped = simplify_properties(properties);
        if let Some(Value::Array(required)) = map.get_mut("required") {
            required.retain(|name| !name.as_str().is_some_and(|n| dropped.iter().any(|d| d == n)));
            if required.is_empty() {
                map.remove("required");
            }
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(below) = map.get_mut(keyword) {
            simplify(below);
        }
    }
    !nullable
}

fn simplify_properties(properties: &mut Map<String, Value>) -> Vec<String> {
    let mut dropped = Vec::new();
    for (name, schema) in properties {
        if !simplify(schema) {
            dropped.push(name.clone());
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn v2_says_less() {
        let check = |schema: Value, expect: Value| assert_eq!(v2(&schema), expect);
        check(
            json!({"type": "object", "required": ["a", "b"], "oneOf": [{"required": ["a"]}], "properties": {
                "a": {"type": "string", "nullable": true, "description": "x"}, "b": {"type": "integer"}}}),
            json!({"type": "object", "required": ["b"], "properties": {"a": {"description": "x"}, "b": {"type": "integer"}}}),
        );
        check(
            json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}},
                "x-kubernetes-preserve-unknown-fields": true}}}),
            json!({"type": "object", "properties": {"a": {"x-kubernetes-preserve-unknown-fields": true}}}),
        );
        check(
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {}}),
            json!({"type": "object"}),
        );
    }
}
