//! What is said over `fake.sock`: JSON lines, the VM's greeting first.

use serde::{Deserialize, Serialize};

/// The socket, in the machine's directory.
pub(crate) const SOCKET: &str = "fake.sock";
/// The process id, for people.
pub(crate) const VM_TYPE: &str = "fake";

/// QEMU's words for a port that is taken.
pub(crate) fn port_taken_words(port: u16) -> String {
    format!("Could not set up host forwarding rule 'tcp:127.0.0.1:{port}-:22'")
}

/// What a driver asks of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Command {
    /// Press the power button.
    PowerDown,
    /// End at once, disks flushed.
    Quit,
}

/// One line from the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) command: Command,
}

/// One line from the VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Message {
    /// The greeting.
    #[serde(rename_all = "camelCase")]
    Hello { ssh_port: u16 },
    /// A request was heard.
    Heard { id: u64 },
    /// The VM ends, for this reason.
    Ends { reason: String },
}
