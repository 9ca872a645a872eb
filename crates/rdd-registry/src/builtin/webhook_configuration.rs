//! MutatingWebhookConfigurations and ValidatingWebhookConfigurations. Their defaults stand in their schemas; who calls
//! the webhooks is `rdd-webhook`.

use std::collections::HashSet;

use rdd_api::FieldError;
use rdd_schema::Condition;
use rdd_schema::selector::LabelSelector;
use rdd_schema::validation::{dns1035_label, dns1123_subdomain, qualified_name};
use serde_json::{Value, json};

use crate::builtin::webhook_rule;
use crate::strategy::Strategy;

/// The versions of AdmissionReview that this server speaks.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const MOST_CONDITIONS: usize = 64;
const FORM: &str = "; desired format: https://host[/path]";

pub(crate) struct WebhookConfigurationStrategy {
    /// Whether the webhooks may change objects.
    pub(crate) mutating: bool,
}

impl Strategy for WebhookConfigurationStrategy {
    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut names = HashSet::new();
        for (index, webhook) in list(object, "webhooks").iter().enumerate() {
            let path = format!("webhooks[{index}]");
            check_webhook(webhook, &path, self.mutating, &mut errors);
            review_versions(webhook, &format!("{path}.admissionReviewVersions"), &mut errors);
            let name = text(webhook, "name");
            if !name.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(format!("{path}.name"), &json!(name)));
            }
        }
        errors
    }

    fn validate_update(&self, object: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate_create(object)
    }
}

pub(super) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Checks a field that may hold only some texts, if it is there.
pub(super) fn one_of(value: &Value, field: &str, allowed: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    if let Some(found) = value.get(field).filter(|found| !allowed.iter().any(|text| *found == text)) {
        errors.push(FieldError::not_supported(format!("{path}.{field}"), found, allowed));
    }
}

fn check_webhook(webhook: &Value, path: &str, mutating: bool, errors: &mut Vec<FieldError>) {
    name(webhook, path, errors);
    for (index, rule) in list(webhook, "rules").iter().enumerate() {
        webhook_rule::check(rule, &format!("{path}.rules[{index}]"), errors);
    }
    one_of(webhook, "failurePolicy", &["Fail", "Ignore"], path, errors);
    one_of(webhook, "matchPolicy", &["Equivalent", "Exact"], path, errors);
    if mutating {
        one_of(webhook, "reinvocationPolicy", &["IfNeeded", "Never"], path, errors);
    }
    if webhook.get("sideEffects").is_none() {
        let detail = "must specify one of None, NoneOnDryRun";
        errors.push(FieldError::required(format!("{path}.sideEffects"), detail));
    }
    one_of(webhook, "sideEffects", &["None", "NoneOnDryRun"], path, errors);
    if let Some(seconds) = webhook.get("timeoutSeconds").filter(|s| !matches!(s.as_i64(), Some(1..=30))) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(format!("{path}.timeoutSeconds"), seconds, detail));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        let selector = webhook.get(field).unwrap_or(&Value::Null);
        if let Err(error) = LabelSelector::from_json(selector) {
            errors.push(FieldError::invalid(format!("{path}.{field}"), selector, &error.0));
        }
    }
    client_config(webhook.get("clientConfig").unwrap_or(&Value::Null), &format!("{path}.clientConfig"), errors);
    match_conditions(list(webhook, "matchConditions"), &format!("{path}.matchConditions"), errors);
}

fn match_conditions(conditions: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    if conditions.len() > MOST_CONDITIONS {
        errors.push(FieldError::too_many(path, conditions.len(), MOST_CONDITIONS));
    }
    let mut seen = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let (name, expression) = (text(condition, "name"), text(condition, "expression").trim());
        if expression.is_empty() {
            errors.push(FieldError::required(format!("{path}.expression"), ""));
        } else if let Err(problem) = Condition::compile(expression) {
            let detail = format!("compilation failed: {problem}");
            errors.push(FieldError::invalid(format!("{path}.expression"), &json!(expression), &detail));
        }
        let path = format!("{path}.name");
        if name.is_empty() {
            errors.push(FieldError::required(path, ""));
            continue;
        }
        errors.extend(qualified_name(name).iter().map(|why| FieldError::invalid(path.clone(), &json!(name), why)));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path, &json!(name)));
        }
    }
}

fn name(webhook: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let (name, path) = (text(webhook, "name"), format!("{path}.name"));
    if name.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    errors.extend(dns1123_subdomain(name).iter().map(|detail| FieldError::invalid(path.clone(), &json!(name), detail)));
    if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path, &json!(name), detail));
    }
}

fn review_versions(webhook: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let versions = list(webhook, "admissionReviewVersions");
    let ours = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        return errors.push(FieldError::required(path, &format!("must specify one of {ours}")));
    }
    let mut seen = HashSet::new();
    for (index, version) in versions.iter().enumerate() {
        let (path, text) = (format!("{path}[{index}]"), version.as_str().unwrap_or_default());
        if !seen.insert(text) {
            errors.push(FieldError::invalid(path, version, "duplicate version"));
            continue;
        }
        errors.extend(dns1035_label(text).iter().map(|detail| FieldError::invalid(path.clone(), version, detail)));
    }
    if !REVIEW_VERSIONS.iter().any(|version| seen.contains(version)) {
        let detail = format!("must include at least one of {ours}");
        errors.push(FieldError::invalid(path, &json!(versions), &detail));
    }
}

fn client_config(config: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match (config.get("url").and_then(Value::as_str), config.get("service")) {
        (Some(address), None) => url(address, &format!("{path}.url"), errors),
        (None, Some(reference)) => service(reference, &format!("{path}.service"), errors),
        _ => errors.push(FieldError::required(path, "exactly one of url or service is required")),
    }
}

fn url(address: &str, path: &str, errors: &mut Vec<FieldError>) {
    let mut invalid = |value: &str, detail: &str| errors.push(FieldError::invalid(path, &json!(value), detail));
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    if scheme != "https" {
        invalid(scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if host.is_empty() || scheme.is_empty() {
        invalid("", &format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        invalid(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        invalid(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        invalid(query, "query parameters are not permitted in the URL");
    }
}

fn service(reference: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for field in ["name", "namespace"] {
        if text(reference, field).is_empty() {
            errors.push(FieldError::required(format!("{path}.{field}"), &format!("service {field} is required")));
        }
    }
    if let Some(port) = reference.get("port").filter(|port| !matches!(port.as_i64(), Some(1..=65535))) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(format!("{path}.port"), port, detail));
    }
    let url_path = text(reference, "path");
    let mut invalid = |detail: &str| errors.push(FieldError::invalid(format!("{path}.path"), &json!(url_path), detail));
    if url_path.is_empty() || url_path == "/" {
        return;
    }
    if !url_path.starts_with('/') {
        invalid("must start with a '/'");
    }
    let inner = url_path.strip_prefix('/').unwrap_or(url_path);
    let inner = if inner == "/" { inner } else { inner.strip_suffix('/').unwrap_or(inner) };
    for (index, step) in inner.split('/').enumerate() {
        if step.is_empty() {
            invalid(&format!("segment[{index}] may not be empty"));
            continue;
        }
        dns1123_subdomain(step).iter().for_each(|detail| invalid(&format!("segment[{index}]: {detail}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(change: Value) -> Value {
        let mut webhook = json!({
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://127.0.0.1:8443/check"},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        });
        for (key, value) in change.as_object().expect("fields") {
            match value {
                Value::Null => webhook.as_object_mut().expect("an object").remove(key),
                value => webhook.as_object_mut().expect("an object").insert(key.clone(), value.clone()),
            };
        }
        webhook
    }

    #[track_caller]
    fn check(change: Value, expect: &[&str]) {
        let object = json!({"webhooks": [webhook(change.clone())]});
        let errors = WebhookConfigurationStrategy { mutating: true }.validate_create(&object);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, expect, "{change}");
    }

    #[test]
    fn fields_are_checked() {
        check(json!({}), &[]);
        check(
            json!({"name": "a.b"}),
            &[
                r#"webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by dots"#,
            ],
        );
        check(
            json!({"sideEffects": null}),
            &["webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"],
        );
        check(
            json!({"sideEffects": "Some"}),
            &[r#"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#],
        );
        check(
            json!({"timeoutSeconds": 31}),
            &["webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
        );
        check(
            json!({"admissionReviewVersions": []}),
            &["webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1"],
        );
        check(
            json!({"admissionReviewVersions": ["v2"]}),
            &[
                r#"webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1"#,
            ],
        );
        check(
            json!({"failurePolicy": "Perhaps"}),
            &[r#"webhooks[0].failurePolicy: Unsupported value: "Perhaps": supported values: "Fail", "Ignore""#],
        );
    }

    #[test]
    fn a_client_is_reached_in_one_way() {
        check(
            json!({"clientConfig": {}}),
            &["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
        );
        check(json!({"clientConfig": {"service": {"name": "s", "namespace": "n", "path": "/a/b/", "port": 1}}}), &[]);
        for (url, value, why) in [
            ("http://h", "http", "'https' is the only allowed URL scheme; desired format: https://host[/path]"),
            ("https:///p", "", "host must be specified; desired format: https://host[/path]"),
            ("https://u:p@h", "u:p", "user information is not permitted in the URL"),
            ("https://h/#f", "f", "fragments are not permitted in the URL"),
            ("https://h/?q", "q", "query parameters are not permitted in the URL"),
        ] {
            let expect = format!("webhooks[0].clientConfig.url: Invalid value: {value:?}: {why}");
            check(json!({"clientConfig": {"url": url}}), &[&expect]);
        }
        let path = "webhooks[0].clientConfig.service";
        check(
            json!({"clientConfig": {"service": {"name": "", "namespace": "n", "port": 0, "path": "a//b"}}}),
            &[
                &format!("{path}.name: Required value: service name is required"),
                &format!("{path}.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive"),
                &format!(r#"{path}.path: Invalid value: "a//b": must start with a '/'"#),
                &format!(r#"{path}.path: Invalid value: "a//b": segment[1] may not be empty"#),
            ],
        );
    }

    #[test]
    fn conditions_must_compile() {
        let condition = |name: &str, expression: &str| json!({"name": name, "expression": expression});
        check(json!({"matchConditions": [condition("a.b/c", "object.spec.n > 1")]}), &[]);
        let path = "webhooks[0].matchConditions";
        check(
            json!({"matchConditions": [condition("a", "x == 1"), condition("a", " ")]}),
            &[
                &format!(
                    "{path}[0].expression: Invalid value: \"x == 1\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'x' (in \
                     container '')"
                ),
                &format!("{path}[1].expression: Required value"),
                &format!("{path}[1].name: Duplicate value: \"a\""),
            ],
        );
    }

    #[test]
    fn names_stand_once() {
        let object = json!({"webhooks": [webhook(json!({})), webhook(json!({}))]});
        let errors = WebhookConfigurationStrategy { mutating: false }.validate_create(&object);
        assert_eq!(errors[0].to_string(), r#"webhooks[1].name: Duplicate value: "a.example.com""#);
    }
}
