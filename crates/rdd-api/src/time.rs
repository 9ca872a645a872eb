//! Time as the API writes it, and the clock as a value that is handed in.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;

/// Tells the time. Handed to whoever needs it, so that a test can hold it still.
pub trait Clock: Send + Sync + 'static {
    /// Returns the present moment.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that moves only when told to. For tests.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

impl ManualClock {
    /// Makes a clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: std::time::Duration) {
        let mut now = self.0.lock().expect("no holder of this lock panics");
        *now += jiff::SignedDuration::try_from(by).expect("a test's step fits");
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no holder of this lock panics")
    }
}

/// Prints `metav1.Time`: RFC 3339, UTC, whole seconds.
pub fn format_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Prints `metav1.MicroTime`: RFC 3339, UTC, six decimals.
pub fn format_micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads an RFC 3339 time.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_width_that_clients_expect() {
        let at: Timestamp = "2025-01-01T00:00:00.5Z".parse().expect("a time");
        assert_eq!(format_time(at), "2025-01-01T00:00:00Z");
        assert_eq!(format_micro_time(at), "2025-01-01T00:00:00.500000Z");
        assert_eq!(parse_time("2025-01-01T01:00:00.5+01:00"), Some(at));
    }
}
