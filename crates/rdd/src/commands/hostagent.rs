//! `rdd hostagent`: the process of one machine. Run by the service.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use rdd_host::environment;
use rdd_hostagent::{HostagentArgs as Hostagent, Timing};
use rdd_machine::MachineName;

use super::block_on;
use crate::context::own_program;
use crate::drivers;
use crate::logging::Level;

/// Arguments of `hostagent`.
#[derive(Args, Debug)]
pub(crate) struct HostagentArgs {
    /// The machine
    name: String,

    /// Where to write the process id
    #[arg(short, long, value_name = "FILE")]
    pidfile: Option<PathBuf>,

    /// Where to listen
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,

    /// Log in detail
    #[arg(long)]
    debug: bool,

    /// Without effect; kept for programs that pass it
    #[arg(long, hide = true)]
    run_gui: bool,

    /// Without effect; kept for programs that pass it
    #[arg(long, hide = true)]
    progress: bool,

    /// Without effect; kept for programs that pass it
    #[arg(long, value_name = "FILE", hide = true)]
    nerdctl_archive: Option<PathBuf>,
}

impl HostagentArgs {
    /// Returns the level of the hostagent's log.
    pub(crate) fn level(&self) -> Level {
        if self.debug { Level::Trace } else { Level::Debug }
    }
}

/// Runs the hostagent until its VM is off or let go.
pub(crate) fn run(args: HostagentArgs) -> anyhow::Result<()> {
    let Some(socket) = args.socket else { bail!("socket must be specified") };
    let lima_home = environment::get(environment::LIMA_HOME);
    let lima_home = lima_home.with_context(|| format!("{} is not set", environment::LIMA_HOME))?;
    let agent = Hostagent {
        name: MachineName::new(args.name)?,
        lima_home: lima_home.into(),
        pid_file: args.pidfile,
        socket,
        debug: args.debug,
        timing: Timing::default(),
    };
    let drivers = drivers::all(&own_program()?);
    block_on(async move { Ok(rdd_hostagent::run(&agent, &drivers).await.map(drop)?) })
}
