//! What is done with the arguments before they are parsed: the program's name as a command, `--instance` in first
//! position, and a fence before what belongs to kubectl.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Names of the program that are commands of it.
const MULTICALL: [&str; 1] = ["kubectl"];

/// Commands whose arguments are not ours to read.
const RAW: [&str; 2] = ["ctl", "kubectl"];

/// Our flags that may stand before a command. Each takes a value.
pub(crate) const GLOBAL_FLAGS: [&str; 4] = ["--log-level", "--log_level", "--log-format", "--log_format"];

/// The arguments, ready to be parsed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The value of `--instance`, if it was given.
    pub(crate) instance: Option<OsString>,
    /// The program's name and everything that is left.
    pub(crate) rest: Vec<OsString>,
}

/// Prepares the arguments, the program's name first.
pub(crate) fn prepare(mut all: Vec<OsString>) -> Arguments {
    if let Some(command) = all.first().and_then(|program| multicall(program)) {
        all.splice(1..1, [command.into(), "--".into()]);
        // What follows belongs to that command, `--instance` included.
        return Arguments { instance: None, rest: all };
    }
    let instance = take_instance(&mut all);
    fence(&mut all);
    Arguments { instance, rest: all }
}

/// Returns the command that the program's name stands for: up to the first dot, so that
/// `kubectl.exe` is one.
fn multicall(program: &OsStr) -> Option<&'static str> {
    let name = Path::new(program).file_name()?.to_str()?;
    let stem = name.split('.').next()?;
    MULTICALL.into_iter().find(|command| *command == stem)
}

/// Says where the arguments of a command begin that gets them as they are.
fn fence(all: &mut Vec<OsString>) {
    let mut at = 1;
    while let Some(word) = all.get(at).and_then(|word| word.to_str()) {
        if RAW.contains(&word) {
            all.insert(at + 1, "--".into());
            return;
        }
        at += match word.split_once('=') {
            None if GLOBAL_FLAGS.contains(&word) => 2,
            Some((flag, _)) if GLOBAL_FLAGS.contains(&flag) => 1,
            _ => return,
        };
    }
}

/// Takes `--instance` out of first position (control plane specification §1.1). Anywhere else it
/// stays, as an unknown flag.
fn take_instance(all: &mut Vec<OsString>) -> Option<OsString> {
    let first = all.get(1)?.clone();
    if first == "--instance" {
        let is_value = |value: &OsString| !value.is_empty() && !value.as_encoded_bytes().starts_with(b"-");
        let value = all.get(2).filter(|value| is_value(value)).cloned();
        all.drain(1..if value.is_some() { 3 } else { 2 });
        return value;
    }
    let value = strip_prefix(&first, "--instance=")?;
    all.remove(1);
    (!value.is_empty()).then_some(value)
}

fn strip_prefix(text: &OsStr, prefix: &str) -> Option<OsString> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let rest = text.as_bytes().strip_prefix(prefix.as_bytes())?;
        Some(OsStr::from_bytes(rest).to_owned())
    }
    #[cfg(not(unix))]
    {
        Some(text.to_str()?.strip_prefix(prefix)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(all: &[&str], instance: Option<&str>, rest: &[&str]) {
        let prepared = prepare(all.iter().map(OsString::from).collect());
        assert_eq!(prepared.instance, instance.map(OsString::from), "{all:?}");
        assert_eq!(prepared.rest, rest, "{all:?}");
    }

    #[test]
    fn instance_in_first_position() {
        check(&["rdd", "--instance=x", "svc"], Some("x"), &["rdd", "svc"]);
        check(&["rdd", "--instance", "x", "svc"], Some("x"), &["rdd", "svc"]);
        check(&["rdd", "--instance=", "svc"], None, &["rdd", "svc"]);
        check(&["rdd", "--instance", "", "svc"], None, &["rdd", "", "svc"]);
        check(&["rdd", "--instance", "-v"], None, &["rdd", "-v"]);
        check(&["rdd", "--instance"], None, &["rdd"]);
        check(&["rdd", "--instance=-v"], Some("-v"), &["rdd"]);
    }

    #[test]
    fn instance_elsewhere_stays() {
        check(&["rdd", "svc", "--instance", "x"], None, &["rdd", "svc", "--instance", "x"]);
        check(&["rdd", "--instance=x", "--instance=y"], Some("x"), &["rdd", "--instance=y"]);
        check(&["rdd"], None, &["rdd"]);
        check(&[], None, &[]);
    }

    #[test]
    fn a_fence_before_what_is_not_ours() {
        check(&["rdd", "ctl"], None, &["rdd", "ctl", "--"]);
        check(&["rdd", "kubectl", "--", "x"], None, &["rdd", "kubectl", "--", "--", "x"]);
        check(
            &["rdd", "--instance=x", "--log-level", "ctl", "--log_format=json", "kubectl", "ctl"],
            Some("x"),
            &["rdd", "--log-level", "ctl", "--log_format=json", "kubectl", "--", "ctl"],
        );
        for not_ours in [&["rdd", "svc", "ctl"][..], &["rdd", "--version", "ctl"], &["rdd", "--log-level"]] {
            check(not_ours, None, not_ours);
        }
    }

    #[test]
    fn the_name_is_a_command() {
        check(&["/usr/bin/kubectl", "--instance=x"], None, &["/usr/bin/kubectl", "kubectl", "--", "--instance=x"]);
        check(&["kubectl.rdd.exe", "get"], None, &["kubectl.rdd.exe", "kubectl", "--", "get"]);
        check(&["kubectllike", "get"], None, &["kubectllike", "get"]);
    }
}
