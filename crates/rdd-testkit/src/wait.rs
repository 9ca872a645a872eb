//! Waiting for a level, with a deadline that all waits of a test share if they are given the same.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How often a level is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` returns `Ok`, and returns its value.
///
/// # Panics
///
/// After `limit`, with `what` was waited for and what was seen last.
pub fn wait_until<T, Seen: Debug>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, Seen>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) => assert!(start.elapsed() < limit, "waited {limit:?} for {what}; last seen: {seen:#?}"),
        }
        std::thread::sleep(PAUSE);
    }
}
