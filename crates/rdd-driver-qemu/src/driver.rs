//! The driver itself: looks things up, starts QEMU, finds it again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rdd_host::lock::{self, FileLock, LockError};
use rdd_host::process::{Child, Handle, Listener, Spawn};
use rdd_machine::config::{Arch, MachineConfig};
use rdd_machine::driver::{ConfigProblem, Driver, DriverError, StartOptions, Vm};
use rdd_machine_dir::MachineDir;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::accelerator::{self, Accelerator};
use crate::command_line::{self, Files, KernelFiles, Outlets, Plan};
use crate::disk::{self, file_error};
use crate::output::Output;
use crate::program::Settings;
use crate::qmp::{Qmp, QmpError};
use crate::vm::{Process, QemuVm, control};
use crate::{firmware, probe};

/// QEMU opens its control socket within a fraction of a second; a loaded host needs longer.
const START_LIMIT: Duration = Duration::from_secs(30);
/// A VM that is alive has its control socket open, or is about to.
const ATTACH_LIMIT: Duration = Duration::from_secs(5);
/// How long the end of a process may last that has let go of its lock.
const LAST_BREATH: Duration = Duration::from_millis(500);
/// The SSH port of a VM that does not answer.
const UNKNOWN_PORT: u16 = 0;
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// The driver for QEMU.
#[derive(Clone, Debug)]
pub struct QemuDriver {
    settings: Settings,
}

impl QemuDriver {
    /// Returns a driver.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Asks QEMU what it is and can, refuses one that is too old for the machine, and chooses.
    async fn choose_accelerator(&self, config: &MachineConfig, program: &Path) -> Result<Accelerator, DriverError> {
        let memory = lima_home(config).join("_config").join("driver-qemu.json");
        let abilities = probe::abilities(program, &memory).await?;
        if let Some(minimum @ (major, minor, patch)) = config.qemu_minimum_version
            && !abilities.is_at_least(minimum)
        {
            let needed = format!("the template needs {major}.{minor}.{patch} (`vmOpts.qemu.minimumVersion`)");
            let reason = format!("its version is {}, but {needed}", abilities.version);
            return Err(DriverError::NotUsable { program: program.display().to_string(), reason });
        }
        let hardware = accelerator::detect();
        let built_in = abilities.accelerators();
        let choice = accelerator::choose(self.settings.accelerator, config.arch, Arch::native(), &hardware, &built_in);
        let (version, accelerator) = (&abilities.version, choice.accelerator.as_str());
        match &choice.reason {
            Some(reason) => tracing::warn!(version, accelerator, reason, "QEMU translates in software, which is slow"),
            None => tracing::info!(version, accelerator, "QEMU"),
        }
        Ok(choice.accelerator)
    }

    /// Spawns QEMU and returns when its control socket answers.
    async fn launch(&self, config: &MachineConfig, options: &StartOptions) -> Result<QemuVm, DriverError> {
        let dir = machine_dir(config);
        let program = self.settings.program(config.arch)?;
        let vm_lock = FileLock::try_acquire(&dir.driver_lock()).map_err(|error| match error {
            LockError::Held { .. } => DriverError::AlreadyRunning(config.name.to_string()),
            LockError::Io { path, source } => DriverError::File { operation: "lock", path, source },
        })?;
        // Somebody may have removed the lock's file. A VM that lives has the disks open, and its socket is
        // the only way to it.
        if listener(&dir.qmp_sock())?.stays(LAST_BREATH).await {
            return Err(DriverError::AlreadyRunning(config.name.to_string()));
        }
        let accelerator = self.choose_accelerator(config, &program.path).await?;
        let mut disks = Vec::new();
        for (index, disk) in config.additional_disks.iter().enumerate() {
            disks.push(disk::reserve(config, index, disk)?);
        }
        let mut files = machine_files(config, &dir)?;
        files.additional = disks.iter().map(|disk| disk.file.clone()).collect();
        if firmware::is_needed(config, files.kernel.is_some()) {
            files.firmware = Some(firmware::find(config, &program.path, self.settings.home.as_deref())?);
        }
        let leftovers = leftovers(&dir);
        for path in &leftovers {
            rdd_host::files::remove_file(path).map_err(|source| file_error("remove", path, source))?;
        }
        for mount in &config.mounts {
            if config.mount_type == "9p" && !config.plain {
                std::fs::create_dir_all(&mount.location).map_err(|e| file_error("create", &mount.location, e))?;
            }
        }
        let plan = Plan {
            config,
            files,
            outlets: outlets(&dir),
            accelerator,
            seed: options.seed.clone(),
            ssh_port: options.ssh_port,
        };
        let mut arguments: Vec<OsString> = program.leading.iter().map(OsString::from).collect();
        arguments.extend(command_line::arguments(&plan));
        tracing::debug!(program = %program.path.display(), ?arguments, "starting QEMU");

        let output_file = output_file(&dir);
        let opened = Output::begin(&output_file);
        let (mut output, stdout, stderr) = opened.map_err(|source| file_error("create", &output_file, source))?;
        let mut spawn = Spawn::new(&program.path).args(&arguments).in_own_session();
        spawn.cwd = Some(config.dir.clone());
        (spawn.stdout, spawn.stderr) = (Some(stdout), Some(stderr));
        for lock in std::iter::once(&vm_lock).chain(disks.iter().map(|disk| &disk.lock)) {
            let file = lock.try_clone_file().map_err(|source| file_error("inherit", lock.path(), source))?;
            spawn = spawn.inherit(file);
        }
        let child = spawn.spawn().map_err(|error| DriverError::NotUsable {
            program: program.path.display().to_string(),
            reason: error.to_string(),
        })?;
        // From here on the VM process alone holds the locks: they tell whether it is alive.
        drop((vm_lock, disks));

        let qmp = match connect_to_child(&child, &dir.qmp_sock()).await {
            Ok(qmp) => qmp,
            Err(Failure::Ended(status)) => return Err(early_end(&program.path, &status, &output, options.ssh_port)),
            Err(Failure::Unreachable(error)) => {
                // It runs but cannot be controlled; it is ours, and nobody has been told of it.
                let _ = child.kill();
                let _ = child.wait().await;
                return Err(error);
            }
        };
        output.log_news();
        Ok(QemuVm::new(Process::Child(child), qmp, options.ssh_port, output, leftovers))
    }
}

#[async_trait]
impl Driver for QemuDriver {
    fn vm_type(&self) -> &'static str {
        "qemu"
    }

    fn check(&self, config: &MachineConfig) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let has_mounts = !config.mounts.is_empty() && !config.plain;
        if has_mounts && config.mount_type != "9p" {
            problems.push(ConfigProblem {
                field: "mountType".into(),
                message: format!("{:?} is not supported by this driver yet; use \"9p\"", config.mount_type),
            });
        }
        problems
    }

    fn is_alive(&self, config: &MachineConfig) -> Result<bool, DriverError> {
        let dir = machine_dir(config);
        Ok(is_locked(&dir)? || !matches!(listener(&dir.qmp_sock())?, Listener::Nobody))
    }

    async fn start(&self, config: &MachineConfig, options: &StartOptions) -> Result<Box<dyn Vm>, DriverError> {
        Ok(Box::new(self.launch(config, options).await?))
    }

    async fn attach(&self, config: &MachineConfig) -> Result<Option<Box<dyn Vm>>, DriverError> {
        let dir = machine_dir(config);
        let deadline = Instant::now() + ATTACH_LIMIT;
        let mut listening = None;
        loop {
            if !is_locked(&dir)? {
                match listener(&dir.qmp_sock())? {
                    Listener::Nobody => return Ok(None),
                    Listener::Process(process) => listening = Some(process),
                    Listener::Unknown => {}
                }
            }
            match Qmp::connect(&dir.qmp_sock(), deadline.saturating_duration_since(Instant::now())).await {
                Ok((qmp, process)) => {
                    let ssh_port = forwarded_port(&qmp).await?;
                    let output = Output::resume(&output_file(&dir));
                    let vm = QemuVm::new(Process::Peer(process), qmp, ssh_port, output, leftovers(&dir));
                    return Ok(Some(Box::new(vm)));
                }
                // Its last hostagent may have died before QEMU had opened its socket.
                Err(QmpError::Connect { .. } | QmpError::Closed) if Instant::now() < deadline => sleep(TRY_AGAIN).await,
                Err(error) => {
                    // QEMU hangs, or serves somebody else, and after a few tries not even a connection
                    // is to be had. Who holds the lock, or without one who listens, can still be found, told
                    // and killed.
                    let path = dir.driver_lock();
                    let holder =
                        Handle::of_lock_holder(&path).map_err(|e| file_error("find the holder of", &path, e))?;
                    let Some(process) = holder.or(listening) else {
                        return if self.is_alive(config)? {
                            Err(control("reach the running VM")(error))
                        } else {
                            Ok(None)
                        };
                    };
                    tracing::warn!(pid = process.pid(), %error, "the VM runs, but its control socket does not answer");
                    let output = Output::resume(&output_file(&dir));
                    let qmp = Qmp::later(&dir.qmp_sock());
                    let vm = QemuVm::new(Process::Peer(process), qmp, UNKNOWN_PORT, output, leftovers(&dir));
                    return Ok(Some(Box::new(vm)));
                }
            }
        }
    }

    async fn release(&self, _config: &MachineConfig) -> Result<(), DriverError> {
        Ok(()) // QEMU keeps nothing outside the machine's directory.
    }
}

fn is_locked(dir: &MachineDir) -> Result<bool, DriverError> {
    let path = dir.driver_lock();
    lock::is_held(&path).map_err(|source| file_error("look at", &path, source))
}

fn listener(socket: &Path) -> Result<Listener, DriverError> {
    Handle::of_listener(socket).map_err(|source| file_error("look at", socket, source))
}

enum Failure {
    Ended(String),
    Unreachable(DriverError),
}

async fn connect_to_child(child: &Child, socket: &Path) -> Result<Qmp, Failure> {
    let connect = async {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            match Qmp::connect(socket, deadline.saturating_duration_since(Instant::now())).await {
                Ok((qmp, process)) if process.pid() == child.pid() => return Ok(qmp),
                Ok((_, process)) => {
                    let reason = format!("it is served by process {}, not by the one just started", process.pid());
                    return Err(DriverError::Control { operation: format!("use {}", socket.display()), reason });
                }
                Err(QmpError::Connect { .. } | QmpError::Closed) if Instant::now() < deadline => sleep(TRY_AGAIN).await,
                Err(error) => return Err(control("connect to qmp.sock")(error)),
            }
        }
    };
    tokio::select! {
        biased;
        status = child.wait() => Err(Failure::Ended(status.map(|s| s.to_string()).unwrap_or_else(|e| e.to_string()))),
        qmp = connect => qmp.map_err(Failure::Unreachable),
    }
}

fn early_end(program: &Path, status: &str, output: &Output, port: u16) -> DriverError {
    let output = output.tail();
    // `Could not set up host forwarding rule 'tcp:127.0.0.1:60022-:22'`, the same from 2.x to 10.x.
    if output.contains("Could not set up host forwarding rule") {
        return DriverError::PortTaken { port };
    }
    DriverError::ExitedEarly { program: program.display().to_string(), status: status.to_owned(), output }
}

/// Asks the VM itself which port leads to its SSH server.
async fn forwarded_port(qmp: &Qmp) -> Result<u16, DriverError> {
    let operation = "ask the running VM for its SSH port";
    let answer = qmp.execute("human-monitor-command", json!({"command-line": "info usernet"})).await;
    let table = answer.map_err(control(operation))?;
    parse_usernet(table.as_str().unwrap_or_default()).ok_or_else(|| DriverError::Control {
        operation: operation.into(),
        reason: format!("no forward to port 22 in {table}"),
    })
}

/// Reads `info usernet`: protocol and state, descriptor, source, source port, destination,
/// destination port, queues.
fn parse_usernet(table: &str) -> Option<u16> {
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["TCP[HOST_FORWARD]", _, "127.0.0.1", port, _, "22", ..] => port.parse().ok(),
            _ => None,
        }
    })
}

fn machine_files(config: &MachineConfig, dir: &MachineDir) -> Result<Files, DriverError> {
    // A link that leads nowhere is there: QEMU then says what it misses, instead of a boot without it.
    let present = |path: PathBuf| path.symlink_metadata().is_ok().then_some(path);
    let disk = match present(dir.disk()) {
        Some(path) => {
            let format = disk::format(&path, &dir.disk_format())?;
            Some(command_line::DiskFile { path, format, serial: String::new() })
        }
        None => None,
    };
    let kernel = match present(dir.kernel()) {
        Some(kernel) => {
            let cmdline = match std::fs::read_to_string(dir.kernel_cmdline()) {
                Ok(text) => text.trim().to_owned(),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
                Err(source) => return Err(file_error("read", &dir.kernel_cmdline(), source)),
            };
            Some(KernelFiles { kernel, cmdline, initrd: present(dir.initrd()) })
        }
        None => None,
    };
    if disk.is_none() && kernel.is_none() {
        let reason =
            format!("machine {:?} has neither disk nor kernel in {}", config.name.as_str(), config.dir.display());
        return Err(DriverError::Other(reason));
    }
    Ok(Files { disk, iso: present(dir.iso()), additional: Vec::new(), kernel, firmware: None })
}

fn outlets(dir: &MachineDir) -> Outlets {
    Outlets {
        qmp: dir.qmp_sock(),
        pid_file: dir.driver_pid("qemu"),
        serial: (dir.serial_sock(), dir.serial_log()),
        serial_pci: (dir.serialp_sock(), dir.serialp_log()),
        serial_virtio: (dir.serialv_sock(), dir.serialv_log()),
    }
}

/// What a QEMU that was killed leaves behind, and what would be in the way of the next one.
fn leftovers(dir: &MachineDir) -> Vec<PathBuf> {
    vec![dir.qmp_sock(), dir.serial_sock(), dir.serialp_sock(), dir.serialv_sock(), dir.driver_pid("qemu")]
}

fn output_file(dir: &MachineDir) -> PathBuf {
    dir.file("driver.stderr.log")
}

fn machine_dir(config: &MachineConfig) -> MachineDir {
    MachineDir::new(lima_home(config), &config.name)
}

fn lima_home(config: &MachineConfig) -> &Path {
    config.dir.parent().unwrap_or(&config.dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdd_machine::MachineName;
    use rdd_machine::config::{Mount, NineP};
    use tokio::time::timeout;

    #[test]
    fn the_ssh_forward_is_found() {
        let table = "\
Hub 0 (net0):\r
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r
  TCP[ESTABLISHED]   14      127.0.0.1 60022   192.168.5.15    22     0     0\r
  TCP[HOST_FORWARD]  13      127.0.0.1  8080   192.168.5.15    80     0     0\r
  TCP[HOST_FORWARD]  12      127.0.0.1 60022   192.168.5.15    22     0     0\r
";
        assert_eq!(parse_usernet(table), Some(60022));
        assert_eq!(parse_usernet(""), None);
    }

    #[tokio::test]
    async fn a_missing_qemu_is_named_with_its_package() {
        let home = tempfile::tempdir().unwrap();
        let mut config = MachineConfig::new(MachineName::new("demo").unwrap(), home.path().join("demo"), "qemu");
        config.arch = Arch::X86_64;
        std::fs::create_dir(&config.dir).unwrap();
        let driver = QemuDriver::new(Settings { path: vec![home.path().to_owned()], ..Settings::default() });
        let options = StartOptions { seed: config.dir.join("cidata.iso"), ssh_port: 1 };
        let error = driver.start(&config, &options).await.err().unwrap();
        assert!(matches!(error, DriverError::NotUsable { .. }));
        let text = error.to_string();
        assert!(text.contains("qemu-system-x86_64") && text.contains("qemu-system-x86 (Debian"), "{text}");
        assert!(!driver.is_alive(&config).unwrap());
    }

    /// A program that answers as QEMU does and then fails to start, with these words.
    #[cfg(unix)]
    async fn start_with_a_qemu_that_says(words: &str, change: impl FnOnce(&mut MachineConfig)) -> DriverError {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("qemu-system-x86_64");
        let script = format!(
            "#!/bin/sh\ncase $1 in\n--version) echo 'QEMU emulator version 10.0.2 (Debian)';;\n\
             -M) printf 'Accelerators supported in QEMU binary:\\ntcg\\nkvm\\n';;\n\
             *) echo \"{words}\" >&2; exit 1;;\nesac\n"
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut config = MachineConfig::new(MachineName::new("demo").unwrap(), home.path().join("demo"), "qemu");
        config.arch = Arch::X86_64;
        config.legacy_bios = true;
        change(&mut config);
        std::fs::create_dir(&config.dir).unwrap();
        std::fs::write(config.dir.join("disk"), "").unwrap();
        let driver = QemuDriver::new(Settings { path: vec![home.path().to_owned()], ..Settings::default() });
        let options = StartOptions { seed: config.dir.join("cidata.iso"), ssh_port: 60022 };
        let error = driver.start(&config, &options).await.err().unwrap();
        // A child that another test starts has a copy of our lock until it runs its program.
        let off = async {
            while driver.is_alive(&config).unwrap() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), off).await.expect("nothing runs");
        error
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn an_early_end_says_why() {
        let error =
            start_with_a_qemu_that_says("qemu: -cpu nonsense: unable to find CPU model 'nonsense'", |_| {}).await;
        assert!(matches!(error, DriverError::ExitedEarly { .. }), "{error}");
        assert!(error.to_string().contains("unable to find CPU model"), "{error}");
        let words = "qemu: -netdev user: Could not set up host forwarding rule 'tcp:127.0.0.1:60022-:22'";
        let error = start_with_a_qemu_that_says(words, |_| {}).await;
        assert!(matches!(error, DriverError::PortTaken { port: 60022 }), "{error}");
    }

    /// It says that it is 10.0.2.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_qemu_that_is_too_old_for_the_template_is_not_started() {
        let with = |version| {
            start_with_a_qemu_that_says("started", move |c: &mut MachineConfig| c.qemu_minimum_version = Some(version))
        };
        for enough in [(10, 0, 2), (9, 99, 99)] {
            let error = with(enough).await;
            assert!(matches!(error, DriverError::ExitedEarly { .. }), "{error}");
        }
        let error = with((10, 0, 3)).await;
        assert!(matches!(error, DriverError::NotUsable { .. }), "{error}");
        let words = "its version is 10.0.2, but the template needs 10.0.3 (`vmOpts.qemu.minimumVersion`)";
        assert!(error.to_string().ends_with(words), "{error}");
    }

    #[test]
    fn mounts_need_9p() {
        let mut config = MachineConfig::new(MachineName::new("demo").unwrap(), "/lima/demo".into(), "qemu");
        let driver = QemuDriver::new(Settings::default());
        assert_eq!(driver.check(&config), []);
        config.mounts.push(Mount {
            location: "/home".into(),
            mount_point: "/home".into(),
            writable: false,
            tag: "lima-1".into(),
            nine_p: NineP::default(),
        });
        assert_eq!(driver.check(&config)[0].field, "mountType");
        config.mount_type = "9p".into();
        assert_eq!(driver.check(&config), []);
    }
}
