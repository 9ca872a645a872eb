//! Watch: the store's events, seen through a selection.
//!
//! ```text
//! Begin ──▶ Initial ──▶ Live ──▶ Ended
//!   │          (ADDED for each object, then the bookmark)
//!   └──────────────────▶ Failed ──▶ Ended
//! ```
//!
//! *Begin* waits, inside the stream, until a revision of the future is there. *Live* ends by its timeout,
//! with the store, when it falls behind, or when its kind is not served any more; the last only after the
//! events up to that moment.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rdd_api::{Status, object};
use rdd_registry::{Kind, Kinds};
use rdd_store::{Entry, Event, EventKind, HistoryError, Revision, Start, WatchEnd};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::object::Object;
use crate::options::{Target, WatchEvent, WatchOptions, WatchStream};
use crate::revision_parameter;
use crate::selection::Selection;
use crate::verbs::Verbs;
use crate::view;

/// How often an idle watch is told how far it is.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);
/// How long before its end a watch is told how far it is, so that the next one goes on from there.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// The least time after which a watch without a timeout ends; the most is twice that.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1800);
/// No watch lasts longer, whatever it asks for: a time that no clock can show would be none.
const MOST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

enum Phase {
    Begin { at_least: Option<Revision> },
    Initial { left: VecDeque<Arc<Entry>>, revision: Revision },
    Live,
    Failed(Status),
    Ended,
}

struct Follower {
    verbs: Verbs,
    phase: Phase,
    events: Option<rdd_store::Watch>,
    selection: Selection,
    kind: Arc<Kind>,
    version: String,
    bookmarks: bool,
    registry: watch::Receiver<Arc<Kinds>>,
    /// Set when the kind is not served any more: what happened until then is still told.
    last: Option<Revision>,
    next_bookmark: Option<Instant>,
    deadline: Instant,
}

impl Verbs {
    pub(crate) async fn watch_objects(&self, target: &Target, options: &WatchOptions) -> Result<WatchStream, Status> {
        revision_parameter::check_watch(options)?;
        let since = revision_parameter::parse(&options.resource_version)?;
        let selection = Selection::new(target, &options.label_selector, &options.field_selector)?;
        let timeout = options.timeout.filter(|t| !t.is_zero()).unwrap_or_else(default_timeout).min(MOST_TIMEOUT);
        let mut follower = Follower {
            verbs: self.clone(),
            phase: Phase::Live,
            events: None,
            selection,
            kind: target.kind.clone(),
            version: target.version.clone(),
            bookmarks: options.bookmarks,
            registry: self.registry().changed(),
            last: None,
            next_bookmark: None,
            deadline: Instant::now() + timeout,
        };
        let any = since.is_none_or(|r| r.0 == 0);
        if options.send_initial_events.unwrap_or(any) {
            // The present is taken now, so that what is written after this returns comes as events of its own.
            match since.filter(|revision| *revision > self.store().revision()) {
                None => follower.begin(),
                future => follower.phase = Phase::Begin { at_least: future },
            }
        } else {
            // Opened now, not on first poll: what is written after this returns is not missed.
            follower.follow(match since {
                Some(revision) if revision.0 > 0 => Start::After(revision),
                _ => Start::Now,
            });
        }
        // The registry may have changed between the caller's look and the subscription.
        follower.recheck();
        follower.plan_bookmark();
        Ok(futures::stream::unfold(follower, |mut follower| async move {
            let event = follower.next().await?;
            Some((event, follower))
        })
        .boxed())
    }
}

fn default_timeout() -> Duration {
    DEFAULT_TIMEOUT.mul_f64(rand::random_range(1.0..2.0))
}

impl Follower {
    async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            match &mut self.phase {
                Phase::Begin { at_least } => {
                    let waited = match at_least.take() {
                        Some(revision) => self.verbs.wait_for(revision).await,
                        None => Ok(()),
                    };
                    match waited {
                        Ok(()) => self.begin(),
                        Err(status) => self.phase = Phase::Failed(status),
                    }
                }
                Phase::Initial { left, revision } => {
                    let Some(entry) = left.pop_front() else {
                        let revision = revision.0;
                        self.phase = Phase::Live;
                        if self.bookmarks {
                            return Some(WatchEvent::Bookmark { revision, initial_events_end: true });
                        }
                        continue;
                    };
                    let Some(object) = self.view(&entry) else { continue };
                    if self.selection.covers(&object) {
                        return Some(WatchEvent::Added(object));
                    }
                }
                Phase::Live => return self.live().await,
                Phase::Failed(status) => {
                    let status = status.clone();
                    self.phase = Phase::Ended;
                    return Some(WatchEvent::Error(status));
                }
                Phase::Ended => return None,
            }
        }
    }

    fn begin(&mut self) {
        let snapshot = self.verbs.store().snapshot();
        let left =
            snapshot.range(&self.selection.prefix(), None).filter(|e| self.selection.may_cover(&e.key)).collect();
        let revision = snapshot.revision();
        self.follow(Start::After(revision));
        if let Phase::Live = self.phase {
            self.phase = Phase::Initial { left, revision };
        }
    }

    fn follow(&mut self, start: Start) {
        match self.verbs.store().watch(self.selection.prefix(), start) {
            Ok(events) => {
                self.events = Some(events);
                self.phase = Phase::Live;
            }
            Err(HistoryError::Compacted { oldest }) => {
                let from = match start {
                    Start::After(revision) => revision.0,
                    Start::Now => 0,
                };
                self.phase = Phase::Failed(Status::expired(format!("too old resource version: {from} ({oldest})")));
            }
            Err(error) => self.phase = Phase::Failed(Status::internal(error)),
        }
    }

    async fn live(&mut self) -> Option<WatchEvent> {
        loop {
            let Some(events) = &mut self.events else {
                self.phase = Phase::Ended;
                return None;
            };
            if self.last.is_some_and(|last| events.progress() >= last) {
                self.phase = Phase::Ended;
                return None;
            }
            let bookmark = self.next_bookmark.unwrap_or(self.deadline);
            tokio::select! {
                biased;
                () = sleep_until(self.deadline) => {
                    self.phase = Phase::Ended;
                    return None;
                }
                changed = self.registry.changed(), if self.last.is_none() => {
                    // The registry lives as long as the verbs, which this watch holds.
                    if changed.is_ok() {
                        self.recheck();
                    }
                }
                () = sleep_until(bookmark), if self.next_bookmark.is_some() => {
                    let revision = events.progress();
                    // A cursor on the future promises nothing yet: who resumes there would miss what comes before it.
                    let reached = revision <= self.verbs.store().revision();
                    self.plan_bookmark();
                    if reached {
                        return Some(WatchEvent::Bookmark { revision: revision.0, initial_events_end: false });
                    }
                }
                event = events.next() => match event {
                    Ok(event) => {
                        if self.last.is_some_and(|last| event.revision > last) {
                            self.phase = Phase::Ended;
                            return None;
                        }
                        if let Some(event) = self.translate(&event) {
                            return Some(event);
                        }
                    }
                    Err(WatchEnd::Closed) => {
                        self.phase = Phase::Ended;
                        return None;
                    }
                    Err(WatchEnd::Lagged) => {
                        let from = events.progress();
                        let text = format!("too old resource version: {from} ({})", events.gone());
                        self.phase = Phase::Ended;
                        return Some(WatchEvent::Error(Status::expired(text)));
                    }
                },
            }
        }
    }

    /// Plans the next bookmark: a minute from now, or just before the end.
    fn plan_bookmark(&mut self) {
        let now = Instant::now();
        let last = self.deadline.checked_sub(LAST_BOOKMARK).filter(|at| *at > now);
        let next = last.map(|last| last.min(now + BOOKMARK_PERIOD));
        self.next_bookmark = next.filter(|_| self.bookmarks);
    }

    /// Takes the kind as it is now, or marks the end if it is not served any more.
    fn recheck(&mut self) {
        let kinds = self.registry.borrow_and_update().clone();
        let found = kinds.resource(&self.kind.group, &self.version, &self.kind.resource);
        let uid = |kind: &Kind| kind.custom.as_ref().map(|c| c.uid.clone());
        match found {
            Some((kind, _)) if uid(&kind) == uid(&self.kind) => self.kind = kind,
            _ => self.last = Some(self.verbs.store().revision()),
        }
    }

    fn view(&self, entry: &Entry) -> Option<Object> {
        Some(view::object(entry, &self.kind, self.kind.version(&self.version)?))
    }

    /// Tells an event as this selection sees it: an object may come into sight, or leave it.
    fn translate(&self, event: &Event) -> Option<WatchEvent> {
        if !self.selection.may_cover(&event.entry.key) {
            return None;
        }
        let object = self.view(&event.entry)?;
        let covered = self.selection.covers(&object);
        match event.kind {
            EventKind::Created => covered.then_some(WatchEvent::Added(object)),
            EventKind::Deleted => covered.then_some(WatchEvent::Deleted(object)),
            EventKind::Modified => {
                let before = if self.selection.is_everything() {
                    None
                } else {
                    event.previous.as_ref().and_then(|entry| self.view(entry))
                };
                let was_covered = before.as_ref().is_none_or(|before| self.selection.covers(before));
                match (was_covered, covered) {
                    (true, true) => Some(WatchEvent::Modified(object)),
                    (false, true) => Some(WatchEvent::Added(object)),
                    (true, false) => Some(WatchEvent::Deleted(left(&before?, event.revision))),
                    (false, false) => None,
                }
            }
        }
    }
}

/// Returns the last state that the selection saw, at the revision at which it went out of sight.
fn left(before: &Object, revision: Revision) -> Object {
    let mut value = before.value().as_ref().clone();
    object::metadata_mut(&mut value).insert("resourceVersion".to_owned(), json!(revision.0.to_string()));
    Object::new(value)
}
