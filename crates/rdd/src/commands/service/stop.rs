//! `rdd service stop`.

use clap::{ArgAction, Args};
use rdd_daemon::{Deadline, StopOptions};

use super::parse_bool;
use super::start::{Timeout, parse_timeout};
use crate::context::Context;

/// Arguments of `service stop`.
#[derive(Args, Debug)]
pub(crate) struct StopArgs {
    /// Wait until the control plane has stopped
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", value_parser = parse_bool)]
    wait: bool,

    /// How long to wait; 0 is without limit
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_timeout, allow_hyphen_values = true)]
    timeout: Timeout,
}

/// Stops the control plane.
pub(crate) async fn run(args: &StopArgs, context: &Context) -> anyhow::Result<()> {
    let options = StopOptions { wait: args.wait, deadline: Deadline::after_some(args.timeout.0) };
    Ok(rdd_daemon::stop(&context.instance()?, options).await?)
}
