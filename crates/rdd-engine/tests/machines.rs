//! Floor 20: the engine over processes: a fake hostagent and the fake driver's VMs.

#![cfg(unix)]

mod support;

use std::time::{Duration, Instant};

use rdd_engine::{Phase, Rung, Wanted};
use rdd_host::process::Signal;
use rdd_machine_dir::{Standing, inspect};
use support::{House, OFF, PATIENCE, hostagent, hostagent_of, template, until, until_running, until_silent};
use tokio::net::UnixStream;

/// Not a test: the hostagent process of the others.
#[test]
fn hostagent_process() {
    if let Some(words) = hostagent::words() {
        std::process::exit(hostagent::main(words));
    }
}

/// Not a test: the VM process of the others.
#[test]
fn vm_process() {
    if let Some(words) = hostagent::words() {
        std::process::exit(rdd_driver_fake::process::main(words));
    }
}

fn vm_pid(machine: &rdd_engine::Machine) -> String {
    std::fs::read_to_string(machine.dir().driver_pid("fake")).expect("a VM runs")
}

fn kill_vm(machine: &rdd_engine::Machine) -> impl Future<Output = ()> {
    let socket = machine.dir().file("fake.sock");
    async move {
        let stream = UnixStream::connect(socket).await.expect("the VM listens");
        rdd_host::process::Handle::of_peer(&stream).expect("a peer").kill().expect("killed");
    }
}

#[tokio::test]
async fn a_machine_from_beginning_to_end() {
    let house = House::new();
    let machine = house.machine("demo");
    machine.want(Wanted::Exists(template("").into()));
    until(&machine, |p| matches!(p, Phase::Created { .. })).await;
    assert!(machine.dir().preparing().exists(), "until the world knows");
    machine.finish_creation().expect("finished");

    machine.want(Wanted::On);
    assert_eq!(until_running(&machine).await, 1);
    assert_eq!(machine.inspect().expect("looked").expect("there").standing, Standing::Running);
    let hostagent = hostagent_of(&machine).await;
    let told = std::fs::read_to_string(machine.dir().ha_pid()).expect("a PID file");
    assert_eq!(told.trim(), hostagent.pid().to_string());

    machine.want(OFF);
    let stopped = until(&machine, |p| matches!(p, Phase::Stopped { .. })).await;
    assert_eq!(stopped, Phase::Stopped { by: Some(Rung::Hostagent), detail: None });
    assert!(!machine.dir().ha_pid().exists() && !machine.dir().ha_sock().exists());
    machine.want(Wanted::On);
    assert_eq!(until_running(&machine).await, 2);
    assert!(machine.dir().file("ha.stdout.1.log").exists(), "logs rotate");

    machine.want(Wanted::Removed { grace: Duration::from_secs(5) });
    until(&machine, |p| *p == Phase::Absent).await;
    assert!(!machine.dir().path().exists());
    assert_eq!(std::fs::read_dir(house.home.path()).expect("read").count(), 0, "nothing is left");
    house.close().await;
}

#[tokio::test]
async fn a_hostagent_that_dies_is_replaced_and_the_guest_does_not_notice() {
    let house = House::new();
    let machine = house.made("demo", "").await;
    machine.want(Wanted::On);
    until_running(&machine).await;
    let (old, vm) = (hostagent_of(&machine).await, vm_pid(&machine));
    old.kill().expect("killed");
    until(&machine, |p| matches!(p, Phase::Running { run: 2, .. })).await;
    assert_eq!(vm_pid(&machine), vm, "the same VM");
    assert_ne!(hostagent_of(&machine).await.pid(), old.pid());
    house.close().await;
}

#[tokio::test]
async fn a_vm_that_crashes_is_started_again() {
    let house = House::new();
    let machine = house.made("demo", "").await;
    machine.want(Wanted::On);
    until_running(&machine).await;
    let vm = vm_pid(&machine);
    kill_vm(&machine).await;
    until(&machine, |p| matches!(p, Phase::Running { run: 2, .. })).await;
    assert_ne!(vm_pid(&machine), vm);
    house.close().await;
}

#[tokio::test]
async fn crashes_in_a_row_wait_and_say_why() {
    let house = House::new();
    let machine = house.made("demo", "").await;
    std::fs::write(machine.dir().file("misbehave"), "fail").expect("written");
    machine.want(Wanted::On);
    let mut errors = Vec::new();
    while errors.len() < 3 {
        let seen = errors.last().cloned().unwrap_or_default();
        let waiting = until(&machine, |p| matches!(p, Phase::Waiting { error } if *error != seen)).await;
        let Phase::Waiting { error } = waiting else { unreachable!("just seen") };
        errors.push(error);
    }
    assert!(errors[0].starts_with("told to fail (hostagent ended with exit status: 1"), "{}", errors[0]);
    assert!(errors[2].contains("3 failures in a row"), "{}", errors[2]);
    until(&machine, |p| matches!(p, Phase::Waiting { error } if error.starts_with("told") && error.contains("8 fail")))
        .await;
    assert!(machine.dir().file("ha.stderr.1.log").exists(), "the log of the first failure stays");
    assert!(!machine.dir().file("ha.stderr.2.log").exists());
    // What may help ends the wait.
    std::fs::remove_file(machine.dir().file("misbehave")).expect("removed");
    machine.write_template(&template("cpus: 2")).expect("written");
    until_running(&machine).await;
    house.close().await;
}

#[tokio::test]
async fn a_hostagent_that_hangs_at_its_start_is_ended() {
    let house = House::new();
    let machine = house.made("demo", "").await;
    std::fs::write(machine.dir().file("misbehave"), "silent").expect("written");
    machine.want(Wanted::On);
    let waiting = until(&machine, |p| matches!(p, Phase::Waiting { .. })).await;
    let Phase::Waiting { error } = waiting else { unreachable!("just seen") };
    assert!(error.starts_with("hostagent did not create PID file within timeout (see "), "{error}");
    std::fs::remove_file(machine.dir().file("misbehave")).expect("removed");
    until_running(&machine).await;
    house.close().await;
}

#[tokio::test]
async fn lines_that_are_no_events_are_skipped() {
    let house = House::new();
    let machine = house.made("demo", "").await;
    std::fs::write(machine.dir().file("misbehave"), "chatty").expect("written");
    machine.want(Wanted::On);
    assert_eq!(until_running(&machine).await, 1);
    house.close().await;
}

#[tokio::test]
async fn a_slow_image_holds_up_nobody_else_and_can_be_given_up() {
    let house = House::new();
    let slow = house.machine("slow");
    let gate = house.images.hold("slow");
    slow.want(Wanted::Exists(template("").into()));
    let progress = Some("image: 50 %".to_owned());
    until(&slow, |p| *p == Phase::Creating { progress: progress.clone() }).await;
    let quick = house.made("quick", "").await;
    quick.want(Wanted::On);
    until_running(&quick).await;
    assert!(matches!(slow.seen().phase, Phase::Creating { .. }));
    // Deleted in the middle of the download.
    slow.want(Wanted::Removed { grace: Duration::ZERO });
    until(&slow, |p| *p == Phase::Absent).await;
    assert!(!slow.dir().path().exists());
    gate.add_permits(1);
    slow.want(Wanted::Exists(template("").into()));
    until(&slow, |p| matches!(p, Phase::Created { .. })).await;
    house.close().await;
}

#[tokio::test]
async fn creation_fails_with_the_reason_and_leaves_nothing() {
    let house = House::new();
    let machine = house.machine("demo");
    house.images.break_with(Some("digest does not match"));
    machine.want(Wanted::Exists(template("").into()));
    let failed = until(&machine, |p| matches!(p, Phase::CreateFailed { .. })).await;
    let Phase::CreateFailed { error } = failed else { unreachable!("just seen") };
    assert!(error.starts_with("digest does not match; next try in "), "{error}");
    assert!(!machine.dir().path().exists());
    // By now the wait is long, 50 ms doubled seven times; another template is tried at once.
    until(&machine, |p| matches!(p, Phase::CreateFailed { error } if error.contains("8 failures in a row"))).await;
    house.images.break_with(None);
    let (begun, wait) = (Instant::now(), Duration::from_millis(50 << 7));
    machine.want(Wanted::Exists(template("cpus: 2").into()));
    until(&machine, |p| matches!(p, Phase::Created { .. })).await;
    assert!(begun.elapsed() < wait, "not after the wait of {wait:?}: {:?}", begun.elapsed());
    house.close().await;
}

#[tokio::test]
async fn an_interrupted_creation_is_finished_or_begun_anew() {
    let mut house = House::new();
    std::fs::create_dir(house.home.path().join(".creating-demo-x")).expect("made");
    house.renew_engine();
    assert_eq!(std::fs::read_dir(house.home.path()).expect("read").count(), 0, "leftovers are swept");
    for (name, left) in [("same", template("")), ("other", template("cpus: 7"))] {
        let machine = house.machine(name);
        rdd_machine_dir::create_whole(house.home.path(), machine.name(), &left).expect("made");
        std::fs::write(machine.dir().file("half"), "").expect("written");
        machine.want(Wanted::Exists(template("").into()));
        until(&machine, |p| matches!(p, Phase::Created { .. })).await;
        assert_eq!(machine.dir().file("half").exists(), name == "same");
        assert_eq!(machine.dir().read_template().expect("read"), template(""));
        assert!(machine.dir().disk().exists() && machine.dir().preparing().exists());
    }
    house.close().await;
}

#[tokio::test]
async fn a_machine_that_boots_can_be_stopped() {
    let house = House::new();
    let machine = house.made("demo", "").await;
    std::fs::write(machine.dir().file("misbehave"), "slow").expect("written");
    machine.want(Wanted::On);
    until(&machine, |p| matches!(p, Phase::Starting { waiting_for: Some(_), .. })).await;
    machine.want(OFF);
    until(&machine, |p| matches!(p, Phase::Stopped { by: Some(_), .. })).await;
    house.close().await;
}

#[tokio::test]
async fn a_template_that_cannot_run_here_is_refused_and_the_good_one_stays() {
    let house = House::new();
    let machine = house.made("demo", "").await;
    let before = machine.dir().read_template().expect("read");
    let error = machine.write_template("vmType: qemu\n").expect_err("no such driver").to_string();
    assert!(error.starts_with("failed to validate template: "), "{error}");
    let error = machine.write_template("[").expect_err("no YAML").to_string();
    assert!(error.starts_with("failed to parse template: "), "{error}");
    assert_eq!(machine.dir().read_template().expect("read"), before);
    house.close().await;
}

#[tokio::test]
async fn garbage_in_the_directory_is_healed() {
    let house = House::new();
    // A directory with neither a template nor a disk is no machine.
    std::fs::create_dir(house.home.path().join("demo")).expect("made");
    std::fs::write(house.home.path().join("demo/text"), "old").expect("written");
    let machine = house.made("demo", "").await;
    assert!(!machine.dir().file("text").exists());
    // A socket that is a directory, PID files that name an innocent process, half-written files.
    let mut innocent = std::process::Command::new("sleep").arg("60").spawn().expect("spawned");
    std::fs::create_dir(machine.dir().ha_sock()).expect("made");
    std::fs::write(machine.dir().ha_sock().join("x"), "x").expect("written");
    for pid_file in [machine.dir().ha_pid(), machine.dir().driver_pid("fake")] {
        std::fs::write(pid_file, format!("{}\n", innocent.id())).expect("written");
    }
    assert_eq!(inspect(machine.dir()).expect("looked").expect("there").standing, Standing::Stopped);
    machine.want(Wanted::On);
    until_running(&machine).await;
    machine.want(OFF);
    until(&machine, |p| matches!(p, Phase::Stopped { .. })).await;
    assert!(innocent.try_wait().expect("looked").is_none(), "the innocent process lives");
    innocent.kill().expect("killed");
    innocent.wait().expect("ended");
    house.close().await;
}

#[tokio::test]
async fn a_machine_that_cannot_be_looked_at_keeps_its_disk_and_is_not_called_off() {
    let mut house = House::new();
    let machine = house.made("demo", "").await;
    std::fs::write(machine.dir().disk(), "precious").expect("written");
    machine.want(Wanted::On);
    until_running(&machine).await;
    let vm = vm_pid(&machine);
    house.engine.leave_all().await;
    hostagent_of(&machine).await.kill().expect("killed");

    // Its hostagent's lock becomes a link to itself, and the service is a new one.
    std::fs::rename(machine.dir().ha_lock(), machine.dir().file("aside")).expect("moved");
    std::os::unix::fs::symlink(machine.dir().ha_lock(), machine.dir().ha_lock()).expect("linked");
    house.renew_engine();
    let machine = house.machine("demo");
    machine.want(OFF);
    let failed = until(&machine, |p| matches!(p, Phase::Stopped { .. } | Phase::StopFailed { .. })).await;
    assert!(matches!(&failed, Phase::StopFailed { error } if error.starts_with("cannot look at ")), "{failed:?}");
    machine.want(Wanted::On);
    let failed = until(&machine, |p| matches!(p, Phase::Running { .. } | Phase::Waiting { .. })).await;
    assert!(matches!(&failed, Phase::Waiting { error } if error.starts_with("cannot look at ")), "{failed:?}");
    machine.want(Wanted::Exists(template("cpus: 2").into()));
    let failed = until(&machine, |p| matches!(p, Phase::Created { .. } | Phase::CreateFailed { .. })).await;
    assert!(matches!(&failed, Phase::CreateFailed { error } if error.starts_with("cannot look at ")), "{failed:?}");

    // The error goes, while the machine is wanted to exist: it does.
    std::fs::rename(machine.dir().file("aside"), machine.dir().ha_lock()).expect("moved back");
    until(&machine, |p| matches!(p, Phase::Created { .. })).await;
    assert_eq!(std::fs::read_to_string(machine.dir().disk()).expect("read"), "precious");
    machine.want(Wanted::On);
    until_running(&machine).await;
    assert_eq!(vm_pid(&machine), vm, "the guest did not notice");
    house.close().await;
}

#[tokio::test]
async fn creation_discards_nothing_that_may_be_somebodys() {
    let house = House::new();
    // A link to another disk that is not mounted at the moment.
    let away = house.home.path().join("_away");
    let machine = house.machine("linked");
    std::os::unix::fs::symlink(&away, machine.dir().path()).expect("linked");
    machine.want(Wanted::Exists(template("").into()));
    until(&machine, |p| matches!(p, Phase::CreateFailed { error } if error.starts_with("cannot look at "))).await;
    std::fs::create_dir(&away).expect("made");
    std::fs::write(away.join("disk"), "precious").expect("written");
    std::fs::write(away.join("lima.yaml"), template("cpus: 3")).expect("written");
    until(&machine, |p| matches!(p, Phase::Created { .. })).await;
    assert!(std::fs::symlink_metadata(machine.dir().path()).expect("there").is_symlink());
    assert_eq!(std::fs::read_to_string(machine.dir().disk()).expect("read"), "precious");

    // A file.
    let machine = house.machine("file");
    std::fs::write(machine.dir().path(), "precious").expect("written");
    machine.want(Wanted::Exists(template("").into()));
    until(&machine, |p| matches!(p, Phase::CreateFailed { .. })).await;
    assert_eq!(std::fs::read_to_string(machine.dir().path()).expect("read"), "precious");
    machine.want(Wanted::Removed { grace: Duration::ZERO });
    until(&machine, |p| *p == Phase::Absent).await;

    // A machine that has lost its template, on a day without network.
    let machine = house.made("lost", "").await;
    std::fs::write(machine.dir().disk(), "precious").expect("written");
    std::fs::remove_file(machine.dir().lima_yaml()).expect("removed");
    house.images.break_with(Some("no network"));
    machine.want(Wanted::Exists(template("cpus: 2").into()));
    until(&machine, |p| matches!(p, Phase::CreateFailed { .. })).await;
    house.images.break_with(None);
    let is_new = |p: &Phase| matches!(p, Phase::Created { template: text } if **text == *template("cpus: 2"));
    until(&machine, is_new).await;
    assert_eq!(std::fs::read_to_string(machine.dir().disk()).expect("read"), "precious");
    assert_eq!(machine.dir().read_template().expect("read"), template("cpus: 2"));
    std::fs::remove_file(house.home.path().join("linked")).expect("removed");
    house.close().await;
}

#[tokio::test]
async fn a_new_service_takes_over_a_running_machine() {
    let mut house = House::new();
    let machine = house.made("demo", "").await;
    machine.want(Wanted::On);
    until_running(&machine).await;
    let (old, vm) = (hostagent_of(&machine).await, vm_pid(&machine));
    house.engine.leave_all().await;
    assert_eq!(machine.inspect().expect("looked").expect("there").standing, Standing::Running, "it runs on");

    house.renew_engine();
    let machine = house.machine("demo");
    assert_eq!(machine.seen().phase, Phase::Unknown, "nothing is done before something is wanted");
    machine.want(Wanted::On);
    until_running(&machine).await;
    tokio::time::timeout(PATIENCE, old.wait()).await.expect("the old one is gone").expect("waited");
    assert_ne!(hostagent_of(&machine).await.pid(), old.pid());
    assert_eq!(vm_pid(&machine), vm, "the guest did not notice");
    house.close().await;
}

#[tokio::test]
async fn an_engine_that_is_dropped_leaves_its_machines_running() {
    let mut house = House::new();
    let machine = house.made("demo", "").await;
    machine.want(Wanted::On);
    until_running(&machine).await;
    let (dir, vm) = (machine.dir().clone(), vm_pid(&machine));
    let mut seen = machine.watch();
    drop(machine);
    house.renew_engine();
    let ended = async { while seen.changed().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the actor ends");
    assert_eq!(inspect(&dir).expect("looked").expect("there").standing, Standing::Running);
    let machine = house.machine("demo");
    machine.want(Wanted::On);
    until_running(&machine).await;
    assert_eq!(vm_pid(&machine), vm);
    house.close().await;
}

#[tokio::test]
async fn a_hostagent_that_does_not_let_go_is_ended_and_the_vm_taken_over() {
    let mut house = House::new();
    let machine = house.made("demo", "").await;
    std::fs::write(machine.dir().file("misbehave"), "deaf").expect("written");
    machine.want(Wanted::On);
    until_running(&machine).await;
    let (old, vm) = (hostagent_of(&machine).await, vm_pid(&machine));
    std::fs::remove_file(machine.dir().file("misbehave")).expect("removed");
    house.engine.leave_all().await;
    house.renew_engine();
    let machine = house.machine("demo");
    machine.want(Wanted::On);
    until_running(&machine).await;
    assert_ne!(hostagent_of(&machine).await.pid(), old.pid());
    assert_eq!(vm_pid(&machine), vm);
    house.close().await;
}

#[tokio::test]
async fn a_vm_whose_hostagent_died_is_attached_or_stopped() {
    let mut house = House::new();
    for (name, wanted) in [("on", Wanted::On), ("off", OFF)] {
        let machine = house.made(name, "").await;
        machine.want(Wanted::On);
        until_running(&machine).await;
        let (old, vm) = (hostagent_of(&machine).await, vm_pid(&machine));
        house.engine.leave_all().await;
        old.kill().expect("killed");
        old.wait().await.expect("waited");
        assert_eq!(machine.inspect().expect("looked").expect("there").standing, Standing::VmOnly);
        house.renew_engine();
        let machine = house.machine(name);
        machine.want(wanted.clone());
        if wanted == Wanted::On {
            until_running(&machine).await;
            assert_eq!(vm_pid(&machine), vm);
        } else {
            let stopped = until(&machine, |p| matches!(p, Phase::Stopped { .. })).await;
            assert_eq!(stopped, Phase::Stopped { by: Some(Rung::Hostagent), detail: None });
        }
    }
    house.close().await;
}

#[tokio::test]
async fn a_vm_whose_lock_was_removed_is_attached_or_stopped() {
    let mut house = House::new();
    for (name, wanted) in [("on", Some(Wanted::On)), ("off", Some(OFF)), ("end", None)] {
        let machine = house.made(name, "").await;
        machine.want(Wanted::On);
        until_running(&machine).await;
        let (old, pid) = (hostagent_of(&machine).await, vm_pid(&machine));
        let stream = UnixStream::connect(machine.dir().file("fake.sock")).await.expect("the VM listens");
        let vm = rdd_host::process::Handle::of_peer(&stream).expect("a peer");
        house.engine.leave_all().await;
        old.kill().expect("killed");
        old.wait().await.expect("waited");
        std::fs::remove_file(machine.dir().driver_lock()).expect("removed");
        drop(machine);
        house.renew_engine();
        let Some(wanted) = wanted else {
            house.engine.stop_all(Duration::from_secs(5)).await;
            tokio::time::timeout(PATIENCE, vm.wait()).await.expect("nothing is left running").expect("waited");
            continue;
        };
        let machine = house.machine(name);
        machine.want(wanted.clone());
        if wanted == Wanted::On {
            until_running(&machine).await;
            assert_eq!(vm_pid(&machine), pid, "the guest did not notice");
            // The same while the service is there.
            hostagent_of(&machine).await.kill().expect("killed");
            until(&machine, |p| matches!(p, Phase::Running { run, .. } if *run > 1)).await;
            assert_eq!(vm_pid(&machine), pid, "the guest did not notice");
            machine.want(OFF);
        }
        until(&machine, |p| matches!(p, Phase::Stopped { by: Some(Rung::Hostagent), .. })).await;
        tokio::time::timeout(PATIENCE, vm.wait()).await.expect("nothing is left running").expect("waited");
    }
    house.close().await;
}

#[tokio::test]
async fn the_last_rungs_end_what_does_not_listen() {
    let house = House::new();
    let machine = house.made("demo", "").await;
    std::fs::write(machine.dir().file("fake.json"), r#"{"ignorePowerDown": true, "ignoreQuit": true}"#)
        .expect("written");
    std::fs::write(machine.dir().file("misbehave"), "deaf").expect("written");
    machine.want(Wanted::On);
    until_running(&machine).await;
    machine.want(Wanted::Off { grace: Duration::from_millis(200) });
    let is_at = |p: &Phase| matches!(p, Phase::Stopping { waiting_for: Some(w) } if w.contains("told to quit"));
    until(&machine, is_at).await;
    let stopped = until(&machine, |p| matches!(p, Phase::Stopped { .. })).await;
    assert!(matches!(&stopped, Phase::Stopped { by: Some(Rung::Kill), detail: Some(_) }), "{stopped:?}");
    house.close().await;
}

#[tokio::test]
async fn all_machines_stop_together_with_one_deadline() {
    let house = House::new();
    let mut machines = Vec::new();
    for name in ["a", "b", "c"] {
        let machine = house.made(name, "").await;
        std::fs::write(machine.dir().file("fake.json"), r#"{"ignorePowerDown": true}"#).expect("written");
        machine.want(Wanted::On);
        machines.push(machine);
    }
    for machine in &machines {
        until_running(machine).await;
    }
    let begun = Instant::now();
    let grace = Duration::from_secs(4);
    house.engine.stop_all(grace).await;
    let took = begun.elapsed();
    assert!(took < grace * 2, "one grace period for all, not each: {took:?}");
    for machine in &machines {
        assert!(matches!(machine.seen().phase, Phase::Stopped { .. }), "{:?}", machine.seen());
        machine.want(Wanted::On);
    }
    house.close().await;
}

#[tokio::test]
async fn a_protected_machine_is_neither_removed_nor_stopped() {
    let house = House::new();
    let machine = house.made("demo", "").await;
    machine.want(Wanted::On);
    until_running(&machine).await;
    std::fs::write(machine.dir().protected(), "").expect("written");
    machine.want(Wanted::Removed { grace: Duration::from_secs(1) });
    let failed = until(&machine, |p| matches!(p, Phase::RemoveFailed { .. })).await;
    let Phase::RemoveFailed { error } = failed else { unreachable!("just seen") };
    assert!(error.contains("protected"), "{error}");
    assert_eq!(machine.inspect().expect("looked").expect("there").standing, Standing::Running);
    std::fs::remove_file(machine.dir().protected()).expect("removed");
    machine.want(Wanted::Removed { grace: Duration::from_secs(5) });
    house.close().await;
}

#[tokio::test]
async fn a_hostagent_whose_socket_was_lost_is_replaced_or_stopped() {
    let mut house = House::new();
    for (name, in_its_place, wanted) in [("on", None, Wanted::On), ("off", Some("garbage"), OFF)] {
        let machine = house.made(name, "").await;
        machine.want(Wanted::On);
        until_running(&machine).await;
        let (old, vm) = (hostagent_of(&machine).await, vm_pid(&machine));
        house.engine.leave_all().await;
        std::fs::remove_file(machine.dir().ha_sock()).expect("removed");
        if let Some(text) = in_its_place {
            std::fs::write(machine.dir().ha_sock(), text).expect("written");
        }
        house.renew_engine();
        let machine = house.machine(name);
        machine.want(wanted.clone());
        if wanted == Wanted::On {
            until_running(&machine).await;
            assert_ne!(hostagent_of(&machine).await.pid(), old.pid());
            assert_eq!(vm_pid(&machine), vm, "the guest did not notice");
        } else {
            until(&machine, |p| matches!(p, Phase::Stopped { by: Some(Rung::Hostagent), .. })).await;
        }
        tokio::time::timeout(PATIENCE, old.wait()).await.expect("the old one is gone").expect("waited");
    }
    house.close().await;
}

#[tokio::test]
async fn a_guest_is_asked_even_if_its_hostagent_hangs() {
    let mut house = House::new();
    for (name, is_ours) in [("ours", true), ("foreign", false)] {
        let mut machine = house.made(name, "").await;
        machine.want(Wanted::On);
        until_running(&machine).await;
        hostagent_of(&machine).await.signal(Signal::Stop).expect("paused");
        until_silent(&machine).await;
        if !is_ours {
            house.engine.leave_all().await;
            house.renew_engine();
            machine = house.machine(name);
        }
        machine.want(Wanted::Off { grace: Duration::from_secs(12) });
        let stopped = until(&machine, |p| matches!(p, Phase::Stopped { .. })).await;
        assert_eq!(stopped, Phase::Stopped { by: Some(Rung::Hostagent), detail: None }, "{name}");
    }
    house.close().await;
}

#[tokio::test]
async fn a_vm_whose_directory_was_removed_is_not_left_behind() {
    let house = House::new();
    let machine = house.made("demo", "").await;
    machine.want(Wanted::On);
    until_running(&machine).await;
    let stream = UnixStream::connect(machine.dir().file("fake.sock")).await.expect("the VM listens");
    let vm = rdd_host::process::Handle::of_peer(&stream).expect("a peer");
    let hostagent = hostagent_of(&machine).await;
    std::fs::remove_dir_all(machine.dir().path()).expect("removed");
    hostagent.kill().expect("killed");
    tokio::time::timeout(PATIENCE, vm.wait()).await.expect("the VM is ended").expect("waited");
    machine.want(OFF);
    until(&machine, |p| matches!(p, Phase::Stopped { .. })).await;
    house.close().await;
}
