//! The hostagent's life, from its lock to its last event.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdd_host::lock::{FileLock, LockError};
use rdd_host::logs::chain;
use rdd_host::{files, net, signals::StopSignals};
use rdd_link::session::CommandEnd;
use rdd_link::{KeyPair, Session, control_master};
use rdd_machine::driver::{Driver, DriverError, StartOptions, Vm, VmExit};
use rdd_machine::event::HostagentStatus;
use rdd_machine::{MachineConfig, MachineName};
use rdd_machine_dir::MachineDir;
use rdd_template::HostFacts;
use tokio::net::UnixListener;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::durable;
use crate::events::Events;
use crate::failure::HostagentError;
use crate::inputs;
use crate::orders::{Order, Orders};
use crate::protocol::StopRequest;
use crate::readiness::Readiness;
use crate::server::{self, Shared};
use crate::stop::{self, Rung};
use crate::timing::Timing;

/// Somebody may take a free port before the VM does; so often we try another.
const PORT_TRIES: u32 = 10;
/// How long answers that are on their way may hold up the end.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// What the hostagent is told on its command line and by its environment.
#[derive(Clone, Debug)]
pub struct HostagentArgs {
    /// The machine.
    pub name: MachineName,
    /// The directory of all machines.
    pub lima_home: PathBuf,
    /// Where to write the process id, for people.
    pub pid_file: Option<PathBuf>,
    /// Where to listen.
    pub socket: PathBuf,
    /// Let the guest's boot scripts trace what they do.
    pub debug: bool,
    /// How long things may take.
    pub timing: Timing,
}

/// How a hostagent ended that did what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was told to stop the VM, and had to go this far.
    Stopped(Rung),
    /// The guest powered off by itself.
    PoweredOff(String),
    /// It was told to let go; the VM runs on.
    Released,
}

/// Runs the hostagent of one machine until its VM is off or let go.
///
/// Events go to standard output, the log to `tracing`. Whoever calls this has set the log up.
pub async fn run(args: &HostagentArgs, drivers: &[Arc<dyn Driver>]) -> Result<Ending, HostagentError> {
    let dir = MachineDir::new(&args.lima_home, &args.name);
    let events = Arc::new(Events::new(durable::standard_output()));
    let Held { _lock, mut signals, listener } = match hold(args, &dir) {
        Ok(held) => held,
        Err(error) => {
            let result = Err(error);
            report_end(&events, &result);
            return result;
        }
    };
    let orders = Arc::new(Orders::default());
    let (over, ended) = oneshot::channel::<()>();
    let shared = Shared { events: events.clone(), orders: orders.clone() };
    let mut http = tokio::spawn(server::serve(listener, shared, async { drop(ended.await) }));

    let grace = args.timing.grace;
    let listening = orders.clone();
    let signalled = tokio::spawn(async move {
        // Who asks a second time has no patience left.
        for force in [false, true] {
            let signal = signals.next().await;
            tracing::info!(?signal, force, "asked to stop by a signal");
            listening.stop(&StopRequest { grace, force });
        }
        std::future::pending::<()>().await;
    });

    let telling = events.clone();
    let catching_up = tokio::spawn(async move { telling.catch_up().await });

    let agent = Agent { args, dir: &dir, events: &events, orders: orders.subscribe() };
    let result = agent.live(drivers).await;
    signalled.abort();
    catching_up.abort();
    report_end(&events, &result);

    drop(over);
    if timeout(LAST_ANSWERS, &mut http).await.is_err() {
        http.abort();
    }
    for path in [Some(&args.socket), args.pid_file.as_ref()].into_iter().flatten() {
        let _ = files::remove_file(path);
    }
    result
}

/// What only one hostagent of a machine can have at a time.
struct Held {
    _lock: FileLock,
    signals: StopSignals,
    listener: UnixListener,
}

fn hold(args: &HostagentArgs, dir: &MachineDir) -> Result<Held, HostagentError> {
    let lock = FileLock::try_acquire(&dir.ha_lock()).map_err(|error| match error {
        LockError::Held { .. } => HostagentError::AlreadyRunning(args.name.to_string()),
        LockError::Io { path, source } => HostagentError::File { operation: "lock", path, source },
    })?;
    let signals = StopSignals::new().map_err(HostagentError::Signals)?;
    if let Some(path) = &args.pid_file {
        let pid = format!("{}\n", std::process::id());
        files::write_whole(path, pid.as_bytes(), 0o644).map_err(|e| failed("write", path, e))?;
    }
    match server::bind(&args.socket) {
        Ok(listener) => Ok(Held { _lock: lock, signals, listener }),
        Err(error) => {
            if let Some(path) = &args.pid_file {
                let _ = files::remove_file(path);
            }
            Err(failed("listen on", &args.socket, error))
        }
    }
}

fn report_end(events: &Events, result: &Result<Ending, HostagentError>) {
    let mut last = HostagentStatus { exiting: true, ..HostagentStatus::default() };
    match result {
        Ok(ending) => {
            let words = match ending {
                Ending::Stopped(rung) => rung.description().to_owned(),
                Ending::PoweredOff(reason) => format!("the guest powered off by itself ({reason})"),
                Ending::Released => "let go of the VM, which runs on".to_owned(),
            };
            tracing::info!("{words}");
            last.progress = Some(words);
        }
        Err(error) => last.errors = vec![chain(error)],
    }
    events.update(|status| *status = last);
}

/// One hostagent at work.
struct Agent<'a> {
    args: &'a HostagentArgs,
    dir: &'a MachineDir,
    events: &'a Events,
    orders: watch::Receiver<Order>,
}

/// A VM, and what is known of it.
struct Running {
    vm: Box<dyn Vm>,
    token: Option<String>,
}

impl Agent<'_> {
    async fn live(mut self, drivers: &[Arc<dyn Driver>]) -> Result<Ending, HostagentError> {
        inputs::sweep(self.dir);
        let types: Vec<&str> = drivers.iter().map(|driver| driver.vm_type()).collect();
        let host = HostFacts::detect(&types);
        let config = inputs::config(self.dir, &self.args.name, &host)?;
        let driver = drivers.iter().find(|driver| driver.vm_type() == config.vm_type);
        let driver = driver.ok_or_else(|| HostagentError::NoDriver(config.vm_type.clone()))?;
        let keys = inputs::keys(&self.args.lima_home)?;
        let running = self.start_or_attach(&**driver, &config, &host, &keys).await?;

        let mut early_errors = Vec::new();
        let address = match running.vm.ssh_address() {
            address if address.port() != 0 => address,
            // It hangs and cannot be asked; what the last hostagent wrote down must do.
            address => (address.ip(), inputs::last_port(self.dir).unwrap_or(0)).into(),
        };
        if let Err(error) = inputs::write_ssh_config(self.dir, &config, &host, &keys, address.port()) {
            early_errors.push(chain(&error));
        }
        self.events.update(|status| {
            *status = HostagentStatus { ssh_local_port: address.port(), ..HostagentStatus::default() };
        });

        let events = self.events;
        let progress = |words: &str| events.update(|status| status.progress = Some(words.to_owned()));
        let readiness = Readiness {
            config: &config,
            address,
            keys: &keys,
            token: running.token.as_deref(),
            timing: &self.args.timing,
            progress: &progress,
        };
        let get_ready = async {
            let (mut errors, login) = readiness.wait().await;
            errors.splice(0..0, early_errors);
            for error in &errors {
                tracing::warn!("{error}");
            }
            tracing::info!(degraded = !errors.is_empty(), "the machine is ready");
            events.update(|status| {
                let (degraded, ssh_local_port) = (!errors.is_empty(), address.port());
                *status =
                    HostagentStatus { running: true, degraded, errors, ssh_local_port, ..HostagentStatus::default() };
            });
            if let Some(login) = login {
                login.close().await;
            }
            std::future::pending::<std::convert::Infallible>().await
        };
        let order = tokio::select! {
            biased;
            exit = running.vm.wait() => return self.ended_by_itself(exit).await,
            order = next_order(&mut self.orders) => order,
            never = get_ready => match never {},
        };
        if order == Order::Release {
            return Ok(Ending::Released);
        }
        events.update(|status| status.progress = Some("stopping".into()));
        let told = AtomicBool::new(false);
        let power_off = || Box::pin(power_off_over_ssh(address, &config.user.name, &keys, &told)) as _;
        let (rung, exit) = stop::stop(&*running.vm, &mut self.orders, &self.args.timing, &told, power_off).await;
        tracing::info!(?rung, exit = exit.description, "the VM is off");
        self.clean_up().await;
        Ok(Ending::Stopped(rung))
    }

    async fn start_or_attach(
        &self,
        driver: &dyn Driver,
        config: &MachineConfig,
        host: &HostFacts,
        keys: &KeyPair,
    ) -> Result<Running, HostagentError> {
        if let Some(vm) = driver.attach(config).await? {
            tracing::info!(pid = vm.pid(), "attached to the VM that runs");
            return Ok(Running { vm, token: inputs::boot_token(self.dir) });
        }
        let problems: Vec<String> =
            driver.check(config).into_iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect();
        if !problems.is_empty() {
            return Err(HostagentError::NotSupported(problems.join("\n")));
        }
        let token = inputs::new_boot_token();
        inputs::write_seed(self.dir, config, host, keys, &token, self.args.debug)?;
        let vm = self.start(driver, config).await?;
        tracing::info!(pid = vm.pid(), ssh_port = vm.ssh_address().port(), "started the VM");
        Ok(Running { vm, token: Some(token) })
    }

    /// Starts the VM on the template's port, or on one that is free.
    async fn start(&self, driver: &dyn Driver, config: &MachineConfig) -> Result<Box<dyn Vm>, HostagentError> {
        let wanted = config.ssh.local_port;
        // The port of the last boot, if it can be had: people have it in their tools.
        let mut port = if wanted != 0 { Some(wanted) } else { inputs::last_port(self.dir) };
        for _ in 0..PORT_TRIES {
            let ssh_port = match port.take() {
                Some(port) => port,
                None => net::free_port().map_err(|source| failed("find a free port for", self.dir.path(), source))?,
            };
            let options = StartOptions { seed: self.dir.cidata_iso(), ssh_port };
            match driver.start(config, &options).await {
                Err(DriverError::PortTaken { port }) if wanted != 0 => return Err(HostagentError::PortTaken { port }),
                Err(DriverError::PortTaken { port }) => tracing::info!(port, "the port is taken, trying another"),
                started => return Ok(started?),
            }
        }
        Err(DriverError::Other(format!("no free port for SSH in {PORT_TRIES} tries")).into())
    }

    async fn ended_by_itself(&self, exit: VmExit) -> Result<Ending, HostagentError> {
        self.clean_up().await;
        if exit.orderly {
            Ok(Ending::PoweredOff(exit.description))
        } else {
            Err(HostagentError::VmDied(exit.description))
        }
    }

    /// What is left of a VM that is off.
    async fn clean_up(&self) {
        control_master::end(&self.dir.ssh_sock()).await;
    }
}

async fn next_order(orders: &mut watch::Receiver<Order>) -> Order {
    let order = orders.wait_for(|order| *order != Order::Run).await;
    *order.expect("the orders outlive the machine")
}

/// Tells the guest to power off, and says by `told` that it was told.
async fn power_off_over_ssh(address: SocketAddr, user: &str, keys: &KeyPair, told: &AtomicBool) {
    const LOGIN: Duration = Duration::from_secs(20);
    const COMMAND: Duration = Duration::from_secs(10);
    let session = match Session::connect(address, user, keys, LOGIN).await {
        Ok(session) => session,
        Err(error) => {
            tracing::info!(%error, "cannot ask the guest over SSH");
            return;
        }
    };
    // Before it answers, because it may be off by then.
    told.store(true, Ordering::Relaxed);
    if let Ok(output) = session.run("sudo -n poweroff", b"", COMMAND).await
        && matches!(output.end, CommandEnd::Code(1..))
    {
        tracing::warn!(error = output.stderr_text(), "the guest refuses to power off");
        told.store(false, Ordering::Relaxed);
    }
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> HostagentError {
    HostagentError::File { operation, path: path.to_owned(), source }
}
