//! Names of LimaVMs are unique across namespaces: a lock per name, and who holds which.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, Weak};

use rdd_machine::MachineName;
use rdd_reconcile::ObjectKey;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// One lock per name, so that two creates of the same name in different namespaces come one after
/// the other. Shared by admission and controller.
#[derive(Clone, Debug, Default)]
pub struct NameLocks(Arc<Mutex<HashMap<String, Weak<AsyncMutex<()>>>>>);

impl NameLocks {
    /// Waits for the name's lock.
    pub async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().expect("no holder of this lock panics");
            locks.retain(|_, lock| lock.strong_count() > 0);
            let present = locks.get(name).and_then(Weak::upgrade);
            present.unwrap_or_else(|| {
                let fresh = Arc::new(AsyncMutex::new(()));
                locks.insert(name.to_owned(), Arc::downgrade(&fresh));
                fresh
            })
        };
        lock.lock_owned().await
    }
}

/// Which LimaVM a machine belongs to, as far as this controller has seen. Admission keeps names
/// unique; this is for objects that came past it.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<MachineName, Claim>>);

#[derive(Debug)]
struct Claim {
    holder: ObjectKey,
    uid: String,
    /// Those who asked in vain.
    refused: HashSet<ObjectKey>,
}

impl Claims {
    /// Claims a machine for an object. Returns the key of another object that has it.
    pub(crate) fn claim(&self, name: &MachineName, key: &ObjectKey, uid: &str) -> Option<ObjectKey> {
        let mut claims = self.0.lock().expect("no holder of this lock panics");
        let claim = claims.entry(name.clone()).or_insert_with(|| Claim {
            holder: key.clone(),
            uid: String::new(),
            refused: HashSet::new(),
        });
        if claim.holder != *key {
            claim.refused.insert(key.clone());
            return Some(claim.holder.clone());
        }
        uid.clone_into(&mut claim.uid);
        None
    }

    /// Gives a machine up, if the object has it. Returns the object's uid, and who may have it now.
    pub(crate) fn give_up(&self, name: &MachineName, key: &ObjectKey) -> Option<(String, HashSet<ObjectKey>)> {
        let mut claims = self.0.lock().expect("no holder of this lock panics");
        if claims.get(name).is_none_or(|claim| claim.holder != *key) {
            return None;
        }
        claims.remove(name).map(|claim| (claim.uid, claim.refused))
    }

    /// Returns the key of the object that has a machine.
    pub(crate) fn holder(&self, name: &MachineName) -> Option<ObjectKey> {
        self.0.lock().expect("no holder of this lock panics").get(name).map(|claim| claim.holder.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_locked_alone_and_forgotten_after_use() {
        let locks = NameLocks::default();
        let held = locks.lock("a").await;
        let _other = locks.lock("b").await;
        let waiting = tokio::spawn({
            let locks = locks.clone();
            async move { drop(locks.lock("a").await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.expect("got the lock");
        drop(locks.lock("c").await);
        drop(locks.lock("d").await);
        assert!(!locks.0.lock().expect("no panic").contains_key("c"));
    }

    #[test]
    fn the_first_object_has_the_machine() {
        let claims = Claims::default();
        let name = MachineName::new("vm").expect("a name");
        let (a, b) = (ObjectKey::new("a", "vm"), ObjectKey::new("b", "vm"));
        assert_eq!(claims.claim(&name, &a, "1"), None);
        assert_eq!(claims.claim(&name, &a, "2"), None, "a new object of the same key");
        assert_eq!(claims.claim(&name, &b, "3"), Some(a.clone()));
        assert_eq!(claims.give_up(&name, &b), None);
        assert_eq!(claims.holder(&name), Some(a.clone()));
        assert_eq!(claims.give_up(&name, &a), Some(("2".to_owned(), [b.clone()].into())), "b may have it now");
        assert_eq!(claims.claim(&name, &b, "3"), None);
    }
}
