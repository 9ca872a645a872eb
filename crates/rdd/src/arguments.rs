//! What is done with the arguments before they are parsed: the program's name as a command, and
//! `--instance` in first position.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Names of the program that are commands of it.
const MULTICALL: [&str; 1] = ["kubectl"];

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
        all.insert(1, command.into());
        // What follows belongs to that command, `--instance` included.
        return Arguments { instance: None, rest: all };
    }
    let instance = take_instance(&mut all);
    Arguments { instance, rest: all }
}

/// Returns the command that the program's name stands for: up to the first dot, so that
/// `kubectl.exe` is one.
fn multicall(program: &OsStr) -> Option<&'static str> {
    let name = Path::new(program).file_name()?.to_str()?;
    let stem = name.split('.').next()?;
    MULTICALL.into_iter().find(|command| *command == stem)
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
    fn the_name_is_a_command() {
        check(&["/usr/bin/kubectl", "--instance=x"], None, &["/usr/bin/kubectl", "kubectl", "--instance=x"]);
        check(&["kubectl.rdd.exe", "get"], None, &["kubectl.rdd.exe", "kubectl", "get"]);
        check(&["kubectllike", "get"], None, &["kubectllike", "get"]);
    }
}
