//! Floor 20. Children, handles, inherited locks and the readiness pipe, between real processes.
//!
//! The children are this test binary again, in a role that the environment names. These tests do
//! not share a process with those of the locks: between fork and exec a child holds a copy of every
//! descriptor, also of a lock that another thread has just dropped.
#![cfg(unix)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rdd_host::lock::{self, FileLock};
use rdd_host::process::{Handle, Listener, Signal, Spawn};
use rdd_host::ready::{self, Message, ReadyReporter};

const ROLE: &str = "RDD_HOST_TEST_ROLE";
const PATH: &str = "RDD_HOST_TEST_PATH";

/// Describes a child in a role. Its arguments make the test runner run `play_role` and no more.
fn child_in_role(role: &str, path: &Path) -> Spawn {
    Spawn::new(std::env::current_exe().expect("a test binary knows itself"))
        .args(["--exact", "play_role", "--nocapture", "--quiet"])
        .env(ROLE, role)
        .env(PATH, path)
}

/// Makes a pipe: what is written to the second is read from the first.
fn pipe() -> (File, File) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
    (read.into(), write.into())
}

fn read_to_marker(file: &mut File) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"[done]") {
        if file.read(&mut byte).expect("read") == 0 {
            break;
        }
        seen.push(byte[0]);
    }
    String::from_utf8(seen).expect("text")
}

/// Waits for something that the kernel does a moment after we can see its cause.
#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not seen in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Not a test of its own: what a child does.
#[tokio::test]
async fn play_role() {
    let (Ok(role), Some(path)) = (std::env::var(ROLE), std::env::var_os(PATH)) else { return };
    let path = Path::new(&path);
    let wait_for_end_of_input = || std::io::stdin().read_to_end(&mut Vec::new()).expect("read");
    match role.as_str() {
        "exit 7" => std::process::exit(7),
        "wait" => {
            wait_for_end_of_input();
        }
        "hold lock" => {
            let _lock = FileLock::try_acquire(path).expect("free");
            print!("[done]");
            std::io::stdout().flush().expect("written");
            wait_for_end_of_input();
        }
        "leave lock to a child" => {
            let lock = FileLock::try_acquire(path).expect("free");
            let mut spawn = child_in_role("wait", path).inherit(lock.try_clone_file().expect("cloned"));
            spawn.stdin = Some(File::open("/proc/self/fd/0").expect("our standard input"));
            spawn.spawn().expect("started").disown();
            std::process::exit(0);
        }
        "describe" => {
            // Field 6 of stat(5); 0 where the session was begun outside of our PID namespace.
            let stat = std::fs::read_to_string("/proc/self/stat").expect("read");
            let session = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(3));
            let leads = session == Some(std::process::id().to_string().as_str());
            let descriptors = std::fs::read_dir("/proc/self/fd").expect("listed");
            // Other threads of this child open and close files meanwhile; those may be gone by now.
            let links = descriptors.filter_map(Result::ok).filter_map(|entry| std::fs::read_link(entry.path()).ok());
            print!("leads={leads} inherited={}[done]", links.filter(|link| link == path).count());
            std::io::stdout().flush().expect("written");
        }
        "listen" => {
            let listener = std::os::unix::net::UnixListener::bind(path).expect("bound");
            print!("[done]");
            std::io::stdout().flush().expect("written");
            let _stream = listener.accept().expect("accepted");
            wait_for_end_of_input();
        }
        "watch without descriptors" => {
            use rustix::process::{Resource, getrlimit, setrlimit};
            let stream = std::os::unix::net::UnixStream::connect(path).expect("connected");
            let peer = Handle::of_peer(&stream).expect("a peer");
            let whole = getrlimit(Resource::Nofile);
            let none = rustix::process::Rlimit { current: Some(0), ..whole };
            setrlimit(Resource::Nofile, none).expect("lowered");
            assert!(peer.wait().await.is_err(), "no descriptor for it");
            let ended = peer.ended();
            tokio::pin!(ended);
            assert!(tokio::time::timeout(Duration::from_millis(300), &mut ended).await.is_err(), "it lives");
            setrlimit(Resource::Nofile, whole).expect("raised");
            peer.kill().expect("sent");
            tokio::time::timeout(Duration::from_secs(10), ended).await.expect("told");
        }
        "report" => {
            let reporter = ReadyReporter::from_env();
            reporter.report(&Message::Phase("one".into()));
            reporter.report(&Message::Ready(true));
            reporter.report(&Message::Phase("lost".into()));
        }
        other => panic!("unknown role {other}"),
    }
    std::process::exit(0);
}

#[tokio::test]
async fn many_wait_for_one_exit() {
    let child = child_in_role("exit 7", Path::new("")).spawn().expect("started");
    let (first, second) = tokio::join!(child.wait(), child.wait());
    assert_eq!(first.expect("told").code(), Some(7));
    assert_eq!(second.expect("told").code(), Some(7));
    assert_eq!(child.wait().await.expect("told again").code(), Some(7));
    child.kill().expect("killing what has ended is no error");
}

#[tokio::test]
async fn a_kill_is_reported_as_one() {
    let (stdin, _hold) = pipe();
    let mut spawn = child_in_role("wait", Path::new(""));
    spawn.stdin = Some(stdin);
    let child = spawn.spawn().expect("started");
    assert_eq!(child.exit_status(), None);
    child.kill().expect("sent");
    assert_eq!(child.wait().await.expect("told").signal(), Some(9));
}

#[tokio::test]
async fn a_dropped_child_lives_on() {
    let (stdin, hold) = pipe();
    let (mut alive, stdout) = pipe();
    let mut spawn = child_in_role("wait", Path::new(""));
    (spawn.stdin, spawn.stdout) = (Some(stdin), Some(stdout));
    drop(spawn.spawn().expect("started"));
    tokio::task::yield_now().await;
    rustix::io::ioctl_fionbio(&alive, true).expect("set");
    let mut nothing = [0; 4096];
    while !matches!(alive.read(&mut nothing), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock) {}
    drop(hold);
    rustix::io::ioctl_fionbio(&alive, false).expect("set");
    alive.read_to_end(&mut Vec::new()).expect("ends with the child");
}

#[tokio::test]
async fn a_missing_program_is_an_error() {
    let error = Spawn::new("/nonexistent/program").spawn().expect_err("nothing to run");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_lock_ends_with_its_holder() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lock");
    let (stdin, _hold) = pipe();
    let (mut output, stdout) = pipe();
    let mut spawn = child_in_role("hold lock", &path);
    (spawn.stdin, spawn.stdout) = (Some(stdin), Some(stdout));
    let child = spawn.spawn().expect("started");
    read_to_marker(&mut output);
    assert!(lock::is_held(&path).expect("looked"));
    assert!(matches!(FileLock::try_acquire(&path), Err(lock::LockError::Held { .. })));
    child.kill().expect("sent");
    child.wait().await.expect("told");
    FileLock::try_acquire(&path).expect("free once the holder is reaped");
}

#[tokio::test]
async fn an_inherited_lock_outlives_the_parent() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lock");
    let (stdin, hold) = pipe();
    let mut spawn = child_in_role("leave lock to a child", &path);
    spawn.stdin = Some(stdin);
    let parent = spawn.spawn().expect("started");
    assert!(parent.wait().await.expect("told").success());
    assert!(lock::is_held(&path).expect("looked"), "the grandchild holds it");
    drop(hold);
    eventually("the lock is free", || !lock::is_held(&path).expect("looked"));
}

#[tokio::test]
async fn only_what_is_given_is_inherited() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().canonicalize().expect("there").join("file");
    let file = File::create(&path).expect("made");
    for (given, session, expect) in [(false, false, "leads=false inherited=0"), (true, true, "leads=true inherited=1")]
    {
        let (mut output, stdout) = pipe();
        let mut spawn = child_in_role("describe", &path);
        spawn.stderr = Some(stdout.try_clone().expect("cloned"));
        spawn.stdout = Some(stdout);
        spawn.session = session;
        if given {
            spawn = spawn.inherit(file.try_clone().expect("cloned"));
        }
        let child = spawn.spawn().expect("started");
        let seen = read_to_marker(&mut output);
        assert!(seen.contains(expect), "{seen}");
        child.wait().await.expect("told");
    }
}

#[tokio::test]
async fn a_peer_is_a_handle() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sock");
    let (stdin, _hold) = pipe();
    let (mut output, stdout) = pipe();
    let mut spawn = child_in_role("listen", &path);
    (spawn.stdin, spawn.stdout) = (Some(stdin), Some(stdout));
    let child = spawn.spawn().expect("started");
    read_to_marker(&mut output);
    let stream = std::os::unix::net::UnixStream::connect(&path).expect("connected");
    let handle = Handle::of_peer(&stream).expect("a peer");
    assert_eq!(handle.pid(), child.pid());
    assert!(tokio::time::timeout(Duration::from_millis(20), handle.wait()).await.is_err(), "it lives");
    handle.signal(Signal::Terminate).expect("sent");
    handle.wait().await.expect("told");
    assert_eq!(child.wait().await.expect("told").signal(), Some(15));
    handle.kill().expect("killing what has ended is no error");
}

#[tokio::test]
async fn an_end_is_not_made_up_for_want_of_a_descriptor() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sock");
    let (stdin, _hold) = pipe();
    let (mut output, stdout) = pipe();
    let mut spawn = child_in_role("listen", &path);
    (spawn.stdin, spawn.stdout) = (Some(stdin), Some(stdout));
    let listener = spawn.spawn().expect("started");
    read_to_marker(&mut output);
    let (mut output, stdout) = pipe();
    let mut spawn = child_in_role("watch without descriptors", &path);
    spawn.stderr = Some(stdout.try_clone().expect("cloned"));
    spawn.stdout = Some(stdout);
    let watcher = spawn.spawn().expect("started");
    let mut said = String::new();
    output.read_to_string(&mut said).expect("read");
    assert!(watcher.wait().await.expect("told").success(), "{said}");
    assert_eq!(listener.wait().await.expect("told").signal(), Some(9));
}

#[tokio::test]
async fn who_listens_is_found_without_an_answer() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("socket");
    let look = || Handle::of_listener(&path).expect("looked");
    assert!(matches!(look(), Listener::Nobody));
    std::fs::write(&path, "no socket").expect("written");
    assert!(matches!(look(), Listener::Nobody));
    std::fs::remove_file(&path).expect("removed");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    let Listener::Process(process) = look() else { panic!("we listen") };
    assert_eq!(process.pid(), std::process::id());
    assert!(look().stays(Duration::from_millis(10)).await);
    drop(listener);
    // The socket is left behind; a child that starts at this moment has a copy until it runs its program.
    let gone = async {
        while !matches!(look(), Listener::Nobody) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("nobody listens");
}

#[tokio::test]
async fn a_child_reports_to_its_parent() {
    let (mut watcher, childs_end) = ready::channel().expect("a pipe");
    let child = ready::pass_to_child(child_in_role("report", Path::new("")), childs_end).spawn().expect("started");
    let mut seen = Vec::new();
    while let Some(message) = watcher.next().await.expect("read") {
        seen.push(message);
    }
    assert_eq!(seen, [Message::Phase("one".into()), Message::Ready(true)]);
    child.wait().await.expect("told");
}

#[tokio::test]
async fn a_child_that_dies_ends_the_reports() {
    let (mut watcher, childs_end) = ready::channel().expect("a pipe");
    let child = ready::pass_to_child(child_in_role("exit 7", Path::new("")), childs_end).spawn().expect("started");
    assert_eq!(watcher.next().await.expect("read"), None);
    child.wait().await.expect("told");
}
