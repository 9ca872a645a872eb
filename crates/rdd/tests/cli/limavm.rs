//! The verbs of `limavm`, with VMs of the fake driver: what they say, how they end, what they leave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rdd_host::lock;
use serde_json::json;

use crate::api::Cluster;
use crate::sealed::{Ran, Sealed, check};

/// Returns a template for the fake driver, with more lines at its end. Its image is written.
pub(crate) fn template(sealed: &Sealed, more: &str) -> String {
    let image = sealed.path("image.raw");
    if !image.exists() {
        fs::write(&image, [0; 512]).expect("written");
    }
    format!("vmType: fake\nimages:\n- location: {}\ndisk: 1MiB\n{more}", image.display())
}

/// Writes a file into the home and returns its name there, which a command line can use.
pub(crate) fn file(sealed: &Sealed, name: &str, text: &str) -> String {
    fs::write(sealed.path(name), text).expect("written");
    name.to_owned()
}

/// Returns a home whose service runs.
fn served() -> (Sealed, Cluster) {
    let sealed = Sealed::new();
    check(&sealed.run(&["svc", "start"]), 0, "");
    let cluster = Cluster::of(&sealed);
    (sealed, cluster)
}

/// Returns a home with a VM `demo` that runs.
fn running(more: &str) -> (Sealed, Cluster) {
    let (sealed, cluster) = served();
    file(&sealed, "demo.lima", &template(&sealed, more));
    check(&sealed.run(&["limavm", "create", "demo", "demo.lima", "--start", "--timeout=60s"]), 0, "");
    (sealed, cluster)
}

pub(crate) fn is_on(sealed: &Sealed, name: &str) -> bool {
    let path = sealed.instance().paths().lima_home.join(name).join("driver.lock");
    lock::is_held(&path).expect("looked")
}

/// Returns a log line of level info.
fn info(text: &str) -> String {
    format!("time=T level=info msg=\"{}\"\n", text.replace('"', "\\\""))
}

/// Returns the line that tells why a command failed.
pub(crate) fn fatal(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("time=T level=fatal msg=\"{text}\"\n")
}

#[test]
fn create_from_a_file() {
    let (sealed, cluster) = served();
    file(&sealed, "demo.lima", &template(&sealed, ""));
    check(
        &sealed.run_talking(&["limavm", "create", "demo", "demo.lima"]),
        0,
        &(info(r#"ConfigMap "demo" created in namespace "default" with template from file "demo.lima""#)
            + &info(r#"LimaVM "demo" created in namespace "default" with template ConfigMap "demo""#)),
    );
    assert_eq!(cluster.field("demo", "/spec"), json!({"templateRef": {"name": "demo"}, "running": false}));
    sealed.eventually("it is created", || cluster.condition("demo", "Created").is_some_and(|c| c.0 == "True"));
    assert!(!is_on(&sealed, "demo"));
    check(&sealed.run(&["limavm", "delete", "demo"]), 0, "");
    assert_eq!(cluster.template("demo"), None, "the ConfigMap was the VM's");
    assert_eq!(cluster.template("demo-template"), None);
    sealed.ends_clean();
}

#[test]
fn create_starts_the_service_and_reads_standard_input() {
    let sealed = Sealed::new();
    let text = file(&sealed, "demo.lima", &template(&sealed, ""));
    let mut command = sealed.command(&["limavm", "create", "demo", "-", "--start"]);
    command.stdin(fs::File::open(sealed.path(&text)).expect("opened"));
    check(&sealed.finish(command), 0, "");
    assert!(is_on(&sealed, "demo"));
    sealed.ends_clean();
}

#[test]
fn create_from_a_configmap_leaves_the_configmap_alone() {
    let (sealed, cluster) = served();
    cluster.create_namespace("other");
    cluster.create_template("other", "tools", &template(&sealed, "")).expect("created");
    check(
        &sealed.run_talking(&["limavm", "create", "demo", "tools", "--namespace", "other", "--start"]),
        0,
        &(info(r#"LimaVM "demo" created in namespace "other" with template ConfigMap "tools""#)
            + &info(r#"LimaVM "demo" started in namespace "other""#)),
    );
    assert!(is_on(&sealed, "demo"));
    check(
        &sealed.run_talking(&["limavm", "delete", "demo"]),
        0,
        &info(r#"LimaVM "demo" deleted from namespace "other""#),
    );
    let left = cluster.everything();
    assert!(left.contains(&"ConfigMap other/tools".to_owned()), "{left:?}");
    assert!(!left.iter().any(|name| name.contains("demo")), "{left:?}");
    sealed.ends_clean();
}

#[test]
fn a_dry_run_checks_everything_and_creates_nothing() {
    let (sealed, cluster) = served();
    let before = cluster.everything();
    file(&sealed, "good.lima", &template(&sealed, ""));
    file(&sealed, "bad.lima", "vmType: vbox\n");
    check(
        &sealed.run_talking(&["limavm", "create", "demo", "good.lima", "--dry-run", "--start"]),
        0,
        &(info(r#"ConfigMap "demo" created in namespace "default" with template from file "good.lima""#)
            + "time=T level=warning msg=\"Cleaning up created ConfigMap \\\"demo\\\"\"\n"
            + &info(r#"LimaVM "demo" can be created in namespace "default" (dry run)"#)),
    );
    let ran = sealed.run(&["limavm", "create", "demo", "bad.lima", "--dry-run"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("field `vmType`"), "{}", ran.stderr);
    assert_eq!(cluster.everything(), before);
    assert!(!sealed.instance().paths().lima_home.join("demo").exists());
    sealed.ends_clean();
}

#[test]
fn a_configmap_that_exists_is_never_changed() {
    let (sealed, cluster) = served();
    cluster.create_template("default", "demo", "of somebody").expect("created");
    file(&sealed, "demo.lima", &template(&sealed, ""));
    check(
        &sealed.run(&["limavm", "create", "demo", "demo.lima"]),
        1,
        &(fatal(r#"ConfigMap "demo" already exists in namespace "default", will not modify existing ConfigMap"#)
            + "hint: choose another name, or make the VM of that ConfigMap with 'rdd limavm create demo demo'\n"),
    );
    assert_eq!(cluster.template("demo").as_deref(), Some("of somebody"));
    assert_eq!(cluster.limavm("demo"), None);
    sealed.ends_clean();
}

/// A create that was killed between two of its three writes. Its states are made by hand; the next test makes them
/// by chance.
#[test]
fn what_an_interrupted_create_left_stands_in_nobodys_way() {
    let (sealed, cluster) = served();
    let before = cluster.everything();
    file(&sealed, "demo.lima", &template(&sealed, ""));
    file(&sealed, "other.lima", &template(&sealed, "cpus: 2\n"));
    let create = |template| check(&sealed.run(&["limavm", "create", "demo", template]), 0, "");
    // A ConfigMap whose VM has not become its owner goes with the VM all the same.
    create("demo.lima");
    cluster.disown_template("demo");
    check(&sealed.run(&["limavm", "delete", "demo"]), 0, "");
    assert_eq!(cluster.everything(), before);
    // A ConfigMap without a VM is taken, with another text or the same.
    for next in ["other.lima", "other.lima", "demo.lima"] {
        create(next);
        assert_eq!(cluster.template("demo-template"), fs::read_to_string(sealed.path(next)).ok());
        cluster.disown_template("demo");
        cluster.delete_limavm("demo");
        sealed.eventually("the VM is gone", || cluster.limavm("demo").is_none());
        assert!(cluster.template("demo").is_some(), "left over");
    }
    create("other.lima");
    check(&sealed.run(&["limavm", "delete", "demo"]), 0, "");
    assert_eq!(cluster.everything(), before);
    sealed.ends_clean();
}

/// kubectl's ways to delete, while the VM runs: its ConfigMaps go or stay as owners say, and its machine is stopped first.
#[test]
fn a_vm_is_deleted_with_or_without_what_it_owns() {
    for (policy, left) in [("background", false), ("foreground", false), ("orphan", true)] {
        let (sealed, cluster) = running("");
        let deleted = sealed.run(&["ctl", "delete", "limavm", "demo", &format!("--cascade={policy}")]);
        assert_eq!((deleted.code, deleted.stderr.as_str()), (0, ""), "{policy}");
        assert_eq!((cluster.limavm("demo"), is_on(&sealed, "demo")), (None, false), "{policy}");
        assert!(!sealed.instance().paths().lima_home.join("demo").exists());
        // The copy is the controller's own, whatever becomes of the rest.
        sealed.eventually("the copy is gone", || cluster.template("demo-template").is_none());
        if left {
            assert!(cluster.template("demo").is_some());
        } else {
            sealed.eventually("the ConfigMap is collected", || cluster.template("demo").is_none());
        }
        sealed.ends_clean();
    }
}

#[test]
fn a_killed_create_can_be_tried_again() {
    let (sealed, cluster) = served();
    let before = cluster.everything();
    file(&sealed, "demo.lima", &template(&sealed, ""));
    for round in 0..8 {
        file(&sealed, "killed.lima", &template(&sealed, &format!("# {round}\n")));
        let mut killed = sealed.command(&["limavm", "create", "demo", "killed.lima"]).spawn().expect("rdd runs");
        sealed.eventually("it has begun to write", || cluster.template("demo").is_some());
        killed.kill().expect("sent");
        killed.wait().expect("waited");
        let ran = sealed.run(&["limavm", "create", "demo", "demo.lima"]);
        let taken = fatal(r#"LimaVM "demo" already exists in namespace "default""#);
        assert!(ran.code == 0 || ran.stderr.contains(&taken), "{ran:?}");
        check(&sealed.run(&["limavm", "delete", "demo"]), 0, "");
        assert_eq!(cluster.everything(), before, "round {round}");
    }
    sealed.ends_clean();
}

#[test]
fn start_stop_and_restart() {
    let (sealed, cluster) = running("");
    let count = || cluster.field("demo", "/status/restartCount");
    assert_eq!(count(), json!(1));
    let stopped = info(r#"LimaVM "demo" stopped in namespace "default""#);
    let started = info(r#"LimaVM "demo" started in namespace "default""#);
    check(&sealed.run_talking(&["limavm", "stop", "demo"]), 0, &stopped);
    assert!(!is_on(&sealed, "demo"));
    check(&sealed.run_talking(&["limavm", "stop", "demo"]), 0, &stopped);
    check(&sealed.run_talking(&["limavm", "start", "demo"]), 0, &started);
    assert!(is_on(&sealed, "demo"));
    check(&sealed.run_talking(&["limavm", "start", "demo"]), 0, &started);
    assert_eq!(count(), json!(2), "what runs is not started again");
    let restarted = info(r#"LimaVM "demo" restart requested in namespace "default""#)
        + &info(r#"LimaVM "demo" restarted in namespace "default""#);
    check(&sealed.run_talking(&["limavm", "restart", "demo"]), 0, &restarted);
    assert_eq!(count(), json!(3));
    // Silent where nobody wants to hear it; a restart also starts what is off.
    check(&sealed.run(&["limavm", "stop", "demo"]), 0, "");
    check(&sealed.run(&["limavm", "restart", "demo"]), 0, "");
    assert!(is_on(&sealed, "demo"));
    assert_eq!(cluster.field("demo", "/metadata/annotations"), json!(null), "the request was taken");
    check(&sealed.run(&["lima", "delete", "demo"]), 0, "");
    assert_eq!(cluster.limavm("demo"), None);
    assert!(!sealed.instance().paths().lima_home.join("demo").exists());
    sealed.ends_clean();
}

#[test]
fn without_waiting_a_request_is_all() {
    let (sealed, cluster) = running("param: {fakePowerDown: 200ms}\n");
    check(&sealed.run(&["limavm", "stop", "demo", "--wait=false"]), 0, "");
    assert_eq!(cluster.field("demo", "/spec/running"), json!(false));
    assert!(is_on(&sealed, "demo"), "it takes its time");
    check(&sealed.run(&["limavm", "stop", "demo"]), 0, "");
    check(&sealed.run(&["limavm", "start", "demo", "--wait=false"]), 0, "");
    assert_eq!(cluster.field("demo", "/spec/running"), json!(true));
    check(&sealed.run(&["limavm", "start", "demo"]), 0, "");
    check(&sealed.run(&["limavm", "delete", "demo", "--wait=false"]), 0, "");
    sealed.eventually("it is gone", || cluster.limavm("demo").is_none());
    sealed.ends_clean();
}

#[test]
fn a_wait_that_gives_up_is_code_4_and_changes_nothing() {
    let (sealed, cluster) = served();
    file(&sealed, "slow.lima", &template(&sealed, "param: {fakeNoSsh: 'true'}\n"));
    let ran = sealed.run(&["limavm", "create", "slow", "slow.lima", "--start", "--timeout=300ms"]);
    let late = |verb: &str| {
        format!(
            "time=T level=error msg=\"timed out waiting for LimaVM \\\"slow\\\" to {verb}: context deadline exceeded\"\n\
             hint: see what it does with 'rdd limavm log -f slow', or wait longer with --timeout\n"
        )
    };
    check(&ran, 4, &late("start"));
    check(&sealed.run(&["limavm", "start", "slow", "--timeout=50ms"]), 4, &late("start"));
    check(&sealed.run(&["limavm", "restart", "slow", "--timeout=50ms"]), 4, &late("restart"));
    assert_eq!(cluster.field("slow", "/spec/running"), json!(true), "it goes on");
    // Somebody else's delete ends a wait at once.
    let mut waiting = sealed.command(&["limavm", "start", "slow"]);
    let waiting = waiting.stderr(std::process::Stdio::piped()).spawn().expect("rdd runs");
    sealed.eventually("it boots", || cluster.condition("slow", "Running").is_some_and(|c| c.1 == "Starting"));
    check(&sealed.run(&["limavm", "delete", "slow"]), 0, "");
    let output = waiting.wait_with_output().expect("waited");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    // It may have come too late even to find the VM.
    let ends = [r#"LimaVM \"slow\" was deleted while waiting"#, r#"LimaVM \"slow\" not found in any namespace"#];
    assert!(ends.iter().any(|end| said.contains(end)), "{said}");
    sealed.ends_clean();
}

#[test]
fn a_start_that_fails_is_told_at_once_and_can_be_put_right() {
    let (sealed, cluster) = served();
    file(&sealed, "demo.lima", &template(&sealed, ""));
    check(&sealed.run(&["limavm", "create", "demo", "demo.lima"]), 0, "");
    sealed.eventually("it is created", || cluster.condition("demo", "Created").is_some_and(|c| c.0 == "True"));
    let scenario = sealed.instance().paths().lima_home.join("demo/fake.json");
    fs::write(&scenario, r#"{"failStart": "no luck"}"#).expect("written");
    let why = |tries: &str| {
        fatal(&format!(
            "LimaVM \"demo\": StartFailed: fake-vm exited during start (exit status: 1): fake-vm: no luck (hostagent \
             ended with exit status: 1, see HOME/.rdt/lima/demo/ha.stderr.log); {tries}"
        )) + "hint: put right what is missing, or correct the template with 'rdd limavm edit demo', then run 'rdd limavm \
              start demo'; its log is shown by 'rdd limavm log demo'\n"
    };
    check(&sealed.run(&["limavm", "start", "demo"]), 1, &why("next try in 1 s"));
    // Who asks again does not sit out the wait, and hears of the new failure.
    check(&sealed.run(&["limavm", "start", "demo"]), 1, &why("2 failures in a row, next try in 2 s"));
    check(&sealed.run(&["limavm", "restart", "demo"]), 1, &why("3 failures in a row, next try in 4 s"));
    let (status, reason, message) = cluster.condition("demo", "Running").expect("told");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "StartFailed"));
    assert!(message.contains("fake-vm: no luck"), "{message}");
    fs::remove_file(&scenario).expect("removed");
    check(&sealed.run(&["limavm", "start", "demo", "--timeout=3s"]), 0, "");
    assert_eq!(cluster.field("demo", "/status/restartCount"), json!(1));
    sealed.ends_clean();
}

#[test]
fn logs() {
    let (sealed, _cluster) = served();
    file(&sealed, "demo.lima", &template(&sealed, ""));
    check(&sealed.run(&["limavm", "create", "demo", "demo.lima"]), 0, "");
    let never = fatal(r#"LimaVM "demo" has no log, because it was never started"#);
    check(&sealed.run(&["limavm", "log", "demo"]), 1, &never);
    check(&sealed.run(&["limavm", "start", "demo"]), 0, "");
    let log = sealed.run(&["limavm", "log", "demo"]);
    assert_eq!((log.code, log.stderr.as_str()), (0, ""));
    for line in log.stdout.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("JSON lines");
        assert!(["level", "msg", "time"].iter().all(|key| entry[key].is_string()), "{line}");
    }
    let events = sealed.run(&["limavm", "logs", "-o", "demo"]);
    assert!(events.stdout.contains(r#""running":true"#), "{}", events.stdout);
    // Neither needs the service.
    check(&sealed.run(&["svc", "stop"]), 0, "");
    assert!(sealed.run(&["limavm", "log", "--stdout", "demo"]).stdout.contains(r#""exiting":true"#));
    assert!(!sealed.is_locked());
    sealed.ends_clean();
}

#[test]
fn a_log_is_followed_from_its_beginning() {
    let (sealed, _cluster) = running("");
    check(&sealed.run(&["limavm", "stop", "demo"]), 0, "");
    let printed = sealed.path("printed");
    let mut command = sealed.command(&["limavm", "log", "-f", "-o", "demo"]);
    let mut child = command.stdout(fs::File::create(&printed).expect("created")).spawn().expect("rdd runs");
    let prints = |word: &str| fs::read_to_string(&printed).expect("read").matches(word).count();
    sealed.eventually("the first run's log", || prints(r#""exiting":true"#) == 1);
    check(&sealed.run(&["limavm", "start", "demo"]), 0, "");
    sealed.eventually("the next run's log", || prints(r#""running":true"#) > 1);
    child.kill().expect("ended");
    child.wait().expect("waited");
    // It ends when nobody reads any more, though nothing more is written.
    let mut command = sealed.command(&["limavm", "log", "-f", "-o", "demo"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("rdd runs");
    drop(child.stdout.take());
    assert!(sealed.ends(child).status.success());
    sealed.ends_clean();
}

#[test]
fn a_log_starts_no_service() {
    let sealed = Sealed::new();
    for args in [&["limavm", "log", "nobody"][..], &["limavm", "log", "-f", "nobody"]] {
        check(
            &sealed.run(args),
            1,
            &(fatal(r#"there is no log of a LimaVM "nobody""#)
                + "hint: 'rdd limavm start nobody' starts the VM and with it the log\n"),
        );
        assert_eq!(fs::read_dir(sealed.home()).expect("listed").count(), 0);
    }
    // The same if there is a control plane that does not run.
    check(&sealed.run(&["svc", "create"]), 0, "");
    assert_eq!(sealed.run(&["limavm", "log", "nobody"]).code, 1);
    assert!(sealed.service().is_none());
}

/// Runs `limavm edit demo` with an editor that runs a line of shell; its `$1` is the file.
fn edit(sealed: &Sealed, script: &str) -> Ran {
    let editor: PathBuf = sealed.path("editor");
    fs::write(&editor, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).expect("set");
    let mut command = sealed.command(&["limavm", "edit", "demo"]);
    // With an argument, as `code --wait` has one. The first variable wins.
    command.env("RDD_LOG_LEVEL", "info").env("EDITOR", "false").env("KUBE_EDITOR", "./editor --wait");
    sealed.finish(command)
}

#[test]
fn edits() {
    let (sealed, cluster) = running("");
    let text = || cluster.template("demo-template").expect("there");
    let before = text();
    let unchanged = info("No changes made to template, skipping update");
    check(&edit(&sealed, "test \"$1\" = --wait && test -s \"$2\""), 0, &unchanged);
    check(&edit(&sealed, "echo ' ' > $2"), 1, &fatal("template data was cleared, aborting edit"));
    let refused = edit(&sealed, "echo 'cpus: many' >> $2");
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("field `cpus`"), "{}", refused.stderr);
    let failed = edit(&sealed, "exit 3");
    check(&failed, 1, &fatal("the editor ./editor --wait failed: exit status: 3").replace("3\\n", "3"));
    assert_eq!(text(), before, "nothing of this was stored");
    assert_eq!(cluster.field("demo", "/status/restartCount"), json!(1));

    let updated = info(r#"Template ConfigMap "demo-template" updated successfully"#);
    check(&edit(&sealed, "echo 'cpus: 2' >> $2"), 0, &updated);
    assert_eq!(text(), format!("{before}cpus: 2\n"));
    sealed.eventually("it restarted with it", || cluster.field("demo", "/status/restartCount") == json!(2));
    let machine = sealed.instance().paths().lima_home.join("demo/lima.yaml");
    assert_eq!(fs::read_to_string(machine).expect("read"), text());
    sealed.ends_clean();
}

#[test]
fn shells() {
    let (sealed, cluster) = running("");
    let ran = sealed.run(&["limavm", "shell", "demo", "echo", "a b", "-n", "$x"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "a b -n $x\n", ""));
    assert_eq!(sealed.run(&["limavm", "shell", "demo", "sh", "-c", "exit 7"]).code, 7, "the guest's code is ours");
    check(&sealed.run(&["limavm", "stop", "demo"]), 0, "");
    let refused = |name: &str, status: &str| {
        fatal(&format!("instance {name:?} is not running (status: {status}), use 'rdd lima start {name}' first"))
    };
    check(&sealed.run(&["limavm", "shell", "demo", "true"]), 1, &refused("demo", "Stopped"));
    check(&sealed.run(&["limavm", "start", "demo"]), 0, "");
    let mut command = sealed.command(&["limavm", "shell", "demo", "true"]);
    command.env("SSH", "no-such-ssh -v");
    check(
        &sealed.finish(command),
        1,
        &fatal("no-such-ssh is not installed: no program of that name on PATH; on Debian it is in openssh-client"),
    );
    cluster
        .create_template("default", "never", &template(&sealed, "").replace("image.raw", "none.raw"))
        .expect("created");
    cluster.create_limavm("default", "never", "never").expect("created");
    check(&sealed.run(&["limavm", "shell", "never"]), 1, &refused("never", "Uninitialized"));
    sealed.ends_clean();
}

#[test]
fn a_namespace_is_checked_like_the_name() {
    let (sealed, cluster) = served();
    file(&sealed, "demo.lima", &template(&sealed, ""));
    for name in ["a/b", "A", "a.b", "", "-"] {
        let flag = format!("--namespace={name}");
        let rule = "use at most 63 lower-case letters, digits and '-', with a letter or digit at both ends";
        check(
            &sealed.run(&["limavm", "create", "demo", "demo.lima", &flag]),
            1,
            &fatal(&format!("invalid namespace {name:?}: {rule}")),
        );
    }
    let ran = sealed.run(&["limavm", "create", "demo", "demo.lima", "-n", "nowhere"]);
    assert!(ran.stderr.contains(r#"namespaces \"nowhere\" not found"#), "{}", ran.stderr);
    assert_eq!(cluster.limavm("demo"), None);
    sealed.ends_clean();
}

#[test]
fn an_unknown_vm_is_named() {
    let (sealed, _cluster) = served();
    for verb in ["start", "stop", "restart", "delete", "edit", "log", "shell"] {
        let ran = sealed.run_talking(&["limavm", verb, "nobody"]);
        check(&ran, 1, &fatal(r#"LimaVM "nobody" not found in any namespace"#));
    }
    let ran = sealed.run(&["limavm", "create", "demo", "nothing"]);
    assert_eq!(ran.code, 1);
    let said =
        r#"failed to get templateRef ConfigMap \"nothing\" in namespace \"default\": configmaps \"nothing\" not found"#;
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    check(
        &sealed.run(&["limavm", "create", "demo", "./nothing"]),
        1,
        &fatal(r#"template "./nothing" is neither a file nor the name of a ConfigMap"#),
    );
    sealed.ends_clean();
}
