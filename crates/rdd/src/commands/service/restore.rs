//! `rdd service restore`.

use std::path::PathBuf;

use clap::Args;

use crate::context::Context;

/// Arguments of `service restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// A file that 'backup' has written
    file: PathBuf,
}

/// Puts back what a backup holds.
pub(crate) fn run(args: &RestoreArgs, context: &Context) -> anyhow::Result<()> {
    rdd_daemon::restore(&context.instance()?, &args.file)?;
    Ok(())
}
