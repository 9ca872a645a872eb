//! From arguments to an exit code.

use std::ffi::OsString;
use std::path::Path;
use std::rc::Rc;

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::commands::Command;
use crate::console::Console;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::GlobalArgs;
use crate::usage;

/// Controls a control plane the way kubectl does.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl",
    bin_name = "kubectl",
    disable_version_flag = true,
    disable_help_subcommand = true,
    infer_long_args = false,
    after_help = "Use \"kubectl <command> --help\" for more about a command.\n\
                  'rdd kubectl' hands over to an installed kubectl, which knows still more commands."
)]
struct Kubectl {
    #[command(flatten)]
    flags: GlobalArgs,

    #[command(subcommand)]
    command: Option<Command>,
}

/// Runs kubectl's arguments (without the program's name) against the server of a kubeconfig, on
/// this process's terminal, and returns the exit code.
pub fn run(args: Vec<OsString>, kubeconfig: &Path) -> i32 {
    run_on(Console::of_process(), args, kubeconfig)
}

/// As [`run`], on another console.
pub fn run_on(console: Console, args: Vec<OsString>, kubeconfig: &Path) -> i32 {
    let console = Rc::new(console);
    let outcome = work(&console, args, kubeconfig);
    let Err(failure) = outcome else { return 0 };
    console.say(&failure.render());
    failure.code()
}

fn work(console: &Rc<Console>, args: Vec<OsString>, kubeconfig: &Path) -> Result<(), Failure> {
    let mut tree = Kubectl::command();
    tree.build();
    let args = usage::normalize(&tree, args);
    let parsed = tree.clone().try_get_matches_from(&args).and_then(|matches| Kubectl::from_arg_matches(&matches));
    let kubectl = match parsed {
        Ok(kubectl) => kubectl,
        Err(error) => return usage::refuse(console, &tree, &args, &error),
    };
    let Some(command) = kubectl.command else {
        return console.out(&tree.render_long_help().to_string());
    };
    let warnings_are_errors = kubectl.flags.warnings_as_errors;
    let context = Context::new(console.clone(), kubectl.flags, kubeconfig);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::message(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(command.run(&context))?;
    match console.warnings() {
        count if count > 0 && warnings_are_errors => {
            let plural = if count == 1 { "" } else { "s" };
            Err(Failure::message(format!("{count} warning{plural} received")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Kubectl::command().debug_assert();
    }
}
