//! One deadline that everything waited for shares.

use std::time::Duration;

use tokio::time::Instant;

/// The moment at which waiting ends, if it ever does.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("context deadline exceeded")]
pub struct DeadlineExceeded;

impl Deadline {
    /// Never.
    pub const NEVER: Deadline = Deadline(None);

    /// So long from now.
    pub fn after(duration: Duration) -> Deadline {
        // A moment that the clock cannot express is never.
        Deadline(Instant::now().checked_add(duration))
    }

    /// So long from now; `None` is never.
    pub fn after_some(duration: Option<Duration>) -> Deadline {
        duration.map_or(Deadline::NEVER, Deadline::after)
    }

    /// Waits for `work`, at most until the deadline. Work that is done at once is done even after
    /// the deadline.
    pub async fn limit<T>(self, work: impl Future<Output = T>) -> Result<T, DeadlineExceeded> {
        match self.0 {
            Some(at) => tokio::time::timeout_at(at, work).await.map_err(|_| DeadlineExceeded),
            None => Ok(work.await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn limits() {
        let past = Deadline::after(Duration::ZERO);
        assert_eq!(past.limit(std::future::ready(1)).await, Ok(1));
        assert_eq!(past.limit(std::future::pending::<()>()).await, Err(DeadlineExceeded));
        assert_eq!(Deadline::NEVER.limit(tokio::task::yield_now()).await, Ok(()));
        assert_eq!(Deadline::after(Duration::MAX).limit(std::future::ready(2)).await, Ok(2));
    }
}
