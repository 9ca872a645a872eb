//! `rdd limavm start`.

use clap::Args;
use jiff::Timestamp;
use rdd_api::limavm::RESTART_ANNOTATION;
use rdd_api::time::format_time;
use serde_json::json;

use super::api::Vms;
use super::flags::WaitFlags;
use super::wait;
use crate::context::Context;

/// Arguments of `limavm start`.
#[derive(Args, Debug)]
pub(crate) struct StartArgs {
    /// The VM
    name: String,
    #[command(flatten)]
    wait: WaitFlags,
}

/// Asks for the VM to be on.
pub(super) async fn run(args: &StartArgs, context: &Context) -> anyhow::Result<()> {
    let deadline = args.wait.deadline();
    let vms = Vms::connect(context).await?;
    let before = vms.find(&args.name).await?;
    let mut patch = json!({"spec": {"running": true}});
    if wait::is_waiting_after_failure(&before) {
        // Whoever asks again has put something right, and does not want to sit out the backoff.
        patch["metadata"] = json!({"annotations": {RESTART_ANNOTATION: format_time(Timestamp::now())}});
    }
    let vm = vms.patch(&before, &patch).await?;
    if args.wait.wait {
        wait::running(&vms, &before, &vm, deadline).await?;
    }
    tracing::info!("LimaVM {:?} started in namespace {:?}", vm.name, vm.namespace);
    Ok(())
}
