//! `x-kubernetes-list-type` and what its kinds of lists ask of their items.

use rdd_api::FieldError;
use serde_json::{Map, Value};

use super::keywords::{flag, text};
use crate::path::Path;

pub(super) fn lists(map: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let list_type = text(map, "x-kubernetes-list-type");
    let keys: Vec<&str> = map
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let at = path.child("x-kubernetes-list-type");
    let keys_at = path.child("x-kubernetes-list-map-keys");
    if !list_type.is_empty() {
        if !["atomic", "set", "map"].contains(&list_type) {
            errors.push(FieldError::not_supported(at, &list_type.into(), &["atomic", "set", "map"]));
        }
        let detail = "must be array if x-kubernetes-list-type is specified";
        match text(map, "type") {
            "array" => {}
            "" => errors.push(FieldError::required(path.child("type"), detail)),
            other => errors.push(FieldError::invalid(path.child("type"), &other.into(), detail)),
        }
    }
    if !keys.is_empty() && list_type != "map" {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match list_type {
            "" => FieldError::required(at, detail),
            other => FieldError::invalid(at, &other.into(), detail),
        });
    }
    let items = map.get("items").and_then(Value::as_object);
    match (list_type, items) {
        ("map" | "set", None) => {
            let detail = format!("must have a schema if x-kubernetes-list-type is {list_type}");
            errors.push(FieldError::required(path.child("items"), &detail));
        }
        ("set", Some(items)) => set_items(items, &path.child("items"), errors),
        ("map", Some(items)) => {
            if keys.is_empty() {
                errors.push(FieldError::required(keys_at, "must not be empty if x-kubernetes-list-type is map"));
            }
            let mut seen = Vec::new();
            for key in &keys {
                if seen.contains(key) {
                    errors.push(FieldError::invalid(keys_at, &keys_value(&keys), "must not contain duplicate entries"));
                }
                seen.push(key);
            }
            map_items(items, &keys, path, errors);
        }
        _ => {}
    }
}

fn keys_value(keys: &[&str]) -> Value {
    keys.iter().map(|k| Value::from(*k)).collect()
}

fn set_items(items: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if flag(items, "nullable") {
        let detail = "cannot be nullable when x-kubernetes-list-type is set";
        errors.push(FieldError::forbidden(path.child("nullable"), detail));
    }
    match text(items, "type") {
        "array"
            if text(items, "x-kubernetes-list-type") != "atomic" && items.contains_key("x-kubernetes-list-type") =>
        {
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            errors.push(FieldError::invalid(
                path.child("x-kubernetes-list-type"),
                &text(items, "x-kubernetes-list-type").into(),
                detail,
            ));
        }
        "object" if text(items, "x-kubernetes-map-type") != "atomic" => {
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            let at = path.child("x-kubernetes-map-type");
            errors.push(match text(items, "x-kubernetes-map-type") {
                "" => FieldError::required(at, detail),
                other => FieldError::invalid(at, &other.into(), detail),
            });
        }
        _ => {}
    }
}

fn map_items(items: &Map<String, Value>, keys: &[&str], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let at = path.child("items");
    if text(items, "type") != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(at.child("type"), &text(items, "type").into(), detail));
        return;
    }
    let required: Vec<&str> =
        items.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties_at = at.child("properties");
    for key in keys {
        let Some(property) = items.get("properties").and_then(|p| p.get(*key)).and_then(Value::as_object) else {
            let detail = "entries must all be names of item properties";
            let keys_at = path.child("x-kubernetes-list-map-keys");
            errors.push(FieldError::invalid(keys_at, &keys_value(keys), detail));
            continue;
        };
        let property_at = properties_at.key(key);
        let kind = text(property, "type");
        if matches!(kind, "object" | "array") {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(property_at.child("type"), &kind.into(), detail));
        }
        if flag(property, "nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(property_at.child("nullable"), detail));
        }
        if !required.contains(key) && !property.contains_key("default") {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(property_at.child("default"), detail));
        }
    }
}
