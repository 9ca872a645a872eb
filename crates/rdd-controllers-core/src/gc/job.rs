//! Carries out what the graph proposes, after a live look at the object.

use futures::StreamExt;
use rdd_api::{Reason, Status, object};
use rdd_verbs::{
    Caller, DeleteOptions, FOREGROUND_FINALIZER, ORPHAN_FINALIZER, Object, Patch, Target, Verbs, WriteOptions,
};
use serde_json::{Value, json};

use super::graph::{Item, Job};
use super::misplaced;
use super::owners::{self, Unresolved};

/// How many dependents of one object lose it at the same time.
const RELEASED_AT_ONCE: usize = 64;

/// How often an object that changes meanwhile is looked at again for that.
const RELEASE_TRIES: usize = 5;

/// How a job ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There is nothing more to do until something changes.
    Done,
    /// Somebody wrote in between: look again.
    Again,
    /// It needs a kind that is not served.
    Parked,
    /// It failed, and may work later.
    Failed(Status),
}

impl From<Status> for Outcome {
    fn from(status: Status) -> Self {
        match () {
            () if status.is(&Reason::NOT_FOUND) => Self::Done,
            () if status.is(&Reason::CONFLICT) => Self::Again,
            () => Self::Failed(status),
        }
    }
}

/// Who the collector is.
pub(super) fn caller() -> Caller {
    Caller::system("system:serviceaccount:kube-system:generic-garbage-collector")
}

/// Carries out a job.
pub(super) async fn carry_out(verbs: &Verbs, item: &Item, job: &Job) -> Outcome {
    let (target, live) = match look(verbs, item) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let result = match job {
        Job::Judge { is_owner, gone, misplaced } => judge(verbs, &target, &live, *is_owner, gone, misplaced).await,
        Job::Orphan { dependents } => orphan(verbs, &target, &live, dependents).await,
        Job::Release if !object::is_terminating(&live) => Ok(()),
        Job::Release => remove_finalizer(verbs, &target, &live, FOREGROUND_FINALIZER).await,
        Job::Unblock => unblock(verbs, &target, &live).await,
    };
    result.map_or_else(|outcome| outcome, |()| Outcome::Done)
}

/// Returns the object as it is now, if it is still the same.
fn look(verbs: &Verbs, item: &Item) -> Result<(Target, Object), Outcome> {
    let target = verbs.target_of(&item.key).ok_or(Outcome::Parked)?;
    let live = verbs.get(&target)?;
    // Another object of the same name has a story of its own.
    if *object::uid(&live) == *item.uid { Ok((target, live)) } else { Err(Outcome::Done) }
}

async fn judge(
    verbs: &Verbs,
    target: &Target,
    live: &Object,
    is_owner: bool,
    gone: &[String],
    misplaced: &[String],
) -> Result<(), Outcome> {
    if object::is_terminating(live) {
        return Ok(());
    }
    let owners = match owners::look_up(verbs, live, gone) {
        Ok(owners) => owners,
        Err(Unresolved::NotServed) => return Err(Outcome::Parked),
        Err(Unresolved::Failed(status)) => return Err(status.into()),
    };
    for owner in owners.dangling.iter().filter(|owner| misplaced.contains(&owner.uid)) {
        misplaced::tell(verbs, live, owner).await;
    }
    if !owners.solid.is_empty() {
        let lost: Vec<&str> =
            owners.dangling.iter().map(|o| o.uid.as_str()).chain(owners.waiting.iter().map(String::as_str)).collect();
        // An owner that waits is taken away, too: else it would wait for what others keep alive.
        return if lost.is_empty() { Ok(()) } else { disown(verbs, target, live, &lost).await };
    }
    if owners.waiting.is_empty() && owners.dangling.is_empty() {
        return Ok(());
    }
    let has = |wanted: &str| object::finalizers(live).any(|finalizer| finalizer == wanted);
    let policy = match () {
        () if !owners.waiting.is_empty() && is_owner => "Foreground",
        () if has(ORPHAN_FINALIZER) => "Orphan",
        () if has(FOREGROUND_FINALIZER) => "Foreground",
        () => "Background",
    };
    tracing::debug!(object = %name(target), policy, "no owner is left");
    let options = DeleteOptions {
        propagation_policy: Some(policy.to_owned()),
        uid: Some(object::uid(live).to_owned()),
        resource_version: Some(object::resource_version(live).to_owned()),
        ..DeleteOptions::default()
    };
    match verbs.delete(&caller(), target, &options).await {
        // Admission may say so of something else.
        Err(status) if status.is(&Reason::NOT_FOUND) && verbs.get(target).is_ok() => Err(Outcome::Failed(status)),
        Err(status) => Err(status.into()),
        Ok(_) => Ok(()),
    }
}

async fn orphan(verbs: &Verbs, target: &Target, live: &Object, dependents: &[Item]) -> Result<(), Outcome> {
    let asked = object::finalizers(live).any(|f| f == ORPHAN_FINALIZER);
    if !object::is_terminating(live) || !asked {
        return Ok(());
    }
    let release = |dependent: Item| {
        let (verbs, uid) = (verbs.clone(), object::uid(live).to_owned());
        async move { release(&verbs, &dependent, &uid).await }
    };
    let mut released = futures::stream::iter(dependents.to_vec()).map(release).buffer_unordered(RELEASED_AT_ONCE);
    let mut worst = Ok(());
    while let Some(result) = released.next().await {
        // The others are released all the same.
        worst = worst.and(result);
    }
    drop(released);
    worst?;
    remove_finalizer(verbs, target, live, ORPHAN_FINALIZER).await
}

/// Takes one owner from a dependent, also if somebody writes in between.
async fn release(verbs: &Verbs, dependent: &Item, owner: &str) -> Result<(), Outcome> {
    for _ in 0..RELEASE_TRIES {
        let (target, live) = match look(verbs, dependent) {
            // It is gone, and names nobody any more.
            Err(Outcome::Done) => return Ok(()),
            other => other?,
        };
        match disown(verbs, &target, &live, &[owner]).await {
            // Somebody was quicker, or it is gone, or admission says so: the next look tells.
            Err(Outcome::Again | Outcome::Done) => {}
            other => return other,
        }
    }
    let text = format!("{} is not let go of: it changes again and again, or admission refuses", dependent.key);
    Err(Outcome::Failed(Status::new(409, Reason::CONFLICT, text)))
}

async fn disown(verbs: &Verbs, target: &Target, live: &Object, lost: &[&str]) -> Result<(), Outcome> {
    let is_lost = |reference: &Value| reference["uid"].as_str().is_some_and(|uid| lost.contains(&uid));
    let before = list(live, "ownerReferences");
    let left: Vec<&Value> = before.iter().filter(|reference| !is_lost(reference)).collect();
    if left.len() == before.len() {
        return Ok(());
    }
    patch(verbs, target, live, json!({"ownerReferences": left})).await
}

async fn unblock(verbs: &Verbs, target: &Target, live: &Object) -> Result<(), Outcome> {
    let mut references = list(live, "ownerReferences").to_vec();
    for reference in &mut references {
        reference["blockOwnerDeletion"] = json!(false);
    }
    patch(verbs, target, live, json!({"ownerReferences": references})).await
}

async fn remove_finalizer(verbs: &Verbs, target: &Target, live: &Object, finalizer: &str) -> Result<(), Outcome> {
    let left: Vec<&Value> = list(live, "finalizers").iter().filter(|f| *f != finalizer).collect();
    patch(verbs, target, live, json!({"finalizers": left})).await
}

/// Changes metadata of an object that nobody has written since the look.
async fn patch(verbs: &Verbs, target: &Target, live: &Object, mut metadata: Value) -> Result<(), Outcome> {
    metadata["uid"] = json!(object::uid(live));
    metadata["resourceVersion"] = json!(object::resource_version(live));
    let patch = Patch::Merge(json!({"metadata": metadata}));
    verbs.patch(&caller(), target, patch, &WriteOptions::default()).await?;
    Ok(())
}

fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object["metadata"][field].as_array().map_or(&[], Vec::as_slice)
}

fn name(target: &Target) -> String {
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let name = target.name.as_deref().unwrap_or_default();
    format!("{} {namespace}/{name}", target.kind.group_resource())
}
