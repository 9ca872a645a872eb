//! `rdd service`: the control plane's life.

mod backup;
mod config;
mod create;
mod delete;
mod log;
mod paths;
mod restore;
mod serve;
mod start;
mod status;
mod stop;

use clap::Subcommand;
pub(crate) use log::print_log;
pub(crate) use start::{Timeout, parse_timeout};

use super::block_on;
use crate::context::Context;
use crate::logging::Level;

/// Every verb of `service`.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Create the control plane, without starting it
    Create(create::CreateArgs),
    /// Start the control plane in the background
    Start(start::StartArgs),
    /// Stop the control plane and its VMs
    Stop(stop::StopArgs),
    /// Stop the control plane and remove everything of it
    Delete(delete::DeleteArgs),
    /// Say whether the control plane exists and runs
    Status(status::StatusArgs),
    /// Print the kubeconfig, after starting the control plane if it does not run
    Config(config::ConfigArgs),
    /// Print the control plane's log
    #[command(visible_alias = "logs")]
    Log(log::LogArgs),
    /// Print where the control plane keeps its files
    Paths(paths::PathsArgs),
    /// Copy what the control plane stores into a file, also while it runs
    Backup(backup::BackupArgs),
    /// Put what a backup holds in the place of what the control plane stores
    Restore(restore::RestoreArgs),
    /// Run the control plane in the foreground
    Serve(serve::ServeArgs),
}

impl ServiceCommand {
    /// See [`super::Command::level`].
    pub(crate) fn level(&self, level: Level) -> Level {
        match self {
            ServiceCommand::Status(_) | ServiceCommand::Log(_) => level.max(Level::Info),
            ServiceCommand::Serve(args) => args.level(),
            _ => level,
        }
    }

    /// Runs the verb.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            ServiceCommand::Create(args) => create::run(&args, context),
            ServiceCommand::Start(args) => block_on(start::run(&args, context)),
            ServiceCommand::Stop(args) => block_on(stop::run(&args, context)),
            ServiceCommand::Delete(args) => block_on(delete::run(&args, context)),
            ServiceCommand::Status(args) => block_on(status::run(&args, context)),
            ServiceCommand::Config(args) => block_on(config::run(&args, context)),
            ServiceCommand::Log(args) => block_on(log::run(&args, context)),
            ServiceCommand::Paths(args) => paths::run(&args, context),
            ServiceCommand::Backup(args) => backup::run(&args, context),
            ServiceCommand::Restore(args) => restore::run(&args, context),
            ServiceCommand::Serve(args) => serve::run(&args, context),
        }
    }
}

/// Reads a truth value, as flags of the original take it.
pub(crate) fn parse_bool(text: &str) -> Result<bool, String> {
    crate::context::parse_bool(text).ok_or_else(|| format!("{text:?} is neither true nor false"))
}

/// Reads a port that a service can prefer: zero is none.
fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(0) => {
            Err("--secure-port 0 must be between 1 and 65535, inclusive. It cannot be turned off with 0".to_owned())
        }
        Ok(port) => Ok(port),
        Err(_) => Err(format!("{text:?} is not a port, which is a number from 1 to 65535")),
    }
}
