//! A running QEMU, held by its hostagent.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdd_host::process::{Child, Handle, Signal};
use rdd_machine::DriverError;
use rdd_machine::driver::{Vm, VmExit};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::output::Output;
use crate::qmp::{Qmp, QmpError};

/// The VM's process, reached in one of two ways.
pub(crate) enum Process {
    /// We started it, so we learn how it ended.
    Child(Child),
    /// We found it at the other end of its control socket, or as the holder of its lock.
    Peer(Handle),
}

impl Process {
    fn pid(&self) -> u32 {
        match self {
            Self::Child(child) => child.pid(),
            Self::Peer(handle) => handle.pid(),
        }
    }

    async fn wait(&self) -> Option<ExitStatus> {
        match self {
            // An error is the kernel's refusal to tell how it ended, so it has ended.
            Self::Child(child) => child.wait().await.ok(),
            Self::Peer(handle) => {
                handle.ended().await;
                None
            }
        }
    }

    fn signal(&self, signal: Signal) -> std::io::Result<()> {
        match self {
            Self::Child(child) => child.signal(signal),
            Self::Peer(handle) => handle.signal(signal),
        }
    }
}

/// A running QEMU. Dropping it lets go of the VM.
pub(crate) struct QemuVm {
    process: Arc<Process>,
    qmp: Arc<Qmp>,
    ssh_port: u16,
    exit: watch::Receiver<Option<VmExit>>,
    watcher: tokio::task::JoinHandle<()>,
}

impl Drop for QemuVm {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl QemuVm {
    /// Takes hold of a VM. `leftovers` are removed when it has ended.
    pub(crate) fn new(process: Process, qmp: Qmp, ssh_port: u16, output: Output, leftovers: Vec<PathBuf>) -> Self {
        let (process, qmp) = (Arc::new(process), Arc::new(qmp));
        let (ended, exit) = watch::channel(None);
        let watcher = tokio::spawn(watch_end(process.clone(), qmp.clone(), output, leftovers, ended));
        Self { process, qmp, ssh_port, exit, watcher }
    }
}

async fn watch_end(
    process: Arc<Process>,
    qmp: Arc<Qmp>,
    mut output: Output,
    leftovers: Vec<PathBuf>,
    ended: watch::Sender<Option<VmExit>>,
) {
    let status = process.wait().await;
    // QEMU's last words are in the socket; its end is what ends the reading.
    let _ = timeout(Duration::from_millis(500), qmp.drained()).await;
    output.log_news();
    for path in leftovers {
        let _ = std::fs::remove_file(path);
    }
    ended.send_replace(Some(judge(qmp.shutdown_reason(), status)));
}

/// Decides whether an end was orderly, from QEMU's last words and, for our child, its status.
fn judge(reason: Option<String>, status: Option<ExitStatus>) -> VmExit {
    let died = status.is_some_and(|s| !s.success());
    match (reason, status) {
        (Some(reason), Some(status)) if died => {
            VmExit { orderly: false, description: format!("{reason}, then {}", ended_by(status)) }
        }
        (Some(reason), _) => {
            let orderly = !matches!(reason.as_str(), "guest-panic" | "host-error");
            VmExit { orderly, description: reason }
        }
        (None, Some(status)) => VmExit { orderly: status.success(), description: ended_by(status) },
        (None, None) => VmExit { orderly: false, description: "the VM process ended without a word".into() },
    }
}

#[cfg(unix)]
fn ended_by(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (_, Some(signal)) => format!("killed by signal {signal}"),
        (code, None) => format!("exited with status {}", code.unwrap_or_default()),
    }
}

#[cfg(not(unix))]
fn ended_by(status: ExitStatus) -> String {
    format!("exited with status {}", status.code().unwrap_or_default())
}

#[async_trait]
impl Vm for QemuVm {
    fn pid(&self) -> Option<u32> {
        Some(self.process.pid())
    }

    fn ssh_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ssh_port).into()
    }

    async fn wait(&self) -> VmExit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone());
        // The watcher is aborted only by our own drop, and then nobody waits here.
        ended.expect("the watcher ends with the VM")
    }

    async fn power_down(&self) -> Result<(), DriverError> {
        self.qmp.execute("system_powerdown", json!({})).await.map(|_| ()).map_err(control("power down"))
    }

    async fn quit(&self) -> Result<(), DriverError> {
        match self.qmp.execute("quit", json!({})).await {
            // It may be gone before its answer is.
            Ok(_) | Err(QmpError::Closed) => Ok(()),
            Err(error) => Err(control("quit")(error)),
        }
    }

    async fn kill(&self) -> Result<(), DriverError> {
        self.process
            .signal(Signal::Kill)
            .map_err(|e| DriverError::Control { operation: "kill the VM process".into(), reason: e.to_string() })
    }
}

/// Turns a QMP error into the driver's.
pub(crate) fn control(operation: &str) -> impl Fn(QmpError) -> DriverError {
    let operation = operation.to_owned();
    move |error| {
        let reason = match &error {
            QmpError::Connect { source, .. } => format!("{error}: {source}"),
            other => other.to_string(),
        };
        DriverError::Control { operation: operation.clone(), reason }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn ends() {
        let ok = Some(ExitStatus::from_raw(0));
        let killed = Some(ExitStatus::from_raw(9));
        let check = |reason: Option<&str>, status, orderly, description: &str| {
            let exit = judge(reason.map(str::to_owned), status);
            assert_eq!(exit, VmExit { orderly, description: description.into() });
        };
        check(Some("guest-shutdown"), ok, true, "guest-shutdown");
        check(Some("host-qmp-quit"), None, true, "host-qmp-quit");
        check(Some("guest-panic"), ok, false, "guest-panic");
        check(None, killed, false, "killed by signal 9");
        check(None, Some(ExitStatus::from_raw(256)), false, "exited with status 1");
        check(Some("guest-shutdown"), killed, false, "guest-shutdown, then killed by signal 9");
        check(None, None, false, "the VM process ended without a word");
    }
}
