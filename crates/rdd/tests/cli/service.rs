//! The verbs of `svc`: what they say, when they are silent, and what they leave.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use base64::Engine as _;

use crate::sealed::{Sealed, check};

const NAME: &str = "\\\"rancher-desktop-t\\\" control plane";

fn info(messages: &[&str]) -> String {
    messages.iter().map(|message| format!("time=T level=info msg=\"{}\"\n", message.replace("NAME", NAME))).collect()
}

#[test]
fn create_says_what_it_did_and_when_it_did_nothing() {
    let sealed = Sealed::new();
    check(&sealed.run_talking(&["svc", "create"]), 0, &info(&["successfully created NAME"]));
    check(&sealed.run_talking(&["svc", "create"]), 0, &info(&["NAME already exists"]));
    let args = fs::read_to_string(&sealed.instance().paths().args_file).expect("read");
    // 't' is 116.
    assert_eq!(args, "[\n  \"--secure-port\",\n  \"6559\",\n  \"--controllers\",\n  \"*\",\n  \"-v\",\n  \"0\"\n]");
    assert!(!sealed.is_locked());
}

#[test]
fn create_saves_its_flags_in_order() {
    let sealed = Sealed::new();
    let args = ["--log-level=debug", "svc", "create", "extra", "--controllers", "lima", "--secure-port", "7000"];
    assert_eq!(sealed.run(&args).code, 0);
    let saved = fs::read(&sealed.instance().paths().args_file).expect("read");
    let saved: Vec<String> = serde_json::from_slice(&saved).expect("an array of strings");
    assert_eq!(saved, ["--secure-port", "6559", "extra", "--controllers", "lima", "--secure-port", "7000", "-v", "2"]);
}

#[test]
fn at_the_usual_level_success_is_silent() {
    let sealed = Sealed::new();
    for verb in [&["svc", "create"][..], &["svc", "start"], &["svc", "start"], &["svc", "stop"], &["svc", "delete"]] {
        check(&sealed.run(verb), 0, "");
    }
}

#[test]
fn start_stop_and_delete_say_what_they_did() {
    let sealed = Sealed::new();
    check(&sealed.run_talking(&["svc", "stop"]), 0, &info(&["NAME does not exist"]));
    check(&sealed.run_talking(&["svc", "delete"]), 0, &info(&["NAME does not exist"]));
    let started = sealed.run_talking(&["svc", "start"]);
    let lines: Vec<&str> = started.stderr.lines().collect();
    assert_eq!(lines[..2], *info(&["successfully created NAME", "starting NAME"]).lines().collect::<Vec<_>>());
    assert_eq!(lines[lines.len() - 1], info(&["NAME is ready"]).trim_end());
    for line in &lines[2..lines.len() - 1] {
        assert!(line.contains("msg=\"waiting for "), "{line}");
    }
    check(
        &sealed.run_talking(&["svc", "start"]),
        0,
        &info(&["NAME is already running", "waiting for NAME to be ready", "NAME is ready"]),
    );
    check(&sealed.run_talking(&["svc", "stop"]), 0, &info(&["NAME has stopped"]));
    assert!(!sealed.is_locked());
    let paths = sealed.instance().paths().clone();
    for gone in [&paths.config, &paths.pid_file, &paths.socket()] {
        assert!(!gone.exists(), "{}", gone.display());
    }
    check(&sealed.run_talking(&["svc", "stop"]), 0, &info(&["NAME is already stopped"]));
    assert_eq!(sealed.run(&["svc", "start", "--wait=false"]).code, 0);
    check(&sealed.run_talking(&["svc", "delete"]), 0, &info(&["NAME has stopped", "NAME has been deleted"]));
    for gone in [&paths.dir, &paths.log_dir, &paths.short_dir] {
        assert!(!gone.exists(), "{}", gone.display());
    }
}

#[test]
fn start_without_wait_has_begun_when_it_returns() {
    let sealed = Sealed::new();
    let ran = sealed.run_talking(&["svc", "start", "--wait=false"]);
    check(&ran, 0, &info(&["successfully created NAME", "starting NAME", "NAME is starting"]));
    assert!(sealed.is_locked());
    assert!(sealed.service().is_some());
    check(&sealed.run_talking(&["svc", "stop", "--wait=false"]), 0, &info(&["NAME is stopping"]));
    sealed.eventually("the service has stopped", || !sealed.is_locked());
}

#[test]
fn status_tells_without_touching() {
    let sealed = Sealed::new();
    let lines = |created, started, pid| {
        let (a, b) = (format!("NAME has been created: {created}"), format!("NAME has been started: {started}"));
        info(&[&a, &b, &format!("NAME PID is: {pid}")])
    };
    check(&sealed.run(&["svc", "status"]), 0, &lines(false, false, "0"));
    assert_eq!(fs::read_dir(sealed.home()).expect("listed").count(), 0);
    sealed.run(&["svc", "start"]);
    check(&sealed.run(&["svc", "status"]), 0, &lines(true, true, "PID"));
    let pid_file = fs::read_to_string(&sealed.instance().paths().pid_file).expect("read");
    assert_eq!(pid_file, sealed.service().expect("it runs").pid().to_string());
    let mut command = sealed.command(&["--log-level=error", "service", "status"]);
    command.env("RDD_DEVELOPER_MODE", "t");
    let expect = format!("{}{}", lines(true, true, "PID"), info(&["developer mode is enabled"]));
    check(&sealed.finish(command), 0, &expect);
}

#[test]
fn config_starts_what_it_needs_and_prints_it() {
    let sealed = Sealed::new();
    let ran = sealed.run(&["svc", "config"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let file = fs::read_to_string(&sealed.instance().paths().config).expect("read");
    assert_eq!(ran.stdout, format!("{file}\n"));
    assert!(file.starts_with("apiVersion: v1\n") && file.contains("current-context: root\n"), "{file}");
    assert_eq!(sealed.run(&["svc", "config"]).stdout, ran.stdout, "the same for one service's life");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(&sealed.instance().paths().config).expect("there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let mut command = sealed.command(&["svc", "config"]);
    let device = fs::OpenOptions::new().write(true).open("/dev/full").expect("opened");
    command.stdout(device);
    let full = "time=T level=fatal msg=\"cannot write to standard output: No space left on device (os error 28)\"\n";
    check(&sealed.finish(command), 1, full);
    sealed.run(&["svc", "stop"]);
    assert_ne!(sealed.run(&["svc", "config"]).stdout, ran.stdout, "new tokens for a new service");
}

#[test]
fn ctl_starts_what_it_needs_and_hands_on_its_code() {
    let sealed = Sealed::new();
    let ran = sealed.run(&["ctl", "get", "namespaces", "-o", "name"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(
        ran.stdout,
        "namespace/default\nnamespace/kube-node-lease\nnamespace/kube-public\nnamespace/kube-system\nnamespace/rdd-system\n"
    );
    let ran = sealed.run(&["ctl", "get", "configmap", "nothing"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stderr, "Error from server (NotFound): configmaps \"nothing\" not found\n");
    // Flags that are ours elsewhere are kubectl's here.
    let ran = sealed.run(&["ctl", "--log-level=loud", "version"]);
    let unknown = "error: unknown flag: --log-level\nSee 'kubectl version --help' for usage.\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (1, unknown));
    // The service's own entry, as other programs read it.
    let path =
        ["ctl", "get", "configmap", "-n", "rdd-system", "rdd-controller-manager", "-o", "jsonpath={.data.embedded}"];
    let entry: serde_json::Value = serde_json::from_str(&sealed.run(&path).stdout).expect("JSON");
    assert_eq!(entry["enabledControllers"], serde_json::json!(["limavm"]));
}

#[test]
fn both_users_may_do_everything_and_the_key_of_tokens_stays() {
    let sealed = Sealed::new();
    assert_eq!(sealed.run(&["svc", "start"]).code, 0);
    for context in ["root", "user"] {
        let ran = sealed.run(&["ctl", "--context", context, "auth", "can-i", "*", "*"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "yes\n"), "{context} {ran:?}");
    }
    let path = sealed.instance().paths().tls_dir.join("sa.key");
    let key = fs::read(&path).expect("read");
    assert_eq!(sealed.run(&["svc", "stop"]).code, 0);
    assert_eq!(sealed.run(&["svc", "start"]).code, 0);
    assert!(key == fs::read(&path).expect("read"), "tokens must outlive the service");
    check(&sealed.run(&["svc", "delete"]), 0, "");
}

#[test]
fn the_core_controllers_run() {
    let sealed = Sealed::new();
    let ctl = |args: &[&str]| {
        let ran = sealed.run(&[&["ctl", "-n", "n"], args].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}");
        ran.stdout
    };
    ctl(&["create", "namespace", "n"]);
    let pem = ["ctl", "-n", "n", "get", "configmap", "kube-root-ca.crt", "-o", r"jsonpath={.data.ca\.crt}"];
    let has_both = || sealed.run(&pem).code == 0 && sealed.run(&["ctl", "-n", "n", "get", "sa", "default"]).code == 0;
    sealed.eventually("a namespace has what belongs there", has_both);
    let pem = base64::engine::general_purpose::STANDARD.encode(sealed.run(&pem).stdout);
    let config = sealed.run(&["svc", "config"]).stdout;
    assert!(config.contains(&format!("certificate-authority-data: {pem}\n")), "{config}");

    ctl(&["create", "configmap", "owner"]);
    let uid = ctl(&["get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}"]);
    let child = sealed.path("child.yaml");
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: child\n  namespace: n\n  ownerReferences:\n  - apiVersion: v1\n    \
         kind: ConfigMap\n    name: owner\n    uid: {uid}\n    blockOwnerDeletion: true\n"
    );
    fs::write(&child, text).expect("written");
    ctl(&["create", "-f", child.to_str().expect("text")]);
    // It waits until the owner is gone, and the owner for its dependents.
    ctl(&["delete", "configmap", "owner", "--cascade=foreground"]);
    let gone = "Error from server (NotFound): configmaps \"child\" not found\n";
    check(&sealed.run(&["ctl", "-n", "n", "get", "configmap", "child"]), 1, gone);
    assert_eq!(sealed.run(&["ctl", "delete", "namespace", "n"]).code, 0);
    sealed.ends_clean();
}

#[test]
fn a_webhook_that_nobody_answers_can_be_removed_after_a_restart() {
    let sealed = Sealed::new();
    let path = sealed.path("webhook.yaml");
    let text = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata:\n  name: w\n\
                webhooks:\n- name: nobody.hook.test\n  sideEffects: None\n  admissionReviewVersions: [v1]\n  \
                clientConfig:\n    url: https://127.0.0.1:1\n  rules:\n  - operations: ['*']\n    apiGroups: ['*']\n    \
                apiVersions: ['*']\n    resources: ['*/*']\n";
    fs::write(&path, text).expect("written");
    assert_eq!(sealed.run(&["ctl", "create", "-f", path.to_str().expect("text")]).code, 0);
    check(&sealed.run(&["svc", "stop"]), 0, "");
    check(&sealed.run(&["svc", "start"]), 0, "");
    let refused = sealed.run(&["ctl", "create", "configmap", "a"]);
    assert!(refused.stderr.contains("failed calling webhook \"nobody.hook.test\""), "{}", refused.stderr);
    assert_eq!(sealed.run(&["ctl", "delete", "validatingwebhookconfiguration", "w"]).code, 0);
    assert_eq!(sealed.run(&["ctl", "create", "configmap", "a"]).code, 0);
    sealed.ends_clean();
}

#[test]
fn configs_at_once_are_all_the_same() {
    let sealed = Sealed::new();
    let asked: Vec<_> = (0..4)
        .map(|_| sealed.command(&["svc", "config"]).stdout(Stdio::piped()).spawn().expect("rdd runs"))
        .map(|child| std::thread::spawn(|| child.wait_with_output().expect("waited").stdout))
        .collect();
    let mut answers: Vec<_> = asked.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].starts_with(b"apiVersion: v1\n"));
}

#[test]
fn a_taken_port_gives_another() {
    let sealed = Sealed::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = taken.local_addr().expect("bound").port();
    check(&sealed.run(&["svc", "start", "--secure-port", &port.to_string()]), 0, "");
    let config = sealed.run(&["svc", "config"]).stdout;
    assert!(config.contains("server: https://127.0.0.1:"), "{config}");
    assert!(!config.contains(&format!("127.0.0.1:{port}\n")), "{config}");
    drop(taken);
    // What was asked for one start is asked again, and free this time.
    sealed.run(&["svc", "stop"]);
    check(&sealed.run(&["svc", "start", "--secure-port", &port.to_string()]), 0, "");
    assert!(sealed.run(&["svc", "config"]).stdout.contains(&format!("127.0.0.1:{port}\n")));
}

#[test]
fn port_zero_is_refused() {
    let ran = Sealed::new().run(&["svc", "start", "--secure-port", "0"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("must be between 1 and 65535"), "{}", ran.stderr);
}

#[test]
fn paths_touch_nothing() {
    let sealed = Sealed::new();
    let ran = sealed.run(&["svc", "paths"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let home = sealed.home().display();
    assert!(ran.stdout.contains(&format!("short_dir      {home}/.rdt\n")), "{}", ran.stdout);
    let keys: Vec<_> = ran.stdout.lines().map(|line| line.split_whitespace().next().expect("a key")).collect();
    assert_eq!(
        keys.join(" "),
        "args_file config dir docker_socket k3s_config lima_home log_dir pid_file short_dir tls_dir"
    );
    let shell = sealed.run(&["svc", "paths", "dir", "--output", "shell"]).stdout;
    assert_eq!(shell, format!("export RDD_DIR=\"{home}/.local/share/rancher-desktop-t\"\n"));
    let mut command = sealed.command(&["svc", "paths", "log_dir"]);
    command.env("RDD_LOG_DIR", "logs");
    assert_eq!(sealed.finish(command).stdout, "logs\n");
    check(
        &sealed.run(&["svc", "paths", "foo"]),
        1,
        "time=T level=fatal msg=\"unknown key \\\"foo\\\"; valid keys: args_file, config, dir, docker_socket, k3s_config, \
         lima_home, log_dir, pid_file, short_dir, tls_dir\"\n",
    );
    check(
        &sealed.run(&["svc", "paths", "-o", "xml"]),
        1,
        "time=T level=fatal msg=\"unknown output format \\\"xml\\\"; valid formats: table, json, or shell\"\n",
    );
    assert_eq!(fs::read_dir(sealed.home()).expect("listed").count(), 0);
}

#[test]
fn log_prints_the_log() {
    let sealed = Sealed::new();
    let log = "HOME/.local/state/rancher-desktop-t/rdd.stderr.log";
    check(&sealed.run(&["svc", "log"]), 0, &info(&[&format!("waiting for {log} to appear")]));
    let mut command = sealed.command(&["svc", "start"]);
    command.env("RDD_LOG_TITLE", "a test");
    assert_eq!(sealed.finish(command).code, 0);
    let ran = sealed.run(&["svc", "logs"]);
    assert_eq!(ran.stderr, "");
    assert!(ran.stdout.starts_with("=== a test ===\ntime=\""), "{}", ran.stdout);
    assert_eq!(sealed.run(&["svc", "log", "-o"]).stdout, "=== a test ===\n");
}

#[test]
fn following_the_log_survives_a_new_service() {
    let sealed = Sealed::new();
    let mut command = sealed.command(&["svc", "log", "--follow"]);
    let mut follower = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("rdd runs");
    let mut lines = BufReader::new(follower.stdout.take().expect("piped")).lines();
    for _ in 0..2 {
        sealed.run(&["svc", "start"]);
        assert!(lines.any(|line| line.expect("text").contains("is ready")));
        sealed.run(&["svc", "stop"]);
        assert!(lines.any(|line| line.expect("text").contains("has stopped")));
    }
    follower.kill().expect("sent");
    follower.wait().expect("waited");
}

#[test]
fn following_ends_when_nobody_reads_any_more() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "start"]);
    sealed.run(&["svc", "stop"]);
    for has_more in [false, true] {
        let mut command = sealed.command(&["svc", "log", "--follow"]);
        let mut follower = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("rdd runs");
        let mut lines = BufReader::new(follower.stdout.take().expect("piped")).lines();
        assert!(lines.any(|line| line.expect("text").contains("has stopped")), "up to the log's last line");
        drop(lines);
        if has_more {
            let log = fs::OpenOptions::new().append(true).open(sealed.instance().paths().stderr_log());
            std::io::Write::write_all(&mut log.expect("opened"), b"more\n").expect("written");
        }
        assert!(sealed.ends(follower).status.success());
    }
}

#[test]
fn each_start_rotates_the_logs() {
    let sealed = Sealed::new();
    for _ in 0..3 {
        sealed.run(&["svc", "start"]);
        sealed.run(&["svc", "stop"]);
    }
    let mut names: Vec<_> = fs::read_dir(&sealed.instance().paths().log_dir)
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .filter(|name| name.starts_with("rdd.stderr"))
        .collect();
    names.sort();
    assert_eq!(names, ["rdd.stderr.1.log", "rdd.stderr.2.log", "rdd.stderr.log"]);
}

#[test]
fn delete_leaves_a_foreign_log_directory_alone() {
    let sealed = Sealed::new();
    let run = |args: &[&str]| {
        let mut command = sealed.command(args);
        command.env("RDD_LOG_DIR", "mine");
        assert_eq!(sealed.finish(command).code, 0);
    };
    fs::create_dir(sealed.path("mine")).expect("made");
    fs::write(sealed.path("mine/thesis.log"), "years of work").expect("written");
    run(&["svc", "start"]);
    assert!(sealed.path("mine/rdd.stderr.log").exists());
    run(&["svc", "delete"]);
    assert!(!sealed.path("mine/rdd.stderr.log").exists());
    assert!(sealed.path("mine/thesis.log").exists());
}

#[test]
fn delete_keeps_logs_if_asked_to() {
    let sealed = Sealed::new();
    sealed.run(&["svc", "start"]);
    let machine = sealed.instance().paths().lima_home.join("demo");
    fs::create_dir_all(&machine).expect("made");
    fs::write(machine.join("serial.log"), "boot").expect("written");
    let mut command = sealed.command(&["svc", "delete"]);
    command.env("RDD_KEEP_LOGS", "0");
    assert_eq!(sealed.finish(command).code, 0);
    let log_dir = sealed.instance().paths().log_dir.clone();
    assert_eq!(fs::read(log_dir.join("demo/serial.log")).expect("kept"), b"boot");
    assert!(log_dir.join("rdd.stderr.log").exists());
    assert!(!machine.exists());
}

#[test]
fn a_backup_of_a_running_service_brings_its_objects_back() {
    let sealed = Sealed::new();
    let file = sealed.path("backup.db").display().to_string();
    let fatal = |text: &str| format!("time=T level=fatal msg=\"{text}\"\n").replace("NAME", NAME);
    check(&sealed.run(&["svc", "backup", &file]), 1, &fatal("NAME does not exist"));
    check(&sealed.run(&["svc", "create"]), 0, "");
    check(&sealed.run(&["svc", "backup", &file]), 1, &fatal("NAME has never run, so there is nothing to back up"));
    assert_eq!(sealed.run(&["ctl", "create", "configmap", "kept"]).code, 0);
    check(&sealed.run(&["svc", "backup", &file]), 0, "");
    assert_eq!(sealed.run(&["ctl", "delete", "configmap", "kept"]).code, 0);
    assert_eq!(sealed.run(&["ctl", "create", "configmap", "later"]).code, 0);
    let revision = |name: &str| {
        let made = sealed.run(&["ctl", "get", "configmap", name, "-o", "jsonpath={.metadata.resourceVersion}"]).stdout;
        made.parse::<u64>().expect("a revision")
    };
    let newest = revision("later");
    let refused = sealed.run(&["svc", "restore", &file]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("control plane, or one of its VMs, is running"), "{}", refused.stderr);
    assert!(refused.stderr.contains("stop it with 'rdd svc stop', then restore"), "{}", refused.stderr);
    check(&sealed.run(&["svc", "stop"]), 0, "");
    let restored = sealed.run_talking(&["svc", "restore", &file]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert!(restored.stderr.contains("what was there before is kept in "), "{}", restored.stderr);
    assert_eq!(sealed.run(&["ctl", "get", "configmap", "kept", "-o", "name"]).stdout, "configmap/kept\n");
    assert_eq!(sealed.run(&["ctl", "get", "configmap", "later"]).code, 1);
    assert_eq!(sealed.run(&["ctl", "create", "configmap", "next"]).code, 0);
    assert!(revision("next") > newest, "revisions never run backwards");
    check(&sealed.run(&["svc", "stop"]), 0, "");
    let text = sealed.path("text");
    fs::write(&text, "no backup").expect("written");
    let refused = sealed.run(&["svc", "restore", &text.display().to_string()]);
    assert!(refused.stderr.contains("is not an SQLite database"), "{}", refused.stderr);
    assert_eq!(sealed.run(&["ctl", "get", "configmap", "kept", "-o", "name"]).stdout, "configmap/kept\n");
    sealed.ends_clean();
}
