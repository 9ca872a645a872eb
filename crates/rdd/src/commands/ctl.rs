//! `rdd ctl`: kubectl's commands against the control plane, which is started if it does not run.

use std::ffi::OsString;

use clap::Args;

use super::block_on;
use crate::context::Context;
use crate::failure::Exit;

/// Arguments of `ctl`.
#[derive(Args, Debug)]
pub(crate) struct CtlArgs {
    /// As for kubectl
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// Runs a command of kubectl's, natively.
pub(crate) fn run(args: CtlArgs, context: &Context) -> anyhow::Result<()> {
    let instance = context.instance()?;
    let connection = block_on(context.connect(&instance))?;
    match rdd_kubectl::run(args.args, &connection.kubeconfig) {
        0 => Ok(()),
        code => Err(Exit(u8::try_from(code).unwrap_or(1)).into()),
    }
}
