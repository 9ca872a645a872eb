//! The skeleton: the nodes outside of value validations, each with one type.

use rdd_api::FieldError;
use serde_json::{Map, Value};

use super::keywords::{flag, keywords, text};
use super::lists::lists;
use super::nested::values;
use crate::node;
use crate::path::Path;

/// Where in the schema a node stands; it changes the texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Schemas nested deeper than this are refused rather than overflowing the stack.
const MAX_DEPTH: usize = 100;

/// Checks a schema; the errors are sorted, as upstream's are.
pub(crate) fn check(raw: &Value, path: &Path<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if depth(raw) > MAX_DEPTH {
        return vec![FieldError::forbidden(path, "schema is nested too deeply")];
    }
    match raw {
        Value::Object(map) => structural(map, Level::Root, path, &mut errors),
        other => errors.push(FieldError::type_invalid(path, other, "must be an object")),
    }
    errors.sort_by_key(FieldError::to_string);
    errors.dedup();
    errors
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or_default(),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// A node of the structural skeleton: outside of `allOf`, `anyOf`, `oneOf`, `not`.
fn structural(map: &Map<String, Value>, level: Level, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    keywords(map, path, errors);
    types(map, level, path, errors);
    lists(map, path, errors);
    extensions(map, path, errors);
    if level == Level::Root || flag(map, "x-kubernetes-embedded-resource") {
        implicit_fields(map, path, errors);
    }
    if level == Level::Root {
        for (keyword, detail) in [
            ("nullable", "nullable cannot be true at the root"),
            ("additionalProperties", "must not be used at the root"),
        ] {
            if map.get(keyword).is_some_and(|v| *v != Value::Bool(false) && !v.is_null()) {
                errors.push(FieldError::forbidden(path.child(keyword), detail));
            }
        }
    }
    values(map, map, path, errors);
    children(map, path, errors);
}

fn children(map: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(properties) = map.get("properties").and_then(Value::as_object) {
        let here = path.child("properties");
        for (name, schema) in properties {
            match schema {
                Value::Object(schema) => structural(schema, Level::Field, &here.key(name), errors),
                other => errors.push(FieldError::type_invalid(here.key(name), other, "must be an object")),
            }
        }
    }
    if let Some(Value::Object(items)) = map.get("items") {
        structural(items, Level::Item, &path.child("items"), errors);
    }
    if let Some(Value::Object(values)) = map.get("additionalProperties") {
        structural(values, Level::Field, &path.child("additionalProperties"), errors);
    }
}

fn types(map: &Map<String, Value>, level: Level, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let kind = text(map, "type");
    let int_or_string = flag(map, "x-kubernetes-int-or-string");
    let preserves = flag(map, "x-kubernetes-preserve-unknown-fields");
    let at = path.child("type");
    if flag(map, "x-kubernetes-embedded-resource") && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match kind {
            "" => FieldError::required(at, detail),
            other => FieldError::invalid(at, &other.into(), detail),
        });
    } else if kind.is_empty() && !int_or_string && !preserves {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(at, detail));
    } else if !kind.is_empty() && kind != "null" && node::Kind::parse(kind).is_none() {
        let supported = ["array", "boolean", "integer", "number", "object", "string"];
        errors.push(FieldError::not_supported(at, &kind.into(), &supported));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(at, &kind.into(), "must be object at the root"));
    }
    if int_or_string && !kind.is_empty() {
        let detail = "must be empty if x-kubernetes-int-or-string is true";
        errors.push(FieldError::forbidden(at, detail));
    }
    if kind == "array" && map.get("items").is_none_or(Value::is_null) {
        errors.push(FieldError::required(path.child("items"), "must be specified"));
    }
}

fn extensions(map: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(at, &Value::Bool(false), "must be true or undefined"));
    }
    let map_type = text(map, "x-kubernetes-map-type");
    if !map_type.is_empty() {
        if !["atomic", "granular"].contains(&map_type) {
            let at = path.child("x-kubernetes-map-type");
            errors.push(FieldError::not_supported(at, &map_type.into(), &["atomic", "granular"]));
        }
        let detail = "must be object if x-kubernetes-map-type is specified";
        match text(map, "type") {
            "object" => {}
            "" => errors.push(FieldError::required(path.child("type"), detail)),
            other => errors.push(FieldError::invalid(path.child("type"), &other.into(), detail)),
        }
    }
    if flag(map, "x-kubernetes-embedded-resource") {
        if map.get("additionalProperties").is_some_and(|a| !a.is_null()) {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            errors.push(FieldError::forbidden(path.child("additionalProperties"), detail));
        }
        let has_properties = map.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty());
        if !has_properties && !flag(map, "x-kubernetes-preserve-unknown-fields") {
            let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                          x-kubernetes-preserve-unknown-fields";
            errors.push(FieldError::required(path.child("properties"), detail));
        }
    }
}

/// `apiVersion`, `kind` and `metadata` have types of their own that a schema may only narrow.
fn implicit_fields(map: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let Some(properties) = map.get("properties").and_then(Value::as_object) else { return };
    let at = path.child("properties");
    for (name, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let Some(property) = properties.get(name).and_then(Value::as_object) else { continue };
        let kind = text(property, "type");
        if kind != wanted {
            let detail = format!("must be {wanted}");
            errors.push(FieldError::invalid(at.key(name).child("type"), &kind.into(), &detail));
        }
    }
    let Some(metadata) = properties.get("metadata").and_then(Value::as_object) else { return };
    let only_names = metadata
        .get("properties")
        .and_then(Value::as_object)
        .is_none_or(|p| p.keys().all(|k| k == "name" || k == "generateName"));
    let has_more =
        ["additionalProperties", "x-kubernetes-preserve-unknown-fields", "default", "allOf", "anyOf", "oneOf", "not"]
            .iter()
            .any(|k| metadata.contains_key(*k));
    if !only_names || has_more {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(at.key("metadata"), detail));
    }
}
