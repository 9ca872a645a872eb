//! All environment variables that `rdd` reads or sets, in one place.
//!
//! The list is the source of what `rdd --help` says about the environment. Who needs a variable
//! takes its name from here, so that no name is spelled twice.

use std::ffi::OsString;

/// The suffix that chooses the instance; empty or unset means `2`.
pub const INSTANCE: &str = "RDD_INSTANCE";
/// Whether to show the commands and flags meant for developers: a Go-style boolean.
pub const DEVELOPER_MODE: &str = "RDD_DEVELOPER_MODE";
/// The default log level.
pub const LOG_LEVEL: &str = "RDD_LOG_LEVEL";
/// A directory that replaces the instance's log directory.
pub const LOG_DIR: &str = "RDD_LOG_DIR";
/// A text that each new log file starts with.
pub const LOG_TITLE: &str = "RDD_LOG_TITLE";
/// Any non-empty value keeps all rotated logs, and the logs of what is deleted.
pub const KEEP_LOGS: &str = "RDD_KEEP_LOGS";
/// Overrides the choice of accelerator: `kvm` or `tcg`.
pub const ACCEL: &str = "RDD_ACCEL";
/// Set by a parent for the service it starts: the number of the inherited readiness pipe.
pub const READY_FD: &str = "RDD_READY_FD";
/// Set for the kubectl that `rdd kubectl` hands over to: how often that happened on the way to this process.
pub const HAND_OVERS: &str = "RDD_HAND_OVERS";
/// Any non-empty value keeps colours out of what is printed.
pub const NO_COLOR: &str = "NO_COLOR";
/// The kind of terminal. One that is `dumb` gets no escape sequences.
pub const TERM: &str = "TERM";
/// The home of the machine room. Set for hostagents.
pub const LIMA_HOME: &str = "LIMA_HOME";
/// The user's home directory.
pub const HOME: &str = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
/// The user's cache directory, where it is not the usual one.
pub const XDG_CACHE_HOME: &str = "XDG_CACHE_HOME";
/// The kubeconfig of kubectl and its plugins.
pub const KUBECONFIG: &str = "KUBECONFIG";
/// The SSH client that `limavm shell` runs, with arguments; `ssh` by default.
pub const SSH: &str = "SSH";
/// The colours that the terminal has; passed on to the guest.
pub const COLORTERM: &str = "COLORTERM";
/// The editors of `limavm edit`, the first that is set; `vi` by default.
pub const EDITORS: [&str; 3] = ["KUBE_EDITOR", "EDITOR", "VISUAL"];

/// One row of the list.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The variable's name.
    pub name: &'static str,
    /// What it does, in one line.
    pub effect: &'static str,
}

/// Every variable that people may set.
pub const VARIABLES: &[Variable] = &[
    Variable { name: INSTANCE, effect: "suffix of the instance to work on (default 2)" },
    Variable { name: DEVELOPER_MODE, effect: "true shows commands and flags meant for developers" },
    Variable { name: LOG_LEVEL, effect: "default log level: fatal, error, warning, info, debug, trace" },
    Variable { name: LOG_DIR, effect: "directory that replaces the instance's log directory" },
    Variable { name: LOG_TITLE, effect: "text that each new log file starts with" },
    Variable { name: KEEP_LOGS, effect: "any value keeps rotated logs and the logs of what is deleted" },
    Variable { name: NO_COLOR, effect: "any value keeps colours out of what is printed" },
    Variable { name: ACCEL, effect: "accelerator to use for VMs: kvm or tcg (default: what works)" },
    Variable { name: SSH, effect: "SSH client of 'limavm shell', with arguments (default ssh)" },
    Variable { name: COLORTERM, effect: "passed on to the guest by 'limavm shell'" },
    Variable { name: EDITORS[0], effect: "editor of 'limavm edit'; else EDITOR, else VISUAL (default vi)" },
    Variable { name: XDG_CACHE_HOME, effect: "directory in which downloads are kept (Linux; default ~/.cache)" },
    Variable { name: HOME, effect: "home directory, under which an instance keeps its files" },
];

/// Returns a variable's value; unset and empty are the same.
pub fn get(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns a variable's value as text, without white space around it; unset, blank and not-Unicode
/// are the same.
pub fn get_text(name: &str) -> Option<String> {
    let text = std::env::var(name).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Returns whether logs are to be kept ([`KEEP_LOGS`]).
pub fn keep_logs() -> bool {
    get(KEEP_LOGS).is_some()
}
