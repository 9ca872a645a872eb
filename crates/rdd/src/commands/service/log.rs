//! `rdd service log`.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use rdd_host::logs::Follower;

use crate::context::Context;
use crate::output::{self, Reader};

/// Arguments of `service log`.
#[derive(Args, Debug)]
pub(crate) struct LogArgs {
    /// Print the log of standard output instead of that of standard error
    #[arg(short = 'o', long)]
    stdout: bool,

    /// Go on when the end is reached, also when the control plane is started anew
    #[arg(short, long)]
    follow: bool,
}

/// Prints the control plane's log.
pub(crate) async fn run(args: &LogArgs, context: &Context) -> anyhow::Result<()> {
    let instance = context.instance()?;
    let paths = instance.paths();
    print_log(&if args.stdout { paths.stdout_log() } else { paths.stderr_log() }, args.follow).await
}

/// Prints a log file, and what is added to it.
pub(crate) async fn print_log(path: &Path, follow: bool) -> anyhow::Result<()> {
    let cannot_read = || format!("cannot read {}", path.display());
    if !path.exists() {
        tracing::info!("waiting for {} to appear", path.display());
    }
    if !follow {
        return match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            read => Ok(output::write(&read.with_context(cannot_read)?)?),
        };
    }
    let mut follower = Follower::open(path).with_context(cannot_read)?;
    // A log may be silent for hours in which nobody reads.
    let mut gone = std::pin::pin!(output::reader_has_gone());
    loop {
        let bytes = tokio::select! {
            bytes = follower.next() => bytes.with_context(cannot_read)?,
            () = &mut gone => return Ok(()),
        };
        if output::write_on(&bytes)? == Reader::HasGone {
            return Ok(());
        }
    }
}
