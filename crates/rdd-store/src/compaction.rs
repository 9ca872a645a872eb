//! How far back history may be forgotten. Pure: the writer thread asks it after each commit.

use std::collections::VecDeque;
use std::time::Duration;

use crate::options::Millis;

/// How finely the window is measured: in so many parts.
const PARTS: u32 = 100;

/// Knows about when which revision was committed, as far as the window goes.
pub(crate) struct Retention {
    /// A revision and when it was committed, oldest first, at most one per part of the window.
    marks: VecDeque<(u64, Millis)>,
    history: Duration,
    min_revisions: u64,
}

impl Retention {
    pub(crate) fn new(history: Duration, min_revisions: u64) -> Retention {
        Retention { marks: VecDeque::new(), history, min_revisions }
    }

    /// Notes a commit.
    pub(crate) fn committed(&mut self, revision: u64, at: Millis) {
        // A clock that was set back makes history seem younger than it is, which only keeps it longer.
        if self.marks.back().is_none_or(|(_, last)| last.plus(self.history / PARTS) <= at) {
            self.marks.push_back((revision, at));
        }
    }

    /// Returns the revision up to which history may be forgotten; 0 if none may.
    pub(crate) fn limit(&mut self, current: u64, now: Millis) -> u64 {
        let cutoff = now.minus(self.history);
        while self.marks.len() > 1 && self.marks[1].1 <= cutoff {
            self.marks.pop_front();
        }
        match self.marks.front() {
            Some((revision, at)) if *at <= cutoff => (*revision).min(current.saturating_sub(self.min_revisions)),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_kept_by_time_and_by_number() {
        let mut retention = Retention::new(Duration::from_secs(100), 10);
        for second in 0..200 {
            retention.committed(second + 2, Millis(second * 1000));
        }
        // Old enough: what was committed at second 99 or before.
        assert_eq!(retention.limit(201, Millis(199_000)), 101);
        // Long after, the number decides.
        assert_eq!(retention.limit(201, Millis(10_000_000)), 191);
    }

    #[test]
    fn a_young_history_is_kept_whole() {
        let mut retention = Retention::new(Duration::from_secs(100), 10);
        for revision in 2..1000 {
            retention.committed(revision, Millis(1000));
        }
        assert_eq!(retention.limit(1000, Millis(100_000)), 0);
        // One mark stands for all that was committed in its part of the window: forgetting is late, never early.
        assert_eq!(retention.limit(1000, Millis(101_000)), 2);
    }
}
