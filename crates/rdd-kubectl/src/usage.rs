//! pflag's and cobra's manners over clap: what they accept, and how they refuse.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::console::Console;
use crate::failure::Failure;

/// kubectl's commands that are not here (yet).
const KUBECTL_ONLY: &[&str] = &[
    "alpha",
    "attach",
    "autoscale",
    "certificate",
    "cluster-info",
    "completion",
    "cordon",
    "cp",
    "debug",
    "diff",
    "drain",
    "exec",
    "expose",
    "kustomize",
    "logs",
    "plugin",
    "port-forward",
    "proxy",
    "rollout",
    "run",
    "scale",
    "set",
    "taint",
    "top",
    "uncordon",
];

/// Writes arguments as clap takes them, after the program's name: `--flag=true` becomes `--flag`, `--flag=false` goes.
pub(crate) fn normalize(tree: &clap::Command, args: Vec<OsString>) -> Vec<OsString> {
    let switches = switches(tree, &args);
    let mut out = vec![OsString::from("kubectl")];
    let mut is_raw = false;
    for arg in args {
        let text = arg.to_str().unwrap_or_default();
        is_raw |= text == "--";
        let split = text.strip_prefix("--").filter(|_| !is_raw).and_then(|t| t.split_once('='));
        match split {
            Some((name, value)) if switches.contains(&name) => match value {
                "true" | "1" | "t" | "T" | "TRUE" | "True" => out.push(format!("--{name}").into()),
                "false" | "0" | "f" | "F" | "FALSE" | "False" => {}
                _ => out.push(arg),
            },
            _ => out.push(arg),
        }
    }
    out
}

/// Returns the flags without values that the named command knows. The same word may take a value elsewhere.
fn switches<'t>(tree: &'t clap::Command, args: &[OsString]) -> Vec<&'t str> {
    let (mut at, mut all) = (tree, Vec::new());
    let mut words = args.iter().filter_map(|a| a.to_str());
    loop {
        let own = at.get_arguments().filter(|a| matches!(a.get_action(), clap::ArgAction::SetTrue));
        all.extend(own.filter_map(clap::Arg::get_long));
        match words.find_map(|word| at.find_subcommand(word)) {
            Some(child) => at = child,
            None => return all,
        }
    }
}

/// Returns the kubeconfig that the arguments name, however wrong the rest of them may be.
pub(crate) fn kubeconfig(args: &[OsString]) -> Option<PathBuf> {
    let mut words = args.iter().take_while(|word| *word != "--");
    let found = words.find_map(|word| match word.to_str()?.strip_prefix("--kubeconfig")? {
        "" => Some(None),
        rest => rest.strip_prefix('=').map(|path| Some(PathBuf::from(path))),
    })?;
    found.or_else(|| words.next().map(PathBuf::from))
}

/// Ends because of the arguments: prints help if that was asked for, else says what is wrong.
pub(crate) fn refuse(
    console: &Console,
    tree: &clap::Command,
    args: &[OsString],
    error: &clap::Error,
) -> Result<(), Failure> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let path = command_path(tree, args);
    let see = |message: String| Err(Failure::message(format!("{message}\nSee '{path} --help' for usage.")));
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            console.out(&error.render().to_string())
        }
        ErrorKind::UnknownArgument => {
            let argument = text(ContextKind::InvalidArg).unwrap_or_default();
            if let Some(name) = argument.strip_prefix("--") {
                return see(format!("unknown flag: --{}", name.split('=').next().unwrap_or_default()));
            }
            match argument.strip_prefix('-') {
                Some(letters) => {
                    let letter: String = letters.chars().take(1).collect();
                    let given = args.iter().filter_map(|a| a.to_str());
                    let whole = given.rev().find(|a| a.starts_with('-') && a.contains(&letter));
                    see(format!("unknown shorthand flag: '{letter}' in {}", whole.unwrap_or(&argument)))
                }
                None => Err(unknown_command(tree, &argument, &path)),
            }
        }
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            Err(unknown_command(tree, &word, &path))
        }
        ErrorKind::InvalidValue if text(ContextKind::InvalidValue).is_none_or(|v| v.is_empty()) => {
            let argument = text(ContextKind::InvalidArg).unwrap_or_default();
            let flag = argument.split([' ', '=']).next().unwrap_or_default().to_owned();
            let short = args.iter().filter_map(|a| a.to_str()).find(|a| a.starts_with('-') && !a.starts_with("--"));
            match short {
                Some(short) if args.last().is_some_and(|l| l == short) => {
                    let letter = short.trim_start_matches('-').chars().last().unwrap_or_default();
                    see(format!("flag needs an argument: '{letter}' in {short}"))
                }
                _ => see(format!("flag needs an argument: {flag}")),
            }
        }
        _ => {
            // clap's own text, without its label, its usage lines and its layout.
            let rendered = error.render().to_string();
            let body = rendered.split("\n\n").next().unwrap_or_default();
            let words: Vec<&str> = body.trim_start_matches("error: ").split_whitespace().collect();
            see(words.join(" "))
        }
    }
}

fn unknown_command(tree: &clap::Command, word: &str, path: &str) -> Failure {
    let mut text = format!("unknown command \"{word}\" for \"{path}\"");
    if KUBECTL_ONLY.contains(&word) {
        return Failure::Elsewhere { text, lead: "it is in ", words: format!("{word} …") };
    }
    let names = tree.get_subcommands().map(clap::Command::get_name).chain(KUBECTL_ONLY.iter().copied());
    let mut near: Vec<&str> = names.filter(|n| distance(word, n) <= 2 || n.starts_with(&word.to_lowercase())).collect();
    near.sort_unstable();
    if !near.is_empty() {
        text.push_str("\n\nDid you mean this?\n");
        text.extend(near.iter().map(|n| format!("\t{n}\n")));
    }
    Failure::message(text)
}

/// Returns the command that the arguments name, as in `kubectl config view`.
fn command_path(tree: &clap::Command, args: &[OsString]) -> String {
    let (mut path, mut at) = ("kubectl".to_owned(), tree);
    for word in args.iter().skip(1).filter_map(|a| a.to_str()) {
        if let Some(child) = at.find_subcommand(word) {
            path = format!("{path} {}", child.get_name());
            at = child;
        }
    }
    path
}

/// The edits between two words, as cobra counts them for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::*;

    #[test]
    fn switches_take_values() {
        let tree = Command::new("kubectl").arg(Arg::new("watch").long("watch").action(ArgAction::SetTrue));
        let check = |args: &[&str], expect: &[&str]| {
            let args = args.iter().map(OsString::from).collect();
            assert_eq!(normalize(&tree, args)[1..], expect.iter().map(OsString::from).collect::<Vec<_>>());
        };
        check(&["--watch=true", "x"], &["--watch", "x"]);
        check(&["--watch=false", "--", "--watch=true"], &["--", "--watch=true"]);
        check(&["--other=true"], &["--other=true"]);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("gte", "get"), 2);
        assert_eq!(distance("get", "get"), 0);
        assert_eq!(distance("", "ab"), 2);
    }
}
