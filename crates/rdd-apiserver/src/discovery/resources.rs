//! The resources of one group version, in the order in which both forms of discovery tell them.

use std::sync::Arc;

use rdd_registry::{Group, Kind, Version};

/// A kind at a version, with what may be done with it.
pub(super) struct Resource<'a> {
    pub(super) kind: &'a Arc<Kind>,
    pub(super) version: &'a Version,
    pub(super) verbs: Vec<&'static str>,
    pub(super) subresources: Vec<Subresource>,
}

/// A subresource.
pub(super) struct Subresource {
    pub(super) name: &'static str,
    /// Group, version and kind of its object, if that is not the parent's.
    pub(super) own_kind: Option<(&'static str, &'static str, &'static str)>,
    pub(super) verbs: Vec<&'static str>,
}

/// Returns the resources of a group version, sorted by name as upstream does.
pub(super) fn of<'a>(group: &'a Group, version: &str) -> Vec<Resource<'a>> {
    let mut resources: Vec<Resource<'a>> = group
        .kinds
        .iter()
        .filter_map(|kind| {
            let version = kind.version(version).filter(|v| v.served)?;
            Some(Resource { kind, version, verbs: kind.discovery_verbs(), subresources: subresources(kind, version) })
        })
        .collect();
    resources.sort_by(|a, b| a.kind.resource.cmp(&b.kind.resource));
    resources
}

fn subresources(kind: &Kind, version: &Version) -> Vec<Subresource> {
    let write = || vec!["get", "patch", "update"];
    let mut found = Vec::new();
    if version.status_subresource {
        found.push(Subresource { name: "status", own_kind: None, verbs: write() });
    }
    if version.scale.is_some() {
        let own_kind = Some(("autoscaling", "v1", "Scale"));
        found.push(Subresource { name: "scale", own_kind, verbs: write() });
    }
    for (name, verbs) in &kind.subresources {
        let own_kind = (*name == "token").then_some(("authentication.k8s.io", "v1", "TokenRequest"));
        found.push(Subresource { name, own_kind, verbs: verbs.clone() });
    }
    found.sort_by_key(|s| s.name);
    found
}
