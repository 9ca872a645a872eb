//! A watch: a cursor on the shared ring.
//!
//! It owns a revision and nothing else, so a thousand idle watches cost a thousand numbers, and one that does not read
//! costs nobody anything. A watch that begins further back than the ring reads the log in pages until it meets the
//! ring; from then on, if the ring leaves its cursor behind, it ends, and its owner lists again.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::committed::{Committed, HistoryError, Look};
use crate::log::LogError;
use crate::{Event, Prefix, Revision};

/// How many rows of the log a watch reads at once while it catches up.
const PAGE: usize = 500;

/// Where a watch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// Behind a revision: its first event is strictly later. A revision of the future is waited for.
    After(Revision),
    /// Behind what is committed at this moment.
    Now,
}

/// Why a watch ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WatchEnd {
    /// It read so slowly that what comes next is no longer at hand.
    #[error("the watch fell behind the history that is kept")]
    Lagged,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Delivers the committed events that a prefix selects, in order, each exactly once.
///
/// Dropping it is all there is to ending it.
pub struct Watch {
    committed: Arc<Committed>,
    prefix: Prefix,
    /// Everything up to here was delivered or does not match.
    cursor: Revision,
    phase: Phase,
}

enum Phase {
    /// The ring does not reach back to the cursor yet; these were read from the log and are to be delivered first.
    CatchUp(Page),
    /// The ring is all that is needed.
    Live(Arc<tokio::sync::Notify>),
}

#[derive(Default)]
struct Page {
    events: VecDeque<Arc<Event>>,
    /// How far the page goes, once its events are delivered.
    reached: Option<Revision>,
}

impl Watch {
    pub(crate) fn new(committed: Arc<Committed>, prefix: Prefix, start: Start) -> Result<Watch, HistoryError> {
        let cursor = match start {
            Start::After(revision) => revision,
            Start::Now => committed.snapshot().revision(),
        };
        let oldest = committed.compacted();
        if cursor < oldest {
            return Err(HistoryError::Compacted { oldest });
        }
        let phase = match committed.look(&prefix, cursor) {
            Look::Behind => Phase::CatchUp(Page::default()),
            _ => Phase::Live(committed.changes(&prefix)),
        };
        Ok(Watch { committed, prefix, cursor, phase })
    }

    /// Returns the next event, as soon as there is one. May be cancelled: nothing is lost.
    pub async fn next(&mut self) -> Result<Arc<Event>, WatchEnd> {
        loop {
            match &mut self.phase {
                Phase::CatchUp(page) => {
                    if let Some(event) = page.events.pop_front() {
                        self.cursor = event.revision;
                        return Ok(event);
                    }
                    if let Some(reached) = page.reached.take() {
                        self.cursor = reached;
                    }
                    if let Look::Behind = self.committed.look(&self.prefix, self.cursor) {
                        let page = self.page().await?;
                        self.phase = Phase::CatchUp(page);
                    } else {
                        self.phase = Phase::Live(self.committed.changes(&self.prefix));
                    }
                }
                Phase::Live(changed) => {
                    let changed = Arc::clone(changed);
                    // Made before the look: from now on it is woken, so what is published behind the look is not slept through.
                    let notified = changed.notified();
                    match self.committed.look(&self.prefix, self.cursor) {
                        Look::Event(event) => {
                            self.cursor = event.revision;
                            return Ok(event);
                        }
                        Look::Further(revision) => {
                            self.cursor = revision;
                            continue;
                        }
                        Look::Nothing(current) => self.cursor = self.cursor.max(current),
                        Look::Behind => return Err(WatchEnd::Lagged),
                        Look::Closed => return Err(WatchEnd::Closed),
                    }
                    notified.await;
                }
            }
        }
    }

    /// Returns the revision up to which everything was delivered or does not match: a watch may resume behind it.
    pub fn progress(&self) -> Revision {
        let mut reached = self.cursor;
        while let Phase::Live(_) = self.phase {
            match self.committed.look(&self.prefix, reached) {
                Look::Further(revision) => reached = revision,
                Look::Nothing(current) => return reached.max(current),
                _ => break,
            }
        }
        reached
    }

    /// Returns up to which revision events of its prefix are no longer at hand: what a watch that lagged is behind.
    pub fn gone(&self) -> Revision {
        self.committed.evicted(&self.prefix)
    }

    async fn page(&self) -> Result<Page, WatchEnd> {
        let (reader, prefix, after) = (self.committed.reader().clone(), self.prefix.clone(), self.cursor);
        // What is in the log but not published yet is for nobody, not even for a moment.
        let up_to = self.committed.snapshot().revision();
        let read = tokio::task::spawn_blocking(move || reader.events(after.0, up_to.0, PAGE, &prefix)).await;
        match read {
            Ok(Ok((events, reached))) => Ok(Page { events: events.into(), reached: Some(Revision(reached)) }),
            Ok(Err(LogError::Closed)) => Err(WatchEnd::Closed),
            Ok(Err(LogError::Compacted { .. })) => Err(WatchEnd::Lagged),
            Ok(Err(error)) => {
                tracing::warn!(%error, revision = after.0, "reading history for a watch");
                Err(WatchEnd::Lagged)
            }
            // The runtime is going away, or the reading panicked, which was reported already.
            Err(_) => Err(WatchEnd::Closed),
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({:?} after {})", self.prefix, self.cursor)
    }
}
