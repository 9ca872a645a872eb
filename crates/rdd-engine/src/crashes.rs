//! How long to wait before the next start, from how the last ones went.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Timing;

/// The failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Crashes {
    in_a_row: u32,
    next: Option<Instant>,
    error: String,
}

impl Crashes {
    /// Notes a failure. `ran_for` says how long the machine had been ready before, if it was.
    ///
    /// A machine that crashed once is started again at once; what fails to start, or crashes again
    /// before it ran for a while, waits longer and longer.
    pub(crate) fn failed(&mut self, error: String, ran_for: Option<Duration>, now: Instant, timing: &Timing) {
        if ran_for.is_some_and(|d| d >= timing.stable_after) {
            self.in_a_row = 0;
        }
        let excused = u32::from(ran_for.is_some());
        self.in_a_row = self.in_a_row.saturating_add(1);
        let doublings = self.in_a_row.saturating_sub(excused);
        let delay = match doublings {
            0 => Duration::ZERO,
            n => timing.backoff_first.saturating_mul(1_u32.checked_shl(n - 1).unwrap_or(u32::MAX)),
        };
        self.next = Some(now + delay.min(timing.backoff_limit));
        self.error = error;
    }

    /// Returns how long to wait still, and why; `None` if it is time to try.
    pub(crate) fn wait(&self, now: Instant) -> Option<(Instant, String)> {
        let next = self.next.filter(|at| *at > now)?;
        let seconds = next.duration_since(now).as_secs_f32().ceil();
        let again = match self.in_a_row {
            0 | 1 => format!("next try in {seconds} s"),
            n => format!("{n} failures in a row, next try in {seconds} s"),
        };
        Some((next, format!("{}; {again}", self.error)))
    }

    /// Forgets the wait, not the count: something changed that may help.
    pub(crate) fn encourage(&mut self) {
        self.next = None;
    }

    /// Forgets everything: the machine was stopped on purpose.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_begin_anew_after_a_good_run() {
        let timing = Timing::default();
        let mut crashes = Crashes::default();
        let now = Instant::now();
        let waits = |crashes: &mut Crashes, ran: Option<u64>| {
            crashes.failed("broken".into(), ran.map(Duration::from_secs), now, &timing);
            crashes.wait(now).map_or(0, |(at, _)| at.duration_since(now).as_secs())
        };
        assert_eq!(waits(&mut crashes, Some(5)), 0, "the first crash is forgiven");
        assert_eq!(waits(&mut crashes, Some(5)), 1);
        assert_eq!(waits(&mut crashes, Some(5)), 2);
        assert_eq!(waits(&mut crashes, None), 8, "a start that fails is worse than a run that crashes");
        assert_eq!(waits(&mut crashes, Some(3600)), 0, "it was healthy for long");
        for _ in 0..20 {
            waits(&mut crashes, None);
        }
        assert_eq!(waits(&mut crashes, None), 300);
        let (_, text) = crashes.wait(now).expect("a wait");
        assert_eq!(text, "broken; 22 failures in a row, next try in 300 s");
        crashes.forget();
        assert_eq!(waits(&mut crashes, None), 1);
    }
}
