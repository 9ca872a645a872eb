//! The ConfigMap that `limavm create` makes of a file. It is marked in the write that makes it, so that what an
//! interrupted create left is known as such later: the next create takes it, and a delete of the VM takes it along.

use rdd_api::limavm;
use rdd_reconcile::kube::api::{DeleteParams, DynamicObject, Preconditions};
use rdd_reconcile::{ClientError, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::api::{Vm, Vms, tell};
use crate::failure::Advised;

/// Annotation: the VM that a ConfigMap was made for.
const CREATED_FOR: &str = "lima.rancherdesktop.io/createdFor";

/// A ConfigMap as we wrote it. Whoever writes it after us has a say in what becomes of it.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    uid: Option<String>,
    version: Option<String>,
}

impl Source {
    fn of(object: DynamicObject) -> Source {
        let metadata = object.metadata;
        Source { name: metadata.name.unwrap_or_default(), uid: metadata.uid, version: metadata.resource_version }
    }

    /// Makes the ConfigMap for a VM that does not exist. What an interrupted create of that VM left is taken; any
    /// other ConfigMap is never changed.
    pub(super) async fn make(vms: &Vms, namespace: &str, vm: &str, text: &str) -> anyhow::Result<Source> {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": vm, "namespace": namespace, "annotations": {CREATED_FOR: vm}},
            "data": {limavm::TEMPLATE_KEY: text},
        }))?;
        let params = PostParams { dry_run: false, field_manager: Some("rdd".into()) };
        let config_maps = vms.config_maps(namespace);
        loop {
            match config_maps.create(&params, &object).await {
                Err(ClientError::Api(status)) if status.reason == "AlreadyExists" => {}
                made => return made.map(Source::of).map_err(tell),
            }
            match config_maps.get_opt(vm).await.map_err(tell)? {
                Some(there) if !is_left_over(&there, vm) => return Err(foreign(namespace, vm).into()),
                Some(there) if template(&there) == Some(text) => return Ok(Source::of(there)),
                Some(there) => {
                    let patch = json!({
                        "metadata": {"resourceVersion": there.metadata.resource_version},
                        "data": {limavm::TEMPLATE_KEY: text},
                    });
                    let written = config_maps.patch(vm, &patch_params(), &Patch::Merge(&patch)).await;
                    return written.map(Source::of).map_err(tell);
                }
                // It went in between.
                None => {}
            }
        }
    }

    /// Makes the VM the controller owner, so that both go together.
    pub(super) async fn hand_over(&self, vms: &Vms, vm: &Vm) -> anyhow::Result<()> {
        let owner = json!({
            "apiVersion": format!("{}/{}", limavm::GROUP, limavm::VERSION), "kind": limavm::KIND,
            "name": vm.name, "uid": vm.uid, "controller": true, "blockOwnerDeletion": true,
        });
        let patch = json!({"metadata": {"resourceVersion": self.version, "ownerReferences": [owner]}});
        let config_maps = vms.config_maps(&vm.namespace);
        config_maps.patch(&self.name, &patch_params(), &Patch::Merge(&patch)).await.map(drop).map_err(tell)
    }

    /// Deletes the ConfigMap, unless somebody has written it since.
    pub(super) async fn remove(&self, vms: &Vms, namespace: &str) -> anyhow::Result<()> {
        let unchanged = Preconditions { uid: self.uid.clone(), resource_version: self.version.clone() };
        let params = DeleteParams::default().preconditions(unchanged);
        match vms.config_maps(namespace).delete(&self.name, &params).await {
            Err(ClientError::Api(status)) if status.code == 404 => Ok(()),
            result => result.map(drop).map_err(tell),
        }
    }
}

/// Hands a VM the ConfigMap that was made for it, if the create that made it did not come so far.
pub(super) async fn hand_over_left_over(vms: &Vms, vm: &Vm) -> anyhow::Result<()> {
    match vms.config_maps(&vm.namespace).get_opt(&vm.name).await.map_err(tell)? {
        Some(there) if is_left_over(&there, &vm.name) => Source::of(there).hand_over(vms, vm).await,
        _ => Ok(()),
    }
}

fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some("rdd".into()), ..PatchParams::default() }
}

/// Returns whether a ConfigMap was made for this VM and never handed to it.
fn is_left_over(object: &DynamicObject, vm: &str) -> bool {
    let metadata = &object.metadata;
    let is_marked = metadata.annotations.as_ref().and_then(|all| all.get(CREATED_FOR)).is_some_and(|name| name == vm);
    is_marked && metadata.owner_references.as_ref().is_none_or(Vec::is_empty)
}

fn template(object: &DynamicObject) -> Option<&str> {
    object.data.pointer(&format!("/data/{}", limavm::TEMPLATE_KEY)).and_then(Value::as_str)
}

fn foreign(namespace: &str, name: &str) -> Advised {
    let place = if namespace == "default" { String::new() } else { format!(" -n {namespace}") };
    Advised::new(
        format!("ConfigMap {name:?} already exists in namespace {namespace:?}, will not modify existing ConfigMap"),
        format!("choose another name, or make the VM of that ConfigMap with 'rdd limavm create {name} {name}{place}'"),
    )
}
