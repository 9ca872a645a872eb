//! Whether a webhook is to be told of a request.

use std::sync::Arc;

use rdd_admission::{Attributes, Reader};
use rdd_api::{GroupResource, GroupVersionResource, Status};
use rdd_registry::Kinds;
use rdd_schema::selector::LabelSelector;
use serde_json::{Map, Value};

use crate::call::Call;
use crate::conditions;
use crate::hook::{Hook, Rule};
use crate::review::operation;

/// Returns the call that a hook wants for a request, if it does. A refusal says that nobody can tell.
pub(crate) async fn call_for(
    hook: &Arc<Hook>,
    request: &Attributes,
    kinds: &Kinds,
    reader: &dyn Reader,
) -> Result<Option<Call>, Status> {
    let Some(version) = version_for(hook, request, kinds) else { return Ok(None) };
    if !has_labels(&hook.object_selector, request) {
        return Ok(None);
    }
    if !hook.namespace_selector.is_empty() {
        let namespace = namespace_of(request, reader).await?;
        if namespace.is_some_and(|namespace| !hook.namespace_selector.matches(labels_of(&namespace))) {
            return Ok(None);
        }
    }
    let call = Call { hook: hook.clone(), version };
    Ok(conditions::hold(&call, request, kinds)?.then_some(call))
}

/// Returns the version at which a rule covers the request.
fn version_for(hook: &Hook, request: &Attributes, kinds: &Kinds) -> Option<String> {
    let version = &request.resource.version;
    let covers = |version: &str| hook.rules.iter().any(|rule| covers(rule, request, version));
    if covers(version) {
        return Some(version.clone());
    }
    // The Scale of a resource is the same whatever the resource's version.
    if !hook.matches_equivalents || request.subresource.as_deref() == Some("scale") {
        return None;
    }
    let kind = kinds.by_group_resource(&request.resource.group, &request.resource.resource)?;
    let others = kind.versions.iter().filter(|other| other.served && other.name != *version);
    others.map(|other| other.name.clone()).find(|other| covers(other))
}

fn covers(rule: &Rule, request: &Attributes, version: &str) -> bool {
    let operation = operation(request.operation);
    has(&rule.operations, operation)
        && has(&rule.groups, &request.resource.group)
        && has(&rule.versions, version)
        && is_in_scope(&rule.scope, request)
        && rule.resources.iter().any(|pattern| is_resource(pattern, request))
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == wanted)
}

fn is_in_scope(scope: &str, request: &Attributes) -> bool {
    // A Namespace is told with its own name as its namespace, and is a cluster-scoped object all the same.
    let is_namespaced = request.namespace.is_some() && !is_namespace(request);
    match scope {
        "Namespaced" => is_namespaced,
        "Cluster" => !is_namespaced,
        _ => true,
    }
}

fn is_namespace(request: &Attributes) -> bool {
    request.resource.group.is_empty() && request.resource.resource == "namespaces"
}

fn is_resource(pattern: &str, request: &Attributes) -> bool {
    let (resource, subresource) = pattern.split_once('/').map_or((pattern, None), |(r, s)| (r, Some(s)));
    let fits_resource = resource == "*" || resource == request.resource.resource;
    let fits_subresource = match (subresource, request.subresource.as_deref()) {
        (Some("*"), _) | (None, None) => true,
        (Some(wanted), Some(found)) => wanted == found,
        (None, Some(_)) | (Some(_), None) => false,
    };
    fits_resource && fits_subresource
}

/// Returns whether the object, before or after, has the labels.
fn has_labels(selector: &LabelSelector, request: &Attributes) -> bool {
    let fits = |object: Option<&Value>| object.is_some_and(|object| selector.matches(labels_of(object)));
    selector.is_empty() || fits(request.object.as_ref()) || fits(request.old_object.as_deref())
}

/// Returns the namespace whose labels count; `None` for cluster-scoped objects.
async fn namespace_of(request: &Attributes, reader: &dyn Reader) -> Result<Option<Value>, Status> {
    let Some(name) = &request.namespace else { return Ok(None) };
    if is_namespace(request) {
        let own = request.object.clone().or_else(|| request.old_object.as_deref().cloned());
        return Ok(own);
    }
    let namespaces = GroupVersionResource::new("", "v1", "namespaces");
    match reader.get(&namespaces, None, name).await? {
        Some(namespace) => Ok(Some(namespace.as_ref().clone())),
        None => Err(Status::not_found(&GroupResource::new("", "namespaces"), name)),
    }
}

fn labels_of(object: &Value) -> Option<&Map<String, Value>> {
    object.pointer("/metadata/labels").and_then(Value::as_object)
}

#[cfg(test)]
mod tests {
    use rdd_admission::{Operation, UserInfo};
    use rdd_api::GroupVersionKind;

    use super::*;

    fn request(resource: &str, namespace: Option<&str>) -> Attributes {
        let (resource, subresource) = resource.split_once('/').map_or((resource, None), |(r, s)| (r, Some(s)));
        let mut request = Attributes::new(
            Operation::Create,
            GroupVersionKind::new("", "v1", "Thing"),
            GroupVersionResource::new("", "v1", resource),
            UserInfo::default(),
        );
        request.subresource = subresource.map(str::to_owned);
        request.namespace = namespace.map(str::to_owned);
        request
    }

    #[test]
    fn patterns_of_resources() {
        for (pattern, covered) in [
            ("*", "pods"),
            ("*/*", "pods pods/status services/status"),
            ("pods", "pods"),
            ("pods/*", "pods pods/status"),
            ("*/status", "pods/status services/status"),
            ("pods/status", "pods/status"),
        ] {
            let all = ["pods", "pods/status", "services/status"];
            let found: Vec<&str> =
                all.into_iter().filter(|resource| is_resource(pattern, &request(resource, Some("n")))).collect();
            assert_eq!(found.join(" "), covered, "{pattern}");
        }
    }

    #[test]
    fn namespaces_are_cluster_scoped() {
        let inside = [request("pods", Some("n")), request("nodes", None), request("namespaces", Some("n"))];
        let scopes = |scope: &str| inside.each_ref().map(|request| is_in_scope(scope, request));
        assert_eq!(scopes("Namespaced"), [true, false, false]);
        assert_eq!(scopes("Cluster"), [false, true, true]);
        assert_eq!(scopes("*"), [true, true, true]);
    }
}
