//! Starting, attaching, getting ready, failing.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rdd_host::process::Signal;
use rdd_hostagent::StopRequest;

use crate::harness::Test;
use crate::stand::{PATIENCE, Stand, block_on, read};

pub(crate) const TESTS: &[Test] = &[
    ("starts_runs_and_stops", starts_runs_and_stops),
    ("the_vm_outlives_a_killed_hostagent", the_vm_outlives_a_killed_hostagent),
    ("the_vm_outlives_a_hostagent_that_lets_go", the_vm_outlives_a_hostagent_that_lets_go),
    ("a_forgotten_token_is_no_obstacle", a_forgotten_token_is_no_obstacle),
    ("one_hostagent_at_a_time", one_hostagent_at_a_time),
    ("whatever_keeps_it_from_beginning_is_told", whatever_keeps_it_from_beginning_is_told),
    ("heals_what_a_crash_left", heals_what_a_crash_left),
    ("a_port_that_was_asked_for_and_is_taken_is_an_error", a_port_that_was_asked_for_and_is_taken_is_an_error),
    ("a_port_of_its_own_choice_is_given_up", a_port_of_its_own_choice_is_given_up),
    ("what_fails_in_the_guest_is_told", what_fails_in_the_guest_is_told),
    ("a_guest_that_lets_nobody_in_is_degraded", a_guest_that_lets_nobody_in_is_degraded),
    ("probes_are_repeated", probes_are_repeated),
    ("a_vm_that_does_not_start", a_vm_that_does_not_start),
    ("a_vm_that_crashes_while_it_boots", a_vm_that_crashes_while_it_boots),
    ("a_guest_that_powers_off", a_guest_that_powers_off),
    ("a_template_that_is_broken", a_template_that_is_broken),
];

fn starts_runs_and_stops() {
    block_on(async {
        let stand = Stand::new(&[]);
        let agent = stand.agent();
        let status = agent.runs().await;
        assert!(!status.degraded && status.errors.is_empty() && status.ssh_local_port != 0, "{status:?}");
        let first = agent.events().remove(0).status;
        assert!(!first.running && first.ssh_local_port == status.ssh_local_port, "{first:?}");
        assert_eq!(agent.client().info().await.unwrap().ssh_local_port, status.ssh_local_port);
        assert_eq!(read(&stand.dir.ha_pid()), format!("{}\n", agent.child.pid()));
        assert!(read(&stand.dir.ssh_config()).contains(&format!("\n  Port {}\n", status.ssh_local_port)));
        assert!(stand.dir.cidata_iso().exists() && stand.dir.cloud_config().exists());

        let mut events = agent.client().events().await.unwrap();
        assert!(events.next().await.unwrap().unwrap().status.running);
        agent.client().stop(&StopRequest::default()).await.unwrap();
        let mut last = None;
        while let Some(event) = events.next().await.unwrap() {
            last = Some(event.status);
        }
        assert!(last.unwrap().exiting);
        let (code, status) = agent.ends().await;
        assert_eq!(code, Some(0));
        assert!(status.exiting && !status.running && status.errors.is_empty(), "{status:?}");
        stand.check_nothing_is_left();
    });
}

fn the_vm_outlives_a_killed_hostagent() {
    block_on(async {
        let stand = Stand::new(&[]);
        let first = stand.agent();
        let status = first.runs().await;
        let vm = stand.vm().unwrap().pid();
        first.signal(Signal::Kill);
        first.child.wait().await.unwrap();
        assert!(stand.vm_is_alive());
        let second = stand.agent();
        let begin = Instant::now();
        let again = second.runs().await;
        assert_eq!(again, status, "the guest noticed nothing");
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!(stand.vm().unwrap().pid(), vm);
        second.signal(Signal::Terminate);
        assert_eq!(second.ends().await.0, Some(0));
        stand.check_nothing_is_left();
    });
}

fn the_vm_outlives_a_hostagent_that_lets_go() {
    block_on(async {
        let stand = Stand::new(&[("fakeBoot", "300ms")]);
        let first = stand.agent();
        first.vm_started().await;
        first.client().release().await.unwrap();
        let (code, last) = first.ends().await;
        assert!(code == Some(0) && last.exiting, "{last:?}");
        assert!(stand.vm_is_alive());
        let second = stand.agent();
        second.runs().await;
        second.signal(Signal::Interrupt);
        assert_eq!(second.ends().await.0, Some(0));
        stand.check_nothing_is_left();
    });
}

fn a_forgotten_token_is_no_obstacle() {
    block_on(async {
        let stand = Stand::new(&[]);
        let first = stand.agent();
        first.runs().await;
        first.client().release().await.unwrap();
        first.ends().await;
        std::fs::remove_file(stand.dir.boot_id()).unwrap();
        let second = stand.agent();
        assert!(!second.runs().await.degraded);
        second.signal(Signal::Terminate);
        second.ends().await;
        stand.check_nothing_is_left();
    });
}

fn one_hostagent_at_a_time() {
    block_on(async {
        let stand = Stand::new(&[]);
        let first = stand.agent();
        first.runs().await;
        let second = stand.agent();
        assert_eq!(tokio::time::timeout(PATIENCE, second.child.wait()).await.unwrap().unwrap().code(), Some(1));
        let last = second.events().pop().unwrap().status;
        assert!(last.exiting && last.errors[0].contains("another hostagent is running"), "{last:?}");
        // It took nothing from the first.
        assert!(first.client().info().await.unwrap().ssh_local_port != 0);
        assert_eq!(read(&stand.dir.ha_pid()), format!("{}\n", first.child.pid()));
        first.signal(Signal::Terminate);
        assert_eq!(first.ends().await.0, Some(0));
        stand.check_nothing_is_left();
    });
}

fn whatever_keeps_it_from_beginning_is_told() {
    block_on(async {
        for blocked in ["ha.pid", "ha.sock"] {
            let stand = Stand::new(&[]);
            std::fs::create_dir_all(stand.dir.file(blocked).join("somebody's")).unwrap();
            let (code, last) = stand.agent().ends().await;
            assert_eq!(code, Some(1));
            assert!(last.exiting && last.errors[0].contains(blocked), "{last:?}");
            assert!(stand.dir.file(blocked).join("somebody's").is_dir());
            assert!(!stand.dir.ha_pid().is_file());
        }
    });
}

fn heals_what_a_crash_left() {
    block_on(async {
        let stand = Stand::new(&[]);
        std::fs::write(stand.dir.ha_sock(), "no socket").unwrap();
        std::fs::write(stand.dir.ha_pid(), "1\n").unwrap();
        std::fs::write(stand.dir.ha_lock(), "").unwrap();
        std::fs::write(stand.dir.driver_pid("fake"), "1\n").unwrap();
        std::fs::write(stand.dir.file("fake.sock"), "no socket").unwrap();
        std::fs::write(stand.dir.ssh_config(), "garbage").unwrap();
        let half = stand.dir.file(".cidata.iso.tmp-a1B2c3");
        std::fs::write(&half, "half").unwrap();
        drop(std::os::unix::net::UnixListener::bind(stand.dir.ssh_sock()).unwrap());
        let agent = stand.agent();
        agent.runs().await;
        agent.signal(Signal::Terminate);
        assert_eq!(agent.ends().await.0, Some(0));
        assert!(!stand.dir.ssh_sock().exists() && !half.exists());
        stand.check_nothing_is_left();
    });
}

fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
    block_on(async {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let stand = Stand::with_template(&format!("ssh: {{localPort: {port}}}\n"), &[]);
        let (code, last) = stand.agent().ends().await;
        assert_eq!(code, Some(1));
        assert!(
            last.exiting && last.errors[0].contains(&format!("ssh.localPort {port} is already in use")),
            "{last:?}"
        );
        stand.check_nothing_is_left();
        drop(taken);
    });
}

fn a_port_of_its_own_choice_is_given_up() {
    block_on(async {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let stand = Stand::new(&[]);
        std::fs::write(stand.dir.ssh_config(), format!("Host lima-demo\n  Port {port}\n")).unwrap();
        let agent = stand.agent();
        let other = agent.runs().await.ssh_local_port;
        assert_ne!(other, port);
        agent.signal(Signal::Terminate);
        agent.ends().await;
        assert!(read(&stand.dir.ssh_config()).contains(&format!("\n  Port {other}\n")));
    });
}

fn what_fails_in_the_guest_is_told() {
    block_on(async {
        let stand = Stand::new(&[("fakeBootStatus", "3")]);
        let agent = stand.agent();
        let status = agent.runs().await;
        assert!(status.degraded, "{status:?}");
        assert!(status.errors[0].starts_with("provision.system/00000000 failed with exit code 3"), "{status:?}");
        agent.signal(Signal::Terminate);
        assert_eq!(agent.ends().await.0, Some(0));
    });
}

fn a_guest_that_lets_nobody_in_is_degraded() {
    block_on(async {
        let mut stand = Stand::new(&[("fakeRefuseLogin", "true")]);
        stand.patience = Duration::from_millis(300);
        let agent = stand.agent();
        let status = agent.runs().await;
        assert!(status.degraded && status.errors[0].starts_with("no SSH login within"), "{status:?}");
        agent.signal(Signal::Terminate);
        assert_eq!(agent.ends().await.0, Some(0));
    });
}

fn probes_are_repeated() {
    block_on(async {
        let probes = "\
probes:
- {description: the good one, script: \"#!/bin/bash\\ntrue $PARAM_other\\n\"}
- {description: the bad one, hint: look there, script: \"#!/bin/bash\\n# fake: exit 1\\n\"}
";
        let mut stand = Stand::with_template(probes, &[("other", "it's")]);
        stand.patience = Duration::from_millis(1000);
        let agent = stand.agent();
        let status = agent.runs().await;
        assert_eq!(status.errors.len(), 1, "{status:?}");
        assert!(status.errors[0].starts_with("probe failed: the bad one: Code(1)"), "{status:?}");
        assert!(status.errors[0].ends_with("look there"), "{status:?}");
        agent.signal(Signal::Terminate);
        assert_eq!(agent.ends().await.0, Some(0));
    });
}

fn a_vm_that_does_not_start() {
    block_on(async {
        let stand = Stand::new(&[("fakeFailStart", "no more electrons")]);
        let (code, last) = stand.agent().ends().await;
        assert_eq!(code, Some(1));
        assert!(last.exiting && last.errors[0].contains("no more electrons"), "{last:?}");
        stand.check_nothing_is_left();
    });
}

fn a_vm_that_crashes_while_it_boots() {
    block_on(async {
        let stand = Stand::new(&[("fakeNoSsh", "true"), ("fakeCrashAfter", "100ms")]);
        let begin = Instant::now();
        let (code, last) = stand.agent().ends().await;
        assert_eq!(code, Some(1));
        assert!(last.exiting && last.errors[0].starts_with("the VM ended unexpectedly"), "{last:?}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        stand.check_nothing_is_left();
    });
}

fn a_guest_that_powers_off() {
    block_on(async {
        let stand = Stand::new(&[("fakePowerOffAfter", "100ms")]);
        let (code, last) = stand.agent().ends().await;
        assert_eq!(code, Some(0));
        assert!(last.exiting && last.errors.is_empty(), "{last:?}");
        stand.check_nothing_is_left();
    });
}

fn a_template_that_is_broken() {
    block_on(async {
        let stand = Stand::new(&[]);
        for (text, expect) in [("vmType: [", ""), ("vmType: abacus\nimages: []\n", "vmType")] {
            std::fs::write(stand.dir.lima_yaml(), text).unwrap();
            let (code, last) = stand.agent().ends().await;
            assert_eq!(code, Some(1));
            assert!(last.exiting && last.errors[0].contains(expect), "{last:?}");
        }
        std::fs::remove_file(stand.dir.lima_yaml()).unwrap();
        let (code, last) = stand.agent().ends().await;
        assert!(code == Some(1) && last.errors[0].contains("lima.yaml"), "{last:?}");
        stand.check_nothing_is_left();
    });
}
