//! Flags that the waiting verbs share.

use clap::{ArgAction, Args};
use rdd_daemon::Deadline;

use crate::context::parse_bool;
use crate::duration::{Limit, parse_limit};

/// Whether to wait, and how long.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct WaitFlags {
    /// Wait until it is done
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", value_parser = truth)]
    pub(super) wait: bool,

    /// How long to wait; 0 is without limit
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = timeout, allow_hyphen_values = true)]
    timeout: Timeout,
}

impl WaitFlags {
    /// Returns the deadline, counted from now.
    pub(super) fn deadline(self) -> Deadline {
        Deadline::after_some(self.timeout.0)
    }
}

/// A limit, in a shape that does not look like a missing argument to clap.
#[derive(Clone, Copy, Debug)]
struct Timeout(Limit);

fn timeout(text: &str) -> Result<Timeout, String> {
    parse_limit(text).map(Timeout)
}

fn truth(text: &str) -> Result<bool, String> {
    parse_bool(text).ok_or_else(|| format!("{text:?} is neither true nor false"))
}
