//! `rdd service create`.

use clap::Args;
use rdd_daemon::CreateOptions;

use super::parse_port;
use crate::context::Context;

/// Arguments of `service create`.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// Controllers to run: names or groups, `*` for all, `-` in front to exclude
    #[arg(long, value_name = "SPEC", default_value = "*", hide = true)]
    controllers: String,

    /// Port that the API prefers
    #[arg(long, alias = "secure_port", value_name = "PORT", value_parser = parse_port, hide = true)]
    secure_port: Option<u16>,

    /// More arguments for the service
    #[arg(hide = true)]
    arguments: Vec<String>,
}

/// Creates the control plane.
pub(crate) fn run(args: &CreateArgs, context: &Context) -> anyhow::Result<()> {
    let options = CreateOptions {
        controllers: args.controllers.clone(),
        secure_port: args.secure_port,
        verbosity: context.level.verbosity(),
        arguments: args.arguments.clone(),
    };
    Ok(rdd_daemon::create(&context.instance()?, &options, context.check_service)?)
}
