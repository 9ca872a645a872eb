//! What ConfigMaps and Secrets have in common: keys, sizes, and `immutable`.

use rdd_api::FieldError;
use rdd_schema::validation::config_map_key;
use serde_json::{Map, Value, json};

/// The most bytes that the values of a ConfigMap or Secret may have together.
const SIZE_LIMIT: usize = 1 << 20;

pub(super) fn map<'a>(object: &'a Value, field: &str) -> Option<&'a Map<String, Value>> {
    object.get(field).and_then(Value::as_object)
}

/// Checks one key of `field`.
pub(super) fn check_key(field: &str, key: &str, errors: &mut Vec<FieldError>) {
    for text in config_map_key(key) {
        errors.push(FieldError::invalid(format!("{field}[{key}]"), &json!(key), &text));
    }
}

/// Checks the sum of all sizes.
pub(super) fn check_size(total: usize, field: &str, errors: &mut Vec<FieldError>) {
    if total > SIZE_LIMIT {
        errors.push(FieldError::too_long(field, SIZE_LIMIT));
    }
}

/// Checks that what is immutable stays as it is.
pub(super) fn check_immutable(object: &Value, old: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    if old.get("immutable").and_then(Value::as_bool) != Some(true) {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if object.get("immutable").and_then(Value::as_bool) != Some(true) {
        errors.push(FieldError::forbidden("immutable", detail));
    }
    let empty = Map::new();
    for field in fields {
        if map(object, field).unwrap_or(&empty) != map(old, field).unwrap_or(&empty) {
            errors.push(FieldError::forbidden(*field, detail));
        }
    }
}

/// Returns how many bytes a base64 text stands for, or `None` if it is none.
pub(super) fn decode(value: &Value) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()
}
