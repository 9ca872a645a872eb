//! The main job, end to end, with the micro guest: declare a VM, it boots, you are in it.

use std::time::Duration;

use rdd_testkit::{Home, lima_yaml, wait_until};

const BOOT: &str = "--timeout=4m";

/// A ConfigMap with a template and a LimaVM that uses it, both of one name.
fn manifest(name: &str, template: &str) -> String {
    let indented: String = template.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  template: |\n{indented}---\n\
         apiVersion: lima.rancherdesktop.io/v1alpha1\nkind: LimaVM\nmetadata:\n  name: {name}\nspec:\n  \
         templateRef:\n    name: {name}\n  running: true\n"
    )
}

fn jsonpath(home: &Home, vm: &str, path: &str) -> String {
    home.rdd(&["ctl", "get", "limavm", vm, "-o", &format!("jsonpath={path}")]).ok()
}

fn restart_count(home: &Home, vm: &str) -> String {
    jsonpath(home, vm, "{.status.restartCount}")
}

#[test]
fn a_declared_vm_boots_changes_restarts_stops_and_goes() {
    let home = Home::new();
    home.rdd(&["svc", "start"]).ok();
    let file = home.write("vm.yaml", &manifest("demo", &lima_yaml("micro", "")));
    let applied = home.rdd(&["ctl", "apply", "-f", &file]).ok();
    assert_eq!(applied, "configmap/demo created\nlimavm.lima.rancherdesktop.io/demo created\n");
    home.rdd(&["ctl", "wait", "--for=condition=Running", "limavm/demo", BOOT]).ok();

    let uname = home.rdd(&["limavm", "shell", "demo", "uname", "-a"]).ok();
    assert!(uname.starts_with("Linux lima-demo "), "{uname}");
    assert_eq!(home.rdd(&["limavm", "shell", "demo", "sh", "-c", "exit 7"]).code(), 7, "the guest's exit code");
    assert_eq!(home.rdd(&["limavm", "shell", "demo", "sudo", "id", "-u"]).ok(), "0\n");
    let memory = || home.rdd(&["limavm", "shell", "demo", "awk", "/MemTotal/{print $2}", "/proc/meminfo"]).ok();
    let before: u64 = memory().trim().parse().expect("a number of kB");
    assert!(before < 256 << 10, "{before} kB");
    assert_eq!(restart_count(&home, "demo"), "1");

    // What is written in the guest survives what follows.
    home.rdd(&["limavm", "shell", "demo", "sh", "-c", "echo kept > ~/note && sync"]).ok();

    // A changed template restarts the running VM once.
    let larger = lima_yaml("micro", "").replace("memory: 256MiB", "memory: 320MiB");
    let patch = home.write("patch.json", &format!("{{\"data\":{{\"template\":{larger:?}}}}}"));
    home.rdd(&["ctl", "patch", "configmap", "demo-template", "--type=merge", "--patch-file", &patch]).ok();
    wait_until("the restart", Duration::from_secs(240), || match restart_count(&home, "demo") {
        count if count == "2" => Ok(()),
        count => Err((count, jsonpath(&home, "demo", "{.status}"))),
    });
    assert!(memory().trim().parse::<u64>().expect("a number of kB") > 256 << 10);
    assert_eq!(home.rdd(&["limavm", "shell", "demo", "cat", "note"]).ok(), "kept\n");
    assert_eq!(jsonpath(&home, "demo", "{.status.restartNeeded}"), "");

    home.rdd(&["limavm", "restart", "demo", BOOT]).ok();
    assert_eq!(restart_count(&home, "demo"), "3");

    home.rdd(&["limavm", "stop", "demo", BOOT]).ok();
    assert_eq!(jsonpath(&home, "demo", r#"{.status.conditions[?(@.type=="Running")].reason}"#), "Stopped");
    let refused = home.rdd(&["limavm", "shell", "demo", "true"]);
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.contains("is not running"), "{}", refused.stderr);

    home.rdd(&["limavm", "delete", "demo", BOOT]).ok();
    assert!(!home.lima_home().join("demo").exists(), "the machine's directory is gone");
    let list = home.rdd(&["ctl", "get", "configmaps", "-o", "name"]).ok();
    assert!(!list.contains("demo-template"), "{list}");
    home.rdd(&["svc", "stop"]).ok();
}

#[test]
fn a_vm_outlives_its_hostagent_and_the_service_and_the_guest_notices_nothing() {
    let home = Home::new();
    // In the foreground and our own child, so that it can be killed by its handle.
    let mut service = home.rdd_command(&["svc", "serve"]).spawn().expect("rdd runs");
    home.rdd(&["svc", "start"]).ok();
    let file = home.write("vm.yaml", &manifest("keep", &lima_yaml("micro", "")));
    home.rdd(&["ctl", "apply", "-f", &file]).ok();
    home.rdd(&["ctl", "wait", "--for=condition=Running", "limavm/keep", BOOT]).ok();
    let boot_id = || home.rdd(&["limavm", "shell", "keep", "cat", "/proc/sys/kernel/random/boot_id"]).ok();
    let booted = boot_id();

    // The service is killed, with everything that it would have wanted to say.
    service.kill().expect("it is our child");
    service.wait().expect("it is our child");
    home.rdd(&["svc", "start"]).ok();
    wait_until("Running again", Duration::from_secs(120), || match restart_count(&home, "keep") {
        count if count == "2" => Ok(()),
        count => Err((count, jsonpath(&home, "keep", "{.status}"))),
    });
    assert_eq!(boot_id(), booted, "the guest was not restarted");

    // The service and its VMs stop in order together.
    home.rdd(&["svc", "stop"]).ok();
    assert!(!home.lima_home().join("keep/ha.pid").exists());
}
