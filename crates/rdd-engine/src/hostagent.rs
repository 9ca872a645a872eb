//! A hostagent process of ours: starting it, and what it says.
//!
//! What it says comes from its standard output, `ha.stdout.log`; whether it lives comes from the
//! process handle and from nothing else. A line that is no event is skipped.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdd_host::logs::Follower;
use rdd_host::process::{Child, Spawn};
use rdd_host::{environment, files};
use rdd_machine::{HostagentEvent, HostagentStatus};
use rdd_machine_dir::MachineDir;
use rdd_machine_dir::logs::{self, FirstFailure};
use tokio::time::Instant;

use crate::config::EngineConfig;

/// How much of the end of a log is searched for the reason of a failure.
const TAIL: usize = 64 * 1024;

/// Why a hostagent could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("cannot open the logs in {path:?}")]
    Logs {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start the hostagent {program:?}")]
    Spawn {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("no hostagent command is configured")]
    NoCommand,
}

/// What a hostagent has to say.
#[derive(Debug)]
pub(crate) enum News {
    /// Its state changed.
    Status(HostagentStatus),
    /// It said nothing since its start and holds no lock: it hangs.
    Silent,
    /// It ended; the reason in words, and whether it said good-bye.
    Ended { reason: String, orderly: bool },
}

/// A hostagent process of ours. Dropping it leaves the process alone.
#[derive(Debug)]
pub(crate) struct Hostagent {
    pub(crate) child: Child,
    /// The number of the run.
    pub(crate) run: u64,
    /// Since when the guest is ready.
    pub(crate) ready_since: Option<Instant>,
    dir: MachineDir,
    log: Option<Follower>,
    unfinished: Vec<u8>,
    statuses: VecDeque<HostagentStatus>,
    ended: Option<String>,
    exiting: bool,
    last_words: Option<String>,
    errors: Vec<String>,
    first_sign_by: Option<Instant>,
}

impl Hostagent {
    /// Starts a hostagent in a session of its own.
    pub(crate) fn spawn(
        dir: &MachineDir,
        config: &EngineConfig,
        run: u64,
        first_failure: &mut FirstFailure,
    ) -> Result<Self, SpawnError> {
        let Some((program, first)) = config.hostagent.split_first() else { return Err(SpawnError::NoCommand) };
        let logs_failed = |source| SpawnError::Logs { path: dir.path().to_owned(), source };
        let logs = logs::rotate_for_start(dir, &config.logs, first_failure).map_err(logs_failed)?;
        let log = Follower::open(&dir.ha_stdout_log()).map_err(logs_failed)?;
        let mut spawn = Spawn::new(program)
            .args(first)
            .arg("--pidfile")
            .arg(dir.ha_pid())
            .arg("--socket")
            .arg(dir.ha_sock())
            .env(environment::LIMA_HOME, &config.lima_home)
            .in_own_session();
        if config.debug {
            spawn = spawn.arg("--debug");
        }
        spawn = spawn.arg(dir.name().as_str());
        spawn.stdout = Some(logs.stdout);
        spawn.stderr = Some(logs.stderr);
        spawn.cwd = Some(config.lima_home.clone());
        let child = spawn
            .spawn()
            .map_err(|source| SpawnError::Spawn { program: program.to_string_lossy().into_owned(), source })?;
        tracing::info!(machine = %dir.name(), pid = child.pid(), "hostagent started");
        Ok(Self {
            child,
            run,
            ready_since: None,
            dir: dir.clone(),
            log: Some(log),
            unfinished: Vec::new(),
            statuses: VecDeque::new(),
            ended: None,
            exiting: false,
            last_words: None,
            errors: Vec::new(),
            first_sign_by: Some(Instant::now() + config.timing.first_sign),
        })
    }

    /// Returns the next piece of news. May be abandoned and called again; after `Ended` it returns
    /// that for ever.
    pub(crate) async fn next(&mut self) -> News {
        loop {
            if let Some(status) = self.statuses.pop_front() {
                return News::Status(status);
            }
            if let Some(how) = &self.ended {
                return News::Ended { reason: self.reason(how), orderly: self.exiting };
            }
            let silent_at = self.first_sign_by;
            tokio::select! {
                biased;
                bytes = read(&mut self.log) => match bytes {
                    Ok(bytes) => self.feed(&bytes),
                    Err(error) => {
                        tracing::warn!(machine = %self.dir.name(), %error, "cannot read the hostagent's events");
                        self.log = None;
                    }
                },
                exit = self.child.wait() => {
                    // What it said last is in the log by now.
                    while let Some(log) = &mut self.log {
                        match log.read_available() {
                            Ok(bytes) if !bytes.is_empty() => self.feed(&bytes),
                            _ => break,
                        }
                    }
                    self.ended = Some(match exit {
                        Ok(status) => status.to_string(),
                        Err(error) => format!("its end could not be observed: {error}"),
                    });
                }
                () = sleep_until(silent_at) => {
                    self.first_sign_by = None;
                    if !rdd_host::lock::is_held(&self.dir.ha_lock()).unwrap_or(false) {
                        return News::Silent;
                    }
                }
            }
        }
    }

    /// Waits until the process has ended; `false` if it has not at `deadline`. `tell` hears what the
    /// hostagent waits for.
    pub(crate) async fn ended_by(&mut self, deadline: Instant, mut tell: impl FnMut(Option<String>)) -> bool {
        loop {
            match tokio::time::timeout_at(deadline, self.next()).await {
                Ok(News::Ended { .. }) => return true,
                Ok(News::Status(status)) => tell(status.progress),
                Ok(News::Silent) => {}
                Err(_elapsed) => return self.ended.is_some(),
            }
        }
    }

    /// Returns how it says that it ended.
    pub(crate) fn last_words(&self) -> Option<&str> {
        self.last_words.as_deref()
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.unfinished.extend_from_slice(bytes);
        while let Some(end) = self.unfinished.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            let Ok(event) = serde_json::from_slice::<HostagentEvent>(&line) else { continue };
            self.first_sign_by = None;
            if event.status.exiting {
                self.exiting = true;
                self.last_words.clone_from(&event.status.progress);
            }
            if !event.status.errors.is_empty() {
                self.errors.clone_from(&event.status.errors);
            }
            self.statuses.push_back(event.status);
        }
    }

    fn reason(&self, how: &str) -> String {
        let said = match self.errors.as_slice() {
            [] => self
                .last_words
                .clone()
                .or_else(|| last_error(&self.dir.ha_stderr_log()))
                .or_else(|| cannot_write(&self.dir)),
            errors => Some(errors.join("; ")),
        };
        let log = self.dir.ha_stderr_log();
        match said {
            Some(text) => format!("{text} (hostagent ended with {how}, see {})", log.display()),
            None => format!("hostagent ended with {how} (see {})", log.display()),
        }
    }
}

async fn read(log: &mut Option<Follower>) -> std::io::Result<Vec<u8>> {
    match log {
        Some(log) => log.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Returns why a hostagent may have ended without a word: on a full disk it has no log to write to.
fn cannot_write(dir: &MachineDir) -> Option<String> {
    let probe = dir.file("probe.tmp");
    let written = files::write_whole(&probe, &[0; 4096], 0o600);
    let _gone = files::remove_file(&probe);
    written.err().map(|error| format!("cannot write in {}: {error}", dir.path().display()))
}

/// Returns the last error in a hostagent's log: JSON lines with `level` and `msg`, or anything that
/// a program prints before it dies.
fn last_error(log: &Path) -> Option<String> {
    let bytes = std::fs::read(log).ok()?;
    let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL)..]).into_owned();
    let mut plain = None;
    for line in tail.lines().rev().filter(|l| !l.trim().is_empty()) {
        let Ok(entry) = serde_json::from_str::<serde_json::Value>(line) else {
            plain.get_or_insert_with(|| line.trim().to_owned());
            continue;
        };
        let text = |key: &str| entry.get(key).and_then(serde_json::Value::as_str);
        if matches!(text("level"), Some("error" | "fatal" | "panic")) {
            return Some(match (text("msg").unwrap_or_default(), text("error")) {
                (message, Some(error)) => format!("{message}: {error}"),
                (message, None) => message.to_owned(),
            });
        }
    }
    plain
}

/// How long a request to a hostagent's socket may take.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("ha.stderr.log");
        assert_eq!(last_error(&log), None);
        std::fs::write(&log, "{\"title\":\"x\"}\nthread panicked\n").expect("written");
        assert_eq!(last_error(&log).as_deref(), Some("thread panicked"));
        let lines = "{\"level\":\"error\",\"msg\":\"old\"}\n{\"level\":\"fatal\",\"msg\":\"no disk\",\"error\":\"gone\"}\n{\"level\":\"info\",\"msg\":\"bye\"}\n";
        std::fs::write(&log, lines).expect("written");
        assert_eq!(last_error(&log).as_deref(), Some("no disk: gone"));
    }
}
