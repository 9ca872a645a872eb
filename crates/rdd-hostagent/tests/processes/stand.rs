//! A machine with everything around it, in a temporary directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdd_driver_fake::FakeDriver;
use rdd_driver_qemu::{QemuDriver, Settings};
use rdd_host::lock;
use rdd_host::process::{Child, Handle, Signal, Spawn};
use rdd_hostagent::{Client, HostagentArgs, Timing};
use rdd_machine::event::{HostagentEvent, HostagentStatus};
use rdd_machine::{Driver, MachineName};
use rdd_machine_dir::MachineDir;
use tempfile::TempDir;

pub(crate) const HOSTAGENT_ROLE: &str = "role-hostagent";
pub(crate) const VM_ROLE: &str = "role-vm";
/// Nothing here takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The hostagent's role: `SOCKET PIDFILE NAME`, with `LIMA_HOME` set, and patience in milliseconds.
pub(crate) fn hostagent(words: &[OsString]) -> i32 {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let [socket, pid_file, name, patience] = words else { panic!("four words, not {words:?}") };
    let patience = Duration::from_millis(patience.to_str().unwrap().parse().unwrap());
    let timing = Timing {
        login: patience,
        mark: patience,
        mark_attempt: Duration::from_millis(500),
        probe: patience,
        probe_pause: Duration::from_millis(20),
        grace: Duration::from_secs(10),
        power_down_again: Duration::from_millis(50),
        before_ssh: Duration::from_millis(300),
        ..Timing::default()
    };
    let args = HostagentArgs {
        name: MachineName::new(name.to_str().unwrap()).unwrap(),
        lima_home: std::env::var_os("LIMA_HOME").unwrap().into(),
        pid_file: Some(pid_file.into()),
        socket: socket.into(),
        debug: false,
        timing,
    };
    let command = vec![std::env::current_exe().unwrap().into(), VM_ROLE.into()];
    let qemu = QemuDriver::new(Settings::from_env());
    let drivers: [Arc<dyn Driver>; 2] = [Arc::new(FakeDriver::new(command)), Arc::new(qemu)];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match runtime.block_on(rdd_hostagent::run(&args, &drivers)) {
        Ok(_) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// A machine. Ends what is left of it when a test fails.
pub(crate) struct Stand {
    pub(crate) dir: MachineDir,
    pub(crate) patience: Duration,
    control: &'static str,
    home: TempDir,
    agents: std::cell::RefCell<Vec<Child>>,
}

impl Drop for Stand {
    fn drop(&mut self) {
        for agent in self.agents.get_mut() {
            let _ = agent.kill();
        }
        if let Ok(Some(vm)) = Handle::of_lock_holder(&self.dir.driver_lock()) {
            let _ = vm.kill();
        }
        if std::thread::panicking() {
            for path in [self.dir.ha_stdout_log(), self.dir.ha_stderr_log()] {
                eprintln!("{}:\n{}", path.display(), std::fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
}

impl Stand {
    /// Makes a machine whose simulated VM does what `param` says.
    pub(crate) fn new(param: &[(&str, &str)]) -> Self {
        Self::with_template("", param)
    }

    /// Makes a machine with more lines in its template.
    pub(crate) fn with_template(more: &str, param: &[(&str, &str)]) -> Self {
        let mut text = format!("vmType: fake\n{more}");
        if !param.is_empty() {
            text.push_str("param:\n");
            for (name, value) in param {
                text.push_str(&format!("  {name}: {value:?}\n"));
            }
        }
        Self::of(&text, "fake.sock")
    }

    /// Makes a machine from a template, whose VM has its control socket at `control`.
    pub(crate) fn of(template: &str, control: &'static str) -> Self {
        let home = tempfile::Builder::new().prefix("rdd").tempdir().unwrap();
        let dir = MachineDir::new(home.path(), &MachineName::new("demo").unwrap());
        std::fs::create_dir(dir.path()).unwrap();
        let mut text = String::from("images: [{location: /nonexistent/disk, arch: x86_64}]\n");
        text.push_str("containerd: {system: false, user: false}\n");
        text.push_str(template);
        std::fs::write(dir.lima_yaml(), text).unwrap();
        Self { dir, patience: PATIENCE, control, home, agents: Vec::new().into() }
    }

    /// Starts a hostagent as the engine does.
    pub(crate) fn agent(&self) -> Agent<'_> {
        let begin = std::fs::read(self.dir.ha_stdout_log()).unwrap_or_default().len();
        let log = |path: PathBuf| File::options().append(true).create(true).open(path).unwrap();
        let mut spawn = Spawn::new(std::env::current_exe().unwrap())
            .arg(HOSTAGENT_ROLE)
            .args([self.dir.ha_sock().as_os_str(), self.dir.ha_pid().as_os_str(), OsStr::new("demo")])
            .arg(self.patience.as_millis().to_string())
            .env("LIMA_HOME", self.home.path())
            .in_own_session();
        (spawn.stdout, spawn.stderr) = (Some(log(self.dir.ha_stdout_log())), Some(log(self.dir.ha_stderr_log())));
        let child = spawn.spawn().unwrap();
        self.agents.borrow_mut().push(child.clone());
        Agent { child, stand: self, begin }
    }

    /// Returns whether the VM process lives.
    pub(crate) fn vm_is_alive(&self) -> bool {
        lock::is_held(&self.dir.driver_lock()).unwrap()
    }

    /// Returns the VM process.
    pub(crate) fn vm(&self) -> Option<Handle> {
        Handle::of_lock_holder(&self.dir.driver_lock()).unwrap()
    }

    /// Nothing of the machine runs, and nothing that tells of running is left.
    pub(crate) fn check_nothing_is_left(&self) {
        assert!(!self.vm_is_alive());
        assert!(!lock::is_held(&self.dir.ha_lock()).unwrap());
        let pids = [self.dir.ha_pid(), self.dir.driver_pid("fake"), self.dir.driver_pid("qemu")];
        for path in pids.into_iter().chain([self.dir.ha_sock(), self.dir.file(self.control)]) {
            assert!(!path.exists(), "{} is left", path.display());
        }
    }
}

/// A hostagent that was started.
pub(crate) struct Agent<'a> {
    pub(crate) child: Child,
    stand: &'a Stand,
    begin: usize,
}

impl Agent<'_> {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.stand.dir.ha_sock())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal).unwrap();
    }

    /// Returns what it has reported so far.
    pub(crate) fn events(&self) -> Vec<HostagentEvent> {
        let bytes = std::fs::read(self.stand.dir.ha_stdout_log()).unwrap();
        let text = String::from_utf8(bytes[self.begin..].to_vec()).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until it reports such a status.
    pub(crate) async fn reports(&self, what: &str, is_it: impl Fn(&HostagentStatus) -> bool) -> HostagentStatus {
        let deadline = Instant::now() + self.stand.patience.max(PATIENCE);
        loop {
            let events = self.events();
            if let Some(event) = events.iter().find(|event| is_it(&event.status)) {
                return event.status.clone();
            }
            assert!(self.child.exit_status().is_none(), "it ended before it was {what}: {events:?}");
            assert!(Instant::now() < deadline, "it never was {what}: {events:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn runs(&self) -> HostagentStatus {
        self.reports("running", |status| status.running).await
    }

    pub(crate) async fn vm_started(&self) -> HostagentStatus {
        self.reports("started", |status| status.ssh_local_port != 0).await
    }

    /// Waits for its end, and returns its exit status and its last event.
    pub(crate) async fn ends(&self) -> (Option<i32>, HostagentStatus) {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.expect("the hostagent ends").unwrap();
        let last = self.events().pop().map(|event| event.status).unwrap_or_default();
        (status.code(), last)
    }
}

/// Runs a test's future.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
