//! The driver itself: starts the process, finds it again.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rdd_host::lock::{self, FileLock, LockError};
use rdd_host::process::{Handle, Listener, Spawn};
use rdd_machine::config::MachineConfig;
use rdd_machine::driver::{ConfigProblem, Driver, DriverError, StartOptions, Vm};
use rdd_machine_dir::MachineDir;
use tokio::time::{Instant, sleep};

use crate::control::{SOCKET, VM_TYPE, port_taken_words};
use crate::process::Arguments;
use crate::scenario::{Scenario, ScenarioError};
use crate::vm::{Control, FakeVm, Process};

const START_LIMIT: Duration = Duration::from_secs(30);
const ATTACH_LIMIT: Duration = Duration::from_secs(2);
/// How long the end of a process may last that has let go of its lock.
const LAST_BREATH: Duration = Duration::from_millis(500);
const TRY_AGAIN: Duration = Duration::from_millis(2);

/// The driver without hypervisor.
#[derive(Clone, Debug)]
pub struct FakeDriver {
    command: Vec<OsString>,
}

impl FakeDriver {
    /// Returns a driver whose VMs are processes of `command`, which must run [`crate::process::main`]
    /// with the words that are added, as in `rdd fake-vm`.
    pub fn new(command: Vec<OsString>) -> Self {
        Self { command }
    }
}

#[async_trait]
impl Driver for FakeDriver {
    fn vm_type(&self) -> &'static str {
        VM_TYPE
    }

    fn check(&self, config: &MachineConfig) -> Vec<ConfigProblem> {
        match Scenario::of(&config.param, &config.dir) {
            Ok(_) => Vec::new(),
            Err(ScenarioError::Invalid { field, message }) => vec![ConfigProblem { field, message }],
        }
    }

    fn is_alive(&self, config: &MachineConfig) -> Result<bool, DriverError> {
        let dir = machine_dir(config);
        Ok(is_locked(&dir)? || !matches!(listener(&dir.file(SOCKET))?, Listener::Nobody))
    }

    async fn start(&self, config: &MachineConfig, options: &StartOptions) -> Result<Box<dyn Vm>, DriverError> {
        let dir = machine_dir(config);
        let scenario = Scenario::of(&config.param, &config.dir).map_err(|e| DriverError::Other(e.to_string()))?;
        let vm_lock = FileLock::try_acquire(&dir.driver_lock()).map_err(|error| match error {
            LockError::Held { .. } => DriverError::AlreadyRunning(config.name.to_string()),
            LockError::Io { path, source } => DriverError::File { operation: "lock", path, source },
        })?;
        // Somebody may have removed the lock's file, and then its socket is the only way to a VM that lives.
        if listener(&dir.file(SOCKET))?.stays(LAST_BREATH).await {
            return Err(DriverError::AlreadyRunning(config.name.to_string()));
        }
        for path in leftovers(&dir) {
            let removed = rdd_host::files::remove_file(&path);
            removed.map_err(|source| DriverError::File { operation: "remove", path, source })?;
        }
        let arguments = Arguments {
            dir: config.dir.clone(),
            name: config.name.to_string(),
            ssh_port: options.ssh_port,
            seed: options.seed.clone(),
            scenario,
        };
        let (program, leading) = self.command.split_first().ok_or_else(|| DriverError::NotUsable {
            program: "fake-vm".into(),
            reason: "no command was configured".into(),
        })?;
        let output = dir.file("driver.stderr.log");
        let file = |source| DriverError::File { operation: "create", path: output.clone(), source };
        let mut spawn = Spawn::new(program).args(leading).args(arguments.to_words()).in_own_session();
        spawn.stderr = Some(File::create(&output).map_err(file)?);
        spawn = spawn.inherit(vm_lock.try_clone_file().map_err(file)?);
        let child = spawn.spawn().map_err(|error| DriverError::NotUsable {
            program: program.to_string_lossy().into_owned(),
            reason: error.to_string(),
        })?;
        // From here on the VM process alone holds the lock: it tells whether it is alive.
        drop(vm_lock);

        let socket = dir.file(SOCKET);
        let connected = tokio::select! {
            biased;
            status = child.wait() => {
                let output = std::fs::read_to_string(&output).unwrap_or_default().trim().to_owned();
                if output.contains(&port_taken_words(options.ssh_port)) {
                    return Err(DriverError::PortTaken { port: options.ssh_port });
                }
                let status = status.map(|s| s.to_string()).unwrap_or_else(|e| e.to_string());
                return Err(DriverError::ExitedEarly { program: "fake-vm".into(), status, output });
            }
            connected = connect(&socket, START_LIMIT) => connected,
        };
        match connected {
            Ok((control, _, ssh_port)) => {
                Ok(Box::new(FakeVm::new(Process::Child(child), Some(control), ssh_port, leftovers(&dir))))
            }
            Err(error) => {
                // It runs but cannot be controlled; it is ours, and nobody has been told of it.
                let _ = child.kill();
                let _ = child.wait().await;
                Err(unreachable(&error))
            }
        }
    }

    async fn attach(&self, config: &MachineConfig) -> Result<Option<Box<dyn Vm>>, DriverError> {
        let dir = machine_dir(config);
        let deadline = Instant::now() + ATTACH_LIMIT;
        let mut listening = None;
        loop {
            if !is_locked(&dir)? {
                match listener(&dir.file(SOCKET))? {
                    Listener::Nobody => return Ok(None),
                    Listener::Process(process) => listening = Some(process),
                    Listener::Unknown => {}
                }
            }
            match Control::connect(&dir.file(SOCKET), deadline.saturating_duration_since(Instant::now())).await {
                Ok((control, process, ssh_port)) => {
                    let vm = FakeVm::new(Process::Peer(process), Some(control), ssh_port, leftovers(&dir));
                    return Ok(Some(Box::new(vm)));
                }
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut || Instant::now() >= deadline => {
                    // It hangs. Who holds the lock, or without one who listens, can still be told and killed.
                    let path = dir.driver_lock();
                    let holder = Handle::of_lock_holder(&path);
                    let found =
                        holder.map_err(|source| DriverError::File { operation: "find the holder of", path, source })?;
                    let Some(process) = found.or(listening) else {
                        return if self.is_alive(config)? { Err(unreachable(&error)) } else { Ok(None) };
                    };
                    return Ok(Some(Box::new(FakeVm::new(Process::Peer(process), None, 0, leftovers(&dir)))));
                }
                Err(_) => sleep(TRY_AGAIN).await,
            }
        }
    }

    async fn release(&self, _config: &MachineConfig) -> Result<(), DriverError> {
        Ok(())
    }
}

fn is_locked(dir: &MachineDir) -> Result<bool, DriverError> {
    let path = dir.driver_lock();
    lock::is_held(&path).map_err(|source| DriverError::File { operation: "look at", path, source })
}

fn listener(socket: &Path) -> Result<Listener, DriverError> {
    let looked = Handle::of_listener(socket);
    looked.map_err(|source| DriverError::File { operation: "look at", path: socket.to_owned(), source })
}

async fn connect(socket: &Path, limit: Duration) -> std::io::Result<(Control, Handle, u16)> {
    let deadline = Instant::now() + limit;
    loop {
        match Control::connect(socket, deadline.saturating_duration_since(Instant::now())).await {
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => sleep(TRY_AGAIN).await,
            connected => return connected,
        }
    }
}

fn unreachable(error: &std::io::Error) -> DriverError {
    DriverError::Control { operation: format!("connect to {SOCKET}"), reason: error.to_string() }
}

fn leftovers(dir: &MachineDir) -> Vec<PathBuf> {
    vec![dir.file(SOCKET), dir.driver_pid(VM_TYPE)]
}

fn machine_dir(config: &MachineConfig) -> MachineDir {
    MachineDir::new(config.dir.parent().unwrap_or(&config.dir), &config.name)
}
