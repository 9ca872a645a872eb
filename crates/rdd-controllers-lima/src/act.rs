//! Doing what was planned. No choices are left here; each step may be repeated.

use rdd_api::limavm::{CLEANUP_FINALIZER, OWNED_BY_LIMAVM, RESTART_ANNOTATION};
use rdd_engine::{Machine, WriteTemplateError};
use rdd_reconcile::k8s_openapi::api::core::v1::ConfigMap;
use rdd_reconcile::kube::api::{DeleteParams, Preconditions};
use rdd_reconcile::owned::{self, OwnedError};
use rdd_reconcile::{
    Api, Client, ClientError, ObjectKey, Patch, PatchParams, PostParams, Recorder, Resource, ResourceExt, finalizers,
};
use serde_json::json;

use crate::kinds::{LimaVm, limavm_resource, limavms};
use crate::names::NameLocks;
use crate::observe::{Objects, uid};
use crate::plan::Step;
use crate::report;

/// Why a step could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The API refused.
    #[error("{what}")]
    Api {
        /// The step.
        what: &'static str,
        /// The cause.
        #[source]
        source: ClientError,
    },
    /// What the LimaVM owns could not be deleted.
    #[error(transparent)]
    Owned(#[from] OwnedError),
    /// The machine's directory could not be written.
    #[error(transparent)]
    Template(#[from] WriteTemplateError),
    /// The machine's directory could not be written.
    #[error("finish the creation of the machine")]
    Finish(#[source] std::io::Error),
}

impl ActError {
    /// Returns whether somebody else wrote first, which happens and passes.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source: ClientError::Api(status), .. } if status.is_conflict() || status.is_not_found())
    }
}

/// Whom the steps need.
pub struct Hands<'a> {
    /// The API.
    pub client: &'a Client,
    /// Events.
    pub recorder: &'a Recorder,
    /// Names that are being created.
    pub locks: &'a NameLocks,
    /// The LimaVM's key.
    pub key: &'a ObjectKey,
    /// The machine, if the key's name can be a machine's.
    pub machine: Option<&'a Machine>,
    /// What was read.
    pub objects: &'a Objects,
}

impl std::fmt::Debug for Hands<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hands").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Hands<'_> {
    /// Does one step.
    pub async fn take(&self, step: &Step) -> Result<(), ActError> {
        let failed = |what| move |source| ActError::Api { what, source };
        match (step, &self.objects.vm) {
            (Step::Want(wanted), _) => {
                if let Some(machine) = self.machine {
                    machine.want(wanted.clone());
                }
                Ok(())
            }
            (Step::TryAgain, _) => {
                if let Some(machine) = self.machine {
                    machine.encourage();
                }
                Ok(())
            }
            (Step::WriteTemplate(text), _) => {
                self.machine.map_or(Ok(()), |m| m.write_template(text)).map_err(ActError::Template)
            }
            (Step::FinishCreation, _) => {
                self.machine.map_or(Ok(()), Machine::finish_creation).map_err(ActError::Finish)
            }
            (Step::RemoveOrphan, _) => self.remove_orphan().await.map_err(failed("remove an orphaned template")),
            (Step::LookAgain(_) | Step::GiveUp, _) => Ok(()),
            // The other steps are about a LimaVM that is there.
            (_, None) => Ok(()),
            (Step::Report(report), Some(vm)) => {
                report::write(self.client, self.recorder, vm, report).await.map_err(failed("write the status"))
            }
            (Step::Warn { reason, note }, Some(vm)) => {
                report::warn(self.recorder, vm, reason, note).await;
                Ok(())
            }
            (Step::AddFinalizer, Some(vm)) => {
                finalizers::add(&self.limavms(), vm, CLEANUP_FINALIZER).await.map_err(failed("add the finalizer"))
            }
            (Step::OwnTemplate, Some(vm)) => self.own_template(vm).await.map_err(failed("own the template")),
            (Step::RemoveRestartRequest, Some(vm)) => {
                let annotations = json!({ RESTART_ANNOTATION: null });
                let patch = json!({"metadata": {"resourceVersion": vm.resource_version(), "annotations": annotations}});
                let patched =
                    self.limavms().patch(&self.key.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
                patched.map(drop).map_err(failed("remove the restart annotation"))
            }
            (Step::LetGo, Some(vm)) => {
                owned::delete_owned(self.client, &self.key.namespace, uid(vm)).await?;
                // A copy that was never owned, because the LimaVM went before that.
                if self.objects.copy.as_ref().is_some_and(|c| c.owner_references().is_empty()) {
                    self.remove_copy().await.map_err(failed("remove the template"))?;
                }
                finalizers::remove(&self.limavms(), vm, CLEANUP_FINALIZER).await.map_err(failed("remove the finalizer"))
            }
        }
    }

    fn limavms(&self) -> Api<LimaVm> {
        limavms(self.client, &self.key.namespace)
    }

    fn configmaps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.key.namespace)
    }

    async fn own_template(&self, vm: &LimaVm) -> Result<(), ClientError> {
        let (Some(copy), Some(owner)) = (&self.objects.copy, vm.controller_owner_ref(&limavm_resource())) else {
            return Ok(());
        };
        let mut owned = copy.clone();
        let owners = owned.metadata.owner_references.get_or_insert_default();
        // A LimaVM of the same name that is gone is no owner any more.
        owners.retain(|o| o.kind != owner.kind || o.uid == owner.uid);
        owners.retain(|o| o.uid != owner.uid);
        owners.push(owner);
        self.configmaps().replace(&copy.name_any(), &PostParams::default(), &owned).await.map(drop)
    }

    /// Removes the copy of a LimaVM that does not exist. A create that is under way holds the name,
    /// so what does not exist under the lock was not stored and will not be.
    async fn remove_orphan(&self) -> Result<(), ClientError> {
        let _held = self.locks.lock(&self.key.name).await;
        if self.limavms().get_opt(&self.key.name).await?.is_some() {
            return Ok(());
        }
        tracing::info!(limavm = %self.key, "removing a template copy whose LimaVM does not exist");
        self.remove_copy().await
    }

    async fn remove_copy(&self) -> Result<(), ClientError> {
        let api = self.configmaps();
        let Some(read) = &self.objects.copy else { return Ok(()) };
        let Some(copy) = api.get_opt(&read.name_any()).await? else { return Ok(()) };
        if uid(&copy) != uid(read) {
            return Ok(());
        }
        finalizers::remove(&api, &copy, OWNED_BY_LIMAVM).await?;
        let same = Preconditions { uid: copy.uid(), resource_version: None };
        let delete = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        match api.delete(&copy.name_any(), &delete).await {
            Err(ClientError::Api(status)) if status.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }
}
