//! Templates: refused at the door if no machine could be made of them.

use async_trait::async_trait;
use rdd_admission::{Admit, Attributes, Operation, Plugin};
use rdd_api::limavm::{TEMPLATE_KEY, TEMPLATE_LABEL};
use rdd_api::{Status, object};
use rdd_engine::Templates;
use rdd_machine::MachineName;
use rdd_reconcile::owned;
use serde_json::Value;

use super::denied;

const WEBHOOK: &str = "limavm-configmap-validator.lima.rancherdesktop.io";

/// Guards ConfigMaps with the template label: their content, and their bond to their LimaVM.
#[derive(Debug)]
pub struct TemplateAdmission {
    templates: Templates,
}

impl TemplateAdmission {
    /// Makes the plugin.
    pub fn new(templates: Templates) -> Self {
        Self { templates }
    }

    fn check_content(&self, new: &Value, old: Option<&Value>, context: &Admit) -> Result<(), String> {
        let Some(text) = template(new) else {
            return Err(format!("template ConfigMap must have a {TEMPLATE_KEY:?} data entry"));
        };
        if text.trim().is_empty() {
            return Err(format!("{TEMPLATE_KEY:?} data cannot be empty"));
        }
        let name = machine_name(object::name(new));
        let (config, warnings) = self.templates.resolve(&name, text).map_err(|e| e.to_string())?;
        for warning in warnings {
            context.warn(warning);
        }
        // What the machine has cannot be taken back: its hypervisor and the size of its disk.
        let Some(Ok((present, _))) = old.and_then(template).map(|text| self.templates.resolve(&name, text)) else {
            return Ok(());
        };
        if present.vm_type != config.vm_type {
            let (from, to) = (present.vm_type, config.vm_type);
            return Err(format!(
                "failed to validate template: field `vmType` cannot change from {from:?} to {to:?}: delete the LimaVM and create it anew"
            ));
        }
        if config.disk < present.disk {
            let (from, to) = (present.disk, config.disk);
            return Err(format!(
                "failed to validate template: field `disk` cannot shrink from {from} to {to} bytes: the disk holds data"
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl Plugin for TemplateAdmission {
    fn name(&self) -> &str {
        "limavm-configmap-validator"
    }

    fn handles(&self, request: &Attributes) -> bool {
        let labelled = |object: &Value| object::label(object, TEMPLATE_LABEL) == Some("true");
        request.is_for("", "configmaps")
            && (request.object.as_ref().is_some_and(labelled) || request.old_object.as_deref().is_some_and(labelled))
    }

    async fn validate(&self, request: &Attributes, context: &Admit) -> Result<(), Status> {
        let deny = |reason: String| denied(WEBHOOK, reason);
        let old = request.old_object.as_deref();
        let owned = |o: &Value| owned::owner_kind(object::finalizers(o)).is_some();
        match (request.operation, &request.object) {
            (Operation::Create, Some(new)) => self.check_content(new, None, context).map_err(deny),
            (Operation::Update, Some(new)) => {
                if object::label(new, TEMPLATE_LABEL) != Some("true") {
                    return match old.is_some_and(owned) {
                        true => Err(deny(format!("cannot remove {TEMPLATE_LABEL} label: resource is owned"))),
                        false => Ok(()),
                    };
                }
                // An unchanged text is not looked at again: metadata must stay writable, above all
                // for deletion, when this host can no longer run what it could.
                let is_labelled_anew = old.is_none_or(|o| object::label(o, TEMPLATE_LABEL) != Some("true"));
                if !is_labelled_anew && old.and_then(template) == template(new) {
                    return Ok(());
                }
                self.check_content(new, old, context).map_err(deny)
            }
            (Operation::Delete, _) => {
                let refusal = old.and_then(|o| owned::refuse_deletion(&request.name, object::finalizers(o)));
                match refusal {
                    Some(text) => Err(deny(text)),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

fn template(configmap: &Value) -> Option<&str> {
    configmap.get("data")?.get(TEMPLATE_KEY)?.as_str()
}

/// Returns the machine that the template is for, as far as the ConfigMap's name tells; paths in the
/// template are checked with its directory.
fn machine_name(configmap: &str) -> MachineName {
    let name = configmap.strip_suffix("-template").unwrap_or(configmap);
    MachineName::new(name).unwrap_or_else(|_| MachineName::new("vm").expect("a name"))
}
