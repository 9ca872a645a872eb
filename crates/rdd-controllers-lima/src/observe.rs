//! What is there: the LimaVM, its template, its machine. One look, without judgement.

use jiff::Timestamp;
use rdd_api::limavm::{
    CLEANUP_FINALIZER, KIND, LimaVmStatus, OWNED_BY_LIMAVM, RESTART_ANNOTATION, TEMPLATE_KEY, TEMPLATE_LABEL,
    template_configmap_name,
};
use rdd_engine::{Machine, Phase, Wanted};
use rdd_machine_dir::Standing;
use rdd_reconcile::k8s_openapi::api::core::v1::ConfigMap;
use rdd_reconcile::{Api, Client, ClientError, ObjectKey, Resource, ResourceExt, finalizers};

use crate::kinds::{LimaVm, limavms};

/// All that a plan is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// When this was seen.
    pub now: Timestamp,
    /// The LimaVM, if it exists.
    pub vm: Option<VmFacts>,
    /// The VM's own template, if it exists.
    pub copy: Option<CopyFacts>,
    /// The machine; the reason if the LimaVM's name can be no machine's.
    pub machine: Result<MachineFacts, String>,
    /// The run for which this controller told last that it is Running.
    pub told_run: Option<u64>,
    /// The name of the VM's own template ConfigMap.
    pub template_name: String,
    /// The namespace of another LimaVM that has the machine.
    pub taken_by: Option<String>,
    /// Why the machine's directory could not be written at the last pass, if it was to be written.
    pub unwritten: Option<String>,
    /// The machine's directory was not there at earlier looks either, for long enough to believe it.
    pub gone_for_good: bool,
}

/// What matters of a LimaVM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VmFacts {
    /// It is being deleted.
    pub deleting: bool,
    /// Our finalizer is there.
    pub finalizer: bool,
    /// The machine should run.
    pub running: bool,
    /// One restart was asked for.
    pub restart_requested: bool,
    /// What was told last.
    pub status: LimaVmStatus,
}

/// What matters of a VM's own template ConfigMap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CopyFacts {
    /// Its `resourceVersion`.
    pub version: String,
    /// The VM is its controller.
    pub owned: bool,
    /// It carries the label and the finalizer of a copy that we made.
    pub ours: bool,
    /// The template; empty if the key is missing.
    pub text: String,
    /// Why the engine would refuse it, if it was looked at and would.
    pub problem: Option<String>,
}

/// What matters of a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineFacts {
    /// What we asked for last.
    pub wanted: Wanted,
    /// Where it stands.
    pub phase: Phase,
    /// The engine ends.
    pub ending: bool,
    /// What is on disk, if there is anything; why it could not be looked at, which is no reason to
    /// believe that there is nothing.
    pub disk: Result<Option<DiskFacts>, String>,
}

/// What matters of a machine's directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskFacts {
    /// A hostagent or a VM lives.
    pub alive: bool,
    /// The machine is not complete, or nobody was told that it is.
    pub preparing: bool,
    /// The text of `lima.yaml`.
    pub template: Option<String>,
}

/// The objects behind a snapshot, for those who write them.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The LimaVM.
    pub vm: Option<LimaVm>,
    /// Its template.
    pub copy: Option<ConfigMap>,
}

/// Reads the LimaVM and its template from the API, never from a cache.
pub async fn read(client: &Client, key: &ObjectKey) -> Result<Objects, ClientError> {
    let configmaps: Api<ConfigMap> = Api::namespaced(client.clone(), &key.namespace);
    let copy = configmaps.get_opt(&template_configmap_name(&key.name)).await?;
    // The copy first: it is older than its LimaVM, so a LimaVM that is seen has a copy that is seen.
    let vm = limavms(client, &key.namespace).get_opt(&key.name).await?;
    Ok(Objects { vm, copy })
}

impl VmFacts {
    /// Takes what matters from the object.
    pub fn of(vm: &LimaVm) -> Self {
        Self {
            deleting: vm.metadata.deletion_timestamp.is_some(),
            finalizer: finalizers::has(vm, CLEANUP_FINALIZER),
            running: vm.spec.running,
            restart_requested: vm.annotations().contains_key(RESTART_ANNOTATION),
            status: vm.status.clone().unwrap_or_default(),
        }
    }
}

impl CopyFacts {
    /// Takes what matters from the object.
    pub fn of(copy: &ConfigMap, vm_uid: Option<&str>) -> Self {
        let owners = copy.metadata.owner_references.iter().flatten();
        let is_owner = |uid: &str| owners.clone().any(|o| o.controller == Some(true) && o.uid == uid);
        Self {
            version: copy.resource_version().unwrap_or_default(),
            owned: vm_uid.is_some_and(is_owner),
            ours: finalizers::has(copy, OWNED_BY_LIMAVM)
                && copy.labels().get(TEMPLATE_LABEL).is_some_and(|v| v == "true")
                && owners.clone().all(|o| o.kind == KIND),
            text: copy.data.as_ref().and_then(|d| d.get(TEMPLATE_KEY)).cloned().unwrap_or_default(),
            problem: None,
        }
    }
}

impl MachineFacts {
    /// Looks at the machine.
    pub fn of(machine: &Machine) -> Self {
        let disk = match machine.inspect() {
            Ok(found) => Ok(found.map(|i| DiskFacts {
                alive: i.standing != Standing::Stopped,
                preparing: i.preparing,
                template: i.template,
            })),
            Err(error) => Err(format!("cannot look at {:?}: {error}", machine.dir().path())),
        };
        Self { wanted: machine.wanted(), phase: machine.seen().phase, ending: machine.is_ending(), disk }
    }
}

impl MachineFacts {
    /// Returns what is on disk, as far as it could be looked at. Not for conclusions from absence.
    pub fn on_disk(&self) -> Option<&DiskFacts> {
        self.disk.as_ref().ok().and_then(Option::as_ref)
    }

    /// Returns whether there is certainly nothing.
    pub fn is_absent(&self) -> bool {
        self.disk == Ok(None)
    }
}

/// Returns the object's uid.
pub fn uid<K: Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}
