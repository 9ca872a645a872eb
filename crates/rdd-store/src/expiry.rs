//! Which entries expire when. Pure: the writer thread asks it how long it may sleep.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::Key;
use crate::options::{Millis, whole_millis};

/// The entries with a time to live, by their time.
pub(crate) struct Expiries {
    by_time: BTreeSet<(Millis, Key)>,
    /// Wake-ups happen at the ends of such spans.
    span: Duration,
}

impl Expiries {
    pub(crate) fn new(span: Duration) -> Expiries {
        Expiries { by_time: BTreeSet::new(), span }
    }

    /// Notes that the time at which a key's entry expires has changed.
    pub(crate) fn change(&mut self, key: &Key, before: Option<Millis>, after: Option<Millis>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, key.clone()));
        }
        if let Some(after) = after {
            self.by_time.insert((after, key.clone()));
        }
    }

    /// Returns the keys whose entries have expired, at most so many.
    pub(crate) fn due(&self, now: Millis, limit: usize) -> Vec<Key> {
        self.by_time.iter().take_while(|(at, _)| *at <= now).take(limit).map(|(_, key)| key.clone()).collect()
    }

    /// Returns how long to sleep until the next wake-up; `None` if nothing ever expires.
    pub(crate) fn sleep(&self, now: Millis) -> Option<Duration> {
        let (next, _) = self.by_time.first()?;
        let span = whole_millis(self.span).max(1);
        Some(now.until(Millis(next.0.div_ceil(span).saturating_mul(span))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_that_fall_together_share_a_wake_up() {
        let mut expiries = Expiries::new(Duration::from_secs(1));
        let key = |name| Key::new("", "events", Some("default"), name);
        assert_eq!(expiries.sleep(Millis(0)), None);
        expiries.change(&key("a"), None, Some(Millis(5100)));
        expiries.change(&key("b"), None, Some(Millis(5900)));
        expiries.change(&key("c"), None, Some(Millis(7000)));
        assert_eq!(expiries.sleep(Millis(4000)), Some(Duration::from_secs(2)));
        assert_eq!(expiries.due(Millis(6000), 10), [key("a"), key("b")]);
        assert_eq!(expiries.due(Millis(6000), 1), [key("a")]);
        expiries.change(&key("a"), Some(Millis(5100)), None);
        expiries.change(&key("b"), Some(Millis(5900)), Some(Millis(9000)));
        assert_eq!(expiries.sleep(Millis(7500)), Some(Duration::ZERO));
        assert_eq!(expiries.due(Millis(8000), 10), [key("c")]);
    }
}
