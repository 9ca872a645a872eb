//! Floor 20: SIGKILL at any moment loses nothing that was acknowledged; a full disk stops writes and nothing else.

#![cfg(unix)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use rand::RngExt;
use rdd_store::{Expect, Key, Location, Options, Prefix, Revision, Start, Store, WatchEnd, WriteError};
use support::{DEADLINE, Place, arguments, child, key, next, run};

const PATH: &str = "STORE_TEST_PATH";

#[test]
fn what_was_acknowledged_survives_sigkill() {
    let place = Place::file();
    let path = place.path();
    let mut acknowledged: BTreeMap<u64, String> = BTreeMap::new();
    let started = Instant::now();
    let mut rounds = 0;
    while rounds < 12 && (rounds < 4 || started.elapsed() < Duration::from_secs(8)) {
        rounds += 1;
        let mut child = child("child_writes_until_killed", &[(PATH, path.to_str().expect("text"))]);
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        // Only whole lines count: a torn one was not read by anybody.
        let mut lines = Vec::new();
        while !lines.ends_with(b"ready\n") {
            assert!(output.read_until(b'\n', &mut lines).expect("the pipe works") > 0, "the child ended early");
        }
        std::thread::sleep(Duration::from_micros(rand::rng().random_range(0..120_000)));
        child.kill().expect("it is ours");
        output.read_to_end(&mut lines).expect("the pipe works");
        child.wait().expect("it ends");
        let whole = &lines[..lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)];
        for line in String::from_utf8_lossy(whole).lines().filter_map(|line| line.strip_prefix("ack ")) {
            let (revision, name) = line.split_once(' ').expect("two words");
            let before = acknowledged.insert(revision.parse().expect("a number"), name.to_owned());
            assert_eq!(before, None, "revision {revision} was given out twice");
        }
        run(verify(&place, &acknowledged));
    }
    assert!(acknowledged.len() > rounds, "only {} writes in {rounds} rounds", acknowledged.len());
}

/// The moment that matters is between an acknowledgement and the commit. It is as long as can be while somebody else
/// holds the database: then nothing can be committed, so whatever is acknowledged must already be there.
#[test]
fn nothing_is_acknowledged_while_the_commit_is_held_back() {
    let place = Place::file();
    let mut child =
        child("child_writes_while_the_commit_is_held_back", &[(PATH, place.path().to_str().expect("text"))]);
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut acknowledged = BTreeMap::new();
    let mut line = String::new();
    loop {
        line.clear();
        assert!(output.read_line(&mut line).expect("the pipe works") > 0, "the child ended early");
        if let Some(ack) = line.trim_end().strip_prefix("ack ") {
            let (revision, name) = ack.split_once(' ').expect("two words");
            acknowledged.insert(revision.parse().expect("a number"), name.to_owned());
            if name == "held" {
                break;
            }
        }
        if line.starts_with("refused") {
            break;
        }
    }
    // At once: the commit is still held back, and dies with the child.
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
    assert!(acknowledged.values().any(|name| name == "free"), "{acknowledged:?}");
    run(verify(&place, &acknowledged));
    assert_eq!(acknowledged.len(), 1, "acknowledged before the commit: {acknowledged:?}");
}

/// Writes while a connection of its own keeps the store's from committing, and says what is acknowledged.
#[test]
#[ignore = "runs as a child of another test"]
fn child_writes_while_the_commit_is_held_back() {
    let Ok(path) = std::env::var(PATH) else { return };
    run(async {
        let store = Store::open(Location::File(path.clone().into()), Options::default()).expect("the store opens");
        let mut watch = store.watch(Prefix::everything(), Start::Now).expect("now");
        let free = store.put(key("free"), "free".into(), Expect::Absent, None).await.expect("nothing is in the way");
        println!("\nack {} free", free.revision);
        assert_eq!(next(&mut watch).await.revision, free.revision);
        let other = rusqlite::Connection::open(path).expect("the database opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("nobody writes");
        // The store waits for the other connection, and gives up after a while; one that does not wait is found out.
        match store.put(key("held"), "held".into(), Expect::Absent, None).await {
            Ok(entry) => println!("ack {} held", entry.revision),
            Err(error) => {
                assert!(matches!(error, WriteError::Unavailable { .. }), "{error}");
                assert_eq!((store.revision(), watch.progress()), (free.revision, free.revision), "it was shown");
                println!("refused");
            }
        }
        // Killed from here on; ends by itself, should the parent be gone without a word.
        let _ = tokio::time::timeout(DEADLINE, std::future::pending::<()>()).await;
    });
}

/// Opens the store and compares: all that was acknowledged is there, under its revision, in the state and in history.
async fn verify(place: &Place, acknowledged: &BTreeMap<u64, String>) {
    let store = place.open();
    let snapshot = store.snapshot();
    for (revision, name) in acknowledged {
        let entry = snapshot.get(&key(name)).unwrap_or_else(|| panic!("{name}, revision {revision}, is lost"));
        assert_eq!((entry.revision, &entry.bytes[..]), (Revision(*revision), name.as_bytes()));
    }
    let mut watch = store.watch(Prefix::everything(), Start::After(Revision(1))).expect("history is young");
    for revision in 2..=store.revision().0 {
        let event = next(&mut watch).await;
        assert_eq!(event.revision, Revision(revision));
        if let Some(name) = acknowledged.get(&revision) {
            assert_eq!(event.entry.key.name(), name);
        }
    }
    store.close().await;
}

/// Writes new keys from several tasks and says which are acknowledged.
#[test]
#[ignore = "runs as a child of another test"]
fn child_writes_until_killed() {
    let Ok(path) = std::env::var(PATH) else { return };
    run(async {
        let store = Store::open(Location::File(path.into()), Options::default()).expect("the store opens");
        let round = store.revision();
        println!("\nready");
        let tasks: Vec<_> = (0..4)
            .map(|task| {
                let store = store.clone();
                tokio::spawn(async move {
                    let started = Instant::now();
                    // Ends by itself, should the parent be gone without a word.
                    for number in 0.. {
                        if started.elapsed() > DEADLINE {
                            break;
                        }
                        let name = format!("r{round}-{task}-{number}");
                        let written = store.put(key(&name), name.clone().into(), Expect::Absent, None).await;
                        let line = format!("ack {} {name}\n", written.expect("the key is free").revision);
                        std::io::stdout().write_all(line.as_bytes()).expect("the pipe works");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}

/// A limit on the size of files is the full disk that needs no privileges: writes beyond it fail, until it is raised.
#[test]
fn a_full_disk_stops_writes_and_nothing_else() {
    let place = Place::file();
    let mut command = Command::new("sh");
    // Without this, exceeding the limit is deadly. What is ignored stays so across exec.
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    command.arg(std::env::current_exe().expect("our own path"));
    arguments(&mut command, "child_fills_the_disk", &[(PATH, place.path().to_str().expect("text"))]);
    expect_success(command);
}

/// The same on a file system that really is full, where we may mount one.
#[test]
#[cfg(target_os = "linux")]
fn a_full_file_system_stops_writes_and_nothing_else() {
    let place = Place::file();
    let directory = place.directory.path().to_str().expect("text").to_owned();
    let mount = format!("mount -t tmpfs -o size=3m tmpfs '{directory}'");
    let may = Command::new("unshare").args(["-m", "sh", "-c", &mount]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no private mounts here");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("{mount} && exec \"$@\""), "sh"]);
    command.arg(std::env::current_exe().expect("our own path"));
    let ballast = place.directory.path().join("ballast");
    let environment = [(PATH, place.path()), ("STORE_TEST_BALLAST", ballast)];
    let environment: Vec<_> = environment.iter().map(|(name, path)| (*name, path.to_str().expect("text"))).collect();
    arguments(&mut command, "child_fills_the_disk", &environment);
    expect_success(command);
}

fn expect_success(mut command: Command) {
    let output = command.output().expect("the child runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("survived"), "{text}");
}

/// Room that can be taken and given back.
enum Room {
    Ballast(std::path::PathBuf),
    Limit,
}

impl Room {
    fn take(&self) {
        match self {
            Room::Ballast(path) => {
                let mut file = std::fs::File::create(path).expect("a ballast file");
                // Until nothing fits any more, not even a page of the journal.
                for size in [65536, 512] {
                    while file.write_all(&vec![1; size]).is_ok() {}
                }
            }
            Room::Limit => limit(Some(200_000)),
        }
    }

    fn give_back(&self) {
        match self {
            Room::Ballast(path) => std::fs::remove_file(path).expect("the ballast is there"),
            Room::Limit => limit(None),
        }
    }
}

fn limit(bytes: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).expect("the limit is ours to lower");
}

#[test]
#[ignore = "runs as a child of another test"]
fn child_fills_the_disk() {
    let Ok(path) = std::env::var(PATH) else { return };
    let room = std::env::var("STORE_TEST_BALLAST").map_or(Room::Limit, |path| Room::Ballast(path.into()));
    let location = Location::File(path.into());
    run(async {
        let options = Options { retry: Duration::from_millis(20), ..Options::default() };
        let store = Store::open(location.clone(), options).expect("the store opens");
        let mut watch = store.watch(Prefix::everything(), Start::Now).expect("now");
        let mut written = Vec::new();
        room.take();
        let failed = loop {
            let name = format!("n{}", written.len());
            assert!(written.len() < 1000, "the disk is never full");
            match store.put(key(&name), vec![b'x'; 20_000].into(), Expect::Absent, None).await {
                Ok(entry) => written.push(entry),
                Err(error) => break error,
            }
        };
        let WriteError::Unavailable { reason } = failed else { panic!("{failed}") };
        assert_eq!(store.unavailable(), Some(reason));
        // Many at once fail together, and nobody learns of what did not happen.
        let current = store.revision();
        let together: Vec<_> = (0..8)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move {
                    let bytes = vec![number; 20_000].into();
                    store.put(key("together"), bytes, Expect::Absent, None).await
                })
            })
            .collect();
        for task in together {
            let written = task.await.expect("no panic");
            assert!(matches!(written, Err(WriteError::Unavailable { .. })), "{written:?}");
        }
        // Reads and watches go on.
        assert_eq!(store.revision(), current);
        assert_eq!(store.snapshot().count(&Prefix::everything()), written.len());
        for entry in &written {
            assert_eq!(next(&mut watch).await.revision, entry.revision);
        }
        assert_eq!(watch.progress(), current);
        // And so do writes, once there is room.
        room.give_back();
        let after = store.put(Key::new("", "secrets", None, "after"), "".into(), Expect::Absent, None).await;
        assert_eq!(after.expect("there is room").revision, Revision(current.0 + 1));
        assert_eq!(next(&mut watch).await.revision, Revision(current.0 + 1));
        assert_eq!(store.unavailable(), None);
        // The store finds out by itself, too.
        room.take();
        let failed = loop {
            let key = Key::new("", "secrets", None, &format!("n{}", store.revision()));
            if let Err(error) = store.put(key, vec![b'x'; 20_000].into(), Expect::Absent, None).await {
                break error;
            }
            next(&mut watch).await;
        };
        assert!(matches!(failed, WriteError::Unavailable { .. }) && store.unavailable().is_some(), "{failed}");
        room.give_back();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while store.unavailable().is_some() {
            assert!(std::time::Instant::now() < deadline, "it does not find out");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (last, count) = (store.revision(), store.snapshot().count(&Prefix::everything()));
        store.close().await;
        assert!(matches!(watch.next().await, Err(WatchEnd::Closed)));

        let store = Store::open(location, Options::default()).expect("the store opens");
        assert_eq!((store.revision(), store.snapshot().count(&Prefix::everything())), (last, count));
        store.close().await;
        println!("\nsurvived");
    });
}
