//! One rule of a role, and the requests that it allows.

use serde::{Deserialize, Deserializer};

use crate::access::AccessRequest;

const ALL: &str = "*";

/// One rule of a role. Wire format: `rbac.authorization.k8s.io/v1` `PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// The verbs; `*` stands for all.
    #[serde(deserialize_with = "list")]
    pub verbs: Vec<String>,
    /// The API groups; empty text for the core group, `*` for all.
    #[serde(deserialize_with = "list")]
    pub api_groups: Vec<String>,
    /// The resources: `pods`, `pods/log`, `*/scale`, or `*` for all, subresources included.
    #[serde(deserialize_with = "list")]
    pub resources: Vec<String>,
    /// The only names allowed; empty for all.
    #[serde(deserialize_with = "list")]
    pub resource_names: Vec<String>,
    /// Paths; a trailing `*` stands for any rest.
    #[serde(rename = "nonResourceURLs", deserialize_with = "list")]
    pub non_resource_urls: Vec<String>,
}

fn list<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

pub(super) fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|one| one == text)
}

impl PolicyRule {
    /// Returns the rules that allow everything.
    pub fn full_authority() -> Vec<PolicyRule> {
        let all = || vec![ALL.to_owned()];
        vec![
            PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() },
            PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() },
        ]
    }

    /// Returns whether the rule allows the request.
    pub fn allows(&self, request: &AccessRequest) -> bool {
        match request {
            AccessRequest::Resource { verb, group, resource, subresource, name, .. } => {
                (has(&self.verbs, ALL) || has(&self.verbs, verb))
                    && (has(&self.api_groups, ALL) || has(&self.api_groups, group))
                    && self.names_resource(resource, subresource)
                    && (self.resource_names.is_empty() || has(&self.resource_names, name))
            }
            AccessRequest::Path { verb, path } => {
                (has(&self.verbs, ALL) || has(&self.verbs, verb))
                    && self.non_resource_urls.iter().any(|url| url_covers(url, path))
            }
        }
    }

    fn names_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|named| {
            if named == ALL {
                return true;
            }
            match named.split_once('/') {
                None => subresource.is_empty() && named == resource,
                Some((of, sub)) => !subresource.is_empty() && sub == subresource && (of == ALL || of == resource),
            }
        })
    }
}

/// Returns whether a path of a rule stands for `path`.
pub(super) fn url_covers(url: &str, path: &str) -> bool {
    url == path || url.strip_suffix('*').is_some_and(|start| path.starts_with(start.trim_end_matches('*')))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(rule: Value) -> PolicyRule {
        serde_json::from_value(rule).expect("a rule")
    }

    /// `request` reads `verb group/resource/subresource name`, or `verb /path`; `core` stands for the empty group.
    fn request(text: &str) -> AccessRequest {
        let mut words = text.split(' ');
        let verb = words.next().unwrap_or_default().to_owned();
        let what = words.next().unwrap_or_default();
        if what.starts_with('/') {
            return AccessRequest::Path { verb, path: what.to_owned() };
        }
        let mut parts = what.split('/').map(|part| if part == "core" { "" } else { part }.to_owned());
        let mut part = || parts.next().unwrap_or_default();
        AccessRequest::Resource {
            verb,
            group: part(),
            version: "v1".to_owned(),
            resource: part(),
            subresource: part(),
            namespace: "n".to_owned(),
            name: words.next().unwrap_or_default().to_owned(),
        }
    }

    fn check(value: Value, allowed: &[&str], denied: &[&str]) {
        let rule = rule(value.clone());
        for text in allowed {
            assert!(rule.allows(&request(text)), "{value} should allow {text}");
        }
        for text in denied {
            assert!(!rule.allows(&request(text)), "{value} should not allow {text}");
        }
    }

    #[test]
    fn what_a_rule_allows() {
        check(
            json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["secrets"]}),
            &["get core/secrets x", "list core/secrets"],
            &[
                "watch core/secrets",
                "get apps/secrets x",
                "get core/configmaps x",
                "get core/secrets/status x",
                "get /api",
            ],
        );
        check(
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
            &["delete core/secrets x", "patch apps/deployments/scale x", "escalate rbac/roles x"],
            &["get /healthz"],
        );
        check(
            json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments/scale", "*/status"]}),
            &["get apps/deployments/scale x", "get apps/deployments/status x", "get apps/sets/status"],
            &["get apps/deployments x", "get apps/sets/scale x", "get apps/status x", "get core/pods/status x"],
        );
        check(
            json!({"verbs": ["get", "list", "create", "deletecollection"], "apiGroups": [""], "resources": ["pods"],
                "resourceNames": ["a", "b"]}),
            &["get core/pods a", "list core/pods b"],
            &["get core/pods c", "list core/pods", "create core/pods", "deletecollection core/pods"],
        );
        check(
            json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/apis/*"]}),
            &["get /healthz", "get /apis/", "get /apis/apps/v1"],
            &["get /healthz/ping", "get /apis", "post /healthz", "get core/pods a"],
        );
        check(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}), &["get /", "post /x"], &["get core/pods a"]);
        check(json!({"verbs": null, "apiGroups": ["*"], "resources": ["*"]}), &[], &["get core/pods a"]);
        check(json!({}), &[], &["get core/pods a", "get /"]);
    }
}
