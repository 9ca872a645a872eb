//! The command tree, and the way from arguments to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use rdd_host::environment;
use rdd_host::ready::{Message, ReadyReporter};

use crate::arguments;
use crate::commands::Command;
use crate::context::{Context, is_developer};
use crate::failure::{self, Verdict};
use crate::logging::{Format, Level, Logger};
use crate::{output, version};

/// Commands that are shown to developers only. They work for everybody.
const FOR_DEVELOPERS: [&str; 2] = ["ctl", "limavm"];

/// Rancher Desktop Daemon.
///
/// RDD manages the Rancher Desktop 2 background services: a Kubernetes API without nodes and pods,
/// the controllers behind it, and the virtual machines that you declare through it.
#[derive(Debug, Parser)]
#[command(name = "rdd", disable_version_flag = true, disable_help_subcommand = false, subcommand_required = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,

    /// Print the version; `--version=raw` prints all of it
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    version: Option<String>,

    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct GlobalArgs {
    /// What to log: fatal, error, warning, info, debug or trace
    #[arg(
        long,
        alias = "log_level",
        global = true,
        value_name = "LEVEL",
        default_value = "",
        hide_default_value = true
    )]
    log_level: String,

    /// How to log: text or json
    #[arg(long, alias = "log_format", global = true, value_name = "FORMAT", default_value = "text")]
    log_format: String,
}

/// Runs the program.
pub(crate) fn run(all: Vec<OsString>) -> ExitCode {
    let arguments = arguments::prepare(all);
    let is_developer = is_developer();
    let parsed = command_tree(is_developer)
        .try_get_matches_from(arguments.rest)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    if let Some(format) = &cli.version {
        return finish(output::line(&version::describe(format)).map_err(Into::into), &fallback_logger());
    }
    let Some(command) = cli.command else {
        let help = command_tree(is_developer).render_long_help().to_string();
        return finish(output::write(help.as_bytes()).map_err(Into::into), &fallback_logger());
    };
    let (level, format) = match resolve_logging(&cli.global, &command, is_developer) {
        Ok(resolved) => resolved,
        Err(message) => return finish(Err(anyhow::Error::msg(message)), &fallback_logger()),
    };
    let logger = Logger::new(command.level(level), command.format(format));
    logger.install();
    let context = Context::new(arguments.instance, level, is_developer, command_tree, check_service);
    finish(command.run(&context), &logger)
}

/// Returns the command tree as people in this mode see it.
pub(crate) fn command_tree(is_developer: bool) -> clap::Command {
    let mut tree = Cli::command().after_long_help(environment_help());
    for name in FOR_DEVELOPERS {
        tree = tree.mut_subcommand(name, |command| command.hide(!is_developer));
    }
    if !is_developer {
        return tree;
    }
    tree.mut_subcommand("service", |service| {
        let show =
            |command: clap::Command| command.mut_args(|arg| if arg.get_id() == "help" { arg } else { arg.hide(false) });
        service.mut_subcommand("create", show).mut_subcommand("start", show)
    })
}

/// Reads the arguments of `service serve` as the service itself would.
fn check_service(arguments: &[String]) -> Result<(), String> {
    let command = ["rdd", "service", "serve"].into_iter().map(str::to_owned);
    let matches = command_tree(false).try_get_matches_from(command.chain(arguments.iter().cloned()));
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => "they ask for help".to_owned(),
        _ => describe(&error),
    })?;
    match cli.command {
        Some(command) if command.only_helps() => Err("they ask for help".to_owned()),
        _ => Ok(()),
    }
}

/// Lists the environment variables.
fn environment_help() -> String {
    let width = environment::VARIABLES.iter().map(|variable| variable.name.len()).max().unwrap_or_default();
    let lines =
        environment::VARIABLES.iter().map(|variable| format!("  {:<width$}  {}", variable.name, variable.effect));
    format!("Environment:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

fn resolve_logging(global: &GlobalArgs, command: &Command, is_developer: bool) -> Result<(Level, Format), String> {
    let format = Format::parse(&global.log_format)?;
    let wanted = match global.log_level.as_str() {
        "" => environment::get_text(environment::LOG_LEVEL),
        flag => Some(flag.to_owned()),
    };
    let level = match wanted {
        Some(text) if !command.ignores_level() => Level::parse(&text)?,
        _ if is_developer => Level::Debug,
        _ => Level::Warning,
    };
    Ok((level, format))
}

/// The logger for what goes wrong before we know how to log.
fn fallback_logger() -> Logger {
    Logger::new(Level::Warning, Format::Text)
}

fn finish(result: anyhow::Result<()>, logger: &Logger) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let Verdict { code, is_fatal, message, hint } = failure::judge(&error);
    if let Some(message) = message {
        logger.failure(if is_fatal { Level::Fatal } else { Level::Error }, &message, hint.as_deref());
    }
    ExitCode::from(code)
}

/// Ends because of the arguments: prints help if that was asked for, else says what is wrong, in
/// the original's words.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            finish(output::write(error.render().to_string().as_bytes()).map_err(Into::into), &fallback_logger())
        }
        // Our groups of commands, called without one.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            finish(output::write(error.render().to_string().as_bytes()).map_err(Into::into), &fallback_logger())
        }
        _ => {
            let message = describe(error);
            // A service that was started with flags it does not know has a parent who should hear it.
            ReadyReporter::from_env().report(&Message::Error(message.clone()));
            fallback_logger().failure(Level::Fatal, &message, None);
            ExitCode::FAILURE
        }
    }
}

fn describe(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let suggestion = match error.get(ContextKind::SuggestedSubcommand).or_else(|| error.get(ContextKind::SuggestedArg))
    {
        Some(ContextValue::String(name)) => format!(" (did you mean {name:?}?)"),
        // The likeliest is the last.
        Some(ContextValue::Strings(names)) => {
            names.last().map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default()
        }
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::UnknownArgument => match text(ContextKind::InvalidArg) {
            Some(flag) if flag.starts_with("--") => format!("unknown flag: {flag}{suggestion}"),
            Some(flag) if flag.starts_with('-') => format!("unknown shorthand flag: {flag}"),
            Some(argument) => format!("unexpected argument {argument:?}"),
            None => "unknown argument".to_owned(),
        },
        ErrorKind::InvalidSubcommand => match text(ContextKind::InvalidSubcommand) {
            Some(command) => format!("unknown command {command:?}{suggestion}"),
            None => "unknown command".to_owned(),
        },
        _ => {
            // clap's own text, without its label, its usage lines and its layout.
            let rendered = error.render().to_string();
            let body = rendered.split("\n\n").next().unwrap_or_default();
            let words: Vec<&str> = body.trim_start_matches("error: ").split_whitespace().collect();
            words.join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_global_flags_are_known_to_the_fence() {
        let tree = command_tree(true);
        let mut flags: Vec<String> = tree
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .flat_map(|argument| argument.get_long_and_visible_aliases().into_iter().flatten())
            .map(|name| format!("--{name}"))
            .collect();
        flags.extend(flags.clone().iter().map(|flag| flag.replacen("--log-", "--log_", 1)));
        flags.sort();
        let mut known = arguments::GLOBAL_FLAGS.map(str::to_owned);
        known.sort();
        assert_eq!(flags, known);
    }
}
