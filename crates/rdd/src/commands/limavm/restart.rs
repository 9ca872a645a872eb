//! `rdd limavm restart`.

use clap::Args;
use jiff::Timestamp;
use rdd_api::limavm::RESTART_ANNOTATION;
use rdd_api::time::format_time;
use serde_json::json;

use super::api::Vms;
use super::flags::WaitFlags;
use super::wait;
use crate::context::Context;

/// Arguments of `limavm restart`.
#[derive(Args, Debug)]
pub(crate) struct RestartArgs {
    /// The VM
    name: String,
    #[command(flatten)]
    wait: WaitFlags,
}

/// Asks for one restart, and for the VM to be on.
pub(super) async fn run(args: &RestartArgs, context: &Context) -> anyhow::Result<()> {
    let deadline = args.wait.deadline();
    let vms = Vms::connect(context).await?;
    let before = vms.find(&args.name).await?;
    let now = format_time(Timestamp::now());
    let patch = json!({"metadata": {"annotations": {RESTART_ANNOTATION: now}}, "spec": {"running": true}});
    let vm = vms.patch(&before, &patch).await?;
    tracing::info!("LimaVM {:?} restart requested in namespace {:?}", vm.name, vm.namespace);
    if args.wait.wait {
        wait::restarted(&vms, &before, &vm, deadline).await?;
        tracing::info!("LimaVM {:?} restarted in namespace {:?}", vm.name, vm.namespace);
    }
    Ok(())
}
