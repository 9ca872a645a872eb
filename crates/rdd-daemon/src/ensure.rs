//! Automatic start: commands that need the API make sure that it runs.

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
}

/// Makes sure that the instance exists and that its service runs and is ready.
pub async fn ensure_running(instance: &Instance, launcher: &Launcher) -> Result<Connection, EnsureError> {
    let connection = Connection { kubeconfig: instance.paths().config.clone() };
    if !status(instance).await?.ready {
        start(instance, launcher, &StartOptions::until(Deadline::after(LIMIT))).await?;
    }
    Ok(connection)
}
