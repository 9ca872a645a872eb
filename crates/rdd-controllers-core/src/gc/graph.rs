//! Who owns whom: the picture from which the collector knows whom to look at.
//!
//! Pure: it is told of objects, and answers whom that concerns. It may be behind the store, so it decides nothing alone;
//! what it proposes is judged by live reads. Of objects without owners it keeps the uid and the place.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rdd_verbs::{FOREGROUND_FINALIZER, ORPHAN_FINALIZER, ObjectKey, ObjectMetadata, OwnerReference};

/// A uid, shared by all who name it.
pub(super) type Uid = Arc<str>;

/// What an object's deletion waits for, as far as the collector cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is not being deleted.
    Living,
    /// It is being deleted, and waits for others.
    Terminating,
    /// It is being deleted, and waits for its dependents to lose it.
    Orphaning,
    /// It is being deleted, and waits for its dependents to go.
    Foreground,
}

impl State {
    fn of(metadata: &ObjectMetadata) -> Self {
        let has = |wanted: &str| metadata.finalizers.iter().any(|finalizer| finalizer == wanted);
        match metadata.terminating {
            false => Self::Living,
            true if has(ORPHAN_FINALIZER) => Self::Orphaning,
            true if has(FOREGROUND_FINALIZER) => Self::Foreground,
            true => Self::Terminating,
        }
    }
}

#[derive(Debug)]
struct Node {
    key: ObjectKey,
    kind: Box<str>,
    owners: Vec<OwnerReference>,
    state: State,
}

/// An object that something is to be done about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Where it is.
    pub(super) key: ObjectKey,
    /// Who it must still be.
    pub(super) uid: Uid,
}

/// What is to be done about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Look whether its owners live, and let it go if none does.
    Judge {
        /// Whether it owns something itself.
        is_owner: bool,
        /// Owners that are known to be gone, for those whose kind is not served any more.
        gone: Vec<String>,
        /// Owners that live in a place where they cannot own it.
        misplaced: Vec<String>,
    },
    /// Take it from the owners of its dependents, then let it go.
    Orphan {
        /// The dependents.
        dependents: Vec<Item>,
    },
    /// Nothing that blocks its deletion is left: let it go.
    Release,
    /// It waits for itself by way of others: let it block its owners no longer.
    Unblock,
}

/// The picture.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<Uid, Node>,
    dependents: HashMap<Uid, HashSet<Uid>>,
    /// Owners that were seen to go while something names them, and where they were. No uid comes twice.
    gone: HashMap<Uid, ObjectKey>,
}

impl Graph {
    /// Makes the picture of all objects, and returns it with those to look at.
    pub(super) fn new(all: Vec<ObjectMetadata>) -> (Self, Vec<Uid>) {
        let mut graph = Self::default();
        for metadata in all {
            graph.put(metadata);
        }
        // Owners may have come behind their dependents, so only now.
        let concerned = graph.nodes.keys().filter(|uid| graph.concerns(uid)).cloned().collect();
        (graph, concerned)
    }

    /// Takes over an object as it is now, and returns whom to look at.
    pub(super) fn put(&mut self, metadata: ObjectMetadata) -> Vec<Uid> {
        let uid: Uid = metadata.uid.as_str().into();
        let state = State::of(&metadata);
        let node = Node { key: metadata.key, kind: metadata.kind.into(), owners: metadata.owners, state };
        let before = self.nodes.remove(&uid);
        let (was, before) = before.map_or((State::Living, Vec::new()), |node| (node.state, node.owners));
        let changed = before != node.owners;
        if changed {
            // The new ones first: an owner with no dependent left is forgotten, also that it was seen to go.
            for owner in &node.owners {
                self.dependents.entry(owner.uid.as_str().into()).or_default().insert(uid.clone());
            }
            let lost: Vec<_> =
                before.iter().filter(|was| !node.owners.iter().any(|is| is.uid == was.uid)).cloned().collect();
            self.unlink(&uid, &lost);
        }
        self.nodes.insert(uid.clone(), node);
        let mut concerned = Vec::new();
        if self.concerns(&uid) {
            concerned.push(uid.clone());
        }
        if state == State::Foreground && was != State::Foreground {
            concerned.extend(self.dependents(&uid).cloned());
        }
        if changed {
            self.add_released(&before, &mut concerned);
        }
        concerned
    }

    /// Forgets an object that is gone, and returns whom to look at.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<Uid> {
        let mut concerned: Vec<Uid> = self.dependents(uid).cloned().collect();
        if let Some((uid, node)) = self.nodes.remove_entry(uid) {
            self.unlink(&uid, &node.owners);
            if self.dependents.contains_key(&uid) {
                self.gone.insert(uid, node.key);
            }
            self.add_released(&node.owners, &mut concerned);
        }
        concerned
    }

    /// Returns what is to be done about an object.
    pub(super) fn job(&self, uid: &str) -> Option<(Item, Job)> {
        let (uid, node) = self.nodes.get_key_value(uid)?;
        let job = match node.state {
            State::Terminating => return None,
            State::Orphaning => Job::Orphan { dependents: self.items(uid) },
            State::Foreground if !self.is_blocked(uid) => Job::Release,
            State::Foreground if self.waits_for_itself(uid) => Job::Unblock,
            State::Foreground => return None,
            State::Living if node.owners.is_empty() => return None,
            State::Living => {
                let uids = |is: &dyn Fn(&OwnerReference) -> bool| {
                    node.owners.iter().filter(|owner| is(owner)).map(|owner| owner.uid.clone()).collect()
                };
                Job::Judge {
                    is_owner: self.dependents.contains_key(uid),
                    gone: uids(&|owner| self.gone.get(&*owner.uid).is_some_and(|key| can_own(key, &node.key))),
                    misplaced: uids(&|owner| self.nodes.get(&*owner.uid).is_some_and(|o| !can_own(&o.key, &node.key))),
                }
            }
        };
        Some((Item { key: node.key.clone(), uid: uid.clone() }, job))
    }

    /// Returns whether an object may need something done, whatever happened last.
    fn concerns(&self, uid: &Uid) -> bool {
        let Some(node) = self.nodes.get(uid) else { return false };
        match node.state {
            State::Terminating => false,
            State::Orphaning | State::Foreground => true,
            State::Living => node.owners.iter().any(|owner| match self.nodes.get(owner.uid.as_str()) {
                Some(found) => {
                    found.state == State::Foreground
                        || !can_own(&found.key, &node.key)
                        || found.key.name() != owner.name
                        || found.key.group() != owner.group()
                        || *found.kind != *owner.kind
                }
                None => true,
            }),
        }
    }

    fn dependents(&self, uid: &str) -> impl Iterator<Item = &Uid> {
        self.dependents.get(uid).into_iter().flatten()
    }

    fn items(&self, owner: &str) -> Vec<Item> {
        let item = |uid: &Uid| Some(Item { key: self.nodes.get(uid)?.key.clone(), uid: uid.clone() });
        self.dependents(owner).filter_map(item).collect()
    }

    fn unlink(&mut self, uid: &Uid, owners: &[OwnerReference]) {
        for owner in owners {
            let Some(dependents) = self.dependents.get_mut(owner.uid.as_str()) else { continue };
            dependents.remove(uid);
            if dependents.is_empty() {
                self.dependents.remove(owner.uid.as_str());
                self.gone.remove(owner.uid.as_str());
            }
        }
    }

    /// Adds the owners whose deletion may go on now.
    fn add_released(&self, owners: &[OwnerReference], to: &mut Vec<Uid>) {
        for owner in owners {
            if let Some((uid, node)) = self.nodes.get_key_value(owner.uid.as_str())
                && node.state == State::Foreground
                && !self.is_blocked(uid)
            {
                to.push(uid.clone());
            }
        }
    }

    /// Returns those for which the object's foreground deletion waits.
    fn blocking<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a Uid> {
        let owner = self.nodes.get(uid);
        self.dependents(uid).filter(move |dependent| {
            let Some(node) = self.nodes.get(*dependent) else { return false };
            owner.is_some_and(|owner| can_own(&owner.key, &node.key))
                && node.owners.iter().any(|owner| owner.uid == uid && owner.blocks())
        })
    }

    fn is_blocked(&self, uid: &str) -> bool {
        self.blocking(uid).next().is_some()
    }

    /// Returns whether each of a circle of objects waits for the next one to go. The last one to join closes it, so it is
    /// enough to ask for each as it joins.
    fn waits_for_itself(&self, uid: &str) -> bool {
        let (mut seen, mut left) = (HashSet::new(), vec![uid]);
        while let Some(next) = left.pop() {
            for dependent in self.blocking(next) {
                if **dependent == *uid {
                    return true;
                }
                let waits = self.nodes.get(dependent).is_some_and(|node| node.state == State::Foreground);
                if waits && seen.insert(dependent) {
                    left.push(dependent);
                }
            }
        }
        false
    }
}

/// Returns whether an object can own another one at all, going by their places.
fn can_own(owner: &ObjectKey, dependent: &ObjectKey) -> bool {
    owner.namespace().is_none_or(|namespace| dependent.namespace() == Some(namespace))
}

#[cfg(test)]
mod tests;
