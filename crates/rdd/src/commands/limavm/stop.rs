//! `rdd limavm stop`.

use clap::Args;
use serde_json::json;

use super::api::Vms;
use super::flags::WaitFlags;
use super::wait;
use crate::context::Context;

/// Arguments of `limavm stop`.
#[derive(Args, Debug)]
pub(crate) struct StopArgs {
    /// The VM
    name: String,
    #[command(flatten)]
    wait: WaitFlags,
}

/// Asks for the VM to be off.
pub(super) async fn run(args: &StopArgs, context: &Context) -> anyhow::Result<()> {
    let deadline = args.wait.deadline();
    let vms = Vms::connect(context).await?;
    let before = vms.find(&args.name).await?;
    let vm = vms.patch(&before, &json!({"spec": {"running": false}})).await?;
    if args.wait.wait {
        wait::stopped(&vms, &before, &vm, deadline).await?;
    }
    tracing::info!("LimaVM {:?} stopped in namespace {:?}", vm.name, vm.namespace);
    Ok(())
}
