//! Legacy discovery: one document per group version. kubectl up to 1.25, kube-rs and many others.

use base64::Engine;
use rdd_registry::{Kind, Kinds};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::resources;

/// `GET /api`.
pub(crate) fn api_versions(host: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}],
    })
}

/// `GET /apis`.
pub(crate) fn group_list(kinds: &Kinds) -> Value {
    let named = kinds.groups().iter().filter(|g| !g.name.is_empty());
    let groups: Vec<Value> = named.map(|g| entry(&g.name, &g.versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `GET /apis/<group>`.
pub(crate) fn group(kinds: &Kinds, name: &str) -> Option<Value> {
    let group = kinds.group(name).filter(|g| !g.name.is_empty())?;
    let mut entry = entry(&group.name, &group.versions);
    entry["kind"] = json!("APIGroup");
    entry["apiVersion"] = json!("v1");
    Some(entry)
}

/// `GET /api/v1` and `GET /apis/<group>/<version>`.
pub(crate) fn resource_list(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let group = kinds.group(group).filter(|g| g.versions.iter().any(|v| v == version))?;
    let mut entries = Vec::new();
    for resource in resources::of(group, version) {
        let kind = resource.kind;
        let mut entry = json!({
            "name": kind.resource, "singularName": kind.singular, "namespaced": kind.is_namespaced(),
            "kind": kind.kind, "verbs": resource.verbs,
        });
        if kind.is_stored() {
            entry["storageVersionHash"] = json!(storage_version_hash(kind));
        }
        if !kind.short_names.is_empty() {
            entry["shortNames"] = json!(kind.short_names);
        }
        if !kind.categories.is_empty() {
            entry["categories"] = json!(kind.categories);
        }
        entries.push(entry);
        for sub in resource.subresources {
            let mut entry = json!({
                "name": format!("{}/{}", kind.resource, sub.name), "singularName": "",
                "namespaced": kind.is_namespaced(), "kind": kind.kind, "verbs": sub.verbs,
            });
            if let Some((group, version, kind)) = sub.own_kind {
                entry["group"] = json!(group);
                entry["version"] = json!(version);
                entry["kind"] = json!(kind);
            }
            entries.push(entry);
        }
    }
    let group_version = if group.name.is_empty() { version.to_owned() } else { format!("{}/{version}", group.name) };
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}))
}

fn entry(name: &str, versions: &[String]) -> Value {
    let version = |v: &String| json!({"groupVersion": format!("{name}/{v}"), "version": v});
    let versions: Vec<Value> = versions.iter().map(version).collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

fn storage_version_hash(kind: &Kind) -> String {
    let text = format!("{}/{}/{}", kind.group, kind.storage_version().name, kind.kind);
    base64::engine::general_purpose::STANDARD.encode(&Sha256::digest(text.as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use rdd_registry::Registry;

    use super::*;

    #[test]
    fn core_resources_are_listed_with_their_subresources() {
        let kinds = Registry::with_builtin_kinds().kinds();
        let list = resource_list(&kinds, "", "v1").expect("core v1");
        let names: Vec<&str> =
            list["resources"].as_array().expect("a list").iter().filter_map(|r| r["name"].as_str()).collect();
        for name in ["configmaps", "events", "namespaces", "namespaces/status", "secrets", "serviceaccounts"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        assert!(resource_list(&kinds, "", "v2").is_none());
        assert!(group(&kinds, "").is_none());
        assert_eq!(group(&kinds, "coordination.k8s.io").expect("leases")["preferredVersion"]["version"], "v1");
    }
}
