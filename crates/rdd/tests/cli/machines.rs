//! The service and its VMs: who outlives whom. The VMs are those of the fake driver.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use rdd_host::lock;
use rdd_host::process::Handle;

use crate::api::Cluster;
use crate::sealed::{Sealed, check};

/// Creates a VM and waits until it runs.
fn run_machine(sealed: &Sealed, name: &str, param: &str) {
    let image = sealed.path("image.raw");
    fs::write(&image, [0; 512]).expect("written");
    let template = sealed.path(&format!("{name}.lima"));
    let text = format!("vmType: fake\nimages:\n- location: {}\ndisk: 1MiB\nparam: {{{param}}}\n", image.display());
    fs::write(&template, text).expect("written");
    let ran = sealed.run(&["limavm", "create", name, template.to_str().expect("text"), "--start", "--timeout=60s"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", sealed.log());
}

fn is_on(sealed: &Sealed, name: &str) -> bool {
    let path = sealed.instance().paths().lima_home.join(name).join("driver.lock");
    lock::is_held(&path).expect("looked")
}

/// Returns the processes that listen in the directories of machines: hostagents and VMs.
pub(crate) fn processes(sealed: &Sealed) -> Vec<Handle> {
    let Ok(machines) = fs::read_dir(&sealed.instance().paths().lima_home) else { return Vec::new() };
    let files = machines.filter_map(Result::ok).filter_map(|machine| fs::read_dir(machine.path()).ok()).flatten();
    let sockets = files.filter_map(Result::ok).filter(|file| file.file_type().is_ok_and(|kind| kind.is_socket()));
    sockets.filter_map(|socket| Handle::of_peer(&UnixStream::connect(socket.path()).ok()?).ok()).collect()
}

/// The processes of a machine, also after its directory is gone. What still runs at the end is ended.
pub(crate) struct Watched(pub(crate) Vec<Handle>);

impl Watched {
    fn of(sealed: &Sealed) -> Watched {
        let processes = processes(sealed);
        assert!(!processes.is_empty(), "{}", sealed.log());
        Watched(processes)
    }

    /// Returns whether all have ended, or are about to: far sooner than a guest that is slow to power off.
    pub(crate) fn have_ended(&self) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let ended = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(1), async {
                for process in &self.0 {
                    process.wait().await.expect("waited");
                }
            })
            .await
        });
        ended.is_ok()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.iter().for_each(|process| process.kill().expect("sent"));
    }
}

fn spawn(sealed: &Sealed, args: &[&str]) -> Child {
    sealed.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("rdd runs")
}

#[track_caller]
fn succeeds(child: Child) {
    let output = child.wait_with_output().expect("waited");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""));
}

fn is_stopping(sealed: &Sealed) -> bool {
    sealed.log().contains("stopping (")
}

#[test]
fn stopping_the_service_stops_every_machine_and_starting_it_brings_them_back() {
    let sealed = Sealed::new();
    for name in ["one", "two"] {
        run_machine(&sealed, name, "fakePowerDown: 20ms");
    }
    check(&sealed.run(&["svc", "stop"]), 0, "");
    for name in ["one", "two"] {
        assert!(!is_on(&sealed, name), "{name}");
    }
    assert!(processes(&sealed).is_empty());
    let log = sealed.log();
    let told = log.matches("Lima instance stopped successfully").count();
    assert_eq!(told, 2, "the API was told before it ended: {log}");
    check(&sealed.run(&["svc", "start"]), 0, "");
    sealed.eventually("both are on again", || is_on(&sealed, "one") && is_on(&sealed, "two"));
    check(&sealed.run(&["svc", "delete"]), 0, "");
    assert!(processes(&sealed).is_empty());
}

#[test]
fn a_machine_survives_the_service_and_delete_still_stops_it() {
    let sealed = Sealed::new();
    run_machine(&sealed, "one", "");
    let service = sealed.service().expect("it runs");
    service.kill().expect("sent");
    sealed.eventually("the service is gone", || !sealed.is_locked());
    assert!(is_on(&sealed, "one"), "killing the service kills no machine");
    check(&sealed.run(&["svc", "delete"]), 0, "");
    assert!(!sealed.instance().paths().short_dir.exists());
    assert!(processes(&sealed).is_empty());
}

#[test]
fn who_has_no_patience_leaves_the_machine_to_the_next_service() {
    let sealed = Sealed::new();
    run_machine(&sealed, "one", "fakeIgnorePowerDown: 'true', fakeIgnorePoweroff: 'true'");
    let ran = sealed.run(&["svc", "stop", "--timeout=1s"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    sealed.eventually("the second signal ends the service", || !sealed.is_locked());
    assert!(sealed.log().contains("asked a second time"), "{}", sealed.log());
    assert!(is_on(&sealed, "one"), "a service that ends at once takes no machine with it");
    check(&sealed.run(&["svc", "start"]), 0, "");
    let cluster = Cluster::of(&sealed);
    sealed.eventually("the next service has the machine", || {
        cluster.condition("one", "Running").is_some_and(|condition| condition.0 == "True")
    });
}

#[test]
fn stops_at_once_are_one_stop() {
    let sealed = Sealed::new();
    run_machine(&sealed, "one", "fakePowerDown: 4s");
    let mut stops = vec![spawn(&sealed, &["svc", "stop"]), spawn(&sealed, &["svc", "stop"])];
    sealed.eventually("the service stops", || is_stopping(&sealed));
    stops.push(spawn(&sealed, &["svc", "stop"]));
    for stop in stops {
        succeeds(stop);
        assert!(!is_on(&sealed, "one"), "{}", sealed.log());
    }
    assert!(sealed.log().contains("has stopped"), "{}", sealed.log());
}

#[test]
fn delete_after_an_interrupted_stop_waits_for_the_machine() {
    let sealed = Sealed::new();
    run_machine(&sealed, "one", "fakePowerDown: 4s");
    let machine = Watched::of(&sealed);
    let mut stop = spawn(&sealed, &["svc", "stop"]);
    sealed.eventually("the service stops", || is_stopping(&sealed));
    stop.kill().expect("sent");
    stop.wait().expect("waited");
    check(&sealed.run(&["svc", "delete"]), 0, "");
    assert!(machine.have_ended());
    assert!(!sealed.instance().paths().short_dir.exists());
}

#[test]
fn delete_stops_the_machine_also_when_the_service_is_killed_meanwhile() {
    let sealed = Sealed::new();
    run_machine(&sealed, "one", "fakePowerDown: 4s");
    let machine = Watched::of(&sealed);
    let service = sealed.service().expect("it runs");
    let delete = spawn(&sealed, &["svc", "delete"]);
    sealed.eventually("the service stops", || is_stopping(&sealed));
    service.kill().expect("sent");
    succeeds(delete);
    assert!(machine.have_ended());
    assert!(!sealed.instance().paths().short_dir.exists());
}

#[test]
fn a_service_that_ends_before_its_machine_has_not_stopped() {
    let sealed = Sealed::new();
    run_machine(&sealed, "one", "fakePowerDown: 4s");
    let service = sealed.service().expect("it runs");
    let stop = spawn(&sealed, &["svc", "stop"]);
    sealed.eventually("the service stops", || is_stopping(&sealed));
    service.kill().expect("sent");
    let output = stop.wait_with_output().expect("waited");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("control plane ended before its VMs, which run on"), "{stderr}");
    assert!(stderr.contains("hint: stop them with 'rdd svc start', then 'rdd svc stop'\n"), "{stderr}");
    let ran = sealed.run(&["svc", "stop"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("level=warning") && ran.stderr.contains("its VMs run on"), "{}", ran.stderr);
}

#[test]
fn a_service_that_is_stopped_while_it_starts_leaves_no_machine() {
    let sealed = Sealed::new();
    run_machine(&sealed, "one", "");
    check(&sealed.run(&["svc", "stop"]), 0, "");
    let ready = "{\"ready\":true}";
    for phase in ["{\"phase\":\"controllers to register\"}", ready] {
        let start = spawn(&sealed, &["svc", "start", "--wait=false"]);
        sealed.eventually("the service starts", || sealed.service().is_some());
        let board = UnixStream::connect(sealed.instance().paths().socket()).expect("connected");
        // Who listens late may miss a phase.
        let mut said = BufReader::new(board).lines().map(|line| line.expect("text"));
        assert!(said.any(|line| line == phase || line == ready), "{}", sealed.log());
        check(&sealed.run(&["svc", "stop"]), 0, "");
        succeeds(start);
        assert!(!is_on(&sealed, "one"));
        assert!(processes(&sealed).is_empty());
    }
}
