//! What goes to the writer thread, and what comes back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{Entry, Key, Revision};

/// What a write expects to find under its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// Nothing: the write creates.
    Absent,
    /// The entry that this revision wrote.
    Revision(Revision),
}

/// Why a write was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The key did not hold what the write expected.
    #[error("the key holds {}", found(.current))]
    Conflict {
        /// What it holds, durably.
        current: Option<Arc<Entry>>,
    },
    /// The disk did not take it: full, or failing. Reads and watches go on, and a later write may work.
    #[error("the store cannot write: {reason}")]
    Unavailable {
        /// What SQLite or the system said.
        reason: Arc<str>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

fn found(current: &Option<Arc<Entry>>) -> String {
    match current {
        Some(entry) => format!("revision {}", entry.revision),
        None => "nothing".to_owned(),
    }
}

/// One write on its way to the log.
pub(crate) struct Intent {
    pub(crate) key: Key,
    pub(crate) expect: Expect,
    pub(crate) change: Change,
}

pub(crate) enum Change {
    Put { bytes: Bytes, ttl: Option<Duration> },
    Delete,
}

pub(crate) type Written = Result<Arc<Entry>, WriteError>;

/// What the writer thread is asked.
pub(crate) enum Request {
    Write(Intent, oneshot::Sender<Written>),
    Compact(Revision, oneshot::Sender<Result<Revision, WriteError>>),
    Close(oneshot::Sender<()>),
}
