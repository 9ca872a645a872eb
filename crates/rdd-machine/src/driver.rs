//! What a driver must be able to do, and what a running VM is to its hostagent.
//!
//! A driver knows one hypervisor. It is stateless: what it knows of a machine it reads from the
//! machine's directory and from the VM itself, so that any process may ask at any time.
//!
//! # Guarantees that drivers give
//!
//! - A VM's process is reached by a handle that cannot go stale: the child just spawned, or the peer
//!   of its control socket. A number read from a file is never signalled.
//! - The VM process is in a session and process group of its own and inherits a descriptor on which
//!   the machine's driver lock is held, so [`Driver::is_alive`] is a question for the kernel.
//! - Dropping a [`Vm`] lets go of it: the VM runs on.

use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::config::MachineConfig;

/// Something in a configuration that this driver cannot do on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The template's field, as in `mountType`.
    pub field: String,
    /// Reason and hint.
    pub message: String,
}

/// Why a driver could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The hypervisor is not installed, or not usable.
    #[error("{program} is not usable: {reason}")]
    NotUsable {
        /// The program, as in `qemu-system-x86_64`.
        program: String,
        /// Reason and hint.
        reason: String,
    },
    /// The VM process ended before it could be controlled.
    #[error("{program} exited during start ({status}): {output}")]
    ExitedEarly {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// What it printed last.
        output: String,
    },
    /// The machine runs already.
    #[error("machine {0:?} is already running")]
    AlreadyRunning(String),
    /// The loopback port for SSH is in use; another port may do.
    #[error("port {port} on 127.0.0.1 is already in use")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// The VM could not be reached.
    #[error("cannot {operation}: {reason}")]
    Control {
        /// What was tried, as in `connect to qmp.sock`.
        operation: String,
        /// Why it failed.
        reason: String,
    },
    /// A file of the machine could not be used.
    #[error("cannot {operation} {path}")]
    File {
        /// What was tried, as in `open`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The driver's simulator was told to fail here, or something else went wrong.
    #[error("{0}")]
    Other(String),
}

/// How a VM ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmExit {
    /// Whether the guest or we asked for it: a power-off, or `quit`. Otherwise it crashed.
    pub orderly: bool,
    /// In words, for logs and conditions: `guest-shutdown`, `killed by signal 9`.
    pub description: String,
}

/// What a start needs besides the configuration.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The NoCloud seed image.
    pub seed: PathBuf,
    /// The loopback port that must lead to the guest's port 22. If it is taken, `start` fails with
    /// [`DriverError::PortTaken`] and the caller tries another.
    pub ssh_port: u16,
}

/// A hypervisor.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Returns the `vmType` that this driver serves.
    fn vm_type(&self) -> &'static str;

    /// Returns what this driver cannot do on this host. Asked at admission and before each start;
    /// quick, and starts no process.
    fn check(&self, config: &MachineConfig) -> Vec<ConfigProblem>;

    /// Returns whether a VM process of this machine is alive: by its lock, or, if somebody has removed
    /// that file, by who listens at its control socket.
    fn is_alive(&self, config: &MachineConfig) -> Result<bool, DriverError>;

    /// Starts the VM and returns when it can be controlled (not when the guest is up).
    async fn start(&self, config: &MachineConfig, options: &StartOptions) -> Result<Box<dyn Vm>, DriverError>;

    /// Takes over the VM that runs already; `None` if none does. A VM that is alive and does not
    /// answer is returned as well, so that it can be killed; its SSH port is 0 then.
    async fn attach(&self, config: &MachineConfig) -> Result<Option<Box<dyn Vm>>, DriverError>;

    /// Frees what the machine holds outside its directory (a WSL2 distribution). The VM is off.
    async fn release(&self, config: &MachineConfig) -> Result<(), DriverError>;
}

/// A running VM, held by its hostagent.
#[async_trait]
pub trait Vm: Send + Sync {
    /// Returns the process id, for people and for files that other programs read.
    fn pid(&self) -> Option<u32>;

    /// Returns where the guest's SSH server is reached.
    fn ssh_address(&self) -> SocketAddr;

    /// Returns when the VM has ended and its process is gone; at once if it ended before. May be
    /// called by several tasks.
    async fn wait(&self) -> VmExit;

    /// Asks the guest to power off (ACPI). Returns when the request is delivered, not when it is
    /// obeyed; a guest that still boots loses it, so callers repeat it.
    async fn power_down(&self) -> Result<(), DriverError>;

    /// Ends the VM at once, with its disks flushed.
    async fn quit(&self) -> Result<(), DriverError>;

    /// Kills the VM's process through its handle.
    async fn kill(&self) -> Result<(), DriverError>;
}
