//! How long things may take.

use std::time::Duration;

use crate::protocol::DEFAULT_GRACE;

/// How long things may take. All of it is data, so that tests need no patience.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Until the first login succeeds.
    pub login: Duration,
    /// One attempt to log in, once the server has begun to speak.
    pub login_attempt: Duration,
    /// Until a mark of the boot is there.
    pub mark: Duration,
    /// How long the guest is asked to wait for a mark before it answers.
    pub mark_attempt: Duration,
    /// Until a probe succeeds.
    pub probe: Duration,
    /// One run of a probe.
    pub probe_attempt: Duration,
    /// The pause between two runs of a probe.
    pub probe_pause: Duration,
    /// The grace period of a signal.
    pub grace: Duration,
    /// Between two power-downs: a guest that boots loses them.
    pub power_down_again: Duration,
    /// How long the guest is only asked by its power button before it is asked over SSH as well.
    pub before_ssh: Duration,
    /// What is kept of a grace period for `quit` and kill.
    pub force: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            login: Duration::from_secs(600),
            login_attempt: Duration::from_secs(30),
            mark: Duration::from_secs(600),
            mark_attempt: Duration::from_secs(30),
            probe: Duration::from_secs(600),
            probe_attempt: Duration::from_secs(60),
            probe_pause: Duration::from_secs(1),
            grace: DEFAULT_GRACE,
            power_down_again: Duration::from_secs(3),
            before_ssh: Duration::from_secs(15),
            force: Duration::from_secs(6),
        }
    }
}
