//! A home directory of its own, in which `rdd` runs with an environment of its own.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rdd_host::instance::{Instance, Os};
use rdd_host::lock;
use rdd_host::process::Handle;

use crate::machines;

/// The home of one test. What still runs in it at the end is ended, by its handle.
pub(crate) struct Sealed {
    home: tempfile::TempDir,
}

/// What a run of `rdd` left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    /// With `T` for times, `HOME` for the home and `PID` for the service's number.
    pub(crate) stderr: String,
}

impl Sealed {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::Builder::new().prefix("rdd").tempdir().expect("a directory") }
    }

    pub(crate) fn instance(&self) -> Instance {
        Instance::new("t", self.home(), Os::current(), None).expect("a good name")
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn path(&self, below_home: &str) -> PathBuf {
        self.home().join(below_home)
    }

    /// Describes a run. Nothing of the surroundings shows but the path to programs.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rdd"));
        command.args(args).current_dir(self.home()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.home()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TZ", "UTC").env("RDD_INSTANCE", "t").env("RDD_DEVELOPER_MODE", "false");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.finish(self.command(args))
    }

    /// Runs at level info, at which the verbs say what they did.
    pub(crate) fn run_talking(&self, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        command.env("RDD_LOG_LEVEL", "info");
        self.finish(command)
    }

    pub(crate) fn finish(&self, mut command: Command) -> Ran {
        let pid = self.service().map(|handle| handle.pid());
        let output = command.output().expect("rdd runs");
        let mut stderr = String::new();
        for line in String::from_utf8(output.stderr).expect("text").lines() {
            match line.strip_prefix("time=\"").and_then(|rest| rest.split_once('"')) {
                Some((_, rest)) => stderr.push_str(&format!("time=T{rest}\n")),
                None => stderr.push_str(&format!("{line}\n")),
            }
        }
        let stderr = stderr.replace(self.home().to_str().expect("text"), "HOME");
        let stderr = pid.map_or(stderr.clone(), |pid| stderr.replace(&pid.to_string(), "PID"));
        let stdout = String::from_utf8(output.stdout).expect("text");
        Ran { code: output.status.code().unwrap_or(-1), stdout, stderr }
    }

    /// Waits for the end of a program that may never come; then it is ended, and the test fails.
    #[track_caller]
    pub(crate) fn ends(&self, mut child: Child) -> Output {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut is_late = false;
        while !is_late && child.try_wait().expect("looked").is_none() {
            std::thread::sleep(Duration::from_millis(2));
            is_late = Instant::now() > deadline;
        }
        if is_late {
            child.kill().expect("sent");
        }
        let output = child.wait_with_output().expect("waited");
        assert!(!is_late, "it did not end: {output:?}; log: {}", self.log());
        output
    }

    /// Returns the service's process, if one runs.
    pub(crate) fn service(&self) -> Option<Handle> {
        let stream = UnixStream::connect(self.instance().paths().socket()).ok()?;
        Handle::of_peer(&stream).ok()
    }

    pub(crate) fn is_locked(&self) -> bool {
        lock::is_held(&self.instance().paths().lock()).expect("looked")
    }

    /// Waits for something that another process does.
    #[track_caller]
    pub(crate) fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline, "not seen in time: {what}; log: {}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends the service with its machines, and checks that nothing of them still runs.
    #[track_caller]
    pub(crate) fn ends_clean(self) {
        check(&self.run(&["svc", "stop", "--timeout=60s"]), 0, "");
        let machines = std::fs::read_dir(&self.instance().paths().lima_home).expect("listed");
        for machine in machines.map(|entry| entry.expect("listed").path()) {
            for file in ["ha.lock", "driver.lock"] {
                assert!(
                    !lock::is_held(&machine.join(file)).expect("looked"),
                    "{} is held",
                    machine.join(file).display()
                );
            }
        }
        assert!(machines::processes(&self).is_empty());
        check(&self.run(&["svc", "delete"]), 0, "");
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.instance().paths().stderr_log()).unwrap_or_default()
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        if let Some(service) = self.service() {
            service.kill().expect("sent");
            while self.is_locked() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        // Killing a hostagent leaves its VM, and the other way round.
        while Instant::now() < deadline {
            let processes = machines::processes(self);
            if processes.is_empty() {
                break;
            }
            processes.iter().for_each(|process| process.kill().expect("sent"));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Checks a run: its code, its standard error, and that standard output stayed empty.
#[track_caller]
pub(crate) fn check(ran: &Ran, code: i32, stderr: &str) {
    assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.as_str()), (code, stderr, ""));
}
