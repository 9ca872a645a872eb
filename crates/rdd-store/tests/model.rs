//! Floor 20: the store against the simplest thing that could be right.

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use rdd_store::{EventKind, Expect, Options, Prefix, Revision, Start, WriteError};
use support::{Place, key, next, run};

#[derive(Clone, Copy, Debug)]
enum Guess {
    Absent,
    Right,
    Wrong,
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Guess),
    Delete(u8, Guess),
    /// Several writes at once, which share a commit or not.
    Together(Vec<(u8, Guess)>),
    Compact,
    Reopen,
}

fn guess() -> impl Strategy<Value = Guess> {
    prop_oneof![3 => Just(Guess::Right), 2 => Just(Guess::Absent), 1 => Just(Guess::Wrong)]
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..4u8;
    prop_oneof![
        6 => (name.clone(), guess()).prop_map(|(name, guess)| Step::Put(name, guess)),
        3 => (name.clone(), guess()).prop_map(|(name, guess)| Step::Delete(name, guess)),
        2 => prop::collection::vec((name, guess()), 2..6).prop_map(Step::Together),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

/// A map, a counter, and everything that ever happened.
struct Model {
    revision: u64,
    state: BTreeMap<u8, u64>,
    events: Vec<(u64, u8, EventKind)>,
}

impl Model {
    fn expect(&self, name: u8, guess: Guess) -> Expect {
        match (guess, self.state.get(&name)) {
            (Guess::Absent, _) => Expect::Absent,
            (Guess::Right, Some(revision)) => Expect::Revision(Revision(*revision)),
            (Guess::Right, None) => Expect::Absent,
            (Guess::Wrong, _) => Expect::Revision(Revision(self.revision + 100)),
        }
    }

    fn matches(&self, name: u8, expect: Expect) -> bool {
        match expect {
            Expect::Absent => !self.state.contains_key(&name),
            Expect::Revision(revision) => self.state.get(&name) == Some(&revision.0),
        }
    }

    fn put(&mut self, name: u8, expect: Expect) -> Result<u64, Option<u64>> {
        if !self.matches(name, expect) {
            return Err(self.state.get(&name).copied());
        }
        self.revision += 1;
        let kind = if self.state.contains_key(&name) { EventKind::Modified } else { EventKind::Created };
        self.state.insert(name, self.revision);
        self.events.push((self.revision, name, kind));
        Ok(self.revision)
    }

    fn delete(&mut self, name: u8, expect: Revision) -> Result<u64, Option<u64>> {
        if !self.matches(name, Expect::Revision(expect)) {
            return Err(self.state.get(&name).copied());
        }
        self.revision += 1;
        self.state.remove(&name);
        self.events.push((self.revision, name, EventKind::Deleted));
        Ok(self.revision)
    }
}

fn outcome(written: Result<std::sync::Arc<rdd_store::Entry>, WriteError>) -> Result<u64, Option<u64>> {
    match written {
        Ok(entry) => Ok(entry.revision.0),
        Err(WriteError::Conflict { current }) => Err(current.map(|entry| entry.revision.0)),
        Err(other) => panic!("{other}"),
    }
}

fn text(name: u8) -> String {
    format!("n{name}")
}

async fn check(place: Place, history_bytes: usize, steps: Vec<Step>) {
    let options = Options { history_bytes, batch_writes: 3, ..Options::default() };
    let mut store = place.open_with(options.clone());
    let mut model = Model { revision: 1, state: BTreeMap::new(), events: Vec::new() };
    let mut compacted = 0;
    for step in steps {
        match step {
            Step::Put(name, guess) => {
                let expect = model.expect(name, guess);
                let written = store.put(key(&text(name)), text(name).into(), expect, None).await;
                assert_eq!(outcome(written), model.put(name, expect));
            }
            Step::Delete(name, guess) => {
                if let Expect::Revision(revision) = model.expect(name, guess) {
                    let written = store.delete(key(&text(name)), revision).await;
                    assert_eq!(outcome(written), model.delete(name, revision));
                }
            }
            Step::Together(writes) => {
                // Handed in one after the other on one thread, so the order of the requests is known.
                let mut pending = Vec::new();
                for (name, guess) in writes {
                    let expect = model.expect(name, guess);
                    let expected = model.put(name, expect);
                    let mut write = Box::pin(store.put(key(&text(name)), text(name).into(), expect, None));
                    // The first poll hands the request in; the answer may even be there already.
                    let first = std::future::poll_fn(|context| {
                        std::task::Poll::Ready(match write.as_mut().poll(context) {
                            std::task::Poll::Ready(written) => Some(written),
                            std::task::Poll::Pending => None,
                        })
                    });
                    let first = first.await;
                    pending.push((first, write, expected));
                }
                for (first, write, expected) in pending {
                    let written = match first {
                        Some(written) => written,
                        None => write.await,
                    };
                    // What a loser is shown is what was there when its turn came.
                    assert_eq!(outcome(written), expected);
                }
            }
            Step::Compact => compacted = store.compact(Revision(model.revision / 2)).await.expect("it compacts").0,
            Step::Reopen if place.location == rdd_store::Location::Memory => {}
            Step::Reopen => {
                store.close().await;
                store = place.open_with(options.clone());
            }
        }
        let state: BTreeMap<_, _> = model.state.iter().map(|(name, revision)| (text(*name), *revision)).collect();
        let snapshot = store.snapshot();
        assert_eq!(snapshot.revision().0, model.revision);
        let seen = snapshot.range(&Prefix::everything(), None);
        assert_eq!(
            seen.map(|entry| (entry.key.name().to_owned(), entry.revision.0)).collect::<BTreeMap<_, _>>(),
            state
        );
    }
    // Whoever watches from the oldest point on sees everything since, and any point of it can be had.
    let mut watch = store.watch(Prefix::everything(), Start::After(Revision(compacted))).expect("it is kept");
    for (revision, name, kind) in model.events.iter().filter(|(revision, ..)| *revision > compacted) {
        let event = next(&mut watch).await;
        assert_eq!((event.revision.0, event.entry.key.name(), event.kind), (*revision, &*text(*name), *kind));
    }
    for at in compacted.max(1)..=model.revision {
        let mut state = BTreeMap::new();
        for (revision, name, kind) in model.events.iter().take_while(|(revision, ..)| *revision <= at) {
            match kind {
                EventKind::Deleted => state.remove(&text(*name)),
                _ => state.insert(text(*name), *revision),
            };
        }
        let snapshot = store.snapshot_at(Revision(at)).expect("it is kept");
        let seen = snapshot.range(&Prefix::everything(), None);
        assert_eq!(
            seen.map(|entry| (entry.key.name().to_owned(), entry.revision.0)).collect::<BTreeMap<_, _>>(),
            state
        );
    }
    store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_in_memory_does_as_the_model(
        steps in prop::collection::vec(step(), 1..40),
        history_bytes in prop_oneof![Just(64 << 20), Just(1500)],
    ) {
        run(check(Place::memory(), history_bytes, steps));
    }

    #[test]
    fn the_store_in_a_file_does_as_the_model(
        steps in prop::collection::vec(step(), 1..25),
        history_bytes in prop_oneof![Just(64 << 20), Just(1500)],
    ) {
        run(check(Place::file(), history_bytes, steps));
    }
}
