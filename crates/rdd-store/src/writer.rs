//! The writer thread: the only one that changes anything.
//!
//! It takes whatever requests have come in, checks them one after the other against the committed state and what the
//! same batch changes, appends the batch to the log in one durable transaction, publishes it, and only then answers.
//! While the disk works, the next batch gathers in the channel: the slower the disk, the larger the batches.
//!
//! In the pauses it compacts, in small steps. It sleeps until a request or the next expiry, whichever comes first; with
//! nothing to expire there is no timer. After a failed write it also tries now and then whether the disk takes writes
//! again, so that whoever waits for that need not write to find out.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::committed::{Committed, Wake};
use crate::compaction::Retention;
use crate::expiry::Expiries;
use crate::log::{Log, LogError, Record};
use crate::options::Millis;
use crate::write::{Change, Intent, Request, Written};
use crate::{Entry, Event, EventKind, Expect, Options, Revision, Snapshot, WriteError};

/// Under a load without pauses, a step of compaction is done after so many batches.
const BATCHES_PER_STEP: u32 = 32;

pub(crate) struct Writer {
    committed: Arc<Committed>,
    /// `None` once it is closed.
    log: Option<Log>,
    requests: Receiver<Request>,
    options: Options,
    expiries: Expiries,
    retention: Retention,
    /// Up to where history is to be compacted, and who waits for how much of it.
    goal: u64,
    waiting: Vec<(u64, oneshot::Sender<Result<Revision, WriteError>>)>,
    batches_since_step: u32,
    /// After a failure, expiry and compaction rest until then.
    rest_until: Option<Instant>,
    /// A commit failed, and the log could not be asked yet what it holds.
    in_doubt: bool,
}

/// What the thread does next.
enum Turn {
    Request(Request),
    /// Nothing was asked: expire, or compact.
    Pause,
    /// Nobody can ask any more.
    End,
}

/// Writes that share a commit. Nothing in here is durable yet.
struct Batch {
    committed: Snapshot,
    /// The committed state with the batch on top.
    state: Snapshot,
    records: Vec<Record>,
    replies: Vec<(Option<oneshot::Sender<Written>>, Written)>,
    bytes: usize,
    at: Millis,
}

impl Writer {
    /// Loads the log and fills the committed state from it.
    pub(crate) fn load(log: Log, requests: Receiver<Request>, options: Options) -> Result<Writer, LogError> {
        let mut retention = Retention::new(options.history, options.min_revisions);
        let mut expiries = Expiries::new(options.expiry_span);
        let committed = Committed::new(log.reader(), log.compacted(), options.history_bytes);
        let state = log.load(|event, at| {
            retention.committed(event.revision.0, at);
            committed.recall(event);
        })?;
        for entry in state.range(&crate::Prefix::everything(), None) {
            expiries.change(&entry.key, None, expiry(&entry));
        }
        committed.publish(state, []).wake();
        Ok(Writer {
            committed: Arc::new(committed),
            log: Some(log),
            requests,
            options,
            expiries,
            retention,
            goal: 0,
            waiting: Vec::new(),
            batches_since_step: 0,
            rest_until: None,
            in_doubt: false,
        })
    }

    pub(crate) fn committed(&self) -> Arc<Committed> {
        Arc::clone(&self.committed)
    }

    /// Works until the store is closed or nobody holds it any more.
    pub(crate) fn run(mut self) {
        let closing = self.serve();
        let mut log = self.log.take().expect("only this takes it");
        if let Err(error) = log.set_clean(true) {
            tracing::warn!(%error, "marking the database as closed");
        }
        log.close();
        drop(self);
        if let Some(closed) = closing {
            let _ = closed.send(());
        }
    }

    fn serve(&mut self) -> Option<oneshot::Sender<()>> {
        loop {
            let (mut batch, mut closing) = (None, None);
            match self.turn() {
                Turn::End => return None,
                Turn::Pause => {
                    self.probe();
                    self.step_of_compaction();
                }
                Turn::Request(first) => {
                    let mut next = Some(first);
                    while let Some(request) = next {
                        match request {
                            Request::Write(intent, reply) => self.batch(&mut batch).add(intent, Some(reply)),
                            Request::Compact(up_to, reply) => self.ask_for_compaction(up_to, reply),
                            Request::Close(closed) => closing = Some(closed),
                        }
                        let full = batch.as_ref().is_some_and(|batch| batch.is_full(&self.options));
                        next = if full || closing.is_some() { None } else { self.requests.try_recv().ok() };
                    }
                }
            }
            self.expire(&mut batch);
            if let Some(batch) = batch {
                self.commit(batch);
            }
            if closing.is_some() {
                return closing;
            }
        }
    }

    fn turn(&mut self) -> Turn {
        let step_is_due = self.step_is_due();
        if step_is_due && self.batches_since_step >= BATCHES_PER_STEP {
            return Turn::Pause;
        }
        if step_is_due {
            return match self.requests.try_recv() {
                Ok(request) => Turn::Request(request),
                Err(TryRecvError::Empty) => Turn::Pause,
                Err(TryRecvError::Disconnected) => Turn::End,
            };
        }
        let rest = self.rest();
        let mut sleep = self.expiries.sleep(self.options.clock.now()).map(|sleep| sleep.max(rest));
        if self.committed.unavailable().is_some() {
            sleep = Some(sleep.map_or(rest, |sleep| sleep.min(rest)));
        }
        match sleep {
            None => self.requests.recv().map_or(Turn::End, Turn::Request),
            Some(sleep) => match self.requests.recv_timeout(sleep) {
                Ok(request) => Turn::Request(request),
                Err(RecvTimeoutError::Timeout) => Turn::Pause,
                Err(RecvTimeoutError::Disconnected) => Turn::End,
            },
        }
    }

    fn batch<'a>(&mut self, batch: &'a mut Option<Batch>) -> &'a mut Batch {
        if batch.is_none() && self.in_doubt {
            self.settle();
        }
        let (committed, clock) = (&self.committed, &self.options.clock);
        batch.get_or_insert_with(|| Batch::new(committed.snapshot(), clock.now()))
    }

    fn commit(&mut self, batch: Batch) {
        let Batch { state, records, replies, at, .. } = batch;
        self.batches_since_step = self.batches_since_step.saturating_add(1);
        let outcome = if records.is_empty() {
            Ok(None)
        } else if self.in_doubt {
            Err("the log cannot be read after a failed write".into())
        } else {
            let log = self.log.as_mut().expect("it is open while we serve");
            log.append(&records, at).map(|()| Some(self.publish(state, records, at))).map_err(|error| {
                let reason: Arc<str> = error.to_string().into();
                tracing::error!(%error, "a commit failed");
                self.settle();
                reason
            })
        };
        match outcome {
            Ok(wake) => {
                if wake.is_some() {
                    self.committed.set_unavailable(None);
                }
                answer(replies);
                if let Some(wake) = wake {
                    wake.wake();
                }
            }
            Err(reason) => {
                self.committed.set_unavailable(Some(Arc::clone(&reason)));
                self.rest_until = Some(Instant::now() + self.options.retry);
                let failed = |(reply, _)| (reply, Err(WriteError::Unavailable { reason: Arc::clone(&reason) }));
                answer(replies.into_iter().map(failed));
            }
        }
    }

    fn publish(&mut self, state: Snapshot, records: Vec<Record>, at: Millis) -> Wake {
        let revision = state.revision().0;
        for Record { event, .. } in &records {
            self.note_expiry(event);
        }
        let wake = self.committed.publish(state, records.into_iter().map(|record| record.event));
        self.retention.committed(revision, at);
        self.goal = self.goal.max(self.retention.limit(revision, at));
        wake
    }

    fn note_expiry(&mut self, event: &Event) {
        let before = event.previous.as_deref().and_then(expiry);
        let after = if event.kind == EventKind::Deleted { None } else { expiry(&event.entry) };
        self.expiries.change(&event.entry.key, before, after);
    }

    /// Asks the log what it holds after a failure, and takes over what it committed in spite of it.
    fn settle(&mut self) {
        let log = self.log.as_mut().expect("it is open while we serve");
        match log.settle(self.committed.snapshot()) {
            Ok((state, events)) => {
                self.in_doubt = false;
                if !events.is_empty() {
                    tracing::warn!(revision = state.revision().0, "the log kept writes whose commit failed");
                    for event in &events {
                        self.note_expiry(event);
                    }
                    self.committed.publish(state, events).wake();
                }
            }
            Err(error) => {
                self.in_doubt = true;
                tracing::error!(%error, "reading the log after a failed commit");
            }
        }
    }

    /// After a failed write: tries whether the disk takes writes again.
    fn probe(&mut self) {
        if self.committed.unavailable().is_none() || !self.rest().is_zero() {
            return;
        }
        if self.in_doubt {
            self.settle();
        }
        let log = self.log.as_mut().expect("it is open while we serve");
        let probed = if self.in_doubt { Err(LogError::Closed) } else { log.set_clean(false) };
        if probed.is_ok() {
            tracing::info!("the store takes writes again");
            self.committed.set_unavailable(None);
        } else {
            self.rest_until = Some(Instant::now() + self.options.retry);
        }
    }

    /// Adds the deletion of what has expired to the batch.
    fn expire(&mut self, batch: &mut Option<Batch>) {
        if !self.rest().is_zero() {
            return;
        }
        let due = self.expiries.due(self.options.clock.now(), self.options.batch_writes);
        if due.is_empty() {
            return;
        }
        let batch = self.batch(batch);
        for key in due {
            // A write in this very batch may have renewed or deleted it.
            let Some(entry) = batch.state.get(&key) else { continue };
            if expiry(&entry).is_some_and(|at| at <= batch.at) {
                batch.add(Intent { key, expect: Expect::Revision(entry.revision), change: Change::Delete }, None);
            }
        }
    }

    fn rest(&mut self) -> Duration {
        let rest = self.rest_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        if rest.is_zero() {
            self.rest_until = None;
        }
        rest
    }

    fn step_is_due(&mut self) -> bool {
        let compacted = self.compacted();
        let wanted = !self.waiting.is_empty() || self.goal >= compacted + self.options.compaction_step.max(1);
        wanted && self.rest().is_zero()
    }

    fn compacted(&self) -> u64 {
        self.log.as_ref().map_or(0, Log::compacted)
    }

    fn ask_for_compaction(&mut self, up_to: Revision, reply: oneshot::Sender<Result<Revision, WriteError>>) {
        let current = self.committed.snapshot().revision().0;
        self.waiting.push((up_to.0.min(current), reply));
        // Somebody asked: that is reason enough to try at once.
        self.rest_until = None;
    }

    fn step_of_compaction(&mut self) {
        if !self.step_is_due() {
            return;
        }
        self.batches_since_step = 0;
        let compacted = self.compacted();
        let goal = self.waiting.iter().map(|(up_to, _)| *up_to).fold(self.goal, u64::max);
        let up_to = goal.min(compacted + self.options.compaction_step.max(1));
        if up_to > compacted {
            let log = self.log.as_mut().expect("it is open while we serve");
            if let Err(error) = log.compact(up_to) {
                tracing::warn!(%error, "compacting history");
                let reason: Arc<str> = error.to_string().into();
                self.rest_until = Some(Instant::now() + self.options.retry);
                for (_, reply) in self.waiting.drain(..) {
                    let _ = reply.send(Err(WriteError::Unavailable { reason: Arc::clone(&reason) }));
                }
                return;
            }
            self.committed.set_compacted(up_to);
        }
        let compacted = Revision(self.compacted());
        for (_, reply) in self.waiting.extract_if(.., |(up_to, _)| *up_to <= compacted.0) {
            let _ = reply.send(Ok(compacted));
        }
    }
}

impl Drop for Writer {
    /// Whatever ends the thread, also a panic: watches must not wait for it.
    fn drop(&mut self) {
        self.committed.close();
    }
}

impl Batch {
    fn new(committed: Snapshot, at: Millis) -> Batch {
        let state = committed.clone();
        Batch { committed, state, records: Vec::new(), replies: Vec::new(), bytes: 0, at }
    }

    fn is_full(&self, options: &Options) -> bool {
        self.records.len() >= options.batch_writes || self.bytes >= options.batch_bytes
    }

    fn add(&mut self, intent: Intent, reply: Option<oneshot::Sender<Written>>) {
        let current = self.state.get(&intent.key);
        let expected = match intent.expect {
            Expect::Absent => current.is_none(),
            Expect::Revision(revision) => current.as_ref().is_some_and(|entry| entry.revision == revision),
        };
        if expected {
            let record = self.record(intent, current);
            self.bytes += record.event.weight();
            self.state.apply(&record.event);
            self.replies.push((reply, Ok(Arc::clone(&record.event.entry))));
            self.records.push(record);
            return;
        }
        let durable = same(&current, &self.committed.get(&intent.key));
        let refused = (reply, Err(WriteError::Conflict { current }));
        if durable {
            answer([refused]);
        } else {
            // It lost against a write of this batch, which nobody may hear of before it is durable.
            self.replies.push(refused);
        }
    }

    fn record(&self, Intent { key, change, .. }: Intent, current: Option<Arc<Entry>>) -> Record {
        let revision = Revision(self.state.revision().0 + 1);
        match (change, current) {
            (Change::Put { bytes, ttl }, current) => {
                let expires_at = ttl.map(|ttl| self.at.plus(ttl));
                let created = current.as_ref().map_or(revision, |entry| entry.create_revision);
                let kind = if current.is_some() { EventKind::Modified } else { EventKind::Created };
                let entry = Arc::new(Entry::new(key, revision, created, bytes, expires_at.map(Millis::time)));
                Record { event: Arc::new(Event::new(kind, entry, current)), expires_at }
            }
            (Change::Delete, current) => {
                let current = current.expect("a deletion expects a revision, which was found");
                let last = Arc::new(current.deleted_at(revision));
                let event = Arc::new(Event::new(EventKind::Deleted, last, Some(current)));
                Record { event, expires_at: None }
            }
        }
    }
}

fn answer(replies: impl IntoIterator<Item = (Option<oneshot::Sender<Written>>, Written)>) {
    for (reply, written) in replies {
        if let Some(reply) = reply {
            // Who does not wait any more is not told.
            let _ = reply.send(written);
        }
    }
}

fn same(one: &Option<Arc<Entry>>, other: &Option<Arc<Entry>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

fn expiry(entry: &Entry) -> Option<Millis> {
    entry.expires_at.map(Millis::of)
}
