//! Why a hostagent fails: what its inputs and its run have in common.

use std::io;
use std::path::PathBuf;

use rdd_machine::DriverError;

/// Why a hostagent failed. Exit status 1, whichever it is.
#[derive(Debug, thiserror::Error)]
pub enum HostagentError {
    /// Another one holds the machine's lock.
    #[error("another hostagent is running for machine {0:?}")]
    AlreadyRunning(String),
    /// A file could not be used.
    #[error("cannot {operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The template is not good.
    #[error(transparent)]
    Template(#[from] rdd_template::TemplateError),
    /// The user's SSH keys cannot be had.
    #[error(transparent)]
    Keys(#[from] rdd_link::KeyError),
    /// The template names a driver that is not built in.
    #[error("no driver for vmType {0:?}")]
    NoDriver(String),
    /// The driver cannot do what the template wants.
    #[error("{0}")]
    NotSupported(String),
    /// The port that the template asks for is taken.
    #[error("ssh.localPort {port} is already in use on 127.0.0.1; leave it out to have a free one chosen")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// The VM could not be started or reached.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The VM ended, and nobody asked for it.
    #[error("the VM ended unexpectedly: {0}")]
    VmDied(String),
    /// Signals cannot be received.
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
}
