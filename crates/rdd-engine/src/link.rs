//! The engine's side of a hostagent's socket: asking for a stop, asking to let go, and finding out
//! which process is at the other end.

use std::path::Path;
use std::time::Duration;

use rdd_host::process::Handle;
use rdd_hostagent::client::{Client, StopRequest};
use rdd_machine_dir::MachineDir;
use tokio::net::UnixStream;

/// A hostagent could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the hostagent does not answer on its socket: {0}")]
pub(crate) struct NoAnswer(String);

impl NoAnswer {
    fn new(error: impl std::error::Error) -> Self {
        Self(rdd_host::logs::chain(&error))
    }
}

/// Asks the hostagent to stop its VM within `grace`, and to end. Returns when it has agreed.
pub(crate) async fn ask_to_stop(socket: &Path, grace: Duration, force: bool) -> Result<(), NoAnswer> {
    Client::new(socket).stop(&StopRequest { grace, force }).await.map_err(NoAnswer::new)
}

/// Asks the hostagent to end and to leave its VM alone. Returns when it has agreed.
pub(crate) async fn ask_to_release(socket: &Path) -> Result<(), NoAnswer> {
    Client::new(socket).release().await.map_err(NoAnswer::new)
}

/// Returns the process that holds the hostagent's lock, for a hostagent that is not our child and whose
/// socket leads nowhere, because somebody removed it or put something in its place.
pub(crate) async fn lock_holder(dir: &MachineDir) -> Result<Handle, NoAnswer> {
    let lock = dir.ha_lock();
    // It looks at every process there is.
    let found = tokio::task::spawn_blocking(move || Handle::of_lock_holder(&lock)).await.map_err(NoAnswer::new)?;
    found.map_err(NoAnswer::new)?.ok_or_else(|| NoAnswer("nobody is found who holds its lock".to_owned()))
}

/// Returns the process that listens on the socket: the ordinary way to a hostagent that is not our child.
pub(crate) async fn peer(socket: &Path) -> Result<Handle, NoAnswer> {
    let stream = UnixStream::connect(socket).await.map_err(NoAnswer::new)?;
    Handle::of_peer(&stream).map_err(NoAnswer::new)
}
