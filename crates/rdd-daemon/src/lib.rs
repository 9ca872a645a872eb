//! The service: the foreground process that is the control plane ([`serve()`]), and what other
//! processes do to it ([`create()`], [`start()`], [`stop()`], [`delete()`], [`status()`], [`ensure_running`]).
//!
//! The commands of `rdd` call it; it prints nothing, but logs what people should read. It wires the
//! other rooms together and has no meaning of its own: nothing calls it from below.
//!
//! # How the two sides know of each other
//!
//! The service holds the lock of its instance for its whole life, so "does it run" is a question
//! for the kernel. It listens on a control socket, says there how far it is, and is asked there to
//! stop; the peer of that socket is the process to signal if it does not. Whoever starts it hears the same through a pipe. Nobody trusts
//! the process id in a file, and nobody polls.

mod backup;
mod board;
mod create;
mod deadline;
mod delete;
mod ensure;
mod orphans;
mod peer;
mod selection;
mod serve;
mod settings;
mod start;
mod status;
mod stop;

pub use backup::{BackupError, RUNNING_HINT, backup, restore};
pub use create::{CreateError, CreateOptions, create};
pub use deadline::{Deadline, DeadlineExceeded};
pub use delete::{DeleteError, delete};
pub use ensure::{Connection, EnsureError, ensure_running};
pub use peer::{PeerError, SILENT_HINT};
pub use serve::{MachineOptions, MachinesError, PlaneError, ResidenceError, ServeError, ServeOptions, serve};
pub use settings::{CheckArguments, SettingsError, exists};
pub use start::{Launcher, StartError, StartOptions, start};
pub use status::{Status, StatusError, status};
pub use stop::{ORPHANS_HINT, StopError, StopOptions, stop};
