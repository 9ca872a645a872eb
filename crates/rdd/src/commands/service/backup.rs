//! `rdd service backup`.

use std::path::PathBuf;

use clap::Args;

use crate::context::Context;

/// Arguments of `service backup`.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// The file to write; one that is there is replaced
    file: PathBuf,
}

/// Copies what the control plane stores.
pub(crate) fn run(args: &BackupArgs, context: &Context) -> anyhow::Result<()> {
    Ok(rdd_daemon::backup(&context.instance()?, &args.file)?)
}
