//! What every command is handed: the instance it works on, and how this process was called.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use rdd_daemon::{CheckArguments, Connection, Launcher};
use rdd_host::environment;
use rdd_host::instance::{Instance, InstanceError};

use crate::logging::Level;
use crate::version;

/// What a command knows besides its own arguments.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    instance: Option<OsString>,
    /// The level of this command's log lines.
    pub(crate) level: Level,
    /// Whether what is meant for developers is shown.
    pub(crate) is_developer: bool,
    /// Makes the command tree, for developers or not.
    pub(crate) command_tree: fn(bool) -> clap::Command,
    /// Reads the arguments of `service serve`.
    pub(crate) check_service: CheckArguments,
}

impl Context {
    pub(crate) fn new(
        instance: Option<OsString>,
        level: Level,
        is_developer: bool,
        command_tree: fn(bool) -> clap::Command,
        check_service: CheckArguments,
    ) -> Context {
        Context { instance, level, is_developer, command_tree, check_service }
    }

    /// Returns the instance. Commands that need none do not ask, and so work with any name.
    pub(crate) fn instance(&self) -> Result<Instance, InstanceError> {
        Instance::from_env_or(self.instance.clone())
    }

    /// Returns how to run ourselves as the service.
    pub(crate) fn launcher(&self) -> anyhow::Result<Launcher> {
        Ok(Launcher {
            program: own_program()?,
            verbosity: self.level.verbosity(),
            check: self.check_service,
            version: version::git_version(),
        })
    }

    /// Makes sure that the service runs, and returns how to reach it.
    pub(crate) async fn connect(&self, instance: &Instance) -> anyhow::Result<Connection> {
        Ok(rdd_daemon::ensure_running(instance, &self.launcher()?).await?)
    }
}

/// Returns the path of this program.
pub(crate) fn own_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find our own program")
}

/// Returns whether what is meant for developers is shown.
pub(crate) fn is_developer() -> bool {
    match environment::get_text(environment::DEVELOPER_MODE) {
        Some(text) => parse_bool(&text).unwrap_or(false),
        None => is_beside_its_sources(),
    }
}

/// Returns whether this is an unoptimised build in the build directory of its own sources. Who follows the README builds
/// optimised, and is a user.
fn is_beside_its_sources() -> bool {
    if !cfg!(debug_assertions) {
        return false;
    }
    let Ok(program) = std::env::current_exe() else { return false };
    program.parent().is_some_and(|directory| directory.join("../../crates/rdd/src/main.rs").exists())
}

/// Reads a truth value as Go does.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
