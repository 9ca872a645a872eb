//! Reading keywords from raw JSON, and those that are not supported anywhere.

use rdd_api::FieldError;
use serde_json::{Map, Value};

use crate::node;
use crate::path::Path;

pub(super) fn text<'a>(map: &'a Map<String, Value>, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn flag(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key).and_then(Value::as_bool).unwrap_or(false)
}

pub(super) fn nodes<'a>(map: &'a Map<String, Value>, key: &str) -> Vec<&'a Map<String, Value>> {
    map.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).collect()
}

/// Keywords that are not supported at all, and those that exclude each other.
pub(super) fn keywords(map: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for keyword in ["$ref", "definitions", "dependencies", "id", "patternProperties", "additionalItems"] {
        let is_set = match map.get(keyword) {
            None | Some(Value::Null) => false,
            Some(Value::String(s)) => !s.is_empty(),
            Some(Value::Object(o)) if keyword != "additionalItems" => !o.is_empty(),
            Some(_) => true,
        };
        if is_set {
            errors.push(FieldError::forbidden(path.child(keyword), &format!("{keyword} is not supported")));
        }
    }
    if flag(map, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(path.child("uniqueItems"), detail));
    }
    if text(map, "type") == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(path.child("type"), detail));
    }
    if matches!(map.get("items"), Some(Value::Array(_))) {
        errors.push(FieldError::forbidden(path.child("items"), "items must be a schema object and not an array"));
    }
    let has_properties = map.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty());
    if has_properties {
        match map.get("additionalProperties") {
            None | Some(Value::Null) => {}
            Some(Value::Bool(false)) => {
                let detail = "additionalProperties cannot be set to false";
                errors.push(FieldError::forbidden(path.child("additionalProperties"), detail));
            }
            Some(_) => {
                let detail = "additionalProperties and properties are mutual exclusive";
                errors.push(FieldError::forbidden(path.child("additionalProperties"), detail));
            }
        }
    }
}

pub(super) fn check_pattern(map: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(pattern) = map.get("pattern").and_then(Value::as_str)
        && let Err(error) = node::compile_pattern(pattern)
    {
        let cause = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let detail = format!("must be a valid regular expression, but isn't: {cause}");
        errors.push(FieldError::invalid(path.child("pattern"), &pattern.into(), &detail));
    }
}
