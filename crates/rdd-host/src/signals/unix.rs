//! SIGINT, SIGTERM and SIGHUP.

#![expect(unsafe_code, reason = "only the C library tells what a signal does now")]

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::process::Signal;

/// The requests to stop, as a stream.
///
/// From its making on, the process is no longer ended by these signals on its own, also after the value is dropped. A
/// SIGHUP that whoever started us wants ignored (`nohup`) stays ignored.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Stream,
    terminate: Stream,
    hangup: Option<Stream>,
}

impl StopSignals {
    /// Starts to listen. Needs a tokio runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if is_ignored(libc::SIGHUP)? { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// Returns the next request.
    pub async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = hangup => Signal::Hangup,
        }
    }
}

/// Returns whether this process ignores a signal, as it may have inherited.
fn is_ignored(number: libc::c_int) -> io::Result<bool> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes the present one, to memory of its type.
    if unsafe { libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has written the whole action.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}
