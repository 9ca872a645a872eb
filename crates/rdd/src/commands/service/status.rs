//! `rdd service status`.

use clap::Args;

use crate::context::Context;

/// Arguments of `service status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {}

/// Says whether the control plane exists and runs.
pub(crate) async fn run(_: &StatusArgs, context: &Context) -> anyhow::Result<()> {
    let instance = context.instance()?;
    let status = rdd_daemon::status(&instance).await?;
    let name = instance.name();
    tracing::info!("{name:?} control plane has been created: {}", status.created);
    tracing::info!("{name:?} control plane has been started: {}", status.pid.is_some());
    tracing::info!("{name:?} control plane PID is: {}", status.pid.unwrap_or(0));
    if context.is_developer {
        tracing::info!("developer mode is enabled");
    }
    Ok(())
}
