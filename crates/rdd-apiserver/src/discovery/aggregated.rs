//! Aggregated discovery: everything in two documents, `v2beta1` (kubectl 1.26–1.29) and `v2` (later).

use http::HeaderMap;
use rdd_registry::{Group, Kind, Kinds};
use serde_json::{Value, json};

use super::resources;
use crate::negotiate;

/// A version of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `apidiscovery.k8s.io/v2`.
    V2,
    /// `apidiscovery.k8s.io/v2beta1`.
    V2Beta1,
}

impl Form {
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V2Beta1 => "v2beta1",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        }
    }
}

/// Returns the form that a client asks for, or `None` for the legacy one. The answer must be in
/// the version asked: a client ignores any other without a word.
pub(crate) fn wanted(headers: &HeaderMap) -> Option<Form> {
    for clause in negotiate::clauses(headers) {
        if !clause.allows("application/json") {
            continue;
        }
        match (clause.parameter("as"), clause.parameter("g"), clause.parameter("v")) {
            (None, _, _) => return None,
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => return Some(Form::V2),
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2beta1")) => {
                return Some(Form::V2Beta1);
            }
            _ => {}
        }
    }
    None
}

/// Returns the document of `/api` (`core`) or `/apis`.
pub(crate) fn document(kinds: &Kinds, core: bool, form: Form) -> Value {
    let items: Vec<Value> = kinds.groups().iter().filter(|g| g.name.is_empty() == core).map(group).collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{}", form.version()),
        "metadata": {}, "items": items,
    })
}

fn group(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            let resources: Vec<Value> = resources::of(group, version).into_iter().map(resource).collect();
            json!({"version": version, "freshness": "Current", "resources": resources})
        })
        .collect();
    json!({"metadata": {"name": group.name, "creationTimestamp": null}, "versions": versions})
}

fn resource(resource: resources::Resource<'_>) -> Value {
    let kind: &Kind = resource.kind;
    let own = json!({"group": kind.group, "version": resource.version.name, "kind": kind.kind});
    let mut entry = json!({
        "resource": kind.resource, "responseKind": own, "singularResource": kind.singular, "verbs": resource.verbs,
        "scope": if kind.is_namespaced() { "Namespaced" } else { "Cluster" },
    });
    if !kind.short_names.is_empty() {
        entry["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        entry["categories"] = json!(kind.categories);
    }
    if !resource.subresources.is_empty() {
        let subresources: Vec<Value> = resource
            .subresources
            .into_iter()
            .map(|sub| {
                let response_kind = match sub.own_kind {
                    Some((group, version, kind)) => json!({"group": group, "version": version, "kind": kind}),
                    None => own.clone(),
                };
                json!({"subresource": sub.name, "responseKind": response_kind, "verbs": sub.verbs})
            })
            .collect();
        entry["subresources"] = json!(subresources);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &'static str, expect: Option<Form>) {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT, http::HeaderValue::from_static(accept));
        assert_eq!(wanted(&headers), expect, "{accept}");
    }

    #[test]
    fn the_answer_is_in_the_version_asked_for() {
        check(
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
            Some(Form::V2Beta1),
        );
        check(
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
            Some(Form::V2),
        );
        check("application/json;as=APIGroupDiscoveryList;v=v9;g=apidiscovery.k8s.io,application/json", None);
        check("application/json, */*", None);
    }
}
