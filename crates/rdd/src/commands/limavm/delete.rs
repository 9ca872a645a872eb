//! `rdd limavm delete`.

use clap::Args;

use super::api::Vms;
use super::flags::WaitFlags;
use super::{source, wait};
use crate::context::Context;

/// Arguments of `limavm delete`.
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The VM
    name: String,
    #[command(flatten)]
    wait: WaitFlags,
}

/// Deletes the VM, its disk and its template's copy.
pub(super) async fn run(args: &DeleteArgs, context: &Context) -> anyhow::Result<()> {
    let deadline = args.wait.deadline();
    let vms = Vms::connect(context).await?;
    let vm = vms.find(&args.name).await?;
    if let Err(error) = source::hand_over_left_over(&vms, &vm).await {
        // No reason to keep the VM. A create of that name takes what stays.
        tracing::warn!("cannot take along ConfigMap {:?}: {error:#}", vm.name);
    }
    vms.delete(&vm).await?;
    if args.wait.wait {
        wait::gone(&vms, &vm, deadline).await?;
    }
    tracing::info!("LimaVM {:?} deleted from namespace {:?}", vm.name, vm.namespace);
    Ok(())
}
