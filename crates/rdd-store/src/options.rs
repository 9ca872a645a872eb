//! What the owner of a store decides: where it lies, and how much of its past it keeps.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a store lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Location {
    /// In a file, with its journal and its lock (`<file>.lock`) beside it. The directory must exist.
    File(PathBuf),
    /// In memory, and gone when the store is closed: for tests and embedders.
    Memory,
}

/// How a store behaves. The defaults are those of a control plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// History is kept at least this long.
    pub history: Duration,
    /// And at least this many revisions of it.
    pub min_revisions: u64,
    /// How many revisions one step of compaction handles; nothing is compacted before a whole step is due.
    pub compaction_step: u64,
    /// About how many bytes of history are kept in memory; older history is read from disk.
    pub history_bytes: usize,
    /// At most this many writes share one commit.
    pub batch_writes: usize,
    /// And at most about this many bytes.
    pub batch_bytes: usize,
    /// Expiries wait for the end of such a span of time, so that those which fall together share one wake-up.
    pub expiry_span: Duration,
    /// After a failed expiry or compaction, how long until it is tried again.
    pub retry: Duration,
    /// What time it is.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            history: Duration::from_secs(5 * 60),
            min_revisions: 1000,
            compaction_step: 500,
            history_bytes: 64 << 20,
            batch_writes: 1000,
            batch_bytes: 4 << 20,
            expiry_span: Duration::from_secs(1),
            retry: Duration::from_secs(5),
            clock: Clock::system(),
        }
    }
}

/// Tells the time of day.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// Returns the clock of the system.
    pub fn system() -> Clock {
        Clock::new(SystemTime::now)
    }

    /// Returns a clock that asks the given function.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    pub(crate) fn now(&self) -> Millis {
        Millis::of((self.0)())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// A time of day as the log keeps it: milliseconds since the epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Millis(pub(crate) u64);

impl Millis {
    pub(crate) fn of(time: SystemTime) -> Millis {
        Millis(time.duration_since(UNIX_EPOCH).map_or(0, whole_millis))
    }

    /// Returns the time of day; what no clock can show becomes the far future it meant.
    pub(crate) fn time(self) -> SystemTime {
        // The year 9999: far beyond any real time to live, and representable on every platform.
        const FAR: u64 = 253_402_300_799_000;
        UNIX_EPOCH + Duration::from_millis(self.0.min(FAR))
    }

    pub(crate) fn plus(self, span: Duration) -> Millis {
        Millis(self.0.saturating_add(whole_millis(span)))
    }

    pub(crate) fn minus(self, span: Duration) -> Millis {
        Millis(self.0.saturating_sub(whole_millis(span)))
    }

    pub(crate) fn until(self, later: Millis) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

pub(crate) fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
