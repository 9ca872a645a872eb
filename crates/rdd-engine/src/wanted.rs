//! What is wanted of a machine.

use std::sync::Arc;
use std::time::Duration;

/// What is wanted of a machine. A level, not a command: said twice it means the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing is known to be wanted: the machine is left alone, running or not.
    #[default]
    Nothing,
    /// It exists, with its disk, made from this template if it is not there yet.
    Exists(Arc<str>),
    /// It runs.
    On,
    /// It is off. The guest has this long to power off by itself.
    Off {
        /// The guest's grace period.
        grace: Duration,
    },
    /// It is gone, with its directory. The guest has this long to power off by itself.
    Removed {
        /// The guest's grace period.
        grace: Duration,
    },
}

/// What an actor is told: what is wanted, and how the engine itself goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    /// What the caller wants.
    pub(crate) wanted: Wanted,
    /// Grows when a reason to wait after a failure may be gone, such as with a new template.
    pub(crate) encouraged: u64,
    /// Set once, when the engine ends.
    pub(crate) last: Option<Last>,
}

/// How an actor ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Last {
    /// Stop the machine, then end.
    Stop { grace: Duration },
    /// End; the machine runs on.
    Leave,
}
