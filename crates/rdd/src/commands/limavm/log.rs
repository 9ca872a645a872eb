//! `rdd limavm log`.

use anyhow::bail;
use clap::Args;
use rdd_machine::MachineName;
use rdd_machine_dir::MachineDir;

use super::api::Vms;
use crate::commands::service::print_log;
use crate::context::Context;
use crate::failure::Advised;

/// Arguments of `limavm log`.
#[derive(Args, Debug)]
pub(crate) struct LogArgs {
    /// The VM
    name: String,

    /// Print the hostagent's events instead of its log
    #[arg(short = 'o', long)]
    stdout: bool,

    /// Go on when the end is reached, also when the VM is started anew
    #[arg(short, long)]
    follow: bool,
}

/// Prints a log of the VM's hostagent. That needs no service, and starts none.
pub(super) async fn run(args: &LogArgs, context: &Context) -> anyhow::Result<()> {
    let instance = context.instance()?;
    let dir = MachineDir::new(&instance.paths().lima_home, &MachineName::new(&args.name)?);
    let path = if args.stdout { dir.ha_stdout_log() } else { dir.ha_stderr_log() };
    if !path.exists() {
        // Only a service knows of a VM that was never started.
        let runs = rdd_daemon::status(&instance).await?.pid.is_some();
        if runs {
            Vms::connect(context).await?.find(&args.name).await?;
        }
        if runs && !args.follow {
            bail!("LimaVM {:?} has no log, because it was never started", args.name);
        }
        // Following makes the directory, which would be half a VM.
        if !runs && (!args.follow || !dir.path().exists()) {
            return Err(Advised::new(
                format!("there is no log of a LimaVM {:?}", args.name),
                format!("'rdd limavm start {}' starts the VM and with it the log", args.name),
            )
            .into());
        }
    }
    print_log(&path, args.follow).await
}
