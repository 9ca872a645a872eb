//! Where a slow piece of work stands.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Another process, or another task, gets the same file; we wait for it.
    Waiting,
    /// Bytes come from the network.
    Downloading,
    /// The digest of what we have is computed.
    Verifying,
    /// The file is copied, or decompressed, to where it is wanted.
    Unpacking,
}

/// A report. Reports of one file come in order; there are at most about ten a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The URL or path of the file.
    pub location: String,
    /// What is being done.
    pub stage: Stage,
    /// Bytes done. For a compressed file these are bytes of the compressed one.
    pub done: u64,
    /// Bytes in all, if known.
    pub total: Option<u64>,
}

/// Reports about one file, not too often.
pub(crate) struct Reporter<'a> {
    location: &'a str,
    report: &'a (dyn Fn(Progress) + Send + Sync),
    last: Mutex<Option<(Stage, Instant)>>,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(location: &'a str, report: &'a (dyn Fn(Progress) + Send + Sync)) -> Self {
        Self { location, report, last: Mutex::new(None) }
    }

    /// Reports, unless this stage was reported a moment ago and is not done yet.
    pub(crate) fn report(&self, stage: Stage, done: u64, total: Option<u64>) {
        let now = Instant::now();
        {
            let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let is_recent = |(of, at): (Stage, Instant)| of == stage && now - at < Duration::from_millis(100);
            if last.is_some_and(is_recent) && Some(done) != total {
                return;
            }
            *last = Some((stage, now));
        }
        (self.report)(Progress { location: self.location.to_owned(), stage, done, total });
    }
}
