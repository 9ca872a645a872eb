//! LimaVM: one declared virtual machine (VM engine specification §1.2).

use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// The API group.
pub const GROUP: &str = "lima.rancherdesktop.io";
/// The API version.
pub const VERSION: &str = "v1alpha1";
/// The kind.
pub const KIND: &str = "LimaVM";
/// The plural, as in URLs.
pub const PLURAL: &str = "limavms";

/// The key of a template ConfigMap that holds the lima.yaml text.
pub const TEMPLATE_KEY: &str = "template";
/// Asks for one restart; the value is free, the CLI writes the time.
pub const RESTART_ANNOTATION: &str = "lima.rancherdesktop.io/restartRequested";
/// Marks ConfigMaps that hold a VM's own copy of its template; its value is `true`.
pub const TEMPLATE_LABEL: &str = "lima.rancherdesktop.io/template-configmap";
/// Finalizer on a LimaVM, removed after its machine is gone.
pub const CLEANUP_FINALIZER: &str = "rdd.rancherdesktop.io/cleanup";
/// The prefix of finalizers that guard owned objects; the owner's kind follows.
pub const OWNED_BY_PREFIX: &str = "rdd.rancherdesktop.io/owned-by-";
/// Finalizer on a VM's own template ConfigMap.
pub const OWNED_BY_LIMAVM: &str = "rdd.rancherdesktop.io/owned-by-LimaVM";

/// The CustomResourceDefinition, as YAML.
pub const CRD: &str = include_str!("limavm.crd.yaml");

/// Returns the name of the ConfigMap that holds the VM's own copy of its template.
pub fn template_configmap_name(vm: &str) -> String {
    format!("{vm}-template")
}

/// Condition types and reasons. A reason that ends in `Failed` is forwarded, with its message, by
/// controllers that own a LimaVM, so new reasons keep that suffix.
pub mod condition {
    /// Condition type: the machine's directory and disk exist.
    pub const CREATED: &str = "Created";
    /// Condition type: the guest is up and ready.
    pub const RUNNING: &str = "Running";

    /// `Created` is Unknown: nothing was done yet.
    pub const PENDING: &str = "Pending";
    /// `Created` is False: see the message.
    pub const CREATE_FAILED: &str = "CreateFailed";
    /// `Running` is Unknown: the service looks at what is there.
    pub const RECONCILING: &str = "Reconciling";
    /// `Running` is False: the guest boots.
    pub const STARTING: &str = "Starting";
    /// `Running` is True.
    pub const STARTED: &str = "Started";
    /// `Running` is False: off.
    pub const STOPPED: &str = "Stopped";
    /// `Running` is False: the start failed, see the message.
    pub const START_FAILED: &str = "StartFailed";
    /// `Running` is False: the stop failed, see the message.
    pub const STOP_FAILED: &str = "StopFailed";
}

/// Where a VM's template comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRef {
    /// The ConfigMap's name; its key `template` holds the text.
    pub name: String,
    /// The ConfigMap's namespace; the LimaVM's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What a person wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimaVmSpec {
    /// The template; immutable.
    pub template_ref: TemplateRef,
    /// Whether the VM should be on.
    #[serde(default)]
    pub running: bool,
}

/// What the controller tells. Written by the limavm controller only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimaVmStatus {
    /// `Created` and `Running`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The VM's own template ConfigMap; empty until it is owned by the VM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template_config_map: String,
    /// The `resourceVersion` of the template that the machine last *started* with, or that a
    /// stopped machine will start with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub observed_template_resource_version: String,
    /// A changed template waits for a restart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restart_needed: bool,
    /// How often `Running` became True; the first boot counts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restart_count: i32,
}

fn is_zero(n: &i32) -> bool {
    *n == 0
}
