//! The loop of a controller: keys in, one look at a time for each key, several keys at once.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::{BoxStream, SelectAll, StreamExt};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::queue::{Backoff, Queue};

/// What comes after a look that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for something to happen.
    Wait,
    /// Look again after this time, or when something happens.
    After(Duration),
}

/// Brings what is to what is wanted, for one key.
#[async_trait]
pub trait Reconcile: Send + Sync + 'static {
    /// What is looked at.
    type Key: Clone + Eq + Hash + fmt::Display + Send + Sync + 'static;
    /// Why a look failed.
    type Error: Error + Send + 'static;

    /// Looks at what is there, takes the next step and says when to look again. After an error it is
    /// called again, with backoff. Never called twice at once for the same key.
    async fn reconcile(&self, key: &Self::Key) -> Result<Next, Self::Error>;

    /// Says whether an error is part of the ordinary course, such as a conflict with another
    /// writer. It is then logged for developers only.
    fn is_ordinary(&self, _error: &Self::Error) -> bool {
        false
    }
}

/// A controller that is being put together.
pub struct Controller<R: Reconcile> {
    name: &'static str,
    reconciler: Arc<R>,
    triggers: SelectAll<BoxStream<'static, R::Key>>,
    workers: usize,
    backoff: Backoff,
}

impl<R: Reconcile> fmt::Debug for Controller<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<R: Reconcile> Controller<R> {
    /// Starts with a name for the log.
    pub fn new(name: &'static str, reconciler: Arc<R>) -> Self {
        Self { name, reconciler, triggers: SelectAll::new(), workers: 8, backoff: Backoff::default() }
    }

    /// Adds a source of keys: a [`watch`](crate::trigger::watch), or a [`Nudge`](crate::Nudge)'s.
    #[must_use]
    pub fn triggered_by(mut self, keys: BoxStream<'static, R::Key>) -> Self {
        self.triggers.push(keys);
        self
    }

    /// Sets how many keys are looked at at once; 8 if not said.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Sets the waits after failures.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Runs until `stop` is cancelled; returns when the looks that had begun are done.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut queue: Queue<R::Key> = Queue::new(self.backoff);
        let mut looks: JoinSet<Result<Next, R::Error>> = JoinSet::new();
        let mut keys: HashMap<Id, R::Key> = HashMap::new();
        loop {
            let due = queue.due(Instant::now());
            while looks.len() < self.workers
                && let Some(key) = queue.take()
            {
                let reconciler = Arc::clone(&self.reconciler);
                let wanted = key.clone();
                let look = looks.spawn(async move { reconciler.reconcile(&wanted).await });
                keys.insert(look.id(), key);
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(key) = self.triggers.next(), if !self.triggers.is_empty() => queue.add(key),
                Some(ended) = looks.join_next_with_id() => {
                    let (id, outcome) = match ended {
                        Ok((id, outcome)) => (id, Some(outcome)),
                        Err(panicked) => (panicked.id(), None),
                    };
                    let key = keys.remove(&id).expect("each look has its key");
                    self.finish(&mut queue, key, outcome);
                }
                () = sleep_until(due) => {}
            }
        }
        while looks.join_next().await.is_some() {}
    }

    fn finish(&self, queue: &mut Queue<R::Key>, key: R::Key, outcome: Option<Result<Next, R::Error>>) {
        let controller = self.name;
        queue.done(&key);
        match outcome {
            Some(Ok(next)) => {
                queue.forget_failures(&key);
                if let Next::After(delay) = next {
                    queue.add_at(key, Instant::now() + delay);
                }
            }
            Some(Err(error)) => {
                let text = chain(&error);
                if self.reconciler.is_ordinary(&error) {
                    tracing::debug!(controller, %key, error = text, "reconcile again");
                } else {
                    tracing::warn!(controller, %key, error = text, "reconcile failed");
                }
                queue.add_failed(key, Instant::now());
            }
            None => {
                tracing::error!(controller, %key, "reconcile panicked");
                queue.add_failed(key, Instant::now());
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Some libraries repeat the cause in their own message.
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::Nudge;

    #[derive(Debug)]
    struct Failed;

    impl fmt::Display for Failed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("failed")
        }
    }

    impl Error for Failed {}

    /// Fails twice, panics once, then succeeds and asks for another look.
    struct Script {
        looks: Mutex<Vec<String>>,
        enough: CancellationToken,
    }

    #[async_trait]
    impl Reconcile for Script {
        type Key = String;
        type Error = Failed;

        async fn reconcile(&self, key: &String) -> Result<Next, Failed> {
            let count = {
                let mut looks = self.looks.lock().expect("no panic while it is held");
                looks.push(key.clone());
                looks.iter().filter(|k| *k == key).count()
            };
            match count {
                1 | 2 => Err(Failed),
                3 => panic!("the third look panics"),
                4 => Ok(Next::After(Duration::from_millis(1))),
                _ => {
                    self.enough.cancel();
                    Ok(Next::Wait)
                }
            }
        }
    }

    #[tokio::test]
    async fn errors_panics_and_timers_lead_to_another_look() {
        let enough = CancellationToken::new();
        let script = Arc::new(Script { looks: Mutex::default(), enough: enough.clone() });
        let (nudge, keys) = Nudge::new();
        let controller = Controller::new("test", Arc::clone(&script))
            .triggered_by(keys)
            .backoff(Backoff { first: Duration::from_millis(1), limit: Duration::from_millis(2) });
        nudge.nudge("a".to_owned());
        tokio::time::timeout(Duration::from_secs(10), controller.run(enough)).await.expect("five looks");
        assert_eq!(script.looks.lock().expect("no panic").len(), 5);
    }
}
