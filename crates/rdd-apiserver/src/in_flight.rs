//! How many requests are answered at a time. What is too much is refused at once, for the client to come again.

use std::sync::Arc;

use rdd_api::{Reason, Status};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many requests a server answers at a time; more are refused with 429.
///
/// A request counts until its answer begins. Watches and long lists go on at the pace of their readers, and count no
/// more then: who reads slowly keeps nobody out. The defaults are Kubernetes'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that only read: 400.
    pub reads: usize,
    /// All others: 200.
    pub writes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { reads: 400, writes: 200 }
    }
}

/// The places for requests.
#[derive(Debug)]
pub(crate) struct InFlight {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

impl InFlight {
    pub(crate) fn new(limits: Limits) -> Self {
        let places = |limit: usize| Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
        Self { reads: places(limits.reads), writes: places(limits.writes) }
    }

    /// Takes a place for a request with this verb, or refuses it.
    pub(crate) fn begin(&self, verb: &str) -> Result<OwnedSemaphorePermit, Status> {
        let reads = matches!(verb, "get" | "list" | "watch" | "head" | "options");
        let places = if reads { &self.reads } else { &self.writes };
        places.clone().try_acquire_owned().map_err(|_| {
            let message = "Too many requests, please try again later.";
            let mut status = Status::new(429, Reason::TOO_MANY_REQUESTS, message);
            status.details.get_or_insert_default().retry_after_seconds = 1;
            status
        })
    }
}
