//! Wrong usage, the instance, help and version.

use std::process::Stdio;

use crate::sealed::{Sealed, check};

#[track_caller]
fn check_fatal(args: &[&str], message: &str) {
    let message = message.replace('\\', "\\\\").replace('"', "\\\"");
    check(&Sealed::new().run(args), 1, &format!("time=T level=fatal msg=\"{message}\"\n"));
}

#[test]
fn wrong_usage_is_one_line_and_code_1() {
    check_fatal(&["svc", "--instance", "x"], "unknown flag: --instance");
    check_fatal(&["svc", "status", "--instance", "x"], "unknown flag: --instance");
    check_fatal(&["--log-level=debug", "--instance", "x"], "unknown flag: --instance");
    check_fatal(&["svc", "stop", "--bar"], "unknown flag: --bar");
    check_fatal(&["svc", "stop", "-x"], "unknown shorthand flag: -x");
    check_fatal(&["frobnicate"], "unknown command \"frobnicate\"");
    check_fatal(&["limavm", "strat"], "unknown command \"strat\" (did you mean \"start\"?)");
    check_fatal(&["svc", "stauts"], "unknown command \"stauts\" (did you mean \"status\"?)");
    check_fatal(&["--log-level", "loud", "svc", "create"], "not a valid logrus Level: \"loud\"");
    check_fatal(&["--log-format", "xml", "svc", "create"], "invalid log format: \"xml\"");
    check_fatal(
        &["svc", "stop", "--timeout", "5"],
        "invalid value '5' for '--timeout <DURATION>': invalid duration \"5\": write it as in 500ms, 90s or 1m30s",
    );
}

#[test]
fn a_bad_level_in_the_environment_stops_before_any_work() {
    let sealed = Sealed::new();
    let mut command = sealed.command(&["svc", "create"]);
    command.env("RDD_LOG_LEVEL", "loud");
    check(&sealed.finish(command), 1, "time=T level=fatal msg=\"not a valid logrus Level: \\\"loud\\\"\"\n");
    assert_eq!(std::fs::read_dir(sealed.home()).expect("listed").count(), 0);
}

#[test]
fn bad_instance_names_are_refused_with_the_rule() {
    let rule = "is not allowed; use only letters, digits, '.', '_' and '-'";
    check_fatal(&["--instance=a/b", "svc", "create"], &format!("invalid instance name \"a/b\": '/' {rule}"));
    check_fatal(&["--instance", "a b", "svc", "start"], &format!("invalid instance name \"a b\": ' ' {rule}"));
    check_fatal(&["--instance=..", "svc", "status"], "invalid instance name \"..\": '.' and '..' mean directories");
    let sealed = Sealed::new();
    let ran = sealed.run(&[&format!("--instance={}", "x".repeat(100)), "svc", "create"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("too long; sockets below HOME/.rdx"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("hint: choose a shorter name with --instance or RDD_INSTANCE\n"), "{}", ran.stderr);
    assert_eq!(std::fs::read_dir(sealed.home()).expect("listed").count(), 0);
}

#[test]
fn the_flag_beats_the_variable() {
    let sealed = Sealed::new();
    let ran = sealed.run(&["--instance", "other", "svc", "paths", "short_dir"]);
    assert_eq!(ran.stdout, format!("{}/.rdother\n", sealed.home().display()));
    let ran = sealed.run(&["--instance=", "svc", "paths", "short_dir"]);
    assert_eq!(ran.stdout, format!("{}/.rdt\n", sealed.home().display()));
}

#[test]
fn help_and_version_are_data() {
    let sealed = Sealed::new();
    for args in [&["--help"][..], &[], &["help"], &["svc", "--help"], &["svc", "start", "--help"]] {
        let ran = sealed.run(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}");
        assert!(ran.stdout.contains("Usage: rdd"), "{args:?}: {}", ran.stdout);
    }
    assert!(sealed.run(&[]).stdout.contains("manages the Rancher Desktop 2 background services"));
    let version = sealed.run(&["version"]).stdout;
    assert!(version.starts_with('v') && version.lines().count() == 1, "{version}");
    assert_eq!(sealed.run(&["--version"]).stdout, version);
    assert_eq!(sealed.run(&["--version=true"]).stdout, version);
    assert_eq!(sealed.run(&["--version=other"]).stdout, "other\n");
    assert_eq!(sealed.run(&["--version=raw"]).stdout.lines().count(), 6);
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(sealed.run(&["completion", shell]).stdout.contains("rdd"), "{shell}");
    }
}

#[test]
fn developers_see_more() {
    let sealed = Sealed::new();
    let people = sealed.run(&["--help"]).stdout;
    let mut command = sealed.command(&["--help"]);
    command.env("RDD_DEVELOPER_MODE", "1");
    let developers = sealed.finish(command).stdout;
    for command in ["\n  limavm ", "\n  ctl "] {
        assert!(!people.contains(command) && developers.contains(command), "{developers}");
    }
    for help in [&people, &developers] {
        assert!(!help.contains("hostagent") && !help.contains("fake-vm"), "{help}");
    }
    assert!(!sealed.run(&["svc", "start", "--help"]).stdout.contains("--secure-port"));
    let mut command = sealed.command(&["svc", "start", "--help"]);
    command.env("RDD_DEVELOPER_MODE", "1");
    assert!(sealed.finish(command).stdout.contains("--secure-port"));
}

#[test]
fn logs_can_be_json() {
    let sealed = Sealed::new();
    let ran = sealed.run(&["--log-format=json", "--log-level=info", "svc", "create"]);
    assert!(
        ran.stderr.starts_with(
            "{\"level\":\"info\",\"msg\":\"successfully created \\\"rancher-desktop-t\\\" control plane\",\"time\":\""
        ),
        "{}",
        ran.stderr
    );
}

#[test]
fn without_kubectl_it_says_so() {
    let sealed = Sealed::new();
    let mut command = sealed.command(&["kubectl", "get", "--anything"]);
    command.env("PATH", sealed.home());
    check(
        &sealed.finish(command),
        1,
        "time=T level=fatal msg=\"kubectl is not installed: no program of that name on PATH; install it, or use 'rdd ctl', \
         which needs none\"\n",
    );
}

#[test]
fn kubectl_gets_everything_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let sealed = Sealed::new();
    let fake = sealed.path("kubectl");
    std::fs::write(&fake, "#!/bin/sh\necho \"$@\"\nexit 7\n").expect("written");
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).expect("set");
    for args in [
        &["kubectl", "get", "--help", "-o", "x", "--", "y"][..],
        &["--log-level=info", "kubectl", "get"],
        &["kubectl", "--log-level=loud", "version"],
        &["--log_format", "text", "--log-level", "info", "kubectl", "--log-format", "x", "--", "--log_level=y"],
        &["kubectl", "--", "get"],
    ] {
        let mut command = sealed.command(args);
        let path = std::env::join_paths([sealed.home().as_os_str(), "/usr/bin".as_ref(), "/bin".as_ref()]);
        command.env("PATH", path.expect("plain names"));
        let ran = sealed.finish(command);
        let expect = args.join(" ").split_once("kubectl ").expect("there").1.to_owned();
        assert_eq!((ran.code, ran.stdout), (7, format!("{expect}\n")));
    }
    // Under kubectl's name we are kubectl, and do not run ourselves for ever.
    let link = sealed.path("bin");
    std::fs::create_dir(&link).expect("made");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rdd"), link.join("kubectl")).expect("linked");
    let mut command = std::process::Command::new(link.join("kubectl"));
    let path = std::env::join_paths([link.as_os_str(), sealed.home().as_os_str(), "/bin".as_ref()]);
    command.arg("--instance=x").env("PATH", path.expect("plain names"));
    assert_eq!(sealed.finish(command).stdout, "--instance=x\n");
}

#[test]
fn a_kubectl_that_leads_back_here_is_told_from_one_whose_plugins_do() {
    use std::os::unix::fs::PermissionsExt;
    let sealed = Sealed::new();
    let write = |script: &str| {
        let path = sealed.path("kubectl");
        std::fs::write(&path, script).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    };
    let run = || {
        let mut command = sealed.command(&["kubectl", "get"]);
        let path = std::env::join_paths([sealed.home().as_os_str(), "/usr/bin".as_ref(), "/bin".as_ref()]);
        command.env("PATH", path.expect("plain names")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = sealed.ends(command.spawn().expect("rdd runs"));
        let text =
            |bytes| String::from_utf8(bytes).expect("text").replace(sealed.home().to_str().expect("text"), "HOME");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let rdd = env!("CARGO_BIN_EXE_rdd");
    write(&format!("#!/bin/sh\nexec {rdd} kubectl \"$@\"\n"));
    let (code, _, stderr) = run();
    assert_eq!(code, Some(1));
    let why = "msg=\"HOME/kubectl runs 'rdd kubectl', which hands over to HOME/kubectl again\"\nhint: put the kubectl that is \
               meant before it on PATH, or use 'rdd ctl', which needs none\n";
    assert!(stderr.ends_with(why), "{stderr}");
    // kubectl may run a plugin that runs kubectl, which may be us.
    write(&format!("#!/bin/sh\ntest $1 = plugin || exec {rdd} kubectl plugin\necho done\n"));
    assert_eq!(run(), (Some(0), "done\n".to_owned(), String::new()));
}
