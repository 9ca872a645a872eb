//! Floor 20: what every store does, over a file and in memory.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rdd_store::{
    Clock, EventKind, Expect, HistoryError, Key, Options, Prefix, Revision, Start, Store, Watch, WatchEnd, WriteError,
};
use support::{DEADLINE, both, key, next};

fn tight() -> Options {
    Options { history: Duration::ZERO, min_revisions: 10, compaction_step: 5, ..Options::default() }
}

async fn create(store: &Store, name: &str) -> Revision {
    store.put(key(name), name.to_owned().into(), Expect::Absent, None).await.expect("the key is free").revision
}

async fn change(store: &Store, name: &str, from: Revision, bytes: &str) -> Revision {
    let bytes = bytes.to_owned().into();
    store.put(key(name), bytes, Expect::Revision(from), None).await.expect("nobody else changes it").revision
}

fn names(store: &rdd_store::Snapshot, prefix: &Prefix) -> Vec<String> {
    store.range(prefix, None).map(|entry| entry.key.name().to_owned()).collect()
}

#[test]
fn an_entry_is_created_changed_and_deleted() {
    both(async |place| {
        let store = place.open();
        assert_eq!(store.revision(), Revision(1));
        let first = store.put(key("a"), "1".into(), Expect::Absent, None).await.expect("the key is free");
        assert_eq!((first.revision, first.create_revision), (Revision(2), Revision(2)));
        let second = store.put(key("a"), "2".into(), Expect::Revision(first.revision), None).await.expect("unchanged");
        assert_eq!((second.revision, second.create_revision), (Revision(3), Revision(2)));
        assert_eq!(store.snapshot().get(&key("a")).expect("it is there").bytes, "2");
        let last = store.delete(key("a"), second.revision).await.expect("unchanged");
        assert_eq!((last.revision, &last.bytes[..]), (Revision(4), &b"2"[..]));
        assert!(store.snapshot().get(&key("a")).is_none());
        assert_eq!(store.revision(), Revision(4));
        assert_eq!(create(&store, "a").await, Revision(5));
        store.close().await;
    });
}

#[test]
fn a_conflict_shows_what_is_there() {
    both(async |place| {
        let store = place.open();
        let revision = create(&store, "a").await;
        let conflict = |written: Result<_, WriteError>| match written {
            Err(WriteError::Conflict { current }) => current.map(|entry| entry.revision),
            other => panic!("no conflict but {other:?}"),
        };
        let put = |name, expect| store.put(key(name), "x".into(), expect, None);
        assert_eq!(conflict(put("a", Expect::Absent).await), Some(revision));
        assert_eq!(conflict(put("a", Expect::Revision(Revision(1))).await), Some(revision));
        assert_eq!(conflict(put("b", Expect::Revision(revision)).await), None);
        assert_eq!(conflict(store.delete(key("a"), Revision(7)).await), Some(revision));
        assert_eq!(conflict(store.delete(key("b"), revision).await), None);
        assert_eq!(store.revision(), revision);
        store.close().await;
    });
}

#[test]
fn of_many_who_change_the_same_revision_one_wins() {
    both(async |place| {
        let store = place.open();
        let first = create(&store, "a").await;
        let tasks: Vec<_> = (0..32)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move {
                    store.put(key("a"), number.to_string().into(), Expect::Revision(first), None).await
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.expect("no panic") {
                Ok(entry) => won += usize::from(entry.revision == Revision(3)),
                // Whatever it lost against was committed by the time it was told.
                Err(WriteError::Conflict { current }) => {
                    assert_eq!(current.expect("it was never deleted").revision, Revision(3));
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(won, 1);
        assert_eq!(store.revision(), Revision(3));
        store.close().await;
    });
}

#[test]
fn a_list_goes_by_namespace_then_name_and_can_be_continued() {
    both(async |place| {
        let store = place.open();
        for (resource, namespace, name) in [
            ("configmaps", Some("b"), "1"),
            ("configmaps", Some("a"), "2"),
            ("configmaps", Some("a"), "1"),
            ("configmaps", Some("ab"), "1"),
            ("secrets", Some("a"), "1"),
            ("namespaces", None, "a"),
        ] {
            let key = Key::new("", resource, namespace, name);
            store.put(key, "".into(), Expect::Absent, None).await.expect("the key is free");
        }
        let snapshot = store.snapshot();
        let list = |prefix: &Prefix, after: Option<&str>| -> Vec<String> {
            snapshot.range(prefix, after).map(|entry| entry.key.to_string()).collect()
        };
        let all = Prefix::resource("", "configmaps");
        assert_eq!(list(&all, None), ["/configmaps/a/1", "/configmaps/a/2", "/configmaps/ab/1", "/configmaps/b/1"]);
        assert_eq!(list(&all, Some("/configmaps/a/2")), ["/configmaps/ab/1", "/configmaps/b/1"]);
        assert_eq!(list(&all, Some("/a")), list(&all, None));
        assert_eq!(list(&Prefix::namespace("", "configmaps", "a"), None).len(), 2);
        assert_eq!(snapshot.count(&all), 4);
        assert_eq!(snapshot.count(&Prefix::everything()), 6);
        store.close().await;
    });
}

#[test]
fn a_snapshot_stays_as_it_was() {
    both(async |place| {
        let store = place.open();
        let revision = create(&store, "a").await;
        let before = store.snapshot();
        store.delete(key("a"), revision).await.expect("unchanged");
        assert!(before.get(&key("a")).is_some());
        assert!(store.snapshot().get(&key("a")).is_none());
        assert_eq!(before.revision(), revision);
        store.close().await;
    });
}

/// Writes a history, noting the state at each of its revisions.
async fn history(store: &Store) -> HashMap<Revision, Vec<String>> {
    let all = Prefix::everything();
    let mut states = HashMap::from([(store.revision(), Vec::new())]);
    for number in 0..60 {
        let name = format!("n{}", number % 7);
        match store.snapshot().get(&key(&name)) {
            None => drop(create(store, &name).await),
            Some(entry) if number % 3 == 0 => drop(store.delete(key(&name), entry.revision).await.expect("unchanged")),
            Some(entry) => drop(change(store, &name, entry.revision, &number.to_string()).await),
        }
        states.insert(store.revision(), names(&store.snapshot(), &all));
    }
    states
}

#[test]
fn history_is_exact_from_memory_and_from_the_log() {
    both(async |place| {
        // With nothing kept in memory, all history comes from the log.
        for history_bytes in [64 << 20, 2000, 0] {
            let place =
                support::Place { location: place.location.clone(), directory: tempfile::tempdir().expect("dir") };
            let place = match place.location {
                rdd_store::Location::Memory => place,
                rdd_store::Location::File(_) => {
                    support::Place { location: rdd_store::Location::File(place.path()), ..place }
                }
            };
            let store = place.open_with(Options { history_bytes, ..Options::default() });
            let states = history(&store).await;
            for (revision, names_then) in &states {
                let snapshot = store.snapshot_at(*revision).expect("it is not compacted");
                assert_eq!(snapshot.revision(), *revision);
                assert_eq!(&names(&snapshot, &Prefix::everything()), names_then, "at {revision}");
            }
            let future = store.snapshot_at(Revision(1000)).expect_err("it has not happened");
            assert!(matches!(future, HistoryError::Future { current } if current == store.revision()));
            store.close().await;
        }
    });
}

#[test]
fn compaction_keeps_what_lives_and_forgets_the_rest() {
    both(async |place| {
        // Nothing is compacted but by our word.
        let store = place.open_with(Options { min_revisions: 1000, ..tight() });
        let states = history(&store).await;
        let all = Prefix::everything();
        assert_eq!(store.compact(Revision(30)).await.expect("it compacts"), store.oldest());
        let oldest = store.oldest();
        assert!(oldest >= Revision(30) && oldest < store.revision(), "{oldest}");
        for (revision, names_then) in &states {
            match store.snapshot_at(*revision) {
                Ok(snapshot) => assert_eq!(&names(&snapshot, &all), names_then, "at {revision}"),
                Err(HistoryError::Compacted { oldest: said }) => assert!(*revision < said, "{revision} is kept"),
                Err(other) => panic!("{other}"),
            }
        }
        let refused = store.watch(all.clone(), Start::After(Revision(oldest.0 - 1))).expect_err("it is compacted");
        assert!(matches!(refused, HistoryError::Compacted { .. }), "{refused}");
        let mut watch = store.watch(all, Start::After(oldest)).expect("what follows is kept");
        assert_eq!(next(&mut watch).await.revision, Revision(oldest.0 + 1));
        // All of it may go, and the counter still goes on.
        let current = store.revision();
        assert_eq!(store.compact(Revision(u64::MAX)).await.expect("it compacts"), current);
        assert_eq!(create(&store, "later").await, Revision(current.0 + 1));
        store.close().await;
    });
}

#[test]
fn the_store_compacts_by_itself_in_the_pauses() {
    both(async |place| {
        let store = place.open_with(tight());
        for number in 0..40 {
            create(&store, &format!("n{number}")).await;
        }
        let deadline = tokio::time::Instant::now() + DEADLINE;
        // 41 revisions, of which 10 are kept, in steps of 5.
        while store.oldest() < Revision(25) {
            assert!(tokio::time::Instant::now() < deadline, "compacted only up to {}", store.oldest());
            tokio::task::yield_now().await;
        }
        assert!(store.oldest() <= Revision(31), "{}", store.oldest());
        assert_eq!(store.snapshot().count(&Prefix::everything()), 40);
        store.close().await;
    });
}

#[test]
fn a_watch_tells_what_happened() {
    both(async |place| {
        let store = place.open();
        let first = create(&store, "a").await;
        let mut watch =
            store.watch(Prefix::resource("", "configmaps"), Start::After(Revision(1))).expect("all is kept");
        let second = change(&store, "a", first, "2").await;
        let third = store.delete(key("a"), second).await.expect("unchanged").revision;
        let event = next(&mut watch).await;
        assert_eq!((event.kind, event.revision, event.previous.is_none()), (EventKind::Created, first, true));
        let event = next(&mut watch).await;
        assert_eq!((event.kind, event.revision), (EventKind::Modified, second));
        assert_eq!(event.previous.as_ref().expect("it was there").revision, first);
        let event = next(&mut watch).await;
        assert_eq!((event.kind, event.revision, event.entry.revision), (EventKind::Deleted, third, third));
        assert_eq!((&event.entry.bytes[..], event.entry.create_revision), (&b"2"[..], first));
        assert_eq!(event.previous.as_ref().expect("it was there").revision, second);
        store.close().await;
        assert!(matches!(watch.next().await, Err(WatchEnd::Closed)));
    });
}

#[test]
fn a_watch_sees_only_its_prefix_and_its_progress_goes_on() {
    both(async |place| {
        let store = place.open();
        let mut watch = store.watch(Prefix::namespace("", "configmaps", "default"), Start::Now).expect("now");
        let other = Key::new("", "secrets", Some("default"), "s");
        let elsewhere = Key::new("", "configmaps", Some("default2"), "s");
        for key in [other, elsewhere] {
            store.put(key, "".into(), Expect::Absent, None).await.expect("the key is free");
        }
        assert_eq!(watch.progress(), store.revision());
        let revision = create(&store, "a").await;
        assert_eq!(watch.progress(), Revision(1), "there is something to deliver");
        assert_eq!(next(&mut watch).await.revision, revision);
        assert_eq!(watch.progress(), revision);
        store.close().await;
    });
}

#[test]
fn a_watch_of_the_future_begins_there() {
    both(async |place| {
        let store = place.open();
        let mut watch = store.watch(Prefix::everything(), Start::After(Revision(3))).expect("the future is fine");
        for name in ["a", "b", "c"] {
            create(&store, name).await;
        }
        assert_eq!(next(&mut watch).await.revision, Revision(4));
        store.close().await;
    });
}

#[test]
fn a_watch_that_falls_behind_ends_and_no_other_does() {
    both(async |place| {
        let store = place.open_with(Options { history_bytes: 4000, ..Options::default() });
        let all = Prefix::resource("", "configmaps");
        let mut slow = store.watch(all.clone(), Start::Now).expect("now");
        let mut idle = store.watch(Prefix::resource("", "secrets"), Start::Now).expect("now");
        let mut quick = store.watch(all.clone(), Start::Now).expect("now");
        for number in 0..100 {
            let revision = create(&store, &format!("n{number}")).await;
            assert_eq!(next(&mut quick).await.revision, revision);
        }
        assert!(matches!(slow.next().await, Err(WatchEnd::Lagged)));
        assert_eq!(idle.progress(), store.revision());
        let secret = Key::new("", "secrets", Some("default"), "s");
        store.put(secret.clone(), "".into(), Expect::Absent, None).await.expect("the key is free");
        assert_eq!(next(&mut idle).await.entry.key, secret);
        // Who comes again gets it all, from the log.
        let mut again = store.watch(all, Start::After(Revision(1))).expect("the log has it");
        for number in 0..100 {
            assert_eq!(next(&mut again).await.revision, Revision(number + 2));
        }
        let revision = create(&store, "live").await;
        assert_eq!(next(&mut again).await.revision, revision);
        store.close().await;
    });
}

async fn follow(mut watch: Watch, count: usize) -> Vec<(Revision, EventKind)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let event = next(&mut watch).await;
        seen.push((event.revision, event.kind));
    }
    seen
}

#[test]
fn watches_see_every_revision_once_and_in_order_under_concurrent_writers() {
    const WRITERS: usize = 8;
    const WRITES: usize = 60;
    both(async |place| {
        let store = place.open_with(Options { batch_writes: 5, ..Options::default() });
        let watches: Vec<_> = (0..8)
            .map(|_| store.watch(Prefix::everything(), Start::Now).expect("now"))
            .map(|watch| tokio::spawn(follow(watch, WRITERS * WRITES)))
            .collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut at = None;
                    for number in 0..WRITES {
                        let name = format!("w{writer}");
                        at = match at {
                            Some(revision) if number % 5 == 0 => {
                                drop(store.delete(key(&name), revision).await.expect("ours alone"));
                                None
                            }
                            Some(revision) => Some(change(&store, &name, revision, &number.to_string()).await),
                            None => Some(create(&store, &name).await),
                        };
                        // Own writes are seen at once.
                        let seen = store.snapshot().get(&key(&name)).map(|entry| entry.revision);
                        assert_eq!(seen, at);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.expect("no panic");
        }
        let expected: Vec<_> = (2..2 + (WRITERS * WRITES) as u64).map(Revision).collect();
        // One that comes late sees the same.
        let late = follow(store.watch(Prefix::everything(), Start::After(Revision(1))).expect("kept"), expected.len());
        let late = late.await;
        for watch in watches {
            let seen = watch.await.expect("no panic");
            assert_eq!(seen, late);
            assert_eq!(seen.into_iter().map(|(revision, _)| revision).collect::<Vec<_>>(), expected);
        }
        store.close().await;
    });
}

#[test]
fn what_expires_is_deleted_by_an_ordinary_event() {
    both(async |place| {
        // Time stands still until we move it.
        let now = Arc::new(AtomicU64::new(1_000_000));
        let clock = Clock::new({
            let now = Arc::clone(&now);
            move || SystemTime::UNIX_EPOCH + Duration::from_millis(now.load(Ordering::Relaxed))
        });
        let store = place.open_with(Options { expiry_span: Duration::from_millis(10), clock, ..Options::default() });
        let mut watch = store.watch(Prefix::everything(), Start::Now).expect("now");
        let ttl = Some(Duration::from_millis(50));
        let put = |name, expect, ttl| store.put(key(name), "x".into(), expect, ttl);
        let first = put("a", Expect::Absent, ttl).await.expect("free");
        let renewed = put("b", Expect::Absent, ttl).await.expect("free");
        let stays = put("c", Expect::Absent, ttl).await.expect("free");
        let long = Some(Duration::from_secs(3600));
        put("b", Expect::Revision(renewed.revision), long).await.expect("not expired yet");
        put("c", Expect::Revision(stays.revision), None).await.expect("not expired yet");
        for _ in 0..5 {
            next(&mut watch).await;
        }
        now.fetch_add(60, Ordering::Relaxed);
        let gone = next(&mut watch).await;
        assert_eq!((gone.kind, &gone.entry.key, gone.revision), (EventKind::Deleted, &key("a"), Revision(7)));
        assert_eq!(gone.previous.as_ref().expect("it was there").revision, first.revision);
        assert_eq!(names(&store.snapshot(), &Prefix::everything()), ["b", "c"]);
        store.close().await;
    });
}

#[test]
fn a_wait_ends_with_the_revision_or_the_time() {
    both(async |place| {
        let store = place.open();
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.wait_for(Revision(2), DEADLINE).await }
        });
        create(&store, "a").await;
        waiting.await.expect("no panic").expect("it came");
        let future = store.wait_for(Revision(9), Duration::from_millis(5)).await.expect_err("it never comes");
        assert_eq!(future.current, Revision(2));
        store.close().await;
    });
}

#[test]
fn a_closed_store_still_shows_what_it_knew() {
    both(async |place| {
        let store = place.open();
        create(&store, "a").await;
        let other = store.clone();
        assert_eq!(other.unavailable(), None);
        store.close().await;
        assert!(other.snapshot().get(&key("a")).is_some());
        let refused = other.put(key("b"), "".into(), Expect::Absent, None).await;
        assert!(matches!(refused, Err(WriteError::Closed)));
        assert!(other.unavailable().is_some());
        other.close().await;
    });
}

#[test]
fn decoded_forms_are_shared_between_readers() {
    both(async |place| {
        let store = place.open();
        let mut watch = store.watch(Prefix::everything(), Start::Now).expect("now");
        create(&store, "a").await;
        let listed = store.snapshot().get(&key("a")).expect("it is there").view(|entry| entry.bytes.len());
        let watched = next(&mut watch).await.entry.view(|_| -> usize { panic!("made already") });
        assert!(Arc::ptr_eq(&listed, &watched));
        store.close().await;
    });
}

#[test]
fn a_backup_is_a_whole_store_that_gives_out_no_old_revision() {
    both(async |place| {
        let store = place.open();
        let states = history(&store).await;
        let copy = support::Place::file();
        store.backup(&copy.path()).expect("the copy is made");
        store.backup(&copy.path()).expect("and made again");
        let at_backup = store.revision();
        create(&store, "later").await;
        let restored = copy.open();
        assert!(restored.was_clean());
        assert!(restored.revision() > Revision(at_backup.0 + 1000));
        assert_eq!(restored.oldest(), restored.revision());
        assert_eq!(names(&restored.snapshot(), &Prefix::everything()), states[&at_backup]);
        let revision = restored.revision();
        assert_eq!(create(&restored, "new").await, Revision(revision.0 + 1));
        restored.close().await;
        let again = copy.open();
        assert_eq!(again.revision(), Revision(revision.0 + 1), "the step is taken once");
        again.close().await;
        store.close().await;
    });
}

#[test]
fn a_watch_catches_up_over_a_long_history_while_it_goes_on() {
    const EACH: usize = 300;
    both(async |place| {
        // Nothing is kept in memory but the last commit, so the log is read page by page.
        let store = place.open_with(Options { history_bytes: 20_000, ..Options::default() });
        let write = |writer: usize| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    create(&store, &format!("w{writer}-{number}")).await;
                }
            })
        };
        let before: Vec<_> = (0..6).map(write).collect();
        for writer in before {
            writer.await.expect("no panic");
        }
        let watch = store.watch(Prefix::resource("", "configmaps"), Start::After(Revision(1))).expect("the log has it");
        let watching = tokio::spawn(follow(watch, 6 * EACH));
        let seen: Vec<_> = watching.await.expect("no panic").into_iter().map(|(revision, _)| revision.0).collect();
        assert_eq!(seen, (2..2 + 6 * EACH as u64).collect::<Vec<_>>());
        // One that selects nothing of it knows that at the end.
        let mut other =
            store.watch(Prefix::namespace("", "configmaps", "other"), Start::After(Revision(1))).expect("kept");
        let key = Key::new("", "configmaps", Some("other"), "a");
        let revision = store.put(key, "".into(), Expect::Absent, None).await.expect("free").revision;
        assert_eq!(next(&mut other).await.revision, revision);
        assert_eq!(other.progress(), store.revision());
        store.close().await;
    });
}

/// What idles costs nothing: the writer thread is not even woken.
#[test]
#[cfg(target_os = "linux")]
fn an_idle_store_does_nothing() {
    fn wake_ups() -> u64 {
        let mut sum = 0;
        for task in std::fs::read_dir("/proc/self/task").expect("Linux has it").map_while(Result::ok) {
            // A thread of another test may end under our hands.
            let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
            if read("comm").trim() == "store-writer" {
                let status = read("status");
                let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
                sum +=
                    line.and_then(|line| line.split_whitespace().nth(1)).map_or(0, |count| count.parse().unwrap_or(0));
            }
        }
        sum
    }
    // Alone in a process of its own, for no other store may be in the count.
    if std::env::var_os("STORE_TEST_ALONE").is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().expect("our own path"));
        alone.args(["--exact", "an_idle_store_does_nothing"]).env("STORE_TEST_ALONE", "1");
        let output = alone.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    both(async |place| {
        let store = place.open();
        let _watch = store.watch(Prefix::everything(), Start::Now).expect("now");
        create(&store, "a").await;
        // The thread goes to sleep when it has answered; until then the count moves.
        let mut before = wake_ups();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            before = wake_ups();
        }
        assert!(before > 0, "the thread was found");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(wake_ups(), before);
        store.close().await;
    });
}

#[test]
fn a_store_in_use_by_another_is_copied_and_put_back() {
    support::run(async {
        let place = support::Place::file();
        let store = place.open();
        let states = history(&store).await;
        let at_backup = store.revision();
        let directory = tempfile::tempdir().expect("a directory");
        let copy = directory.path().join("copy.db");
        rdd_store::backup_file(&place.path(), &copy).expect("copied beside the store");
        for number in 0..20 {
            create(&store, &format!("later-{number}")).await;
        }
        let newest = store.revision();
        let refused = rdd_store::restore_file(&copy, &place.path()).expect_err("it is in use");
        assert!(matches!(refused, rdd_store::RestoreError::Open(rdd_store::OpenError::Locked { .. })), "{refused:?}");
        store.close().await;

        let kept = rdd_store::restore_file(&copy, &place.path()).expect("restored").expect("one was there");
        let restored = place.open();
        assert!(restored.revision() > Revision(newest.0 + 1000), "no revision is given out again");
        assert_eq!(names(&restored.snapshot(), &Prefix::everything()), states[&at_backup]);
        restored.close().await;
        let before =
            rdd_store::Store::open(rdd_store::Location::File(kept), Options::default()).expect("what was there opens");
        assert_eq!(before.revision(), newest);
        before.close().await;
        // The copy is as it was, for the next time.
        rdd_store::restore_file(&copy, &place.path()).expect("restored again");
    });
}

#[test]
fn what_is_no_backup_takes_no_stores_place() {
    support::run(async {
        let place = support::Place::file();
        let store = place.open();
        create(&store, "a").await;
        store.close().await;
        let before = std::fs::read(place.path()).expect("read");
        let directory = tempfile::tempdir().expect("a directory");
        let check = |name: &str, content: Option<&[u8]>| {
            let path = directory.path().join(name);
            content.into_iter().for_each(|bytes| std::fs::write(&path, bytes).expect("written"));
            rdd_store::restore_file(&path, &place.path()).expect_err("refused");
            assert_eq!(std::fs::read(place.path()).expect("read"), before, "{name}");
        };
        check("absent", None);
        check("text", Some(b"this is text, and long enough to be looked at as a database by anybody who likes to"));
        check("empty", Some(b""));
        let good = directory.path().join("good");
        rdd_store::backup_file(&place.path(), &good).expect("copied");
        let mut cut = std::fs::read(&good).expect("read");
        cut.truncate(cut.len() / 2);
        check("cut", Some(&cut));
        let left: Vec<_> = std::fs::read_dir(place.path().parent().expect("a directory")).expect("listed").collect();
        assert!(left.len() <= 4, "nothing temporary stays: {left:?}");
    });
}

#[test]
fn a_damaged_store_is_replaced_and_kept() {
    support::run(async {
        let place = support::Place::file();
        let store = place.open();
        create(&store, "a").await;
        let copy = place.path().with_file_name("copy.db");
        store.backup(&copy).expect("copied");
        store.close().await;
        let journal = place.path().with_file_name("state.db-wal");
        std::fs::write(place.path(), "this was a database once, and then a disk had its way with it").expect("written");
        std::fs::write(&journal, "and this its journal").expect("written");
        let kept = rdd_store::restore_file(&copy, &place.path()).expect("restored").expect("one was there");
        assert!(std::fs::read_to_string(kept).expect("kept").starts_with("this was"));
        assert!(!journal.exists(), "an old journal means nothing to the new database");
        let restored = place.open();
        assert!(restored.snapshot().get(&key("a")).is_some());
        restored.close().await;
    });
}
