//! What is under way, counted by name.
//!
//! Closes the gap between "may I?" and "it is done" without a lock: whoever wants to do something begins
//! *before* asking whether it is still allowed. Whoever forbids it first makes that visible, and then
//! waits until what had begun is settled; what begins later sees that it is forbidden.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

/// Counts what is under way, by name.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Inner>);

#[derive(Default)]
struct Inner {
    counts: Mutex<HashMap<String, usize>>,
    ended: Notify,
}

/// One thing under way; dropping it ends it.
pub struct Begun {
    inner: Arc<Inner>,
    name: String,
}

impl InFlight {
    /// Begins something under a name.
    pub fn begin(&self, name: &str) -> Begun {
        *self.0.counts.lock().expect("no holder of this lock panics").entry(name.to_owned()).or_default() += 1;
        Begun { inner: self.0.clone(), name: name.to_owned() }
    }

    /// Waits until nothing is under way under the name.
    pub async fn settled(&self, name: &str) {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            // Enabled before the look, so that an end between the two is not missed.
            ended.as_mut().enable();
            if !self.0.counts.lock().expect("no holder of this lock panics").contains_key(name) {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut counts = self.inner.counts.lock().expect("no holder of this lock panics");
        if let Some(count) = counts.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.name);
            }
        }
        drop(counts);
        self.inner.ended.notify_waiters();
    }
}
