//! Value validations: what may stand in `allOf`, `anyOf`, `oneOf` and `not`.

use rdd_api::FieldError;
use serde_json::{Map, Value};

use super::keywords::{check_pattern, flag, keywords, nodes, text};
use crate::path::Path;

/// Value validations of a structural node, and the nested ones below it.
pub(super) fn values(
    map: &Map<String, Value>,
    skeleton: &Map<String, Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    check_pattern(map, path, errors);
    let is_int_or_string = flag(map, "x-kubernetes-int-or-string");
    let skip_any_of = is_int_or_string && is_int_or_string_pattern(map);
    let first_all_of = nodes(map, "allOf").first().is_some_and(|first| is_int_or_string_pattern(first));
    let skip_all_of = is_int_or_string && !skip_any_of && first_all_of;
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let at = path.child(keyword);
        for (index, nested) in nodes(map, keyword).into_iter().enumerate() {
            let may_type = keyword == "anyOf" && skip_any_of;
            let may_type_below = keyword == "allOf" && skip_all_of && index == 0;
            nested_values(nested, skeleton, may_type, may_type_below, &at.index(index), errors);
        }
    }
    if let Some(Value::Object(not)) = map.get("not") {
        nested_values(not, skeleton, false, false, &path.child("not"), errors);
    }
}

/// Returns whether `anyOf` is `[{type: integer}, {type: string}]`.
fn is_int_or_string_pattern(map: &Map<String, Value>) -> bool {
    let kinds: Vec<&str> = nodes(map, "anyOf").into_iter().map(|n| text(n, "type")).collect();
    kinds == ["integer", "string"]
}

/// A node below `allOf`, `anyOf`, `oneOf`, `not`: it may validate values and nothing else.
fn nested_values(
    map: &Map<String, Value>,
    skeleton: &Map<String, Value>,
    may_type: bool,
    may_type_below: bool,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    for (keyword, detail) in [
        ("type", "must be empty to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("default", "must be undefined to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ] {
        let is_set = match map.get(keyword) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(s)) => !s.is_empty(),
            Some(Value::Array(a)) => !a.is_empty(),
            Some(_) => true,
        };
        if is_set && !(keyword == "type" && may_type) {
            errors.push(FieldError::forbidden(path.child(keyword), detail));
        }
    }
    keywords(map, path, errors);
    check_pattern(map, path, errors);
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let at = path.child(keyword);
        for (index, nested) in nodes(map, keyword).into_iter().enumerate() {
            let may_type = keyword == "anyOf" && may_type_below;
            nested_values(nested, skeleton, may_type, false, &at.index(index), errors);
        }
    }
    if let Some(Value::Object(not)) = map.get("not") {
        nested_values(not, skeleton, false, false, &path.child("not"), errors);
    }
    nested_children(map, skeleton, path, errors);
}

/// What is validated must exist in the skeleton.
fn nested_children(
    map: &Map<String, Value>,
    skeleton: &Map<String, Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let empty = Map::new();
    let at = path.child("properties");
    for (name, nested) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let here = at.key(name);
        if name == "metadata" {
            errors.push(FieldError::forbidden(here, "must not be specified in a nested context"));
        }
        let Some(nested) = nested.as_object() else { continue };
        let known = skeleton
            .get("properties")
            .and_then(|p| p.get(name))
            .or_else(|| skeleton.get("additionalProperties").filter(|a| a.is_object()))
            .and_then(Value::as_object);
        if known.is_none() {
            let skeleton_path = skeleton_of(&here.to_string());
            errors.push(FieldError::required(skeleton_path, &format!("because it is defined in {here}")));
        }
        nested_values(nested, known.unwrap_or(&empty), false, false, &here, errors);
    }
    if let Some(nested) = map.get("items").and_then(Value::as_object) {
        let here = path.child("items");
        let known = skeleton.get("items").and_then(Value::as_object);
        if known.is_none() {
            let skeleton_path = skeleton_of(&here.to_string());
            errors.push(FieldError::required(skeleton_path, &format!("because it is defined in {here}")));
        }
        nested_values(nested, known.unwrap_or(&empty), false, false, &here, errors);
    }
}

/// Strips `allOf[0]` and its like from a path.
fn skeleton_of(path: &str) -> String {
    let nested = |step: &&str| {
        let name = step.split('[').next().unwrap_or_default();
        // `properties[allOf]` is a field of that name, `allOf[0]` is not.
        !matches!(name, "allOf" | "anyOf" | "oneOf" | "not")
    };
    path.split('.').filter(nested).collect::<Vec<_>>().join(".")
}
