//! `rdd service delete`.

use clap::Args;
use rdd_daemon::Deadline;
use rdd_host::environment;

use super::start::{Timeout, parse_timeout};
use crate::context::Context;

/// Arguments of `service delete`.
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// How long to wait for the control plane to stop; 0 is without limit
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_timeout, allow_hyphen_values = true)]
    timeout: Timeout,
}

/// Deletes the control plane.
pub(crate) async fn run(args: &DeleteArgs, context: &Context) -> anyhow::Result<()> {
    let deadline = Deadline::after_some(args.timeout.0);
    Ok(rdd_daemon::delete(&context.instance()?, &context.launcher()?, deadline, environment::keep_logs()).await?)
}
