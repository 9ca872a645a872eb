//! The policy of the stored roles and bindings, kept until one of them changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rdd_auth::PolicySource;
use rdd_auth::rbac::{GROUP, Policy, PolicyRule, RoleBinding};
use rdd_store::{Entry, Key, Prefix, Revision, Snapshot, Store};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Keeps the policy of a store.
///
/// A request that finds the store where the last one left it costs a comparison, one that follows a write of anything
/// else a walk over the roles and bindings, and only their own writes make the policy anew.
pub(crate) struct PolicyCache {
    store: Store,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The last state that was looked at.
    seen: Option<Revision>,
    /// What tells the state of the roles and bindings: how many there are, and the last revision of any. A write makes
    /// the one larger, a deletion alone the other smaller.
    mark: (usize, Option<Revision>),
    policy: Arc<Policy>,
    roles: HashMap<Key, (Revision, Arc<Vec<PolicyRule>>)>,
    bindings: HashMap<Key, (Revision, Arc<RoleBinding>)>,
}

/// What counts of a Role or ClusterRole.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Role {
    rules: Option<Vec<PolicyRule>>,
}

impl PolicyCache {
    /// Makes the cache of a store.
    pub(crate) fn new(store: Store) -> Self {
        Self { store, kept: Mutex::default() }
    }
}

impl PolicySource for PolicyCache {
    fn policy(&self) -> Arc<Policy> {
        let snapshot = self.store.snapshot();
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        // Somebody else may have come with a later state.
        if kept.seen.is_none_or(|seen| seen < snapshot.revision()) {
            kept.look(&snapshot);
        }
        kept.policy.clone()
    }
}

impl Kept {
    fn look(&mut self, snapshot: &Snapshot) {
        let all = |resource: &str| snapshot.range(&Prefix::resource(GROUP, resource), None);
        let roles: Vec<Arc<Entry>> = all("clusterroles").chain(all("roles")).collect();
        let bindings: Vec<Arc<Entry>> = all("clusterrolebindings").chain(all("rolebindings")).collect();
        let entries = roles.iter().chain(&bindings);
        let mark = (roles.len() + bindings.len(), entries.map(|e| e.revision).max());
        if self.mark != mark {
            let rules = |entry: &Entry| Arc::new(decode::<Role>(entry).rules.unwrap_or_default());
            self.roles = keep(std::mem::take(&mut self.roles), &roles, rules);
            self.bindings = keep(std::mem::take(&mut self.bindings), &bindings, |entry| Arc::new(decode(entry)));
            let place = |key: &Key| (key.namespace().unwrap_or_default().to_owned(), key.name().to_owned());
            let bindings: Vec<_> = self.bindings.iter().map(|(key, (_, binding))| (place(key), binding)).collect();
            self.policy = Arc::new(Policy::new(
                self.roles.iter().map(|(key, (_, rules))| (place(key), rules.clone())),
                bindings.iter().map(|(place, binding)| (place.clone(), &***binding)),
            ));
            self.mark = mark;
        }
        self.seen = Some(snapshot.revision());
    }
}

/// Decodes entries, but for those that were decoded before.
fn keep<T: Clone>(
    mut before: HashMap<Key, (Revision, T)>,
    entries: &[Arc<Entry>],
    decode: impl Fn(&Entry) -> T,
) -> HashMap<Key, (Revision, T)> {
    let one = |entry: &Arc<Entry>| {
        let kept = before.remove(&entry.key).filter(|(revision, _)| *revision == entry.revision);
        (entry.key.clone(), kept.unwrap_or_else(|| (entry.revision, decode(entry))))
    };
    entries.iter().map(one).collect()
}

fn decode<T: DeserializeOwned + Default>(entry: &Entry) -> T {
    serde_json::from_slice(&entry.bytes).unwrap_or_else(|error| {
        // Only the verbs write, so this is a damaged file: it grants nothing.
        tracing::error!(key = %entry.key, %error, "a stored role or binding cannot be read");
        T::default()
    })
}
