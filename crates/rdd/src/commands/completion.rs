//! `rdd completion`.

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::context::Context;
use crate::output;

/// Arguments of `completion`.
#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// The shell to write for
    shell: ShellName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// Prints a completion script.
pub(crate) fn run(args: &CompletionArgs, context: &Context) -> anyhow::Result<()> {
    let shell = match args.shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
        ShellName::Powershell => Shell::PowerShell,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut (context.command_tree)(context.is_developer), "rdd", &mut script);
    Ok(output::write(&script)?)
}
