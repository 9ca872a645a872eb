//! What goes wrong between processes: two services, kills, deadlines, races.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdd_host::lock::FileLock;
use rdd_host::process::Signal;

use crate::machines::Watched;
use crate::sealed::{Sealed, check};

#[test]
fn a_second_service_is_refused_and_changes_nothing() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "start"]);
    let look = || (sealed.log(), fs::read_to_string(&sealed.instance().paths().config).expect("read"));
    let before = look();
    check(
        &sealed.run(&["svc", "serve"]),
        1,
        "time=T level=fatal msg=\"control plane \\\"rancher-desktop-t\\\" is already running\"\n\
         hint: see it with 'rdd svc status', stop it with 'rdd svc stop'\n",
    );
    assert_eq!(look(), before);
    assert!(sealed.service().is_some());
}

#[test]
fn after_a_kill_the_next_start_works() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "start"]);
    let first = sealed.service().expect("it runs");
    let old_config = fs::read_to_string(&sealed.instance().paths().config).expect("read");
    first.kill().expect("sent");
    sealed.eventually("the lock is free", || !sealed.is_locked());
    assert!(sealed.instance().paths().pid_file.exists(), "a killed service leaves its files");

    // The number in the file is nobody's business.
    fs::write(&sealed.instance().paths().pid_file, std::process::id().to_string()).expect("written");
    let status = sealed.run(&["svc", "status"]).stderr;
    assert!(status.contains("has been started: false") && status.contains("PID is: 0"), "{status}");
    assert!(sealed.instance().paths().config.exists(), "nor does a look remove them");
    check(&sealed.run(&["svc", "stop"]), 0, "");
    assert!(!sealed.instance().paths().config.exists(), "its tokens are dead");

    check(&sealed.run(&["svc", "start"]), 0, "");
    let second = sealed.service().expect("it runs");
    assert_ne!(first.pid(), second.pid());
    assert_ne!(fs::read_to_string(&sealed.instance().paths().config).expect("read"), old_config);
    check(&sealed.run(&["svc", "delete"]), 0, "");
    assert!(!sealed.instance().paths().dir.exists());
}

#[test]
fn leftovers_of_a_half_written_file_are_swept() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "create"]);
    let leftover = sealed.instance().paths().dir.join(".config.yaml.tmp-abc123");
    fs::write(&leftover, "half").expect("written");
    check(&sealed.run(&["svc", "start"]), 0, "");
    assert!(!leftover.exists());
}

#[test]
fn starts_at_once_end_with_one_service() {
    let sealed = Sealed::new();
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let mut command = sealed.command(&["svc", "start"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("rdd runs")
        })
        .collect();
    for start in starts {
        let output = start.wait_with_output().expect("waited");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let log_dir = sealed.instance().paths().log_dir.clone();
    assert!(!log_dir.join("rdd.stderr.1.log").exists(), "the losers rotated nothing");
    assert!(sealed.service().is_some());
}

#[test]
fn a_stop_that_takes_too_long_is_told_and_gets_harder() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "start"]);
    let service = sealed.service().expect("it runs");
    service.signal(Signal::Stop).expect("sent");
    let ran = sealed.run(&["svc", "stop", "--timeout=50ms"]);
    check(
        &ran,
        4,
        "time=T level=error msg=\"timed out waiting for \\\"rancher-desktop-t\\\" control plane with pid PID to stop: \
         context deadline exceeded\"\n\
         hint: see what it does with 'rdd svc log -f', or wait longer with --timeout\n",
    );
    let ran = sealed.run(&["svc", "delete", "--timeout=50ms"]);
    assert_eq!(ran.code, 4);
    assert!(sealed.instance().paths().args_file.exists(), "nothing was removed");
    service.signal(Signal::Continue).expect("sent");
    sealed.eventually("the service has ended", || !sealed.is_locked());
    check(&sealed.run(&["svc", "start"]), 0, "");
}

#[test]
fn the_status_of_a_service_that_hangs_is_told() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "start"]);
    let service = sealed.service().expect("it runs");
    service.signal(Signal::Stop).expect("sent");
    let mut status = sealed.command(&["svc", "status"]).stderr(Stdio::piped()).spawn().expect("rdd runs");
    let deadline = Instant::now() + Duration::from_secs(30);
    while status.try_wait().expect("looked").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    // Nothing happens if it has ended.
    status.kill().expect("sent");
    let output = status.wait_with_output().expect("waited");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("has been started: true"), "{stderr}");
    assert!(stderr.contains(&format!("PID is: {}", service.pid())), "{stderr}");
}

#[test]
fn a_service_without_its_socket_is_seen_and_can_be_stopped() {
    let sealed = Sealed::new();
    for verb in ["stop", "delete"] {
        check(&sealed.run(&["svc", "start"]), 0, "");
        let service = Watched(vec![sealed.service().expect("it runs")]);
        let pid = service.0[0].pid();
        fs::remove_file(sealed.instance().paths().socket()).expect("removed");
        if verb == "stop" {
            let status = sealed.run(&["svc", "status"]);
            assert_eq!(status.code, 0);
            assert!(status.stderr.contains(&format!("PID is: {pid}")), "{}", status.stderr);
            assert!(status.stderr.contains("nobody answers at HOME/.rdt/rdd.sock; stop the"), "{}", status.stderr);
            let start = sealed.run(&["svc", "start"]);
            assert_eq!(start.code, 1);
            assert!(start.stderr.contains("hint: stop the service with 'rdd svc stop'"), "{}", start.stderr);
        }
        let ran = sealed.run(&["svc", verb]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("process {pid}, is sent a signal instead")), "{}", ran.stderr);
        assert!(service.have_ended());
    }
    assert!(!sealed.instance().paths().dir.exists());
}

/// A socket of our own in a home: at its end the home would end its service, which is us.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_service_of_another_version_is_told() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "create"]);
    // A service as another program would be it.
    let paths = sealed.instance().paths().clone();
    fs::create_dir_all(&paths.short_dir).expect("made");
    let _lock = FileLock::try_acquire(&paths.lock()).expect("free");
    fs::write(&paths.config, "apiVersion: v1\n").expect("written");
    let socket = UnixListener::bind(paths.socket()).expect("bound");
    let _removed = Removed(paths.socket());
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = socket.accept() {
            let _ = client.write_all(b"{\"version\":\"v1.35.4+rdd-v0.0.1\"}\n{\"ready\":true}\n");
        }
    });
    for verb in ["config", "start"] {
        let ran = sealed.run(&["svc", verb]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        let message = "control plane that runs is v1.35.4+rdd-v0.0.1, this program is v1.35.4+rdd-";
        assert!(ran.stderr.contains("level=warning") && ran.stderr.contains(message), "{}", ran.stderr);
        assert!(ran.stderr.contains("to run this one: rdd svc stop && rdd svc start"), "{}", ran.stderr);
    }
}

#[test]
fn a_kubeconfig_that_was_removed_can_be_had_again() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "start"]);
    fs::remove_file(&sealed.instance().paths().config).expect("removed");
    for command in [&["svc", "config"][..], &["ctl", "get", "namespaces"], &["limavm", "start", "one"]] {
        check(
            &sealed.run(command),
            1,
            "time=T level=fatal msg=\"cannot read HOME/.local/share/rancher-desktop-t/config.yaml: \
             No such file or directory (os error 2)\"\n\
             hint: have it written anew: rdd svc stop && rdd svc start\n",
        );
    }
    for verb in ["stop", "start", "config"] {
        assert_eq!(sealed.run(&["svc", verb]).code, 0, "{verb}");
    }
}

#[test]
fn a_start_that_takes_too_long_leaves_the_service_alone() {
    let sealed = Sealed::new();
    let ran = sealed.run(&["svc", "start", "--timeout=1ns"]);
    assert_eq!(ran.code, 4);
    assert!(ran.stderr.contains("to be ready: context deadline exceeded"), "{}", ran.stderr);
    check(&sealed.run(&["svc", "start"]), 0, "");
}

#[test]
fn a_start_that_somebody_stops_says_so() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "create"]);
    // Nobody writes into this pipe, so the service waits for its certificate, and is not ready.
    let certificate = sealed.instance().paths().tls_dir.join("apiserver.crt");
    fs::create_dir(&sealed.instance().paths().tls_dir).expect("made");
    assert!(Command::new("mkfifo").arg(&certificate).status().expect("mkfifo runs").success());
    let start = sealed.command(&["svc", "start"]).stderr(Stdio::piped()).spawn().expect("rdd runs");
    sealed.eventually("the service starts", || sealed.service().is_some());
    check(&sealed.run(&["svc", "stop"]), 0, "");
    let output = start.wait_with_output().expect("waited");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("control plane was stopped while starting"), "{stderr}");
}

#[test]
fn a_delete_takes_nothing_of_an_instance_that_is_made_meanwhile() {
    for _ in 0..5 {
        let sealed = Sealed::new();
        sealed.run(&["svc", "create"]);
        let directory = sealed.instance().paths().dir.clone();
        // The longer the removal takes, the surer somebody comes in between.
        for i in 0..2000 {
            fs::write(directory.join(format!("{i}")), "").expect("written");
        }
        let is_deleted = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // What every start does first: it makes the directory, and the flags in it.
            scope.spawn(|| {
                while !is_deleted.load(Ordering::Relaxed) {
                    let _ = fs::create_dir(&directory);
                    let _ = fs::write(directory.join("mine"), "");
                }
            });
            let ran = sealed.run(&["svc", "delete"]);
            is_deleted.store(true, Ordering::Relaxed);
            check(&ran, 0, "");
        });
        assert!(!directory.join("1999").exists());
    }
}

#[test]
fn a_start_during_a_stop_waits_and_starts_anew() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "start"]);
    let first = sealed.service().expect("it runs").pid();
    sealed.run(&["svc", "stop", "--wait=false"]);
    check(&sealed.run(&["svc", "start"]), 0, "");
    sealed.eventually("a new service runs", || sealed.service().is_some_and(|service| service.pid() != first));
}

#[test]
fn why_a_service_did_not_start_is_told() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "create"]);
    // A file where a directory must be.
    fs::create_dir_all(sealed.path(".local/state")).expect("made");
    fs::write(sealed.path(".local/state/rancher-desktop-t"), "").expect("written");
    let ran = sealed.run(&["svc", "start"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .contains("control plane failed to start: cannot write logs in HOME/.local/state/rancher-desktop-t: "),
        "{}",
        ran.stderr
    );
    fs::remove_file(sealed.path(".local/state/rancher-desktop-t")).expect("removed");
    check(&sealed.run(&["svc", "start"]), 0, "");
}

#[test]
fn why_a_service_has_no_socket_is_told() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "create"]);
    let socket = sealed.instance().paths().socket();
    fs::create_dir_all(&socket).expect("made");
    let ran = sealed.run(&["svc", "start"]);
    assert_eq!(ran.code, 1);
    let message = "control plane failed to start: cannot listen at HOME/.rdt/rdd.sock: ";
    assert!(ran.stderr.contains(message), "{}", ran.stderr);
    fs::remove_dir(&socket).expect("removed");
    check(&sealed.run(&["svc", "start"]), 0, "");
}

#[test]
fn a_damaged_store_is_named_and_kept() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "create"]);
    let db = sealed.instance().paths().db();
    fs::create_dir_all(db.parent().expect("a directory")).expect("made");
    fs::write(&db, "this is no database, but it may matter to somebody").expect("written");
    let ran = sealed.run(&["svc", "start"]);
    assert_eq!(ran.code, 1);
    let message =
        "control plane failed to start: cannot open the store HOME/.local/share/rancher-desktop-t/db/state.db: ";
    assert!(ran.stderr.contains(message), "{}", ran.stderr);
    assert!(fs::read(&db).expect("still there").starts_with(b"this is no database"));
    assert!(!sealed.is_locked());
    fs::remove_file(&db).expect("removed");
    check(&sealed.run(&["svc", "start"]), 0, "");
}

#[test]
fn damaged_settings_are_named() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "create"]);
    fs::write(&sealed.instance().paths().args_file, "{").expect("written");
    let ran = sealed.run(&["svc", "start"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("HOME/.local/share/rancher-desktop-t/args.json is not a JSON array of flags"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("hint: correct the file, or begin anew with 'rdd svc delete'"), "{}", ran.stderr);
}

#[test]
fn an_instance_that_cannot_be_looked_at_is_not_taken_for_none() {
    let sealed = Sealed::new();
    // Also root cannot look into a file as if it were a directory.
    fs::create_dir_all(sealed.path(".local/share")).expect("made");
    fs::write(sealed.path(".local/share/rancher-desktop-t"), "").expect("written");
    for verb in ["create", "start", "stop", "delete", "status"] {
        let ran = sealed.run(&["svc", verb]);
        assert_eq!(ran.code, 1, "{verb}: {}", ran.stderr);
        let (path, reason) = ("HOME/.local/share/rancher-desktop-t/", ": Not a directory");
        assert!(ran.stderr.contains(path) && ran.stderr.contains(reason), "{verb}: {}", ran.stderr);
    }
}

#[test]
fn bad_saved_flags_leave_no_trace() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "create"]);
    fs::write(&sealed.instance().paths().args_file, "[\"--no-such-flag\"]").expect("written");
    let ran = sealed.run(&["svc", "start"]);
    assert_eq!(ran.code, 1);
    let message = "HOME/.local/share/rancher-desktop-t/args.json has arguments that the service refuses: \
                   unknown flag: --no-such-flag";
    assert!(ran.stderr.contains(message), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: correct the file, or begin anew with 'rdd svc delete'"), "{}", ran.stderr);
    assert!(!sealed.instance().paths().pid_file.exists());
}

#[test]
fn bad_arguments_are_told_and_not_saved() {
    let sealed = Sealed::new();
    for verb in ["start", "create"] {
        for (argument, reason) in [("--bogus", "unknown flag: --bogus"), ("options", "they ask for help")] {
            let ran = sealed.run(&["svc", verb, "--", argument]);
            assert_eq!(ran.code, 1, "{verb} {argument}: {}", ran.stderr);
            assert!(ran.stderr.contains(&format!("refuses the arguments: {reason}")), "{}", ran.stderr);
            assert!(!sealed.instance().paths().args_file.exists(), "{verb} {argument}");
        }
    }
    sealed.run(&["svc", "create"]);
    let ran = sealed.run(&["svc", "start", "--", "--bogus"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("refuses the arguments: unknown flag: --bogus"), "{}", ran.stderr);
    check(&sealed.run(&["svc", "start"]), 0, "");
}

#[test]
fn signals_stop_a_service_in_the_foreground() {
    for signal in [Signal::Interrupt, Signal::Terminate, Signal::Hangup] {
        let sealed = Sealed::new();
        // Whoever runs the tests may have SIGHUP ignored, and children inherit that.
        let mut command = serve_by(&sealed, &["env", "--default-signal=HUP"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("rdd runs");
        sealed.eventually("the kubeconfig is there", || sealed.instance().paths().config.exists());
        sealed.service().expect("it runs").signal(signal).expect("sent");
        assert!(child.wait().expect("waited").success());
        assert!(!sealed.instance().paths().config.exists());
        assert!(!sealed.instance().paths().log_dir.exists(), "in the foreground, the log is on standard error");
    }
}

/// Returns the command of a service in the foreground, started by way of another program.
fn serve_by(sealed: &Sealed, way: &[&str]) -> Command {
    let mut command = Command::new(way[0]);
    command.env_clear().stdin(Stdio::null());
    let serve = sealed.command(&["svc", "serve"]);
    command.args(&way[1..]).arg(serve.get_program()).args(serve.get_args()).current_dir(sealed.home());
    for (name, value) in serve.get_envs() {
        command.env(name, value.expect("none is removed"));
    }
    command
}

#[test]
fn a_service_that_is_to_ignore_a_lost_terminal_does() {
    let sealed = Sealed::new();
    let mut command = serve_by(&sealed, &["nohup"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    sealed.eventually("the kubeconfig is there", || sealed.instance().paths().config.exists());
    let service = sealed.service().expect("it runs");
    service.signal(Signal::Hangup).expect("sent");
    service.signal(Signal::Terminate).expect("sent");
    let mut log = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut log).expect("text");
    assert!(child.wait().expect("waited").success(), "the first was none: {log}");
    assert!(!log.contains("Hangup"), "{log}");
}
