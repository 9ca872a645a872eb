//! The log files of a machine: rotated before each start, kept on request when it is removed
//! (VM engine specification §1.14).

use std::collections::BTreeMap;
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

/// The logs of the first failure of a row. They tell most, and stay until the row ends, however many
/// follow.
#[derive(Debug, Default)]
pub struct FirstFailure {
    /// The present logs are those of the first failure.
    is_present: bool,
    /// The numbers under which they were put away.
    numbers: BTreeMap<&'static str, u64>,
}

impl FirstFailure {
    /// Notes that the run failed whose logs are the present ones.
    pub fn failed(&mut self) {
        self.is_present = self.numbers.is_empty();
    }

    /// The row has ended: its first logs go when it is their turn.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    fn rotate(&mut self, dir: &MachineDir, stem: &'static str, policy: &LogPolicy) -> io::Result<()> {
        let number = logs::rotate(dir.path(), stem, policy.keep_all, self.numbers.get(stem).copied())?;
        if let Some(number) = number.filter(|_| self.is_present) {
            self.numbers.insert(stem, number);
        }
        Ok(())
    }
}

/// Rotates the logs of the machine and opens those of the hostagent.
///
/// Console logs that cannot be rotated are logged, not fatal.
pub fn rotate_for_start(
    dir: &MachineDir,
    policy: &LogPolicy,
    first_failure: &mut FirstFailure,
) -> io::Result<HostagentLogs> {
    for stem in ["serial", "serialp", "serialv"] {
        if let Err(error) = first_failure.rotate(dir, stem, policy) {
            tracing::warn!(machine = %dir.name(), stem, %error, "cannot rotate a console log");
        }
    }
    let header = policy.title.as_deref().map(logs::json_header);
    let mut open = |stem| {
        first_failure.rotate(dir, stem, policy)?;
        logs::open(dir.path(), stem, header.as_deref())
    };
    let logs = HostagentLogs { stdout: open("ha.stdout")?, stderr: open("ha.stderr")? };
    first_failure.is_present = false;
    Ok(logs)
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
    use std::io::Write;

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
        drop(rotate_for_start(&dir, &policy, &mut FirstFailure::default()).expect("opened"));
        assert!(!dir.serial_log().exists(), "rotated away");
        let head = std::fs::read_to_string(dir.ha_stdout_log()).expect("read");
        assert!(head.starts_with('{') && head.contains("a title"), "{head}");
        preserve(&dir, &policy);
        assert!(home.path().join("logs/demo/ha.stdout.log").exists());
        drop(rotate_for_start(&dir, &policy, &mut FirstFailure::default()).expect("opened"));
        preserve(&dir, &LogPolicy::default());
        assert!(dir.ha_stderr_log().exists(), "only on request");
        preserve(&dir, &policy);
        assert!(home.path().join("logs/demo.2/ha.stderr.log").exists());
    }

    #[test]
    fn the_logs_of_the_first_failure_stay_until_the_row_ends() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = create_whole(home.path(), &MachineName::new("demo").expect("a name"), "x: 1\n").expect("made");
        let mut first = FirstFailure::default();
        let start = |first: &mut FirstFailure, text: &str| {
            let mut logs = rotate_for_start(&dir, &LogPolicy::default(), first).expect("opened");
            writeln!(logs.stderr, "{text}").expect("written");
        };
        let put_away = |number: u64| std::fs::read_to_string(dir.file(&format!("ha.stderr.{number}.log"))).ok();
        start(&mut first, "well");
        for run in 0..9 {
            start(&mut first, &format!("failure {run}"));
            first.failed();
        }
        start(&mut first, "well again");
        assert_eq!(put_away(2).as_deref(), Some("failure 0\n"), "the first failure");
        assert_eq!(put_away(3), None, "the others go");
        assert_eq!(put_away(10).as_deref(), Some("failure 8\n"));
        first.forget();
        start(&mut first, "and on");
        assert_eq!(put_away(2), None);
    }
}
