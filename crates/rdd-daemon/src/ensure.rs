//! Automatic start: commands that need the API make sure that it runs.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rdd_host::instance::Instance;

use crate::deadline::Deadline;
use crate::start::{Launcher, StartError, StartOptions, start};
use crate::status::{StatusError, status};

/// How long an automatic start may take, whatever limits the command itself has.
const LIMIT: Duration = Duration::from_secs(90);

/// How to reach a service that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The kubeconfig: server, certificate, tokens.
    pub kubeconfig: PathBuf,
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// It could not be asked.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It runs, and how to reach it cannot be read: somebody has removed the file.
    #[error("cannot read {path}")]
    Kubeconfig {
        /// The kubeconfig.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Makes sure that the instance exists and that its service runs and is ready.
pub async fn ensure_running(instance: &Instance, launcher: &Launcher) -> Result<Connection, EnsureError> {
    ensure_by(instance, launcher, Deadline::after(LIMIT)).await
}

async fn ensure_by(instance: &Instance, launcher: &Launcher, deadline: Deadline) -> Result<Connection, EnsureError> {
    let connection = Connection { kubeconfig: instance.paths().config.clone() };
    let status = status(instance).await?;
    if status.ready {
        launcher.compare(instance, status.version.as_deref());
    } else {
        start(instance, launcher, &StartOptions::until(deadline)).await?;
    }
    // Only a service that starts writes it: the tokens are nowhere else.
    let path = connection.kubeconfig.clone();
    File::open(&path).map_err(|source| EnsureError::Kubeconfig { path, source })?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use rdd_host::files;
    use rdd_host::instance::Os;
    use rdd_host::lock::FileLock;

    use super::*;

    #[tokio::test]
    async fn a_service_that_does_not_answer_is_waited_for_until_the_deadline() {
        let home = tempfile::tempdir().expect("a directory");
        let instance = Instance::new("t", home.path(), Os::current(), None).expect("a good name");
        for directory in [&instance.paths().dir, &instance.paths().short_dir] {
            files::make_private_dir(directory).expect("made");
        }
        std::fs::write(&instance.paths().args_file, "[]").expect("written");
        // A service under SIGSTOP: it has its lock, and the kernel still takes connections for it.
        let _lock = FileLock::try_acquire(&instance.paths().lock()).expect("free");
        let _socket = std::os::unix::net::UnixListener::bind(instance.paths().socket()).expect("bound");
        let launcher =
            Launcher { program: "/nonexistent".into(), verbosity: 0, check: |_| Ok(()), version: String::new() };
        let ensured = ensure_by(&instance, &launcher, Deadline::after(Duration::from_millis(100)));
        let limit = Duration::from_secs(20);
        let ensured = tokio::time::timeout(limit, ensured).await.expect("it does not wait for ever");
        assert!(matches!(ensured, Err(EnsureError::Start(StartError::Deadline { .. }))), "{ensured:?}");
    }
}
