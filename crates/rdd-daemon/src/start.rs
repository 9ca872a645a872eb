//! `svc start`: the service runs in the background, and is ready.
//!
//! The child takes the instance's lock, so of two starts at once one wins; the other finds the
//! winner and waits for it instead. How far the child is, and why it failed, comes through the
//! readiness pipe; that it died shows by the pipe's end.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rdd_host::environment;
use rdd_host::instance::Instance;
use rdd_host::process::{Child, Spawn};
use rdd_host::ready::{self, Message, ReadyWatcher};

use crate::board::STOPPING;
use crate::create::{CreateError, create_default};
use crate::deadline::{Deadline, DeadlineExceeded};
use crate::peer::{self, Peer, PeerError};
use crate::settings::{self, CheckArguments, SettingsError};

/// How long a service that has given up may take to end.
const LEAVING: Duration = Duration::from_secs(5);

/// How to run ourselves as the service.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// Our program.
    pub program: PathBuf,
    /// The service's verbosity.
    pub verbosity: u8,
    /// Reads the service's arguments before it does.
    pub check: CheckArguments,
    /// What a service of this program reports as its version.
    pub version: String,
}

impl Launcher {
    /// Tells people when the service that runs is not the one that we would start: after an upgrade, most likely.
    pub(crate) fn compare(&self, instance: &Instance, running: Option<&str>) {
        if running != Some(&self.version) {
            let (name, ours, theirs) = (instance.name(), &self.version, running.unwrap_or("an unknown version"));
            tracing::warn!(
                "{name:?} control plane that runs is {theirs}, this program is {ours}; \
                 to run this one: rdd svc stop && rdd svc start"
            );
        }
    }
}

/// How to start.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// Whether to wait until the service is ready.
    pub wait: bool,
    /// Until when.
    pub deadline: Deadline,
    /// Which controllers to run, this time.
    pub controllers: Option<String>,
    /// The API's preferred port, this time.
    pub secure_port: Option<u16>,
    /// Other arguments for the service.
    pub arguments: Vec<String>,
}

impl StartOptions {
    /// Waits until the service is ready, with nothing but its saved settings.
    pub fn until(deadline: Deadline) -> Self {
        Self { wait: true, deadline, controllers: None, secure_port: None, arguments: Vec::new() }
    }
}

/// Why the service is not ready.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The instance could not be created.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// Its settings could not be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The arguments given for this start are wrong.
    #[error("{name:?} control plane refuses the arguments: {reason}")]
    Arguments {
        /// The instance.
        name: String,
        /// What the service says.
        reason: String,
    },
    /// A running service could not be asked.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The child could not be started.
    #[error("cannot start {program}")]
    Spawn {
        /// Our program.
        program: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The child said why it gave up.
    #[error("{name:?} control plane failed to start: {reason}")]
    Failed {
        /// The instance.
        name: String,
        /// What it said.
        reason: String,
    },
    /// The child ended without a word.
    #[error("{name:?} control plane exited while starting ({how}); see {log}")]
    Exited {
        /// The instance.
        name: String,
        /// Its exit status.
        how: String,
        /// Where it may have written more.
        log: PathBuf,
    },
    /// Somebody else stopped the child.
    #[error("{name:?} control plane was stopped while starting")]
    Stopped {
        /// The instance.
        name: String,
    },
    /// It takes too long.
    #[error("timed out waiting for {name:?} control plane to be ready")]
    Deadline {
        /// The instance.
        name: String,
        /// The cause.
        #[source]
        source: DeadlineExceeded,
    },
}

/// Starts the service, unless it runs, and waits until it is ready, if asked to.
pub async fn start(instance: &Instance, launcher: &Launcher, options: &StartOptions) -> Result<(), StartError> {
    create_default(instance, &options.arguments, launcher.check)?;
    let work = start_and_wait(instance, launcher, options);
    options.deadline.limit(work).await.unwrap_or_else(|source| {
        // The service is left alone: it may just be slow.
        Err(StartError::Deadline { name: instance.name().to_owned(), source })
    })
}

async fn start_and_wait(instance: &Instance, launcher: &Launcher, options: &StartOptions) -> Result<(), StartError> {
    let name = instance.name();
    let mut announced = false;
    loop {
        let Some(peer) = peer::find(instance).await? else {
            if !announced {
                tracing::info!("starting {name:?} control plane");
                announced = true;
            }
            match launch(instance, launcher, options).await? {
                Outcome::AsAsked => break,
                // Somebody else was quicker than our child, or has just gone.
                Outcome::Overtaken => continue,
            }
        };
        if !announced {
            tracing::info!("{name:?} control plane is already running");
            announced = true;
            if options.wait {
                tracing::info!("waiting for {name:?} control plane to be ready");
            }
        }
        if !options.wait {
            break;
        }
        if let Some(version) = follow(peer).await? {
            launcher.compare(instance, version.as_deref());
            break;
        }
        // It was on its way out and is gone now.
    }
    if options.wait {
        tracing::info!("{name:?} control plane is ready");
    } else {
        tracing::debug!("not waiting for {name:?} control plane to be ready");
    }
    Ok(())
}

enum Outcome {
    /// The child is ready, or has begun if that is all that was asked.
    AsAsked,
    /// Another service runs, or ran, instead of our child.
    Overtaken,
}

/// Starts a child and listens to it.
async fn launch(instance: &Instance, launcher: &Launcher, options: &StartOptions) -> Result<Outcome, StartError> {
    let name = instance.name();
    let (child, mut watcher) = spawn(instance, launcher, options)?;
    let mut progress = Progress::default();
    let mut is_stopped = false;
    loop {
        // A pipe that cannot be read tells as little as one that has ended.
        match watcher.next().await.unwrap_or_default() {
            Some(Message::Ready(_)) => return Ok(Outcome::AsAsked),
            Some(Message::Phase(phase)) if phase == STOPPING => is_stopped = true,
            Some(Message::Phase(_)) if !options.wait => {
                // It holds the lock by now: whoever looks sees that it runs.
                tracing::info!("{name:?} control plane is starting");
                return Ok(Outcome::AsAsked);
            }
            Some(Message::Phase(phase)) => progress.show(&phase),
            Some(Message::Version(_)) => {}
            Some(Message::Error(reason)) => {
                // It is on its way out; who tries again at once should not meet it any more.
                let _ = tokio::time::timeout(LEAVING, child.wait()).await;
                return Err(StartError::Failed { name: name.to_owned(), reason });
            }
            Some(Message::Held) => {
                // Whether who was quicker is still there, the next look tells.
                let _ = tokio::time::timeout(LEAVING, child.wait()).await;
                return Ok(Outcome::Overtaken);
            }
            None if is_stopped => return Err(StartError::Stopped { name: name.to_owned() }),
            None => {
                let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
                let log = instance.paths().stderr_log();
                return Err(StartError::Exited { name: name.to_owned(), how: status, log });
            }
        }
    }
}

fn spawn(
    instance: &Instance,
    launcher: &Launcher,
    options: &StartOptions,
) -> Result<(Child, ReadyWatcher), StartError> {
    let mut args = settings::read_checked(instance, launcher.check)?;
    // The service takes the last of several, so what is asked now beats what was saved.
    if let Some(controllers) = &options.controllers {
        args.extend(["--controllers".to_owned(), controllers.clone()]);
    }
    if let Some(port) = options.secure_port {
        args.extend(["--secure-port".to_owned(), port.to_string()]);
    }
    args.extend(["-v".to_owned(), launcher.verbosity.to_string()]);
    args.extend_from_slice(&options.arguments);
    (launcher.check)(&args).map_err(|reason| StartError::Arguments { name: instance.name().to_owned(), reason })?;

    let failed = |source| StartError::Spawn { program: launcher.program.clone(), source };
    let (watcher, childs_end) = ready::channel().map_err(failed)?;
    let mut spawn = Spawn::new(&launcher.program)
        .args(["service", "serve"])
        .args(args)
        .env(environment::INSTANCE, instance.suffix());
    if instance.log_dir_is_given() {
        // It may be relative, and the child has another working directory.
        let log_dir = std::path::absolute(&instance.paths().log_dir).map_err(failed)?;
        spawn = spawn.env(environment::LOG_DIR, log_dir);
    }
    spawn.cwd = Some(instance.paths().dir.clone());
    let spawn = ready::pass_to_child(spawn.in_own_session(), childs_end);
    Ok((spawn.spawn().map_err(failed)?, watcher))
}

/// Listens to a service that ran already. Returns, when it is ready, its version, if it told; `None` when it has gone.
async fn follow(mut peer: Peer) -> Result<Option<Option<String>>, StartError> {
    let mut progress = Progress::default();
    loop {
        match peer.next().await? {
            Some(Message::Ready(true)) => return Ok(Some(peer.version().map(str::to_owned))),
            Some(Message::Phase(phase)) if phase != STOPPING => progress.show(&phase),
            Some(_) => {}
            None => {
                peer.gone().await?;
                return Ok(None);
            }
        }
    }
}

/// Shows each phase once.
#[derive(Default)]
struct Progress(Vec<String>);

impl Progress {
    fn show(&mut self, phase: &str) {
        if !self.0.iter().any(|shown| shown == phase) {
            tracing::info!("waiting for {phase}");
            self.0.push(phase.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rdd_host::instance::Os;

    use super::*;

    #[tokio::test]
    async fn a_start_that_lost_against_one_that_has_gone_starts_again() {
        let home = tempfile::tempdir().expect("a directory");
        let instance = Instance::new("t", home.path(), Os::current(), None).expect("a good name");
        let program = home.path().join("service");
        // Its first life finds the lock held, by one who has gone before anybody looks.
        let script = "#!/bin/sh\n\
                      test -e again && said='{\"ready\":true}' || said='\"held\"'\n\
                      touch again\n\
                      echo \"$said\" > /proc/self/fd/$RDD_READY_FD\n";
        std::fs::write(&program, script).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("set");
        let launcher = Launcher { program, verbosity: 0, check: |_| Ok(()), version: String::new() };
        let options = StartOptions::until(Deadline::after(Duration::from_secs(20)));
        start(&instance, &launcher, &options).await.expect("started");
        assert!(instance.paths().dir.join("again").exists());
    }
}
