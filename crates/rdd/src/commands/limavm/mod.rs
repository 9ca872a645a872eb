//! `rdd limavm`: VMs, without writing YAML.

mod api;
mod create;
mod delete;
mod edit;
mod flags;
mod log;
mod quote;
mod restart;
mod shell;
mod source;
mod start;
mod stop;
mod wait;

use clap::Subcommand;

use super::block_on;
use crate::context::Context;
use crate::logging::Level;

/// Every verb of `limavm`.
#[derive(Debug, Subcommand)]
pub(crate) enum LimavmCommand {
    /// Create a VM from a template
    Create(create::CreateArgs),
    /// Start a VM
    Start(start::StartArgs),
    /// Stop a VM
    Stop(stop::StopArgs),
    /// Stop a VM and start it again
    Restart(restart::RestartArgs),
    /// Delete a VM and its disk
    Delete(delete::DeleteArgs),
    /// Edit a VM's template; a running VM restarts with it
    Edit(edit::EditArgs),
    /// Print the log of a VM's hostagent
    #[command(visible_alias = "logs")]
    Log(log::LogArgs),
    /// Run a command in a VM, or a shell
    Shell(shell::ShellArgs),
}

impl LimavmCommand {
    /// See [`super::Command::level`].
    pub(crate) fn level(&self, level: Level) -> Level {
        match self {
            LimavmCommand::Log(_) | LimavmCommand::Shell(_) => level.max(Level::Info),
            _ => level,
        }
    }

    /// Runs the verb.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            LimavmCommand::Create(args) => block_on(create::run(&args, context)),
            LimavmCommand::Start(args) => block_on(start::run(&args, context)),
            LimavmCommand::Stop(args) => block_on(stop::run(&args, context)),
            LimavmCommand::Restart(args) => block_on(restart::run(&args, context)),
            LimavmCommand::Delete(args) => block_on(delete::run(&args, context)),
            LimavmCommand::Edit(args) => block_on(edit::run(&args, context)),
            LimavmCommand::Log(args) => block_on(log::run(&args, context)),
            LimavmCommand::Shell(args) => block_on(shell::run(&args, context)),
        }
    }
}
