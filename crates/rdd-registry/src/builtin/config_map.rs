//! ConfigMaps.

use rdd_api::FieldError;
use serde_json::{Value, json};

use crate::builtin::key_value::{check_immutable, check_key, check_size, decode, map};
use crate::strategy::Strategy;

pub(crate) struct ConfigMapStrategy;

impl Strategy for ConfigMapStrategy {
    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut total = 0;
        let binary = map(object, "binaryData");
        for (key, value) in map(object, "data").into_iter().flatten() {
            check_key("data", key, &mut errors);
            if binary.is_some_and(|b| b.contains_key(key)) {
                let detail = "duplicate of key present in binaryData";
                errors.push(FieldError::invalid(format!("data[{key}]"), &json!(key), detail));
            }
            total += value.as_str().map_or(0, str::len);
        }
        for (key, value) in binary.into_iter().flatten() {
            check_key("binaryData", key, &mut errors);
            match decode(value) {
                Some(bytes) => total += bytes.len(),
                None => {
                    errors.push(FieldError::invalid(format!("binaryData[{key}]"), value, "illegal base64 data"));
                }
            }
        }
        check_size(total, "", &mut errors);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_immutable(object, old, &["data", "binaryData"], &mut errors);
        errors.extend(self.validate_create(object));
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(object: Value, expect: &[&str]) {
        let errors: Vec<String> = ConfigMapStrategy.validate_create(&object).iter().map(|e| e.field.clone()).collect();
        assert_eq!(errors, expect, "{object}");
    }

    #[test]
    fn keys_are_checked_and_stand_once() {
        check(json!({"data": {"a": "1", "B_c-.d": "2"}, "binaryData": {"b": "AAA="}}), &[]);
        check(json!({"data": {"a b": "1"}}), &["data[a b]"]);
        check(json!({"data": {"..": "1"}}), &["data[..]"]);
        check(json!({"data": {"a": "1"}, "binaryData": {"a": ""}}), &["data[a]"]);
        check(json!({"binaryData": {"a": "%"}}), &["binaryData[a]"]);
        check(json!({"data": {"a": "x".repeat((1 << 20) + 1)}}), &[""]);
    }

    #[test]
    fn immutable_data_stays() {
        let old = json!({"immutable": true, "data": {"a": "1"}});
        let text = |object: Value| {
            let errors = ConfigMapStrategy.validate_update(&object, &old);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(text(old.clone()), "");
        assert_eq!(
            text(json!({"immutable": true, "data": {"a": "2"}})),
            "data: Forbidden: field is immutable when `immutable` is set"
        );
        assert!(text(json!({"data": {"a": "1"}})).starts_with("immutable: Forbidden"));
    }
}
