//! What a hostagent reports on its standard output, one JSON object per line.
//!
//! Wire format: Lima's `pkg/hostagent/events` (VM engine specification §3.17). Programs other than
//! ours read these lines from `ha.stdout.log`.

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostagentEvent {
    /// When it happened: RFC 3339 with nanoseconds.
    pub time: String,
    /// The state after the event.
    pub status: HostagentStatus,
}

/// The state that an event carries. Every key is left out while it has its zero value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostagentStatus {
    /// All start routines are done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub running: bool,
    /// Running, but something failed; see `errors`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub degraded: bool,
    /// The hostagent ends. The last event of every orderly end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exiting: bool,
    /// What failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// The loopback port that leads to the guest's SSH server.
    #[serde(rename = "sshLocalPort", skip_serializing_if = "is_zero")]
    pub ssh_local_port: u16,
    /// What the start waits for, in words. Our addition; other readers ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
}

fn is_zero(n: &u16) -> bool {
    *n == 0
}

/// The answer of `GET /v1/info` on a hostagent's socket (VM engine specification §3.16).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostagentInfo {
    /// The loopback port that leads to the guest's SSH server; 0 until it is known.
    #[serde(default)]
    pub ssh_local_port: u16,
    /// How the machine was started automatically, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_started_identifier: Option<String>,
}
