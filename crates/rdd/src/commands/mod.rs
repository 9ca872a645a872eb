//! The commands, one file each. The list of all is [`Command`].

mod completion;
mod ctl;
mod fake_vm;
mod hostagent;
mod kubectl;
mod limavm;
mod service;
mod version;

use std::future::Future;

use anyhow::Context as _;
use clap::Subcommand;

use crate::context::Context;
use crate::logging::{Format, Level};

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Manage the control plane, which runs in the background
    #[command(visible_alias = "svc", subcommand, arg_required_else_help = true)]
    Service(service::ServiceCommand),
    /// Run a kubectl command against the control plane
    #[command(disable_help_flag = true)]
    Ctl(ctl::CtlArgs),
    /// Run the kubectl that is installed, with your own configuration
    #[command(disable_help_flag = true)]
    Kubectl(kubectl::KubectlArgs),
    /// Create, start, stop and enter virtual machines
    #[command(visible_alias = "lima", subcommand, arg_required_else_help = true)]
    Limavm(limavm::LimavmCommand),
    /// Print the version
    Version(version::VersionArgs),
    /// Print a completion script for a shell
    Completion(completion::CompletionArgs),
    /// Be the process of one machine
    #[command(hide = true)]
    Hostagent(hostagent::HostagentArgs),
    /// Be a VM of the fake driver
    #[command(name = crate::drivers::FAKE_VM, hide = true, disable_help_flag = true)]
    FakeVm(fake_vm::FakeVmArgs),
}

impl Command {
    /// Returns the level at which this command logs when `level` was asked for. Some answer by log
    /// lines, which must not be hidden.
    pub(crate) fn level(&self, level: Level) -> Level {
        match self {
            Command::Service(command) => command.level(level),
            Command::Hostagent(args) => args.level(),
            Command::Limavm(command) => command.level(level),
            _ => level,
        }
    }

    /// Returns the format in which this command logs when `format` was asked for. Programs read the
    /// log of some.
    pub(crate) fn format(&self, format: Format) -> Format {
        if matches!(self, Command::Hostagent(_)) { Format::Json } else { format }
    }

    /// Returns whether the level that was asked for does not matter to this command, right or wrong.
    pub(crate) fn ignores_level(&self) -> bool {
        matches!(self, Command::Service(service::ServiceCommand::Serve(_)) | Command::Hostagent(_))
    }

    /// Returns whether this is a service that would only say which flags it has.
    pub(crate) fn only_helps(&self) -> bool {
        matches!(self, Command::Service(service::ServiceCommand::Serve(args)) if args.only_helps())
    }

    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Command::Service(command) => command.run(context),
            Command::Ctl(args) => ctl::run(args, context),
            Command::Kubectl(args) => kubectl::run(&args),
            Command::Limavm(command) => command.run(context),
            Command::Version(args) => version::run(&args),
            Command::Hostagent(args) => hostagent::run(args),
            Command::FakeVm(args) => fake_vm::run(args),
            Command::Completion(args) => completion::run(&args, context),
        }
    }
}

/// Runs a short command's work on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(work)
}
