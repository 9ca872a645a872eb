//! `rdd service start`.

use clap::{ArgAction, Args};
use rdd_daemon::{Deadline, StartOptions};

use super::{parse_bool, parse_port};
use crate::context::Context;
use crate::duration::{Limit, parse_limit};

/// Arguments of `service start`.
#[derive(Args, Debug)]
pub(crate) struct StartArgs {
    /// Wait until the control plane is ready
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", value_parser = parse_bool)]
    wait: bool,

    /// How long to wait; 0 is without limit
    #[arg(long, value_name = "DURATION", default_value = "90s", value_parser = parse_timeout, allow_hyphen_values = true)]
    timeout: Timeout,

    /// Controllers to run this time: names or groups, `*` for all, `-` in front to exclude
    #[arg(long, value_name = "SPEC", hide = true)]
    controllers: Option<String>,

    /// Port that the API prefers this time
    #[arg(long, alias = "secure_port", value_name = "PORT", value_parser = parse_port, hide = true)]
    secure_port: Option<u16>,

    /// More arguments for the service
    #[arg(hide = true)]
    arguments: Vec<String>,
}

/// Starts the control plane.
pub(crate) async fn run(args: &StartArgs, context: &Context) -> anyhow::Result<()> {
    let options = StartOptions {
        wait: args.wait,
        deadline: Deadline::after_some(args.timeout.0),
        controllers: args.controllers.clone(),
        secure_port: args.secure_port,
        arguments: args.arguments.clone(),
    };
    Ok(rdd_daemon::start(&context.instance()?, &context.launcher()?, &options).await?)
}

/// A limit, in a shape that does not look like a missing argument to clap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout(pub(crate) Limit);

/// Reads a timeout.
pub(crate) fn parse_timeout(text: &str) -> Result<Timeout, String> {
    parse_limit(text).map(Timeout)
}
