//! The main job with a real Debian: systemd, cloud-init and OpenSSH, none of them ours.

use rdd_testkit::{Home, lima_yaml};

#[test]
fn debian_boots_is_provisioned_and_stops_in_order() {
    let home = Home::new();
    home.rdd(&["svc", "start"]).ok();
    let provision = "env:\n  GREETING: hello\nparam:\n  WORD: world\nprovision:\n- mode: system\n  script: |\n    \
                     #!/bin/sh\n    set -eu\n    echo \"$GREETING $PARAM_WORD\" >/etc/greeting\n- mode: user\n  \
                     script: |\n    #!/bin/sh\n    id -un >~/who\nprobes:\n- description: greeting\n  script: |\n    \
                     #!/bin/sh\n    test -s /etc/greeting\n  hint: see the provision script\n";
    let template = home.write("debian.yaml", &lima_yaml("debian", provision));
    home.rdd(&["limavm", "create", "deb", &template, "--start", "--timeout=8m"]).ok();

    let shell = |command: &str| home.rdd(&["limavm", "shell", "deb", "sh", "-c", command]).ok();
    assert_eq!(shell(". /etc/os-release; echo $ID"), "debian\n");
    assert_eq!(shell("cat /etc/greeting"), "hello world\n");
    assert_eq!(shell("test \"$(cat ~/who)\" = \"$(id -un)\" && echo same"), "same\n");
    assert_eq!(shell("hostname"), "lima-deb\n");
    // The disk was enlarged from the image's 2 GiB to the template's 4 GiB, and the file system with it.
    let size: u64 = shell("df --output=size -k / | tail -1").trim().parse().expect("a number of kB");
    assert!(size > 3 << 20, "{size} kB");
    assert_eq!(shell("systemctl is-system-running --wait || systemctl --failed --no-legend"), "running\n");

    home.rdd(&["limavm", "stop", "deb", "--timeout=4m"]).ok();
    home.rdd(&["limavm", "delete", "deb", "--timeout=2m"]).ok();
    home.rdd(&["svc", "stop"]).ok();
}
