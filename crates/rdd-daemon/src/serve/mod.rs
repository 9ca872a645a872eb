//! `svc serve`: the control plane, in the foreground, from its first lock to its last file.
//!
//! ```text
//!  lock ── board, logs, pid file ── plane (store, API, controllers) ── ready
//!    │                                 │                                │ signal, or a failure
//!    └─────── released last ◄── files removed ◄── plane stopped ◄───────┘
//! ```
//!
//! - *lock → board*: nothing else is touched before the instance is ours; another service that has
//!   it makes us fail without a trace.
//! - *plane → ready*: ready is said last, when every client would find everything in its place.
//! - *signal*: the first, or a request on the control socket, stops in phases, with the API alive as
//!   long as somebody needs it; a signal after that ends the process at once. VMs survive that, and
//!   the next service takes them over.

mod discovery;
mod kubeconfig;
mod machines;
mod plane;
mod residence;

use std::io;
use std::time::Duration;

use rdd_host::instance::Instance;
use rdd_host::logs::chain;
use rdd_host::process::{self, Signal};
use rdd_host::ready::{Message, ReadyReporter};
use rdd_host::signals::StopSignals;

pub use machines::{MachineOptions, MachinesError};
pub use plane::PlaneError;
pub use residence::ResidenceError;

use crate::board::{Board, STOPPING};
use crate::settings;
use plane::Plane;
use residence::Residence;

/// How long after it is ready a service is still busy with its start: controllers look at everything once.
const SETTLING: Duration = Duration::from_secs(1);

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The API's preferred port, if not the usual one.
    pub secure_port: Option<u16>,
    /// Which controllers to run.
    pub controllers: String,
    /// What `/version` and the control socket report.
    pub git_version: String,
    /// What is known of machines.
    pub machines: MachineOptions,
}

/// Why the service ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It could not move in.
    #[error(transparent)]
    Residence(#[from] ResidenceError),
    /// Signals cannot be heard.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// The control plane could not be built, or broke.
    #[error(transparent)]
    Plane(#[from] PlaneError),
}

/// Runs the control plane until it is asked to stop.
pub async fn serve(instance: &Instance, options: &ServeOptions) -> Result<(), ServeError> {
    let parent = ReadyReporter::from_env();
    // Before the lock: who finds it held may signal us at once, and must be heard.
    let mut signals = match StopSignals::new() {
        Ok(signals) => signals,
        Err(source) => {
            let error = ServeError::Signals(source);
            parent.report(&Message::Error(chain(&error)));
            return Err(error);
        }
    };
    let first = Message::Phase(plane::API_SERVER.to_owned());
    let residence = match Residence::take(instance, parent, &options.git_version, first) {
        Ok(residence) => residence,
        Err(taken) => {
            taken.tell(match &taken.error {
                ResidenceError::AlreadyRunning { .. } => Message::Held,
                error => Message::Error(chain(error)),
            });
            return Err(taken.error.into());
        }
    };
    tracing::info!(pid = std::process::id(), "{:?} control plane is starting", instance.name());
    // Each client, and each watch of an HTTP/1.1 client, is an open file.
    if let Err(error) = process::raise_descriptor_limit() {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    let port = options.secure_port.unwrap_or_else(|| settings::preferred_port(instance));
    let started = tokio::select! {
        started = Plane::start(instance, options, port, &residence.board) => started,
        why = asked_to_stop(&mut signals, &residence.board) => {
            tracing::info!("stopped while starting ({why})");
            residence.board.phase(STOPPING);
            return Ok(());
        }
    };
    let mut plane = match started {
        Ok(plane) => plane,
        Err(error) => {
            residence.board.say(Message::Error(chain(&error)));
            return Err(error.into());
        }
    };
    let broken = tokio::select! {
        why = asked_to_stop(&mut signals, &residence.board) => {
            tracing::info!("stopping ({why})");
            None
        }
        error = run(&mut plane, instance.name(), &residence.board) => Some(error),
    };
    // From its first controller on a plane has machines, so it is never just dropped, however little of it was ready.
    residence.board.phase(STOPPING);
    tokio::select! {
        () = plane.stop() => {}
        signal = asked_again(&mut signals) => {
            tracing::warn!("asked a second time ({signal:?}), ending at once");
            std::process::exit(1);
        }
    }
    drop(residence);
    tracing::info!("{:?} control plane has stopped", instance.name());
    broken.map_or(Ok(()), |error| Err(error.into()))
}

/// Returns when the service has been asked a second time. A terminal that goes tells so itself, and its shell tells it
/// once more; nobody has lost patience then.
async fn asked_again(signals: &mut StopSignals) -> Signal {
    loop {
        match signals.next().await {
            Signal::Hangup => {}
            signal => return signal,
        }
    }
}

/// Runs a control plane until it breaks.
async fn run(plane: &mut Plane, name: &str, board: &Board) -> PlaneError {
    if let Err(error) = plane.run_controllers().await {
        board.say(Message::Error(chain(&error)));
        return error;
    }
    // The log says so first: who hears it from the board finds a log that is complete.
    tracing::info!("{name:?} control plane is ready");
    board.say(Message::Ready(true));
    let settled = async {
        tokio::time::sleep(SETTLING).await;
        if let Err(error) = rdd_host::memory::release_code() {
            tracing::debug!("cannot give back the pages of the start: {error}");
        }
        std::future::pending().await
    };
    tokio::select! {
        error = plane.broken() => error,
        never = settled => never,
    }
}

/// Returns, when the service has been asked to stop, how.
async fn asked_to_stop(signals: &mut StopSignals, board: &Board) -> String {
    tokio::select! {
        signal = signals.next() => format!("{signal:?}"),
        () = board.stop_requested() => "as asked".to_owned(),
    }
}
