//! Secrets.

use base64::Engine as _;
use jiff::Timestamp;
use rdd_api::{FieldError, object};
use serde_json::{Value, json};

use crate::builtin::key_value::{check_immutable, check_key, check_size, decode, map};
use crate::strategy::Strategy;

const REDACTED: &str = "<secret contents redacted>";

pub(crate) struct SecretStrategy;

/// Moves `stringData` into `data`, and fills in the type.
fn normalize(object: &mut Value) {
    let Some(fields) = object.as_object_mut() else { return };
    if let Some(Value::Object(plain)) = fields.remove("stringData") {
        let data = fields.entry("data").or_insert_with(|| json!({}));
        if !data.is_object() {
            *data = json!({});
        }
        for (key, value) in plain {
            let text = value.as_str().unwrap_or_default();
            data[key] = json!(base64::engine::general_purpose::STANDARD.encode(text));
        }
    }
    if fields.get("type").and_then(Value::as_str).unwrap_or_default().is_empty() {
        fields.insert("type".to_owned(), json!("Opaque"));
    }
}

impl Strategy for SecretStrategy {
    fn prepare_create(&self, object: &mut Value, _now: Timestamp) {
        normalize(object);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value, _now: Timestamp) {
        normalize(object);
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut total = 0;
        for (key, value) in map(object, "data").into_iter().flatten() {
            check_key("data", key, &mut errors);
            match decode(value) {
                Some(bytes) => total += bytes.len(),
                None => {
                    let path = format!("data[{key}]");
                    errors.push(FieldError::invalid(path, &json!(REDACTED), "illegal base64 data"));
                }
            }
        }
        check_size(total, "data", &mut errors);
        check_type(object, &mut errors);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if object.get("type") != old.get("type") {
            let value = object.get("type").cloned().unwrap_or_default();
            errors.push(FieldError::invalid("type", &value, "field is immutable"));
        }
        check_immutable(object, old, &["data"], &mut errors);
        errors.extend(self.validate_create(object));
        errors
    }
}

fn check_type(object: &Value, errors: &mut Vec<FieldError>) {
    let has = |key: &str| map(object, "data").is_some_and(|d| d.contains_key(key));
    let mut require = |key: &str| {
        if !has(key) {
            errors.push(FieldError::required(format!("data[{key}]"), ""));
        }
    };
    match object.get("type").and_then(Value::as_str).unwrap_or_default() {
        "kubernetes.io/tls" => {
            require("tls.crt");
            require("tls.key");
        }
        "kubernetes.io/ssh-auth" => require("ssh-privatekey"),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            require("username");
            require("password");
        }
        "kubernetes.io/dockerconfigjson" => check_json(object, ".dockerconfigjson", errors),
        "kubernetes.io/dockercfg" => check_json(object, ".dockercfg", errors),
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if object::annotation(object, key).unwrap_or_default().is_empty() {
                errors.push(FieldError::required(format!("metadata.annotations[{key}]"), ""));
            }
        }
        _ => {}
    }
}

fn check_json(object: &Value, key: &str, errors: &mut Vec<FieldError>) {
    let path = format!("data[{key}]");
    match map(object, "data").and_then(|d| d.get(key)) {
        None => errors.push(FieldError::required(path, "")),
        Some(value) => {
            let bytes = decode(value).unwrap_or_default();
            if let Err(error) = serde_json::from_slice::<Value>(&bytes) {
                errors.push(FieldError::invalid(path, &json!(REDACTED), &error.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_data_becomes_data() {
        let mut secret = json!({"data": {"a": "MQ=="}, "stringData": {"a": "2", "b": "x"}});
        SecretStrategy.prepare_create(&mut secret, Timestamp::UNIX_EPOCH);
        assert_eq!(secret, json!({"type": "Opaque", "data": {"a": "Mg==", "b": "eA=="}}));
    }

    #[test]
    fn types_have_their_keys() {
        let cases = [
            (json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}), vec!["data[tls.key]: Required value"]),
            (json!({"type": "kubernetes.io/basic-auth", "data": {"username": ""}}), vec![]),
            (
                json!({"type": "kubernetes.io/basic-auth"}),
                vec!["data[username]: Required value", "data[password]: Required value"],
            ),
            (json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}}), vec![]),
            (json!({"type": "mine"}), vec![]),
        ];
        for (secret, expect) in cases {
            let errors: Vec<String> = SecretStrategy.validate_create(&secret).iter().map(ToString::to_string).collect();
            assert_eq!(errors, expect, "{secret}");
        }
    }

    #[test]
    fn the_type_stays() {
        let errors = SecretStrategy.validate_update(&json!({"type": "b"}), &json!({"type": "a"}));
        assert_eq!(errors[0].to_string(), "type: Invalid value: \"b\": field is immutable");
    }
}
