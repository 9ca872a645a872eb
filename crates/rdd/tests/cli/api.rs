//! The API as other programs see it, without a command line in between.

use rdd_reconcile::kube::Config;
use rdd_reconcile::kube::api::{DeleteParams, DynamicObject};
use rdd_reconcile::kube::config::{KubeConfigOptions, Kubeconfig};
use rdd_reconcile::{
    Api, ApiResource, Client, ClientError, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::sealed::Sealed;

/// A condition: status, reason and message.
pub(crate) type Told = (String, String, String);

/// A client of a service that runs.
pub(crate) struct Cluster {
    runtime: Runtime,
    client: Client,
}

impl Cluster {
    pub(crate) fn of(sealed: &Sealed) -> Cluster {
        let runtime = Runtime::new().expect("a runtime");
        let kubeconfig = Kubeconfig::read_from(&sealed.instance().paths().config).expect("the service runs");
        let client = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
            let mut config = config.expect("a good kubeconfig");
            config.default_retry = false;
            Client::try_from(config).expect("a good kubeconfig")
        });
        Cluster { runtime, client }
    }

    fn limavms(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("lima.rancherdesktop.io", "v1alpha1", "LimaVM");
        Api::namespaced_with(self.client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, "limavms"))
    }

    fn configmaps(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("", "v1", "ConfigMap");
        Api::namespaced_with(self.client.clone(), namespace, &ApiResource::from_gvk(&kind))
    }

    fn create(&self, api: &Api<DynamicObject>, object: Value) -> Result<(), (u16, String)> {
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        match self.runtime.block_on(api.create(&PostParams::default(), &object)) {
            Ok(_) => Ok(()),
            Err(ClientError::Api(status)) => Err((status.code, status.message.clone())),
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Creates a namespace.
    pub(crate) fn create_namespace(&self, name: &str) {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
        let api = Api::all_with(self.client.clone(), &kind);
        self.create(&api, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
            .expect("created");
    }

    /// Creates a ConfigMap with a template, or returns the code and the message of the refusal.
    pub(crate) fn create_template(&self, namespace: &str, name: &str, text: &str) -> Result<(), (u16, String)> {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"template": text}});
        self.create(&self.configmaps(namespace), object)
    }

    /// Creates a LimaVM that shall run, or returns the code and the message of the refusal.
    pub(crate) fn create_limavm(&self, namespace: &str, name: &str, template: &str) -> Result<(), (u16, String)> {
        let object = json!({"apiVersion": "lima.rancherdesktop.io/v1alpha1", "kind": "LimaVM",
            "metadata": {"name": name}, "spec": {"templateRef": {"name": template}, "running": true}});
        self.create(&self.limavms(namespace), object)
    }

    /// Deletes a ConfigMap of the namespace `default`.
    pub(crate) fn delete_template(&self, name: &str) {
        let api = self.configmaps("default");
        self.runtime.block_on(api.delete(name, &DeleteParams::default())).expect("deleted");
    }

    /// Takes a ConfigMap of the namespace `default` from its owner.
    pub(crate) fn disown_template(&self, name: &str) {
        let patch = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
        let api = self.configmaps("default");
        self.runtime.block_on(api.patch(name, &PatchParams::default(), &patch)).expect("patched");
    }

    /// Deletes a LimaVM of the namespace `default`, as kubectl does.
    pub(crate) fn delete_limavm(&self, name: &str) {
        self.runtime.block_on(self.limavms("default").delete(name, &DeleteParams::default())).expect("deleted");
    }

    /// Replaces the template of a VM.
    pub(crate) fn set_template(&self, namespace: &str, vm: &str, text: &str) {
        let patch = Patch::Merge(json!({"data": {"template": text}}));
        let name = format!("{vm}-template");
        let api = self.configmaps(namespace);
        self.runtime.block_on(api.patch(&name, &PatchParams::default(), &patch)).expect("patched");
    }

    /// Returns a LimaVM of the namespace `default`.
    pub(crate) fn limavm(&self, name: &str) -> Option<Value> {
        let found = self.runtime.block_on(self.limavms("default").get_opt(name)).expect("an answer");
        found.map(|object| serde_json::to_value(object).expect("JSON"))
    }

    /// Returns a field of a LimaVM; null if either is not there.
    pub(crate) fn field(&self, vm: &str, pointer: &str) -> Value {
        self.limavm(vm).and_then(|object| object.pointer(pointer).cloned()).unwrap_or_default()
    }

    /// Returns a condition of a LimaVM.
    pub(crate) fn condition(&self, vm: &str, kind: &str) -> Option<Told> {
        let conditions = self.field(vm, "/status/conditions");
        let found = conditions.as_array()?.iter().find(|condition| condition["type"] == kind)?;
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("reason"), text("message")))
    }

    /// Returns the text of a ConfigMap's template.
    pub(crate) fn template(&self, name: &str) -> Option<String> {
        let found = self.runtime.block_on(self.configmaps("default").get_opt(name)).expect("an answer");
        found?.data.pointer("/data/template").and_then(Value::as_str).map(str::to_owned)
    }

    /// Returns the names of all LimaVMs and ConfigMaps, as `NAMESPACE/NAME`. What every namespace has, sooner or later, is
    /// left out.
    pub(crate) fn everything(&self) -> Vec<String> {
        let limavm = GroupVersionKind::gvk("lima.rancherdesktop.io", "v1alpha1", "LimaVM");
        let configmap = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
        let mut names = Vec::new();
        for kind in [ApiResource::from_gvk_with_plural(&limavm, "limavms"), configmap] {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind);
            for object in self.runtime.block_on(api.list(&ListParams::default())).expect("listed") {
                let metadata = object.metadata;
                let (namespace, name) = (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default());
                if name != "kube-root-ca.crt" {
                    names.push(format!("{} {namespace}/{name}", kind.kind));
                }
            }
        }
        names
    }
}
