//! One suite for every driver: what a hostagent relies on must hold for the simulator as for QEMU.
//!
//! QEMU's half runs if `qemu-system-x86_64` is installed, as `cargo xtask test` sees to; it needs no guest system, only a firmware
//! that finds nothing to boot.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test, whose helpers are outside of its test functions"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rdd_driver_fake::FakeDriver;
use rdd_driver_qemu::accelerator::Accelerator;
use rdd_driver_qemu::{QemuDriver, Settings};
use rdd_host::process::{Handle, Signal};
use rdd_machine::config::Arch;
use rdd_machine::driver::{Driver, DriverError, StartOptions, Vm, VmExit};
use rdd_machine::{MachineConfig, MachineName};
use tempfile::TempDir;

/// A driver with a machine to try it on. Ends what still runs when a test fails.
struct Subject {
    driver: Box<dyn Driver>,
    config: MachineConfig,
    control: PathBuf,
    /// Every VM that was started, for the end.
    started: Mutex<Vec<Handle>>,
    _home: TempDir,
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Not by the lock alone: some tests remove it.
        for vm in self.started.get_mut().unwrap() {
            let _ = vm.kill();
        }
        if let Ok(Some(vm)) = Handle::of_lock_holder(&self.config.dir.join("driver.lock")) {
            let _ = vm.kill();
        }
    }
}

impl Subject {
    fn fake() -> Self {
        let command = vec![env!("CARGO_BIN_EXE_fake-vm").into()];
        Self::new(Box::new(FakeDriver::new(command)), "fake.sock")
    }

    fn qemu() -> Option<Self> {
        let mut settings = Settings::from_env();
        // The accelerator is not what is tried here, and software works everywhere.
        settings.accelerator = Some(Accelerator::Tcg);
        if !settings.path.iter().any(|dir| dir.join("qemu-system-x86_64").is_file()) {
            // `cargo xtask test` has everything installed; there, a test that does nothing has failed.
            assert!(std::env::var_os("RDD_TEST_REQUIRE").is_none(), "qemu-system-x86_64 is not installed");
            eprintln!("qemu-system-x86_64 is not installed: skipped");
            return None;
        }
        let mut subject = Self::new(Box::new(QemuDriver::new(settings)), "qmp.sock");
        subject.config.arch = Arch::X86_64;
        subject.config.legacy_bios = true;
        Some(subject)
    }

    fn new(driver: Box<dyn Driver>, socket: &str) -> Self {
        let home = tempfile::Builder::new().prefix("rdd").tempdir().unwrap();
        let dir = home.path().join("demo");
        std::fs::create_dir(&dir).unwrap();
        std::fs::create_dir(home.path().join("_config")).unwrap();
        for file in ["disk", "cidata.iso"] {
            std::fs::write(dir.join(file), vec![0; 1 << 20]).unwrap();
        }
        let mut config = MachineConfig::new(MachineName::new("demo").unwrap(), dir.clone(), driver.vm_type());
        config.memory = 64 << 20;
        Self { driver, config, control: dir.join(socket), started: Mutex::default(), _home: home }
    }

    fn options(&self) -> StartOptions {
        let ssh_port = rdd_host::net::free_port().unwrap();
        StartOptions { seed: self.config.dir.join("cidata.iso"), ssh_port }
    }

    async fn start(&self) -> Box<dyn Vm> {
        loop {
            match self.driver.start(&self.config, &self.options()).await {
                // Another test may have been quicker.
                Err(DriverError::PortTaken { .. }) => {}
                started => {
                    let vm = started.unwrap();
                    let process = Handle::of_lock_holder(&self.config.dir.join("driver.lock")).unwrap();
                    self.started.lock().unwrap().extend(process);
                    return vm;
                }
            }
        }
    }

    async fn attach(&self) -> Option<Box<dyn Vm>> {
        self.driver.attach(&self.config).await.unwrap()
    }

    fn is_alive(&self) -> bool {
        self.driver.is_alive(&self.config).unwrap()
    }

    fn pid_file(&self) -> PathBuf {
        self.config.dir.join(format!("{}.pid", self.driver.vm_type()))
    }
}

async fn end_of(vm: &dyn Vm) -> VmExit {
    tokio::time::timeout(Duration::from_secs(20), vm.wait()).await.expect("the VM ends")
}

fn read_pid(path: &Path) -> u32 {
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

async fn starts_and_quits(subject: &Subject) {
    assert!(!subject.is_alive());
    assert!(subject.attach().await.is_none());
    let vm = subject.start().await;
    assert!(subject.is_alive());
    assert_eq!(Some(read_pid(&subject.pid_file())), vm.pid());
    assert!(vm.ssh_address().ip().is_loopback());
    let second = subject.driver.start(&subject.config, &subject.options()).await;
    assert!(matches!(second, Err(DriverError::AlreadyRunning(_))));
    vm.power_down().await.unwrap();
    vm.quit().await.unwrap();
    let (first, also) = tokio::join!(end_of(&*vm), end_of(&*vm));
    assert!(first.orderly, "{first:?}");
    assert_eq!(first, also);
    assert!(!subject.is_alive());
    assert!(!subject.pid_file().exists() && !subject.control.exists());
    assert_eq!(end_of(&*vm).await, first, "an end is told again to whoever asks late");
}

async fn dies_and_starts_again(subject: &Subject) {
    let vm = subject.start().await;
    vm.kill().await.unwrap();
    let exit = end_of(&*vm).await;
    assert!(!exit.orderly, "{exit:?}");
    assert!(!subject.is_alive());
    assert!(vm.quit().await.is_err() || !subject.is_alive());
    let vm = subject.start().await;
    vm.quit().await.unwrap();
    end_of(&*vm).await;
}

async fn is_let_go_and_found_again(subject: &Subject) {
    let vm = subject.start().await;
    let (pid, address) = (vm.pid(), vm.ssh_address());
    drop(vm);
    for _ in 0..2 {
        let found = subject.attach().await.expect("it runs");
        assert_eq!((found.pid(), found.ssh_address()), (pid, address));
        drop(found);
        assert!(subject.is_alive());
    }
    let found = subject.attach().await.expect("it runs on");
    found.power_down().await.unwrap();
    found.quit().await.unwrap();
    let exit = end_of(&*found).await;
    assert!(exit.orderly, "{exit:?}");
    assert!(!subject.is_alive() && !subject.pid_file().exists());
}

async fn is_killed_by_who_found_it(subject: &Subject) {
    drop(subject.start().await);
    let found = subject.attach().await.expect("it runs on");
    found.kill().await.unwrap();
    let exit = end_of(&*found).await;
    assert!(!exit.orderly, "{exit:?}");
    assert!(!subject.is_alive());
    assert!(subject.attach().await.is_none());
}

async fn tells_a_taken_port(subject: &Subject) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let ssh_port = taken.local_addr().unwrap().port();
    let options = StartOptions { ssh_port, ..subject.options() };
    let error = subject.driver.start(&subject.config, &options).await.err().expect("the port is taken");
    assert!(matches!(error, DriverError::PortTaken { port } if port == ssh_port), "{error}");
    assert!(!subject.is_alive());
    let vm = subject.start().await;
    assert_ne!(vm.ssh_address().port(), ssh_port);
    vm.quit().await.unwrap();
    end_of(&*vm).await;
}

async fn heals_what_a_crash_left(subject: &Subject) {
    std::fs::write(&subject.control, "no socket").unwrap();
    std::fs::write(subject.pid_file(), "1\n").unwrap();
    std::fs::write(subject.config.dir.join("driver.lock"), "").unwrap();
    assert!(!subject.is_alive());
    assert!(subject.attach().await.is_none());
    let vm = subject.start().await;
    vm.quit().await.unwrap();
    end_of(&*vm).await;
}

/// Somebody cleans up too much: the VM runs on, and its socket is the only way to it.
async fn outlives_its_lock(subject: &Subject) {
    let vm = subject.start().await;
    let (pid, address) = (vm.pid(), vm.ssh_address());
    drop(vm);
    std::fs::remove_file(subject.config.dir.join("driver.lock")).unwrap();
    for _ in 0..2 {
        // The second time there is a lock again, which nobody holds.
        assert!(subject.is_alive());
        let error = subject.driver.start(&subject.config, &subject.options()).await.err();
        assert!(matches!(error, Some(DriverError::AlreadyRunning(_))), "{error:?}");
        let found = subject.attach().await.expect("it runs");
        assert_eq!((found.pid(), found.ssh_address()), (pid, address));
    }
    let found = subject.attach().await.expect("it runs");
    found.quit().await.unwrap();
    assert!(end_of(&*found).await.orderly);
    assert!(!subject.is_alive() && subject.attach().await.is_none());
    let vm = subject.start().await;
    vm.quit().await.unwrap();
    end_of(&*vm).await;
}

/// Without its lock, and hanging: who listens is all that is known.
async fn is_killed_although_it_hangs_without_its_lock(subject: &Subject) {
    drop(subject.start().await);
    std::fs::remove_file(subject.config.dir.join("driver.lock")).unwrap();
    subject.started.lock().unwrap()[0].signal(Signal::Stop).unwrap();
    let error = subject.driver.start(&subject.config, &subject.options()).await.err();
    assert!(matches!(error, Some(DriverError::AlreadyRunning(_))), "{error:?}");
    let found = subject.attach().await.expect("it is alive");
    assert_eq!(found.ssh_address().port(), 0);
    found.kill().await.unwrap();
    assert!(!end_of(&*found).await.orderly);
    assert!(!subject.is_alive());
}

/// A hypervisor that hangs takes connections and never answers.
async fn is_killed_although_it_hangs(subject: &Subject) {
    drop(subject.start().await);
    let process = Handle::of_lock_holder(&subject.config.dir.join("driver.lock")).unwrap().expect("it runs");
    process.signal(Signal::Stop).unwrap();
    // Others have tried before: a few connections are all that its socket holds for it.
    for _ in 0..4 {
        let _ = tokio::net::UnixStream::connect(&subject.control).await;
    }
    let found = subject.attach().await.expect("it is alive");
    assert_eq!((found.pid(), found.ssh_address().port()), (Some(process.pid()), 0));
    assert!(found.quit().await.is_err());
    found.kill().await.unwrap();
    assert!(!end_of(&*found).await.orderly);
    assert!(!subject.is_alive());
}

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod fake {
            use super::Subject;
            $(#[tokio::test] async fn $test() { super::$test(&Subject::fake()).await; })*
        }
        mod qemu {
            use super::Subject;
            $(#[tokio::test] async fn $test() {
                if let Some(subject) = Subject::qemu() { super::$test(&subject).await; }
            })*
        }
    };
}

suite!(
    starts_and_quits,
    dies_and_starts_again,
    is_let_go_and_found_again,
    is_killed_by_who_found_it,
    tells_a_taken_port,
    heals_what_a_crash_left,
    is_killed_although_it_hangs,
    outlives_its_lock,
    is_killed_although_it_hangs_without_its_lock,
);

#[tokio::test]
async fn qemu_says_why_it_does_not_start() {
    let Some(mut subject) = Subject::qemu() else { return };
    subject.config.cpu_type = Some("no-such-cpu".into());
    let error = subject.driver.start(&subject.config, &subject.options()).await.err().unwrap();
    assert!(matches!(error, DriverError::ExitedEarly { .. }), "{error}");
    assert!(error.to_string().contains("no-such-cpu"), "{error}");
    assert!(!subject.is_alive());
}

/// What only the simulator can be told to do.
mod scenarios {
    use super::*;
    use rdd_link::{Session, keys, reach};

    fn with(param: &[(&str, &str)]) -> Subject {
        let mut subject = Subject::fake();
        subject.config.param = param.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        subject
    }

    async fn finish(vm: &dyn Vm) {
        vm.quit().await.unwrap();
        end_of(vm).await;
    }

    #[tokio::test]
    async fn a_failed_start_says_why() {
        let subject = with(&[("fakeFailStart", "no more electrons")]);
        let error = subject.driver.start(&subject.config, &subject.options()).await.err().unwrap();
        assert!(matches!(&error, DriverError::ExitedEarly { .. }), "{error}");
        assert!(error.to_string().contains("no more electrons"), "{error}");
        assert!(!subject.is_alive());
    }

    #[tokio::test]
    async fn mistakes_are_config_problems() {
        let subject = with(&[("fakeBoot", "soon")]);
        let problems = subject.driver.check(&subject.config);
        assert_eq!(problems[0].field, "param");
        assert!(subject.driver.start(&subject.config, &subject.options()).await.is_err());
    }

    #[tokio::test]
    async fn crashes_and_power_offs_tell_apart() {
        let subject = with(&[("fakeCrashAfter", "20ms")]);
        let exit = end_of(&*subject.start().await).await;
        assert!(!exit.orderly, "{exit:?}");
        let subject = with(&[("fakePowerOffAfter", "20ms")]);
        let exit = end_of(&*subject.start().await).await;
        assert_eq!(exit, VmExit { orderly: true, description: "guest-shutdown".into() });
    }

    #[tokio::test]
    async fn a_power_down_is_missed_during_boot_and_obeyed_after() {
        let subject = with(&[("fakeBoot", "150ms")]);
        let vm = subject.start().await;
        vm.power_down().await.unwrap();
        let exit = async {
            loop {
                if let Ok(exit) = tokio::time::timeout(Duration::from_millis(50), vm.wait()).await {
                    return exit;
                }
                let _ = vm.power_down().await;
            }
        };
        let exit = tokio::time::timeout(Duration::from_secs(10), exit).await.unwrap();
        assert_eq!(exit.description, "guest-shutdown");
    }

    #[tokio::test]
    async fn ssh_works_with_the_users_key_only() {
        let subject = with(&[("fakeBoot", "200ms")]);
        let config_dir = subject.config.dir.parent().unwrap().join("_config");
        let keys = keys::ensure(&config_dir).unwrap();
        let vm = subject.start().await;
        let limit = Duration::from_secs(10);
        let reached = tokio::time::timeout(limit, reach::banner(vm.ssh_address(), &reach::Patience::default())).await;
        let session = Session::over(reached.unwrap(), "anybody", &keys, limit).await.unwrap();
        let (a, b) = tokio::join!(
            session.run("hostname", b"", limit),
            session.run("/bin/bash", b"#!/bin/bash\necho from a script\nexit 3\n", limit)
        );
        assert_eq!(a.unwrap().stdout_text(), "lima-demo");
        let b = b.unwrap();
        assert_eq!((b.stdout_text().as_str(), b.success()), ("from a script", false));
        session.close().await;

        let other = keys::ensure(&config_dir.join("other")).unwrap();
        let refused = Session::connect(vm.ssh_address(), "anybody", &other, limit).await.unwrap_err();
        assert!(matches!(refused, rdd_link::LinkError::Refused { .. }), "{refused}");
        finish(&*vm).await;
    }

    #[tokio::test]
    async fn the_file_wins_and_is_read_at_each_start() {
        let subject = with(&[("fakeFailStart", "from the template")]);
        std::fs::write(subject.config.dir.join("fake.json"), r#"{"failStart": "from the file"}"#).unwrap();
        let error = subject.driver.start(&subject.config, &subject.options()).await.err().unwrap();
        assert!(error.to_string().contains("from the file"), "{error}");
    }
}
