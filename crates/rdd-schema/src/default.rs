//! Nulls and defaults.

use serde_json::Value;

use crate::metadata;
use crate::node::{Additional, Node};

/// Drops null fields that may not be null and have no default: null means "not set".
pub(crate) fn drop_nulls(schema: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            if schema.embedded
                && let Some(Value::Object(fields)) = map.get_mut("metadata")
            {
                // Go decodes null into the zero value of every field of ObjectMeta.
                fields.retain(|_, v| !v.is_null());
            }
            map.retain(|key, value| {
                let Some(child) = schema.child(key) else {
                    return !(value.is_null() && schema.embedded && metadata::is_implicit(key));
                };
                !(value.is_null() && !child.nullable && child.default.is_none())
            });
            for (key, value) in map.iter_mut() {
                if let Some(child) = schema.child(key) {
                    drop_nulls(child, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                items.iter_mut().for_each(|item| drop_nulls(schema, item));
            }
        }
        _ => {}
    }
}

/// Fills in defaults, from the outside in: a default may bring fields that have defaults of their own.
pub(crate) fn fill(schema: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, property) in &schema.properties {
                if let Some(default) = &property.default {
                    match map.get(key) {
                        None => {}
                        Some(Value::Null) if !property.nullable => {}
                        Some(_) => continue,
                    }
                    map.insert(key.clone(), default.clone());
                }
            }
            for (key, value) in map.iter_mut() {
                if let Some(child) = schema.child(key) {
                    if !schema.properties.contains_key(key) && matches!(schema.additional, Additional::Schema(_)) {
                        replace_null(child, value);
                    }
                    fill(child, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                for item in items {
                    replace_null(schema, item);
                    fill(schema, item);
                }
            }
        }
        _ => {}
    }
}

fn replace_null(schema: &Node, value: &mut Value) {
    if let Some(default) = &schema.default
        && value.is_null()
        && !schema.nullable
    {
        *value = default.clone();
    }
}
