//! A sealed home directory with an instance of its own in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// What a finished command left.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl Output {
    /// Returns the exit code.
    ///
    /// # Panics
    ///
    /// If a signal ended the command.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:#?}"))
    }

    /// Returns standard output.
    ///
    /// # Panics
    ///
    /// Unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{self:#?}");
        self.stdout
    }
}

/// A home directory that nothing outside sees, for one instance.
///
/// Dropping it deletes the instance, VMs included, with a deadline; a test that panics leaves no
/// process behind either.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
    rdd: PathBuf,
}

impl Home {
    /// Makes a home.
    pub fn new() -> Self {
        // Directly below the system's directory for temporary files: socket paths must stay short.
        let dir = tempfile::Builder::new().prefix("rdd").tempdir().expect("a temporary directory can be made");
        Self { dir, rdd: built("rdd") }
    }

    /// Returns the home directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns a command that sees this home and nothing else of the environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.path()).stdin(Stdio::null());
        command.env("HOME", self.path()).env("RDD_INSTANCE", "t").env("RDD_LOG_LEVEL", "info");
        for name in ["PATH", "RDD_ACCEL", "TMPDIR", "LANG", "TZ"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Returns an `rdd` command line.
    pub fn rdd_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(&self.rdd);
        command.args(args);
        command
    }

    /// Runs `rdd`.
    pub fn rdd(&self, args: &[&str]) -> Output {
        finish(&mut self.rdd_command(args))
    }

    /// Runs a kubectl with this instance's kubeconfig, which must be there.
    pub fn kubectl(&self, kubectl: impl AsRef<OsStr>, args: &[&str]) -> Output {
        let mut command = self.command(kubectl);
        command.arg("--kubeconfig").arg(self.kubeconfig()).arg("--cache-dir").arg(self.path().join("kube-cache"));
        finish(command.args(args))
    }

    /// Returns where the service writes its kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path().join(".local/share/rancher-desktop-t/config.yaml")
    }

    /// Returns where the machines' directories are.
    pub fn lima_home(&self) -> PathBuf {
        self.path().join(".rdt/lima")
    }

    /// Writes a file into the home and returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("the home can be written to");
        path.to_str().expect("a temporary path is UTF-8").to_owned()
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let mut delete = self.rdd_command(&["svc", "delete", "--timeout=60s"]);
        let Ok(mut child) = delete.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else { return };
        let deadline = std::time::Instant::now() + Duration::from_secs(90);
        while std::time::Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Runs a command to its end.
fn finish(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Returns a program that was built with the tests: `target/PROFILE/deps/TEST` → `target/PROFILE/PROGRAM`.
fn built(program: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let dir = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps");
    let path = dir.join(program);
    assert!(path.is_file(), "{} is not built\nhint: run the tests by `cargo xtask test`", path.display());
    path
}
