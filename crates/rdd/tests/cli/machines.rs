//! The service and its VMs: who outlives whom. The VMs are those of the fake driver.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;

use rdd_host::lock;
use rdd_host::process::Handle;

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
    let ran = sealed.run(&["svc", "stop", "--timeout=100ms"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    sealed.eventually("the second signal ends the service", || !sealed.is_locked());
    assert!(sealed.log().contains("asked a second time"), "{}", sealed.log());
}
