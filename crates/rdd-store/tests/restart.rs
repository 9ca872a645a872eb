//! Floor 20: what is in the file survives a restart, and what is not ours is refused.

mod support;

use std::time::{Duration, SystemTime};

use rdd_store::{Clock, EventKind, Expect, Location, OpenError, Options, Prefix, Revision, Start, Store};
use support::{DEADLINE, Place, child, key, next, run};

#[test]
fn a_watch_resumes_across_a_restart() {
    run(async {
        let place = Place::file();
        let store = place.open();
        assert!(store.was_clean());
        let put = |name: &'static str| store.put(key(name), name.into(), Expect::Absent, None);
        let first = put("a").await.expect("free").revision;
        let second = put("b").await.expect("free").revision;
        let third = store.delete(key("b"), second).await.expect("unchanged").revision;
        store.close().await;

        let store = place.open();
        assert!(store.was_clean());
        assert_eq!(store.revision(), third);
        assert_eq!(store.snapshot().get(&key("a")).expect("kept").create_revision, first);
        let mut watch = store.watch(Prefix::everything(), Start::After(first)).expect("history is kept");
        let event = next(&mut watch).await;
        assert_eq!((event.revision, event.kind, &event.entry.bytes[..]), (second, EventKind::Created, &b"b"[..]));
        let event = next(&mut watch).await;
        assert_eq!((event.revision, event.kind, &event.entry.bytes[..]), (third, EventKind::Deleted, &b"b"[..]));
        let fourth = store.put(key("c"), "c".into(), Expect::Absent, None).await.expect("free").revision;
        assert_eq!(fourth, Revision(third.0 + 1));
        assert_eq!(next(&mut watch).await.revision, fourth);
        store.close().await;
    });
}

#[test]
fn a_time_to_live_survives_a_restart() {
    run(async {
        let place = Place::file();
        let store = place.open();
        let ttl = Some(Duration::from_secs(3600));
        let written = store.put(key("a"), "x".into(), Expect::Absent, ttl).await.expect("free");
        store.put(key("b"), "x".into(), Expect::Absent, None).await.expect("free");
        store.close().await;

        let later = Clock::new(|| SystemTime::now() + Duration::from_secs(3601));
        let store = place.open_with(Options { clock: later, ..Options::default() });
        let mut watch = store.watch(Prefix::everything(), Start::After(Revision(3))).expect("kept");
        let gone = next(&mut watch).await;
        assert_eq!((gone.kind, &gone.entry.key, gone.revision), (EventKind::Deleted, &key("a"), Revision(4)));
        assert_eq!(gone.entry.expires_at, written.expires_at);
        assert_eq!(store.snapshot().count(&Prefix::everything()), 1);
        store.close().await;
    });
}

#[test]
fn a_store_that_nobody_holds_closes_itself() {
    run(async {
        let place = Place::file();
        let store = place.open();
        let mut watch = store.watch(Prefix::everything(), Start::Now).expect("now");
        drop(store);
        let end = tokio::time::timeout(DEADLINE, watch.next()).await.expect("it ends");
        assert!(end.is_err());
        // The watch ends last of all: by now the lock is free.
        let store = place.open();
        assert!(store.was_clean());
        store.close().await;
    });
}

#[test]
fn a_database_in_use_is_refused() {
    run(async {
        let place = Place::file();
        let store = place.open();
        let refused = Store::open(place.location.clone(), Options::default()).expect_err("it is in use");
        assert!(matches!(&refused, OpenError::Locked { path } if *path == place.path()), "{refused:?}");
        assert!(refused.to_string().ends_with("is in use by another process"), "{refused}");
        store.close().await;
        place.open().close().await;
    });
}

#[test]
fn a_database_in_use_by_another_process_is_refused() {
    run(async {
        use std::io::{BufRead, BufReader};
        let place = Place::file();
        let path = place.path();
        let mut child = child("child_holds_the_database", &[("STORE_TEST_PATH", path.to_str().expect("text"))]);
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        assert!(output.lines().map_while(Result::ok).any(|line| line.contains("holding")), "the child opened it");
        let refused = Store::open(place.location.clone(), Options::default()).expect_err("it is in use");
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        assert!(matches!(refused, OpenError::Locked { .. }), "{refused:?}");
        let store = place.open();
        assert!(!store.was_clean());
        store.close().await;
    });
}

/// Holds the database until it is killed.
#[test]
#[ignore = "runs as a child of another test"]
fn child_holds_the_database() {
    let Ok(path) = std::env::var("STORE_TEST_PATH") else { return };
    let _store = Store::open(Location::File(path.into()), Options::default()).expect("the store opens");
    println!("holding");
    // Ends by itself, should the parent be gone without a word.
    std::thread::sleep(DEADLINE);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    for text in ["this is not a database\n".repeat(100), "short".to_owned()] {
        let place = Place::file();
        std::fs::write(place.path(), &text).expect("it can be written");
        let refused = Store::open(place.location.clone(), Options::default()).expect_err("no database");
        assert!(matches!(refused, OpenError::NotADatabase { .. }), "{refused:?}");
        assert_eq!(std::fs::read_to_string(place.path()).expect("still there"), text);
    }
}

#[test]
fn a_database_of_another_program_is_refused() {
    let place = Place::file();
    let connection = rusqlite::Connection::open(place.path()).expect("it opens");
    connection.execute_batch("CREATE TABLE kine (id INTEGER PRIMARY KEY)").expect("a table");
    connection.close().expect("closed");
    let refused = Store::open(place.location.clone(), Options::default()).expect_err("not ours");
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused:?}");
}

fn tamper(place: &Place, sql: &str) {
    let connection = rusqlite::Connection::open(place.path()).expect("it opens");
    connection.execute_batch(sql).expect("the statement runs");
    connection.close().expect("closed");
}

#[test]
fn a_newer_schema_is_refused() {
    run(async {
        let place = Place::file();
        place.open().close().await;
        tamper(&place, "UPDATE meta SET v = 7 WHERE k = 'schema'");
        let refused = Store::open(place.location.clone(), Options::default()).expect_err("too new");
        assert!(matches!(refused, OpenError::NewerSchema { found: 7, supported: 1, .. }), "{refused:?}");
        assert!(refused.to_string().contains("has schema version 7"), "{refused}");
    });
}

#[test]
fn a_log_that_contradicts_itself_is_refused() {
    run(async {
        let place = Place::file();
        let store = place.open();
        let first = store.put(key("a"), "1".into(), Expect::Absent, None).await.expect("free").revision;
        store.put(key("a"), "2".into(), Expect::Revision(first), None).await.expect("unchanged");
        store.close().await;
        tamper(&place, "DELETE FROM rev WHERE rev = 2");
        let refused = Store::open(place.location.clone(), Options::default()).expect_err("a row is missing");
        assert!(matches!(&refused, OpenError::Damaged { .. }), "{refused:?}");
        assert!(refused.to_string().ends_with("revision 3 does not follow what was there before"), "{refused}");
    });
}

#[test]
fn a_directory_that_is_missing_is_an_error() {
    let place = Place::file();
    let path = place.directory.path().join("nowhere").join("state.db");
    let refused = Store::open(Location::File(path), Options::default()).expect_err("nowhere to lie");
    assert!(matches!(refused, OpenError::Lock { .. }), "{refused:?}");
}

#[test]
fn compaction_survives_a_restart() {
    run(async {
        let place = Place::file();
        let store = place.open();
        let mut at = store.put(key("a"), "0".into(), Expect::Absent, None).await.expect("free").revision;
        for number in 1..10 {
            let bytes = number.to_string().into();
            at = store.put(key("a"), bytes, Expect::Revision(at), None).await.expect("unchanged").revision;
        }
        let gone = store.put(key("b"), "".into(), Expect::Absent, None).await.expect("free").revision;
        let last = store.delete(key("b"), gone).await.expect("unchanged").revision;
        store.compact(last).await.expect("it compacts");
        store.close().await;
        let store = place.open();
        assert_eq!((store.revision(), store.oldest()), (last, last));
        let entry = store.snapshot().get(&key("a")).expect("it lives");
        assert_eq!((&entry.bytes[..], entry.revision, entry.create_revision), (&b"9"[..], at, Revision(2)));
        let mut watch = store.watch(Prefix::everything(), Start::After(last)).expect("kept");
        store.put(key("a"), "10".into(), Expect::Revision(at), None).await.expect("unchanged");
        assert_eq!(next(&mut watch).await.previous.as_ref().expect("it was there").revision, at);
        store.close().await;
    });
}

/// There are secrets in it.
#[test]
#[cfg(unix)]
fn the_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    run(async {
        let place = Place::file();
        let store = place.open();
        store.put(key("a"), "1".into(), Expect::Absent, None).await.expect("free");
        let backup = place.directory.path().join("backup.db");
        store.backup(&backup).expect("the copy is made");
        for name in ["state.db", "state.db-wal", "backup.db"] {
            let mode = std::fs::metadata(place.directory.path().join(name)).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let refused = store.backup(&place.directory.path().join("nowhere").join("b")).expect_err("nowhere to lie");
        assert!(matches!(refused, rdd_store::BackupError::Io { .. }), "{refused:?}");
        store.close().await;
    });
}
