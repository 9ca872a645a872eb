//! LimaVMs: unique names, a finalizer, and a template of their own.

use std::sync::Arc;

use async_trait::async_trait;
use rdd_admission::{Admit, Attributes, Operation, Plugin, Reader, UserInfo, Writer};
use rdd_api::limavm::{
    CLEANUP_FINALIZER, GROUP, OWNED_BY_LIMAVM, PLURAL, TEMPLATE_KEY, TEMPLATE_LABEL, template_configmap_name,
};
use rdd_api::{Reason, Status, object};
use rdd_machine::MachineName;
use rdd_machine_dir::MachineDir;
use rdd_reconcile::owned;
use serde_json::{Value, json};

use super::denied;
use crate::kinds::{configmap_gvr, limavm_gvr};
use crate::names::NameLocks;

const DEFAULTER: &str = "limavm-defaulter.lima.rancherdesktop.io";
const VALIDATOR: &str = "limavm-validator.lima.rancherdesktop.io";

/// Prepares LimaVMs that are created, and guards those that belong to another object.
#[derive(Debug)]
pub struct LimaVmAdmission {
    lima_home: std::path::PathBuf,
    locks: NameLocks,
}

impl LimaVmAdmission {
    /// Makes the plugin. The controller shares the locks.
    pub fn new(lima_home: std::path::PathBuf, locks: NameLocks) -> Self {
        Self { lima_home, locks }
    }

    /// Checks that a machine can have this name here.
    fn check_name(&self, name: &str) -> Result<(), String> {
        if name.is_empty() {
            return Err("a LimaVM needs metadata.name; generateName is not supported".to_owned());
        }
        let name = MachineName::new(name).map_err(|e| e.to_string())?;
        MachineDir::new(&self.lima_home, &name).check_length().map_err(|e| e.to_string())
    }

    async fn prepare(&self, request: &mut Attributes, context: &Admit) -> Result<(), Status> {
        let deny = |reason: String| denied(DEFAULTER, reason);
        let Some(vm) = &mut request.object else { return Ok(()) };
        add_finalizer(vm);
        let name = request.name.clone();
        self.check_name(&name).map_err(deny)?;
        let namespace = request.namespace.clone().unwrap_or_default();
        let Some(template_ref) = vm.pointer("/spec/templateRef/name").and_then(Value::as_str) else {
            // The schema says what is missing.
            return Ok(());
        };
        let source_namespace =
            vm.pointer("/spec/templateRef/namespace").and_then(Value::as_str).filter(|n| !n.is_empty());
        let source = (source_namespace.unwrap_or(&namespace).to_owned(), template_ref.to_owned());

        // Held until the LimaVM is stored: another create of this name sees it or has seen nothing.
        let guard = self.locks.lock(&name).await;
        request.hold(guard);
        refuse_taken_name(&*context.reader, &name, &namespace).await?;

        let text = fetch(&*context.reader, &source.0, &source.1).await.map_err(deny)?;
        let copies = Copies { writer: Arc::clone(&context.writer), namespace, name: template_configmap_name(&name) };
        if !request.dry_run {
            copies.remove_orphan(&*context.reader).await.map_err(deny)?;
        }
        let (copy, warnings) = copies.create(&text, request.dry_run).await.map_err(|status| {
            let text = format!("failed to create template ConfigMap: {}", status.message);
            // A server that cannot write is no mistake of the caller's.
            if status.code >= 500 { Status { message: text, ..status } } else { deny(text) }
        })?;
        for warning in warnings {
            context.warn(warning);
        }
        if !request.dry_run {
            request.if_refused(async move {
                if let Err(error) = copies.remove(&copy).await {
                    tracing::warn!(name = copies.name, %error, "template copy stays until the controller finds it");
                }
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Plugin for LimaVmAdmission {
    fn name(&self) -> &str {
        "limavm-defaulter"
    }

    fn handles(&self, request: &Attributes) -> bool {
        request.is_for(GROUP, PLURAL) && matches!(request.operation, Operation::Create | Operation::Delete)
    }

    async fn admit(&self, request: &mut Attributes, context: &Admit) -> Result<(), Status> {
        match request.operation {
            Operation::Create => self.prepare(request, context).await,
            _ => Ok(()),
        }
    }

    async fn validate(&self, request: &Attributes, _context: &Admit) -> Result<(), Status> {
        if request.operation != Operation::Delete {
            return Ok(());
        }
        let finalizers = request.old_object.as_deref().into_iter().flat_map(object::finalizers);
        match owned::refuse_deletion(&request.name, finalizers) {
            Some(text) => Err(denied(VALIDATOR, text)),
            None => Ok(()),
        }
    }
}

fn add_finalizer(vm: &mut Value) {
    if object::finalizers(vm).any(|f| f == CLEANUP_FINALIZER) {
        return;
    }
    let list = object::metadata_mut(vm).entry("finalizers").or_insert_with(|| json!([]));
    match list.as_array_mut() {
        Some(list) => list.push(json!(CLEANUP_FINALIZER)),
        None => *list = json!([CLEANUP_FINALIZER]),
    }
}

async fn refuse_taken_name(reader: &dyn Reader, name: &str, namespace: &str) -> Result<(), Status> {
    let resource = limavm_gvr();
    for other in reader.list(&resource, None).await? {
        if object::name(&other) != name {
            continue;
        }
        let taken_in = object::namespace(&other);
        if taken_in == namespace {
            return Err(Status::already_exists(&resource.group_resource(), name));
        }
        let text = format!(
            "LimaVM name {name:?} is already used in namespace {taken_in:?}; LimaVM names must be unique across all namespaces"
        );
        return Err(denied(DEFAULTER, text));
    }
    Ok(())
}

async fn fetch(reader: &dyn Reader, namespace: &str, name: &str) -> Result<String, String> {
    let failed = |cause: String| {
        format!(
            "failed to fetch template data: failed to get templateRef ConfigMap {name:?} in namespace {namespace:?}: {cause}"
        )
    };
    match reader.get(&configmap_gvr(), Some(namespace), name).await {
        Ok(Some(map)) => {
            let text = map.get("data").and_then(|d| d.get(TEMPLATE_KEY)).and_then(Value::as_str);
            Ok(text.unwrap_or_default().to_owned())
        }
        Ok(None) => Err(failed(format!("configmaps {name:?} not found"))),
        Err(status) => Err(failed(status.message)),
    }
}

/// The copy of a template that belongs to one LimaVM.
struct Copies {
    writer: Arc<dyn Writer>,
    namespace: String,
    name: String,
}

impl Copies {
    fn user() -> UserInfo {
        UserInfo::system_masters("system:rdd:limavm-defaulter")
    }

    async fn create(&self, text: &str, dry_run: bool) -> Result<(Arc<Value>, Vec<String>), Status> {
        let copy = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": {TEMPLATE_LABEL: "true"},
                "finalizers": [OWNED_BY_LIMAVM],
            },
            "data": {TEMPLATE_KEY: text},
        });
        self.writer.create(&Self::user(), &configmap_gvr(), Some(&self.namespace), copy, dry_run).await
    }

    /// Removes a copy: first the finalizer that guards it, then the copy.
    async fn remove(&self, copy: &Value) -> Result<(), Status> {
        let mut free = copy.clone();
        let kept: Vec<_> = object::finalizers(copy).filter(|f| *f != OWNED_BY_LIMAVM).map(str::to_owned).collect();
        object::metadata_mut(&mut free).insert("finalizers".to_owned(), json!(kept));
        let (user, resource, namespace) = (Self::user(), configmap_gvr(), Some(self.namespace.as_str()));
        let freed = self.writer.update(&user, &resource, namespace, free, false).await?;
        self.writer.delete(&user, &resource, namespace, &self.name, object::uid(&freed), false).await
    }

    /// Removes a copy whose LimaVM was never stored, because the server ended in between. There is
    /// no LimaVM of that name, and the name is locked.
    async fn remove_orphan(&self, reader: &dyn Reader) -> Result<(), String> {
        let failed = |e: Status| format!("failed to remove an orphaned template ConfigMap: {}", e.message);
        let found = reader.get(&configmap_gvr(), Some(&self.namespace), &self.name).await.map_err(failed)?;
        let Some(copy) = found else { return Ok(()) };
        let is_ours = object::label(&copy, TEMPLATE_LABEL) == Some("true")
            && object::finalizers(&copy).any(|f| f == OWNED_BY_LIMAVM);
        if !is_ours {
            // Somebody's own ConfigMap: the create below says that it exists.
            return Ok(());
        }
        match self.remove(&copy).await {
            Err(status) if status.is(&Reason::NOT_FOUND) => Ok(()),
            other => other.map_err(failed),
        }
    }
}
