//! Objects that belong to another object: the guard against deleting them by hand, and their end
//! together with their owner (control plane specification §4.1–4.3).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PartialObjectMeta, Patch, PatchParams};
use kube::discovery::{Discovery, Scope, verbs};
use kube::{Client, Resource, ResourceExt};
use rdd_api::limavm::OWNED_BY_PREFIX;
use serde_json::json;

/// Why not everything that is owned could be deleted.
#[derive(Debug, thiserror::Error)]
pub enum OwnedError {
    /// The API does not say which kinds it serves.
    #[error("discover the kinds that may be owned")]
    Discovery(#[source] kube::Error),
    /// Some objects could not be deleted.
    #[error("delete owned objects: {}", .0.join("; "))]
    Objects(Vec<String>),
    /// The object belongs to another kind already.
    #[error("{name:?} is owned by {present} already; more than one owner is not supported")]
    OtherOwner {
        /// The object's name.
        name: String,
        /// The kind that owns it.
        present: String,
    },
    /// The object could not be written.
    #[error("write the finalizers of {name:?}")]
    Write {
        /// The object's name.
        name: String,
        /// The cause.
        #[source]
        source: kube::Error,
    },
}

/// Returns the kind that owns an object, by its finalizers.
pub fn owner_kind<'a>(finalizers: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    finalizers.into_iter().find_map(|f| f.strip_prefix(OWNED_BY_PREFIX))
}

/// Returns why an owned object may not be deleted by hand; `None` if it is not owned.
pub fn refuse_deletion<'a>(name: &str, finalizers: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let kind = owner_kind(finalizers)?;
    Some(format!("cannot delete {name:?}: owned by {kind}; delete the {kind} resource instead"))
}

/// Marks an object as owned by `kind`.
pub async fn add_owned_by<K>(api: &Api<K>, object: &K, kind: &str) -> Result<(), OwnedError>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let name = object.name_any();
    match owner_kind(object.finalizers().iter().map(String::as_str)) {
        Some(present) if present == kind => Ok(()),
        Some(present) => Err(OwnedError::OtherOwner { name, present: present.to_owned() }),
        None => crate::finalizers::add(api, object, &format!("{OWNED_BY_PREFIX}{kind}"))
            .await
            .map_err(|source| OwnedError::Write { name, source }),
    }
}

/// Returns the reference by which a child names its controlling owner; `None` if the owner has not
/// been stored yet.
pub fn controller_reference<K: Resource>(owner: &K, dynamic_type: &K::DynamicType) -> Option<OwnerReference> {
    owner.controller_owner_ref(dynamic_type)
}

/// Deletes every object of the namespace whose owner references name `owner_uid`, of every kind
/// that is served. Owned-by finalizers are removed first, others stay: whoever set them cleans up.
///
/// Does not wait until they are gone. A kind that cannot be listed is skipped.
pub async fn delete_owned(client: &Client, namespace: &str, owner_uid: &str) -> Result<(), OwnedError> {
    let discovery = Discovery::new(client.clone()).run().await.map_err(OwnedError::Discovery)?;
    let mut failures = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let deletable =
                capabilities.supports_operation(verbs::LIST) && capabilities.supports_operation(verbs::DELETE);
            if capabilities.scope != Scope::Namespaced || !deletable {
                continue;
            }
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
            let children = match api.list_metadata(&ListParams::default()).await {
                Ok(list) => list.items,
                Err(error) => {
                    tracing::debug!(kind = resource.kind, %error, "cannot list for owned objects");
                    continue;
                }
            };
            for child in children {
                let owners = child.metadata.owner_references.iter().flatten();
                if !owners.into_iter().any(|o| o.uid == owner_uid) {
                    continue;
                }
                if let Err(error) = release_and_delete(&api, &child).await {
                    failures.push(format!("{} {:?}: {error}", resource.kind, child.name_any()));
                }
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(OwnedError::Objects(failures)) }
}

async fn release_and_delete(
    api: &Api<DynamicObject>,
    child: &PartialObjectMeta<DynamicObject>,
) -> Result<(), kube::Error> {
    let name = child.name_any();
    let kept: Vec<_> = child.finalizers().iter().filter(|f| !f.starts_with(OWNED_BY_PREFIX)).cloned().collect();
    if kept.len() < child.finalizers().len() {
        let patch = json!({"metadata": {"finalizers": kept}});
        ignore_not_found(api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop))?;
    }
    ignore_not_found(api.delete(&name, &DeleteParams::default()).await.map(drop))
}

fn ignore_not_found(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_objects_name_their_owner() {
        assert_eq!(refuse_deletion("x", ["rdd.rancherdesktop.io/cleanup"]), None);
        let text = refuse_deletion("x", ["a/b", "rdd.rancherdesktop.io/owned-by-App"]).expect("owned");
        assert_eq!(text, "cannot delete \"x\": owned by App; delete the App resource instead");
    }
}
