//! The kinds of objects that the bridge reads and writes.

use rdd_api::GroupVersionResource;
use rdd_api::limavm::{GROUP, KIND, LimaVmSpec, LimaVmStatus, PLURAL, VERSION};
use rdd_reconcile::kube::core::Object;
use rdd_reconcile::{Api, ApiResource, Client};

/// A LimaVM.
pub type LimaVm = Object<LimaVmSpec, LimaVmStatus>;

/// Returns where LimaVMs are served.
pub fn limavm_resource() -> ApiResource {
    ApiResource {
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        api_version: format!("{GROUP}/{VERSION}"),
        kind: KIND.to_owned(),
        plural: PLURAL.to_owned(),
    }
}

/// Returns the LimaVMs of a namespace.
pub fn limavms(client: &Client, namespace: &str) -> Api<LimaVm> {
    Api::namespaced_with(client.clone(), namespace, &limavm_resource())
}

/// Returns the LimaVMs of all namespaces.
pub fn all_limavms(client: &Client) -> Api<LimaVm> {
    Api::all_with(client.clone(), &limavm_resource())
}

/// Returns LimaVMs as admission names them.
pub(crate) fn limavm_gvr() -> GroupVersionResource {
    GroupVersionResource::new(GROUP, VERSION, PLURAL)
}

/// Returns ConfigMaps as admission names them.
pub(crate) fn configmap_gvr() -> GroupVersionResource {
    GroupVersionResource::new("", "v1", "configmaps")
}
