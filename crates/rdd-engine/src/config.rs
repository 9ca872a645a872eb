//! What the engine is handed at its start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdd_machine::Driver;
use rdd_machine_dir::LogPolicy;
use rdd_template::HostFacts;

use crate::images::Images;

/// What the engine is handed at its start.
pub struct EngineConfig {
    /// The directory of all machines.
    pub lima_home: PathBuf,
    /// The program and the first arguments of a hostagent, as in `rdd hostagent`.
    pub hostagent: Vec<OsString>,
    /// Let hostagents log in detail.
    pub debug: bool,
    /// The hypervisors there are.
    pub drivers: Vec<Arc<dyn Driver>>,
    /// Where disks and kernels come from.
    pub images: Arc<dyn Images>,
    /// What templates may ask about the host.
    pub host: HostFacts,
    /// How log files are kept.
    pub logs: LogPolicy,
    /// How long things may take.
    pub timing: Timing,
}

impl std::fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineConfig").field("lima_home", &self.lima_home).finish_non_exhaustive()
    }
}

/// How long things may take. Grace periods for guests come with what is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a hostagent may take from its start to its first sign of life.
    pub first_sign: Duration,
    /// How long a hostagent may take to let go of its VM.
    pub release: Duration,
    /// How long after a guest's grace period its hostagent may still take to end.
    pub stop_margin: Duration,
    /// How long each of the last rungs of a stop may take: `quit`, then kill.
    pub force: Duration,
    /// The wait after the first failed start.
    pub backoff_first: Duration,
    /// The longest wait between starts.
    pub backoff_limit: Duration,
    /// A machine that ran this long is healthy: the next failure counts as the first.
    pub stable_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first_sign: Duration::from_secs(30),
            release: Duration::from_secs(10),
            stop_margin: Duration::from_secs(10),
            force: Duration::from_secs(5),
            backoff_first: Duration::from_secs(1),
            backoff_limit: Duration::from_secs(300),
            stable_after: Duration::from_secs(60),
        }
    }
}
