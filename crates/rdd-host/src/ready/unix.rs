//! The pipe, inherited by number.

#![expect(unsafe_code, reason = "a descriptor is adopted by the number that the environment names")]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;

use super::Message;
use crate::environment;
use crate::process::Spawn;

/// Makes the pipe: the parent's end, and the file for the child.
pub fn channel() -> io::Result<(ReadyWatcher, File)> {
    let (ours, childs) = pipe_with(PipeFlags::CLOEXEC)?;
    let receiver = Receiver::from_owned_fd(ours)?;
    Ok((ReadyWatcher { lines: BufReader::new(receiver) }, File::from(childs)))
}

/// Hands the child's end to the child.
#[must_use]
pub fn pass_to_child(spawn: Spawn, childs_end: File) -> Spawn {
    let number = childs_end.as_raw_fd().to_string();
    spawn.env(environment::READY_FD, number).inherit(childs_end)
}

/// The parent's end.
#[derive(Debug)]
pub struct ReadyWatcher {
    lines: BufReader<Receiver>,
}

impl ReadyWatcher {
    /// Returns the next message; `None` when the child has closed its end, or is gone.
    ///
    /// Safe to cancel only when the watcher is given up as well.
    pub async fn next(&mut self) -> io::Result<Option<Message>> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            if let Some(message) = Message::from_line(&line) {
                return Ok(Some(message));
            }
        }
    }
}

/// The child's end. A parent that does not listen, or was not there, does not disturb it.
#[derive(Debug)]
pub struct ReadyReporter {
    pipe: Mutex<Option<File>>,
}

impl ReadyReporter {
    /// Adopts the pipe that the parent left. Without one, reports go nowhere.
    ///
    /// Call it once, early: from then on no child of ours inherits the pipe.
    pub fn from_env() -> ReadyReporter {
        let number = environment::get_text(environment::READY_FD).and_then(|text| text.parse().ok());
        ReadyReporter { pipe: Mutex::new(number.and_then(adopt)) }
    }

    /// Returns whether a parent listens: it started us in the background and waits for us.
    pub fn has_parent(&self) -> bool {
        self.pipe.lock().expect("no holder of this lock panics").is_some()
    }

    /// Sends a message. After `Ready` and what says that the child gives up the pipe is closed, and later messages are lost.
    pub fn report(&self, message: &Message) {
        let mut pipe = self.pipe.lock().expect("no holder of this lock panics");
        let Some(file) = pipe.as_mut() else { return };
        let sent = file.write_all(message.to_line().as_bytes());
        if sent.is_err() || !matches!(message, Message::Version(_) | Message::Phase(_)) {
            *pipe = None;
        }
    }
}

/// Takes over a descriptor that a parent left open for us, if it is one.
fn adopt(number: RawFd) -> Option<File> {
    if number <= 2 {
        return None;
    }
    // SAFETY: the number is only asked about, at the start of the program, when nobody closes
    // descriptors. A number that is not open makes the calls fail, which is all we want to know.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(borrowed).ok()?;
    let is_pipe = fstat(borrowed).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
    let is_writable = fcntl_getfl(borrowed).is_ok_and(|flags| flags.contains(OFlags::WRONLY));
    // What was made in this process is close-on-exec; what a parent left for us is not.
    if flags.contains(FdFlags::CLOEXEC) || !is_pipe || !is_writable {
        return None;
    }
    fcntl_setfd(borrowed, FdFlags::CLOEXEC).ok()?;
    // SAFETY: the descriptor is open, it was inherited (not close-on-exec until just now, so no code
    // of this process made it), and a second adoption is refused by the flag that was just set.
    Some(File::from(unsafe { OwnedFd::from_raw_fd(number) }))
}
