//! Collects objects whose owners are gone, and carries out foreground and orphaning deletions.
//!
//! ```text
//! watch of metadata ──▶ graph ──▶ queue ──▶ jobs ──▶ verbs
//! ```
//!
//! The *graph* knows who names whom as an owner. A change that concerns somebody (an owner is gone or waits for its
//! dependents, the last dependent that blocked is gone) puts them into the *queue*; a *job* looks at the object and its
//! owners afresh, and deletes or patches it with preconditions on what it saw. Nothing is remembered: after a restart, or
//! when the watch fell behind, the picture is made anew from all objects. While nothing happens nothing runs.
//!
//! # Guarantees
//!
//! * No object is deleted but after a look at the store that found none of its owners, by uid.
//! * Owners that wait for each other in a circle are let go.
//!
//! # Caveats
//!
//! * A dependent that is made while its owner goes may outlive a foreground deletion for a moment; it is collected then.
//! * While the kind of an owner is not served, its dependents are left alone, unless the owner was seen to go.

use std::future::Future;
use std::pin::Pin;

use rdd_api::Status;
use rdd_verbs::{MetadataChange, MetadataWatchEnd, Verbs};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use self::graph::{Graph, Uid};
use self::job::Outcome;
use self::queue::Queue;

mod graph;
mod job;
mod misplaced;
mod owners;
mod queue;

/// How many objects are looked at at the same time, so that their writes share the store's commits.
const JOBS_AT_ONCE: usize = 64;

/// Runs until `stop` is done.
pub async fn run(verbs: Verbs, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    loop {
        match collect(&verbs, stop.as_mut()).await {
            Ok(Ended::Stopped) => return,
            Ok(Ended::Lagged) => tracing::debug!("the garbage collector fell behind and begins anew"),
            Err(status) => {
                tracing::warn!(%status, "the garbage collector cannot follow the objects");
                return stop.await;
            }
        }
    }
}

enum Ended {
    Stopped,
    Lagged,
}

async fn collect(verbs: &Verbs, mut stop: Pin<&mut impl Future<Output = ()>>) -> Result<Ended, Status> {
    // Subscribed before the first look, so that no kind that comes in between is missed.
    let mut kinds = verbs.registry().changed();
    let (present, mut changes) = verbs.watch_metadata().await?;
    let (mut graph, concerned) = Graph::new(present);
    let mut queue = Queue::default();
    concerned.into_iter().for_each(|uid| queue.add(uid));
    let mut jobs: JoinSet<(Uid, Outcome)> = JoinSet::new();
    let ended = loop {
        while jobs.len() < JOBS_AT_ONCE
            && let Some(uid) = queue.take()
        {
            let Some((item, job)) = graph.job(&uid) else {
                queue.done(&uid);
                continue;
            };
            let verbs = verbs.clone();
            jobs.spawn(async move {
                let outcome = job::carry_out(&verbs, &item, &job).await;
                (uid, outcome)
            });
        }
        let due = queue.due();
        tokio::select! {
            // What happened comes first: the better the picture, the fewer the jobs.
            biased;
            () = &mut stop => break Ended::Stopped,
            change = changes.next() => match change {
                Ok(MetadataChange::Present(metadata)) => graph.put(metadata).into_iter().for_each(|uid| queue.add(uid)),
                Ok(MetadataChange::Gone(metadata)) => {
                    queue.forget(&metadata.uid);
                    graph.remove(&metadata.uid).into_iter().for_each(|uid| queue.add(uid));
                }
                Err(MetadataWatchEnd::Lagged) => break Ended::Lagged,
                Err(MetadataWatchEnd::Closed) => {
                    stop.await;
                    break Ended::Stopped;
                }
            },
            Some(done) = jobs.join_next() => match done {
                Ok((uid, outcome)) => settle(&mut queue, &uid, outcome),
                // A bug of ours: who runs the collector shall know.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
            Ok(()) = kinds.changed() => queue.unpark(),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => queue.add_due(Instant::now()),
        }
    };
    // What a job has begun to write is carried out by the verbs; the rest is begun anew by whoever comes next.
    jobs.shutdown().await;
    Ok(ended)
}

fn settle(queue: &mut Queue, uid: &Uid, outcome: Outcome) {
    match outcome {
        Outcome::Done => queue.done(uid),
        Outcome::Again => queue.again(uid, Instant::now()),
        Outcome::Parked => queue.park(uid),
        Outcome::Failed(status) => {
            tracing::warn!(%status, %uid, "an object cannot be collected yet");
            queue.failed(uid, Instant::now());
        }
    }
}
