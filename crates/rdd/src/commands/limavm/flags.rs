//! Flags that the waiting verbs share.

use clap::{ArgAction, Args};
use rdd_daemon::Deadline;

use crate::commands::service::{Timeout, parse_bool, parse_timeout};

/// Whether to wait, and how long.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct WaitFlags {
    /// Wait until it is done
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", value_parser = parse_bool)]
    pub(super) wait: bool,

    /// How long to wait; 0 is without limit
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_timeout, allow_hyphen_values = true)]
    timeout: Timeout,
}

impl WaitFlags {
    /// Returns the deadline, counted from now.
    pub(super) fn deadline(self) -> Deadline {
        Deadline::after_some(self.timeout.0)
    }
}
