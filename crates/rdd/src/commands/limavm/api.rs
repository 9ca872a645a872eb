//! LimaVMs and their template ConfigMaps, through the API that everybody uses.

use anyhow::{Context as _, anyhow};
use futures::{StreamExt as _, TryStreamExt as _};
use rdd_api::limavm::{self, LimaVmStatus};
use rdd_reconcile::kube::api::{DeleteParams, DynamicObject, WatchEvent, WatchParams};
use rdd_reconcile::kube::config::{KubeConfigOptions, Kubeconfig};
use rdd_reconcile::kube::{self, Config};
use rdd_reconcile::{
    Api, ApiResource, Client, ClientError, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use serde_json::{Value, json};

use crate::context::Context;

/// A LimaVM as it was seen last.
#[derive(Clone, Debug)]
pub(super) struct Vm {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) status: LimaVmStatus,
}

impl Vm {
    fn read(object: DynamicObject) -> anyhow::Result<Vm> {
        let status = object.data.get("status").cloned().unwrap_or_else(|| json!({}));
        let metadata = &object.metadata;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Ok(Vm {
            name: text(&metadata.name),
            namespace: text(&metadata.namespace),
            uid: text(&metadata.uid),
            resource_version: text(&metadata.resource_version),
            status: serde_json::from_value(status).context("the LimaVM has a status that is not understood")?,
        })
    }
}

/// What a watch saw: the VM's next state, or its end.
pub(super) type Seen = Option<Vm>;

/// The API.
pub(super) struct Vms {
    client: Client,
}

impl Vms {
    /// Connects to the instance's service, which is started if it does not run.
    pub(super) async fn connect(context: &Context) -> anyhow::Result<Vms> {
        let instance = context.instance()?;
        let connection = context.connect(&instance).await?;
        let kubeconfig = Kubeconfig::read_from(&connection.kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        // The service is on this machine: what it cannot do now, such as writing to a full disk, is
        // told at once instead of being tried again for minutes.
        config.default_retry = false;
        Ok(Vms { client: Client::try_from(config)? })
    }

    /// Finds a VM by its name, which is unique in all namespaces.
    pub(super) async fn find(&self, name: &str) -> anyhow::Result<Vm> {
        self.look_up(name).await?.ok_or_else(|| anyhow!("LimaVM {name:?} not found in any namespace"))
    }

    /// As [`Vms::find`], where it is no failure that there is none.
    pub(super) async fn look_up(&self, name: &str) -> anyhow::Result<Option<Vm>> {
        let by_name = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = self.everywhere().list(&by_name).await.map_err(tell)?.items.into_iter().next();
        found.map(Vm::read).transpose()
    }

    /// Creates a VM.
    pub(super) async fn create(&self, vm: &Value, namespace: &str, dry_run: bool) -> anyhow::Result<Vm> {
        let object: DynamicObject = serde_json::from_value(vm.clone())?;
        let params = PostParams { dry_run, field_manager: Some("rdd".into()) };
        Vm::read(self.namespaced(namespace).create(&params, &object).await.map_err(tell)?)
    }

    /// Merges a patch into a VM.
    pub(super) async fn patch(&self, vm: &Vm, patch: &Value) -> anyhow::Result<Vm> {
        let vms = self.namespaced(&vm.namespace);
        let params = PatchParams { field_manager: Some("rdd".into()), ..PatchParams::default() };
        Vm::read(vms.patch(&vm.name, &params, &Patch::Merge(patch)).await.map_err(tell)?)
    }

    /// Asks for a VM's deletion.
    pub(super) async fn delete(&self, vm: &Vm) -> anyhow::Result<()> {
        let params = DeleteParams::default()
            .preconditions(kube::api::Preconditions { uid: Some(vm.uid.clone()), resource_version: None });
        match self.namespaced(&vm.namespace).delete(&vm.name, &params).await {
            Err(ClientError::Api(status)) if status.code == 404 => Ok(()),
            result => result.map(drop).map_err(tell),
        }
    }

    /// Follows a VM from the state given until `decide` returns an outcome. The state given is looked
    /// at first.
    pub(super) async fn follow<T>(
        &self,
        vm: &Vm,
        mut decide: impl FnMut(&Seen) -> Option<anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let vms = self.namespaced(&vm.namespace);
        let params = WatchParams::default().fields(&format!("metadata.name={}", vm.name));
        let mut seen = Some(vm.clone());
        let mut from = vm.resource_version.clone();
        loop {
            if let Some(outcome) = decide(&seen) {
                return outcome;
            }
            let mut events = vms.watch(&params, &from).await.map_err(tell)?.boxed();
            while let Some(event) = events.try_next().await.map_err(tell)? {
                match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => seen = Some(Vm::read(object)?),
                    WatchEvent::Deleted(_) => seen = None,
                    WatchEvent::Bookmark(mark) => {
                        from = mark.metadata.resource_version;
                        continue;
                    }
                    // Too old to go on from: what is there now is looked at anew below.
                    WatchEvent::Error(_) => break,
                }
                if let Some(vm) = &seen {
                    from.clone_from(&vm.resource_version);
                }
                if let Some(outcome) = decide(&seen) {
                    return outcome;
                }
            }
            // The watch ended, as watches do after a while.
            seen = match vms.get_opt(&vm.name).await.map_err(tell)? {
                Some(object) => Some(Vm::read(object)?),
                None => None,
            };
            if let Some(vm) = &seen {
                from.clone_from(&vm.resource_version);
            }
        }
    }

    /// Returns a ConfigMap's template, with the version that an update must name.
    pub(super) async fn template(&self, namespace: &str, name: &str) -> anyhow::Result<(String, String)> {
        let object = self.config_maps(namespace).get(name).await.map_err(tell)?;
        let text = object.data.pointer(&format!("/data/{}", limavm::TEMPLATE_KEY)).and_then(Value::as_str);
        let text = text.with_context(|| format!("ConfigMap {name:?} has no {:?} entry", limavm::TEMPLATE_KEY))?;
        Ok((text.to_owned(), object.metadata.resource_version.unwrap_or_default()))
    }

    /// Replaces a ConfigMap's template, unless somebody else changed the ConfigMap since `version`.
    pub(super) async fn set_template(
        &self,
        namespace: &str,
        name: &str,
        text: &str,
        version: &str,
    ) -> anyhow::Result<()> {
        let patch = json!({"metadata": {"resourceVersion": version}, "data": {limavm::TEMPLATE_KEY: text}});
        let params = PatchParams { field_manager: Some("rdd".into()), ..PatchParams::default() };
        self.config_maps(namespace).patch(name, &params, &Patch::Merge(&patch)).await.map(drop).map_err(tell)
    }

    /// Returns the namespace's ConfigMaps.
    pub(super) fn config_maps(&self, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    fn everywhere(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &limavm_resource())
    }

    fn namespaced(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &limavm_resource())
    }
}

fn limavm_resource() -> ApiResource {
    let gvk = GroupVersionKind::gvk(limavm::GROUP, limavm::VERSION, limavm::KIND);
    ApiResource::from_gvk_with_plural(&gvk, limavm::PLURAL)
}

/// A refusal: what the server said, without the client's wrapping.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) code: u16,
    message: String,
}

/// Returns what the server said, without the client's wrapping.
pub(super) fn tell(error: ClientError) -> anyhow::Error {
    match error {
        ClientError::Api(status) => Refusal { code: status.code, message: status.message.clone() }.into(),
        error => error.into(),
    }
}
