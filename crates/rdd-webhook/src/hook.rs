//! One webhook of a configuration, read.

use std::sync::Arc;

use base64::Engine as _;
use rdd_schema::selector::LabelSelector;
use serde_json::Value;

use crate::resolve::Service;

/// Where a webhook listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// At a URL.
    Url(String),
    /// At a path of a service.
    Service { service: Service, path: String },
}

/// A rule: what must all hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rule {
    pub(crate) operations: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) versions: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) scope: String,
}

/// One webhook. Fields that an object of an older server may lack have their defaults.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) address: Address,
    /// The authorities that the webhook's certificate may come from, as PEM; empty for those of the system.
    pub(crate) ca_bundle: Arc<[u8]>,
    pub(crate) rules: Vec<Rule>,
    /// Whether a call that fails lets the request pass.
    pub(crate) ignores_failure: bool,
    /// Whether rules of other versions of the same resource count.
    pub(crate) matches_equivalents: bool,
    pub(crate) namespace_selector: LabelSelector,
    pub(crate) object_selector: LabelSelector,
    /// What must all hold, as CEL.
    pub(crate) conditions: Vec<String>,
    pub(crate) timeout_seconds: u64,
    /// The `apiVersion` of the reviews.
    pub(crate) review_version: &'static str,
    /// Whether it is called again when a later one changed the object.
    pub(crate) is_reinvoked: bool,
}

/// Reads the webhooks of a configuration. What cannot be read was not admitted by this server, and is left out.
pub(crate) fn hooks(configuration: &Value) -> Vec<Hook> {
    list(configuration, "webhooks").iter().filter_map(hook).collect()
}

fn hook(webhook: &Value) -> Option<Hook> {
    let config = webhook.get("clientConfig")?;
    let address = match (config.get("url").and_then(Value::as_str), config.get("service")) {
        (Some(url), _) => Address::Url(url.to_owned()),
        (None, Some(reference)) => Address::Service {
            service: Service {
                namespace: text(reference, "namespace").to_owned(),
                name: text(reference, "name").to_owned(),
                port: reference.get("port").and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok()).unwrap_or(443),
            },
            path: text(reference, "path").to_owned(),
        },
        (None, None) => return None,
    };
    let ca_bundle = base64::engine::general_purpose::STANDARD.decode(text(config, "caBundle")).ok()?;
    let selector = |field| LabelSelector::from_json(webhook.get(field).unwrap_or(&Value::Null)).ok();
    let versions = texts(webhook, "admissionReviewVersions");
    let review_version = versions.iter().find_map(|version| match version.as_str() {
        "v1" => Some("admission.k8s.io/v1"),
        "v1beta1" => Some("admission.k8s.io/v1beta1"),
        _ => None,
    })?;
    Some(Hook {
        name: text(webhook, "name").to_owned(),
        address,
        ca_bundle: ca_bundle.into(),
        rules: list(webhook, "rules").iter().map(rule).collect(),
        ignores_failure: text(webhook, "failurePolicy") == "Ignore",
        matches_equivalents: text(webhook, "matchPolicy") != "Exact",
        namespace_selector: selector("namespaceSelector")?,
        object_selector: selector("objectSelector")?,
        conditions: list(webhook, "matchConditions").iter().map(|c| text(c, "expression").to_owned()).collect(),
        timeout_seconds: webhook.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or(10),
        review_version,
        is_reinvoked: text(webhook, "reinvocationPolicy") == "IfNeeded",
    })
}

fn rule(rule: &Value) -> Rule {
    Rule {
        operations: texts(rule, "operations"),
        groups: texts(rule, "apiGroups"),
        versions: texts(rule, "apiVersions"),
        resources: texts(rule, "resources"),
        scope: text(rule, "scope").to_owned(),
    }
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    list(value, field).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
