//! SIGINT and SIGTERM.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::process::Signal;

/// The requests to stop, as a stream.
///
/// From its making on, the process is no longer ended by SIGINT or SIGTERM on its own, also after
/// the value is dropped.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Stream,
    terminate: Stream,
}

impl StopSignals {
    /// Starts to listen. Needs a tokio runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Returns the next request.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}
