//! The log files of a machine: rotated before each start, kept on request when it is removed
//! (VM engine specification §1.14).

use std::fs::File;
use std::io;
use std::path::PathBuf;

use rdd_host::logs;

use crate::layout::MachineDir;

/// How log files are kept. Handed in by whoever knows the environment.
#[derive(Clone, Debug, Default)]
pub struct LogPolicy {
    /// Keep every rotated file (`RDD_KEEP_LOGS`).
    pub keep_all: bool,
    /// The title on top of the hostagent's logs (`RDD_LOG_TITLE`).
    pub title: Option<String>,
    /// Where the logs of a removed machine go, if `keep_all`.
    pub preserve_in: Option<PathBuf>,
}

/// The hostagent's standard output and standard error.
#[derive(Debug)]
pub struct HostagentLogs {
    /// `ha.stdout.log`
    pub stdout: File,
    /// `ha.stderr.log`
    pub stderr: File,
}

/// Rotates the logs of the machine and opens those of the hostagent.
///
/// Console logs that cannot be rotated are logged, not fatal.
pub fn rotate_for_start(dir: &MachineDir, policy: &LogPolicy) -> io::Result<HostagentLogs> {
    for stem in ["serial", "serialp", "serialv"] {
        if let Err(error) = logs::rotate(dir.path(), stem, policy.keep_all) {
            tracing::warn!(machine = %dir.name(), stem, %error, "cannot rotate a console log");
        }
    }
    let header = policy.title.as_deref().map(logs::json_header);
    Ok(HostagentLogs {
        stdout: logs::open_rotated(dir.path(), "ha.stdout", policy.keep_all, header.as_deref())?,
        stderr: logs::open_rotated(dir.path(), "ha.stderr", policy.keep_all, header.as_deref())?,
    })
}

/// Moves the logs of a machine that is about to be removed to where the policy says. Never an
/// obstacle to the removal: failures are logged.
pub fn preserve(dir: &MachineDir, policy: &LogPolicy) {
    let (true, Some(target)) = (policy.keep_all, &policy.preserve_in) else { return };
    if let Err(error) = logs::preserve(dir.path(), target, dir.name().as_str()) {
        tracing::warn!(machine = %dir.name(), %error, "cannot preserve the logs");
    }
}

#[cfg(test)]
mod tests {
    use rdd_machine::MachineName;

    use super::*;
    use crate::create_whole;

    #[test]
    fn logs_rotate_before_a_start_and_survive_a_removal_on_request() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = create_whole(home.path(), &MachineName::new("demo").expect("a name"), "x: 1\n").expect("made");
        std::fs::write(dir.serial_log(), b"boot").expect("written");
        let policy =
            LogPolicy { keep_all: true, title: Some("a title".into()), preserve_in: Some(home.path().join("logs")) };
        drop(rotate_for_start(&dir, &policy).expect("opened"));
        assert!(!dir.serial_log().exists(), "rotated away");
        let head = std::fs::read_to_string(dir.ha_stdout_log()).expect("read");
        assert!(head.starts_with('{') && head.contains("a title"), "{head}");
        preserve(&dir, &policy);
        assert!(home.path().join("logs/demo/ha.stdout.log").exists());
        drop(rotate_for_start(&dir, &policy).expect("opened"));
        preserve(&dir, &LogPolicy::default());
        assert!(dir.ha_stderr_log().exists(), "only on request");
        preserve(&dir, &policy);
        assert!(home.path().join("logs/demo.2/ha.stderr.log").exists());
    }
}
