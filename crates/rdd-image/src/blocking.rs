//! Work that blocks, on a thread of its own, and ends soon after nobody waits for it any more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the work and the one who waits for it share.
#[derive(Clone, Default)]
pub(crate) struct Job {
    cancelled: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

impl Job {
    /// Fails if nobody waits for the work any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.cancelled.load(Ordering::Relaxed) {
            true => Err(io::Error::new(io::ErrorKind::Interrupted, "cancelled")),
            false => Ok(()),
        }
    }

    /// Returns work that nobody waits for any more.
    #[cfg(test)]
    pub(crate) fn abandoned() -> Self {
        Self { cancelled: Arc::new(true.into()), ..Self::default() }
    }

    /// Says how far the work is.
    pub(crate) fn set_done(&self, bytes: u64) {
        self.done.store(bytes, Ordering::Relaxed);
    }
}

struct CancelOnDrop(Job);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Runs work on a thread for blocking work. If the returned future is dropped, [`Job::check`] fails.
/// `report` is called now and then with the work's count.
pub(crate) async fn run<T: Send + 'static>(report: impl Fn(u64), work: impl FnOnce(&Job) -> T + Send + 'static) -> T {
    let guard = CancelOnDrop(Job::default());
    let job = guard.0.clone();
    let mut task = tokio::task::spawn_blocking(move || work(&job));
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            result = &mut task => return match result {
                Ok(value) => value,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime shuts down; nobody will look at any result.
                Err(_) => std::future::pending().await,
            },
            _ = ticks.tick() => report(guard.0.done.load(Ordering::Relaxed)),
        }
    }
}
